//! A spray over an emulated long path: an edge on its near side, a relay on its far side. Needs root,
//! `/dev/net/tun`, `nsenter`, and the program `wanlink` beside the others.

use super::BenchError;
use super::load::Load;
use super::server::{Place, program};
use super::usage::Watch;
use crate::binary::locate;
use crate::check::stored_parts;
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
const FAR: &str = "10.77.0.2";

/// What a link is made with.
const TUN: &str = "/dev/net/tun";

/// How long a link may take until it is up.
const LINK_READY: Duration = Duration::from_secs(10);

/// What sprays over a path are called.
const LOGICAL: &str = "bench::wan";

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
    /// The most the edge had resident, in bytes.
    pub edge_memory_bytes: u64,
    /// The most the relay had resident, in bytes.
    pub relay_memory_bytes: u64,
}

/// Sprays a file of `bytes` that cannot be compressed over `path`, once, until `stop` says so.
///
/// # Errors
///
/// A program is missing or fails, the host cannot emulate a link, or what was delivered is not
/// the file.
pub fn spray(path: LongPath, bytes: u64, stop: &dyn Fn() -> bool) -> Result<Carried, BenchError> {
    let Ends { mut pair, link } = Ends::meet(path)?;
    link.down()?;

    // A link of its own for the file, whose figures are those of the file alone.
    let load = Load::random(pair.edge.file("file.bin"), bytes, path.seed)?;
    pair.relay.kill();
    let link = Link::up(path, pair.root.path())?;
    link.join(&mut pair);
    pair.relay.serve()?;
    let mut arguments = crate::args!["spray", &load.source, &pair.target(LOGICAL)];
    arguments.extend(crate::args!["--format", "fixed", "--record-size", "1024", "--parts", "4"]);
    arguments.extend(crate::args!["--compress", "off"]);
    let mut running = pair.edge.start(arguments)?;
    let watch = Watch::begin(running.process.id(), Some(pair.relay.process().id()));
    let ended = running.finish_within(PATIENCE, stop);
    let (edge_memory_bytes, relay_memory_bytes) = watch.end();
    let seconds = ended?.done()?.took.as_secs_f64();
    pair.relay.kill();
    let flow = Flow::of(&link.down()?)?;
    if !load.is_joined(&stored_parts(&pair.relay.plane, LOGICAL)?)? {
        return Err(BenchError::Differs { contender: "skyspray spray" });
    }
    Ok(Carried {
        seconds,
        goodput: bytes as f64 * 8.0 / seconds / path.bits_per_second as f64,
        packets: flow.packets,
        dropped_by_queue: flow.dropped_by_queue,
        mean_queue: flow.mean_queue,
        edge_memory_bytes,
        relay_memory_bytes,
    })
}

/// Why this host emulates no link, in one line; `None` when it does.
pub(super) fn obstacle(path: LongPath) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("an emulated path needs root".into());
    }
    if !Path::new(TUN).exists() {
        return Some(format!("there is no {TUN}"));
    }
    tried(path).err().map(|error| match &error {
        // What it said last is why.
        BenchError::Step(HarnessError::Ended { log, .. }) => {
            let said = log.lines().rfind(|line| !line.trim().is_empty());
            said.map_or_else(|| error.brief(), |line| line.trim().replace('|', "/"))
        }
        _ => error.brief(),
    })
}

/// Has a link once, and a program on it.
fn tried(path: LongPath) -> Result<(), BenchError> {
    let root = tempfile::Builder::new().prefix("skyspray-wan-").tempdir();
    let root = root.map_err(HarnessError::file(std::env::temp_dir()))?;
    let link = Link::up(path, root.path())?;
    link.congestion_control(root.path())?;
    link.down()?;
    Ok(())
}

/// An enrolled edge and the relay that it reaches over a path. Fields end in this order.
pub(super) struct Ends {
    /// Both, the relay serving.
    pub(super) pair: Pair,
    /// The path between them.
    pub(super) link: Link,
}

impl Ends {
    /// Brings them together.
    pub(super) fn meet(path: LongPath) -> Result<Self, HarnessError> {
        let root = tempfile::Builder::new().prefix("skyspray-wan-").tempdir();
        let root = root.map_err(HarnessError::file(std::env::temp_dir()))?;
        let relay = Relay::init_at(root.path(), FAR, Vec::new())?;
        let edge = Edge::new(root.path(), "edge")?;
        let mut pair = Pair { edge, relay, root };
        let link = Link::up(path, pair.root.path())?;
        link.join(&mut pair);
        pair.relay.serve()?;
        pair.enroll(&format!("push,pull,list,remove,overwrite:{PLANE}"))?;
        Ok(Self { pair, link })
    }
}

/// An emulated link.
pub(super) struct Link {
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

    /// Puts the edge on its near and the relay on its far side.
    fn join(&self, pair: &mut Pair) {
        pair.relay.prefix = self.far.clone();
        pair.edge.prefix = self.near.clone();
    }

    /// What runs clients, on its near side.
    pub(super) fn near(&self) -> Vec<OsString> {
        self.near.clone()
    }

    /// Where servers run, on its far side.
    pub(super) fn far(&self) -> Place {
        Place { host: FAR, prefix: self.far.clone() }
    }

    /// The congestion control that TCP has on it.
    pub(super) fn congestion_control(&self, root: &Path) -> Result<String, BenchError> {
        let arguments = crate::args!["/proc/sys/net/ipv4/tcp_congestion_control"];
        let log = root.join("cat.log");
        let launch = Launch { prefix: self.near(), program: program("cat")?, arguments, log };
        let said = Output::of(&launch, PATIENCE, &|| false)?.done()?;
        Ok(said.lines.concat().trim().to_owned())
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

/// What a link counted one way.
#[derive(Debug, PartialEq)]
struct Flow {
    packets: u64,
    dropped_by_queue: u64,
    mean_queue: Duration,
}

impl Flow {
    fn of(figures: &Value) -> Result<Self, BenchError> {
        let unsaid = |what| BenchError::Unsaid { program: "wanlink", what };
        let mean = figures["mean_queue_ms"].as_f64();
        let mean = mean.and_then(|mean| Duration::try_from_secs_f64(mean / 1e3).ok());
        Ok(Self {
            packets: figures["in"].as_u64().ok_or(unsaid("the packets it took"))?,
            dropped_by_queue: figures["drop_queue"].as_u64().ok_or(unsaid("what it dropped"))?,
            mean_queue: mean.ok_or(unsaid("how long packets waited"))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_figures_of_a_link_are_all_there_or_none_is_taken() {
        let figures = json!({ "dir": "up", "in": 900, "drop_queue": 3, "mean_queue_ms": 7.5 });

        let flow = Flow::of(&figures).unwrap();

        let mean_queue = Duration::from_micros(7500);
        assert_eq!(flow, Flow { packets: 900, dropped_by_queue: 3, mean_queue });
        let error = Flow::of(&json!({ "in": 900, "drop_queue": 3 })).unwrap_err();
        assert_eq!(error.to_string(), "wanlink did not say how long packets waited");
    }
}
