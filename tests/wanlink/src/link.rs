//! One direction of the link: a thread that reads packets, models the bottleneck, and delivers them.

use crate::opts::{Dir, Opening};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

#[derive(Default)]
pub(crate) struct Stats {
    name: &'static str,
    inn: u64,
    out: u64,
    bytes_out: u64,
    drop_queue: u64,
    drop_random: u64,
    drop_burst: u64,
    drop_outage: u64,
    drop_size: u64,
    late: u64,
    dup: u64,
    max_queue: f64,
    sum_queue_ms: f64,
    not_taken: u64,
}

impl Stats {
    pub(crate) fn line(&self, secs: f64, json: bool) -> String {
        let queued = (self.inn
            - self.drop_queue
            - self.drop_random
            - self.drop_burst
            - self.drop_outage
            - self.drop_size)
            .max(1);
        let mean = self.sum_queue_ms / queued as f64;
        let rate = self.bytes_out as f64 * 8.0 / secs / 1e6;
        let s = self;
        if json {
            return format!(
                "{{\"dir\":\"{}\",\"secs\":{secs:.3},\"in\":{},\"out\":{},\"bytes_out\":{},\"mean_mbit\":{rate:.3},\"drop_queue\":{},\"drop_random\":{},\"drop_burst\":{},\"drop_outage\":{},\"drop_size\":{},\"reordered\":{},\"duplicated\":{},\"max_queue_bytes\":{:.0},\"mean_queue_ms\":{mean:.3},\"not_taken\":{}}}",
                s.name,
                s.inn,
                s.out,
                s.bytes_out,
                s.drop_queue,
                s.drop_random,
                s.drop_burst,
                s.drop_outage,
                s.drop_size,
                s.late,
                s.dup,
                s.max_queue,
                s.not_taken
            );
        }
        format!(
            "wanlink {:4}: {} in, {} out, {:.1} MB ({rate:.1} Mbit/s over {secs:.1} s); dropped: queue {}, random {}, burst {}, outage {}, size {}; re-ordered {}, duplicated {}; queue max {:.0} KB, mean {mean:.1} ms{}",
            s.name,
            s.inn,
            s.out,
            s.bytes_out as f64 / 1e6,
            s.drop_queue,
            s.drop_random,
            s.drop_burst,
            s.drop_outage,
            s.drop_size,
            s.late,
            s.dup,
            s.max_queue / 1e3,
            if s.not_taken > 0 {
                format!("; {} not taken by the receiver's device", s.not_taken)
            } else {
                String::new()
            }
        )
    }
}

/// SplitMix64: tiny, seedable, good enough for drop decisions.
struct Rng(u64);
impl Rng {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
    fn hit(&mut self, p: f64) -> bool {
        p > 0.0 && self.unit() < p
    }
}

/// The link's state: decides, for each packet, when (and if) it arrives. Times are seconds since the epoch.
struct Model {
    d: Dir,
    rng: Rng,
    free_at: f64, // when the bottleneck has sent all it holds
    last_due: f64,
    carried: u64, // bytes that were not dropped
    in_burst: bool,
    limit: f64,
    st: Stats,
}

impl Model {
    fn outage(&self, t: f64) -> bool {
        let within = |at: f64, len: f64| t >= at && t < at + len;
        self.d.outages.iter().any(|(a, l)| within(a.as_secs_f64(), l.as_secs_f64()))
            || self
                .d
                .outage_every
                .is_some_and(|(p, l)| t % p.as_secs_f64() >= p.as_secs_f64() - l.as_secs_f64())
    }

    fn is_open(&self, hole: Opening, now: f64) -> bool {
        match hole {
            Opening::At(at) => now >= at.as_secs_f64(),
            Opening::Carried(bytes) => self.carried >= bytes,
        }
    }

    /// The packet's arrival time at the far end, or None when it is lost.
    fn offer(&mut self, now: f64, len: usize) -> Option<f64> {
        self.st.inn += 1;
        if self.outage(now) {
            self.st.drop_outage += 1;
            return None;
        }
        if self.d.hole.is_some_and(|(opening, most)| self.is_open(opening, now) && len > most) {
            self.st.drop_size += 1;
            return None;
        }
        if let Some((p, mean)) = self.d.burst {
            self.in_burst = if self.in_burst { !self.rng.hit(1.0 / mean) } else { self.rng.hit(p) };
            if self.in_burst {
                self.st.drop_burst += 1;
                return None;
            }
        }
        if self.rng.hit(self.d.loss) {
            self.st.drop_random += 1;
            return None;
        }
        let mut due = now;
        if self.d.rate > 0.0 {
            let backlog = (self.free_at - now).max(0.0) * self.d.rate;
            if backlog + len as f64 > self.limit {
                self.st.drop_queue += 1;
                return None;
            }
            self.st.max_queue = self.st.max_queue.max(backlog + len as f64);
            self.st.sum_queue_ms += (self.free_at - now).max(0.0) * 1e3;
            self.free_at = self.free_at.max(now) + len as f64 / self.d.rate;
            due = self.free_at;
        }
        self.carried += len as u64;
        due += self.d.delay.as_secs_f64();
        if !self.d.jitter.is_zero() {
            due += self.rng.unit() * self.d.jitter.as_secs_f64();
        }
        due = due.max(self.last_due);
        self.last_due = due;
        if let Some((p, extra)) = self.d.reorder
            && self.rng.hit(p)
        {
            self.st.late += 1;
            due += extra.as_secs_f64();
        }
        Some(due)
    }
}

