//! A spray over an emulated long path: an edge on its near side, a relay on its far side. Needs root,
//! `/dev/net/tun`, `nsenter`, and the program `wanlink` beside the others.

use crate::binary::locate;
use crate::data;
use crate::edge::Edge;
use crate::error::HarnessError;
use crate::process::{Launch, Process, tail};
use crate::relay::{PLANE, Relay};
use crate::wait::PATIENCE;
use rustix::process::Signal;
use serde_json::Value;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

/// Address of the far side, in a namespace of its own.
const FAR: &str = "10.77.0.2";

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
    /// What the losses, and the bytes of the file, are made from.
    pub seed: u64,
}

/// What one spray over a path came to.
#[derive(Clone, Copy, Debug)]
pub struct Carried {
    /// From the start of the command to its end, in seconds.
    pub seconds: f64,
    /// Share of the path's rate that was content of the file.
    pub goodput: f64,
    /// Packets the edge sent.
    pub packets: u64,
    /// Packets that found the queue of the path full.
    pub dropped_by_queue: u64,
    /// Mean time a packet waited in that queue.
    pub mean_queue: Duration,
}

/// Sprays a file of `bytes` that cannot be compressed over `path`, once.
///
/// # Errors
///
/// A program is missing or fails, or the host cannot emulate a link.
pub fn spray(path: LongPath, bytes: u64) -> Result<Carried, HarnessError> {
    let root = tempfile::Builder::new().prefix("skyspray-wan-").tempdir();
    let root = root.map_err(HarnessError::file(std::env::temp_dir()))?;
    let mut relay = Relay::init_at(root.path(), FAR, Vec::new())?;
    let mut edge = Edge::new(root.path(), "edge")?;
    let link = Link::up(path, root.path())?;
    relay.prefix = link.far.clone();
    edge.prefix = link.near.clone();
    relay.serve()?;
    let token = relay.add_agent("wan", &["--allow", &format!("push:{PLANE}")])?;
    edge.enroll(&token, &[])?.done()?;
    link.down()?;

    // A link of its own for the file, whose figures are those of the file alone.
    let source = edge.file("file.bin");
    data::random_file(&source, bytes, path.seed).map_err(HarnessError::file(&source))?;
    relay.kill();
    let link = Link::up(path, root.path())?;
    relay.prefix = link.far.clone();
    edge.prefix = link.near.clone();
    relay.serve()?;
    let mut arguments = crate::args!["spray", &source, &format!("{PLANE}:bench::wan")];
    arguments.extend(crate::args!["--format", "fixed", "--record-size", "1024", "--parts", "4"]);
    arguments.extend(crate::args!["--compress", "off"]);
    let seconds = edge.run(arguments)?.done()?.took.as_secs_f64();
    relay.kill();
    let figures = link.down()?;
    let number = |name: &str| figures[name].as_u64().unwrap_or_default();
    let mean = figures["mean_queue_ms"].as_f64().unwrap_or_default();
    Ok(Carried {
        seconds,
        goodput: bytes as f64 * 8.0 / seconds / path.bits_per_second as f64,
        packets: number("in"),
        dropped_by_queue: number("drop_queue"),
        mean_queue: Duration::from_secs_f64(mean / 1e3),
    })
}

/// An emulated link.
struct Link {
    process: Process,
    launch: Launch,
    /// What runs a command on its sides.
    near: Vec<OsString>,
    far: Vec<OsString>,
}

impl Link {
    fn up(path: LongPath, root: &Path) -> Result<Self, HarnessError> {
        let micros = format!("{}us", path.delay.as_micros());
        let arguments = crate::args![
            "--json",
            "--rate",
            &path.bits_per_second.to_string(),
            "--delay",
            &micros,
            "--loss",
            &path.loss.to_string(),
            "--seed",
            &path.seed.to_string(),
        ];
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

    /// Takes it down and hands on its figures of the way to the far side.
    fn down(mut self) -> Result<Value, HarnessError> {
        self.process.signal(Signal::TERM);
        self.process.finish(PATIENCE, &|| false)?;
        let log = tail(&self.launch.log);
        let figures = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let command = self.process.shown().to_owned();
        figures
            .into_iter()
            .find(|figures| figures["dir"] == "up")
            .ok_or(HarnessError::Unsaid { command, what: "the figures of the link" })
    }
}
