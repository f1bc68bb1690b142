//! How requests travel: no proxy, no redirect, a time limit by size, and what a server says when
//! it fails cut down to its status and code before anything else sees it.

use super::error::ErrorCode;
use async_trait::async_trait;
use futures_util::StreamExt as _;
use object_store::ClientOptions;
use object_store::client::{
    ClientConfigKey, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest,
    HttpResponse, HttpResponseBody, HttpService,
};
use reqwest::header::CONTENT_LENGTH;
use reqwest::{Certificate, Client, redirect};
use std::cell::RefCell;
use std::future::Future;
use std::time::Duration;
use thiserror::Error;

/// Whom a client talks to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Service {
    /// The store itself.
    Store,
    /// Who issues credentials for it.
    Issuer,
}

/// What a server answered when it failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Answer {
    pub(super) service: Service,
    pub(super) status: u16,
    pub(super) code: ErrorCode,
}

tokio::task_local! {
    /// The last failing answer within one operation. The client crate keeps status and body of a
    /// failed request in a type that has no public name.
    static LAST: RefCell<Option<Answer>>;
}

/// Runs an operation of the client crate; with what it returned comes the answer that made it
/// fail, unless the failure was not an answer.
pub(super) async fn watched<T>(operation: impl Future<Output = T>) -> (T, Option<Answer>) {
    LAST.scope(RefCell::new(None), async {
        let outcome = operation.await;
        (outcome, LAST.with(|last| last.borrow_mut().take()))
    })
    .await
}

/// Whether the last answer within the running operation was a failure.
pub(super) fn failing() -> bool {
    LAST.try_with(|last| last.borrow().is_some()).unwrap_or(false)
}

/// Notes what was answered last within the running operation.
pub(super) fn note(answer: Option<Answer>) {
    // Outside of an operation nobody asks.
    let _ = LAST.try_with(|last| *last.borrow_mut() = answer);
}

/// Makes the clients of one bucket.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    pub(super) service: Service,
    /// The only authorities to trust; `None` for those of the host.
    pub(super) authorities: Option<Vec<Certificate>>,
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let http = options.get_config_value(&ClientConfigKey::AllowHttp);
        let mut builder = Client::builder()
            .user_agent(concat!("skyspray-relay/", env!("CARGO_PKG_VERSION")))
            .no_proxy()
            .redirect(redirect::Policy::none())
            .referer(false)
            .https_only(http.as_deref() != Some("true"))
            .connect_timeout(CONNECT_LIMIT)
            .pool_idle_timeout(POOL_IDLE);
        if let Some(authorities) = &self.authorities {
            builder = builder.tls_certs_only(authorities.clone());
        }
        let client = builder.build().map_err(|source| object_store::Error::Generic {
            store: "http",
            source: Box::new(source.without_url()),
        })?;
        Ok(HttpClient::new(Transport { service: self.service, client: HttpClient::new(client) }))
    }
}

#[derive(Debug)]
struct Transport {
    service: Service,
    client: HttpClient,
}

/// A request took longer than its size allows.
#[derive(Debug, Error)]
#[error("no answer within {} s", limit.as_secs())]
struct TimedOut {
    limit: Duration,
}

#[async_trait]
impl HttpService for Transport {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let limit = time_limit(&request);
        let answered = tokio::time::timeout(limit, self.client.execute(request)).await;
        let late = |_| HttpError::new(HttpErrorKind::Timeout, TimedOut { limit });
        note(None);
        let response = answered.map_err(late)??;
        if response.status().is_success() || response.status().as_u16() == 304 {
            return Ok(response);
        }
        let (parts, body) = response.into_parts();
        let text = tokio::time::timeout(ANSWER_LIMIT, beginning(body)).await.unwrap_or_default();
        let named = parts.headers.get("x-ms-error-code").and_then(|code| code.to_str().ok());
        let code = ErrorCode::of(named.or_else(|| code_in(&text)).unwrap_or_default());
        let scrubbed = HttpResponseBody::from(code.as_str().to_owned());
        let status = parts.status.as_u16();
        note(Some(Answer { service: self.service, status, code }));
        Ok(HttpResponse::from_parts(parts, scrubbed))
    }
}

