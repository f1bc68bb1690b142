//! The bench: one file, sprayed and sent by the peers people use for the same, round after round in
//! one run, so that what slows the machine slows all of them. Says how long each took, what both
//! sides cost, and how the spray compares.

pub mod ceiling;
mod contender;
mod report;
mod server;
mod stage;
mod summary;
mod usage;

use crate::demo::interrupt::Interrupt;
use crate::error::HarnessError;
use contender::Contender;
use report::Report;
use stage::Stage;
use std::collections::hash_map::RandomState;
use std::env;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io;
use std::path::PathBuf;
use summary::Series;
use thiserror::Error;
use usage::Usage;

/// Size of the file unless `BENCH_MIB` says otherwise, in MiB.
const MIB: u64 = 2048;

/// Rounds unless `BENCH_ROUNDS` says otherwise.
const ROUNDS: u32 = 5;

/// Why there is no result.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BenchError {
    /// The user stopped it.
    #[error("interrupted")]
    Interrupted,
    /// A step failed.
    #[error(transparent)]
    Step(HarnessError),
    /// Built without optimisation.
    #[error("this is a debug build, whose figures mean nothing: run make bench")]
    DebugBuild,
    /// A variable of the environment is no usable number.
    #[error("{name} is {text:?}, expected a number from 1 to {most}")]
    Setting {
        /// The variable.
        name: &'static str,
        /// What it is.
        text: String,
        /// The largest number it may be.
        most: u64,
    },
    /// A program of a peer is not installed.
    #[error("{name} is not installed: .ci/install-test-tools installs it or says how")]
    Missing {
        /// The program.
        name: &'static str,
    },
    /// The temporary directory is in memory, where nothing is durable.
    #[error("{} is in memory: name a directory on disk with TMPDIR", path.display())]
    Volatile {
        /// The directory.
        path: PathBuf,
    },
    /// A peer's server took no connection.
    #[error("{name} does not listen\n{log}")]
    Deaf {
        /// The program.
        name: &'static str,
        /// The end of what it logged.
        log: String,
    },
    /// What arrived is not what was sent.
    #[error("{contender} delivered other bytes than those sent")]
    Differs {
        /// Who delivered.
        contender: &'static str,
    },
    /// The document has no place for the table.
    #[error("{} has no {marker:?}", path.display())]
    Marker {
        /// The document.
        path: PathBuf,
        /// The line that is missing.
        marker: &'static str,
    },
    /// The certificates of the TLS peer cannot be made.
    #[error("cannot make the certificates of the TLS peer")]
    Certificates(#[from] rcgen::Error),
    /// The signals that end the bench cannot be caught.
    #[error("cannot watch for Ctrl-C")]
    Signals(#[source] io::Error),
}

impl From<HarnessError> for BenchError {
    fn from(error: HarnessError) -> Self {
        match error {
            HarnessError::Interrupted => Self::Interrupted,
            other => Self::Step(other),
        }
    }
}

/// What the user asked for through the environment.
#[derive(Clone, Debug)]
struct Settings {
    /// Size of the file in MiB.
    mib: u64,
    rounds: u32,
    /// What the bytes of the file are made from.
    seed: u64,
    /// Where the figures go as JSON.
    json: Option<PathBuf>,
}

impl Settings {
    fn of_environment() -> Result<Self, BenchError> {
        let rounds = number("BENCH_ROUNDS", 1000)?.unwrap_or(u64::from(ROUNDS));
        Ok(Self {
            mib: number("BENCH_MIB", 1 << 20)?.unwrap_or(MIB),
            rounds: u32::try_from(rounds).expect("at most 1000"),
            seed: number("BENCH_SEED", u64::MAX)?.unwrap_or_else(any_seed),
            json: set("BENCH_JSON").map(PathBuf::from),
        })
    }

    fn bytes(&self) -> u64 {
        self.mib << 20
    }

    /// Whether the run is as large as the one that the document is about.
    fn is_whole(&self) -> bool {
        self.mib >= MIB && self.rounds >= ROUNDS
    }
}

fn set(name: &str) -> Option<std::ffi::OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

fn number(name: &'static str, most: u64) -> Result<Option<u64>, BenchError> {
    let Some(text) = set(name).map(|text| text.to_string_lossy().into_owned()) else {
        return Ok(None);
    };
    match text.trim().parse() {
        Ok(number) if (1..=most).contains(&number) => Ok(Some(number)),
        _ => Err(BenchError::Setting { name, text, most }),
    }
}

/// A seed no earlier run had.
fn any_seed() -> u64 {
    RandomState::new().build_hasher().finish().max(1)
}

/// Runs the bench with what the environment says: `BENCH_MIB`, `BENCH_ROUNDS`, `BENCH_SEED`, and
/// `BENCH_JSON` for a file to write the figures to.
///
/// # Errors
///
/// A step failed, or what a contender delivered is not what was sent.
pub fn run() -> Result<(), BenchError> {
    if cfg!(debug_assertions) {
        return Err(BenchError::DebugBuild);
    }
    let settings = Settings::of_environment()?;
    let stop = Interrupt::watch().map_err(BenchError::Signals)?;
    let ended = rounds(&settings, &stop);
    // Ctrl-C reaches the children too, so what failed first may be one of them.
    if stop.asked() {
        return Err(BenchError::Interrupted);
    }
    let report = Report::new(&settings, ended?);
    report.print();
    report.write_json()?;
    report.write_document()
}

fn rounds(settings: &Settings, stop: &Interrupt) -> Result<Vec<Series>, BenchError> {
    println!(
        "one file of {} MiB that cannot be compressed, seed {}, {} rounds",
        settings.mib, settings.seed, settings.rounds
    );
    let stage = Stage::build(settings, stop)?;
    let mut series: Vec<_> = Contender::ALL.into_iter().map(Series::new).collect();
    for round in 0..settings.rounds {
        // Another one first each time, so that nobody always follows the same neighbour.
        let first = round as usize % Contender::SLOTS.len();
        let (before, from) = Contender::SLOTS.split_at(first);
        for slot in from.iter().chain(before) {
            for &contender in *slot {
                let usage = stage.turn(contender, round == 0)?;
                show(round, contender, &usage, settings);
                let own = series.iter_mut().find(|series| series.contender == contender);
                own.expect("every contender has a series").turns.push(usage);
            }
            stage.clear()?;
        }
    }
    Ok(series)
}

fn show(round: u32, contender: Contender, usage: &Usage, settings: &Settings) {
    println!(
        "round {}  {:<28} {:>7.2} s  {:>5.0} MB/s  {:>6.2} CPU s",
        round + 1,
        contender.name(),
        usage.wall_seconds,
        settings.bytes() as f64 / usage.wall_seconds / 1e6,
        usage.cpu_seconds()
    );
}
