//! `collect`: what jobs that are over have staged, and stored files that nothing names.

use super::context::Context;
use super::output::Row;
use super::upload::UploadRow;
use super::{AdminError, CollectArgs, Output};
use crate::catalogue::Catalogue;
use crate::housekeeping::{ABANDONED_MS, CollectReport, Planes, collect};
use serde::Serialize;
use skyspray_wire::name::PlaneName;
use std::sync::Arc;

/// Uploads read at once.
const PAGE: u32 = 256;

#[derive(Serialize)]
struct CollectRow {
    dry_run: bool,
    jobs_abandoned: u64,
    jobs_cleared: u64,
    orphans: u64,
    orphan_bytes: u64,
    discards: u64,
}

impl Row for CollectRow {
    const EVENT: &'static str = "collected";
    const HEADINGS: &'static [&'static str] =
        &["JOBS GIVEN UP", "JOBS CLEARED", "ORPHANS", "ORPHAN BYTES", "STORED FILES"];

    fn cells(&self) -> Vec<String> {
        [self.jobs_abandoned, self.jobs_cleared, self.orphans, self.orphan_bytes, self.discards]
            .iter()
            .map(u64::to_string)
            .collect()
    }
}

/// A plane that cannot be used does not keep the others from being collected.
pub(super) async fn run(
    args: &CollectArgs,
    context: &Context<'_>,
    output: &mut Output<'_>,
) -> Result<(), AdminError> {
    let (mut planes, mut failed) = (Planes::new(), None);
    for name in context.settings.planes.keys() {
        match context.plane(name) {
            Ok(plane) => drop(planes.insert(name.clone(), Arc::new(plane))),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    let catalogue = context.catalogue().await?;
    let clock = &*context.host.clock;
    let report: CollectReport = collect(&catalogue, &planes, clock, args.dry_run).await?;
    output.fields(&CollectRow {
        dry_run: args.dry_run,
        jobs_abandoned: report.jobs_abandoned,
        jobs_cleared: report.jobs_cleared,
        orphans: report.orphans,
        orphan_bytes: report.orphan_bytes,
        discards: report.discards,
    })?;
    if args.dry_run {
        let now_ms = context.host.now_ms();
        let mut first = true;
        for (name, _) in planes.iter().filter(|(_, plane)| plane.has_uploads()) {
            show_uploads((&catalogue, name), now_ms, &mut first, output).await?;
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Shows the uploads of a plane that would be thrown away.
async fn show_uploads(
    (catalogue, plane): (&Catalogue, &PlaneName),
    now_ms: i64,
    first: &mut bool,
    output: &mut Output<'_>,
) -> Result<(), AdminError> {
    let mut after = None;
    loop {
        let abandoned_ms = now_ms - ABANDONED_MS;
        let page = catalogue.doomed_uploads(plane, abandoned_ms, after.as_ref(), PAGE).await?;
        if page.is_empty() {
            return Ok(());
        }
        let row = |upload| UploadRow::new(plane, upload, now_ms);
        output.rows(&page.iter().map(row).collect::<Vec<_>>(), std::mem::take(first))?;
        after = page.into_iter().last();
    }
}
