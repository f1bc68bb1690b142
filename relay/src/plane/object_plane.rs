//! A plane of one or more buckets: parts are objects, uploaded piece by piece and invisible until
//! their upload is completed.
//!
//! Callers block; the traffic runs on threads of its own.

use super::object::{Bucket, BucketError, BucketFault, Capabilities, ObjectStat, PutHow};
use super::runtime::wait;
use super::staged_object::StagedObject;
use super::stored_object::StoredObject;
use super::{Finish, Finished, Listed, PartTarget, PlaneError, Stat, UploadId};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream;
use skyspray_link::seam::files::{PathError, RelPath, Replace};
use skyspray_wire::ids::{ChunkSize, JobId};
use std::fmt;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Requests of one call that are under way at once.
pub(super) const REQUESTS_AT_ONCE: usize = 16;

/// Smallest chunk of an object plane, in bytes: 8 MiB. Stores want pieces of 5 MiB at least, and
/// each costs a round trip.
const CHUNK_BYTES_MIN: u32 = 8 << 20;

/// Pieces of one upload, at most: what S3 and GCS allow.
pub(super) const PIECES_MAX: u64 = 10_000;

/// How much longer than its share of a spray a part may become before its chunks run out: parts end
/// at record ends, and text may grow when it is converted.
const GROWTH: u64 = 2;

/// Memory an object plane may use.
#[derive(Clone, Debug)]
pub struct ObjectMemory {
    /// Largest chunk that the buffers of this process take, in bytes.
    pub chunk_bytes_max: u32,
    /// Read-ahead, counted in MiB and shared by all planes.
    pub ahead: Arc<Semaphore>,
}

impl Default for ObjectMemory {
    /// What a command may use that is no service.
    fn default() -> Self {
        Self { chunk_bytes_max: 64 << 20, ahead: Arc::new(Semaphore::new(64)) }
    }
}

/// Buckets as a plane. Cheap to share; see [`super::Plane`] for what its methods promise.
#[derive(Clone)]
pub struct ObjectPlane {
    /// One, or one for each device.
    buckets: Arc<[Bucket]>,
    /// What every key begins with; empty, or ends in `/`.
    prefix: Arc<str>,
    memory: ObjectMemory,
}

/// Where an object is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) bucket: Bucket,
    pub(super) key: String,
    pub(super) path: RelPath,
}

impl Place {
    /// What a failed request means for whoever asked for the object.
    pub(super) fn failed(&self, source: BucketError) -> PlaneError {
        let path = self.path.clone();
        match source.fault() {
            BucketFault::Missing => PlaneError::Missing { path },
            BucketFault::Exists => PlaneError::Exists { path },
            BucketFault::Changed => PlaneError::Changed { path },
            _ => PlaneError::Store { source },
        }
    }
}

impl ObjectPlane {
    /// A plane of `buckets`, at least one, below `prefix`.
    pub(super) fn new(buckets: Vec<Bucket>, prefix: &str, memory: ObjectMemory) -> Self {
        assert!(!buckets.is_empty(), "a plane has a bucket");
        let prefix = prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Self { buckets: buckets.into(), prefix: prefix.into(), memory }
    }

    /// The smallest chunk size with which a part of about `part_bytes` stays within the pieces of
    /// an upload.
    pub(super) fn chunk_size(&self, part_bytes: u64) -> Result<ChunkSize, PlaneError> {
        let largest = prev_power_of_two(self.memory.chunk_bytes_max);
        let wanted = part_bytes.saturating_mul(GROWTH).div_ceil(PIECES_MAX);
        let wanted = wanted.max(u64::from(CHUNK_BYTES_MIN)).next_power_of_two();
        let bytes_max = u64::from(largest) * PIECES_MAX;
        if part_bytes > bytes_max {
            return Err(PlaneError::TooLong { bytes: part_bytes, bytes_max });
        }
        let chunk = u32::try_from(wanted).unwrap_or(u32::MAX).min(largest);
        Ok(ChunkSize::try_new(chunk).expect("a power of two of MiB"))
    }

    /// The longest part of chunks of `size`.
    pub(super) fn part_bytes_max(size: ChunkSize) -> u64 {
        u64::from(size.bytes()) * PIECES_MAX
    }

    /// Where the object of a path is. With several buckets the leading `dN` of a path chooses one
    /// and is no part of the key; a path without it is in the first.
    pub(super) fn place(&self, path: &RelPath) -> Result<Place, PlaneError> {
        let mut segments = Vec::with_capacity(path.depth());
        for segment in path.components() {
            let text = segment.to_str().ok_or(PlaneError::Path { source: PathError::EmptyPath })?;
            segments.push(text);
        }
        let (device, rest) = self.device(&segments);
        let key = format!("{}{}", self.prefix, rest.join("/"));
        Ok(Place { bucket: self.buckets[device].clone(), key, path: path.clone() })
    }

