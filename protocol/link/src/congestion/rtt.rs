//! The round trip of the path when nothing of this flow waits.

use std::time::{Duration, Instant};

/// How long a shortest round trip is believed that was not seen again.
const BELIEVED: Duration = Duration::from_secs(5);

/// How long the path itself is believed to be as short as it was. Longer, because others may keep the
/// queue filled for longer than [`BELIEVED`].
const FLOOR_BELIEVED: Duration = Duration::from_secs(30);

/// Share of what remains after draining that is taken for the path's own doing, such as timers of
/// hosts and radio that waits to send. Less than all, or two flows would each take the other's
/// queue for the path's and add to it.
const REMAINS_SHARE: f64 = 0.7;

/// The shortest round trips of late, and what there is above them that this flow does not cause.
#[derive(Clone, Copy, Debug)]
pub(super) struct Base {
    shortest: Duration,
    seen: Instant,
    floor: (Duration, Instant),
    unrest: Duration,
    /// Mean round trip above the shortest after the drain before.
    remained: Duration,
}

impl Base {
    pub(super) fn new(sample: Duration, now: Instant) -> Self {
        let (unrest, remained) = (Duration::ZERO, Duration::ZERO);
        Self { shortest: sample, seen: now, floor: (sample, now), unrest, remained }
    }

    /// The shortest round trip of the last seconds.
    pub(super) fn shortest(&self) -> Duration {
        self.shortest
    }

    /// The shortest round trip of the last half minute.
    pub(super) fn floor(&self) -> Duration {
        self.floor.0
    }

    /// By how much round trips exceed the shortest when this flow has nothing in the queue.
    pub(super) fn unrest(&self) -> Duration {
        self.unrest
    }

    /// A packet was acknowledged after `sample`.
    pub(super) fn on_sample(&mut self, sample: Duration, now: Instant) {
        // Timers of hosts are never exact: what is nearly as short confirms the shortest.
        if sample <= self.shortest + self.shortest / 64 {
            self.seen = now;
        }
        self.shortest = self.shortest.min(sample);
        if sample <= self.floor.0 + self.floor.0 / 64 {
            self.floor = (self.floor.0.min(sample), now);
        }
    }

    /// Whether the path must be emptied to see its round trip again.
    pub(super) fn is_stale(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.seen) > BELIEVED
    }

    /// Believes the shortest round trip of a time in which this flow left the path empty.
    pub(super) fn renew(&mut self, shortest: Duration, now: Instant) {
        (self.shortest, self.seen) = (shortest, now);
        if now.saturating_duration_since(self.floor.1) > FLOOR_BELIEVED {
            self.floor = (shortest, now);
        }
    }

    /// Packets sent while this flow left the path empty came back after `mean`. The lower of two
    /// counts: unrest is there every time, the queue of somebody else is not.
    pub(super) fn on_drained(&mut self, mean: Duration) {
        let remains = mean.saturating_sub(self.shortest).min(self.shortest);
        self.unrest = remains.min(self.remained).mul_f64(REMAINS_SHARE);
        self.remained = remains;
    }
}
