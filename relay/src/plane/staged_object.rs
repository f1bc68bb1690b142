//! A part on its way to an object store: an upload, and the pieces stored under it.

use super::object::BucketFault;
use super::object_plane::{ObjectPlane, Place};
use super::runtime::wait;
use super::{PartTarget, PieceId, PlaneError, UploadId};
use bytes::Bytes;
use skyspray_link::seam::files::PooledBuf;
use skyspray_wire::ids::{ChunkIndex, ChunkSize};
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// An upload that is being written. Pieces may be stored from several threads at once.
pub(super) struct StagedObject {
    place: Place,
    target: PartTarget,
    upload: UploadId,
    // Threads that store pieces add to it, the one that records them empties it.
    stored: Mutex<Vec<(u32, PieceId)>>,
}

impl StagedObject {
    pub(super) fn new(place: Place, target: PartTarget, upload: UploadId) -> Self {
        Self { place, target, upload, stored: Mutex::default() }
    }

    pub(super) fn target(&self) -> &PartTarget {
        &self.target
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    pub(super) fn upload(&self) -> &UploadId {
        &self.upload
    }

    /// Stores a chunk as the piece of its number. A piece stored again takes the place of the first.
    pub(super) fn put(&self, chunk: ChunkIndex, bytes: PooledBuf) -> Result<(), PlaneError> {
        let index = self.piece(chunk, bytes.as_ref().len())?;
        let Place { bucket, key, .. } = self.place.clone();
        let (upload, body) = (self.upload.clone(), Bytes::from_owner(bytes));
        let put = wait(async move { bucket.put_piece(&key, &upload, index, body).await });
        let piece = put.map_err(|error| match error.fault() {
            BucketFault::NoUpload => {
                PlaneError::Abandoned { path: self.target.path().clone(), source: None }
            }
            _ => self.place.failed(error),
        })?;
        self.lock().push((index, piece));
        Ok(())
    }

    fn piece(&self, chunk: ChunkIndex, length: usize) -> Result<u32, PlaneError> {
        let size = u32::try_from(length.next_power_of_two()).ok();
        let size = size.and_then(|size| ChunkSize::try_new(size.max(1024)).ok());
        let bytes_max = size.map_or(0, ObjectPlane::part_bytes_max);
        let bytes = chunk.0.saturating_add(1).saturating_mul(length as u64);
        let index = u32::try_from(chunk.0).ok().filter(|&index| u64::from(index) < PIECES_MAX);
        index.ok_or(PlaneError::TooLong { bytes, bytes_max })
    }

    /// Takes note of pieces that the store made, from the first.
    pub(super) fn add_pieces(&self, pieces: Vec<PieceId>) {
        self.lock().extend((0..).zip(pieces));
    }

    /// The pieces stored since this was last asked.
    pub(super) fn take_pieces(&self) -> Vec<(u32, PieceId)> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(u32, PieceId)>> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for StagedObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StagedObject").field("target", &self.target).finish_non_exhaustive()
    }
}

/// Pieces of one upload, at most.
const PIECES_MAX: u64 = super::object_plane::PIECES_MAX;
