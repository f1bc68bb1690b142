//! Copies by stores that take their time, fail, or lie about it.

use super::super::bucket::ObjectTag;
use super::super::error::BucketFault;
use super::super::{Bucket, CopyOf};
use super::faults::{Asked, Fake, code, status};
use super::{crypto, secret, settings};
use crate::config::{Credentials, ObjectKind, ObjectSettings};
use axum::body::Body;
use axum::response::Response;
use tempfile::TempDir;

/// The two buckets of a store, and the directory of their credential.
struct Store {
    planes: Bucket,
    elsewhere: Bucket,
    _secret: TempDir,
}

impl Store {
    fn open(fake: &Fake, kind: ObjectKind, secret: TempDir) -> Self {
        crypto();
        let settings = settings(kind, fake.url.clone(), secret.path());
        Self::configured(&settings, secret)
    }

    fn configured(settings: &ObjectSettings, secret: TempDir) -> Self {
        let bucket = |name| Bucket::open(settings, name).unwrap();
        Self { planes: bucket("planes"), elsewhere: bucket("elsewhere"), _secret: secret }
    }

    /// Copies `planes/a ü/b` to `elsewhere/c d`.
    async fn copy(&self) -> Result<(), super::super::BucketError> {
        let tag = ObjectTag("tag-1".to_owned());
        let (bucket, key) = (&self.planes, "a ü/b");
        self.elsewhere.copy_from(CopyOf { bucket, key, length: 100, tag: Some(&tag) }, "c d").await
    }
}

fn aws() -> TempDir {
    secret(&[("aws-key-id", "CanaryKeyId000001"), ("aws-access-key", "CanarySecret000002")])
}

fn azure() -> TempDir {
    secret(&[("key", "Q2FuYXJ5U2VjcmV0MTIzNDU2Nzg5")])
}

fn google() -> TempDir {
    let account =
        r#"{"disable_oauth":true,"client_email":"","private_key":"","private_key_id":""}"#;
    secret(&[("service-account.json", account)])
}

fn header<'a>(asked: &'a Asked, name: &str) -> &'a str {
    asked.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

fn copied() -> Response {
    status(200, "<CopyObjectResult><ETag>&quot;x&quot;</ETag></CopyObjectResult>")
}

/// F14, for requests that the client crate does not send.
#[tokio::test]
async fn a_copy_is_asked_for_again_while_the_store_fails_even_within_a_success() {
    let fake = Fake::start(|number, _| match number {
        0 => code(500, "InternalError"),
        1 => code(503, "SlowDown"),
        2 => status(200, "<?xml version=\"1.0\"?>\n<Error><Code>InternalError</Code></Error>"),
        _ => copied(),
    })
    .await;
    let store = Store::open(&fake, ObjectKind::S3, aws());

    store.copy().await.unwrap();

    let asked = fake.asked();
    assert_eq!(asked.len(), 4);
    for request in asked {
        assert_eq!((&*request.method, &*request.target), ("PUT", "/elsewhere/c%20d"));
        assert_eq!(header(&request, "x-amz-copy-source"), "/planes/a%20%C3%BC/b");
        assert_eq!(header(&request, "x-amz-copy-source-if-match"), "\"tag-1\"");
        let signed = request.authorization.split("SignedHeaders=").nth(1).unwrap().to_owned();
        let names = "x-amz-content-sha256;x-amz-copy-source;x-amz-copy-source-if-match;x-amz-date";
        assert!(signed.contains(names), "{signed}");
    }
}

