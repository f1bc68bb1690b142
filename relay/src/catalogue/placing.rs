//! The right to put parts on their places on one plane, for replicas that share a server.
//!
//! Courtesy between replicas: what a commit does is fenced by its job's state and epoch, and every
//! step of it may be taken twice. The statements are PostgreSQL's alone: replicas that share a file
//! are on one host and lock a file beside it.

use super::Catalogue;
use super::dialect::query;
use super::error::CatalogueError;
use skyspray_wire::name::PlaneName;

/// Who holds the right: a number chosen anew each time it is asked for.
pub(crate) type Holder = [u8; 16];

impl Catalogue {
    /// Takes the right for `plane`, or keeps it, for `lease_ms` from this moment on; `false` when
    /// another holder's has not run out. Both moments are the server's: the clocks of replicas do not
    /// matter.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub(crate) async fn take_placing(
        &self,
        plane: &PlaneName,
        holder: &Holder,
        lease_ms: i64,
    ) -> Result<bool, CatalogueError> {
        let mut tx = self.store.begin_guarded().await?;
        let taken = query(
            "INSERT INTO placing_leases (plane, holder, until_ms) VALUES ($1, $2, \
             CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT) + $3) \
             ON CONFLICT (plane) DO UPDATE SET holder = excluded.holder, \
             until_ms = excluded.until_ms WHERE placing_leases.holder = excluded.holder \
             OR placing_leases.until_ms <= excluded.until_ms - $3",
        )
        .bind(plane.as_str())
        .bind(holder.as_slice())
        .bind(lease_ms)
        .execute(&mut tx)
        .await?;
        tx.commit().await?;
        Ok(taken.rows_affected() > 0)
    }

    /// Gives the right up; whoever has taken it meanwhile keeps it.
    ///
    /// # Errors
    ///
    /// The catalogue failed; the right runs out by itself.
    pub(crate) async fn release_placing(
        &self,
        plane: &PlaneName,
        holder: &Holder,
    ) -> Result<(), CatalogueError> {
        let mut tx = self.store.begin_guarded().await?;
        query("DELETE FROM placing_leases WHERE plane = $1 AND holder = $2")
            .bind(plane.as_str())
            .bind(holder.as_slice())
            .execute(&mut tx)
            .await?;
        tx.commit().await
    }
}
