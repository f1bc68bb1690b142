//! Large files over emulated long paths: how much of a path a spray fills, how long it keeps the
//! queue of the path, and what others carry over the same.

mod beside;
mod sharing;

use super::Workload;
use crate::bench::bar::{Bar, Bound};
use crate::bench::section::{MEMORY_MIB_MAX, Section};
use crate::bench::summary::Spread;
use crate::bench::table::Table;
use crate::bench::wan::{self, Carried, LongPath};
use crate::bench::{Bench, BenchError};
use beside::Beside;
use serde_json::{Value, json};
use sharing::Sharing;
use std::time::Duration;

/// The longest a packet may wait in the queue of the path on average, in milliseconds.
const QUEUE_MS_MAX: f64 = 20.0;

/// Most packets that may find that queue full, in percent.
const QUEUE_DROPS_PERCENT_MAX: f64 = 0.5;

/// Most rounds of anything here, however many the run has: a path takes its time.
const ROUNDS_MAX: u32 = 3;

/// A file over a path, and how much of it must be filled.
struct Row {
    mbit: u64,
    round_trip_ms: u64,
    loss_percent: f64,
    /// Of a whole run.
    mib: u64,
    least_percent: f64,
    rounds_max: u32,
}

/// 200 Mbit/s and 80 ms.
const fn far(loss_percent: f64, mib: u64, least_percent: f64) -> Row {
    Row { mbit: 200, round_trip_ms: 80, loss_percent, mib, least_percent, rounds_max: 1 }
}

const ROWS: [Row; 7] = [
    far(0.0, 480, 93.0),
    far(0.1, 480, 93.0),
    Row { rounds_max: ROUNDS_MAX, ..far(1.0, 480, 93.0) },
    far(0.0, 192, 90.0),
    far(1.0, 192, 90.0),
    far(2.0, 480, 85.0),
    Row { mbit: 1000, round_trip_ms: 20, ..far(0.0, 480, 88.0) },
];

/// The runs of a row: sprays from an edge that did not know the path, and those that followed.
struct Found {
    mib: u64,
    new: Vec<Carried>,
    known: Vec<Carried>,
}

/// Seeds of the run, none of them twice.
struct Seeds(u64);

impl Seeds {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        self.0
    }
}

pub(super) fn run(bench: &Bench<'_>) -> Result<Section, BenchError> {
    let mut seeds = Seeds(bench.settings.seed);
    if let Some(reason) = wan::obstacle(ROWS[0].path(seeds.next())) {
        println!("not measured: {reason}");
        return Ok(unmeasured(&reason));
    }
    let mut found = Vec::new();
    for row in &ROWS {
        found.push(row.run(bench, &mut seeds)?);
    }
    let beside = beside::run(bench, &mut seeds)?;
    let sharing = sharing::run(bench, &mut seeds)?;
    Ok(section(&found, &beside, &sharing))
}

impl Row {
    fn path(&self, seed: u64) -> LongPath {
        LongPath {
            bits_per_second: self.mbit * 1_000_000,
            delay: Duration::from_millis(self.round_trip_ms) / 2,
            loss: self.loss_percent / 100.0,
            seed,
        }
    }

    fn told(&self) -> String {
        let Self { mbit, round_trip_ms, loss_percent, .. } = self;
        format!("{mbit} Mbit/s, {round_trip_ms} ms, {loss_percent} % lost")
    }

    fn run(&self, bench: &Bench<'_>, seeds: &mut Seeds) -> Result<Found, BenchError> {
        let mib = bench.settings.scaled(self.mib);
        let (mut new, mut known) = (Vec::new(), Vec::new());
        for round in 0..bench.settings.rounds(1).min(self.rounds_max) {
            let path = self.path(seeds.next());
            let both = wan::spray(path, mib << 20, &|| bench.stop.asked())?;
            for (carried, first) in both.iter().zip(["new", "known"]) {
                println!(
                    "round {}  {mib} MiB over {}, {first}: {:.2} s, {:.1} % of it, {:.1} ms queued",
                    round + 1,
                    self.told(),
                    carried.seconds,
                    percent(carried),
                    queue_ms(carried)
                );
            }
            new.push(both[0]);
            known.push(both[1]);
        }
        Ok(Found { mib, new, known })
    }

