//! Removing logical files.

use super::Catalogue;
use super::audit::{Actor, AuditEntry, AuditEvent, append};
use super::commit::retire;
use super::dialect::query;
use super::error::CatalogueError;
use super::fields::Fields;
use super::kept::{keep, retire_hpcc};
use serde_json::json;
use skyspray_wire::ids::Generation;
use skyspray_wire::name::{LogicalName, PlaneName};
use skyspray_wire::refusal::{Refusal, RefusalCode};
use thiserror::Error;

/// Why a logical file was not removed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RemoveError {
    /// The name means nothing.
    #[error("{name} does not exist on plane {plane}")]
    Missing {
        /// The plane.
        plane: PlaneName,
        /// The name.
        name: LogicalName,
    },
    /// The catalogue failed.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
}

impl RemoveError {
    /// What a peer is told.
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::Missing { name, .. } => Refusal::new(RefusalCode::Missing, name.as_str()),
            Self::Catalogue(error) => error.refusal(),
        }
    }
}

impl Catalogue {
    /// Makes a name mean nothing, at once, and puts its parts on the list of what to discard: those
    /// that a pointer names when [`Catalogue::confirm_pointer`] says that it is gone.
    /// Returns the generation that was current. A job that is writing the name goes on.
    ///
    /// # Errors
    ///
    /// [`RemoveError::Missing`].
    pub async fn remove_logical(
        &self,
        plane: &PlaneName,
        name: &LogicalName,
        actor: &Actor,
        now_ms: i64,
    ) -> Result<Generation, RemoveError> {
        let mut tx = self.store.begin().await?;
        let row = query(
            "UPDATE logical_files SET last = last WHERE plane = $1 AND name = $2 \
             AND current IS NOT NULL RETURNING current, pointer",
        )
        .bind(plane.as_str())
        .bind(name.as_str())
        .fetch_optional(&mut *tx)
        .await?;
        let missing = || RemoveError::Missing { plane: plane.clone(), name: name.clone() };
        let row = row.ok_or_else(missing)?;
        let fields = Fields::new("logical_files", &row);
        let generation = Generation(fields.number("current")?);
        if fields.flag("pointer")? {
            // Parts that a pointer names stay until it is gone.
            keep(&mut tx, (plane, name), generation, now_ms).await?;
            retire_hpcc(&mut tx, (plane, name), "removed", None, now_ms).await?;
        } else {
            retire(&mut tx, (plane, name), (generation, "removed"), None, now_ms).await?;
        }
        query(
            "UPDATE logical_files SET current = NULL, removed = last, \
             pointer = CASE WHEN pointer = 0 THEN 0 ELSE 2 END WHERE plane = $1 AND name = $2",
        )
        .bind(plane.as_str())
        .bind(name.as_str())
        .execute(&mut tx)
        .await?;
        let mut entry = AuditEntry::new(actor.clone(), AuditEvent::Removed)
            .target(name.as_str())
            .detail(json!({ "generation": generation.0 }));
        entry.plane = Some(plane);
        append(&mut tx, &entry, now_ms).await?;
        tx.commit().await?;
        Ok(generation)
    }
}
