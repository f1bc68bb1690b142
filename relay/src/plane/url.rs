//! Where a plane is, as an operator writes it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use thiserror::Error;

/// Where a plane is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PlaneUrl {
    /// A directory of this host, or one mounted on it. Absolute. Written `file:///path`.
    File(PathBuf),
}

/// Why a text is not the URL of a plane.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum PlaneUrlError {
    /// The URL does not say what kind of plane it is.
    #[error("url {url:?} has no kind, expected file:///path")]
    NoKind {
        /// The URL, cut to 200 characters.
        url: String,
    },
    /// A kind that this version does not have.
    #[error("plane kind {kind:?} is not supported, expected file")]
    KindUnsupported {
        /// The kind, cut to 40 characters.
        kind: String,
    },
    /// A path that depends on where the relay was started, or a host.
    #[error("url {url:?} has no absolute path, expected file:///path")]
    NotAbsolute {
        /// The URL, cut to 200 characters.
        url: String,
    },
}

impl FromStr for PlaneUrl {
    type Err = PlaneUrlError;

    /// Takes what follows `file://` as the path, byte for byte; nothing is decoded.
    fn from_str(text: &str) -> Result<Self, PlaneUrlError> {
        let shown = || text.chars().take(200).collect::<String>();
        let Some((kind, rest)) = text.split_once("://") else {
            return Err(PlaneUrlError::NoKind { url: shown() });
        };
        if kind != "file" {
            return Err(PlaneUrlError::KindUnsupported { kind: kind.chars().take(40).collect() });
        }
        if !rest.starts_with('/') {
            return Err(PlaneUrlError::NotAbsolute { url: shown() });
        }
        Ok(Self::File(PathBuf::from(rest)))
    }
}

impl fmt::Display for PlaneUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file://{}", path.display()),
        }
    }
}
