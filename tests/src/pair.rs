//! One relay and one enrolled edge in a temporary directory, ready to work.

use crate::edge::{Edge, Running};
use crate::error::HarnessError;
use crate::output::Output;
use crate::relay::{PLANE, Relay};
use crate::wait;
use std::ffi::OsString;
use std::path::Path;
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// The name of the agent the edge of a pair enrolls as.
pub const AGENT: &str = "metal-1";

/// A relay that serves and an edge that may do everything on its plane. Fields end in this order.
#[derive(Debug)]
pub struct Pair {
    /// The edge.
    pub edge: Edge,
    /// The relay.
    pub relay: Relay,
    /// Holds everything of both; removed at the end.
    pub root: TempDir,
}

impl Pair {
    /// Starts both.
    ///
    /// # Errors
    ///
    /// One of them does not start, or the edge does not enroll.
    pub fn try_start() -> Result<Self, HarnessError> {
        let mut pair = Self::prepare()?;
        pair.relay.serve()?;
        pair.enroll(&format!("push,pull,list,remove,overwrite:{PLANE}"))?;
        Ok(pair)
    }

    /// As [`Pair::try_start`].
    ///
    /// # Panics
    ///
    /// When that fails.
    pub fn start() -> Self {
        Self::try_start().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Makes both without starting the relay or enrolling the edge.
    ///
    /// # Errors
    ///
    /// `init` failed, or the host's.
    pub fn prepare() -> Result<Self, HarnessError> {
        let root = tempfile::Builder::new().prefix("skyspray-test-").tempdir();
        let root = root.map_err(HarnessError::file(std::env::temp_dir()))?;
        let relay = Relay::init(root.path())?;
        let edge = Edge::new(root.path(), "edge")?;
        Ok(Self { edge, relay, root })
    }

    /// Enrolls the edge with this rule.
    ///
    /// # Errors
    ///
    /// The token is not made or not taken.
    pub fn enroll(&self, allow: &str) -> Result<(), HarnessError> {
        let token = self.relay.add_agent(AGENT, &["--allow", allow])?;
        self.edge.enroll(&token, &[])?.done()?;
        Ok(())
    }

    /// `data:name`, as commands take it.
    pub fn target(&self, name: &str) -> String {
        format!("{PLANE}:{name}")
    }

    /// Runs a command of the edge that must succeed.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn done(&self, arguments: Vec<OsString>) -> Output {
        let output = self.run(arguments);
        output.done().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Runs a command of the edge that may fail.
    ///
    /// # Panics
    ///
    /// When it does not start or end.
    pub fn run(&self, arguments: Vec<OsString>) -> Output {
        self.edge.run(arguments).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts a command of the edge.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn begin(&self, arguments: Vec<OsString>) -> Running {
        self.edge.start(arguments).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Kills the relay and starts it again on the same ports.
    ///
    /// # Panics
    ///
    /// When it does not get ready.
    pub fn restart_relay(&mut self) {
        self.relay.kill();
        self.relay.serve().unwrap_or_else(|error| panic!("{error}"));
    }

    /// The arguments of a spray of fixed records of one byte.
    pub fn spray_bytes(&self, source: &Path, name: &str, parts: u32) -> Vec<OsString> {
        let mut arguments = crate::args!["spray", source, &self.target(name)];
        arguments.extend(crate::args!["--format", "fixed", "--record-size", "1"]);
        arguments.extend(crate::args!["--parts", &parts.to_string()]);
        arguments
    }

    /// Waits until the relay has written `bytes` more than `before`, or `running` has ended; says
    /// which: `true` when it was written first.
    ///
    /// # Panics
    ///
    /// When neither happens.
    pub fn wait_written(&self, before: u64, bytes: u64, running: &mut Running) -> bool {
        let relay = self.relay.process();
        let seen = wait::poll(Duration::from_secs(60), || {
            if relay.used().written_bytes >= before + bytes {
                return Some(true);
            }
            running.process.has_ended().then_some(false)
        });
        seen.unwrap_or_else(|| panic!("the relay did not write {bytes} bytes within 60 s"))
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- the relay's log ends with\n{}", self.relay.log_tail());
        }
    }
}
