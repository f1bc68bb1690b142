//! The controller itself: a pure function of what was sent, acknowledged and lost.

use super::contest::Contest;
use super::known::KnownPath;
use super::rate::{Highest, Meter};
use super::round::{Batch, LOSS_MAX, Round};
use super::rtt::Base;
use std::time::{Duration, Instant};

/// Bytes in flight at first: what the queue of a slow line takes at once. The pacer spreads them over
/// the round trip, which is known from the handshake.
const START_BYTES: f64 = 65_536.0;

/// Packets in flight at least.
const LEAST_PACKETS: f64 = 8.0;

/// Bytes in flight at most. The pacer does nothing above 4 GiB.
const MOST_BYTES: f64 = (1_u64 << 30) as f64;

/// Bytes the window grows by for each byte acknowledged in start-up: 2.5 times a round trip.
const START_GROWTH: f64 = 1.5;

/// How much longer than before the queue must be for start-up to pause: a share of the round trip...
const LATE_SHARE: u32 = 16;

/// ... and at least this.
const LATE_LEAST: Duration = Duration::from_millis(3);

/// The part of a round trip, and of what is in flight, that must be late for start-up to end.
const LATE_PART: u32 = 8;

/// The queue a flow keeps for itself: so many packets, which pulls the shares of flows together...
const QUEUE_PACKETS: f64 = 16.0;

/// ... and so much time, which makes up for timers of hosts.
const QUEUE_TIME: Duration = Duration::from_millis(2);

/// What the rates seen are multiplied with after an overloaded round.
const BACK_OFF: f64 = 0.85;

/// Window of a probe, in bandwidth-delay products, at most.
const PROBE_MAX: f64 = 1.25;

/// The same where probes caused loss.
const PROBE_LEAST: f64 = 1.05;

/// By how much more than expected must be lost for a probe to have caused it.
const PROBE_LOSS: f64 = 0.01;

/// Growth of the rate with which a probe is repeated at once.
const PROBE_WORTH: f64 = 1.05;

/// Growth of the rate with which the path is taken for a wider one.
const PATH_WIDER: f64 = 1.15;

/// Rounds between two probes: at least so many, and up to [`CRUISE_SPREAD`] more, so that flows do not
/// probe in step.
const CRUISE_ROUNDS: u64 = 4;

/// See [`CRUISE_ROUNDS`].
const CRUISE_SPREAD: u64 = 4;

/// Share of a bandwidth-delay product that is left in flight to empty the queue.
const DRAIN: f64 = 0.95;

/// Round trip assumed before the first.
const ROUND_TRIP_UNKNOWN: Duration = Duration::from_millis(100);

/// What a flow does at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// Grows until the queue does, or until more in flight delivers no more.
    StartUp { best: f64, stalled: bool, late: Option<Late> },
    /// Sends less than arrives until its own packets have left the queue.
    Drain { again: bool },
    /// The same for one more round, to see the path without them.
    Empty { shortest: Option<Duration>, again: bool },
    /// Keeps what it has for so many more rounds; `drained` says that nothing of it was in the queue
    /// when the packets of this round were sent.
    Cruise { rounds: u64, drained: bool },
    /// Sends more for a round, to see whether more arrives.
    Probe { from: f64, before: Duration },
    /// Keeps what it has while the answers to a probe come in.
    Settle { from: f64, before: Duration },
}

/// Packets of start-up that come late.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Late {
    since: Instant,
    acked: u64,
    /// Bytes in flight when they began to.
    in_flight: u64,
}

/// How much a flow may have in flight.
///
/// The window is the highest delivery rate of the last rounds times the shortest round trip, and a
/// little more. Times and bytes come in with the events; nothing else does.
#[derive(Clone, Debug)]
pub(super) struct Model {
    /// Bytes of a full packet.
    packet: f64,
    meter: Meter,
    highest: Highest,
    base: Option<Base>,
    phase: Phase,
    /// Bytes.
    window: f64,
    batch: Batch,
    round: Round,
    /// Share of the packets lost of late.
    loss: f64,
    in_flight: u64,
    contest: Contest,
    /// Window of the next probe in bandwidth-delay products.
    probe: f64,
    expected: Expected,
    /// Whether start-up has found what the path carries.
    filled: bool,
}

