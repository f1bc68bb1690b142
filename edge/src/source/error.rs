//! Why sources cannot be opened, read, or told into records.

use crate::exit::{Details, Exit, Explain};
use crate::landing::LandingPath;
use skyspray_dfu::split::SplitError;
use skyspray_link::seam::files::{Cause, FileError, FileKind, SourceChange};
use skyspray_wire::name::{PathError, SegmentError};
use std::borrow::Cow;
use thiserror::Error;

/// Why a source cannot be read. `path` is `zone:path`, escaped.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum SourceError {
    /// Nothing is there.
    #[error("source {path} does not exist")]
    Missing {
        /// The source.
        path: String,
    },
    /// A pipe, device or socket.
    #[error("source {path} is {kind}, expected a regular file")]
    NotRegular {
        /// The source.
        path: String,
        /// What is there.
        kind: FileKind,
    },
    /// A directory where one file was expected.
    #[error("source {path} is a directory, expected a regular file")]
    IsDirectory {
        /// The source.
        path: String,
    },
    /// A symlink, or below one.
    #[error("source {path} is a symlink or lies behind one; symlinks are not followed")]
    Symlink {
        /// The source.
        path: String,
    },
    /// The operating system forbids it.
    #[error("source {path} may not be read by this user")]
    Denied {
        /// The source.
        path: String,
    },
    /// It could not be opened for another reason.
    #[error("source {path} cannot be opened")]
    Open {
        /// The source.
        path: String,
        /// Why.
        source: FileError,
    },
    /// It is not what it was when it was opened.
    #[error("source {path} was {change} while the job ran")]
    Changed {
        /// The source.
        path: String,
        /// What happened to it.
        change: SourceChange,
    },
    /// It was deleted or renamed.
    #[error("source {path} was removed while the job ran")]
    Removed {
        /// The source.
        path: String,
    },
    /// The host cannot read it at this place.
    #[error("source {path} cannot be read at offset {offset}")]
    Read {
        /// The source.
        path: String,
        /// Where, in bytes.
        offset: u64,
        /// Why.
        source: FileError,
    },
    /// Its name is not UTF-8, and names on a plane are.
    #[error("source {path} has a name that is not UTF-8")]
    NameNotText {
        /// The source.
        path: String,
    },
    /// Its name is not allowed on a plane.
    #[error("source {path} has a name that no plane takes")]
    Name {
        /// The source.
        path: String,
        /// The rule.
        source: SegmentError,
    },
    /// Its path is too deep or too long for a plane.
    #[error("source {path} has a path that no plane takes")]
    Path {
        /// The source.
        path: String,
        /// The rule.
        source: PathError,
    },
}

impl SourceError {
    pub(crate) fn of(at: &LandingPath, error: FileError) -> Self {
        let path = at.to_string();
        match error.cause {
            Cause::Missing | Cause::NotDirectory => Self::Missing { path },
            Cause::NotRegular { kind: FileKind::Symlink } | Cause::Symlink | Cause::Escapes => {
                Self::Symlink { path }
            }
            Cause::NotRegular { kind } => Self::NotRegular { path, kind },
            Cause::IsDirectory => Self::IsDirectory { path },
            Cause::Denied => Self::Denied { path },
            _ => Self::Open { path, source: error },
        }
    }

    /// HPCC's number for the same fault, where it has one.
    pub fn hpcc_number(&self) -> Option<u16> {
        match self {
            Self::Missing { .. }
            | Self::NotRegular { .. }
            | Self::IsDirectory { .. }
            | Self::Symlink { .. }
            | Self::Denied { .. }
            | Self::Open { .. } => Some(8050),
            Self::Read { .. } => Some(8087),
            _ => None,
        }
    }
}

impl Explain for SourceError {
    fn exit(&self) -> Exit {
        Exit::Source
    }

