//! Why the journal cannot do what was asked.

use super::JOB_SUFFIX;
use super::record::{RECORD_BYTES_MAX, VERSION};
use crate::exit::{Exit, Explain};
use skyspray_link::seam::files::{FileError, RootError};
use skyspray_wire::ids::JobId;
use std::borrow::Cow;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why the file of a job cannot be used.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum Damage {
    /// Its first record is not whole, although it was written before anything else was done.
    #[error("first record is damaged")]
    Header,
    /// It was written by a later version.
    #[error("it has version {found}, expected {VERSION}")]
    Version {
        /// The version found.
        found: u16,
    },
}

/// Why the journal cannot do what was asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JournalError {
    /// Another process works on the job.
    #[error("job {job} is being worked on by another process")]
    Busy {
        /// The job.
        job: JobId,
    },
    /// No such job is open.
    #[error("job {job} is not open in the journal")]
    Unknown {
        /// The job.
        job: JobId,
    },
    /// The id of a new job is in use.
    #[error("job {job} is in the journal already")]
    Taken {
        /// The job.
        job: JobId,
    },
    /// The file of the job cannot be used.
    #[error("journal of job {job} cannot be read")]
    Damaged {
        /// The job.
        job: JobId,
        /// Why.
        source: Damage,
    },
    /// More than one record holds.
    #[error("journal record of {bytes} bytes, at most {RECORD_BYTES_MAX} are allowed")]
    RecordTooLong {
        /// Its length.
        bytes: usize,
    },
    /// The host cannot read or write the journal.
    #[error("journal cannot be used")]
    File {
        /// Why.
        #[from]
        source: FileError,
    },
    /// A lock file cannot be used.
    #[error("lock {} cannot be used", path.display())]
    Lock {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The state directory cannot be opened.
    #[error("state directory cannot be opened")]
    Root {
        /// Why.
        source: RootError,
    },
}

impl Explain for JournalError {
    fn exit(&self) -> Exit {
        match self {
            Self::Busy { .. } => Exit::Temporary,
            Self::Unknown { .. } | Self::Root { .. } => Exit::Usage,
            Self::RecordTooLong { .. } => Exit::Limit,
            _ => Exit::Internal,
        }
    }

    fn code(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Busy { .. } => "job-busy",
            Self::Unknown { .. } => "job-unknown",
            Self::Taken { .. } => "job-taken",
            Self::Damaged { .. } => "journal-damaged",
            Self::RecordTooLong { .. } => "journal-record-too-long",
            Self::File { .. } | Self::Lock { .. } | Self::Root { .. } => "journal-unusable",
        })
    }

    fn advice(&self) -> Option<String> {
        match self {
            Self::Busy { .. } => Some("wait for it to end: skyspray-edge status".into()),
            Self::Damaged { job, .. } => Some(format!(
                "move jobs/{job}{JOB_SUFFIX} out of the state directory; it starts over"
            )),
            Self::File { .. } | Self::Lock { .. } => {
                Some("check room and permissions of the state directory".into())
            }
            _ => None,
        }
    }
}
