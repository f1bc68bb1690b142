//! `file show`: all that is known of one logical file.

use super::{PAGE, ShowArgs, find};
use crate::admin::context::Context;
use crate::admin::output::{Row, when};
use crate::admin::{AdminError, Output};
use crate::catalogue::{Catalogue, GenerationRecord, StoredOrigin};
use crate::shown::{ShownGeneration, ShownPart};
use serde::Serialize;
use skyspray_wire::ids::JobId;

pub(super) async fn show(
    args: &ShowArgs,
    context: &Context<'_>,
    output: &mut Output<'_>,
) -> Result<(), AdminError> {
    let target = &args.target;
    let catalogue = context.catalogue().await?;
    let current = find(target, context).await?;
    let (generation, job) = (current.generation, current.job);
    let now_ms = context.host.now_ms();
    let shown = ShownGeneration::new(&target.plane, &target.name, current);
    output.fields(&GenerationRow { shown, now_ms })?;
    let mut after = None;
    loop {
        let file = (&target.plane, &target.name);
        let parts = catalogue.parts(file, generation, after, PAGE).await?;
        let rows: Vec<ShownPart> = parts.iter().map(ShownPart::new).collect();
        output.rows(&rows, after.is_none())?;
        match parts.last() {
            Some(last) => after = Some(last.part),
            None => break,
        }
    }
    let kept = catalogue.kept(&target.plane, &target.name).await?;
    let now_ms = context.host.now_ms();
    let rows: Vec<KeptRow> = kept.iter().map(|kept| KeptRow::new(kept, now_ms)).collect();
    if !rows.is_empty() {
        output.rows(&rows, true)?;
    }
    if args.origins { show_origins(&catalogue, job, output).await } else { Ok(()) }
}

async fn show_origins(
    catalogue: &Catalogue,
    job: JobId,
    output: &mut Output<'_>,
) -> Result<(), AdminError> {
    let mut after = None;
    loop {
        let origins = catalogue.origin_ranges(job, after, PAGE).await?;
        let rows: Vec<OriginRow> = origins.iter().map(OriginRow::new).collect();
        output.rows(&rows, after.is_none())?;
        match origins.last() {
            Some(StoredOrigin { range, .. }) => after = Some((range.part, range.part_offset)),
            None => return Ok(()),
        }
    }
}

#[derive(Serialize)]
struct GenerationRow {
    #[serde(flatten)]
    shown: ShownGeneration,
    #[serde(skip)]
    now_ms: i64,
}

impl Row for GenerationRow {
    const EVENT: &'static str = "generation";
    const HEADINGS: &'static [&'static str] = &[
        "NAME",
        "GENERATION",
        "JOB",
        "AGENT",
        "PARTS",
        "BYTES",
        "RECORDS",
        "COMMITTED",
        "LFN HASH",
        "ATTRIBUTES",
    ];

    fn cells(&self) -> Vec<String> {
        let shown = &self.shown;
        let attributes: Vec<String> =
            shown.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
        vec![
            format!("{}:{}", shown.plane, shown.name),
            shown.generation.to_string(),
            shown.wuid.clone(),
            shown.agent.clone(),
            shown.parts.to_string(),
            shown.bytes.to_string(),
            shown.records.map_or_else(|| "-".to_owned(), |records| records.to_string()),
            when(Some(shown.committed_ms), self.now_ms),
            shown.lfn_hash.to_string(),
            if attributes.is_empty() { "-".to_owned() } else { attributes.join(" ") },
        ]
    }
}

/// A generation that can be made current again.
#[derive(Serialize)]
struct KeptRow {
    generation: u64,
    wuid: String,
    agent: String,
    parts: u32,
    bytes: u64,
    committed_ms: i64,
    /// When another took its place.
    ended_ms: Option<i64>,
    #[serde(skip)]
    now_ms: i64,
}

impl KeptRow {
    fn new(kept: &GenerationRecord, now_ms: i64) -> Self {
        Self {
            generation: kept.generation.0,
            wuid: kept.wuid.clone(),
            agent: kept.agent.to_string(),
            parts: kept.parts,
            bytes: kept.bytes,
            committed_ms: kept.committed_ms,
            ended_ms: kept.ended_ms,
            now_ms,
        }
    }
}

impl Row for KeptRow {
    const EVENT: &'static str = "kept_generation";
    const HEADINGS: &'static [&'static str] =
        &["KEPT", "JOB", "AGENT", "PARTS", "BYTES", "COMMITTED", "ENDED"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.generation.to_string(),
            self.wuid.clone(),
            self.agent.clone(),
            self.parts.to_string(),
            self.bytes.to_string(),
            when(Some(self.committed_ms), self.now_ms),
            when(self.ended_ms, self.now_ms),
        ]
    }
}

impl Row for ShownPart {
    const EVENT: &'static str = "part";
    const HEADINGS: &'static [&'static str] =
        &["PART", "BYTES", "RECORDS", "HEADER", "FOOTER", "CRC32", "BLAKE3", "PATH"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.part.to_string(),
            self.bytes.to_string(),
            self.records.map_or_else(|| "-".to_owned(), |records| records.to_string()),
            self.header.to_string(),
            self.footer.to_string(),
            format!("{:08x}", self.crc32),
            self.blake3.clone(),
            self.path.clone(),
        ]
    }
}

#[derive(Serialize)]
struct OriginRow {
    /// Counted from 1.
    part: u64,
    part_offset: u64,
    bytes: u64,
    /// Counted from 1.
    source: u64,
    source_offset: u64,
    source_name: String,
}

impl OriginRow {
    fn new(origin: &StoredOrigin) -> Self {
        let range = &origin.range;
        Self {
            part: u64::from(range.part.0) + 1,
            part_offset: range.part_offset,
            bytes: range.length,
            source: u64::from(range.source.0) + 1,
            source_offset: range.source_offset,
            source_name: origin.source_name.clone(),
        }
    }
}

impl Row for OriginRow {
    const EVENT: &'static str = "origin";
    const HEADINGS: &'static [&'static str] =
        &["PART", "AT", "BYTES", "SOURCE", "SOURCE AT", "SOURCE NAME"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.part.to_string(),
            self.part_offset.to_string(),
            self.bytes.to_string(),
            self.source.to_string(),
            self.source_offset.to_string(),
            self.source_name.clone(),
        ]
    }
}
