//! Why a logical file was not copied, and what its operator can do.

use super::sources::SourceError;
use crate::admin::{Exit, Failure};
use crate::catalogue::{CatalogueError, JobError};
use crate::commit::CommitError;
use crate::placing::PlacingError;
use crate::plane::PlaneError;
use skyspray_dfu::format::attributes::AttributeError;
use skyspray_dfu::join::PartTooShort;
use skyspray_dfu::split::SplitError;
use skyspray_wire::ids::PartIndex;
use skyspray_wire::limits::PARTS_MAX;
use skyspray_wire::name::PlaneName;
use skyspray_wire::refusal::RefusalCode;
use thiserror::Error;

/// Why a logical file was not copied. Names are as people write them: `PLANE:scope::name`.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CopyError {
    /// Source and target are one.
    #[error("{name} cannot be copied onto itself")]
    OntoItself {
        /// The file.
        name: String,
    },
    /// The source means nothing.
    #[error("file {name} does not exist")]
    Missing {
        /// The file.
        name: String,
    },
    /// The target means something and may not be replaced.
    #[error("file {name} exists")]
    Exists {
        /// The file.
        name: String,
    },
    /// The target plane takes plain files only.
    #[error("plane {plane} is a landing zone, which holds no logical files")]
    LandingZone {
        /// The plane.
        plane: PlaneName,
    },
    /// More parts than a logical file has.
    #[error("{parts} parts, at most {PARTS_MAX} are allowed")]
    TooManyParts {
        /// As asked for.
        parts: u32,
    },
    /// What is known of the parts contradicts itself.
    #[error("what the catalogue says of the parts of {name} cannot be")]
    Parts {
        /// The file.
        name: String,
        /// What is wrong.
        source: PartTooShort,
    },
    /// The attributes do not say where records end.
    #[error("{name} cannot be split again into another number of parts")]
    Format {
        /// The file.
        name: String,
        /// What they say.
        source: AttributeError,
    },
    /// Parts of this format are not split: blobs have no records, and others are never stored.
    #[error(
        "{name} is stored as {format}, which cannot be split again into another number of parts"
    )]
    Unsplittable {
        /// The file.
        name: String,
        /// The format.
        format: &'static str,
    },
    /// The records are not what the attributes say. `source 1` is the file its parts make.
    #[error("the records of {name} are not what its attributes say")]
    Records {
        /// The file.
        name: String,
        /// Where and how.
        source: SplitError,
    },
    /// A stored part is not what was committed.
    #[error("part {part} of {name}: {fault}")]
    Stored {
        /// The file.
        name: String,
        /// The part.
        part: PartIndex,
        /// How it differs.
        fault: PartFault,
    },
    /// Another generation took the place of the one that was copied.
    #[error("{name} was replaced or removed while it was copied")]
    Replaced {
        /// The file.
        name: String,
    },
    /// A file that is sprayed is not what it should be.
    #[error(transparent)]
    Source {
        /// Which, and why.
        source: Box<SourceError>,
    },
    /// A plane failed.
    #[error("plane {plane} failed")]
    Plane {
        /// The plane.
        plane: PlaneName,
        /// Why.
        source: PlaneError,
    },
    /// The job cannot go on.
    #[error(transparent)]
    Job(#[from] JobError),
    /// The catalogue failed.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// Somebody gave the job up: `job cancel`, or a newer copy to the same name.
    #[error("the copy was cancelled, or a newer one to the same name took over")]
    Cancelled,
    /// The parts did not get to their places.
    #[error("the copy is not committed yet")]
    Commit {
        /// Why.
        source: CommitError,
    },
    /// Told to stop.
    #[error("interrupted; nothing of the copy is visible")]
    Interrupted,
}

