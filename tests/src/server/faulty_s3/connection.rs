//! One connection to the in-memory server: each request is counted, goes wrong as planned, and
//! otherwise reaches S3.

use super::fault::{Fault, Faults, Gate, Operation};
use bytes::Bytes;
use hyper::body::{Frame, Incoming};
use hyper::http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use hyper::http::request::Parts;
use hyper::http::{HeaderValue, StatusCode};
use hyper::{Request, Response};
use s3s::service::S3Service;
use s3s::{Body, HttpError};
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Bytes of a request's body, at most.
const BODY_BYTES_MAX: usize = 1 << 30;

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    /// A second hold on the socket; the last to close it decides how it ends.
    pub(super) socket: OwnedFd,
    pub(super) faults: Faults,
    pub(super) s3: S3Service,
}

impl Connection {
    /// Answers a request.
    ///
    /// # Errors
    ///
    /// The connection is to end without an answer.
    pub(super) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, HttpError> {
        let (mut parts, body) = request.into_parts();
        let operation = operation(&parts);
        let mut body = Body::from(body);
        let body = body.store_all_limited(BODY_BYTES_MAX).await.map_err(HttpError::new)?;
        let fault = self.faults.take(operation);
        match &fault {
            Some(Fault::Fail(failure)) => {
                let (status, code) = failure.parts();
                return Ok(failed(status, code));
            }
            Some(Fault::FailWithin200) => return Ok(failed(200, "InternalError")),
            Some(Fault::Reset) => return Err(self.reset()),
            Some(Fault::Hold(gate)) => pass(gate).await,
            Some(fault) => drop(parts.extensions.insert(fault.clone())),
            None => {}
        }
        let answer = self.s3.call(Request::from_parts(parts, Body::from(body))).await?;
        match fault {
            Some(Fault::LoseReply) => Err(self.reset()),
            Some(Fault::CutReply(bytes)) => self.cut(answer, bytes).await,
            Some(Fault::HoldReply(gate)) => {
                pass(&gate).await;
                Ok(answer)
            }
            Some(Fault::WrongETag) => Ok(with_another_tag(answer)),
            _ => Ok(answer),
        }
    }

    /// Has the connection end so that the client sees a reset, not an end.
    fn reset(&self) -> HttpError {
        let set = rustix::net::sockopt::set_socket_linger(&self.socket, Some(Duration::ZERO));
        HttpError::new(match set {
            Ok(()) => Box::new(io::Error::from(io::ErrorKind::ConnectionReset)),
            Err(error) => Box::new(io::Error::from(error)),
        })
    }

    /// The beginning of an answer that announces all of it; then the connection is reset.
    async fn cut(
        self: Arc<Self>,
        answer: Response<Body>,
        bytes: usize,
    ) -> Result<Response<Body>, HttpError> {
        let (mut parts, mut body) = answer.into_parts();
        let whole = body.store_all_limited(BODY_BYTES_MAX).await.map_err(HttpError::new)?;
        parts.headers.insert(CONTENT_LENGTH, whole.len().into());
        parts.headers.insert(CONNECTION, HeaderValue::from_static("close"));
        if bytes >= whole.len() {
            // All of it is sent before the connection is closed.
            drop(self.reset());
            return Ok(Response::from_parts(parts, Body::from(whole)));
        }
        let cut = CutBody { begun: Some(whole.slice(..bytes)), sent: false, connection: self };
        Ok(Response::from_parts(parts, Body::http_body_unsync(cut)))
    }
}

/// A body that breaks off.
struct CutBody {
    begun: Option<Bytes>,
    sent: bool,
    connection: Arc<Connection>,
}

impl hyper::body::Body for CutBody {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        if let Some(begun) = self.begun.take().filter(|begun| !begun.is_empty()) {
            return Poll::Ready(Some(Ok(Frame::data(begun))));
        }
        if !std::mem::replace(&mut self.sent, true) {
            // What was begun is sent before this is asked again.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(self.connection.reset())))
    }
}

/// Waits at a gate, off the threads that serve.
async fn pass(gate: &Gate) {
    let gate = gate.clone();
    // A server that is being dropped lets nobody pass any more.
    let _ = tokio::task::spawn_blocking(move || gate.pass()).await;
}

/// A failure in the words of S3.
fn failed(status: u16, code: &str) -> Response<Body> {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code>\
         <Message>{code}</Message></Error>"
    );
    let mut answer = Response::new(Body::from(text));
    *answer.status_mut() = StatusCode::from_u16(status).expect("failures have a status of HTTP");
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    answer
}

fn with_another_tag(mut answer: Response<Body>) -> Response<Body> {
    if let Some(right) = answer.headers().get(ETAG) {
        let other = super::store::etag(right.as_bytes());
        let other = other.to_http_header().expect("a tag of hex digits is a header");
        answer.headers_mut().insert(ETAG, other);
    }
    answer
}

/// The kind of a request.
fn operation(parts: &Parts) -> Operation {
    let query = parts.uri.query().unwrap_or_default();
    let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
    let path = parts.uri.path().trim_start_matches('/');
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    let object = !key.is_empty();
    let copies = parts.headers.contains_key("x-amz-copy-source");
    match parts.method.as_str() {
        "PUT" if !object => Operation::CreateBucket,
        "PUT" if has("partNumber") && copies => Operation::UploadPartCopy,
        "PUT" if has("partNumber") => Operation::UploadPart,
        "PUT" if copies => Operation::Copy,
        "PUT" => Operation::Put,
        "POST" if !object && has("delete") => Operation::DeleteMany,
        "POST" if object && has("uploads") => Operation::CreateMultipart,
        "POST" if object && has("uploadId") => Operation::CompleteMultipart,
        "GET" if object && has("uploadId") => Operation::ListParts,
        "GET" if object => Operation::Get,
        "GET" if has("uploads") => Operation::ListUploads,
        "GET" if !bucket.is_empty() => Operation::List,
        "HEAD" if object => Operation::Head,
        "HEAD" => Operation::HeadBucket,
        "DELETE" if has("uploadId") => Operation::AbortMultipart,
        "DELETE" if object => Operation::Delete,
        "DELETE" => Operation::DeleteBucket,
        _ => Operation::Other,
    }
}
