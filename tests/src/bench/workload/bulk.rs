//! One large file that cannot be compressed, to a durable file.

use super::Workload;
use crate::bench::contender::share;
use crate::bench::load::Load;
use crate::bench::peer::own::{DESPRAY, SPRAY, Spray};
use crate::bench::peer::{Field, http, local, qcp, rsyncd, s3, ssh};
use crate::bench::race::Race;
use crate::bench::section::{Beside, Section};
use crate::bench::server::nginx::Nginx;
use crate::bench::server::rsyncd::Rsyncd;
use crate::bench::server::sshd::Sshd;
use crate::bench::settings::ROUNDS;
use crate::bench::table::Unit;
use crate::bench::{Bench, BenchError};
use crate::pair::Pair;
use std::rc::Rc;

/// What the spray must be beside each peer.
const BARS: [Beside; 8] = [
    Beside::Speed(ssh::RSYNC_FSYNC, 2.0),
    Beside::Cpu(ssh::RSYNC_FSYNC, 0.55),
    Beside::Speed(ssh::RSYNC_GCM, 2.0),
    Beside::Speed(ssh::SCP, 1.75),
    Beside::Speed(qcp::QCP, 1.3),
    Beside::Speed(http::CURL_256, 1.25),
    Beside::Speed(http::CURL_128, 1.0),
    Beside::Speed(http::RCLONE_DAV, 1.5),
];

pub(super) fn run(bench: &Bench<'_>) -> Result<Section, BenchError> {
    let rounds = bench.settings.rounds(ROUNDS);
    let pair = Rc::new(Pair::try_start()?);
    let source = pair.edge.file("file.bin");
    let load = Rc::new(Load::random(source, bench.settings.bytes(), bench.settings.seed)?);
    let standings = race(&pair, &load)?.run(bench, rounds)?;
    let conditions =
        format!("one file of {} MiB from random bytes, {rounds} rounds", bench.settings.mib);
    let head = (Workload::Bulk, conditions);
    Ok(Section::of_race(head, (SPRAY, Unit::Bytes), &standings, &BARS))
}

fn race(pair: &Rc<Pair>, load: &Rc<Load>) -> Result<Race, BenchError> {
    let root = pair.root.path();
    let field = Field::new(root, load)?;
    let sshd = share(Sshd::start(root));
    let nginx = share(Nginx::start(root, &field.target));
    let daemon = share(Rsyncd::start(root, &field.target));
    let spray = Spray {
        name: SPRAY,
        pair: Rc::clone(pair),
        load: Rc::clone(load),
        logical: "bench::file",
        options: Spray::fixed("4"),
    };
    let mut race = Race::new();
    race.enter_group(vec![spray.clone().entry(), spray.back(DESPRAY)]);
    race.enter(local::copy(&field));
    race.enter(ssh::rsync_fsync(&field, &sshd));
    race.enter(ssh::rsync_gcm(&field, &sshd));
    race.enter(rsyncd::rsync(&field, &daemon));
    race.enter(ssh::scp(&field, &sshd));
    race.enter(qcp::qcp(&field, &sshd));
    race.enter(http::rclone(&field, &nginx));
    race.enter(s3::rclone(root, load));
    race.enter(http::curl_256(&field, &nginx));
    race.enter(http::curl_128(&field, &nginx));
    Ok(race)
}
