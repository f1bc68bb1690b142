//! The files of a push: opened page by page, each on its own.

mod finish;

use super::Catalogue;
use super::dialect::{Connection, query};
use super::discards::CLAIM_MS;
use super::error::{CatalogueError, JobError};
use super::fields::{Fields, big};
use super::jobs::fence;
use super::open::LEASE_MS;
use super::records::{JobRecord, PartRecord, PartState};
use skyspray_dfu::naming::pointed_names;
use skyspray_wire::ids::{Epoch, JobId, PartIndex};
use skyspray_wire::message::JobState;
use skyspray_wire::name::{PlaneName, PlanePath};
use skyspray_wire::refusal::{Refusal, RefusalCode};

/// A file a push is about to send.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NewFile {
    /// Where it goes, from the plane's root.
    pub path: PlanePath,
    /// Its length in bytes.
    pub length: u64,
    /// When it was last modified, in nanoseconds since 1970.
    pub modified_ns: i64,
}

/// How a file of a push stands when it is opened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FileStanding {
    /// Chunks are accepted.
    Open {
        /// What is durable of it, as recorded with the last progress.
        tree: Option<Vec<u8>>,
    },
    /// This job has committed it already.
    Committed,
    /// It cannot be written; the other files go on.
    Refused(Refusal),
}

impl Catalogue {
    /// Adds a page of files to a push, numbered from `first`, and says how each stands. The same
    /// page again changes nothing; a file whose length or time has changed begins anew.
    ///
    /// # Errors
    ///
    /// Stale, no push, or a number that stands for another path.
    pub async fn add_files(
        &self,
        (job, epoch): (JobId, Epoch),
        first: PartIndex,
        files: &[NewFile],
        now_ms: i64,
    ) -> Result<Vec<FileStanding>, JobError> {
        let mut tx = self.store.begin().await?;
        let record = fence(&mut tx, job, epoch, now_ms).await?;
        require_open_push(&record)?;
        let mut standings = Vec::with_capacity(files.len());
        let mut next = first.0;
        for file in files {
            let part = PartIndex(next);
            next = next.checked_add(1).ok_or(CatalogueError::TooLarge { value: 1 << 32 })?;
            standings.push(add_file(&mut tx, &record, part, file, now_ms).await?);
        }
        query("UPDATE jobs SET parts = $2 WHERE job = $1 AND parts < $2")
            .bind(job.0.to_vec())
            .bind(i64::from(next))
            .execute(&mut tx)
            .await?;
        tx.commit().await?;
        Ok(standings)
    }
}

fn require_open_push(record: &JobRecord) -> Result<(), JobError> {
    let job = record.job;
    match (record.logical(), record.state) {
        (Some(_), _) => Err(JobError::Kind { job }),
        (None, JobState::Open) => Ok(()),
        (None, state) => Err(JobError::State { job, state }),
    }
}

async fn add_file(
    tx: &mut Connection,
    job: &JobRecord,
    part: PartIndex,
    file: &NewFile,
    now_ms: i64,
) -> Result<FileStanding, JobError> {
    let path = file.path.to_string();
    let row = query("SELECT * FROM job_parts WHERE job = $1 AND part = $2")
        .bind(job.job.0.to_vec())
        .bind(i64::from(part.0))
        .fetch_optional(&mut *tx)
        .await?;
    if let Some(row) = row {
        let known = PartRecord::read(&row)?;
        if known.path.as_ref() != Some(&path) {
            return Err(JobError::PartDiffers { part });
        }
        let same = known.length == Some(file.length) && known.modified_ns == Some(file.modified_ns);
        if known.state == PartState::Committed && same {
            return Ok(FileStanding::Committed);
        }
        if known.state == PartState::Committed {
            let detail = format!("{path}: changed since this push sent it; push it again");
            let refusal = Refusal::new(RefusalCode::SourceChanged, detail);
            return Ok(FileStanding::Refused(refusal));
        }
        if same {
            return Ok(FileStanding::Open { tree: known.tree });
        }
    } else if let Some(refusal) = obstacle(tx, job, part, &path, now_ms).await? {
        return Ok(FileStanding::Refused(refusal));
    }
    query(
        "INSERT INTO job_parts (job, part, state, path, length, modified_ns) \
         VALUES ($1, $2, 'open', $3, $4, $5) ON CONFLICT (job, part) DO UPDATE SET \
         length = excluded.length, modified_ns = excluded.modified_ns, tree = NULL",
    )
    .bind(job.job.0.to_vec())
    .bind(i64::from(part.0))
    .bind(path)
    .bind(big(file.length)?)
    .bind(file.modified_ns)
    .execute(tx)
    .await?;
    Ok(FileStanding::Open { tree: None })
}

