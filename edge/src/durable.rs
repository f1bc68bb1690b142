//! Small files written whole: after a crash there is the old one or the new one.

use skyspray_link::seam::files::{Caching, Cause, FileError, RelPath, Replace, Tree};
use std::ffi::OsString;

/// Writes `bytes` to `path`, durable and atomic for everybody who looks.
///
/// Uses one staging name beside `path`: only one caller at a time may write the same path.
///
/// # Errors
///
/// `AlreadyExists` with [`Replace::Never`]; otherwise the host's. The old file is then unharmed.
pub(crate) fn write_file(
    tree: &dyn Tree,
    path: &RelPath,
    bytes: &[u8],
    mode: u32,
    replace: Replace,
) -> Result<(), FileError> {
    let staging = staging_name(path);
    remove_if_there(tree, &staging)?;
    let file = tree.create_new(&staging, mode, Caching::Buffered)?;
    let written = file
        .write_all_at(bytes, 0)
        .and_then(|()| file.sync_all())
        .and_then(|()| tree.rename(&staging, path, replace));
    if let Err(error) = written {
        // What failed first is what matters; a staging file that stays is replaced next time.
        let _ = tree.remove_file(&staging);
        return Err(error);
    }
    tree.sync_dir(&path.parent().expect("a file has a directory"))
}

/// Removes a name, which may be gone already.
pub(crate) fn remove_if_there(tree: &dyn Tree, path: &RelPath) -> Result<(), FileError> {
    match tree.remove_file(path) {
        Err(error) if error.cause == Cause::Missing => Ok(()),
        other => other,
    }
}

/// Reads a whole file of at most `bytes_max` bytes; `None` when it is longer.
pub(crate) fn read_file(
    tree: &dyn Tree,
    path: &RelPath,
    bytes_max: u64,
) -> Result<Option<Vec<u8>>, FileError> {
    let file = tree.open_read(path)?;
    let length = file.metadata()?.len;
    if length > bytes_max {
        return Ok(None);
    }
    let mut bytes = vec![0; usize::try_from(length).expect("below the limit")];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(Some(bytes))
}

fn staging_name(path: &RelPath) -> RelPath {
    let mut name = OsString::from(".");
    name.push(path.file_name().expect("a file has a name"));
    name.push(".new");
    let directory = path.parent().expect("a file has a directory");
    directory.join(name).expect("names here are short")
}

#[cfg(test)]
mod tests {
    use super::*;
    use skyspray_link::seam::files::{Fault, MemoryTree, Op};

    fn path() -> RelPath {
        RelPath::parse("a").unwrap()
    }

    fn content(tree: &MemoryTree) -> Option<Vec<u8>> {
        read_file(tree, &path(), 100).unwrap()
    }

    #[test]
    fn a_file_survives_a_crash_as_soon_as_it_is_written() {
        let tree = MemoryTree::new(1000);
        write_file(&tree, &path(), b"one", 0o600, Replace::Never).unwrap();
        tree.crash();

        assert_eq!(content(&tree), Some(b"one".to_vec()));
        let taken = write_file(&tree, &path(), b"two", 0o600, Replace::Never).unwrap_err();
        assert_eq!(taken.cause, Cause::AlreadyExists);
        assert_eq!(content(&tree), Some(b"one".to_vec()));
    }

    #[test]
    fn the_old_file_stays_when_the_new_one_cannot_be_written() {
        let tree = MemoryTree::new(1000);
        write_file(&tree, &path(), b"one", 0o600, Replace::Never).unwrap();
        for op in [Op::CreateNew, Op::Write, Op::SyncAll, Op::Rename] {
            tree.fail_next(op, Fault::NoSpace);
            let error = write_file(&tree, &path(), b"two", 0o600, Replace::Existing).unwrap_err();
            assert_eq!((error.op, error.cause), (op, Cause::NoSpace));
            tree.crash();
            assert_eq!(content(&tree), Some(b"one".to_vec()));
        }
        write_file(&tree, &path(), b"two", 0o600, Replace::Existing).unwrap();
        assert_eq!(content(&tree), Some(b"two".to_vec()));
        assert_eq!(tree.read_dir(&RelPath::root(), None, 10).unwrap().len(), 1);
    }

    #[test]
    fn a_file_longer_than_expected_is_not_read() {
        let tree = MemoryTree::new(1000);
        write_file(&tree, &path(), &[0; 101], 0o600, Replace::Never).unwrap();

        assert_eq!(content(&tree), None);
    }
}
