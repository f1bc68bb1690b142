//! Landing zones: which local paths may be touched, and how a path a person wrote becomes one.

use crate::config::{Access, EdgeConfig, ZoneConfig};
use crate::exit::{Exit, Explain};
use skyspray_link::seam::files::{Escaped, OsTree, PathError, RelPath, RootError, Tree};
use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

mod name;

pub use name::{ZoneName, ZoneNameError};

/// What is to be done with a path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Want {
    /// Read it: spray, push, plan.
    Read,
    /// Write it: despray, pull.
    Write,
}

/// A path inside a landing zone, with the tree through which alone it is reached.
#[derive(Clone, Debug)]
pub struct LandingPath {
    /// The zone.
    pub zone: ZoneName,
    /// The zone's directory.
    pub tree: Arc<dyn Tree>,
    /// The path below it; the root for the zone itself.
    pub path: RelPath,
}

impl LandingPath {
    /// The same zone, another path in it.
    pub fn with_path(&self, path: RelPath) -> Self {
        Self { zone: self.zone.clone(), tree: self.tree.clone(), path }
    }

    /// The path a person wrote as `below`, relative to the directory that holds this one.
    ///
    /// # Errors
    ///
    /// The person's mistake: `below` is empty, absolute, climbs, or is too long or deep.
    pub fn beside(&self, below: &OsStr) -> Result<Self, LandingError> {
        let directory = self.path.parent().unwrap_or_default();
        let path = RelPath::parse(below).and_then(|below| directory.join_path(&below));
        let path = path.map_err(|source| path_error(Path::new(below), source))?;
        Ok(self.with_path(path))
    }
}

/// `zone:path`, escaped, as every message shows it and every command takes it.
impl fmt::Display for LandingPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_root() {
            write!(f, "{}:", self.zone)
        } else {
            write!(f, "{}:{}", self.zone, self.path)
        }
    }
}

/// The landing zones of this edge. A zone's directory is opened when a path in it is asked for, so
/// one that is not mounted does not stand in the way of the others.
#[derive(Clone, Debug)]
pub struct LandingZones {
    zones: Vec<ZoneConfig>,
}

impl LandingZones {
    /// The zones of a configuration.
    pub fn new(config: &EdgeConfig) -> Self {
        Self { zones: config.zones.clone() }
    }

    /// Takes a path as a person wrote it: `ZONE:relative`, or a plain path, relative to `cwd` or
    /// absolute, that lies inside a zone. Of zones inside each other the innermost counts.
    ///
    /// No symlink in the part below the zone is followed, here or later; what the path names is
    /// not looked at.
    ///
    /// # Errors
    ///
    /// The path is the user's mistake, the zones are the operator's; see [`LandingError`].
    pub fn resolve(
        &self,
        argument: &Path,
        cwd: &Path,
        want: Want,
    ) -> Result<LandingPath, LandingError> {
        let (name, path) = self.locate(argument, cwd)?;
        self.open(&name, path, want)
    }

    /// The zone and the path in it that [`LandingZones::resolve`] takes a path for, without
    /// looking whether there is such a zone.
    ///
    /// # Errors
    ///
    /// As for [`LandingZones::resolve`], as far as the path goes.
    pub fn locate(&self, argument: &Path, cwd: &Path) -> Result<(ZoneName, RelPath), LandingError> {
        match split_zone(argument.as_os_str()) {
            Some((name, below)) => Ok((name, parse(argument, below)?)),
            None => self.locate_plain(argument, cwd),
        }
    }

    /// The path at `path` in the zone `name`, as a journal remembers it.
    ///
    /// # Errors
    ///
    /// As for [`LandingZones::resolve`]: the configuration may have changed since.
    pub fn open(
        &self,
        name: &ZoneName,
        path: RelPath,
        want: Want,
    ) -> Result<LandingPath, LandingError> {
        let zone = self.zones.iter().find(|zone| zone.name == *name).ok_or_else(|| {
            LandingError::UnknownZone { zone: name.clone(), zones: ZoneList::of(&self.zones) }
        })?;
        let zone_name = || zone.name.clone();
        match (want, zone.access) {
            (Want::Write, Access::Read) => {
                return Err(LandingError::ReadOnlyZone { zone: zone_name() });
            }
            (Want::Read, Access::Write) => {
                return Err(LandingError::WriteOnlyZone { zone: zone_name() });
            }
            _ => {}
        }
        let tree = OsTree::open(&zone.path)
            .map_err(|source| LandingError::Root { zone: zone_name(), source })?;
        let tree = match zone.umask {
            Some(umask) => tree.with_umask(umask.bits()),
            None => tree,
        };
        Ok(LandingPath { zone: zone_name(), tree: Arc::new(tree), path })
    }

