//! The conformance suite on real servers.

use super::conformance::{self, Site};
use crate::config::{Credentials, ObjectKind, ObjectSettings};
use std::num::NonZeroU32;

fn crypto() {
    // Another test of this process may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn run() -> (std::path::PathBuf, Vec<String>) {
    crypto();
    let dir = std::path::PathBuf::from(std::env::var("W3RUN").unwrap());
    let ports = std::fs::read_to_string(dir.join("ports")).unwrap();
    (dir, ports.split_whitespace().map(str::to_owned).collect())
}

fn settings(kind: ObjectKind, endpoint: String, secret: &std::path::Path) -> ObjectSettings {
    ObjectSettings {
        kind,
        buckets: vec!["planes".to_owned()],
        prefix: String::new(),
        allow_http: endpoint.starts_with("http://"),
        endpoint: Some(endpoint),
        region: "us-east-1".to_owned(),
        account: "myacct".to_owned(),
        credentials: Credentials::Static { directory: secret.to_owned() },
        ca_file: None,
        path_style: true,
        concurrency: NonZeroU32::new(16).unwrap(),
    }
}

#[tokio::test]
async fn seaweed_conforms() {
    let (dir, ports) = run();
    let secret = tempfile::tempdir().unwrap();
    std::fs::write(secret.path().join("aws-key-id"), "testkey").unwrap();
    std::fs::write(secret.path().join("aws-access-key"), "testsecret\n").unwrap();
    let mut settings =
        settings(ObjectKind::S3, format!("https://127.0.0.1:{}", ports[4]), secret.path());
    settings.ca_file = Some(dir.join("ca.pem"));
    let site = Site { settings, secret: secret.path().into(), checks_credentials: true };
    conformance::all(&site).await;
}

#[tokio::test]
async fn ministack_conforms() {
    let (_, ports) = run();
    let secret = tempfile::tempdir().unwrap();
    std::fs::write(secret.path().join("aws-key-id"), "testkey").unwrap();
    std::fs::write(secret.path().join("aws-access-key"), "testsecret\n").unwrap();
    let settings =
        settings(ObjectKind::S3, format!("http://127.0.0.1:{}", ports[6]), secret.path());
    let site = Site { settings, secret: secret.path().into(), checks_credentials: false };
    conformance::all(&site).await;
}

#[tokio::test]
async fn azurite_conforms() {
    let (dir, ports) = run();
    let secret = tempfile::tempdir().unwrap();
    std::fs::copy(dir.join("azkey"), secret.path().join("key")).unwrap();
    let settings =
        settings(ObjectKind::Azure, format!("http://127.0.0.1:{}/myacct", ports[7]), secret.path());
    let site = Site { settings, secret: secret.path().into(), checks_credentials: true };
    conformance::all(&site).await;
}

#[tokio::test]
async fn gcs_client_conforms() {
    let (_, ports) = run();
    let secret = tempfile::tempdir().unwrap();
    std::fs::write(
        secret.path().join("service-account.json"),
        r#"{"disable_oauth":true,"client_email":"","private_key":"","private_key_id":""}"#,
    )
    .unwrap();
    let mut settings =
        settings(ObjectKind::Gcs, format!("http://127.0.0.1:{}", ports[8]), secret.path());
    settings.buckets = vec!["planes-gs".to_owned()];
    let site = Site { settings, secret: secret.path().into(), checks_credentials: false };
    conformance::all(&site).await;
}
