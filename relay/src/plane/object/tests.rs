//! The conformance suite on real servers, and what only some of them can show.

mod conformance;
mod copying;
mod faults;
mod issuers;

use self::conformance::{ELSEWHERE, Site};
use super::error::BucketFault;
use super::transport::{Connector, Service};
use super::{Bucket, Capabilities, PutHow};
use crate::config::{Checksum, Credentials, ObjectKind, ObjectSettings};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{HOST, IF_NONE_MATCH};
use axum::response::Response;
use bytes::Bytes;
use object_store::ClientOptions;
use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::client::{HttpConnector as _, HttpRequestBody};
use skyspray_tests::server::azurite::{ACCOUNT, Azurite};
use skyspray_tests::server::ca::TestCa;
use skyspray_tests::server::faulty_s3::FaultyS3;
use skyspray_tests::server::ministack::Ministack;
use skyspray_tests::server::nginx::HttpProxy;
use skyspray_tests::server::s3::S3;
use skyspray_tests::server::seaweed::Seaweed;
use std::fs;
use std::num::NonZeroU32;
use std::path::Path;
use tempfile::TempDir;
use tokio::net::TcpListener;

/// The provider that the program installs first thing.
fn crypto() {
    // Another test of this process may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn settings(kind: ObjectKind, endpoint: String, secret: &Path) -> ObjectSettings {
    ObjectSettings {
        kind,
        buckets: vec!["planes".to_owned()],
        prefix: String::new(),
        allow_http: endpoint.starts_with("http://"),
        endpoint: Some(endpoint),
        region: "us-east-1".to_owned(),
        account: ACCOUNT.to_owned(),
        credentials: Credentials::Static { directory: secret.to_owned() },
        ca_file: None,
        path_style: true,
        checksum: Checksum::Crc64Nvme,
        concurrency: NonZeroU32::new(16).unwrap(),
    }
}

