//! An emulated long path: an edge on its near side, a relay on its far side. Needs root, `/dev/net/tun`,
//! `nsenter`, and the program `wanlink` beside the others.

use crate::binary::locate;
use crate::edge::Edge;
use crate::error::HarnessError;
use crate::output::Output;
use crate::pair::Pair;
use crate::process::{Launch, Process, tail};
use crate::relay::{PLANE, Relay};
use crate::wait::PATIENCE;
use rustix::process::Signal;
use serde_json::Value;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

/// Address of the far side, in a namespace of its own.
pub const FAR: &str = "10.77.0.2";

/// What a link is made with.
const TUN: &str = "/dev/net/tun";

/// How long a link may take until it is up.
const LINK_READY: Duration = Duration::from_secs(10);

/// A long path, the same in both directions.
#[derive(Clone, Copy, Debug)]
pub struct LongPath {
    /// Bits a second.
    pub bits_per_second: u64,
    /// From one end to the other; a round trip is twice this.
    pub delay: Duration,
    /// Share of the packets that is lost at random.
    pub loss: f64,
    /// What the losses are made from.
    pub seed: u64,
}

impl LongPath {
    /// What `wanlink` makes it from.
    fn options(self) -> Vec<OsString> {
        crate::args![
            "--rate",
            &self.bits_per_second.to_string(),
            "--delay",
            &format!("{}us", self.delay.as_micros()),
            "--loss",
            &self.loss.to_string(),
            "--seed",
            &self.seed.to_string(),
        ]
    }
}

/// Why this host emulates no link, in one line; `None` when it does.
pub fn obstacle(path: LongPath) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("an emulated path needs root".into());
    }
    if !Path::new(TUN).exists() {
        return Some(format!("there is no {TUN}"));
    }
    tried(path).err().map(|error| match &error {
        // What it said last is why.
        HarnessError::Ended { log, .. } => {
            let said = log.lines().rfind(|line| !line.trim().is_empty());
            said.map_or_else(|| error.to_string(), |line| line.trim().to_owned())
        }
        _ => error.to_string(),
    })
}

/// Has a link once, and a program on it.
fn tried(path: LongPath) -> Result<(), HarnessError> {
    let root = tempfile::Builder::new().prefix("skyspray-wan-").tempdir();
    let root = root.map_err(HarnessError::file(std::env::temp_dir()))?;
    let link = Link::up(path, &[], root.path())?;
    link.congestion_control(root.path())?;
    link.down()?;
    Ok(())
}

/// An enrolled edge and the relay that it reaches over a path. Fields end in this order.
#[derive(Debug)]
pub struct Ends {
    /// Both, the relay serving.
    pub pair: Pair,
    /// The path between them.
    pub link: Link,
}

impl Ends {
    /// Brings them together.
    ///
    /// # Errors
    ///
    /// A program is missing or fails, or the host cannot emulate a link.
    pub fn meet(path: LongPath) -> Result<Self, HarnessError> {
        let root = tempfile::Builder::new().prefix("skyspray-wan-").tempdir();
        let root = root.map_err(HarnessError::file(std::env::temp_dir()))?;
        let relay = Relay::init_at(root.path(), FAR, Vec::new())?;
        let edge = Edge::new(root.path(), "edge")?;
        let mut pair = Pair { edge, relay, root };
        let link = Link::up(path, &[], pair.root.path())?;
        link.join(&mut pair);
        pair.relay.serve()?;
        pair.enroll(&format!("push,pull,list,remove,overwrite:{PLANE}"))?;
        Ok(Self { pair, link })
    }

    /// As [`Ends::meet`], for a test; `None` where the host emulates no path, which it says.
    ///
    /// # Panics
    ///
    /// Where the host emulates paths and they do not come together.
    pub fn meet_or_skip(path: LongPath) -> Option<Self> {
        locate("wanlink").unwrap_or_else(|error| panic!("{error}"));
        if let Some(obstacle) = obstacle(path) {
            eprintln!("skipped: {obstacle}");
            return None;
        }
        Some(Self::meet(path).unwrap_or_else(|error| panic!("{error}")))
    }

