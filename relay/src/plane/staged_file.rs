//! The staging file of a part on a file plane: the open handle it is written through.

use super::{PartTarget, PlaneError};
use skyspray_link::seam::files::{BUFFER_ALIGNMENT, Caching, Cause, File, FileError, Tree};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

/// Shortest write that goes past the page cache, in bytes.
const DIRECT_BYTES_MIN: usize = 256 * 1024;

/// Shortest part whose writes go past the page cache, in bytes: each such write waits for the disk,
/// while shorter parts are written back together by the sync of their group.
const DIRECT_LENGTH_MIN: u64 = 1024 * 1024;

/// Mode of a stored part: readers of the plane share the relay's group; never executable (T46).
pub(super) const STORED_MODE: u32 = 0o640;

/// Only some of the part was written, or nobody knows.
const PARTIAL: u8 = 0;

/// All of the part was written, in one piece.
const WHOLE: u8 = 1;

/// All of the part, its length and its mode are on the way to the disk.
const SYNCING: u8 = 2;

/// All of the part, its length and its mode are durable.
const SETTLED: u8 = 3;

/// The open staging file of a part. Chunks may be written from several threads at once.
///
/// Sync it before letting go of it: an error that the host finds after the handle is closed may
/// never be reported.
pub(super) struct StagedFile {
    tree: Arc<dyn Tree>,
    file: Arc<dyn File>,
    /// Another handle of the same file, past the page cache; opened with the first write that can
    /// use it, `None` where the file system has no such access.
    direct: OnceLock<Option<Arc<dyn File>>>,
    target: PartTarget,
    /// The part's length, where it is known from the start.
    length: Option<u64>,
    /// What is known of the content as a whole: one of the constants below.
    content: AtomicU8,
    /// Writes there were; wraps.
    writes: AtomicU32,
    /// Whether the staging name is durable.
    named: AtomicBool,
    /// Whether the part was thrown away after an error.
    spent: AtomicBool,
}

impl StagedFile {
    /// An open staging file; `length` is how long the part will be, where that is known.
    pub(super) fn begun(
        tree: Arc<dyn Tree>,
        file: Arc<dyn File>,
        target: PartTarget,
        length: Option<u64>,
    ) -> Self {
        let (named, spent) = (AtomicBool::new(false), AtomicBool::new(false));
        let (direct, content) = (OnceLock::new(), AtomicU8::new(PARTIAL));
        let writes = AtomicU32::new(0);
        Self { tree, file, direct, target, length, content, writes, named, spent }
    }

    /// The part and where it goes.
    pub(super) fn target(&self) -> &PartTarget {
        &self.target
    }