/// What keeps a file from being written, if anything does.
///
/// A file that nothing in the catalogue names may still stand there; only the plane knows.
async fn obstacle(
    tx: &mut Connection,
    job: &JobRecord,
    part: PartIndex,
    path: &str,
    now_ms: i64,
) -> Result<Option<Refusal>, CatalogueError> {
    let row = query(
        "SELECT \
         (SELECT COUNT(*) FROM plane_files WHERE plane = $1 AND path = $2) AS stored, \
         (SELECT COUNT(*) FROM generation_parts WHERE plane = $1 AND path = $2) AS part_of, \
         (SELECT COUNT(*) FROM discards WHERE plane = $1 AND path = $2 AND claimed_ms > $6) \
         + (SELECT COUNT(*) FROM part_copies WHERE plane = $1 AND path = $2) AS claimed, \
         (SELECT COUNT(*) FROM job_parts p WHERE p.path = $2 AND p.path IS NOT NULL \
         AND p.state <> 'committed' AND p.job = $3 AND p.part <> $4) AS twice, \
         (SELECT COUNT(*) FROM job_parts p JOIN jobs j ON j.job = p.job WHERE p.path = $2 \
         AND p.path IS NOT NULL AND p.state <> 'committed' AND j.plane = $1 AND j.job <> $3 \
         AND (j.state = 'sealed' OR (j.state = 'open' AND j.agent <> $5 AND j.touched_ms > $7))) \
         AS others",
    )
    .bind(job.target.plane().as_str())
    .bind(path)
    .bind(job.job.0.to_vec())
    .bind(i64::from(part.0))
    .bind(job.agent.as_str())
    .bind(now_ms.saturating_sub(CLAIM_MS))
    .bind(now_ms.saturating_sub(LEASE_MS))
    .fetch_one(&mut *tx)
    .await?;
    let fields = Fields::new("job_parts", &row);
    let points = is_pointer(tx, job.target.plane(), path).await?;
    let refuse = |code, detail: &str| Ok(Some(Refusal::new(code, format!("{path}: {detail}"))));
    if fields.int("part_of")? > 0 {
        return refuse(RefusalCode::PathBlocked, "a part of a logical file is there");
    }
    if points {
        return refuse(RefusalCode::PathBlocked, "the pointer of a logical file is there");
    }
    if fields.int("twice")? > 0 {
        return refuse(RefusalCode::NameInvalid, "named twice in this push");
    }
    if fields.int("stored")? > 0 && !job.overwrite {
        return Ok(Some(Refusal::new(RefusalCode::Exists, path)));
    }
    if fields.int("others")? > 0 {
        return Ok(Some(Refusal::new(RefusalCode::TargetLeased, path)));
    }
    if fields.int("claimed")? > 0 {
        return refuse(RefusalCode::Busy, "what was there is being deleted or copied");
    }
    Ok(None)
}

/// Whether the pointer of a logical file stands at `path`, or may.
async fn is_pointer(
    tx: &mut Connection,
    plane: &PlaneName,
    path: &str,
) -> Result<bool, CatalogueError> {
    for name in pointed_names(path) {
        let row =
            query("SELECT 1 FROM logical_files WHERE plane = $1 AND name = $2 AND pointer > 0")
                .bind(plane.as_str())
                .bind(name.as_str())
                .fetch_optional(&mut *tx)
                .await?;
        if row.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}
