//! Where log lines go: standard error, as text or JSON, filtered by `SKYSPRAY_LOG`.

use clap::ValueEnum;
use std::io;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum LogFormat {
    /// One line for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The variable that says what is logged, as in `info,skyspray_relay::plane=debug`.
pub const LOG_VARIABLE: &str = "SKYSPRAY_LOG";

/// Sends the log of this process to standard error; `level` holds unless [`LOG_VARIABLE`] says
/// otherwise. Called once, by the binary.
pub fn start(level: LevelFilter, format: LogFormat) {
    let filter = EnvFilter::builder()
        .with_default_directive(level.into())
        .with_env_var(LOG_VARIABLE)
        .from_env_lossy();
    let lines = tracing_subscriber::fmt().with_writer(io::stderr).with_env_filter(filter);
    let started = match format {
        LogFormat::Text => lines.with_ansi(false).finish().try_init(),
        LogFormat::Json => lines.json().finish().try_init(),
    };
    debug_assert!(started.is_ok(), "the log is started once");
}
