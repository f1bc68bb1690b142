//! What is done with the body of every chunk, on both sides, and with its packets.

use super::data::{BYTES, noise, table};
use super::{HotLoop, Prepared, Unit};
use skyspray_link::codec::{Compressor, Decompressor};
use skyspray_link::endpoint::joined_sends;
use skyspray_wire::digest::ChunkValue;
use skyspray_wire::ids::{ChunkIndex, ChunkSize};

/// The zstd level of a job that begins on a long path.
const LEVEL: i32 = 1;

pub(super) const LOOPS: &[HotLoop] = &[
    body("chunk-hash", hash),
    body("compress-text", compress_text),
    body("compress-noise", compress_noise),
    body("decompress-text", decompress_text),
    body("packets-join", join),
];

const fn body(name: &'static str, prepare: fn() -> Prepared) -> HotLoop {
    HotLoop { name, unit: Unit::Byte, prepare }
}

/// Both digests of a chunk.
fn hash() -> Prepared {
    let body = noise();
    Prepared::new(BYTES as u64, BYTES as u64, move || {
        let value = ChunkValue::of(ChunkSize::FILE_PLANE, ChunkIndex(3), &body);
        u64::from(std::hint::black_box(value).length)
    })
}

/// A chunk compressed as for a job; nothing where it goes raw.
fn compressed(chunk: &[u8]) -> Option<Vec<u8>> {
    let mut out = vec![0; chunk.len()];
    let length = Compressor::default().compress(LEVEL, chunk, &mut out)?;
    out.truncate(length);
    Some(out)
}

fn compress_text() -> Prepared {
    let text = table();
    let length = compressed(&text).expect("text shrinks").len() as u64;
    let (mut compressor, mut out) = (Compressor::default(), vec![0; text.len()]);
    Prepared::new(BYTES as u64, length, move || {
        compressor.compress(LEVEL, &text, &mut out).expect("text shrinks") as u64
    })
}

/// Finds out that a chunk goes raw.
fn compress_noise() -> Prepared {
    let noise = noise();
    let (mut compressor, mut out) = (Compressor::default(), vec![0; noise.len()]);
    Prepared::new(BYTES as u64, 1, move || {
        u64::from(compressor.compress(LEVEL, &noise, &mut out).is_none())
    })
}

fn decompress_text() -> Prepared {
    let text = table();
    let body = compressed(&text).expect("text shrinks");
    let mut decompressor = Decompressor::try_new().expect("zstd has memory");
    let mut out = vec![0; text.len()];
    Prepared::new(BYTES as u64, 1, move || {
        decompressor.decompress(&body, &mut out).expect("it was compressed here");
        u64::from(out == text)
    })
}

/// Packets of the usual length, ten of which are handed over at a time, joined for the kernel.
fn join() -> Prepared {
    let packets = noise();
    // Four times ten of them go out at once; the three that are left over have room beside the last.
    let sends = BYTES as u64 / (4 * 10 * 1452);
    Prepared::new(BYTES as u64, sends, move || joined_sends(&packets, 1452, 10))
}
