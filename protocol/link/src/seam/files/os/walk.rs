//! From a relative path to a handle, never leaving the root: the only caller of `openat2`.

use super::super::{Cause, FileKind, Metadata, RelPath};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::{Errno, retry_on_intr};
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// The root of a tree.
#[derive(Debug)]
pub(super) struct Walk {
    root: OwnedFd,
}

impl Walk {
    pub(super) fn open(root: &Path) -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = retry_on_intr(|| fs::open(root, flags, Mode::empty()))?;
        Ok(Self { root })
    }

    /// Whether the kernel can do what everything here rests on.
    pub(super) fn probe(&self) -> Result<(), Errno> {
        self.open_at(&RelPath::root(), OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).map(drop)
    }

    pub(super) fn open_at(
        &self,
        path: &RelPath,
        flags: OFlags,
        mode: Mode,
    ) -> Result<OwnedFd, Errno> {
        let target = if path.is_root() { Path::new(".") } else { path.as_path() };
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let open = || fs::openat2(&self.root, target, flags | OFlags::CLOEXEC, mode, resolve);
        let mut outcome = retry_on_intr(open);
        for _ in 1..OPEN_ATTEMPTS_MAX {
            // A name on the way was renamed during the walk, so the kernel could not be sure.
            if !matches!(outcome, Err(Errno::AGAIN)) {
                break;
            }
            outcome = retry_on_intr(open);
        }
        outcome
    }

    /// Opens a directory so that it can be read and synced.
    pub(super) fn open_dir(&self, path: &RelPath) -> Result<OwnedFd, Errno> {
        self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())
    }

    /// The directory that holds `path`, as a place to change names in, and the last component.
    pub(super) fn parent<'a>(&self, path: &'a RelPath) -> Result<(OwnedFd, &'a OsStr), Cause> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            // The root has no name inside the tree.
            return Err(Cause::IsDirectory);
        };
        let handle = self.open_at(&parent, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
        Ok((handle, name))
    }

    pub(super) fn stat(&self, path: &RelPath) -> Result<Metadata, Errno> {
        metadata(self.open_at(path, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty())?)
    }

    pub(super) fn free_bytes(&self) -> Result<u64, Errno> {
        let space = retry_on_intr(|| fs::fstatvfs(&self.root))?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }
}

pub(super) fn metadata(handle: impl AsFd) -> Result<Metadata, Errno> {
    let stat = retry_on_intr(|| fs::fstat(handle.as_fd()))?;
    Ok(from_stat(&stat))
}

pub(super) fn kind_at(dir: impl AsFd, name: &OsStr) -> Result<FileKind, Errno> {
    let stat = retry_on_intr(|| fs::statat(dir.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW));
    match stat {
        Ok(stat) => Ok(kind(FileType::from_raw_mode(stat.st_mode))),
        // Removed since the directory was read.
        Err(Errno::NOENT) => Ok(FileKind::Unknown),
        Err(errno) => Err(errno),
    }
}

/// Renames a file without replacing, on file systems whose rename cannot promise that.
///
/// A crash in between leaves both names, which is the same file twice.
pub(super) fn link_then_unlink(
    from: (&OwnedFd, &OsStr),
    to: (&OwnedFd, &OsStr),
) -> Result<(), Errno> {
    retry_on_intr(|| fs::linkat(from.0, from.1, to.0, to.1, AtFlags::empty()))?;
    retry_on_intr(|| fs::unlinkat(from.0, from.1, AtFlags::empty()))
}

pub(super) fn kind(file_type: FileType) -> FileKind {
    match file_type {
        FileType::RegularFile => FileKind::Regular,
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Symlink,
        FileType::Fifo => FileKind::Fifo,
        FileType::Socket => FileKind::Socket,
        FileType::CharacterDevice => FileKind::CharacterDevice,
        FileType::BlockDevice => FileKind::BlockDevice,
        FileType::Unknown => FileKind::Unknown,
    }
}

// The widths of these fields differ between processors.
#[allow(clippy::useless_conversion, clippy::unnecessary_cast, reason = "widths vary by target")]
fn from_stat(stat: &Stat) -> Metadata {
    Metadata {
        kind: kind(FileType::from_raw_mode(stat.st_mode)),
        len: u64::try_from(stat.st_size).unwrap_or(0),
        device: stat.st_dev.into(),
        inode: stat.st_ino.into(),
        mtime_nanos: nanos(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
        ctime_nanos: nanos(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        nlink: stat.st_nlink.into(),
    }
}

fn nanos(seconds: i64, nanos: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

/// How often a walk disturbed by renames is tried before the disturbance is reported.
const OPEN_ATTEMPTS_MAX: u32 = 64;
