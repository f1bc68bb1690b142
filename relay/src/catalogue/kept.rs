//! Generations that stay stored after they were replaced: which they are, going back to one, and
//! the pointers that name the current one to readers of the plane.
//!
//! A pointer is written after the catalogue says what is current, and what the old one names is
//! discarded after that: whoever follows a pointer finds what it names.

use super::audit::{Actor, AuditEntry, AuditEvent, append};
use super::commit::retire;
use super::dialect::{Connection, query};
use super::error::CatalogueError;
use super::fields::{Fields, big};
use super::jobs::load_job;
use super::records::GenerationRecord;
use super::{Catalogue, page};
use serde_json::json;
use skyspray_wire::ids::{Generation, JobId};
use skyspray_wire::message::JobState;
use skyspray_wire::name::{LogicalName, PlaneName};
use thiserror::Error;

/// What the pointer of a logical file should be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pointer {
    /// What it names; `None` when there should be none.
    pub target: Option<GenerationRecord>,
    /// Whether one may stand on the other place it could have: on the plane itself, or on the first
    /// of several devices.
    pub elsewhere: bool,
}

/// What going back did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RolledBack {
    /// What was current.
    pub from: Generation,
    /// What is.
    pub to: Generation,
}

/// Why a logical file was not rolled back.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RollbackError {
    /// The name means nothing.
    #[error("{name} does not exist on plane {plane}")]
    Missing {
        /// The plane.
        plane: PlaneName,
        /// The name.
        name: LogicalName,
    },
    /// Its parts are where HPCC looks for them: earlier generations had the same places.
    #[error("{name} has the layout hpcc, which keeps no earlier generation")]
    Layout {
        /// The name.
        name: LogicalName,
    },
    /// No earlier generation is kept.
    #[error("{name} has no earlier generation than {current} that is kept")]
    NoneKept {
        /// The name.
        name: LogicalName,
        /// What is current.
        current: Generation,
    },
    /// The generation asked for is not kept, or never was.
    #[error("generation {generation} of {name} is not kept")]
    NotKept {
        /// The name.
        name: LogicalName,
        /// What was asked for.
        generation: Generation,
    },
    /// The generation asked for is the current one.
    #[error("generation {generation} of {name} is the current one")]
    Current {
        /// The name.
        name: LogicalName,
        /// What was asked for.
        generation: Generation,
    },
    /// A job that only lacks its commit is about to replace it.
    #[error("{name} is being replaced by job {wuid}")]
    Replaced {
        /// The name.
        name: LogicalName,
        /// The job, as people know it.
        wuid: String,
    },
    /// The catalogue failed.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
}

/// A pointer that is written or removed in a moment, as a column holds it.
const DUE: i64 = 2;

