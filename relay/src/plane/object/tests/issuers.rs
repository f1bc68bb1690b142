//! Credentials that a service issues, with the services played by this process.

use super::super::error::BucketFault;
use super::super::{Bucket, BucketError, PutHow};
use super::faults::{Asked, Fake, status, stored};
use super::{crypto, secret, settings};
use crate::config::{Credentials, ObjectKind};
use axum::response::Response;
use bytes::Bytes;

const AWS_JSON: &str = r#"{"AccessKeyId":"IssuedId","SecretAccessKey":"s","Token":"IssuedToken",
    "Expiration":"2999-01-01T00:00:00Z"}"#;

const OAUTH_JSON: &str =
    r#"{"access_token":"IssuedToken","expires_in":3600,"expires_on":"32503680000"}"#;

/// A bucket whose store and issuer are `fake`.
fn bucket(
    fake: &Fake,
    kind: ObjectKind,
    credentials: Credentials,
    environment: &[(&str, &str)],
) -> Result<Bucket, BucketError> {
    crypto();
    let mut settings = settings(kind, fake.url.clone(), "/".as_ref());
    settings.credentials = credentials;
    let variable = |name: &str| {
        let found = environment.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    Bucket::open_in(&settings, "planes", &variable)
}

async fn put(bucket: &Bucket) -> Result<(), BucketError> {
    bucket.put("a", Bytes::from_static(b"x"), PutHow::Replace).await
}

/// Answers for the issuer at the paths it has, and for the store elsewhere.
fn answer(asked: &Asked) -> Response {
    let path = asked.target.split('?').next().unwrap();
    match path {
        "/pod" if asked.authorization == "pod-token" => status(200, AWS_JSON),
        "/latest/api/token" => status(200, "metadata-token"),
        "/latest/meta-data/iam/security-credentials/" => status(200, "role"),
        "/latest/meta-data/iam/security-credentials/role" => status(200, AWS_JSON),
        "/msi" => status(200, OAUTH_JSON),
        "/tenant/oauth2/v2.0/token" if asked.body.windows(9).any(|at| at == b"jwt-token") => {
            status(200, OAUTH_JSON)
        }
        _ if asked.authorization.contains("Issued") => stored(),
        _ => status(403, ""),
    }
}

#[tokio::test]
async fn a_pod_identity_is_got_from_the_agent_with_the_token_of_the_pod() {
    let fake = Fake::start(|_, asked| answer(asked)).await;
    let token = secret(&[("token", "pod-token")]);
    let (uri, file) = (format!("{}/pod", fake.url), token.path().join("token"));
    let environment = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file.to_str().unwrap()),
    ];
    let bucket = bucket(&fake, ObjectKind::S3, Credentials::PodIdentity, &environment).unwrap();

    put(&bucket).await.unwrap();
    put(&bucket).await.unwrap();

    let targets: Vec<_> = fake.asked().into_iter().map(|asked| asked.target).collect();
    assert_eq!(targets, ["/pod", "/planes/a", "/planes/a"]);
}

#[tokio::test]
async fn instance_metadata_is_asked_with_a_session_token() {
    let fake = Fake::start(|_, asked| answer(asked)).await;
    let environment = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", fake.url.as_str())];
    let bucket =
        bucket(&fake, ObjectKind::S3, Credentials::InstanceMetadata, &environment).unwrap();

    put(&bucket).await.unwrap();

    assert_eq!(fake.asked()[0].method, "PUT");
    assert_eq!(fake.asked().len(), 4);
}

#[tokio::test]
async fn a_managed_identity_is_got_from_the_machine() {
    let fake = Fake::start(|_, asked| answer(asked)).await;
    let url = format!("{}/msi", fake.url);
    let environment = [("AZURE_MSI_ENDPOINT", url.as_str()), ("AZURE_CLIENT_ID", "client")];
    let bucket =
        bucket(&fake, ObjectKind::Azure, Credentials::ManagedIdentity, &environment).unwrap();

    put(&bucket).await.unwrap();

    let asked = fake.asked();
    assert!(asked[0].target.contains("client_id=client"), "{asked:?}");
    assert_eq!(asked[1].authorization, "Bearer IssuedToken");
}

