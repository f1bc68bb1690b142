//! The planes of an HPCC Systems Helm values file (`storage.planes`), as planes of this relay.
//!
//! Every plane of the file is either served or listed with the reason why not; none is dropped.
//! Nothing outside this module knows what the file looks like.

mod object;
mod served;
#[cfg(test)]
mod tests;
mod unserved;
mod values;

pub use unserved::{Unserved, UnservedReason};

use super::{ConfigError, PlaneSettings};
use served::{Around, Prepared};
use skyspray_wire::name::PlaneName;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::{fs, io};
use thiserror::Error;
use values::{PlaneValues, StorageValues};

/// Where a cluster's components find the secrets of storage planes, one directory for each.
pub const SECRETS_DIR: &str = "/opt/HPCCSystems/secrets/storage";

/// Largest values file that is read, in bytes: 4 MiB, some 40 times the one HPCC comes with.
const VALUES_BYTES_MAX: u64 = 4 << 20;

/// Most planes, host groups and remote clusters of one file.
const ENTRIES_MAX: usize = 4096;

/// What a values file says of planes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct HpccPlanes {
    /// Planes this relay can serve.
    pub served: BTreeMap<PlaneName, PlaneSettings>,
    /// Planes it cannot, by name as the file has it.
    pub unserved: BTreeMap<String, Unserved>,
    /// What is said of planes that are served and has no effect here.
    pub ignored: Vec<Ignored>,
}

/// Keys of a served plane that have no effect here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ignored {
    /// The plane.
    pub plane: PlaneName,
    /// The keys, sorted.
    pub keys: Vec<String>,
}

/// Why a values file cannot be used. For the operator to correct.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HpccError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is larger than any values file.
    #[error("{} is larger than {VALUES_BYTES_MAX} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file is no YAML, or a key of `storage` has a value that cannot be.
    #[error("{} line {line}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1; 0 where the parser knows none.
        line: u64,
        /// What the parser says.
        message: String,
    },
    /// The file has no list `storage.planes`.
    #[error("{} has no list storage.planes", path.display())]
    NoPlanes {
        /// The file.
        path: PathBuf,
    },
    /// More planes than a cluster has.
    #[error("{} has {found} entries in {key}, at most {ENTRIES_MAX} are read", path.display())]
    TooMany {
        /// The file.
        path: PathBuf,
        /// The list.
        key: &'static str,
        /// How many.
        found: usize,
    },
    /// Two planes have one name.
    #[error("{} has two planes named {name:?}", path.display())]
    NamedTwice {
        /// The file.
        path: PathBuf,
        /// The name, cut to 80 characters.
        name: String,
    },
}

impl HpccPlanes {
    /// Reads the values file at `path`. `secrets_dir` holds a directory for each storage secret.
    ///
    /// # Errors
    ///
    /// The operator's mistake; see [`HpccError`].
    pub fn load(path: &Path, secrets_dir: &Path) -> Result<Self, HpccError> {
        let failed = |source| HpccError::Read { path: path.to_owned(), source };
        let file = fs::File::open(path).map_err(failed)?;
        let mut text = String::new();
        file.take(VALUES_BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
        if text.len() as u64 > VALUES_BYTES_MAX {
            return Err(HpccError::TooLarge { path: path.to_owned() });
        }
        let storage = StorageValues::parse(&text, path)?;
        let is_set = |variable: &str| std::env::var_os(variable).is_some();
        Self::read(path, &Around { storage: &storage, secrets_dir, is_set: &is_set })
    }

    /// Takes all planes; `path` is for messages.
    fn read(path: &Path, around: &Around<'_>) -> Result<Self, HpccError> {
        let storage = around.storage;
        let planes =
            storage.planes.as_ref().ok_or_else(|| HpccError::NoPlanes { path: path.to_owned() })?;
        let lists = [
            ("storage.planes", planes.len()),
            ("storage.hostGroups", storage.host_groups.len()),
            ("storage.remote", storage.remote.len()),
        ];
        if let Some((key, found)) = lists.into_iter().find(|&(_, found)| found > ENTRIES_MAX) {
            return Err(HpccError::TooMany { path: path.to_owned(), key, found });
        }
        let mut read = Self::default();
        for values in planes {
            if !read.take(values, around) {
                let name = values.name.chars().take(80).collect();
                return Err(HpccError::NamedTwice { path: path.to_owned(), name });
            }
        }
        read.take_remote(storage);
        Ok(read)
    }

    /// Adds these planes to those of `relay.toml`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::PlaneTwice`]: both have a plane of one name.
    pub(super) fn add_to(
        &self,
        planes: &mut BTreeMap<PlaneName, PlaneSettings>,
    ) -> Result<(), ConfigError> {
        let named = planes.keys().find(|name| {
            self.served.contains_key(*name) || self.unserved.contains_key(name.as_str())
        });
        if let Some(plane) = named {
            return Err(ConfigError::PlaneTwice { plane: plane.clone() });
        }
        planes.extend(self.served.clone());
        Ok(())
    }

    /// Says once what is not served and what has no effect.
    pub(crate) fn log(&self) {
        for (plane, Unserved { category, reason }) in &self.unserved {
            let reason = reason as &dyn std::error::Error;
            tracing::warn!(plane, category, reason, "plane of the values file is not served");
        }
        for Ignored { plane, keys } in &self.ignored {
            let keys = keys.join(" ");
            tracing::warn!(%plane, keys, "keys of the values file have no effect here");
        }
    }

    /// Files one plane under what becomes of it. Returns `false` when its name is taken.
    fn take(&mut self, values: &PlaneValues, around: &Around<'_>) -> bool {
        let name = &values.name;
        let taken = |plane: &PlaneName| plane.as_str() == name;
        if self.unserved.contains_key(name) || self.served.keys().any(taken) {
            return false;
        }
        match served::prepare(values, around) {
            Ok(Prepared { name, settings, ignored }) => {
                if !ignored.is_empty() {
                    self.ignored.push(Ignored { plane: name.clone(), keys: ignored });
                }
                self.served.insert(name, settings);
            }
            Err(reason) => {
                let category = values.category.clone();
                self.unserved.insert(name.clone(), Unserved { category, reason });
            }
        }
        true
    }

    /// Planes of remote clusters that `storage.planes` does not describe itself.
    fn take_remote(&mut self, storage: &StorageValues) {
        for (cluster, local) in storage.remote_planes() {
            let served = self.served.keys().any(|plane| plane.as_str() == local);
            if served || self.unserved.contains_key(local) {
                continue;
            }
            let reason = UnservedReason::Remote { cluster: cluster.to_owned() };
            let category = "remote".to_owned();
            self.unserved.insert(local.to_owned(), Unserved { category, reason });
        }
    }
}
