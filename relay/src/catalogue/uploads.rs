//! The ledger of uploads to object stores, and the pieces of those that are open.

use super::dialect::{Connection, Row, query};
use super::error::{CatalogueError, JobError};
use super::fields::Fields;
use super::jobs::fence;
use super::ledger::UploadState;
use super::{Catalogue, page};
use crate::plane::{PieceId, Upload, UploadId};
use skyspray_wire::ids::{Epoch, JobId, PartIndex};
use skyspray_wire::name::PlaneName;
use std::collections::BTreeMap;

/// Whether an upload of a part was ever about to be begun before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Wanted {
    /// Nothing of it can be at the store.
    First,
    /// A crash may have left an upload whose name nobody knows.
    Again,
}

/// An upload that was begun and neither completed nor thrown away.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UploadRecord {
    /// The job that began it.
    pub job: JobId,
    /// The part it is of.
    pub part: PartIndex,
    /// What the store calls it; `None` when only the store can say, because whoever began it
    /// crashed before it noted that.
    pub upload: Option<UploadId>,
    /// Where it stands.
    pub state: UploadState,
    /// The path of the part from the plane's root.
    pub path: String,
    /// When it was begun, in milliseconds since 1970.
    pub begun_ms: i64,
}

impl UploadRecord {
    pub(super) fn read(row: &Row) -> Result<Self, CatalogueError> {
        let fields = Fields::new("uploads", row);
        let state = UploadState::parse(&fields.text("state")?);
        let state = state.ok_or_else(|| fields.corrupt("state"))?;
        Ok(Self {
            job: JobId(fields.array("job")?),
            part: PartIndex(fields.number("part")?),
            upload: match state {
                UploadState::Wanted => None,
                _ => Some(UploadId(fields.text("upload")?)),
            },
            state,
            path: fields.text("path")?,
            begun_ms: fields.int("begun_ms")?,
        })
    }

    /// What the store calls it, as it is stored.
    pub(super) fn upload_text(&self) -> &str {
        self.upload.as_ref().map_or("", |upload| upload.0.as_str())
    }
}

impl Catalogue {
    /// Notes that an upload to `path` is about to be begun.
    ///
    /// # Errors
    ///
    /// The lease is lost, or the catalogue failed: nothing may be begun.
    pub async fn want_upload(
        &self,
        (job, epoch): (JobId, Epoch),
        part: PartIndex,
        path: &str,
        now_ms: i64,
    ) -> Result<Wanted, JobError> {
        let mut tx = self.store.begin().await?;
        let record = fence(&mut tx, job, epoch, now_ms).await?;
        let noted = query(
            "INSERT INTO uploads (job, part, upload, plane, path, state, begun_ms) \
             VALUES ($1, $2, '', $3, $4, 'wanted', $5) ON CONFLICT (job, part, upload) DO NOTHING",
        )
        .bind(job.0.to_vec())
        .bind(i64::from(part.0))
        .bind(record.target.plane().as_str())
        .bind(path)
        .bind(now_ms)
        .execute(&mut tx)
        .await?;
        tx.commit().await?;
        Ok(if noted.rows_affected() > 0 { Wanted::First } else { Wanted::Again })
    }

