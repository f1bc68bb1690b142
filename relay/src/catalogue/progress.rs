//! Recording what is durable, in groups.

use super::Catalogue;
use super::dialect::{Connection, bulk, query};
use super::error::CatalogueError;
use super::fields::big;
use super::uploads;
use crate::plane::PieceId;
use skyspray_wire::ids::{Epoch, JobId, PartIndex};
use std::collections::{BTreeMap, HashSet};

/// What has become durable of one part.
#[derive(Clone, Debug)]
pub struct Progress {
    /// The job.
    pub job: JobId,
    /// The lease under which it was written.
    pub epoch: Epoch,
    /// The part.
    pub part: PartIndex,
    /// All that is durable of the part, encoded by the caller; takes the place of what was recorded.
    pub tree: Vec<u8>,
    /// Bytes that are durable of the whole job with this. Not what is new: the same progress recorded
    /// twice, because nobody knows whether the first time counted, says the same.
    pub job_bytes: u64,
    /// The pieces that are new in it, on planes whose parts are uploads.
    pub pieces: Vec<(u32, PieceId)>,
}

impl Catalogue {
    /// Records progress of many parts of many jobs in one transaction, and returns those leases
    /// whose items were left out: taken over, no longer open, or unknown.
    ///
    /// # Errors
    ///
    /// The catalogue failed and nothing may be acknowledged. The same items may be recorded again.
    pub async fn record_progress(
        &self,
        items: &[Progress],
        now_ms: i64,
    ) -> Result<Vec<(JobId, Epoch)>, CatalogueError> {
        let mut bytes = BTreeMap::new();
        for item in items {
            let most: &mut u64 = bytes.entry((item.job, item.epoch)).or_default();
            *most = item.job_bytes.max(*most);
        }
        // Every row of a job's parts hangs on the job's own row, which `touch` has locked in the
        // state and epoch named: whatever seals or gives up the job waits for this or came before.
        let mut tx = self.store.begin_guarded().await?;
        let stale = touch(&mut tx, &bytes, now_ms).await?;
        let left_out: HashSet<_> = stale.iter().copied().collect();
        let counted = || items.iter().filter(|item| !left_out.contains(&(item.job, item.epoch)));
        // Of a part recorded twice the later item counts.
        let mut trees: BTreeMap<JobId, BTreeMap<PartIndex, &[u8]>> = BTreeMap::new();
        for item in counted() {
            trees.entry(item.job).or_default().insert(item.part, &item.tree);
        }
        for (job, parts) in trees {
            record_trees(&mut tx, job, parts).await?;
        }
        for item in counted().filter(|item| !item.pieces.is_empty()) {
            uploads::record_pieces(&mut tx, (item.job, item.part), &item.pieces).await?;
        }
        tx.commit().await?;
        Ok(stale)
    }

    /// Records a sign of life of jobs whose edges are connected but have nothing durable to show,
    /// and returns the leases that are lost.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn touch_jobs(
        &self,
        leases: &[(JobId, Epoch)],
        now_ms: i64,
    ) -> Result<Vec<(JobId, Epoch)>, CatalogueError> {
        let mut tx = self.store.begin_guarded().await?;
        let leases = leases.iter().map(|&lease| (lease, 0)).collect();
        let stale = touch(&mut tx, &leases, now_ms).await?;
        tx.commit().await?;
        Ok(stale)
    }
}

async fn record_trees(
    tx: &mut Connection,
    job: JobId,
    parts: BTreeMap<PartIndex, &[u8]>,
) -> Result<(), CatalogueError> {
    let row = |(part, tree): (PartIndex, &[u8])| [i64::from(part.0).into(), tree.into()];
    bulk(
        "WITH f (part, tree) AS (VALUES {rows}) INSERT INTO job_parts (job, part, state, tree) \
         SELECT $1, f.part, 'open', f.tree FROM f WHERE TRUE \
         ON CONFLICT (job, part) DO UPDATE SET tree = excluded.tree \
         WHERE job_parts.state = 'open'",
        parts.into_iter().map(row).collect(),
    )
    .bind(job.0.to_vec())
    .execute(tx)
    .await?;
    Ok(())
}

/// Notes bytes of open jobs, in the order of their ids so that two transactions never wait for each
/// other, and returns those that are not open in the epoch named.
async fn touch(
    tx: &mut Connection,
    leases: &BTreeMap<(JobId, Epoch), u64>,
    now_ms: i64,
) -> Result<Vec<(JobId, Epoch)>, CatalogueError> {
    let mut stale = Vec::new();
    for (&(job, epoch), &bytes) in leases {
        let touched = query(
            "UPDATE jobs SET bytes_durable = CASE WHEN bytes_durable < $3 THEN $3 \
             ELSE bytes_durable END, touched_ms = $4 \
             WHERE job = $1 AND epoch = $2 AND state = 'open'",
        )
        .bind(job.0.to_vec())
        .bind(big(epoch.0)?)
        .bind(big(bytes)?)
        .bind(now_ms)
        .execute(&mut *tx)
        .await?;
        if touched.rows_affected() == 0 {
            stale.push((job, epoch));
        }
    }
    Ok(stale)
}
