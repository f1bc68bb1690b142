//! The commit of a spray: the one transaction that makes a generation visible.

use super::agents::{AgentError, AgentRecord, AgentState, lock_agent};
use super::audit::{AuditEvent, AuditResult, append};
use super::dialect::{Connection, Tx, query};
use super::error::{CatalogueError, JobError};
use super::fields::{Fields, big};
use super::jobs::{about, fence, load_job};
use super::kept::{keep, retire_hpcc};
use super::records::{JobRecord, attributes_text, operator};
use super::{Catalogue, copies};
use serde_json::json;
use skyspray_wire::digest::Digest;
use skyspray_wire::ids::{Epoch, Generation, JobId};
use skyspray_wire::message::{Committed, JobState};
use skyspray_wire::name::{LogicalName, PlaneName};
use skyspray_wire::receipt::{ListDigest, Receipt};
use skyspray_wire::refusal::{Refusal, RefusalCode};

/// Whether the agent, as it is inside the transaction, may do what the job asks for. Must be quick.
/// That it is enrolled is checked already.
pub type Allowed<'a> = &'a (dyn Fn(&AgentRecord, &JobRecord) -> Result<(), Refusal> + Sync);

/// What the caller adds to a commit. Both run inside the transaction and must be quick.
#[derive(Clone, Copy)]
pub struct Gate<'a> {
    /// Whether the agent, as it is at this moment, may do this. That it is enrolled is checked
    /// already.
    pub allowed: Allowed<'a>,
    /// Makes the encoded signed receipt that is stored and sent.
    pub sign: &'a (dyn Fn(&Receipt) -> Vec<u8> + Sync),
}

/// What the parts of a job amount to.
pub(super) struct Content {
    pub(super) parts: u32,
    pub(super) bytes: u64,
    pub(super) records: Option<u64>,
    pub(super) digest: Digest,
}

impl Catalogue {
    /// Commits a sealed spray whose parts are in their places: writes the generation, makes it
    /// current, puts what it replaces on the list of what to discard and the receipt into the job.
    /// A job that is committed already returns its result, in any epoch.
    ///
    /// # Errors
    ///
    /// Stale, not sealed, or the name exists and may not be replaced. Whether the agent may commit
    /// was decided when the job was sealed: its parts may have replaced others since.
    pub async fn commit_spray(
        &self,
        job: JobId,
        epoch: Epoch,
        sign: &(dyn Fn(&Receipt) -> Vec<u8> + Sync),
        now_ms: i64,
    ) -> Result<Committed, JobError> {
        let mut tx = self.store.begin().await?;
        let known = load_job(&mut tx, job).await?.ok_or(JobError::Unknown { job })?;
        if let Some(done) = known.committed() {
            return Ok(done);
        }
        let record = fence(&mut tx, job, epoch, now_ms).await?;
        let target = record.logical().ok_or(JobError::Kind { job })?;
        if record.state != JobState::Sealed {
            return Err(JobError::State { job, state: record.state });
        }
        match publish(&mut tx, &record, target, sign, now_ms).await {
            Ok(committed) => {
                tx.commit().await?;
                Ok(committed)
            }
            Err(error) => Err(refused(tx, &record, error, now_ms).await),
        }
    }
}

/// Decides, then writes; what is refused has written nothing.
async fn publish(
    tx: &mut Connection,
    job: &JobRecord,
    target: (&PlaneName, &LogicalName),
    sign: &(dyn Fn(&Receipt) -> Vec<u8> + Sync),
    now_ms: i64,
) -> Result<Committed, JobError> {
    let file = hold(tx, job, target).await?;
    if file.current.is_some() && !job.overwrite {
        return Err(JobError::Exists { name: target.1.to_string() });
    }
    let content = content(tx, job.job, "sealed").await?;
    if content.parts != job.parts {
        let (sealed, parts) = (u64::from(content.parts), u64::from(job.parts));
        return Err(JobError::Incomplete { sealed, parts });
    }
    let receipt = receipt(job, &content, Some(file.next), now_ms);
    let signed = sign(&receipt);
    step_aside(tx, job, target, (&file, now_ms)).await?;
    write_generation(tx, job, &receipt, (&content, &signed)).await?;
    move_parts(tx, job, target, file.next).await?;
    finish(tx, job, &receipt, &signed).await?;
    if copies::release(tx, job.job).await? > 0 {
        copied(tx, job.job).await?;
    }
    Ok(Committed { generation: Some(file.next), wuid: job.wuid.clone(), receipt: signed })
}

