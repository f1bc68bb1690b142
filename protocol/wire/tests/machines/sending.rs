//! The sending side as a driver runs it: offers chunks in any order, keeps seals until confirmed.

use crate::world::{Parcel, Plan, take};
use skyspray_wire::chunk::{ChunkHeader, Encoding};
use skyspray_wire::digest::{ChunkValue, PartTree};
use skyspray_wire::ids::{ChunkIndex, Epoch, PartIndex};
use skyspray_wire::message::{Ack, PartSeal};
use skyspray_wire::sender::{Effect, Offer, Sender};
use std::collections::BTreeMap;

/// One life of the sender.
pub(crate) struct Sending {
    pub(crate) machine: Sender,
    /// Chunks not offered yet; `None` ends an empty part.
    remaining: Vec<(PartIndex, Option<ChunkIndex>)>,
    trees: BTreeMap<PartIndex, PartTree>,
    unconfirmed: BTreeMap<PartIndex, PartSeal>,
    sealed: u32,
    complete: Option<u32>,
}

impl Sending {
    pub(crate) fn new(plan: &Plan) -> Self {
        let mut remaining = Vec::new();
        for part in plan.indexes() {
            let chunks = plan.size.count(plan.body(part).len() as u64);
            remaining.extend((0..chunks).map(|chunk| (part, Some(ChunkIndex(chunk)))));
            if chunks == 0 {
                remaining.push((part, None));
            }
        }
        let mut sending = Self {
            machine: Sender::new(plan.size, plan.window),
            remaining,
            trees: BTreeMap::new(),
            unconfirmed: BTreeMap::new(),
            sealed: 0,
            complete: None,
        };
        sending.end_plan(plan);
        sending
    }

    /// Does the next thing there is to do: the part it opened, and the chunk to put on the network.
    pub(crate) fn next(
        &mut self,
        plan: &Plan,
        epoch: Epoch,
        pick: u16,
    ) -> (Option<PartIndex>, Option<Parcel>) {
        if let Some((part, chunk)) = self.machine.next_again() {
            assert!(self.machine.is_in_flight(part, chunk));
            return (Some(part), Some(parcel(plan, epoch, part, chunk)));
        }
        if !self.machine.has_room() {
            return (None, None);
        }
        let Some((part, chunk)) = take(&mut self.remaining, pick) else { return (None, None) };
        let parcel = chunk.and_then(|chunk| self.offer(plan, epoch, part, chunk));
        if !self.remaining.iter().any(|&(other, _)| other == part) {
            self.end_part(plan, part);
        }
        self.end_plan(plan);
        self.settle();
        (Some(part), parcel)
    }

    pub(crate) fn acknowledged(&mut self, ack: Ack) {
        assert_eq!(self.machine.handle_ack(ack), Ok(()));
        self.settle();
    }

    pub(crate) fn reopened(&mut self) {
        self.machine.handle_reopened();
        self.settle();
    }

    /// A seal whose answer has not come.
    pub(crate) fn unconfirmed(&self, pick: u16) -> Option<PartSeal> {
        let count = self.unconfirmed.len().max(1);
        self.unconfirmed.values().nth(usize::from(pick) % count).copied()
    }

    pub(crate) fn confirm(&mut self, part: PartIndex) {
        self.unconfirmed.remove(&part);
    }

    pub(crate) fn confirm_all(&mut self) {
        self.unconfirmed.clear();
    }

    pub(crate) fn may_commit(&self, parts: u32) -> bool {
        assert!(self.complete.is_none_or(|complete| complete == parts && self.sealed == parts));
        self.complete.is_some() && self.unconfirmed.is_empty()
    }

    fn offer(
        &mut self,
        plan: &Plan,
        epoch: Epoch,
        part: PartIndex,
        chunk: ChunkIndex,
    ) -> Option<Parcel> {
        let value = ChunkValue::of(plan.size, chunk, plan.chunk(part, chunk));
        let tree = self.trees.entry(part).or_insert_with(|| PartTree::new(plan.size));
        tree.insert(chunk, &value).unwrap();
        match self.machine.offer(part, chunk, value.length) {
            Offer::Send => Some(parcel(plan, epoch, part, chunk)),
            Offer::Held => None,
        }
    }

    fn end_part(&mut self, plan: &Plan, part: PartIndex) {
        let length = plan.body(part).len() as u64;
        let tree = self.trees.remove(&part).unwrap_or_else(|| PartTree::new(plan.size));
        let (digest, crc32) = tree.root(length).expect("every chunk was read");
        assert_eq!((digest, crc32), plan.digests(part), "part {part}");
        self.machine.handle_part_end(PartSeal {
            part,
            length,
            digest,
            crc32,
            records: None,
            header: 0,
            footer: 0,
        });
    }

    fn end_plan(&mut self, plan: &Plan) {
        if self.remaining.is_empty() {
            self.machine.handle_plan_end(plan.part_count());
            self.settle();
        }
    }

    fn settle(&mut self) {
        while let Some(effect) = self.machine.poll_effect() {
            assert_eq!(self.complete, None, "nothing follows the end");
            match effect {
                Effect::Seal(seal) => {
                    self.sealed += 1;
                    let before = self.unconfirmed.insert(seal.part, seal);
                    assert_eq!(before, None, "a part is sealed once");
                }
                Effect::Complete { parts } => self.complete = Some(parts),
            }
        }
    }
}

fn parcel(plan: &Plan, epoch: Epoch, part: PartIndex, chunk: ChunkIndex) -> Parcel {
    let body = plan.chunk(part, chunk).to_vec();
    let length = body.len() as u32;
    let header = ChunkHeader {
        job: plan.job,
        epoch,
        part,
        offset: plan.size.offset_of(chunk),
        raw_length: length,
        wire_length: length,
        encoding: Encoding::Raw,
        subtree: ChunkValue::of(plan.size, chunk, &body).subtree,
    };
    Parcel { header: ChunkHeader::decode(&header.encode()).unwrap(), body }
}