impl Catalogue {
    /// Logical files whose pointers must be written or removed, by plane and name.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn due_pointers(
        &self,
        limit: u32,
    ) -> Result<Vec<(PlaneName, LogicalName)>, CatalogueError> {
        let rows = query(
            "SELECT plane, name FROM logical_files WHERE pointer = 2 ORDER BY plane, name LIMIT $1",
        )
        .bind(page(limit))
        .fetch_all(self.store.readers())
        .await?;
        let read = |row| {
            let fields = Fields::new("logical_files", row);
            Ok((fields.name("plane")?, fields.name("name")?))
        };
        rows.iter().map(read).collect()
    }

    /// What the pointer of a logical file should be; `None` when nothing needs to be done.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn due_pointer(
        &self,
        plane: &PlaneName,
        name: &LogicalName,
    ) -> Result<Option<Pointer>, CatalogueError> {
        let due =
            query("SELECT 1 FROM logical_files WHERE plane = $1 AND name = $2 AND pointer = 2")
                .bind(plane.as_str())
                .bind(name.as_str())
                .fetch_optional(self.store.readers())
                .await?;
        if due.is_none() {
            return Ok(None);
        }
        let current = self.current(plane, name).await?;
        let target = current.filter(|current| current.layout.kept.is_some());
        let elsewhere = match &target {
            None => true,
            Some(target) => self
                .kept(plane, name)
                .await?
                .iter()
                .any(|other| (other.layout.devices > 1) != (target.layout.devices > 1)),
        };
        Ok(Some(Pointer { target, elsewhere }))
    }

    /// Notes that the pointer names `named`, or that none stands, and puts the parts of generations
    /// that are not kept on the list of what to discard. Returns `false` when something else is
    /// current, and the pointer must be looked at again.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn confirm_pointer(
        &self,
        (plane, name): (&PlaneName, &LogicalName),
        named: Option<Generation>,
        now_ms: i64,
    ) -> Result<bool, CatalogueError> {
        let mut tx = self.store.begin().await?;
        let row = query(
            "UPDATE logical_files SET last = last WHERE plane = $1 AND name = $2 \
             RETURNING current, pointer, removed, (SELECT g.keep_generations FROM generations g \
             WHERE g.plane = $1 AND g.name = $2 AND g.generation = current) AS keeps",
        )
        .bind(plane.as_str())
        .bind(name.as_str())
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = row else { return Ok(true) };
        let fields = Fields::new("logical_files", &row);
        if fields.int("pointer")? != DUE {
            return Ok(true);
        }
        let pointed = fields.int_opt("keeps")?.unwrap_or(0) > 0;
        let current = fields.number_opt("current")?.map(Generation).filter(|_| pointed);
        if current != named {
            return Ok(false);
        }
        let removed = Generation(fields.number("removed")?);
        query("UPDATE logical_files SET pointer = $3 WHERE plane = $1 AND name = $2")
            .bind(plane.as_str())
            .bind(name.as_str())
            .bind(i64::from(named.is_some()))
            .execute(&mut tx)
            .await?;
        discard_surplus(&mut tx, (plane, name), (current, removed), now_ms).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Generations of a logical file that are stored beside the current one, the one that was
    /// current last first.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn kept(
        &self,
        plane: &PlaneName,
        name: &LogicalName,
    ) -> Result<Vec<GenerationRecord>, CatalogueError> {
        let rows = query(
            "SELECT g.* FROM generations g JOIN logical_files l ON l.plane = g.plane \
             AND l.name = g.name WHERE g.plane = $1 AND g.name = $2 AND g.state = 'kept' \
             AND g.generation > l.removed AND g.keep_generations > 0 \
             ORDER BY g.ended_ms DESC, g.generation DESC",
        )
        .bind(plane.as_str())
        .bind(name.as_str())
        .fetch_all(self.store.readers())
        .await?;
        rows.iter().map(GenerationRecord::read).collect()
    }

    /// Makes a kept generation current again: `to`, or the newest before the current one. Numbers
    /// are not used again: the next commit has the one after the highest ever used.
    ///
    /// A job that is writing the name goes on, and replaces what is current when it commits.
    ///
    /// # Errors
    ///
    /// See [`RollbackError`].
    pub async fn roll_back(
        &self,
        (plane, name): (&PlaneName, &LogicalName),
        to: Option<Generation>,
        actor: &Actor,
        now_ms: i64,
    ) -> Result<RolledBack, RollbackError> {
        let mut tx = self.store.begin().await?;
        let row = query(
            "UPDATE logical_files SET last = last WHERE plane = $1 AND name = $2 \
             AND current IS NOT NULL RETURNING current, holder, removed",
        )
        .bind(plane.as_str())
        .bind(name.as_str())
        .fetch_optional(&mut *tx)
        .await?;
        let missing = || RollbackError::Missing { plane: plane.clone(), name: name.clone() };
        let row = row.ok_or_else(missing)?;
        let fields = Fields::new("logical_files", &row);
        let from = Generation(fields.number("current")?);
        if let Some(holder) = fields.array_opt("holder")?
            && let Some(job) = load_job(&mut tx, JobId(holder)).await?
            && job.state == JobState::Sealed
        {
            return Err(RollbackError::Replaced { name: name.clone(), wuid: job.wuid });
        }
        let removed = Generation(fields.number("removed")?);
        let to = choose(&mut tx, (plane, name), (from, removed), to).await?;
        make_current(&mut tx, (plane, name), (from, to), now_ms).await?;
        let mut entry = AuditEntry::new(actor.clone(), AuditEvent::RolledBack)
            .target(name.as_str())
            .detail(json!({ "from": from.0, "to": to.0 }));
        entry.plane = Some(plane);
        append(&mut tx, &entry, now_ms).await?;
        tx.commit().await?;
        Ok(RolledBack { from, to })
    }
}

