//! What a command and the server it talks to use: wall time, CPU time and memory, from `/proc`.

use crate::error::HarnessError;
use crate::output::Output;
use crate::process::{Launch, Process};
use crate::wait;
use serde_json::{Value, json};
use std::fs;
use std::process;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Units of the times in `/proc/PID/stat` in a second: `USER_HZ`, the same on every architecture
/// this project is built for.
const TICKS_PER_SECOND: f64 = 100.0;

/// How often the memory of all processes is looked at.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(50);

/// How long the processes a server made for a command may outlive it.
const SETTLE: Duration = Duration::from_secs(20);

/// What one command and its server used.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// From the start of the command to its end.
    pub(super) wall_seconds: f64,
    /// User and system time of the command and all it started.
    pub(super) client_cpu_seconds: f64,
    /// User and system time of the server and all it started, during the command.
    pub(super) server_cpu_seconds: f64,
    /// The most any one process of the command had resident, in bytes.
    pub(super) client_memory_bytes: u64,
    /// The most any one process of the server had resident during the command, in bytes.
    pub(super) server_memory_bytes: u64,
}

impl Usage {
    pub(super) fn json(&self) -> Value {
        json!({
            "wall_seconds": self.wall_seconds,
            "client_cpu_seconds": self.client_cpu_seconds,
            "server_cpu_seconds": self.server_cpu_seconds,
            "client_memory_bytes": self.client_memory_bytes,
            "server_memory_bytes": self.server_memory_bytes,
        })
    }

    /// CPU time of both sides.
    pub(super) fn cpu_seconds(&self) -> f64 {
        self.client_cpu_seconds + self.server_cpu_seconds
    }

    /// Runs a command that must succeed and says what it and the process `server` used.
    ///
    /// # Errors
    ///
    /// It does not start, does not end in time, or fails.
    pub(super) fn of(
        launch: &Launch,
        server: Option<u32>,
        (within, stop): (Duration, &dyn Fn() -> bool),
    ) -> Result<Self, HarnessError> {
        Self::of_watched(launch, server, (within, stop), |_| Ok(())).map(|(usage, ())| usage)
    }

    /// As [`Usage::of`], and hands on what `look` sees of the command while it runs.
    ///
    /// # Errors
    ///
    /// As for [`Usage::of`], before those of `look`.
    pub(super) fn of_watched<T>(
        launch: &Launch,
        server: Option<u32>,
        (within, stop): (Duration, &dyn Fn() -> bool),
        look: impl FnOnce(&Process) -> Result<T, HarnessError>,
    ) -> Result<(Self, T), HarnessError> {
        let from = crate::process::length_of(&launch.log);
        if let Some(server) = server {
            forget_peaks(server);
        }
        let serving_before = server.map_or(0.0, tree_cpu_seconds);
        let reaped_before = reaped_cpu_seconds();
        let began = Instant::now();
        let mut command = Process::start(launch)?;
        let watch = Watch::begin(command.id(), server);
        let seen = look(&command);
        let ended = Output::finish(&mut command, launch, (from, began), (within, stop));
        let client_cpu_seconds = reaped_cpu_seconds() - reaped_before;
        let (client_memory_bytes, server_memory_bytes) = watch.end();
        let output = ended?.done()?;
        let usage = Self {
            wall_seconds: output.took.as_secs_f64(),
            client_cpu_seconds,
            server_cpu_seconds: server.map_or(0.0, settled_cpu_seconds) - serving_before,
            client_memory_bytes,
            server_memory_bytes,
        };
        Ok((usage, seen?))
    }
}

/// Memory of one process in bytes: what it has resident, and the most it ever had.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Memory {
    pub(super) resident_bytes: u64,
    pub(super) peak_bytes: u64,
}

impl Memory {
    /// That of a running process; `None` when it is gone.
    pub(super) fn of(id: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{id}/status")).ok()?)
    }

    /// That in the text of `/proc/PID/status`.
    fn parse(status: &str) -> Option<Self> {
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
        };
        Some(Self { resident_bytes: bytes("VmRSS:")?, peak_bytes: bytes("VmHWM:")? })
    }
}

/// CPU time of a server once what it started for the command is gone.
fn settled_cpu_seconds(server: u32) -> f64 {
    wait::poll(SETTLE, || (tree(server).len() <= 1).then_some(()));
    tree_cpu_seconds(server)
}

