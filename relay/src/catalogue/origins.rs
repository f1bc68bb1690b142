//! What the parts of a spray came from: recorded while it is open, kept as long as its generation.

use super::dialect::{Connection, Row, query};
use super::error::{CatalogueError, JobError};
use super::fields::{Fields, big};
use super::jobs::fence;
use super::{Catalogue, page};
use skyspray_wire::ids::{Epoch, JobId, PartIndex, SourceIndex};
use skyspray_wire::limits::ORIGIN_RANGES_MAX;
use skyspray_wire::message::{JobState, OriginError, OriginRange, Origins, SourceNote};
use skyspray_wire::refusal::{Refusal, RefusalCode};
use std::collections::BTreeSet;
use thiserror::Error;

/// Why origins were not recorded, or a spray with them not sealed. The edge's fault.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OriginFault {
    /// The page breaks a rule of its own.
    #[error(transparent)]
    Page(#[from] OriginError),
    /// A range of a source nobody told of.
    #[error("a range at {offset} in part {part} names source {source_index}, which is unknown")]
    SourceUnknown {
        /// The part.
        part: PartIndex,
        /// Where the range begins in it.
        offset: u64,
        /// The source.
        source_index: SourceIndex,
    },
    /// The source was recorded before with another name or length.
    #[error("source {source_index} was stated before with another name or length")]
    SourceDiffers {
        /// The source.
        source_index: SourceIndex,
    },
    /// Another range was recorded before at this place.
    #[error("the range at {offset} in part {part} was stated before with another origin")]
    RangeDiffers {
        /// The part.
        part: PartIndex,
        /// Where the range begins in it.
        offset: u64,
    },
    /// More ranges than one job may record.
    #[error("{ranges} ranges, at most {ORIGIN_RANGES_MAX} of a job are recorded")]
    TooMany {
        /// How many there would be.
        ranges: u64,
    },
    /// A range that begins behind the end of its part.
    #[error("a range at {offset} in part {part} begins behind the part's end")]
    Beyond {
        /// The part.
        part: PartIndex,
        /// Where the range begins in it.
        offset: u64,
    },
}

impl OriginFault {
    /// What a peer is told.
    pub fn refusal(&self) -> Refusal {
        let code = match self {
            Self::Page(error) => return error.refusal(),
            Self::SourceUnknown { .. } | Self::Beyond { .. } => RefusalCode::Malformed,
            Self::SourceDiffers { .. } | Self::RangeDiffers { .. } => RefusalCode::JobDiffers,
            Self::TooMany { .. } => RefusalCode::LimitExceeded,
        };
        Refusal::new(code, self.to_string())
    }
}

/// A range and the name of its source.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoredOrigin {
    /// The range.
    pub range: OriginRange,
    /// What people call its source.
    pub source_name: String,
}

