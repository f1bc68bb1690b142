//! What travels beside the bodies: the header of every chunk, and frames full of acknowledgements,
//! seals and files.

use super::{HotLoop, Prepared, Unit};
use serde::{Serialize, de::DeserializeOwned};
use skyspray_wire::chunk::{ChunkHeader, Encoding};
use skyspray_wire::digest::Digest;
use skyspray_wire::frame;
use skyspray_wire::ids::{ChunkIndex, ChunkSize, Epoch, JobId, PartIndex};
use skyspray_wire::limits::PAGE_MAX;
use skyspray_wire::message::{Ack, ChunkReply, FileSpec, OpenFiles, PartSeal, Request, SealParts};
use skyspray_wire::name::PlanePath;
use std::hint::black_box;

/// Headers of one loop.
const HEADERS: u64 = 10_000;

/// Frames of one loop.
const FRAMES: u64 = 20;

const JOB: JobId = JobId([7; 16]);

pub(super) const LOOPS: &[HotLoop] = &[
    HotLoop { name: "header-encode", unit: Unit::Chunk, prepare: encode_headers },
    HotLoop { name: "header-decode", unit: Unit::Chunk, prepare: decode_headers },
    message("acks-encode", || encode(acks())),
    message("acks-decode", || decode(acks())),
    message("seals-encode", || encode(seals())),
    message("seals-decode", || decode(seals())),
    message("files-encode", || encode(files())),
    message("files-decode", || decode(files())),
];

const fn message(name: &'static str, prepare: fn() -> Prepared) -> HotLoop {
    HotLoop { name, unit: Unit::Message, prepare }
}

fn header(number: u64) -> ChunkHeader {
    let size = ChunkSize::FILE_PLANE;
    ChunkHeader {
        job: JOB,
        epoch: Epoch(3),
        part: PartIndex((number % 8) as u32),
        offset: size.offset_of(ChunkIndex(number / 8)),
        raw_length: size.bytes(),
        wire_length: size.bytes(),
        encoding: Encoding::Raw,
        subtree: [number as u8; 32],
    }
}

fn encode_headers() -> Prepared {
    let headers: Vec<_> = (0..HEADERS).map(header).collect();
    Prepared::new(HEADERS, HEADERS, move || {
        headers.iter().map(|header| u64::from(black_box(header.encode())[4] == 0)).sum()
    })
}

fn decode_headers() -> Prepared {
    let headers: Vec<_> = (0..HEADERS).map(|number| header(number).encode()).collect();
    Prepared::new(HEADERS, HEADERS, move || {
        let right = |bytes| {
            let header = ChunkHeader::decode(bytes).expect("it was encoded here");
            header.index(ChunkSize::FILE_PLANE).is_ok()
        };
        headers.iter().filter(|bytes| right(*bytes)).count() as u64
    })
}

fn encode<T: Serialize + 'static>(message: T) -> Prepared {
    let length = frame::encode(&message).expect("a page fits a frame").len() as u64;
    Prepared::new(FRAMES, FRAMES * length, move || {
        let encoded = || frame::encode(black_box(&message)).expect("a page fits a frame");
        (0..FRAMES).map(|_| black_box(encoded()).len() as u64).sum()
    })
}

fn decode<T: Serialize + DeserializeOwned + PartialEq + 'static>(message: T) -> Prepared {
    let bytes = frame::encode(&message).expect("a page fits a frame");
    Prepared::new(FRAMES, FRAMES, move || {
        let body = &bytes[frame::LENGTH_BYTES..];
        let decoded = || frame::decode::<T>(black_box(body)).expect("it was encoded here");
        let right = (0..FRAMES).filter(|_| black_box(decoded()) == message);
        right.count() as u64
    })
}

/// Numbers of a page.
fn page() -> impl Iterator<Item = u32> {
    0..PAGE_MAX as u32
}

fn acks() -> ChunkReply {
    let ack = |n| Ack { part: PartIndex(n % 8), chunk: ChunkIndex(10_000 + u64::from(n / 8)) };
    ChunkReply::Durable(JOB, page().map(ack).collect())
}

fn seals() -> Request {
    let seal = |n: u32| PartSeal {
        part: PartIndex(70_000 + n),
        length: 4096 + u64::from(n),
        digest: Digest([n as u8; 32]),
        crc32: n.wrapping_mul(2_654_435_761),
        records: None,
        header: 0,
        footer: 0,
    };
    let parts = page().map(seal).collect();
    Request::SealParts(SealParts { job: JOB, epoch: Epoch(3), parts })
}

fn files() -> Request {
    let file = |n: u32| FileSpec {
        path: PlanePath::parse(&format!("2026/november/{:03}/scan-{n:06}.tif", n % 50))
            .expect("a plain path"),
        length: 4096 + u64::from(n),
        modified_ns: 1_700_000_000_000_000_000 + i64::from(n),
    };
    let files = page().map(file).collect();
    Request::OpenFiles(OpenFiles { job: JOB, epoch: Epoch(3), first: PartIndex(70_000), files })
}
