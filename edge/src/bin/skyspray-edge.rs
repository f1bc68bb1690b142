//! The binary: reads the command line, starts the log, runs the command, exits as it ended.

use clap::Parser as _;
use skyspray_edge::cli::Cli;
use skyspray_edge::output::Reporter;
use skyspray_edge::{command, logging};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let reporter = Reporter::new(cli.common.manner());
    logging::start(logging::level(cli.common.quiet, cli.common.verbose), &reporter);
    let exit = command::run(&cli, &reporter);
    ExitCode::from(reporter.finish(exit).code())
}
