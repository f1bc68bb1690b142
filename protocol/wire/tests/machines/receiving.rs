//! The receiving side as a driver runs it, and the disk that survives it.
//!
//! Acknowledgements wait until what they state is recorded.

use crate::world::{Direction, Parcel, Plan, take};
use skyspray_wire::digest::{ChunkValue, PartTree};
use skyspray_wire::ids::{ChunkIndex, ChunkSize, Epoch, PartIndex};
use skyspray_wire::message::{Ack, PartInfo, PartRuns, PartSeal};
use skyspray_wire::receiver::{Admission, Effect, Receiver};
use std::collections::{BTreeMap, BTreeSet};

type Bodies = BTreeMap<(PartIndex, ChunkIndex), Vec<u8>>;

/// What a crash leaves: bodies that were synced, and the records.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    bodies: Bodies,
    /// Encoded trees of parts that are not complete.
    trees: BTreeMap<PartIndex, Vec<u8>>,
    /// Complete parts and their lengths.
    pub(crate) complete: BTreeMap<PartIndex, u64>,
    /// Parts a push has opened.
    pub(crate) parts: u32,
    pub(crate) epoch: u64,
    pub(crate) commits: u32,
}

impl Disk {
    fn tree(&self, part: PartIndex) -> Option<PartTree> {
        self.trees.get(&part).map(|bytes| postcard::from_bytes(bytes).unwrap())
    }

    /// The bytes of one part as they are stored.
    pub(crate) fn stored(&self, part: PartIndex) -> Vec<u8> {
        let bodies = self.bodies.iter().filter(|((of, _), _)| *of == part);
        bodies.flat_map(|(_, body)| body).copied().collect()
    }

    /// What the sender is told at open.
    pub(crate) fn held(&self, size: ChunkSize) -> Vec<PartRuns> {
        let mut held: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for &part in self.trees.keys() {
            let tree = self.tree(part).expect("it is listed");
            held.insert(part, tree.runs().map(|run| (run.start, run.end)).collect());
        }
        for (&part, &length) in self.complete.iter().filter(|(_, length)| **length > 0) {
            held.insert(part, vec![(0, size.count(length))]);
        }
        held.into_iter().map(|(part, runs)| PartRuns { part, runs }).collect()
    }

    /// An acknowledgement states nothing but what a crash would leave.
    pub(crate) fn assert_durable(&self, plan: &Plan, Ack { part, chunk }: Ack) {
        let body = self.bodies.get(&(part, chunk)).map(Vec::as_slice);
        assert_eq!(body, Some(plan.chunk(part, chunk)), "the body is on the disk");
        let recorded = self.tree(part).is_some_and(|tree| tree.holds(chunk));
        assert!(recorded || self.complete.contains_key(&part), "and so is the record of it");
    }
}

/// What goes back to the sender.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    Ack(Ack),
    Sealed(PartIndex),
}

/// What waits for the record.
#[derive(Clone, Copy, Debug)]
enum Waiting {
    Answer(Answer),
    Complete(PartIndex),
    Commit,
}

/// One life of the receiver, and all that is lost with it.
pub(crate) struct Receiving {
    pub(crate) machine: Receiver,
    reading: Vec<Parcel>,
    written: Bodies,
    syncing: Option<Bodies>,
    unrecorded: Option<Vec<(PartIndex, PartTree)>>,
    waiting: Vec<Waiting>,
    lengths: BTreeMap<PartIndex, u64>,
}

impl Receiving {
    /// Takes the job up from the disk, under the next epoch.
    pub(crate) fn open(plan: &Plan, disk: &mut Disk) -> Self {
        disk.epoch += 1;
        let parts = if plan.direction == Direction::Push { 0 } else { plan.part_count() };
        let mut machine = Receiver::new(plan.job, Epoch(disk.epoch), plan.size, parts);
        for &part in disk.trees.keys() {
            machine.handle_resumed(part, disk.tree(part).expect("it is listed"));
        }
        disk.complete.keys().for_each(|&part| machine.handle_resumed_complete(part));
        machine.handle_parts(disk.parts);
        let mut receiving = Self {
            machine,
            reading: Vec::new(),
            written: Bodies::new(),
            syncing: None,
            unrecorded: None,
            waiting: Vec::new(),
            lengths: BTreeMap::new(),
        };
        if plan.direction == Direction::Despray {
            plan.indexes().for_each(|part| receiving.announce(plan, part));
            receiving.release(disk);
        }
        receiving
    }

    fn announce(&mut self, plan: &Plan, part: PartIndex) {
        let (digest, crc32) = plan.digests(part);
        let length = plan.body(part).len() as u64;
        // Every other part is one that was not written through a relay.
        let known = part.0.is_multiple_of(2);
        let (digest, crc32) = (known.then_some(digest), known.then_some(crc32));
        let info = PartInfo {
            length,
            digest,
            crc32,
            records: None,
            modified_ns: None,
            header: 0,
            footer: 0,
        };
        self.lengths.insert(part, length);
        self.machine.handle_announced(part, &info).unwrap();
    }

