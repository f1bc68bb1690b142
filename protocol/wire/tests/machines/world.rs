//! Both machines, the network between them and the schedule of what happens.

use crate::receiving::{Answer, Disk, Receiving};
use crate::sending::Sending;
use skyspray_wire::chunk::ChunkHeader;
use skyspray_wire::digest::Digest;
use skyspray_wire::ids::{ChunkIndex, ChunkSize, JobId, PartIndex};
use skyspray_wire::message::Ack;
use skyspray_wire::receiver::ReceiveError;
use skyspray_wire::sender::Counters;
use std::collections::BTreeSet;

/// Copies of chunks the network holds at most.
const DUPLICATES_MAX: usize = 32;

/// Which way the bytes go, and so how the receiver learns of parts and their ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Direction {
    /// A fixed number of parts, sealed one by one.
    Spray,
    /// Parts are opened as they come.
    Push,
    /// Parts are announced with their digests before the first chunk.
    Despray,
}

/// What is sent.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) job: JobId,
    pub(crate) size: ChunkSize,
    pub(crate) parts: Vec<Vec<u8>>,
    pub(crate) window: u32,
    pub(crate) direction: Direction,
}

impl Plan {
    pub(crate) fn new(parts: &[(usize, u8)], window: u32, direction: Direction) -> Self {
        let fill = |&(length, seed): &(usize, u8)| {
            (0..length).map(|at| (at as u8).wrapping_mul(37) ^ (at >> 8) as u8 ^ seed).collect()
        };
        Self {
            job: JobId([7; 16]),
            size: ChunkSize::try_new(1024).unwrap(),
            parts: parts.iter().map(fill).collect(),
            window,
            direction,
        }
    }

    pub(crate) fn part_count(&self) -> u32 {
        self.parts.len() as u32
    }

    pub(crate) fn indexes(&self) -> impl Iterator<Item = PartIndex> + use<> {
        (0..self.part_count()).map(PartIndex)
    }

    pub(crate) fn body(&self, part: PartIndex) -> &[u8] {
        &self.parts[part.0 as usize]
    }

    pub(crate) fn chunk(&self, part: PartIndex, chunk: ChunkIndex) -> &[u8] {
        let start = self.size.offset_of(chunk) as usize;
        let length = self.size.length_of(chunk, self.body(part).len() as u64) as usize;
        &self.body(part)[start..start + length]
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.parts.iter().map(|body| body.len() as u64).sum()
    }

    pub(crate) fn chunks(&self) -> u64 {
        self.parts.iter().map(|body| self.size.count(body.len() as u64)).sum()
    }

    /// Digest and CRC-32 of a part, without the code under test.
    pub(crate) fn digests(&self, part: PartIndex) -> (Digest, u32) {
        let body = self.body(part);
        (Digest(*blake3::hash(body).as_bytes()), crc32fast::hash(body))
    }
}

/// A chunk on its way.
#[derive(Clone, Debug)]
pub(crate) struct Parcel {
    pub(crate) header: ChunkHeader,
    pub(crate) body: Vec<u8>,
}

/// One thing that happens. Numbers pick among what there is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// The sender puts the next chunk on the network, or ends a part.
    Offer(u16),
    /// A chunk arrives; any of those on their way.
    Deliver(u16),
    /// The network has a chunk twice.
    Duplicate(u16),
    /// A chunk of an earlier session arrives.
    DeliverLate(u16),
    /// A body is verified and written.
    Store(u16),
    /// A body arrives damaged, which ends the session.
    Damage(u16),
    BeginSync,
    SyncDone,
    /// The disk fails, which ends the session.
    SyncFails,
    Record,
    /// An acknowledgement arrives; any of those on their way.
    DeliverAck(u16),
    /// One seal that was not confirmed arrives and is answered.
    Seal(u16),
    /// The sender asks for the commit, if it may.
    Commit,
    /// The session is lost. `crash`: the receiver lost what was not durable and recorded.
    /// `forget`: the sender starts from nothing.
    Cut {
        crash: bool,
        forget: bool,
    },
}

