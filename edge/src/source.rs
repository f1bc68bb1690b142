//! Source files: found through their landing zone, identified, and proven not to have changed.

mod error;
mod open_files;
mod selection;
mod walk;

use crate::landing::LandingPath;
use open_files::OpenFiles;
use skyspray_dfu::split::SplitError;
use skyspray_link::seam::files::{Cause, File, FileError, FileKind, Fingerprint, SourceChange};
use std::sync::Arc;

pub use error::{RecordError, SourceError};
pub use selection::{Asked, ListError, Notice, OpenError, SOURCES_MAX, Selection};
pub use walk::{Found, SkipReason, Walk, plane_name};

/// A regular file that is read, in the state it had when it was first looked at. Clones are the
/// same source.
///
/// Its file is open from the first byte that is read to the last. Sources found together keep few
/// files open, so that a command may have many more sources than files it may open.
#[derive(Clone, Debug)]
pub struct Source {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    at: LandingPath,
    fingerprint: Fingerprint,
    open: Arc<OpenFiles>,
    /// Its number in `open`.
    number: usize,
}

impl Source {
    /// Opens the file, to be read soon. Blocks.
    ///
    /// # Errors
    ///
    /// It is missing, no regular file, behind a symlink or unreadable; the user's to correct.
    pub fn open(at: &LandingPath) -> Result<Self, SourceError> {
        let (file, fingerprint) = open(at).map_err(|error| SourceError::of(at, error))?;
        let open = Arc::new(OpenFiles::default());
        open.keep(0, file);
        Ok(Self { inner: Arc::new(Inner { at: at.clone(), fingerprint, open, number: 0 }) })
    }

    /// The state of the file that is read later. Blocks.
    ///
    /// # Errors
    ///
    /// It is missing, no regular file or behind a symlink; the user's to correct. Whether it can be
    /// read is found out when it is.
    pub fn look(at: &LandingPath) -> Result<Fingerprint, SourceError> {
        let found = at.tree.metadata(&at.path).map_err(|error| SourceError::of(at, error))?;
        match found.kind {
            FileKind::Regular => Ok(found.fingerprint()),
            FileKind::Symlink => Err(SourceError::Symlink { path: at.to_string() }),
            kind => Err(SourceError::NotRegular { path: at.to_string(), kind }),
        }
    }

    /// Opens the file to see that it can be read, and in which state it is. It is opened again
    /// when it is read, in that state or not at all. Blocks.
    ///
    /// `number` is another for every source that shares `open`.
    ///
    /// # Errors
    ///
    /// As for [`Source::open`].
    fn identify(
        at: LandingPath,
        (open_files, number): (&Arc<OpenFiles>, usize),
    ) -> Result<Self, SourceError> {
        match open(&at) {
            Ok((_, fingerprint)) => {
                let open = open_files.clone();
                Ok(Self { inner: Arc::new(Inner { at, fingerprint, open, number }) })
            }
            Err(error) => Err(SourceError::of(&at, error)),
        }
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
        source.unchanged(source.fingerprint().changed_since(earlier))?;
        Ok(source)
    }

    /// Proves that the name still stands for the file that was opened, in the same state. Blocks.
    ///
    /// # Errors
    ///
    /// [`SourceError::Changed`] or [`SourceError::Removed`]: nothing read may be used.
    pub fn recheck(&self) -> Result<(), SourceError> {
        let at = self.at();
        let found = at.tree.metadata(&at.path).map_err(|error| self.gone(error))?;
        self.unchanged(found.fingerprint().changed_since(self.fingerprint()))
    }

    /// Fills `bytes` from `offset`. Blocks.
    ///
    /// # Errors
    ///
    /// [`SourceError::Changed`] when the file ends before or is not the one it was,
    /// [`SourceError::Removed`] when it is gone, [`SourceError::Read`] when the host cannot read
    /// it there.
    pub fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> Result<(), SourceError> {
        let file = self.file()?;
        let read = file.read_at(bytes, offset).map_err(|source| SourceError::Read {
            path: self.at().to_string(),
            offset,
            source,
        })?;
        let end = offset + read as u64;
        if read < bytes.len() {
            return self.unchanged(Some(SourceChange::Shrunk { from: self.length(), to: end }));
        }
        if end >= self.length() {
            self.inner.open.close(self.inner.number);
        }
        Ok(())
    }

    /// Hints that the first `end` bytes are not needed again.
    pub fn forget_before(&self, end: u64) {
        if let Some(file) = self.inner.open.find(self.inner.number) {
            file.drop_cache(0..end);
        }
    }

    /// Where it is.
    pub fn at(&self) -> &LandingPath {
        &self.inner.at
    }

    /// The state it was opened in.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.inner.fingerprint
    }

    /// Its length in bytes when it was opened.
    pub fn length(&self) -> u64 {
        self.inner.fingerprint.size
    }

    /// Says of which source and place a record error speaks.
    pub fn record_error(sources: &[Self], source: SplitError) -> RecordError {
        let at = source.location().and_then(|(index, offset)| {
            sources.get(index).map(|found| (found.at().to_string(), offset))
        });
        RecordError { at, source }
    }

    /// The open file, which is opened now unless it is.
    fn file(&self) -> Result<Arc<dyn File>, SourceError> {
        let Inner { at, fingerprint, open: open_files, number } = &*self.inner;
        if let Some(file) = open_files.find(*number) {
            return Ok(file);
        }
        let (file, found) = open(at).map_err(|error| self.gone(error))?;
        self.unchanged(found.changed_since(fingerprint))?;
        open_files.keep(*number, file.clone());
        Ok(file)
    }

    /// Why a file that was there before cannot be found.
    fn gone(&self, error: FileError) -> SourceError {
        match error.cause {
            Cause::Missing => SourceError::Removed { path: self.at().to_string() },
            _ => SourceError::of(self.at(), error),
        }
    }

    fn unchanged(&self, change: Option<SourceChange>) -> Result<(), SourceError> {
        match change {
            None => Ok(()),
            Some(change) => Err(SourceError::Changed { path: self.at().to_string(), change }),
        }
    }
}

/// Files up to this length are read at once, whatever the host was told, in bytes.
const ADVISED_BYTES_MIN: u64 = 128 * 1024;

fn open(at: &LandingPath) -> Result<(Arc<dyn File>, Fingerprint), FileError> {
    let file = at.tree.open_read(&at.path)?;
    let fingerprint = file.metadata()?.fingerprint();
    if fingerprint.size > ADVISED_BYTES_MIN {
        file.advise_sequential();
    }
    Ok((file, fingerprint))
}

#[cfg(test)]
mod tests;
