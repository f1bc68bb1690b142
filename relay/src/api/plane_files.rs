//! Plain files of planes: what pushes put there, and what others did.

use super::Api;
use super::caller::Caller;
use super::content::{Guard, Segment, Stored};
use super::error::ApiError;
use super::files::{self, Answer};
use crate::plane::{Plane, PlaneError, Stat, StoredFile};
use crate::state::blocking;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use skyspray_dfu::join::Placed;
use skyspray_link::seam::files::RelPath;
use skyspray_wire::digest::Digest;
use skyspray_wire::ids::PartIndex;
use skyspray_wire::name::{PlaneName, PlanePath};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long a commit may keep a file from being opened.
const PLACING_DEADLINE: Duration = Duration::from_secs(5);

/// A file of a plane, opened.
pub(super) struct OpenFile {
    pub(super) plane_name: PlaneName,
    pub(super) plane: Arc<Plane>,
    pub(super) path: PlanePath,
    pub(super) file: StoredFile,
    /// What it must stay while it is read.
    pub(super) stat: Stat,
    /// As it was pushed; `None` for a file the catalogue does not know.
    digest: Option<Digest>,
    at: RelPath,
}

impl OpenFile {
    /// Opens it while no commit places files, so that it is what the catalogue says.
    pub(super) async fn open(
        api: &Api,
        plane_name: PlaneName,
        path: PlanePath,
    ) -> Result<Self, ApiError> {
        let plane = files::plane(api, &plane_name)?;
        let segments = path.segments().iter().map(|segment| segment.as_str());
        let at = RelPath::from_segments(segments).map_err(|error| ApiError::Name {
            what: "path",
            text: path.to_string(),
            problem: error.to_string(),
        })?;
        let shown = || format!("{plane_name}:{path}");
        let placing = Arc::clone(&files::served(api, &plane_name)?.placing);
        let placed = timeout(PLACING_DEADLINE, placing.lock()).await;
        let placed = placed.map_err(|_| ApiError::BeingReplaced { name: shown() })?;
        let _placed =
            placed.map_err(|source| ApiError::Placing { plane: plane_name.clone(), source })?;
        let known = api.relay.catalogue.plane_file(&plane_name, &path).await?;
        let (opening, there) = (Arc::clone(&plane), at.clone());
        let opened = blocking(move || {
            let file = opening.open(&there)?;
            let stat = file.stat()?;
            Ok::<_, PlaneError>((file, stat))
        });
        let (file, stat) = opened.await.map_err(|source| match source {
            PlaneError::Missing { .. } => ApiError::Missing { name: shown() },
            source => ApiError::Plane { plane: plane_name.clone(), source },
        })?;
        if known.as_ref().is_some_and(|known| known.length != stat.length) {
            return Err(ApiError::Corrupt { name: shown(), part: PartIndex(0) });
        }
        let digest = known.map(|known| known.digest);
        Ok(Self { plane_name, plane, path, file, stat, digest, at })
    }

    /// `PLANE:path`.
    pub(super) fn shown(&self) -> String {
        format!("{}:{}", self.plane_name, self.path)
    }

    /// Strong entity tag: by what is in a pushed file, by what its store calls the content of another,
    /// and by time and length where neither is known. Times of stores are of whole seconds.
    pub(super) fn tag(&self) -> String {
        match (&self.digest, self.file.tag()) {
            (Some(digest), _) => format!("\"b3.{digest}\""),
            // What a store writes may hold anything.
            (None, Some(tag)) => format!("\"s.{}\"", Digest::of(tag.as_bytes())),
            (None, None) => format!("\"m{}.{}\"", self.stat.modified_ns, self.stat.length),
        }
    }
}

/// `GET /v1/planes/{plane}/files/{path}`: a file as it is.
pub(super) async fn content(
    State(api): State<Arc<Api>>,
    caller: Caller,
    asked: Result<Path<(String, String)>, PathRejection>,
    (method, headers): (Method, HeaderMap),
) -> Result<Response, ApiError> {
    let (plane, path) = files::path(asked)?;
    let plane = files::name("plane", &plane, PlaneName::parse)?;
    let path = files::name("path", &path, PlanePath::parse)?;
    caller.may_pull_path(&api, (&plane, &path)).await?;
    let open = OpenFile::open(&api, plane, path).await?;
    let length = open.stat.length;
    let (shown, tag) = (open.shown(), open.tag());
    let stored = Stored {
        part: PartIndex(0),
        path: open.at,
        placed: Placed { from: 0, to: length, at: 0 },
        length,
        digest: open.digest,
        opened: Some((open.file, open.stat)),
    };
    let guard = Guard { relay: Arc::clone(&api.relay), plane: open.plane_name, generation: None };
    let segments = vec![Segment::Stored(Box::new(stored))];
    let answer = Answer { segments, length, tag, guard, shown };
    let target = open.path.to_string();
    answer.send(&api, &caller, (&open.plane, &target), (&method, &headers)).await
}
