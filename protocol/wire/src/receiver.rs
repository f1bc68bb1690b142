//! The receiving half of one job: the relay in a spray or push, the edge in a despray or pull.

use crate::chunk::{ChunkHeader, ChunkHeaderError};
use crate::digest::{ChunkValue, Digest, PartTree, TreeError};
use crate::ids::{ChunkIndex, ChunkSize, Epoch, JobId, PartIndex};
use crate::message::{Ack, PartRuns, PartSeal};
use crate::ranges::RangeSet;
use crate::refusal::{Refusal, RefusalCode};
use std::collections::{BTreeMap, VecDeque};
use thiserror::Error;

/// Decides whether a chunk is wanted, what may be acknowledged, and whether the job may be
/// committed.
///
/// Sans-IO: it owns no socket, file, clock or task and never sees the body of a chunk. Each chunk
/// goes through `handle_header` → body read, verified and written by the driver →
/// [`Receiver::handle_stored`] → made durable → [`Receiver::handle_durable`] → recorded →
/// [`Receiver::handle_recorded`], which acknowledges it.
#[derive(Debug)]
pub struct Receiver {
    job: JobId,
    epoch: Epoch,
    chunk_size: ChunkSize,
    /// Parts the job has so far; a push grows.
    parts: u32,
    open: BTreeMap<PartIndex, PartState>,
    /// Complete parts, whose state is gone.
    complete: RangeSet,
    committed: bool,
    effects: VecDeque<Effect>,
}

#[derive(Debug)]
struct PartState {
    /// What is durable and recorded.
    tree: PartTree,
    /// What will be, once it is recorded.
    next: Option<PartTree>,
    arriving: BTreeMap<ChunkIndex, Arrival>,
    seal: Option<Seal>,
}

/// A chunk on its way to durability.
#[derive(Debug)]
enum Arrival {
    /// With the length its header states.
    Reading(u32),
    Stored(ChunkValue),
    Syncing(ChunkValue),
}

impl Arrival {
    fn length(&self) -> u32 {
        match self {
            Self::Reading(length) => *length,
            Self::Stored(value) | Self::Syncing(value) => value.length,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Seal {
    length: u64,
    digest: Option<Digest>,
    crc32: Option<u32>,
}

/// What the driver does with a chunk whose header it read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Admission {
    /// Read the body, verify it, write it, and report.
    Write(ChunkIndex),
    /// Durable already: drop the body and acknowledge.
    Durable(ChunkIndex),
    /// On its way from another stream: drop the body; the acknowledgement follows from there.
    Arriving,
}

/// What the driver must do next, in this order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Effect {
    /// Acknowledge a chunk.
    Ack(Ack),
    /// A sealed part is whole and its digest is right.
    PartComplete(PartIndex),
    /// Every part is complete: make the job visible. Emitted at most once.
    Commit,
}

/// What a sender did wrong, or what is missing.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum ReceiveError {
    /// A chunk of another job or an older lease.
    #[error("chunk of epoch {found}, the lease is at epoch {current}")]
    StaleEpoch {
        /// Epoch in the header.
        found: u64,
        /// Epoch of the lease.
        current: u64,
    },
    /// A part the job does not have.
    #[error("part {part} of a job of {parts} parts")]
    UnknownPart {
        /// The part.
        part: PartIndex,
        /// Parts there are.
        parts: u32,
    },
    /// A header that fits no chunk of this job.
    #[error("chunk of part {part}")]
    Header {
        /// The part.
        part: PartIndex,
        /// The rule.
        source: ChunkHeaderError,
    },
    /// A chunk that is no slice of its part, whose length was stated.
    #[error("chunk of {chunk_length} bytes at {offset} in part {part}, which has {length} bytes")]
    BeyondEnd {
        /// The part.
        part: PartIndex,
        /// Where the chunk begins.
        offset: u64,
        /// Its length.
        chunk_length: u32,
        /// Length of the part.
        length: u64,
    },
    /// A body that does not have the digest its header states.
    #[error("chunk {chunk} of part {part} does not have the digest of its header")]
    Corrupt {
        /// The part.
        part: PartIndex,
        /// The chunk.
        chunk: ChunkIndex,
    },
    /// A chunk that does not fit the others of its part.
    #[error("part {part}")]
    Misfit {
        /// The part.
        part: PartIndex,
        /// Why it does not fit.
        source: TreeError,
    },
    /// A part was sealed before all of it was durable.
    #[error("part {part} sealed with {length} bytes, {durable} are durable")]
    Incomplete {
        /// The part.
        part: PartIndex,
        /// Length stated.
        length: u64,
        /// Bytes durable.
        durable: u64,
    },
    /// A header and a footer that do not fit into their part.
    #[error("part {part} of {length} bytes has a header of {header} and a footer of {footer}")]
    NoRoom {
        /// The part.
        part: PartIndex,
        /// Length of the header.
        header: u32,
        /// Length of the footer.
        footer: u32,
        /// Length of the part.
        length: u64,
    },
    /// The digests of both sides differ.
    #[error("part {part} has digest {found}, {stated} was stated")]
    DigestMismatch {
        /// The part.
        part: PartIndex,
        /// What the receiver computed.
        found: Digest,
        /// What the sender stated.
        stated: Digest,
    },
    /// The CRC-32 of both sides differ although the digests agree.
    #[error("part {part} has CRC-32 {found:08x}, {stated:08x} was stated")]
    CrcMismatch {
        /// The part.
        part: PartIndex,
        /// What the receiver computed.
        found: u32,
        /// What the sender stated.
        stated: u32,
    },
    /// A commit with parts that are not complete.
    #[error("commit of {stated} parts, {complete} of {parts} are complete")]
    PartsMissing {
        /// Parts stated in the commit.
        stated: u32,
        /// Parts complete.
        complete: u64,
        /// Parts of the job.
        parts: u32,
    },
}

