//! The commit of a spray: every part to its place, then the one transaction that makes the
//! generation visible. Each step can be taken again by whoever comes after a crash.

mod copies;

use crate::access::{self, Operation};
use crate::catalogue::{
    Actor, AgentRecord, Catalogue, CatalogueError, JobError, JobKey, JobRecord, NewJob, Opened,
    PartLayout, PartRecord,
};
use crate::housekeeping::Planes;
use crate::placing::{Placed, Placing, PlacingError};
use crate::plane::{BucketError, Finish, Finished, PartTarget, Plane, PlaneError, part_path};
use crate::pointer::{PointerError, Pointers, settle_locked};
use crate::service::part_paths;
use crate::staging;
use crate::state::{Relay, blocking, internal, unix_ms};
use copies::Sourced;
use skyspray_certs::RelayIdentity;
use skyspray_link::seam::Clock;
use skyspray_link::seam::files::{RelPath, Replace};
use skyspray_wire::digest::Digest;
use skyspray_wire::ids::{ChunkSize, Epoch, JobId};
use skyspray_wire::message::{Committed, JobState, WriteTarget};
use skyspray_wire::name::PlaneName;
use skyspray_wire::receipt::{Receipt, SignedReceipt};
use skyspray_wire::refusal::{Refusal, RefusalCode};
use std::sync::Arc;
use thiserror::Error;

/// Parts put in their places together, sharing directory syncs.
const PAGE: u32 = 256;

/// Parts that are uploads completed together: each may have thousands of pieces.
const UPLOADS_PAGE: u32 = 16;

/// What is needed to finish a sealed spray.
#[derive(Clone, Debug)]
pub(crate) struct Commitment {
    job: JobId,
    epoch: Epoch,
    target: WriteTarget,
    parts: u32,
    layout: PartLayout,
    chunk_size: ChunkSize,
    overwrite: bool,
}

impl Commitment {
    /// Of a job that was just opened again.
    pub(crate) fn of(new: &NewJob, opened: &Opened) -> Self {
        Self {
            job: new.job,
            epoch: opened.epoch,
            target: new.target.clone(),
            parts: opened.parts,
            layout: opened.layout,
            chunk_size: opened.chunk_size,
            overwrite: new.overwrite,
        }
    }

    /// Whether parts of an earlier generation may be gone by now.
    fn may_have_replaced(&self) -> bool {
        self.overwrite && self.layout.kept.is_none()
    }

    /// Of a job as the catalogue has it, under the lease `epoch`.
    pub(crate) fn of_record(record: &JobRecord, epoch: Epoch) -> Self {
        Self {
            job: record.job,
            epoch,
            target: record.target.clone(),
            parts: record.parts,
            layout: record.layout,
            chunk_size: record.chunk_size,
            overwrite: record.overwrite,
        }
    }
}

/// The job as the catalogue has it.
pub(crate) async fn load(relay: &Relay, job: JobId) -> Result<JobRecord, Refusal> {
    let record = relay.catalogue.job(&JobKey::Id(job)).await.map_err(|error| internal(&error))?;
    record.ok_or_else(|| Refusal::new(RefusalCode::JobUnknown, ""))
}

/// Finishes a sealed spray for an edge or after a crash.
///
/// # Errors
///
/// As for [`Committer::finish`], or the plane is unknown.
pub(crate) async fn finish(relay: &Relay, commitment: Commitment) -> Result<Committed, Refusal> {
    let served = relay.plane(commitment.target.plane())?;
    let committer = Committer {
        catalogue: relay.catalogue.clone(),
        clock: Arc::clone(&relay.clock),
        identity: relay.identity(),
        plane: Arc::clone(&served.plane),
        plane_name: commitment.target.plane().clone(),
        placing: Arc::clone(&served.placing),
        sources: relay.plane_map(),
    };
    committer.finish(commitment).await.map(|done| done.committed).map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "commit");
        error.refusal()
    })
}

/// Sees to it that readers of the plane know of the generation that a job committed before.
///
/// # Errors
///
/// They may not yet; worth trying again.
pub(crate) async fn point(relay: &Relay, target: &WriteTarget) -> Result<(), Refusal> {
    let WriteTarget::LogicalFile { plane: name, name: file, .. } = target else { return Ok(()) };
    let served = relay.plane(name)?;
    let (catalogue, clock, plane) = (&relay.catalogue, &*relay.clock, &served.plane);
    let pointers = Pointers { catalogue, clock, name, plane };
    settle_locked(&pointers, &served.placing, file).await.map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "commit");
        error.refusal()
    })
}

/// The right to place parts on a plane, for a push.
pub(crate) async fn lock(placing: &Placing) -> Result<Placed, Refusal> {
    placing.lock().await.map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "commit");
        CommitError::from(error).refusal()
    })
}

