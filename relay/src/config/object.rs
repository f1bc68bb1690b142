//! What the keys of `[plane.NAME]` that only planes of objects have become.

use super::PlaneTable;
use crate::plane::{BucketUrl, PlaneUrl, PlaneUrlError, check_bucket};
use serde::Deserialize;
use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use thiserror::Error;

/// Whose interface a bucket speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ObjectKind {
    /// Amazon S3 and what imitates it. Written `s3://bucket/prefix`.
    S3,
    /// Azure Blob Storage. Written `azure://container/prefix`.
    Azure,
    /// Google Cloud Storage. Written `gs://bucket/prefix`.
    Gcs,
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::S3 => "s3",
            Self::Azure => "azure",
            Self::Gcs => "gs",
        })
    }
}

/// Where the buckets of one plane are and how they are reached.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ObjectSettings {
    /// Whose interface they speak.
    pub kind: ObjectKind,
    /// Buckets (Azure: containers). Either one, or one for each device: HPCC's `dN` is the N-th.
    pub buckets: Vec<String>,
    /// What every key begins with, without a slash at either end; empty for nothing.
    pub prefix: String,
    /// URL of the service without a slash at its end; `None` for the provider's own.
    pub endpoint: Option<String>,
    /// S3: the region that requests are signed for.
    pub region: String,
    /// Azure: the storage account; empty for the others.
    pub account: String,
    /// Where the right to use them comes from.
    pub credentials: Credentials,
    /// PEM file of the authorities that are trusted, alone, for the endpoint and the services that
    /// issue its credentials; `None` for those of the host.
    pub ca_file: Option<PathBuf>,
    /// Whether an `http://` endpoint is used.
    pub allow_http: bool,
    /// S3: whether the bucket stands in the path of requests instead of the host name.
    pub path_style: bool,
    /// S3: the checksum that the store holds written bytes against.
    pub checksum: Checksum,
    /// Requests under way at once for each bucket.
    pub concurrency: NonZeroU32,
}

/// A checksum that travels with every body, for the store to refuse what was damaged on the way.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Checksum {
    /// `crc64nvme`: what Amazon's own clients send, and the cheapest.
    #[default]
    Crc64Nvme,
    /// `sha256`: for stores that do not know the other.
    Sha256,
    /// `none`: for stores that know neither.
    None,
}

/// Where the right to use a plane's buckets comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Credentials {
    /// `static`: files in a directory, as a Kubernetes secret is mounted; read again when they
    /// change.
    Static {
        /// The directory.
        directory: PathBuf,
    },
    /// `web-identity` (S3): a token file and a role from the environment, as AWS IRSA sets them.
    WebIdentity,
    /// `pod-identity` (S3): the agent that the environment names (EKS Pod Identity).
    PodIdentity,
    /// `instance-metadata` (S3, Google): the metadata service of the virtual machine or node.
    InstanceMetadata,
    /// `workload-identity` (Azure): a federated token file from the environment.
    WorkloadIdentity,
    /// `managed-identity` (Azure): the identity service of the virtual machine.
    ManagedIdentity,
    /// `anonymous` (S3, Azure): requests are not signed.
    Anonymous,
}

impl Credentials {
    /// Its name in `relay.toml`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Static { .. } => "static",
            Self::WebIdentity => "web-identity",
            Self::PodIdentity => "pod-identity",
            Self::InstanceMetadata => "instance-metadata",
            Self::WorkloadIdentity => "workload-identity",
            Self::ManagedIdentity => "managed-identity",
            Self::Anonymous => "anonymous",
        }
    }
}

