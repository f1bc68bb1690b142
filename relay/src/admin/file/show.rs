//! `file show`: all that is known of one logical file.

use super::{PAGE, ShowArgs, find};
use crate::admin::context::Context;
use crate::admin::output::{Row, when};
use crate::admin::{AdminError, Output};
use crate::catalogue::{Catalogue, StoredOrigin, StoredPart};
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
    output.fields(&GenerationRow {
        plane: target.plane.to_string(),
        name: target.name.to_string(),
        generation: generation.0,
        wuid: current.wuid,
        agent: current.agent.to_string(),
        parts: current.parts,
        bytes: current.bytes,
        records: current.records,
        committed_ms: current.committed_ms,
        attributes: current.attributes,
        lfn_hash: current.layout.lfn_hash,
        now_ms: context.host.now_ms(),
    })?;
    let mut after = None;
    loop {
        let file = (&target.plane, &target.name);
        let parts = catalogue.parts(file, generation, after, PAGE).await?;
        let rows: Vec<PartRow> = parts.iter().map(PartRow::new).collect();
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
    plane: String,
    name: String,
    generation: u64,
    wuid: String,
    agent: String,
    parts: u32,
    bytes: u64,
    records: Option<u64>,
    committed_ms: i64,
    attributes: Vec<(String, String)>,
    lfn_hash: u32,
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
        let attributes: Vec<String> =
            self.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
        vec![
            format!("{}:{}", self.plane, self.name),
            self.generation.to_string(),
            self.wuid.clone(),
            self.agent.clone(),
            self.parts.to_string(),
            self.bytes.to_string(),
            self.records.map_or_else(|| "-".to_owned(), |records| records.to_string()),
            when(Some(self.committed_ms), self.now_ms),
            self.lfn_hash.to_string(),
            if attributes.is_empty() { "-".to_owned() } else { attributes.join(" ") },
        ]
    }
}

#[derive(Serialize)]
struct PartRow {
    /// Counted from 1.
    part: u64,
    path: String,
    bytes: u64,
    records: Option<u64>,
    blake3: String,
    crc32: u32,
    /// Bytes at its start that are the header of a document.
    header: u32,
    /// Bytes at its end that are the footer of a document.
    footer: u32,
}

impl PartRow {
    fn new(part: &StoredPart) -> Self {
        Self {
            part: u64::from(part.part.0) + 1,
            path: part.path.clone(),
            bytes: part.length,
            records: part.records,
            blake3: part.digest.to_string(),
            crc32: part.crc32,
            header: part.header,
            footer: part.footer,
        }
    }
}

impl Row for PartRow {
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
