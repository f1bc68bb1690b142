//! One large file of text over loopback, where compressing must not cost anything.

use super::Workload;
use crate::args;
use crate::bench::contender::share;
use crate::bench::load::Load;
use crate::bench::peer::own::{SPRAY, Spray};
use crate::bench::peer::{Field, http, ssh};
use crate::bench::race::Race;
use crate::bench::section::{Beside, Section};
use crate::bench::server::nginx::Nginx;
use crate::bench::server::sshd::Sshd;
use crate::bench::settings::ROUNDS;
use crate::bench::table::Unit;
use crate::bench::{Bench, BenchError};
use crate::pair::Pair;
use std::rc::Rc;

/// The same spray told not to compress.
const SPRAY_RAW: &str = "skyspray spray --compress off";

pub(super) fn run(bench: &Bench<'_>) -> Result<Section, BenchError> {
    let rounds = bench.settings.rounds(ROUNDS);
    let pair = Rc::new(Pair::try_start()?);
    let source = pair.edge.file("file.csv");
    let (bytes, seed) = (bench.settings.bytes(), bench.settings.seed);
    let load = Rc::new(Load::csv(source, bytes, seed, &|| bench.stop.asked())?);
    let standings = race(&pair, &load)?.run(bench, rounds)?;
    let conditions = format!("one csv file of {} MiB, {rounds} rounds", bench.settings.mib);
    let head = (Workload::Text, conditions);
    let bars = [Beside::Speed(SPRAY_RAW, 1.0)];
    Ok(Section::of_race(head, (SPRAY, Unit::Bytes), &standings, &bars))
}

fn race(pair: &Rc<Pair>, load: &Rc<Load>) -> Result<Race, BenchError> {
    let root = pair.root.path();
    let field = Field::new(root, load)?;
    let sshd = share(Sshd::start(root));
    let nginx = share(Nginx::start(root, &field.target));
    let spray = |name, logical, compress: &str| Spray {
        name,
        pair: Rc::clone(pair),
        load: Rc::clone(load),
        logical,
        options: args!["--parts", "4", "--format", "csv", "--compress", compress],
    };
    let mut race = Race::new();
    race.enter(spray(SPRAY, "bench::auto", "auto").entry());
    race.enter(spray(SPRAY_RAW, "bench::off", "off").entry());
    race.enter(ssh::rsync_zstd(&field, &sshd));
    race.enter(ssh::rsync_fsync(&field, &sshd));
    race.enter(ssh::scp(&field, &sshd));
    race.enter(http::curl_256(&field, &nginx));
    Ok(race)
}