/// Ends what the job replaces. Where a pointer names it to readers of the plane, or will name what
/// comes, its parts stay until that pointer is right.
async fn step_aside(
    tx: &mut Connection,
    job: &JobRecord,
    target: (&PlaneName, &LogicalName),
    (file, now_ms): (&Held, i64),
) -> Result<(), CatalogueError> {
    let same_places = job.layout.kept.is_none();
    if same_places && !file.pointed {
        let Some(current) = file.current else { return Ok(()) };
        return retire(tx, target, (current, "replaced"), Some(job.job), now_ms).await;
    }
    if let Some(current) = file.current {
        keep(tx, target, current, now_ms).await?;
    }
    if same_places {
        retire_hpcc(tx, target, "replaced", Some(job.job), now_ms).await?;
    }
    query("UPDATE logical_files SET pointer = 2 WHERE plane = $1 AND name = $2")
        .bind(target.0.as_str())
        .bind(target.1.as_str())
        .execute(tx)
        .await?;
    Ok(())
}

/// That the agent is enrolled and the gate lets it pass, by its record as this transaction sees it.
/// The operator's jobs have none: whoever has the relay's directory may do everything.
pub(super) async fn permit(
    tx: &mut Connection,
    job: &JobRecord,
    allowed: Allowed<'_>,
) -> Result<(), JobError> {
    if job.agent == operator() {
        return Ok(());
    }
    let revoked = || JobError::Refused(Refusal::new(RefusalCode::AgentRevoked, ""));
    let agent = match lock_agent(tx, &job.agent).await {
        Ok(agent) => agent,
        Err(AgentError::Catalogue(error)) => return Err(error.into()),
        Err(_) => return Err(revoked()),
    };
    if agent.state != AgentState::Enrolled {
        return Err(revoked());
    }
    allowed(&agent, job).map_err(JobError::Refused)
}

/// Ends a transaction that has refused a commit and written nothing, with its line in the audit.
pub(super) async fn refused(mut tx: Tx, job: &JobRecord, error: JobError, now_ms: i64) -> JobError {
    if matches!(error, JobError::Catalogue(_)) {
        return error;
    }
    let mut entry = about(job, job.actor(), AuditEvent::JobCommitted);
    entry.result = AuditResult::Refused(error.refusal().code);
    if let Err(failed) = append(&mut tx, &entry, now_ms).await {
        return failed.into();
    }
    match tx.commit().await {
        Ok(()) => error,
        Err(failed) => failed.into(),
    }
}

/// The logical file as the commit finds it.
struct Held {
    current: Option<Generation>,
    next: Generation,
    /// Whether a pointer stands on the plane, or may.
    pointed: bool,
}

/// The logical file, if the job holds its lease.
async fn hold(
    tx: &mut Connection,
    job: &JobRecord,
    (plane, name): (&PlaneName, &LogicalName),
) -> Result<Held, JobError> {
    let row = query(
        "UPDATE logical_files SET last = last \
         WHERE plane = $1 AND name = $2 AND holder = $3 RETURNING current, last, pointer",
    )
    .bind(plane.as_str())
    .bind(name.as_str())
    .bind(job.job.0.to_vec())
    .fetch_optional(tx)
    .await?;
    // A job that lost its lease was aborted in the same transaction.
    let lost = CatalogueError::Corrupt { table: "logical_files", column: "holder" };
    let row = row.ok_or(lost)?;
    let fields = Fields::new("logical_files", &row);
    let last: u64 = fields.number("last")?;
    let current = fields.number_opt("current")?.map(Generation);
    Ok(Held { current, next: Generation(last + 1), pointed: fields.flag("pointer")? })
}

