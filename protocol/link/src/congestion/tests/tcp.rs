//! Models of the flows of others: TCP with CUBIC (RFC 9438) and with the first BBR.

use super::flow::{Control, PACKET_BYTES, Pace};
use std::time::{Duration, Instant};

const PACKET: f64 = PACKET_BYTES as f64;

/// CUBIC with the delay half of HyStart, sent as acknowledgements come.
pub(super) struct Cubic {
    window: f64,
    threshold: f64,
    largest: f64,
    reduced: Option<Instant>,
    epoch: Option<Instant>,
    friendly: f64,
    shortest: Duration,
    newest: Option<Instant>,
}

impl Cubic {
    pub(super) fn new() -> Self {
        Self {
            window: 10.0 * PACKET,
            threshold: f64::INFINITY,
            largest: 0.0,
            reduced: None,
            epoch: None,
            friendly: 0.0,
            shortest: Duration::MAX,
            newest: None,
        }
    }

    fn grow(&mut self, now: Instant, acked: f64) {
        const C: f64 = 0.4;
        let window = self.window / PACKET;
        let largest = self.largest / PACKET;
        let epoch = *self.epoch.get_or_insert_with(|| {
            self.friendly = window;
            now
        });
        let begin = window.min(largest);
        let k = ((largest - largest * 0.7).max(0.0) / C).cbrt();
        let k = if begin < largest { k } else { 0.0 };
        let t = (now - epoch + self.shortest).as_secs_f64() - k;
        let origin = largest.max(if k == 0.0 { self.friendly.max(largest) } else { 0.0 });
        let target = (C * t * t * t + origin).clamp(window, 1.5 * window);
        self.friendly += 0.53 * acked / PACKET / window;
        let next = window + (target - window) / window * acked / PACKET;
        self.window = next.max(self.friendly.min(window + acked / PACKET)) * PACKET;
    }
}

impl Control for Cubic {
    fn on_packet_acked(&mut self, now: Instant, sent: Instant, bytes: u64, limited: bool) {
        self.shortest = self.shortest.min(now - sent);
        self.newest = self.newest.max(Some(sent));
        if limited || self.reduced.is_some_and(|at| sent <= at) {
            return;
        }
        if self.window < self.threshold {
            self.window += bytes as f64;
            let late =
                (self.shortest / 8).clamp(Duration::from_millis(4), Duration::from_millis(16));
            if now - sent > self.shortest + late {
                self.threshold = self.window;
                self.largest = self.window;
            }
            return;
        }
        self.grow(now, bytes as f64);
    }

    fn on_acked(&mut self, _now: Instant, _in_flight: u64) {}

    fn on_lost(&mut self, now: Instant, sent: Instant, _bytes: u64, persistent: bool) {
        if self.reduced.is_some_and(|at| sent <= at) {
            return;
        }
        let converge = self.window < self.largest;
        self.largest = if converge { self.window * 0.85 } else { self.window };
        self.window = if persistent { 2.0 * PACKET } else { (self.window * 0.7).max(2.0 * PACKET) };
        self.threshold = self.window;
        self.reduced = Some(now);
        self.epoch = None;
    }

    fn window(&self) -> u64 {
        self.window as u64
    }

    fn pace(&self, _smoothed: Duration) -> Pace {
        Pace::AckClock
    }
}

enum Phase {
    StartUp,
    Drain,
    Cycle { step: usize, since: Instant },
    ShortestAgain { until: Option<Instant> },
}

/// BBR as TCP first had it: paced at a gain times the highest rate of ten rounds, two
/// bandwidth-delay products in flight, four packets for 200 ms when the shortest round trip is ten
/// seconds old. It does not answer to loss.
pub(super) struct Bbr {
    meter: crate::congestion::rate::Meter,
    highest: crate::congestion::rate::Highest,
    shortest: Option<(Duration, Instant)>,
    phase: Phase,
    full: (f64, u32),
    round_ends: Option<Instant>,
    batch: (u64, Option<Instant>),
    in_flight: u64,
}

