//! Parts on their way: where a part goes, what it is called until it is whole, and the part as it is
//! being written.

use super::staged_file::StagedFile;
use super::staged_object::StagedObject;
use super::{PieceId, PlaneError, UploadId};
use skyspray_link::seam::files::{PooledBuf, RelPath};
use skyspray_wire::ids::{ChunkIndex, ChunkSize, Epoch, JobId, PartIndex};
use std::ffi::OsStr;

/// What staging names begin with; peers cannot use such names in paths.
pub(super) const STAGING_PREFIX: &str = ".skyspray-";

/// One part of a job and where it goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PartTarget {
    job: JobId,
    part: PartIndex,
    epoch: Epoch,
    path: RelPath,
    directory: RelPath,
    staging: RelPath,
}

impl PartTarget {
    /// Part `part` of `job`, to be stored at `path`, staged under no lease.
    ///
    /// # Errors
    ///
    /// [`PlaneError::Path`] when `path` is the root or leaves no room for a staging name beside it.
    pub fn try_new(job: JobId, part: PartIndex, path: RelPath) -> Result<Self, PlaneError> {
        let root = || skyspray_link::seam::files::PathError::EmptyPath;
        let directory = path.parent().ok_or_else(root)?;
        let epoch = Epoch(0);
        let staging = directory.join(staging_name(job, part, epoch))?;
        Ok(Self { job, part, epoch, path, directory, staging })
    }

    /// The same part, staged under the lease `epoch`. Whoever holds an older one, and may not know
    /// that it is over, has other names for what it begins, gives up and puts in its place.
    ///
    /// # Errors
    ///
    /// As for [`PartTarget::try_new`].
    pub fn under(self, epoch: Epoch) -> Result<Self, PlaneError> {
        let staging = self.directory.join(staging_name(self.job, self.part, epoch))?;
        Ok(Self { epoch, staging, ..self })
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

    /// What earlier holders of the lease called it, the last one first, back to the epoch `from`.
    pub(super) fn earlier(&self, from: u64) -> impl Iterator<Item = RelPath> {
        let name = |epoch| {
            let name = staging_name(self.job, self.part, Epoch(epoch));
            self.directory.join(name).expect("a later one is a path, and no shorter")
        };
        (from..self.epoch.0).rev().map(name)
    }
}

/// An open part that is being written. Chunks may be written from several threads at once.
///
/// Sync it before letting go of it: an error that the host finds after the handle is closed may
/// never be reported.
#[derive(Debug)]
pub struct StagedPart(pub(super) Staged);

/// A part being written, by the kind of its plane.
#[derive(Debug)]
pub(super) enum Staged {
    File(StagedFile),
    Object(StagedObject),
}

impl StagedPart {
    /// The part and where it goes.
    pub fn target(&self) -> &PartTarget {
        match &self.0 {
            Staged::File(file) => file.target(),
            Staged::Object(object) => object.target(),
        }
    }

    /// The staging file of a part of a file plane.
    pub(super) fn as_file(&self) -> Option<&StagedFile> {
        match &self.0 {
            Staged::File(file) => Some(file),
            Staged::Object(_) => None,
        }
    }

    /// Whether nothing but its name keeps the part from being whole and durable: its handle is not
    /// needed any more, and [`super::Finish::settled`] says so. Always `false` on planes of objects.
    pub fn is_settled(&self) -> bool {
        self.as_file().is_some_and(StagedFile::is_settled)
    }

    /// The upload the part is written to, which whoever goes on with it must name; `None` on a
    /// plane that finds what is staged by itself.
    pub fn upload(&self) -> Option<&UploadId> {
        match &self.0 {
            Staged::File(_) => None,
            Staged::Object(object) => Some(object.upload()),
        }
    }