/// F16: it says nothing of the bucket itself, which goes on working.
#[tokio::test]
async fn a_copy_that_is_denied_is_told_and_leaves_the_bucket_healthy() {
    let fake = Fake::start(|_, _| code(403, "AccessDenied")).await;
    let store = Store::open(&fake, ObjectKind::S3, aws());

    let error = store.copy().await.unwrap_err();

    assert_eq!(error.fault(), BucketFault::Forbidden);
    assert_eq!(
        error.to_string(),
        "cannot copy \"a ü/b\" in bucket elsewhere: the credential lacks a permission (403 \
         AccessDenied)"
    );
    assert_eq!((store.elsewhere.unhealthy(), store.planes.unhealthy()), (None, None));
    assert_eq!(fake.asked().len(), 1);
}

#[tokio::test]
async fn what_is_no_answer_to_a_copy_is_no_copy() {
    let cases = [
        (status(200, ""), BucketFault::Corrupt),
        (status(200, "<Other/>"), BucketFault::Corrupt),
        (status(200, "<Error><Code>AccessDenied</Code></Error>"), BucketFault::Forbidden),
        (code(412, "PreconditionFailed"), BucketFault::Changed),
        (code(400, "InvalidRequest"), BucketFault::TooLarge),
        (code(501, "NotImplemented"), BucketFault::NotSupported),
    ];
    for (answer, fault) in cases {
        let (parts, body) = answer.into_parts();
        let text = axum::body::to_bytes(body, 1 << 10).await.unwrap();
        let told = parts.status;
        let fake = Fake::start(move |_, _| {
            Response::builder().status(told).body(Body::from(text.clone())).unwrap()
        })
        .await;
        let store = Store::open(&fake, ObjectKind::S3, aws());
        assert_eq!(store.copy().await.unwrap_err().fault(), fault);
    }
}

fn azure_copy(number: u16, id: &str, state: &str) -> Response {
    let answer = Response::builder().status(number);
    let answer = answer.header("x-ms-copy-id", id).header("x-ms-copy-status", state);
    answer.body(Body::empty()).unwrap()
}

#[tokio::test]
async fn a_copy_that_azure_makes_later_is_waited_for() {
    let fake = Fake::start(|number, asked| match number {
        0 => azure_copy(202, "one", "pending"),
        1 | 2 => azure_copy(200, "one", "pending"),
        _ => {
            assert_eq!(asked.method, "HEAD");
            azure_copy(200, "one", "success")
        }
    })
    .await;
    let store = Store::open(&fake, ObjectKind::Azure, azure());

    store.copy().await.unwrap();

    let asked = fake.asked();
    let told: Vec<_> = asked.iter().map(|asked| (&*asked.method, &*asked.target)).collect();
    let target = "/elsewhere/c%20d";
    assert_eq!(told, [("PUT", target), ("HEAD", target), ("HEAD", target), ("HEAD", target)]);
    let source = format!("{}/planes/a%20%C3%BC/b", fake.url);
    assert_eq!(header(&asked[0], "x-ms-copy-source"), source);
    assert_eq!(header(&asked[0], "x-ms-source-if-match"), "\"tag-1\"");
    assert!(asked.iter().all(|asked| asked.authorization.starts_with("SharedKey ")));
}

#[tokio::test]
async fn a_copy_that_azure_gives_up_or_another_takes_the_place_of_has_failed() {
    let cases = [
        (azure_copy as fn(u16, &str, &str) -> Response, "one", "failed", BucketFault::Unavailable),
        (azure_copy, "one", "aborted", BucketFault::Unavailable),
        (azure_copy, "two", "success", BucketFault::Changed),
        (azure_copy, "one", "dreaming", BucketFault::Corrupt),
    ];
    for (answer, id, state, fault) in cases {
        let fake = Fake::start(move |number, _| match number {
            0 => answer(202, "one", "pending"),
            _ => answer(200, id, state),
        })
        .await;
        let store = Store::open(&fake, ObjectKind::Azure, azure());
        assert_eq!(store.copy().await.unwrap_err().fault(), fault, "{id} {state}");
    }
}

