//! A spray over an emulated long path, timed.

use super::BenchError;
use super::load::Load;
use super::server::Place;
use super::usage::Watch;
use crate::check::stored_parts;
use crate::pair::Pair;
use crate::wait::PATIENCE;
pub use crate::wan::LongPath;
use crate::wan::{self, Ends, FAR, Link};
use serde_json::Value;
use std::time::Duration;

/// What the sprays over a path are called: the first knows nothing of it, the second what that one
/// found.
const LOGICAL: [&str; 2] = ["bench::new", "bench::known"];

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

/// Sprays a file of `bytes` that cannot be compressed over `path` from an edge that does not know it,
/// and again from the same edge, until `stop` says so.
///
/// # Errors
///
/// A program is missing or fails, the host cannot emulate a link, or what was delivered is not
/// the file.
pub fn spray(
    path: LongPath,
    bytes: u64,
    stop: &dyn Fn() -> bool,
) -> Result<[Carried; 2], BenchError> {
    let ends = Ends::meet(path)?;
    let load = Load::random(ends.pair.edge.file("file.bin"), bytes, path.seed)?;
    let (pair, _) = ends.part()?;
    let (new, pair) = once(pair, path, (&load, LOGICAL[0]), stop)?;
    let (known, _) = once(pair, path, (&load, LOGICAL[1]), stop)?;
    Ok([new, known])
}

/// One spray over a link of its own, whose figures are those of the file alone.
fn once(
    pair: Pair,
    path: LongPath,
    (load, name): (&Load, &str),
    stop: &dyn Fn() -> bool,
) -> Result<(Carried, Pair), BenchError> {
    let ends = Ends::join(pair, path, &[])?;
    let pair = &ends.pair;
    let mut arguments = crate::args!["spray", &load.source, &pair.target(name)];
    arguments.extend(crate::args!["--format", "fixed", "--record-size", "1024", "--parts", "4"]);
    arguments.extend(crate::args!["--compress", "off"]);
    let mut running = pair.edge.start(arguments)?;
    let watch = Watch::begin(running.process.id(), Some(pair.relay.process().id()));
    let ended = running.finish_within(PATIENCE, stop);
    let (edge_memory_bytes, relay_memory_bytes) = watch.end();
    let seconds = ended?.done()?.took.as_secs_f64();
    if !load.is_joined(&stored_parts(&pair.relay.plane, name)?)? {
        return Err(BenchError::Differs { contender: "skyspray spray" });
    }
    let (pair, figures) = ends.part()?;
    let flow = Flow::of(&figures.up)?;
    let carried = Carried {
        seconds,
        goodput: load.bytes as f64 * 8.0 / seconds / path.bits_per_second as f64,
        packets: flow.packets,
        dropped_by_queue: flow.dropped_by_queue,
        mean_queue: flow.mean_queue,
        edge_memory_bytes,
        relay_memory_bytes,
    };
    Ok((carried, pair))
}

/// Why this host emulates no link, for a cell of a table; `None` when it does.
pub(super) fn obstacle(path: LongPath) -> Option<String> {
    let reason = wan::obstacle(path)?;
    Some(reason.lines().next().unwrap_or_default().replace('|', "/"))
}

/// Where the servers of the peers run.
pub(super) fn far_side(link: &Link) -> Place {
    Place { host: FAR, prefix: link.far() }
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