/// What is known of the path from earlier.
#[derive(Clone, Copy, Debug)]
enum Expected {
    Nothing,
    /// Used with the next acknowledgement.
    Path(KnownPath),
    /// Used, or of no use.
    Done,
}

impl Model {
    pub(super) fn new(now: Instant, mtu: u16) -> Self {
        let packet = f64::from(mtu);
        Self {
            packet,
            meter: Meter::new(now),
            highest: Highest::default(),
            base: None,
            phase: start_up(0.0),
            window: START_BYTES,
            batch: Batch::default(),
            round: Round::new(now),
            loss: 0.0,
            in_flight: 0,
            contest: Contest::default(),
            probe: PROBE_MAX,
            expected: Expected::Nothing,
            filled: false,
        }
    }

    /// The path is one that an earlier session knew: start-up begins with what is left to find. Only
    /// the first such word counts.
    pub(super) fn expect(&mut self, path: KnownPath) {
        if matches!(self.expected, Expected::Nothing) {
            self.expected = Expected::Path(path);
        }
    }

    /// What the path carries, once it was filled.
    pub(super) fn learned(&self) -> Option<KnownPath> {
        let base = self.base.filter(|_| self.filled)?;
        KnownPath::found(self.highest.rate(), base.floor())
    }

    /// Bytes that may be in flight.
    pub(super) fn window(&self) -> u64 {
        let held = match self.phase {
            // As much as arrives, until it is clear whether the queue grows.
            Phase::StartUp { late: Some(late), .. } => self.window.min(late.in_flight as f64),
            _ => self.window,
        };
        held.max(LEAST_PACKETS * self.packet) as u64
    }

    /// The highest delivery rate of the last rounds in bytes a second.
    pub(super) fn rate(&self) -> f64 {
        self.highest.rate()
    }

    /// Packets are full at another size.
    pub(super) fn on_mtu(&mut self, mtu: u16) {
        self.packet = f64::from(mtu);
    }

    /// Something was sent.
    pub(super) fn on_sent(&mut self, now: Instant) {
        self.meter.on_sent(now, self.in_flight == 0);
        self.in_flight = self.in_flight.max(1);
    }

    /// A packet was acknowledged; `idle` says that the application has no more to send.
    pub(super) fn on_packet_acked(&mut self, sent: Instant, bytes: u64, idle: bool) {
        self.batch.add(sent, bytes, idle);
    }

    /// Those were all packets acknowledged at once; `in_flight` bytes are still under way.
    pub(super) fn on_acked(&mut self, now: Instant, in_flight: u64) {
        self.in_flight = in_flight;
        let batch = std::mem::take(&mut self.batch);
        let Some(newest) = batch.newest_sent else { return };
        let sample = now.saturating_duration_since(newest);
        self.base.get_or_insert(Base::new(sample, now)).on_sample(sample, now);
        self.round.on_acked(&batch, sample);
        let rate = self.meter.on_acked(now, newest, batch.bytes);
        // What an application without more to send achieves says nothing, unless it is a record.
        let idle = batch.idle_bytes > 0;
        if let Some(rate) = rate.filter(|&rate| !idle || rate > self.highest.rate()) {
            self.highest.on_sample(rate);
        }
        self.take_up();
        match &mut self.phase {
            Phase::StartUp { .. } if !idle => self.grow(now, batch.bytes, sample),
            Phase::Empty { shortest, .. } => {
                *shortest = Some(shortest.map_or(sample, |least| least.min(sample)));
            }
            _ => {}
        }
        if self.round.ends_with(newest, now) {
            self.end_round(now);
        }
        self.set_window();
    }

    /// `bytes` were lost; `persistent` says that nothing came through for a long time.
    pub(super) fn on_lost(&mut self, now: Instant, bytes: u64, persistent: bool) {
        if persistent {
            // The path may be another one: begin as on a new one, without what was known.
            self.highest = Highest::default();
            self.contest = Contest::default();
            self.filled = false;
            self.round = Round::new(now);
            self.phase = start_up(0.0);
            self.window = START_BYTES;
            return;
        }
        self.round.on_lost(bytes);
        if matches!(self.phase, Phase::StartUp { .. }) && self.round.is_overloaded(self.packet) {
            self.phase = Phase::Drain { again: false };
        }
        self.set_window();
    }

