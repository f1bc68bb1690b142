//! Where bytes rest: planes, the named places that hold stored parts, and when bytes on them are
//! durable.
//!
//! A part is written under a staging name and becomes visible under its own by [`Plane::finish`].
//! Everything here blocks; async callers run it on blocking threads. Nothing here knows what a
//! name means or who may write it.

mod collect;
mod copies;
mod error;
mod file;
mod finish;
mod layout;
mod list;
mod measure;
mod object;
mod object_plane;
mod probe;
mod runtime;
mod staged;
mod staged_file;
mod staged_object;
mod stored;
mod stored_object;
mod sync_costs;
mod upload;
mod url;
mod walk;

#[cfg(test)]
mod tests;

pub use collect::{Collected, Orphan};
pub use copies::{Copied, CopyInto};
pub use error::PlaneError;
pub use file::{FilePlane, Stat};
pub use finish::{Finish, Finished};
pub use layout::{Layout, part_path, pointer_path};
pub use list::Listed;
pub use measure::Measured;
pub use object::{BucketError, PieceId, UploadId};
pub use object_plane::{ObjectMemory, ObjectPlane};
pub use probe::{ProbeError, ProbeStep, Probed};
pub use staged::{PartTarget, StagedPart};
pub use stored::StoredFile;
pub use upload::Upload;
pub(crate) use url::check_bucket;
pub use url::{BucketUrl, PlaneUrl, PlaneUrlError};

use crate::config::PlaneSettings;
use object::Bucket;
use skyspray_link::seam::files::{OsTree, RelPath, RootError};
use skyspray_wire::ids::{ChunkSize, JobId};
use std::path::Path;
use std::sync::Arc;

use staged::Staged;
use staged_file::StagedFile;
use stored::Stored;
use thiserror::Error;

