//! A store that misbehaves: what is tried again, what is said, and what is never said.

use super::super::bucket::ObjectTag;
use super::super::error::BucketFault;
use super::super::{Bucket, BucketError, PieceId, PutHow, UploadId};
use super::{crypto, secret, settings};
use crate::config::{ObjectKind, ObjectSettings};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, CONTENT_RANGE, ETAG, LAST_MODIFIED, LOCATION};
use axum::response::Response;
use bytes::Bytes;
use std::fs;
use std::io;
use std::process::Command;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tracing_subscriber::fmt::MakeWriter;

/// One request as a fake server saw it.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) authorization: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// A server in this process that answers by a function of the request and its number.
pub(super) struct Fake {
    pub(super) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Fake {
    pub(super) async fn start(
        answer: impl Fn(usize, &Asked) -> Response + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer) = (Arc::clone(&asked), Arc::new(answer));
        let app = Router::new().fallback(move |request: Request| {
            let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
            async move {
                let (parts, body) = request.into_parts();
                let authorization = parts.headers.get(AUTHORIZATION);
                let asked = Asked {
                    method: parts.method.to_string(),
                    target: parts.uri.to_string(),
                    authorization: authorization
                        .map_or(String::new(), |value| value.to_str().unwrap().to_owned()),
                    headers: parts.headers.clone(),
                    body: axum::body::to_bytes(body, 1 << 20).await.unwrap(),
                };
                let number = {
                    let mut seen = seen.lock().unwrap();
                    seen.push(asked.clone());
                    seen.len() - 1
                };
                answer(number, &asked)
            }
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, asked }
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

pub(super) fn status(status: u16, body: impl Into<String>) -> Response {
    Response::builder().status(status).body(Body::from(body.into())).unwrap()
}

pub(super) fn code(number: u16, code: &str) -> Response {
    status(number, format!("<Error><Code>{code}</Code></Error>"))
}

pub(super) fn stored() -> Response {
    Response::builder().header(ETAG, "\"tag\"").body(Body::empty()).unwrap()
}

fn aws() -> TempDir {
    secret(&[("aws-key-id", "CanaryKeyId000001"), ("aws-access-key", "CanarySecret000002")])
}

fn s3(fake: &Fake, secret: &TempDir) -> ObjectSettings {
    crypto();
    settings(ObjectKind::S3, fake.url.clone(), secret.path())
}

fn bucket(fake: &Fake, secret: &TempDir) -> Bucket {
    Bucket::open(&s3(fake, secret), "planes").unwrap()
}

fn upload() -> UploadId {
    UploadId("upload-1".to_owned())
}

async fn put(bucket: &Bucket) -> Result<(), BucketError> {
    bucket.put("a/b", Bytes::from_static(b"bytes"), PutHow::Replace).await
}

/// F14.
#[tokio::test]
async fn a_piece_is_sent_again_while_the_store_fails_or_asks_to_wait() {
    let fake = Fake::start(|number, _| match number {
        0 => code(500, "InternalError"),
        1 => code(503, "SlowDown"),
        2 => code(429, "TooManyRequests"),
        _ => stored(),
    })
    .await;
    let secret = aws();

    let bytes = Bytes::from_static(b"bytes");
    let piece = bucket(&fake, &secret).put_piece("a/b", &upload(), 6, bytes.clone()).await;

    assert!(piece.unwrap().0.contains("tag"));
    let asked = fake.asked();
    assert_eq!(asked.len(), 4);
    for request in asked {
        assert_eq!(request.target, "/planes/a/b?partNumber=7&uploadId=upload-1");
        assert_eq!(request.body, bytes);
    }
}

/// F14.
#[tokio::test]
async fn a_store_that_goes_on_asking_to_wait_is_left_alone_after_six_tries() {
    let fake = Fake::start(|_, _| code(503, "SlowDown")).await;
    let secret = aws();

    let error = put(&bucket(&fake, &secret)).await.unwrap_err();

    assert_eq!(error.fault(), BucketFault::Throttled);
    assert_eq!(
        error.to_string(),
        "cannot write \"a/b\" in bucket planes: the store asks for fewer requests (503 SlowDown)"
    );
    assert_eq!(fake.asked().len(), 6);
}

#[tokio::test]
async fn nobody_is_sent_to_another_host() {
    let other = Fake::start(|_, _| stored()).await;
    let url = other.url.clone();
    let fake = Fake::start(move |_, _| {
        let builder = Response::builder().status(307).header(LOCATION, &url);
        builder.body(Body::empty()).unwrap()
    })
    .await;
    let secret = aws();

    let error = put(&bucket(&fake, &secret)).await.unwrap_err();

    assert_eq!(error.fault(), BucketFault::Settings);
    assert_eq!(fake.asked().len(), 1);
    assert_eq!(other.asked().len(), 0);
}

/// The environment of a process cannot be changed safely, so a second one has the proxy in its.
#[tokio::test]
async fn no_proxy_of_the_environment_is_asked() {
    const CHILD: &str = "SKYSPRAY_TEST_STORE";
    let secret = aws();
    if let Ok(url) = std::env::var(CHILD) {
        crypto();
        let settings = settings(ObjectKind::S3, url, secret.path());
        put(&Bucket::open(&settings, "planes").unwrap()).await.unwrap();
        return;
    }
    let (store, proxy) = (Fake::start(|_, _| stored()).await, Fake::start(|_, _| stored()).await);
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "plane::object::tests::faults::no_proxy_of_the_environment_is_asked"]);
    child.env(CHILD, &store.url).env_remove("NO_PROXY").env_remove("no_proxy");
    for variable in ["http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        child.env(variable, &proxy.url);
    }

    let output = tokio::task::spawn_blocking(move || child.output().unwrap()).await.unwrap();

    assert!(output.status.success(), "{output:?}");
    assert_eq!(store.asked().len(), 1);
    assert_eq!(proxy.asked().len(), 0);
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// F16 and G7: a store that repeats what it was sent gets none of it into errors or logs.
#[tokio::test]
async fn nothing_that_a_store_says_is_repeated_but_a_code() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(log.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let fake = Fake::start(|number, asked| {
        let text = format!("CanaryKeyId000001 CanarySecret000002 {}", asked.authorization);
        match number {
            0 => status(500, text),
            1 => status(403, format!("<Error><Code>CanaryCode00000</Code>{text}</Error>")),
            _ => status(400, format!("<Error><Code>Canary {text}</Code></Error>")),
        }
    })
    .await;
    let secret = aws();
    let bucket = bucket(&fake, &secret);

    let denied = put(&bucket).await.unwrap_err();
    assert_eq!(denied.fault(), BucketFault::Forbidden);
    let odd = put(&bucket).await.unwrap_err();
    assert_eq!(odd.fault(), BucketFault::NotSupported);

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("status 500"), "the log is caught: {log}");
    for shown in [&format!("{denied} {denied:?} {odd} {odd:?} {bucket:?}"), &log] {
        assert!(!shown.contains("Canary"), "{shown}");
        assert!(!shown.contains("Signature"), "{shown}");
    }
    assert!(std::error::Error::source(&denied).is_none());
}

/// F15: the file is looked at again at once when the store does not accept what was in it.
#[tokio::test]
async fn a_secret_that_changed_under_way_costs_one_request() {
    let fake = Fake::start(|_, asked| {
        if asked.authorization.contains("Credential=new/") {
            stored()
        } else {
            code(403, "InvalidAccessKeyId")
        }
    })
    .await;
    let secret = secret(&[("aws-key-id", "new"), ("aws-access-key", "s")]);
    let bucket = bucket(&fake, &secret);
    put(&bucket).await.unwrap();
    fs::write(secret.path().join("aws-key-id"), "newer").unwrap();
    put(&bucket).await.unwrap();
    assert_eq!(fake.asked().len(), 2, "what was read is believed for a while");

    let fresh = super::faults::bucket(&fake, &secret);
    let error = put(&fresh).await.unwrap_err();
    assert_eq!(error.fault(), BucketFault::Denied);
    assert_eq!(fake.asked().len(), 3, "nothing else is there to try");
    fs::write(secret.path().join("aws-key-id"), "new").unwrap();
    put(&fresh).await.unwrap();
    assert_eq!(fake.asked().len(), 5, "denied, read again, stored");
}

/// F17.
#[tokio::test]
async fn bytes_that_were_damaged_on_the_way_are_sent_once_more() {
    let fake = Fake::start(|number, _| match number {
        0 => code(400, "BadDigest"),
        1 => stored(),
        _ => code(400, "BadDigest"),
    })
    .await;
    let secret = aws();
    let bucket = bucket(&fake, &secret);

    put(&bucket).await.unwrap();
    let error = put(&bucket).await.unwrap_err();

    assert_eq!(error.fault(), BucketFault::Corrupt);
    assert_eq!(fake.asked().len(), 4);
}

/// S3 may answer a completion with success and put an error into it.
#[tokio::test]
async fn a_completion_that_succeeds_with_an_error_inside_is_no_success() {
    let fake = Fake::start(|_, _| code(200, "AccessDenied")).await;
    let secret = aws();

    let piece = PieceId("\"tag\"".to_owned());
    let outcome = bucket(&fake, &secret).complete_upload("a/b", &upload(), vec![piece]).await;

    assert_eq!(outcome.unwrap_err().fault(), BucketFault::Corrupt);
}

/// F13: the reply is lost, and the store forgets the upload.
#[tokio::test]
async fn a_completion_asked_again_after_its_reply_was_lost_says_no_upload() {
    let fake = Fake::start(|number, _| match number {
        0 => code(500, "InternalError"),
        _ => code(404, "NoSuchUpload"),
    })
    .await;
    let secret = aws();

    let piece = PieceId("\"tag\"".to_owned());
    let outcome = bucket(&fake, &secret).complete_upload("a/b", &upload(), vec![piece]).await;

    assert_eq!(outcome.unwrap_err().fault(), BucketFault::NoUpload);
    assert_eq!(fake.asked().len(), 2);
}

/// Stores exist that ignore conditions.
#[tokio::test]
async fn an_object_with_another_tag_is_changed_though_the_store_sends_it() {
    let fake = Fake::start(|_, _| {
        Response::builder()
            .status(206)
            .header(ETAG, "\"other\"")
            .header(LAST_MODIFIED, "Wed, 21 Oct 2015 07:28:00 GMT")
            .header(CONTENT_RANGE, "bytes 0-4/10")
            .body(Body::from("bytes"))
            .unwrap()
    })
    .await;
    let secret = aws();
    let bucket = bucket(&fake, &secret);

    let tag = ObjectTag("other".to_owned());
    assert_eq!(bucket.read("a", 0..5, Some(&tag)).await.unwrap(), "bytes");
    let tag = ObjectTag("tag".to_owned());
    let error = bucket.read("a", 0..5, Some(&tag)).await.unwrap_err();
    assert_eq!(error.fault(), BucketFault::Changed);
}

#[tokio::test]
async fn codes_are_told_apart() {
    use BucketFault as Fault;
    let cases = [
        (404, "NoSuchBucket", Fault::NoBucket),
        (404, "ContainerNotFound", Fault::NoBucket),
        (403, "QuotaExceeded", Fault::Full),
        (507, "", Fault::Full),
        (413, "", Fault::TooLarge),
        (400, "EntityTooLarge", Fault::TooLarge),
        (400, "ExpiredToken", Fault::Denied),
        (401, "", Fault::Denied),
        (403, "SignatureDoesNotMatch", Fault::Denied),
        (403, "AuthorizationFailure", Fault::Denied),
        (403, "AccessDenied", Fault::Forbidden),
        (403, "", Fault::Forbidden),
        (301, "PermanentRedirect", Fault::Settings),
        (400, "AuthorizationHeaderMalformed", Fault::Settings),
        (405, "MethodNotAllowed", Fault::NotSupported),
        (409, "ConditionalRequestConflict", Fault::Unavailable),
        (400, "RequestTimeout", Fault::Unavailable),
        (408, "", Fault::Unavailable),
        (400, "IDoNotKnow", Fault::NotSupported),
    ];
    let fake = Fake::start(move |_, asked| {
        let number = asked.target.rsplit('/').next().unwrap();
        let (status, text, _) = cases[number.parse::<usize>().unwrap()];
        code(status, text)
    })
    .await;
    let secret = aws();
    let bucket = bucket(&fake, &secret);
    for (number, (status, code, fault)) in cases.into_iter().enumerate() {
        let outcome = bucket.put(&number.to_string(), Bytes::new(), PutHow::Replace).await;
        assert_eq!(outcome.unwrap_err().fault(), fault, "{status} {code}");
    }
}