    pub(crate) fn deliver(&mut self, parcel: Parcel, disk: &mut Disk) -> Vec<Answer> {
        let part = parcel.header.part;
        match self.machine.handle_header(&parcel.header).unwrap() {
            Admission::Write(_) => self.reading.push(parcel),
            Admission::Arriving => {}
            Admission::Durable(chunk) => {
                self.waiting.push(Waiting::Answer(Answer::Ack(Ack { part, chunk })));
            }
        }
        self.release(disk)
    }

    /// Verifies and writes one body.
    pub(crate) fn store(&mut self, pick: u16) {
        let Some(Parcel { header, body }) = take(&mut self.reading, pick) else { return };
        let size = self.machine.chunk_size();
        let chunk = header.index(size).unwrap();
        let value = ChunkValue::of(size, chunk, &body);
        assert_eq!(value.subtree, header.subtree);
        self.written.insert((header.part, chunk), body);
        self.machine.handle_stored(header.part, chunk, value);
    }

    /// One body arrives damaged and is not written; false if there is none.
    pub(crate) fn damage(&mut self, pick: u16) -> bool {
        let Some(Parcel { header, mut body }) = take(&mut self.reading, pick) else { return false };
        let size = self.machine.chunk_size();
        let chunk = header.index(size).unwrap();
        body[0] ^= 1;
        assert_ne!(ChunkValue::of(size, chunk, &body).subtree, header.subtree);
        self.machine.handle_dropped(header.part, chunk);
        assert_eq!(self.machine.handle_header(&header), Ok(Admission::Write(chunk)));
        true
    }

    pub(crate) fn begin_sync(&mut self) {
        if self.syncing.is_some() || self.unrecorded.is_some() {
            return;
        }
        let named = self.machine.begin_sync();
        let parts: BTreeSet<_> = self.written.keys().map(|&(part, _)| part).collect();
        assert!(parts.iter().eq(&named), "a sync names the parts written to");
        if !named.is_empty() {
            self.syncing = Some(std::mem::take(&mut self.written));
        }
    }

    pub(crate) fn sync_done(&mut self, disk: &mut Disk) -> Vec<Answer> {
        let Some(bodies) = self.syncing.take() else { return Vec::new() };
        disk.bodies.extend(bodies);
        self.unrecorded = Some(self.machine.handle_durable().unwrap());
        self.release(disk)
    }

    /// The disk fails; false if nothing was on its way to it.
    pub(crate) fn sync_fails(&mut self) -> bool {
        if self.unrecorded.is_some() {
            return false;
        }
        let lost = self.syncing.take();
        self.machine.handle_sync_failed();
        assert_eq!(self.machine.handle_durable(), Ok(Vec::new()), "nothing of it counts");
        lost.is_some()
    }

    pub(crate) fn record(&mut self, disk: &mut Disk) -> Vec<Answer> {
        for (part, tree) in self.unrecorded.take().into_iter().flatten() {
            disk.trees.insert(part, postcard::to_allocvec(&tree).unwrap());
        }
        self.machine.handle_recorded().unwrap();
        self.release(disk)
    }

    pub(crate) fn seal(&mut self, seal: &PartSeal, disk: &mut Disk) -> Vec<Answer> {
        self.lengths.insert(seal.part, seal.length);
        let whole = self.machine.handle_seal(seal).unwrap();
        assert!(whole, "a part is sealed when all of it is acknowledged");
        self.drain();
        self.waiting.push(Waiting::Answer(Answer::Sealed(seal.part)));
        self.release(disk)
    }

    /// Lets out what the machine decided, unless a record is still to be written.
    pub(crate) fn release(&mut self, disk: &mut Disk) -> Vec<Answer> {
        self.drain();
        if self.unrecorded.is_some() {
            return Vec::new();
        }
        let mut answers = Vec::new();
        for waiting in self.waiting.drain(..) {
            match waiting {
                Waiting::Answer(answer) => answers.push(answer),
                Waiting::Complete(part) => {
                    disk.trees.remove(&part);
                    disk.complete.insert(part, self.lengths[&part]);
                }
                Waiting::Commit => disk.commits += 1,
            }
        }
        answers
    }

    fn drain(&mut self) {
        while let Some(effect) = self.machine.poll_effect() {
            self.waiting.push(match effect {
                Effect::Ack(ack) => Waiting::Answer(Answer::Ack(ack)),
                Effect::PartComplete(part) => Waiting::Complete(part),
                Effect::Commit => Waiting::Commit,
            });
        }
    }
}