    /// The bars on what was found, or on nothing for a reason.
    fn bars(&self, found: Result<&Found, &str>) -> [Bar; 2] {
        let mib = found.map_or(self.mib, |found| found.mib);
        let bar = |which: &str, runs: fn(&Found) -> &[Carried]| Bar {
            what: format!("goodput of {mib} MiB over {}, {which}", self.told()),
            bound: Bound::AtLeast(self.least_percent),
            unit: "%",
            found: found.map(|found| spread(runs(found), percent)).map_err(str::to_owned),
        };
        [bar("path new", |found| &found.new), bar("path known", |found| &found.known)]
    }
}

fn spread(runs: &[Carried], figure: fn(&Carried) -> f64) -> Spread {
    Spread::of(runs.iter().map(figure).collect())
}

impl Found {
    fn runs(&self) -> impl Iterator<Item = &Carried> {
        self.new.iter().chain(&self.known)
    }

    fn json(&self, row: &Row) -> Value {
        json!({
            "megabits_per_second": row.mbit,
            "round_trip_ms": row.round_trip_ms,
            "loss_percent": row.loss_percent,
            "mib": self.mib,
            "path_new": figures(&self.new),
            "path_known": figures(&self.known),
        })
    }
}

fn figures(runs: &[Carried]) -> Value {
    json!({
        "seconds": spread(runs, |carried| carried.seconds).json(),
        "goodput_percent": spread(runs, percent).json(),
        "mean_queue_ms": spread(runs, queue_ms).json(),
        "dropped_by_queue_percent": spread(runs, drops_percent).json(),
    })
}

fn percent(carried: &Carried) -> f64 {
    carried.goodput * 100.0
}

fn queue_ms(carried: &Carried) -> f64 {
    carried.mean_queue.as_secs_f64() * 1e3
}

/// Share of the packets that found the queue full.
fn drops_percent(carried: &Carried) -> f64 {
    carried.dropped_by_queue as f64 / carried.packets.max(1) as f64 * 100.0
}

/// What was found where nothing could be.
fn unmeasured(reason: &str) -> Section {
    let missing = || Err(reason.to_owned());
    let mut bars: Vec<_> = ROWS.iter().flat_map(|row| row.bars(Err(reason))).collect();
    bars.extend([queue_bar(missing()), drops_bar(missing())]);
    bars.extend([beside::ratio_bar(missing()), beside::text_bar(missing())]);
    bars.push(beside::peers_bar(missing()));
    bars.extend(sharing::unmeasured(reason));
    Section {
        workload: Workload::Wan,
        conditions: format!("not measured: {reason}"),
        tables: Vec::new(),
        bars,
        figures: json!({ "missing": reason }),
    }
}

