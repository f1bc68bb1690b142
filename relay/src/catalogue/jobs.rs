//! Jobs as a whole: looking them up, taking them over, giving them up, forgetting what they left.

use super::audit::{Actor, AuditEntry, AuditEvent, append};
use super::dialect::{Connection, query};
use super::error::{CatalogueError, JobError};
use super::fields::{Fields, big};
use super::records::{JobKey, JobRecord, PartRecord};
use super::{Catalogue, copies, origins, page, uploads};
use serde_json::json;
use skyspray_wire::ids::{Epoch, JobId, PartIndex};
use skyspray_wire::message::JobState;
use skyspray_wire::name::{AgentName, PlaneName};

/// Which jobs are listed; what is `None` does not matter.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    /// In this state.
    pub state: Option<JobState>,
    /// Of this agent.
    pub agent: Option<AgentName>,
    /// On this plane.
    pub plane: Option<PlaneName>,
}

impl Catalogue {
    /// One job.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn job(&self, key: &JobKey) -> Result<Option<JobRecord>, CatalogueError> {
        let query = match key {
            JobKey::Id(job) => query("SELECT * FROM jobs WHERE job = $1").bind(job.0.to_vec()),
            JobKey::Wuid(wuid) => query("SELECT * FROM jobs WHERE wuid = $1").bind(wuid.as_str()),
        };
        let row = query.fetch_optional(self.store.readers()).await?;
        row.as_ref().map(JobRecord::read).transpose()
    }

    /// Jobs opened before the one numbered `before`, newest first.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn jobs(
        &self,
        filter: &JobFilter,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<JobRecord>, CatalogueError> {
        let rows = query(
            "SELECT * FROM jobs WHERE number < $1 AND ($2 IS NULL OR state = $2) \
             AND ($3 IS NULL OR agent = $3) AND ($4 IS NULL OR plane = $4) \
             ORDER BY number DESC LIMIT $5",
        )
        .bind(before.map_or(Ok(i64::MAX), big)?)
        .bind(filter.state.map(JobState::as_str))
        .bind(filter.agent.as_ref().map(AgentName::as_str))
        .bind(filter.plane.as_ref().map(PlaneName::as_str))
        .bind(page(limit))
        .fetch_all(self.store.readers())
        .await?;
        rows.iter().map(JobRecord::read).collect()
    }

    /// Sealed jobs, the longest untouched first: after a crash these are to be finished.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn sealed_jobs(&self, limit: u32) -> Result<Vec<JobRecord>, CatalogueError> {
        self.untouched(JobState::Sealed, i64::MAX, limit).await
    }

    /// Open jobs without a sign of life since `before_ms`, the longest untouched first.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn open_jobs_older_than(
        &self,
        before_ms: i64,
        limit: u32,
    ) -> Result<Vec<JobRecord>, CatalogueError> {
        self.untouched(JobState::Open, before_ms, limit).await
    }

    async fn untouched(
        &self,
        state: JobState,
        before_ms: i64,
        limit: u32,
    ) -> Result<Vec<JobRecord>, CatalogueError> {
        let rows = query(
            "SELECT * FROM jobs WHERE state = $1 AND touched_ms < $2 ORDER BY touched_ms LIMIT $3",
        )
        .bind(state.as_str())
        .bind(before_ms)
        .bind(page(limit))
        .fetch_all(self.store.readers())
        .await?;
        rows.iter().map(JobRecord::read).collect()
    }

    /// Parts of a job after `after`, in part order. A spray's part that nothing is known of has
    /// no record.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn job_parts(
        &self,
        job: JobId,
        after: Option<PartIndex>,
        limit: u32,
    ) -> Result<Vec<PartRecord>, CatalogueError> {
        let rows =
            query("SELECT * FROM job_parts WHERE job = $1 AND part > $2 ORDER BY part LIMIT $3")
                .bind(job.0.to_vec())
                .bind(after.map_or(-1, |part| i64::from(part.0)))
                .bind(page(limit))
                .fetch_all(self.store.readers())
                .await?;
        rows.iter().map(PartRecord::read).collect()
    }

    /// Whether what `job` has staged may still be needed.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn is_live(&self, job: JobId) -> Result<bool, CatalogueError> {
        let record = self.job(&JobKey::Id(job)).await?;
        Ok(record.is_some_and(|job| matches!(job.state, JobState::Open | JobState::Sealed)))
    }

    /// Takes an open or sealed job over to finish it without its edge: earlier holders are fenced.
    ///
    /// # Errors
    ///
    /// Unknown, committed or aborted.
    pub async fn take_over(&self, job: JobId, now_ms: i64) -> Result<JobRecord, JobError> {
        let mut tx = self.store.begin().await?;
        bump(&mut tx, job, now_ms).await?;
        let record = load_job(&mut tx, job).await?.ok_or(JobError::Unknown { job })?;
        if !matches!(record.state, JobState::Open | JobState::Sealed) {
            return Err(JobError::fenced(&record, record.epoch));
        }
        let entry = about(&record, Actor::Relay, AuditEvent::JobOpened);
        append(&mut tx, &entry.detail(json!({ "epoch": record.epoch.0 })), now_ms).await?;
        tx.commit().await?;
        Ok(record)
    }

    /// Gives a job up that is not sealed: nothing of it becomes visible. Giving it up again changes
    /// nothing.
    ///
    /// An agent may only give up its own jobs. `epoch` is `None` for whoever need not hold the lease.
    ///
    /// # Errors
    ///
    /// Unknown (also when it is another agent's), stale, committed, or sealed.
    pub async fn abort(
        &self,
        job: JobId,
        epoch: Option<Epoch>,
        actor: &Actor,
        now_ms: i64,
    ) -> Result<(), JobError> {
        let mut tx = self.store.begin().await?;
        let record = load_job(&mut tx, job).await?.ok_or(JobError::Unknown { job })?;
        let by_agent = matches!(actor, Actor::Agent(_));
        if by_agent && *actor != Actor::Agent(record.agent.clone()) {
            return Err(JobError::Unknown { job });
        }
        match record.state {
            JobState::Aborted => return Ok(()),
            JobState::Open => {}
            state => return Err(JobError::State { job, state }),
        }
        if let Some(named) = epoch
            && named != record.epoch
        {
            return Err(JobError::fenced(&record, named));
        }
        let entry = about(&record, actor.clone(), AuditEvent::JobAborted);
        abort_job(&mut tx, &record, entry, now_ms).await?;
        tx.commit().await?;
        Ok(())
    }

    /// As [`Catalogue::abort`], also for a sealed job. Whoever calls this has the right to place parts
    /// on the job's plane, so that nobody is about to put any there: what is there by now becomes
    /// discards.
    ///
    /// # Errors
    ///
    /// Unknown, stale or committed.
    pub(crate) async fn abort_sealed(
        &self,
        job: JobId,
        epoch: Option<Epoch>,
        actor: &Actor,
        now_ms: i64,
    ) -> Result<(), JobError> {
        let mut tx = self.store.begin().await?;
        let record = load_job(&mut tx, job).await?.ok_or(JobError::Unknown { job })?;
        match record.state {
            JobState::Aborted => return Ok(()),
            JobState::Open | JobState::Sealed => {}
            state => return Err(JobError::State { job, state }),
        }
        if let Some(named) = epoch
            && named != record.epoch
        {
            return Err(JobError::fenced(&record, named));
        }
        let entry = about(&record, actor.clone(), AuditEvent::JobAborted);
        abort_job(&mut tx, &record, entry, now_ms).await?;
        tx.commit().await?;
        Ok(())
    }

    /// That a job is still sealed under `epoch`, so that its parts may take their places.
    ///
    /// # Errors
    ///
    /// Stale, aborted, committed or not sealed yet: nothing of it may be placed.
    pub(crate) async fn check_sealed(
        &self,
        (job, epoch): (JobId, Epoch),
        now_ms: i64,
    ) -> Result<(), JobError> {
        let mut tx = self.store.begin().await?;
        let record = fence(&mut tx, job, epoch, now_ms).await?;
        if record.state != JobState::Sealed {
            return Err(JobError::State { job, state: record.state });
        }
        tx.commit().await?;
        Ok(())
    }

    /// Finished jobs whose staged bytes are still to be collected, oldest first.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn jobs_to_collect(&self, limit: u32) -> Result<Vec<JobRecord>, CatalogueError> {
        let rows = query("SELECT * FROM jobs WHERE litter = 2 ORDER BY number LIMIT $1")
            .bind(page(limit))
            .fetch_all(self.store.readers())
            .await?;
        rows.iter().map(JobRecord::read).collect()
    }

    /// Records that nothing staged by a finished job is left.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn collected(&self, job: JobId) -> Result<(), CatalogueError> {
        let mut tx = self.store.begin().await?;
        query("UPDATE jobs SET litter = 1 WHERE job = $1 AND litter = 2")
            .bind(job.0.to_vec())
            .execute(&mut tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Forgets at most a page of what finished jobs left in the catalogue and nobody asks about any
    /// more: their parts, and the origins of those that have no live generation. Says how many rows
    /// that were; 0 means that all are forgotten.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn forget_litter(&self, limit: u32) -> Result<u64, CatalogueError> {
        let mut tx = self.store.begin().await?;
        loop {
            let row = query(
                "SELECT j.job, (SELECT COUNT(*) FROM generations g WHERE g.plane = j.plane \
                 AND g.name = j.target AND g.generation = j.generation AND g.state IN ('live', 'kept')) \
                 AS live FROM jobs j WHERE j.litter = 1 ORDER BY j.number LIMIT 1",
            )
            .fetch_optional(&mut *tx)
            .await?;
            let Some(row) = row else {
                tx.commit().await?;
                return Ok(0);
            };
            let fields = Fields::new("jobs", &row);
            let (job, live) = (JobId(fields.array("job")?), fields.flag("live")?);
            let mut forgotten = query(
                "DELETE FROM job_parts WHERE job = $1 AND part IN (SELECT part FROM job_parts \
                 WHERE job = $1 ORDER BY part LIMIT $2)",
            )
            .bind(job.0.to_vec())
            .bind(page(limit))
            .execute(&mut tx)
            .await?
            .rows_affected();
            if forgotten == 0 {
                forgotten = uploads::forget(&mut tx, job, limit).await?;
            }
            if forgotten == 0 && !live {
                forgotten = origins::forget(&mut tx, job, limit).await?;
            }
            if forgotten > 0 {
                tx.commit().await?;
                return Ok(forgotten);
            }
            query("UPDATE jobs SET litter = 0 WHERE job = $1")
                .bind(job.0.to_vec())
                .execute(&mut tx)
                .await?;
        }
    }
}

