//! `edge.toml` as it is written.

use super::{
    Access, Compress, CompressError, ConfigError, EdgeConfig, Limits, MEMORY_MIN, Umask, ZoneConfig,
};
use crate::landing::ZoneName;
use crate::size::ByteSize;
use serde::{Deserialize, Serialize};
use skyspray_certs::RelayAddress;
use skyspray_link::mtu::Mtu;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct EdgeFile {
    relay: RelayTable,
    limits: LimitsTable,
    landing_zone: BTreeMap<ZoneName, ZoneTable>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct RelayTable {
    addresses: Vec<RelayAddress>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct LimitsTable {
    memory: ByteSize,
    compress: Compress,
    mtu: u32,
}

impl Default for LimitsTable {
    fn default() -> Self {
        let Limits { memory, compress, mtu } = Limits::default();
        Self { memory, compress, mtu: mtu.bytes().into() }
    }
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct ZoneTable {
    path: PathBuf,
    #[serde(default = "read_only")]
    allow: Vec<Allow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    umask: Option<Umask>,
}

fn read_only() -> Vec<Allow> {
    vec![Allow::Read]
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Allow {
    Read,
    Write,
}

/// A compression level may stand with or without quotes.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected auto, off or a level from 1 to 19")]
pub(super) enum TextOrNumber {
    Text(String),
    Number(i64),
}

impl TryFrom<TextOrNumber> for Compress {
    type Error = CompressError;

    fn try_from(value: TextOrNumber) -> Result<Self, CompressError> {
        match value {
            TextOrNumber::Text(text) => text.parse(),
            TextOrNumber::Number(number) => number.to_string().parse(),
        }
    }
}

impl EdgeFile {
    pub(super) fn render(&self, path: &Path) -> Result<String, ConfigError> {
        let body = toml::to_string(self)
            .map_err(|source| ConfigError::Unwritable { path: path.to_owned(), source })?;
        Ok(format!("{HEADER}{body}"))
    }
}

impl TryFrom<EdgeFile> for EdgeConfig {
    type Error = ConfigError;

    fn try_from(file: EdgeFile) -> Result<Self, ConfigError> {
        let LimitsTable { memory, compress, mtu } = file.limits;
        if memory < MEMORY_MIN {
            return Err(ConfigError::MemoryTooSmall { found: memory });
        }
        let mtu = Mtu::try_new(mtu).map_err(|source| ConfigError::Mtu { source })?;
        let zones = file
            .landing_zone
            .into_iter()
            .map(|(name, table)| {
                let access =
                    match (table.allow.contains(&Allow::Read), table.allow.contains(&Allow::Write))
                    {
                        (true, true) => Access::ReadWrite,
                        (true, false) => Access::Read,
                        (false, true) => Access::Write,
                        (false, false) => return Err(ConfigError::ZoneUseless { zone: name }),
                    };
                Ok(ZoneConfig { name, path: table.path, access, umask: table.umask })
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            relay_addresses: file.relay.addresses,
            zones: ZoneConfig::check_all(zones)?,
            limits: Limits { memory, compress, mtu },
        })
    }
}

impl From<&EdgeConfig> for EdgeFile {
    fn from(config: &EdgeConfig) -> Self {
        let zone = |zone: &ZoneConfig| {
            let allow = match zone.access {
                Access::Read => vec![Allow::Read],
                Access::Write => vec![Allow::Write],
                Access::ReadWrite => vec![Allow::Read, Allow::Write],
            };
            (zone.name.clone(), ZoneTable { path: zone.path.clone(), allow, umask: zone.umask })
        };
        let Limits { memory, compress, mtu } = config.limits;
        Self {
            relay: RelayTable { addresses: config.relay_addresses.clone() },
            limits: LimitsTable { memory, compress, mtu: mtu.bytes().into() },
            landing_zone: config.zones.iter().map(zone).collect(),
        }
    }
}

const HEADER: &str = "\
# Configuration of this Skyspray edge.
#
# Only what lies in a landing zone can be read or written. A zone is
#   [landing_zone.NAME]
#   path = \"/absolute/directory\"
#   allow = [\"read\", \"write\"]      # \"read\" alone when left out
#   umask = \"022\"                  # of files written there; the process's when left out

";
