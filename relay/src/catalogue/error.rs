//! Why the catalogue could not do something: its own failures, and what is wrong with a job.

use super::origins::OriginFault;
use super::records::JobRecord;
use skyspray_wire::ids::{Epoch, JobId, PartIndex};
use skyspray_wire::message::{AttributesError, JobState};
use skyspray_wire::refusal::{Refusal, RefusalCode};
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// A failure of the catalogue itself. Never the peer's fault, but for [`Self::TooLarge`].
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CatalogueError {
    /// The file is missing, unreadable or no catalogue.
    #[error("catalogue {path} cannot be opened", path = path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the database says.
        source: sqlx::Error,
    },
    /// The server refuses the connection, or cannot be used: address, name, password or certificate.
    #[error("catalogue {at} cannot be connected to")]
    Connect {
        /// User, host, port and database.
        at: String,
        /// What the driver or the server says.
        source: sqlx::Error,
    },
    /// The server is not the one the URL names, or nobody who is trusted says that it is.
    #[error("catalogue {at} does not prove who it is")]
    Untrusted {
        /// User, host, port and database.
        at: String,
        /// What is wrong with its certificate.
        source: rustls::Error,
    },
    /// A file that the URL names cannot be read.
    #[error("cannot read {path}, which the catalogue's URL names", path = path.display())]
    UrlFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The role finds no schema to keep tables in.
    #[error("catalogue {at} has no schema on the role's search path")]
    Schema {
        /// User, host, port and database.
        at: String,
    },
    /// The file of the password cannot be read.
    #[error("cannot read the catalogue's password from {path}", path = path.display())]
    PasswordFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A newer version has changed the layout.
    #[error("catalogue has layout {version}, which is newer than this version knows")]
    Newer {
        /// The layout found.
        version: i64,
    },
    /// The layout could not be brought up to date.
    #[error("catalogue cannot be brought to this version's layout")]
    Migrate {
        /// What the database says.
        source: sqlx::migrate::MigrateError,
    },
    /// Another process or too many requests hold it. Worth trying again.
    #[error("catalogue is busy")]
    Busy,
    /// The server is away, was lost on the way, or ended the transaction. Worth trying again; what
    /// was asked for may have been done all the same.
    #[error("catalogue is not available")]
    Unavailable {
        /// What the driver or the server says.
        source: sqlx::Error,
    },
    /// The disk that holds it is full.
    #[error("catalogue has no room on its disk")]
    Full,
    /// Any other failure of the database.
    #[error("catalogue statement failed")]
    Database {
        /// What the database says.
        source: sqlx::Error,
    },
    /// A stored value is not what this version writes.
    #[error("catalogue holds an unusable {column} in {table}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
    },
    /// A number from a peer that no column can hold.
    #[error("{value} is more than the catalogue can count")]
    TooLarge {
        /// The number.
        value: u64,
    },
}

impl CatalogueError {
    /// Whether the same may succeed in a while without anybody's doing.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Busy | Self::Unavailable { .. })
    }

    /// What a peer is told.
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::Busy | Self::Unavailable { .. } => Refusal::new(RefusalCode::Busy, "catalogue"),
            Self::TooLarge { .. } => Refusal::new(RefusalCode::LimitExceeded, self.to_string()),
            _ => Refusal::new(RefusalCode::Internal, "catalogue"),
        }
    }
}

