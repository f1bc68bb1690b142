//! The command line of `skyspray-edge`: data only. The text of `--help` is these comments.

mod format;
mod operands;
mod sources;
mod target;

use crate::config::{Compress, ZoneArg};
use crate::output::{Manner, ProgressChoice};
use crate::size::ByteSize;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use skyspray_dfu::split::Join;
use skyspray_wire::ids::JobId;
use std::path::PathBuf;

pub use format::{Encoding, FormatArgs, FormatName, LayoutArgs, OnInvalidArg, To};
pub use operands::{LastOperand, Operands};
pub use sources::SourceOptions;
pub use target::{ListTarget, LogicalTarget, PathTarget, PushTarget, TargetError};

/// Moves files between the landing zones of this machine and the planes behind a relay.
#[derive(Debug, Parser)]
#[command(name = "skyspray-edge", version)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub common: Common,
    /// What is to be done.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Directory of edge.toml, identity and state [default: /etc/skyspray, with the state in
    /// /var/lib/skyspray].
    #[arg(long, global = true, value_name = "DIR", env = "SKYSPRAY_DIR")]
    pub dir: Option<PathBuf>,
    /// Print one JSON object a line on stdout.
    #[arg(long, global = true)]
    pub json: bool,
    /// Print only results, warnings and errors.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Log more on stderr: decisions (-v), details (-vv), every chunk (-vvv). SKYSPRAY_LOG overrides it.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// How progress is shown [default: tty where stderr is a terminal, otherwise none].
    #[arg(long, global = true, value_enum, value_name = "HOW")]
    pub progress: Option<ProgressChoice>,
}

impl Common {
    /// How the command is to talk.
    pub fn manner(&self) -> Manner {
        Manner { json: self.json, quiet: self.quiet, progress: self.progress }
    }
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make keys, get an identity from a relay with a token, and write edge.toml.
    Enroll(EnrollArgs),
    /// Split files into the record-aligned parts of a logical file.
    Spray(Box<SprayArgs>),
    /// Write the parts of a logical file to one file in a landing zone.
    Despray(DesprayArgs),
    /// Send files and directories as they are to a directory of a plane.
    Push(PushArgs),
    /// Fetch files of a plane as they are into a landing zone.
    Pull(PullArgs),
    /// List the logical files of a scope, or the files of a directory of a plane.
    List(ListArgs),
    /// Show a logical file, its format and its parts.
    Describe(DescribeArgs),
    /// Check that a logical file on its plane is what was committed, and what local files hold.
    Verify(VerifyArgs),
    /// Show the jobs that are open and those that ended.
    Status(StatusArgs),
    /// Check configuration, identity, landing zones and the way to the relay.
    Doctor,
    /// Commands that need no relay.
    #[command(flatten)]
    Offline(OfflineCommand),
}

/// Commands that need no relay.
#[derive(Debug, Subcommand)]
pub enum OfflineCommand {
    /// Show where a spray would split local files, without sending a byte.
    Plan(Box<PlanArgs>),
    /// Check receipts.
    #[command(subcommand)]
    Receipt(ReceiptCommand),
}

/// Makes an identity.
#[derive(Args, Debug)]
pub struct EnrollArgs {
    /// File that holds the token the relay's operator gave you; `-` reads it from stdin.
    #[arg(long, value_name = "FILE")]
    pub token_file: PathBuf,
    /// Landing zone to allow: NAME=PATH to read and write, NAME=PATH:ro to read only. Repeatable.
    #[arg(long = "landing-zone", value_name = "NAME=PATH")]
    pub landing_zones: Vec<ZoneArg>,
    /// Replace the identity this edge has.
    #[arg(long)]
    pub force: bool,
}

/// Files to a logical file.
#[derive(Args, Debug)]
#[command(override_usage = "skyspray-edge spray [OPTIONS] [SOURCE]... <PLANE:scope::name>")]
pub struct SprayArgs {
    /// The sources and the logical file.
    #[command(flatten)]
    pub operands: Operands<LogicalTarget>,
    /// Which sources there are besides.
    #[command(flatten)]
    pub source_options: SourceOptions,
    /// Number of parts; 0 asks for the plane's default.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=65_536))]
    pub parts: u32,
    /// How records are stored and sources are joined.
    #[command(flatten)]
    pub layout: LayoutArgs,
    /// Replace the logical file if it exists.
    #[arg(long)]
    pub overwrite: bool,
    /// How chunks travel: auto, off or a zstd level from 1 to 19 [default: that of edge.toml].
    #[arg(long, value_name = "HOW")]
    pub compress: Option<Compress>,
    /// Make an ECL record definition of the header of csv and keep it with the file.
    #[arg(long)]
    pub record_structure: bool,
    // Last: its help heading holds for every option after it.
    /// How the sources are read.
    #[command(flatten)]
    pub format: FormatArgs,
}

