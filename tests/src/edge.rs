//! An edge: a directory with an identity, a landing zone, and commands run as child processes.

use crate::binary::locate;
use crate::error::HarnessError;
use crate::output::Output;
use crate::process::{Launch, Process, tail};
use crate::wait::PATIENCE;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The name of the landing zone every edge here has.
pub const ZONE: &str = "lz";

/// An edge, enrolled or about to be.
#[derive(Clone, Debug)]
pub struct Edge {
    /// Its configuration and state.
    pub dir: PathBuf,
    /// The directory of its landing zone.
    pub zone: PathBuf,
    /// What runs its commands; see [`Launch::prefix`].
    pub prefix: Vec<OsString>,
    program: PathBuf,
    log: PathBuf,
}

/// A command of an edge that runs.
#[derive(Debug)]
pub struct Running {
    /// Its process.
    pub process: Process,
    launch: Launch,
    since: (u64, Instant),
}

impl Edge {
    /// Makes the directories of an edge in `root`, named after `name`.
    ///
    /// # Errors
    ///
    /// The host's.
    pub fn new(root: &Path, name: &str) -> Result<Self, HarnessError> {
        let (dir, zone) = (root.join(name), root.join(format!("{name}-zone")));
        fs::create_dir_all(&zone).map_err(HarnessError::file(&zone))?;
        let log = root.join(format!("{name}.log"));
        let program = locate("skyspray-edge")?;
        Ok(Self { dir, zone, prefix: Vec::new(), program, log })
    }

    /// Enrolls with a token; `zones` are further `--landing-zone` arguments.
    ///
    /// # Errors
    ///
    /// The command does not start or end; not a code other than 0.
    pub fn enroll(&self, token: &str, zones: &[String]) -> Result<Output, HarnessError> {
        let file = self.dir.with_extension("token");
        fs::write(&file, format!("{token}\n")).map_err(HarnessError::file(&file))?;
        let private = fs::Permissions::from_mode(0o600);
        fs::set_permissions(&file, private).map_err(HarnessError::file(&file))?;
        let zone = format!("{ZONE}={}", self.zone.display());
        let mut arguments = crate::args!["enroll", "--token-file", &file, "--landing-zone", &zone];
        for zone in zones {
            arguments.extend(crate::args!["--landing-zone", zone]);
        }
        self.run(arguments)
    }

    /// Runs a command to its end, with JSON output.
    ///
    /// # Errors
    ///
    /// It does not start or end; not a code other than 0.
    pub fn run(&self, arguments: Vec<OsString>) -> Result<Output, HarnessError> {
        self.run_unless(arguments, &|| false)
    }

    /// As [`Edge::run`], until `stop` says so.
    ///
    /// # Errors
    ///
    /// As for [`Edge::run`], and [`HarnessError::Interrupted`].
    pub fn run_unless(
        &self,
        arguments: Vec<OsString>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Output, HarnessError> {
        self.start(arguments)?.finish_within(PATIENCE, stop)
    }

    /// Starts a command, with JSON output.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub fn start(&self, arguments: Vec<OsString>) -> Result<Running, HarnessError> {
        let mut arguments = arguments;
        arguments.extend(crate::args!["--dir", &self.dir, "--json"]);
        let launch = Launch {
            prefix: self.prefix.clone(),
            program: self.program.clone(),
            arguments,
            log: self.log.clone(),
        };
        let since = (crate::process::length_of(&launch.log), Instant::now());
        Ok(Running { process: Process::start(&launch)?, launch, since })
    }

    /// The path of a file in its landing zone.
    pub fn file(&self, name: &str) -> PathBuf {
        self.zone.join(name)
    }

    /// The end of what its commands logged.
    pub fn log_tail(&self) -> String {
        tail(&self.log)
    }

    /// The receipts it keeps, sorted.
    pub fn receipts(&self) -> Vec<PathBuf> {
        let listed = fs::read_dir(self.dir.join("state/receipts"));
        let entries = listed.into_iter().flatten().flatten().map(|entry| entry.path());
        let mut receipts: Vec<_> =
            entries.filter(|path| path.extension().is_some_and(|name| name == "receipt")).collect();
        receipts.sort();
        receipts
    }

    /// Replaces the value of a key that stands on a line of its own in `edge.toml`.
    ///
    /// # Panics
    ///
    /// When there is no such line.
    pub fn configure(&self, key: &str, value: &str) {
        let path = self.dir.join("edge.toml");
        let text = fs::read_to_string(&path).expect("an enrolled edge has an edge.toml");
        let is_key = |line: &str| line.split('=').next().is_some_and(|name| name.trim() == key);
        assert!(text.lines().any(is_key), "no key {key} in edge.toml:\n{text}");
        let changed = text.lines().map(|line| match is_key(line) {
            true => format!("{key} = {value}\n"),
            false => format!("{line}\n"),
        });
        fs::write(&path, changed.collect::<String>()).expect("edge.toml can be written");
    }
}

impl Running {
    /// Waits for the end.
    ///
    /// # Errors
    ///
    /// It does not end.
    pub fn finish(&mut self) -> Result<Output, HarnessError> {
        self.finish_within(PATIENCE, &|| false)
    }

    /// Waits for the end as long as said, or until `stop` says so.
    ///
    /// # Errors
    ///
    /// It does not end in time, or `stop` said so.
    pub fn finish_within(
        &mut self,
        within: Duration,
        stop: &dyn Fn() -> bool,
    ) -> Result<Output, HarnessError> {
        Output::finish(&mut self.process, &self.launch, self.since, (within, stop))
    }
}