impl Catalogue {
    /// Records a page of what the parts of an open spray came from: all of it or nothing. The same
    /// rows again change nothing.
    ///
    /// # Errors
    ///
    /// Stale, a push, sealed already, or an [`OriginFault`].
    pub async fn record_origins(
        &self,
        (job, epoch): (JobId, Epoch),
        origins: &Origins,
        now_ms: i64,
    ) -> Result<(), JobError> {
        let mut tx = self.store.begin().await?;
        let record = fence(&mut tx, job, epoch, now_ms).await?;
        if record.logical().is_none() {
            return Err(JobError::Kind { job });
        }
        if record.state != JobState::Open {
            return Err(JobError::State { job, state: record.state });
        }
        origins.check(record.parts).map_err(OriginFault::from)?;
        for source in &origins.sources {
            write_source(&mut tx, job, source).await?;
        }
        check_sources(&mut tx, job, &origins.ranges).await?;
        let mut added = 0;
        for range in &origins.ranges {
            added += u32::from(write_range(&mut tx, job, range).await?);
        }
        count_ranges(&mut tx, job, added).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Sources of a job after `after`, by number.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn origin_sources(
        &self,
        job: JobId,
        after: Option<SourceIndex>,
        limit: u32,
    ) -> Result<Vec<SourceNote>, CatalogueError> {
        let rows = query(
            "SELECT * FROM origin_sources WHERE job = $1 AND source > $2 ORDER BY source LIMIT $3",
        )
        .bind(job.0.to_vec())
        .bind(after.map_or(-1, |source| i64::from(source.0)))
        .bind(page(limit))
        .fetch_all(self.store.readers())
        .await?;
        rows.iter().map(read_source).collect()
    }

    /// Ranges of a job's parts behind the one that begins at `after`, by part and offset.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn origin_ranges(
        &self,
        job: JobId,
        after: Option<(PartIndex, u64)>,
        limit: u32,
    ) -> Result<Vec<StoredOrigin>, CatalogueError> {
        let (part, offset) = after.map_or(Ok((-1, -1)), |(part, offset)| {
            Ok::<_, CatalogueError>((i64::from(part.0), big(offset)?))
        })?;
        let rows = query(
            "SELECT r.*, s.name FROM origin_ranges r JOIN origin_sources s ON s.job = r.job \
             AND s.source = r.source WHERE r.job = $1 AND (r.part, r.part_offset) > ($2, $3) \
             ORDER BY r.part, r.part_offset LIMIT $4",
        )
        .bind(job.0.to_vec())
        .bind(part)
        .bind(offset)
        .bind(page(limit))
        .fetch_all(self.store.readers())
        .await?;
        let read = |row: &Row| {
            let source_name = Fields::new("origin_sources", row).text("name")?;
            Ok(StoredOrigin { range: read_range(row)?, source_name })
        };
        rows.iter().map(read).collect()
    }
}

fn read_source(row: &Row) -> Result<SourceNote, CatalogueError> {
    let fields = Fields::new("origin_sources", row);
    Ok(SourceNote {
        index: SourceIndex(fields.number("source")?),
        name: fields.text("name")?,
        bytes: fields.number("bytes")?,
    })
}

fn read_range(row: &Row) -> Result<OriginRange, CatalogueError> {
    let fields = Fields::new("origin_ranges", row);
    Ok(OriginRange {
        part: PartIndex(fields.number("part")?),
        part_offset: fields.number("part_offset")?,
        source: SourceIndex(fields.number("source")?),
        source_offset: fields.number("source_offset")?,
        length: fields.number("length")?,
    })
}

async fn write_source(
    tx: &mut Connection,
    job: JobId,
    source: &SourceNote,
) -> Result<(), JobError> {
    let written = query(
        "INSERT INTO origin_sources (job, source, name, bytes) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (job, source) DO NOTHING",
    )
    .bind(job.0.to_vec())
    .bind(i64::from(source.index.0))
    .bind(source.name.as_str())
    .bind(big(source.bytes)?)
    .execute(&mut *tx)
    .await?;
    if written.rows_affected() > 0 {
        return Ok(());
    }
    let row = query("SELECT * FROM origin_sources WHERE job = $1 AND source = $2")
        .bind(job.0.to_vec())
        .bind(i64::from(source.index.0))
        .fetch_one(tx)
        .await?;
    let same = read_source(&row)? == *source;
    if same {
        Ok(())
    } else {
        Err(OriginFault::SourceDiffers { source_index: source.index }.into())
    }
}

/// That the job has recorded every source the ranges name.
async fn check_sources(
    tx: &mut Connection,
    job: JobId,
    ranges: &[OriginRange],
) -> Result<(), JobError> {
    let mut known = BTreeSet::new();
    for range in ranges {
        if !known.insert(range.source) {
            continue;
        }
        let row = query("SELECT 1 FROM origin_sources WHERE job = $1 AND source = $2")
            .bind(job.0.to_vec())
            .bind(i64::from(range.source.0))
            .fetch_optional(&mut *tx)
            .await?;
        if row.is_none() {
            let (part, offset, source_index) = (range.part, range.part_offset, range.source);
            return Err(OriginFault::SourceUnknown { part, offset, source_index }.into());
        }
    }
    Ok(())
}

