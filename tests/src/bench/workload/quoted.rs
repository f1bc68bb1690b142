//! csv with quotes sprayed into eight parts, and back into one file, beside the spray of random
//! bytes in the same rounds: finding records must cost next to nothing.

use super::Workload;
use crate::args;
use crate::bench::load::Load;
use crate::bench::peer::own::Spray;
use crate::bench::race::Race;
use crate::bench::section::{Beside, Section};
use crate::bench::settings::ROUNDS;
use crate::bench::table::Unit;
use crate::bench::{Bench, BenchError};
use crate::pair::Pair;
use std::rc::Rc;

/// The spray of the first workload.
const BULK: &str = "skyspray spray, random bytes";
const SPRAY: &str = "skyspray spray, csv in 8 parts";
const DESPRAY: &str = "skyspray despray of it";

pub(super) fn run(bench: &Bench<'_>) -> Result<Section, BenchError> {
    let rounds = bench.settings.rounds(ROUNDS);
    let pair = Rc::new(Pair::try_start()?);
    let (bytes, seed) = (bench.settings.bytes(), bench.settings.seed);
    let random = Rc::new(Load::random(pair.edge.file("file.bin"), bytes, seed)?);
    let csv = pair.edge.file("file.csv");
    let csv = Rc::new(Load::csv(csv, bytes, seed, &|| bench.stop.asked())?);
    let bulk = Spray {
        name: BULK,
        pair: Rc::clone(&pair),
        load: random,
        logical: "bench::random",
        options: Spray::fixed("4"),
    };
    let spray = Spray {
        name: SPRAY,
        pair: Rc::clone(&pair),
        load: csv,
        logical: "bench::csv",
        options: args!["--parts", "8", "--format", "csv"],
    };
    let mut race = Race::new();
    race.enter(bulk.entry());
    race.enter_group(vec![spray.clone().entry(), spray.back(DESPRAY)]);
    let standings = race.run(bench, rounds)?;
    let mib = bench.settings.mib;
    let conditions = format!(
        "one csv file of {mib} MiB, 30 % of its fields quoted, and one of random bytes, {rounds} rounds"
    );
    let bars = [Beside::Speed(BULK, 0.9), Beside::SpeedOf(DESPRAY, BULK, 0.9)];
    let head = (Workload::Quoted, conditions);
    Ok(Section::of_race(head, (SPRAY, Unit::Bytes), &standings, &bars))
}