/// The time until a request is answered: its bytes at [`RATE_FLOOR`], and a grace that is long
/// where the store works on what it has before it answers.
fn time_limit(request: &HttpRequest) -> Duration {
    let headers = request.headers();
    let copies = ["x-amz-copy-source", "x-ms-copy-source", "x-goog-copy-source"]
        .iter()
        .any(|name| headers.contains_key(*name));
    let copies = copies || request.uri().path().contains("/rewriteTo/");
    let query = request.uri().query().unwrap_or_default();
    let many = query.contains("comp=batch") || query.split('&').any(|pair| pair == "delete");
    let completes = query.contains("comp=blocklist")
        || (request.method() == reqwest::Method::POST && query.contains("uploadId="));
    let grace = if copies || completes || many { ASSEMBLY_GRACE } else { GRACE };
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    grace + at_floor(length.unwrap_or(0))
}

/// How long so many bytes take at the least rate that is put up with.
pub(super) fn at_floor(bytes: u64) -> Duration {
    Duration::from_secs(bytes / RATE_FLOOR)
}

/// As much of a failing answer as can hold its code.
async fn beginning(body: HttpResponseBody) -> String {
    let mut stream = body.bytes_stream();
    let mut text = Vec::new();
    while let Some(Ok(bytes)) = stream.next().await {
        text.extend_from_slice(&bytes[..bytes.len().min(ANSWER_BYTES_MAX - text.len())]);
        if text.len() == ANSWER_BYTES_MAX {
            break;
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// The code of an XML answer, or of the JSON of those who issue credentials.
pub(super) fn code_in(text: &str) -> Option<&str> {
    let between = |before: &str, after: char| {
        let (_, rest) = text.split_once(before)?;
        rest.split_once(after).map(|(code, _)| code)
    };
    let json = || {
        let (_, rest) = text.split_once("\"error\"")?;
        rest.trim_start_matches([':', ' ']).strip_prefix('"')?.split_once('"').map(|(code, _)| code)
    };
    between("<Code>", '<').or_else(json)
}

/// Longest wait for a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Shorter than the minute after which common load balancers forget a connection.
const POOL_IDLE: Duration = Duration::from_secs(45);

/// The slowest store that is worth waiting for, in bytes a second.
const RATE_FLOOR: u64 = 1 << 20;

/// What a store may take beyond the time for the bytes.
pub(super) const GRACE: Duration = Duration::from_secs(20);

/// The same where it puts an object together, copies it or removes many.
pub(super) const ASSEMBLY_GRACE: Duration = Duration::from_secs(300);

/// Longest wait for the text of a failing answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

const ANSWER_BYTES_MAX: usize = 8 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::client::HttpRequestBody;
    use reqwest::Method;

    #[test]
    fn time_grows_with_the_bytes_and_where_the_store_has_work() {
        let limit = |method: Method, uri: &str, bytes: u64| {
            let mut request = HttpRequest::new(HttpRequestBody::empty());
            *request.method_mut() = method;
            *request.uri_mut() = uri.parse().unwrap();
            request.headers_mut().insert(CONTENT_LENGTH, bytes.into());
            time_limit(&request).as_secs()
        };
        assert_eq!(limit(Method::PUT, "http://h/b/k?partNumber=1&uploadId=u", 0), 20);
        assert_eq!(limit(Method::PUT, "http://h/b/k?partNumber=1&uploadId=u", 64 << 20), 84);
        assert_eq!(limit(Method::POST, "http://h/b/k?uploadId=u", 900), 300);
        assert_eq!(limit(Method::PUT, "http://h/c/k?comp=blocklist", 900), 300);
        assert_eq!(limit(Method::POST, "http://h/b?delete", 3 << 20), 303);
        assert_eq!(limit(Method::DELETE, "http://h/b/delete", 0), 20);
        assert_eq!(limit(Method::POST, "http://h/storage/v1/b/a/o/b/rewriteTo/b/c/o/d", 0), 300);
    }

    #[test]
    fn codes_are_found_in_what_stores_and_issuers_say() {
        assert_eq!(code_in("<?xml?><Error><Code>NoSuchKey</Code><Message>"), Some("NoSuchKey"));
        assert_eq!(code_in(r#"{"error": "invalid_grant", "x": 1}"#), Some("invalid_grant"));
        assert_eq!(code_in("<html>502 Bad Gateway"), None);
        assert_eq!(ErrorCode::of("AKIA7Q2W3E4R5T6Y7U8I").as_str(), "");
        assert_eq!(ErrorCode::of("has space").as_str(), "");
        assert_eq!(
            ErrorCode::of("XAmzContentSHA256Mismatch").as_str(),
            "XAmzContentSHA256Mismatch"
        );
    }
}
