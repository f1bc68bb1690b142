//! Logical files: lists, descriptions, and content of all parts or of one.

use super::Api;
use super::caller::Caller;
use super::content::{Guard, Pieces, Segment};
use super::error::{ApiError, SCHEMA};
use super::generation::Current;
use super::range::{self, Wanted};
use crate::catalogue::PAGE_ROWS_MAX;
use crate::plane::Plane;
use crate::planes::ServedPlane;
use crate::shown::{ShownFile, ShownGeneration, ShownPart};
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use skyspray_wire::ids::PartIndex;
use skyspray_wire::name::{LogicalName, PlaneName, Scope};
use std::sync::Arc;

/// Rows of a page where nothing is said.
const PAGE_DEFAULT: u32 = 1000;

/// Says which generation a response is of.
const GENERATION: HeaderName = HeaderName::from_static("skyspray-generation");

/// The plane of this name.
pub(super) fn plane(api: &Api, name: &PlaneName) -> Result<Arc<Plane>, ApiError> {
    served(api, name).map(|served| Arc::clone(&served.plane))
}

/// The same with what belongs to it.
pub(super) fn served<'a>(api: &'a Api, name: &PlaneName) -> Result<&'a ServedPlane, ApiError> {
    let slot = api.relay.planes.get(name);
    let slot = slot.ok_or_else(|| ApiError::PlaneUnknown { plane: name.clone() })?;
    slot.served().ok_or_else(|| ApiError::PlaneClosed { plane: name.clone() })
}

/// A name of a request, parsed by its type.
pub(super) fn name<T, E: std::fmt::Display>(
    what: &'static str,
    text: &str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, ApiError> {
    parse(text).map_err(|error| {
        let text = text.chars().take(120).collect();
        ApiError::Name { what, text, problem: error.to_string() }
    })
}

pub(super) fn path<T>(path: Result<Path<T>, PathRejection>) -> Result<T, ApiError> {
    let path = path.map_err(|error| ApiError::Request { problem: error.body_text() })?;
    Ok(path.0)
}

pub(super) fn query<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, ApiError> {
    let query = query.map_err(|error| ApiError::Request { problem: error.body_text() })?;
    Ok(query.0)
}

/// `?plane=&scope=&after=&limit=`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    plane: String,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    after: String,
    limit: Option<u32>,
}

#[derive(Serialize)]
pub(super) struct ListAnswer {
    schema: u32,
    event: &'static str,
    files: Vec<ShownFile>,
    /// What to ask for as `after` for the next page; `None` behind the last.
    after: Option<String>,
}

/// `GET /v1/files`: names in a scope and below it.
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller,
    asked: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<ListAnswer>, ApiError> {
    let asked = query(asked)?;
    let plane_name = name("plane", &asked.plane, PlaneName::parse)?;
    let scope = name("scope", &asked.scope, Scope::parse)?;
    caller.may_list(&plane_name, &scope)?;
    plane(&api, &plane_name)?;
    let limit = page(asked.limit)?;
    let entries =
        api.relay.catalogue.list_logical(&plane_name, &scope, &asked.after, limit).await?;
    let full = entries.len() >= limit as usize;
    let after = entries.last().filter(|_| full).map(|last| last.name.clone());
    let files = entries.iter().map(|entry| ShownFile::new(&plane_name, entry)).collect();
    Ok(Json(ListAnswer { schema: SCHEMA, event: "files", files, after }))
}

/// Rows of a page.
fn page(limit: Option<u32>) -> Result<u32, ApiError> {
    match limit.unwrap_or(PAGE_DEFAULT) {
        limit @ 1..=PAGE_ROWS_MAX => Ok(limit),
        limit => {
            let problem = format!("limit is {limit}, expected 1 to {PAGE_ROWS_MAX}");
            Err(ApiError::Request { problem })
        }
    }
}

/// `?plane=&generation=`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileQuery {
    plane: String,
    generation: Option<u64>,
}

/// `?plane=&generation=&after=&limit=`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DescribeQuery {
    plane: String,
    generation: Option<u64>,
    /// The last part of the page before, counted from 1.
    after: Option<u32>,
    limit: Option<u32>,
}

#[derive(Serialize)]
pub(super) struct Description {
    schema: u32,
    event: &'static str,
    #[serde(flatten)]
    generation: ShownGeneration,
    part_list: Vec<ShownPart>,
    /// What to ask for as `after` for the next parts; `None` behind the last.
    after: Option<u32>,
}

async fn find(
    api: &Api,
    caller: &Caller,
    (plane, logical): (&str, &str),
    generation: Option<u64>,
) -> Result<Current, ApiError> {
    let plane = name("plane", plane, PlaneName::parse)?;
    let logical = name("logical name", logical, LogicalName::parse)?;
    caller.may_pull(&plane, &logical)?;
    Current::load(api, (plane, logical), generation).await
}

/// `GET /v1/files/{name}`: what `file show --json` says, in one object.
pub(super) async fn describe(
    State(api): State<Arc<Api>>,
    caller: Caller,
    file: Result<Path<String>, PathRejection>,
    asked: Result<Query<DescribeQuery>, QueryRejection>,
) -> Result<(HeaderMap, Json<Description>), ApiError> {
    let asked = query(asked)?;
    let current = find(&api, &caller, (&asked.plane, &path(file)?), asked.generation).await?;
    let limit = page(asked.limit)?;
    // Counted from 1, so the part after the one named stands at its number.
    let after = asked.after.and_then(|after| after.checked_sub(1)).map(PartIndex);
    let parts = current.parts(&api, after, limit).await?;
    if parts.is_empty() && after.is_none_or(|after| after.0 + 1 < current.record.parts) {
        return Err(ApiError::BeingReplaced { name: current.shown() });
    }
    let next = parts.last().map(|last| last.part.0 + 1);
    let mut headers = HeaderMap::new();
    headers.insert(ETAG, value(&current.tag()));
    headers.insert(GENERATION, HeaderValue::from(current.record.generation.0));
    let answer = Description {
        schema: SCHEMA,
        event: "generation",
        part_list: parts.iter().map(ShownPart::new).collect(),
        after: next.filter(|&next| next < current.record.parts),
        generation: ShownGeneration::new(&current.plane_name, &current.name, current.record),
    };
    Ok((headers, Json(answer)))
}