impl ReceiveError {
    /// What to tell the sender.
    pub fn refusal(&self) -> Refusal {
        let code = match self {
            Self::StaleEpoch { .. } => RefusalCode::EpochStale,
            Self::Corrupt { .. } => RefusalCode::ChunkCorrupt,
            Self::Incomplete { .. } | Self::PartsMissing { .. } => RefusalCode::Incomplete,
            Self::DigestMismatch { .. } | Self::CrcMismatch { .. } => RefusalCode::DigestMismatch,
            Self::UnknownPart { .. }
            | Self::Header { .. }
            | Self::BeyondEnd { .. }
            | Self::Misfit { .. }
            | Self::NoRoom { .. } => RefusalCode::Malformed,
        };
        Refusal::new(code, self.to_string())
    }
}

impl PartState {
    /// Whether a chunk of `chunk_length` bytes is one of a part of `length` bytes.
    fn check_slice(
        &self,
        part: PartIndex,
        (chunk, chunk_length): (ChunkIndex, u32),
        length: u64,
    ) -> Result<(), ReceiveError> {
        let size = self.tree.chunk_size();
        if chunk_length == size.length_of(chunk, length) {
            return Ok(());
        }
        let offset = size.offset_of(chunk);
        Err(ReceiveError::BeyondEnd { part, offset, chunk_length, length })
    }
}

impl Receiver {
    /// A job of `parts` parts with nothing held, under the lease `epoch`.
    pub fn new(job: JobId, epoch: Epoch, chunk_size: ChunkSize, parts: u32) -> Self {
        Self {
            job,
            epoch,
            chunk_size,
            parts,
            open: BTreeMap::new(),
            complete: RangeSet::default(),
            committed: false,
            effects: VecDeque::new(),
        }
    }

    /// The job.
    pub fn job(&self) -> JobId {
        self.job
    }

    /// The lease.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Size of every chunk but the last of each part.
    pub fn chunk_size(&self) -> ChunkSize {
        self.chunk_size
    }

    /// Takes up a part where an earlier session left it.
    pub fn handle_resumed(&mut self, part: PartIndex, tree: PartTree) {
        self.open
            .insert(part, PartState { tree, next: None, arriving: BTreeMap::new(), seal: None });
        self.parts = self.parts.max(part.0 + 1);
    }

    /// Takes a part as complete, as an earlier session left it.
    pub fn handle_resumed_complete(&mut self, part: PartIndex) {
        self.open.remove(&part);
        self.complete.insert(u64::from(part.0), u64::from(part.0) + 1);
        self.parts = self.parts.max(part.0 + 1);
    }

    /// The job has `parts` parts from here on; never fewer than before.
    pub fn handle_parts(&mut self, parts: u32) {
        self.parts = self.parts.max(parts);
    }

    /// Judges a chunk by its header.
    ///
    /// # Errors
    ///
    /// The sender's fault; the driver refuses the job on that stream.
    pub fn handle_header(&mut self, header: &ChunkHeader) -> Result<Admission, ReceiveError> {
        let part = header.part;
        if header.epoch != self.epoch {
            let (found, current) = (header.epoch.0, self.epoch.0);
            return Err(ReceiveError::StaleEpoch { found, current });
        }
        if part.0 >= self.parts {
            return Err(ReceiveError::UnknownPart { part, parts: self.parts });
        }
        let chunk = header
            .index(self.chunk_size)
            .map_err(|source| ReceiveError::Header { part, source })?;
        if self.complete.contains(u64::from(part.0)) {
            return Ok(Admission::Durable(chunk));
        }
        let state = self.state(part);
        if let Some(Seal { length, .. }) = state.seal {
            state.check_slice(part, (chunk, header.raw_length), length)?;
        }
        if state.tree.holds(chunk) {
            return Ok(Admission::Durable(chunk));
        }
        if state.arriving.contains_key(&chunk) {
            return Ok(Admission::Arriving);
        }
        state.arriving.insert(chunk, Arrival::Reading(header.raw_length));
        Ok(Admission::Write(chunk))
    }

