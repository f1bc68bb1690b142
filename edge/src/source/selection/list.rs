//! The file of `--files-from`: paths, one a line or each ended by a NUL byte.

use super::ListError;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// Longest list that is read, in bytes: more than half a KiB for each source there may be.
const LIST_BYTES_MAX: u64 = 64 << 20;

/// Reads the list in `file`, stdin for `-`. Blocks.
pub(super) fn read(file: &Path, ends_with_nul: bool) -> Result<Vec<PathBuf>, ListError> {
    let path = || file.to_owned();
    let read = if file.as_os_str() == "-" {
        bytes_of(&mut io::stdin().lock())
    } else {
        File::open(file).and_then(|mut file| bytes_of(&mut file))
    };
    let bytes = read
        .map_err(|source| ListError::Read { path: path(), source })?
        .ok_or_else(|| ListError::TooLong { path: path(), bytes_max: LIST_BYTES_MAX })?;
    let paths = paths_of(&bytes, ends_with_nul);
    if paths.is_empty() {
        return Err(ListError::Empty { path: path() });
    }
    Ok(paths)
}

/// All there is to read; `None` when it is too much.
fn bytes_of(from: &mut dyn Read) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    from.take(LIST_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= LIST_BYTES_MAX).then_some(bytes))
}

fn paths_of(bytes: &[u8], ends_with_nul: bool) -> Vec<PathBuf> {
    let end = if ends_with_nul { 0 } else { b'\n' };
    bytes
        .split(|&byte| byte == end)
        .map(|line| match line.strip_suffix(b"\r") {
            Some(text) if !ends_with_nul => text,
            _ => line,
        })
        .filter(|line| !line.is_empty())
        .map(|line| PathBuf::from(OsString::from_vec(line.to_vec())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::{Exit, Explain as _};

    fn paths(bytes: &[u8], ends_with_nul: bool) -> Vec<String> {
        let found = paths_of(bytes, ends_with_nul);
        found.into_iter().map(|path| path.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_line_is_a_path_whatever_is_in_it() {
        let text = b"in:a.csv\n\n# no comment\r\n b \n*.csv\nx,y";

        assert_eq!(paths(text, false), ["in:a.csv", "# no comment", " b ", "*.csv", "x,y"]);
    }

    #[test]
    fn with_nul_bytes_a_line_end_is_part_of_a_path() {
        assert_eq!(paths(b"a\nb\0c\r\0\0", true), ["a\nb", "c\r"]);
    }

    #[test]
    fn a_list_that_cannot_be_used_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let missing = read(&dir.path().join("none"), false).unwrap_err();
        let file = dir.path().join("blank");
        std::fs::write(&file, "\n\n").unwrap();
        let empty = read(&file, false).unwrap_err();
        std::fs::File::create(&file).unwrap().set_len(LIST_BYTES_MAX + 1).unwrap();
        let long = read(&file, true).unwrap_err();

        assert_eq!((missing.exit(), &*missing.code()), (Exit::Usage, "list-unreadable"));
        assert_eq!(empty.to_string(), format!("list {} names no source", file.display()));
        assert_eq!((empty.exit(), &*empty.code()), (Exit::Source, "source-none"));
        assert_eq!((long.exit(), &*long.code()), (Exit::Limit, "list-too-long"));
    }
}