    fn locate_plain(
        &self,
        argument: &Path,
        cwd: &Path,
    ) -> Result<(ZoneName, RelPath), LandingError> {
        if argument.as_os_str().is_empty() {
            return Err(path_error(argument, PathError::EmptyPath));
        }
        if argument.components().any(|component| component == Component::ParentDir) {
            return Err(LandingError::Escapes { path: argument.to_owned() });
        }
        let whole = cwd.join(argument);
        let (zone, below) = self
            .zones
            .iter()
            .filter_map(|zone| Some((zone, below_root(&whole, &zone.path)?)))
            .min_by_key(|(_, below)| below.components().count())
            .ok_or_else(|| LandingError::NotInAnyZone {
                path: whole.clone(),
                zones: ZoneList::of(&self.zones),
            })?;
        Ok((zone.name.clone(), parse(argument, below.as_os_str())?))
    }
}

/// What is left of `whole` below `root`, by components; `root` counts both as it is configured
/// and as the host names it, which is how a shell inside it sees it.
fn below_root(whole: &Path, root: &Path) -> Option<PathBuf> {
    if let Ok(below) = whole.strip_prefix(root) {
        return Some(below.to_owned());
    }
    let physical = root.canonicalize().ok()?;
    whole.strip_prefix(physical).ok().map(Path::to_owned)
}

fn split_zone(argument: &OsStr) -> Option<(ZoneName, &OsStr)> {
    let bytes = argument.as_bytes();
    let colon = bytes.iter().position(|&byte| byte == b':')?;
    let name = std::str::from_utf8(&bytes[..colon]).ok()?;
    Some((ZoneName::parse(name).ok()?, OsStr::from_bytes(&bytes[colon + 1..])))
}

fn parse(argument: &Path, below: &OsStr) -> Result<RelPath, LandingError> {
    if below.is_empty() {
        return Ok(RelPath::root());
    }
    RelPath::parse(below).map_err(|source| path_error(argument, source))
}

fn path_error(argument: &Path, source: PathError) -> LandingError {
    let path = argument.to_owned();
    match source {
        PathError::ParentComponent => LandingError::Escapes { path },
        source => LandingError::Path { path, source },
    }
}

/// The zones there are, for messages.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ZoneList(Vec<(ZoneName, PathBuf)>);

impl ZoneList {
    fn of(zones: &[ZoneConfig]) -> Self {
        Self(zones.iter().map(|zone| (zone.name.clone(), zone.path.clone())).collect())
    }
}

impl fmt::Display for ZoneList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("there are none");
        }
        for (index, (name, path)) in self.0.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{name} ({})", Escaped(path.as_os_str()))?;
        }
        Ok(())
    }
}

/// Why a path cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LandingError {
    /// No landing zone holds the path.
    #[error("{} lies in no landing zone; landing zones: {zones}", Escaped(path.as_os_str()))]
    NotInAnyZone {
        /// The path, absolute.
        path: PathBuf,
        /// The zones there are.
        zones: ZoneList,
    },
    /// No zone has this name.
    #[error("landing zone {zone} is not configured; landing zones: {zones}")]
    UnknownZone {
        /// The name.
        zone: ZoneName,
        /// The zones there are.
        zones: ZoneList,
    },
    /// The path contains `..`.
    #[error("{} contains `..`, which no path in a landing zone may", Escaped(path.as_os_str()))]
    Escapes {
        /// The path as it was given.
        path: PathBuf,
    },
    /// The zone may only be read.
    #[error("landing zone {zone} does not allow write")]
    ReadOnlyZone {
        /// The zone.
        zone: ZoneName,
    },
    /// The zone may only be written.
    #[error("landing zone {zone} does not allow read")]
    WriteOnlyZone {
        /// The zone.
        zone: ZoneName,
    },
    /// The path is empty, too long or otherwise unusable.
    #[error("{} is no path in a landing zone", Escaped(path.as_os_str()))]
    Path {
        /// The path as it was given.
        path: PathBuf,
        /// The rule it breaks.
        source: PathError,
    },
    /// The directory of the zone cannot be used.
    #[error("landing zone {zone} cannot be opened")]
    Root {
        /// The zone.
        zone: ZoneName,
        /// Why.
        source: RootError,
    },
}

impl Explain for LandingError {
    fn exit(&self) -> Exit {
        Exit::Usage
    }

    fn code(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::NotInAnyZone { .. } => "path-outside-zones",
            Self::UnknownZone { .. } => "zone-unknown",
            Self::Escapes { .. } => "path-escapes",
            Self::ReadOnlyZone { .. } => "zone-read-only",
            Self::WriteOnlyZone { .. } => "zone-write-only",
            Self::Path { .. } => "path-invalid",
            Self::Root { .. } => "zone-unusable",
        })
    }

    fn advice(&self) -> Option<String> {
        match self {
            Self::NotInAnyZone { .. } => {
                Some("move the file into a zone, or add [landing_zone.NAME] to edge.toml".into())
            }
            Self::UnknownZone { .. } => Some(
                "name one of these; a file whose name contains `:` is written ./NAME:REST".into(),
            ),
            Self::ReadOnlyZone { zone } => {
                Some(format!("allow it: allow = [\"read\", \"write\"] in [landing_zone.{zone}]"))
            }
            Self::WriteOnlyZone { zone } => {
                Some(format!("allow it: add \"read\" to allow in [landing_zone.{zone}]"))
            }
            Self::Root { .. } => Some("mount or make the directory, or correct edge.toml".into()),
            Self::Escapes { .. } | Self::Path { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests;
