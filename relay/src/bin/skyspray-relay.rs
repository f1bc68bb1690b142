//! The relay's program: reads the command line, starts the log, runs one command.

use clap::Parser as _;
use skyspray_link::seam::SystemClock;
use skyspray_relay::admin::{self, AdminError, Cli, Command, Exit, Host, Output, ServeArgs};
use skyspray_relay::config::{Overrides, RelayDir, RelaySettings};
use skyspray_relay::logging::{self, LogFormat};
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};
use tracing_subscriber::filter::LevelFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    rustls::crypto::ring::default_provider()
        .install_default()
        .expect("the provider is installed once, here");
    let (mut out, mut err) = (io::stdout(), io::stderr());
    let mut output = Output::new(cli.json, &mut out, &mut err);
    let overrides = cli.overrides();
    let exit = match cli.command {
        Command::Serve(args) => {
            logging::start(LevelFilter::INFO, args.log_format);
            serve(args, cli.dir, &overrides, &mut output)
        }
        _ => {
            logging::start(LevelFilter::WARN, LogFormat::Text);
            let random = ring::rand::SystemRandom::new();
            let host = Host { clock: Arc::new(SystemClock), random };
            runtime().block_on(admin::run(cli, &host, &mut output))
        }
    };
    exit.into()
}

fn serve(
    args: ServeArgs,
    dir: Option<PathBuf>,
    overrides: &Overrides,
    output: &mut Output<'_>,
) -> Exit {
    let settings = admin::relay_dir(args.directory.or(dir)).and_then(|dir| {
        let mut settings = RelaySettings::load(&dir.config_file(), overrides)?;
        settings.override_catalogue(overrides.catalogue.as_ref())?;
        Ok((settings, dir))
    });
    let (settings, dir): (RelaySettings, RelayDir) = match settings {
        Ok(loaded) => loaded,
        Err(error) => return output.error::<AdminError>(&error),
    };
    match runtime().block_on(skyspray_relay::serve::run(dir, settings)) {
        Ok(()) => Exit::Done,
        Err(error) => output.error(&error),
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("the host provides event polling")
}
