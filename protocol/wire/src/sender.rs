//! The sending half of one job: the edge in a spray or push, the relay in a despray or pull.

use crate::ids::{ChunkIndex, ChunkSize, PartIndex};
use crate::message::{Ack, PartRuns, PartSeal};
use crate::ranges::RangeSet;
use std::collections::{BTreeMap, VecDeque};
use thiserror::Error;

/// Decides which chunk goes next, what must go again, and when a part may be sealed.
///
/// Sans-IO: it owns no socket, file, clock or task and never sees the body of a chunk. The driver
/// offers chunks in source order, reports what came back, and drains [`Sender::poll_effect`].
/// Memory grows with the window and with gaps, not with parts or chunks.
#[derive(Debug)]
pub struct Sender {
    chunk_size: ChunkSize,
    window_chunks: usize,
    /// Sent and not acknowledged.
    in_flight: BTreeMap<(PartIndex, ChunkIndex), u32>,
    /// Were in flight when a session was lost; go before anything else.
    again: VecDeque<(PartIndex, ChunkIndex)>,
    /// Durable at the receiver before this sender ran.
    held: BTreeMap<PartIndex, RangeSet>,
    active: BTreeMap<PartIndex, Progress>,
    /// Parts that were handed out as sealed, or dropped.
    done: RangeSet,
    plan_parts: Option<u32>,
    complete: bool,
    effects: VecDeque<Effect>,
    counters: Counters,
}

/// How far one part is.
#[derive(Debug, Default)]
struct Progress {
    durable_chunks: u64,
    seal: Option<PartSeal>,
}

/// What happened so far; only ever grows.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// Chunks handed to a stream, each time they were.
    pub chunks_sent: u64,
    /// Chunks handed to a stream a second time or more often.
    pub chunks_resent: u64,
    /// Chunks that were durable at the receiver before this sender ran and were not sent.
    pub chunks_held: u64,
    /// Uncompressed bytes known to be durable at the receiver.
    pub bytes_durable: u64,
}

/// What the driver does with a chunk it offered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Offer {
    /// Send it; it is in flight now.
    Send,
    /// The receiver has it; drop the body.
    Held,
}

/// What the driver must do next, in this order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Effect {
    /// Tell the receiver that this part is complete.
    Seal(PartSeal),
    /// Every part of the plan was handed out as sealed; nothing is left to send.
    Complete {
        /// Parts in the plan.
        parts: u32,
    },
}

/// An acknowledgement that answers nothing. The peer's fault.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("acknowledgement of chunk {chunk} of part {part}, which is not in flight")]
pub struct UnexpectedAck {
    /// The part.
    pub part: PartIndex,
    /// The chunk.
    pub chunk: ChunkIndex,
}

