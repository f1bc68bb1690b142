//! Why sources are not what the options say.

use crate::exit::{Details, Exit, Explain};
use crate::source::SourceError;
use skyspray_dfu::blob::BlobError;
use skyspray_dfu::encoding::EncodingError;
use skyspray_dfu::format::RecordFormat;
use skyspray_dfu::probe::ProbeError;
use std::borrow::Cow;
use thiserror::Error;

/// HPCC's numbers for a document without rows.
const NO_XML_ROW: u16 = 8098;
const NO_JSON_ROW: u16 = 8109;

/// Why sources are not what the options say. `path` is `zone:path`, escaped.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum LookError {
    /// A source cannot be read, or changed meanwhile.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Byte order marks contradict the options or each other.
    #[error("{path}: {error}")]
    Encoding {
        /// The source.
        path: String,
        /// Why.
        error: EncodingError,
    },
    /// A document has no recognizable beginning or end.
    #[error("{path}: {error}")]
    Document {
        /// The source.
        path: String,
        /// Why.
        error: ProbeError,
    },
    /// No source has a row.
    #[error("{path} holds no row: {what}")]
    NoRows {
        /// The first source.
        path: String,
        /// What was looked for and is not there.
        what: String,
        /// HPCC's number for the format.
        number: u16,
    },
    /// A name or length does not fit the prefix of blobs.
    #[error("{path}: {error}")]
    Prefix {
        /// The source.
        path: String,
        /// Why.
        error: BlobError,
    },
}

impl LookError {
    /// No source has a row; `path` is the first.
    pub(super) fn no_rows(path: String, format: &RecordFormat) -> Self {
        let (what, number) = match format {
            RecordFormat::Json(json) => {
                (format!("there is no array at {}", json.row_path()), NO_JSON_ROW)
            }
            RecordFormat::Xml(xml) => {
                (format!("no element is called {}", xml.row_tag()), NO_XML_ROW)
            }
            other => (format!("it is no {}", other.name()), NO_XML_ROW),
        };
        Self::NoRows { path, what, number }
    }

    /// HPCC's number for this cause, where it has one.
    fn hpcc_number(&self) -> Option<u16> {
        match self {
            Self::Source(_) => None,
            Self::Encoding { error, .. } => error.hpcc_number(),
            Self::Document { error, .. } => error.hpcc_number(),
            Self::NoRows { number, .. } => Some(*number),
            Self::Prefix { error, .. } => error.hpcc_number(),
        }
    }
}

impl Explain for LookError {
    fn exit(&self) -> Exit {
        match self {
            Self::Source(error) => error.exit(),
            _ => Exit::Source,
        }
    }

    fn code(&self) -> Cow<'static, str> {
        match self {
            Self::Source(error) => error.code(),
            Self::Encoding { .. } => "encoding-differs".into(),
            Self::Document { .. } => "document-invalid".into(),
            Self::NoRows { .. } => "rows-missing".into(),
            Self::Prefix { .. } => "prefix-unfit".into(),
        }
    }

    fn details(&self) -> Details {
        let file = match self {
            Self::Source(error) => return error.details(),
            Self::Encoding { path, .. }
            | Self::Document { path, .. }
            | Self::NoRows { path, .. }
            | Self::Prefix { path, .. } => Some(path.clone()),
        };
        Details { hpcc: self.hpcc_number(), file, offset: None }
    }

    fn advice(&self) -> Option<String> {
        match self {
            Self::Source(error) => error.advice(),
            Self::Encoding { error, .. } => Some(error.advice()),
            Self::Document { .. } => {
                Some("check --row-tag or --row-path, and whether the file is whole".into())
            }
            Self::NoRows { number: NO_XML_ROW, .. } => {
                Some("compare --row-tag with the file, upper and lower case count".into())
            }
            Self::NoRows { .. } => Some("say with --row-path which array holds the rows".into()),
            Self::Prefix { error, .. } => Some(error.advice().to_owned()),
        }
    }
}
