//! Names as HPCC writes them: logical files, and files of other systems, hosts and planes.
//!
//! What a relay can store is a [`LogicalName`]; every other kind is told apart here, so that a
//! command can say what to do about it. No name becomes a path by itself: see [`PhysicalPath`].

mod error;
mod external;
mod host;
mod list;
mod parse;
mod physical;
mod s3;

#[cfg(test)]
mod tests;

pub use error::{NameError, NotStored, PathFault};
pub use external::ExternalPath;
pub use host::{Host, HostError};
pub use physical::{
    PhysicalError, PhysicalPath, PlaneRoot, PlaneRootError, contains_relative_path,
};
pub use s3::{S3Name, S3NameError, S3Object};

use error::shown;
use list::ListText;
use parse::{Wildcards, parse_one};
use skyspray_wire::name::{LogicalName, PlaneName};

/// A name by HPCC's rules, normalised.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HpccName {
    text: String,
    cluster: Option<String>,
    kind: NameKind,
}

/// What a name stands for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NameKind {
    /// A file of the catalogue.
    Logical(LogicalName),
    /// The files of the catalogue that match; in a list only, with `*` and `?`, normalised.
    Pattern(String),
    /// A file of the catalogue of another system: `foreign::server::scope::name`.
    Foreign {
        /// That system's Dali.
        server: Host,
        /// The name there.
        name: LogicalName,
    },
    /// A file behind a remote service of HPCC's configuration: `remote::service::scope::name`.
    Remote {
        /// The service, in lower case.
        service: String,
        /// The name there.
        name: LogicalName,
    },
    /// A file of a host: `file::host::dir::name`.
    External {
        /// The host.
        host: Host,
        /// The path there, as written.
        path: ExternalPath,
    },
    /// What a host answers to a query: `file::host::>query`.
    Query {
        /// The host.
        host: Host,
        /// The query without its `>`, as written.
        query: String,
    },
    /// A file of a plane: `plane::name::dir::name`.
    Plane {
        /// The plane.
        plane: PlaneName,
        /// The path below its prefix; empty for the prefix itself.
        path: ExternalPath,
    },
    /// Several names: `{a,b}` or `scope::{a,b}`; never a list in a list.
    Multi(Vec<HpccName>),
}

impl HpccName {
    /// Normalises a name and tells what it stands for.
    ///
    /// Lower case, no blanks around scopes, no `.` scopes; one `~` in front and one `@cluster` behind
    /// are not part of the name. A query keeps its text.
    ///
    /// # Errors
    ///
    /// Whoever chose the name is at fault; see [`NameError`].
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let Some(list) = ListText::find(text) else { return parse_one(text, Wildcards::Refused) };
        let names = list.parse()?;
        let text = names.iter().map(HpccName::as_str).collect::<Vec<_>>().join(",");
        Ok(Self { text: format!("{{{text}}}"), cluster: None, kind: NameKind::Multi(names) })
    }

    /// The normalised name without its cluster; a list as `{a,b}`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The cluster whose copy is meant, in lower case.
    pub fn cluster(&self) -> Option<&str> {
        self.cluster.as_deref()
    }

    /// What the name stands for.
    pub fn kind(&self) -> &NameKind {
        &self.kind
    }

    /// All before the last `::`, with server, host, service or plane; `.` for a file in no scope.
    ///
    /// None for a list and for a plane without a path.
    pub fn scopes(&self) -> Option<&str> {
        let end = match &self.kind {
            NameKind::Multi(_) => None,
            NameKind::Plane { path, .. } if path.segments().is_empty() => None,
            NameKind::Query { .. } => self.text.find("::>"),
            _ => self.text.rfind("::"),
        };
        end.map(|end| &self.text[..end])
    }

    /// The name under which a relay stores the file.
    ///
    /// # Errors
    ///
    /// The name is of another kind: [`NotStored`] says how to reach such a file.
    pub fn logical(&self) -> Result<&LogicalName, NotStored> {
        let name = shown(&self.text);
        Err(match &self.kind {
            NameKind::Logical(logical) => return Ok(logical),
            NameKind::Pattern(_) => NotStored::Pattern { name },
            NameKind::Foreign { server, .. } => {
                NotStored::Foreign { name, server: server.to_string() }
            }
            NameKind::Remote { service, .. } => {
                NotStored::Remote { name, service: service.clone() }
            }
            NameKind::External { host, .. } | NameKind::Query { host, .. } => {
                NotStored::External { name, host: host.to_string() }
            }
            NameKind::Plane { plane, .. } => NotStored::Plane { name, plane: plane.clone() },
            NameKind::Multi(names) => NotStored::Multi { name, names: names.len() },
        })
    }

    /// Where HPCC finds an external or plane file, of the planes it knows.
    ///
    /// The path is not yet allowed: a caller looks it up with [`PhysicalPath::inside`], or in its
    /// landing zones, before it touches anything.
    ///
    /// # Errors
    ///
    /// [`PhysicalError`]: the name is of another kind, has wildcards, or its plane is unknown or has
    /// no single place.
    pub fn physical_path(&self, planes: &[PlaneRoot]) -> Result<PhysicalPath, PhysicalError> {
        match &self.kind {
            NameKind::External { host, path } => {
                PhysicalPath::of_host(host, path).ok_or_else(|| self.wildcards())
            }
            NameKind::Plane { plane, path } => {
                let root = planes.iter().find(|root| root.name() == plane).ok_or_else(|| {
                    PhysicalError::UnknownPlane { name: shown(&self.text), plane: plane.clone() }
                })?;
                if root.devices().get() > 1 {
                    return Err(PhysicalError::Devices {
                        plane: plane.clone(),
                        devices: root.devices(),
                    });
                }
                PhysicalPath::below_root(root, path).ok_or_else(|| self.wildcards())
            }
            _ => Err(PhysicalError::NotExternal { name: shown(&self.text) }),
        }
    }

    fn wildcards(&self) -> PhysicalError {
        PhysicalError::Wildcards { name: shown(&self.text) }
    }
}

impl std::fmt::Display for HpccName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::str::FromStr for HpccName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }
}
