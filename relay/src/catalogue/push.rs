//! The files of a push: opened page by page, each on its own.

mod finish;

use super::Catalogue;
use super::dialect::{Connection, Row, bulk, query};
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
use std::collections::{BTreeMap, HashSet};

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
        let end = u32::try_from(files.len()).ok().and_then(|count| first.0.checked_add(count));
        let end = end.ok_or(CatalogueError::TooLarge { value: 1 << 32 })?;
        let page: Vec<Numbered> = (first.0..).map(PartIndex).zip(files).map(Numbered::of).collect();
        let (standings, fresh) = stand(&mut tx, &record, &page, now_ms).await?;
        insert(&mut tx, job, &fresh).await?;
        query("UPDATE jobs SET parts = $2 WHERE job = $1 AND parts < $2")
            .bind(job.0.to_vec())
            .bind(i64::from(end))
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

/// A file of a page, with its number in the job.
struct Numbered {
    part: PartIndex,
    path: String,
    length: u64,
    modified_ns: i64,
}

impl Numbered {
    fn of((part, file): (PartIndex, &NewFile)) -> Self {
        let NewFile { path, length, modified_ns } = file;
        Self { part, path: path.to_string(), length: *length, modified_ns: *modified_ns }
    }
}

/// How each file of a page stands, and those of them that are to be written down.
async fn stand<'a>(
    tx: &mut Connection,
    job: &JobRecord,
    page: &'a [Numbered],
    now_ms: i64,
) -> Result<(Vec<FileStanding>, Vec<&'a Numbered>), JobError> {
    let mut known = known_parts(tx, job.job, page).await?;
    let unknown = page.iter().filter(|file| !known.contains_key(&file.part)).collect();
    let obstacles = obstacles(tx, job, unknown, now_ms).await?;
    let (mut standings, mut fresh) = (Vec::with_capacity(page.len()), Vec::new());
    // A path may stand on the page twice before the catalogue knows of it.
    let mut named = HashSet::new();
    for file in page {
        let standing = match known.remove(&file.part) {
            Some(known) => stand_again(&known, file)?,
            None => {
                let mut obstacle = obstacles.get(&file.part).copied().unwrap_or_default();
                obstacle.points = is_pointer(tx, job.target.plane(), &file.path).await?;
                obstacle.twice |= named.contains(file.path.as_str());
                match obstacle.refusal(job, &file.path) {
                    Some(refusal) => FileStanding::Refused(refusal),
                    None => FileStanding::Open { tree: None },
                }
            }
        };
        if standing == (FileStanding::Open { tree: None }) {
            named.insert(file.path.as_str());
            fresh.push(file);
        }
        standings.push(standing);
    }
    Ok((standings, fresh))
}

/// What the catalogue holds of the numbers of a page.
async fn known_parts(
    tx: &mut Connection,
    job: JobId,
    page: &[Numbered],
) -> Result<BTreeMap<PartIndex, PartRecord>, CatalogueError> {
    let (Some(first), Some(last)) = (page.first(), page.last()) else { return Ok(BTreeMap::new()) };
    let rows = query("SELECT * FROM job_parts WHERE job = $1 AND part >= $2 AND part <= $3")
        .bind(job.0.to_vec())
        .bind(i64::from(first.part.0))
        .bind(i64::from(last.part.0))
        .fetch_all(tx)
        .await?;
    rows.iter().map(PartRecord::read).map(|part| part.map(|part| (part.part, part))).collect()
}

/// How a file stands whose number the job has given out before.
fn stand_again(known: &PartRecord, file: &Numbered) -> Result<FileStanding, JobError> {
    if known.path.as_ref() != Some(&file.path) {
        return Err(JobError::PartDiffers { part: file.part });
    }
    let same = known.length == Some(file.length) && known.modified_ns == Some(file.modified_ns);
    Ok(match (known.state, same) {
        (PartState::Committed, true) => FileStanding::Committed,
        (PartState::Committed, false) => {
            let detail = format!("{}: changed since this push sent it; push it again", file.path);
            FileStanding::Refused(Refusal::new(RefusalCode::SourceChanged, detail))
        }
        (_, true) => FileStanding::Open { tree: known.tree.clone() },
        (_, false) => FileStanding::Open { tree: None },
    })
}