impl Sender {
    /// A job with nothing sent. At most `window_chunks` (at least 1) are in flight.
    pub fn new(chunk_size: ChunkSize, window_chunks: u32) -> Self {
        Self {
            chunk_size,
            window_chunks: window_chunks.max(1) as usize,
            in_flight: BTreeMap::new(),
            again: VecDeque::new(),
            held: BTreeMap::new(),
            active: BTreeMap::new(),
            done: RangeSet::default(),
            plan_parts: None,
            complete: false,
            effects: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// Size of every chunk but the last of each part.
    pub fn chunk_size(&self) -> ChunkSize {
        self.chunk_size
    }

    /// Notes chunks the receiver has already, as it said at open.
    pub fn handle_held(&mut self, part: &PartRuns) {
        if self.done.contains(u64::from(part.part.0)) {
            return;
        }
        let held = self.held.entry(part.part).or_default();
        part.runs.iter().for_each(|&(start, end)| held.insert(start, end));
    }

    /// Whether another chunk may be offered.
    pub fn has_room(&self) -> bool {
        self.in_flight.len() < self.window_chunks
    }

    /// A chunk of `length` bytes is ready. Chunks of a part are offered once, in any order.
    pub fn offer(&mut self, part: PartIndex, chunk: ChunkIndex, length: u32) -> Offer {
        if self.held.get(&part).is_some_and(|held| held.contains(chunk.0)) {
            self.counters.chunks_held += 1;
            self.note_durable(part, length);
            return Offer::Held;
        }
        self.in_flight.insert((part, chunk), length);
        self.counters.chunks_sent += 1;
        Offer::Send
    }

    /// The receiver has made a chunk durable.
    ///
    /// # Errors
    ///
    /// It was not in flight: the peer broke the protocol.
    pub fn handle_ack(&mut self, ack: Ack) -> Result<(), UnexpectedAck> {
        let Ack { part, chunk } = ack;
        let length = self.in_flight.remove(&(part, chunk)).ok_or(UnexpectedAck { part, chunk })?;
        self.note_durable(part, length);
        Ok(())
    }

    /// The session is gone: what was in flight goes again unless the next [`Sender::handle_reopened`]
    /// shows it arrived.
    pub fn handle_session_lost(&mut self) {
        self.again = self.in_flight.keys().copied().collect();
        self.held.clear();
    }

    /// The job is open in another session and [`Sender::handle_held`] was told what arrived.
    pub fn handle_reopened(&mut self) {
        for (part, chunk) in std::mem::take(&mut self.again) {
            if self.held.get(&part).is_some_and(|held| held.contains(chunk.0)) {
                let length = self.in_flight.remove(&(part, chunk)).expect("was in flight");
                self.note_durable(part, length);
            } else {
                self.again.push_back((part, chunk));
            }
        }
    }

    /// The next chunk that must go again; it is in flight already.
    pub fn next_again(&mut self) -> Option<(PartIndex, ChunkIndex)> {
        // An acknowledgement of the earlier sending may have come meanwhile.
        let next = loop {
            let next = self.again.pop_front()?;
            if self.in_flight.contains_key(&next) {
                break next;
            }
        };
        self.counters.chunks_sent += 1;
        self.counters.chunks_resent += 1;
        Some(next)
    }

    /// The last chunk of a part was offered (none, for an empty part). Ignored for a part that was
    /// given up.
    pub fn handle_part_end(&mut self, seal: PartSeal) {
        if self.done.contains(u64::from(seal.part.0)) {
            return;
        }
        self.active.entry(seal.part).or_default().seal = Some(seal);
        self.seal_if_durable(seal.part);
    }

    /// A part is given up: it will not be sealed and does not hold up the job.
    ///
    /// Chunks of it that are in flight are still acknowledged, and go again if they must.
    pub fn handle_part_dropped(&mut self, part: PartIndex) {
        self.active.remove(&part);
        self.held.remove(&part);
        self.done.insert(u64::from(part.0), u64::from(part.0) + 1);
        self.complete_if_done();
    }

    /// The plan has `parts` parts and every one of them has ended.
    pub fn handle_plan_end(&mut self, parts: u32) {
        self.plan_parts = Some(parts);
        self.complete_if_done();
    }

    /// What to do next; call until `None` after every input.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The seals that are due once everything in flight is acknowledged; `None` before every part
    /// of the plan has ended.
    pub fn unsealed(&self) -> Option<impl Iterator<Item = PartSeal> + '_> {
        let seals = self.active.values().filter_map(|progress| progress.seal);
        let ended = self.done.count() + seals.clone().count() as u64;
        (self.plan_parts.map(u64::from) == Some(ended)).then_some(seals)
    }

    /// Chunks in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether this chunk was sent and is not acknowledged.
    pub fn is_in_flight(&self, part: PartIndex, chunk: ChunkIndex) -> bool {
        self.in_flight.contains_key(&(part, chunk))
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn note_durable(&mut self, part: PartIndex, length: u32) {
        self.counters.bytes_durable += u64::from(length);
        if self.done.contains(u64::from(part.0)) {
            return;
        }
        self.active.entry(part).or_default().durable_chunks += 1;
        self.seal_if_durable(part);
    }

    fn seal_if_durable(&mut self, part: PartIndex) {
        let Some(Progress { durable_chunks, seal: Some(seal) }) = self.active.get(&part) else {
            return;
        };
        if *durable_chunks < self.chunk_size.count(seal.length) {
            return;
        }
        self.effects.push_back(Effect::Seal(*seal));
        self.active.remove(&part);
        self.held.remove(&part);
        self.done.insert(u64::from(part.0), u64::from(part.0) + 1);
        self.complete_if_done();
    }

    fn complete_if_done(&mut self) {
        if let Some(parts) = self.plan_parts
            && !self.complete
            && self.done.count() == u64::from(parts)
        {
            self.complete = true;
            self.effects.push_back(Effect::Complete { parts });
        }
    }
}
