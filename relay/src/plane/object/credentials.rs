//! Where the right to use a bucket comes from, for each of the three stores.

use super::error::BucketDetail;
use super::secret::{Secret, SecretError, SecretFiles};
use super::transport::{Connector, Service};
use crate::config::{Credentials, ObjectSettings};
use async_trait::async_trait;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredential, AwsCredentialProvider};
use object_store::azure::{
    AzureAccessKey, AzureConfigKey, AzureCredential, AzureCredentialProvider,
    MicrosoftAzureBuilder, split_sas,
};
use object_store::client::HttpError;
use object_store::gcp::{GcpCredential, GcpCredentialProvider, GoogleCloudStorageBuilder};
use object_store::{ClientOptions, CredentialProvider, RetryConfig};
use reqwest::Certificate;
use std::error::Error as StdError;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// The environment of the process, or of a test.
pub(super) type Environment<'a> = &'a (dyn Fn(&str) -> Option<String> + Sync);

/// What the credentials of one bucket are made from.
pub(super) struct Source<'a> {
    pub(super) settings: &'a ObjectSettings,
    pub(super) environment: Environment<'a>,
    pub(super) authorities: Option<Vec<Certificate>>,
    pub(super) options: ClientOptions,
    pub(super) retry: RetryConfig,
}

/// A provider, none for requests that are not signed, and the files it reads if it does.
pub(super) type Found<P> = (Option<P>, Option<Arc<SecretFiles>>);

