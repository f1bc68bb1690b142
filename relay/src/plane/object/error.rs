//! Why a bucket did not do what it was asked.

use skyspray_wire::refusal::Remedy;
use std::fmt;
use thiserror::Error;

/// What is wrong, in the words that decide what happens next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::plane) enum BucketFault {
    /// No object has that key.
    Missing,
    /// An object has that key and may not be replaced.
    Exists,
    /// The store does not know the upload, or not all of its pieces: it was completed, aborted or
    /// has expired. The object says which.
    NoUpload,
    /// The object is not the one that was asked for.
    Changed,
    /// The credential is missing, not accepted or lacks a permission.
    Denied,
    /// The bucket does not exist.
    NoBucket,
    /// The store asks for fewer requests.
    Throttled,
    /// The store did not answer, or answered that it cannot. What was asked may have been done.
    Unavailable,
    /// The store has no room, or its quota is used up.
    Full,
    /// Bytes were damaged on the way, or the store contradicts itself.
    Corrupt,
    /// More than the store takes in one request or object.
    TooLarge,
    /// The store, or this client, cannot do it.
    NotSupported,
    /// The settings cannot be used, such as a file of authorities that is not there.
    Settings,
}

impl BucketFault {
    /// What to do about it.
    pub(in crate::plane) fn remedy(self) -> Remedy {
        match self {
            Self::Throttled | Self::Unavailable | Self::NoUpload | Self::Changed => Remedy::Retry,
            Self::Missing
            | Self::Exists
            | Self::Denied
            | Self::NoBucket
            | Self::Full
            | Self::TooLarge
            | Self::NotSupported
            | Self::Settings => Remedy::Correct,
            Self::Corrupt => Remedy::Report,
        }
    }
}

/// What was asked of a bucket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::plane) enum BucketAction {
    /// Opening it.
    Open,
    /// Beginning an upload.
    Begin,
    /// Writing a piece of an upload.
    PutPiece,
    /// Completing an upload.
    Complete,
    /// Aborting an upload.
    Abort,
    /// Writing a whole object.
    Put,
    /// Reading a range.
    Read,
    /// Asking for an object's length.
    Stat,
    /// Listing keys.
    List,
    /// Removing an object.
    Remove,
    /// Copying an object.
    Copy,
}

impl fmt::Display for BucketAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Begin => "begin an upload of",
            Self::PutPiece => "write a piece of",
            Self::Complete => "complete the upload of",
            Self::Abort => "abort the upload of",
            Self::Put => "write",
            Self::Read => "read",
            Self::Stat => "look at",
            Self::List => "list",
            Self::Remove => "remove",
            Self::Copy => "copy",
        })
    }
}

/// A failed operation on a bucket. Carries nothing that the store or the client crate wrote, but
/// the code of the failure.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("cannot {action}")]
pub struct BucketError {
    fault: BucketFault,
    action: BucketAction,
}

impl BucketError {
    pub(super) fn new(fault: BucketFault, action: BucketAction) -> Self {
        Self { fault, action }
    }

    /// What is wrong.
    pub(in crate::plane) fn fault(&self) -> BucketFault {
        self.fault
    }

    /// What was asked.
    pub(in crate::plane) fn action(&self) -> BucketAction {
        self.action
    }

    /// What to do about it.
    pub fn remedy(&self) -> Remedy {
        self.fault.remedy()
    }
}
