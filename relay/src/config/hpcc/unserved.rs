//! Why a plane of a values file is not served.

use super::super::PlaneConfigError;
use skyspray_wire::name::LabelError;
use std::path::PathBuf;
use thiserror::Error;

/// A plane of a values file that this relay does not serve.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unserved {
    /// What the file says it is for.
    pub category: String,
    /// Why it is not served.
    pub reason: UnservedReason,
}

/// Why a plane is not served.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum UnservedReason {
    /// The values file says so.
    #[error("it is disabled")]
    Disabled,
    /// A plane of another purpose than data and landing zones.
    #[error("its category is {category}, only data and lz are served")]
    Category {
        /// The category, cut to 40 characters.
        category: String,
    },
    /// A plane of another cluster.
    #[error("it belongs to the remote cluster {cluster}")]
    Remote {
        /// The cluster.
        cluster: String,
    },
    /// A bare-metal plane.
    #[error("its data lies on {hosts}, reached only by the file servers there")]
    Hosts {
        /// Which hosts, in words.
        hosts: String,
    },
    /// Its name is none this relay can have.
    #[error("its name cannot be used")]
    Name(#[source] LabelError),
    /// No directory on this host.
    #[error("its directory {} is not there", path.display())]
    NoDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// The prefix is neither an absolute directory nor the plane's own object store.
    #[error("its prefix {prefix:?} is neither an absolute path nor {expected}")]
    Prefix {
        /// The prefix, cut to 200 characters.
        prefix: String,
        /// What it could be.
        expected: &'static str,
    },
    /// The path below the prefix leaves it.
    #[error("its subPath {path:?} is not a relative path without ..")]
    SubPath {
        /// The path, cut to 200 characters.
        path: String,
    },
    /// The directory of a device is not where HPCC's rule for parts has it.
    #[error("includeDeviceInPath is {found} with numDevices {devices}")]
    DeviceInPath {
        /// What it is set to.
        found: bool,
        /// The number of devices.
        devices: u32,
    },
    /// A kind of object store that this relay has no client for.
    #[error("storageapi type {kind:?} is not supported, expected s3 or azureblob")]
    ApiKind {
        /// The kind, cut to 40 characters.
        kind: String,
    },
    /// A file share behind an interface for objects.
    #[error("azurefile is served as a mounted directory only, with its path as the prefix")]
    AzureFile,
    /// Fewer buckets than devices.
    #[error("it has {devices} devices and {found} containers or buckets")]
    Containers {
        /// The number of devices.
        devices: u32,
        /// How many there are.
        found: usize,
    },
    /// The devices are not reached in one way.
    #[error("its devices have different {key}s, one for all is supported")]
    Mixed {
        /// `account` or `secret`.
        key: &'static str,
    },
    /// The name of a secret that is none.
    #[error("secret {secret:?} is not the name of a directory")]
    SecretName {
        /// The name, cut to 80 characters.
        secret: String,
    },
    /// Neither a secret nor a managed identity.
    #[error("it names neither a secret nor a managed identity")]
    NoCredentials,
    /// What `relay.toml` could not say either.
    #[error(transparent)]
    Settings(#[from] PlaneConfigError),
}

impl UnservedReason {
    /// The reason as a peer may be told it: without paths of this side.
    pub fn told(&self) -> String {
        match self {
            Self::Disabled | Self::Category { .. } | Self::Remote { .. } => self.to_string(),
            _ => "the relay cannot use its settings".to_owned(),
        }
    }
}