/// The generation to go back to.
async fn choose(
    tx: &mut Connection,
    (plane, name): (&PlaneName, &LogicalName),
    (current, removed): (Generation, Generation),
    to: Option<Generation>,
) -> Result<Generation, RollbackError> {
    let rows = query(
        "SELECT generation, state, keep_generations FROM generations WHERE plane = $1 \
         AND name = $2 AND (state = 'kept' OR generation = $3) ORDER BY generation DESC",
    )
    .bind(plane.as_str())
    .bind(name.as_str())
    .bind(big(current.0)?)
    .fetch_all(tx)
    .await?;
    let mut kept = Vec::new();
    for row in &rows {
        let fields = Fields::new("generations", row);
        let generation = Generation(fields.number("generation")?);
        let own_directory = fields.int("keep_generations")? > 0;
        if generation == current && !own_directory {
            return Err(RollbackError::Layout { name: name.clone() });
        }
        if generation != current && own_directory && generation > removed {
            kept.push(generation);
        }
    }
    let name = name.clone();
    match to {
        Some(generation) if generation == current => {
            Err(RollbackError::Current { name, generation })
        }
        Some(generation) if kept.contains(&generation) => Ok(generation),
        Some(generation) => Err(RollbackError::NotKept { name, generation }),
        None => {
            let earlier = kept.into_iter().find(|&generation| generation < current);
            earlier.ok_or(RollbackError::NoneKept { name, current })
        }
    }
}

async fn make_current(
    tx: &mut Connection,
    (plane, name): (&PlaneName, &LogicalName),
    (from, to): (Generation, Generation),
    now_ms: i64,
) -> Result<(), CatalogueError> {
    keep(tx, (plane, name), from, now_ms).await?;
    query(
        "UPDATE generations SET state = 'live', ended_ms = NULL \
         WHERE plane = $1 AND name = $2 AND generation = $3",
    )
    .bind(plane.as_str())
    .bind(name.as_str())
    .bind(big(to.0)?)
    .execute(&mut *tx)
    .await?;
    query("UPDATE logical_files SET current = $3, pointer = 2 WHERE plane = $1 AND name = $2")
        .bind(plane.as_str())
        .bind(name.as_str())
        .bind(big(to.0)?)
        .execute(tx)
        .await?;
    Ok(())
}

/// Ends a generation whose parts stay, for the time being or for as long as they are kept.
pub(super) async fn keep(
    tx: &mut Connection,
    (plane, name): (&PlaneName, &LogicalName),
    generation: Generation,
    now_ms: i64,
) -> Result<(), CatalogueError> {
    query(
        "UPDATE generations SET state = 'kept', ended_ms = $4 \
         WHERE plane = $1 AND name = $2 AND generation = $3",
    )
    .bind(plane.as_str())
    .bind(name.as_str())
    .bind(big(generation.0)?)
    .bind(now_ms)
    .execute(tx)
    .await?;
    Ok(())
}

/// Ends stored generations whose parts have the places where HPCC looks for them, at once, because
/// the next one takes the same places.
pub(super) async fn retire_hpcc(
    tx: &mut Connection,
    (plane, name): (&PlaneName, &LogicalName),
    how: &str,
    kept_by: Option<JobId>,
    now_ms: i64,
) -> Result<(), CatalogueError> {
    let rows = query(
        "SELECT generation FROM generations WHERE plane = $1 AND name = $2 AND state = 'kept' \
         AND keep_generations = 0",
    )
    .bind(plane.as_str())
    .bind(name.as_str())
    .fetch_all(&mut *tx)
    .await?;
    for row in &rows {
        let generation = Generation(Fields::new("generations", row).number("generation")?);
        retire(tx, (plane, name), (generation, how), kept_by, now_ms).await?;
    }
    Ok(())
}

/// Retires what was removed and what is more than the newest stored generation says is kept.
async fn discard_surplus(
    tx: &mut Connection,
    (plane, name): (&PlaneName, &LogicalName),
    (current, removed): (Option<Generation>, Generation),
    now_ms: i64,
) -> Result<(), CatalogueError> {
    let rows = query(
        "SELECT generation, keep_generations FROM generations WHERE plane = $1 AND name = $2 \
         AND (state = 'kept' OR generation = $3) ORDER BY ended_ms DESC, generation DESC",
    )
    .bind(plane.as_str())
    .bind(name.as_str())
    .bind(current.map(|generation| big(generation.0)).transpose()?)
    .fetch_all(&mut *tx)
    .await?;
    let mut stored = Vec::with_capacity(rows.len());
    for row in &rows {
        let fields = Fields::new("generations", row);
        let keeps: usize = fields.number("keep_generations")?;
        stored.push((Generation(fields.number("generation")?), keeps));
    }
    let newest = stored.iter().max_by_key(|(generation, _)| *generation);
    let mut left = newest.map_or(0, |&(_, keeps)| keeps.saturating_sub(1));
    for (generation, keeps) in stored.into_iter().filter(|&(other, _)| Some(other) != current) {
        let how = if generation <= removed { "removed" } else { "replaced" };
        if generation > removed && keeps > 0 && current.is_some() && left > 0 {
            left -= 1;
        } else {
            retire(tx, (plane, name), (generation, how), None, now_ms).await?;
        }
    }
    Ok(())
}