    fn device<'a, 's>(&self, segments: &'a [&'s str]) -> (usize, &'a [&'s str]) {
        if self.buckets.len() == 1 {
            return (0, segments);
        }
        let number = segments.first().and_then(|first| first.strip_prefix('d'));
        let device = number.and_then(|number| number.parse::<usize>().ok());
        match device.and_then(|device| device.checked_sub(1)) {
            Some(device) if device < self.buckets.len() => (device, &segments[1..]),
            _ => (0, segments),
        }
    }

    pub(super) fn begin(&self, target: &PartTarget) -> Result<StagedObject, PlaneError> {
        let place = self.place(target.path())?;
        let Place { bucket, key, .. } = place.clone();
        let begun = wait(async move { bucket.begin_upload(&key).await });
        let upload = begun.map_err(|error| place.failed(error))?;
        Ok(StagedObject::new(place, target.clone(), upload))
    }

    pub(super) fn resume(
        &self,
        target: &PartTarget,
        upload: &UploadId,
    ) -> Result<StagedObject, PlaneError> {
        Ok(StagedObject::new(self.place(target.path())?, target.clone(), upload.clone()))
    }

    pub(super) fn finish(&self, parts: &[Finish]) -> Vec<Result<Finished, PlaneError>> {
        let (plane, parts) = (self.clone(), parts.to_vec());
        let finish = move |part: Finish| {
            let plane = plane.clone();
            async move { plane.finish_one(part).await }
        };
        wait(stream::iter(parts).map(finish).buffered(REQUESTS_AT_ONCE).collect())
    }

    async fn finish_one(&self, part: Finish) -> Result<Finished, PlaneError> {
        let place = self.place(part.target.path())?;
        let there = stat(&place).await?;
        if part.replace == Replace::Never && there.is_some() {
            return Err(PlaneError::Exists { path: place.path });
        }
        if part.length == 0 {
            return put_empty(&place, part.replace).await;
        }
        let is_there = there.is_some_and(|there| there.length == part.length);
        let Some(upload) = part.upload else {
            let lost = PlaneError::Lost { path: place.path, expected: part.length };
            return if is_there { Ok(Finished::Found) } else { Err(lost) };
        };
        let completed = place.bucket.complete_upload(&place.key, &upload.id, upload.pieces).await;
        match completed {
            Ok(()) => {}
            // Completed before, and the answer was lost; or gone for good.
            Err(error) if error.fault() == BucketFault::NoUpload => {
                let found = stat(&place).await?.is_some_and(|found| found.length == part.length);
                let lost = PlaneError::Lost { path: place.path, expected: part.length };
                return if found { Ok(Finished::Found) } else { Err(lost) };
            }
            Err(error) => return Err(place.failed(error)),
        }
        let found = stat(&place).await?.map_or(0, |found| found.length);
        if found == part.length {
            return Ok(Finished::Renamed);
        }
        if part.replace == Replace::Never {
            take_back(&place).await;
        }
        Err(PlaneError::Short { path: place.path, expected: part.length, found })
    }

    pub(super) fn put(&self, path: &RelPath, bytes: &[u8]) -> Result<(), PlaneError> {
        let place = self.place(path)?;
        let Place { bucket, key, .. } = place.clone();
        let bytes = Bytes::copy_from_slice(bytes);
        let put = wait(async move { bucket.put(&key, bytes, PutHow::Replace).await });
        put.map_err(|error| place.failed(error))
    }

    pub(super) fn abort(&self, target: &PartTarget, upload: &UploadId) -> Result<(), PlaneError> {
        let place = self.place(target.path())?;
        let Place { bucket, key, .. } = place.clone();
        let upload = upload.clone();
        let aborted = wait(async move { bucket.abort_upload(&key, &upload).await });
        match aborted {
            Err(error) if error.fault() == BucketFault::NoUpload => Ok(()),
            other => other.map_err(|error| place.failed(error)),
        }
    }

    pub(super) fn open_uploads(&self, path: &RelPath) -> Result<Vec<UploadId>, PlaneError> {
        let place = self.place(path)?;
        let Place { bucket, key, .. } = place.clone();
        wait(async move { bucket.open_uploads(&key).await }).map_err(|error| place.failed(error))
    }

    pub(super) fn open(&self, path: &RelPath) -> Result<StoredObject, PlaneError> {
        let place = self.place(path)?;
        let stat = self.find(&place)?;
        Ok(StoredObject::new(place, stat, Arc::clone(&self.memory.ahead)))
    }

    pub(super) fn stat(&self, path: &RelPath) -> Result<Stat, PlaneError> {
        let place = self.place(path)?;
        self.find(&place).map(|found| as_stat(&found))
    }

    fn find(&self, place: &Place) -> Result<ObjectStat, PlaneError> {
        let Place { bucket, key, .. } = place.clone();
        wait(async move { bucket.stat(&key).await }).map_err(|error| place.failed(error))
    }

    pub(super) fn remove(&self, paths: &[RelPath]) -> Vec<Result<bool, PlaneError>> {
        let mut outcomes: Vec<Result<bool, PlaneError>> = vec![Ok(false); paths.len()];
        let mut by_bucket: Vec<Vec<(usize, Place)>> = vec![Vec::new(); self.buckets.len()];
        for (index, path) in paths.iter().enumerate() {
            let segments: Vec<&str> = path.components().filter_map(|s| s.to_str()).collect();
            match self.place(path) {
                Ok(place) => by_bucket[self.device(&segments).0].push((index, place)),
                Err(error) => outcomes[index] = Err(error),
            }
        }
        for places in by_bucket.into_iter().filter(|places| !places.is_empty()) {
            let bucket = places[0].1.bucket.clone();
            let keys: Vec<String> = places.iter().map(|(_, place)| place.key.clone()).collect();
            let removed = wait(async move { bucket.remove(&keys).await });
            for ((index, place), outcome) in places.into_iter().zip(removed) {
                outcomes[index] = outcome.map_err(|error| place.failed(error));
            }
        }
        outcomes
    }

    /// As [`super::Plane::list`], but in the order of keys; with several buckets those of the first
    /// come first and the others' names begin with their device.
    pub(super) fn list(
        &self,
        directory: &RelPath,
        after: Option<&RelPath>,
        limit: usize,
    ) -> Result<Vec<Listed>, PlaneError> {
        let from = self.place(directory)?;
        let after = after.map(|after| self.place(after)).transpose()?;
        if let Ok(found) = self.find(&from)
            && !directory.is_root()
        {
            let new = after.is_none_or(|after| after.key < from.key) && limit > 0;
            let listed = Listed { path: directory.clone(), stat: as_stat(&found) };
            return Ok(if new { vec![listed] } else { Vec::new() });
        }
        let inside = match from.key.as_str() {
            key if key.is_empty() || key.ends_with('/') => key.to_owned(),
            key => format!("{key}/"),
        };
        let (prefix, bucket) = (inside.clone(), from.bucket.clone());
        let after = after.map(|after| after.key);
        let listed = wait(async move { bucket.list(&prefix, after.as_deref(), limit).await });
        let mut page = Vec::new();
        for (key, stat) in listed.map_err(|error| from.failed(error))? {
            let Some(rest) = key.strip_prefix(&inside) else { continue };
            // A key that no path stands for is not this relay's.
            let Ok(below) = RelPath::parse(rest) else { continue };
            page.push(Listed { path: directory.join_path(&below)?, stat: as_stat(&stat) });
        }
        Ok(page)
    }

    /// Why a bucket of it cannot be used, as the last requests found it.
    pub(super) fn unhealthy(&self) -> Option<BucketError> {
        self.buckets.iter().find_map(Bucket::unhealthy)
    }

    /// Asks every bucket for one key: whether it answers and the credential is accepted.
    pub(super) async fn check(&self) -> Result<(), BucketError> {
        for bucket in self.buckets.iter() {
            bucket.list(&self.prefix, None, 1).await?;
        }
        Ok(())
    }

    /// Tries on every bucket what the plane needs, below keys of its own.
    pub(super) fn probe(&self, job: JobId) -> Result<Vec<Capabilities>, BucketError> {
        let (buckets, prefix) = (Arc::clone(&self.buckets), Arc::clone(&self.prefix));
        wait(async move {
            let mut found = Vec::with_capacity(buckets.len());
            for bucket in buckets.iter() {
                found.push(bucket.probe(&format!("{prefix}.skyspray-{job}-1/")).await?);
            }
            Ok(found)
        })
    }
}

