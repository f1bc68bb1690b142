//! What a command left behind: exit code, lines, and the JSON objects in them.

use crate::error::HarnessError;
use crate::process::{Launch, Process, length_of, rest_of};
use serde_json::Value;
use std::time::{Duration, Instant};

/// A command that has ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// The command line.
    pub command: String,
    /// Its exit code; -1 when a signal ended it.
    pub code: i32,
    /// The lines of its stdout.
    pub lines: Vec<String>,
    /// All of its stderr.
    pub stderr: String,
    /// From start to end.
    pub took: Duration,
}

impl Output {
    /// Runs a command to its end.
    ///
    /// # Errors
    ///
    /// It does not start or does not end; not a code other than 0.
    pub fn of(
        launch: &Launch,
        within: Duration,
        stop: &dyn Fn() -> bool,
    ) -> Result<Self, HarnessError> {
        let from = length_of(&launch.log);
        let began = Instant::now();
        Self::finish(&mut Process::start(launch)?, launch, (from, began), (within, stop))
    }

    /// Waits for the end of a command that was started before, at `since` and with its log that
    /// long in bytes.
    ///
    /// # Errors
    ///
    /// As for [`Process::finish`].
    pub fn finish(
        process: &mut Process,
        launch: &Launch,
        (from, began): (u64, Instant),
        (within, stop): (Duration, &dyn Fn() -> bool),
    ) -> Result<Self, HarnessError> {
        let (status, lines) = process.finish(within, stop)?;
        Ok(Self {
            command: process.shown().to_owned(),
            code: status.code().unwrap_or(-1),
            lines,
            stderr: rest_of(&launch.log, from),
            took: began.elapsed(),
        })
    }

    /// The output of a command that must succeed.
    ///
    /// # Errors
    ///
    /// [`HarnessError::Failed`] with its stderr, and with its stdout where errors are JSON.
    pub fn done(self) -> Result<Self, HarnessError> {
        if self.code == 0 {
            return Ok(self);
        }
        let Self { command, code, .. } = &self;
        let (command, code) = (command.clone(), *code);
        Err(HarnessError::Failed { command, code, stderr: self.text() })
    }

    /// All it said, stdout first.
    pub fn text(&self) -> String {
        format!("{}\n{}", self.lines.join("\n"), self.stderr)
    }

    /// The JSON objects on stdout, in order.
    pub fn objects(&self) -> Vec<Value> {
        self.lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The last object whose `event` is this.
    pub fn event(&self, name: &str) -> Option<Value> {
        self.objects().into_iter().rev().find(|object| object["event"] == name)
    }

    /// A number in the `done` event.
    ///
    /// # Panics
    ///
    /// When there is no such event or number: the command's contract is broken.
    pub fn done_number(&self, field: &str) -> u64 {
        let done = self.event("done");
        let number = done.as_ref().and_then(|done| done[field].as_u64());
        number.unwrap_or_else(|| panic!("no number {field:?} in the done event of {self:#?}"))
    }
}