/// Both the place and the source are read with the signature; it is in no error.
#[tokio::test]
async fn a_copy_with_a_shared_signature_names_its_source_with_it() {
    let fake = Fake::start(|_, _| code(403, "AuthorizationPermissionMismatch")).await;
    let secret = secret(&[("token", "sv=2022-11-02&sig=Canary%2BSignature00001")]);
    let store = Store::open(&fake, ObjectKind::Azure, secret);

    let error = store.copy().await.unwrap_err();

    assert_eq!(error.fault(), BucketFault::Forbidden);
    assert!(!format!("{error} {error:?}").contains("Canary"), "{error:?}");
    let asked = &fake.asked()[0];
    assert!(asked.target.starts_with("/elsewhere/c%20d?sv=2022-11-02&sig=Canary"), "{asked:?}");
    let source = header(asked, "x-ms-copy-source");
    let expected = "/planes/a%20%C3%BC/b?sv=2022-11-02&sig=Canary%2BSignature00001";
    assert!(source.ends_with(expected), "{source}");
}

#[tokio::test]
async fn google_copies_large_objects_in_steps_until_it_is_done() {
    let fake = Fake::start(|number, _| match number {
        0 => {
            status(200, r#"{"kind":"storage#rewriteResponse","done":false,"rewriteToken":"t/1="}"#)
        }
        1 => code(503, "backendError"),
        2 => status(200, r#"{"done":false,"rewriteToken":"t2","totalBytesRewritten":"50"}"#),
        _ => status(200, r#"{"done":true,"resource":{}}"#),
    })
    .await;
    let mut store = Store::open(&fake, ObjectKind::Gcs, google());
    store.elsewhere = store.elsewhere.copying(99, 10);

    store.copy().await.unwrap();

    let asked = fake.asked();
    let begun = "/storage/v1/b/planes/o/a%20%C3%BC%2Fb/rewriteTo/b/elsewhere/o/c%20d";
    let one = format!("{begun}?rewriteToken=t%2F1%3D");
    let two = format!("{begun}?rewriteToken=t2");
    let told: Vec<_> = asked.iter().map(|asked| &*asked.target).collect();
    assert_eq!(told, [begun, &*one, &*one, &*two]);
    assert!(asked.iter().all(|asked| asked.method == "POST"));
    assert!(asked.iter().all(|asked| asked.authorization.starts_with("Bearer")));
}

#[tokio::test]
async fn google_copies_others_in_one_request_and_a_step_without_a_token_is_no_copy() {
    let fake = Fake::start(|number, _| match number {
        0 => status(200, ""),
        _ => status(200, r#"{"done":false}"#),
    })
    .await;
    let mut store = Store::open(&fake, ObjectKind::Gcs, google());
    store.copy().await.unwrap();
    store.elsewhere = store.elsewhere.copying(99, 10);

    assert_eq!(store.copy().await.unwrap_err().fault(), BucketFault::Corrupt);

    let asked = fake.asked();
    assert_eq!((&*asked[0].method, &*asked[0].target), ("PUT", "/elsewhere/c%20d"));
    assert_eq!(header(&asked[0], "x-goog-copy-source"), "/planes/a%20%C3%BC/b");
    assert_eq!(header(&asked[0], "x-goog-copy-source-if-match"), "\"tag-1\"");
}

/// Nobody issues a credential where requests are not signed: none is asked for.
#[tokio::test]
async fn what_is_asked_without_a_signature_is_asked_at_once() {
    let fake = Fake::start(|_, _| {
        status(200, "<ListMultipartUploadsResult></ListMultipartUploadsResult>")
    })
    .await;
    crypto();
    let secret = aws();
    let mut settings = settings(ObjectKind::S3, fake.url.clone(), secret.path());
    settings.credentials = Credentials::Anonymous;
    let store = Store::configured(&settings, secret);

    assert_eq!(store.planes.open_uploads("a").await.unwrap(), []);

    let asked = fake.asked();
    assert_eq!((asked.len(), &*asked[0].authorization), (1, ""));
}