    fn code(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Missing { .. } => "source-missing",
            Self::NotRegular { .. } => "source-not-regular",
            Self::IsDirectory { .. } => "source-is-directory",
            Self::Symlink { .. } => "source-symlink",
            Self::Denied { .. } => "source-denied",
            Self::Open { .. } | Self::Read { .. } => "source-unreadable",
            Self::Changed { .. } | Self::Removed { .. } => "source-changed",
            Self::NameNotText { .. } | Self::Name { .. } | Self::Path { .. } => "source-name",
        })
    }

    fn details(&self) -> Details {
        Details { hpcc: self.hpcc_number(), ..Details::default() }
    }

    fn advice(&self) -> Option<String> {
        let advice = match self {
            Self::IsDirectory { path } => {
                let slash = if path.ends_with(':') { "" } else { "/" };
                return Some(format!("name its files, '{path}{slash}*', or push the directory"));
            }
            Self::Symlink { .. } => "name the file itself, inside a landing zone",
            Self::Denied { .. } => "let the user that runs the edge read it",
            Self::Changed { .. } | Self::Removed { .. } => {
                "run the command again when nothing writes the source; it starts over"
            }
            Self::Open { .. } | Self::Read { .. } => "check the disk that holds it",
            Self::NameNotText { .. } | Self::Name { .. } | Self::Path { .. } => "rename it",
            Self::Missing { .. } | Self::NotRegular { .. } => return None,
        };
        Some(advice.to_owned())
    }
}

/// Why the records of the sources cannot be told apart: which file, where, which rule.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("{}", shown(at))]
pub struct RecordError {
    /// The source as `zone:path` and the offset in it, where the rule speaks of one.
    pub at: Option<(String, u64)>,
    /// The rule.
    pub source: SplitError,
}

fn shown(at: &Option<(String, u64)>) -> String {
    match at {
        Some((path, offset)) => format!("records of {path} break off at offset {offset}"),
        None => "sources cannot be split into parts".to_owned(),
    }
}

impl Explain for RecordError {
    fn exit(&self) -> Exit {
        match self.source {
            SplitError::FewerSources { .. } => Exit::Usage,
            SplitError::TotalTooLong => Exit::Limit,
            SplitError::NoSourceLeft | SplitError::SourcesLeft { .. } => Exit::Internal,
            SplitError::NoConversion { .. } | SplitError::TooManyCharacters => Exit::Usage,
            _ => Exit::Source,
        }
    }

    fn code(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self.source {
            SplitError::SourceGrew { .. } | SplitError::SourceShrank { .. } => "source-changed",
            SplitError::FewerSources { .. } => "parts-too-many",
            SplitError::TotalTooLong => "sources-too-long",
            SplitError::NoSourceLeft | SplitError::SourcesLeft { .. } => "internal",
            SplitError::InvalidText { .. } => "text-invalid",
            SplitError::NoConversion { .. } => "conversion-unknown",
            SplitError::TooManyCharacters => "format-invalid",
            _ => "record-invalid",
        })
    }

    fn details(&self) -> Details {
        let (file, offset) = self.at.clone().unzip();
        Details { hpcc: self.source.hpcc_number(), file, offset }
    }

    fn advice(&self) -> Option<String> {
        match self.source {
            SplitError::PartialRecord { .. } => {
                Some("check --record-size, or whether the file is still being written".into())
            }
            SplitError::RecordTooLong { .. } => {
                Some("raise --max-record, or check --terminator and --quote".into())
            }
            SplitError::UnterminatedQuote { .. } | SplitError::InconsistentQuote { .. } => {
                Some("check --quote, --separator and --escape; --quote '' turns quoting off".into())
            }
            SplitError::PartialUnit { .. } => {
                Some("check --encoding, or whether the file is still being written".into())
            }
            SplitError::InvalidText { .. } => {
                Some("check --encoding, or let --on-invalid replace mark such places".into())
            }
            SplitError::NoConversion { from: "csv", to: "utf8", .. } => {
                Some("say what the text is, as in --encoding utf16".into())
            }
            SplitError::FewerSources { .. } => {
                Some("leave --nosplit out, or ask for at most as many parts as sources".into())
            }
            SplitError::Malformed { .. } => {
                Some("check --format and its options, or whether the file is cut off".into())
            }
            SplitError::CannotMend { .. } => {
                Some("add the final terminator, or use --join verbatim".into())
            }
            _ => None,
        }
    }
}