/// A packet in flight, ordered by arrival time, then by arrival order.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    nanos: u64,
    seq: u64,
    slot: usize,
}

/// What a direction of the link is made of.
pub(crate) struct Wire {
    pub(crate) name: &'static str,
    pub(crate) from: File,
    pub(crate) to: File,
    pub(crate) model: Dir,
    pub(crate) seed: u64,
}

/// Carries packets until `stop`; times count from `epoch`.
pub(crate) fn spawn(wire: Wire, epoch: Instant, stop: Arc<AtomicBool>) -> JoinHandle<Stats> {
    std::thread::spawn(move || run(wire, epoch, &stop))
}

fn run(wire: Wire, epoch: Instant, stop: &AtomicBool) -> Stats {
    let Wire { name, mut from, mut to, model: d, seed } = wire;
    // SAFETY: sets this thread's timer slack only.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1000) };
    let tick = d.tick.max(Duration::from_micros(20));
    let mtu = d.mtu;
    let limit = d.queue_bytes() as f64;
    let mut m = Model {
        d,
        rng: Rng(seed),
        free_at: 0.0,
        last_due: 0.0,
        carried: 0,
        in_burst: false,
        limit,
        st: Stats { name, ..Stats::default() },
    };
    let mut slots: Vec<Vec<u8>> = Vec::new();
    let mut unused: Vec<usize> = Vec::new();
    let mut flying: BinaryHeap<Reverse<Due>> = BinaryHeap::new();
    let mut seq = 0;
    let mut buf = vec![0u8; mtu.max(2048)];
    while !stop.load(Ordering::Relaxed) {
        let mut moved = false;
        // Take what the sender has put into its device (bounded, so delivery is never starved).
        for _ in 0..1024 {
            match from.read(&mut buf) {
                Ok(n) if n > 0 => {
                    moved = true;
                    let now = epoch.elapsed().as_secs_f64();
                    let Some(due) = m.offer(now, n) else { continue };
                    let copies = 1 + u64::from(m.rng.hit(m.d.dup));
                    m.st.dup += copies - 1;
                    for _ in 0..copies {
                        let slot = unused.pop().unwrap_or_else(|| {
                            slots.push(Vec::with_capacity(mtu));
                            slots.len() - 1
                        });
                        slots[slot].clear();
                        slots[slot].extend_from_slice(&buf[..n]);
                        flying.push(Reverse(Due { nanos: (due * 1e9) as u64, seq, slot }));
                        seq += 1;
                    }
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                _ => break,
            }
        }
        // Deliver what is due.
        let now = epoch.elapsed().as_nanos() as u64;
        while flying.peek().is_some_and(|Reverse(p)| p.nanos <= now) {
            let Reverse(p) = flying.pop().expect("peeked");
            let pkt = &slots[p.slot];
            match to.write(pkt) {
                Ok(_) => {
                    m.st.out += 1;
                    m.st.bytes_out += pkt.len() as u64;
                }
                Err(_) => m.st.not_taken += 1,
            }
            unused.push(p.slot);
        }
        rest(&from, moved, tick, next_due(&flying).map(|due| due.saturating_sub(now)));
    }
    m.st
}

fn next_due(flying: &BinaryHeap<Reverse<Due>>) -> Option<u64> {
    flying.peek().map(|Reverse(packet)| packet.nanos)
}

/// Waits for the next packet, for the next delivery in `due` nanoseconds, or now and then to see
/// that the link is to end. After packets were moved it waits a tick, to move the next in batches.
fn rest(from: &File, moved: bool, tick: Duration, due: Option<u64>) {
    if moved {
        std::thread::sleep(tick); // sleep-ok: the clock of the emulated link
        return;
    }
    let wait = match due {
        Some(nanos) => Duration::from_nanos(nanos).clamp(tick / 4, Duration::from_millis(20)),
        None => Duration::from_millis(20),
    };
    let mut pfd = libc::pollfd { fd: from.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let ts = libc::timespec { tv_sec: 0, tv_nsec: wait.as_nanos() as _ };
    // SAFETY: one valid pollfd, a valid timespec, no signal mask.
    unsafe { libc::ppoll(&mut pfd, 1, &ts, std::ptr::null()) };
}