pub(super) async fn load_job(
    connection: &mut Connection,
    job: JobId,
) -> Result<Option<JobRecord>, CatalogueError> {
    let row = query("SELECT * FROM jobs WHERE job = $1")
        .bind(job.0.to_vec())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(JobRecord::read).transpose()
}

/// The job, held until the transaction ends and touched, if `epoch` is in force and it is open or
/// sealed.
pub(super) async fn fence(
    tx: &mut Connection,
    job: JobId,
    epoch: Epoch,
    now_ms: i64,
) -> Result<JobRecord, JobError> {
    let row = query(
        "UPDATE jobs SET touched_ms = $3 WHERE job = $1 AND epoch = $2 \
         AND state IN ('open', 'sealed') RETURNING *",
    )
    .bind(job.0.to_vec())
    .bind(big(epoch.0)?)
    .bind(now_ms)
    .fetch_optional(&mut *tx)
    .await?;
    match row {
        Some(row) => Ok(JobRecord::read(&row)?),
        None => {
            let record = load_job(tx, job).await?.ok_or(JobError::Unknown { job })?;
            Err(JobError::fenced(&record, epoch))
        }
    }
}

/// Moves an open or sealed job to its next epoch.
pub(super) async fn bump(
    tx: &mut Connection,
    job: JobId,
    now_ms: i64,
) -> Result<(), CatalogueError> {
    query(
        "UPDATE jobs SET epoch = epoch + 1, touched_ms = $2 WHERE job = $1 \
         AND state IN ('open', 'sealed')",
    )
    .bind(job.0.to_vec())
    .bind(now_ms)
    .execute(tx)
    .await?;
    Ok(())
}

