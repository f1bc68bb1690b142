//! Why a plane did not do what it was asked.

use super::object::{BucketError, BucketFault};
use skyspray_link::seam::files::{Cause, FileError, PathError, RelPath};
use skyspray_wire::refusal::{Refusal, RefusalCode, Remedy};
use thiserror::Error;

/// A failed operation on a plane. Paths are relative to the plane's root.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum PlaneError {
    /// No room. What was staged for the part is removed, so that others may go on (F24).
    #[error("the plane is full")]
    Full {
        /// What found it so.
        source: FileError,
    },
    /// Something other than a file or directory of this plane is in the way.
    #[error("something else stands at {path} on the plane: {cause}")]
    Blocked {
        /// Where.
        path: RelPath,
        /// What stands there.
        cause: Cause,
    },
    /// The name is taken and may not be replaced.
    #[error("{path} exists on the plane")]
    Exists {
        /// The name.
        path: RelPath,
    },
    /// Nothing has that name.
    #[error("{path} does not exist on the plane")]
    Missing {
        /// The name.
        path: RelPath,
    },
    /// A sync of the part failed: nothing written to it counts, and it must begin anew (F25).
    #[error("what was staged for {path} is abandoned")]
    Abandoned {
        /// Where the part would have gone.
        path: RelPath,
        /// The sync that failed; `None` for later calls on the same handle.
        source: Option<FileError>,
    },
    /// What was staged for the part is gone, and the part is not there either.
    #[error("nothing is staged for {path} of {expected} bytes")]
    Lost {
        /// Where the part goes.
        path: RelPath,
        /// Its length in bytes.
        expected: u64,
    },
    /// Less is staged than the part is long.
    #[error("{found} bytes are staged for {path} of {expected} bytes")]
    Short {
        /// Where the part goes.
        path: RelPath,
        /// Its length in bytes.
        expected: u64,
        /// Bytes staged.
        found: u64,
    },
    /// No part can have this path.
    #[error("path is not usable on a plane")]
    Path {
        /// The rule it breaks.
        source: PathError,
    },
    /// The operating system does not let this process use the plane.
    #[error("the plane is not accessible")]
    Unavailable {
        /// What was tried.
        source: FileError,
    },
    /// The host failed.
    #[error("the plane failed")]
    Io {
        /// What was tried.
        source: FileError,
    },
    /// The file was replaced while it was read.
    #[error("{path} was replaced on the plane while it was read")]
    Changed {
        /// The path from the root of the plane.
        path: RelPath,
    },
    /// A part that an object store cannot hold in the chunks this relay has memory for.
    #[error("a part of {bytes} bytes is too long for this plane, which takes {bytes_max}")]
    TooLong {
        /// How long the part is, or will be.
        bytes: u64,
        /// The longest part the plane takes.
        bytes_max: u64,
    },
    /// The object store failed or refused.
    #[error("the object store did not do it")]
    Store {
        /// What the store says, without its secrets.
        source: BucketError,
    },
}

impl PlaneError {
    /// What a peer is told: nothing that it did not name itself.
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::Full { .. } => Refusal::new(RefusalCode::PlaneFull, ""),
            Self::Blocked { path, .. } => Refusal::new(RefusalCode::PathBlocked, path.to_string()),
            Self::Exists { path } => Refusal::new(RefusalCode::Exists, path.to_string()),
            Self::Missing { path } => Refusal::new(RefusalCode::Missing, path.to_string()),
            Self::Changed { path } => Refusal::new(RefusalCode::SourceChanged, path.to_string()),
            Self::TooLong { .. } => {
                let detail = format!("{self}; spray it to more parts");
                Refusal::new(RefusalCode::LimitExceeded, detail)
            }
            Self::Store { source } => store_refusal(source),
            Self::Lost { .. } | Self::Short { .. } => Refusal::new(RefusalCode::Incomplete, ""),
            Self::Path { source } => Refusal::new(RefusalCode::NameInvalid, source.to_string()),
            Self::Abandoned { .. } | Self::Unavailable { .. } | Self::Io { .. } => {
                Refusal::new(RefusalCode::PlaneUnavailable, "")
            }
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> Remedy {
        self.refusal().code.remedy()
    }
}

impl From<FileError> for PlaneError {
    fn from(source: FileError) -> Self {
        // A failed rename is about the new name, which is the one that is taken or blocked.
        let path = || source.to.clone().unwrap_or_else(|| source.path.clone());
        match source.cause {
            Cause::NoSpace => Self::Full { source },
            Cause::Missing => Self::Missing { path: source.path },
            Cause::AlreadyExists => Self::Exists { path: path() },
            Cause::Abandoned => Self::Abandoned { path: path(), source: Some(source) },
            Cause::Denied => Self::Unavailable { source },
            Cause::NotRegular { .. }
            | Cause::IsDirectory
            | Cause::NotDirectory
            | Cause::NotEmpty
            | Cause::Symlink
            | Cause::Escapes => Self::Blocked { path: path(), cause: source.cause },
            _ => Self::Io { source },
        }
    }
}

impl From<PathError> for PlaneError {
    fn from(source: PathError) -> Self {
        Self::Path { source }
    }
}

/// What a peer is told of a failure of an object store: nothing of its words.
fn store_refusal(error: &BucketError) -> Refusal {
    match error.fault() {
        BucketFault::Full => Refusal::new(RefusalCode::PlaneFull, ""),
        BucketFault::TooLarge => Refusal::new(RefusalCode::LimitExceeded, ""),
        // Waiting does not mend these; a credential that is not accepted may be replaced any time.
        BucketFault::Forbidden | BucketFault::NoBucket | BucketFault::Settings => {
            Refusal::new(RefusalCode::PlaneDenied, "")
        }
        _ => Refusal::new(RefusalCode::PlaneUnavailable, ""),
    }
}
