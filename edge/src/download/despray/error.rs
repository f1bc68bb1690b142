//! Why a logical file cannot become files of the shape that was asked for.

use crate::exit::{Details, Exit, Explain};
use crate::size::ByteSize;
use crate::source::{RecordError, SourceError};
use crate::splitting::LookError;
use skyspray_dfu::blob::BlobError;
use skyspray_dfu::format::attributes::AttributeError;
use skyspray_dfu::join::{JoinError, PartTooShort};
use skyspray_link::seam::files::Escaped;
use skyspray_wire::limits::PARTS_MAX;
use std::borrow::Cow;
use std::ffi::OsString;
use thiserror::Error;

/// Why a logical file cannot become files of the shape that was asked for. Offsets are in the one
/// file that all parts make.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum ShapeFault {
    /// The specification of blobs cannot be understood.
    #[error("--splitprefix cannot be used")]
    Prefix(BlobError),
    /// The logical file does not say what stands before its blobs.
    #[error("it is not kept with the logical file what stands before its blobs")]
    NoPrefix,
    /// The logical file does not say what its records are.
    #[error("it is not kept with the logical file what its records are")]
    NoFormat(#[from] AttributeError),
    /// Compressed parts make no file together.
    #[error("the parts are compressed by HPCC and make no file together, each is one on its own")]
    Compressed,
    /// Blobs have no records.
    #[error("the logical file holds whole files, not records that {option} could tell apart")]
    NoRecords {
        /// The option.
        option: &'static str,
    },
    /// A file of the size might have no room for a record.
    #[error(
        "--split {size} is too small: with its longest record of {record} bytes and the {around} \
         bytes around the records a file needs more than {} bytes",
        record + around
    )]
    TooSmall {
        /// The size that was asked for.
        size: ByteSize,
        /// Most bytes of a record.
        record: u64,
        /// Bytes of header, footer and byte order mark together.
        around: u64,
    },
    /// More files than can be.
    #[error("--split {size} makes more than {PARTS_MAX} files, the most there can be")]
    TooMany {
        /// The size that was asked for.
        size: ByteSize,
    },
    /// What is said of a part is wrong.
    #[error(transparent)]
    Part(#[from] PartTooShort),
    /// The records are not what their format says.
    #[error(transparent)]
    Look(Box<LookError>),
    /// The records are not what their format says.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// What was received cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The blobs are not what the specification says.
    #[error("blobs of {path} cannot be told apart")]
    Blobs {
        /// The target, as `zone:path`.
        path: String,
        /// Why.
        source: BlobError,
    },
    /// Two blobs have one name.
    #[error(
        "the blobs whose bytes begin at offset {first} and at offset {second} both are called {}",
        Escaped(name)
    )]
    SameName {
        /// The name.
        name: OsString,
        /// Where the first one's bytes begin.
        first: u64,
        /// Where the second one's bytes begin.
        second: u64,
    },
}

impl From<JoinError> for ShapeFault {
    fn from(error: JoinError) -> Self {
        match error {
            JoinError::Part(error) => error.into(),
            JoinError::Format(error) => error.into(),
        }
    }
}

impl From<LookError> for ShapeFault {
    fn from(error: LookError) -> Self {
        Self::Look(Box::new(error))
    }
}

impl ShapeFault {
    /// Whether no later run of the same command could do better.
    pub(in crate::download) fn is_final(&self) -> bool {
        match self {
            Self::Source(_) => false,
            Self::Look(error) => !matches!(**error, LookError::Source(_)),
            _ => true,
        }
    }

    fn inner(&self) -> Option<&dyn Explain> {
        match self {
            Self::Look(error) => Some(&**error),
            Self::Record(error) => Some(error),
            Self::Source(error) => Some(error),
            _ => None,
        }
    }
}

impl Explain for ShapeFault {
    fn exit(&self) -> Exit {
        match self {
            Self::Prefix(_)
            | Self::NoPrefix
            | Self::NoRecords { .. }
            | Self::Compressed
            | Self::TooSmall { .. }
            | Self::TooMany { .. } => Exit::Usage,
            _ => self.inner().map_or(Exit::Source, Explain::exit),
        }
    }

    fn code(&self) -> Cow<'static, str> {
        let code = match self {
            Self::Prefix(_) | Self::NoPrefix => "splitprefix-invalid",
            Self::NoFormat(_) => "format-unsaid",
            Self::NoRecords { .. } => "records-missing",
            Self::Compressed => "parts-compressed",
            Self::TooSmall { .. } | Self::TooMany { .. } => "split-too-small",
            Self::Part(_) => "part-invalid",
            Self::Blobs { .. } => "blobs-invalid",
            Self::SameName { .. } => "blobs-same-name",
            Self::Look(_) | Self::Record(_) | Self::Source(_) => {
                return self.inner().map_or("internal".into(), Explain::code);
            }
        };
        code.into()
    }

    fn details(&self) -> Details {
        let hpcc = match self {
            Self::Prefix(error) => error.hpcc_number(),
            Self::NoFormat(error) => error.hpcc_number().or(Some(8055)),
            Self::NoRecords { .. } => Some(8055),
            Self::Part(error) => Some(error.hpcc_number()),
            Self::Blobs { path, source } => {
                let file = Some(path.clone());
                return Details { hpcc: source.hpcc_number(), file, offset: source.offset() };
            }
            _ => return self.inner().map(Explain::details).unwrap_or_default(),
        };
        Details { hpcc, ..Details::default() }
    }

    fn advice(&self) -> Option<String> {
        let advice = match self {
            Self::Prefix(error) | Self::Blobs { source: error, .. } => error.advice(),
            Self::NoPrefix => "say it, as in --splitprefix FILENAME,FILESIZE",
            Self::NoFormat(_) => "fetch it as one file, or with --wrap",
            Self::Compressed => "fetch them as they are with --wrap",
            Self::NoRecords { .. } => "take the files apart with --splitprefix auto",
            Self::TooSmall { .. } => "give a larger size, or a number of files with --parts",
            Self::TooMany { .. } => "give a larger size",
            Self::Part(_) => "fetch the parts with --wrap, and spray the file again",
            Self::SameName { .. } => {
                "fetch it as one file; only one of the two could have the name"
            }
            _ => return self.inner().and_then(Explain::advice),
        };
        Some(advice.to_owned())
    }
}
