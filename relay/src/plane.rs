//! Where bytes rest: planes, the named places that hold stored parts, and when bytes on them are
//! durable.
//!
//! A part is written under a staging name and becomes visible under its own by [`Plane::finish`].
//! Everything here blocks; async callers run it on blocking threads. Nothing here knows what a
//! name means or who may write it.

mod collect;
mod error;
mod file;
mod finish;
mod layout;
mod list;
mod measure;
#[cfg_attr(
    not(test),
    expect(dead_code, unused_imports, reason = "planes of objects are made of it")
)]
mod object;
mod probe;
mod staged;
mod url;
mod walk;

#[cfg(test)]
mod tests;

pub use collect::{Collected, Orphan};
pub use error::PlaneError;
pub use file::{FilePlane, Stat, StoredFile};
pub use finish::{Finish, Finished};
pub use layout::{Layout, part_path};
pub use list::Listed;
pub use measure::Measured;
pub use probe::{ProbeError, ProbeStep, Probed};
pub use staged::{PartTarget, StagedPart};
pub(crate) use url::check_bucket;
pub use url::{BucketUrl, PlaneUrl, PlaneUrlError};

use skyspray_link::seam::files::{OsTree, RelPath, RootError};
use skyspray_wire::ids::{ChunkSize, JobId};
use std::path::Path;
use std::sync::Arc;

/// A plane of any kind.
///
/// # Errors
///
/// Every method returns [`PlaneError`]; [`PlaneError::refusal`] says what a peer is told.
#[derive(Debug)]
pub enum Plane {
    /// A directory of a file system.
    File(FilePlane),
}

impl Plane {
    /// Opens the plane at `url`. It must exist.
    ///
    /// # Errors
    ///
    /// As for [`Plane::open_directory`].
    pub fn open_url(url: &PlaneUrl) -> Result<Self, RootError> {
        match url {
            PlaneUrl::File(root) => Self::open_directory(root),
            PlaneUrl::S3(_) | PlaneUrl::Azure(_) | PlaneUrl::Gcs(_) => {
                Err(RootError::NotDirectory { root: url.to_string().into() })
            }
        }
    }

    /// Opens the directory `root` as a plane. It must exist.
    ///
    /// # Errors
    ///
    /// The directory is missing or cannot be confined; for the operator to correct.
    pub fn open_directory(root: &Path) -> Result<Self, RootError> {
        Ok(Self::File(FilePlane::new(Arc::new(OsTree::open(root)?))))
    }

    /// The chunk size that jobs which write here are granted.
    pub fn chunk_size(&self) -> ChunkSize {
        match self {
            Self::File(_) => ChunkSize::FILE_PLANE,
        }
    }

    /// Begins a part from nothing; what an earlier attempt staged for it is thrown away.
    ///
    /// `length` is how long the part will be, where that is known: room is set aside for it.
    ///
    /// # Errors
    ///
    /// [`PlaneError::Full`] when there is no room for `length`; [`PlaneError::Blocked`] when
    /// something else stands where a directory must go.
    pub fn begin(
        &self,
        target: &PartTarget,
        length: Option<u64>,
    ) -> Result<StagedPart, PlaneError> {
        match self {
            Self::File(plane) => plane.begin(target, length),
        }
    }

    /// Opens what is staged for a part; `None` when nothing is, and then whatever the catalogue
    /// holds of the part is lost and [`Plane::begin`] is the way on.
    ///
    /// # Errors
    ///
    /// [`PlaneError::Blocked`] when the staging name is not a regular file.
    pub fn resume(&self, target: &PartTarget) -> Result<Option<StagedPart>, PlaneError> {
        match self {
            Self::File(plane) => plane.resume(target),
        }
    }

    /// Makes all that was written to `parts` durable, with one sync for each directory; the
    /// outcomes are in the order of `parts`.
    ///
    /// # Errors
    ///
    /// Each part alone, as for [`StagedPart::sync`].
    pub fn sync(&self, parts: &[&StagedPart]) -> Vec<Result<(), PlaneError>> {
        match self {
            Self::File(plane) => plane.sync(parts),
        }
    }

