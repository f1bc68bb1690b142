//! Where the file of an external or plane name lies, and whether a plane allows it.

use super::error::shown;
use super::external::ExternalPath;
use super::host::Host;
use skyspray_wire::name::PlaneName;
use std::fmt;
use std::num::NonZeroU32;
use thiserror::Error;

/// Whether a path has a directory `.` or `..`, or begins with `~`: HPCC's rule for paths of a request.
///
/// Both `/` and `\` end a directory here, whichever of them the path uses.
pub fn contains_relative_path(path: &str) -> bool {
    path.starts_with('~') || path.split(['/', '\\']).any(|name| name == "." || name == "..")
}

/// A plane as HPCC's configuration has it: a directory, on this system or on hosts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PlaneRoot {
    name: PlaneName,
    prefix: Vec<String>,
    hosts: Vec<Host>,
    devices: NonZeroU32,
}

/// A prefix that is no directory.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error(
    "plane {plane} has the prefix {prefix:?}, expected an absolute directory without `.`, `..` and \
     control characters"
)]
pub struct PlaneRootError {
    plane: PlaneName,
    prefix: String,
}

impl PlaneRoot {
    /// A plane of one device that this system itself mounts at `prefix`.
    ///
    /// # Errors
    ///
    /// The prefix is not absolute, as that of an object store, or leads elsewhere.
    pub fn try_new(name: PlaneName, prefix: &str) -> Result<Self, PlaneRootError> {
        let refused = !prefix.starts_with('/')
            || contains_relative_path(prefix)
            || prefix.chars().any(char::is_control);
        if refused {
            return Err(PlaneRootError { plane: name, prefix: shown(prefix) });
        }
        let prefix = prefix.split('/').filter(|s| !s.is_empty()).map(str::to_owned).collect();
        Ok(Self { name, prefix, hosts: Vec::new(), devices: NonZeroU32::MIN })
    }

    /// The same directory on these hosts, the first of which is asked for a file.
    #[must_use]
    pub fn with_hosts(self, hosts: Vec<Host>) -> Self {
        Self { hosts, ..self }
    }

    /// The same plane with so many devices.
    #[must_use]
    pub fn with_devices(self, devices: NonZeroU32) -> Self {
        Self { devices, ..self }
    }

    /// The plane.
    pub fn name(&self) -> &PlaneName {
        &self.name
    }

    /// Devices of the plane.
    pub fn devices(&self) -> NonZeroU32 {
        self.devices
    }

    fn is_on(&self, host: Option<&Host>) -> bool {
        match host {
            Some(host) => self.hosts.contains(host),
            None => self.hosts.is_empty() || self.hosts.iter().any(Host::is_local),
        }
    }
}

/// The path of a file as HPCC writes it: `/dir/file` here, `//host/dir/file` elsewhere.
///
/// Kept as its directories and file name, none of which is empty, `.`, `..` or has a separator.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PhysicalPath {
    host: Option<Host>,
    names: Vec<String>,
}

impl PhysicalPath {
    /// A path on a host; none when it has wildcards.
    pub(super) fn of_host(host: &Host, path: &ExternalPath) -> Option<Self> {
        let host = Some(host.clone()).filter(|host| !host.is_local());
        (!path.has_wildcards()).then(|| Self { host, names: path.file_names().collect() })
    }

    /// A path below the prefix of a plane; none when it has wildcards.
    pub(super) fn below_root(root: &PlaneRoot, path: &ExternalPath) -> Option<Self> {
        let host = root.hosts.first().filter(|host| !host.is_local()).cloned();
        let names = root.prefix.iter().cloned().chain(path.file_names()).collect();
        (!path.has_wildcards()).then_some(Self { host, names })
    }

    /// The host; none for the system that reads the name.
    pub fn host(&self) -> Option<&Host> {
        self.host.as_ref()
    }

    /// The directories and the file from the root of the host.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The plane that holds the path, and what follows its prefix; the longest prefix decides.
    ///
    /// Prefixes are compared by whole directories: `/data` never holds `/data2/file`. Hosts are
    /// compared as they are written.
    ///
    /// # Errors
    ///
    /// No plane on that host holds it.
    pub fn inside<'a>(
        &'a self,
        planes: &'a [PlaneRoot],
    ) -> Result<(&'a PlaneRoot, &'a [String]), PhysicalError> {
        planes
            .iter()
            .filter(|root| root.is_on(self.host()))
            .filter_map(|root| Some((root, self.names.strip_prefix(root.prefix.as_slice())?)))
            .min_by_key(|(_, rest)| rest.len())
            .ok_or_else(|| PhysicalError::NoPlane { path: shown(&self.to_string()) })
    }
}

impl fmt::Display for PhysicalPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(host) = &self.host {
            write!(f, "//{host}")?;
        }
        write!(f, "/{}", self.names.join("/"))
    }
}

/// Why a name has no path, or a path no plane. Names are cut to 120 characters.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum PhysicalError {
    /// Not the name of a file by its place.
    #[error("{name:?} names no file by its path, expected file::host::dir::name or plane::name::…")]
    NotExternal {
        /// The name.
        name: String,
    },
    /// A name that may match several files.
    #[error("{name:?} has wildcards; list the directory and name one file")]
    Wildcards {
        /// The name.
        name: String,
    },
    /// A plane that is not configured.
    #[error("{name:?} is on the plane {plane}, which is not configured")]
    UnknownPlane {
        /// The name.
        name: String,
        /// The plane.
        plane: PlaneName,
    },
    /// A plane whose files lie on several devices.
    #[error(
        "plane {plane} has {devices} devices; a name plane::{plane}::… is for planes of one device"
    )]
    Devices {
        /// The plane.
        plane: PlaneName,
        /// Its devices.
        devices: NonZeroU32,
    },
    /// A path outside every plane.
    #[error("{path:?} is inside no configured plane of its host")]
    NoPlane {
        /// The path.
        path: String,
    },
}

impl PhysicalError {
    /// The number HPCC gives the same fault.
    pub fn hpcc_number(&self) -> Option<u16> {
        match self {
            Self::NoPlane { .. } => Some(8112),
            Self::UnknownPlane { .. } => Some(8115),
            _ => None,
        }
    }
}