impl Bbr {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            meter: crate::congestion::rate::Meter::new(now),
            highest: crate::congestion::rate::Highest::default(),
            shortest: None,
            phase: Phase::StartUp,
            full: (0.0, 0),
            round_ends: None,
            batch: (0, None),
            in_flight: 0,
        }
    }

    fn product(&self) -> f64 {
        let shortest = self.shortest.map_or(0.1, |(shortest, _)| shortest.as_secs_f64());
        self.highest.rate() * shortest
    }

    fn gain(&self) -> f64 {
        const CYCLE: [f64; 8] = [1.25, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
        match self.phase {
            Phase::StartUp => 2.885,
            Phase::Drain => 0.347,
            Phase::Cycle { step, .. } => CYCLE[step],
            Phase::ShortestAgain { .. } => 1.0,
        }
    }

    fn advance(&mut self, now: Instant, round_ended: bool) {
        let Some((shortest, seen)) = self.shortest else { return };
        let (product, in_flight) = (self.product(), self.in_flight as f64);
        match &mut self.phase {
            Phase::StartUp if round_ended => {
                let rate = self.highest.rate();
                if rate > self.full.0 * 1.25 {
                    self.full = (rate, 0);
                } else {
                    self.full.1 += 1;
                }
                if self.full.1 >= 3 {
                    self.phase = Phase::Drain;
                }
            }
            Phase::Drain if in_flight <= product => {
                // The real one begins at random; the step follows the clock of the flow here.
                self.phase = Phase::Cycle { step: 2, since: now };
            }
            Phase::Cycle { step, since } => {
                let in_time = now - *since > shortest;
                let done = match *step {
                    0 => in_time && in_flight >= 1.25 * product,
                    1 => in_time || in_flight <= product,
                    _ => in_time,
                };
                // Where the queue is full it cannot have more in flight.
                let done = done || (*step == 0 && now - *since > shortest * 3);
                if done {
                    (*step, *since) = ((*step + 1) % 8, now);
                }
            }
            Phase::ShortestAgain { until } => {
                if until.is_none() && self.in_flight <= 4 * PACKET_BYTES {
                    *until = Some(now + Duration::from_millis(200).max(shortest));
                }
                if until.is_some_and(|until| now >= until) {
                    self.shortest = Some((shortest, now));
                    self.phase = Phase::Cycle { step: 2, since: now };
                }
            }
            _ => {}
        }
        let stale = now - seen > Duration::from_secs(10);
        if stale && !matches!(self.phase, Phase::ShortestAgain { .. }) {
            self.shortest = Some((Duration::MAX / 4, now));
            self.phase = Phase::ShortestAgain { until: None };
        }
    }
}

impl Control for Bbr {
    fn on_sent(&mut self, now: Instant) {
        self.meter.on_sent(now, self.in_flight == 0);
        self.in_flight += PACKET_BYTES;
        self.round_ends.get_or_insert(now);
    }

    fn on_packet_acked(&mut self, now: Instant, sent: Instant, bytes: u64, _limited: bool) {
        self.batch = (self.batch.0 + bytes, self.batch.1.max(Some(sent)));
        let sample = now - sent;
        if self.shortest.is_none_or(|(shortest, _)| sample <= shortest) {
            self.shortest = Some((sample, now));
        }
    }

    fn on_acked(&mut self, now: Instant, in_flight: u64) {
        self.in_flight = in_flight;
        let (bytes, Some(newest)) = std::mem::take(&mut self.batch) else { return };
        if let Some(rate) = self.meter.on_acked(now, newest, bytes) {
            self.highest.on_sample(rate);
        }
        let round_ended = self.round_ends.is_some_and(|ends| newest >= ends);
        if round_ended {
            self.round_ends = Some(now);
            self.highest.end_round();
        }
        self.advance(now, round_ended);
    }

    fn on_lost(&mut self, _now: Instant, _sent: Instant, bytes: u64, _persistent: bool) {
        self.in_flight = self.in_flight.saturating_sub(bytes);
    }

    fn window(&self) -> u64 {
        let gain = if matches!(self.phase, Phase::StartUp | Phase::Drain) { 2.885 } else { 2.0 };
        match self.phase {
            Phase::ShortestAgain { .. } => 5 * PACKET_BYTES,
            _ => (gain * self.product() + 3.0 * PACKET).max(10.0 * PACKET) as u64,
        }
    }

    fn pace(&self, smoothed: Duration) -> Pace {
        let rate = self.highest.rate();
        if rate == 0.0 {
            return Pace::Rate(2.885 * 10.0 * PACKET / smoothed.as_secs_f64(), 10.0 * PACKET);
        }
        Pace::Rate(self.gain() * rate, 4.0 * PACKET)
    }
}
