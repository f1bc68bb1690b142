//! An open file in memory.

use super::super::{Cause, File, FileError, Metadata, Op, RelPath};
use super::Host;
use super::nodes::Disk;
use rustix::io::Errno;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
pub(super) struct MemoryFile {
    shared: Arc<Mutex<Host>>,
    inode: u64,
    /// The host's count of crashes when this was opened.
    boot: u64,
    path: RelPath,
    writable: bool,
    sync_failed: AtomicBool,
}

impl MemoryFile {
    /// Opens the file `inode` of `host`, which `shared` guards; `op` says for what.
    pub(super) fn open(
        shared: &Arc<Mutex<Host>>,
        host: &mut Host,
        inode: u64,
        (op, path): (Op, &RelPath),
    ) -> Self {
        host.disk.node_mut(inode).handles += 1;
        Self {
            shared: Arc::clone(shared),
            inode,
            boot: host.boot,
            path: path.clone(),
            writable: op != Op::OpenRead,
            sync_failed: AtomicBool::new(false),
        }
    }

    fn host(&self) -> MutexGuard<'_, Host> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one operation, unless the file is dead or the operation is to fail.
    fn run<T>(
        &self,
        op: Op,
        action: impl FnOnce(&mut Disk, u64) -> Result<T, Cause>,
    ) -> Result<T, FileError> {
        let mut host = self.host();
        let alive = host.boot == self.boot;
        let outcome = host.begin(op).and_then(|()| match alive {
            true => action(&mut host.disk, self.inode),
            false => Err(Cause::Io(Errno::STALE)),
        });
        outcome.map_err(|cause| FileError::new(op, &self.path, cause))
    }

    fn change(
        &self,
        op: Op,
        action: impl FnOnce(&mut Disk, u64) -> Result<(), Cause>,
    ) -> Result<(), FileError> {
        self.run(op, |disk, inode| {
            if !self.writable {
                return Err(Cause::Io(Errno::BADF));
            }
            if self.sync_failed.load(Ordering::Acquire) {
                return Err(Cause::Abandoned);
            }
            action(disk, inode)
        })
    }

    fn sync(&self, op: Op) -> Result<(), FileError> {
        let outcome = self.run(op, |disk, inode| {
            if self.sync_failed.load(Ordering::Acquire) {
                return Err(Cause::Abandoned);
            }
            disk.bytes(inode).sync();
            Ok(())
        });
        if outcome.is_err() {
            self.sync_failed.store(true, Ordering::Release);
            let mut host = self.host();
            if host.boot == self.boot {
                host.disk.bytes(self.inode).forget_dirty();
            }
        }
        outcome
    }
}

impl File for MemoryFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<usize, FileError> {
        self.run(Op::Read, |disk, inode| {
            let current = &disk.bytes(inode).current;
            let start = index(offset)?.min(current.len());
            let count = bytes.len().min(current.len() - start);
            bytes[..count].copy_from_slice(&current[start..start + count]);
            Ok(count)
        })
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<(), FileError> {
        self.change(Op::Write, |disk, inode| {
            if bytes.is_empty() {
                return Ok(());
            }
            let end = offset.checked_add(bytes.len() as u64).ok_or(Cause::Io(Errno::FBIG))?;
            disk.reserve(inode, end)?;
            disk.bytes(inode).write(bytes, index(offset)?);
            disk.touch(inode, true);
            Ok(())
        })
    }

    fn allocate(&self, len: u64) -> Result<(), FileError> {
        self.change(Op::Allocate, |disk, inode| {
            disk.reserve(inode, len)?;
            disk.bytes(inode).extend(index(len)?);
            disk.touch(inode, true);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> Result<(), FileError> {
        self.change(Op::SetLen, |disk, inode| {
            disk.reserve(inode, len)?;
            disk.release(inode, len);
            let bytes = disk.bytes(inode);
            bytes.current.truncate(index(len)?);
            bytes.extend(index(len)?);
            disk.touch(inode, true);
            Ok(())
        })
    }

    fn set_mode(&self, mode: u32) -> Result<(), FileError> {
        self.run(Op::SetMode, |disk, inode| {
            disk.node_mut(inode).mode = mode & 0o777;
            disk.touch(inode, false);
            Ok(())
        })
    }

    fn sync_data(&self) -> Result<(), FileError> {
        self.sync(Op::SyncData)
    }

    fn sync_all(&self) -> Result<(), FileError> {
        self.sync(Op::SyncAll)
    }

    fn metadata(&self) -> Result<Metadata, FileError> {
        self.run(Op::Metadata, |disk, inode| Ok(disk.metadata(inode)))
    }

    fn advise_sequential(&self) {}

    fn drop_cache(&self, _range: Range<u64>) {}

    fn direct_alignment(&self) -> Option<usize> {
        None
    }
}

impl Drop for MemoryFile {
    fn drop(&mut self) {
        let mut host = self.host();
        if host.boot == self.boot {
            host.disk.node_mut(self.inode).handles -= 1;
            host.disk.settle(self.inode);
        }
    }
}

fn index(offset: u64) -> Result<usize, Cause> {
    usize::try_from(offset).map_err(|_| Cause::Io(Errno::FBIG))
}
