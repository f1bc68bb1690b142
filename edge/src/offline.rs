//! The commands that need no relay: `plan` and `receipt check`.

use crate::cli::{OfflineCommand, PlanArgs, ReceiptCheckArgs, ReceiptCommand};
use crate::config::{ConfigError, Directories, EdgeConfig};
use crate::exit::{Exit, Explain};
use crate::format::{self, FormatError};
use crate::landing::LandingZones;
use crate::output::Reporter;
use crate::plan::{PlanError, plan};
use crate::receipts::{self, Facts, ReceiptError};
use crate::size::{Bytes, Count};
use crate::source::{OpenError, Source};
use serde::Serialize;
use skyspray_certs::store::{EdgeStore, StoreError};
use skyspray_dfu::split::{Layout, SplitOptions};
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
}

#[derive(Serialize)]
struct PlanFields {
    parts: u32,
    bytes: u64,
    records: u64,
    format: &'static str,
}

fn run_plan(
    args: &PlanArgs,
    directories: &Directories,
    cwd: &std::path::Path,
    reporter: &Reporter,
) -> Result<Exit, OfflineError> {
    let config = EdgeConfig::load(directories)?;
    let sources = Source::open_all(&LandingZones::new(&config), &args.sources, cwd)?;
    let first = sources[0].at().path.file_name().unwrap_or_default();
    let format = format::resolve(&args.format, first)?;
    let parts = NonZeroU32::new(args.parts).expect("the command line takes 1 and more");
    let layout = Layout::implied(sources.len(), parts);
    let options = SplitOptions { parts, layout, join: args.join.into() };
    let (mut bytes, mut records) = (0, 0);
    plan(&sources, &format, options, |planned| {
        bytes += planned.length;
        records += planned.records;
        let (offset, length) = (planned.offset, planned.length);
        let fields = PartFields {
            part: u64::from(planned.part.0) + 1,
            offset,
            length,
            records: planned.records,
        };
        let text = format!(
            "part {} of {parts}: offset {offset}, length {length}, records {}",
            planned.part, planned.records
        );
        reporter.result("part", &fields, text);
    })?;
    let fields = PlanFields { parts: args.parts, bytes, records, format: format.name() };
    let parts = Count(args.parts.into(), "part");
    let text = format!("{parts}, {}, {}", Bytes(bytes), Count(records, "record"));
    reporter.result("plan", &fields, text);
    Ok(Exit::Done)
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
