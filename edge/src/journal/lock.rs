//! Locks between processes: `flock` on a file of its own, which the kernel lets go of when a
//! process dies however it dies.

use super::JournalError;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    _file: File,
}

/// Makes the directory of lock files.
pub(super) fn create_dir(path: &Path) -> Result<(), JournalError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| JournalError::Lock { path: path.to_owned(), source })
}

/// Removes lock files nobody holds, but those to `keep`.
pub(super) fn sweep(directory: &Path, keep: impl Fn(&str) -> bool) -> Result<(), JournalError> {
    let fail = |source| JournalError::Lock { path: directory.to_owned(), source };
    for entry in std::fs::read_dir(directory).map_err(fail)? {
        let file_name = entry.map_err(fail)?.file_name();
        let name = file_name.to_str().and_then(|name| name.strip_suffix(".lock"));
        let Some(name) = name.filter(|name| !keep(name)) else { continue };
        if let Some(lock) = Lock::take(directory, name)? {
            lock.remove();
        }
    }
    Ok(())
}

impl Lock {
    /// Takes the lock `name`, or `None` when it is held.
    pub(super) fn take(directory: &Path, name: &str) -> Result<Option<Self>, JournalError> {
        Self::acquire(directory, name, File::try_lock)
    }

    /// Takes the lock `name`, waiting for whoever holds it: only for locks held for moments.
    pub(super) fn wait(directory: &Path, name: &str) -> Result<Self, JournalError> {
        let taken = Self::acquire(directory, name, |file| file.lock().map_err(TryLockError::Error));
        Ok(taken?.expect("waiting ends with the lock or an error"))
    }

    /// Whether somebody holds the lock `name`; makes no file.
    pub(super) fn is_held(directory: &Path, name: &str) -> Result<bool, JournalError> {
        let path = path_of(directory, name);
        match OpenOptions::new().read(true).open(&path) {
            Ok(file) => match file.try_lock_shared() {
                Ok(()) => Ok(false),
                Err(TryLockError::WouldBlock) => Ok(true),
                Err(TryLockError::Error(source)) => Err(JournalError::Lock { path, source }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(JournalError::Lock { path, source }),
        }
    }

    /// Lets go of the lock for good: its file goes too.
    pub(super) fn remove(self) {
        // A file that stays costs nothing but its name.
        let _ = std::fs::remove_file(&self.path);
    }

    fn acquire(
        directory: &Path,
        name: &str,
        lock: impl Fn(&File) -> Result<(), TryLockError>,
    ) -> Result<Option<Self>, JournalError> {
        let path = path_of(directory, name);
        let fail = |source| JournalError::Lock { path: path.clone(), source };
        loop {
            let mut options = OpenOptions::new();
            let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
            let file = options.open(&path).map_err(fail)?;
            match lock(&file) {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(source)) => return Err(fail(source)),
            }
            // Whoever held it before may have removed the file: then this lock guards nothing.
            if is_at(&file, &path).map_err(fail)? {
                return Ok(Some(Self { path, _file: file }));
            }
        }
    }
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    match std::fs::symlink_metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (held.dev(), held.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn path_of(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.lock"))
}
