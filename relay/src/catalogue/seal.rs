//! Sealing the parts of a spray, and the spray itself.

use super::Catalogue;
use super::audit::{AuditEvent, append};
use super::commit::{Allowed, permit, refused};
use super::dialect::{Connection, query};
use super::discards::CLAIM_MS;
use super::error::{CatalogueError, JobError};
use super::fields::{Fields, big};
use super::jobs::{about, fence};
use super::origins::check_ends;
use super::records::{JobRecord, PartRecord, PartState, attributes_text};
use skyspray_dfu::naming::pointer_path;
use skyspray_wire::ids::{Epoch, JobId};
use skyspray_wire::message::{JobState, PartSeal, merge_attributes};
use skyspray_wire::name::{LogicalName, PlaneName};
use std::num::NonZeroU32;

/// A part whose stored digests were found equal to the sender's.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SealedPart {
    /// The sender's statement.
    pub seal: PartSeal,
    /// Where the part will be stored, from the plane's root, with `/` between segments.
    pub path: String,
}

impl Catalogue {
    /// Records the digests and places of a page of a spray's parts. The same page again changes
    /// nothing.
    ///
    /// # Errors
    ///
    /// Stale, no such part, sealed before with other content, or its place belongs to another file.
    pub async fn seal_parts(
        &self,
        job: JobId,
        epoch: Epoch,
        parts: &[SealedPart],
        now_ms: i64,
    ) -> Result<(), JobError> {
        let mut tx = self.store.begin().await?;
        let record = fence(&mut tx, job, epoch, now_ms).await?;
        let target = record.logical().ok_or(JobError::Kind { job })?;
        if record.layout.kept.is_some() {
            let devices = NonZeroU32::new(record.layout.devices).unwrap_or(NonZeroU32::MIN);
            check_place(&mut tx, target, &pointer_path(target.1, devices).join("/")).await?;
        }
        for part in parts {
            if part.seal.part.0 >= record.parts {
                return Err(JobError::PartUnknown { part: part.seal.part, parts: record.parts });
            }
            if sealed_before(&mut tx, &record, part).await? {
                continue;
            }
            if record.state != JobState::Open {
                return Err(JobError::State { job, state: record.state });
            }
            check_place(&mut tx, target, &part.path).await?;
            write_seal(&mut tx, job, part).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Turns an open spray whose parts are all sealed into a sealed one, if the agent may still
    /// commit it, and adds `late` to its attributes. From here on it is only ever finished, and its
    /// parts may take their places on the plane. Sealing it again changes nothing.
    ///
    /// # Errors
    ///
    /// Refused (written to the audit; the job stays open), stale, parts missing, too many attributes,
    /// origins beyond their parts, or what stood at a part's place is being deleted at this moment.
    pub async fn mark_sealed(
        &self,
        (job, epoch): (JobId, Epoch),
        late: &[(String, String)],
        allowed: Allowed<'_>,
        now_ms: i64,
    ) -> Result<(), JobError> {
        let mut tx = self.store.begin().await?;
        let record = fence(&mut tx, job, epoch, now_ms).await?;
        if record.state == JobState::Sealed {
            return Ok(());
        }
        if let Err(error) = permit(&mut tx, &record, allowed).await {
            return Err(refused(tx, &record, error, now_ms).await);
        }
        seal(&mut tx, &record, late, now_ms).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Seals an open job whose parts are all sealed, within a transaction.
pub(super) async fn seal(
    tx: &mut Connection,
    record: &JobRecord,
    late: &[(String, String)],
    now_ms: i64,
) -> Result<(), JobError> {
    let job = record.job;
    let (plane, _) = record.logical().ok_or(JobError::Kind { job })?;
    let row = query("SELECT COUNT(*) AS sealed FROM job_parts WHERE job = $1 AND state = 'sealed'")
        .bind(job.0.to_vec())
        .fetch_one(&mut *tx)
        .await?;
    let sealed: u64 = Fields::new("job_parts", &row).number("sealed")?;
    let parts = u64::from(record.parts);
    if sealed != parts {
        return Err(JobError::Incomplete { sealed, parts });
    }
    check_ends(tx, job).await?;
    let attributes = merge_attributes(record.attributes.clone(), late)?;
    keep_places(tx, plane, job, now_ms).await?;
    query("UPDATE jobs SET state = 'sealed', attributes = $2 WHERE job = $1")
        .bind(job.0.to_vec())
        .bind(attributes_text(&attributes))
        .execute(&mut *tx)
        .await?;
    let entry = about(record, record.actor(), AuditEvent::JobSealed);
    Ok(append(tx, &entry, now_ms).await?)
}

/// Whether the part was sealed with just this content.
async fn sealed_before(
    tx: &mut Connection,
    job: &JobRecord,
    part: &SealedPart,
) -> Result<bool, JobError> {
    let row = query("SELECT * FROM job_parts WHERE job = $1 AND part = $2")
        .bind(job.job.0.to_vec())
        .bind(i64::from(part.seal.part.0))
        .fetch_optional(&mut *tx)
        .await?;
    let Some(row) = row else { return Ok(false) };
    let known = PartRecord::read(&row)?;
    if known.state == PartState::Open {
        return Ok(false);
    }
    let same = known.digest == Some(part.seal.digest)
        && known.length == Some(part.seal.length)
        && known.path.as_ref() == Some(&part.path)
        && (known.header, known.footer) == (part.seal.header, part.seal.footer);
    if same { Ok(true) } else { Err(JobError::PartDiffers { part: part.seal.part }) }
}

/// That no pushed file and no part of another logical file is at `path`.
async fn check_place(
    tx: &mut Connection,
    (plane, name): (&PlaneName, &LogicalName),
    path: &str,
) -> Result<(), JobError> {
    let row = query(
        "SELECT (SELECT COUNT(*) FROM plane_files WHERE plane = $1 AND path = $2) + \
         (SELECT COUNT(*) FROM generation_parts WHERE plane = $1 AND path = $2 AND name <> $3) \
         AS others",
    )
    .bind(plane.as_str())
    .bind(path)
    .bind(name.as_str())
    .fetch_one(tx)
    .await?;
    if Fields::new("generation_parts", &row).int("others")? > 0 {
        return Err(JobError::PathTaken { path: path.to_owned() });
    }
    Ok(())
}

async fn write_seal(
    tx: &mut Connection,
    job: JobId,
    part: &SealedPart,
) -> Result<(), CatalogueError> {
    let seal = &part.seal;
    query(
        "INSERT INTO job_parts (job, part, state, path, length, digest, crc32, records, header, \
         footer) VALUES ($1, $2, 'sealed', $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (job, part) \
         DO UPDATE SET state = excluded.state, path = excluded.path, length = excluded.length, \
         digest = excluded.digest, crc32 = excluded.crc32, records = excluded.records, \
         header = excluded.header, footer = excluded.footer",
    )
    .bind(job.0.to_vec())
    .bind(i64::from(seal.part.0))
    .bind(part.path.as_str())
    .bind(big(seal.length)?)
    .bind(seal.digest.0.to_vec())
    .bind(i64::from(seal.crc32))
    .bind(seal.records.map(big).transpose()?)
    .bind(i64::from(seal.header))
    .bind(i64::from(seal.footer))
    .execute(tx)
    .await?;
    Ok(())
}

/// Makes sure that nobody deletes what this job is about to put at its parts' places, and that no
/// copy is made of what it replaces there.
///
/// Whoever set out to delete there and has not said it is done after [`CLAIM_MS`] is taken for
/// dead.
async fn keep_places(
    tx: &mut Connection,
    plane: &PlaneName,
    job: JobId,
    now_ms: i64,
) -> Result<(), JobError> {
    let row = query(
        "SELECT path FROM discards WHERE plane = $1 AND claimed_ms > $3 \
         AND path IN (SELECT path FROM job_parts WHERE job = $2) LIMIT 1",
    )
    .bind(plane.as_str())
    .bind(job.0.to_vec())
    .bind(now_ms.saturating_sub(CLAIM_MS))
    .fetch_optional(&mut *tx)
    .await?;
    if let Some(row) = row {
        return Err(JobError::PathBusy { path: Fields::new("discards", &row).text("path")? });
    }
    let row = query(
        "SELECT path FROM part_copies WHERE plane = $1 AND job <> $2 \
         AND path IN (SELECT path FROM job_parts WHERE job = $2) LIMIT 1",
    )
    .bind(plane.as_str())
    .bind(job.0.to_vec())
    .fetch_optional(&mut *tx)
    .await?;
    if let Some(row) = row {
        return Err(JobError::PathBusy { path: Fields::new("part_copies", &row).text("path")? });
    }
    query(
        "UPDATE discards SET claimed_ms = NULL WHERE plane = $1 AND claimed_ms IS NOT NULL \
         AND path IN (SELECT path FROM job_parts WHERE job = $2)",
    )
    .bind(plane.as_str())
    .bind(job.0.to_vec())
    .execute(tx)
    .await?;
    Ok(())
}
