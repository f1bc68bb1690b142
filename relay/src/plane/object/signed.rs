//! Requests that the client crate has no call for, signed with the credential of the bucket.

use super::error::{BucketDetail, ErrorCode};
use super::store::{GCS_ENDPOINT, RETRY_LIMIT, Store};
use super::transport::{Answer, Connector, Service, code_in, note};
use crate::config::{Credentials, ObjectKind, ObjectSettings};
use futures_util::StreamExt as _;
use object_store::ClientOptions;
use object_store::aws::AwsAuthorizer;
use object_store::azure::{AzureAuthorizer, AzureCredential};
use object_store::client::{
    HttpClient, HttpConnector as _, HttpRequest, HttpRequestBody, HttpResponseBody,
};
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use std::time::Duration;
use thiserror::Error;
use tokio::time::Instant;

/// Asks one bucket.
pub(super) struct Signed {
    client: HttpClient,
    /// URL of the service, without a slash at its end.
    service: String,
    /// URL of the bucket, without a slash at its end.
    bucket: String,
    region: String,
    account: String,
    is_anonymous: bool,
}

/// What is asked: nothing of it has a body. Never formatted: a source may be named with a signature.
#[derive(Clone)]
pub(super) struct Question {
    pub(super) method: Method,
    pub(super) url: String,
    pub(super) headers: Vec<(&'static str, String)>,
}

/// What is answered when all is well.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

/// Why an answer is of no use. Nothing of what a store wrote is in it.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub(super) enum AnswerFault {
    #[error("the request has no usable address or header")]
    Unusable,
    #[error("the request is answered with {status}")]
    Status { status: u16 },
    #[error("the answer breaks off")]
    Broken,
    #[error("the answer is longer than {ANSWER_BYTES_MAX} bytes")]
    Long,
    #[error("the answer is not in the form of the store")]
    Form,
}

impl Signed {
    pub(super) fn open(
        settings: &ObjectSettings,
        bucket: &str,
        connector: &Connector,
    ) -> Result<Self, BucketDetail> {
        let options = ClientOptions::new().with_allow_http(settings.allow_http);
        let client = connector.connect(&options).map_err(|_| BucketDetail::Client)?;
        let service = service_url(settings);
        let url = match service.split_once("://") {
            Some((scheme, host)) if settings.kind == ObjectKind::S3 && !settings.path_style => {
                format!("{scheme}://{bucket}.{host}")
            }
            _ => format!("{service}/{bucket}"),
        };
        let (region, account) = (settings.region.clone(), settings.account.clone());
        let is_anonymous = settings.credentials == Credentials::Anonymous;
        Ok(Self { client, service, bucket: url, region, account, is_anonymous })
    }

    /// URL of the service, without a slash at its end.
    pub(super) fn service(&self) -> &str {
        &self.service
    }

    /// URL of the bucket, without a slash at its end.
    pub(super) fn bucket(&self) -> &str {
        &self.bucket
    }

    /// URL of an object.
    pub(super) fn object(&self, key: &str) -> String {
        format!("{}/{}", self.bucket, encoded_path(key))
    }