/// `GET /v1/files/{name}/content`: the one file that the parts make, as a despray writes it.
pub(super) async fn content(
    State(api): State<Arc<Api>>,
    caller: Caller,
    file: Result<Path<String>, PathRejection>,
    asked: Result<Query<FileQuery>, QueryRejection>,
    (method, headers): (Method, HeaderMap),
) -> Result<Response, ApiError> {
    let asked = query(asked)?;
    let current = find(&api, &caller, (&asked.plane, &path(file)?), asked.generation).await?;
    current.refuse_replaced(&api).await?;
    let (segments, length) = current.joined(&api).await?;
    let (shown, tag) = (current.shown(), current.tag());
    let answer = Answer { segments, length, tag, guard: current.guard(&api), shown };
    let target = current.name.as_str();
    let mut response =
        answer.send(&api, &caller, (&current.plane, target), (&method, &headers)).await?;
    let generation = HeaderValue::from(current.record.generation.0);
    response.headers_mut().insert(GENERATION, generation);
    Ok(response)
}

/// `GET /v1/files/{name}/parts/{part}/content`: one part as it is stored, counted from 1.
pub(super) async fn part(
    State(api): State<Arc<Api>>,
    caller: Caller,
    file: Result<Path<(String, u64)>, PathRejection>,
    asked: Result<Query<FileQuery>, QueryRejection>,
    (method, headers): (Method, HeaderMap),
) -> Result<Response, ApiError> {
    let (asked, (logical, number)) = (query(asked)?, path(file)?);
    let current = find(&api, &caller, (&asked.plane, &logical), asked.generation).await?;
    current.refuse_replaced(&api).await?;
    let parts = current.record.parts;
    let missing = || ApiError::PartMissing { name: current.shown(), part: number, parts };
    let index = number.checked_sub(1).filter(|&index| index < u64::from(parts));
    let index = u32::try_from(index.ok_or_else(missing)?).expect("less than a count of 32 bits");
    let before = index.checked_sub(1).map(PartIndex);
    let found = current.parts(&api, before, 1).await?;
    let found = found.first().filter(|found| found.part == PartIndex(index));
    let found = found.ok_or_else(|| ApiError::BeingReplaced { name: current.shown() })?;
    let (segments, length) = (vec![current.whole_part(found)?], found.length);
    let (shown, tag) = (current.shown(), current.part_tag(PartIndex(index)));
    let answer = Answer { segments, length, tag, guard: current.guard(&api), shown };
    let target = current.name.as_str();
    let mut response =
        answer.send(&api, &caller, (&current.plane, target), (&method, &headers)).await?;
    let generation = HeaderValue::from(current.record.generation.0);
    response.headers_mut().insert(GENERATION, generation);
    Ok(response)
}

/// Content that can be sent.
pub(super) struct Answer {
    pub(super) segments: Vec<Segment>,
    /// Bytes of all of it.
    pub(super) length: u64,
    /// Strong entity tag, with its quotes.
    pub(super) tag: String,
    pub(super) guard: Guard,
    /// For messages.
    pub(super) shown: String,
}

impl Answer {
    /// Sends what the request wants of it. The first piece is read before the response begins, so
    /// that what is missing or damaged there has a status of its own.
    pub(super) async fn send(
        self,
        api: &Api,
        caller: &Caller,
        (plane, target): (&Arc<Plane>, &str),
        (method, headers): (&Method, &HeaderMap),
    ) -> Result<Response, ApiError> {
        let is_get = method == Method::GET;
        let wanted = range::wanted(headers, is_get, &self.tag, self.length);
        let (status, range) = match wanted {
            Wanted::Whole => (StatusCode::OK, 0..self.length),
            Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
            Wanted::NotModified => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                response.headers_mut().insert(ETAG, value(&self.tag));
                return Ok(response);
            }
            Wanted::Differs => return Err(ApiError::TagDiffers { name: self.shown }),
            Wanted::Unsatisfiable => {
                return Err(ApiError::Range { name: self.shown, length: self.length });
            }
        };
        let body = if is_get && !range.is_empty() {
            let slot = api.read_slot()?;
            let named = (&self.guard.plane, target, self.tag.as_str());
            api.audited.read(&api.relay, &caller.name, named).await?;
            let plane_name = self.guard.plane.clone();
            let wanted = (self.segments, range.clone());
            let mut pieces = Pieces::start(self.guard, Arc::clone(plane), wanted, slot);
            let first = pieces.next().await;
            let first = first.map_err(|fault| fault.before_response(plane_name, &self.shown))?;
            Body::from_stream(pieces.into_stream(first))
        } else {
            Body::empty()
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(ETAG, value(&self.tag));
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
        if status == StatusCode::PARTIAL_CONTENT {
            let text = format!("bytes {}-{}/{}", range.start, range.end - 1, self.length);
            headers.insert(CONTENT_RANGE, value(&text));
        }
        Ok(response)
    }
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::try_from(text).expect("digits, letters and quotes make a header")
}
