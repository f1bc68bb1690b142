//! Why the sources of a command cannot be found.

use super::SOURCES_MAX;
use crate::exit::{Details, Exit, Explain};
use crate::landing::LandingError;
use crate::source::SourceError;
use skyspray_link::seam::files::Escaped;
use std::borrow::Cow;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why a source named on the command line cannot be opened. Patterns are `zone:path`, escaped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The path.
    #[error(transparent)]
    Landing(#[from] LandingError),
    /// What is there.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The list of `--files-from`.
    #[error(transparent)]
    List(#[from] ListError),
    /// A wildcard where none is taken.
    #[error("pattern {pattern} has a wildcard in the name of a directory")]
    WildcardInDirectory {
        /// The pattern.
        pattern: String,
    },
    /// Two commas side by side, or one at an end.
    #[error("source {} does not exist, and as a list it has an empty name", Escaped(argument.as_os_str()))]
    EmptyName {
        /// As it was given.
        argument: PathBuf,
    },
    /// There is no source, and the user asked to be told.
    #[error("pattern {pattern} matches no file")]
    NoMatch {
        /// The first pattern.
        pattern: String,
    },
    /// More sources than one command takes.
    #[error("there are more than {SOURCES_MAX} sources")]
    TooMany,
}

impl OpenError {
    /// HPCC's number for the same fault, where it has one.
    pub fn hpcc_number(&self) -> Option<u16> {
        match self {
            Self::Source(error) => error.hpcc_number(),
            Self::NoMatch { .. } => Some(8095),
            _ => None,
        }
    }

    fn inner(&self) -> Option<&dyn Explain> {
        match self {
            Self::Landing(error) => Some(error),
            Self::Source(error) => Some(error),
            Self::List(error) => Some(error),
            _ => None,
        }
    }
}

impl Explain for OpenError {
    fn exit(&self) -> Exit {
        match self {
            Self::NoMatch { .. } => Exit::Source,
            Self::TooMany => Exit::Limit,
            _ => self.inner().map_or(Exit::Usage, Explain::exit),
        }
    }

    fn code(&self) -> Cow<'static, str> {
        match self {
            Self::WildcardInDirectory { .. } => "pattern-invalid".into(),
            Self::NoMatch { .. } => "source-none".into(),
            Self::TooMany => "sources-too-many".into(),
            _ => self.inner().map_or("source-list-invalid".into(), Explain::code),
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            Self::WildcardInDirectory { .. } => {
                Some("use * and ? only in the last name of a path, or --files-from".into())
            }
            Self::NoMatch { .. } => {
                Some("without --fail-if-no-source this makes an empty logical file".into())
            }
            Self::TooMany => Some("spray them to several logical files, or join files".into()),
            _ => self.inner().and_then(Explain::advice),
        }
    }

    fn details(&self) -> Details {
        let of_cause = self.inner().map(Explain::details).unwrap_or_default();
        Details { hpcc: self.hpcc_number(), ..of_cause }
    }
}

/// Why the list of `--files-from` cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ListError {
    /// The host does not give it.
    #[error("list {} cannot be read", Escaped(path.as_os_str()))]
    Read {
        /// The list; `-` is stdin.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is longer than any list of sources needs to be.
    #[error("list {} is longer than {bytes_max} bytes", Escaped(path.as_os_str()))]
    TooLong {
        /// The list.
        path: PathBuf,
        /// The most bytes that are read.
        bytes_max: u64,
    },
    /// There is nothing in it: more likely a fault of what wrote it than the wish for an empty file.
    #[error("list {} names no source", Escaped(path.as_os_str()))]
    Empty {
        /// The list.
        path: PathBuf,
    },
}

impl Explain for ListError {
    fn exit(&self) -> Exit {
        match self {
            Self::Read { .. } => Exit::Usage,
            Self::TooLong { .. } => Exit::Limit,
            Self::Empty { .. } => Exit::Source,
        }
    }

    fn code(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Read { .. } => "list-unreadable",
            Self::TooLong { .. } => "list-too-long",
            Self::Empty { .. } => "source-none",
        })
    }
}