impl Source<'_> {
    pub(super) fn aws(&self) -> Result<Found<AwsCredentialProvider>, BucketDetail> {
        use AmazonS3ConfigKey as Key;
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name("credentials")
            .with_region(&self.settings.region)
            .with_client_options(self.options.clone())
            .with_retry(self.retry.clone())
            .with_http_connector(self.connector());
        match &self.settings.credentials {
            Credentials::Static { directory } => {
                let files = Arc::new(SecretFiles::new(directory, &[AWS_ID, AWS_KEY, AWS_TOKEN]));
                let parsed = Parsed::new(Arc::clone(&files), aws_credential);
                return Ok((Some(Arc::new(parsed)), Some(files)));
            }
            Credentials::Anonymous => return Ok((None, None)),
            Credentials::WebIdentity => {
                let token = self.required("AWS_WEB_IDENTITY_TOKEN_FILE")?;
                let role = self.required("AWS_ROLE_ARN")?;
                builder = builder.with_config(Key::WebIdentityTokenFile, token);
                builder = builder.with_config(Key::RoleArn, role);
                if let Some(name) = (self.environment)("AWS_ROLE_SESSION_NAME") {
                    builder = builder.with_config(Key::RoleSessionName, name);
                }
                if let Some(url) = (self.environment)("AWS_ENDPOINT_URL_STS") {
                    builder = builder.with_config(Key::StsEndpoint, url);
                }
            }
            Credentials::PodIdentity => {
                let url = self.required("AWS_CONTAINER_CREDENTIALS_FULL_URI")?;
                let token = self.required("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")?;
                builder = builder.with_config(Key::ContainerCredentialsFullUri, url);
                builder = builder.with_config(Key::ContainerAuthorizationTokenFile, token);
            }
            _ => {
                if let Some(url) = (self.environment)("AWS_EC2_METADATA_SERVICE_ENDPOINT") {
                    builder = builder.with_metadata_endpoint(url);
                }
            }
        }
        let store = builder.build().map_err(|_| BucketDetail::Client)?;
        Ok((Some(self.issued(store.credentials())), None))
    }

    pub(super) fn azure(&self) -> Result<Found<AzureCredentialProvider>, BucketDetail> {
        let mut builder = MicrosoftAzureBuilder::new()
            .with_container_name("credentials")
            .with_account(&self.settings.account)
            .with_client_options(self.options.clone())
            .with_retry(self.retry.clone())
            .with_http_connector(self.connector());
        match &self.settings.credentials {
            Credentials::Static { directory } => {
                let files = Arc::new(SecretFiles::new(directory, &[AZURE_KEY, AZURE_SAS]));
                let parsed = Parsed::new(Arc::clone(&files), azure_credential);
                return Ok((Some(Arc::new(parsed)), Some(files)));
            }
            Credentials::Anonymous => return Ok((None, None)),
            Credentials::WorkloadIdentity => {
                builder = builder
                    .with_credential_type("workload_identity")
                    .with_client_id(self.required("AZURE_CLIENT_ID")?)
                    .with_tenant_id(self.required("AZURE_TENANT_ID")?)
                    .with_federated_token_file(self.required("AZURE_FEDERATED_TOKEN_FILE")?);
                if let Some(host) = (self.environment)("AZURE_AUTHORITY_HOST") {
                    builder = builder.with_config(AzureConfigKey::AuthorityHost, host);
                }
            }
            _ => {
                builder = builder.with_credential_type("managed_identity");
                if let Some(id) = (self.environment)("AZURE_CLIENT_ID") {
                    builder = builder.with_client_id(id);
                }
                if let Some(url) = (self.environment)("AZURE_MSI_ENDPOINT") {
                    builder = builder.with_msi_endpoint(url);
                }
            }
        }
        let store = builder.build().map_err(|_| BucketDetail::Client)?;
        Ok((Some(self.issued(store.credentials())), None))
    }

    pub(super) fn gcs(&self) -> Result<Found<GcpCredentialProvider>, BucketDetail> {
        let builder = GoogleCloudStorageBuilder::new()
            .with_bucket_name("credentials")
            .with_client_options(self.options.clone())
            .with_retry(self.retry.clone())
            .with_http_connector(self.connector());
        if let Credentials::Static { directory } = &self.settings.credentials {
            let files = Arc::new(SecretFiles::new(directory, &[GCS_ACCOUNT]));
            let parsed = Parsed::new(Arc::clone(&files), move |secret: &Secret| {
                let text = secret.required(GCS_ACCOUNT)?;
                let store = builder.clone().with_service_account_key(text).build();
                let store = store.map_err(|_| {
                    secret.malformed(GCS_ACCOUNT, "the key of a service account as JSON")
                })?;
                Ok(Arc::clone(store.credentials()))
            });
            return Ok((Some(Arc::new(Account(parsed))), Some(files)));
        }
        // The client crate reads this file before it asks the metadata service.
        if let Some(home) = (self.environment)("HOME") {
            let path = PathBuf::from(home).join(GCLOUD_FILE);
            if path.exists() {
                return Err(BucketDetail::Preferred { path });
            }
        }
        let store = builder.build().map_err(|_| BucketDetail::Client)?;
        Ok((Some(self.issued(store.credentials())), None))
    }

    fn connector(&self) -> Connector {
        Connector { service: Service::Issuer, authorities: self.authorities.clone() }
    }

    fn required(&self, variable: &'static str) -> Result<String, BucketDetail> {
        let kind = self.settings.credentials.name();
        let found = (self.environment)(variable).filter(|value| !value.is_empty());
        found.ok_or(BucketDetail::Environment { kind, variable })
    }

    fn issued<C: Send + Sync + 'static>(
        &self,
        inner: &Arc<dyn CredentialProvider<Credential = C>>,
    ) -> Arc<dyn CredentialProvider<Credential = C>> {
        Arc::new(Issued { inner: Arc::clone(inner), kind: self.settings.credentials.name() })
    }
}

fn aws_credential(secret: &Secret) -> Result<AwsCredential, SecretError> {
    Ok(AwsCredential {
        key_id: secret.required(AWS_ID)?.to_owned(),
        secret_key: secret.required(AWS_KEY)?.to_owned(),
        token: secret.text(AWS_TOKEN).map(str::to_owned),
    })
}