/// Whether the range is new.
async fn write_range(
    tx: &mut Connection,
    job: JobId,
    range: &OriginRange,
) -> Result<bool, JobError> {
    let written = query(
        "INSERT INTO origin_ranges (job, part, part_offset, source, source_offset, length) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (job, part, part_offset) DO NOTHING",
    )
    .bind(job.0.to_vec())
    .bind(i64::from(range.part.0))
    .bind(big(range.part_offset)?)
    .bind(i64::from(range.source.0))
    .bind(big(range.source_offset)?)
    .bind(big(range.length)?)
    .execute(&mut *tx)
    .await?;
    if written.rows_affected() > 0 {
        return Ok(true);
    }
    let row =
        query("SELECT * FROM origin_ranges WHERE job = $1 AND part = $2 AND part_offset = $3")
            .bind(job.0.to_vec())
            .bind(i64::from(range.part.0))
            .bind(big(range.part_offset)?)
            .fetch_one(tx)
            .await?;
    let (part, offset) = (range.part, range.part_offset);
    let same = read_range(&row)? == *range;
    if same { Ok(false) } else { Err(OriginFault::RangeDiffers { part, offset }.into()) }
}

/// Adds to the number of ranges of the job, which must stay within its limit.
async fn count_ranges(tx: &mut Connection, job: JobId, added: u32) -> Result<(), JobError> {
    let row = query(
        "UPDATE jobs SET origin_ranges = origin_ranges + $2 WHERE job = $1 RETURNING origin_ranges",
    )
    .bind(job.0.to_vec())
    .bind(i64::from(added))
    .fetch_one(tx)
    .await?;
    let ranges: u64 = Fields::new("jobs", &row).number("origin_ranges")?;
    if ranges > u64::from(ORIGIN_RANGES_MAX) {
        return Err(OriginFault::TooMany { ranges }.into());
    }
    Ok(())
}

/// That no range of a spray whose parts are all sealed begins behind its part. Its length is that
/// of the source, so it may say nothing about the part's.
pub(super) async fn check_ends(tx: &mut Connection, job: JobId) -> Result<(), JobError> {
    let row = query(
        "SELECT r.part, r.part_offset FROM origin_ranges r JOIN job_parts p ON p.job = r.job \
         AND p.part = r.part WHERE r.job = $1 AND r.part_offset > p.length LIMIT 1",
    )
    .bind(job.0.to_vec())
    .fetch_optional(tx)
    .await?;
    let Some(row) = row else { return Ok(()) };
    let fields = Fields::new("origin_ranges", &row);
    let (part, offset) = (PartIndex(fields.number("part")?), fields.number("part_offset")?);
    Err(OriginFault::Beyond { part, offset }.into())
}

/// Forgets at most a page of the origins of a job, and says how many rows that were.
pub(super) async fn forget(
    tx: &mut Connection,
    job: JobId,
    limit: u32,
) -> Result<u64, CatalogueError> {
    let ranges = query(
        "DELETE FROM origin_ranges WHERE job = $1 AND (part, part_offset) IN (SELECT part, \
         part_offset FROM origin_ranges WHERE job = $1 ORDER BY part, part_offset LIMIT $2)",
    )
    .bind(job.0.to_vec())
    .bind(page(limit))
    .execute(&mut *tx)
    .await?
    .rows_affected();
    if ranges > 0 {
        return Ok(ranges);
    }
    let sources = query(
        "DELETE FROM origin_sources WHERE job = $1 AND source IN (SELECT source \
         FROM origin_sources WHERE job = $1 ORDER BY source LIMIT $2)",
    )
    .bind(job.0.to_vec())
    .bind(page(limit))
    .execute(tx)
    .await?
    .rows_affected();
    Ok(sources)
}
