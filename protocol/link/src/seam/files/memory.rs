//! A tree in memory that forgets, on a crash, whatever was not synced: for tests of durability,
//! of full disks and of failing ones. Deterministic: same calls, same outcome.
//!
//! Harsher than most file systems: even a name whose file was synced is lost unless its directory
//! was, and a rename between two directories can be lost on either side.

mod bytes;
mod file;
mod names;
mod nodes;

use super::{
    Caching, Cause, Entry, File, FileError, FileKind, Metadata, Op, RelPath, Replace, Tree,
};
use file::MemoryFile;
use nodes::{Content, Disk};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A tree in memory. Clones are the same tree: one for the code under test, one for the test.
#[derive(Clone, Debug)]
pub struct MemoryTree {
    // Shared by all clones and open files, on any thread. No call waits while it holds the lock.
    shared: Arc<Mutex<Host>>,
}

impl MemoryTree {
    /// An empty tree with room for `capacity` bytes of file content.
    pub fn new(capacity: u64) -> Self {
        let host = Host {
            disk: Disk::new(capacity),
            faults: BTreeMap::new(),
            power: None,
            tree_sync_failed: false,
            operations: 0,
            boot: 0,
        };
        Self { shared: Arc::new(Mutex::new(host)) }
    }

    /// Makes the next `op` fail with `fault`, once. Several are used up in the order given.
    pub fn fail_next(&self, op: Op, fault: Fault) {
        self.fail_after(op, 0, fault);
    }

    /// Lets `count` of `op` pass, counted from now, and makes the one after them fail.
    pub fn fail_after(&self, op: Op, count: u64, fault: Fault) {
        self.host().faults.entry(op).or_default().push((count, fault));
    }

    /// Lets `operations` more operations of any kind pass. All later ones fail with an input/output
    /// error and change nothing, until [`MemoryTree::crash`].
    pub fn cut_power_after(&self, operations: u64) {
        self.host().power = Some(operations);
    }

    /// How many operations were tried so far, for choosing where to cut the power.
    pub fn operations(&self) -> u64 {
        self.host().operations
    }

    /// Sets how many bytes of file content fit, which may be fewer than there are.
    pub fn set_capacity(&self, capacity: u64) {
        self.host().disk.capacity = capacity;
    }

    /// Stops the host and starts it again: what was not synced is gone, open files are dead
    /// (`Io(STALE)`), the power is back, faults not yet used up remain.
    pub fn crash(&self) {
        let mut host = self.host();
        host.boot += 1;
        host.power = None;
        host.tree_sync_failed = false;
        host.disk.crash();
    }

    /// As [`MemoryTree::crash`], but of the writes not synced, some reached the disk whole, some in
    /// part (in units of 512 bytes) and some not at all; `seed` chooses.
    pub fn crash_torn(&self, seed: u64) {
        self.host().disk.tear(seed);
        self.crash();
    }

    /// Puts something that is neither file nor directory at `path`, durable at once.
    ///
    /// # Errors
    ///
    /// `Missing` when the directory is, `AlreadyExists` when the name is taken.
    pub fn plant(&self, path: &RelPath, kind: FileKind) -> Result<(), FileError> {
        let mut host = self.host();
        let planted = host.disk.create(path, Content::Other(kind), 0o777);
        planted.map_err(|cause| FileError::new(Op::CreateNew, path, cause))?;
        host.disk.sync_parent(path);
        Ok(())
    }

    fn host(&self) -> MutexGuard<'_, Host> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one operation, unless it is to fail.
    fn run<T>(
        &self,
        op: Op,
        path: &RelPath,
        action: impl FnOnce(&mut Disk) -> Result<T, Cause>,
    ) -> Result<T, FileError> {
        let mut host = self.host();
        let outcome = host.begin(op).and_then(|()| action(&mut host.disk));
        outcome.map_err(|cause| FileError::new(op, path, cause))
    }

    fn open_existing(&self, op: Op, path: &RelPath) -> Result<Arc<dyn File>, FileError> {
        let mut host = self.host();
        let found = host.begin(op).and_then(|()| host.disk.find_file(path));
        let inode = found.map_err(|cause| FileError::new(op, path, cause))?;
        Ok(Arc::new(MemoryFile::open(&self.shared, &mut host, inode, (op, path))))
    }
}

impl Tree for MemoryTree {
    fn open_read(&self, path: &RelPath) -> Result<Arc<dyn File>, FileError> {
        self.open_existing(Op::OpenRead, path)
    }

    fn open_read_direct(&self, path: &RelPath) -> Result<Arc<dyn File>, FileError> {
        self.open_existing(Op::OpenRead, path)
    }

    fn create_new(
        &self,
        path: &RelPath,
        mode: u32,
        _caching: Caching,
    ) -> Result<Arc<dyn File>, FileError> {
        let mut host = self.host();
        let empty = Content::File(bytes::Bytes::default());
        let made = host.begin(Op::CreateNew).and_then(|()| host.disk.create(path, empty, mode));
        let inode = made.map_err(|cause| FileError::new(Op::CreateNew, path, cause))?;
        let at = (Op::CreateNew, path);
        Ok(Arc::new(MemoryFile::open(&self.shared, &mut host, inode, at)))
    }