/// A logical file to a file, or to several.
#[derive(Args, Debug)]
pub struct DesprayArgs {
    /// The logical file: PLANE:scope::name.
    #[arg(value_name = "PLANE:scope::name")]
    pub source: LogicalTarget,
    /// The file to write: ZONE:path, or a path inside a landing zone that allows write.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Replace files that exist.
    #[arg(long)]
    pub overwrite: bool,
    /// Write each part as it is stored to a file of its own, FILE._P_of_N.
    #[arg(long, conflicts_with_all = ["split", "parts", "splitprefix"])]
    pub wrap: bool,
    /// Write files of whole records, FILE._P_of_M, none longer than this unless a single record
    /// is. Needs room for two copies for a while.
    #[arg(long, value_name = "SIZE", conflicts_with_all = ["parts", "splitprefix"])]
    pub split: Option<ByteSize>,
    /// Write so many files of whole records, FILE._P_of_M. Needs room for two copies for a while.
    #[arg(
        long,
        value_name = "M",
        conflicts_with = "splitprefix",
        value_parser = clap::value_parser!(u32).range(1..=65_536)
    )]
    pub parts: Option<u32>,
    /// Write the files that were sprayed with --prefix to the directory FILE; SPEC says what
    /// stands before each: FILENAME{:n},FILESIZE{:[B|L][1-8]},SKIP:n, or auto for what is kept
    /// with the logical file. Needs room for two copies for a while.
    #[arg(long, value_name = "SPEC")]
    pub splitprefix: Option<String>,
}

/// Files to a plane.
#[derive(Args, Debug)]
#[command(override_usage = "skyspray-edge push [OPTIONS] <PATH>... <PLANE:path/>")]
pub struct PushArgs {
    /// The paths and the directory of the plane.
    #[command(flatten)]
    pub operands: Operands<PushTarget>,
    /// Replace files that exist.
    #[arg(long)]
    pub overwrite: bool,
    /// Only say how much would be sent: every file is opened, but none is read, and no relay is asked
    /// whether it has it already.
    #[arg(long, conflicts_with = "meta")]
    pub dry_run: bool,
    /// How chunks travel: auto, off or a zstd level from 1 to 19 [default: that of edge.toml].
    #[arg(long, value_name = "HOW")]
    pub compress: Option<Compress>,
    /// Push the part files of the logical file that HPCC's XML describes, and make them that
    /// logical file again; each part is checked against the XML.
    #[arg(long, value_name = "FILE")]
    pub meta: Option<PathBuf>,
}

/// Files from a plane.
#[derive(Args, Debug)]
pub struct PullArgs {
    /// The file, or with a `/` at the end the directory: PLANE:path.
    #[arg(value_name = "PLANE:path")]
    pub source: PathTarget,
    /// Where to: ZONE:path, or a path inside a landing zone that allows write.
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// Replace files that exist.
    #[arg(long)]
    pub overwrite: bool,
}

/// What to list.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// PLANE or PLANE:scope for logical files, PLANE:path/ for files.
    #[arg(value_name = "PLANE:scope")]
    pub target: ListTarget,
    /// List at most this many [default: all].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
}

/// What to describe.
#[derive(Args, Debug)]
pub struct DescribeArgs {
    /// The logical file: PLANE:scope::name.
    #[arg(value_name = "PLANE:scope::name")]
    pub target: LogicalTarget,
    /// Show what the parts came from as well: ranges of sources.
    #[arg(long)]
    pub origins: bool,
    /// Print HPCC's XML of a logical file instead, as its tools register and --meta reads it.
    #[arg(long, conflicts_with = "origins")]
    pub xml: bool,
}

/// What to verify.
#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// The logical file: PLANE:scope::name.
    #[arg(value_name = "PLANE:scope::name")]
    pub target: LogicalTarget,
    /// Files it should hold, in the order they were sprayed: compared with its parts as well.
    #[arg(value_name = "SOURCE")]
    pub sources: Vec<PathBuf>,
    /// Which sources there are besides.
    #[command(flatten)]
    pub source_options: SourceOptions,
}

/// Which jobs to show.
#[derive(Args, Debug)]
pub struct StatusArgs {
    /// Only this job.
    #[arg(value_name = "JOB")]
    pub job: Option<JobId>,
    /// Jobs that ended to show, newest first.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub recent: usize,
}

/// What to plan.
#[derive(Args, Debug)]
pub struct PlanArgs {
    /// Source files: ZONE:path, or a path inside a landing zone. Joined in this order; the last
    /// name of a path may hold * and ?.
    #[arg(required_unless_present = "files_from", value_name = "SOURCE")]
    pub sources: Vec<PathBuf>,
    /// Which sources there are besides.
    #[command(flatten)]
    pub source_options: SourceOptions,
    /// Number of parts.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub parts: u32,
    /// How records are stored and sources are joined.
    #[command(flatten)]
    pub layout: LayoutArgs,
    // Last: its help heading holds for every option after it.
    /// How the sources are read.
    #[command(flatten)]
    pub format: FormatArgs,
}

/// Commands about receipts.
#[derive(Debug, Subcommand)]
pub enum ReceiptCommand {
    /// Check the signature of a receipt, without a relay, and say what it attests.
    Check(ReceiptCheckArgs),
}

/// Which receipt to check.
#[derive(Args, Debug)]
pub struct ReceiptCheckArgs {
    /// The receipt, as `spray` and `push` leave it in receipts/ of the state directory.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Key of the relay: 64 hexadecimal digits or base64 [default: those learnt at enrollment].
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
}

/// What `--join` takes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum JoinArg {
    /// Add the missing terminator, so that no two records merge.
    #[default]
    Mend,
    /// Add nothing, as HPCC does.
    Verbatim,
}

impl From<JoinArg> for Join {
    fn from(join: JoinArg) -> Self {
        match join {
            JoinArg::Mend => Self::Mend,
            JoinArg::Verbatim => Self::Verbatim,
        }
    }
}

#[cfg(test)]
mod tests;