    /// Asks until there is an answer that is no passing failure, as the client crate does. What is
    /// asked must do the same when it is asked again.
    ///
    /// # Errors
    ///
    /// The last failure.
    pub(super) async fn ask(
        &self,
        store: &Store,
        question: &Question,
    ) -> object_store::Result<Said> {
        let (begun, mut pause) = (Instant::now(), FIRST_PAUSE);
        let mut attempts_left = ATTEMPTS;
        loop {
            attempts_left -= 1;
            let error = match self.ask_once(store, question).await {
                Err((error, true)) => error,
                Err((error, false)) => return Err(error),
                Ok(said) => return Ok(said),
            };
            if attempts_left == 0 || begun.elapsed() + pause > RETRY_LIMIT {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// The failure, and whether it may pass.
    async fn ask_once(
        &self,
        store: &Store,
        question: &Question,
    ) -> Result<Said, (object_store::Error, bool)> {
        let request = self.request(store, question).await.map_err(|error| (error, false))?;
        let response = self.client.execute(request).await.map_err(|error| {
            let error = object_store::Error::Generic { store: STORE, source: Box::new(error) };
            (error, true)
        })?;
        let status = response.status();
        if !status.is_success() {
            let passes = status.is_server_error() && status.as_u16() != 501;
            let status = status.as_u16();
            return Err((
                failed(AnswerFault::Status { status }),
                passes || [408, 429].contains(&status),
            ));
        }
        let (parts, body) = response.into_parts();
        let text = whole(body).await.map_err(|fault| (failed(fault), true))?;
        // What takes long is answered before it has failed.
        if let Some(code) = failure_within(&text) {
            let passes = ["InternalError", "SlowDown", "ServiceUnavailable"].contains(&code);
            let status = if code == "AccessDenied" { 403 } else { 500 };
            let code = ErrorCode::of(code);
            note(Some(Answer { service: Service::Store, status, code }));
            return Err((failed(AnswerFault::Status { status }), passes));
        }
        Ok(Said { headers: parts.headers, text })
    }

    async fn request(
        &self,
        store: &Store,
        question: &Question,
    ) -> object_store::Result<HttpRequest> {
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = question.method.clone();
        *request.uri_mut() = question.url.parse().map_err(|_| failed(AnswerFault::Unusable))?;
        if self.is_anonymous && matches!(store, Store::Azure(_)) {
            request
                .headers_mut()
                .insert(AZURE_VERSION.0, HeaderValue::from_static(AZURE_VERSION.1));
        }
        if question.method != Method::GET && question.method != Method::HEAD {
            request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        for (name, value) in &question.headers {
            let value = HeaderValue::from_str(value);
            let mut value = value.map_err(|_| failed(AnswerFault::Unusable))?;
            value.set_sensitive(true);
            request.headers_mut().insert(HeaderName::from_static(name), value);
        }
        if self.is_anonymous {
            return Ok(request);
        }
        match store {
            Store::S3(s3) => {
                let credential = s3.credentials().get_credential().await?;
                AwsAuthorizer::new(&credential, "s3", &self.region)
                    .try_authorize(&mut request, None)?;
            }
            Store::Azure(azure) => {
                let credential = azure.credentials().get_credential().await?;
                AzureAuthorizer::new(&credential, &self.account).try_authorize(&mut request)?;
            }
            Store::Gcs(gcs) => {
                let credential = gcs.credentials().get_credential().await?;
                let bearer = HeaderValue::from_str(&format!("Bearer {}", credential.bearer));
                let mut bearer = bearer.map_err(|_| failed(AnswerFault::Unusable))?;
                bearer.set_sensitive(true);
                request.headers_mut().insert(AUTHORIZATION, bearer);
            }
        }
        Ok(request)
    }
}

impl Store {
    /// The URL of an object as a copy of it names it: a store that is asked with a signature in the
    /// URL reads what it copies with one.
    pub(super) async fn as_source(&self, url: String) -> object_store::Result<String> {
        let Self::Azure(azure) = self else { return Ok(url) };
        match &*azure.credentials().get_credential().await? {
            AzureCredential::SASToken(pairs) => {
                let pairs =
                    pairs.iter().map(|(key, value)| format!("{}={}", encoded(key), encoded(value)));
                Ok(format!("{url}?{}", pairs.collect::<Vec<_>>().join("&")))
            }
            _ => Ok(url),
        }
    }
}

/// A failure that no answer of the store is.
pub(super) fn failed(fault: AnswerFault) -> object_store::Error {
    object_store::Error::Generic { store: STORE, source: Box::new(fault) }
}

/// Percent-encoded as signatures want it: everything but letters, digits and `-._~`.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The same, but for the slashes of a key.
pub(super) fn encoded_path(key: &str) -> String {
    key.split('/').map(encoded).collect::<Vec<_>>().join("/")
}

fn service_url(settings: &ObjectSettings) -> String {
    settings.endpoint.clone().unwrap_or_else(|| match settings.kind {
        ObjectKind::S3 => format!("https://s3.{}.amazonaws.com", settings.region),
        ObjectKind::Azure => format!("https://{}.blob.core.windows.net", settings.account),
        ObjectKind::Gcs => GCS_ENDPOINT.to_owned(),
    })
}

/// The code of a failure that comes as the answer of a success.
fn failure_within(text: &str) -> Option<&str> {
    let body = text.trim_start();
    let body = match body.strip_prefix("<?xml") {
        Some(rest) => rest.split_once("?>").map_or("", |(_, body)| body).trim_start(),
        None => body,
    };
    body.starts_with("<Error").then(|| code_in(body).unwrap_or_default())
}

async fn whole(body: HttpResponseBody) -> Result<String, AnswerFault> {
    let mut stream = body.bytes_stream();
    let mut text = Vec::new();
    while let Some(bytes) = stream.next().await {
        text.extend_from_slice(&bytes.map_err(|_| AnswerFault::Broken)?);
        if text.len() > ANSWER_BYTES_MAX {
            return Err(AnswerFault::Long);
        }
    }
    String::from_utf8(text).map_err(|_| AnswerFault::Form)
}

/// What such failures are told apart by from those of the client crate's own requests.
const STORE: &str = "signed";

/// The interface that requests without a signature ask for.
const AZURE_VERSION: (&str, &str) = ("x-ms-version", "2023-11-03");

/// Longest answer that is read; a list of 1,000 uploads with long keys has less.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// Times something is asked, as the client crate does.
const ATTEMPTS: u32 = 6;

const FIRST_PAUSE: Duration = Duration::from_millis(100);

const PAUSE_MAX: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_encoded_byte_by_byte() {
        assert_eq!(encoded("a/ü b~1.x"), "a%2F%C3%BC%20b~1.x");
        assert_eq!(encoded_path("a/ü b~1.x"), "a/%C3%BC%20b~1.x");
    }

    #[test]
    fn a_failure_is_found_in_the_answer_of_a_success() {
        let xml = "<?xml version=\"1.0\"?>\n<Error><Code>SlowDown</Code></Error>";
        assert_eq!(failure_within(xml), Some("SlowDown"));
        assert_eq!(failure_within(" <Error>"), Some(""));
        let copied = "<?xml version=\"1.0\"?><CopyPartResult><ETag>e</ETag></CopyPartResult>";
        assert_eq!(failure_within(copied), None);
        assert_eq!(failure_within(""), None);
    }
}
