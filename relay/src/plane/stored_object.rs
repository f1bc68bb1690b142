//! A stored object, open for reading: pinned to what it was when it was opened, and read ahead where
//! it is read from front to back.

use super::object::ObjectStat;
use super::object_plane::Place;
use super::runtime::{Started, start, wait};
use super::{PlaneError, Stat};
use bytes::Bytes;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Reads under way beside the one that is waited for.
const AHEAD_MAX: usize = 4;

/// An object open for reading. What is read is the object as it was opened, or an error.
pub(super) struct StoredObject {
    place: Place,
    found: ObjectStat,
    /// Read-ahead of the whole process, in MiB.
    memory: Arc<Semaphore>,
    // A file may be shared by readers; whoever reads in order finds what was read ahead.
    ahead: Mutex<Ahead>,
}

#[derive(Debug, Default)]
struct Ahead {
    sequential: bool,
    reads: VecDeque<Read>,
}

/// One read that was begun before it was asked for.
#[derive(Debug)]
struct Read {
    offset: u64,
    length: usize,
    bytes: Started<Result<Bytes, PlaneError>>,
    _memory: OwnedSemaphorePermit,
}

impl StoredObject {
    pub(super) fn new(place: Place, found: ObjectStat, memory: Arc<Semaphore>) -> Self {
        Self { place, found, memory, ahead: Mutex::default() }
    }

    pub(super) fn stat(&self) -> Stat {
        Stat { length: self.found.length, modified_ns: self.found.modified_ns }
    }

    pub(super) fn tag(&self) -> Option<&str> {
        self.found.tag.as_ref().map(|tag| tag.0.as_str())
    }

    pub(super) fn advise_sequential(&self) {
        self.lock().sequential = true;
    }

    /// Reads at `offset` until `bytes` is full or the object ends.
    pub(super) fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<usize, PlaneError> {
        let left = usize::try_from(self.found.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let length = bytes.len().min(left);
        if length == 0 {
            return Ok(0);
        }
        let begun = self.take_ahead(offset, length);
        let read = match begun {
            Some(read) => read.bytes.wait()?,
            None => wait(self.request(offset, length))?,
        };
        if read.len() != length {
            let (path, expected) = (self.place.path.clone(), self.found.length);
            return Err(PlaneError::Short { path, expected, found: offset + read.len() as u64 });
        }
        bytes[..length].copy_from_slice(&read);
        Ok(length)
    }

    /// The read of these bytes, if it was begun, and begins those after it.
    fn take_ahead(&self, offset: u64, length: usize) -> Option<Read> {
        let mut ahead = self.lock();
        if !ahead.sequential {
            return None;
        }
        let known = |read: &Read| (read.offset, read.length) == (offset, length);
        let found = match ahead.reads.front() {
            Some(read) if known(read) => ahead.reads.pop_front(),
            // Somebody reads elsewhere, or in other steps: what was begun is of no use.
            _ => {
                ahead.reads.clear();
                None
            }
        };
        let mut next = offset + length as u64;
        next += ahead.reads.iter().map(|read| read.length as u64).sum::<u64>();
        while ahead.reads.len() < AHEAD_MAX && next < self.found.length {
            let left = usize::try_from(self.found.length - next).unwrap_or(usize::MAX);
            let length = length.min(left);
            let Some(memory) = self.room_for(length) else { break };
            let bytes = start(self.request(next, length));
            ahead.reads.push_back(Read { offset: next, length, bytes, _memory: memory });
            next += length as u64;
        }
        found
    }

    fn room_for(&self, length: usize) -> Option<OwnedSemaphorePermit> {
        let units = u32::try_from(length.div_ceil(1 << 20)).ok()?;
        Arc::clone(&self.memory).try_acquire_many_owned(units).ok()
    }

    fn request(
        &self,
        offset: u64,
        length: usize,
    ) -> impl Future<Output = Result<Bytes, PlaneError>> + Send + 'static {
        let (place, tag) = (self.place.clone(), self.found.tag.clone());
        async move {
            let range = offset..offset + length as u64;
            let read = place.bucket.read(&place.key, range, tag.as_ref()).await;
            read.map_err(|error| place.failed(error))
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Ahead> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for StoredObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredObject").field("path", &self.place.path).finish_non_exhaustive()
    }
}
