//! Copies a logical file inside the cluster: a job like a spray, with the relay's own planes as
//! source and the operator as the one who asks.
//!
//! One pass: a thread reads and checks the parts of the original, another cuts, hashes and stages those
//! of the copy, and the task that waits for both makes them durable and seals them. The commit is that of
//! a spray, so a crash at any moment leaves what a crash of a spray leaves.
//!
//! Where the parts stay as they are and both planes are of one store, the job is sealed at once and the
//! commit has the store copy them into their places.

mod cut;
mod error;
mod input;
mod inside;
mod original;
mod sources;
mod spray;
mod transfer;
mod writer;

pub use crate::commit::{CommitError, PlaceError};
pub use crate::placing::PlacingError;
pub use error::{CopyError, PartFault};
pub use sources::SourceError;
pub(crate) use spray::SprayRequest;

use crate::catalogue::{
    self, Actor, Catalogue, GenerationRecord, JobError, JobKey, JobKind, NewJob, Opening, operator,
};
use crate::commit::{Commitment, Committer, Done};
use crate::config::{Category, PlaneSettings};
use crate::discard::delete_discards;
use crate::housekeeping::{Planes, clear_jobs};
use crate::placing::Placing;
use crate::plane::{BucketError, Plane};
use crate::service::{part_layout, part_paths};
use crate::staging::Staging;
use crate::state::{blocking, unix_ms};
use cut::Cut;
use input::Input;
use original::Original;
use skyspray_certs::RelayIdentity;
use skyspray_link::seam::Clock;
use skyspray_wire::digest::Digest;
use skyspray_wire::ids::JobId;
use skyspray_wire::limits::PARTS_MAX;
use skyspray_wire::message::{Committed, JobState, WriteTarget};
use skyspray_wire::name::{LogicalName, PlaneName};
use std::future::Future;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use transfer::Transfer;
use writer::Place;

/// A plane as a copy uses it.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) name: PlaneName,
    pub(crate) settings: PlaneSettings,
    pub(crate) plane: Arc<Plane>,
}

/// What a copy is asked for.
#[derive(Clone, Debug)]
pub(crate) struct CopyRequest {
    /// An id no job has.
    pub(crate) job: JobId,
    pub(crate) from: LogicalName,
    pub(crate) to: LogicalName,
    /// Parts of the copy: `None` for those of the original, 0 for the default of the target plane.
    pub(crate) parts: Option<u32>,
    pub(crate) overwrite: bool,
    /// Whether what the store copies is read before it is believed.
    pub(crate) read_back: bool,
}

/// How the bytes of a copy got to their places.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Method {
    /// The store copied every part.
    Provider,
    /// The relay read and wrote them, or some of them.
    Streamed {
        /// Why the store did not copy them, where it was asked and said so.
        refused: Option<BucketError>,
    },
}

impl Method {
    /// The word for it, as it is shown.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Streamed { .. } => "streamed",
        }
    }

    /// Why the store did not copy, where it was asked and said so.
    pub(crate) fn refused(&self) -> Option<&BucketError> {
        match self {
            Self::Provider => None,
            Self::Streamed { refused } => refused.as_ref(),
        }
    }
}

/// Copies logical files of one relay.
pub(crate) struct Copier {
    pub(crate) catalogue: Catalogue,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) identity: Arc<RelayIdentity>,
    pub(crate) source: Site,
    pub(crate) target: Site,
    /// The lock of the target plane.
    pub(crate) placing: Arc<Placing>,
    /// The planes that parts of earlier copies may come from.
    pub(crate) planes: Planes,
}

impl Copier {
    /// Copies a logical file and returns the generation that it made.
    ///
    /// A copy that was cut off before its commit leaves an open job, which the next copy to the
    /// same name gives up; one that was cut off in its commit is finished by whoever comes next.
    ///
    /// # Errors
    ///
    /// [`CopyError`]; then nothing of the copy is visible, but for a commit that failed, which is
    /// finished later.
    pub(crate) async fn copy(
        &self,
        request: &CopyRequest,
        stop: impl Future<Output = ()>,
    ) -> Result<(GenerationRecord, Method), CopyError> {
        self.check(request)?;
        let from = (&self.source.name, &self.source.plane);
        let original = Arc::new(Original::load(&self.catalogue, from, &request.from).await?);
        let parts = self.parts(request, &original)?;
        let cut = {
            let original = Arc::clone(&original);
            blocking(move || Cut::prepare(&original, parts)).await?
        };
        let new = self.new_job(request, &original, (&cut, parts))?;
        let opened = self.open(JobKind::Copy, &request.to, &new).await?;
        let (committed, method) = match opened {
            Opened::Finished(done) => {
                let method = done.method();
                (done.committed, method)
            }
            Opened::Granted(opened) => {
                self.run(request, (&new, &opened), (original, cut), stop).await?
            }
        };
        self.clean().await;
        Ok((self.made(&request.to, &committed).await?, method))
    }

