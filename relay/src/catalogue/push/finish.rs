//! Making the files of a push visible, and ending the push.

use super::super::Catalogue;
use super::super::audit::{Actor, AuditEvent, append};
use super::super::commit::{Gate, content, finish, permit, receipt, refused};
use super::super::dialect::{Connection, bulk, query};
use super::super::error::{CatalogueError, JobError};
use super::super::fields::{Fields, big};
use super::super::jobs::{about, fence, load_job};
use super::super::records::{JobRecord, PartRecord, PartState};
use super::require_open_push;
use serde_json::json;
use skyspray_wire::ids::{Epoch, JobId, PartIndex};
use skyspray_wire::message::{Committed, PartSeal};
use skyspray_wire::receipt::ListDigest;
use std::collections::BTreeMap;

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
        let fresh = uncommitted(&mut tx, &record, seals).await?;
        for (seal, _) in &fresh {
            files += 1;
            bytes = bytes.saturating_add(seal.length);
            list.push(seal.length, &seal.digest);
        }
        commit_page(&mut tx, &record, &fresh, now_ms).await?;
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

/// A file to be made visible: where it is, and when it was last modified.
type Opened = (String, i64);

/// Those of the sealed files that are not visible yet, as they were opened.
async fn uncommitted<'a>(
    tx: &mut Connection,
    job: &JobRecord,
    seals: &'a [PartSeal],
) -> Result<Vec<(&'a PartSeal, Opened)>, JobError> {
    let numbers = seals.iter().map(|seal| [i64::from(seal.part.0).into()]).collect();
    let rows = bulk("SELECT * FROM job_parts WHERE job = $1 AND part IN (VALUES {rows})", numbers)
        .bind(job.job.0.to_vec())
        .fetch_all(tx)
        .await?;
    let known = rows.iter().map(PartRecord::read).map(|part| part.map(|part| (part.part, part)));
    let mut known = known.collect::<Result<BTreeMap<PartIndex, PartRecord>, _>>()?;
    let mut fresh = Vec::with_capacity(seals.len());
    for seal in seals {
        let unknown = || JobError::PartUnknown { part: seal.part, parts: job.parts };
        let known = known.remove(&seal.part).ok_or_else(unknown)?;
        if known.length != Some(seal.length) {
            return Err(JobError::PartDiffers { part: seal.part });
        }
        if known.state != PartState::Committed {
            let path = known.path.ok_or_else(unknown)?;
            fresh.push((seal, (path, known.modified_ns.unwrap_or(0))));
        } else if known.digest != Some(seal.digest) {
            return Err(JobError::PartDiffers { part: seal.part });
        }
    }
    Ok(fresh)
}

/// Makes files visible.
async fn commit_page(
    tx: &mut Connection,
    job: &JobRecord,
    files: &[(&PartSeal, Opened)],
    now_ms: i64,
) -> Result<(), CatalogueError> {
    let sealed = |(seal, _): &(&PartSeal, Opened)| {
        let (part, digest, crc32) = (seal.part.0, seal.digest.0.to_vec(), seal.crc32);
        let records = seal.records.map(big).transpose()?;
        Ok([i64::from(part).into(), digest.into(), i64::from(crc32).into(), records.into()])
    };
    // Every row is there: what is inserted is only what its update takes.
    bulk(
        "WITH f (part, digest, crc32, records) AS (VALUES {rows}) \
         INSERT INTO job_parts (job, part, state, digest, crc32, records) \
         SELECT $1, f.part, 'committed', f.digest, f.crc32, f.records FROM f WHERE TRUE \
         ON CONFLICT (job, part) DO UPDATE SET state = 'committed', digest = excluded.digest, \
         crc32 = excluded.crc32, records = excluded.records, tree = NULL",
        files.iter().map(sealed).collect::<Result<Vec<_>, CatalogueError>>()?,
    )
    .bind(job.job.0.to_vec())
    .execute(&mut *tx)
    .await?;
    let stored = |(seal, (path, modified_ns)): &(&PartSeal, Opened)| {
        let (length, digest, crc32) = (big(seal.length)?, seal.digest.0.to_vec(), seal.crc32);
        let (path, crc32) = (path.into(), i64::from(crc32).into());
        Ok([path, length.into(), digest.into(), crc32, (*modified_ns).into()])
    };
    bulk(
        "WITH f (path, length, digest, crc32, modified_ns) AS (VALUES {rows}) \
         INSERT INTO plane_files (plane, path, length, digest, crc32, modified_ns, committed_ms, \
         job, agent) SELECT $1, f.path, f.length, f.digest, f.crc32, f.modified_ns, $2, $3, $4 \
         FROM f WHERE TRUE ON CONFLICT (plane, path) \
         DO UPDATE SET length = excluded.length, digest = excluded.digest, \
         crc32 = excluded.crc32, modified_ns = excluded.modified_ns, \
         committed_ms = excluded.committed_ms, job = excluded.job, agent = excluded.agent",
        files.iter().map(stored).collect::<Result<Vec<_>, CatalogueError>>()?,
    )
    .bind(job.target.plane().as_str())
    .bind(now_ms)
    .bind(job.job.0.to_vec())
    .bind(job.agent.as_str())
    .execute(&mut *tx)
    .await?;
    bulk(
        "DELETE FROM discards WHERE plane = $1 AND path IN (VALUES {rows})",
        files.iter().map(|(_, (path, _))| [path.into()]).collect(),
    )
    .bind(job.target.plane().as_str())
    .execute(tx)
    .await?;
    Ok(())
}
