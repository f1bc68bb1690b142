//! Stored files, open for reading.

use super::stored_object::StoredObject;
use super::{PlaneError, Stat};
use skyspray_link::seam::files::{BulkFile, PooledBuf, RelPath};
use std::sync::Arc;

/// A stored file, open for reading. What is read is the file as it was opened, or an error.
#[derive(Clone, Debug)]
pub struct StoredFile(pub(super) Stored);

/// A stored file, by the kind of its plane.
#[derive(Clone, Debug)]
pub(super) enum Stored {
    File { file: Arc<BulkFile>, path: RelPath },
    Object(Arc<StoredObject>),
}

impl StoredFile {
    /// Reads at `offset` until `bytes` is full or the file ends; says how many bytes it read.
    ///
    /// # Errors
    ///
    /// The host's; [`PlaneError::Changed`] when an object was replaced since it was opened.
    pub fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<usize, PlaneError> {
        match &self.0 {
            Stored::File { file, .. } => Ok(file.file().read_at(bytes, offset)?),
            Stored::Object(object) => object.read_at(bytes, offset),
        }
    }

    /// As [`StoredFile::read_at`], for the first `length` bytes of a chunk's buffer: past the page cache
    /// of the host where that can be.
    ///
    /// # Errors
    ///
    /// As [`StoredFile::read_at`].
    pub fn read_chunk(
        &self,
        buffer: &mut PooledBuf,
        length: usize,
        offset: u64,
    ) -> Result<usize, PlaneError> {
        match &self.0 {
            Stored::File { file, .. } => Ok(file.read_at(buffer.space(), length, offset)?),
            Stored::Object(object) => object.read_at(&mut buffer.space()[..length], offset),
        }
    }

    /// Length and time: at this moment of a file, as it was opened of an object.
    ///
    /// # Errors
    ///
    /// The host's.
    pub fn stat(&self) -> Result<Stat, PlaneError> {
        match &self.0 {
            Stored::File { file, path } => Stat::of(path, &file.file().metadata()?),
            Stored::Object(object) => Ok(object.stat()),
        }
    }

    /// What the store calls the content that was opened: another content has another tag. `None` on
    /// planes of files, and where a store gives none.
    pub fn tag(&self) -> Option<&str> {
        match &self.0 {
            Stored::File { .. } => None,
            Stored::Object(object) => object.tag(),
        }
    }

    /// Says that the file will be read from front to back.
    pub fn advise_sequential(&self) {
        match &self.0 {
            Stored::File { file, .. } => file.file().advise_sequential(),
            Stored::Object(object) => object.advise_sequential(),
        }
    }
}