/// Why a plane cannot be opened. For the operator to correct.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The directory is missing or cannot be confined.
    #[error(transparent)]
    Directory(#[from] RootError),
    /// The settings of a bucket cannot be used.
    #[error(transparent)]
    Bucket(#[from] BucketError),
}

/// A plane of any kind.
///
/// # Errors
///
/// Every method returns [`PlaneError`]; [`PlaneError::refusal`] says what a peer is told.
#[derive(Debug)]
pub enum Plane {
    /// A directory of a file system.
    File(FilePlane),
    /// Buckets of an object store.
    Object(ObjectPlane),
}

impl Plane {
    /// Opens a plane as its settings describe it. A directory must exist; of buckets nothing is
    /// asked yet.
    ///
    /// # Errors
    ///
    /// As for [`Plane::open_directory`], or a bucket's settings cannot be used.
    pub fn configured(settings: &PlaneSettings, memory: ObjectMemory) -> Result<Self, OpenError> {
        match (&settings.url, &settings.object) {
            (PlaneUrl::File(root), _) => Ok(Self::open_directory(root)?),
            (_, Some(object)) => {
                let buckets = object.buckets.iter().map(|name| Bucket::open(object, name));
                let buckets = buckets.collect::<Result<Vec<_>, _>>()?;
                Ok(Self::Object(ObjectPlane::new(buckets, &object.prefix, memory)))
            }
            (_, None) => panic!("the settings of a plane of objects say how to reach them"),
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

    /// The chunk size that jobs are granted which write parts of about `part_bytes`.
    ///
    /// # Errors
    ///
    /// [`PlaneError::TooLong`].
    pub fn chunk_size(&self, part_bytes: u64) -> Result<ChunkSize, PlaneError> {
        match self {
            Self::File(_) => Ok(ChunkSize::FILE_PLANE),
            Self::Object(plane) => plane.chunk_size(part_bytes),
        }
    }

    /// The chunk size for reading `bytes` that are stored already.
    pub fn read_chunk_size(&self) -> ChunkSize {
        match self {
            Self::File(_) => ChunkSize::FILE_PLANE,
            Self::Object(plane) => plane.chunk_size(0).expect("nothing is not too long"),
        }
    }

    /// The longest part that can be written in chunks of `size`, in bytes.
    pub fn part_bytes_max(&self, size: ChunkSize) -> u64 {
        match self {
            Self::File(_) => u64::MAX,
            Self::Object(_) => ObjectPlane::part_bytes_max(size),
        }
    }

    /// The uploads to a path that the store holds open, whoever began them. None on planes without
    /// uploads, and where uploads have no names.
    ///
    /// # Errors
    ///
    /// The store's.
    pub fn open_uploads(&self, path: &RelPath) -> Result<Vec<UploadId>, PlaneError> {
        match self {
            Self::File(_) => Ok(Vec::new()),
            Self::Object(plane) => plane.open_uploads(path),
        }
    }

    /// Whether parts are uploads that the catalogue must remember.
    pub fn has_uploads(&self) -> bool {
        matches!(self, Self::Object(_))
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
            Self::File(plane) => plane.begin(target, length).map(Staged::File),
            Self::Object(plane) => plane.begin(target).map(Staged::Object),
        }
        .map(StagedPart)
    }

    /// Opens what is staged for a part; `None` when nothing is, and then whatever the catalogue
    /// holds of the part is lost and [`Plane::begin`] is the way on. `upload` is the one the
    /// catalogue has, where the plane needs it.
    ///
    /// # Errors
    ///
    /// [`PlaneError::Blocked`] when the staging name is not a regular file.
    pub fn resume(
        &self,
        target: &PartTarget,
        upload: Option<&UploadId>,
    ) -> Result<Option<StagedPart>, PlaneError> {
        let staged = match (self, upload) {
            (Self::File(plane), _) => plane.resume(target)?.map(Staged::File),
            (Self::Object(plane), Some(upload)) => {
                Some(Staged::Object(plane.resume(target, upload)?))
            }
            (Self::Object(_), None) => None,
        };
        Ok(staged.map(StagedPart))
    }

    /// Makes all that was written to `parts` durable: with a sync of each and one for each
    /// directory, or with one for all where that costs less. The outcomes are in the order of
    /// `parts`.
    ///
    /// # Errors
    ///
    /// Each part alone, as for [`StagedPart::sync`].
    pub fn sync(&self, parts: &[&StagedPart]) -> Vec<Result<(), PlaneError>> {
        match self {
            Self::File(plane) => {
                let files = parts.iter().map(|part| part.as_file());
                let files: Option<Vec<&StagedFile>> = files.collect();
                plane.sync(&files.expect("the parts are of this plane"))
            }
            // A piece is durable once it is stored.
            Self::Object(_) => parts.iter().map(|_| Ok(())).collect(),
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
            Self::Object(plane) => plane.finish(parts),
        }
    }

    /// Puts a small file at the target's place in one step, replacing what is there: whoever reads
    /// that place finds all of the old bytes or all of the new ones. Durable when this returns.
    ///
    /// # Errors
    ///
    /// As for [`Plane::begin`] and [`Plane::finish`]. After an error either may be there.
    pub fn put(&self, target: &PartTarget, bytes: &[u8]) -> Result<(), PlaneError> {
        match self {
            Self::File(plane) => plane.put(target, bytes),
            Self::Object(plane) => plane.put(target.path(), bytes),
        }
    }

    /// Throws away what is staged for a part, and directories that are empty after that. `upload`
    /// is the one to throw away, where the plane needs it.
    ///
    /// # Errors
    ///
    /// The host's or the store's.
    pub fn abort(&self, target: &PartTarget, upload: Option<&UploadId>) -> Result<(), PlaneError> {
        match (self, upload) {
            (Self::File(plane), _) => plane.abort(target),
            (Self::Object(plane), Some(upload)) => plane.abort(target, upload),
            (Self::Object(_), None) => Ok(()),
        }
    }

    /// Opens a stored file for reading.
    ///
    /// # Errors
    ///
    /// [`PlaneError::Missing`], or [`PlaneError::Blocked`] for anything but a regular file.
    pub fn open(&self, path: &RelPath) -> Result<StoredFile, PlaneError> {
        let stored = match self {
            Self::File(plane) => {
                Stored::File { file: Arc::new(plane.open(path)?), path: path.clone() }
            }
            Self::Object(plane) => Stored::Object(Arc::new(plane.open(path)?)),
        };
        Ok(StoredFile(stored))
    }

    /// Length and time of a stored file.
    ///
    /// # Errors
    ///
    /// As for [`Plane::open`].
    pub fn stat(&self, path: &RelPath) -> Result<Stat, PlaneError> {
        match self {
            Self::File(plane) => plane.stat(path),
            Self::Object(plane) => plane.stat(path),
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
            Self::Object(plane) => plane.remove(paths),
        }
    }

    /// The first `limit` stored files below `directory` that come after the path `after`; a
    /// `directory` that names a file lists that file, one that is not there lists nothing.
    ///
    /// Directories are ordered name by name from the root down, so `a/b` comes before `a.b`; objects
    /// by their keys. Staged parts, and whatever is not a regular file, are left out.
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
            Self::Object(plane) => plane.list(directory, after, limit),
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
            Self::Object(_) => Ok(None),
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
            // Uploads have no names to find; the catalogue knows them all.
            Self::Object(_) => Ok(Collected::default()),
        }
    }

    /// Why the plane cannot be used, as the last requests to its store found it. `None` while it
    /// works, before anything was asked, and on planes of files, which are asked each time.
    pub fn unhealthy(&self) -> Option<PlaneError> {
        match self {
            Self::File(_) => None,
            Self::Object(plane) => plane.unhealthy().map(|source| PlaneError::Store { source }),
        }
    }

    /// Asks the least that shows whether the plane can be used.
    ///
    /// # Errors
    ///
    /// The host's or the store's.
    pub async fn check(&self) -> Result<(), PlaneError> {
        match self {
            Self::File(plane) => plane.free_bytes().map(drop),
            Self::Object(plane) => {
                plane.check().await.map_err(|source| PlaneError::Store { source })
            }
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
            Self::Object(plane) => {
                let found = plane.probe(job).map_err(|source| ProbeError::Store { source })?;
                let create_only = found.iter().all(|bucket| bucket.create_only);
                let copies = found.iter().all(|bucket| bucket.copy);
                Ok(Probed { free_bytes: None, create_only, copies })
            }
        }
    }
}