/// Adds up the parts of a job that are in `state`, page by page in part order.
pub(super) async fn content(
    connection: &mut Connection,
    job: JobId,
    state: &str,
) -> Result<Content, CatalogueError> {
    let (mut list, mut after) = (ListDigest::default(), -1i64);
    let (mut parts, mut bytes, mut records) = (0u32, 0u64, Some(0u64));
    loop {
        let rows = query(
            "SELECT part, length, digest, records FROM job_parts WHERE job = $1 AND part > $2 \
             AND state = $3 ORDER BY part LIMIT $4",
        )
        .bind(job.0.to_vec())
        .bind(after)
        .bind(state)
        .bind(super::page(u32::MAX))
        .fetch_all(&mut *connection)
        .await?;
        let Some(last) = rows.last() else { break };
        after = Fields::new("job_parts", last).int("part")?;
        for row in &rows {
            let fields = Fields::new("job_parts", row);
            let length: u64 = fields.number("length")?;
            list.push(length, &Digest(fields.array("digest")?));
            parts = parts.checked_add(1).ok_or_else(|| fields.corrupt("part"))?;
            bytes = bytes.checked_add(length).ok_or_else(|| fields.corrupt("length"))?;
            let counted: Option<u64> = fields.number_opt("records")?;
            records = records.zip(counted).and_then(|(sum, more)| sum.checked_add(more));
        }
    }
    let records = if parts == 0 { None } else { records };
    Ok(Content { parts, bytes, records, digest: list.finish() })
}

pub(super) fn receipt(
    job: &JobRecord,
    content: &Content,
    generation: Option<Generation>,
    now_ms: i64,
) -> Receipt {
    let target = super::records::target_text(&job.target);
    Receipt {
        version: 1,
        job: job.job,
        wuid: job.wuid.clone(),
        agent: job.agent.clone(),
        plane: job.target.plane().clone(),
        target,
        generation,
        parts: content.parts,
        bytes: content.bytes,
        content: content.digest,
        committed_ms: now_ms,
    }
}

/// Ends a generation: its parts become discards, but for those whose places `kept_by` takes over,
/// and its origins litter.
pub(super) async fn retire(
    tx: &mut Connection,
    (plane, name): (&PlaneName, &LogicalName),
    (generation, how): (Generation, &str),
    kept_by: Option<JobId>,
    now_ms: i64,
) -> Result<(), CatalogueError> {
    let generation = big(generation.0)?;
    query(
        "INSERT INTO discards (plane, path, since_ms, reason, length, digest) \
         SELECT plane, path, $4, $5, length, digest FROM generation_parts \
         WHERE plane = $1 AND name = $2 AND generation = $3 AND path NOT IN (SELECT path \
         FROM job_parts WHERE job = $6 AND path IS NOT NULL) ON CONFLICT (plane, path) DO NOTHING",
    )
    .bind(plane.as_str())
    .bind(name.as_str())
    .bind(generation)
    .bind(now_ms)
    .bind(how)
    .bind(kept_by.map(|job| job.0.to_vec()))
    .execute(&mut *tx)
    .await?;
    query("DELETE FROM generation_parts WHERE plane = $1 AND name = $2 AND generation = $3")
        .bind(plane.as_str())
        .bind(name.as_str())
        .bind(generation)
        .execute(&mut *tx)
        .await?;
    query(
        "UPDATE generations SET state = $4, ended_ms = $5 \
         WHERE plane = $1 AND name = $2 AND generation = $3",
    )
    .bind(plane.as_str())
    .bind(name.as_str())
    .bind(generation)
    .bind(how)
    .bind(now_ms)
    .execute(&mut *tx)
    .await?;
    query(
        "UPDATE jobs SET litter = 1 WHERE litter = 0 AND job = (SELECT job FROM generations \
         WHERE plane = $1 AND name = $2 AND generation = $3) \
         AND EXISTS (SELECT 1 FROM origin_sources s WHERE s.job = jobs.job)",
    )
    .bind(plane.as_str())
    .bind(name.as_str())
    .bind(generation)
    .execute(tx)
    .await?;
    Ok(())
}

