//! `collect`: what jobs that are over have staged, and stored files that nothing names.

use super::context::Context;
use super::output::Row;
use super::{AdminError, CollectArgs, Output};
use crate::housekeeping::{CollectReport, Planes, collect};
use serde::Serialize;
use std::sync::Arc;

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
    failed.map_or(Ok(()), Err)
}
