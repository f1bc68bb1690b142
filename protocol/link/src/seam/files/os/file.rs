//! An open file of the host.

use super::super::buffer::BUFFER_ALIGNMENT;
use super::super::{Caching, Cause, File, FileError, Metadata, Op, RelPath};
use super::{PERMISSION_BITS, walk};
use rustix::fs::{self, Advice, AtFlags, FallocateFlags, Mode, OFlags, StatxFlags};
use rustix::io::{self, Errno, retry_on_intr};
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Debug)]
pub(super) struct OsFile {
    handle: OwnedFd,
    path: RelPath,
    alignment: Option<usize>,
    sync_failed: AtomicBool,
}

impl OsFile {
    /// Takes a handle of a regular file, opened at `path`.
    pub(super) fn new(handle: OwnedFd, path: RelPath, caching: Caching) -> Self {
        let alignment = match caching {
            Caching::Buffered => None,
            Caching::Direct => make_direct(&handle),
        };
        Self { handle, path, alignment, sync_failed: AtomicBool::new(false) }
    }

    fn fail(&self, op: Op, cause: impl Into<Cause>) -> FileError {
        FileError::new(op, &self.path, cause.into())
    }

    fn check_aligned(&self, op: Op, bytes: &[u8], offset: u64) -> Result<(), FileError> {
        let Some(alignment) = self.alignment else { return Ok(()) };
        let aligned = bytes.as_ptr().align_offset(alignment) == 0
            && bytes.len().is_multiple_of(alignment)
            && offset.is_multiple_of(alignment as u64);
        if aligned { Ok(()) } else { Err(self.fail(op, Cause::Unaligned { alignment })) }
    }

    fn check_usable(&self, op: Op) -> Result<(), FileError> {
        if self.sync_failed.load(Ordering::Acquire) {
            return Err(self.fail(op, Cause::Abandoned));
        }
        Ok(())
    }

    /// Syncs, and remembers a failure: the kernel reports each lost page only once.
    fn sync(&self, op: Op, call: fn(&OwnedFd) -> Result<(), Errno>) -> Result<(), FileError> {
        self.check_usable(op)?;
        retry_on_intr(|| call(&self.handle)).map_err(|errno| {
            self.sync_failed.store(true, Ordering::Release);
            self.fail(op, errno)
        })
    }
}

impl File for OsFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<usize, FileError> {
        self.check_aligned(Op::Read, bytes, offset)?;
        let mut done = 0;
        while done < bytes.len() {
            let rest = &mut bytes[done..];
            let count = retry_on_intr(|| io::pread(&self.handle, &mut *rest, offset + done as u64))
                .map_err(|errno| self.fail(Op::Read, errno))?;
            done += count;
            // A direct read that stops off the grid has reached the end of the file.
            let off_grid = self.alignment.is_some_and(|alignment| !done.is_multiple_of(alignment));
            if count == 0 || off_grid {
                break;
            }
        }
        Ok(done)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<(), FileError> {
        self.check_usable(Op::Write)?;
        self.check_aligned(Op::Write, bytes, offset)?;
        let mut done = 0;
        while done < bytes.len() {
            let rest = &bytes[done..];
            match retry_on_intr(|| io::pwrite(&self.handle, rest, offset + done as u64)) {
                Ok(0) => return Err(self.fail(Op::Write, Errno::IO)),
                Ok(count) => done += count,
                Err(errno) => return Err(self.fail(Op::Write, errno)),
            }
        }
        Ok(())
    }

    fn allocate(&self, len: u64) -> Result<(), FileError> {
        self.check_usable(Op::Allocate)?;
        let fail = |errno: Errno| self.fail(Op::Allocate, errno);
        if len == 0 {
            return Ok(());
        }
        match retry_on_intr(|| fs::fallocate(&self.handle, FallocateFlags::empty(), 0, len)) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                if walk::metadata(&self.handle).map_err(fail)?.len < len {
                    retry_on_intr(|| fs::ftruncate(&self.handle, len)).map_err(fail)?;
                }
                Ok(())
            }
            outcome => outcome.map_err(fail),
        }
    }

    fn set_len(&self, len: u64) -> Result<(), FileError> {
        self.check_usable(Op::SetLen)?;
        retry_on_intr(|| fs::ftruncate(&self.handle, len))
            .map_err(|errno| self.fail(Op::SetLen, errno))
    }

    fn set_mode(&self, mode: u32) -> Result<(), FileError> {
        let mode = Mode::from_raw_mode(mode & PERMISSION_BITS);
        retry_on_intr(|| fs::fchmod(&self.handle, mode))
            .map_err(|errno| self.fail(Op::SetMode, errno))
    }

    fn sync_data(&self) -> Result<(), FileError> {
        self.sync(Op::SyncData, |handle| fs::fdatasync(handle))
    }

    fn sync_all(&self) -> Result<(), FileError> {
        self.sync(Op::SyncAll, |handle| fs::fsync(handle))
    }

    fn metadata(&self) -> Result<Metadata, FileError> {
        walk::metadata(&self.handle).map_err(|errno| self.fail(Op::Metadata, errno))
    }

    fn advise_sequential(&self) {
        // Only a hint: where it is not understood, reading is merely slower.
        let _ = fs::fadvise(&self.handle, 0, None, Advice::Sequential);
    }

    fn drop_cache(&self, range: Range<u64>) {
        // A length of `None` would mean "to the end", which an empty range is not.
        if let Some(len) = NonZeroU64::new(range.end.saturating_sub(range.start)) {
            let _ = fs::fadvise(&self.handle, range.start, Some(len), Advice::DontNeed);
        }
    }

    fn direct_alignment(&self) -> Option<usize> {
        self.alignment
    }
}

/// Turns a handle to direct access and says what it must be aligned to; leaves it as it is and
/// says `None` where the file system cannot, or wants more than our buffers are aligned to.
///
/// Not asked for at open: there, a refusal can come after the file has been made.
fn make_direct(handle: &OwnedFd) -> Option<usize> {
    let needs = fs::statx(handle, c"", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN).ok();
    let needs = needs.filter(|needs| needs.stx_mask & StatxFlags::DIOALIGN.bits() != 0);
    let fits = |needed: u32| (1..=BUFFER_ALIGNMENT).contains(&(needed as usize));
    // A kernel that does not say (before 6.1) gets the alignment that has always been enough.
    if needs.is_some_and(|n| !fits(n.stx_dio_mem_align) || !fits(n.stx_dio_offset_align)) {
        return None;
    }
    let flags = fs::fcntl_getfl(handle).ok()?;
    fs::fcntl_setfl(handle, flags | OFlags::DIRECT).ok()?;
    Some(BUFFER_ALIGNMENT)
}