    /// What was committed.
    async fn made(
        &self,
        name: &LogicalName,
        committed: &Committed,
    ) -> Result<GenerationRecord, CopyError> {
        let plane = &self.target.name;
        let generation = committed.generation.expect("a logical file is a generation");
        let made = self.catalogue.generation(plane, name, generation).await?;
        made.ok_or_else(|| CopyError::Replaced { name: format!("{plane}:{name}") })
    }

    fn check(&self, request: &CopyRequest) -> Result<(), CopyError> {
        let plane = self.target.name.clone();
        if (&self.source.name, &request.from) == (&plane, &request.to) {
            return Err(CopyError::OntoItself { name: format!("{plane}:{}", request.to) });
        }
        if self.target.settings.category == Category::Lz {
            return Err(CopyError::LandingZone { plane });
        }
        Ok(())
    }

    fn parts(&self, request: &CopyRequest, original: &Original) -> Result<NonZeroU32, CopyError> {
        let parts = match request.parts {
            None => original.record.parts,
            Some(0) => self.target.settings.default_parts.get(),
            Some(parts) => parts,
        };
        NonZeroU32::new(parts)
            .filter(|parts| parts.get() <= PARTS_MAX)
            .ok_or(CopyError::TooManyParts { parts })
    }

    fn new_job(
        &self,
        request: &CopyRequest,
        original: &Original,
        (cut, parts): (&Cut, NonZeroU32),
    ) -> Result<NewJob, CopyError> {
        let record = &original.record;
        let copied = (original.shown(), record.generation, parts, request.overwrite);
        let longest = match parts.get() == record.parts {
            true => original.parts.iter().map(|part| part.length).max().unwrap_or(0),
            false => record.bytes.div_ceil(u64::from(parts.get())),
        };
        let chunk_size = self.target.plane.chunk_size(longest);
        let failed = |source| CopyError::Plane { plane: self.target.name.clone(), source };
        let chunk_size = chunk_size.map_err(failed)?;
        let plan = postcard::to_stdvec(&copied).expect("names and numbers are plain data");
        let plane = self.target.name.clone();
        Ok(NewJob {
            job: request.job,
            agent: operator(),
            target: WriteTarget::LogicalFile {
                plane,
                name: request.to.clone(),
                parts: parts.get(),
            },
            overwrite: request.overwrite,
            bytes: record.bytes,
            plan: Digest::of(&plan),
            attributes: cut.attributes(&record.attributes),
            parts: parts.get(),
            chunk_size,
            layout: part_layout(self.target.settings.layout, &request.to, request.job),
        })
    }

