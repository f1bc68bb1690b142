//! How a flow stands up to others that keep the queue filled and do not yield.

use std::time::Duration;

/// Share of the highest rate seen that a flow keeps beside others. Below one half, so that two flows
/// that both insist leave the queue room to drain.
const KEPT: f64 = 0.48;

/// In how many seconds a highest rate that is not seen again counts for half.
const PEAK_HALVES: f64 = 15.0;

/// The same while keeping that share costs more loss than anybody should cause.
const PEAK_HALVES_OVERLOADED: f64 = 2.0;

/// The part of a round trip that must remain in the queue for it to be that of somebody else...
const QUEUE_SHARE: u32 = 4;

/// ... and how many times the queue that a flow keeps for itself.
const OWN_QUEUES: u32 = 5;

/// Queue of others, in round trips of the path, that is made up for at most.
const QUEUE_MAX: f64 = 1.5;

/// Whether others keep the queue filled, and what this flow keeps beside them.
///
/// A flow whose window follows the delivery rate times the shortest round trip gives way without end
/// to one that fills the queue: the longer the queue, the lower its own rate, the smaller its window.
/// So after each drain it looks at what remains in the queue. If it is much, that is not its own, and
/// it does not fall below a share of what the path is known to carry.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Contest {
    /// Highest rate of late in bytes a second.
    peak: f64,
    on: bool,
    /// What waits in the queue, as a time.
    queue: Duration,
}

impl Contest {
    pub(super) fn is_on(&self) -> bool {
        self.on
    }

    /// After a drain packets still took `shortest`, on a path that takes `floor`. Flows like this one
    /// leave a queue of a few times `own_queue` together.
    pub(super) fn judge(&mut self, shortest: Duration, floor: Duration, own_queue: Duration) {
        self.on =
            shortest.saturating_sub(floor) > (floor / QUEUE_SHARE).max(own_queue * OWN_QUEUES);
    }

    /// Highest rate of late in bytes a second.
    pub(super) fn peak(&self) -> f64 {
        self.peak
    }

    /// The others are gone.
    pub(super) fn end(&mut self) {
        self.on = false;
    }

    /// A round ended in which the highest rate was `rate`.
    pub(super) fn on_round(&mut self, rate: f64, queue: Duration, took: Duration) {
        self.peak = (self.peak * halved(took, PEAK_HALVES)).max(rate);
        self.queue = queue;
    }

    /// The share it kept in a round was too much.
    pub(super) fn on_overload(&mut self, took: Duration) {
        self.peak *= halved(took, PEAK_HALVES_OVERLOADED);
    }

    /// The least window in bytes; 0 where nobody contests the path.
    pub(super) fn least_window(&self, floor: Duration) -> f64 {
        if !self.on {
            return 0.0;
        }
        let queue = self.queue.min(floor.mul_f64(QUEUE_MAX));
        KEPT * self.peak * (floor + queue).as_secs_f64()
    }
}

fn halved(took: Duration, halves: f64) -> f64 {
    0.5_f64.powf(took.as_secs_f64() / halves)
}
