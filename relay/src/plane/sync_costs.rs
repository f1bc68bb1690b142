//! Whether a group of files is made durable one by one, or with all else on their file system.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Fewer syncs than these are never worth one of everything.
const TOGETHER_MIN: usize = 8;

/// What one sync of a file is taken to cost before any was measured: rsync's `--fsync` on an idle
/// disk, see `docs/decisions/0016-small-files.md`.
const ONE_AT_FIRST: Duration = Duration::from_micros(300);

/// What one of everything is taken to cost before any was measured.
const ALL_AT_FIRST: Duration = Duration::from_millis(2);

/// The most that one measurement may say, so that a single bad moment is soon forgotten.
const COST_MAX: Duration = Duration::from_secs(2);

/// What syncs have cost lately, in nanoseconds.
///
/// A sync of everything costs one flush of the disk for any number of files, and waits for whatever
/// others are writing to the same file system. Which of the two is less differs from host to host and
/// from minute to minute, so both are measured as they are used.
#[derive(Debug)]
pub(super) struct SyncCosts {
    one: AtomicU64,
    all: AtomicU64,
}

impl Default for SyncCosts {
    fn default() -> Self {
        let nanos = |cost: Duration| AtomicU64::new(cost.as_nanos() as u64);
        Self { one: nanos(ONE_AT_FIRST), all: nanos(ALL_AT_FIRST) }
    }
}

impl SyncCosts {
    /// Whether `count` syncs are better replaced by one of everything.
    ///
    /// Each no makes the next yes more likely: what others write ends some time, and only trying
    /// shows that it has.
    pub(super) fn favour_together(&self, count: usize) -> bool {
        if count < TOGETHER_MIN {
            return false;
        }
        let all = self.all.load(Ordering::Relaxed);
        let together = all <= self.one.load(Ordering::Relaxed).saturating_mul(count as u64);
        if !together {
            self.all.store(all - all / 16, Ordering::Relaxed);
        }
        together
    }

    /// `count` syncs of single files took so long together.
    pub(super) fn note_ones(&self, count: usize, took: Duration) {
        if let Ok(count) = u32::try_from(count)
            && count > 0
        {
            note(&self.one, took / count);
        }
    }

    /// A sync of everything took so long.
    pub(super) fn note_all(&self, took: Duration) {
        note(&self.all, took);
    }
}

/// A quarter of what was measured, three of what was known.
fn note(known: &AtomicU64, measured: Duration) {
    let measured = measured.min(COST_MAX).as_nanos() as u64;
    let before = known.load(Ordering::Relaxed);
    known.store(before - before / 4 + measured / 4, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_files_are_synced_together_until_that_costs_more_and_then_it_is_tried_again() {
        let costs = SyncCosts::default();
        assert!(!costs.favour_together(TOGETHER_MIN - 1), "few files");
        assert!(costs.favour_together(256));

        costs.note_all(COST_MAX * 5);
        let tries = (0..).position(|_| costs.favour_together(256)).unwrap();
        assert!((10..100).contains(&tries), "{tries} groups were synced one by one");

        (0..20).for_each(|_| costs.note_all(Duration::from_millis(2)));
        assert!(costs.favour_together(10));
        (0..40).for_each(|_| costs.note_ones(40, Duration::from_millis(2)));
        assert!(!costs.favour_together(10), "a single sync costs a fortieth");
    }
}
