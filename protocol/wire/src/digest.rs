//! Digests: chunk values, and how they merge into a part's ordinary BLAKE3 root and CRC-32.
//!
//! Chunks are power-of-two sized and aligned in their part, so each one is a whole subtree of the
//! part's BLAKE3 tree. [`PartTree`] keeps one value per subtree and never a value per chunk.

mod tree;

pub use tree::{PartTree, TreeError};

use crate::ids::{ChunkIndex, ChunkSize};
use blake3::hazmat::HasherExt;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A BLAKE3 root: what `b3sum` prints for the same bytes.
#[derive(Clone, Copy, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Digest of `bytes` in memory.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// What one chunk contributes to its part: computed once a side, over the uncompressed bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ChunkValue {
    /// BLAKE3 chaining value of the chunk's subtree at its place in the part. Travels in the
    /// chunk's header.
    pub subtree: [u8; 32],
    /// BLAKE3 root of the chunk alone; only for the first chunk, whose part may end with it.
    pub root: Option<[u8; 32]>,
    /// CRC-32 (IEEE, as in zlib) of the chunk.
    pub crc32: u32,
    /// Bytes in the chunk, at least 1.
    pub length: u32,
}

impl ChunkValue {
    /// Hashes the bytes of `chunk`.
    ///
    /// # Panics
    ///
    /// When `body` is empty or longer than a chunk: no such chunk exists.
    pub fn of(size: ChunkSize, chunk: ChunkIndex, body: &[u8]) -> Self {
        assert!(!body.is_empty(), "a chunk has at least one byte");
        let length = u32::try_from(body.len()).expect("a chunk is at most 1 GiB");
        assert!(length <= size.bytes(), "a chunk is at most the chunk size");
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset(size.offset_of(chunk));
        hasher.update(body);
        Self {
            subtree: hasher.finalize_non_root(),
            root: (chunk.0 == 0).then(|| *hasher.finalize().as_bytes()),
            crc32: crc32fast::hash(body),
            length,
        }
    }
}

/// CRC-32 of two byte strings put together, from the CRC-32 of each.
pub fn crc32_joined(left: u32, right: u32, right_length: u64) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(left);
    hasher.combine(&crc32fast::Hasher::new_with_initial_len(right, right_length));
    hasher.finalize()
}
