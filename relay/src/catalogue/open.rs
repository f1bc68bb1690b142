//! Opening a job: the right to write a target, its lease and its epoch.

use super::Catalogue;
use super::audit::{AuditEntry, AuditEvent, AuditResult, append};
use super::dialect::{Connection, query};
use super::error::{CatalogueError, JobError};
use super::fields::{Fields, big};
use super::jobs::{abort_job, about, bump, load_job};
use super::records::{JobKind, JobRecord, PartLayout, acting, attributes_text, target_text};
use super::wuid::wuid;
use serde_json::json;
use skyspray_wire::digest::Digest;
use skyspray_wire::ids::{ChunkSize, Epoch, JobId};
use skyspray_wire::message::{Attributes, Committed, JobState, WriteTarget};
use skyspray_wire::name::{AgentName, LogicalName, PlaneName};

/// How long a job without a sign of life keeps other agents from its target, in milliseconds.
///
/// Only courtesy depends on it: what a job writes after it lost its target is fenced by state and
/// epoch.
pub const LEASE_MS: i64 = 60_000;

/// What a job is opened with.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// The id the edge chose.
    pub job: JobId,
    /// Who asks; [`super::operator`] for a copy.
    pub agent: AgentName,
    /// What is to be written, as asked for.
    pub target: WriteTarget,
    /// Whether what exists may be replaced.
    pub overwrite: bool,
    /// Bytes announced.
    pub bytes: u64,
    /// Digest of the edge's plan.
    pub plan: Digest,
    /// What describes the logical file.
    pub attributes: Attributes,
    /// Parts of a spray, with the plane's default filled in; 0 for a push. A job that is known
    /// keeps the number it has.
    pub parts: u32,
    /// A job that is known keeps the size it has.
    pub chunk_size: ChunkSize,
    /// A job that is known keeps the layout it has.
    pub layout: PartLayout,
}

/// What an open leads to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Opening {
    /// The job may be written.
    Granted(Opened),
    /// The job is done already.
    Committed(Committed),
}

/// The right to write. What earlier sessions made durable is read with
/// [`Catalogue::job_parts`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Opened {
    /// Fences every earlier holder.
    pub epoch: Epoch,
    /// The HPCC-style id.
    pub wuid: String,
    /// [`JobState::Open`], or [`JobState::Sealed`] when only the commit is left.
    pub state: JobState,
    /// Parts of the spray; files of the push opened so far.
    pub parts: u32,
    /// Size of its chunks.
    pub chunk_size: ChunkSize,
    /// What its part paths follow from.
    pub layout: PartLayout,
    /// Whether the job was opened before.
    pub resumed: bool,
}

impl Catalogue {
    /// Opens a job, or continues it in a new epoch.
    ///
    /// A spray takes the lease of its logical file. Another job that holds it is given up when it
    /// is the same agent's or gave no sign of life for [`LEASE_MS`]; one that is sealed is never
    /// given up, because its parts may be visible on the plane already.
    ///
    /// # Errors
    ///
    /// Leased, exists, aborted, or known with other content: all written to the audit.
    pub async fn open_write(&self, new: &NewJob, now_ms: i64) -> Result<Opening, JobError> {
        self.open_as(JobKind::of_edge(&new.target), new, now_ms).await
    }

    /// Opens a copy into a logical file, for the operator; see [`Catalogue::open_write`]. Another
    /// copy that is open and has the lease is given up.
    ///
    /// # Errors
    ///
    /// As for [`Catalogue::open_write`].
    pub async fn open_copy(&self, new: &NewJob, now_ms: i64) -> Result<Opening, JobError> {
        self.open_as(JobKind::Copy, new, now_ms).await
    }

    async fn open_as(&self, kind: JobKind, new: &NewJob, now_ms: i64) -> Result<Opening, JobError> {
        let mut tx = self.store.begin().await?;
        let outcome = open(&mut tx, kind, new, now_ms).await;
        let target = target_text(&new.target);
        let mut entry = AuditEntry::new(acting(&new.agent), AuditEvent::JobOpened);
        entry.job = Some(new.job);
        entry.plane = Some(new.target.plane());
        entry.target = Some(&target);
        match &outcome {
            Ok(Opening::Granted(opened)) => {
                entry.detail = json!({
                    "wuid": opened.wuid,
                    "epoch": opened.epoch.0,
                    "parts": opened.parts,
                    "bytes": new.bytes,
                    "overwrite": new.overwrite,
                });
            }
            Ok(Opening::Committed(done)) => entry.detail = json!({ "committed": done.wuid }),
            Err(JobError::Catalogue(_)) => return outcome,
            Err(error) => entry.result = AuditResult::Refused(error.refusal().code),
        }
        append(&mut tx, &entry, now_ms).await?;
        tx.commit().await?;
        outcome
    }
}

/// Decides and writes; a refusal has written nothing.
async fn open(
    tx: &mut Connection,
    kind: JobKind,
    new: &NewJob,
    now_ms: i64,
) -> Result<Opening, JobError> {
    if let Some(known) = load_job(tx, new.job).await? {
        if known.kind != kind {
            return Err(JobError::Differs { job: new.job });
        }
        return reopen(tx, new, &known, now_ms).await;
    }
    if let WriteTarget::LogicalFile { plane, name, .. } = &new.target {
        take_lease(tx, new, (plane, name), now_ms).await?;
    }
    let row = query("UPDATE counters SET value = value + 1 WHERE name = 'jobs' RETURNING value")
        .fetch_one(&mut *tx)
        .await?;
    let number = Fields::new("counters", &row).number("value")?;
    let wuid = wuid(number, now_ms);
    insert(tx, kind, new, (number, &wuid), now_ms).await?;
    Ok(Opening::Granted(Opened {
        epoch: Epoch(1),
        wuid,
        state: JobState::Open,
        parts: new.parts,
        chunk_size: new.chunk_size,
        layout: new.layout,
        resumed: false,
    }))
}