/// Why the keys of a plane of objects cannot be used.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum ObjectConfigError {
    /// A key that this kind of plane does not have.
    #[error("{key} is not a key of a {kind} plane")]
    NotForKind {
        /// The key.
        key: &'static str,
        /// The kind of plane.
        kind: &'static str,
    },
    /// A key that must be there.
    #[error("{key} is missing, expected {expected}")]
    MissingKey {
        /// The key.
        key: &'static str,
        /// What it should say.
        expected: &'static str,
    },
    /// A kind of credential that the store does not have.
    #[error("credentials are {found:?}, expected one of {expected}")]
    Credentials {
        /// What it is set to, cut to 40 characters.
        found: String,
        /// What this kind of plane knows.
        expected: &'static str,
    },
    /// A directory of credentials beside credentials of another kind.
    #[error("credentials_dir is set and credentials are {credentials}, expected only one of them")]
    DirectoryUnused {
        /// The kind of credentials.
        credentials: String,
    },
    /// The first bucket is not the one of the URL.
    #[error("the first of buckets is {found:?}, expected {expected:?} as in url")]
    FirstBucket {
        /// The first bucket, cut to 100 characters.
        found: String,
        /// The bucket of the URL.
        expected: String,
    },
    /// Neither one bucket nor one for each device.
    #[error("{found} buckets for {devices} devices, expected 1 or {devices}")]
    BucketCount {
        /// How many there are.
        found: usize,
        /// How many devices there are.
        devices: u32,
    },
    /// A bucket has no usable name.
    #[error(transparent)]
    Bucket(#[from] PlaneUrlError),
    /// The endpoint is no URL of a service.
    #[error("endpoint is not usable, expected https://host without user, query and fragment")]
    Endpoint,
    /// The endpoint is not encrypted.
    #[error("endpoint is http://, expected https:// or allow_http = true")]
    Http,
    /// A path that depends on where the relay was started.
    #[error("{key} is not an absolute path")]
    NotAbsolute {
        /// The key.
        key: &'static str,
    },
    /// A region or account that no provider has.
    #[error("{key} is {found:?}, expected letters, digits and hyphens")]
    Name {
        /// The key.
        key: &'static str,
        /// What it is set to, cut to 100 characters.
        found: String,
    },
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

impl PlaneTable {
    /// The settings of a plane at `url` with so many devices; `None` for a plane of files.
    ///
    /// # Errors
    ///
    /// The operator's mistake.
    pub(super) fn object(
        &self,
        url: &PlaneUrl,
        devices: NonZeroU32,
    ) -> Result<Option<ObjectSettings>, ObjectConfigError> {
        let (kind, bucket) = match url {
            PlaneUrl::File(_) => {
                self.refuse_foreign("file", &[])?;
                return Ok(None);
            }
            PlaneUrl::S3(bucket) => (ObjectKind::S3, bucket),
            PlaneUrl::Azure(bucket) => (ObjectKind::Azure, bucket),
            PlaneUrl::Gcs(bucket) => (ObjectKind::Gcs, bucket),
        };
        match kind {
            ObjectKind::S3 => {
                self.refuse_foreign("s3", &[COMMON, &["region", "path_style", "checksum"]])?
            }
            ObjectKind::Azure => self.refuse_foreign("azure", &[COMMON, &["account"]])?,
            ObjectKind::Gcs => self.refuse_foreign("gs", &[COMMON])?,
        }
        let allow_http = self.allow_http.unwrap_or(false);
        let endpoint = self.endpoint.as_deref().map(|url| endpoint(url, allow_http)).transpose()?;
        let region = self.region.as_deref().unwrap_or(REGION_DEFAULT);
        Ok(Some(ObjectSettings {
            kind,
            buckets: self.buckets(bucket, devices)?,
            prefix: bucket.prefix.clone(),
            region: name("region", region)?,
            account: match kind {
                ObjectKind::Azure => self.account()?,
                ObjectKind::S3 | ObjectKind::Gcs => String::new(),
            },
            credentials: self.credentials(kind)?,
            ca_file: absolute("ca_file", self.ca_file.clone())?,
            allow_http,
            path_style: self
                .path_style
                .unwrap_or(endpoint.is_some() || bucket.bucket.contains('.')),
            checksum: self.checksum.unwrap_or_default(),
            concurrency: concurrency(self.concurrency.unwrap_or(CONCURRENCY_DEFAULT))?,
            endpoint,
        }))
    }

    fn refuse_foreign(
        &self,
        kind: &'static str,
        known: &[&[&str]],
    ) -> Result<(), ObjectConfigError> {
        let given = [
            ("buckets", self.buckets.is_some()),
            ("endpoint", self.endpoint.is_some()),
            ("region", self.region.is_some()),
            ("account", self.account.is_some()),
            ("credentials", self.credentials.is_some()),
            ("credentials_dir", self.credentials_dir.is_some()),
            ("ca_file", self.ca_file.is_some()),
            ("allow_http", self.allow_http.is_some()),
            ("path_style", self.path_style.is_some()),
            ("checksum", self.checksum.is_some()),
            ("concurrency", self.concurrency.is_some()),
        ];
        let foreign = |&(key, given): &(&'static str, bool)| {
            given && !known.iter().any(|keys| keys.contains(&key))
        };
        match given.into_iter().find(foreign) {
            Some((key, _)) => Err(ObjectConfigError::NotForKind { key, kind }),
            None => Ok(()),
        }
    }

    fn account(&self) -> Result<String, ObjectConfigError> {
        let (key, expected) = ("account", "the name of the storage account");
        let missing = ObjectConfigError::MissingKey { key, expected };
        name(key, self.account.as_deref().ok_or(missing)?)
    }

    fn buckets(
        &self,
        url: &BucketUrl,
        devices: NonZeroU32,
    ) -> Result<Vec<String>, ObjectConfigError> {
        let Some(buckets) = &self.buckets else {
            return Ok(vec![url.bucket.clone()]);
        };
        if buckets.first() != Some(&url.bucket) {
            let found = buckets.first().map_or("", String::as_str).chars().take(100).collect();
            return Err(ObjectConfigError::FirstBucket { found, expected: url.bucket.clone() });
        }
        if buckets.len() != 1 && buckets.len() != devices.get() as usize {
            let (found, devices) = (buckets.len(), devices.get());
            return Err(ObjectConfigError::BucketCount { found, devices });
        }
        buckets.iter().try_for_each(|bucket| check_bucket(bucket))?;
        Ok(buckets.clone())
    }

    /// `static` is what a directory means; without one the kind must be said, so that no plane uses
    /// the identity of its machine by accident.
    fn credentials(&self, kind: ObjectKind) -> Result<Credentials, ObjectConfigError> {
        let directory = absolute("credentials_dir", self.credentials_dir.clone())?;
        let credentials = match (self.credentials.as_deref().unwrap_or("static"), kind) {
            ("static", _) => {
                let (key, expected) = ("credentials_dir", "a directory, or credentials = KIND");
                let missing = ObjectConfigError::MissingKey { key, expected };
                return Ok(Credentials::Static { directory: directory.ok_or(missing)? });
            }
            ("web-identity", ObjectKind::S3) => Credentials::WebIdentity,
            ("pod-identity", ObjectKind::S3) => Credentials::PodIdentity,
            ("instance-metadata", ObjectKind::S3 | ObjectKind::Gcs) => {
                Credentials::InstanceMetadata
            }
            ("workload-identity", ObjectKind::Azure) => Credentials::WorkloadIdentity,
            ("managed-identity", ObjectKind::Azure) => Credentials::ManagedIdentity,
            ("anonymous", ObjectKind::S3 | ObjectKind::Azure) => Credentials::Anonymous,
            (found, _) => {
                let expected = match kind {
                    ObjectKind::S3 => {
                        "static, web-identity, pod-identity, instance-metadata, anonymous"
                    }
                    ObjectKind::Azure => "static, workload-identity, managed-identity, anonymous",
                    ObjectKind::Gcs => "static, instance-metadata",
                };
                let found = found.chars().take(40).collect();
                return Err(ObjectConfigError::Credentials { found, expected });
            }
        };
        match (directory, &self.credentials) {
            (Some(_), Some(found)) => {
                Err(ObjectConfigError::DirectoryUnused { credentials: found.clone() })
            }
            _ => Ok(credentials),
        }
    }
}

fn endpoint(text: &str, allow_http: bool) -> Result<String, ObjectConfigError> {
    let url = reqwest::Url::parse(text).map_err(|_| ObjectConfigError::Endpoint)?;
    let bare = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    match url.scheme() {
        _ if !bare || !url.has_host() => Err(ObjectConfigError::Endpoint),
        "https" => Ok(text.trim_end_matches('/').to_owned()),
        "http" if allow_http => Ok(text.trim_end_matches('/').to_owned()),
        "http" => Err(ObjectConfigError::Http),
        _ => Err(ObjectConfigError::Endpoint),
    }
}

fn absolute(
    key: &'static str,
    path: Option<PathBuf>,
) -> Result<Option<PathBuf>, ObjectConfigError> {
    match path {
        Some(path) if !path.is_absolute() => Err(ObjectConfigError::NotAbsolute { key }),
        path => Ok(path),
    }
}

fn name(key: &'static str, text: &str) -> Result<String, ObjectConfigError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    if (1..=63).contains(&text.len()) && text.bytes().all(plain) {
        return Ok(text.to_owned());
    }
    Err(ObjectConfigError::Name { key, found: text.chars().take(100).collect() })
}

fn concurrency(found: u32) -> Result<NonZeroU32, ObjectConfigError> {
    let (key, max) = ("concurrency", CONCURRENCY_MAX);
    match NonZeroU32::new(found) {
        Some(count) if found <= max => Ok(count),
        _ => Err(ObjectConfigError::OutOfRange { key, found, max }),
    }
}

/// Keys that planes of all stores have.
const COMMON: &[&str] = &[
    "buckets",
    "endpoint",
    "credentials",
    "credentials_dir",
    "ca_file",
    "allow_http",
    "concurrency",
];

/// The region that stores without regions expect.
const REGION_DEFAULT: &str = "us-east-1";

const CONCURRENCY_DEFAULT: u32 = 16;

const CONCURRENCY_MAX: u32 = 256;