/// A directory with a credential as a Kubernetes secret would be mounted.
fn secret(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

fn s3_secret(account: &S3) -> TempDir {
    let secret_key = format!("{}\n", account.secret_key());
    secret(&[("aws-key-id", account.access_key()), ("aws-access-key", &secret_key)])
}

/// SeaweedFS that speaks only TLS with the certificate of a private authority.
struct SeaweedSite {
    server: Seaweed,
    secret: TempDir,
    site: Site,
}

impl SeaweedSite {
    fn start() -> Self {
        crypto();
        let ca = TestCa::new().unwrap();
        let server = Seaweed::start(Some(&ca)).unwrap();
        server.s3().create_bucket("planes").unwrap();
        server.s3().create_bucket(ELSEWHERE).unwrap();
        let secret = s3_secret(server.s3());
        let mut settings = settings(ObjectKind::S3, server.s3().endpoint(), secret.path());
        settings.ca_file = Some(ca.write(secret.path()).unwrap());
        let path = secret.path().to_owned();
        let site = Site { settings, secret: path, checks_credentials: true };
        Self { server, secret, site }
    }
}

#[tokio::test]
async fn seaweed_over_tls_with_a_private_authority_conforms() {
    let seaweed = SeaweedSite::start();

    conformance::all(&seaweed.site).await;

    assert_eq!(seaweed.server.s3().open_uploads("planes").unwrap(), []);
}

#[tokio::test]
async fn ministack_conforms() {
    crypto();
    let server = Ministack::start().unwrap();
    server.s3().create_bucket("planes").unwrap();
    server.s3().create_bucket(ELSEWHERE).unwrap();
    let secret = s3_secret(server.s3());
    let settings = settings(ObjectKind::S3, server.s3().endpoint(), secret.path());
    let secret = secret.path().to_owned();

    conformance::all(&Site { settings, secret, checks_credentials: false }).await;
}

/// The server that goes wrong in other tests keeps the rules where nothing is to go wrong.
#[tokio::test]
async fn the_faulty_server_conforms_without_faults() {
    crypto();
    let server = FaultyS3::start().unwrap();
    server.create_bucket("planes");
    server.create_bucket(ELSEWHERE);
    let secret = s3_secret(server.s3());
    let settings = settings(ObjectKind::S3, server.s3().endpoint(), secret.path());
    let secret = secret.path().to_owned();

    conformance::all(&Site { settings, secret, checks_credentials: true }).await;

    assert_eq!(server.open_uploads("planes"), []);
    assert_eq!(server.open_uploads(ELSEWHERE), []);
}

#[tokio::test]
async fn azurite_over_tls_with_a_private_authority_conforms() {
    crypto();
    let ca = TestCa::new().unwrap();
    let server = Azurite::start(Some(&ca)).unwrap();
    server.blobs().create_container("planes").unwrap();
    server.blobs().create_container(ELSEWHERE).unwrap();
    let secret = secret(&[("key", &server.blobs().access_key())]);
    let mut settings = settings(ObjectKind::Azure, server.blobs().endpoint(), secret.path());
    settings.ca_file = Some(ca.write(secret.path()).unwrap());
    let secret = secret.path().to_owned();

    conformance::all(&Site { settings, secret, checks_credentials: true }).await;
}

/// The client for Google Cloud Storage on a stand-in: the requests are Google's, what answers them
/// is an S3 server. It shows what the client does, and nothing of Google's own service.
#[tokio::test]
async fn the_google_client_conforms_on_its_stand_in() {
    crypto();
    let server = Ministack::start().unwrap();
    server.s3().create_bucket("planes").unwrap();
    server.s3().create_bucket(ELSEWHERE).unwrap();
    let front = HttpProxy::google(server.port()).unwrap();
    let account =
        r#"{"disable_oauth":true,"client_email":"","private_key":"","private_key_id":""}"#;
    let secret = secret(&[("service-account.json", account)]);
    let settings = settings(ObjectKind::Gcs, front.url(), secret.path());
    let secret = secret.path().to_owned();

    conformance::all(&Site { settings, secret, checks_credentials: false }).await;
}

#[tokio::test]
async fn a_web_identity_is_traded_for_a_credential() {
    crypto();
    let ca = TestCa::new().unwrap();
    let server = Ministack::start().unwrap();
    server.s3().create_bucket("planes").unwrap();
    let front = HttpProxy::tls(&ca, server.port(), "sts.us-east-1.amazonaws.com").unwrap();
    let files = secret(&[("token", "header.payload.signature")]);
    let mut settings = settings(ObjectKind::S3, server.s3().endpoint(), files.path());
    settings.credentials = Credentials::WebIdentity;
    settings.ca_file = Some(ca.write(files.path()).unwrap());
    let url = front.url();
    let environment = |variable: &str| match variable {
        "AWS_WEB_IDENTITY_TOKEN_FILE" => Some(files.path().join("token").display().to_string()),
        "AWS_ROLE_ARN" => Some("arn:aws:iam::000000000000:role/planes".to_owned()),
        "AWS_ENDPOINT_URL_STS" => Some(url.clone()),
        _ => None,
    };
    let bucket = Bucket::open_in(&settings, "planes", &environment).unwrap();

    bucket.put("a", Bytes::from_static(b"x"), PutHow::Create).await.unwrap();
    assert_eq!(server.s3().get("planes", "a").unwrap(), Some(b"x".to_vec()));

    drop(front);
    let again = Bucket::open_in(&settings, "planes", &environment).unwrap();
    assert_eq!(again.stat("a").await.unwrap_err().fault(), BucketFault::Unavailable);
}

/// A front that takes conditions out of requests, as some appliances ignore them.
async fn without_conditions(upstream: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let app = Router::new().fallback(move |request: Request| {
        let (client, upstream) = (client.clone(), upstream.clone());
        async move {
            let (mut parts, body) = request.into_parts();
            parts.headers.remove(IF_NONE_MATCH);
            parts.headers.remove(HOST);
            let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
            let request = client.request(parts.method, format!("{upstream}{}", parts.uri));
            let answer = request.headers(parts.headers).body(body).send().await.unwrap();
            let mut response = Response::builder().status(answer.status());
            *response.headers_mut().unwrap() = answer.headers().clone();
            response.body(Body::from(answer.bytes().await.unwrap())).unwrap()
        }
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

#[tokio::test]
async fn a_store_that_ignores_conditions_is_found_by_the_probe() {
    crypto();
    let server = Ministack::start().unwrap();
    server.s3().create_bucket("planes").unwrap();
    let secret = s3_secret(server.s3());
    let url = without_conditions(server.s3().endpoint()).await;
    let bucket = Bucket::open(&settings(ObjectKind::S3, url, secret.path()), "planes").unwrap();

    let found = bucket.probe("probe/").await.unwrap();

    assert_eq!(found, Capabilities { create_only: false, copy: true });
    assert_eq!(server.s3().list("planes", "").unwrap(), Vec::<String>::new());
    assert_eq!(server.s3().open_uploads("planes").unwrap(), []);
}

/// F17: what the checksum is for. The request is what the client would send, but for the checksum.
#[tokio::test]
async fn a_body_that_does_not_fit_its_checksum_is_refused_by_the_store() {
    let SeaweedSite { server, secret: _secret, site } = SeaweedSite::start();
    let bytes = Bytes::from_static(b"bytes");
    site.bucket().put("good", bytes.clone(), PutHow::Create).await.unwrap();
    let credential = AwsCredential {
        key_id: server.s3().access_key().to_owned(),
        secret_key: server.s3().secret_key().to_owned(),
        token: None,
    };
    let mut request = axum::http::Request::put(format!("{}/planes/bad", server.s3().endpoint()))
        .header("x-amz-checksum-crc64nvme", "AAAAAAAAAAA=")
        .body(HttpRequestBody::from(bytes))
        .unwrap();
    AwsAuthorizer::new(&credential, "s3", "us-east-1").try_authorize(&mut request, None).unwrap();
    let pem = fs::read(site.settings.ca_file.as_ref().unwrap()).unwrap();
    let authorities = Some(reqwest::Certificate::from_pem_bundle(&pem).unwrap());
    let connector = Connector { service: Service::Store, authorities };
    let client = connector.connect(&ClientOptions::new()).unwrap();

    let response = client.execute(request).await.unwrap();

    assert_eq!(response.status(), 400);
    assert_eq!(response.into_body().bytes().await.unwrap(), "BadDigest");
    assert_eq!(server.s3().list("planes", "").unwrap(), ["good"]);
}

#[tokio::test]
async fn a_server_of_another_authority_is_not_talked_to() {
    let SeaweedSite { server, secret, site } = SeaweedSite::start();
    let other = TestCa::new().unwrap();
    fs::remove_file(site.settings.ca_file.as_ref().unwrap()).unwrap();
    other.write(secret.path()).unwrap();

    let outcome = site.bucket().put("a", Bytes::from_static(b"x"), PutHow::Replace).await;

    assert_eq!(outcome.unwrap_err().fault(), BucketFault::Unavailable);
    assert_eq!(server.s3().list("planes", "").unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_secret_that_is_wrong_is_denied_and_named_by_its_directory_when_it_is_gone() {
    let SeaweedSite { secret, site, server: _server } = SeaweedSite::start();
    fs::write(secret.path().join("aws-access-key"), "CanarySecretKey00000001").unwrap();
    let error = site.bucket().stat("a").await.unwrap_err();
    assert_eq!(error.fault(), BucketFault::Denied);
    assert!(!format!("{error} {error:?}").contains("Canary"));

    fs::remove_file(secret.path().join("aws-access-key")).unwrap();
    let error = site.bucket().stat("a").await.unwrap_err();

    let directory = secret.path().display();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot look at \"a\" in bucket planes: the credential is missing or not accepted \
             ({directory} has none of the files aws-access-key)"
        )
    );
}

#[test]
fn a_file_of_authorities_that_cannot_be_used_is_named() {
    crypto();
    let secret = secret(&[("ca.pem", "no certificate")]);
    let mut settings = settings(ObjectKind::S3, "https://127.0.0.1:1".to_owned(), secret.path());
    let complaint = |settings: &ObjectSettings| {
        let error = Bucket::open(settings, "planes").unwrap_err();
        assert_eq!(error.fault(), BucketFault::Settings);
        error.to_string()
    };
    let path = secret.path().join("ca.pem");
    settings.ca_file = Some(path.clone());
    assert_eq!(
        complaint(&settings),
        format!(
            "cannot open bucket planes: the settings of the plane do not fit (ca_file {} holds no \
             certificate in PEM)",
            path.display()
        )
    );
    let missing = secret.path().join("none.pem");
    settings.ca_file = Some(missing.clone());
    assert_eq!(
        complaint(&settings),
        format!(
            "cannot open bucket planes: the settings of the plane do not fit (ca_file {} cannot \
             be read: entity not found)",
            missing.display()
        )
    );
}
