//! What a command says: results on stdout, progress, warnings and errors on stderr; with `--json`
//! everything as one object a line on stdout.

mod meter;
mod screen;
mod time;

use crate::exit::{Chain, Details, Exit, Explain};
use clap::ValueEnum;
use screen::Screen;
use serde::Serialize;
use std::fmt;
use std::io::{IsTerminal as _, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

pub use meter::{Meter, Reading};
pub use screen::ProgressMode;
pub use time::utc_text;

/// Version of the objects `--json` prints. Fields may be added to a version, never changed.
pub const SCHEMA: u32 = 1;

/// How a command talks, as the command line says it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Manner {
    /// One JSON object a line.
    pub json: bool,
    /// Only results and errors.
    pub quiet: bool,
    /// How progress is shown; decided by where stderr goes when not said.
    pub progress: Option<ProgressChoice>,
}

/// What `--progress` takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum ProgressChoice {
    /// A bar on stderr.
    Tty,
    /// A line on stderr every 5 seconds.
    Plain,
    /// An object on stdout five times a second.
    Json,
    /// Nothing.
    None,
}

/// Takes what a command has to say and puts it where it belongs. Clones speak with one voice; any
/// thread may.
#[derive(Clone)]
pub struct Reporter {
    manner: Manner,
    // Shared by the tasks of a job and the log; held for one line at a time.
    screen: Arc<Mutex<Screen>>,
}

#[derive(Serialize)]
struct Line<'a, F> {
    schema: u32,
    event: &'a str,
    #[serde(flatten)]
    fields: F,
}

#[derive(Serialize)]
struct Failure<'a> {
    code: &'a str,
    exit: Exit,
    message: String,
    #[serde(flatten)]
    details: Details,
    #[serde(rename = "try")]
    advice: Option<String>,
}

#[derive(Serialize)]
struct Warning<'a> {
    code: &'a str,
    message: String,
}

impl Reporter {
    /// Speaks on this process's stdout and stderr.
    pub fn new(manner: Manner) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let mode = ProgressMode::choose(manner, terminal);
        Self::with_streams(manner, mode, (Box::new(std::io::stdout()), Box::new(std::io::stderr())))
    }

    /// Speaks on other streams: stdout, then stderr.
    pub fn with_streams(
        manner: Manner,
        mode: ProgressMode,
        streams: (Box<dyn Write + Send>, Box<dyn Write + Send>),
    ) -> Self {
        Self { manner, screen: Arc::new(Mutex::new(Screen::new(mode, streams))) }
    }

    /// A result: `text` on stdout, or the event with its fields.
    ///
    /// `event` is lower-case words joined by `-`; `fields` is a struct or map without `schema` and
    /// `event`. An empty text prints nothing.
    pub fn result(&self, event: &str, fields: &impl Serialize, text: impl fmt::Display) {
        if self.manner.json {
            self.json(event, fields);
        } else {
            self.screen().out_text(&text.to_string());
        }
    }

    /// Something worth knowing on the way: `text` on stderr unless quiet, or the event.
    pub fn note(&self, event: &str, fields: &impl Serialize, text: impl fmt::Display) {
        if self.manner.json {
            self.json(event, fields);
        } else if !self.manner.quiet {
            self.screen().err_text(&text.to_string());
        }
    }

    /// Something that is not right but ends nothing. `code` is for programs, as in [`Explain`].
    pub fn warn(&self, code: &str, text: impl fmt::Display) {
        let message = text.to_string();
        if self.manner.json {
            self.json("warning", &Warning { code, message });
        } else {
            self.screen().err_text(&format!("warning: {message}"));
        }
    }

    /// The error of one of many files; the command goes on.
    pub fn file_error(&self, error: &dyn Explain) {
        self.say_error("file-error", error);
    }

    /// The error that ends the command; returns the exit it ends with.
    pub fn fail(&self, error: &dyn Explain) -> Exit {
        self.progress_end();
        self.say_error("error", error);
        error.exit()
    }

    /// Says how far the job is: bytes durable on the other side, and of how many, where known.
    ///
    /// Cheap; may be called for every acknowledgement. The first call marks where this run began.
    pub fn progress(&self, durable: u64, total: Option<u64>) {
        self.screen().progress(durable, total, Instant::now());
    }

    /// Takes the bar away, after a last line of progress in the other modes.
    pub fn progress_end(&self) {
        self.screen().progress_end(Instant::now());
    }

    /// Ends the output; what could not be written to stdout turns success into failure.
    pub fn finish(&self, exit: Exit) -> Exit {
        self.progress_end();
        let lost = self.screen().close();
        if lost && exit == Exit::Done { Exit::Internal } else { exit }
    }

    /// Whether nobody reads stdout any more, so that long lists may stop.
    pub fn is_closed(&self) -> bool {
        self.screen().is_closed()
    }

    /// Passes a whole log line to stderr, clear of the bar.
    pub fn log(&self, line: &[u8]) {
        self.screen().err_bytes(line);
    }

    fn say_error(&self, event: &str, error: &dyn Explain) {
        let (code, exit, advice) = (error.code(), error.exit(), error.advice());
        let (message, details) = (Chain(error).to_string(), error.details());
        if self.manner.json {
            self.json(event, &Failure { code: &code, exit, message, details, advice });
            return;
        }
        let number = details.hpcc.map_or_else(String::new, |hpcc| format!(" (HPCC {hpcc})"));
        let advice = advice.map_or_else(String::new, |advice| format!("\n  try: {advice}"));
        self.screen().err_text(&format!("error: {message}{number}{advice}"));
    }

    fn json(&self, event: &str, fields: &impl Serialize) {
        let line = serde_json::to_string(&Line { schema: SCHEMA, event, fields });
        self.screen().out_text(&line.expect("fields are a struct or map of plain data"));
    }

    fn screen(&self) -> MutexGuard<'_, Screen> {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter").field("manner", &self.manner).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
