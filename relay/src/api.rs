//! The HTTP interface inside the cluster: what logical files are, their bytes by ranges, and split
//! points of files on planes. It only reads, and answers nobody without a token.

mod audited;
mod caller;
mod content;
mod error;
mod files;
mod generation;
mod listen;
mod plane_files;
mod range;
mod seats;
mod split_points;
mod stall;
mod tls;
pub mod tokens;

pub(crate) use listen::{ApiListener, ListenError};

use crate::config::RelayDir;
use crate::state::Relay;
use audited::Audited;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use error::ApiError;
use skyspray_link::seam::files::Escaped;
use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Instant;
use tokens::Tokens;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests that are worked on at once, until their answer begins.
const REQUESTS_MAX: usize = 64;

/// Responses with content and scans for split points at once. Each response holds three pieces of
/// [`content::PIECE_BYTES`] at most, together 24 MiB; a scan holds a block, and a document's header
/// and footer.
const READS_MAX: usize = 16;

/// What requests share.
#[derive(Debug)]
pub(crate) struct Api {
    relay: Arc<Relay>,
    tokens: Arc<Tokens>,
    requests: Semaphore,
    reads: Arc<Semaphore>,
    audited: Audited,
}

impl Api {
    /// The interface of a relay that serves the directory `dir`.
    pub(crate) fn new(dir: RelayDir, relay: Arc<Relay>) -> Self {
        Self {
            relay,
            tokens: Arc::new(Tokens::new(dir)),
            requests: Semaphore::new(REQUESTS_MAX),
            reads: Arc::new(Semaphore::new(READS_MAX)),
            audited: Audited::default(),
        }
    }

    /// The right to read content until it is dropped.
    fn read_slot(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let slot = Arc::clone(&self.reads).try_acquire_owned();
        slot.map_err(|_| ApiError::Busy { what: "reads", max: READS_MAX })
    }
}

/// Every path there is.
fn router(api: Arc<Api>) -> Router {
    let readable = || async { ApiError::Method { allowed: "GET, HEAD" } };
    let limited = Router::new()
        .route("/v1/files", get(files::list).fallback(readable))
        .route("/v1/files/{name}", get(files::describe).fallback(readable))
        .route("/v1/files/{name}/content", get(files::content).fallback(readable))
        .route("/v1/files/{name}/parts/{part}/content", get(files::part).fallback(readable))
        .route("/v1/planes/{plane}/files/{*path}", get(plane_files::content).fallback(readable))
        .route(
            "/v1/split-points",
            post(split_points::answer).fallback(|| async { ApiError::Method { allowed: "POST" } }),
        )
        .fallback(|| async { ApiError::NoRoute })
        .layer(middleware::from_fn_with_state(Arc::clone(&api), limit));
    Router::new()
        .route("/healthz", get(|| async { StatusCode::NO_CONTENT }))
        .route("/readyz", get(ready))
        .merge(limited)
        .layer(middleware::from_fn(log))
        .with_state(api)
}

/// Whether the relay takes sessions and the catalogue answers. Planes come and go without the relay
/// being of no use.
async fn ready(State(api): State<Arc<Api>>) -> StatusCode {
    if api.relay.is_draining() {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    match api.relay.catalogue.agents_revision().await {
        Ok(_) => StatusCode::NO_CONTENT,
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "not ready");
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}

async fn limit(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    match api.requests.try_acquire() {
        Ok(_slot) => next.run(request).await,
        Err(_) => ApiError::Busy { what: "requests", max: REQUESTS_MAX }.into_response(),
    }
}

/// Says what was asked and answered, without headers and query.
async fn log(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let path: String = request.uri().path().chars().take(300).collect();
    let begun = Instant::now();
    let response = next.run(request).await;
    let path = Escaped(OsStr::new(&path));
    let took = begun.elapsed();
    tracing::debug!(%method, %path, status = response.status().as_u16(), ?took, "http request");
    response
}
