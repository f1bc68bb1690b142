//! A directory of the host as a [`Tree`]: the root is opened once, and every name is resolved
//! below that handle by `openat2`, which refuses to leave it or to follow a symlink.

mod file;
mod together;
mod walk;

use super::{
    Caching, Cause, Entry, Escaped, File, FileError, FileKind, Metadata, Op, RelPath, Replace, Tree,
};
use file::OsFile;
use rustix::fs::{self, AtFlags, Dir, Mode, OFlags, RenameFlags};
use rustix::io::{Errno, retry_on_intr};
use std::collections::{BinaryHeap, HashSet};
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use thiserror::Error;
use together::SyncTogether;
use walk::Walk;

/// A directory of the host and what is below it.
#[derive(Debug)]
pub struct OsTree {
    walk: Walk,
    // Directories that this tree knows to be durable, at most `KNOWN_MAX`. The lock is held while
    // directories are made: who finds one there must not rely on it before its maker has synced it.
    // A directory stands there only with all those above it.
    durable_dirs: Mutex<HashSet<RelPath>>,
    together: SyncTogether,
    /// Taken off the modes of what is made, in place of the process's umask.
    umask: Option<u32>,
}

impl OsTree {
    /// Opens the directory at `root`. Symlinks on the way to it are followed, this once: the path
    /// is the operator's. What later happens to that path does not matter to this tree.
    ///
    /// # Errors
    ///
    /// `root` is missing, no directory or forbidden, which is for the operator to correct; or the
    /// kernel lacks `openat2` (before Linux 5.6, or a sandbox that forbids it).
    pub fn open(root: impl AsRef<Path>) -> Result<Self, RootError> {
        let path = root.as_ref();
        let walk = Walk::open(path).map_err(|errno| RootError::of(path, errno))?;
        walk.probe()
            .map_err(|source| RootError::NoConfinement { root: path.to_owned(), source })?;
        let together = SyncTogether::open(&walk);
        Ok(Self { walk, durable_dirs: Mutex::default(), together, umask: None })
    }

    /// Gives everything that is made from here on the same modes: files 0666 and directories 0777,
    /// both less `umask`, whatever the process's umask and the mode asked for.
    pub fn with_umask(self, umask: u32) -> Self {
        Self { umask: Some(umask), ..self }
    }

    fn open_file(
        &self,
        op: Op,
        path: &RelPath,
        flags: OFlags,
        mode: Mode,
    ) -> Result<OwnedFd, FileError> {
        let fail = |cause| FileError::new(op, path, cause);
        // O_NONBLOCK: opening a named pipe must not wait for somebody at its other end.
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let handle = match self.walk.open_at(path, flags, mode) {
            // Nothing but a regular file is made.
            Ok(handle) if flags.contains(OFlags::EXCL) => return Ok(handle),
            Ok(handle) => handle,
            // What an unconnected pipe, a socket or a device without a driver answers.
            Err(Errno::NXIO | Errno::NODEV) => {
                return Err(fail(match self.walk.stat(path).map(|found| found.kind) {
                    Ok(FileKind::Regular) => Cause::Io(Errno::NXIO),
                    Ok(kind) => Cause::NotRegular { kind },
                    Err(errno) => errno.into(),
                }));
            }
            Err(errno) => return Err(fail(errno.into())),
        };
        let found = walk::metadata(&handle).map_err(|errno| fail(errno.into()))?;
        match found.kind {
            FileKind::Regular => Ok(handle),
            FileKind::Directory => Err(fail(Cause::IsDirectory)),
            kind => Err(fail(Cause::NotRegular { kind })),
        }
    }

    /// Runs `change` on the open directory that holds `path` and the last component.
    fn at_parent<T>(
        &self,
        op: Op,
        path: &RelPath,
        change: impl FnOnce(&OwnedFd, &OsStr) -> Result<T, Errno>,
    ) -> Result<T, FileError> {
        let fail = |cause| FileError::new(op, path, cause);
        let (parent, name) = self.walk.parent(path).map_err(fail)?;
        change(&parent, name).map_err(|errno| fail(errno.into()))
    }

