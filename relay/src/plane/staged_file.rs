//! The staging file of a part on a file plane: the open handle it is written through.

use super::{PartTarget, PlaneError};
use skyspray_link::seam::files::{BUFFER_ALIGNMENT, Caching, Cause, File, FileError, Tree};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// Shortest write that goes past the page cache, in bytes.
const DIRECT_BYTES_MIN: usize = 256 * 1024;

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
    /// Whether the staging name is durable.
    named: AtomicBool,
    /// Whether the part was thrown away after an error.
    spent: AtomicBool,
}

impl StagedFile {
    pub(super) fn new(tree: Arc<dyn Tree>, file: Arc<dyn File>, target: PartTarget) -> Self {
        let (named, spent) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { tree, file, direct: OnceLock::new(), target, named, spent }
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
        file.write_all_at(bytes, offset).map_err(|error| match error.cause {
            Cause::NoSpace | Cause::Abandoned => self.abandon(error),
            _ => error.into(),
        })
    }

    /// The handle past the page cache, where these bytes can go that way: the copy into fresh pages
    /// is the largest single cost of a bulk write, and the sync after it has nothing left to do.
    /// One sync of the file covers both ways.
    fn direct_for(&self, bytes: &[u8], offset: u64) -> Option<&Arc<dyn File>> {
        let whole = bytes.len() >= DIRECT_BYTES_MIN
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
        if self.is_named() {
            return Ok(());
        }
        let named = self.tree.sync_dir(self.target.directory());
        self.handle_named(named)
    }

    pub(super) fn sync_bytes(&self) -> Result<(), PlaneError> {
        self.check()?;
        self.file.sync_data().map_err(|error| self.abandon(error))
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
