//! A spray of which one side is killed half way: what goes over the wire and to disk again.

use super::Workload;
use crate::args;
use crate::bench::bar::{Bar, Bound};
use crate::bench::load::Load;
use crate::bench::peer::own::{SPRAY, Spray};
use crate::bench::section::{MEMORY_MIB_MAX, Section};
use crate::bench::summary::Spread;
use crate::bench::table::Table;
use crate::bench::usage::Watch;
use crate::bench::{Bench, BenchError};
use crate::check::stored_parts;
use crate::kill::Victim;
use crate::output::Output;
use crate::pair::Pair;
use crate::wait;
use rustix::process::Signal;
use serde_json::json;
use std::ffi::OsString;
use std::time::{Duration, Instant};

const ROUNDS: u32 = 3;

/// The most an edge has in flight, in MiB: half of the memory it may use unless told otherwise.
const IN_FLIGHT_MIB: f64 = 64.0;

const LOGICAL: &str = "bench::resumed";

/// How long a spray may take, whatever happens to it.
const PATIENCE: Duration = Duration::from_secs(600);

/// One spray from its first start to its end.
#[derive(Clone, Copy)]
struct Turn {
    seconds: f64,
    /// What all relays wrote, to the plane and to the catalogue.
    written_bytes: u64,
    /// The most the last edge and the last relay had resident, in MiB.
    peaks_mib: (f64, f64),
    /// Chunks the run that came to the end found at the relay and did not send.
    chunks_held: u64,
}

/// One round: a spray that was left alone, and one for each side that was killed.
struct Round {
    whole: Turn,
    edge: Turn,
    relay: Turn,
}

impl Round {
    fn turn(&self, victim: Option<Victim>) -> Turn {
        match victim {
            None => self.whole,
            Some(Victim::Edge) => self.edge,
            Some(Victim::Relay) => self.relay,
        }
    }
}

pub(super) fn run(bench: &Bench<'_>) -> Result<Section, BenchError> {
    let rounds = bench.settings.rounds(ROUNDS);
    let mut pair = Pair::try_start()?;
    let source = pair.edge.file("file.bin");
    let load = Load::random(source, bench.settings.bytes(), bench.settings.seed)?;
    let mut found = Vec::new();
    for round in 0..rounds {
        let mut turn = |victim| {
            let turn = spray(bench, &mut pair, &load, victim)?;
            println!(
                "round {}  {:<16} {:>7.2} s  {:>6.0} MiB written",
                round + 1,
                told(victim),
                turn.seconds,
                turn.written_bytes as f64 / MIB
            );
            Ok::<_, BenchError>(turn)
        };
        let (whole, edge) = (turn(None)?, turn(Some(Victim::Edge))?);
        found.push(Round { whole, edge, relay: turn(Some(Victim::Relay))? });
    }
    Ok(section(bench.settings.mib, rounds, &found))
}

/// Bytes of a MiB, for figures.
const MIB: f64 = 1_048_576.0;

fn told(victim: Option<Victim>) -> &'static str {
    match victim {
        None => "left alone",
        Some(Victim::Edge) => "edge killed",
        Some(Victim::Relay) => "relay killed",
    }
}

/// Sprays the load, with one side killed once half of it was written, until it is there; then looks
/// at it and removes it.
fn spray(
    bench: &Bench<'_>,
    pair: &mut Pair,
    load: &Load,
    victim: Option<Victim>,
) -> Result<Turn, BenchError> {
    load.warm()?;
    let words = command(pair, load);
    let mut before = pair.relay.process().used().written_bytes;
    let mut written = 0;
    let began = Instant::now();
    let mut running = pair.edge.start(words.clone())?;
    if let Some(victim) = victim {
        let half = before + load.bytes / 2;
        let reached = wait::poll(PATIENCE, || {
            let enough = pair.relay.process().used().written_bytes >= half;
            (enough || running.process.has_ended() || bench.stop.asked()).then_some(enough)
        });
        if reached != Some(true) {
            let output = running.finish()?.done()?;
            return Err(BenchError::NotCut { command: output.command });
        }
        match victim {
            Victim::Edge => {
                running.process.kill();
                running = pair.edge.start(words.clone())?;
            }
            Victim::Relay => {
                // Standing still, it writes nothing between the count and its end.
                pair.relay.process().signal(Signal::STOP);
                written = pair.relay.process().used().written_bytes - before;
                before = 0;
                pair.relay.kill();
                pair.relay.serve()?;
            }
        }
    }
    let watch = Watch::begin(running.process.id(), Some(pair.relay.process().id()));
    let mut output = running.finish_within(PATIENCE, &|| bench.stop.asked())?;
    // To be tried again: the same command goes on.
    while output.code == 5 && began.elapsed() < PATIENCE {
        output = pair.edge.start(words.clone())?.finish_within(PATIENCE, &|| bench.stop.asked())?;
    }
    let seconds = began.elapsed().as_secs_f64();
    let (edge, relay) = watch.end();
    let peaks_mib = (edge as f64 / MIB, relay as f64 / MIB);
    let chunks_held = held(&output.done()?)?;
    written += pair.relay.process().used().written_bytes - before;
    if !load.is_joined(&stored_parts(&pair.relay.plane, LOGICAL)?)? {
        return Err(BenchError::Differs { contender: SPRAY });
    }
    pair.relay.admin(args!["file", "remove", &pair.target(LOGICAL)])?.done()?;
    rustix::fs::sync();
    Ok(Turn { seconds, written_bytes: written, peaks_mib, chunks_held })
}

