//! One landing zone: in the configuration, and as `--landing-zone` names it.

use super::ConfigError;
use crate::landing::{ZoneName, ZoneNameError};
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;
use thiserror::Error;

/// What an operator allows in a landing zone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Access {
    /// Spray and push from it.
    Read,
    /// Despray and pull to it.
    Write,
    /// Both.
    ReadWrite,
}

/// A landing zone as configured. Whether its directory exists is found out when it is used.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ZoneConfig {
    /// Its name, unique in the configuration.
    pub name: ZoneName,
    /// Its directory, absolute and without `..`.
    pub path: PathBuf,
    /// What may be done in it.
    pub access: Access,
}

impl ZoneConfig {
    /// Sorts zones by name after checking each and all together.
    ///
    /// # Errors
    ///
    /// A path that is not absolute, or two zones with the same name or directory.
    pub fn check_all(mut zones: Vec<Self>) -> Result<Vec<Self>, ConfigError> {
        zones.sort_by(|a, b| a.name.cmp(&b.name));
        for (index, zone) in zones.iter().enumerate() {
            let climbs = zone.path.components().any(|part| part == Component::ParentDir);
            if !zone.path.is_absolute() || climbs {
                let (zone, path) = (zone.name.clone(), zone.path.clone());
                return Err(ConfigError::ZonePath { zone, path });
            }
            let others = &zones[..index];
            if others.iter().any(|other| other.name == zone.name) {
                return Err(ConfigError::ZoneTwice { zone: zone.name.clone() });
            }
            if let Some(other) = others.iter().find(|other| other.path == zone.path) {
                return Err(ConfigError::ZonesEqual {
                    first: other.name.clone(),
                    second: zone.name.clone(),
                    path: zone.path.clone(),
                });
            }
        }
        Ok(zones)
    }
}

/// A landing zone as the command line names it: `NAME=PATH` to read and write, `NAME=PATH:ro` to
/// read only; `NAME=PATH:rw` says what is meant anyway.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ZoneArg {
    name: ZoneName,
    path: PathBuf,
    access: Access,
}

/// A text that names no landing zone.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum ZoneArgError {
    /// There is no `=`.
    #[error("landing zone {text:?} is not NAME=PATH")]
    NoPath {
        /// The text.
        text: String,
    },
    /// There is nothing after the `=`.
    #[error("landing zone {name} has no path after `=`")]
    EmptyPath {
        /// The zone.
        name: ZoneName,
    },
    /// What stands before `=` is no name.
    #[error(transparent)]
    Name(#[from] ZoneNameError),
}

impl ZoneArg {
    /// The zone, with a relative path taken from `cwd`.
    pub fn to_config(&self, cwd: &Path) -> ZoneConfig {
        // `join` keeps `.` components and trailing slashes; collecting drops them.
        let path = cwd.join(&self.path).components().collect();
        ZoneConfig { name: self.name.clone(), path, access: self.access }
    }
}

impl FromStr for ZoneArg {
    type Err = ZoneArgError;

    fn from_str(text: &str) -> Result<Self, ZoneArgError> {
        let (name, path) = text
            .split_once('=')
            .ok_or_else(|| ZoneArgError::NoPath { text: text.chars().take(120).collect() })?;
        let name = ZoneName::parse(name)?;
        let (path, access) = match (path.strip_suffix(":ro"), path.strip_suffix(":rw")) {
            (Some(path), _) => (path, Access::Read),
            (_, Some(path)) => (path, Access::ReadWrite),
            _ => (path, Access::ReadWrite),
        };
        if path.is_empty() {
            return Err(ZoneArgError::EmptyPath { name });
        }
        Ok(Self { name, path: path.into(), access })
    }
}
