//! A simulated network: one bottleneck with a queue that drops what does not fit, seeded random
//! loss before it, a delay after it, and flows that share it. Time is virtual and nothing is random
//! but the seed, so a run repeats to the packet.

use super::flow::{Flow, Packet, Setting};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// SplitMix64.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The path every flow takes.
#[derive(Clone, Debug)]
pub(super) struct Path {
    /// Bytes a second of the bottleneck.
    pub(super) rate: f64,
    /// Round trip of a packet that never waits.
    pub(super) round_trip: Duration,
    /// Bytes that may wait at the bottleneck.
    pub(super) queue: f64,
    /// Probability with which a packet is lost before it.
    pub(super) loss: f64,
    /// Most by which a packet or acknowledgement is late, order kept.
    pub(super) jitter: Duration,
    /// From when to when nothing passes.
    pub(super) outage: Option<(Duration, Duration)>,
    /// When the path changes, and its rate and round trip from then on.
    pub(super) change: Option<(Duration, f64, Duration)>,
}

impl Path {
    /// A path of `mbit` Mbit/s and `millis` ms whose queue holds `products` bandwidth-delay products.
    pub(super) fn new(mbit: f64, millis: u64, products: f64) -> Self {
        let (rate, round_trip) = (mbit * 1e6 / 8.0, Duration::from_millis(millis));
        Self {
            rate,
            round_trip,
            queue: (products * rate * round_trip.as_secs_f64()).max(65_536.0),
            loss: 0.0,
            jitter: Duration::ZERO,
            outage: None,
            change: None,
        }
    }

    pub(super) fn with_loss(self, loss: f64) -> Self {
        Self { loss, ..self }
    }
}

/// What the bottleneck saw.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Passed {
    pub(super) offered: u64,
    pub(super) dropped_by_queue: u64,
    pub(super) dropped_at_random: u64,
    queued: Duration,
}

impl Passed {
    /// Mean time a packet waited in the queue.
    pub(super) fn mean_queue(&self) -> Duration {
        let passed = self.offered - self.dropped_by_queue - self.dropped_at_random;
        self.queued.div_f64(passed.max(1) as f64)
    }

    /// Share of the packets that found the queue full.
    pub(super) fn own_loss(&self) -> f64 {
        self.dropped_by_queue as f64 / self.offered.max(1) as f64
    }
}

#[derive(Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Event {
    Arrives(Packet),
    Acknowledged(Vec<u64>),
    AckDelayEnds,
    Wakes,
}

/// Flows over one path.
pub(super) struct Network {
    path: Path,
    flows: Vec<Flow>,
    events: BinaryHeap<Reverse<(Duration, u64, usize, Event)>>,
    events_made: u64,
    epoch: Instant,
    now: Duration,
    random: Random,
    free_at: Duration,
    last_arrival: Duration,
    last_back: Duration,
    pub(super) passed: Passed,
}

impl Network {
    pub(super) fn new(path: Path, seed: u64) -> Self {
        Self {
            path,
            flows: Vec::new(),
            events: BinaryHeap::new(),
            events_made: 0,
            epoch: Instant::now(),
            now: Duration::ZERO,
            random: Random(seed),
            free_at: Duration::ZERO,
            last_arrival: Duration::ZERO,
            last_back: Duration::ZERO,
            passed: Passed::default(),
        }
    }

    /// Adds a flow that begins at `setting.begin`.
    pub(super) fn add(&mut self, setting: Setting) {
        self.schedule(setting.begin, self.flows.len(), Event::Wakes);
        self.flows.push(Flow::new(setting, self.epoch, self.path.round_trip));
    }

    pub(super) fn flow(&self, index: usize) -> &Flow {
        &self.flows[index]
    }

    /// From now on the application of a flow has so many bytes a second.
    pub(super) fn limit(&mut self, index: usize, rate: Option<f64>) {
        let now = self.epoch + self.now;
        self.flows[index].limit(rate, now);
    }

    pub(super) fn now(&self) -> Duration {
        self.now
    }

    /// Runs until `end` or until every flow has sent all it has.
    pub(super) fn run_until(&mut self, end: Duration) {
        while let Some(Reverse((at, ..))) = self.events.peek() {
            if *at > end || self.flows.iter().all(Flow::is_done) {
                return;
            }
            let Some(Reverse((at, _, index, event))) = self.events.pop() else { return };
            self.now = at;
            self.handle(index, event);
        }
    }

    fn schedule(&mut self, at: Duration, index: usize, event: Event) {
        self.events_made += 1;
        self.events.push(Reverse((at, self.events_made, index, event)));
    }

    fn handle(&mut self, index: usize, event: Event) {
        let now = self.epoch + self.now;
        let out = self.is_out(self.now);
        let flow = &mut self.flows[index];
        match event {
            Event::Arrives(packet) => {
                let first = flow.receives_first();
                let acks = flow.receive(packet);
                return self.answer(index, acks, first);
            }
            Event::AckDelayEnds => {
                let acks = flow.ack_pending();
                return self.answer(index, acks, false);
            }
            // An acknowledgement is lost in an outage too.
            Event::Acknowledged(_) if out => return,
            Event::Acknowledged(acks) => flow.acknowledge(now, &acks),
            Event::Wakes => flow.wake(now),
        }
        while let Some(packet) = self.flows[index].poll_transmit(now) {
            self.offer(index, packet);
        }
        if let Some(wake) = self.flows[index].poll_wake(now) {
            self.schedule(wake.saturating_duration_since(self.epoch), index, Event::Wakes);
        }
    }

    /// Sends `acks` back; without them, waits for more if `first` says that nothing waited yet.
    fn answer(&mut self, index: usize, acks: Option<Vec<u64>>, first: bool) {
        if let Some(acks) = acks {
            let at = self.now + self.path.round_trip / 2 + self.jitter();
            self.last_back = self.last_back.max(at);
            let at = self.last_back;
            self.schedule(at, index, Event::Acknowledged(acks));
        } else if first {
            self.schedule(self.now + super::flow::ACK_DELAY, index, Event::AckDelayEnds);
        }
    }

    fn is_out(&self, at: Duration) -> bool {
        self.path.outage.is_some_and(|(from, to)| (from..to).contains(&at))
    }

    fn jitter(&mut self) -> Duration {
        if self.path.jitter.is_zero() {
            return Duration::ZERO;
        }
        self.path.jitter.mul_f64(self.random.unit())
    }

    fn offer(&mut self, index: usize, packet: Packet) {
        if let Some((at, rate, round_trip)) = self.path.change
            && self.now >= at
        {
            (self.path.rate, self.path.round_trip, self.path.change) = (rate, round_trip, None);
        }
        self.passed.offered += 1;
        if self.is_out(self.now) || (self.path.loss > 0.0 && self.random.unit() < self.path.loss) {
            self.passed.dropped_at_random += 1;
            return;
        }
        let waits = self.free_at.saturating_sub(self.now);
        let length = packet.bytes as f64 + super::flow::HEADER_BYTES;
        if waits.as_secs_f64() * self.path.rate + length > self.path.queue {
            self.passed.dropped_by_queue += 1;
            return;
        }
        self.passed.queued += waits;
        self.free_at = self.now + waits + Duration::from_secs_f64(length / self.path.rate);
        let arrival = self.free_at + self.path.round_trip / 2 + self.jitter();
        self.last_arrival = self.last_arrival.max(arrival);
        self.schedule(self.last_arrival, index, Event::Arrives(packet));
    }
}
