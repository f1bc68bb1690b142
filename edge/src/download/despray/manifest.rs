//! The list of the files a despray is about to give their names: for each its name and which file
//! it is, so that after a crash it is known of every one whether it has its name already.
//!
//! Length (4 bytes, little-endian) and postcard, one after the other. The list is durable before
//! the journal speaks of it.

use super::staging::Staging;
use serde::{Deserialize, Serialize};
use skyspray_link::seam::files::{Caching, File, FileError, Fingerprint};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::sync::Arc;

/// Bytes written and read at once.
const BLOCK_BYTES: usize = 64 * 1024;

/// Longest entry: a name of 255 bytes and five numbers.
const ENTRY_BYTES_MAX: usize = 1024;

/// A file that is about to get its name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Entry {
    /// Its name, in the staging directory and then in the final one.
    pub(super) name: OsString,
    /// Which file it is.
    pub(super) fingerprint: Fingerprint,
}

#[derive(Deserialize, Serialize)]
struct Stored(Vec<u8>, Fingerprint);

/// A list that is being written.
#[derive(Debug)]
pub(super) struct ManifestWriter {
    file: Arc<dyn File>,
    buffer: Vec<u8>,
    end: u64,
}

impl ManifestWriter {
    /// Begins the list of `staging`, which is not there.
    pub(super) fn create(staging: &Staging) -> Result<Self, FileError> {
        let file = staging.tree().create_new(&staging.manifest(), 0o600, Caching::Buffered)?;
        Ok(Self { file, buffer: Vec::new(), end: 0 })
    }

    /// Adds a file, which is durable.
    pub(super) fn push(&mut self, name: &OsStr, fingerprint: Fingerprint) -> Result<(), FileError> {
        let stored = Stored(name.as_bytes().to_vec(), fingerprint);
        let entry = postcard::to_stdvec(&stored).expect("plain data has a postcard form");
        let length = u32::try_from(entry.len()).expect("an entry is short");
        self.buffer.extend_from_slice(&length.to_le_bytes());
        self.buffer.extend_from_slice(&entry);
        if self.buffer.len() >= BLOCK_BYTES { self.flush() } else { Ok(()) }
    }

    /// Makes the list durable, and the name it has.
    pub(super) fn finish(mut self, staging: &Staging) -> Result<(), FileError> {
        self.flush()?;
        self.file.sync_all()?;
        staging.tree().sync_dir(staging.home())
    }

    fn flush(&mut self) -> Result<(), FileError> {
        self.file.write_all_at(&self.buffer, self.end)?;
        self.end += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

/// A list that is read from its beginning.
#[derive(Debug)]
pub(super) struct Manifest {
    file: Arc<dyn File>,
    buffer: Vec<u8>,
    /// What was taken from the buffer.
    taken: usize,
    offset: u64,
}

/// What comes next in a list.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Next {
    /// A file.
    Entry(Entry),
    /// No more files.
    End,
    /// Nothing that was written here.
    Damaged,
}

impl Manifest {
    /// Opens the list of `staging`.
    pub(super) fn open(staging: &Staging) -> Result<Self, FileError> {
        let file = staging.tree().open_read(&staging.manifest())?;
        Ok(Self { file, buffer: Vec::new(), taken: 0, offset: 0 })
    }

    /// The next file.
    pub(super) fn next(&mut self) -> Result<Next, FileError> {
        if self.buffer.len() - self.taken < 4 + ENTRY_BYTES_MAX {
            self.fill()?;
        }
        let rest = &self.buffer[self.taken..];
        if rest.is_empty() {
            return Ok(Next::End);
        }
        let Some((length, rest)) = rest.split_first_chunk() else { return Ok(Next::Damaged) };
        let length = u32::from_le_bytes(*length) as usize;
        let stored = rest.get(..length).and_then(|entry| postcard::from_bytes(entry).ok());
        let Some(Stored(name, fingerprint)) = stored else { return Ok(Next::Damaged) };
        self.taken += 4 + length;
        Ok(Next::Entry(Entry { name: OsString::from_vec(name), fingerprint }))
    }

    fn fill(&mut self) -> Result<(), FileError> {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        let kept = self.buffer.len();
        self.buffer.resize(kept + BLOCK_BYTES, 0);
        let read = self.file.read_at(&mut self.buffer[kept..], self.offset)?;
        self.buffer.truncate(kept + read);
        self.offset += read as u64;
        Ok(())
    }
}
