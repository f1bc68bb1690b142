//! A trial of everything a file plane must be able to do, for `plane test` and for the start.

use super::staged::STAGING_PREFIX;
use super::{BucketError, FilePlane};
use skyspray_link::seam::files::{Caching, Cause, FileError, RelPath, Replace};
use skyspray_wire::ids::JobId;
use std::fmt;
use thiserror::Error;

/// What a probe found on a plane that works.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Probed {
    /// Bytes that may still be written; `None` where the plane knows no such limit.
    pub free_bytes: Option<u64>,
    /// Whether the plane itself keeps two writers of one new name apart. Where it does not, the
    /// catalogue alone does.
    pub create_only: bool,
    /// Whether stored files can be copied without their bytes passing through the relay.
    pub copies: bool,
}

/// One of the things a plane must be able to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ProbeStep {
    /// Making a file.
    Create,
    /// Writing to it.
    Write,
    /// Making it and its name durable.
    Sync,
    /// Renaming it.
    Rename,
    /// Reading it back.
    Read,
    /// Removing it.
    Remove,
    /// Telling the free space.
    Free,
}

impl fmt::Display for ProbeStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "creating a file",
            Self::Write => "writing a file",
            Self::Sync => "making a file durable",
            Self::Rename => "renaming a file",
            Self::Read => "reading a file back",
            Self::Remove => "removing a file",
            Self::Free => "finding the free space",
        })
    }
}

/// Why a plane cannot be used.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum ProbeError {
    /// A step failed.
    #[error("{step} failed")]
    Failed {
        /// The step.
        step: ProbeStep,
        /// Why.
        source: FileError,
    },
    /// A rename that must not replace did.
    #[error("renaming replaces existing files although it was told not to")]
    Replaces,
    /// Other bytes came back than were written.
    #[error("a file reads back other bytes than were written")]
    ReadsBackOther,
    /// An object store does not do what it must.
    #[error(transparent)]
    Store {
        /// What it did not do.
        source: BucketError,
    },
}

impl FilePlane {
    pub(super) fn probe(&self, job: JobId) -> Result<Probed, ProbeError> {
        let names = [1, 2, 3].map(|part| {
            RelPath::root()
                .join(format!("{STAGING_PREFIX}{job}-{part}"))
                .expect("a staging name is a path")
        });
        let tried = self.try_files(&names);
        let tried = tried.and_then(|()| self.remove_all(&names, ProbeStep::Remove));
        if tried.is_err() {
            // The first failure is the one to report.
            let _ = self.remove_all(&names, ProbeStep::Remove);
        }
        tried?;
        let free = self.tree().free_bytes().map_err(failed(ProbeStep::Free))?;
        Ok(Probed { free_bytes: Some(free), create_only: true, copies: false })
    }

    fn try_files(&self, [first, second, third]: &[RelPath; 3]) -> Result<(), ProbeError> {
        let tree = self.tree();
        let create = |path| {
            tree.create_new(path, 0o600, Caching::Buffered).map_err(failed(ProbeStep::Create))
        };
        let file = create(first)?;
        create(second)?;
        file.write_all_at(PATTERN, PATTERN_OFFSET).map_err(failed(ProbeStep::Write))?;
        file.sync_all().map_err(failed(ProbeStep::Sync))?;
        tree.sync_dir(&RelPath::root()).map_err(failed(ProbeStep::Sync))?;
        match tree.rename(first, second, Replace::Never) {
            Err(error) if error.cause == Cause::AlreadyExists => {}
            Err(error) => return Err(failed(ProbeStep::Rename)(error)),
            Ok(()) => return Err(ProbeError::Replaces),
        }
        tree.rename(first, third, Replace::Never).map_err(failed(ProbeStep::Rename))?;
        tree.rename(third, second, Replace::Existing).map_err(failed(ProbeStep::Rename))?;
        let mut bytes = vec![0; PATTERN.len() + 1];
        let file = tree.open_read(second).map_err(failed(ProbeStep::Read))?;
        let read = file.read_at(&mut bytes, PATTERN_OFFSET).map_err(failed(ProbeStep::Read))?;
        if &bytes[..read] == PATTERN { Ok(()) } else { Err(ProbeError::ReadsBackOther) }
    }

    fn remove_all(&self, names: &[RelPath], step: ProbeStep) -> Result<(), ProbeError> {
        for name in names {
            match self.tree().remove_file(name) {
                Err(error) if error.cause != Cause::Missing => return Err(failed(step)(error)),
                _ => {}
            }
        }
        self.tree().sync_dir(&RelPath::root()).map_err(failed(step))
    }
}

fn failed(step: ProbeStep) -> impl Fn(FileError) -> ProbeError {
    move |source| ProbeError::Failed { step, source }
}

/// What is written.
const PATTERN: &[u8] = b"skyspray plane probe";

/// Where it is written: behind a hole, as chunks that arrive out of order are.
const PATTERN_OFFSET: u64 = 4096;
