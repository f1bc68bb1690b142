//! BLAKE3 over memory, on one thread.

use super::side::cpu_seconds;
use super::{Turn, pieces};
use std::hint::black_box;
use std::time::Instant;

/// Hashes `bytes` bytes, a piece at a time, as chunks are.
pub(super) fn turn(bytes: u64) -> Turn {
    let pieces = pieces();
    let (began, cpu) = (Instant::now(), cpu_seconds());
    let mut hashed = 0;
    for piece in pieces.iter().cycle() {
        if hashed >= bytes {
            break;
        }
        black_box(blake3::hash(black_box(piece)));
        hashed += piece.len() as u64;
    }
    Turn {
        bytes: hashed,
        seconds: began.elapsed().as_secs_f64(),
        sender_cpu_seconds: cpu_seconds() - cpu,
        receiver_cpu_seconds: 0.0,
    }
}