    /// Writes `bytes` at `offset`. They count for nothing until a sync.
    ///
    /// # Errors
    ///
    /// [`PlaneError::Full`] and [`PlaneError::Abandoned`]: the part must begin anew. After
    /// [`PlaneError::Io`] the same bytes may be written again.
    pub(super) fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), PlaneError> {
        self.check()?;
        let file = self.direct_for(bytes, offset).unwrap_or(&self.file);
        let written = file.write_all_at(bytes, offset).map_err(|error| match error.cause {
            Cause::NoSpace | Cause::Abandoned => self.abandon(error),
            _ => error.into(),
        });
        // A second write may still be under way when the sync after this one ends.
        let alone = self.writes.fetch_add(1, Ordering::AcqRel) == 0;
        let all = offset == 0 && self.length == Some(bytes.len() as u64);
        let content = if alone && all && written.is_ok() { WHOLE } else { PARTIAL };
        self.content.store(content, Ordering::Release);
        written
    }

    /// The handle past the page cache, where these bytes can go that way: the copy into fresh pages
    /// is the largest single cost of a bulk write, and the sync after it has nothing left to do.
    /// One sync of the file covers both ways.
    fn direct_for(&self, bytes: &[u8], offset: u64) -> Option<&Arc<dyn File>> {
        let whole = bytes.len() >= DIRECT_BYTES_MIN
            && self.length.is_none_or(|length| length >= DIRECT_LENGTH_MIN)
            && bytes.len().is_multiple_of(BUFFER_ALIGNMENT)
            && offset.is_multiple_of(BUFFER_ALIGNMENT as u64)
            && bytes.as_ptr().align_offset(BUFFER_ALIGNMENT) == 0;
        if !whole {
            return None;
        }
        let open = || {
            let file = self.tree.open_write(self.target.staging(), Caching::Direct).ok()?;
            file.direct_alignment().is_some_and(|needed| needed <= BUFFER_ALIGNMENT).then_some(file)
        };
        self.direct.get_or_init(open).as_ref()
    }

    /// Makes all bytes written so far durable, and the staging name with them.
    ///
    /// # Errors
    ///
    /// Whatever the reason, the part is thrown away: [`PlaneError::Full`] or
    /// [`PlaneError::Abandoned`].
    pub(super) fn sync(&self) -> Result<(), PlaneError> {
        self.sync_bytes()?;
        if !self.is_named() {
            let named = self.tree.sync_dir(self.target.directory());
            self.handle_named(named)?;
        }
        self.handle_synced();
        Ok(())
    }

    /// Makes all bytes written so far durable, but not the staging name.
    pub(super) fn sync_bytes(&self) -> Result<(), PlaneError> {
        self.begin_sync()?;
        self.sync_content()
    }

    /// Comes before every sync, whatever it is of: a part that was written whole gets what else it
    /// has when it is in its place, so that the one sync is for both.
    pub(super) fn begin_sync(&self) -> Result<(), PlaneError> {
        self.check()?;
        if self.content.load(Ordering::Acquire) != WHOLE {
            return Ok(());
        }
        self.file.set_mode(STORED_MODE)?;
        let moved = (Ordering::AcqRel, Ordering::Relaxed);
        let _ = self.content.compare_exchange(WHOLE, SYNCING, moved.0, moved.1);
        Ok(())
    }

    /// The sync of this file alone, after [`StagedFile::begin_sync`].
    pub(super) fn sync_content(&self) -> Result<(), PlaneError> {
        let whole = self.content.load(Ordering::Acquire) == SYNCING;
        let synced = if whole { self.file.sync_all() } else { self.file.sync_data() };
        synced.map_err(|error| self.abandon(error))
    }

    /// The sync that [`StagedFile::begin_sync`] announced is done.
    pub(super) fn handle_synced(&self) {
        let moved = (Ordering::AcqRel, Ordering::Relaxed);
        let _ = self.content.compare_exchange(SYNCING, SETTLED, moved.0, moved.1);
    }

    /// Whether nothing but its name keeps the part from being whole and durable.
    pub(super) fn is_settled(&self) -> bool {
        self.content.load(Ordering::Acquire) == SETTLED && self.is_named()
    }

    pub(super) fn is_named(&self) -> bool {
        self.named.load(Ordering::Acquire)
    }

    /// Takes the outcome of a sync of the directory.
    pub(super) fn handle_named(&self, outcome: Result<(), FileError>) -> Result<(), PlaneError> {
        outcome.map_err(|error| self.abandon(error))?;
        self.named.store(true, Ordering::Release);
        Ok(())
    }

    pub(super) fn file(&self) -> &Arc<dyn File> {
        &self.file
    }

    pub(super) fn check(&self) -> Result<(), PlaneError> {
        if self.spent.load(Ordering::Acquire) {
            return Err(PlaneError::Abandoned { path: self.target.path().clone(), source: None });
        }
        Ok(())
    }

    /// Throws the part away. A file that has taken the staging name since is left alone.
    pub(super) fn abandon(&self, error: FileError) -> PlaneError {
        if !self.spent.swap(true, Ordering::AcqRel)
            && let (Ok(mine), Ok(there)) =
                (self.file.metadata(), self.tree.metadata(self.target.staging()))
            && (mine.device, mine.inode) == (there.device, there.inode)
            && let Err(leftover) = self.tree.remove_file(self.target.staging())
        {
            tracing::warn!(%leftover, "an abandoned part is left for collect");
        }
        match error.cause {
            Cause::NoSpace => PlaneError::Full { source: error },
            _ => PlaneError::Abandoned { path: self.target.path().clone(), source: Some(error) },
        }
    }
}

impl fmt::Debug for StagedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StagedFile")
            .field("target", &self.target)
            .field("named", &self.named)
            .field("spent", &self.spent)
            .finish_non_exhaustive()
    }
}
