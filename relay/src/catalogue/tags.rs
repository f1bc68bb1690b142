//! The tags a store gave the content of parts when they took their places: what tells later whether
//! somebody else has written there.

use super::Catalogue;
use super::dialect::{Connection, query};
use super::error::CatalogueError;
use super::fields::Fields;
use skyspray_wire::name::PlaneName;
use std::collections::BTreeMap;

impl Catalogue {
    /// Notes the tags of parts by their paths; what was noted of a path before counts no longer.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn record_tags(
        &self,
        plane: &PlaneName,
        tags: &[(String, Option<String>)],
    ) -> Result<(), CatalogueError> {
        let mut tx = self.store.begin().await?;
        for (path, tag) in tags {
            forget(&mut tx, plane, path).await?;
            let Some(tag) = tag else { continue };
            query("INSERT INTO stored_tags (plane, path, tag) VALUES ($1, $2, $3)")
                .bind(plane.as_str())
                .bind(path.as_str())
                .bind(tag.as_str())
                .execute(&mut tx)
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// The tags of the stored parts at `paths`, by path; one of which none is known is left out.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn stored_tags(
        &self,
        plane: &PlaneName,
        paths: &[String],
    ) -> Result<BTreeMap<String, String>, CatalogueError> {
        let mut snapshot = self.store.snapshot().await?;
        let mut tags = BTreeMap::new();
        for path in paths {
            let row = query("SELECT tag FROM stored_tags WHERE plane = $1 AND path = $2")
                .bind(plane.as_str())
                .bind(path.as_str())
                .fetch_optional(&mut *snapshot)
                .await?;
            if let Some(row) = row {
                tags.insert(path.clone(), Fields::new("stored_tags", &row).text("tag")?);
            }
        }
        Ok(tags)
    }
}

/// Forgets the tag of what was at a path.
pub(super) async fn forget(
    tx: &mut Connection,
    plane: &PlaneName,
    path: &str,
) -> Result<(), CatalogueError> {
    query("DELETE FROM stored_tags WHERE plane = $1 AND path = $2")
        .bind(plane.as_str())
        .bind(path)
        .execute(tx)
        .await?;
    Ok(())
}
