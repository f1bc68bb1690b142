//! Parts on their way: the staging name of a part, and the open handle it is written through.

use super::PlaneError;
use skyspray_link::seam::files::{
    BUFFER_ALIGNMENT, Caching, Cause, File, FileError, RelPath, Tree,
};
use skyspray_wire::ids::{JobId, PartIndex};
use std::ffi::OsStr;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// What staging names begin with; peers cannot use such names in paths.
pub(super) const STAGING_PREFIX: &str = ".skyspray-";

/// Shortest write that goes past the page cache, in bytes.
const DIRECT_BYTES_MIN: usize = 256 * 1024;

/// One part of a job and where it goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PartTarget {
    job: JobId,
    part: PartIndex,
    path: RelPath,
    directory: RelPath,
    staging: RelPath,
}

impl PartTarget {
    /// Part `part` of `job`, to be stored at `path`.
    ///
    /// # Errors
    ///
    /// [`PlaneError::Path`] when `path` is the root or leaves no room for a staging name beside it.
    pub fn try_new(job: JobId, part: PartIndex, path: RelPath) -> Result<Self, PlaneError> {
        let root = || skyspray_link::seam::files::PathError::EmptyPath;
        let directory = path.parent().ok_or_else(root)?;
        let staging = directory.join(staging_name(job, part))?;
        Ok(Self { job, part, path, directory, staging })
    }

    /// The job.
    pub fn job(&self) -> JobId {
        self.job
    }

    /// The part of the job.
    pub fn part(&self) -> PartIndex {
        self.part
    }

    /// Where the part goes, from the root of the plane.
    pub fn path(&self) -> &RelPath {
        &self.path
    }

    pub(super) fn directory(&self) -> &RelPath {
        &self.directory
    }

    /// The name until the part is whole: in the same directory, so that a rename is atomic.
    pub(super) fn staging(&self) -> &RelPath {
        &self.staging
    }
}

/// An open part that is being written. Chunks may be written from several threads at once.
///
/// Sync it before letting go of it: an error that the host finds after the handle is closed may
/// never be reported.
pub struct StagedPart {
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

impl StagedPart {
    pub(super) fn new(tree: Arc<dyn Tree>, file: Arc<dyn File>, target: PartTarget) -> Self {
        let (named, spent) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { tree, file, direct: OnceLock::new(), target, named, spent }
    }

    /// The part and where it goes.
    pub fn target(&self) -> &PartTarget {
        &self.target
    }

    /// Writes `bytes` at `offset`. They count for nothing until a sync.
    ///
    /// # Errors
    ///
    /// [`PlaneError::Full`] and [`PlaneError::Abandoned`]: the part must begin anew. After
    /// [`PlaneError::Io`] the same bytes may be written again.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), PlaneError> {
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
            let file = self.tree.open_write(&self.target.staging, Caching::Direct).ok()?;
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
    pub fn sync(&self) -> Result<(), PlaneError> {
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
            return Err(PlaneError::Abandoned { path: self.target.path.clone(), source: None });
        }
        Ok(())
    }

    /// Throws the part away. A file that has taken the staging name since is left alone.
    pub(super) fn abandon(&self, error: FileError) -> PlaneError {
        if !self.spent.swap(true, Ordering::AcqRel)
            && let (Ok(mine), Ok(there)) =
                (self.file.metadata(), self.tree.metadata(&self.target.staging))
            && (mine.device, mine.inode) == (there.device, there.inode)
            && let Err(leftover) = self.tree.remove_file(&self.target.staging)
        {
            tracing::warn!(%leftover, "an abandoned part is left for collect");
        }
        match error.cause {
            Cause::NoSpace => PlaneError::Full { source: error },
            _ => PlaneError::Abandoned { path: self.target.path.clone(), source: Some(error) },
        }
    }
}

impl fmt::Debug for StagedPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StagedPart")
            .field("target", &self.target)
            .field("named", &self.named)
            .field("spent", &self.spent)
            .finish_non_exhaustive()
    }
}

/// `.skyspray-<job>-<part>`, the part counted from 1.
fn staging_name(job: JobId, part: PartIndex) -> String {
    format!("{STAGING_PREFIX}{job}-{part}")
}

/// The job and part of a staging name; `None` for any other name.
pub(super) fn parse_staging_name(name: &OsStr) -> Option<(JobId, PartIndex)> {
    let name = name.to_str()?;
    let (job, part) = name.strip_prefix(STAGING_PREFIX)?.split_once('-')?;
    let number: u64 = part.parse().ok()?;
    let part = PartIndex(u32::try_from(number.checked_sub(1)?).ok()?);
    let job = job.parse().ok()?;
    // Only the one spelling that this program writes.
    (staging_name(job, part) == name).then_some((job, part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use skyspray_wire::name::{Segment, SegmentError};

    #[test]
    fn a_staging_name_reads_back_and_nothing_else_does() {
        let (job, part) = (JobId([0xab; 16]), PartIndex(6));
        let name = staging_name(job, part);

        assert_eq!(name, ".skyspray-abababababababababababababababab-7");
        assert_eq!(parse_staging_name(OsStr::new(&name)), Some((job, part)));
        let last = staging_name(job, PartIndex(u32::MAX));
        assert_eq!(parse_staging_name(OsStr::new(&last)), Some((job, PartIndex(u32::MAX))));
        for other in [
            ".skyspray-abababababababababababababababab-07".to_owned(),
            ".skyspray-abababababababababababababababab-0".to_owned(),
            ".skyspray-ABABABABABABABABABABABABABABABAB-7".to_owned(),
            format!("{name}._1_of_1"),
            ".skyspray-x-1".to_owned(),
            "a".to_owned(),
        ] {
            assert_eq!(parse_staging_name(OsStr::new(&other)), None, "{other}");
        }
    }

    #[test]
    fn a_peer_cannot_name_a_staging_file() {
        let name = staging_name(JobId([1; 16]), PartIndex(0));

        assert_eq!(Segment::parse(&name), Err(SegmentError::Reserved));
    }

    #[test]
    fn the_root_of_a_plane_is_no_place_for_a_part() {
        let error = PartTarget::try_new(JobId([1; 16]), PartIndex(0), RelPath::root()).unwrap_err();

        let source = skyspray_link::seam::files::PathError::EmptyPath;
        assert_eq!(error, PlaneError::Path { source });
    }
}
