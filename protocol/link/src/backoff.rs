//! How long to wait before the next attempt: exponential with full jitter.

use crate::seam::Random;
use std::time::Duration;

/// First upper bound of a wait.
const FIRST: Duration = Duration::from_secs(1);

/// Largest upper bound of a wait.
const LAST: Duration = Duration::from_secs(60);

/// Waits between attempts: the upper bound doubles from 1 s to 60 s, and each wait is a random
/// share of it, so that a fleet that lost its relay does not come back at once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// The next wait.
    pub fn next_wait(&mut self, random: &dyn Random) -> Duration {
        let bound = FIRST.saturating_mul(1 << self.attempts.min(16)).min(LAST);
        self.attempts = self.attempts.saturating_add(1);
        let millis = u64::try_from(bound.as_millis()).expect("at most a minute");
        Duration::from_millis(random.u64() % (millis + 1))
    }

    /// The attempt succeeded: the next wait is short again.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Highest;

    impl Random for Highest {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(0xff);
        }
    }

    #[test]
    fn waits_never_exceed_a_bound_that_doubles_to_a_minute() {
        let mut backoff = Backoff::default();
        for bound in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            assert!(backoff.next_wait(&Highest) <= Duration::from_secs(bound));
        }

        backoff.reset();
        assert!(backoff.next_wait(&Highest) <= Duration::from_secs(1));
    }
}