/// What a commit on one plane needs.
pub(crate) struct Committer {
    pub(crate) catalogue: Catalogue,
    pub(crate) clock: Arc<dyn Clock>,
    /// Signs the receipt.
    pub(crate) identity: Arc<RelayIdentity>,
    pub(crate) plane: Arc<Plane>,
    pub(crate) plane_name: PlaneName,
    pub(crate) placing: Arc<Placing>,
    /// The planes that parts may be copied from.
    pub(crate) sources: Planes,
}

/// A job that is committed, and what was done for it.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) committed: Committed,
    /// Parts the store copied into their places.
    pub(crate) copied: u64,
    /// Parts it was to copy and whose bytes were carried over.
    pub(crate) carried: u64,
    /// Why the first of those was not copied, where the store said so.
    pub(crate) refused: Option<BucketError>,
}

/// How the parts of a copy got to their places.
#[derive(Debug, Default)]
struct Tally {
    copied: u64,
    carried: u64,
    refused: Option<BucketError>,
}

impl Done {
    /// A job that somebody else has finished.
    pub(crate) fn before(committed: Committed) -> Self {
        Self { committed, copied: 0, carried: 0, refused: None }
    }
}

impl Committer {
    /// Finishes a sealed job. Idempotent, and goes on when nobody waits for it any more.
    ///
    /// A job whose staged bytes are lost is aborted, since it could never be finished; but not one
    /// that may have replaced parts of an earlier generation, which is left sealed for the operator.
    ///
    /// # Errors
    ///
    /// The plane or the catalogue failed, or a part's place is taken.
    pub(crate) async fn finish(self, commitment: Commitment) -> Result<Done, CommitError> {
        let finishing = tokio::spawn(async move { self.finish_once(commitment).await });
        finishing.await.expect("a commit does not panic and is not aborted")
    }

    async fn finish_once(&self, commitment: Commitment) -> Result<Done, CommitError> {
        // One after the other: a second request for the same commit finds it done.
        let _placing = self.placing.lock().await?;
        if let Some(committed) = self.done_or_sealed(commitment.job).await? {
            self.settle(&commitment).await?;
            return Ok(Done::before(committed));
        }
        let mut page = Vec::new();
        let error = match self.place_and_commit(&commitment, &mut page).await {
            Ok(done) => {
                self.settle(&commitment).await?;
                return Ok(done);
            }
            Err(error) => error,
        };
        let job = commitment.job;
        let settled = if is_final(&error) && !commitment.may_have_replaced() {
            let epoch = Some(commitment.epoch);
            self.catalogue.abort_sealed(job, epoch, &Actor::Relay, self.now_ms()).await
        } else {
            // Had it been given up before this page, its places would not have been touched.
            self.catalogue.discard_late(job, &page, self.now_ms()).await.map_err(JobError::from)
        };
        if let Err(error) = settled {
            tracing::error!(%job, error = &error as &dyn std::error::Error, "abort");
        }
        Err(error)
    }

    /// `page` holds the parts that were placed last, or not quite, and where.
    async fn place_and_commit(
        &self,
        commitment: &Commitment,
        page: &mut Vec<(String, PartRecord)>,
    ) -> Result<Done, CommitError> {
        let Tally { copied, carried, refused } = self.place_parts(commitment, page).await?;
        let committed = self.commit(commitment).await?;
        Ok(Done { committed, copied, carried, refused })
    }

    /// Readers of the plane learn of a generation before its edge does.
    async fn settle(&self, commitment: &Commitment) -> Result<(), CommitError> {
        let WriteTarget::LogicalFile { name: file, .. } = &commitment.target else { return Ok(()) };
        let (catalogue, clock) = (&self.catalogue, &*self.clock);
        let pointers = Pointers { catalogue, clock, name: &self.plane_name, plane: &self.plane };
        Ok(pointers.settle(file).await?)
    }

    /// The result, if somebody else has finished the job. One that is not sealed has no right to
    /// the places of its parts.
    async fn done_or_sealed(&self, job: JobId) -> Result<Option<Committed>, JobError> {
        let known = self.catalogue.job(&JobKey::Id(job)).await?;
        let known = known.ok_or(JobError::Unknown { job })?;
        match known.state {
            JobState::Sealed => Ok(None),
            JobState::Committed => Ok(known.committed()),
            JobState::Aborted => Err(JobError::Aborted { job }),
            state => Err(JobError::State { job, state }),
        }
    }

