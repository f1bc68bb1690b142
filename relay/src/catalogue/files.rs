//! Reading logical files: what a name means, its parts, and which names there are.

use super::dialect::{Row, query};
use super::error::CatalogueError;
use super::fields::{Fields, big};
use super::records::GenerationRecord;
use super::{Catalogue, page};
use skyspray_wire::digest::Digest;
use skyspray_wire::ids::{Generation, PartIndex};
use skyspray_wire::message::{Entry, EntryKind, PartInfo};
use skyspray_wire::name::{LogicalName, PlaneName, Scope};

/// A part of a live generation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoredPart {
    /// Which.
    pub part: PartIndex,
    /// Where it is stored, from the plane's root.
    pub path: String,
    /// Bytes in it.
    pub length: u64,
    /// BLAKE3 root.
    pub digest: Digest,
    /// CRC-32 (IEEE).
    pub crc32: u32,
    /// Records in it, where counted.
    pub records: Option<u64>,
    /// Bytes at its start that are the header of a document.
    pub header: u32,
    /// Bytes at its end that are the footer of a document.
    pub footer: u32,
}

impl StoredPart {
    fn read(row: &Row) -> Result<Self, CatalogueError> {
        let fields = Fields::new("generation_parts", row);
        Ok(Self {
            part: PartIndex(fields.number("part")?),
            path: fields.text("path")?,
            length: fields.number("length")?,
            digest: Digest(fields.array("digest")?),
            crc32: fields.number("crc32")?,
            records: fields.number_opt("records")?,
            header: fields.number("header")?,
            footer: fields.number("footer")?,
        })
    }

    /// What an edge is told of it.
    pub fn info(&self) -> PartInfo {
        PartInfo {
            length: self.length,
            digest: Some(self.digest),
            crc32: Some(self.crc32),
            records: self.records,
            modified_ns: None,
            header: self.header,
            footer: self.footer,
        }
    }
}

/// A page of names, as a text that a test can put something before.
///
/// The range stands twice, because PostgreSQL may read both tables side by side and would begin with
/// the first name in the one whose range it is not told.
macro_rules! list_logical {
    () => {
        "SELECT l.name, g.bytes, g.parts, g.committed_ms FROM logical_files l \
         JOIN generations g ON g.plane = l.plane AND g.name = l.name \
         AND g.generation = l.current WHERE l.plane = $1 AND l.current IS NOT NULL \
         AND l.name > $2 AND l.name < $3 AND g.name > $2 AND g.name < $3 ORDER BY l.name LIMIT $4"
    };
}
#[cfg(test)]
pub(super) use list_logical;

impl Catalogue {
    /// The current generation of a logical file; `None` when the name means nothing.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn current(
        &self,
        plane: &PlaneName,
        name: &LogicalName,
    ) -> Result<Option<GenerationRecord>, CatalogueError> {
        let row = query(
            "SELECT g.* FROM logical_files l JOIN generations g ON g.plane = l.plane \
             AND g.name = l.name AND g.generation = l.current WHERE l.plane = $1 AND l.name = $2",
        )
        .bind(plane.as_str())
        .bind(name.as_str())
        .fetch_optional(self.store.readers())
        .await?;
        row.as_ref().map(GenerationRecord::read).transpose()
    }

    /// Whether a sealed job is about to replace the parts of this name: some may be replaced already.
    /// One whose parts have a directory of their own replaces none.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn is_being_replaced(
        &self,
        plane: &PlaneName,
        name: &LogicalName,
    ) -> Result<bool, CatalogueError> {
        let row = query(
            "SELECT 1 FROM logical_files l JOIN jobs j ON j.job = l.holder \
             WHERE l.plane = $1 AND l.name = $2 AND j.state = 'sealed' \
             AND j.keep_generations = 0",
        )
        .bind(plane.as_str())
        .bind(name.as_str())
        .fetch_optional(self.store.readers())
        .await?;
        Ok(row.is_some())
    }

    /// Any generation that was ever committed.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn generation(
        &self,
        plane: &PlaneName,
        name: &LogicalName,
        generation: Generation,
    ) -> Result<Option<GenerationRecord>, CatalogueError> {
        let row =
            query("SELECT * FROM generations WHERE plane = $1 AND name = $2 AND generation = $3")
                .bind(plane.as_str())
                .bind(name.as_str())
                .bind(big(generation.0)?)
                .fetch_optional(self.store.readers())
                .await?;
        row.as_ref().map(GenerationRecord::read).transpose()
    }

    /// Parts of a live generation after `after`, in part order. A generation that is replaced or
    /// removed has none, so a reader that misses parts asks for its state.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn parts(
        &self,
        (plane, name): (&PlaneName, &LogicalName),
        generation: Generation,
        after: Option<PartIndex>,
        limit: u32,
    ) -> Result<Vec<StoredPart>, CatalogueError> {
        let rows = query(
            "SELECT * FROM generation_parts WHERE plane = $1 AND name = $2 AND generation = $3 \
             AND part > $4 ORDER BY part LIMIT $5",
        )
        .bind(plane.as_str())
        .bind(name.as_str())
        .bind(big(generation.0)?)
        .bind(after.map_or(-1, |part| i64::from(part.0)))
        .bind(page(limit))
        .fetch_all(self.store.readers())
        .await?;
        rows.iter().map(StoredPart::read).collect()
    }

    /// Logical files in `scope` and below it whose names come after `after`, by name.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn list_logical(
        &self,
        plane: &PlaneName,
        scope: &Scope,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Entry>, CatalogueError> {
        let (prefix, end) = range(scope);
        let rows = query(list_logical!())
            .bind(plane.as_str())
            .bind(after.max(&prefix))
            .bind(end)
            .bind(page(limit))
            .fetch_all(self.store.readers())
            .await?;
        rows.iter().map(entry).collect()
    }

    /// Whether a live generation or a pushed file is stored at `path`.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn is_referenced(
        &self,
        plane: &PlaneName,
        path: &str,
    ) -> Result<bool, CatalogueError> {
        let row = query(
            "SELECT (SELECT COUNT(*) FROM generation_parts WHERE plane = $1 AND path = $2) + \
             (SELECT COUNT(*) FROM plane_files WHERE plane = $1 AND path = $2) AS live",
        )
        .bind(plane.as_str())
        .bind(path)
        .fetch_one(self.store.readers())
        .await?;
        Ok(Fields::new("generation_parts", &row).int("live")? > 0)
    }
}

/// The names in a scope lie strictly between these two texts, compared by bytes.
pub(super) fn range(scope: &Scope) -> (String, String) {
    if scope.segments().is_empty() {
        // No name has a character behind `}`.
        return (String::new(), "~".to_owned());
    }
    // `;` follows `:`, and no name ends with a separator.
    (format!("{scope}::"), format!("{scope}:;"))
}

pub(super) fn entry(row: &Row) -> Result<Entry, CatalogueError> {
    let fields = Fields::new("logical_files", row);
    Ok(Entry {
        kind: EntryKind::LogicalFile,
        name: fields.text("name")?,
        bytes: fields.number("bytes")?,
        parts: fields.number("parts")?,
        committed_ms: fields.int("committed_ms")?,
    })
}
