//! Why metadata cannot be read or made.

use crate::exit::{Details, Exit, Explain};
use crate::source::SourceError;
use skyspray_dfu::ecl::EclError;
use skyspray_dfu::meta::MetaError;
use std::borrow::Cow;
use thiserror::Error;

/// Why metadata cannot be read or made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MetaFault {
    /// The file cannot be read.
    #[error("metadata {path} cannot be read")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file is longer than metadata are.
    #[error("metadata {path} are longer than 16 MiB")]
    TooLong {
        /// The file.
        path: String,
    },
    /// The file is not HPCC's XML of a logical file.
    #[error("metadata {path}: {error}")]
    Invalid {
        /// The file.
        path: String,
        /// Why.
        error: MetaError,
    },
    /// What is known cannot be written as XML.
    #[error("the description cannot be written as HPCC's XML")]
    Unwritable(#[source] MetaError),
    /// What is kept of compressed parts is not that.
    #[error("attribute expandedParts of the logical file does not describe its {parts} parts")]
    Expanded {
        /// Parts of the logical file.
        parts: usize,
    },
    /// A format without a header that names fields.
    #[error("--record-structure reads the header of csv, the format is {format}")]
    NoHeader {
        /// The format.
        format: &'static str,
    },
    /// The first record names no fields.
    #[error("the first record of {path} makes no record definition: {error}")]
    Header {
        /// The first source.
        path: String,
        /// Why.
        error: EclError,
    },
    /// The first source cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
}

impl Explain for MetaFault {
    fn exit(&self) -> Exit {
        match self {
            Self::Source(error) => error.exit(),
            Self::Header { .. } | Self::Expanded { .. } => Exit::Source,
            Self::Unwritable(_) => Exit::Internal,
            _ => Exit::Usage,
        }
    }

    fn code(&self) -> Cow<'static, str> {
        match self {
            Self::Read { .. } | Self::TooLong { .. } => "meta-unreadable".into(),
            Self::Invalid { .. } => "meta-invalid".into(),
            Self::Unwritable(_) | Self::Expanded { .. } => "meta-unwritable".into(),
            Self::NoHeader { .. } | Self::Header { .. } => "header-unusable".into(),
            Self::Source(error) => error.code(),
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            Self::Invalid { .. } => {
                Some("give what dfuplus savexml or describe --xml wrote".into())
            }
            Self::Source(error) => error.advice(),
            _ => None,
        }
    }

    fn details(&self) -> Details {
        match self {
            Self::Source(error) => error.details(),
            Self::Header { path, error } => {
                Details { hpcc: error.hpcc_number(), file: Some(path.clone()), offset: None }
            }
            _ => Details::default(),
        }
    }
}
