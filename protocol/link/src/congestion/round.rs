//! What is counted between two decisions: acknowledgements that came at once, and rounds.

use std::time::{Duration, Instant};

/// Shortest round. Below it a round trip is shorter than a burst of the pacer, and says nothing.
const LEAST: Duration = Duration::from_millis(5);

/// Share of a round's bytes that may be lost before the round counts as overloaded. Well above what
/// radio and bad cables lose: a flow that yields to such losses comes to a standstill.
pub(super) const LOSS_MAX: f64 = 0.12;

/// Packets that must be lost before their share means anything.
const LOST_PACKETS_LEAST: f64 = 8.0;

/// Packets acknowledged at once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Batch {
    pub(super) bytes: u64,
    /// Bytes of those that came while the application had nothing more to send.
    pub(super) idle_bytes: u64,
    /// When the newest of them was sent.
    pub(super) newest_sent: Option<Instant>,
}

impl Batch {
    pub(super) fn add(&mut self, sent: Instant, bytes: u64, idle: bool) {
        self.bytes += bytes;
        self.idle_bytes += if idle { bytes } else { 0 };
        self.newest_sent = self.newest_sent.max(Some(sent));
    }
}

/// The time from one moment until a packet sent after it is acknowledged: one round trip.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    began: Instant,
    acked: u64,
    idle: u64,
    lost: u64,
    shortest: Option<Duration>,
    /// Round trips of all acknowledged bytes, in byte seconds.
    spent: f64,
}

impl Round {
    pub(super) fn new(now: Instant) -> Self {
        Self { began: now, acked: 0, idle: 0, lost: 0, shortest: None, spent: 0.0 }
    }

    pub(super) fn on_acked(&mut self, batch: &Batch, round_trip: Duration) {
        self.acked += batch.bytes;
        self.idle += batch.idle_bytes;
        self.spent += batch.bytes as f64 * round_trip.as_secs_f64();
        self.shortest = Some(self.shortest.map_or(round_trip, |least| least.min(round_trip)));
    }

    pub(super) fn on_lost(&mut self, bytes: u64) {
        self.lost += bytes;
    }

    /// Whether an acknowledgement of a packet sent at `sent` ends it.
    pub(super) fn ends_with(&self, sent: Instant, now: Instant) -> bool {
        sent >= self.began && self.took(now) >= LEAST
    }

    pub(super) fn took(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }

    /// Whether the application, not the path, was what held it back for the most part.
    pub(super) fn is_idle(&self) -> bool {
        self.idle * 2 > self.acked
    }

    /// Share of its bytes that were lost.
    pub(super) fn loss(&self) -> f64 {
        self.lost as f64 / (self.lost + self.acked).max(1) as f64
    }

    /// Whether more was lost than random loss explains; `packet` is the size of one in bytes.
    pub(super) fn is_overloaded(&self, packet: f64) -> bool {
        self.loss() > LOSS_MAX && self.lost as f64 >= LOST_PACKETS_LEAST * packet
    }

    /// Shortest and mean round trip in it.
    pub(super) fn round_trips(&self) -> Option<(Duration, Duration)> {
        let mean = Duration::from_secs_f64(self.spent / self.acked.max(1) as f64);
        self.shortest.map(|shortest| (shortest, mean))
    }
}
