//! The files that are made of the one file which parts make: staged one after the other, durable a
//! few at a time, and listed.

use super::super::open_parts::sync_shared;
use super::super::single::Written;
use super::manifest::ManifestWriter;
use super::staging::Staging;
use crate::download::fault::DownloadFault;
use skyspray_link::seam::files::{Caching, File, FileError, RelPath};
use std::ffi::{OsStr, OsString};
use std::sync::Arc;

/// Complete files that are open until they are made durable together.
const ENDED_MAX: usize = 32;

/// Files being staged.
#[derive(Debug)]
pub(super) struct Outputs<'a> {
    staging: &'a Staging,
    directory: RelPath,
    manifest: ManifestWriter,
    current: Option<Output>,
    ended: Vec<Output>,
    written: Written,
}

#[derive(Debug)]
struct Output {
    name: OsString,
    file: Arc<dyn File>,
    bytes: u64,
}

impl<'a> Outputs<'a> {
    /// Begins with no file; what an earlier run staged is removed.
    pub(super) fn begin(staging: &'a Staging) -> Result<Self, DownloadFault> {
        let directory = staging.directory();
        let begun = || {
            staging.remove_files()?;
            staging.tree().create_dirs(&directory)?;
            ManifestWriter::create(staging)
        };
        let manifest = begun().map_err(|error| staging.fault(error))?;
        let (ended, written) = (Vec::new(), Written::default());
        Ok(Self { staging, directory, manifest, current: None, ended, written })
    }

    /// Begins the file `name`; the error is `AlreadyExists` if there was one of that name.
    pub(super) fn start(&mut self, name: &OsStr) -> Result<(), StartError> {
        let path = self.directory.join(name).map_err(|source| {
            let name = name.to_string_lossy().into_owned();
            StartError::Name(DownloadFault::Name { name, source })
        })?;
        let file = self.staging.tree().create_new(&path, 0o644, Caching::Buffered)?;
        self.current = Some(Output { name: name.to_owned(), file, bytes: 0 });
        Ok(())
    }

    /// Whether a file is begun and not ended.
    pub(super) fn is_started(&self) -> bool {
        self.current.is_some()
    }

    /// Bytes of the file that is begun.
    pub(super) fn bytes(&self) -> u64 {
        self.current.as_ref().map_or(0, |output| output.bytes)
    }

    /// Adds to the file that is begun.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), DownloadFault> {
        let output = self.current.as_mut().expect("a file was begun");
        let written = output.file.write_all_at(bytes, output.bytes);
        written.map_err(|error| self.staging.fault(error))?;
        output.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Ends the file that is begun.
    pub(super) fn end(&mut self) -> Result<(), DownloadFault> {
        let output = self.current.take().expect("a file was begun");
        self.written.files += 1;
        self.written.bytes += output.bytes;
        self.ended.push(output);
        if self.ended.len() >= ENDED_MAX { self.flush() } else { Ok(()) }
    }

    /// Makes everything durable and says what there is.
    pub(super) fn finish(mut self) -> Result<Written, DownloadFault> {
        self.flush()?;
        let Self { staging, manifest, written, .. } = self;
        let finished = staging.tree().sync_dir(&self.directory);
        let finished = finished.and_then(|()| manifest.finish(staging));
        finished.map_err(|error| staging.fault(error))?;
        Ok(written)
    }

    fn flush(&mut self) -> Result<(), DownloadFault> {
        let synced = sync_shared(&self.ended, |output| output.file.sync_all());
        let listed = synced.and_then(|()| {
            self.ended.drain(..).try_for_each(|output| {
                let found = output.file.metadata()?;
                self.manifest.push(&output.name, found.fingerprint())
            })
        });
        listed.map_err(|error| self.staging.fault(error))
    }
}

/// Why a file cannot be begun.
#[derive(Debug)]
pub(super) enum StartError {
    /// The host's reason, which may be that there is one of that name.
    File(FileError),
    /// No file here can have the name.
    Name(DownloadFault),
}

impl From<FileError> for StartError {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl StartError {
    /// What the user is told, where the name cannot have been given twice.
    pub(super) fn into_fault(self, staging: &Staging) -> DownloadFault {
        match self {
            Self::File(error) => staging.fault(error),
            Self::Name(fault) => fault,
        }
    }
}
