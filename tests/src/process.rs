//! A child process: its lines as they come, its signals, what it used. Killed when dropped.

use crate::error::HarnessError;
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes of a log shown with an error.
const LOG_TAIL_BYTES: usize = 6000;

/// A command to start: a program, what runs it, and where its stderr goes.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Program and first arguments of whatever runs the program, such as `setpriv`; often empty.
    pub prefix: Vec<OsString>,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// File to which its stderr is appended.
    pub log: PathBuf,
}

/// A running child.
#[derive(Debug)]
pub struct Process {
    child: Child,
    shown: String,
    log: PathBuf,
    stdout: Arc<Lines>,
}

/// What a child has used since it began, from `/proc/PID/io`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Used {
    /// Bytes its read calls returned, from files and pipes.
    pub read_bytes: u64,
    /// Bytes its write calls took, to files and pipes.
    pub written_bytes: u64,
}

impl Process {
    /// Starts a command. Settings of the environment that would change what it does are removed.
    ///
    /// # Errors
    ///
    /// The program or the log file cannot be used.
    pub fn start(launch: &Launch) -> Result<Self, HarnessError> {
        let log = OpenOptions::new().create(true).append(true).open(&launch.log);
        let log = log.map_err(HarnessError::file(&launch.log))?;
        let mut words = launch.prefix.iter().cloned().chain([launch.program.clone().into()]);
        let first = words.next().expect("at least the program");
        let mut command = Command::new(first);
        command.args(words).args(&launch.arguments);
        for name in ["SKYSPRAY_DIR", "SKYSPRAY_LOG", "RUST_LOG"] {
            command.env_remove(name);
        }
        command.env("RUST_BACKTRACE", "1").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let spawned = command.spawn();
        let mut child = spawned
            .map_err(|source| HarnessError::Spawn { program: launch.program.clone(), source })?;
        let stdout = Arc::new(Lines::default());
        let pipe = child.stdout.take().expect("stdout is piped");
        let reader = Arc::clone(&stdout);
        thread::spawn(move || reader.fill(pipe));
        Ok(Self { child, shown: show(launch), log: launch.log.clone(), stdout })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The command line, for messages.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Waits for a line on stdout for which `find` answers.
    ///
    /// # Errors
    ///
    /// It ended or said nothing of the kind in time.
    pub fn wait_for<T>(
        &self,
        what: &'static str,
        within: Duration,
        mut find: impl FnMut(&str) -> Option<T>,
    ) -> Result<T, HarnessError> {
        let deadline = Instant::now() + within;
        let mut seen = 0;
        let mut state = self.stdout.lock();
        loop {
            while let Some(line) = state.lines.get(seen) {
                if let Some(found) = find(line) {
                    return Ok(found);
                }
                seen += 1;
            }
            let command = self.shown.clone();
            if state.ended {
                return Err(HarnessError::Ended { command, what, log: tail(&self.log) });
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let seconds = within.as_secs();
                return Err(HarnessError::Late { command, what, seconds, log: tail(&self.log) });
            }
            state = self.stdout.wait(state, left);
        }
    }

    /// What `find` answers for the latest line on stdout for which it does, of those so far.
    pub fn latest<T>(&self, find: impl FnMut(&str) -> Option<T>) -> Option<T> {
        let state = self.stdout.lock();
        state.lines.iter().rev().map(String::as_str).find_map(find)
    }

    /// Waits until it has ended and hands on its status and the lines of its stdout.
    ///
    /// `stop` is asked several times a second; once it says so, the child is asked to end.
    ///
    /// # Errors
    ///
    /// It is still running when time is up, and is killed then; or `stop` said so.
    pub fn finish(
        &mut self,
        within: Duration,
        stop: &dyn Fn() -> bool,
    ) -> Result<(ExitStatus, Vec<String>), HarnessError> {
        let deadline = Instant::now() + within;
        let mut state = self.stdout.lock();
        while !state.ended {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || stop() {
                drop(state);
                return Err(self.give_up(within, left.is_zero()));
            }
            state = self.stdout.wait(state, left.min(Duration::from_millis(100)));
        }
        let lines = std::mem::take(&mut state.lines);
        drop(state);
        Ok((self.reap(), lines))
    }

    fn give_up(&mut self, within: Duration, late: bool) -> HarnessError {
        if late {
            self.kill();
            return HarnessError::Late {
                command: self.shown.clone(),
                what: "its end",
                seconds: within.as_secs(),
                log: tail(&self.log),
            };
        }
        self.signal(Signal::TERM);
        self.reap();
        HarnessError::Interrupted
    }

    /// Sends a signal; nothing happens when it has ended.
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let id = id.expect("a child has a process id");
        // Fails only when the child is gone.
        let _ = kill_process(id, signal);
    }

    /// Kills it and waits until it is gone.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.reap();
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// The most memory it ever had resident, in bytes; `None` once it has ended.
    pub fn memory_bytes_peak(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        field(&status, "VmHWM:").map(|kib| kib * 1024)
    }

    /// What it has used so far; zero once it has ended.
    pub fn used(&self) -> Used {
        let read = fs::read_to_string(format!("/proc/{}/io", self.child.id()));
        let text = read.unwrap_or_default();
        let value = |name| field(&text, name).unwrap_or(0);
        Used { read_bytes: value("rchar:"), written_bytes: value("wchar:") }
    }

    fn reap(&mut self) -> ExitStatus {
        self.child.wait().expect("the child is ours to wait for")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.has_ended() {
            self.kill();
        }
    }
}

/// The number in the line of `text` that begins with `name`.
fn field(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// The end of a log, whole lines of it as far as they fit.
pub fn tail(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let from = bytes.len().saturating_sub(LOG_TAIL_BYTES);
    String::from_utf8_lossy(&bytes[from..]).into_owned()
}

/// Everything a log holds from byte `from` on.
pub(crate) fn rest_of(log: &Path, from: u64) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let from = usize::try_from(from).unwrap_or(usize::MAX).min(bytes.len());
    String::from_utf8_lossy(&bytes[from..]).into_owned()
}

/// Bytes in a log; 0 for one that is not there.
pub(crate) fn length_of(log: &Path) -> u64 {
    File::open(log).and_then(|file| file.metadata()).map_or(0, |found| found.len())
}

fn show(launch: &Launch) -> String {
    let program = launch.program.file_name().unwrap_or_default().to_string_lossy();
    let mut shown = program.into_owned();
    for argument in &launch.arguments {
        shown.push(' ');
        shown.push_str(&argument.to_string_lossy());
    }
    shown
}

/// The lines of a pipe. Under a lock because the reading thread adds what a test waits for.
#[derive(Debug, Default)]
struct Lines {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    fn fill(&self, pipe: ChildStdout) {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned();
            line.clear();
            self.lock().lines.push(text);
            self.changed.notify_all();
        }
        self.lock().ended = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics with the lock")
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, within: Duration) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, within).expect("no thread panics with the lock").0
    }
}

#[cfg(test)]
mod tests;
