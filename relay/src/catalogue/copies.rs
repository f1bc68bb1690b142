//! Parts of sealed copies that the object store copies into their places: what they are copied
//! from, which stays until the copy is committed or given up.

use super::Catalogue;
use super::dialect::{Connection, query};
use super::error::{CatalogueError, JobError};
use super::fields::{Fields, big};
use super::jobs::{fence, load_job};
use super::seal::seal;
use skyspray_wire::ids::{Epoch, Generation, JobId, PartIndex};
use skyspray_wire::message::JobState;
use skyspray_wire::name::{LogicalName, PlaneName};
use std::collections::BTreeMap;

/// The generation that a copy is made of.
#[derive(Clone, Copy, Debug)]
pub struct CopiedFrom<'a> {
    /// Its plane.
    pub plane: &'a PlaneName,
    /// Its name.
    pub name: &'a LogicalName,
    /// Which it is.
    pub generation: Generation,
    /// Whether what the store makes is read before it is believed.
    pub read_back: bool,
}

/// Where the store copies a part from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PartCopy {
    /// The plane of the stored part.
    pub plane: PlaneName,
    /// Its path from the plane's root.
    pub path: String,
    /// Whether the copy is read before it is believed.
    pub read_back: bool,
}

impl Catalogue {
    /// Seals a copy whose parts are those of `from` and are copied by the store when they take their
    /// places. From here on nobody deletes or replaces the parts of `from` before the copy has
    /// ended. Sealing it again changes nothing.
    ///
    /// `false` when `from` is not what its name means any more, or is being replaced: then nothing
    /// has changed.
    ///
    /// # Errors
    ///
    /// As for [`Catalogue::mark_sealed`].
    pub async fn seal_copy(
        &self,
        (job, epoch): (JobId, Epoch),
        from: CopiedFrom<'_>,
        now_ms: i64,
    ) -> Result<bool, JobError> {
        let mut tx = self.store.begin().await?;
        let record = fence(&mut tx, job, epoch, now_ms).await?;
        if record.state == JobState::Sealed {
            return Ok(true);
        }
        if !is_settled(&mut tx, &from).await? {
            return Ok(false);
        }
        query(
            "INSERT INTO part_copies (job, part, plane, path, read_back) \
             SELECT $1, part, plane, path, $5 FROM generation_parts WHERE plane = $2 \
             AND name = $3 AND generation = $4 AND length > 0",
        )
        .bind(job.0.to_vec())
        .bind(from.plane.as_str())
        .bind(from.name.as_str())
        .bind(big(from.generation.0)?)
        .bind(i64::from(from.read_back))
        .execute(&mut tx)
        .await?;
        seal(&mut tx, &record, &[], now_ms).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Where the store copies the parts from `first` to `last` of a sealed copy from; what is not
    /// in the map is staged as a spray's parts are.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn part_copies(
        &self,
        job: JobId,
        (first, last): (PartIndex, PartIndex),
    ) -> Result<BTreeMap<PartIndex, PartCopy>, CatalogueError> {
        let rows = query(
            "SELECT part, plane, path, read_back FROM part_copies WHERE job = $1 AND part >= $2 \
             AND part <= $3",
        )
        .bind(job.0.to_vec())
        .bind(i64::from(first.0))
        .bind(i64::from(last.0))
        .fetch_all(self.store.readers())
        .await?;
        let read = |row| {
            let fields = Fields::new("part_copies", row);
            let (plane, path) = (fields.name("plane")?, fields.text("path")?);
            let copy = PartCopy { plane, path, read_back: fields.flag("read_back")? };
            Ok((PartIndex(fields.number("part")?), copy))
        };
        rows.iter().map(read).collect()
    }
}

/// Whether the generation is the one its name means, and no sealed job is about to replace it. It
/// stays so until the transaction ends.
async fn is_settled(tx: &mut Connection, from: &CopiedFrom<'_>) -> Result<bool, CatalogueError> {
    let row = query(
        "UPDATE logical_files SET last = last WHERE plane = $1 AND name = $2 AND current = $3 \
         RETURNING holder",
    )
    .bind(from.plane.as_str())
    .bind(from.name.as_str())
    .bind(big(from.generation.0)?)
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = row else { return Ok(false) };
    let Some(holder) = Fields::new("logical_files", &row).array_opt("holder")? else {
        return Ok(true);
    };
    let holder = load_job(tx, JobId(holder)).await?;
    Ok(holder.is_none_or(|holder| holder.state != JobState::Sealed))
}

/// Forgets what the parts of a job that ends are copied from, and says how many there were.
pub(super) async fn release(tx: &mut Connection, job: JobId) -> Result<u64, CatalogueError> {
    let released =
        query("DELETE FROM part_copies WHERE job = $1").bind(job.0.to_vec()).execute(tx).await?;
    Ok(released.rows_affected())
}
