//! The edge's configuration: `edge.toml` as a person writes it, and as valid types.

mod error;
mod file;
mod zone;

use crate::durable::{read_file, write_file};
use crate::size::ByteSize;
use serde::{Deserialize, Serialize};
use skyspray_certs::RelayAddress;
use skyspray_link::mtu::Mtu;
use skyspray_link::seam::files::{Cause, OsTree, RelPath, Replace, RootError, Tree};
use std::fmt;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use thiserror::Error;

pub use error::ConfigError;
pub use zone::{Access, Umask, UmaskError, ZoneArg, ZoneArgError, ZoneConfig};

/// Least memory an edge works in: a few chunks of the smallest common size.
pub const MEMORY_MIN: ByteSize = ByteSize(16 << 20);

/// Longest `edge.toml` that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

const FILE_NAME: &str = "edge.toml";

/// Where an edge keeps its configuration and its state.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Directories {
    /// Holds `edge.toml` and the identity.
    pub config: PathBuf,
    /// Holds the journal, the history and the receipts.
    pub state: PathBuf,
}

impl Directories {
    /// The directory the user named, with the state in `state` below it; otherwise those of an
    /// installed service, `/etc/skyspray` and `/var/lib/skyspray`.
    pub fn locate(named: Option<&Path>) -> Self {
        match named {
            Some(named) => Self { config: named.to_owned(), state: named.join("state") },
            None => Self { config: "/etc/skyspray".into(), state: "/var/lib/skyspray".into() },
        }
    }

    /// The configuration file.
    pub fn config_file(&self) -> PathBuf {
        self.config.join(FILE_NAME)
    }

    /// The identity, as `skyspray_certs::store` keeps it: a directory only its owner may enter.
    pub fn identity(&self) -> PathBuf {
        self.config.join("identity")
    }

    /// Makes both directories as far as they are missing, open to their owner only.
    ///
    /// # Errors
    ///
    /// The host's, for the operator to correct.
    pub fn create(&self) -> Result<(), ConfigError> {
        for directory in [&self.config, &self.state] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory)
                .map_err(|source| ConfigError::Directory { path: directory.clone(), source })?;
        }
        Ok(())
    }
}

/// A valid configuration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EdgeConfig {
    /// Data listeners of relays, in the order to try them; empty for those named at enrollment.
    pub relay_addresses: Vec<RelayAddress>,
    /// The landing zones, sorted by name; no two have the same directory.
    pub zones: Vec<ZoneConfig>,
    /// What the edge may use.
    pub limits: Limits,
}

impl EdgeConfig {
    /// Reads `edge.toml`.
    ///
    /// # Errors
    ///
    /// Missing or wrong; the operator's to correct.
    pub fn load(directories: &Directories) -> Result<Self, ConfigError> {
        let path = directories.config_file();
        let missing = || ConfigError::Missing { path: path.clone() };
        let tree = match OsTree::open(&directories.config) {
            Ok(tree) => tree,
            Err(RootError::Missing { .. }) => return Err(missing()),
            Err(source) => return Err(ConfigError::Root { source }),
        };
        let name = RelPath::parse(FILE_NAME).expect("a plain name");
        let bytes = match read_file(&tree, &name, FILE_BYTES_MAX) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Err(ConfigError::TooLong { path }),
            Err(error) if error.cause == Cause::Missing => return Err(missing()),
            Err(source) => return Err(ConfigError::File { path, source }),
        };
        let text =
            String::from_utf8(bytes).map_err(|_| ConfigError::NotText { path: path.clone() })?;
        Self::parse(&text, &path)
    }

    /// Reads the text of `edge.toml`; `path` is for messages.
    ///
    /// # Errors
    ///
    /// As for [`EdgeConfig::load`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let file: file::EdgeFile = toml::from_str(text)
            .map_err(|source| ConfigError::Syntax { path: path.to_owned(), source })?;
        file.try_into()
    }

    /// Writes a fresh `edge.toml` into `directories`, whole or not at all.
    ///
    /// # Errors
    ///
    /// One is there already, a zone's path is not UTF-8, or the host's.
    pub fn write_new(&self, directories: &Directories) -> Result<(), ConfigError> {
        let path = directories.config_file();
        let text = file::EdgeFile::from(self).render(&path)?;
        let tree =
            OsTree::open(&directories.config).map_err(|source| ConfigError::Root { source })?;
        let name = RelPath::parse(FILE_NAME).expect("a plain name");
        write_file(&tree as &dyn Tree, &name, text.as_bytes(), 0o600, Replace::Never).map_err(
            |source| match source.cause {
                Cause::AlreadyExists => ConfigError::Exists { path },
                _ => ConfigError::File { path, source },
            },
        )
    }
}

/// What the edge may use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Memory for chunks in flight, in bytes, at least [`MEMORY_MIN`].
    pub memory: ByteSize,
    /// How chunks are compressed unless the command says otherwise.
    pub compress: Compress,
    /// How long packets may become.
    pub mtu: Mtu,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory: ByteSize(128 << 20), compress: Compress::Auto, mtu: Mtu::default() }
    }
}

/// How chunks are compressed on the wire. Stored bytes are never compressed.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "file::TextOrNumber", into = "String")]
pub enum Compress {
    /// Where it pays, at a level chosen by measurement.
    #[default]
    Auto,
    /// Never.
    Off,
    /// Always, at this zstd level from 1 to 19.
    Level(u8),
}

/// A text that is no compression.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("compression {text:?} is not auto, off or a level from 1 to 19")]
pub struct CompressError {
    text: String,
}

impl FromStr for Compress {
    type Err = CompressError;

    fn from_str(text: &str) -> Result<Self, CompressError> {
        match text {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            _ => text
                .parse::<u8>()
                .ok()
                .filter(|level| (1..=19).contains(level))
                .map(Self::Level)
                .ok_or_else(|| CompressError { text: text.chars().take(40).collect() }),
        }
    }
}

impl fmt::Display for Compress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Off => f.write_str("off"),
            Self::Level(level) => write!(f, "{level}"),
        }
    }
}

impl From<Compress> for String {
    fn from(compress: Compress) -> Self {
        compress.to_string()
    }
}

#[cfg(test)]
mod tests;