#[tokio::test]
async fn a_workload_identity_trades_the_token_of_the_pod() {
    let fake = Fake::start(|_, asked| answer(asked)).await;
    let token = secret(&[("token", "jwt-token")]);
    let file = token.path().join("token");
    let environment = [
        ("AZURE_CLIENT_ID", "client"),
        ("AZURE_TENANT_ID", "tenant"),
        ("AZURE_FEDERATED_TOKEN_FILE", file.to_str().unwrap()),
        ("AZURE_AUTHORITY_HOST", fake.url.as_str()),
    ];
    let bucket =
        bucket(&fake, ObjectKind::Azure, Credentials::WorkloadIdentity, &environment).unwrap();

    put(&bucket).await.unwrap();

    assert_eq!(fake.asked()[1].authorization, "Bearer IssuedToken");
}

#[tokio::test]
async fn a_shared_access_signature_goes_into_requests_and_nowhere_else() {
    let fake = Fake::start(|number, _| if number == 0 { stored() } else { status(403, "") }).await;
    let files = secret(&[("token", "?sv=2024-01-01&sp=rwdl&sig=Canary%2BSignature%3D\n")]);
    let directory = files.path().to_owned();
    let credentials = Credentials::Static { directory };
    let bucket = bucket(&fake, ObjectKind::Azure, credentials, &[]).unwrap();

    put(&bucket).await.unwrap();
    let error = put(&bucket).await.unwrap_err();

    let target = &fake.asked()[0].target;
    assert!(target.contains("sig=Canary%2BSignature%3D"), "{target}");
    assert_eq!(error.fault(), BucketFault::Forbidden, "a 403 without a code");
    assert!(!format!("{error} {error:?}").contains("Canary"), "{error:?}");
}

#[tokio::test]
async fn an_issuer_that_refuses_denies() {
    let fake = Fake::start(|_, _| status(400, r#"{"error":"invalid_client"}"#)).await;
    let url = format!("{}/msi", fake.url);
    let environment = [("AZURE_MSI_ENDPOINT", url.as_str())];
    let bucket =
        bucket(&fake, ObjectKind::Azure, Credentials::ManagedIdentity, &environment).unwrap();

    let error = put(&bucket).await.unwrap_err();

    assert_eq!(error.fault(), BucketFault::Denied);
    assert!(error.to_string().ends_with("(400 invalid_client)"), "{error}");
}

#[tokio::test]
async fn a_token_that_is_not_there_denies_and_names_the_kind() {
    let fake = Fake::start(|_, asked| answer(asked)).await;
    let environment = [
        ("AZURE_CLIENT_ID", "client"),
        ("AZURE_TENANT_ID", "tenant"),
        ("AZURE_FEDERATED_TOKEN_FILE", "/does/not/exist"),
        ("AZURE_AUTHORITY_HOST", fake.url.as_str()),
    ];
    let bucket =
        bucket(&fake, ObjectKind::Azure, Credentials::WorkloadIdentity, &environment).unwrap();

    let error = put(&bucket).await.unwrap_err();

    assert_eq!(error.fault(), BucketFault::Denied);
    let end = "(no credential can be got as workload-identity)";
    assert!(error.to_string().ends_with(end), "{error}");
    assert_eq!(fake.asked().len(), 0);
}

#[tokio::test]
async fn a_variable_that_is_missing_is_named() {
    let fake = Fake::start(|_, asked| answer(asked)).await;
    let error = bucket(&fake, ObjectKind::S3, Credentials::WebIdentity, &[]).unwrap_err();

    assert_eq!(error.fault(), BucketFault::Settings);
    assert_eq!(
        error.to_string(),
        "cannot open bucket planes: the settings of the plane do not fit (credentials are \
         web-identity, which needs AWS_WEB_IDENTITY_TOKEN_FILE in the environment)"
    );
}
