//! A relay as a child process, and its administration.

use crate::binary::locate;
use crate::error::HarnessError;
use crate::output::Output;
use crate::process::{Launch, Process, length_of, rest_of, tail};
use crate::wait::PATIENCE;
use rustix::process::Signal;
use serde_json::Value;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a relay may take until it serves.
const READY: Duration = Duration::from_secs(30);

/// The name of the plane every relay here has.
pub const PLANE: &str = "data";

/// A relay with one plane that is a directory.
#[derive(Debug)]
pub struct Relay {
    /// Its configuration and state.
    pub dir: PathBuf,
    /// The directory of its plane.
    pub plane: PathBuf,
    program: PathBuf,
    /// What runs `serve`; see [`Launch::prefix`].
    pub prefix: Vec<OsString>,
    /// What runs the other commands, where they must see what `serve` sees; often empty.
    pub admin_prefix: Vec<OsString>,
    log: PathBuf,
    /// Where the log of the process that serves begins.
    log_start: u64,
    process: Option<Process>,
    listeners: Option<Listeners>,
}

/// Where a relay listens, as `address:port`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Listeners {
    /// For sessions.
    pub data: String,
    /// For enrollment.
    pub enroll: String,
}

impl Relay {
    /// Initialises a relay in `root/relay` with the plane `data` in `root/plane`, without starting
    /// it.
    ///
    /// # Errors
    ///
    /// `init` failed.
    pub fn init(root: &Path) -> Result<Self, HarnessError> {
        Self::init_with(root, Vec::new())
    }

    /// As [`Relay::init`], with more arguments of `init`.
    ///
    /// # Errors
    ///
    /// `init` failed.
    pub fn init_with(root: &Path, more: Vec<OsString>) -> Result<Self, HarnessError> {
        Self::init_at(root, "127.0.0.1", more)
    }

    /// As [`Relay::init_with`], with another address of this host than the loopback one.
    ///
    /// # Errors
    ///
    /// `init` failed.
    pub fn init_at(root: &Path, host: &str, more: Vec<OsString>) -> Result<Self, HarnessError> {
        let (dir, plane) = (root.join("relay"), root.join("plane"));
        fs::create_dir_all(&plane).map_err(HarnessError::file(&plane))?;
        let relay = Self {
            dir,
            plane,
            program: locate("skyspray-relay")?,
            prefix: Vec::new(),
            admin_prefix: Vec::new(),
            log: root.join("relay.log"),
            log_start: 0,
            process: None,
            listeners: None,
        };
        let url = format!("{PLANE}=file://{}", relay.plane.display());
        let mut arguments = crate::args!["init", &relay.dir, "--plane", &url];
        let any_port = format!("{host}:0");
        arguments.extend(crate::args!["--listen", &any_port, "--public-name", host]);
        arguments.extend(crate::args!["--enroll-listen", &any_port]);
        arguments.extend(more);
        Output::of(&relay.launch(arguments), PATIENCE, &|| false)?.done()?;
        Ok(relay)
    }

    /// Another replica in `root/name`, not started: its configuration, with the identity that replicas
    /// share in `shared`, and nothing else of its directory. Its ports are its own.
    ///
    /// # Errors
    ///
    /// The host's.
    pub fn replica(&self, root: &Path, name: &str, shared: &Path) -> Result<Self, HarnessError> {
        let dir = root.join(name);
        fs::create_dir(&dir).map_err(HarnessError::file(&dir))?;
        let path = self.dir.join("relay.toml");
        let text = fs::read_to_string(&path).map_err(HarnessError::file(&path))?;
        let path = dir.join("relay.toml");
        let text = format!("identity_dir = \"{}\"\n{text}", shared.display());
        fs::write(&path, text).map_err(HarnessError::file(&path))?;
        Ok(Self {
            dir,
            plane: self.plane.clone(),
            program: self.program.clone(),
            prefix: Vec::new(),
            admin_prefix: Vec::new(),
            log: root.join(format!("{name}.log")),
            log_start: 0,
            process: None,
            listeners: None,
        })
    }

