//! `file …`: stored logical files.

mod copy;
mod replicate;
mod rollback;
mod show;
mod target;
mod verify;

pub(super) use copy::copier;
pub use rollback::RollbackArgs;
pub use target::{FileTarget, FileTargetError, ScopeTarget};

use super::context::Context;
use super::output::{Row, when};
use super::{AdminError, Output};
use crate::catalogue::{Actor, GenerationRecord, NamePattern, RemoveError};
use crate::discard::delete_discards;
use crate::placing::Placing;
use crate::pointer::{Pointers, settle_locked};
use crate::shown::ShownFile;
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use skyspray_wire::message::Entry;
use skyspray_wire::name::PlaneName;
use std::sync::Arc;

/// Commands on logical files.
#[derive(Clone, Debug, Subcommand)]
pub enum FileCommand {
    /// Show the logical files in a scope and below it.
    List {
        /// Where: PLANE or PLANE:scope.
        #[arg(value_name = "PLANE[:SCOPE]")]
        target: ScopeTarget,
        /// Only names that match, scopes and all: `*` stands for any characters, `?` for one. Quick
        /// where it begins with neither.
        #[arg(long = "match", value_name = "PATTERN")]
        pattern: Option<NamePattern>,
    },
    /// Show all that is known of one logical file, and its parts.
    Show(ShowArgs),
    /// Compare the stored parts with what was committed.
    Verify(VerifyArgs),
    /// Copy a logical file to another name or plane, inside the cluster.
    Copy(CopyArgs),
    /// Copy a logical file to the planes that are to have it too.
    Replicate(ReplicateArgs),
    /// Make an earlier generation current again, on a plane with layout = "generation".
    Rollback(RollbackArgs),
    /// Remove a logical file: the name at once, then its stored parts.
    Remove {
        /// Which: PLANE:scope::name.
        #[arg(value_name = "PLANE:NAME")]
        target: FileTarget,
    },
}

/// `file show`.
#[derive(Args, Clone, Debug)]
pub struct ShowArgs {
    /// Which: PLANE:scope::name.
    #[arg(value_name = "PLANE:NAME")]
    pub target: FileTarget,
    /// Show what the parts came from as well: ranges of sources, as the edge named them.
    #[arg(long)]
    pub origins: bool,
}

/// `file verify`.
#[derive(Args, Clone, Debug)]
pub struct VerifyArgs {
    /// Which: PLANE:scope::name.
    #[arg(value_name = "PLANE:NAME")]
    pub target: FileTarget,
    /// How much is looked at.
    #[arg(long, value_enum, value_name = "HOW", default_value_t)]
    pub mode: VerifyMode,
    /// The same as --mode sampled.
    #[arg(long, conflicts_with = "mode")]
    pub sample: bool,
    /// Choose the same sample as a run that told this number.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

/// What `file verify --mode` takes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum VerifyMode {
    /// The length of every part.
    Size,
    /// The length of every part, and the tag its store has for its content.
    Stored,
    /// The length of every part, and the content of no more than 16, evenly spread.
    Sampled,
    /// The content of every part.
    #[default]
    Full,
}

impl VerifyMode {
    fn as_str(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Stored => "stored",
            Self::Sampled => "sampled",
            Self::Full => "full",
        }
    }
}

/// `file copy`.
#[derive(Args, Clone, Debug)]
pub struct CopyArgs {
    /// Which: PLANE:scope::name.
    #[arg(value_name = "PLANE:NAME")]
    pub from: FileTarget,
    /// What the copy is called, and on which plane it is.
    #[arg(value_name = "PLANE:NAME", required_unless_present = "plane")]
    pub to: Option<FileTarget>,
    /// The plane of a copy of the same name.
    #[arg(long, value_name = "PLANE", conflicts_with = "to")]
    pub plane: Option<PlaneName>,
    /// Parts of the copy, split on record boundaries; 0 for the default of its plane. Without it the
    /// copy has the parts of the original, byte by byte.
    #[arg(long, value_name = "N")]
    pub parts: Option<u32>,
    /// Replace what has the name of the copy.
    #[arg(long)]
    pub overwrite: bool,
    /// How the copy is checked: the lengths of its parts, or all of their bytes, which are read back.
    #[arg(long, value_enum, value_name = "HOW", default_value_t)]
    pub verify: CopyCheck,
}

/// `file replicate`.
#[derive(Args, Clone, Debug)]
pub struct ReplicateArgs {
    /// Which: PLANE:scope::name.
    #[arg(value_name = "PLANE:NAME")]
    pub target: FileTarget,
    /// A plane to copy it to; may be said again [default: the `replication` of its plane].
    #[arg(long, value_name = "PLANE")]
    pub to: Vec<PlaneName>,
    /// Replace what has the name there and another content.
    #[arg(long)]
    pub overwrite: bool,
}

/// What `file copy --verify` takes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum CopyCheck {
    /// The length of every part.
    #[default]
    Size,
    /// Every byte, read back from the plane.
    Full,
}

/// Rows read at once.
const PAGE: u32 = 256;

