//! The binary: reads the command line, starts the log, runs the command, exits as it ended.

use clap::Parser as _;
use skyspray_edge::cli::{Cli, Command};
use skyspray_edge::config::Directories;
use skyspray_edge::exit::{Exit, Explain};
use skyspray_edge::output::Reporter;
use skyspray_edge::{logging, offline};
use std::borrow::Cow;
use std::io;
use std::process::ExitCode;
use thiserror::Error;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let reporter = Reporter::new(cli.common.manner());
    logging::start(logging::level(cli.common.quiet, cli.common.verbose), &reporter);
    let exit = run(&cli, &reporter);
    ExitCode::from(reporter.finish(exit).code())
}

fn run(cli: &Cli, reporter: &Reporter) -> Exit {
    let directories = Directories::locate(cli.common.dir.as_deref());
    let cwd = match std::env::current_dir() {
        Ok(cwd) => cwd,
        Err(source) => return reporter.fail(&StartError::CurrentDirectory { source }),
    };
    match &cli.command {
        Command::Offline(command) => offline::run(command, &directories, &cwd, reporter)
            .unwrap_or_else(|error| reporter.fail(&error)),
        _ => reporter.fail(&StartError::OfflineBuild),
    }
}

/// Why no command was started.
#[derive(Debug, Error)]
enum StartError {
    #[error("current directory cannot be found")]
    CurrentDirectory { source: io::Error },
    #[error("this build has only the commands that need no relay")]
    OfflineBuild,
}

impl Explain for StartError {
    fn exit(&self) -> Exit {
        match self {
            Self::CurrentDirectory { .. } => Exit::Usage,
            Self::OfflineBuild => Exit::Internal,
        }
    }

    fn code(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::CurrentDirectory { .. } => "directory-missing",
            Self::OfflineBuild => "build-offline",
        })
    }
}