/// Everything there is.
pub(crate) struct World {
    plan: Plan,
    sending: Sending,
    receiving: Receiving,
    disk: Disk,
    chunks: Vec<Parcel>,
    acks: Vec<Ack>,
    /// Chunks acknowledged in this session; the copies the network makes are not the sender's.
    acked: BTreeSet<(PartIndex, ChunkIndex)>,
    late: Vec<Parcel>,
    /// Chunks in flight at each cut, added up: since the start, and since the sender's start.
    lost: u64,
    lost_by_this_sender: u64,
    sent_by_earlier_senders: u64,
}

impl World {
    pub(crate) fn new(plan: Plan) -> Self {
        let mut disk = Disk::default();
        let receiving = Receiving::open(&plan, &mut disk);
        let sending = Sending::new(&plan);
        Self {
            sending,
            receiving,
            disk,
            plan,
            chunks: Vec::new(),
            acks: Vec::new(),
            acked: BTreeSet::new(),
            late: Vec::new(),
            lost: 0,
            lost_by_this_sender: 0,
            sent_by_earlier_senders: 0,
        }
    }

    pub(crate) fn apply(&mut self, step: Step) {
        if self.is_committed() {
            // Opening the job again would give the result of then.
            return;
        }
        match step {
            Step::Offer(pick) => self.offer(pick),
            Step::Deliver(pick) => self.deliver(pick),
            Step::Duplicate(pick) => {
                if !self.chunks.is_empty() && self.chunks.len() < DUPLICATES_MAX {
                    let copy = self.chunks[usize::from(pick) % self.chunks.len()].clone();
                    self.chunks.push(copy);
                }
            }
            Step::DeliverLate(pick) => self.deliver_late(pick),
            Step::Store(pick) => self.receiving.store(pick),
            Step::Damage(pick) => {
                if self.receiving.damage(pick) {
                    self.cut(false, false);
                }
            }
            Step::BeginSync => self.receiving.begin_sync(),
            Step::SyncDone => {
                let answers = self.receiving.sync_done(&mut self.disk);
                self.answer(answers);
            }
            Step::SyncFails => {
                if self.receiving.sync_fails() {
                    self.cut(false, false);
                }
            }
            Step::Record => {
                let answers = self.receiving.record(&mut self.disk);
                self.answer(answers);
            }
            Step::DeliverAck(pick) => self.deliver_ack(pick),
            Step::Seal(pick) => self.seal(pick),
            Step::Commit => self.commit(),
            Step::Cut { crash, forget } => self.cut(crash, forget),
        }
        assert!(self.sending.machine.in_flight() <= self.plan.window as usize);
        assert!(self.disk.commits <= 1, "a job is committed once");
    }

    /// Lets everything happen that can, without faults, until the job is committed.
    pub(crate) fn finish(&mut self) {
        let rounds = 10 + 4 * (self.plan.chunks() + u64::from(self.plan.part_count()));
        for _ in 0..rounds {
            if self.is_committed() {
                return;
            }
            let offers = self.plan.window as usize + self.plan.parts.len();
            (0..offers).for_each(|_| self.apply(Step::Offer(0)));
            (0..self.chunks.len()).for_each(|_| self.apply(Step::Deliver(0)));
            (0..DUPLICATES_MAX).for_each(|_| self.apply(Step::Store(0)));
            // What an interrupted schedule left half done comes first.
            for step in [Step::SyncDone, Step::Record, Step::BeginSync].repeat(2) {
                self.apply(step);
            }
            (0..self.acks.len()).for_each(|_| self.apply(Step::DeliverAck(0)));
            (0..self.plan.parts.len()).for_each(|_| self.apply(Step::Seal(0)));
            self.apply(Step::Commit);
        }
        panic!("the job does not end: {} chunks in flight", self.sending.machine.in_flight());
    }

    /// What must hold at the end.
    pub(crate) fn check(&self) {
        assert_eq!(self.disk.commits, 1);
        for part in self.plan.indexes() {
            let body = self.plan.body(part);
            assert_eq!(self.disk.complete.get(&part), Some(&(body.len() as u64)));
            assert_eq!(self.disk.stored(part), body, "part {part} is stored as it was sent");
        }
        let counters = self.counters();
        assert!(counters.chunks_resent <= self.lost_by_this_sender);
        let sent = self.sent_by_earlier_senders + counters.chunks_sent;
        assert!(sent <= self.plan.chunks() + self.lost, "{sent} sent, {} lost", self.lost);
    }

    pub(crate) fn counters(&self) -> Counters {
        self.sending.machine.counters()
    }

