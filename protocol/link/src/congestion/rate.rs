//! How fast the path delivers, measured from acknowledgements.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Send times remembered at once. A side that only acknowledges adds one for each packet and is
/// acknowledged rarely itself.
const RECORDS_MAX: usize = 1 << 14;

/// Rounds after which a rate that was not seen again is forgotten.
const ROUNDS_KEPT: usize = 10;

/// Measures the rate at which packets arrive at the peer.
///
/// A sample is what was acknowledged between the sending of a packet and its own acknowledgement,
/// over the time this took. Where sending took longer than acknowledging, the sending counts: the
/// network may hold acknowledgements back and let them go all at once.
#[derive(Clone, Debug)]
pub(super) struct Meter {
    /// Bytes acknowledged so far.
    delivered: u64,
    /// When the last of them were.
    delivered_at: Instant,
    /// When the newest acknowledged packet was sent.
    acked_sent: Instant,
    /// Oldest first, one for each time at which something was sent.
    records: VecDeque<Record>,
}

/// What was known when a packet was sent.
#[derive(Clone, Copy, Debug)]
struct Record {
    sent: Instant,
    delivered: u64,
    delivered_at: Instant,
    acked_sent: Instant,
}

impl Meter {
    pub(super) fn new(now: Instant) -> Self {
        Self { delivered: 0, delivered_at: now, acked_sent: now, records: VecDeque::new() }
    }

    /// Bytes acknowledged so far.
    pub(super) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Something is sent; `idle` says that nothing was in flight.
    pub(super) fn on_sent(&mut self, now: Instant, idle: bool) {
        if idle {
            // A pause says nothing about the path.
            self.delivered_at = now;
            self.acked_sent = now;
        }
        if self.records.back().is_some_and(|last| last.sent == now) {
            return;
        }
        if self.records.len() == RECORDS_MAX {
            self.records.pop_front();
        }
        let Self { delivered, delivered_at, acked_sent, .. } = *self;
        self.records.push_back(Record { sent: now, delivered, delivered_at, acked_sent });
    }

    /// `bytes` were acknowledged at once; the newest packet of them was sent at `newest_sent`.
    /// Returns bytes a second, where they can be told.
    pub(super) fn on_acked(
        &mut self,
        now: Instant,
        newest_sent: Instant,
        bytes: u64,
    ) -> Option<f64> {
        self.delivered += bytes;
        self.delivered_at = now;
        while self.records.front().is_some_and(|record| record.sent < newest_sent) {
            self.records.pop_front();
        }
        let record = *self.records.front().filter(|record| record.sent == newest_sent)?;
        self.acked_sent = self.acked_sent.max(newest_sent);
        let acking = now.saturating_duration_since(record.delivered_at);
        let sending = newest_sent.saturating_duration_since(record.acked_sent);
        let took = acking.max(sending);
        (took > Duration::ZERO)
            .then(|| (self.delivered - record.delivered) as f64 / took.as_secs_f64())
    }
}

/// The highest rate of the last rounds, in bytes a second.
#[derive(Clone, Debug, Default)]
pub(super) struct Highest {
    /// The highest of each round, newest first.
    rounds: [f64; ROUNDS_KEPT],
}

impl Highest {
    /// The highest rate seen; 0 before the first.
    pub(super) fn rate(&self) -> f64 {
        self.rounds.iter().copied().fold(0.0, f64::max)
    }

    /// The highest rate of the round under way and the one before.
    pub(super) fn recent(&self) -> f64 {
        self.rounds[0].max(self.rounds[1])
    }

    pub(super) fn on_sample(&mut self, rate: f64) {
        self.rounds[0] = self.rounds[0].max(rate);
    }

    /// A round in which the path was full ended: the oldest one is forgotten.
    pub(super) fn end_round(&mut self) {
        self.rounds.rotate_right(1);
        self.rounds[0] = 0.0;
    }

    /// Holds all rounds to `share` of what they saw.
    pub(super) fn scale(&mut self, share: f64) {
        for rate in &mut self.rounds {
            *rate *= share;
        }
    }
}
