//! Contenders that carry the same in turns, round after round in one run, so that what slows the
//! machine slows all of them.

use super::contender::{Contender, Entry};
use super::standing::{Standing, State};
use super::usage::Usage;
use super::{Bench, BenchError};
use std::time::Duration;

/// The contenders of a workload in groups that follow each other: what is sprayed comes back.
#[derive(Default)]
pub(super) struct Race {
    slots: Vec<Vec<Box<dyn Contender>>>,
    standings: Vec<Standing>,
}

impl Race {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Adds somebody who has a slot of its own.
    pub(super) fn enter(&mut self, entry: Entry) {
        self.enter_group(vec![entry]);
    }

    /// Adds some who follow each other, and whose deliveries are removed after the last of them.
    pub(super) fn enter_group(&mut self, entries: Vec<Entry>) {
        let mut slot = Vec::new();
        for entry in entries {
            match entry {
                Ok(contender) => {
                    self.standings.push(Standing::new(contender.as_ref()));
                    slot.push(contender);
                }
                Err(absence) => {
                    println!("without {}: {}", absence.name, absence.reason);
                    self.standings.push(Standing::absent(absence));
                }
            }
        }
        self.slots.push(slot);
    }

    /// Runs all of it.
    ///
    /// # Errors
    ///
    /// The product fails, or the host does. A peer that fails is out of the race, which its
    /// standing says.
    pub(super) fn run(
        mut self,
        bench: &Bench<'_>,
        rounds: u32,
    ) -> Result<Vec<Standing>, BenchError> {
        for round in 0..rounds {
            for slot in order(self.slots.len(), round) {
                self.slot(bench, slot, round)?;
            }
        }
        Ok(self.standings)
    }

    fn slot(&mut self, bench: &Bench<'_>, slot: usize, round: u32) -> Result<(), BenchError> {
        for contender in &self.slots[slot] {
            let standing = self.standings.iter_mut().find(|own| own.name == contender.name());
            let standing = standing.expect("who enters has a standing");
            if !matches!(standing.state, State::Running) {
                continue;
            }
            match turn(bench, contender.as_ref(), round) {
                Ok(usage) => {
                    println!("round {}  {}", round + 1, standing.told(&usage));
                    standing.turns.push(usage);
                }
                // Ctrl-C reaches the children too, so what failed first may be one of them.
                Err(_) if bench.stop.asked() => return Err(BenchError::Interrupted),
                Err(error) if contender.is_own() => return Err(error),
                Err(error) => {
                    println!("round {}  {} is out: {}", round + 1, standing.name, error.told());
                    standing.state = State::Failed(error.brief());
                }
            }
        }
        for contender in &self.slots[slot] {
            contender.clear(round)?;
        }
        // Nobody pays for the one before.
        rustix::fs::sync();
        Ok(())
    }
}

/// The numbers of the slots in the order of a round: another one first each time, and with other
/// steps, so that nobody always follows the same neighbour.
fn order(slots: usize, round: u32) -> impl Iterator<Item = usize> {
    // Steps that come by every slot.
    let steps: Vec<_> = (1..slots.max(2)).filter(|&step| is_coprime(step, slots)).collect();
    let (round, step) = (round as usize, steps[round as usize % steps.len()]);
    (0..slots).map(move |index| (round + index * step) % slots)
}

/// Whether two numbers have no divisor in common but 1.
fn is_coprime(mut one: usize, mut other: usize) -> bool {
    while other != 0 {
        (one, other) = (other, one % other);
    }
    one == 1
}

/// Lets a contender carry its load; in the first round looks at what it delivered.
fn turn(bench: &Bench<'_>, contender: &dyn Contender, round: u32) -> Result<Usage, BenchError> {
    if contender.reads_load() {
        contender.load().warm()?;
    }
    let launch = contender.launch(round)?;
    let within = patience(contender.load().bytes, contender.load().files);
    let usage = Usage::of(&launch, contender.server(), (within, &|| bench.stop.asked()))?;
    if round == 0 && !contender.is_delivered(round)? {
        return Err(BenchError::Differs { contender: contender.name() });
    }
    Ok(usage)
}

/// How long a command may take: a MiB in a quarter of a second and a hundred files in one are
/// slower than any contender on any machine of use.
fn patience(bytes: u64, files: u64) -> Duration {
    Duration::from_secs(60 + (bytes >> 22) + files / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_round_begins_with_another_slot_and_takes_other_steps() {
        let of = |slots, round| order(slots, round).collect::<Vec<_>>();

        assert_eq!(of(3, 0), [0, 1, 2]);
        assert_eq!(of(3, 1), [1, 0, 2]);
        assert_eq!(of(3, 2), [2, 0, 1]);
        assert_eq!(of(8, 1), [1, 4, 7, 2, 5, 0, 3, 6]);
        assert_eq!((of(0, 4), of(1, 7), of(2, 3)), (vec![], vec![0], vec![1, 0]));
    }

    #[test]
    fn every_slot_has_its_turn_in_every_round() {
        for slots in 0..14 {
            for round in 0..20 {
                let mut taken: Vec<_> = order(slots, round).collect();
                taken.sort_unstable();
                assert!(taken.into_iter().eq(0..slots), "{slots} slots, round {round}");
            }
        }
    }

    #[test]
    fn patience_grows_with_bytes_and_files() {
        assert_eq!(patience(2048 << 20, 1).as_secs(), 572);
        assert_eq!(patience(0, 20_000).as_secs(), 260);
    }
}
