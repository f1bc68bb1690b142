//! `file show`: all that is known of one logical file.

use super::{PAGE, ShowArgs, find};
use crate::admin::context::Context;
use crate::admin::output::{Row, when};
use crate::admin::{AdminError, Output};
use crate::catalogue::{Catalogue, StoredOrigin};
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