impl fmt::Debug for ObjectPlane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectPlane")
            .field("buckets", &self.buckets)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// The object at a place; `None` where there is none.
pub(super) async fn stat(place: &Place) -> Result<Option<ObjectStat>, PlaneError> {
    match place.bucket.stat(&place.key).await {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.fault() == BucketFault::Missing => Ok(None),
        Err(error) => Err(place.failed(error)),
    }
}

/// Removes an object that was just made and is not what it should be (F17): nobody would
/// know it for this job's later, and it would have the name for ever.
pub(super) async fn take_back(place: &Place) {
    let removed = place.bucket.remove(std::slice::from_ref(&place.key)).await;
    if let Some(Err(error)) = removed.into_iter().next() {
        tracing::warn!(path = %place.path, %error, "an object that is not what it should be is left");
    }
}

async fn put_empty(place: &Place, replace: Replace) -> Result<Finished, PlaneError> {
    let how = match replace {
        Replace::Never => PutHow::Create,
        Replace::Existing => PutHow::Replace,
    };
    let put = place.bucket.put(&place.key, Bytes::new(), how).await;
    put.map(|()| Finished::Renamed).map_err(|error| place.failed(error))
}

fn as_stat(found: &ObjectStat) -> Stat {
    Stat { length: found.length, modified_ns: found.modified_ns }
}

fn prev_power_of_two(bytes: u32) -> u32 {
    1 << (31 - bytes.max(CHUNK_BYTES_MIN).leading_zeros())
}
