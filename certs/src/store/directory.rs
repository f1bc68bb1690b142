//! A private directory: what may be read from it, and how a file in it is replaced.

use super::StoreError;
use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::fs::{DirBuilder, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Mode of the directory.
const DIRECTORY_MODE: u32 = 0o700;

/// Mode of every file in it.
const FILE_MODE: u32 = 0o600;

/// Longest file of an identity, in bytes: many times what the largest needs.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// Name of the file that locks are taken on.
const LOCK_FILE: &str = "lock";

/// An open directory that its owner alone may enter.
#[derive(Debug)]
pub(super) struct PrivateDirectory {
    path: PathBuf,
    handle: OwnedFd,
}

/// The right to change an identity; given back when dropped.
#[derive(Debug)]
pub struct StoreLock {
    _file: OwnedFd,
}

impl PrivateDirectory {
    /// Opens an existing directory.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| match errno {
            Errno::NOENT => StoreError::Missing { path: path.to_owned() },
            Errno::LOOP | Errno::NOTDIR => StoreError::NotDirectory { path: path.to_owned() },
            other => io_error("open", path, other),
        })?;
        let stat = rustix::fs::fstat(&handle).map_err(|errno| io_error("open", path, errno))?;
        check_private(path, &stat, DIRECTORY_MODE)?;
        Ok(Self { path: path.to_owned(), handle })
    }

    /// Opens a directory, made before if there is none.
    pub(super) fn create(path: &Path) -> Result<Self, StoreError> {
        match Self::open(path) {
            Err(StoreError::Missing { .. }) => {}
            other => return other,
        }
        let io = |source| StoreError::Io { action: "create", path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path).map_err(io)?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = File::open(parent.unwrap_or(Path::new("."))).map_err(io)?;
        parent.sync_all().map_err(io)?;
        Self::open(path)
    }

    /// Path of a file in the directory, for messages.
    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The contents of a file, or `None` if there is none.
    pub(super) fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let path = self.path_of(name);
        // Without NONBLOCK, a FIFO of that name would hold the program until somebody writes.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let handle = match rustix::fs::openat(&self.handle, name, flags, Mode::empty()) {
            Ok(handle) => handle,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(StoreError::NotRegular { path }),
            Err(errno) => return Err(io_error("open", &path, errno)),
        };
        let stat = rustix::fs::fstat(&handle).map_err(|errno| io_error("open", &path, errno))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(StoreError::NotRegular { path });
        }
        check_private(&path, &stat, FILE_MODE)?;
        let length = check_length(&path, &stat)?;
        let contents = read_bounded(handle, path, length)?;
        Ok(Some(contents))
    }

    /// Replaces a file or makes it; after a crash the old or the new contents are there, whole.
    pub(super) fn write(&self, name: &str, contents: &[u8]) -> Result<(), StoreError> {
        let temporary = format!(".{name}.new");
        let path = self.path_of(&temporary);
        self.remove(&temporary)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let mode = Mode::from_raw_mode(FILE_MODE);
        let handle = rustix::fs::openat(&self.handle, &*temporary, flags | OFlags::CLOEXEC, mode)
            .map_err(|errno| io_error("create", &path, errno))?;
        let mut file = File::from(handle);
        file.write_all(contents)
            .and_then(|()| file.sync_all())
            .map_err(|source| StoreError::Io { action: "write", path, source })?;
        rustix::fs::renameat(&self.handle, &*temporary, &self.handle, name)
            .map_err(|errno| io_error("rename", &self.path_of(name), errno))?;
        self.sync()
    }

    /// Removes a file if there is one.
    pub(super) fn remove(&self, name: &str) -> Result<(), StoreError> {
        match rustix::fs::unlinkat(&self.handle, name, AtFlags::empty()) {
            Ok(()) => self.sync(),
            Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(io_error("remove", &self.path_of(name), errno)),
        }
    }

    /// Takes the lock of the directory, or `None` while another process has it.
    pub(super) fn try_lock(&self) -> Result<Option<StoreLock>, StoreError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(FILE_MODE);
        let failed = |errno| io_error("lock", &self.path_of(LOCK_FILE), errno);
        let file = rustix::fs::openat(&self.handle, LOCK_FILE, flags, mode).map_err(failed)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(StoreLock { _file: file })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(failed(errno)),
        }
    }

    fn sync(&self) -> Result<(), StoreError> {
        rustix::fs::fsync(&self.handle).map_err(|errno| io_error("write", &self.path, errno))
    }
}

/// Refuses what others than this user may read, write or own.
fn check_private(path: &Path, stat: &Stat, expected: u32) -> Result<(), StoreError> {
    let user = rustix::process::geteuid().as_raw();
    if stat.st_uid != user {
        let (path, owner) = (path.to_owned(), stat.st_uid);
        return Err(StoreError::ForeignOwner { path, owner, user });
    }
    let mode = stat.st_mode & 0o7777;
    if mode & !expected != 0 {
        return Err(StoreError::Loose { path: path.to_owned(), mode, expected });
    }
    Ok(())
}

/// The length of a file, if it is one that an identity may have.
pub(super) fn check_length(path: &Path, stat: &Stat) -> Result<u64, StoreError> {
    let length = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
    if length > FILE_BYTES_MAX {
        return Err(StoreError::TooLarge { path: path.to_owned(), length, max: FILE_BYTES_MAX });
    }
    Ok(length)
}

/// Reads a file whose length was checked, whatever it has grown to since.
pub(super) fn read_bounded(
    handle: OwnedFd,
    path: PathBuf,
    length: u64,
) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let capacity = usize::try_from(length).expect("checked against the limit") + 1;
    let mut contents = Zeroizing::new(Vec::with_capacity(capacity));
    File::from(handle)
        .take(FILE_BYTES_MAX)
        .read_to_end(&mut contents)
        .map_err(|source| StoreError::Io { action: "read", path, source })?;
    Ok(contents)
}

pub(super) fn io_error(action: &'static str, path: &Path, errno: Errno) -> StoreError {
    StoreError::Io { action, path: path.to_owned(), source: errno.into() }
}
