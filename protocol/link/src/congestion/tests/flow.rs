//! One flow of the simulated network: a sender that detects loss and paces as the QUIC layer does,
//! and a receiver that acknowledges every second packet.

use crate::congestion::known::KnownPath;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Bytes of IP and UDP around a packet.
pub(super) const HEADER_BYTES: f64 = 28.0;

/// Bytes of file content in a packet of [`PACKET_BYTES`].
pub(super) const PAYLOAD_BYTES: f64 = 1419.0;

/// Largest packet that fits an MTU of 1500.
pub(super) const PACKET_BYTES: u64 = 1452;

/// How long a receiver may wait with an acknowledgement.
pub(super) const ACK_DELAY: Duration = Duration::from_millis(25);

/// What decides how much a flow sends.
pub(super) trait Control {
    fn on_sent(&mut self, _now: Instant) {}
    fn on_packet_acked(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool);
    fn on_acked(&mut self, now: Instant, in_flight: u64);
    fn on_lost(&mut self, now: Instant, sent: Instant, bytes: u64, persistent: bool);
    fn window(&self) -> u64;
    fn learned(&self) -> Option<KnownPath> {
        None
    }
    fn pace(&self, smoothed: Duration) -> Pace;
}

/// When the packets that the window allows are sent.
pub(super) enum Pace {
    /// At bytes a second, so many at once.
    Rate(f64, f64),
    /// At once.
    AckClock,
}

