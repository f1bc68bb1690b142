//! What others carry over the same path as a spray, one after the other over one link.

use super::{ROUNDS_MAX, Seeds, far};
use crate::args;
use crate::bench::bar::{Bar, Bound};
use crate::bench::contender::share;
use crate::bench::load::Load;
use crate::bench::peer::own::{SPRAY, Spray};
use crate::bench::peer::{Field, http, qcp, remove, ssh};
use crate::bench::race::Race;
use crate::bench::server::nginx::Nginx;
use crate::bench::server::program;
use crate::bench::server::sshd::Sshd;
use crate::bench::standing::Standing;
use crate::bench::summary::Spread;
use crate::bench::table::Table;
use crate::bench::wan::far_side;
use crate::bench::{Bench, BenchError};
use crate::error::HarnessError;
use crate::output::Output;
use crate::pair::Pair;
use crate::process::Launch;
use crate::wait::PATIENCE;
use crate::wan::{Ends, LongPath};

use serde_json::{Value, json};
use std::ffi::OsString;
use std::fs;
use std::rc::Rc;

/// What a spray must be beside the best of the others where 1 % is lost.
const PEERS_LEAST: f64 = 1.9;

/// What a spray of text must be beside rsync that compresses.
const TEXT_LEAST: f64 = 1.5;

/// How much of rate x ratio a spray of text must carry, in percent.
const RATIO_LEAST_PERCENT: f64 = 90.0;

/// Sizes of the files of a whole run, in MiB. Others are slow where packets are lost.
const MIB: u64 = 192;
const TEXT_MIB: u64 = 2048;

/// Shares of the packets that are lost, in percent; the bar is on the last.
const LOSSES: [f64; 2] = [0.0, 1.0];

/// One race over one path.
struct Lap {
    path: LongPath,
    what: String,
    standings: Vec<Standing>,
    congestion_control: String,
}

/// What all of them found.
pub(super) struct Beside {
    peers: Vec<Lap>,
    text: Lap,
    /// Length of the text before and after zstd at level 1, or why it is not known.
    ratio: Result<f64, String>,
}

pub(super) fn run(bench: &Bench<'_>, seeds: &mut Seeds) -> Result<Beside, BenchError> {
    let mut peers = Vec::new();
    for loss in LOSSES {
        peers.push(peers_lap(bench, far(loss, MIB, 0.0).path(seeds.next()))?);
    }
    let (text, ratio) = text_lap(bench, far(0.0, TEXT_MIB, 0.0).path(seeds.next()))?;
    Ok(Beside { peers, text, ratio })
}

fn rounds(bench: &Bench<'_>) -> u32 {
    bench.settings.rounds(1).min(ROUNDS_MAX)
}

/// A file that cannot be compressed.
fn peers_lap(bench: &Bench<'_>, path: LongPath) -> Result<Lap, BenchError> {
    let Ends { pair, link } = Ends::meet(path)?;
    let (pair, mib) = (Rc::new(pair), bench.settings.scaled(MIB));
    let root = pair.root.path();
    let load = Load::random(pair.edge.file("file.bin"), mib << 20, path.seed)?;
    let load = Rc::new(load);
    let mut field = Field::new(root, &load)?;
    field.prefix = link.near();
    let sshd = share(Sshd::start_at(root, &far_side(&link)));
    let nginx = share(Nginx::start_at(root, &field.target, &far_side(&link)));
    let mut race = Race::new();
    race.enter(spray(&pair, &load, Spray::fixed("4")).entry());
    race.enter(http::curl_256(&field, &nginx));
    race.enter(ssh::rsync(&field, &sshd));
    race.enter(qcp::qcp_far(&field, &sshd));
    let what = format!("{mib} MiB from random bytes, {} % lost", path.loss * 100.0);
    let congestion_control = link.congestion_control(root)?;
    println!("{what}, TCP is {congestion_control}");
    let standings = race.run(bench, rounds(bench))?;
    Ok(Lap { path, what, standings, congestion_control })
}

