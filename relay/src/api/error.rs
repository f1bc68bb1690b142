//! What a request is told when it is not answered: a status, a code for programs, words for people.

use super::tokens::TokensError;
use crate::access::Operation;
use crate::catalogue::CatalogueError;
use crate::plane::PlaneError;
use axum::Json;
use axum::http::header::{ALLOW, CONTENT_RANGE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use skyspray_dfu::encoding::EncodingError;
use skyspray_dfu::format::OptionError;
use skyspray_dfu::join::JoinError;
use skyspray_dfu::probe::ProbeError;
use skyspray_dfu::split::SplitError;
use skyspray_wire::ids::{Generation, PartIndex};
use skyspray_wire::name::PlaneName;
use std::error::Error as StdError;
use thiserror::Error;

/// Version of what the interface answers; fields are only ever added to one version.
pub(super) const SCHEMA: u32 = 1;

/// Seconds after which a request that was refused for now may be made again.
const RETRY_SECONDS: &str = "1";

/// Why a request is not answered.
#[derive(Debug, Error)]
pub(super) enum ApiError {
    #[error("no bearer token was presented")]
    NoToken,
    #[error("the bearer token is unknown, expired or removed")]
    TokenUnknown,
    #[error("token {token} may not {operation} {target} on plane {plane}")]
    Forbidden { token: String, operation: Operation, plane: PlaneName, target: String },
    #[error("{what} {text:?} is not usable: {problem}")]
    Name { what: &'static str, text: String, problem: String },
    #[error("the request cannot be understood: {problem}")]
    Request { problem: String },
    #[error("there is no plane {plane}")]
    PlaneUnknown { plane: PlaneName },
    #[error("{name} does not exist")]
    Missing { name: String },
    #[error("{name} has no part {part}, it has {parts}")]
    PartMissing { name: String, part: u64, parts: u32 },
    #[error("there is nothing at this path")]
    NoRoute,
    #[error("this path takes {allowed} only")]
    Method { allowed: &'static str },
    #[error("{name} is being replaced")]
    BeingReplaced { name: String },
    #[error("{name} is at generation {current}, not at the one asked for")]
    GenerationDiffers { name: String, current: Generation },
    #[error("{name} is not what the condition of the request names")]
    TagDiffers { name: String },
    #[error("{name} has {length} bytes, none of them in the range")]
    Range { name: String, length: u64 },
    #[error("the request has more than {max} bytes")]
    TooLarge { max: usize },
    #[error("the request was not complete in time")]
    TooSlow,
    #[error("{max} {what} are served at once already")]
    Busy { what: &'static str, max: usize },
    #[error("the format cannot be used")]
    Format(#[source] OptionError),
    #[error("{name}: its parts make no file")]
    Parts { name: String, source: JoinError },
    #[error("{path} is not in the declared encoding")]
    Encoding { path: String, source: EncodingError },
    #[error("{path} is no document with such rows")]
    Document { path: String, source: ProbeError },
    #[error("{path} holds no row")]
    NoRows { path: String },
    #[error("records of {path} cannot be told apart")]
    Records { path: String, source: SplitError },
    #[error("{path} changed while it was read")]
    Changed { path: String },
    #[error("part {part} of {name} is not what was committed")]
    Corrupt { name: String, part: PartIndex },
    #[error("reading ended without a result")]
    Lost,
    #[error("plane {plane} failed")]
    Plane { plane: PlaneName, source: PlaneError },
    #[error("plane {plane} is not open")]
    PlaneClosed { plane: PlaneName },
    #[error("the catalogue failed")]
    Catalogue(#[from] CatalogueError),
    #[error("tokens cannot be looked up")]
    Tokens(#[from] TokensError),
    #[error("the lock of plane {plane} cannot be used")]
    Placing { plane: PlaneName, source: crate::placing::PlacingError },
}

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::NoToken | Self::TokenUnknown => StatusCode::UNAUTHORIZED,
            Self::Forbidden { .. } => StatusCode::FORBIDDEN,
            Self::Name { .. } | Self::Request { .. } | Self::Format(_) => StatusCode::BAD_REQUEST,
            Self::PlaneUnknown { .. }
            | Self::Missing { .. }
            | Self::PartMissing { .. }
            | Self::NoRoute
            | Self::Plane { source: PlaneError::Missing { .. }, .. } => StatusCode::NOT_FOUND,
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::BeingReplaced { .. }
            | Self::Changed { .. }
            | Self::Plane { source: PlaneError::Blocked { .. }, .. } => StatusCode::CONFLICT,
            Self::GenerationDiffers { .. } | Self::TagDiffers { .. } => {
                StatusCode::PRECONDITION_FAILED
            }
            Self::Range { .. } => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Encoding { .. }
            | Self::Document { .. }
            | Self::NoRows { .. }
            | Self::Records { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Busy { .. }
            | Self::Plane { .. }
            | Self::PlaneClosed { .. }
            | Self::Placing { .. }
            | Self::Tokens(_)
            | Self::Catalogue(CatalogueError::Busy) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Parts { .. } | Self::Corrupt { .. } | Self::Lost | Self::Catalogue(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }

    /// For programs; a code never changes its meaning.
    fn code(&self) -> &'static str {
        match self {
            Self::NoToken => "token-missing",
            Self::TokenUnknown => "token-unknown",
            Self::Forbidden { .. } => "forbidden",
            Self::Name { .. } => "name-invalid",
            Self::Request { .. } => "request-invalid",
            Self::PlaneUnknown { .. } => "plane-unknown",
            Self::Missing { .. } | Self::Plane { source: PlaneError::Missing { .. }, .. } => {
                "missing"
            }
            Self::PartMissing { .. } => "part-missing",
            Self::NoRoute => "path-unknown",
            Self::Method { .. } => "method-unknown",
            Self::BeingReplaced { .. } => "being-replaced",
            Self::GenerationDiffers { .. } => "generation-differs",
            Self::TagDiffers { .. } => "tag-differs",
            Self::Range { .. } => "range-unsatisfiable",
            Self::TooLarge { .. } => "request-too-large",
            Self::TooSlow => "request-too-slow",
            Self::Busy { .. } | Self::Catalogue(CatalogueError::Busy) => "busy",
            Self::Format(_) => "format-invalid",
            Self::Parts { .. } | Self::Corrupt { .. } => "stored-corrupt",
            Self::Encoding { .. } => "encoding-differs",
            Self::Document { .. } => "document-invalid",
            Self::NoRows { .. } => "rows-missing",
            Self::Records { .. } => "record-invalid",
            Self::Changed { .. } => "source-changed",
            Self::Plane { source: PlaneError::Blocked { .. }, .. } => "path-blocked",
            Self::Plane { .. } | Self::PlaneClosed { .. } => "plane-unavailable",
            Self::Lost | Self::Placing { .. } | Self::Tokens(_) | Self::Catalogue(_) => "internal",
        }
    }

    fn advice(&self) -> &'static str {
        match self {
            Self::NoToken => "send the header Authorization: Bearer TOKEN",
            Self::TokenUnknown => "ask for a token: skyspray-relay api-token add NAME --allow RULE",
            Self::Forbidden { .. } => {
                "ask for a token with a rule for it: skyspray-relay api-token add"
            }
            Self::Name { .. } => "correct the name; percent-encode what is no letter or digit",
            Self::Request { .. } | Self::NoRoute | Self::Method { .. } => {
                "compare the request with the section HTTP interface of docs/operations.md"
            }
            Self::PlaneUnknown { .. } => "name a plane of relay.toml, as in ?plane=data",
            Self::Missing { .. } | Self::PartMissing { .. } => "list what there is: GET /v1/files",
            Self::BeingReplaced { .. } | Self::Busy { .. } => "make the request again in a moment",
            Self::GenerationDiffers { .. } | Self::TagDiffers { .. } => {
                "describe it again and begin anew: what was read before is of another generation"
            }
            Self::Range { .. } => "ask for bytes that are there",
            Self::TooLarge { .. } => "send less",
            Self::TooSlow => "send the request at once",
            Self::Format(_) => "give the options that belong to the format",
            Self::Encoding { .. } => "leave encoding out, or say the one of the byte order mark",
            Self::Document { .. } | Self::NoRows { .. } => {
                "check row-tag or row-path, upper and lower case count"
            }
            Self::Records { .. } => "check the format and its options at the offset",
            Self::Changed { .. } => "make the request again once nobody writes the file",
            Self::Parts { .. } | Self::Corrupt { .. } => {
                "verify it with skyspray-relay file verify, and spray it again"
            }
            Self::Plane { source: PlaneError::Missing { .. }, .. } => "check the path",
            Self::Plane { source: PlaneError::Blocked { .. }, .. } => "name a plain file",
            Self::Plane { .. } | Self::PlaneClosed { .. } => {
                "test it with skyspray-relay plane test"
            }
            Self::Lost | Self::Placing { .. } | Self::Tokens(_) | Self::Catalogue(_) => {
                "see the log of the relay"
            }
        }
    }

    /// Whether it is the relay's fault: then the log says why, and the client does not.
    fn is_own(&self) -> bool {
        match self {
            Self::Plane { source, .. } => {
                !matches!(source, PlaneError::Missing { .. } | PlaneError::Blocked { .. })
            }
            Self::Parts { .. }
            | Self::Corrupt { .. }
            | Self::Lost
            | Self::Placing { .. }
            | Self::Tokens(_)
            | Self::Catalogue(_) => true,
            _ => false,
        }
    }
}

#[derive(Serialize)]
struct Told {
    schema: u32,
    code: &'static str,
    message: String,
    advice: &'static str,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut message = self.to_string();
        if self.is_own() {
            tracing::error!(error = &self as &dyn StdError, "http request");
        } else {
            let mut cause = self.source();
            while let Some(error) = cause {
                message.push_str(": ");
                message.push_str(&error.to_string());
                cause = error.source();
            }
        }
        let told = Told { schema: SCHEMA, code: self.code(), message, advice: self.advice() };
        let mut response = (status, Json(told)).into_response();
        let headers = response.headers_mut();
        match &self {
            Self::NoToken | Self::TokenUnknown => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::Method { allowed } => {
                headers.insert(ALLOW, HeaderValue::from_static(allowed));
            }
            Self::Range { length, .. } => {
                let range = HeaderValue::try_from(format!("bytes */{length}"));
                headers.insert(CONTENT_RANGE, range.expect("digits make a header"));
            }
            _ if status == StatusCode::SERVICE_UNAVAILABLE || status == StatusCode::CONFLICT => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_SECONDS));
            }
            _ => {}
        }
        response
    }
}
