//! What a relay does beside its sessions: finishes commits a crash cut off, deletes what nothing
//! names any more, keeps leases and its own certificate alive.

use crate::catalogue::{Actor, Catalogue, CatalogueError, JobError, JobRecord, UploadRecord};
use crate::commit::{self, Commitment};
use crate::discard::delete_discards;
use crate::plane::{PartTarget, Plane, PlaneError, UploadId, part_path};
use crate::pointer;
use crate::service::{part_paths, plane_path};
use crate::state::{Relay, blocking, unix_ms};
use skyspray_link::seam::Clock;
use skyspray_link::seam::files::RelPath;
use skyspray_wire::ids::{JobId, PartIndex};
use skyspray_wire::message::WriteTarget;
use skyspray_wire::name::PlaneName;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use thiserror::Error;

/// Jobs, parts or files handled at once.
const PAGE: u32 = 256;

/// A job nobody touched for this long is given up: three days.
pub(crate) const ABANDONED_MS: i64 = 72 * 3600 * 1000;

/// The planes a collection works on.
pub type Planes = BTreeMap<PlaneName, Arc<Plane>>;

/// Why a collection could not go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CollectError {
    /// The catalogue failed.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// A job could not be given up.
    #[error(transparent)]
    Job(#[from] JobError),
    /// A plane failed.
    #[error("plane {plane}")]
    Plane {
        /// The plane.
        plane: PlaneName,
        /// Why.
        source: PlaneError,
    },
    /// Uploads of an ended job cannot be told from those another job begins at this moment.
    #[error("uploads of job {job} are left, another job writes to the same place")]
    InDoubt {
        /// The job that has ended.
        job: JobId,
    },
}

/// What a collection found, and removed unless it was a dry run.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct CollectReport {
    /// Jobs given up because nobody touched them for three days.
    pub jobs_abandoned: u64,
    /// Jobs whose staged bytes were removed.
    pub jobs_cleared: u64,
    /// Staging files no live job knows.
    pub orphans: u64,
    /// Bytes in those.
    pub orphan_bytes: u64,
    /// Stored files that were replaced, removed or never committed.
    pub discards: u64,
}