    /// Puts every part in its place, while the job is sealed and nobody else has taken it over.
    async fn place_parts(
        &self,
        commitment: &Commitment,
        under_way: &mut Vec<(String, PartRecord)>,
    ) -> Result<Tally, CommitError> {
        let WriteTarget::LogicalFile { name, .. } = &commitment.target else {
            return Err(JobError::Kind { job: commitment.job }.into());
        };
        let paths = part_paths(commitment.parts, &commitment.layout)
            .ok_or(CatalogueError::Corrupt { table: "jobs", column: "parts" })?;
        let replace = if commitment.overwrite { Replace::Existing } else { Replace::Never };
        let (mut after, mut tally) = (None, Tally::default());
        loop {
            // The pieces of uploads are in memory for as long as a page is.
            let page = if self.plane.has_uploads() { UPLOADS_PAGE } else { PAGE };
            let rows = self.catalogue.job_parts(commitment.job, after, page).await?;
            let Some(last) = rows.last() else { return Ok(tally) };
            after = Some(last.part);
            let key = (commitment.job, commitment.epoch);
            self.catalogue.check_sealed(key, self.now_ms()).await?;
            under_way.clear();
            let span = (rows[0].part, last.part);
            let mut uploads =
                staging::uploads(&self.catalogue, &self.plane, commitment.job, span).await?;
            let mut sources = self.catalogue.part_copies(commitment.job, span).await?;
            let (mut finishes, mut sourced) = (Vec::with_capacity(rows.len()), Vec::new());
            let mut placed = Vec::with_capacity(rows.len());
            for row in rows {
                let path = part_path(&paths, name, row.part)?;
                let target = PartTarget::try_new(commitment.job, row.part, path)?;
                let target = target.under(commitment.epoch)?;
                let length = row.length.unwrap_or(0);
                placed.push(target.path().clone());
                under_way.push((target.path().to_string(), row.clone()));
                let upload = uploads.remove(&row.part);
                let finish =
                    Finish { target, length, replace, staged: None, settled: false, upload };
                match sources.remove(&row.part) {
                    Some(from) => sourced.push(Sourced { finish, row, from }),
                    None => finishes.push((finish, row)),
                }
            }
            if !sourced.is_empty() {
                let placed = self.place_copies(commitment, sourced).await?;
                tally.copied += placed.copied;
                tally.carried += placed.carried;
                tally.refused = tally.refused.or(placed.refused);
            }
            let plane = Arc::clone(&self.plane);
            blocking(move || place_page(&plane, finishes)).await?;
            if self.plane.has_uploads() {
                self.note_tags(commitment.target.plane(), placed).await?;
            }
        }
    }

    /// Notes how the store calls what is in its place, for whoever verifies it later.
    async fn note_tags(&self, plane: &PlaneName, paths: Vec<RelPath>) -> Result<(), CommitError> {
        let names: Vec<String> = paths.iter().map(RelPath::to_string).collect();
        let asked = Arc::clone(&self.plane);
        let tags = blocking(move || asked.tags(paths)).await;
        let noted = names.into_iter().zip(tags).map(|(path, tag)| Ok((path, tag?)));
        let noted = noted.collect::<Result<Vec<_>, PlaneError>>()?;
        Ok(self.catalogue.record_tags(plane, &noted).await?)
    }

    async fn commit(&self, commitment: &Commitment) -> Result<Committed, JobError> {
        let sign = |receipt: &Receipt| sign(&self.identity, receipt);
        let Commitment { job, epoch, .. } = *commitment;
        self.catalogue.commit_spray(job, epoch, &sign, self.now_ms()).await
    }

    fn now_ms(&self) -> i64 {
        unix_ms(self.clock.now())
    }
}

fn is_final(error: &CommitError) -> bool {
    matches!(
        error.refusal().code,
        RefusalCode::Exists | RefusalCode::StoredCorrupt | RefusalCode::PathBlocked
    )
}

