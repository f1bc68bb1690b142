//! Reading pushed files.

use super::dialect::{Row, query};
use super::error::CatalogueError;
use super::fields::Fields;
use super::{Catalogue, page};
use skyspray_wire::digest::Digest;
use skyspray_wire::ids::JobId;
use skyspray_wire::name::{AgentName, LogicalName, PlaneName, PlanePath};

/// A file that a push put on a plane.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PlaneFile {
    /// Where, from the plane's root.
    pub path: PlanePath,
    /// Bytes in it.
    pub length: u64,
    /// BLAKE3 root.
    pub digest: Digest,
    /// CRC-32 (IEEE).
    pub crc32: u32,
    /// When its source was last modified, in nanoseconds since 1970.
    pub modified_ns: i64,
    /// When it was committed, in milliseconds since 1970.
    pub committed_ms: i64,
    /// The job that wrote it.
    pub job: JobId,
    /// The agent that wrote it.
    pub agent: AgentName,
}

impl PlaneFile {
    fn read(row: &Row) -> Result<Self, CatalogueError> {
        let fields = Fields::new("plane_files", row);
        Ok(Self {
            path: fields.name("path")?,
            length: fields.number("length")?,
            digest: Digest(fields.array("digest")?),
            crc32: fields.number("crc32")?,
            modified_ns: fields.int("modified_ns")?,
            committed_ms: fields.int("committed_ms")?,
            job: JobId(fields.array("job")?),
            agent: fields.name("agent")?,
        })
    }
}

impl Catalogue {
    /// The pushed file at `path`.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn plane_file(
        &self,
        plane: &PlaneName,
        path: &PlanePath,
    ) -> Result<Option<PlaneFile>, CatalogueError> {
        let row = query("SELECT * FROM plane_files WHERE plane = $1 AND path = $2")
            .bind(plane.as_str())
            .bind(path.to_string())
            .fetch_optional(self.store.readers())
            .await?;
        row.as_ref().map(PlaneFile::read).transpose()
    }

    /// The logical file of which a part is stored at `path`. Who may not read that may not read its
    /// parts by their paths either: the directory of a part, such as `1`, is a scope's as well.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn owner_of(
        &self,
        plane: &PlaneName,
        path: &PlanePath,
    ) -> Result<Option<LogicalName>, CatalogueError> {
        let row = query("SELECT name FROM generation_parts WHERE plane = $1 AND path = $2")
            .bind(plane.as_str())
            .bind(path.to_string())
            .fetch_optional(self.store.readers())
            .await?;
        row.as_ref().map(|row| Fields::new("generation_parts", row).name("name")).transpose()
    }

    /// Pushed files below `directory`, or the one it names, whose paths come after `after`, in the
    /// order of their paths' bytes.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn list_plane_files(
        &self,
        plane: &PlaneName,
        directory: &PlanePath,
        after: &str,
        limit: u32,
    ) -> Result<Vec<PlaneFile>, CatalogueError> {
        let query = if directory.is_root() {
            query("SELECT * FROM plane_files WHERE plane = $1 AND path > $2 ORDER BY path LIMIT $3")
                .bind(plane.as_str())
                .bind(after.to_owned())
                .bind(page(limit))
        } else {
            if after < directory.to_string().as_str()
                && let Some(file) = self.plane_file(plane, directory).await?
            {
                return Ok(vec![file]);
            }
            // `0` follows `/`, and no path ends with a separator.
            let (prefix, end) = (format!("{directory}/"), format!("{directory}0"));
            query(
                "SELECT * FROM plane_files WHERE plane = $1 AND path > $2 AND path < $4 \
                 ORDER BY path LIMIT $3",
            )
            .bind(plane.as_str())
            .bind(after.max(&prefix).to_owned())
            .bind(page(limit))
            .bind(end)
        };
        let rows = query.fetch_all(self.store.readers()).await?;
        rows.iter().map(PlaneFile::read).collect()
    }
}