    /// Makes one directory unless it is there, and syncs it unless it is known to be durable.
    fn make_dir(&self, path: &RelPath, known: &mut HashSet<RelPath>) -> Result<(), Cause> {
        let (parent, name) = self.walk.parent(path)?;
        let made = match retry_on_intr(|| fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755))) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(errno) => return Err(errno.into()),
        };
        let dir = self.walk.open_dir(path)?;
        if !made && known.contains(path) {
            return Ok(());
        }
        if let (true, Some(umask)) = (made, self.umask) {
            retry_on_intr(|| fs::fchmod(&dir, Mode::from_raw_mode(0o777 & !umask)))?;
        }
        known.remove(path);
        retry_on_intr(|| fs::fsync(&dir))?;
        // The handle of the parent is a bare path handle, which cannot be synced.
        let above = path.parent().expect("a path with a name has a parent");
        retry_on_intr(|| fs::fsync(self.walk.open_dir(&above)?))?;
        known.insert(path.clone());
        Ok(())
    }

    fn forget_dirs(&self, path: &RelPath) {
        let mut known = self.durable_dirs.lock().unwrap_or_else(PoisonError::into_inner);
        // Files are renamed and removed far more often than directories.
        if known.contains(path) {
            known.retain(|dir| !dir.starts_with(path));
        }
    }
}

impl Tree for OsTree {
    fn open_read(&self, path: &RelPath) -> Result<Arc<dyn File>, FileError> {
        let handle = self.open_file(Op::OpenRead, path, OFlags::RDONLY, Mode::empty())?;
        Ok(Arc::new(OsFile::new(handle, path.clone(), Caching::Buffered)))
    }

    fn open_read_direct(&self, path: &RelPath) -> Result<Arc<dyn File>, FileError> {
        let handle = self.open_file(Op::OpenRead, path, OFlags::RDONLY, Mode::empty())?;
        Ok(Arc::new(OsFile::new(handle, path.clone(), Caching::Direct)))
    }