async fn reopen(
    tx: &mut Connection,
    new: &NewJob,
    known: &JobRecord,
    now_ms: i64,
) -> Result<Opening, JobError> {
    let same = known.agent == new.agent
        && known.target == new.target
        && known.overwrite == new.overwrite
        && known.plan == new.plan;
    if !same {
        return Err(JobError::Differs { job: new.job });
    }
    if known.state == JobState::Aborted {
        return Err(JobError::Aborted { job: new.job });
    }
    if let Some(done) = known.committed() {
        return Ok(Opening::Committed(done));
    }
    // A sealed job is only finished, and whoever does that must not be fenced off on the way.
    if known.state != JobState::Sealed {
        bump(tx, new.job, now_ms).await?;
    }
    let record = load_job(tx, new.job).await?.ok_or(JobError::Unknown { job: new.job })?;
    Ok(Opening::Granted(Opened {
        epoch: record.epoch,
        wuid: record.wuid,
        state: record.state,
        parts: record.parts,
        chunk_size: record.chunk_size,
        layout: record.layout,
        resumed: true,
    }))
}

/// Makes the new job the holder of its logical file, and gives up the one that held it.
async fn take_lease(
    tx: &mut Connection,
    new: &NewJob,
    (plane, name): (&PlaneName, &LogicalName),
    now_ms: i64,
) -> Result<(), JobError> {
    let row = query(
        "UPDATE logical_files SET last = last WHERE plane = $1 AND name = $2 \
         RETURNING current, holder",
    )
    .bind(plane.as_str())
    .bind(name.as_str())
    .fetch_optional(&mut *tx)
    .await?;
    if let Some(row) = row {
        let fields = Fields::new("logical_files", &row);
        if fields.int_opt("current")?.is_some() && !new.overwrite {
            return Err(JobError::Exists { name: name.to_string() });
        }
        if let Some(holder) = fields.array_opt("holder")? {
            displace(tx, new, JobId(holder), now_ms).await?;
        }
    }
    let taken = query(
        "INSERT INTO logical_files (plane, name, last, holder) VALUES ($1, $2, 0, $3) \
         ON CONFLICT (plane, name) DO UPDATE SET holder = excluded.holder \
         WHERE logical_files.holder IS NULL",
    )
    .bind(plane.as_str())
    .bind(name.as_str())
    .bind(new.job.0.to_vec())
    .execute(&mut *tx)
    .await?;
    // Somebody made the row between the two statements; not with SQLite.
    if taken.rows_affected() == 0 { Err(CatalogueError::Busy.into()) } else { Ok(()) }
}

/// Gives `holder` up in favour of the new job, if that may be.
async fn displace(
    tx: &mut Connection,
    new: &NewJob,
    holder: JobId,
    now_ms: i64,
) -> Result<(), JobError> {
    let Some(held) = load_job(tx, holder).await? else {
        return Err(CatalogueError::Corrupt { table: "logical_files", column: "holder" }.into());
    };
    let alive = now_ms.saturating_sub(held.touched_ms) < LEASE_MS;
    if held.state == JobState::Sealed || (alive && held.agent != new.agent) {
        let name = target_text(&held.target);
        return Err(JobError::Leased { name, wuid: held.wuid });
    }
    let entry = about(&held, acting(&new.agent), AuditEvent::JobAborted)
        .detail(json!({ "displaced_by": new.job.to_string() }));
    Ok(abort_job(tx, &held, entry, now_ms).await?)
}

async fn insert(
    tx: &mut Connection,
    kind: JobKind,
    new: &NewJob,
    (number, wuid): (u64, &str),
    now_ms: i64,
) -> Result<(), CatalogueError> {
    let target = target_text(&new.target);
    let parts_asked = match new.target {
        WriteTarget::LogicalFile { parts, .. } => parts,
        WriteTarget::Files { .. } => 0,
    };
    query(
        "INSERT INTO jobs (job, number, wuid, agent, kind, plane, target, parts_asked, parts, \
         overwrite, plan, attributes, bytes, chunk_size, dir_per_part, devices, lfn_hash, state, \
         epoch, opened_ms, touched_ms, bytes_durable, litter, keep_generations) VALUES ($1, $2, $3, $4, $5, $6, $7, \
         $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, 'open', 1, $18, $18, 0, 0, $19)",
    )
    .bind(new.job.0.to_vec())
    .bind(big(number)?)
    .bind(wuid)
    .bind(new.agent.as_str())
    .bind(kind.as_str())
    .bind(new.target.plane().as_str())
    .bind(target)
    .bind(i64::from(parts_asked))
    .bind(i64::from(new.parts))
    .bind(i64::from(new.overwrite))
    .bind(new.plan.0.to_vec())
    .bind(attributes_text(&new.attributes))
    .bind(big(new.bytes)?)
    .bind(i64::from(new.chunk_size.bytes()))
    .bind(i64::from(new.layout.dir_per_part))
    .bind(i64::from(new.layout.devices))
    .bind(i64::from(new.layout.lfn_hash))
    .bind(now_ms)
    .bind(new.layout.keep_generations())
    .execute(tx)
    .await?;
    Ok(())
}