    pub(crate) fn is_committed(&self) -> bool {
        self.disk.commits > 0
    }

    /// Chunks that are durable and recorded.
    pub(crate) fn recorded_chunks(&self) -> u64 {
        let held = self.disk.held(self.plan.size);
        held.iter().flat_map(|part| &part.runs).map(|(start, end)| end - start).sum()
    }

    fn offer(&mut self, pick: u16) {
        let epoch = self.receiving.machine.epoch();
        let (opened, parcel) = self.sending.next(&self.plan, epoch, pick);
        if let Some(part) = opened
            && self.plan.direction == Direction::Push
        {
            self.disk.parts = self.disk.parts.max(part.0 + 1);
            self.receiving.machine.handle_parts(self.disk.parts);
        }
        self.chunks.extend(parcel);
    }

    fn deliver(&mut self, pick: u16) {
        let Some(parcel) = take(&mut self.chunks, pick) else { return };
        let answers = self.receiving.deliver(parcel, &mut self.disk);
        self.answer(answers);
    }

    fn deliver_late(&mut self, pick: u16) {
        let Some(parcel) = take(&mut self.late, pick) else { return };
        let (found, current) = (parcel.header.epoch.0, self.disk.epoch);
        assert!(found < current, "epochs only grow");
        let error = self.receiving.machine.handle_header(&parcel.header).unwrap_err();
        assert_eq!(error, ReceiveError::StaleEpoch { found, current });
    }

    fn deliver_ack(&mut self, pick: u16) {
        let Some(ack) = take(&mut self.acks, pick) else { return };
        self.disk.assert_durable(&self.plan, ack);
        self.sending.acknowledged(ack);
    }

    fn seal(&mut self, pick: u16) {
        if self.plan.direction == Direction::Despray {
            return self.sending.confirm_all();
        }
        let Some(seal) = self.sending.unconfirmed(pick) else { return };
        let answers = self.receiving.seal(&seal, &mut self.disk);
        self.answer(answers);
    }

    fn commit(&mut self) {
        let parts = self.plan.part_count();
        if self.sending.may_commit(parts) {
            assert_eq!(self.disk.complete.len(), self.plan.parts.len());
            // The same request again changes nothing.
            assert_eq!(self.receiving.machine.handle_commit(parts), Ok(()));
            assert_eq!(self.receiving.machine.handle_commit(parts), Ok(()));
            let answers = self.receiving.release(&mut self.disk);
            self.answer(answers);
        }
    }

    fn answer(&mut self, answers: Vec<Answer>) {
        for answer in answers {
            match answer {
                Answer::Ack(ack) => {
                    if self.acked.insert((ack.part, ack.chunk)) {
                        self.acks.push(ack);
                    }
                }
                Answer::Sealed(part) => self.sending.confirm(part),
            }
        }
    }

    fn cut(&mut self, crash: bool, forget: bool) {
        let in_flight = self.sending.machine.in_flight() as u64;
        self.lost += in_flight;
        self.lost_by_this_sender += in_flight;
        self.late.append(&mut self.chunks);
        self.acks.clear();
        self.acked.clear();

        if !crash {
            // The answers have nowhere to go, but what they answer is on the disk.
            self.receiving.sync_done(&mut self.disk);
            self.receiving.record(&mut self.disk);
        }
        self.receiving = Receiving::open(&self.plan, &mut self.disk);
        if forget {
            self.sent_by_earlier_senders += self.counters().chunks_sent;
            self.lost_by_this_sender = 0;
            self.sending = Sending::new(&self.plan);
        } else {
            self.sending.machine.handle_session_lost();
        }
        let held = self.disk.held(self.plan.size);
        let of_machine: Vec<_> = self.receiving.machine.held().collect();
        let is_open = |part: &PartIndex| !self.disk.complete.contains_key(part);
        assert!(held.iter().filter(|runs| is_open(&runs.part)).eq(&of_machine));
        held.iter().for_each(|runs| self.sending.machine.handle_held(runs));
        self.sending.reopened();
    }
}

/// Takes one of `items`.
pub(crate) fn take<T>(items: &mut Vec<T>, pick: u16) -> Option<T> {
    (!items.is_empty()).then(|| items.swap_remove(usize::from(pick) % items.len()))
}