fn section(found: &[Found], beside: &Beside, sharing: &Sharing) -> Section {
    let mut table = Table::new(&[
        "",
        "MiB",
        "seconds, path new / known",
        "% of the path",
        "ms in its queue",
        "% found the queue full",
    ]);
    for (row, found) in ROWS.iter().zip(found) {
        let both = |figure: fn(&Carried) -> f64, digits: usize| {
            let [new, known] = [&found.new, &found.known].map(|runs| spread(runs, figure));
            format!("{new:.digits$} / {known:.digits$}")
        };
        let head = [row.told(), found.mib.to_string(), both(|carried| carried.seconds, 2)];
        let figures = [both(percent, 1), both(queue_ms, 1), both(drops_percent, 2)];
        table.row(head.into_iter().chain(figures));
    }
    let runs = || found.iter().flat_map(Found::runs);
    let mut bars: Vec<_> =
        ROWS.iter().zip(found).flat_map(|(row, found)| row.bars(Ok(found))).collect();
    bars.push(queue_bar(Ok(Spread::of(runs().map(queue_ms).collect()))));
    bars.push(drops_bar(Ok(Spread::of(runs().map(drops_percent).collect()))));
    bars.extend(beside.bars());
    bars.extend(sharing.bars());
    let (edge, relay) = beside.peaks_mib();
    let mib = |bytes: u64| bytes as f64 / 1_048_576.0;
    let edge = runs().map(|run| mib(run.edge_memory_bytes)).fold(edge, f64::max);
    let relay = runs().map(|run| mib(run.relay_memory_bytes)).fold(relay, f64::max);
    bars.push(Bar::of_peak("the edge", MEMORY_MIB_MAX, edge));
    bars.push(Bar::of_peak("the relay", MEMORY_MIB_MAX, relay));
    let rows: Vec<_> = ROWS.iter().zip(found).map(|(row, found)| found.json(row)).collect();
    let mut tables = vec![table];
    tables.extend(beside.tables());
    tables.push(sharing.table());
    Section {
        workload: Workload::Wan,
        conditions: format!(
            "files over emulated paths, a seed a spray, at most {} rounds, TCP is {}",
            found.iter().map(|found| found.new.len()).max().unwrap_or_default(),
            beside.congestion_control()
        ),
        tables,
        bars,
        figures: json!({ "paths": rows, "beside": beside.json(), "sharing": sharing.json() }),
    }
}

/// Both are of every run of every path.
fn queue_bar(found: Result<Spread, String>) -> Bar {
    let (what, bound) = ("mean time in the queue of a path".into(), Bound::Never(QUEUE_MS_MAX));
    Bar { what, bound, unit: "ms", found }
}

fn drops_bar(found: Result<Spread, String>) -> Bar {
    let what = "packets that found the queue of a path full".into();
    Bar { what, bound: Bound::Never(QUEUE_DROPS_PERCENT_MAX), unit: "%", found }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::bar::Verdict;

    fn carried(goodput: f64) -> Carried {
        Carried {
            seconds: 20.0,
            goodput,
            packets: 1000,
            dropped_by_queue: 4,
            mean_queue: Duration::from_micros(7500),
            edge_memory_bytes: 0,
            relay_memory_bytes: 0,
        }
    }

    #[test]
    fn a_row_is_decided_by_the_share_of_its_path() {
        let found = Found { mib: 480, new: vec![carried(0.929)], known: vec![carried(0.93)] };

        let [new, known] = ROWS[2].bars(Ok(&found));

        let claim =
            "goodput of 480 MiB over 200 Mbit/s, 80 ms, 1 % lost, path known: at least 93 %";
        assert_eq!((known.claim().as_str(), known.verdict()), (claim, Verdict::Reached));
        assert_eq!(new.verdict(), Verdict::Missed);
        assert_eq!((drops_percent(&carried(1.0)), queue_ms(&carried(1.0))), (0.4, 7.5));
    }

    #[test]
    fn a_round_trip_goes_both_ways_and_no_seed_comes_twice() {
        let mut seeds = Seeds(u64::MAX);

        let (path, next) = (ROWS[6].path(seeds.next()), ROWS[1].path(seeds.next()));

        assert_eq!((path.bits_per_second, path.delay), (1_000_000_000, Duration::from_millis(10)));
        assert_eq!((path.seed, next.seed, next.loss), (0, 1, 0.001));
    }

    #[test]
    fn a_host_without_paths_has_every_bar_not_measured_with_the_reason() {
        let section = unmeasured("there is no /dev/net/tun");

        assert_eq!(section.bars.len(), 2 * ROWS.len() + 8);
        for bar in &section.bars {
            assert_eq!(bar.verdict(), Verdict::Unmeasured);
            assert_eq!(bar.finding(), "there is no /dev/net/tun");
        }
    }
}