    /// A router marked packets instead of dropping them: the queue is longer than it wants it to be.
    pub(super) fn on_marked(&mut self) {
        match self.phase {
            Phase::StartUp { .. } => self.phase = Phase::Drain { again: false },
            Phase::Probe { from, before } => self.phase = Phase::Settle { from, before },
            _ => {}
        }
        self.set_window();
    }

    /// Begins with what is expected of the path, if its round trips are those of that path.
    fn take_up(&mut self) {
        let Expected::Path(path) = self.expected else { return };
        self.expected = Expected::Done;
        let window = path.window(self.shortest());
        if let (Phase::StartUp { late: None, .. }, Some(window)) = (self.phase, window) {
            self.window = self.window.max(window.min(MOST_BYTES));
        }
    }

    /// Start-up: grows by what arrives, pauses while packets come late, ends when they keep doing so.
    fn grow(&mut self, now: Instant, bytes: u64, sample: Duration) {
        let shortest = self.shortest();
        let is_late = sample > shortest + (shortest / LATE_SHARE).max(LATE_LEAST);
        let (growth, in_flight) = (bytes as f64 * START_GROWTH, self.in_flight + bytes);
        let Phase::StartUp { late, .. } = &mut self.phase else { return };
        if !is_late {
            *late = None;
            self.window += growth;
            return;
        }
        let late = late.get_or_insert(Late { since: now, acked: 0, in_flight });
        late.acked += bytes;
        let lasted = now.saturating_duration_since(late.since) > shortest / LATE_PART;
        if lasted && late.acked * u64::from(LATE_PART) > late.in_flight {
            self.phase = Phase::Drain { again: true };
        }
    }

    fn end_round(&mut self, now: Instant) {
        let round = std::mem::replace(&mut self.round, Round::new(now));
        let (Some((shortest, mean)), Some(base)) = (round.round_trips(), self.base) else { return };
        self.judge(&round, now, shortest.saturating_sub(base.floor()));
        let queue = shortest.saturating_sub(base.shortest());
        let started = matches!(self.phase, Phase::StartUp { .. });
        if self.contest.is_on() && queue < self.own_queue() && !started {
            // Whoever filled the queue left it.
            self.contest.end();
            self.phase = start_up(0.0);
        } else {
            self.phase = self.next_phase(&round, now, (queue, mean));
        }
        self.filled |= !matches!(self.phase, Phase::StartUp { .. });
        if !round.is_idle() {
            self.highest.end_round();
        }
    }

    /// Takes note of the losses of a round and of the queue behind it.
    fn judge(&mut self, round: &Round, now: Instant, queue: Duration) {
        // What start-up lost by itself is answered by the drain behind it.
        let filling =
            matches!(self.phase, Phase::StartUp { .. } | Phase::Drain { .. } | Phase::Empty { .. });
        if !filling && round.is_overloaded(self.packet) {
            if self.contest.least_window(self.floor()) >= self.window {
                self.contest.on_overload(round.took(now));
            }
            self.highest.scale(BACK_OFF);
        }
        self.contest.on_round(self.highest.rate(), queue, round.took(now));
        if matches!(self.phase, Phase::Settle { .. }) {
            let caused = round.loss() > self.loss + PROBE_LOSS;
            let extra = (self.probe - 1.0) * if caused { 0.5 } else { 1.2 };
            self.probe = (1.0 + extra).clamp(PROBE_LEAST, PROBE_MAX);
        }
        self.loss += (round.loss() - self.loss) / 8.0;
    }

    fn next_phase(&mut self, round: &Round, now: Instant, trips: (Duration, Duration)) -> Phase {
        let (queue, mean) = trips;
        let rate = self.highest.rate();
        match self.phase {
            Phase::StartUp { .. } if round.is_idle() => self.phase,
            Phase::StartUp { best, late, .. } if rate > best * 1.25 => {
                Phase::StartUp { best: rate, stalled: false, late }
            }
            Phase::StartUp { best, stalled: false, late } => {
                Phase::StartUp { best, stalled: true, late }
            }
            Phase::StartUp { .. } => Phase::Drain { again: false },
            Phase::Drain { again } if self.in_flight as f64 <= self.drained() => {
                Phase::Empty { shortest: None, again }
            }
            Phase::Drain { .. } => self.phase,
            Phase::Empty { shortest, again } => {
                self.emptied(now, shortest);
                if again { Phase::Cruise { rounds: 0, drained: true } } else { self.cruise(true) }
            }
            Phase::Cruise { rounds, drained } => {
                if let (true, Some(base)) = (drained, &mut self.base) {
                    base.on_drained(mean);
                }
                match rounds.checked_sub(1) {
                    Some(rounds) => Phase::Cruise { rounds, drained: false },
                    None => Phase::Probe { from: rate, before: mean },
                }
            }
            Phase::Probe { from, before } => Phase::Settle { from, before },
            Phase::Settle { from, before } => self.settled(now, from, (queue, before)),
        }
    }

