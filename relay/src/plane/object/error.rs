//! Why a bucket did not do what it was asked.

use super::secret::SecretError;
use skyspray_wire::refusal::Remedy;
use std::fmt;
use std::io;
use std::path::PathBuf;
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
    /// The credential is missing, expired or not accepted: another one may come.
    Denied,
    /// The credential is accepted and lacks a permission.
    Forbidden,
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
    /// The settings cannot be used, such as a file of authorities that is not there, or another
    /// region than the bucket's.
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
            | Self::Forbidden
            | Self::NoBucket
            | Self::Full
            | Self::TooLarge
            | Self::NotSupported
            | Self::Settings => Remedy::Correct,
            Self::Corrupt => Remedy::Report,
        }
    }
}

impl fmt::Display for BucketFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "it does not exist",
            Self::Exists => "it exists",
            Self::NoUpload => "the store does not know the upload",
            Self::Changed => "it has changed",
            Self::Denied => "the credential is missing or not accepted",
            Self::Forbidden => "the credential lacks a permission",
            Self::NoBucket => "the bucket does not exist",
            Self::Throttled => "the store asks for fewer requests",
            Self::Unavailable => "the store does not answer as it should",
            Self::Full => "the store is full",
            Self::Corrupt => "bytes were damaged, or the store contradicts itself",
            Self::TooLarge => "it is larger than the store takes",
            Self::NotSupported => "the store cannot do it",
            Self::Settings => "the settings of the plane do not fit",
        })
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

/// What is known beyond the fault.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub(super) enum BucketDetail {
    /// What the store, or the service that issues credentials, answered.
    #[error("{status} {code}")]
    Answer {
        /// The HTTP status.
        status: u16,
        /// Its code.
        code: ErrorCode,
    },
    /// What the store said of one entry of a batch.
    #[error("{code}")]
    Entry {
        /// Its code.
        code: ErrorCode,
    },
    /// A static credential cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The credential cannot be got from what the settings name.
    #[error("no credential can be got as {kind}")]
    NotIssued {
        /// The kind of credential.
        kind: &'static str,
    },
    /// The environment lacks what the kind of credential needs.
    #[error("credentials are {kind}, which needs {variable} in the environment")]
    Environment {
        /// The kind of credential.
        kind: &'static str,
        /// The variable.
        variable: &'static str,
    },
    /// A file that the client crate would prefer to the metadata service.
    #[error("{} would be used instead of the metadata service; remove it", path.display())]
    Preferred {
        /// The file.
        path: PathBuf,
    },
    /// The file of authorities cannot be read.
    #[error("ca_file {} cannot be read: {kind}", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// Why.
        kind: io::ErrorKind,
    },
    /// The file of authorities holds no certificate.
    #[error("ca_file {} holds no certificate in PEM", path.display())]
    NoAuthority {
        /// The file.
        path: PathBuf,
    },
    /// The client refuses the settings as a whole.
    #[error("the client cannot be built")]
    Client,
}

/// The code by which a store or an issuer names a failure: up to 64 letters, `_` and a few digits,
/// which is what all of them use and no key or token is. Anything else a server says is not kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct ErrorCode(String);

impl ErrorCode {
    /// `text` if it is a code, otherwise none.
    pub(super) fn of(text: &str) -> Self {
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let digits = text.bytes().filter(u8::is_ascii_digit).count();
        let plain = text.len() <= 64 && digits <= 4 && text.bytes().all(word);
        Self(if plain { text.to_owned() } else { String::new() })
    }

    /// The code; empty where the store gave none.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "without a code" } else { &self.0 })
    }
}

/// A failed operation on a bucket. Carries nothing that a store, a server or the client crate
/// wrote but the code of the failure, and has no source: nothing secret can hide in it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BucketError(Box<Failed>);

#[derive(Clone, Debug, Eq, PartialEq)]
struct Failed {
    fault: BucketFault,
    action: BucketAction,
    bucket: String,
    key: Option<String>,
    detail: Option<BucketDetail>,
}

impl std::error::Error for BucketError {}

impl fmt::Display for BucketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failed { fault, action, bucket, key, detail } = &*self.0;
        match key {
            Some(key) => write!(f, "cannot {action} {key:?} in bucket {bucket}: {fault}")?,
            None => write!(f, "cannot {action} bucket {bucket}: {fault}")?,
        }
        match detail {
            Some(detail) => write!(f, " ({detail})"),
            None => Ok(()),
        }
    }
}

impl BucketError {
    /// A failure of `action` on `key` of `bucket`; the key is cut to 200 characters.
    pub(super) fn new(
        fault: BucketFault,
        action: BucketAction,
        bucket: &str,
        key: Option<&str>,
    ) -> Self {
        let key = key.map(|key| key.chars().take(200).collect());
        let bucket = bucket.to_owned();
        Self(Box::new(Failed { fault, action, bucket, key, detail: None }))
    }

    /// The same with what is known beyond it.
    pub(super) fn with(mut self, detail: impl Into<BucketDetail>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// What is wrong.
    pub(in crate::plane) fn fault(&self) -> BucketFault {
        self.0.fault
    }

    /// What to do about it.
    pub fn remedy(&self) -> Remedy {
        self.0.fault.remedy()
    }
}