/// Writes files down that begin anew.
async fn insert(
    tx: &mut Connection,
    job: JobId,
    files: &[&Numbered],
) -> Result<(), CatalogueError> {
    let row = |file: &&Numbered| {
        let part = i64::from(file.part.0);
        Ok([part.into(), (&file.path).into(), big(file.length)?.into(), file.modified_ns.into()])
    };
    let rows = files.iter().map(row).collect::<Result<Vec<_>, CatalogueError>>()?;
    bulk(
        "WITH f (part, path, length, modified_ns) AS (VALUES {rows}) \
         INSERT INTO job_parts (job, part, state, path, length, modified_ns) \
         SELECT $1, f.part, 'open', f.path, f.length, f.modified_ns FROM f WHERE TRUE \
         ON CONFLICT (job, part) DO UPDATE SET length = excluded.length, \
         modified_ns = excluded.modified_ns, tree = NULL",
        rows,
    )
    .bind(job.0.to_vec())
    .execute(tx)
    .await?;
    Ok(())
}

/// What is in the way of a file.
#[derive(Clone, Copy, Debug, Default)]
struct Obstacle {
    stored: bool,
    part_of: bool,
    points: bool,
    claimed: bool,
    twice: bool,
    others: bool,
}

impl Obstacle {
    /// Why the file cannot be written, if anything keeps it from that.
    fn refusal(self, job: &JobRecord, path: &str) -> Option<Refusal> {
        let detailed = |code, detail: &str| Some(Refusal::new(code, format!("{path}: {detail}")));
        if self.part_of {
            detailed(RefusalCode::PathBlocked, "a part of a logical file is there")
        } else if self.points {
            detailed(RefusalCode::PathBlocked, "the pointer of a logical file is there")
        } else if self.twice {
            detailed(RefusalCode::NameInvalid, "named twice in this push")
        } else if self.stored && !job.overwrite {
            Some(Refusal::new(RefusalCode::Exists, path))
        } else if self.others {
            Some(Refusal::new(RefusalCode::TargetLeased, path))
        } else if self.claimed {
            detailed(RefusalCode::Busy, "what was there is being deleted or copied")
        } else {
            None
        }
    }
}

/// What the catalogue knows to be in the way of files, by their numbers; those in whose way nothing
/// is are left out.
///
/// A file that nothing in the catalogue names may still stand there; only the plane knows.
async fn obstacles(
    tx: &mut Connection,
    job: &JobRecord,
    files: Vec<&Numbered>,
    now_ms: i64,
) -> Result<BTreeMap<PartIndex, Obstacle>, CatalogueError> {
    let row = |file: &Numbered| [i64::from(file.part.0).into(), (&file.path).into()];
    let rows = bulk(
        "WITH f (part, path) AS (VALUES {rows}) SELECT * FROM (SELECT f.part AS part, \
         (SELECT COUNT(*) FROM plane_files x WHERE x.plane = $1 AND x.path = f.path) AS stored, \
         (SELECT COUNT(*) FROM generation_parts x WHERE x.plane = $1 AND x.path = f.path) \
         AS part_of, \
         (SELECT COUNT(*) FROM discards x WHERE x.plane = $1 AND x.path = f.path \
         AND x.claimed_ms > $4) \
         + (SELECT COUNT(*) FROM part_copies x WHERE x.plane = $1 AND x.path = f.path) AS claimed, \
         (SELECT COUNT(*) FROM job_parts p WHERE p.path = f.path AND p.path IS NOT NULL \
         AND p.state <> 'committed' AND p.job = $2 AND p.part <> f.part) AS twice, \
         (SELECT COUNT(*) FROM job_parts p JOIN jobs j ON j.job = p.job WHERE p.path = f.path \
         AND p.path IS NOT NULL AND p.state <> 'committed' AND j.plane = $1 AND j.job <> $2 \
         AND (j.state = 'sealed' OR (j.state = 'open' AND j.agent <> $3 AND j.touched_ms > $5))) \
         AS others FROM f) AS o WHERE stored + part_of + claimed + twice + others > 0",
        files.into_iter().map(row).collect(),
    )
    .bind(job.target.plane().as_str())
    .bind(job.job.0.to_vec())
    .bind(job.agent.as_str())
    .bind(now_ms.saturating_sub(CLAIM_MS))
    .bind(now_ms.saturating_sub(LEASE_MS))
    .fetch_all(tx)
    .await?;
    let read = |row: &Row| {
        let fields = Fields::new("job_parts", row);
        let any = |column| Ok::<_, CatalogueError>(fields.int(column)? > 0);
        let obstacle = Obstacle {
            stored: any("stored")?,
            part_of: any("part_of")?,
            points: false,
            claimed: any("claimed")?,
            twice: any("twice")?,
            others: any("others")?,
        };
        Ok((PartIndex(fields.number("part")?), obstacle))
    };
    rows.iter().map(read).collect()
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
