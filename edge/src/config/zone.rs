//! One landing zone: in the configuration, and as `--landing-zone` names it.

use super::ConfigError;
use crate::landing::{ZoneName, ZoneNameError};
use serde::{Deserialize, Serialize};
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
    /// What is taken off the modes of what is made in it; that of the process if there is none.
    pub umask: Option<Umask>,
}

/// Permission bits that what is made does not get.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Umask(u32);

/// A text that is no umask.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("umask {text:?} is not three octal digits such as \"022\", the first of them 0")]
pub struct UmaskError {
    text: String,
}

impl Umask {
    /// The bits, those of others lowest.
    pub fn bits(self) -> u32 {
        self.0
    }
}

impl TryFrom<String> for Umask {
    type Error = UmaskError;

    fn try_from(text: String) -> Result<Self, UmaskError> {
        let digits = text.strip_prefix('0').filter(|rest| rest.len() == 3).unwrap_or(&text);
        let is_octal = digits.len() == 3 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
        // An owner without all rights could not go on with what was begun.
        match u32::from_str_radix(digits, 8) {
            Ok(bits) if is_octal && bits & 0o700 == 0 => Ok(Self(bits)),
            _ => Err(UmaskError { text: text.chars().take(20).collect() }),
        }
    }
}

impl From<Umask> for String {
    fn from(umask: Umask) -> Self {
        format!("{:03o}", umask.0)
    }
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
        ZoneConfig { name: self.name.clone(), path, access: self.access, umask: None }
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
