//! Very many files of one size, every one of them durable.

use super::Workload;
use crate::bench::contender::share;
use crate::bench::load::Load;
use crate::bench::peer::own::{self, PUSH};
use crate::bench::peer::{Field, local, qcp, rsyncd, ssh};
use crate::bench::race::Race;
use crate::bench::section::{Beside, Section};
use crate::bench::server::rsyncd::Rsyncd;
use crate::bench::server::sshd::Sshd;
use crate::bench::settings::ROUNDS;
use crate::bench::table::Unit;
use crate::bench::{Bench, BenchError};
use crate::pair::Pair;
use std::rc::Rc;

/// A number of files of one size, and what a push of them must be beside each peer.
pub(super) struct Tree {
    workload: Workload,
    files: u64,
    file_kib: usize,
    bars: &'static [Beside],
}

pub(super) const SMALL: Tree = Tree {
    workload: Workload::Small,
    files: 20_000,
    file_kib: 4,
    bars: &[
        Beside::Speed(ssh::RSYNC, 1.0),
        Beside::Speed(ssh::RSYNC_FSYNC, 2.0),
        Beside::Speed(ssh::TAR, 2.0),
    ],
};

pub(super) const MEDIUM: Tree = Tree {
    workload: Workload::Medium,
    files: 2_000,
    file_kib: 256,
    bars: &[Beside::Speed(ssh::RSYNC, 1.3)],
};

pub(super) fn run(bench: &Bench<'_>, tree: Tree) -> Result<Section, BenchError> {
    let Tree { workload, files, file_kib, bars } = tree;
    let rounds = bench.settings.rounds(ROUNDS);
    let files = bench.settings.scaled(files);
    let pair = Rc::new(Pair::try_start()?);
    let source = pair.edge.file("tree");
    let load = Rc::new(Load::tree(source, (files, file_kib << 10), bench.settings.seed)?);
    let standings = race(&pair, &load)?.run(bench, rounds)?;
    let head = (workload, format!("{files} files of {file_kib} KiB, {rounds} rounds"));
    Ok(Section::of_race(head, (PUSH, Unit::Files), &standings, bars))
}

fn race(pair: &Rc<Pair>, load: &Rc<Load>) -> Result<Race, BenchError> {
    let root = pair.root.path();
    let field = Field::new(root, load)?;
    let sshd = share(Sshd::start(root));
    let daemon = share(Rsyncd::start(root, &field.target));
    let mut race = Race::new();
    race.enter(own::push(pair, load));
    race.enter(ssh::rsync(&field, &sshd));
    race.enter(ssh::rsync_fsync(&field, &sshd));
    race.enter(ssh::tar(&field, &sshd));
    race.enter(ssh::scp(&field, &sshd));
    race.enter(rsyncd::rsync(&field, &daemon));
    race.enter(qcp::qcp(&field, &sshd));
    race.enter(local::copy_tree(&field));
    Ok(race)
}
