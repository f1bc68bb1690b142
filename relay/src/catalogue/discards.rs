//! Stored files that nothing names any more: a durable list of what to delete.
//!
//! A row is made in the transaction that made its file garbage. Deleting is claim, delete, confirm:
//! a claim keeps every job from putting something at the same place until it is confirmed.

use super::dialect::{Row, query};
use super::error::CatalogueError;
use super::fields::{Fields, big};
use super::jobs::load_job;
use super::records::PartRecord;
use super::{Catalogue, page, tags};
use skyspray_wire::digest::Digest;
use skyspray_wire::ids::JobId;
use skyspray_wire::message::JobState;
use skyspray_wire::name::PlaneName;

/// How long a claim holds, in milliseconds; whoever claims deletes and confirms well within it.
pub(crate) const CLAIM_MS: i64 = 60_000;

/// Why a stored file is garbage.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DiscardReason {
    /// Its generation was replaced by one that does not use its place.
    Replaced,
    /// Its logical file was removed.
    Removed,
    /// Its job was given up after it was sealed. The file may never have been put there, so it is
    /// only deleted when length and digest are the ones recorded.
    Aborted,
}

impl DiscardReason {
    /// The reason in lower case, as it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Replaced => "replaced",
            Self::Removed => "removed",
            Self::Aborted => "aborted",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Replaced, Self::Removed, Self::Aborted].into_iter().find(|r| r.as_str() == text)
    }
}

/// A file to delete.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Discard {
    /// The plane.
    pub plane: PlaneName,
    /// Where, from the plane's root.
    pub path: String,
    /// Since when it is garbage, in milliseconds since 1970.
    pub since_ms: i64,
    /// Why.
    pub reason: DiscardReason,
    /// Bytes in it, as recorded.
    pub length: u64,
    /// BLAKE3 root, as recorded.
    pub digest: Digest,
    /// When somebody last set out to delete it, in milliseconds since 1970.
    pub claimed_ms: Option<i64>,
}

impl Discard {
    fn read(row: &Row) -> Result<Self, CatalogueError> {
        let fields = Fields::new("discards", row);
        Ok(Self {
            plane: fields.name("plane")?,
            path: fields.text("path")?,
            since_ms: fields.int("since_ms")?,
            reason: DiscardReason::parse(&fields.text("reason")?)
                .ok_or_else(|| fields.corrupt("reason"))?,
            length: fields.number("length")?,
            digest: Digest(fields.array("digest")?),
            claimed_ms: fields.int_opt("claimed_ms")?,
        })
    }
}

impl Catalogue {
    /// Files of a plane that wait to be deleted, the oldest first, without claiming them.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn discards(
        &self,
        plane: &PlaneName,
        limit: u32,
    ) -> Result<Vec<Discard>, CatalogueError> {
        let rows =
            query("SELECT * FROM discards WHERE plane = $1 ORDER BY since_ms, path LIMIT $2")
                .bind(plane.as_str())
                .bind(page(limit))
                .fetch_all(self.store.readers())
                .await?;
        rows.iter().map(Discard::read).collect()
    }

    /// Claims files that have been garbage since `until_ms` or longer. Nobody else gets them, and
    /// no job may take their places, until they are confirmed or a minute has passed.
    ///
    /// Left out are places that a live generation, a pushed file or an unfinished job needs, and
    /// what a sealed copy is made of.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn claim_discards(
        &self,
        plane: &PlaneName,
        until_ms: i64,
        limit: u32,
        now_ms: i64,
    ) -> Result<Vec<Discard>, CatalogueError> {
        let mut tx = self.store.begin().await?;
        let rows = query(
            "UPDATE discards SET claimed_ms = $4 WHERE plane = $1 AND path IN (SELECT d.path \
             FROM discards d WHERE d.plane = $1 AND d.since_ms <= $2 \
             AND (d.claimed_ms IS NULL OR d.claimed_ms <= $5) \
             AND NOT EXISTS (SELECT 1 FROM generation_parts g WHERE g.plane = $1 \
             AND g.path = d.path) \
             AND NOT EXISTS (SELECT 1 FROM plane_files f WHERE f.plane = $1 AND f.path = d.path) \
             AND NOT EXISTS (SELECT 1 FROM part_copies c WHERE c.plane = $1 AND c.path = d.path) \
             AND NOT EXISTS (SELECT 1 FROM job_parts p JOIN jobs j ON j.job = p.job \
             WHERE p.path = d.path AND p.path IS NOT NULL AND p.state <> 'committed' \
             AND j.plane = $1 AND j.state IN ('open', 'sealed')) \
             ORDER BY d.since_ms, d.path LIMIT $3) RETURNING *",
        )
        .bind(plane.as_str())
        .bind(until_ms)
        .bind(page(limit))
        .bind(now_ms)
        .bind(now_ms.saturating_sub(CLAIM_MS))
        .fetch_all(&mut *tx)
        .await?;
        let mut claimed = rows.iter().map(Discard::read).collect::<Result<Vec<_>, _>>()?;
        tx.commit().await?;
        claimed.sort_by(|a, b| (a.since_ms, &a.path).cmp(&(b.since_ms, &b.path)));
        Ok(claimed)
    }

    /// Lists parts that a job may have put in their places after it was given up: whoever put them
    /// there was stopped for so long that the list of then was worked off. Does nothing for a job
    /// that was not given up.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub(crate) async fn discard_late(
        &self,
        job: JobId,
        parts: &[(String, PartRecord)],
        now_ms: i64,
    ) -> Result<(), CatalogueError> {
        let mut tx = self.store.begin().await?;
        let record = load_job(&mut tx, job).await?;
        let Some(record) = record.filter(|record| record.state == JobState::Aborted) else {
            return Ok(());
        };
        for (path, part) in parts {
            let Some(digest) = part.digest else { continue };
            query(
                "INSERT INTO discards (plane, path, since_ms, reason, length, digest) \
                 SELECT $1, $2, $3, 'aborted', $4, $5 WHERE NOT EXISTS (SELECT 1 \
                 FROM generation_parts g WHERE g.plane = $1 AND g.path = $2) \
                 ON CONFLICT (plane, path) DO NOTHING",
            )
            .bind(record.target.plane().as_str())
            .bind(path.as_str())
            .bind(now_ms)
            .bind(big(part.length.unwrap_or(0))?)
            .bind(digest.0.to_vec())
            .execute(&mut tx)
            .await?;
        }
        tx.commit().await
    }

    /// Confirms that claimed files are gone, or were never there.
    ///
    /// # Errors
    ///
    /// The catalogue failed; the files will be claimed again.
    pub async fn discarded(&self, claimed: &[Discard]) -> Result<(), CatalogueError> {
        let mut tx = self.store.begin().await?;
        for discard in claimed {
            let gone =
                query("DELETE FROM discards WHERE plane = $1 AND path = $2 AND claimed_ms = $3")
                    .bind(discard.plane.as_str())
                    .bind(discard.path.as_str())
                    .bind(discard.claimed_ms)
                    .execute(&mut tx)
                    .await?;
            if gone.rows_affected() > 0 {
                tags::forget(&mut tx, &discard.plane, &discard.path).await?;
            }
        }
        tx.commit().await?;
        Ok(())
    }
}
