//! What contenders carry: one file or a tree of them, made from the seed of the run.

use crate::check::files_below;
use crate::data;
use crate::error::HarnessError;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

/// Files in one directory of a tree.
const FILES_PER_DIRECTORY: u64 = 1000;

/// Largest tree that stays where it was delivered until the end, in bytes: a workload is carried up to
/// fifty times.
const STAYS_BYTES_MAX: u64 = 128 << 20;

/// A file or a directory with files, and what is in it.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) source: PathBuf,
    pub(super) is_tree: bool,
    pub(super) bytes: u64,
    pub(super) files: u64,
    digest: blake3::Hash,
}

impl Load {
    /// One file that cannot be compressed.
    pub(super) fn random(source: PathBuf, bytes: u64, seed: u64) -> Result<Self, HarnessError> {
        data::random_file(&source, bytes, seed).map_err(HarnessError::file(&source))?;
        Self::of_file(source)
    }

    /// One file of CSV records, of at least so many bytes.
    pub(super) fn csv(
        source: PathBuf,
        bytes: u64,
        seed: u64,
        stop: &dyn Fn() -> bool,
    ) -> Result<Self, HarnessError> {
        match data::csv_file(&source, bytes, seed, stop) {
            Ok(_) => Self::of_file(source),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                Err(HarnessError::Interrupted)
            }
            Err(error) => Err(HarnessError::File { path: source, source: error }),
        }
    }

    fn of_file(source: PathBuf) -> Result<Self, HarnessError> {
        let digest = data::digest(&source).map_err(HarnessError::file(&source))?;
        let bytes = fs::metadata(&source).map_err(HarnessError::file(&source))?.len();
        Ok(Self { source, is_tree: false, bytes, files: 1, digest })
    }

    /// So many files of so many bytes that cannot be compressed, a thousand to a directory.
    pub(super) fn tree(
        source: PathBuf,
        (files, bytes): (u64, usize),
        seed: u64,
    ) -> Result<Self, HarnessError> {
        grow(&source, (files, bytes), seed).map_err(HarnessError::file(&source))?;
        let digest = digest_of_tree(&source)?;
        Ok(Self { source, is_tree: true, bytes: files * bytes as u64, files, digest })
    }

    /// What it is called wherever it goes.
    pub(super) fn name(&self) -> &OsStr {
        self.source.file_name().expect("a load has a name")
    }

    /// Whether these files, one behind the other, hold what the one file does.
    pub(super) fn is_joined(&self, files: &[PathBuf]) -> Result<bool, HarnessError> {
        let shown = files.first().map_or(Path::new("the delivered file"), PathBuf::as_path);
        let found = data::digest_of(files).map_err(HarnessError::file(shown))?;
        Ok(found == self.digest)
    }

    /// Whether this file or tree is the same.
    pub(super) fn is_at(&self, path: &Path) -> Result<bool, HarnessError> {
        match self.is_tree {
            true => Ok(digest_of_tree(path)? == self.digest),
            false => self.is_joined(&[path.to_owned()]),
        }
    }

    /// Whether what was delivered of it stays until the end of its workload. ext4 looks at every
    /// inode that was freed within the last minutes before it takes another one for a new file: who
    /// makes 20,000 files after as many were removed spends most of its time on that.
    pub(super) fn stays(&self) -> bool {
        self.is_tree && self.bytes <= STAYS_BYTES_MAX
    }

    /// Reads all of it, so that everybody finds it in memory: an edge takes what it has read out
    /// of the page cache.
    pub(super) fn warm(&self) -> Result<(), HarnessError> {
        if !self.is_tree {
            return read(&self.source);
        }
        files_below(&self.source)?.iter().try_for_each(|file| read(&self.source.join(file)))
    }
}

fn read(path: &Path) -> Result<(), HarnessError> {
    let read = File::open(path)
        .and_then(|file| io::copy(&mut BufReader::with_capacity(1 << 20, file), &mut io::sink()));
    read.map(drop).map_err(HarnessError::file(path))
}

fn grow(directory: &Path, (files, bytes): (u64, usize), seed: u64) -> io::Result<()> {
    let mut stream = blake3::Hasher::new_keyed(&[9; 32]).update(&seed.to_le_bytes()).finalize_xof();
    let mut content = vec![0; bytes];
    for index in 0..files {
        let below = directory.join(format!("batch-{:04}", index / FILES_PER_DIRECTORY));
        if index % FILES_PER_DIRECTORY == 0 {
            fs::create_dir_all(&below)?;
        }
        stream.fill(&mut content);
        fs::write(below.join(format!("file-{index:07}.bin")), &content)?;
    }
    Ok(())
}

/// BLAKE3 of the paths and contents of all files below a directory.
fn digest_of_tree(directory: &Path) -> Result<blake3::Hash, HarnessError> {
    let mut hasher = blake3::Hasher::new();
    for file in files_below(directory)? {
        let path = directory.join(&file);
        let content = data::digest(&path).map_err(HarnessError::file(&path))?;
        hasher.update(file.as_os_str().as_encoded_bytes()).update(b"\0").update(content.as_bytes());
    }
    Ok(hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    #[test]
    fn a_tree_is_the_same_only_with_the_same_names_and_contents() {
        let root = TempDir::new().unwrap();
        let load = Load::tree(root.path().join("a"), (3, 10), 5).unwrap();
        let copy = root.path().join("b");
        let twin = Load::tree(copy.clone(), (3, 10), 5).unwrap();

        assert_eq!((load.bytes, load.files), (30, 3));
        assert!(load.is_at(&twin.source).unwrap());
        fs::write(copy.join("batch-0000/file-0000001.bin"), "other").unwrap();
        assert!(!load.is_at(&copy).unwrap());
        fs::remove_dir_all(&copy).unwrap();
        assert!(!load.is_at(&copy).unwrap());
        Load::tree(copy.clone(), (3, 10), 6).unwrap();
        assert!(!load.is_at(&copy).unwrap());
    }

    #[test]
    fn a_file_is_the_same_in_one_piece_or_in_several() {
        let root = TempDir::new().unwrap();
        let load = Load::random(root.path().join("a"), 1000, 5).unwrap();
        let whole = fs::read(&load.source).unwrap();
        let halves = ["1", "2"].map(|name| root.path().join(name));
        fs::write(&halves[0], &whole[..400]).unwrap();
        fs::write(&halves[1], &whole[400..]).unwrap();

        assert!(load.is_joined(&halves).unwrap());
        assert!(!load.is_joined(&halves[..1]).unwrap());
        assert!(load.is_at(&load.source).unwrap());
    }
}
