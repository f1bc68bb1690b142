//! Where a plane is, as an operator writes it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use thiserror::Error;

/// Where a plane is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PlaneUrl {
    /// A directory of this host, or one mounted on it. Absolute. Written `file:///path`.
    File(PathBuf),
    /// A bucket of Amazon S3, or of what imitates it. Written `s3://bucket/prefix`.
    S3(BucketUrl),
    /// A container of Azure Blob Storage. Written `azure://container/prefix`.
    Azure(BucketUrl),
    /// A bucket of Google Cloud Storage. Written `gs://bucket/prefix`.
    Gcs(BucketUrl),
}

/// A bucket or container, and what all keys in it begin with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BucketUrl {
    /// Its name.
    pub bucket: String,
    /// Segments joined by `/`, without one at either end; empty for the whole bucket.
    pub prefix: String,
}

/// Why a text is not the URL of a plane.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum PlaneUrlError {
    /// The URL does not say what kind of plane it is.
    #[error("url {url:?} has no kind, expected file:///path or s3://bucket/prefix")]
    NoKind {
        /// The URL, cut to 200 characters.
        url: String,
    },
    /// A kind that this version does not have.
    #[error("plane kind {kind:?} is not supported, expected file, s3, azure or gs")]
    KindUnsupported {
        /// The kind, cut to 40 characters.
        kind: String,
    },
    /// A path that depends on where the relay was started, or a host.
    #[error("url {url:?} has no absolute path, expected file:///path")]
    NotAbsolute {
        /// The URL, cut to 200 characters.
        url: String,
    },
    /// No store has a bucket of this name, or none that a plane can use.
    #[error(
        "bucket {bucket:?} has an unusable name, expected 3 to 222 of a-z 0-9 . - _ that are no \
         S3 directory bucket"
    )]
    Bucket {
        /// The name, cut to 100 characters.
        bucket: String,
    },
    /// A prefix that no key can begin with.
    #[error(
        "prefix {prefix:?} is unusable, expected segments joined by single slashes, without ., .., \
         control characters, ? and #"
    )]
    Prefix {
        /// The prefix, cut to 200 characters.
        prefix: String,
    },
}

impl FromStr for PlaneUrl {
    type Err = PlaneUrlError;

    /// Takes what follows `://` byte for byte; nothing is decoded.
    fn from_str(text: &str) -> Result<Self, PlaneUrlError> {
        let shown = || text.chars().take(200).collect::<String>();
        let Some((kind, rest)) = text.split_once("://") else {
            return Err(PlaneUrlError::NoKind { url: shown() });
        };
        match kind {
            "file" if !rest.starts_with('/') => Err(PlaneUrlError::NotAbsolute { url: shown() }),
            "file" => Ok(Self::File(PathBuf::from(rest))),
            "s3" => Ok(Self::S3(rest.parse()?)),
            "azure" => Ok(Self::Azure(rest.parse()?)),
            "gs" => Ok(Self::Gcs(rest.parse()?)),
            _ => Err(PlaneUrlError::KindUnsupported { kind: kind.chars().take(40).collect() }),
        }
    }
}

impl fmt::Display for PlaneUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file://{}", path.display()),
            Self::S3(bucket) => write!(f, "s3://{bucket}"),
            Self::Azure(bucket) => write!(f, "azure://{bucket}"),
            Self::Gcs(bucket) => write!(f, "gs://{bucket}"),
        }
    }
}

impl FromStr for BucketUrl {
    type Err = PlaneUrlError;

    /// Takes `bucket`, `bucket/` or `bucket/prefix`; one slash at the end does not count.
    fn from_str(text: &str) -> Result<Self, PlaneUrlError> {
        let (bucket, prefix) = text.split_once('/').unwrap_or((text, ""));
        check_bucket(bucket)?;
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let usable = |segment: &str| {
            !matches!(segment, "" | "." | "..")
                && !segment.contains(|c: char| c.is_control() || c == '?' || c == '#')
        };
        if !prefix.is_empty() && !prefix.split('/').all(usable) {
            return Err(PlaneUrlError::Prefix { prefix: prefix.chars().take(200).collect() });
        }
        Ok(Self { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }
}

impl fmt::Display for BucketUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bucket, prefix } = self;
        if prefix.is_empty() { f.write_str(bucket) } else { write!(f, "{bucket}/{prefix}") }
    }
}

/// Checks the name of a bucket or container. What stores allow differs; this is what any of them
/// may. S3's directory buckets list in no order and sign in another way: they are refused.
///
/// # Errors
///
/// [`PlaneUrlError::Bucket`].
pub(crate) fn check_bucket(bucket: &str) -> Result<(), PlaneUrlError> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_".contains(&b);
    let usable = (3..=222).contains(&bucket.len())
        && bucket.bytes().all(plain)
        && bucket.starts_with(|c: char| c.is_ascii_alphanumeric())
        && !bucket.ends_with("--x-s3");
    if usable {
        return Ok(());
    }
    Err(PlaneUrlError::Bucket { bucket: bucket.chars().take(100).collect() })
}