    /// Adds a line that is not in a table to its configuration, for its next start.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn set(&self, line: &str) {
        let path = self.dir.join("relay.toml");
        let text = fs::read_to_string(&path).expect("an initialised relay has a relay.toml");
        // Keys of the file itself stand before its tables.
        fs::write(&path, format!("{line}\n{text}")).expect("relay.toml can be written");
    }

    /// Sessions it has greeted since it began, and how many of them have ended.
    pub fn sessions(&self) -> (usize, usize) {
        let log = rest_of(&self.log, self.log_start);
        let count = |what: &str| log.lines().filter(|line| line.contains(what)).count();
        (count(": session agent="), count(": session ended agent="))
    }

    /// Starts it and waits until it serves. From the second start on it has the ports of the first.
    ///
    /// # Errors
    ///
    /// It does not get ready.
    pub fn serve(&mut self) -> Result<(), HarnessError> {
        let mut launch = self.launch(crate::args!["serve", &self.dir]);
        launch.prefix = self.prefix.clone();
        self.log_start = length_of(&self.log);
        let process = Process::start(&launch)?;
        process.wait_for("ready", READY, |line| line.starts_with("ready").then_some(()))?;
        self.process = Some(process);
        if self.listeners.is_none() {
            self.keep_ports()?;
        }
        Ok(())
    }

    /// Where it listens.
    ///
    /// # Panics
    ///
    /// When it never served.
    pub fn listeners(&self) -> &Listeners {
        self.listeners.as_ref().expect("the relay has served")
    }

    /// Adds a table to its configuration, for its next start.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn configure(&self, table: &str) {
        let path = self.dir.join("relay.toml");
        let text = fs::read_to_string(&path).expect("an initialised relay has a relay.toml");
        fs::write(&path, format!("{text}\n{table}")).expect("relay.toml can be written");
    }

    /// Has it serve HTTP at this address from its next start on.
    ///
    /// # Panics
    ///
    /// When its configuration cannot be written.
    pub fn listen_http(&self, address: &str) {
        self.set(&format!("api_listen = \"{address}\""));
    }

    /// Where it serves HTTP, as `address:port`.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn http_address(&self) -> String {
        let text = fs::read_to_string(self.dir.join("run/addresses.json"));
        let value: Value =
            serde_json::from_str(&text.expect("the relay serves")).expect("addresses are JSON");
        value["api"].as_str().expect("the relay serves HTTP").to_owned()
    }

    /// Makes a token of its HTTP interface with this rule.
    ///
    /// # Panics
    ///
    /// When that fails.
    pub fn add_api_token(&self, name: &str, allow: &str) -> String {
        let arguments = crate::args!["api-token", "add", name, "--allow", allow];
        let added = self.admin(arguments).and_then(Output::done);
        let added = added.unwrap_or_else(|error| panic!("{error}"));
        added.objects()[0]["token"].as_str().expect("the token is told").to_owned()
    }

    /// Learns the ports it was given and writes them into its configuration.
    fn keep_ports(&mut self) -> Result<(), HarnessError> {
        let path = self.dir.join("run/addresses.json");
        let text = fs::read_to_string(&path).map_err(HarnessError::file(&path))?;
        let value: Value = serde_json::from_str(&text).unwrap_or_default();
        let address = |name: &str| value[name].as_str().map(str::to_owned);
        let (Some(data), Some(enroll)) = (address("data"), address("enroll")) else {
            let what = "its addresses in run/addresses.json";
            return Err(HarnessError::Unsaid { command: "serve".into(), what });
        };
        let path = self.dir.join("relay.toml");
        let text = fs::read_to_string(&path).map_err(HarnessError::file(&path))?;
        let fixed = text.lines().map(|line| match line.split('=').next().map(str::trim) {
            Some("listen") => format!("listen = \"{data}\"\n"),
            Some("enroll_listen") => format!("enroll_listen = \"{enroll}\"\n"),
            _ => format!("{line}\n"),
        });
        fs::write(&path, fixed.collect::<String>()).map_err(HarnessError::file(&path))?;
        self.listeners = Some(Listeners { data, enroll });
        Ok(())
    }

    /// The process that serves.
    ///
    /// # Panics
    ///
    /// When none does.
    pub fn process(&self) -> &Process {
        self.process.as_ref().expect("the relay was started")
    }

    /// Whether a process of it was started and neither killed nor stopped since.
    pub fn is_started(&self) -> bool {
        self.process.is_some()
    }

    /// Kills it without a word.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Asks it to end, and waits. The exit code, -1 for a signal.
    ///
    /// # Errors
    ///
    /// It does not end.
    pub fn stop(&mut self) -> Result<i32, HarnessError> {
        let Some(mut process) = self.process.take() else { return Ok(0) };
        process.signal(Signal::TERM);
        let (status, _) = process.finish(PATIENCE, &|| false)?;
        Ok(status.code().unwrap_or(-1))
    }

    /// Runs another command on its directory to the end, with JSON output.
    ///
    /// # Errors
    ///
    /// It does not start or end; not a code other than 0.
    pub fn admin(&self, arguments: Vec<OsString>) -> Result<Output, HarnessError> {
        let mut arguments = arguments;
        arguments.extend(crate::args!["--dir", &self.dir, "--json"]);
        let mut launch = self.launch(arguments);
        launch.log = self.dir.with_extension("admin.log");
        launch.prefix = self.admin_prefix.clone();
        Output::of(&launch, PATIENCE, &|| false)
    }

    /// Allows a new agent to enroll, and hands on its token.
    ///
    /// # Errors
    ///
    /// `agent add` failed.
    pub fn add_agent(&self, name: &str, extra: &[&str]) -> Result<String, HarnessError> {
        let mut arguments = crate::args!["agent", "add", name, "--dir", &self.dir];
        arguments.extend(extra.iter().map(OsString::from));
        let output = Output::of(&self.launch(arguments), PATIENCE, &|| false)?.done()?;
        match &output.lines[..] {
            [token] => Ok(token.clone()),
            _ => Err(HarnessError::Unsaid {
                command: output.command,
                what: "the token alone on one line of stdout",
            }),
        }
    }

    /// The end of what it logged.
    pub fn log_tail(&self) -> String {
        tail(&self.log)
    }

    fn launch(&self, arguments: Vec<OsString>) -> Launch {
        Launch {
            prefix: Vec::new(),
            program: self.program.clone(),
            arguments,
            log: self.log.clone(),
        }
    }
}