/// A file of text, and how much smaller zstd makes it.
fn text_lap(bench: &Bench<'_>, path: LongPath) -> Result<(Lap, Result<f64, String>), BenchError> {
    let Ends { pair, link } = Ends::meet(path)?;
    let (pair, mib) = (Rc::new(pair), bench.settings.scaled(TEXT_MIB));
    let root = pair.root.path();
    let source = pair.edge.file("file.csv");
    let load = Rc::new(Load::csv(source, mib << 20, path.seed, &|| bench.stop.asked())?);
    let ratio = ratio(&pair, &load).map_err(|error| error.brief());
    let mut field = Field::new(root, &load)?;
    field.prefix = link.near();
    let sshd = share(Sshd::start_at(root, &far_side(&link)));
    let mut race = Race::new();
    let options = args!["--parts", "4", "--format", "csv", "--compress", "auto"];
    race.enter(spray(&pair, &load, options).entry());
    race.enter(ssh::rsync_zstd(&field, &sshd));
    let what = format!("{mib} MiB of csv, nothing lost");
    let congestion_control = link.congestion_control(root)?;
    println!("{what}, TCP is {congestion_control}");
    let standings = race.run(bench, rounds(bench))?;
    Ok((Lap { path, what, standings, congestion_control }, ratio))
}

fn spray(pair: &Rc<Pair>, load: &Rc<Load>, options: Vec<OsString>) -> Spray {
    let (pair, load) = (Rc::clone(pair), Rc::clone(load));
    Spray { name: SPRAY, pair, load, logical: "bench::file", options }
}

/// How many times as long a file is as what zstd makes of it at level 1.
fn ratio(pair: &Pair, load: &Load) -> Result<f64, BenchError> {
    let root = pair.root.path();
    let packed = root.join("packed.zst");
    let arguments = args!["-q", "-f", "-1", "--single-thread", "-o", &packed, &load.source];
    let log = root.join("zstd.log");
    let launch = Launch { prefix: Vec::new(), program: program("zstd")?, arguments, log };
    Output::of(&launch, PATIENCE, &|| false)?.done()?;
    let length = fs::metadata(&packed).map_err(HarnessError::file(&packed))?.len();
    remove(&packed)?;
    Ok(load.bytes as f64 / length as f64)
}

impl Lap {
    fn own(&self) -> &Standing {
        self.standings.iter().find(|standing| standing.is_own).expect("the product takes part")
    }

    fn peers(&self) -> impl Iterator<Item = &Standing> {
        self.standings.iter().filter(|standing| !standing.is_own)
    }

    /// Bits of the file a second beside the rate of the path.
    fn share(&self, standing: &Standing) -> Spread {
        standing.megabytes_per_second().times(8e6 / self.path.bits_per_second as f64)
    }

    /// How many times as fast as the best of the others a spray was.
    fn beside_best(&self) -> Result<Spread, String> {
        best(self.own(), self.peers())
    }

    fn table(&self) -> Table {
        let faster = format!("{SPRAY} is faster by");
        let mut table = Table::new(&[&self.what, "Mbit/s of the file", "% of the path", &faster]);
        for standing in &self.standings {
            if let Some(reason) = standing.missing() {
                table.row([standing.name.to_owned(), reason]);
                continue;
            }
            let mbit = standing.megabytes_per_second().times(8.0);
            let share = self.share(standing).times(100.0);
            let faster = match self.own().speed_ratio(standing) {
                Ok(_) if standing.is_own => "1".to_owned(),
                Ok(ratio) => format!("{ratio:.2} x"),
                Err(reason) => reason,
            };
            let name = standing.name.to_owned();
            table.row([name, format!("{mbit:.0}"), format!("{share:.1}"), faster]);
        }
        table
    }

    fn json(&self) -> Value {
        let standings = self.standings.iter().map(|standing| standing.json(self.own()));
        json!({
            "what": self.what,
            "congestion_control": self.congestion_control,
            "contenders": standings.collect::<Vec<_>>(),
        })
    }
}