    /// Puts another path between them, with `more` options of `wanlink`: its figures are those of what
    /// follows alone.
    ///
    /// # Errors
    ///
    /// As for [`Ends::meet`].
    pub fn meet_again(self, path: LongPath, more: &[OsString]) -> Result<Self, HarnessError> {
        Self::join(self.part()?.0, path, more)
    }

    /// Takes the path away, and hands on what it counted. The relay does not serve any more.
    ///
    /// # Errors
    ///
    /// The link does not end, or does not say its figures.
    pub fn part(self) -> Result<(Pair, Figures), HarnessError> {
        let Self { mut pair, link } = self;
        pair.relay.kill();
        let figures = link.down()?;
        Ok((pair, figures))
    }

    /// Brings two together that were parted.
    ///
    /// # Errors
    ///
    /// As for [`Ends::meet`].
    pub fn join(mut pair: Pair, path: LongPath, more: &[OsString]) -> Result<Self, HarnessError> {
        let link = Link::up(path, more, pair.root.path())?;
        link.join(&mut pair);
        pair.relay.serve()?;
        Ok(Self { pair, link })
    }
}

/// An emulated link.
#[derive(Debug)]
pub struct Link {
    process: Process,
    launch: Launch,
    /// What runs a command on its sides.
    near: Vec<OsString>,
    far: Vec<OsString>,
}

impl Link {
    /// Brings one up, with `more` options of `wanlink`; its log is in `root`.
    fn up(path: LongPath, more: &[OsString], root: &Path) -> Result<Self, HarnessError> {
        let mut arguments = crate::args!["--json"];
        arguments.extend(path.options());
        arguments.extend_from_slice(more);
        let log = root.join("wanlink.log");
        let launch = Launch { prefix: Vec::new(), program: locate("wanlink")?, arguments, log };
        // The figures of a link are what its log ends with.
        std::fs::write(&launch.log, "").map_err(HarnessError::file(&launch.log))?;
        let process = Process::start(&launch)?;
        let enter = |side: &'static str| {
            process.wait_for("a link", LINK_READY, |line| {
                let (_, rest) = line.strip_prefix(side)?.split_once("nsenter ")?;
                let namespace = rest.split_whitespace().next()?;
                Some(crate::args!["nsenter", namespace])
            })
        };
        let (near, far) = (enter("near:")?, enter("far:")?);
        Ok(Self { process, launch, near, far })
    }

    /// Puts the edge on its near and the relay on its far side.
    fn join(&self, pair: &mut Pair) {
        pair.relay.prefix = self.far.clone();
        pair.edge.prefix = self.near.clone();
    }

    /// What runs a command on its near side.
    pub fn near(&self) -> Vec<OsString> {
        self.near.clone()
    }

    /// What runs a command on its far side, at [`FAR`].
    pub fn far(&self) -> Vec<OsString> {
        self.far.clone()
    }

    /// The congestion control that TCP has on it.
    ///
    /// # Errors
    ///
    /// No program runs on it.
    pub fn congestion_control(&self, root: &Path) -> Result<String, HarnessError> {
        let arguments = crate::args!["/proc/sys/net/ipv4/tcp_congestion_control"];
        let log = root.join("cat.log");
        let launch = Launch { prefix: self.near(), program: "cat".into(), arguments, log };
        let said = Output::of(&launch, PATIENCE, &|| false)?.done()?;
        Ok(said.lines.concat().trim().to_owned())
    }

    /// Takes it down and hands on its figures of each way.
    ///
    /// # Errors
    ///
    /// It does not end, or does not say them.
    pub fn down(mut self) -> Result<Figures, HarnessError> {
        self.process.signal(Signal::TERM);
        self.process.finish(PATIENCE, &|| false)?;
        let log = tail(&self.launch.log);
        let figures = || log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let of = |way: &str| {
            let unsaid = || HarnessError::Unsaid {
                command: self.process.shown().to_owned(),
                what: "the figures of the link",
            };
            figures().find(|figures| figures["dir"] == way).ok_or_else(unsaid)
        };
        Ok(Figures { up: of("up")?, down: of("down")? })
    }
}

/// What a link counted, as it says it.
#[derive(Debug)]
pub struct Figures {
    /// From the edge to the relay.
    pub up: Value,
    /// From the relay to the edge.
    pub down: Value,
}
