//! The steps of the two machines and of the digest they keep: for every chunk of a large part, and
//! for every part of a job of many small ones.

use super::data::Numbers;
use super::{HotLoop, Prepared, Unit};
use skyspray_wire::chunk::{ChunkHeader, Encoding};
use skyspray_wire::digest::{ChunkValue, PartTree};
use skyspray_wire::ids::{ChunkIndex, ChunkSize, Epoch, JobId, PartIndex};
use skyspray_wire::message::{Ack, PartSeal};
use skyspray_wire::receiver::{Admission, Effect as ReceiverEffect, Receiver};
use skyspray_wire::sender::{Effect as SenderEffect, Offer, Sender};
use std::collections::VecDeque;

/// Chunks of the large part.
const CHUNKS: u64 = 4000;

/// Parts of the job of small ones, a chunk each.
const PARTS: u32 = 1000;

/// Bytes of a small part.
const SMALL_BYTES: u32 = 4096;

/// Chunks in flight, at most.
const WINDOW: u32 = 64;

/// Chunks made durable together.
const GROUP: usize = 16;

const SIZE: ChunkSize = ChunkSize::FILE_PLANE;
const JOB: JobId = JobId([7; 16]);
const EPOCH: Epoch = Epoch(3);

pub(super) const LOOPS: &[HotLoop] = &[
    chunks("sender-chunks", || sender(large_part())),
    parts("sender-parts", || sender(small_parts())),
    chunks("receiver-chunks", || receiver(large_part())),
    parts("receiver-parts", || receiver(small_parts())),
    chunks("part-tree", part_tree),
];

const fn chunks(name: &'static str, prepare: fn() -> Prepared) -> HotLoop {
    HotLoop { name, unit: Unit::Chunk, prepare }
}

const fn parts(name: &'static str, prepare: fn() -> Prepared) -> HotLoop {
    HotLoop { name, unit: Unit::Part, prepare }
}

/// A job as its source gives it.
struct Job {
    /// In the order in which they come.
    chunks: Vec<(PartIndex, ChunkIndex, ChunkValue)>,
    /// Of every part; comes once its last chunk was sent.
    seals: Vec<PartSeal>,
}

fn value(number: u64, length: u32) -> ChunkValue {
    let byte = number as u8;
    let root = (number == 0).then_some([byte; 32]);
    ChunkValue { subtree: [byte; 32], root, crc32: number as u32, length }
}

fn seal(part: PartIndex, length: u64, tree: &PartTree) -> PartSeal {
    let (digest, crc32) = tree.root(length).expect("every chunk is there");
    PartSeal { part, length, digest, crc32, records: None, header: 0, footer: 0 }
}

/// One part of many chunks, a little out of order, as several streams bring them.
fn large_part() -> Job {
    let mut numbers = Numbers::new(99);
    let mut order: Vec<_> = (0..CHUNKS).collect();
    for at in 0..order.len() {
        let other = (at + numbers.below(4) as usize).min(order.len() - 1);
        order.swap(at, other);
    }
    let chunk = |number| (PartIndex(0), ChunkIndex(number), value(number, SIZE.bytes()));
    let chunks: Vec<_> = order.into_iter().map(chunk).collect();
    let mut tree = PartTree::new(SIZE);
    for (_, chunk, value) in &chunks {
        tree.insert(*chunk, value).expect("each comes once");
    }
    let seals = vec![seal(PartIndex(0), CHUNKS * u64::from(SIZE.bytes()), &tree)];
    Job { chunks, seals }
}

/// Many parts of one chunk each.
fn small_parts() -> Job {
    let (mut chunks, mut seals) = (Vec::new(), Vec::new());
    for part in (0..PARTS).map(PartIndex) {
        let value = ChunkValue { root: Some([part.0 as u8; 32]), ..value(0, SMALL_BYTES) };
        let mut tree = PartTree::new(SIZE);
        tree.insert(ChunkIndex(0), &value).expect("the only one");
        chunks.push((part, ChunkIndex(0), value));
        seals.push(seal(part, u64::from(SMALL_BYTES), &tree));
    }
    Job { chunks, seals }
}

