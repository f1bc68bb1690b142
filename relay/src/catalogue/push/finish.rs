//! Making the files of a push visible, and ending the push.

use super::super::Catalogue;
use super::super::audit::{Actor, AuditEvent, append};
use super::super::commit::{Gate, content, finish, permit, receipt, refused};
use super::super::dialect::{Connection, query};
use super::super::error::{CatalogueError, JobError};
use super::super::fields::{Fields, big};
use super::super::jobs::{about, fence, load_job};
use super::super::records::{JobRecord, PartRecord, PartState};
use super::require_open_push;
use serde_json::json;
use skyspray_wire::ids::{Epoch, JobId};
use skyspray_wire::message::{Committed, PartSeal};
use skyspray_wire::receipt::ListDigest;

impl Catalogue {
    /// Commits a page of files of a push that are in their places on the plane. Files committed
    /// before are left as they are, so the same page again changes nothing.
    ///
    /// # Errors
    ///
    /// Refused by the gate (written to the audit), stale, a file that was not opened, or one whose
    /// length is not the one it was opened with. Then none of the page is committed.
    pub async fn commit_files(
        &self,
        (job, epoch): (JobId, Epoch),
        seals: &[PartSeal],
        gate: Gate<'_>,
        now_ms: i64,
    ) -> Result<(), JobError> {
        let mut tx = self.store.begin().await?;
        let record = fence(&mut tx, job, epoch, now_ms).await?;
        require_open_push(&record)?;
        if let Err(error) = permit(&mut tx, &record, gate.allowed).await {
            return Err(refused(tx, &record, error, now_ms).await);
        }
        let (mut files, mut bytes, mut list) = (0u64, 0u64, ListDigest::default());
        for seal in seals {
            if commit_file(&mut tx, &record, seal, now_ms).await? {
                files += 1;
                bytes = bytes.saturating_add(seal.length);
                list.push(seal.length, &seal.digest);
            }
        }
        if files > 0 {
            let detail = json!({
                "files": files,
                "bytes": bytes,
                "content": list.finish().to_string(),
            });
            let actor = Actor::Agent(record.agent.clone());
            let entry = about(&record, actor, AuditEvent::FilesCommitted).detail(detail);
            append(&mut tx, &entry, now_ms).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Ends a push with the files committed so far; files opened but not committed are given up. A
    /// push that has ended returns its result, in any epoch.
    ///
    /// # Errors
    ///
    /// Refused by the gate (written to the audit), stale, or files were committed meanwhile, which
    /// is worth another try.
    pub async fn finish_push(
        &self,
        (job, epoch): (JobId, Epoch),
        gate: Gate<'_>,
        now_ms: i64,
    ) -> Result<Committed, JobError> {
        // Committed files never change, so they are added up before the database is held.
        let mut snapshot = self.store.snapshot().await?;
        let known = load_job(&mut snapshot, job).await?.ok_or(JobError::Unknown { job })?;
        if let Some(done) = known.committed() {
            return Ok(done);
        }
        let content = content(&mut snapshot, job, "committed").await?;
        drop(snapshot);

        let mut tx = self.store.begin().await?;
        let known = load_job(&mut tx, job).await?.ok_or(JobError::Unknown { job })?;
        if let Some(done) = known.committed() {
            return Ok(done);
        }
        let record = fence(&mut tx, job, epoch, now_ms).await?;
        require_open_push(&record)?;
        if let Err(error) = permit(&mut tx, &record, gate.allowed).await {
            return Err(refused(tx, &record, error, now_ms).await);
        }
        let found = committed_files(&mut tx, job).await?;
        if found != u64::from(content.parts) {
            return Err(JobError::Incomplete { sealed: content.parts.into(), parts: found });
        }
        let receipt = receipt(&record, &content, None, now_ms);
        let signed = (gate.sign)(&receipt);
        finish(&mut tx, &record, &receipt, &signed).await?;
        tx.commit().await?;
        Ok(Committed { generation: None, wuid: record.wuid, receipt: signed })
    }
}

async fn committed_files(tx: &mut Connection, job: JobId) -> Result<u64, CatalogueError> {
    let row =
        query("SELECT COUNT(*) AS files FROM job_parts WHERE job = $1 AND state = 'committed'")
            .bind(job.0.to_vec())
            .fetch_one(tx)
            .await?;
    Fields::new("job_parts", &row).number("files")
}

/// Makes one file visible; `false` when it is already.
async fn commit_file(
    tx: &mut Connection,
    job: &JobRecord,
    seal: &PartSeal,
    now_ms: i64,
) -> Result<bool, JobError> {
    let row = query("SELECT * FROM job_parts WHERE job = $1 AND part = $2")
        .bind(job.job.0.to_vec())
        .bind(i64::from(seal.part.0))
        .fetch_optional(&mut *tx)
        .await?;
    let unknown = || JobError::PartUnknown { part: seal.part, parts: job.parts };
    let known = PartRecord::read(&row.ok_or_else(unknown)?)?;
    if known.length != Some(seal.length) {
        return Err(JobError::PartDiffers { part: seal.part });
    }
    if known.state == PartState::Committed {
        let same = known.digest == Some(seal.digest);
        return if same { Ok(false) } else { Err(JobError::PartDiffers { part: seal.part }) };
    }
    let path = known.path.ok_or_else(unknown)?;
    query(
        "UPDATE job_parts SET state = 'committed', digest = $3, crc32 = $4, records = $5, \
         tree = NULL WHERE job = $1 AND part = $2",
    )
    .bind(job.job.0.to_vec())
    .bind(i64::from(seal.part.0))
    .bind(seal.digest.0.to_vec())
    .bind(i64::from(seal.crc32))
    .bind(seal.records.map(big).transpose()?)
    .execute(&mut *tx)
    .await?;
    query(
        "INSERT INTO plane_files (plane, path, length, digest, crc32, modified_ns, committed_ms, \
         job, agent) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (plane, path) \
         DO UPDATE SET length = excluded.length, digest = excluded.digest, \
         crc32 = excluded.crc32, modified_ns = excluded.modified_ns, \
         committed_ms = excluded.committed_ms, job = excluded.job, agent = excluded.agent",
    )
    .bind(job.target.plane().as_str())
    .bind(path.as_str())
    .bind(big(seal.length)?)
    .bind(seal.digest.0.to_vec())
    .bind(i64::from(seal.crc32))
    .bind(known.modified_ns.unwrap_or(0))
    .bind(now_ms)
    .bind(job.job.0.to_vec())
    .bind(job.agent.as_str())
    .execute(&mut *tx)
    .await?;
    query("DELETE FROM discards WHERE plane = $1 AND path = $2")
        .bind(job.target.plane().as_str())
        .bind(path.as_str())
        .execute(tx)
        .await?;
    Ok(true)
}