/// CPU time of the children this process has waited for.
fn reaped_cpu_seconds() -> f64 {
    times(process::id()).map_or(0.0, |times| times.reaped)
}

/// CPU time of a process, all below it, and all they have waited for.
pub(super) fn tree_cpu_seconds(root: u32) -> f64 {
    tree(root).into_iter().filter_map(times).map(|times| times.own + times.reaped).sum()
}

/// CPU time of one process in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Times {
    own: f64,
    reaped: f64,
}

fn times(id: u32) -> Option<Times> {
    parse_times(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
}

/// The times in the text of `/proc/PID/stat`; the name of the program may hold anything.
fn parse_times(stat: &str) -> Option<Times> {
    let (_, fields) = stat.rsplit_once(')')?;
    // After the name come the state and ten numbers, then utime, stime, cutime and cstime.
    let ticks: Option<Vec<f64>> =
        fields.split_whitespace().skip(11).take(4).map(|field| field.parse().ok()).collect();
    match ticks?[..] {
        [user, system, reaped_user, reaped_system] => Some(Times {
            own: (user + system) / TICKS_PER_SECOND,
            reaped: (reaped_user + reaped_system) / TICKS_PER_SECOND,
        }),
        _ => None,
    }
}

/// A process and all below it.
fn tree(root: u32) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&id) = found.get(next) {
        found.extend(children(id));
        next += 1;
    }
    found
}

fn children(id: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().flat_map(str::parse).collect::<Vec<_>>())
        .collect()
}

/// The most memory any process of a tree ever had resident, in bytes.
fn peak_memory_bytes(root: u32) -> u64 {
    let peak = |id| Memory::of(id).map(|memory| memory.peak_bytes);
    tree(root).into_iter().filter_map(peak).max().unwrap_or(0)
}

/// Lets the peaks of a server begin anew. Where the host does not allow it they are those of its
/// whole life.
fn forget_peaks(server: u32) {
    for id in tree(server) {
        let _ = fs::write(format!("/proc/{id}/clear_refs"), "5");
    }
}

/// A thread that looks at the memory of both sides while a command runs: the figures of a process
/// are gone with it.
pub(super) struct Watch {
    end: SyncSender<()>,
    thread: JoinHandle<(u64, u64)>,
}

impl Watch {
    pub(super) fn begin(client: u32, server: Option<u32>) -> Self {
        let (end, ended) = sync_channel(1);
        let thread = thread::spawn(move || {
            let mut peaks = (0, 0);
            loop {
                peaks.0 = peak_memory_bytes(client).max(peaks.0);
                peaks.1 = server.map_or(0, peak_memory_bytes).max(peaks.1);
                if ended.recv_timeout(SAMPLE_INTERVAL) != Err(RecvTimeoutError::Timeout) {
                    return peaks;
                }
            }
        });
        Self { end, thread }
    }

    /// The most any one process of the client and of the server had resident since, in bytes.
    pub(super) fn end(self) -> (u64, u64) {
        // The thread waits for this alone, so it is there to hear it.
        let _ = self.end.send(());
        self.thread.join().expect("reading /proc does not panic")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_a_name_with_parentheses_and_spaces() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 9 8 7 6 150 50 1000 25 20 0 3 0 99";

        assert_eq!(parse_times(stat), Some(Times { own: 2.0, reaped: 10.25 }));
        assert_eq!(parse_times("7 (a) S 1 7"), None);
    }

    #[test]
    fn memory_is_what_is_resident_and_the_most_that_was() {
        let status = "Name:\tVmRSS: 9\nVmPeak:\t 99 kB\nVmHWM:\t    8 kB\nVmRSS:\t    5 kB\n";

        let memory = Memory { resident_bytes: 5 * 1024, peak_bytes: 8 * 1024 };
        assert_eq!(Memory::parse(status), Some(memory));
        assert_eq!(Memory::parse("Name:\tgone\n"), None);
        assert!(Memory::of(process::id()).unwrap().resident_bytes > 0);
    }

    #[test]
    fn the_tree_of_a_process_holds_its_children() {
        let root = tempfile::tempdir().unwrap();
        let launch = Launch {
            prefix: Vec::new(),
            program: "sleep".into(),
            arguments: crate::args!["60"],
            log: root.path().join("log"),
        };
        let child = Process::start(&launch).unwrap();

        assert!(tree(process::id()).contains(&child.id()));
        assert_eq!(tree(child.id()), [child.id()]);
    }
}
