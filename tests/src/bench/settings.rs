//! What the user asks of a bench through the environment.

use super::BenchError;
use super::workload::Workload;
use std::collections::hash_map::RandomState;
use std::env;
use std::ffi::OsString;
use std::hash::{BuildHasher as _, Hasher as _};
use std::path::PathBuf;

/// Size of a large file unless `BENCH_MIB` says otherwise, in MiB. Everything else a workload
/// carries shrinks and grows with it.
pub(super) const MIB: u64 = 2048;

/// Rounds of a workload unless it or `BENCH_ROUNDS` says otherwise, and the fewest that the
/// document is about.
pub(super) const ROUNDS: u32 = 5;

/// The settings of a run.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// Size of a large file in MiB.
    pub(super) mib: u64,
    /// Rounds of every workload, where the user says so.
    rounds: Option<u32>,
    /// What all data are made from.
    pub(super) seed: u64,
    /// What runs, in the order of the list of all.
    pub(super) workloads: Vec<Workload>,
    /// Where the figures go as JSON.
    pub(super) json: Option<PathBuf>,
}

impl Settings {
    pub(super) fn of_environment() -> Result<Self, BenchError> {
        let rounds = number("BENCH_ROUNDS", 1000)?;
        let asked = set("BENCH_WORKLOADS").map(|text| text.to_string_lossy().into_owned());
        Ok(Self {
            mib: number("BENCH_MIB", 1 << 20)?.unwrap_or(MIB),
            rounds: rounds.map(|rounds| u32::try_from(rounds).expect("at most 1000")),
            seed: number("BENCH_SEED", u64::MAX)?.unwrap_or_else(any_seed),
            workloads: selected(asked.as_deref())?,
            json: set("BENCH_JSON").map(PathBuf::from),
        })
    }

    /// Bytes of a large file.
    pub(super) fn bytes(&self) -> u64 {
        self.mib << 20
    }

    /// How many rounds a workload runs that has so many by itself.
    pub(super) fn rounds(&self, by_itself: u32) -> u32 {
        self.rounds.unwrap_or(by_itself)
    }

    /// A count of a whole run, made smaller or larger as the files are; at least 1.
    pub(super) fn scaled(&self, count: u64) -> u64 {
        (u128::from(count) * u128::from(self.mib) / u128::from(MIB)).max(1) as u64
    }

    /// Whether the run is as large as the one that the document is about.
    pub(super) fn is_whole(&self) -> bool {
        self.mib >= MIB && self.rounds.is_none_or(|rounds| rounds >= ROUNDS)
    }
}

fn selected(asked: Option<&str>) -> Result<Vec<Workload>, BenchError> {
    let Some(text) = asked else { return Ok(Workload::ALL.to_vec()) };
    let names: Vec<_> = text.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let is_known = |name: &&str| Workload::ALL.iter().any(|workload| workload.is_called(name));
    if names.is_empty() || !names.iter().all(is_known) {
        let known: Vec<_> = Workload::ALL.iter().map(|workload| workload.id()).collect();
        return Err(BenchError::Workload { text: text.to_owned(), known: known.join(",") });
    }
    let is_wanted = |workload: &Workload| names.iter().any(|name| workload.is_called(name));
    Ok(Workload::ALL.into_iter().filter(is_wanted).collect())
}

fn set(name: &str) -> Option<OsString> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(mib: u64, rounds: Option<u32>) -> Settings {
        Settings { mib, rounds, seed: 1, workloads: Vec::new(), json: None }
    }

    #[test]
    fn workloads_are_chosen_by_name_and_run_in_their_own_order() {
        let chosen = selected(Some("w3, w1,")).unwrap();

        assert_eq!(chosen, [Workload::Bulk, Workload::Small]);
        assert_eq!(selected(Some("w7")).unwrap(), [Workload::Quoted]);
        assert_eq!(selected(None).unwrap(), Workload::ALL);
    }

    #[test]
    fn an_unknown_workload_is_an_error_that_names_those_there_are() {
        let error = selected(Some("w1,w99")).unwrap_err().to_string();

        assert!(error.starts_with("BENCH_WORKLOADS names \"w1,w99\", expected some of w1,"));
        let nothing = selected(Some(",")).unwrap_err().to_string();
        assert!(
            nothing.starts_with("BENCH_WORKLOADS names \",\", expected some of w1,"),
            "{nothing}"
        );
    }

    #[test]
    fn counts_follow_the_size_of_the_files_and_only_a_large_run_is_whole() {
        let small = settings(64, None);

        assert_eq!((small.scaled(20_000), small.scaled(5)), (625, 1));
        assert!(!small.is_whole());
        assert!(settings(MIB, None).is_whole());
        assert!(!settings(MIB, Some(ROUNDS - 1)).is_whole());
        assert_eq!((small.rounds(7), settings(MIB, Some(2)).rounds(7)), (7, 2));
    }
}
