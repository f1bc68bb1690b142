//! What the ledger of uploads has to show: those of one job, and those that a collection throws away.

use super::dialect::query;
use super::error::CatalogueError;
use super::uploads::UploadRecord;
use super::{Catalogue, page};
use skyspray_wire::ids::JobId;
use skyspray_wire::name::PlaneName;

/// Where an upload stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UploadState {
    /// About to be begun, or begun by somebody who crashed before the store's answer was noted.
    Wanted,
    /// Its part goes on with it.
    Open,
    /// Another took its place: it is to be thrown away.
    Spent,
}

impl UploadState {
    /// The state in lower case, as it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wanted => "wanted",
            Self::Open => "open",
            Self::Spent => "spent",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Wanted, Self::Open, Self::Spent].into_iter().find(|state| state.as_str() == text)
    }
}

impl Catalogue {
    /// Uploads of a job after `after`, in whatever state, by part.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn uploads_of(
        &self,
        job: JobId,
        after: Option<&UploadRecord>,
        limit: u32,
    ) -> Result<Vec<UploadRecord>, CatalogueError> {
        let rows = query(
            "SELECT * FROM uploads WHERE job = $1 AND (part, upload) > ($2, $3) \
             ORDER BY part, upload LIMIT $4",
        )
        .bind(job.0.to_vec())
        .bind(after.map_or(-1, |after| i64::from(after.part.0)))
        .bind(after.map_or("", UploadRecord::upload_text))
        .bind(page(limit))
        .fetch_all(self.store.readers())
        .await?;
        rows.iter().map(UploadRecord::read).collect()
    }

    /// Uploads of a plane after `after` that a collection throws away: those that are spent, and all
    /// of jobs that have ended, or are open and were not touched since `abandoned_ms`.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn doomed_uploads(
        &self,
        plane: &PlaneName,
        abandoned_ms: i64,
        after: Option<&UploadRecord>,
        limit: u32,
    ) -> Result<Vec<UploadRecord>, CatalogueError> {
        let rows = query(
            "SELECT u.* FROM uploads u JOIN jobs j ON j.job = u.job WHERE u.plane = $1 \
             AND (u.state = 'spent' OR j.litter = 2 OR (j.state = 'open' AND j.touched_ms < $2)) \
             AND (u.job, u.part, u.upload) > ($3, $4, $5) \
             ORDER BY u.job, u.part, u.upload LIMIT $6",
        )
        .bind(plane.as_str())
        .bind(abandoned_ms)
        .bind(after.map_or(Vec::new(), |after| after.job.0.to_vec()))
        .bind(after.map_or(-1, |after| i64::from(after.part.0)))
        .bind(after.map_or("", UploadRecord::upload_text))
        .bind(page(limit))
        .fetch_all(self.store.readers())
        .await?;
        rows.iter().map(UploadRecord::read).collect()
    }
}