    /// The uploads noted for a path, of whatever job: all others that the store listed before this
    /// was asked are strays. `None` while a job other than `job` may be about to begin one, which
    /// it has not noted yet.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn uploads_to(
        &self,
        job: JobId,
        (plane, path): (&PlaneName, &str),
    ) -> Result<Option<Vec<UploadId>>, CatalogueError> {
        let rows = query(
            "SELECT u.job, u.upload, u.state, j.state AS job_state FROM uploads u \
             JOIN jobs j ON j.job = u.job WHERE u.plane = $1 AND u.path = $2",
        )
        .bind(plane.as_str())
        .bind(path)
        .fetch_all(self.store.readers())
        .await?;
        let mut noted = Vec::with_capacity(rows.len());
        for row in &rows {
            let fields = Fields::new("uploads", row);
            let live = matches!(fields.text("job_state")?.as_str(), "open" | "sealed");
            if fields.text("state")? != "wanted" {
                noted.push(UploadId(fields.text("upload")?));
            } else if live && JobId(fields.array("job")?) != job {
                return Ok(None);
            }
        }
        Ok(Some(noted))
    }

    /// Notes an upload before its first piece. What an earlier upload of the part held counts no
    /// longer, and that upload is to be thrown away.
    ///
    /// # Errors
    ///
    /// The lease is lost, or the catalogue failed: nothing may be written to the upload.
    pub async fn record_upload(
        &self,
        (job, epoch): (JobId, Epoch),
        part: PartIndex,
        (path, upload): (&str, &UploadId),
        now_ms: i64,
    ) -> Result<(), JobError> {
        let mut tx = self.store.begin().await?;
        let record = fence(&mut tx, job, epoch, now_ms).await?;
        let number = i64::from(part.0);
        spend(&mut tx, (job, part)).await?;
        query("DELETE FROM uploads WHERE job = $1 AND part = $2 AND state = 'wanted'")
            .bind(job.0.to_vec())
            .bind(number)
            .execute(&mut tx)
            .await?;
        query(
            "INSERT INTO uploads (job, part, upload, plane, path, state, begun_ms) \
             VALUES ($1, $2, $3, $4, $5, 'open', $6) ON CONFLICT (job, part, upload) \
             DO UPDATE SET state = 'open', begun_ms = excluded.begun_ms",
        )
        .bind(job.0.to_vec())
        .bind(number)
        .bind(upload.0.as_str())
        .bind(record.target.plane().as_str())
        .bind(path)
        .bind(now_ms)
        .execute(&mut tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Notes that the store does not know the open upload of a part any more: the part begins anew.
    ///
    /// # Errors
    ///
    /// The lease is lost, or the catalogue failed.
    pub async fn upload_lost(
        &self,
        (job, epoch): (JobId, Epoch),
        part: PartIndex,
        now_ms: i64,
    ) -> Result<(), JobError> {
        let mut tx = self.store.begin().await?;
        fence(&mut tx, job, epoch, now_ms).await?;
        spend(&mut tx, (job, part)).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The open upload of a part, without its pieces.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn open_upload(
        &self,
        job: JobId,
        part: PartIndex,
    ) -> Result<Option<UploadId>, CatalogueError> {
        let row =
            query("SELECT upload FROM uploads WHERE job = $1 AND part = $2 AND state = 'open'")
                .bind(job.0.to_vec())
                .bind(i64::from(part.0))
                .fetch_optional(self.store.readers())
                .await?;
        row.map(|row| Fields::new("uploads", &row).text("upload").map(UploadId)).transpose()
    }

    /// The open uploads of the parts from `first` to `last`, with their pieces.
    ///
    /// # Errors
    ///
    /// The catalogue failed, or the pieces of an upload have a gap.
    pub async fn uploads(
        &self,
        job: JobId,
        (first, last): (PartIndex, PartIndex),
    ) -> Result<BTreeMap<PartIndex, Upload>, CatalogueError> {
        let mut snapshot = self.store.snapshot().await?;
        let rows = query(
            "SELECT part, upload FROM uploads WHERE job = $1 AND part >= $2 AND part <= $3 \
             AND state = 'open'",
        )
        .bind(job.0.to_vec())
        .bind(i64::from(first.0))
        .bind(i64::from(last.0))
        .fetch_all(&mut *snapshot)
        .await?;
        let mut uploads = BTreeMap::new();
        for row in &rows {
            let fields = Fields::new("uploads", row);
            let id = UploadId(fields.text("upload")?);
            uploads.insert(PartIndex(fields.number("part")?), Upload { id, pieces: Vec::new() });
        }
        let rows = query(
            "SELECT part, piece, content FROM upload_pieces WHERE job = $1 AND part >= $2 \
             AND part <= $3 ORDER BY part, piece",
        )
        .bind(job.0.to_vec())
        .bind(i64::from(first.0))
        .bind(i64::from(last.0))
        .fetch_all(&mut *snapshot)
        .await?;
        for row in &rows {
            let fields = Fields::new("upload_pieces", row);
            let part = PartIndex(fields.number("part")?);
            // Pieces that were recorded while their upload was given up: the next one forgets them.
            let Some(upload) = uploads.get_mut(&part) else { continue };
            if upload.pieces.len() != fields.number::<usize>("piece")? {
                return Err(fields.corrupt("piece"));
            }
            upload.pieces.push(PieceId(fields.text("content")?));
        }
        Ok(uploads)
    }

    /// A page of the uploads of a job, spent or not, after `after`.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn job_uploads(
        &self,
        job: JobId,
        limit: u32,
    ) -> Result<Vec<UploadRecord>, CatalogueError> {
        let rows = query("SELECT * FROM uploads WHERE job = $1 ORDER BY part, upload LIMIT $2")
            .bind(job.0.to_vec())
            .bind(page(limit))
            .fetch_all(self.store.readers())
            .await?;
        rows.iter().map(UploadRecord::read).collect()
    }

    /// Uploads of a plane that are to be thrown away, whatever became of their jobs.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn spent_uploads(
        &self,
        plane: &PlaneName,
        limit: u32,
    ) -> Result<Vec<UploadRecord>, CatalogueError> {
        let rows = query(
            "SELECT * FROM uploads WHERE plane = $1 AND state = 'spent' \
             ORDER BY job, part LIMIT $2",
        )
        .bind(plane.as_str())
        .bind(page(limit))
        .fetch_all(self.store.readers())
        .await?;
        rows.iter().map(UploadRecord::read).collect()
    }

    /// Forgets uploads that the store does not know any more.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn forget_uploads(&self, gone: &[UploadRecord]) -> Result<(), CatalogueError> {
        let mut tx = self.store.begin().await?;
        for upload in gone {
            query(
                "DELETE FROM uploads WHERE job = $1 AND part = $2 AND upload = $3 AND state = $4",
            )
            .bind(upload.job.0.to_vec())
            .bind(i64::from(upload.part.0))
            .bind(upload.upload_text())
            .bind(upload.state.as_str())
            .execute(&mut tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }
}

/// Forgets what the open upload of a part holds, and leaves the upload to be thrown away.
async fn spend(tx: &mut Connection, (job, part): (JobId, PartIndex)) -> Result<(), CatalogueError> {
    for statement in [
        "UPDATE uploads SET state = 'spent' WHERE job = $1 AND part = $2 AND state = 'open'",
        "DELETE FROM upload_pieces WHERE job = $1 AND part = $2",
        "UPDATE job_parts SET tree = NULL WHERE job = $1 AND part = $2 AND state = 'open'",
    ] {
        query(statement).bind(job.0.to_vec()).bind(i64::from(part.0)).execute(&mut *tx).await?;
    }
    Ok(())
}

/// Notes pieces that are stored. A piece stored again takes the place of the earlier one.
pub(super) async fn record_pieces(
    tx: &mut Connection,
    (job, part): (JobId, PartIndex),
    pieces: &[(u32, PieceId)],
) -> Result<(), CatalogueError> {
    for (piece, content) in pieces {
        query(
            "INSERT INTO upload_pieces (job, part, piece, content) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (job, part, piece) DO UPDATE SET content = excluded.content",
        )
        .bind(job.0.to_vec())
        .bind(i64::from(part.0))
        .bind(i64::from(*piece))
        .bind(content.0.as_str())
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// Forgets at most a page of the pieces and uploads of a job that has ended, but for uploads that
/// are still to be thrown away. Says how many rows that were.
pub(super) async fn forget(
    tx: &mut Connection,
    job: JobId,
    limit: u32,
) -> Result<u64, CatalogueError> {
    let pieces = query(
        "DELETE FROM upload_pieces WHERE job = $1 AND (part, piece) IN (SELECT part, piece \
         FROM upload_pieces WHERE job = $1 ORDER BY part, piece LIMIT $2)",
    )
    .bind(job.0.to_vec())
    .bind(page(limit))
    .execute(&mut *tx)
    .await?
    .rows_affected();
    if pieces > 0 {
        return Ok(pieces);
    }
    let uploads = query(
        "DELETE FROM uploads WHERE job = $1 AND state = 'open' AND part IN (SELECT part \
         FROM uploads WHERE job = $1 AND state = 'open' ORDER BY part LIMIT $2)",
    )
    .bind(job.0.to_vec())
    .bind(page(limit))
    .execute(tx)
    .await?;
    Ok(uploads.rows_affected())
}
