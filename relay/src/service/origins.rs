//! What the parts of a spray came from: recorded, and told with the description of the file.

use super::ServiceError;
use super::write::open_job;
use crate::catalogue::{Catalogue, GenerationRecord, GenerationState};
use crate::session::Greeted;
use crate::state::internal;
use skyspray_link::request::Exchange;
use skyspray_wire::ids::JobId;
use skyspray_wire::message::{OriginRange, Origins, RecordOrigins, Reply, SourceNote};
use skyspray_wire::refusal::{Refusal, RefusalCode};

/// Rows of a catalogue page.
const ROWS: u32 = 512;

/// Answers `RecordOrigins`.
pub(super) async fn record(
    greeted: &Greeted,
    exchange: &mut Exchange,
    record: RecordOrigins,
) -> Result<(), ServiceError> {
    // That the session has the job open; the catalogue asks for all else.
    open_job(greeted, record.job, record.epoch)?;
    let (relay, key) = (&greeted.relay, (record.job, record.epoch));
    relay.catalogue.record_origins(key, &record.origins, relay.now_ms()).await?;
    exchange.send(&Reply::Done).await?;
    Ok(())
}

/// Tells what the parts of a generation came from: first the sources, then the ranges.
pub(super) async fn send(
    greeted: &Greeted,
    exchange: &mut Exchange,
    record: &GenerationRecord,
) -> Result<(), ServiceError> {
    let catalogue = &greeted.relay.catalogue;
    let mut after = None;
    loop {
        let sources = catalogue.origin_sources(record.job, after, ROWS).await;
        let sources = sources.map_err(|error| internal(&error))?;
        let Some(last) = sources.last() else { break };
        after = Some(last.index);
        send_pages(exchange, &sources, &[]).await?;
    }
    send_ranges(catalogue, exchange, record.job).await?;
    // The origins of a generation that has ended may be gone, in part or all.
    let now = catalogue.generation(&record.plane, &record.name, record.generation).await;
    let now = now.map_err(|error| internal(&error))?;
    if now.is_none_or(|now| now.state != GenerationState::Live) {
        let detail = format!("{} is being replaced", record.name);
        return Err(Refusal::new(RefusalCode::Busy, detail).into());
    }
    Ok(())
}

async fn send_ranges(
    catalogue: &Catalogue,
    exchange: &mut Exchange,
    job: JobId,
) -> Result<(), ServiceError> {
    let mut after = None;
    loop {
        let stored = catalogue.origin_ranges(job, after, ROWS).await;
        let stored = stored.map_err(|error| internal(&error))?;
        let ranges: Vec<OriginRange> = stored.into_iter().map(|origin| origin.range).collect();
        let Some(last) = ranges.last() else { return Ok(()) };
        after = Some((last.part, last.part_offset));
        send_pages(exchange, &[], &ranges).await?;
    }
}

async fn send_pages(
    exchange: &mut Exchange,
    sources: &[SourceNote],
    ranges: &[OriginRange],
) -> Result<(), ServiceError> {
    for page in Origins::pages(sources, ranges) {
        exchange.send(&Reply::Origins(page)).await?;
    }
    Ok(())
}
