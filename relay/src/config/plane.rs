//! `[plane.NAME]`: one plane as written and as used.

use super::object::{Checksum, ObjectConfigError, ObjectSettings};
use crate::plane::{Layout, PlaneUrl, PlaneUrlError};
use serde::Deserialize;
use skyspray_wire::limits::PARTS_MAX;
use skyspray_wire::name::{LabelError, PlaneName};
use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;
use thiserror::Error;

/// `[plane.NAME]` as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaneTable {
    /// Where the plane is: `file:///path`, `s3://bucket/prefix`, `azure://container/prefix` or
    /// `gs://bucket/prefix`.
    pub url: String,
    /// How the parts of a logical file are laid out: `hpcc` or `generation`.
    #[serde(default = "default_layout")]
    pub layout: String,
    /// Generations of a logical file that stay stored with the `generation` layout.
    pub keep_generations: Option<u32>,
    /// What the plane is for.
    #[serde(default)]
    pub category: Category,
    /// Parts of a spray that does not say how many.
    #[serde(default = "one")]
    pub default_parts: u32,
    /// Devices that parts are spread over (HPCC's `numDevices`).
    #[serde(default = "one")]
    pub devices: u32,
    /// Whether each part has a directory of its own (HPCC's `subDirPerFilePart`).
    #[serde(default = "yes")]
    pub dir_per_part: bool,
    /// Objects: buckets or containers, one for each device; the first is the one of `url`.
    pub buckets: Option<Vec<String>>,
    /// Objects: URL of the service.
    pub endpoint: Option<String>,
    /// S3: the region.
    pub region: Option<String>,
    /// Azure: the storage account.
    pub account: Option<String>,
    /// Objects: where the right to use them comes from.
    pub credentials: Option<String>,
    /// Objects: the directory of static credentials.
    pub credentials_dir: Option<PathBuf>,
    /// Objects: PEM file of the only authorities to trust.
    pub ca_file: Option<PathBuf>,
    /// Objects: whether an `http://` endpoint may be used.
    pub allow_http: Option<bool>,
    /// S3: whether the bucket stands in the path.
    pub path_style: Option<bool>,
    /// S3: the checksum of written bytes.
    pub checksum: Option<Checksum>,
    /// Objects: requests under way at once for each bucket.
    pub concurrency: Option<u32>,
    /// Planes that copies of its logical files go to.
    #[serde(default)]
    pub replication: Vec<String>,
}

impl PlaneTable {
    /// A plane with every key at its default and `url` to be filled in.
    pub(super) fn new(url: String) -> Self {
        Self {
            url,
            layout: default_layout(),
            keep_generations: None,
            category: Category::default(),
            default_parts: one(),
            devices: one(),
            dir_per_part: yes(),
            buckets: None,
            endpoint: None,
            region: None,
            account: None,
            credentials: None,
            credentials_dir: None,
            ca_file: None,
            allow_http: None,
            path_style: None,
            checksum: None,
            concurrency: None,
            replication: Vec::new(),
        }
    }
}

fn default_layout() -> String {
    "hpcc".to_owned()
}

fn one() -> u32 {
    1
}

fn yes() -> bool {
    true
}

/// What a plane is for.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    /// Logical files and plain files.
    #[default]
    Data,
    /// Plain files only: sprays are refused.
    Lz,
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Data => "data",
            Self::Lz => "lz",
        })
    }
}

/// One plane, known to be described completely. Whether it is there is not known.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PlaneSettings {
    /// Where it is.
    pub url: PlaneUrl,
    /// How its buckets are reached; `None` exactly for a plane of files.
    pub object: Option<ObjectSettings>,
    /// Where the parts of new logical files lie.
    pub layout: Layout,
    /// What it is for.
    pub category: Category,
    /// Parts of a spray that does not say how many.
    pub default_parts: NonZeroU32,
    /// Planes that copies of its logical files go to, in this order.
    pub replication: Vec<PlaneName>,
}

/// Why a plane's table cannot be used.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum PlaneConfigError {
    /// The URL is not usable.
    #[error(transparent)]
    Url(#[from] PlaneUrlError),
    /// A key of planes of objects is not usable.
    #[error(transparent)]
    Object(#[from] ObjectConfigError),
    /// A layout that this version does not have.
    #[error("layout {layout:?} is not supported, expected hpcc or generation")]
    LayoutUnsupported {
        /// The layout, cut to 40 characters.
        layout: String,
    },
    /// A plane that copies go to has no usable name.
    #[error("replication names an unusable plane")]
    Replication(#[source] LabelError),
    /// A key of the other layout.
    #[error("keep_generations needs layout = \"generation\"")]
    KeepWithoutGenerations,
    /// A count outside its range.
    #[error("{key} is {found}, expected 1 to {max}")]
    OutOfRange {
        /// The key.
        key: &'static str,
        /// What it is set to.
        found: u32,
        /// The most it may be.
        max: u32,
    },
}

impl TryFrom<PlaneTable> for PlaneSettings {
    type Error = PlaneConfigError;

    fn try_from(table: PlaneTable) -> Result<Self, PlaneConfigError> {
        let count = |key, found: u32, max| match NonZeroU32::new(found) {
            Some(count) if found <= max => Ok(count),
            _ => Err(PlaneConfigError::OutOfRange { key, found, max }),
        };
        let url = table.url.parse()?;
        let devices = count("devices", table.devices, DEVICES_MAX)?;
        let keep_generations = match (table.layout.as_str(), table.keep_generations) {
            ("generation", keep) => {
                Some(count("keep_generations", keep.unwrap_or(1), KEEP_GENERATIONS_MAX)?)
            }
            ("hpcc", None) => None,
            ("hpcc", Some(_)) => return Err(PlaneConfigError::KeepWithoutGenerations),
            (layout, _) => {
                let layout = layout.chars().take(40).collect();
                return Err(PlaneConfigError::LayoutUnsupported { layout });
            }
        };
        let replication = table
            .replication
            .iter()
            .map(|plane| PlaneName::parse(plane).map_err(PlaneConfigError::Replication))
            .collect::<Result<_, _>>();
        Ok(Self {
            object: table.object(&url, devices)?,
            url,
            layout: Layout { devices, dir_per_part: table.dir_per_part, keep_generations },
            category: table.category,
            default_parts: count("default_parts", table.default_parts, PARTS_MAX)?,
            replication: replication?,
        })
    }
}

/// Most devices of one plane.
const DEVICES_MAX: u32 = 65_536;

/// Most generations of one logical file that are kept.
const KEEP_GENERATIONS_MAX: u32 = 1000;

/// `NAME=URL` of the command line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PlaneArg {
    /// The plane.
    pub name: PlaneName,
    /// Where it is.
    pub url: PlaneUrl,
}

/// Why a text is not `NAME=URL`.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum PlaneArgError {
    /// There is no `=`.
    #[error("{text:?} is not of the form NAME=URL")]
    Form {
        /// The text, cut to 200 characters.
        text: String,
    },
    /// The part before it is no name.
    #[error(transparent)]
    Name(#[from] LabelError),
    /// The part after it is no URL.
    #[error(transparent)]
    Url(#[from] PlaneUrlError),
}

impl FromStr for PlaneArg {
    type Err = PlaneArgError;

    fn from_str(text: &str) -> Result<Self, PlaneArgError> {
        let form = || PlaneArgError::Form { text: text.chars().take(200).collect() };
        let (name, url) = text.split_once('=').ok_or_else(form)?;
        Ok(Self { name: PlaneName::parse(name)?, url: url.parse()? })
    }
}
