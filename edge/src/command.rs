//! From the command line to the command: the runtime, the signals, and who does what.

mod describe;
mod doctor;
mod list;
mod status;
mod verify;

use crate::cli::{Cli, Command};
use crate::config::Directories;
use crate::context::{CommandError, Context, Host};
use crate::download::{despray, pull};
use crate::enroll::enroll;
use crate::exit::{Exit, Explain};
use crate::offline;
use crate::output::Reporter;
use crate::stop::{self, Signals};
use crate::upload::{push, spray};
use std::borrow::Cow;
use std::io;
use std::time::Duration;
use thiserror::Error;
use tokio::runtime;

/// Threads for work that blocks: as many as disks like at once.
const BLOCKING_THREADS: usize = 8;

/// How long blocking work may still take when the command is over.
const LAST_WORK: Duration = Duration::from_secs(5);

/// Runs the command, says how it failed if it does, and returns the status to exit with.
pub fn run(cli: &Cli, reporter: &Reporter) -> Exit {
    try_run(cli, reporter).unwrap_or_else(|error| reporter.fail(&*error))
}

fn try_run(cli: &Cli, reporter: &Reporter) -> Result<Exit, CommandError> {
    let directories = Directories::locate(cli.common.dir.as_deref());
    let cwd = std::env::current_dir().map_err(|source| StartError::CurrentDirectory { source })?;
    if let Command::Offline(command) = &cli.command {
        return Ok(offline::run(command, &directories, &cwd, reporter)?);
    }
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build()
        .map_err(|source| StartError::Runtime { source })?;
    let (sender, stop) = stop::channel();
    let host = Host::system(cwd, stop);
    let done = runtime.block_on(async {
        let signals = Signals::catch().map_err(|source| StartError::Runtime { source })?;
        tokio::select! {
            biased;
            done = dispatch(&cli.command, directories, host, reporter) => done,
            () = sender.follow(signals) => Err(StartError::Interrupted.into()),
        }
    });
    runtime.shutdown_timeout(LAST_WORK);
    done
}

async fn dispatch(
    command: &Command,
    directories: Directories,
    host: Host,
    reporter: &Reporter,
) -> Result<Exit, CommandError> {
    let stop = host.stop.clone();
    let open = || Context::open(directories.clone(), reporter.clone(), host.clone());
    // Jobs look after the wish to stop themselves; whatever only asks is broken off.
    let asking = async {
        match command {
            Command::Enroll(args) => Ok(enroll(args, &directories, &host, reporter).await?),
            Command::Doctor => Ok(doctor::doctor(&directories, &host, reporter).await),
            Command::List(args) => Ok(list::list(&open()?, args).await?),
            Command::Describe(args) => Ok(describe::describe(&open()?, args).await?),
            Command::Status(args) => Ok(status::status(&open()?, args).await?),
            Command::Verify(args) => Ok(verify::verify(&open()?, args).await?),
            _ => unreachable!("jobs and offline commands are run elsewhere"),
        }
    };
    match command {
        Command::Spray(args) => spray(&open()?, args).await.map(|()| Exit::Done),
        Command::Push(args) => push(&open()?, args).await.map(|()| Exit::Done),
        Command::Despray(args) => Ok(despray(&open()?, args).await?),
        Command::Pull(args) => Ok(pull(&open()?, args).await?),
        _ => tokio::select! {
            asked = asking => asked,
            () = stop.requested() => Err(StartError::Interrupted.into()),
        },
    }
}

/// Why no command was run to its end.
#[derive(Debug, Error)]
enum StartError {
    #[error("current directory cannot be found")]
    CurrentDirectory { source: io::Error },
    #[error("the host gives no threads, timers or signals")]
    Runtime { source: io::Error },
    #[error("interrupted")]
    Interrupted,
}

impl Explain for StartError {
    fn exit(&self) -> Exit {
        match self {
            Self::CurrentDirectory { .. } => Exit::Usage,
            Self::Runtime { .. } => Exit::Internal,
            Self::Interrupted => Exit::Interrupted,
        }
    }

    fn code(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::CurrentDirectory { .. } => "directory-missing",
            Self::Runtime { .. } => "internal",
            Self::Interrupted => "interrupted",
        })
    }
}
