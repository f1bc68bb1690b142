//! What a user should know about sources that are taken nevertheless.

use crate::source::SkipReason;
use std::fmt;

/// Something about the sources that ends nothing. Paths are `zone:path`, escaped.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Notice {
    /// A pattern stands for nothing.
    NoMatch {
        /// The pattern.
        pattern: String,
    },
    /// There is no source at all.
    NoSource,
    /// What a pattern stands for is no regular file, and no directory.
    Skipped {
        /// The first.
        path: String,
        /// Why it is left out.
        reason: SkipReason,
        /// How many others of the same pattern are left out.
        others: u64,
    },
    /// A file is named more than once, by whatever path.
    Repeated {
        /// The source.
        path: String,
        /// The earlier one that is the same file.
        earlier: String,
        /// How many others repeat an earlier one.
        others: u64,
    },
    /// The name of a source announces another format than that of the first.
    OtherFormat {
        /// The source.
        path: String,
        /// The first source, whose format is that of all.
        first: String,
    },
}

impl Notice {
    /// Its name for programs, as that of an error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoMatch { .. } | Self::NoSource => "source-none",
            Self::Skipped { .. } => "skipped",
            Self::Repeated { .. } => "source-repeated",
            Self::OtherFormat { .. } => "format-differs",
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMatch { pattern } => write!(f, "pattern {pattern} matches no file"),
            Self::NoSource => f.write_str("there is no source: the logical file is empty"),
            Self::Skipped { path, reason, others } => {
                write!(f, "{path} is left out: {reason}")?;
                and_others(f, *others)
            }
            Self::Repeated { path, earlier, others } => {
                write!(f, "source {path} is the same file as {earlier}; its records come again")?;
                and_others(f, *others)
            }
            Self::OtherFormat { path, first } => write!(
                f,
                "source {path} announces another format than {first}, by which all are read"
            ),
        }
    }
}

fn and_others(f: &mut fmt::Formatter<'_>, others: u64) -> fmt::Result {
    if others == 0 { Ok(()) } else { write!(f, " (and {others} more)") }
}