pub(super) async fn run(
    command: FileCommand,
    context: &Context<'_>,
    output: &mut Output<'_>,
) -> Result<(), AdminError> {
    match command {
        FileCommand::List { target, pattern: None } => list(&target, context, output).await,
        FileCommand::List { target, pattern: Some(pattern) } => {
            search(&target, &pattern, context, output).await
        }
        FileCommand::Show(args) => show::show(&args, context, output).await,
        FileCommand::Verify(args) => verify::verify(&args, context, output).await,
        FileCommand::Copy(args) => copy::copy(&args, context, output).await,
        FileCommand::Replicate(args) => replicate::replicate(&args, context, output).await,
        FileCommand::Rollback(args) => rollback::rollback(&args, context, output).await,
        FileCommand::Remove { target } => remove(&target, context, output).await,
    }
}

#[derive(Serialize)]
struct EntryRow {
    #[serde(flatten)]
    shown: ShownFile,
    #[serde(skip)]
    now_ms: i64,
}

impl Row for EntryRow {
    const EVENT: &'static str = "file";
    const HEADINGS: &'static [&'static str] = &["BYTES", "PARTS", "COMMITTED", "NAME"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.shown.bytes.to_string(),
            self.shown.parts.to_string(),
            when(Some(self.shown.committed_ms), self.now_ms),
            format!("{}:{}", self.shown.plane, self.shown.name),
        ]
    }
}

async fn list(
    target: &ScopeTarget,
    context: &Context<'_>,
    output: &mut Output<'_>,
) -> Result<(), AdminError> {
    context.settings.plane(&target.plane)?;
    let catalogue = context.catalogue().await?;
    let now_ms = context.host.now_ms();
    let mut after = String::new();
    loop {
        let entries = catalogue.list_logical(&target.plane, &target.scope, &after, PAGE).await?;
        let row = |entry: &Entry| EntryRow { shown: ShownFile::new(&target.plane, entry), now_ms };
        output.rows(&entries.iter().map(row).collect::<Vec<_>>(), after.is_empty())?;
        match entries.into_iter().last() {
            Some(last) => after = last.name,
            None => return Ok(()),
        }
    }
}

async fn search(
    target: &ScopeTarget,
    pattern: &NamePattern,
    context: &Context<'_>,
    output: &mut Output<'_>,
) -> Result<(), AdminError> {
    context.settings.plane(&target.plane)?;
    let catalogue = context.catalogue().await?;
    let now_ms = context.host.now_ms();
    let place = (&target.plane, &target.scope);
    let (mut after, mut first) = (String::new(), true);
    loop {
        let found = catalogue.search_logical(place, pattern, &after, PAGE).await?;
        let row = |entry: &Entry| EntryRow { shown: ShownFile::new(&target.plane, entry), now_ms };
        // The headings stand above the first rows, or alone when nothing matches.
        if !found.entries.is_empty() || (first && found.next.is_none()) {
            output.rows(&found.entries.iter().map(row).collect::<Vec<_>>(), first)?;
            first = false;
        }
        match found.next {
            Some(next) => after = next,
            None => return Ok(()),
        }
    }
}

/// The current generation of a logical file.
async fn find(target: &FileTarget, context: &Context<'_>) -> Result<GenerationRecord, AdminError> {
    context.settings.plane(&target.plane)?;
    let current = context.catalogue().await?.current(&target.plane, &target.name).await?;
    current.ok_or_else(|| missing(target))
}

fn missing(target: &FileTarget) -> AdminError {
    AdminError::Missing { kind: "file", name: target.to_string() }
}

#[derive(Serialize)]
struct RemovedLine<'a> {
    plane: &'a str,
    name: &'a str,
    generation: u64,
    files: u64,
    bytes: u64,
}

async fn remove(
    target: &FileTarget,
    context: &Context<'_>,
    output: &mut Output<'_>,
) -> Result<(), AdminError> {
    let FileTarget { plane, name } = target;
    // Opened first: a name whose parts cannot be deleted is better left alone.
    let opened = Arc::new(context.plane(plane)?);
    let catalogue = context.catalogue().await?;
    let removed =
        catalogue.remove_logical(plane, name, &Actor::Operator, context.host.now_ms()).await;
    let generation = removed.map_err(|error| match error {
        RemoveError::Missing { .. } => missing(target),
        RemoveError::Catalogue(error) => error.into(),
    })?;
    let clock = &*context.host.clock;
    let pointers = Pointers { catalogue: &catalogue, clock, name: plane, plane: &opened };
    settle_locked(&pointers, &Placing::new(&context.dir, &catalogue, plane), name).await?;
    let discarded = delete_discards(&catalogue, (plane, &opened), &*context.host.clock).await?;
    let line = RemovedLine {
        plane: plane.as_str(),
        name: name.as_str(),
        generation: generation.0,
        files: discarded.files,
        bytes: discarded.bytes,
    };
    let text = format!(
        "removed {target} generation {generation}: {} stored files of {} bytes deleted",
        discarded.files, discarded.bytes
    );
    output.result("removed", &line, &text)?;
    match discarded.failed {
        0 => Ok(()),
        failed => Err(AdminError::DeleteIncomplete { failed }),
    }
}