fn command(pair: &Pair, load: &Load) -> Vec<OsString> {
    let mut words = args!["spray", &load.source, &pair.target(LOGICAL)];
    words.extend(Spray::fixed("4"));
    words
}

fn held(output: &Output) -> Result<u64, BenchError> {
    let done = output.event("done");
    let held = done.as_ref().and_then(|done| done["chunks_held"].as_u64());
    held.ok_or(BenchError::Unsaid { program: "skyspray-edge", what: "chunks_held when done" })
}

fn section(mib: u64, rounds: u32, found: &[Round]) -> Section {
    let spread = |figure: &dyn Fn(&Round) -> f64| Spread::of(found.iter().map(figure).collect());
    let mut table = Table::new(&[
        "",
        "s, from start to end",
        "MiB written",
        "chunks found there",
        "MiB written more than alone",
    ]);
    let mut bars = Vec::new();
    for victim in [None, Some(Victim::Edge), Some(Victim::Relay)] {
        let turn = |round: &Round| round.turn(victim);
        let more = spread(&|round| {
            (turn(round).written_bytes as f64 - round.whole.written_bytes as f64) / MIB
        });
        let mut row = vec![
            told(victim).to_owned(),
            format!("{:.2}", spread(&|round| turn(round).seconds)),
            format!("{:.1}", spread(&|round| turn(round).written_bytes as f64 / MIB)),
            format!("{:.0}", spread(&|round| turn(round).chunks_held as f64)),
        ];
        if victim.is_some() {
            row.push(format!("{more:.1}"));
            bars.push(Bar {
                what: format!("bytes written again, {}", told(victim)),
                bound: Bound::Never(IN_FLIGHT_MIB),
                unit: "MiB",
                found: Ok(more),
            });
        }
        table.row(row);
    }
    let turns = || found.iter().flat_map(|round| [round.whole, round.edge, round.relay]);
    let peak = |side: fn(Turn) -> f64| turns().map(side).fold(0.0, f64::max);
    bars.push(Bar::of_peak("the edge", MEMORY_MIB_MAX, peak(|turn| turn.peaks_mib.0)));
    bars.push(Bar::of_peak("the relay", MEMORY_MIB_MAX, peak(|turn| turn.peaks_mib.1)));
    let json_of = |turn: Turn| {
        json!({
            "seconds": turn.seconds,
            "written_bytes": turn.written_bytes,
            "chunks_held": turn.chunks_held,
            "edge_memory_mib": turn.peaks_mib.0,
            "relay_memory_mib": turn.peaks_mib.1,
        })
    };
    let turns = found.iter().map(|round| {
        json!({
            "left_alone": json_of(round.whole),
            "edge_killed": json_of(round.edge),
            "relay_killed": json_of(round.relay),
        })
    });
    Section {
        workload: Workload::Resume,
        conditions: format!(
            "one file of {mib} MiB from random bytes, killed when half was written, {rounds} rounds"
        ),
        tables: vec![table],
        bars,
        figures: json!({ "rounds": turns.collect::<Vec<_>>() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::bar::Verdict;

    fn turn(written_mib: u64) -> Turn {
        let written_bytes = written_mib << 20;
        Turn { seconds: 1.0, written_bytes, peaks_mib: (60.0, 200.0), chunks_held: 5 }
    }

    #[test]
    fn what_was_written_again_is_counted_round_by_round_and_the_worst_decides() {
        let round = |edge, relay| Round { whole: turn(100), edge: turn(edge), relay: turn(relay) };

        let section = section(100, 2, &[round(101, 120), round(99, 170)]);

        let told: Vec<_> = section.bars.iter().map(Bar::finding).collect();
        let again = ["0.00 [-1.00-1.00] MiB", "45.00 [20.00-70.00] MiB"];
        assert_eq!(told[..2], again);
        let verdicts: Vec<_> = section.bars.iter().map(Bar::verdict).collect();
        use Verdict::{Missed, Reached};
        assert_eq!(verdicts, [Reached, Missed, Reached, Missed]);
    }
}
