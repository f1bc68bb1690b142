//! What this machine allows: the steps of a transfer alone, beside a whole one in the same rounds.

use super::Workload;
use crate::bench::contender::share;
use crate::bench::load::Load;
use crate::bench::peer::own::{SPRAY, Spray};
use crate::bench::peer::{Field, local, null};
use crate::bench::race::Race;
use crate::bench::section::Section;
use crate::bench::server::iperf::Iperf;
use crate::bench::settings::ROUNDS;
use crate::bench::table::Unit;
use crate::bench::{Bench, BenchError};
use crate::pair::Pair;
use std::rc::Rc;

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
    Ok(Section::of_race(head, (SPRAY, Unit::Bytes), &standings, &[]))
}