/// How many times as fast as the fastest of the others `own` was; why none was there otherwise.
fn best<'a>(own: &Standing, others: impl Iterator<Item = &'a Standing>) -> Result<Spread, String> {
    let (mut ratios, mut reasons) = (Vec::new(), Vec::new());
    for other in others {
        match own.speed_ratio(other) {
            Ok(ratio) => ratios.push(ratio),
            Err(reason) => reasons.push(reason),
        }
    }
    let least = ratios.into_iter().min_by(|one, other| one.median.total_cmp(&other.median));
    least.ok_or_else(|| reasons.join("; "))
}

impl Beside {
    fn laps(&self) -> impl Iterator<Item = &Lap> {
        self.peers.iter().chain([&self.text])
    }

    pub(super) fn bars(&self) -> [Bar; 3] {
        let ratio = self.ratio.clone();
        let carried = ratio.map(|ratio| self.text.share(self.text.own()).times(100.0 / ratio));
        let lossy = self.peers.last().expect("there is a lap for every loss");
        [ratio_bar(carried), text_bar(self.text.beside_best()), peers_bar(lossy.beside_best())]
    }

    pub(super) fn tables(&self) -> Vec<Table> {
        let mut tables: Vec<_> = self.laps().map(Lap::table).collect();
        let mut packed = Table::new(&["the csv", "zstd at level 1"]);
        let cell = self.ratio.clone().map(|ratio| format!("{ratio:.2} times smaller"));
        packed.row([self.text.what.clone(), cell.unwrap_or_else(|reason| reason)]);
        tables.push(packed);
        tables
    }

    /// The most any edge and any relay had resident, in MiB.
    pub(super) fn peaks_mib(&self) -> (f64, f64) {
        self.laps()
            .map(|lap| lap.own().peaks_mib())
            .fold((0.0, 0.0), |most, peaks| (most.0.max(peaks.0), most.1.max(peaks.1)))
    }

    /// What TCP had on the paths.
    pub(super) fn congestion_control(&self) -> &str {
        &self.text.congestion_control
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "peers": self.peers.iter().map(Lap::json).collect::<Vec<_>>(),
            "text": self.text.json(),
            "zstd_ratio": self.ratio.as_ref().ok(),
        })
    }
}

pub(super) fn ratio_bar(found: Result<Spread, String>) -> Bar {
    let what = "text carried, of rate x ratio of zstd at level 1".into();
    Bar { what, bound: Bound::AtLeast(RATIO_LEAST_PERCENT), unit: "%", found }
}

pub(super) fn text_bar(found: Result<Spread, String>) -> Bar {
    let what = format!("speed of {SPRAY} with text beside {}", ssh::RSYNC_ZSTD);
    Bar { what, bound: Bound::AtLeast(TEXT_LEAST), unit: "x", found }
}

pub(super) fn peers_bar(found: Result<Spread, String>) -> Bar {
    let what = format!("speed of {SPRAY} beside the best of the others, 1 % lost");
    Bar { what, bound: Bound::AtLeast(PEERS_LEAST), unit: "x", found }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::contender::Absence;
    use crate::bench::standing::tests::standing;

    #[test]
    fn the_best_of_the_others_is_the_fastest_that_is_there() {
        let own = standing("skyspray spray", &[1.0]);
        let absence = Absence { name: "qcp", reason: "qcp is not installed".into() };
        let absent = Standing::absent(absence);
        let others = [standing("curl", &[2.0]), standing("rsync", &[3.0]), absent.clone()];

        assert_eq!(best(&own, others.iter()), Ok(Spread::single(2.0)));
        let alone = best(&own, [absent].iter());
        assert_eq!(alone.unwrap_err(), "qcp: absent: qcp is not installed");
    }

    #[test]
    fn a_share_of_a_path_is_counted_in_bits() {
        let standings = vec![standing("skyspray spray", &[43.0])];
        let path = far(1.0, MIB, 0.0).path(1);
        let congestion_control = "cubic".to_owned();
        let lap = Lap { path, what: "1 GiB".into(), standings, congestion_control };

        let share = lap.share(lap.own()).median;

        assert!((share - 0.9988).abs() < 0.0001, "{share}");
        assert!(lap.table().markdown().contains("| skyspray spray | 200 | 99.9 | 1 |"));
    }
}