    fn open_write(&self, path: &RelPath, _caching: Caching) -> Result<Arc<dyn File>, FileError> {
        self.open_existing(Op::OpenWrite, path)
    }

    fn metadata(&self, path: &RelPath) -> Result<Metadata, FileError> {
        self.run(Op::Metadata, path, |disk| {
            let inode = disk.find(path)?;
            Ok(disk.metadata(inode))
        })
    }

    fn rename(&self, from: &RelPath, to: &RelPath, replace: Replace) -> Result<(), FileError> {
        self.run(Op::Rename, from, |disk| disk.rename(from, to, replace))
            .map_err(|error| FileError { to: Some(to.clone()), ..error })
    }

    fn remove_file(&self, path: &RelPath) -> Result<(), FileError> {
        self.run(Op::RemoveFile, path, |disk| match disk.kind_to_remove(path)? {
            FileKind::Directory => Err(Cause::IsDirectory),
            _ => disk.unlink(path),
        })
    }

    fn remove_dir(&self, path: &RelPath) -> Result<(), FileError> {
        self.run(Op::RemoveDir, path, |disk| match disk.kind_to_remove(path)? {
            FileKind::Directory => {
                let inode = disk.find(path)?;
                if disk.dir(inode)?.entries.is_empty() {
                    disk.unlink(path)
                } else {
                    Err(Cause::NotEmpty)
                }
            }
            _ => Err(Cause::NotDirectory),
        })
    }

    fn create_dirs(&self, path: &RelPath) -> Result<(), FileError> {
        for dir in path.from_top() {
            self.run(Op::CreateDirs, &dir, |disk| {
                match disk.create(&dir, Content::Dir(names::Dir::default()), 0o755) {
                    Ok(_) => {}
                    Err(Cause::AlreadyExists) => {
                        let inode = disk.find(&dir)?;
                        disk.dir(inode)?;
                    }
                    Err(cause) => return Err(cause),
                }
                disk.sync_parent(&dir);
                Ok(())
            })?;
        }
        Ok(())
    }

    fn sync_dir(&self, path: &RelPath) -> Result<(), FileError> {
        self.run(Op::SyncDir, path, |disk| {
            let inode = disk.find(path)?;
            disk.dir(inode)?;
            disk.sync_dir(inode);
            Ok(())
        })
    }

    fn sync_tree(&self) -> bool {
        let mut host = self.host();
        if host.tree_sync_failed {
            return false;
        }
        let may = host.begin(Op::SyncTree).is_ok();
        if may {
            host.disk.sync_everything();
        }
        host.tree_sync_failed = !may;
        may
    }

    fn knows_dir(&self, _path: &RelPath) -> bool {
        false
    }

    fn read_dir(
        &self,
        path: &RelPath,
        after: Option<&OsStr>,
        limit: usize,
    ) -> Result<Vec<Entry>, FileError> {
        self.run(Op::ReadDir, path, |disk| {
            let inode = disk.find(path)?;
            let names = disk.dir(inode)?.entries.iter();
            let names =
                names.filter(|(name, _)| after.is_none_or(|after| name.as_os_str() > after));
            let entry = |(name, inode): (&OsString, &u64)| Entry {
                name: name.clone(),
                kind: disk.node(*inode).content.kind(),
            };
            Ok(names.take(limit).map(entry).collect())
        })
    }

    fn free_bytes(&self) -> Result<u64, FileError> {
        self.run(Op::FreeBytes, &RelPath::root(), |disk| Ok(disk.free_bytes()))
    }
}

/// How an operation is made to fail. It then has no effect, except that a failed sync of a file
/// loses what it should have made durable, as it does on Linux.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// The device fails: `Io(IO)`.
    Io,
    /// The file system is full: `NoSpace`.
    NoSpace,
    /// The operating system refuses: `Denied`.
    Denied,
}

impl From<Fault> for Cause {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Io => Self::Io(Errno::IO),
            Fault::NoSpace => Self::NoSpace,
            Fault::Denied => Self::Denied,
        }
    }
}

/// The disk and what is about to happen to it.
#[derive(Debug)]
struct Host {
    disk: Disk,
    /// For each kind of operation, how many may pass before each fault.
    faults: BTreeMap<Op, Vec<(u64, Fault)>>,
    /// Operations until the power fails.
    power: Option<u64>,
    /// Whether a sync of everything has failed; none is tried after that.
    tree_sync_failed: bool,
    operations: u64,
    /// Counts crashes, so that a file opened before one is known to be dead.
    boot: u64,
}

impl Host {
    /// Counts one operation and decides whether it may go on.
    fn begin(&mut self, op: Op) -> Result<(), Cause> {
        self.operations += 1;
        match &mut self.power {
            Some(0) => return Err(Cause::Io(Errno::IO)),
            Some(left) => *left -= 1,
            None => {}
        }
        let Some(faults) = self.faults.get_mut(&op) else { return Ok(()) };
        let due = faults.iter().position(|(count, _)| *count == 0);
        let fault = due.map(|index| faults.remove(index).1);
        for (count, _) in faults.iter_mut() {
            *count = count.saturating_sub(1);
        }
        fault.map_or(Ok(()), |fault| Err(fault.into()))
    }
}

#[cfg(test)]
mod tests;
