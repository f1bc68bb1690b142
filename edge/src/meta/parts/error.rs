//! Why files are not the parts that metadata describe.

use crate::exit::{Details, Exit, Explain};
use crate::landing::LandingError;
use crate::source::SourceError;
use skyspray_wire::ids::PartIndex;
use skyspray_wire::name::LogicalNameError;
use std::borrow::Cow;
use std::num::NonZeroU32;
use thiserror::Error;

/// Why files are not the parts that metadata describe. Paths are `zone:path`, escaped.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum PartsFault {
    /// A path that may not be read.
    #[error(transparent)]
    Landing(std::sync::Arc<LandingError>),
    /// A file that cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A file of another name.
    #[error("{path} is no part: none of the {parts} parts in the metadata is called so")]
    NotAPart {
        /// The file.
        path: String,
        /// Parts of the logical file.
        parts: NonZeroU32,
    },
    /// Two files for one part.
    #[error("part {part} is there twice, as {first} and as {second}")]
    Twice {
        /// The part.
        part: PartIndex,
        /// One file.
        first: String,
        /// The other.
        second: String,
    },
    /// No file for a part.
    #[error("part {part} of {parts} is missing")]
    Missing {
        /// The first such part.
        part: PartIndex,
        /// Parts of the logical file.
        parts: NonZeroU32,
    },
    /// More parts than a logical file has here.
    #[error(
        "metadata have {parts} parts, at most {} are allowed",
        skyspray_wire::limits::PARTS_MAX
    )]
    TooMany {
        /// Parts in the metadata.
        parts: usize,
    },
    /// A file of another length.
    #[error("part {part}, {path}, is {found} bytes long, the metadata say {expected}")]
    Length {
        /// The part.
        part: PartIndex,
        /// The file.
        path: String,
        /// Its length in bytes.
        found: u64,
        /// What the metadata say.
        expected: u64,
    },
    /// A file of other content.
    #[error("part {part}, {path}, has CRC-32 {found:08x}, the metadata say {expected:08x}")]
    Checksum {
        /// The part.
        part: PartIndex,
        /// The file.
        path: String,
        /// What its bytes have.
        found: u32,
        /// What the metadata say.
        expected: u32,
    },
    /// A part without room for its header and footer.
    #[error(
        "part {part} is {length} bytes long, the metadata say {header} bytes of header and \
         {footer} of footer"
    )]
    Around {
        /// The part.
        part: PartIndex,
        /// Its length in bytes.
        length: u64,
        /// Bytes of its header.
        header: u32,
        /// Bytes of its footer.
        footer: u32,
    },
    /// The metadata name no logical file, and the target is a directory.
    #[error("the metadata name no logical file")]
    NoName,
    /// What should be a logical name is none.
    #[error("the target names no logical file")]
    Name(#[from] LogicalNameError),
    /// A logical file to push to, and nothing that describes it.
    #[error("{target} is a logical file, a push without --meta goes to a directory PLANE:path/")]
    NoMeta {
        /// The target.
        target: String,
    },
}

impl From<LandingError> for PartsFault {
    fn from(error: LandingError) -> Self {
        Self::Landing(std::sync::Arc::new(error))
    }
}

impl Explain for PartsFault {
    fn exit(&self) -> Exit {
        match self {
            Self::Landing(error) => error.exit(),
            Self::Source(error) => error.exit(),
            Self::NotAPart { .. } | Self::Twice { .. } | Self::Missing { .. } => Exit::Source,
            Self::TooMany { .. } => Exit::Limit,
            Self::Length { .. } | Self::Checksum { .. } | Self::Around { .. } => Exit::Mismatch,
            Self::NoName | Self::Name(_) | Self::NoMeta { .. } => Exit::Usage,
        }
    }

    fn code(&self) -> Cow<'static, str> {
        match self {
            Self::Landing(error) => error.code(),
            Self::Source(error) => error.code(),
            Self::NotAPart { .. } | Self::Twice { .. } | Self::Missing { .. } => {
                "parts-incomplete".into()
            }
            Self::TooMany { .. } => "parts-too-many".into(),
            Self::Length { .. } | Self::Checksum { .. } | Self::Around { .. } => {
                "part-differs".into()
            }
            Self::NoName | Self::Name(_) | Self::NoMeta { .. } => "target-invalid".into(),
        }
    }

    fn details(&self) -> Details {
        match self {
            Self::Landing(error) => error.details(),
            Self::Source(error) => error.details(),
            Self::NotAPart { path, .. }
            | Self::Length { path, .. }
            | Self::Checksum { path, .. } => {
                Details { file: Some(path.clone()), ..Details::default() }
            }
            _ => Details::default(),
        }
    }

    fn advice(&self) -> Option<String> {
        let text = match self {
            Self::Landing(error) => return error.advice(),
            Self::Source(error) => return error.advice(),
            Self::NotAPart { .. } | Self::Twice { .. } | Self::Missing { .. } => {
                "name all parts of this one logical file, NAME._1_of_N and on, or the directory \
                 they are in"
            }
            Self::TooMany { .. } => return None,
            Self::Length { .. } | Self::Checksum { .. } | Self::Around { .. } => {
                "the part or the metadata changed: fetch both again from where they came from"
            }
            Self::NoName | Self::Name(_) => "name the logical file, PLANE:scope::name",
            Self::NoMeta { .. } => {
                "name its metadata with --meta, or spray what is not in parts yet"
            }
        };
        Some(text.to_owned())
    }
}