    /// Makes whole parts visible under their own names and durable there, with one sync for each
    /// directory; the outcomes are in the order of `parts`.
    ///
    /// Idempotent: a part that an earlier call or process finished is [`Finished::Found`].
    ///
    /// # Errors
    ///
    /// Each part alone. [`PlaneError::Exists`] when the name is taken and may not be replaced;
    /// [`PlaneError::Lost`] and [`PlaneError::Short`] when what was staged is not there any more,
    /// [`PlaneError::Abandoned`] when it could not be made durable: all three mean beginning anew.
    /// After [`PlaneError::Io`] the part may or may not be visible: call again, and believe it
    /// only after reading it back (F26).
    pub fn finish(&self, parts: &[Finish]) -> Vec<Result<Finished, PlaneError>> {
        match self {
            Self::File(plane) => plane.finish(parts),
        }
    }

    /// Throws away what is staged for a part, and directories that are empty after that.
    ///
    /// # Errors
    ///
    /// The host's.
    pub fn abort(&self, target: &PartTarget) -> Result<(), PlaneError> {
        match self {
            Self::File(plane) => plane.abort(target),
        }
    }

    /// Opens a stored file for reading.
    ///
    /// # Errors
    ///
    /// [`PlaneError::Missing`], or [`PlaneError::Blocked`] for anything but a regular file.
    pub fn open(&self, path: &RelPath) -> Result<StoredFile, PlaneError> {
        match self {
            Self::File(plane) => plane.open(path),
        }
    }

    /// Length and time of a stored file.
    ///
    /// # Errors
    ///
    /// As for [`Plane::open`].
    pub fn stat(&self, path: &RelPath) -> Result<Stat, PlaneError> {
        match self {
            Self::File(plane) => plane.stat(path),
        }
    }

    /// Removes stored files for good, and directories that are empty after that. Says for each
    /// path whether something was there.
    ///
    /// # Errors
    ///
    /// Each path alone. After an error the file may or may not be gone; removing it again is safe.
    pub fn remove(&self, paths: &[RelPath]) -> Vec<Result<bool, PlaneError>> {
        match self {
            Self::File(plane) => plane.remove(paths),
        }
    }

    /// The first `limit` stored files below `directory` that come after the path `after`; a
    /// `directory` that names a file lists that file, one that is not there lists nothing.
    ///
    /// Ordered name by name from the root down, so `a/b` comes before `a.b`. Staged parts, and
    /// whatever is not a regular file, are left out.
    ///
    /// # Errors
    ///
    /// The host's.
    pub fn list(
        &self,
        directory: &RelPath,
        after: Option<&RelPath>,
        limit: usize,
    ) -> Result<Vec<Listed>, PlaneError> {
        match self {
            Self::File(plane) => plane.list(directory, after, limit),
        }
    }

    /// Bytes that may still be written; `None` where the plane knows no such limit.
    ///
    /// # Errors
    ///
    /// The host's.
    pub fn free_bytes(&self) -> Result<Option<u64>, PlaneError> {
        match self {
            Self::File(plane) => plane.free_bytes().map(Some),
        }
    }

    /// Removes what is staged for jobs that are not live, or with `dry_run` only finds it.
    /// `found` sees every such orphan.
    ///
    /// `live` answers from the catalogue and says `true` when in doubt. A job must be recorded
    /// there before its first [`Plane::begin`].
    ///
    /// # Errors
    ///
    /// The host's. An orphan that cannot be removed is counted and left; the walk goes on.
    pub fn collect(
        &self,
        live: &dyn Fn(JobId) -> bool,
        found: &mut dyn FnMut(&Orphan),
        dry_run: bool,
    ) -> Result<Collected, PlaneError> {
        match self {
            Self::File(plane) => plane.collect(live, found, dry_run),
        }
    }

    /// Tries everything a plane must be able to do, with files of its own that it removes again.
    ///
    /// `job` is a random id: a probe that is cut off leaves orphans of that job.
    ///
    /// # Errors
    ///
    /// The first step that failed, and why.
    pub fn probe(&self, job: JobId) -> Result<Probed, ProbeError> {
        match self {
            Self::File(plane) => plane.probe(job),
        }
    }
}
