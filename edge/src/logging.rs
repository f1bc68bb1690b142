//! The log: lines on stderr, clear of the progress bar, filtered by `-v` or `SKYSPRAY_LOG`.

use crate::output::Reporter;
use std::io;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The variable that says what is logged, as in `info,skyspray_link=debug`.
pub const LOG_VARIABLE: &str = "SKYSPRAY_LOG";

/// Sends the log of this process through `reporter`. Called once, by the binary.
pub fn start(level: LevelFilter, reporter: &Reporter) {
    let filter = EnvFilter::builder()
        .with_default_directive(level.into())
        .with_env_var(LOG_VARIABLE)
        .from_env_lossy();
    let reporter = reporter.clone();
    let lines = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || LineWriter(reporter.clone()))
        .with_env_filter(filter);
    let started = lines.finish().try_init();
    debug_assert!(started.is_ok(), "the log is started once");
}

/// The level that `-q` and a number of `-v` ask for.
pub fn level(quiet: bool, verbose: u8) -> LevelFilter {
    match (quiet, verbose) {
        (true, _) => LevelFilter::ERROR,
        (false, 0) => LevelFilter::WARN,
        (false, 1) => LevelFilter::INFO,
        (false, 2) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    }
}

/// The subscriber writes each line with one call.
struct LineWriter(Reporter);

impl io::Write for LineWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.log(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_v_logs_one_level_more() {
        assert_eq!(level(true, 0), LevelFilter::ERROR);
        let levels = [0, 1, 2, 3, 9].map(|verbose| level(false, verbose));
        assert_eq!(
            levels,
            [
                LevelFilter::WARN,
                LevelFilter::INFO,
                LevelFilter::DEBUG,
                LevelFilter::TRACE,
                LevelFilter::TRACE
            ]
        );
    }
}
