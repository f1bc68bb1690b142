//! The staging file of a part on a file plane: the open handle it is written through.

use super::{PartTarget, PlaneError};
use skyspray_link::seam::files::{BulkFile, Cause, File, FileError, Tree};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

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
    /// One sync of it covers what was written past the page cache and through it.
    bulk: BulkFile,
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
        let (content, writes) = (AtomicU8::new(PARTIAL), AtomicU32::new(0));
        let bulk = BulkFile::for_writing(&tree, target.staging(), file);
        Self { tree, bulk, target, length, content, writes, named, spent }
    }

    /// The part and where it goes.
    pub(super) fn target(&self) -> &PartTarget {
        &self.target
    }

    /// Writes `bytes` at `offset`. They count for nothing until a sync.
    ///
    /// # Errors
    ///
    /// [`PlaneError::Full`] and [`PlaneError::Abandoned`]: the part must begin anew, also when another
    /// file was found under the staging name. After [`PlaneError::Io`] the same bytes may be written
    /// again.
    pub(super) fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), PlaneError> {
        self.check()?;
        let is_short = self.length.is_some_and(|length| length < DIRECT_LENGTH_MIN);
        let written = if is_short {
            self.file().write_all_at(bytes, offset)
        } else {
            self.bulk.write_at(bytes, offset)
        };
        let written = written.map_err(|error| match error.cause {
            Cause::NoSpace | Cause::Abandoned => self.abandon(error),
            _ => error.into(),
        });
        if self.bulk.has_lost_name() {
            // The bytes are where no reader will find them.
            self.spent.store(true, Ordering::Release);
            self.check()?;
        }
        // A second write may still be under way when the sync after this one ends.
        let alone = self.writes.fetch_add(1, Ordering::AcqRel) == 0;
        let all = offset == 0 && self.length == Some(bytes.len() as u64);
        let content = if alone && all && written.is_ok() { WHOLE } else { PARTIAL };
        self.content.store(content, Ordering::Release);
        written
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
        self.file().set_mode(STORED_MODE)?;
        let moved = (Ordering::AcqRel, Ordering::Relaxed);
        let _ = self.content.compare_exchange(WHOLE, SYNCING, moved.0, moved.1);
        Ok(())
    }

    /// The sync of this file alone, after [`StagedFile::begin_sync`].
    pub(super) fn sync_content(&self) -> Result<(), PlaneError> {
        let whole = self.content.load(Ordering::Acquire) == SYNCING;
        let synced = if whole { self.file().sync_all() } else { self.file().sync_data() };
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
        self.bulk.file()
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
                (self.file().metadata(), self.tree.metadata(self.target.staging()))
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

#[cfg(test)]
mod tests {
    use super::*;
    use skyspray_link::seam::files::{
        AlignedBuf, Caching, MemoryTree, OsTree, RelPath, Replace, Tree,
    };
    use skyspray_wire::ids::{JobId, PartIndex};

    const MIB: usize = 1 << 20;

    fn trees() -> [(Arc<dyn Tree>, Option<tempfile::TempDir>); 2] {
        let directory = tempfile::tempdir().unwrap();
        let disk = OsTree::open(directory.path()).unwrap();
        [(Arc::new(disk), Some(directory)), (Arc::new(MemoryTree::new(64 << 20)), None)]
    }

    /// A staged part of `length` bytes.
    fn staged(tree: &Arc<dyn Tree>, length: u64) -> StagedFile {
        let to = RelPath::parse("part").unwrap();
        let target = PartTarget::try_new(JobId([7; 16]), PartIndex(0), to).unwrap();
        let file = tree.create_new(target.staging(), 0o600, Caching::Buffered).unwrap();
        StagedFile::begun(Arc::clone(tree), file, target, Some(length))
    }

    #[test]
    fn a_staging_name_that_became_another_file_fails_the_part_and_leaves_that_file_alone() {
        for (tree, _directory) in trees() {
            let part = staged(&tree, 4 * MIB as u64);
            part.write_at(&[1; 1000], 0).unwrap();
            let other = RelPath::parse("other").unwrap();
            let found = tree.create_new(&other, 0o600, Caching::Buffered).unwrap();
            found.write_all_at(b"another's", 0).unwrap();
            tree.rename(&other, part.target().staging(), Replace::Existing).unwrap();

            let error = part.write_at(&AlignedBuf::new(MIB), MIB as u64).unwrap_err();

            assert!(matches!(error, PlaneError::Abandoned { source: None, .. }), "{error:?}");
            assert!(matches!(part.sync().unwrap_err(), PlaneError::Abandoned { .. }));
            let metadata = tree.metadata(part.target().staging()).unwrap();
            assert_eq!(metadata.len, 9, "the other file is as it was: {tree:?}");
        }
    }

    #[test]
    fn a_staging_name_that_is_gone_fails_the_part() {
        for (tree, _directory) in trees() {
            let part = staged(&tree, 4 * MIB as u64);
            tree.remove_file(part.target().staging()).unwrap();

            let error = part.write_at(&AlignedBuf::new(MIB), 0).unwrap_err();

            assert!(matches!(error, PlaneError::Abandoned { source: None, .. }), "{error:?}");
            assert!(matches!(part.check().unwrap_err(), PlaneError::Abandoned { .. }));
        }
    }

    #[test]
    fn a_short_part_is_written_by_the_handle_that_made_it() {
        for (tree, _directory) in trees() {
            let length = MIB / 2;
            let part = staged(&tree, length as u64);
            tree.remove_file(part.target().staging()).unwrap();

            // Looking for the name once more would find it gone.
            part.write_at(&AlignedBuf::new(length), 0).unwrap();

            assert_eq!(part.file().metadata().unwrap().len, length as u64);
        }
    }

    #[test]
    fn writes_past_and_through_the_page_cache_are_one_file() {
        for (tree, _directory) in trees() {
            let part = staged(&tree, 2 * MIB as u64 + 5);
            let mut block = AlignedBuf::new(MIB);
            for (number, value) in [1_u8, 2].into_iter().enumerate() {
                block.fill(value);
                part.write_at(&block, (number * MIB) as u64).unwrap();
            }
            part.write_at(&[3; 5], 2 * MIB as u64).unwrap();
            part.sync().unwrap();

            let mut content = vec![0; 2 * MIB + 9];
            let read = part.file().read_at(&mut content, 0).unwrap();
            assert_eq!(read, 2 * MIB + 5);
            assert!(content[..MIB].iter().all(|&byte| byte == 1), "{tree:?}");
            assert!(content[MIB..2 * MIB].iter().all(|&byte| byte == 2), "{tree:?}");
            assert_eq!(content[2 * MIB..read], [3; 5]);
        }
    }
}
