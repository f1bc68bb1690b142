//! The commands that need no relay: `plan` and `receipt check`.

use crate::cli::{OfflineCommand, PlanArgs, ReceiptCheckArgs, ReceiptCommand};
use crate::config::{ConfigError, Directories, EdgeConfig};
use crate::exit::{Details, Exit, Explain};
use crate::format::{self, FormatError};
use crate::landing::LandingZones;
use crate::meta::{self, MetaFault};
use crate::output::Reporter;
use crate::plan::{PlanError, PlannedPart, plan};
use crate::receipts::{self, Facts, ReceiptError};
use crate::size::{Bytes, Count};
use crate::source::{OpenError, Selection};
use crate::splitting::{LookError, Splitting, Wanted};
use serde::Serialize;
use skyspray_certs::store::{EdgeStore, StoreError};
use skyspray_dfu::split::Layout;
use std::borrow::Cow;
use std::num::NonZeroU32;
use std::path::PathBuf;
use thiserror::Error;

/// Why an offline command failed: an error of whatever it uses.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OfflineError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The identity.
    #[error(transparent)]
    Identity(#[from] StoreError),
    /// The sources.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The format options.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The records.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// What the sources are.
    #[error(transparent)]
    Look(#[from] LookError),
    /// The metadata.
    #[error(transparent)]
    Meta(#[from] MetaFault),
    /// The receipt.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
}

impl OfflineError {
    fn inner(&self) -> &dyn Explain {
        match self {
            Self::Config(error) => error,
            Self::Identity(error) => error,
            Self::Open(error) => error,
            Self::Format(error) => error,
            Self::Plan(error) => error,
            Self::Look(error) => error,
            Self::Meta(error) => error,
            Self::Receipt(error) => error,
        }
    }
}

impl Explain for OfflineError {
    fn exit(&self) -> Exit {
        self.inner().exit()
    }

    fn code(&self) -> Cow<'static, str> {
        self.inner().code()
    }

    fn advice(&self) -> Option<String> {
        self.inner().advice()
    }

    fn details(&self) -> Details {
        self.inner().details()
    }
}

/// Runs the command; `cwd` is where relative paths start. Blocks.
///
/// # Errors
///
/// As for [`OfflineError`].
pub fn run(
    command: &OfflineCommand,
    directories: &Directories,
    cwd: &std::path::Path,
    reporter: &Reporter,
) -> Result<Exit, OfflineError> {
    match command {
        OfflineCommand::Plan(args) => run_plan(args, directories, cwd, reporter),
        OfflineCommand::Receipt(ReceiptCommand::Check(args)) => {
            check_receipt(args, directories, reporter)
        }
    }
}

#[derive(Serialize)]
struct PartFields {
    part: u64,
    offset: u64,
    length: u64,
    records: u64,
    header: u32,
    footer: u32,
    ranges: Vec<RangeFields>,
}

/// Bytes of a source that make up some of a part.
#[derive(Serialize)]
struct RangeFields {
    source: u64,
    offset: u64,
    length: u64,
    part_offset: u64,
}

#[derive(Serialize)]
struct PlanFields {
    parts: u32,
    bytes: u64,
    records: u64,
    format: &'static str,
    stored: &'static str,
    encoding: Option<&'static str>,
    sources: Vec<String>,
}

fn run_plan(
    args: &PlanArgs,
    directories: &Directories,
    cwd: &std::path::Path,
    reporter: &Reporter,
) -> Result<Exit, OfflineError> {
    let config = EdgeConfig::load(directories)?;
    let zones = LandingZones::new(&config);
    let meta = args.format.meta.as_deref().map(meta::read).transpose()?;
    let selection = Selection::resolve(&zones, &args.sources, &args.source_options, cwd)?;
    let name = selection.first_name();
    let wanted = format::wanted(&args.format, &args.layout, meta.as_ref(), name)?;
    // Where a whole source would be split is what is asked.
    let wanted = match wanted.layout {
        Some(Layout::SplitPoints) => Wanted { layout: Some(Layout::Balanced), ..wanted },
        _ => wanted,
    };
    selection.warn(reporter, args.format.format.is_some());
    let mut splitting = Splitting::look(selection.sources, wanted)?;
    let parts = NonZeroU32::new(args.parts).expect("the command line takes 1 and more");
    let planned = plan(&mut splitting, parts)?;
    for part in &planned {
        let text = format!(
            "part {} of {parts}: offset {}, length {}, records {}",
            part.part, part.offset, part.length, part.records
        );
        reporter.result("part", &part_fields(part), text);
    }
    let bytes = planned.iter().map(|part| part.length).sum();
    let records = planned.iter().map(|part| part.records).sum();
    let stored = splitting.options(parts).stored_format(splitting.format());
    let fields = PlanFields {
        parts: args.parts,
        bytes,
        records,
        format: splitting.format().name(),
        stored: stored.name(),
        encoding: stored.encoding().hpcc_format_name(),
        sources: splitting.sources().iter().map(|source| source.at().to_string()).collect(),
    };
    let parts = Count(args.parts.into(), "part");
    let text = format!("{parts}, {}, {}", Bytes(bytes), Count(records, "record"));
    reporter.result("plan", &fields, text);
    Ok(Exit::Done)
}

fn part_fields(part: &PlannedPart) -> PartFields {
    let ranges = part.origins.iter().map(|origin| RangeFields {
        source: origin.source_index as u64 + 1,
        offset: origin.source_offset,
        length: origin.length,
        part_offset: origin.part_offset,
    });
    PartFields {
        part: u64::from(part.part.0) + 1,
        offset: part.offset,
        length: part.length,
        records: part.records,
        header: part.header,
        footer: part.footer,
        ranges: ranges.collect(),
    }
}

#[derive(Serialize)]
struct ReceiptFields {
    file: PathBuf,
    #[serde(flatten)]
    facts: Facts,
}

fn check_receipt(
    args: &ReceiptCheckArgs,
    directories: &Directories,
    reporter: &Reporter,
) -> Result<Exit, OfflineError> {
    let text = receipts::read_receipt(&args.file)?;
    let keys = match &args.key {
        Some(path) => vec![receipts::read_key(path)?],
        None => EdgeStore::open(&directories.identity())?.load()?.receipt_keys,
    };
    let receipt = receipts::attest_file(&text, &keys)?;
    let facts = Facts::from(&receipt);
    let text = format!("receipt is genuine\n{facts}");
    reporter.result("receipt", &ReceiptFields { file: args.file.clone(), facts }, text);
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests;
