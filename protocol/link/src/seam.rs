//! The seams between Skyspray and its host: wall time, randomness and files.
//!
//! Everything above takes them as `Arc<dyn …>`, so a test can move the clock, repeat a random
//! sequence and crash a disk. Nothing outside this module asks the host for these things.

pub mod files;

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use ring::rand::SecureRandom as _;

/// The wall clock: for certificates, names and records that people read.
///
/// Durations and deadlines inside a process come from `tokio::time`, which tests pause.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The current time, as far as this host knows. It may jump in both directions.
    fn now(&self) -> SystemTime;
}

/// The clock of the host.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the seam everybody else goes through")]
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// A clock that stands still until a test moves it.
#[derive(Debug)]
pub struct ManualClock {
    // Shared between the test that moves it and the tasks that read it.
    now: Mutex<SystemTime>,
}

impl ManualClock {
    /// Starts at `now`.
    pub fn new(now: SystemTime) -> Self {
        Self { now: Mutex::new(now) }
    }

    /// Moves forward by `step`.
    pub fn advance(&self, step: Duration) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) += step;
    }

    /// Jumps to `now`, which may be earlier than the time shown so far.
    pub fn set(&self, now: SystemTime) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> SystemTime {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A source of random bytes: for job ids, tokens, keys and jitter.
pub trait Random: fmt::Debug + Send + Sync {
    /// Overwrites all of `bytes`.
    fn fill(&self, bytes: &mut [u8]);

    /// A number from the whole range of `u64`, each equally likely.
    fn u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

/// The random source of the operating system, fit for keys.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        let source = ring::rand::SystemRandom::new();
        source.fill(bytes).expect("the operating system provides random bytes");
    }
}

/// The same sequence for the same seed, on every host and in every release. Only for tests.
pub struct SeededRandom {
    // Shared between the tasks of one test; the order in which they draw is theirs to fix.
    output: Mutex<blake3::OutputReader>,
}

impl SeededRandom {
    /// Starts the sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("skyspray seeded random v1");
        hasher.update(&seed.to_le_bytes());
        Self { output: Mutex::new(hasher.finalize_xof()) }
    }
}

impl fmt::Debug for SeededRandom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SeededRandom").finish_non_exhaustive()
    }
}

impl Random for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) {
        self.output.lock().unwrap_or_else(PoisonError::into_inner).fill(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        let clock = ManualClock::new(start);

        assert_eq!(clock.now(), start);
        clock.advance(Duration::from_millis(1));
        assert_eq!(clock.now(), start + Duration::from_millis(1));
        clock.set(start);
        assert_eq!(clock.now(), start);
    }

    #[test]
    fn the_system_clock_shows_a_time_after_this_code_was_written() {
        let written = SystemTime::UNIX_EPOCH + Duration::from_secs(1_735_689_600);

        assert!(SystemClock.now() > written);
    }

    #[test]
    fn a_seed_repeats_its_sequence_however_it_is_drawn() {
        let (once, twice) = (SeededRandom::new(7), SeededRandom::new(7));
        let mut whole = [0; 100];
        once.fill(&mut whole);
        let mut halves = [0; 100];
        twice.fill(&mut halves[..33]);
        twice.fill(&mut halves[33..]);

        assert_eq!(whole, halves);
        assert_ne!(SeededRandom::new(8).u64(), SeededRandom::new(7).u64());
        assert_eq!(SeededRandom::new(7).u64().to_le_bytes(), whole[..8]);
    }

    #[test]
    fn the_system_source_does_not_repeat_itself() {
        let random = SystemRandom;

        assert_ne!((random.u64(), random.u64()), (random.u64(), random.u64()));
    }
}
