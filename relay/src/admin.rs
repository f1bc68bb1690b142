//! The command line of the relay, and every command but `serve`.
//!
//! Commands work on the relay's directory and catalogue, whether or not a relay is running.

mod agent;
mod api_token;
mod audit;
mod collect;
mod context;
mod error;
mod exit;
mod file;
mod init;
mod job;
mod output;
mod plane;
mod spray;
#[cfg(test)]
mod tests;
mod upload;

pub use agent::{AddArgs, AgentCommand};
pub use api_token::{AddTokenArgs, ApiTokenCommand};
pub use audit::AuditCommand;
pub use context::{Host, RunningAddresses, load_identity};
pub use error::AdminError;
pub(crate) use error::{catalogue_advice, catalogue_exit};
pub use exit::{Exit, Failure};
pub use file::{
    CopyArgs, CopyCheck, FileCommand, FileTarget, FileTargetError, ReplicateArgs, RollbackArgs,
    ScopeTarget, VerifyArgs, VerifyMode,
};
pub use init::InitArgs;
pub use job::{JobArg, JobCommand, JobListArgs};
pub use output::Output;
pub use plane::PlaneCommand;
pub use spray::{SourceList, SourceListError, SprayArgs, SprayError};

use crate::config::{CatalogueArg, Overrides, RelayDir};
use crate::logging::LogFormat;
use clap::{Args, Parser, Subcommand};
use context::Context;
use std::path::PathBuf;

/// Receives files from edges and writes them to storage planes.
#[derive(Debug, Parser)]
#[command(name = "skyspray-relay", version)]
pub struct Cli {
    /// Directory of the relay [default: /etc/skyspray when it exists].
    #[arg(long, global = true, env = "SKYSPRAY_DIR", value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Serve the planes of this HPCC Helm values file as well [default: planes_from in relay.toml].
    #[arg(long, global = true, env = "SKYSPRAY_PLANES_FROM", value_name = "VALUES.YAML")]
    pub planes_from: Option<PathBuf>,
    /// One JSON object a line on standard output.
    #[arg(long, global = true)]
    pub json: bool,
    /// Where the catalogue is: `sqlite`, or postgres://USER@HOST/DATABASE without a password
    /// [default: catalogue in relay.toml].
    #[arg(long, global = true, env = "SKYSPRAY_CATALOGUE", hide_env_values = true)]
    #[arg(value_name = "URL")]
    pub catalogue: Option<CatalogueArg>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// What the command line and the environment set instead of `relay.toml`.
    pub fn overrides(&self) -> Overrides {
        Overrides { planes_from: self.planes_from.clone(), catalogue: self.catalogue.clone() }
    }
}

/// What the relay is asked to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Set up a new relay: its directory, configuration, authorities, keys and catalogue.
    Init(InitArgs),
    /// Serve edges until told to stop.
    Serve(ServeArgs),
    /// The edges that may connect, and what they may do.
    #[command(subcommand)]
    Agent(AgentCommand),
    /// Who may use the HTTP interface.
    #[command(subcommand)]
    ApiToken(ApiTokenCommand),
    /// The storage planes.
    #[command(subcommand)]
    Plane(PlaneCommand),
    /// Stored files.
    #[command(subcommand)]
    File(FileCommand),
    /// Split files of a plane into the parts of a logical file.
    Spray(Box<SprayArgs>),
    /// Jobs in progress and past.
    #[command(subcommand)]
    Job(JobCommand),
    /// Remove what was staged by jobs that are over.
    Collect(CollectArgs),
    /// The record of what happened.
    #[command(subcommand)]
    Audit(AuditCommand),
}

/// `serve`.
#[derive(Args, Debug)]
pub struct ServeArgs {
    /// Directory of the relay [default: as --dir].
    #[arg(value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// How log lines look.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

/// `collect`.
#[derive(Args, Debug)]
pub struct CollectArgs {
    /// Only say what would be removed.
    #[arg(long)]
    pub dry_run: bool,
}

/// The directory that was named by argument, option or environment, or the default.
///
/// # Errors
///
/// [`AdminError::NoDirectory`]: none was named and the default does not exist.
pub fn relay_dir(named: Option<PathBuf>) -> Result<RelayDir, AdminError> {
    match named {
        Some(path) => Ok(RelayDir::new(path)),
        None if std::path::Path::new(RelayDir::DEFAULT).is_dir() => {
            Ok(RelayDir::new(RelayDir::DEFAULT))
        }
        None => Err(AdminError::NoDirectory),
    }
}

/// Runs a command other than `serve`, and says how it ended. Errors are printed.
pub async fn run(cli: Cli, host: &Host, output: &mut Output<'_>) -> Exit {
    match dispatch(cli, host, output).await {
        Ok(()) => Exit::Done,
        Err(error) => output.error(&error),
    }
}

async fn dispatch(cli: Cli, host: &Host, output: &mut Output<'_>) -> Result<(), AdminError> {
    let overrides = cli.overrides();
    if let Command::Init(args) = cli.command {
        return init::init(args, &overrides, host, output).await;
    }
    let context = Context::open(relay_dir(cli.dir)?, &overrides, host)?;
    match cli.command {
        Command::Init(_) => Ok(()),
        Command::Serve(_) => Err(AdminError::ServeHere),
        Command::Agent(command) => agent::run(command, &context, output).await,
        Command::ApiToken(command) => api_token::run(command, &context, output),
        Command::Plane(command) => plane::run(command, &context, output).await,
        Command::File(command) => file::run(command, &context, output).await,
        Command::Spray(args) => spray::run(&args, &context, output).await,
        Command::Job(command) => job::run(command, &context, output).await,
        Command::Collect(args) => collect::run(&args, &context, output).await,
        Command::Audit(command) => audit::run(command, &context, output).await,
    }
}