/// Every chunk offered and acknowledged, every part sealed.
fn sender(job: Job) -> Prepared {
    let parts = job.seals.len() as u32;
    Prepared::new(job.chunks.len() as u64, u64::from(parts) + 1, move || {
        let mut sender = Sender::new(SIZE, WINDOW);
        let mut in_flight = VecDeque::new();
        let mut seals = job.seals.iter();
        let a_seal_after = job.chunks.len() / job.seals.len();
        let mut effects = 0;
        for (number, (part, chunk, value)) in job.chunks.iter().enumerate() {
            while !sender.has_room() {
                acknowledge(&mut sender, &mut in_flight, GROUP);
                effects += sender_effects(&mut sender);
            }
            assert_eq!(sender.offer(*part, *chunk, value.length), Offer::Send);
            in_flight.push_back(Ack { part: *part, chunk: *chunk });
            if (number + 1) % a_seal_after == 0 {
                sender.handle_part_end(*seals.next().expect("one a part"));
            }
            effects += sender_effects(&mut sender);
        }
        sender.handle_plan_end(parts);
        acknowledge(&mut sender, &mut in_flight, WINDOW as usize);
        effects + sender_effects(&mut sender)
    })
}

fn acknowledge(sender: &mut Sender, in_flight: &mut VecDeque<Ack>, most: usize) {
    for ack in in_flight.drain(..most.min(in_flight.len())) {
        sender.handle_ack(ack).expect("it is in flight");
    }
}

fn sender_effects(sender: &mut Sender) -> u64 {
    let mut effects = 0;
    while let Some(SenderEffect::Seal(_) | SenderEffect::Complete { .. }) = sender.poll_effect() {
        effects += 1;
    }
    effects
}

/// Every chunk admitted, stored, made durable in groups and acknowledged; every part sealed.
fn receiver(job: Job) -> Prepared {
    let parts = job.seals.len() as u32;
    let chunks = job.chunks.len() as u64;
    let header = |&(part, chunk, value): &(PartIndex, ChunkIndex, ChunkValue)| ChunkHeader {
        job: JOB,
        epoch: EPOCH,
        part,
        offset: SIZE.offset_of(chunk),
        raw_length: value.length,
        wire_length: value.length,
        encoding: Encoding::Raw,
        subtree: value.subtree,
    };
    let headers: Vec<_> = job.chunks.iter().map(header).collect();
    // An acknowledgement for each chunk, a completion for each part, the commit.
    Prepared::new(chunks, chunks + u64::from(parts) + 1, move || {
        let mut receiver = Receiver::new(JOB, EPOCH, SIZE, parts);
        let mut effects = 0;
        for (headers, chunks) in headers.chunks(GROUP).zip(job.chunks.chunks(GROUP)) {
            for (header, (part, chunk, value)) in headers.iter().zip(chunks) {
                let admission = receiver.handle_header(header).expect("it is of this job");
                assert_eq!(admission, Admission::Write(*chunk));
                receiver.handle_stored(*part, *chunk, *value);
            }
            effects += make_durable(&mut receiver);
        }
        for seal in &job.seals {
            assert!(receiver.handle_seal(seal).expect("digests are equal"));
            effects += receiver_effects(&mut receiver);
        }
        receiver.handle_commit(parts).expect("every part is complete");
        effects + receiver_effects(&mut receiver)
    })
}

fn make_durable(receiver: &mut Receiver) -> u64 {
    assert!(!receiver.begin_sync().is_empty());
    let changed = receiver.handle_durable().expect("chunks fit");
    assert!(!std::hint::black_box(changed).is_empty());
    receiver.handle_recorded().expect("nothing is sealed");
    receiver_effects(receiver)
}

fn receiver_effects(receiver: &mut Receiver) -> u64 {
    let mut effects = 0;
    while let Some(
        ReceiverEffect::Ack(_) | ReceiverEffect::PartComplete(_) | ReceiverEffect::Commit,
    ) = receiver.poll_effect()
    {
        effects += 1;
    }
    effects
}

/// The digest of a part, chunk by chunk.
fn part_tree() -> Prepared {
    let Job { chunks, seals } = large_part();
    let PartSeal { length, digest, crc32, .. } = seals[0];
    Prepared::new(CHUNKS, 1, move || {
        let mut tree = PartTree::new(SIZE);
        for (_, chunk, value) in &chunks {
            tree.insert(*chunk, value).expect("each comes once");
        }
        u64::from(tree.root(length) == Some((digest, crc32)))
    })
}
