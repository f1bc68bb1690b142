//! Why a receipt cannot be believed or kept.

use super::key::KeyTextError;
use super::{FILE_BYTES_MAX, VERSION};
use crate::exit::{Exit, Explain};
use skyspray_certs::receipt::{ReceiptKeyError, ReceiptKeyId};
use skyspray_link::seam::files::{FileError, RootError};
use skyspray_wire::ids::JobId;
use std::borrow::Cow;
use std::path::PathBuf;
use thiserror::Error;

/// Why a receipt cannot be believed or kept.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// Longer than a receipt, or not UTF-8.
    #[error("file is no text of at most {FILE_BYTES_MAX} bytes, so no receipt")]
    NotText,
    /// No JSON, or not the fields of a receipt.
    #[error("file is no receipt")]
    NotReceipt {
        /// Where and why.
        source: serde_json::Error,
    },
    /// A field that holds bytes does not.
    #[error("receipt field {field} is not the {expected} it should be")]
    Field {
        /// The field.
        field: &'static str,
        /// How it should be written.
        expected: &'static str,
    },
    /// The bytes are no receipt.
    #[error("{what} cannot be decoded")]
    Malformed {
        /// Which bytes.
        what: &'static str,
        /// Why.
        source: postcard::Error,
    },
    /// Signed by a key that is not known here.
    #[error("receipt is signed with key {key}, which is none of the {known} known here")]
    UnknownKey {
        /// The key's id.
        key: ReceiptKeyId,
        /// How many keys were tried.
        known: usize,
    },
    /// The signature is not that of the bytes.
    #[error("receipt was not signed by this relay, or was changed since")]
    Signature {
        /// What the check says.
        source: ReceiptKeyError,
    },
    /// Written by a later version.
    #[error("receipt has version {found}, expected {VERSION}")]
    Version {
        /// The version found.
        found: u16,
    },
    /// A readable field differs from the signed bytes.
    #[error("receipt field {field} is {found}, but {signed} was signed")]
    FieldDiffers {
        /// The field.
        field: String,
        /// What the file says.
        found: String,
        /// What was signed.
        signed: String,
    },
    /// The relay sent a receipt of another job.
    #[error("receipt is of job {found}, expected {expected}")]
    OtherJob {
        /// The job in the receipt.
        found: JobId,
        /// The job it was asked for.
        expected: JobId,
    },
    /// The file named on the command line cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file of the key holds none.
    #[error("{} holds no receipt key", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        source: KeyTextError,
    },
    /// The host cannot keep receipts.
    #[error("receipts cannot be kept")]
    File {
        /// Why.
        #[from]
        source: FileError,
    },
    /// The state directory cannot be opened.
    #[error("state directory cannot be opened")]
    Root {
        /// Why.
        source: RootError,
    },
}

impl Explain for ReceiptError {
    fn exit(&self) -> Exit {
        match self {
            Self::Unreadable { .. } => Exit::Source,
            Self::Key { .. } | Self::Root { .. } => Exit::Usage,
            Self::File { .. } => Exit::Internal,
            _ => Exit::Mismatch,
        }
    }

    fn code(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::NotText | Self::NotReceipt { .. } | Self::Field { .. } => "receipt-invalid",
            Self::Malformed { .. } | Self::Version { .. } => "receipt-undecodable",
            Self::UnknownKey { .. } => "receipt-key-unknown",
            Self::Signature { .. } => "receipt-forged",
            Self::FieldDiffers { .. } => "receipt-differs",
            Self::OtherJob { .. } => "receipt-other-job",
            Self::Unreadable { .. } => "receipt-unreadable",
            Self::Key { .. } => "receipt-key-invalid",
            Self::File { .. } | Self::Root { .. } => "receipts-unusable",
        })
    }

    fn advice(&self) -> Option<String> {
        match self {
            Self::UnknownKey { .. } => {
                Some("give the key of the relay that issued it with --key".into())
            }
            Self::Key { .. } => Some("the file holds 64 hexadecimal digits or their base64".into()),
            _ => None,
        }
    }
}