/// Why a job could not be opened, continued or finished.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JobError {
    /// No job has this id.
    #[error("job {job} is unknown")]
    Unknown {
        /// The id.
        job: JobId,
    },
    /// The id is in use for something else, or by another agent.
    #[error("job {job} was opened with another target, plan or agent")]
    Differs {
        /// The id.
        job: JobId,
    },
    /// The job was given up.
    #[error("job {job} was aborted")]
    Aborted {
        /// The id.
        job: JobId,
    },
    /// The logical file exists and may not be replaced.
    #[error("{name} exists")]
    Exists {
        /// Its name.
        name: String,
    },
    /// Another job holds the lease on the target.
    #[error("{name} is being written by job {wuid}")]
    Leased {
        /// The target.
        name: String,
        /// The other job, as people know it.
        wuid: String,
    },
    /// A newer session has taken the job over.
    #[error("job {job} is at epoch {current}, not {named}", current = current.0, named = named.0)]
    Stale {
        /// The id.
        job: JobId,
        /// The epoch the caller named.
        named: Epoch,
        /// The epoch in force.
        current: Epoch,
    },
    /// The job is in a state that does not allow this.
    #[error("job {job} is {state}", state = state.as_str())]
    State {
        /// The id.
        job: JobId,
        /// Its state.
        state: JobState,
    },
    /// What is asked of a spray was asked of a push, or the other way round.
    #[error("job {job} is of the other kind")]
    Kind {
        /// The id.
        job: JobId,
    },
    /// Some parts are not sealed yet.
    #[error("{sealed} of {parts} parts are sealed")]
    Incomplete {
        /// How many are.
        sealed: u64,
        /// How many there are.
        parts: u64,
    },
    /// The job has no such part.
    #[error("part {part} is not one of the job's {parts}")]
    PartUnknown {
        /// The part.
        part: PartIndex,
        /// How many there are.
        parts: u32,
    },
    /// The part was sealed or opened before with other content.
    #[error("part {part} was stated before with other content")]
    PartDiffers {
        /// The part.
        part: PartIndex,
    },
    /// The part's place on the plane belongs to something else in the catalogue.
    #[error("{path} belongs to another file")]
    PathTaken {
        /// The path from the plane's root.
        path: String,
    },
    /// What stood at the part's place is being deleted, or copied from, at this moment. Worth trying
    /// again.
    #[error("what was at {path} is being deleted or copied")]
    PathBusy {
        /// The path from the plane's root.
        path: String,
    },
    /// What the parts are said to come from cannot be recorded.
    #[error(transparent)]
    Origin(#[from] OriginFault),
    /// The commit would give the logical file more attributes than it may have.
    #[error(transparent)]
    Attributes(#[from] AttributesError),
    /// The agent may not do this, or may do it no longer.
    #[error("the agent may not do this")]
    Refused(
        /// Why.
        #[source]
        Refusal,
    ),
    /// The catalogue failed.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
}

impl JobError {
    /// What a peer is told.
    pub fn refusal(&self) -> Refusal {
        let code = match self {
            Self::Refused(refusal) => return refusal.clone(),
            Self::Catalogue(error) => return error.refusal(),
            Self::Origin(fault) => return fault.refusal(),
            Self::Attributes(error) => return error.refusal(),
            Self::Exists { name } => return Refusal::new(RefusalCode::Exists, name.as_str()),
            Self::Unknown { .. } => RefusalCode::JobUnknown,
            Self::Differs { .. } => RefusalCode::JobDiffers,
            Self::Aborted { .. } => RefusalCode::JobAborted,
            Self::Leased { .. } => RefusalCode::TargetLeased,
            Self::Stale { .. } => RefusalCode::EpochStale,
            Self::State { .. } | Self::Incomplete { .. } => RefusalCode::Incomplete,
            Self::Kind { .. } | Self::PartUnknown { .. } => RefusalCode::Malformed,
            Self::PartDiffers { .. } => RefusalCode::JobDiffers,
            Self::PathTaken { .. } => RefusalCode::PathBlocked,
            Self::PathBusy { .. } => RefusalCode::Busy,
        };
        Refusal::new(code, self.to_string())
    }

    /// Why `job` does not take what names `named`, given that its state or epoch is in the way.
    pub(super) fn fenced(job: &JobRecord, named: Epoch) -> Self {
        match job.state {
            JobState::Aborted => Self::Aborted { job: job.job },
            _ if job.epoch != named => Self::Stale { job: job.job, named, current: job.epoch },
            state => Self::State { job: job.job, state },
        }
    }
}