async fn write_generation(
    tx: &mut Connection,
    job: &JobRecord,
    receipt: &Receipt,
    (content, signed): (&Content, &[u8]),
) -> Result<(), CatalogueError> {
    let generation = receipt.generation.expect("a spray commits a generation");
    query(
        "INSERT INTO generations (plane, name, generation, state, job, wuid, agent, parts, bytes, \
         records, committed_ms, attributes, dir_per_part, devices, lfn_hash, receipt, \
         keep_generations) \
         VALUES ($1, $2, $3, 'live', $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
    )
    .bind(receipt.plane.as_str())
    .bind(receipt.target.as_str())
    .bind(big(generation.0)?)
    .bind(job.job.0.to_vec())
    .bind(job.wuid.as_str())
    .bind(job.agent.as_str())
    .bind(i64::from(content.parts))
    .bind(big(content.bytes)?)
    .bind(content.records.map(big).transpose()?)
    .bind(receipt.committed_ms)
    .bind(attributes_text(&job.attributes))
    .bind(i64::from(job.layout.dir_per_part))
    .bind(i64::from(job.layout.devices))
    .bind(i64::from(job.layout.lfn_hash))
    .bind(signed)
    .bind(job.layout.keep_generations())
    .execute(tx)
    .await?;
    Ok(())
}

/// Makes the job's parts those of the generation and the generation the current one; the lease
/// ends.
async fn move_parts(
    tx: &mut Connection,
    job: &JobRecord,
    (plane, name): (&PlaneName, &LogicalName),
    generation: Generation,
) -> Result<(), CatalogueError> {
    query(
        "INSERT INTO generation_parts (plane, name, generation, part, path, length, digest, \
         crc32, records, header, footer) SELECT $1, $2, $3, part, path, length, digest, crc32, \
         records, header, footer FROM job_parts WHERE job = $4",
    )
    .bind(plane.as_str())
    .bind(name.as_str())
    .bind(big(generation.0)?)
    .bind(job.job.0.to_vec())
    .execute(&mut *tx)
    .await?;
    // What was to be deleted at these places is not there any more.
    query(
        "DELETE FROM discards WHERE plane = $1 \
         AND path IN (SELECT path FROM job_parts WHERE job = $2)",
    )
    .bind(plane.as_str())
    .bind(job.job.0.to_vec())
    .execute(&mut *tx)
    .await?;
    query(
        "UPDATE logical_files SET current = $3, last = $3, holder = NULL \
         WHERE plane = $1 AND name = $2",
    )
    .bind(plane.as_str())
    .bind(name.as_str())
    .bind(big(generation.0)?)
    .execute(tx)
    .await?;
    Ok(())
}

/// Notes that all of the job's bytes are stored, which the store copied by itself.
async fn copied(tx: &mut Connection, job: JobId) -> Result<(), CatalogueError> {
    query("UPDATE jobs SET bytes_durable = bytes WHERE job = $1")
        .bind(job.0.to_vec())
        .execute(tx)
        .await?;
    Ok(())
}

/// Writes the result into the job, and its line into the audit. It is left to be collected if it
/// may have staged more than became its parts: files of a push that were not committed, an upload
/// whose name nobody knows, or one of a part that the store copied in the end.
pub(super) async fn finish(
    tx: &mut Connection,
    job: &JobRecord,
    receipt: &Receipt,
    signed: &[u8],
) -> Result<(), CatalogueError> {
    query(
        "UPDATE jobs SET state = 'committed', finished_ms = $2, generation = $3, receipt = $4, \
         litter = CASE WHEN EXISTS (SELECT 1 FROM job_parts WHERE job = $1 AND state = 'open') \
         OR EXISTS (SELECT 1 FROM uploads u WHERE u.job = $1 AND (u.state = 'wanted' OR \
         (u.state = 'open' AND EXISTS (SELECT 1 FROM part_copies c WHERE c.job = u.job \
         AND c.part = u.part)))) THEN 2 ELSE 1 END WHERE job = $1",
    )
    .bind(job.job.0.to_vec())
    .bind(receipt.committed_ms)
    .bind(receipt.generation.map(|generation| big(generation.0)).transpose()?)
    .bind(signed)
    .execute(&mut *tx)
    .await?;
    let detail = json!({
        "wuid": receipt.wuid,
        "epoch": job.epoch.0,
        "generation": receipt.generation.map(|generation| generation.0),
        "parts": receipt.parts,
        "bytes": receipt.bytes,
        "content": receipt.content.to_string(),
    });
    let entry = about(job, job.actor(), AuditEvent::JobCommitted);
    append(tx, &entry.detail(detail), receipt.committed_ms).await
}