/// The QUIC layer's pacing: 1.25 windows in a round trip, in bursts of 2 ms or ten packets.
pub(super) fn quic_pace(window: u64, smoothed: Duration) -> Pace {
    let rate = window as f64 / smoothed.as_secs_f64();
    let packet = PACKET_BYTES as f64;
    Pace::Rate(1.25 * rate, (rate * 0.002).clamp(10.0 * packet, 256.0 * packet))
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Packet {
    number: u64,
    pub(super) bytes: u64,
}

struct Sent {
    number: u64,
    at: Instant,
    open: bool,
}

/// A flow to be added.
pub(super) struct Setting {
    pub(super) control: Box<dyn Control>,
    pub(super) begin: Duration,
    /// Packets it has to deliver.
    pub(super) packets: u64,
    /// Packets after which the receiver acknowledges.
    pub(super) ack_every: usize,
}

impl Setting {
    pub(super) fn endless(control: Box<dyn Control>) -> Self {
        Self { control, begin: Duration::ZERO, packets: u64::MAX, ack_every: 2 }
    }

    /// A file of so many MiB.
    pub(super) fn file(control: Box<dyn Control>, mib: u64) -> Self {
        let packets = ((mib << 20) as f64 / PAYLOAD_BYTES).ceil() as u64;
        Self { packets, ..Self::endless(control) }
    }
}

pub(super) struct Flow {
    setting: Setting,
    started: Option<Instant>,
    next_number: u64,
    /// Packets to be sent, first or again.
    unsent: u64,
    sent: VecDeque<Sent>,
    in_flight: u64,
    largest_acked: Option<u64>,
    smoothed: Duration,
    tokens: f64,
    paced_at: Instant,
    app_limited: bool,
    /// Bytes a second that the application has, since when, and the number of the packet then.
    limit: Option<(f64, Instant, u64)>,
    /// When acknowledgements last came or the flow last gave up waiting, and how often in a row.
    heard: Instant,
    timeouts: u32,
    probes: u32,
    wake: Option<Instant>,
    unacked: Vec<u64>,
    next_expected: u64,
    pub(super) received: u64,
    pub(super) lost: u64,
}

impl Flow {
    /// The handshake took `round_trip`.
    pub(super) fn new(setting: Setting, epoch: Instant, round_trip: Duration) -> Self {
        Self {
            unsent: setting.packets,
            setting,
            started: None,
            next_number: 0,
            sent: VecDeque::new(),
            in_flight: 0,
            largest_acked: None,
            smoothed: round_trip,
            tokens: f64::INFINITY,
            paced_at: epoch,
            app_limited: false,
            limit: None,
            heard: epoch,
            timeouts: 0,
            probes: 0,
            wake: None,
            unacked: Vec::new(),
            next_expected: 0,
            received: 0,
            lost: 0,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.unsent == 0 && self.in_flight == 0
    }

    pub(super) fn limit(&mut self, rate: Option<f64>, now: Instant) {
        self.limit = rate.map(|rate| (rate, now, self.next_number));
    }

    pub(super) fn control(&self) -> &dyn Control {
        self.setting.control.as_ref()
    }

    fn patience(&self) -> Duration {
        (self.smoothed.mul_f64(1.5) + ACK_DELAY) * (1 << self.timeouts.min(6))
    }

    // --- the receiver -------------------------------------------------------------------------

    /// What is acknowledged now that `packet` arrived.
    pub(super) fn receive(&mut self, packet: Packet) -> Option<Vec<u64>> {
        self.received += 1;
        let in_order = packet.number == self.next_expected;
        self.next_expected = packet.number + 1;
        self.unacked.push(packet.number);
        (!in_order || self.unacked.len() >= self.setting.ack_every)
            .then(|| std::mem::take(&mut self.unacked))
    }

    pub(super) fn receives_first(&self) -> bool {
        self.unacked.is_empty()
    }

    pub(super) fn ack_pending(&mut self) -> Option<Vec<u64>> {
        (!self.unacked.is_empty()).then(|| std::mem::take(&mut self.unacked))
    }

    // --- the sender ---------------------------------------------------------------------------

    pub(super) fn acknowledge(&mut self, now: Instant, numbers: &[u64]) {
        let Some(&first) = self.sent.front().map(|sent| &sent.number) else { return };
        let mut newest = None;
        for &number in numbers {
            let Some(index) = number.checked_sub(first) else { continue };
            let Some(sent) = self.sent.get_mut(index as usize).filter(|sent| sent.open) else {
                continue;
            };
            sent.open = false;
            newest = newest.max(Some((number, sent.at)));
            self.in_flight -= PACKET_BYTES;
            let (at, limited) = (sent.at, self.app_limited);
            self.setting.control.on_packet_acked(now, at, PACKET_BYTES, limited);
        }
        let Some((number, at)) = newest else { return };
        self.largest_acked = self.largest_acked.max(Some(number));
        self.setting.control.on_acked(now, self.in_flight);
        let sample = now - at;
        self.smoothed = (self.smoothed * 7 + sample) / 8;
        self.heard = now;
        self.timeouts = 0;
        self.detect_loss(now);
        while self.sent.front().is_some_and(|sent| !sent.open) {
            self.sent.pop_front();
        }
    }

    fn detect_loss(&mut self, now: Instant) {
        let Some(largest) = self.largest_acked else { return };
        let late = self.smoothed.mul_f64(1.125);
        let (mut lost, mut span): (u64, Option<(Instant, Instant)>) = (0, None);
        for sent in self.sent.iter_mut().take_while(|sent| sent.number < largest) {
            if sent.open && (sent.number + 3 <= largest || now - sent.at >= late) {
                sent.open = false;
                lost += 1;
                span = Some(span.map_or((sent.at, sent.at), |(from, _)| (from, sent.at)));
            }
        }
        let Some((from, to)) = span else { return };
        self.in_flight -= lost * PACKET_BYTES;
        self.unsent += lost;
        self.lost += lost;
        let persistent = to - from > (self.smoothed.mul_f64(1.5) + ACK_DELAY) * 3;
        self.setting.control.on_lost(now, to, lost * PACKET_BYTES, persistent);
    }

    /// The time set by [`Self::poll_wake`] has come.
    pub(super) fn wake(&mut self, now: Instant) {
        self.started.get_or_insert(now);
        if self.wake.is_some_and(|at| at <= now) {
            self.wake = None;
        }
        if self.in_flight > 0 && now >= self.heard + self.patience() {
            self.heard = now;
            self.timeouts += 1;
            self.probes = 2;
        }
    }

    pub(super) fn poll_transmit(&mut self, now: Instant) -> Option<Packet> {
        self.started?;
        self.app_limited = self.unsent == 0
            || self.limit.is_some_and(|(rate, since, from)| {
                let had = rate * (now - since).as_secs_f64();
                (self.next_number - from) as f64 * PACKET_BYTES as f64 > had
            });
        if self.probes > 0 {
            self.probes -= 1;
            // With nothing new to send, something is sent again.
            self.unsent = self.unsent.max(1);
            return Some(self.send(now));
        }
        if self.app_limited || self.in_flight + PACKET_BYTES >= self.setting.control.window() {
            return None;
        }
        if let Pace::Rate(rate, burst) = self.setting.control.pace(self.smoothed) {
            let earned = rate * now.saturating_duration_since(self.paced_at).as_secs_f64();
            self.tokens = (self.tokens + earned).min(burst);
            self.paced_at = now;
            if self.tokens < PACKET_BYTES as f64 {
                return None;
            }
            self.tokens -= PACKET_BYTES as f64;
        }
        Some(self.send(now))
    }

    fn send(&mut self, now: Instant) -> Packet {
        if self.in_flight == 0 {
            self.heard = now;
        }
        let number = self.next_number;
        self.next_number += 1;
        self.unsent -= 1;
        self.in_flight += PACKET_BYTES;
        self.sent.push_back(Sent { number, at: now, open: true });
        self.setting.control.on_sent(now);
        Packet { number, bytes: PACKET_BYTES }
    }

    /// When the flow wants to be woken, if it has not said so already.
    pub(super) fn poll_wake(&mut self, now: Instant) -> Option<Instant> {
        let idle = if self.limit.is_some() { 5 } else { 1000 };
        let mut at = now + Duration::from_millis(idle);
        if self.in_flight > 0 {
            at = at.min(self.heard + self.patience());
        }
        let blocked = self.in_flight + PACKET_BYTES >= self.setting.control.window();
        if let (false, false, Pace::Rate(rate, burst)) =
            (blocked, self.app_limited, self.setting.control.pace(self.smoothed))
        {
            // As many as make a burst, as the QUIC layer waits for.
            let missing = (burst - self.tokens).max(PACKET_BYTES as f64);
            at = at.min(now + Duration::from_secs_f64(missing / rate));
        }
        let at = at.max(now + Duration::from_micros(1));
        if self.wake.is_some_and(|wake| wake <= at) {
            return None;
        }
        self.wake = Some(at);
        Some(at)
    }
}
