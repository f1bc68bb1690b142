//! The bench: workloads that the product and the programs people use for the same carry in turns,
//! round after round in one run, so that what slows the machine slows all of them. Says how long
//! each took, what both sides cost, how the product compares, and which bars it reached.

mod bar;
pub mod ceiling;
mod contender;
mod error;
mod load;
mod peer;
mod race;
mod report;
mod section;
mod server;
mod settings;
mod standing;
mod summary;
mod table;
mod usage;
pub mod wan;
mod workload;

pub use error::BenchError;

use crate::demo::interrupt::Interrupt;
use report::Report;
use settings::Settings;
use std::ffi::OsString;
use std::path::Path;
use std::time::Instant;
use workload::store::client;

/// What every workload knows of the run.
struct Bench<'a> {
    settings: &'a Settings,
    stop: &'a Interrupt,
}

/// Runs the bench with what the environment says: `BENCH_WORKLOADS`, `BENCH_MIB`, `BENCH_ROUNDS`,
/// `BENCH_SEED`, and `BENCH_JSON` for a file to write the figures to.
///
/// # Errors
///
/// A setting is none, the run was interrupted, or a workload has no result; the others have then.
pub fn run() -> Result<(), BenchError> {
    if cfg!(debug_assertions) {
        return Err(BenchError::DebugBuild);
    }
    let settings = Settings::of_environment()?;
    check_durable(&std::env::temp_dir())?;
    let stop = Interrupt::watch().map_err(BenchError::Signals)?;
    let bench = Bench { settings: &settings, stop: &stop };
    let mut report = Report::new(&settings);
    println!("{} MiB a large file, seed {}", settings.mib, settings.seed);
    for &workload in &settings.workloads {
        println!("\n{}: {}", workload.id(), workload.title());
        let began = Instant::now();
        let ended = workload.run(&bench);
        // Ctrl-C reaches the children too, so what failed first may be one of them.
        if stop.asked() {
            return Err(BenchError::Interrupted);
        }
        match ended {
            Ok(section) => report.add(section)?,
            Err(error) => report.add_failure(workload, &error)?,
        }
        println!("{} took {:.0} s", workload.id(), began.elapsed().as_secs_f64());
    }
    report.conclude()
}

/// Whether these arguments of a process make it a side of a workload, and what came of it: some
/// contenders are processes of the bench itself.
pub fn side_of(arguments: &[OsString]) -> Option<Result<(), BenchError>> {
    match arguments {
        [command, order] if command == client::COMMAND => Some(client::run(Path::new(order))),
        other => ceiling::side_of(other).map(|ended| ended.map_err(BenchError::from)),
    }
}

/// Refuses a directory in memory.
fn check_durable(place: &Path) -> Result<(), BenchError> {
    /// `TMPFS_MAGIC` of `statfs(2)`.
    const TMPFS: u64 = 0x0102_1994;
    match rustix::fs::statfs(place) {
        Ok(found) if found.f_type as u64 == TMPFS => {
            Err(BenchError::Volatile { path: place.to_owned() })
        }
        _ => Ok(()),
    }
}