fn azure_credential(secret: &Secret) -> Result<AzureCredential, SecretError> {
    if let Some(key) = secret.text(AZURE_KEY) {
        let key = AzureAccessKey::try_new(key)
            .map_err(|_| secret.malformed(AZURE_KEY, "an account key in base64"))?;
        return Ok(AzureCredential::AccessKey(key));
    }
    let token = secret.text(AZURE_SAS).ok_or_else(|| secret.missing("key, token"))?;
    let pairs =
        split_sas(token).map_err(|_| secret.malformed(AZURE_SAS, "a shared access signature"))?;
    Ok(AzureCredential::SASToken(pairs))
}

/// A credential made of files, made again when they change.
struct Parsed<C, F> {
    files: Arc<SecretFiles>,
    parse: F,
    // Requests of one bucket share what was parsed; never held across an await.
    last: Mutex<Option<(u64, Arc<C>)>>,
}

impl<C, F: Fn(&Secret) -> Result<C, SecretError>> Parsed<C, F> {
    fn new(files: Arc<SecretFiles>, parse: F) -> Self {
        Self { files, parse, last: Mutex::default() }
    }

    fn current(&self) -> Result<Arc<C>, SecretError> {
        let secret = self.files.secret()?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((edition, parsed)) = &*last
            && *edition == secret.edition
        {
            return Ok(Arc::clone(parsed));
        }
        let parsed = Arc::new((self.parse)(&secret)?);
        *last = Some((secret.edition, Arc::clone(&parsed)));
        Ok(parsed)
    }
}

impl<C, F> fmt::Debug for Parsed<C, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parsed").field("files", &self.files).finish_non_exhaustive()
    }
}

#[async_trait]
impl<C, F> CredentialProvider for Parsed<C, F>
where
    C: Send + Sync + 'static,
    F: Fn(&Secret) -> Result<C, SecretError> + Send + Sync + 'static,
{
    type Credential = C;

    async fn get_credential(&self) -> object_store::Result<Arc<C>> {
        self.current().map_err(failed)
    }
}

/// Tokens for a service account whose key is in a file.
struct Account<F>(Parsed<GcpCredentialProvider, F>);

impl<F> fmt::Debug for Account<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Account").field(&self.0).finish()
    }
}

#[async_trait]
impl<F> CredentialProvider for Account<F>
where
    F: Fn(&Secret) -> Result<GcpCredentialProvider, SecretError> + Send + Sync + 'static,
{
    type Credential = GcpCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<GcpCredential>> {
        let provider = self.0.current().map_err(failed)?;
        provider.get_credential().await
    }
}

/// A credential that a service issues. A failure that is none of the network's, such as a token
/// file that is not there, is told apart from failures of the store.
struct Issued<C> {
    inner: Arc<dyn CredentialProvider<Credential = C>>,
    kind: &'static str,
}

impl<C> fmt::Debug for Issued<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").field("kind", &self.kind).finish_non_exhaustive()
    }
}

#[async_trait]
impl<C: Send + Sync + 'static> CredentialProvider for Issued<C> {
    type Credential = C;

    async fn get_credential(&self) -> object_store::Result<Arc<C>> {
        self.inner.get_credential().await.map_err(|error| {
            if answered(&error) {
                error
            } else {
                failed(BucketDetail::NotIssued { kind: self.kind })
            }
        })
    }
}

/// Whether a server or the network said so.
fn answered(error: &object_store::Error) -> bool {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<HttpError>().is_some() {
            return true;
        }
        next = error.source();
    }
    super::transport::failing()
}

fn failed(source: impl StdError + Send + Sync + 'static) -> object_store::Error {
    object_store::Error::Generic { store: "credentials", source: Box::new(source) }
}

/// Files of a static credential, under the names that HPCC Systems gives them in its secrets.
const AWS_ID: &str = "aws-key-id";
const AWS_KEY: &str = "aws-access-key";
const AWS_TOKEN: &str = "aws-session-token";
const AZURE_KEY: &str = "key";
const AZURE_SAS: &str = "token";
const GCS_ACCOUNT: &str = "service-account.json";

const GCLOUD_FILE: &str = ".config/gcloud/application_default_credentials.json";