    /// Writes a chunk at its place. It counts for nothing until a sync.
    ///
    /// # Errors
    ///
    /// [`PlaneError::Full`], [`PlaneError::Abandoned`] and [`PlaneError::Lost`]: the part must begin
    /// anew. After [`PlaneError::Io`] and [`PlaneError::Store`] the same chunk may be written again.
    pub fn write_chunk(
        &self,
        size: ChunkSize,
        chunk: ChunkIndex,
        bytes: PooledBuf,
    ) -> Result<(), PlaneError> {
        match &self.0 {
            Staged::File(file) => file.write_at(bytes.as_ref(), size.offset_of(chunk)),
            Staged::Object(object) => object.put(chunk, bytes),
        }
    }

    /// The pieces stored since this was last asked, by their number: whoever finishes the part must
    /// name them all. Empty on a plane that needs no such names.
    pub fn take_pieces(&self) -> Vec<(u32, PieceId)> {
        match &self.0 {
            Staged::File(_) => Vec::new(),
            Staged::Object(object) => object.take_pieces(),
        }
    }

    /// Makes all bytes written so far durable, and the staging name with them.
    ///
    /// # Errors
    ///
    /// Whatever the reason, the part is thrown away: [`PlaneError::Full`] or
    /// [`PlaneError::Abandoned`].
    pub fn sync(&self) -> Result<(), PlaneError> {
        match &self.0 {
            Staged::File(file) => file.sync(),
            // A piece is durable once it is stored.
            Staged::Object(_) => Ok(()),
        }
    }

    #[cfg(test)]
    pub(crate) fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), PlaneError> {
        match &self.0 {
            Staged::File(file) => file.write_at(bytes, offset),
            Staged::Object(_) => panic!("objects are written by chunks"),
        }
    }
}

/// `.skyspray-<job>-<part>.<epoch>`, the part counted from 1; without the epoch where it is 0.
fn staging_name(job: JobId, part: PartIndex, epoch: Epoch) -> String {
    match epoch.0 {
        0 => format!("{STAGING_PREFIX}{job}-{part}"),
        epoch => format!("{STAGING_PREFIX}{job}-{part}.{epoch}"),
    }
}

/// The job and part of a staging name; `None` for any other name.
pub(super) fn parse_staging_name(name: &OsStr) -> Option<(JobId, PartIndex)> {
    let name = name.to_str()?;
    let (job, rest) = name.strip_prefix(STAGING_PREFIX)?.split_once('-')?;
    let (part, epoch) = rest.split_once('.').unwrap_or((rest, "0"));
    let number: u64 = part.parse().ok()?;
    let part = PartIndex(u32::try_from(number.checked_sub(1)?).ok()?);
    let (job, epoch) = (job.parse().ok()?, Epoch(epoch.parse().ok()?));
    // Only the one spelling that this program writes.
    (staging_name(job, part, epoch) == name).then_some((job, part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use skyspray_wire::name::{Segment, SegmentError};

    #[test]
    fn a_staging_name_reads_back_and_nothing_else_does() {
        let (job, part) = (JobId([0xab; 16]), PartIndex(6));
        let name = staging_name(job, part, Epoch(0));

        assert_eq!(name, ".skyspray-abababababababababababababababab-7");
        assert_eq!(parse_staging_name(OsStr::new(&name)), Some((job, part)));
        let later = staging_name(job, part, Epoch(12));
        assert_eq!(later, ".skyspray-abababababababababababababababab-7.12");
        assert_eq!(parse_staging_name(OsStr::new(&later)), Some((job, part)));
        let last = staging_name(job, PartIndex(u32::MAX), Epoch(u64::MAX));
        assert_eq!(parse_staging_name(OsStr::new(&last)), Some((job, PartIndex(u32::MAX))));
        for other in [
            format!("{name}.0"),
            format!("{name}.012"),
            format!("{name}."),
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
        let name = staging_name(JobId([1; 16]), PartIndex(0), Epoch(3));

        assert_eq!(Segment::parse(&name), Err(SegmentError::Reserved));
    }

    #[test]
    fn the_root_of_a_plane_is_no_place_for_a_part() {
        let error = PartTarget::try_new(JobId([1; 16]), PartIndex(0), RelPath::root()).unwrap_err();

        let source = skyspray_link::seam::files::PathError::EmptyPath;
        assert_eq!(error, PlaneError::Path { source });
    }
}