    /// Opens the job of a copy or spray. One of the operator's that has the name and only lacks its
    /// commit is finished first; it is the answer where it is this very one.
    async fn open(
        &self,
        kind: JobKind,
        to: &LogicalName,
        new: &NewJob,
    ) -> Result<Opened, CopyError> {
        let open = || async {
            match kind {
                JobKind::Copy => self.catalogue.open_copy(new, self.now_ms()).await,
                _ => self.catalogue.open_write(new, self.now_ms()).await,
            }
        };
        let opened = match open().await {
            Err(JobError::Leased { name, wuid }) => {
                let key = JobKey::Wuid(wuid.clone());
                let left = self
                    .catalogue
                    .job(&key)
                    .await?
                    .filter(|job| job.agent == operator() && job.state == JobState::Sealed);
                let Some(left) = left else { return Err(JobError::Leased { name, wuid }.into()) };
                let done = self.commit(Commitment::of_record(&left, left.epoch)).await?;
                if left.plan == new.plan && left.kind == kind {
                    return Ok(Opened::Finished(done));
                }
                open().await
            }
            opened => opened,
        };
        match opened {
            Ok(Opening::Granted(opened)) => Ok(Opened::Granted(opened)),
            Ok(Opening::Committed(committed)) => Ok(Opened::Finished(Done::before(committed))),
            Err(JobError::Exists { .. }) => {
                Err(CopyError::Exists { name: format!("{}:{to}", self.target.name) })
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn run(
        &self,
        request: &CopyRequest,
        (new, opened): (&NewJob, &catalogue::Opened),
        (original, cut): (Arc<Original>, Cut),
        stop: impl Future<Output = ()>,
    ) -> Result<(Committed, Method), CopyError> {
        let transfer = Transfer {
            catalogue: &self.catalogue,
            clock: &*self.clock,
            key: (new.job, opened.epoch),
            input: Input::Original(Arc::clone(&original)),
            place: self.place(&request.to, new, opened),
            bytes: AtomicU64::new(0),
        };
        let sealed = async {
            let inside = matches!(cut, Cut::AsIs) && transfer.may_copy_inside(&original)?;
            match inside {
                true => transfer.seal_inside(&original, request, stop).await?,
                false => transfer.run(cut, stop).await?,
            }
            Ok(inside)
        };
        match sealed.await {
            Ok(inside) => {
                let done = self.commit(Commitment::of(new, opened)).await?;
                let method = match inside && done.carried == 0 {
                    true => Method::Provider,
                    false => Method::Streamed { refused: done.refused },
                };
                Ok((done.committed, method))
            }
            Err(error) => {
                self.give_up(new.job).await;
                Err(self.reason(&original, error).await)
            }
        }
    }

    fn place(&self, to: &LogicalName, new: &NewJob, opened: &catalogue::Opened) -> Place {
        let paths = part_paths(opened.parts, &opened.layout).expect("a copy has parts");
        Place {
            staging: Staging {
                plane_name: self.target.name.clone(),
                plane: Arc::clone(&self.target.plane),
                catalogue: self.catalogue.clone(),
                clock: Arc::clone(&self.clock),
                job: new.job,
                epoch: opened.epoch,
            },
            plane_name: self.target.name.clone(),
            name: to.clone(),
            paths,
            chunk_size: opened.chunk_size,
            length_hint: new.bytes / u64::from(opened.parts),
        }
    }

    async fn commit(&self, commitment: Commitment) -> Result<Done, CopyError> {
        let committer = Committer {
            catalogue: self.catalogue.clone(),
            clock: Arc::clone(&self.clock),
            identity: Arc::clone(&self.identity),
            plane: Arc::clone(&self.target.plane),
            plane_name: self.target.name.clone(),
            placing: Arc::clone(&self.placing),
            sources: self.planes.clone(),
        };
        committer.finish(commitment).await.map_err(|source| CopyError::Commit { source })
    }

    /// A part that is not what was committed may be that of a newer generation.
    async fn reason(&self, original: &Original, error: CopyError) -> CopyError {
        let doubtful = matches!(error, CopyError::Stored { .. } | CopyError::Plane { .. });
        match original.is_current(&self.catalogue).await {
            Ok(false) if doubtful => CopyError::Replaced { name: original.shown() },
            _ => error,
        }
    }

    /// Ends a job that is not sealed; what it staged goes at once.
    async fn give_up(&self, job: JobId) {
        let aborted = self.catalogue.abort(job, None, &Actor::Operator, self.now_ms()).await;
        if let Err(error) = aborted {
            tracing::warn!(%job, error = &error as &dyn std::error::Error, "abort");
        }
        self.clean().await;
    }

    /// Removes what this copy and those given up before it left on the target plane. What cannot be
    /// removed is for `collect`.
    async fn clean(&self) {
        let (name, plane) = (&self.target.name, &self.target.plane);
        let planes = Planes::from([(name.clone(), Arc::clone(plane))]);
        if let Err(error) = clear_jobs(&self.catalogue, &planes).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "collecting");
        }
        if let Err(error) = delete_discards(&self.catalogue, (name, plane), &*self.clock).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "collecting");
        }
    }

    fn now_ms(&self) -> i64 {
        unix_ms(self.clock.now())
    }
}

/// What opening the job of a copy leads to.
enum Opened {
    /// It may be written.
    Granted(catalogue::Opened),
    /// An earlier run of the same copy only lacked its commit, and has it.
    Finished(Done),
}

impl Done {
    /// How the parts of a job came to their places that was finished for an earlier run.
    fn method(&self) -> Method {
        match self.copied > 0 && self.carried == 0 {
            true => Method::Provider,
            false => Method::Streamed { refused: self.refused.clone() },
        }
    }
}
