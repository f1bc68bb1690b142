//! What this machine allows: the steps of a transfer alone, beside a whole one in the same rounds.

use super::Workload;
use crate::bench::bar::{Bar, Bound};
use crate::bench::ceiling::{self, Ceiling, Turn};
use crate::bench::contender::share;
use crate::bench::load::Load;
use crate::bench::peer::own::{SPRAY, Spray};
use crate::bench::peer::{Field, local, null};
use crate::bench::race::Race;
use crate::bench::section::Section;
use crate::bench::server::iperf::Iperf;
use crate::bench::settings::ROUNDS;
use crate::bench::summary::Spread;
use crate::bench::table::{Table, Unit};
use crate::bench::{Bench, BenchError};
use crate::pair::Pair;
use serde_json::json;
use std::rc::Rc;

/// Bytes of one turn from memory to nowhere in a whole run, in MiB.
const MEMORY_MIB: u64 = 1024;

/// The share of what TLS over TCP carries that QUIC has to carry.
const QUIC_TO_TLS: f64 = 0.66;

pub(super) fn run(bench: &Bench<'_>) -> Result<Section, BenchError> {
    let rounds = bench.settings.rounds(ROUNDS);
    let pair = Rc::new(Pair::try_start()?);
    let source = pair.edge.file("file.bin");
    let load = Rc::new(Load::random(source, bench.settings.bytes(), bench.settings.seed)?);
    let field = Field::new(pair.root.path(), &load)?;
    let iperf = share(Iperf::start(pair.root.path()));
    let spray = Spray {
        name: SPRAY,
        pair: Rc::clone(&pair),
        load: Rc::clone(&load),
        logical: "bench::file",
        options: Spray::fixed("4"),
    };
    let mut race = Race::new();
    race.enter(spray.entry());
    race.enter(local::copy(&field));
    race.enter(null::b3sum(&field));
    race.enter(null::iperf(&field, &iperf));
    let standings = race.run(bench, rounds)?;
    let conditions =
        format!("one file of {} MiB from random bytes, {rounds} rounds", bench.settings.mib);
    let head = (Workload::Ceilings, conditions);
    let mut section = Section::of_race(head, (SPRAY, Unit::Bytes), &standings, &[]);
    let mib = bench.settings.scaled(MEMORY_MIB);
    let report = ceiling::measure((mib, rounds), &Ceiling::ALL, |round, ceiling, turn| {
        println!("round {}  {:<42} {:>6.0} MB/s", round + 1, ceiling.name(), turn.rate());
    })?;
    add_memory(&mut section, mib, |ceiling| report.turns(ceiling));
    Ok(section)
}

/// Adds what goes from memory to nowhere, and the bar of QUIC beside TLS over TCP.
fn add_memory<'a>(section: &mut Section, mib: u64, turns: impl Fn(Ceiling) -> &'a [Turn]) {
    let spread =
        |ceiling, figure: fn(&Turn) -> f64| Spread::of(turns(ceiling).iter().map(figure).collect());
    let mut table =
        Table::new(&["from memory to nowhere", "MB/s", "CPU s/GB, both sides", "sender's alone"]);
    let mut figures = Vec::new();
    for ceiling in Ceiling::ALL {
        let rate = spread(ceiling, Turn::rate);
        let cpu = spread(ceiling, Turn::cpu_seconds_a_gigabyte);
        let sender = spread(ceiling, |turn| turn.sender_cpu_seconds / turn.bytes as f64 * 1e9);
        let name = ceiling.name().to_owned();
        figures.push(json!({
            "name": name,
            "megabytes_per_second": rate.json(),
            "cpu_seconds_per_gb": cpu.json(),
        }));
        table.row([name, format!("{rate:.0}"), format!("{cpu:.2}"), format!("{sender:.2}")]);
    }
    let pairs = turns(Ceiling::Quic).iter().zip(turns(Ceiling::Tls));
    section.bars.push(Bar {
        what: "QUIC beside TLS 1.3 over TCP, from memory to nowhere".into(),
        bound: Bound::AtLeast(QUIC_TO_TLS),
        unit: "x",
        found: Ok(Spread::of(pairs.map(|(quic, tls)| quic.rate() / tls.rate()).collect())),
    });
    section.tables.push(table);
    section.figures["memory_mib"] = json!(mib);
    section.figures["memory"] = json!(figures);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::bar::Verdict;

    #[test]
    fn quic_is_judged_beside_tls_of_the_same_round() {
        let turn = |seconds| Turn { bytes: 1_000_000, seconds, ..Turn::default() };
        let (quic, others) = ([turn(4.0), turn(3.0)], [turn(2.0), turn(2.1)]);
        let mut section = Section {
            workload: Workload::Ceilings,
            conditions: String::new(),
            tables: Vec::new(),
            bars: Vec::new(),
            figures: json!({}),
        };

        add_memory(&mut section, 1, |ceiling| match ceiling {
            Ceiling::Quic => &quic,
            _ => &others,
        });

        assert_eq!(section.bars[0].finding(), "0.60 [0.50-0.70] x");
        assert_eq!(section.bars[0].verdict(), Verdict::Missed);
        assert_eq!(section.figures["memory"].as_array().map(Vec::len), Some(Ceiling::ALL.len()));
    }
}