/// A line about a job.
pub(super) fn about(job: &JobRecord, actor: Actor, event: AuditEvent) -> AuditEntry<'_> {
    let mut entry = AuditEntry::new(actor, event);
    entry.job = Some(job.job);
    entry.plane = Some(job.target.plane());
    entry.target = job.logical().map(|(_, name)| name.as_str());
    entry
}

/// Gives an open or sealed job up: its lease ends, and what it may have stored under its final
/// names is put on the list of what to discard, with digests, because a file of somebody else may
/// stand there instead.
pub(super) async fn abort_job(
    tx: &mut Connection,
    job: &JobRecord,
    entry: AuditEntry<'_>,
    now_ms: i64,
) -> Result<(), CatalogueError> {
    query("UPDATE jobs SET state = 'aborted', finished_ms = $2, litter = 2 WHERE job = $1")
        .bind(job.job.0.to_vec())
        .bind(now_ms)
        .execute(&mut *tx)
        .await?;
    copies::release(tx, job.job).await?;
    if let Some((plane, name)) = job.logical() {
        query(
            "UPDATE logical_files SET holder = NULL WHERE plane = $1 AND name = $2 AND holder = $3",
        )
        .bind(plane.as_str())
        .bind(name.as_str())
        .bind(job.job.0.to_vec())
        .execute(&mut *tx)
        .await?;
        query(
            "DELETE FROM logical_files WHERE plane = $1 AND name = $2 AND last = 0 \
             AND current IS NULL AND holder IS NULL",
        )
        .bind(plane.as_str())
        .bind(name.as_str())
        .execute(&mut *tx)
        .await?;
        if job.state == JobState::Sealed {
            query(
                "INSERT INTO discards (plane, path, since_ms, reason, length, digest) \
                 SELECT $1, p.path, $3, 'aborted', p.length, p.digest FROM job_parts p \
                 WHERE p.job = $2 AND p.state = 'sealed' AND NOT EXISTS (SELECT 1 \
                 FROM generation_parts g WHERE g.plane = $1 AND g.path = p.path) \
                 ON CONFLICT (plane, path) DO NOTHING",
            )
            .bind(plane.as_str())
            .bind(job.job.0.to_vec())
            .bind(now_ms)
            .execute(&mut *tx)
            .await?;
        }
    }
    append(tx, &entry, now_ms).await
}