    /// The body of an admitted chunk was verified against its header and written, not yet durably.
    ///
    /// # Panics
    ///
    /// When the chunk was not admitted: a broken driver.
    pub fn handle_stored(&mut self, part: PartIndex, chunk: ChunkIndex, value: ChunkValue) {
        let arrival = self.arrival(part, chunk);
        assert!(matches!(arrival, Arrival::Reading(_)), "a chunk is stored once");
        *arrival = Arrival::Stored(value);
    }

    /// An admitted chunk will not come: its stream broke off, its body was wrong or its write
    /// failed. It may be sent again.
    pub fn handle_dropped(&mut self, part: PartIndex, chunk: ChunkIndex) {
        if let Some(state) = self.open.get_mut(&part) {
            state.arriving.remove(&chunk);
        }
    }

    /// Everything stored so far is about to be made durable. Returns the parts concerned.
    pub fn begin_sync(&mut self) -> Vec<PartIndex> {
        let mut parts = Vec::new();
        for (&part, state) in &mut self.open {
            let mut any = false;
            for arrival in state.arriving.values_mut() {
                if let Arrival::Stored(value) = arrival {
                    *arrival = Arrival::Syncing(*value);
                    any = true;
                }
            }
            if any {
                parts.push(part);
            }
        }
        parts
    }

    /// Everything named by the last [`Receiver::begin_sync`] is on stable storage. Returns the
    /// trees as they are with it; the driver records them and says [`Receiver::handle_recorded`].
    ///
    /// # Errors
    ///
    /// A chunk that does not fit. The machine is spent: the next one starts from what is recorded.
    pub fn handle_durable(&mut self) -> Result<Vec<(PartIndex, PartTree)>, ReceiveError> {
        let mut changed = Vec::new();
        for (&part, state) in &mut self.open {
            let mut next = None;
            for (&chunk, arrival) in &state.arriving {
                if let Arrival::Syncing(value) = arrival {
                    next.get_or_insert_with(|| state.tree.clone())
                        .insert(chunk, value)
                        .map_err(|source| ReceiveError::Misfit { part, source })?;
                }
            }
            changed.extend(next.clone().map(|tree| (part, tree)));
            state.next = next;
        }
        Ok(changed)
    }

    /// What the last [`Receiver::handle_durable`] returned is recorded durably: from here on its
    /// chunks count, and they are acknowledged.
    ///
    /// # Errors
    ///
    /// A part whose digest is not the one stated. Nothing of this call is acknowledged then, and
    /// the machine is spent.
    pub fn handle_recorded(&mut self) -> Result<(), ReceiveError> {
        let effects_before = self.effects.len();
        let mut changed = Vec::new();
        for (&part, state) in &mut self.open {
            let Some(next) = state.next.take() else { continue };
            state.tree = next;
            let effects = &mut self.effects;
            state.arriving.retain(|&chunk, arrival| {
                let synced = matches!(arrival, Arrival::Syncing(_));
                if synced {
                    effects.push_back(Effect::Ack(Ack { part, chunk }));
                }
                !synced
            });
            changed.push(part);
        }
        let outcome =
            changed.into_iter().try_for_each(|part| self.complete_if_whole(part).map(|_whole| ()));
        if outcome.is_err() {
            self.effects.truncate(effects_before);
        }
        outcome
    }

    /// Everything named by the last [`Receiver::begin_sync`] is lost and must be sent again.
    pub fn handle_sync_failed(&mut self) {
        for state in self.open.values_mut() {
            state.next = None;
            state.arriving.retain(|_, arrival| !matches!(arrival, Arrival::Syncing(_)));
        }
    }

    /// The sender's statement that a part is complete. Returns whether it is.
    ///
    /// # Errors
    ///
    /// Unknown part, digests that differ, or chunks that a part of this length does not have.
    pub fn handle_seal(&mut self, seal: &PartSeal) -> Result<bool, ReceiveError> {
        if !seal.has_room_for_header_and_footer() {
            let PartSeal { part, header, footer, length, .. } = *seal;
            return Err(ReceiveError::NoRoom { part, header, footer, length });
        }
        let (length, digest, crc32) = (seal.length, Some(seal.digest), Some(seal.crc32));
        self.handle_expected(seal.part, Seal { length, digest, crc32 })
    }

