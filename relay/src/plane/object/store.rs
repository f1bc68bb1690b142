//! The client of one bucket, whatever the kind of store.

use super::credentials::{Environment, Source};
use super::error::BucketDetail;
use super::secret::SecretFiles;
use super::transport::{Connector, Service};
use crate::config::{Checksum, ObjectKind, ObjectSettings};
use object_store::aws::{AmazonS3, AmazonS3Builder, Checksum as S3Checksum, S3ConditionalPut};
use object_store::azure::{MicrosoftAzure, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorage, GoogleCloudStorageBuilder};
use object_store::list::PaginatedListStore;
use object_store::multipart::MultipartStore;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use reqwest::Certificate;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The client of one bucket. Never formatted: the client crate shows secrets.
pub(super) enum Store {
    S3(AmazonS3),
    Azure(MicrosoftAzure),
    Gcs(GoogleCloudStorage),
}

impl Store {
    /// The client, and the files of its credential where it has some; nothing is sent.
    pub(super) fn open(
        settings: &ObjectSettings,
        bucket: &str,
        (environment, store): (Environment<'_>, Connector),
    ) -> Result<(Self, Option<Arc<SecretFiles>>), BucketDetail> {
        let authorities = store.authorities.clone();
        let source = Source {
            settings,
            environment,
            authorities,
            options: ClientOptions::new().with_allow_http(settings.allow_http),
            retry: retry(),
        };
        match settings.kind {
            ObjectKind::S3 => s3(&source, bucket, store),
            ObjectKind::Azure => azure(&source, bucket, store),
            ObjectKind::Gcs => gcs(&source, bucket, store),
        }
    }

    pub(super) fn objects(&self) -> &dyn ObjectStore {
        match self {
            Self::S3(store) => store,
            Self::Azure(store) => store,
            Self::Gcs(store) => store,
        }
    }

    pub(super) fn uploads(&self) -> &dyn MultipartStore {
        match self {
            Self::S3(store) => store,
            Self::Azure(store) => store,
            Self::Gcs(store) => store,
        }
    }

    pub(super) fn pages(&self) -> &dyn PaginatedListStore {
        match self {
            Self::S3(store) => store,
            Self::Azure(store) => store,
            Self::Gcs(store) => store,
        }
    }
}

type Opened = Result<(Store, Option<Arc<SecretFiles>>), BucketDetail>;

fn s3(source: &Source<'_>, bucket: &str, connector: Connector) -> Opened {
    let settings = source.settings;
    let (provider, files) = source.aws()?;
    let plain = settings.endpoint.as_deref().is_some_and(|url| url.starts_with("http://"));
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(&settings.region)
        .with_virtual_hosted_style_request(!settings.path_style)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        // Under TLS a signature of the body adds nothing but a SHA-256 of every byte.
        .with_unsigned_payload(!plain)
        .with_client_options(source.options.clone())
        .with_retry(source.retry.clone())
        .with_http_connector(connector);
    builder = match settings.checksum {
        Checksum::Crc64Nvme => builder.with_checksum_algorithm(S3Checksum::CRC64NVME),
        Checksum::Sha256 => builder.with_checksum_algorithm(S3Checksum::SHA256),
        Checksum::None => builder,
    };
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(hosted(endpoint, bucket, settings.path_style));
    }
    builder = match provider {
        Some(provider) => builder.with_credentials(provider),
        None => builder.with_skip_signature(true),
    };
    let store = builder.build().map_err(|_| BucketDetail::Client)?;
    Ok((Store::S3(store), files))
}

/// The endpoint as the client crate expects it: with the bucket in the host name, unless it goes
/// into the path.
fn hosted(endpoint: &str, bucket: &str, path_style: bool) -> String {
    match endpoint.split_once("://") {
        Some((scheme, host)) if !path_style => format!("{scheme}://{bucket}.{host}"),
        _ => endpoint.to_owned(),
    }
}

fn azure(source: &Source<'_>, bucket: &str, connector: Connector) -> Opened {
    let settings = source.settings;
    let (provider, files) = source.azure()?;
    let mut builder = MicrosoftAzureBuilder::new()
        .with_container_name(bucket)
        .with_account(&settings.account)
        .with_client_options(source.options.clone())
        .with_retry(source.retry.clone())
        .with_http_connector(connector);
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    builder = match provider {
        Some(provider) => builder.with_credentials(provider),
        None => builder.with_skip_signature(true),
    };
    let store = builder.build().map_err(|_| BucketDetail::Client)?;
    Ok((Store::Azure(store), files))
}

fn gcs(source: &Source<'_>, bucket: &str, connector: Connector) -> Opened {
    let (provider, files) = source.gcs()?;
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(bucket)
        .with_client_options(source.options.clone())
        .with_retry(source.retry.clone())
        .with_http_connector(connector);
    if let Some(endpoint) = &source.settings.endpoint {
        builder = builder.with_base_url(endpoint);
    }
    if let Some(provider) = provider {
        builder = builder.with_credentials(provider);
    }
    let store = builder.build().map_err(|_| BucketDetail::Client)?;
    Ok((Store::Gcs(store), files))
}

impl Connector {
    /// Makes clients that talk to the store of these settings.
    pub(super) fn to_store(settings: &ObjectSettings) -> Result<Self, BucketDetail> {
        let authorities = settings.ca_file.as_deref().map(authorities).transpose()?;
        Ok(Self { service: Service::Store, authorities })
    }
}

fn authorities(path: &Path) -> Result<Vec<Certificate>, BucketDetail> {
    let pem = std::fs::read(path)
        .map_err(|error| BucketDetail::CaFile { path: path.to_owned(), kind: error.kind() })?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(BucketDetail::NoAuthority { path: path.to_owned() }),
    }
}

/// Bounded, because a request is signed once: what is retried for longer is signed anew by whoever
/// asks again.
fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(10),
            base: 2.0,
        },
        max_retries: 5,
        retry_timeout: RETRY_LIMIT,
    }
}

/// Nothing is tried again later than this after the first try.
pub(super) const RETRY_LIMIT: Duration = Duration::from_secs(45);

/// Where Google keeps buckets.
pub(super) const GCS_ENDPOINT: &str = "https://storage.googleapis.com";
