//! One plane of a values file as a plane of this relay, or why it cannot be one.

use super::super::{Category, PlaneSettings, PlaneTable};
use super::object;
use super::unserved::UnservedReason;
use super::values::{DefaultValues, PlaneValues, StorageValues};
use skyspray_wire::name::PlaneName;
use std::path::{Component, Path};

/// What else of the file and of the relay a plane is read with.
pub(super) struct Around<'a> {
    pub(super) storage: &'a StorageValues,
    /// Holds a directory for each storage secret.
    pub(super) secrets_dir: &'a Path,
    /// Whether the relay's environment has a variable.
    pub(super) is_set: &'a dyn Fn(&str) -> bool,
}

/// A plane that can be served.
pub(super) struct Prepared {
    pub(super) name: PlaneName,
    pub(super) settings: PlaneSettings,
    /// Keys without effect, sorted.
    pub(super) ignored: Vec<String>,
}

/// What becomes of a plane.
pub(super) fn prepare(
    values: &PlaneValues,
    around: &Around<'_>,
) -> Result<Prepared, UnservedReason> {
    if values.disabled {
        return Err(UnservedReason::Disabled);
    }
    let category = category(values, around.storage)?;
    if let Some(hosts) = hosts(values, around.storage) {
        return Err(UnservedReason::Hosts { hosts });
    }
    let name = PlaneName::parse(&values.name).map_err(UnservedReason::Name)?;
    check_device_path(values)?;
    let none = DefaultValues::default();
    let defaults = around.storage.defaults.get(&values.category).unwrap_or(&none);
    let mut table = PlaneTable::new(String::new());
    table.category = category;
    table.default_parts = values.default_spray_parts.or(defaults.default_spray_parts).unwrap_or(1);
    table.devices = values.num_devices.unwrap_or(1);
    table.dir_per_part =
        values.sub_dir_per_file_part.or(defaults.sub_dir_per_file_part).unwrap_or(true);
    table.replication = values.replication.clone();
    match &values.storageapi {
        Some(api) if !values.prefix.starts_with('/') => {
            let plane = object::read((values, api), table.devices, around)?;
            table.url = plane.url;
            table.buckets = Some(plane.buckets);
            table.endpoint = plane.endpoint;
            table.region = plane.region;
            table.account = plane.account;
            table.credentials = Some(plane.credentials.to_owned());
            table.credentials_dir = plane.credentials_dir;
        }
        _ => table.url = directory(values)?,
    }
    let settings = PlaneSettings::try_from(table)?;
    Ok(Prepared { name, settings, ignored: ignored(values) })
}

fn category(values: &PlaneValues, storage: &StorageValues) -> Result<Category, UnservedReason> {
    if let Some(cluster) = storage.cluster_of(&values.name) {
        return Err(UnservedReason::Remote { cluster: cluster.to_owned() });
    }
    match values.category.as_str() {
        "data" => Ok(Category::Data),
        "lz" => Ok(Category::Lz),
        other => Err(UnservedReason::Category { category: other.chars().take(40).collect() }),
    }
}

/// The hosts of a bare-metal plane, in words; `None` when it is not one.
fn hosts(values: &PlaneValues, storage: &StorageValues) -> Option<String> {
    if let Some(group) = &values.host_group {
        let group: String = group.chars().take(80).collect();
        return Some(match storage.hosts_of(&group) {
            Some(hosts) => format!("the {hosts} hosts of group {group}"),
            None => format!("the hosts of group {group}"),
        });
    }
    match values.hosts.as_deref()? {
        [] => None,
        [host] => Some(format!("host {}", host.chars().take(80).collect::<String>())),
        hosts => Some(format!("{} hosts", hosts.len())),
    }
}

/// Devices have a directory `dN` below the prefix when there are several and none when there is
/// one; anything else is no place where HPCC's rule for part paths finds them.
fn check_device_path(values: &PlaneValues) -> Result<(), UnservedReason> {
    let devices = values.num_devices.unwrap_or(1);
    match values.include_device_in_path {
        Some(found) if found != (devices > 1) => {
            Err(UnservedReason::DeviceInPath { found, devices })
        }
        _ => Ok(()),
    }
}

/// The URL of a plane that is a directory, which must be there.
fn directory(values: &PlaneValues) -> Result<String, UnservedReason> {
    if !values.prefix.starts_with('/') {
        let prefix = values.prefix.chars().take(200).collect();
        return Err(UnservedReason::Prefix { prefix, expected: "that of a storageapi" });
    }
    let mut path = Path::new(&values.prefix).to_owned();
    if let Some(below) = below(values)? {
        path.push(below);
    }
    if !path.is_dir() {
        return Err(UnservedReason::NoDirectory { path });
    }
    Ok(format!("file://{}", path.to_str().expect("made from text")))
}

/// `subPath`, if there is one.
pub(super) fn below(values: &PlaneValues) -> Result<Option<&str>, UnservedReason> {
    let Some(path) = values.sub_path.as_deref().filter(|path| !path.is_empty()) else {
        return Ok(None);
    };
    let inside = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    if Path::new(path).components().all(inside) {
        Ok(Some(path))
    } else {
        Err(UnservedReason::SubPath { path: path.chars().take(200).collect() })
    }
}

/// Keys that would change what a cluster does with the plane and change nothing here, and those
/// that are not known.
fn ignored(values: &PlaneValues) -> Vec<String> {
    let known = |key: &str| WITHOUT_MEANING.contains(&key);
    values.others.keys().filter(|key| !known(key)).cloned().collect()
}

/// Keys about mounting, visibility, cost and tuning within the cluster.
const WITHOUT_MEANING: [&str; 20] = [
    "aliases",
    "blockedFileIOKB",
    "blockedRandomIOKB",
    "components",
    "compressLogicalFiles",
    "compression",
    "cost",
    "eclwatchVisible",
    "expert",
    "forcePermissions",
    "hostPath",
    "numMounts",
    "protectGroup",
    "pvc",
    "secret",
    "storageClass",
    "storageMode",
    "storageSize",
    "waitForMount",
    "writeSyncMarginMs",
];
