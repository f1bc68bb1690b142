//! What `storage` looks like in a values file, as far as it says where data is.

use super::HpccError;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;
use std::path::Path;

/// The whole file; other sections are of no interest.
#[derive(Debug, Deserialize)]
struct Values {
    storage: Option<StorageValues>,
}

/// `storage`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StorageValues {
    pub(super) planes: Option<Vec<PlaneValues>>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) host_groups: Vec<HostGroupValues>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) remote: Vec<RemoteValues>,
    /// What planes of a category have where they say nothing.
    #[serde(default, deserialize_with = "or_default")]
    pub(super) defaults: BTreeMap<String, DefaultValues>,
}

/// One of `storage.planes`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PlaneValues {
    pub(super) name: String,
    pub(super) category: String,
    pub(super) prefix: String,
    pub(super) sub_path: Option<String>,
    #[serde(default)]
    pub(super) disabled: bool,
    pub(super) num_devices: Option<u32>,
    pub(super) include_device_in_path: Option<bool>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) replication: Vec<String>,
    pub(super) default_spray_parts: Option<u32>,
    pub(super) sub_dir_per_file_part: Option<bool>,
    pub(super) host_group: Option<String>,
    pub(super) hosts: Option<Vec<String>>,
    pub(super) storageapi: Option<ApiValues>,
    #[serde(flatten)]
    pub(super) others: BTreeMap<String, IgnoredAny>,
}

/// One of `storage.defaults`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DefaultValues {
    pub(super) default_spray_parts: Option<u32>,
    pub(super) sub_dir_per_file_part: Option<bool>,
}

/// `storageapi` of a plane.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApiValues {
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) managed: bool,
    pub(super) account: Option<String>,
    pub(super) secret: Option<String>,
    pub(super) region: Option<String>,
    pub(super) endpoint: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) containers: Vec<ContainerValues>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) buckets: Vec<ContainerValues>,
}

/// One of `containers` or `buckets`: where one device is.
#[derive(Debug, Deserialize)]
pub(super) struct ContainerValues {
    pub(super) name: String,
    pub(super) account: Option<String>,
    pub(super) secret: Option<String>,
}

/// One of `storage.hostGroups`: hosts, or a number of those of another group.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HostGroupValues {
    name: String,
    #[serde(default, deserialize_with = "or_default")]
    hosts: Vec<String>,
    count: Option<u32>,
}

/// One of `storage.remote`.
#[derive(Debug, Deserialize)]
pub(super) struct RemoteValues {
    name: String,
    #[serde(default, deserialize_with = "or_default")]
    planes: Vec<RemotePlaneValues>,
}

/// A plane of another cluster and what it is called here.
#[derive(Debug, Deserialize)]
struct RemotePlaneValues {
    local: String,
}

impl StorageValues {
    /// Reads the text of a values file; `path` is for messages.
    pub(super) fn parse(text: &str, path: &Path) -> Result<Self, HpccError> {
        let values: Values = serde_saphyr::from_str(text).map_err(|error| {
            let error = error.without_snippet();
            let line = error.location().map_or(0, |location| location.line());
            let message: String = error.to_string().chars().take(MESSAGE_CHARS_MAX).collect();
            let message = message.replace('\n', ", ");
            HpccError::Syntax { path: path.to_owned(), line, message }
        })?;
        Ok(values.storage.unwrap_or_default())
    }

    /// How many hosts a group has, where the file says so.
    pub(super) fn hosts_of(&self, group: &str) -> Option<usize> {
        let group = self.host_groups.iter().find(|found| found.name == group)?;
        match group.count {
            Some(count) => usize::try_from(count).ok(),
            None => Some(group.hosts.len()).filter(|&hosts| hosts > 0),
        }
    }

    /// The remote cluster a plane of this name belongs to.
    pub(super) fn cluster_of(&self, plane: &str) -> Option<&str> {
        self.remote_planes().find(|&(_, local)| local == plane).map(|(cluster, _)| cluster)
    }

    /// Remote clusters and local names of their planes.
    pub(super) fn remote_planes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.remote.iter().flat_map(|cluster| {
            cluster.planes.iter().map(|plane| (cluster.name.as_str(), plane.local.as_str()))
        })
    }
}

/// A key that stands there without a value is one that is left out.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Most characters of what the parser says that are shown.
const MESSAGE_CHARS_MAX: usize = 300;
