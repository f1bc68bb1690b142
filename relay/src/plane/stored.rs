//! Stored files, open for reading.

use super::stored_object::StoredObject;
use super::{PlaneError, Stat};
use skyspray_link::seam::files::{File, RelPath};
use std::sync::Arc;

/// A stored file, open for reading. What is read is the file as it was opened, or an error.
#[derive(Clone, Debug)]
pub struct StoredFile(pub(super) Stored);

/// A stored file, by the kind of its plane.
#[derive(Clone, Debug)]
pub(super) enum Stored {
    File { file: Arc<dyn File>, path: RelPath },
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
            Stored::File { file, .. } => Ok(file.read_at(bytes, offset)?),
            Stored::Object(object) => object.read_at(bytes, offset),
        }
    }

    /// Length and time: at this moment of a file, as it was opened of an object.
    ///
    /// # Errors
    ///
    /// The host's.
    pub fn stat(&self) -> Result<Stat, PlaneError> {
        match &self.0 {
            Stored::File { file, path } => Stat::of(path, &file.metadata()?),
            Stored::Object(object) => Ok(object.stat()),
        }
    }

    /// Says that the file will be read from front to back.
    pub fn advise_sequential(&self) {
        match &self.0 {
            Stored::File { file, .. } => file.advise_sequential(),
            Stored::Object(object) => object.advise_sequential(),
        }
    }
}