    /// What follows a probe that began at the rate `from`, with round trips of `before` in the mean.
    fn settled(&self, now: Instant, from: f64, (queue, before): (Duration, Duration)) -> Phase {
        let calm = self.unrest() + self.own_queue().mul_f64(1.5);
        let recent = self.highest.recent();
        let is_stale = self.base.is_some_and(|base| base.is_stale(now));
        let has_grown = before.saturating_sub(self.shortest()) > calm;
        if recent > from * PATH_WIDER && queue < calm {
            start_up(self.highest.rate())
        } else if recent > from * PROBE_WORTH {
            Phase::Probe { from: self.highest.rate(), before }
        } else if is_stale || (has_grown && !self.contest.is_on()) {
            Phase::Drain { again: false }
        } else {
            self.cruise(false)
        }
    }

    /// The path was empty of this flow for a round.
    fn emptied(&mut self, now: Instant, shortest: Option<Duration>) {
        let (Some(shortest), Some(base)) = (shortest, &mut self.base) else { return };
        if base.is_stale(now) {
            base.renew(shortest, now);
        }
        let floor = base.floor();
        self.contest.judge(shortest, floor, self.own_queue_at(self.contest.peak()));
    }

    fn cruise(&self, drained: bool) -> Phase {
        // Any number that differs between flows will do.
        let packets = self.meter.delivered() / self.packet as u64;
        Phase::Cruise { rounds: CRUISE_ROUNDS + packets % CRUISE_SPREAD, drained }
    }

    fn shortest(&self) -> Duration {
        self.base.map_or(ROUND_TRIP_UNKNOWN, |base| base.shortest())
    }

    fn floor(&self) -> Duration {
        self.base.map_or(ROUND_TRIP_UNKNOWN, |base| base.floor())
    }

    fn unrest(&self) -> Duration {
        self.base.map_or(Duration::ZERO, |base| base.unrest())
    }

    /// The queue this flow keeps for itself, as a time.
    fn own_queue(&self) -> Duration {
        self.own_queue_at(self.highest.rate())
    }

    fn own_queue_at(&self, rate: f64) -> Duration {
        let packets = QUEUE_PACKETS * self.packet / rate.max(self.packet);
        QUEUE_TIME + Duration::from_secs_f64(packets)
    }

    /// Bytes in flight with which nothing of this flow waits.
    fn drained(&self) -> f64 {
        let round_trip = self.shortest() + self.unrest() / 2;
        self.highest.recent() * round_trip.as_secs_f64() + 2.0 * self.packet
    }

    fn set_window(&mut self) {
        let rate = self.highest.rate();
        let product = rate * self.shortest().as_secs_f64();
        let queue = rate * (self.own_queue() + self.unrest()).as_secs_f64();
        // What will be lost takes room until that is known.
        let lost = 1.0 / (1.0 - self.loss.min(LOSS_MAX));
        let least = self.contest.least_window(self.floor());
        let wanted = match self.phase {
            Phase::StartUp { .. } => return,
            Phase::Drain { .. } | Phase::Empty { .. } => DRAIN * self.drained(),
            Phase::Cruise { .. } | Phase::Settle { .. } => least.max((product + queue) * lost),
            Phase::Probe { .. } => least.max((product * self.probe + queue) * lost),
        };
        self.window = wanted.clamp(LEAST_PACKETS * self.packet, MOST_BYTES);
    }
}

/// Start-up on a path that has delivered `best` bytes a second so far.
fn start_up(best: f64) -> Phase {
    Phase::StartUp { best, stalled: false, late: None }
}