    fn create_new(
        &self,
        path: &RelPath,
        mode: u32,
        caching: Caching,
    ) -> Result<Arc<dyn File>, FileError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        let mode = Mode::from_raw_mode(mode & PERMISSION_BITS);
        let handle = self.open_file(Op::CreateNew, path, flags, mode)?;
        let file = OsFile::new(handle, path.clone(), caching);
        if let Some(umask) = self.umask {
            file.set_mode(0o666 & !umask)?;
        }
        Ok(Arc::new(file))
    }

    fn open_write(&self, path: &RelPath, caching: Caching) -> Result<Arc<dyn File>, FileError> {
        let handle = self.open_file(Op::OpenWrite, path, OFlags::RDWR, Mode::empty())?;
        Ok(Arc::new(OsFile::new(handle, path.clone(), caching)))
    }

    fn metadata(&self, path: &RelPath) -> Result<Metadata, FileError> {
        self.walk.stat(path).map_err(|errno| FileError::new(Op::Metadata, path, errno.into()))
    }

    fn rename(&self, from: &RelPath, to: &RelPath, replace: Replace) -> Result<(), FileError> {
        let fail =
            |cause| FileError { op: Op::Rename, path: from.clone(), to: Some(to.clone()), cause };
        let (from_parent, from_name) = self.walk.parent(from).map_err(fail)?;
        let elsewhere = if from.parent() == to.parent() {
            None
        } else {
            Some(self.walk.parent(to).map_err(fail)?.0)
        };
        let to_parent = elsewhere.as_ref().unwrap_or(&from_parent);
        // Without a name there would be no parent, and both have the same.
        let to_name = to.file_name().ok_or_else(|| fail(Cause::IsDirectory))?;
        let flags = match replace {
            Replace::Never => RenameFlags::NOREPLACE,
            Replace::Existing => RenameFlags::empty(),
        };
        let (from_at, to_at) = ((&from_parent, from_name), (to_parent, to_name));
        let renamed =
            retry_on_intr(|| fs::renameat_with(from_at.0, from_at.1, to_at.0, to_at.1, flags));
        let renamed = match renamed {
            // Either this file system cannot promise not to replace, or the names are absurd, such
            // as a directory into itself; links to directories are refused, which tells which.
            Err(first @ (Errno::INVAL | Errno::NOSYS)) if replace == Replace::Never => {
                walk::link_then_unlink(from_at, to_at)
                    .map_err(|errno| if errno == Errno::PERM { first } else { errno })
            }
            other => other,
        };
        self.forget_dirs(from);
        self.forget_dirs(to);
        renamed.map_err(|errno| match errno {
            Errno::XDEV => fail(Cause::OtherFileSystem),
            other => fail(other.into()),
        })
    }

    fn remove_file(&self, path: &RelPath) -> Result<(), FileError> {
        self.at_parent(Op::RemoveFile, path, |parent, name| {
            retry_on_intr(|| fs::unlinkat(parent, name, AtFlags::empty()))
        })
    }

    fn remove_dir(&self, path: &RelPath) -> Result<(), FileError> {
        self.forget_dirs(path);
        self.at_parent(Op::RemoveDir, path, |parent, name| {
            retry_on_intr(|| fs::unlinkat(parent, name, AtFlags::REMOVEDIR))
        })
    }

    fn create_dirs(&self, path: &RelPath) -> Result<(), FileError> {
        let mut known = self.durable_dirs.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(path) && self.walk.open_dir(path).is_ok() {
            return Ok(());
        }
        if known.len() + path.depth() > KNOWN_MAX {
            known.clear();
        }
        path.from_top().try_for_each(|dir| {
            self.make_dir(&dir, &mut known)
                .map_err(|cause| FileError::new(Op::CreateDirs, &dir, cause))
        })
    }

    fn sync_dir(&self, path: &RelPath) -> Result<(), FileError> {
        let sync = || retry_on_intr(|| fs::fsync(self.walk.open_dir(path)?));
        sync().map_err(|errno| FileError::new(Op::SyncDir, path, errno.into()))
    }

    fn sync_tree(&self) -> bool {
        self.together.sync()
    }

    fn knows_dir(&self, path: &RelPath) -> bool {
        path.is_root()
            || self.durable_dirs.lock().unwrap_or_else(PoisonError::into_inner).contains(path)
    }

    fn read_dir(
        &self,
        path: &RelPath,
        after: Option<&OsStr>,
        limit: usize,
    ) -> Result<Vec<Entry>, FileError> {
        let fail = |errno: Errno| FileError::new(Op::ReadDir, path, errno.into());
        let mut dir = self.walk.open_dir(path).and_then(Dir::new).map_err(fail)?;
        // The greatest name on top: it gives way when a smaller one is found.
        let mut page = BinaryHeap::new();
        while let Some(entry) = dir.read() {
            let entry = entry.map_err(fail)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            let before_page = after.is_some_and(|after| name <= after);
            if before_page || matches!(name.as_bytes(), b"." | b"..") {
                continue;
            }
            page.push(Entry { name: name.to_owned(), kind: walk::kind(entry.file_type()) });
            if page.len() > limit {
                page.pop();
            }
        }
        let mut page = page.into_sorted_vec();
        for entry in page.iter_mut().filter(|entry| entry.kind == FileKind::Unknown) {
            entry.kind = walk::kind_at(dir.fd().map_err(fail)?, &entry.name).map_err(fail)?;
        }
        Ok(page)
    }

    fn free_bytes(&self) -> Result<u64, FileError> {
        self.walk
            .free_bytes()
            .map_err(|errno| FileError::new(Op::FreeBytes, &RelPath::root(), errno.into()))
    }
}

/// Why a directory cannot be the root of a tree.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RootError {
    /// Nothing is there.
    #[error("directory {} does not exist", shown(root))]
    Missing {
        /// As it was given.
        root: PathBuf,
    },
    /// Something else is there.
    #[error("{} is not a directory", shown(root))]
    NotDirectory {
        /// As it was given.
        root: PathBuf,
    },
    /// This kernel or sandbox cannot keep a path inside a directory.
    #[error("directory {} cannot be confined: openat2 (Linux 5.6) is not available", shown(root))]
    NoConfinement {
        /// As it was given.
        root: PathBuf,
        /// What the call answered.
        source: Errno,
    },
    /// Anything else the host reported.
    #[error("cannot open directory {}", shown(root))]
    Open {
        /// As it was given.
        root: PathBuf,
        /// What the host reported.
        source: Errno,
    },
}

impl RootError {
    fn of(path: &Path, errno: Errno) -> Self {
        let root = path.to_owned();
        match errno {
            Errno::NOENT => Self::Missing { root },
            Errno::NOTDIR => Self::NotDirectory { root },
            source => Self::Open { root, source },
        }
    }
}

fn shown(root: &Path) -> Escaped<'_> {
    Escaped(root.as_os_str())
}

/// Directories remembered as durable before all are forgotten; some 100 bytes each.
const KNOWN_MAX: usize = 4096;

/// Read, write and execute for owner, group and others; no set-id bits.
const PERMISSION_BITS: u32 = 0o777;

#[cfg(test)]
mod tests;