    /// What the catalogue says of a part that will be received. Returns whether it is complete,
    /// as an empty part is at once.
    ///
    /// # Errors
    ///
    /// As for [`Receiver::handle_seal`].
    pub fn handle_announced(
        &mut self,
        part: PartIndex,
        info: &crate::message::PartInfo,
    ) -> Result<bool, ReceiveError> {
        let crate::message::PartInfo { length, digest, crc32, .. } = *info;
        self.handle_expected(part, Seal { length, digest, crc32 })
    }

    /// What a part that was sealed still lacks, for the refusal.
    pub fn incomplete(&self, part: PartIndex) -> Option<ReceiveError> {
        let state = self.open.get(&part)?;
        let length = state.seal?.length;
        Some(ReceiveError::Incomplete { part, length, durable: state.tree.bytes() })
    }

    /// Whether a job of `stated` parts that are all sealed still lacks chunks of them.
    ///
    /// # Errors
    ///
    /// A part is not sealed, or the number is another.
    pub fn awaits_chunks(&self, stated: u32) -> Result<bool, ReceiveError> {
        let (complete, parts) = (self.complete.count(), self.parts);
        let sealed = self.open.values().filter(|state| state.seal.is_some()).count() as u64;
        if stated != parts || complete + sealed != u64::from(parts) {
            return Err(ReceiveError::PartsMissing { stated, complete, parts });
        }
        Ok(sealed > 0)
    }

    /// The sender says that the job has `stated` parts and all are sealed.
    ///
    /// # Errors
    ///
    /// Parts are missing, or the number is another.
    pub fn handle_commit(&mut self, stated: u32) -> Result<(), ReceiveError> {
        let (complete, parts) = (self.complete.count(), self.parts);
        if stated != parts || complete != u64::from(parts) {
            return Err(ReceiveError::PartsMissing { stated, complete, parts });
        }
        if !self.committed {
            self.committed = true;
            self.effects.push_back(Effect::Commit);
        }
        Ok(())
    }

    /// What to do next; call until `None` after every input.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The durable chunks of each incomplete part, in part order; parts without any are left out.
    pub fn held(&self) -> impl Iterator<Item = PartRuns> {
        self.open.iter().filter_map(|(&part, state)| {
            let runs: Vec<_> = state.tree.runs().map(|run| (run.start, run.end)).collect();
            (!runs.is_empty()).then_some(PartRuns { part, runs })
        })
    }

    /// Numbers of the complete parts.
    pub fn complete_parts(&self) -> &RangeSet {
        &self.complete
    }

    fn handle_expected(&mut self, part: PartIndex, seal: Seal) -> Result<bool, ReceiveError> {
        if part.0 >= self.parts {
            return Err(ReceiveError::UnknownPart { part, parts: self.parts });
        }
        if self.complete.contains(u64::from(part.0)) {
            return Ok(true);
        }
        let state = self.state(part);
        for (&chunk, arrival) in &state.arriving {
            state.check_slice(part, (chunk, arrival.length()), seal.length)?;
        }
        state
            .tree
            .check_length(seal.length)
            .map_err(|source| ReceiveError::Misfit { part, source })?;
        state.seal = Some(seal);
        self.complete_if_whole(part)
    }

    fn complete_if_whole(&mut self, part: PartIndex) -> Result<bool, ReceiveError> {
        let Some(state) = self.open.get(&part) else { return Ok(true) };
        let Some(seal) = state.seal else { return Ok(false) };
        let Some((found, crc32)) = state.tree.root(seal.length) else { return Ok(false) };
        if let Some(stated) = seal.digest
            && stated != found
        {
            return Err(ReceiveError::DigestMismatch { part, found, stated });
        }
        if let Some(stated) = seal.crc32
            && stated != crc32
        {
            return Err(ReceiveError::CrcMismatch { part, found: crc32, stated });
        }
        self.open.remove(&part);
        self.complete.insert(u64::from(part.0), u64::from(part.0) + 1);
        self.effects.push_back(Effect::PartComplete(part));
        Ok(true)
    }

    fn state(&mut self, part: PartIndex) -> &mut PartState {
        let tree = || PartTree::new(self.chunk_size);
        self.open.entry(part).or_insert_with(|| PartState {
            tree: tree(),
            next: None,
            arriving: BTreeMap::new(),
            seal: None,
        })
    }

    fn arrival(&mut self, part: PartIndex, chunk: ChunkIndex) -> &mut Arrival {
        self.open
            .get_mut(&part)
            .and_then(|state| state.arriving.get_mut(&chunk))
            .expect("only admitted chunks are stored")
    }
}
