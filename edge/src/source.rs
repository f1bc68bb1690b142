//! Source files: opened through their landing zone, identified, and proven not to have changed.

mod error;
mod walk;

use crate::landing::{LandingPath, LandingZones, Want};
use skyspray_dfu::split::SplitError;
use skyspray_link::seam::files::{Cause, File, Fingerprint, SourceChange};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use error::{OpenError, RecordError, SourceError};
pub use walk::{Found, SkipReason, Walk, plane_name};

/// A regular file that is read, in the state it had when it was opened.
#[derive(Clone, Debug)]
pub struct Source {
    at: LandingPath,
    file: Arc<dyn File>,
    fingerprint: Fingerprint,
}

impl Source {
    /// Opens the file. Blocks.
    ///
    /// # Errors
    ///
    /// It is missing, no regular file, behind a symlink or unreadable; the user's to correct.
    pub fn open(at: &LandingPath) -> Result<Self, SourceError> {
        let opened = at.tree.open_read(&at.path).and_then(|file| {
            let fingerprint = file.metadata()?.fingerprint();
            Ok((file, fingerprint))
        });
        let (file, fingerprint) = opened.map_err(|error| SourceError::of(at, error))?;
        file.advise_sequential();
        Ok(Self { at: at.clone(), file, fingerprint })
    }

    /// Opens the files that `arguments` name, in their order. Blocks.
    ///
    /// # Errors
    ///
    /// The first that is in no landing zone or cannot be opened.
    pub fn open_all(
        zones: &LandingZones,
        arguments: &[PathBuf],
        cwd: &Path,
    ) -> Result<Vec<Self>, OpenError> {
        let open = |argument: &PathBuf| {
            let at = zones.resolve(argument, cwd, Want::Read)?;
            Ok(Self::open(&at)?)
        };
        arguments.iter().map(open).collect()
    }

    /// Opens the file again for a job that began with it in the state `earlier`. Blocks.
    ///
    /// # Errors
    ///
    /// As for [`Source::open`], and any change since.
    pub fn resume(at: &LandingPath, earlier: &Fingerprint) -> Result<Self, SourceError> {
        let source = match Self::open(at) {
            Err(SourceError::Missing { path }) => return Err(SourceError::Removed { path }),
            other => other?,
        };
        source.unchanged(source.fingerprint.changed_since(earlier))?;
        Ok(source)
    }

    /// Proves that the name still stands for the file that was opened, in the same state. Blocks.
    ///
    /// # Errors
    ///
    /// [`SourceError::Changed`] or [`SourceError::Removed`]: nothing read may be used.
    pub fn recheck(&self) -> Result<(), SourceError> {
        let found = match self.at.tree.metadata(&self.at.path) {
            Ok(found) => found,
            Err(error) if error.cause == Cause::Missing => {
                return Err(SourceError::Removed { path: self.at.to_string() });
            }
            Err(error) => return Err(SourceError::of(&self.at, error)),
        };
        self.unchanged(found.fingerprint().changed_since(&self.fingerprint))
    }

    /// Fills `bytes` from `offset`. Blocks.
    ///
    /// # Errors
    ///
    /// [`SourceError::Changed`] when the file ends before, [`SourceError::Read`] when the host
    /// cannot read it there.
    pub fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> Result<(), SourceError> {
        let read = self.file.read_at(bytes, offset).map_err(|source| SourceError::Read {
            path: self.at.to_string(),
            offset,
            source,
        })?;
        if read < bytes.len() {
            let (from, to) = (self.fingerprint.size, offset + read as u64);
            return self.unchanged(Some(SourceChange::Shrunk { from, to }));
        }
        Ok(())
    }

    /// Hints that the first `end` bytes are not needed again.
    pub fn forget_before(&self, end: u64) {
        self.file.drop_cache(0..end);
    }

    /// Where it is.
    pub fn at(&self) -> &LandingPath {
        &self.at
    }

    /// The state it was opened in.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// Its length in bytes when it was opened.
    pub fn length(&self) -> u64 {
        self.fingerprint.size
    }

    /// Says of which source and place a record error speaks.
    pub fn record_error(sources: &[Self], source: SplitError) -> RecordError {
        let at = source.location().and_then(|(index, offset)| {
            sources.get(index).map(|found| (found.at.to_string(), offset))
        });
        RecordError { at, source }
    }

    fn unchanged(&self, change: Option<SourceChange>) -> Result<(), SourceError> {
        match change {
            None => Ok(()),
            Some(change) => Err(SourceError::Changed { path: self.at.to_string(), change }),
        }
    }
}

#[cfg(test)]
mod tests;
