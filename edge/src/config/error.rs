//! Why there is no usable configuration.

use super::{FILE_BYTES_MAX, MEMORY_MIN};
use crate::exit::{Exit, Explain};
use crate::landing::ZoneName;
use crate::size::ByteSize;
use skyspray_link::mtu::MtuError;
use skyspray_link::seam::files::{FileError, RootError};
use std::borrow::Cow;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why there is no usable configuration.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is no `edge.toml`.
    #[error("{} does not exist", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// There is one already.
    #[error("{} already exists", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Not TOML, a key that is not known, or a value that a key cannot have.
    #[error("{} cannot be understood", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: toml::de::Error,
    },
    /// Not UTF-8.
    #[error("{} is not UTF-8 text", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// Too long to be a configuration.
    #[error("{} is longer than {FILE_BYTES_MAX} bytes", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// A zone's directory is not absolute.
    #[error("landing_zone.{zone}.path {} is not absolute or contains `..`", path.display())]
    ZonePath {
        /// The zone.
        zone: ZoneName,
        /// The path found.
        path: PathBuf,
    },
    /// A zone allows nothing.
    #[error("landing_zone.{zone}.allow is empty, expected \"read\", \"write\" or both")]
    ZoneUseless {
        /// The zone.
        zone: ZoneName,
    },
    /// Two zones have the same name.
    #[error("landing zone {zone} is given twice")]
    ZoneTwice {
        /// The name.
        zone: ZoneName,
    },
    /// Two zones have the same directory.
    #[error("landing zones {first} and {second} have the same path {}", path.display())]
    ZonesEqual {
        /// One zone.
        first: ZoneName,
        /// The other.
        second: ZoneName,
        /// Their path.
        path: PathBuf,
    },
    /// Too little memory to work in.
    #[error("limits.memory is {found}, expected at least {MEMORY_MIN}")]
    MemoryTooSmall {
        /// The value found.
        found: ByteSize,
    },
    /// Packets that are too short or too long.
    #[error("limits is not usable")]
    Mtu {
        /// What is wrong with it.
        source: MtuError,
    },
    /// A path cannot be written into a TOML file.
    #[error("configuration cannot be written to {}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: toml::ser::Error,
    },
    /// The file cannot be read or written.
    #[error("{} cannot be used", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: FileError,
    },
    /// The directory cannot be used.
    #[error("configuration directory cannot be opened")]
    Root {
        /// Why.
        source: RootError,
    },
    /// A directory cannot be made.
    #[error("directory {} cannot be made", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Explain for ConfigError {
    fn exit(&self) -> Exit {
        Exit::Usage
    }

    fn code(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Missing { .. } => "config-missing",
            Self::Exists { .. } => "config-exists",
            Self::File { .. }
            | Self::Root { .. }
            | Self::Directory { .. }
            | Self::Unwritable { .. } => "config-unusable",
            _ => "config-invalid",
        })
    }

    fn advice(&self) -> Option<String> {
        match self {
            Self::Missing { .. } => Some(
                "enroll first (skyspray-edge enroll), or name its directory with --dir or SKYSPRAY_DIR"
                    .into(),
            ),
            Self::Exists { .. } => Some("edit it, or name another directory with --dir".into()),
            _ => None,
        }
    }
}