/// How a stored part differs from what was committed.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum PartFault {
    /// It is gone.
    #[error("it is not there")]
    Missing,
    /// It has another length.
    #[error("it has {found} bytes, expected {expected}")]
    Length {
        /// As stored.
        found: u64,
        /// As committed.
        expected: u64,
    },
    /// It has other content.
    #[error("its BLAKE3 digest differs")]
    Digest,
}

impl CopyError {
    /// HPCC's number for this cause, where it has one.
    pub fn hpcc_number(&self) -> Option<u16> {
        match self {
            Self::OntoItself { .. } => Some(8061),
            Self::Missing { .. } => Some(8050),
            Self::Exists { .. } => Some(8089),
            Self::Parts { source, .. } => Some(source.hpcc_number()),
            Self::Format { source, .. } => source.hpcc_number(),
            Self::Records { source, .. } => source.hpcc_number(),
            Self::Stored { fault: PartFault::Missing, .. } => Some(8057),
            Self::Stored { .. } => Some(8081),
            Self::Source { source } => source.hpcc_number(),
            _ => None,
        }
    }
}

impl Failure for CopyError {
    fn exit(&self) -> Exit {
        match self {
            Self::OntoItself { .. } | Self::LandingZone { .. } => Exit::Usage,
            Self::Missing { .. }
            | Self::Format { .. }
            | Self::Unsplittable { .. }
            | Self::Records { .. } => Exit::Source,
            Self::Exists { .. } => Exit::Refused,
            Self::TooManyParts { .. } => Exit::Limit,
            Self::Parts { .. } | Self::Stored { .. } => Exit::Mismatch,
            Self::Replaced { .. } | Self::Cancelled => Exit::Temporary,
            Self::Source { source } => source.exit(),
            Self::Plane { source: PlaneError::Full { .. }, .. } => Exit::Limit,
            Self::Plane { source, .. } => source.remedy().into(),
            Self::Job(error) => error.refusal().code.remedy().into(),
            Self::Catalogue(error) => error.refusal().code.remedy().into(),
            Self::Commit { source: CommitError::Lock(PlacingError::File { .. }) } => Exit::Internal,
            Self::Commit { source } => match source.refusal().code {
                RefusalCode::StoredCorrupt => Exit::Mismatch,
                code => code.remedy().into(),
            },
            Self::Interrupted => Exit::Interrupted,
        }
    }

    fn advice(&self) -> &'static str {
        match self {
            Self::OntoItself { .. } => "name another target",
            Self::Missing { .. } => "list what there is with skyspray-relay file list",
            Self::Exists { .. } => "replace it with --overwrite, or name another target",
            Self::LandingZone { .. } => "name a plane of category data",
            Self::TooManyParts { .. } => "ask for fewer parts",
            Self::Format { .. } | Self::Unsplittable { .. } | Self::Records { .. } => {
                "leave out --parts: the parts are then copied as they are"
            }
            Self::Parts { .. } | Self::Stored { .. } => {
                "check it with skyspray-relay file verify; check the disks of its plane, spray it again"
            }
            Self::Replaced { .. } | Self::Cancelled | Self::Interrupted => "run the command again",
            Self::Source { source } => source.advice(),
            Self::Plane { source: PlaneError::Full { .. }, .. } => "make room on the plane",
            Self::Plane { .. } => "test the plane with skyspray-relay plane test NAME",
            Self::Job(JobError::Leased { .. }) => {
                "wait for that job, or look at it with skyspray-relay job show JOB"
            }
            Self::Job(_) => "look at it with skyspray-relay job list",
            Self::Catalogue(CatalogueError::Busy) => "run the command again",
            Self::Catalogue(CatalogueError::Full) => "make room on the disk of the catalogue",
            Self::Catalogue(_) => "check the state directory, or restore it",
            Self::Commit { .. } => {
                "mend the cause and run the command again; a relay that serves finishes it by itself"
            }
        }
    }

    fn hpcc_number(&self) -> Option<u16> {
        Self::hpcc_number(self)
    }
}