/// Puts one page of parts in their places. Blocks.
fn place_page(plane: &Plane, page: Vec<(Finish, PartRecord)>) -> Result<(), PlaceError> {
    let (finishes, rows): (Vec<Finish>, Vec<PartRecord>) = page.into_iter().unzip();
    let outcomes = plane.finish(&finishes);
    for ((outcome, finish), row) in outcomes.into_iter().zip(&finishes).zip(&rows) {
        match outcome {
            Ok(Finished::Renamed) => {}
            // Nobody saw the rename that put it there: believe it only after reading it.
            Ok(Finished::Found) => verify(plane, finish, row.digest)?,
            // A file that this job renamed before a crash may stand where nothing may be replaced.
            Err(error @ PlaneError::Exists { .. }) => {
                if !is_part(plane, finish, row.digest)? {
                    return Err(error.into());
                }
                plane.abort(&finish.target, finish.upload.as_ref().map(|upload| &upload.id))?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn verify(plane: &Plane, finish: &Finish, digest: Option<Digest>) -> Result<(), PlaceError> {
    let measured = plane.open(finish.target.path())?.measure()?;
    if measured.length == finish.length && Some(measured.digest) == digest {
        Ok(())
    } else {
        Err(PlaceError::Foreign)
    }
}

/// Whether the part stands in its place already. That it cannot be read now says nothing.
pub(crate) fn is_part(
    plane: &Plane,
    finish: &Finish,
    digest: Option<Digest>,
) -> Result<bool, PlaceError> {
    match verify(plane, finish, digest) {
        Ok(()) => Ok(true),
        Err(PlaceError::Foreign) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Why a sealed job was not committed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CommitError {
    /// The lock of the plane cannot be used.
    #[error(transparent)]
    Lock(#[from] PlacingError),
    /// The generation is committed, and readers of the plane are not told of it yet.
    #[error(transparent)]
    Pointer(#[from] PointerError),
    /// A part is not in its place.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The catalogue does not take it.
    #[error(transparent)]
    Job(#[from] JobError),
}

impl CommitError {
    /// What a peer is told.
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::Lock(error) => error.refusal(),
            Self::Place(error) => error.refusal(),
            Self::Pointer(error) => error.refusal(),
            Self::Job(error) => crate::service::refusal_of(error),
        }
    }
}

impl From<CatalogueError> for CommitError {
    fn from(error: CatalogueError) -> Self {
        Self::Job(error.into())
    }
}

impl From<PlaneError> for CommitError {
    fn from(error: PlaneError) -> Self {
        Self::Place(error.into())
    }
}

/// Why a part is not in its place.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// The plane failed.
    #[error(transparent)]
    Plane(#[from] PlaneError),
    /// Something else has the place.
    #[error("what stands at a part's place is not the part")]
    Foreign,
    /// What was copied is not what was committed.
    #[error("a part's copy is not what was committed")]
    Miscopied,
    /// What a part was to be copied from is gone.
    #[error("{path} is gone, of which a part was to be copied")]
    SourceGone {
        /// From the root of its plane.
        path: RelPath,
    },
    /// What a part was copied from was replaced meanwhile.
    #[error("{path} was replaced while a part was copied from it")]
    SourceChanged {
        /// From the root of its plane.
        path: RelPath,
    },
    /// The plane that a part is copied from is not configured, or cannot be opened.
    #[error("plane {plane} cannot be used, from which a part is copied")]
    NoSource {
        /// The plane.
        plane: PlaneName,
    },
}

impl PlaceError {
    /// What a peer is told.
    pub(crate) fn refusal(&self) -> Refusal {
        match self {
            Self::Plane(PlaneError::Lost { .. } | PlaneError::Short { .. }) => {
                Refusal::new(RefusalCode::StoredCorrupt, "staged bytes are lost")
            }
            Self::Plane(error) => error.refusal(),
            Self::Foreign => Refusal::new(RefusalCode::StoredCorrupt, "a part's place is taken"),
            Self::Miscopied => Refusal::new(RefusalCode::StoredCorrupt, "a part's copy differs"),
            Self::SourceGone { .. } => Refusal::new(RefusalCode::StoredCorrupt, "a source is gone"),
            Self::SourceChanged { .. } => {
                Refusal::new(RefusalCode::StoredCorrupt, "a source has changed")
            }
            Self::NoSource { plane } => {
                Refusal::new(RefusalCode::PlaneUnavailable, plane.to_string())
            }
        }
    }
}

/// Whether the agent, as it is inside the transaction, may commit this job.
pub(crate) fn may_commit(agent: &AgentRecord, job: &JobRecord) -> Result<(), Refusal> {
    let wanted = [Some(Operation::Push), job.overwrite.then_some(Operation::Overwrite)];
    for operation in wanted.into_iter().flatten() {
        let (allowed, plane): (bool, &PlaneName) = match &job.target {
            WriteTarget::LogicalFile { plane, name, .. } => {
                (access::allows_name(&agent.rules, operation, plane, name), plane)
            }
            WriteTarget::Files { plane, directory } => {
                (access::allows_path(&agent.rules, operation, plane, directory), plane)
            }
        };
        if !allowed {
            let detail = format!("{operation} on {plane}");
            return Err(Refusal::new(RefusalCode::Forbidden, detail));
        }
    }
    Ok(())
}

/// The signed receipt as it is stored and sent.
pub(crate) fn sign(identity: &RelayIdentity, receipt: &Receipt) -> Vec<u8> {
    let encoded = postcard::to_stdvec(receipt).expect("a receipt is plain data");
    let signer = &identity.receipt_signer;
    let signed = SignedReceipt {
        key_id: signer.verifier().key_id().0,
        signature: signer.sign(&Receipt::signed_bytes(&encoded)).to_vec(),
        receipt: encoded,
    };
    postcard::to_stdvec(&signed).expect("a signed receipt is plain data")
}