/// Deletes everything nothing names any more: by the state of its record, never by age alone.
///
/// # Errors
///
/// The catalogue or a plane failed; what was done is done, the rest is for the next time.
pub async fn collect(
    catalogue: &Catalogue,
    planes: &Planes,
    clock: &dyn Clock,
    dry_run: bool,
) -> Result<CollectReport, CollectError> {
    let now_ms = unix_ms(clock.now());
    let mut report = CollectReport::default();
    let abandoned = catalogue.open_jobs_older_than(now_ms - ABANDONED_MS, PAGE).await?;
    report.jobs_abandoned = abandoned.len() as u64;
    for job in abandoned.iter().filter(|_| !dry_run) {
        match catalogue.abort(job.job, None, &Actor::Relay, now_ms).await {
            // Somebody took it up meanwhile and brought it to its end.
            Ok(()) | Err(JobError::State { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if dry_run {
        report.jobs_cleared = catalogue.jobs_to_collect(PAGE).await?.len() as u64;
    } else {
        report.jobs_cleared = clear_jobs(catalogue, planes).await?;
        while catalogue.forget_litter(PAGE).await? > 0 {}
    }
    for (name, plane) in planes {
        if plane.has_uploads() {
            report.orphans +=
                left_if_failed(clear_spent(catalogue, (name, plane), dry_run).await)?.unwrap_or(0);
        }
        left_if_failed(collect_orphans(catalogue, (name, plane), dry_run, &mut report).await)?;
        report.discards += if dry_run {
            catalogue.discards(name, PAGE).await?.len() as u64
        } else {
            delete_discards(catalogue, (name, plane), clock).await?.files
        };
    }
    Ok(report)
}

/// A plane that fails keeps its orphans for the next time, and nobody from the other planes.
fn left_if_failed<T>(outcome: Result<T, CollectError>) -> Result<Option<T>, CollectError> {
    match outcome {
        Err(CollectError::Plane { plane, source }) => {
            let error = &source as &dyn std::error::Error;
            tracing::warn!(%plane, error, "orphans are left");
            Ok(None)
        }
        other => other.map(Some),
    }
}

/// Removes what ended jobs left staged. Returns how many jobs.
pub(crate) async fn clear_jobs(
    catalogue: &Catalogue,
    planes: &Planes,
) -> Result<u64, CollectError> {
    let mut cleared = 0;
    loop {
        let jobs = catalogue.jobs_to_collect(PAGE).await?;
        let mut progress = false;
        for job in &jobs {
            let Some(plane) = planes.get(job.target.plane()) else { continue };
            // One job that cannot be cleared now must not keep the others from it.
            match clear_job(catalogue, plane, job).await {
                Ok(()) => {
                    catalogue.collected(job.job).await?;
                    cleared += 1;
                    progress = true;
                }
                Err(CollectError::Catalogue(error)) => return Err(error.into()),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(job = %job.job, error, "what a job staged is left");
                }
            }
        }
        if !progress {
            return Ok(cleared);
        }
    }
}

async fn clear_job(
    catalogue: &Catalogue,
    plane: &Arc<Plane>,
    job: &JobRecord,
) -> Result<(), CollectError> {
    if plane.has_uploads() {
        return clear_uploads(catalogue, plane, job).await;
    }
    match &job.target {
        WriteTarget::LogicalFile { name, .. } => {
            let Some(paths) = part_paths(job.parts, &job.layout) else { return Ok(()) };
            // A part may be staged before anything of it is recorded, so all are looked at.
            for first in (0..job.parts).step_by(PAGE as usize) {
                let parts = (first..job.parts.min(first + PAGE)).map(PartIndex);
                let targets = parts
                    .filter_map(|part| staged_by(job, part, part_path(&paths, name, part).ok()?));
                abort_all(plane, job, targets.collect()).await?;
            }
        }
        WriteTarget::Files { .. } => {
            let mut after = None;
            loop {
                let rows = catalogue.job_parts(job.job, after, PAGE).await?;
                let Some(last) = rows.last() else { return Ok(()) };
                after = Some(last.part);
                let targets = rows
                    .iter()
                    .filter_map(|row| staged_by(job, row.part, plane_path(row.path.as_deref()?)?));
                abort_all(plane, job, targets.collect()).await?;
            }
        }
    }
    Ok(())
}

/// A part as the last holder of its job's lease staged it.
fn staged_by(job: &JobRecord, part: PartIndex, path: RelPath) -> Option<PartTarget> {
    PartTarget::try_new(job.job, part, path).ok()?.under(job.epoch).ok()
}

async fn abort_all(
    plane: &Arc<Plane>,
    job: &JobRecord,
    targets: Vec<PartTarget>,
) -> Result<(), CollectError> {
    let plane = Arc::clone(plane);
    let aborted = blocking(move || targets.iter().try_for_each(|target| plane.abort(target, None)));
    let name = job.target.plane().clone();
    aborted.await.map_err(|source| CollectError::Plane { plane: name, source })
}

/// Throws away every upload of a job that has ended.
async fn clear_uploads(
    catalogue: &Catalogue,
    plane: &Arc<Plane>,
    job: &JobRecord,
) -> Result<(), CollectError> {
    loop {
        let uploads = catalogue.job_uploads(job.job, PAGE).await?;
        if uploads.is_empty() {
            return Ok(());
        }
        if abort_uploads(catalogue, (job.target.plane(), plane), uploads).await? == 0 {
            return Err(CollectError::InDoubt { job: job.job });
        }
    }
}

/// Throws away uploads that others took the place of.
async fn clear_spent(
    catalogue: &Catalogue,
    (name, plane): (&PlaneName, &Arc<Plane>),
    dry_run: bool,
) -> Result<u64, CollectError> {
    let mut cleared = 0;
    loop {
        let uploads = catalogue.spent_uploads(name, PAGE).await?;
        let found = uploads.len() as u64;
        cleared += found;
        if dry_run || found == 0 {
            return Ok(cleared);
        }
        if abort_uploads(catalogue, (name, plane), uploads).await? == 0 {
            return Ok(cleared);
        }
    }
}

/// Says how many are gone.
async fn abort_uploads(
    catalogue: &Catalogue,
    (name, plane): (&PlaneName, &Arc<Plane>),
    uploads: Vec<UploadRecord>,
) -> Result<u64, CollectError> {
    let mut gone = Vec::with_capacity(uploads.len());
    for record in uploads {
        if abort_upload(catalogue, (name, plane), &record).await? {
            gone.push(record);
        }
    }
    let found = gone.len() as u64;
    catalogue.forget_uploads(&gone).await?;
    Ok(found)
}

/// Throws an upload away or, where nobody knows its name, all to its place that nobody has noted.
/// `false` when that cannot be told now.
async fn abort_upload(
    catalogue: &Catalogue,
    (name, plane): (&PlaneName, &Arc<Plane>),
    record: &UploadRecord,
) -> Result<bool, CollectError> {
    let failed = |source: PlaneError| CollectError::Plane { plane: name.clone(), source };
    let path = RelPath::parse(&record.path).map_err(|error| failed(error.into()))?;
    let target = PartTarget::try_new(record.job, record.part, path).map_err(failed)?;
    let strays = match &record.upload {
        Some(upload) => vec![upload.clone()],
        None => {
            // First what is there, then what of it is known: an upload begun since is not listed.
            let (listing, path) = (Arc::clone(plane), target.path().clone());
            let open = blocking(move || listing.open_uploads(&path)).await.map_err(failed)?;
            let noted = catalogue.uploads_to(record.job, (name, &record.path)).await?;
            let Some(noted) = noted else { return Ok(false) };
            open.into_iter().filter(|upload| !noted.contains(upload)).collect()
        }
    };
    let plane = Arc::clone(plane);
    let aborted = blocking(move || {
        strays.iter().try_for_each(|stray: &UploadId| plane.abort(&target, Some(stray)))
    });
    aborted.await.map(|()| true).map_err(failed)
}

/// Removes staging files whose job is not live, whoever left them.
async fn collect_orphans(
    catalogue: &Catalogue,
    (name, plane): (&PlaneName, &Arc<Plane>),
    dry_run: bool,
    report: &mut CollectReport,
) -> Result<(), CollectError> {
    // First what is there, then the state of each job, then once more with the answers.
    let found = {
        let plane = Arc::clone(plane);
        blocking(move || {
            let mut jobs = BTreeSet::new();
            let mut note = |orphan: &crate::plane::Orphan| {
                jobs.insert(orphan.job);
            };
            plane.collect(&|_| false, &mut note, true).map(|_| jobs)
        })
    };
    let failed = |source| CollectError::Plane { plane: name.clone(), source };
    let mut dead: BTreeSet<JobId> = BTreeSet::new();
    for job in found.await.map_err(failed)? {
        if !catalogue.is_live(job).await? {
            dead.insert(job);
        }
    }
    if dead.is_empty() {
        return Ok(());
    }
    let plane = Arc::clone(plane);
    let walked = blocking(move || {
        let (mut orphans, mut bytes) = (0, 0);
        let live = |job: JobId| !dead.contains(&job);
        let counted = plane.collect(
            &live,
            &mut |orphan| {
                orphans += 1;
                bytes += orphan.length;
            },
            dry_run,
        );
        counted.map(|_| (orphans, bytes))
    });
    let (orphans, bytes) = walked.await.map_err(failed)?;
    report.orphans += orphans;
    report.orphan_bytes += bytes;
    Ok(())
}

/// Removes what ended jobs left staged, after a job has ended. Failures are for the next time.
pub(crate) async fn collect_jobs(relay: &Relay) {
    if let Err(error) = clear_jobs(&relay.catalogue, &relay.plane_map()).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "collecting");
    }
}

/// Finishes the commits that a crash cut off, and the pointers to what they made current. Blocks the start of nothing: a job that cannot be
/// finished is logged, and tried again when its edge comes back.
pub(crate) async fn finish_sealed(relay: &Arc<Relay>) -> Result<(), CatalogueError> {
    for record in relay.catalogue.sealed_jobs(PAGE).await? {
        let job = record.job;
        // The lease stays as it is: an edge that waits for this very commit gets its answer too.
        match commit::finish(relay, Commitment::of_record(&record, record.epoch)).await {
            Ok(committed) => {
                tracing::info!(%job, wuid = %committed.wuid, "commit finished");
            }
            Err(refusal) => tracing::error!(%job, %refusal, "commit not finished"),
        }
    }
    pointer::settle_all(relay).await
}

/// Everything that is done now and then while the relay serves.
pub(crate) async fn sweep(relay: &Relay) {
    let report = collect(&relay.catalogue, &relay.plane_map(), &*relay.clock, false).await;
    match report {
        Ok(report) if report == CollectReport::default() => {}
        Ok(report) => tracing::info!(?report, "collected"),
        Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "collecting"),
    }
}
