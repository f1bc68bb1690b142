//! The durable chunks of one part, as ranges, with just enough of the hash tree to reach its root.

use super::{ChunkValue, Digest, crc32_joined};
use crate::ids::{ChunkIndex, ChunkSize};
use blake3::hazmat::{Mode, merge_subtrees_non_root, merge_subtrees_root};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Which chunks of a part are held, and the digest of what is held.
///
/// Memory grows with the number of gaps, not of chunks: a run of `n` chunks keeps at most
/// `2 log2 n` subtree values. Serialized as it stands into the catalogue and the journal.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "StoredTree")]
pub struct PartTree {
    chunk_size: ChunkSize,
    /// Sorted, disjoint, never adjacent.
    runs: Vec<Run>,
    /// BLAKE3 root of chunk 0 alone, once held.
    first_root: Option<[u8; 32]>,
}

/// Chunks `start..end`, all held.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Run {
    start: u64,
    end: u64,
    bytes: u64,
    crc32: u32,
    /// Aligned subtrees from left to right.
    nodes: Vec<Node>,
}

/// A subtree of `2^level` chunks, fewer only where the part's short last chunk ends it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Node {
    level: u8,
    value: [u8; 32],
    /// The children, kept where the subtree starts at chunk 0: the root is made from them.
    children: Option<([u8; 32], [u8; 32])>,
}

/// A chunk that does not fit what is held.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum TreeError {
    /// The chunk is held already.
    #[error("chunk {chunk} is held already")]
    Held {
        /// The chunk.
        chunk: ChunkIndex,
    },
    /// A chunk shorter than the chunk size has others behind it.
    #[error("chunk {chunk} is {length} bytes short of full, but is not the last of its part")]
    ShortInside {
        /// The short chunk.
        chunk: ChunkIndex,
        /// How many bytes are missing.
        length: u32,
    },
    /// The last chunk held is not one of a part of the stated length.
    #[error("chunk {chunk} has {found} bytes, {expected} in a part of the stated length")]
    Length {
        /// The last chunk held.
        chunk: ChunkIndex,
        /// Its bytes.
        found: u32,
        /// Its bytes in a part of that length; 0 beyond its end.
        expected: u32,
    },
    /// Stored bytes that no tree was stored as.
    #[error("stored chunks from {start} on break a rule of the tree")]
    Unsound {
        /// First chunk of the run that does.
        start: ChunkIndex,
    },
}

/// A tree as it was stored, not yet checked.
#[derive(Deserialize)]
struct StoredTree {
    chunk_size: ChunkSize,
    runs: Vec<Run>,
    first_root: Option<[u8; 32]>,
}

impl TryFrom<StoredTree> for PartTree {
    type Error = TreeError;

    fn try_from(stored: StoredTree) -> Result<Self, TreeError> {
        let StoredTree { chunk_size, runs, first_root } = stored;
        let mut after: Option<u64> = None;
        for (index, run) in runs.iter().enumerate() {
            let apart = after.is_none_or(|end| run.start > end);
            if !apart || !run.is_sound(chunk_size, index + 1 == runs.len()) {
                return Err(TreeError::Unsound { start: ChunkIndex(run.start) });
            }
            after = Some(run.end);
        }
        Ok(Self { chunk_size, runs, first_root })
    }
}

impl PartTree {
    /// Nothing held yet.
    pub fn new(chunk_size: ChunkSize) -> Self {
        Self { chunk_size, runs: Vec::new(), first_root: None }
    }

    /// The size of every chunk but the last.
    pub fn chunk_size(&self) -> ChunkSize {
        self.chunk_size
    }

    /// Adds one chunk.
    ///
    /// # Errors
    ///
    /// The chunk is held, or a short chunk is not the last: the sender's fault.
    pub fn insert(&mut self, chunk: ChunkIndex, value: &ChunkValue) -> Result<(), TreeError> {
        let at = self.runs.partition_point(|run| run.end <= chunk.0);
        if self.runs.get(at).is_some_and(|run| run.start <= chunk.0) {
            return Err(TreeError::Held { chunk });
        }
        self.check_short(chunk, value)?;
        if chunk.0 == 0 {
            self.first_root = value.root;
        }
        let mut run = Run::of(chunk, value);
        let mut from = at;
        if at > 0 && self.runs[at - 1].end == chunk.0 {
            from = at - 1;
            run = self.runs[from].clone().joined(&run);
        }
        let mut to = at;
        if self.runs.get(at).is_some_and(|next| next.start == chunk.0 + 1) {
            run = run.joined(&self.runs[at]);
            to = at + 1;
        }
        self.runs.splice(from..to, [run]);
        Ok(())
    }

    fn check_short(&self, chunk: ChunkIndex, value: &ChunkValue) -> Result<(), TreeError> {
        let size = self.chunk_size.bytes();
        let last = self.runs.last();
        if value.length < size && last.is_some_and(|run| run.end > chunk.0) {
            return Err(TreeError::ShortInside { chunk, length: size - value.length });
        }
        if let Some(run) = last
            && run.end <= chunk.0
            && let Some(length) = run.missing(self.chunk_size)
        {
            return Err(TreeError::ShortInside { chunk: ChunkIndex(run.end - 1), length });
        }
        Ok(())
    }

    /// Whether `chunk` is held.
    pub fn holds(&self, chunk: ChunkIndex) -> bool {
        let at = self.runs.partition_point(|run| run.end <= chunk.0);
        self.runs.get(at).is_some_and(|run| run.start <= chunk.0)
    }

    /// The held chunks as half-open ranges, ascending and never adjacent.
    pub fn runs(&self) -> impl Iterator<Item = std::ops::Range<u64>> {
        self.runs.iter().map(|run| run.start..run.end)
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.runs.iter().map(|run| run.bytes).sum()
    }

    /// Whether what is held can be of a part of `length` bytes.
    pub(crate) fn check_length(&self, length: u64) -> Result<(), TreeError> {
        let Some(run) = self.runs.last() else { return Ok(()) };
        let chunk = ChunkIndex(run.end - 1);
        let found = self.chunk_size.bytes() - run.missing(self.chunk_size).unwrap_or(0);
        let expected = self.chunk_size.length_of(chunk, length);
        if found == expected { Ok(()) } else { Err(TreeError::Length { chunk, found, expected }) }
    }

    /// Digest and CRC-32 of the part if it is exactly `length` bytes and all of them are held.
    pub fn root(&self, length: u64) -> Option<(Digest, u32)> {
        if length == 0 {
            return self.runs.is_empty().then(|| (Digest::of(b""), 0));
        }
        let [run] = self.runs.as_slice() else { return None };
        if run.start != 0 || run.bytes != length {
            return None;
        }
        let digest = match run.nodes.split_last()? {
            (only, []) => match only.children {
                Some((left, right)) => *merge_subtrees_root(&left, &right, Mode::Hash).as_bytes(),
                None => self.first_root?,
            },
            (last, [first, middle @ ..]) => {
                let right = middle.iter().rev().fold(last.value, |right, node| {
                    merge_subtrees_non_root(&node.value, &right, Mode::Hash)
                });
                *merge_subtrees_root(&first.value, &right, Mode::Hash).as_bytes()
            }
        };
        Some((Digest(digest), run.crc32))
    }
}

impl Run {
    fn of(chunk: ChunkIndex, value: &ChunkValue) -> Self {
        let node = Node { level: 0, value: value.subtree, children: None };
        Self {
            start: chunk.0,
            end: chunk.0 + 1,
            bytes: u64::from(value.length),
            crc32: value.crc32,
            nodes: vec![node],
        }
    }

    /// Whether the run could have come from inserting chunks; `last` says nothing lies behind it.
    fn is_sound(&self, size: ChunkSize, last: bool) -> bool {
        let size = u64::from(size.bytes());
        let Some(chunks) = self.end.checked_sub(self.start).filter(|&chunks| chunks > 0) else {
            return false;
        };
        if self.end > u64::MAX / size {
            return false;
        }
        let mut at = self.start;
        for node in &self.nodes {
            let Some(level) = (self.end - at).checked_ilog2() else { return false };
            let level = level.min(at.trailing_zeros());
            let first = at == 0 && level > 0;
            if u32::from(node.level) != level || node.children.is_some() != first {
                return false;
            }
            at += 1 << level;
        }
        let short = (chunks * size).checked_sub(self.bytes);
        at == self.end && short.is_some_and(|short| short == 0 || (last && short < size))
    }

    /// How many bytes the last chunk is short of full, if it is short.
    fn missing(&self, size: ChunkSize) -> Option<u32> {
        let full = (self.end - self.start).checked_mul(u64::from(size.bytes()))?;
        u32::try_from(full - self.bytes).ok().filter(|&missing| missing > 0)
    }

    /// This run followed by `right`, which starts where this one ends.
    fn joined(mut self, right: &Self) -> Self {
        debug_assert_eq!(self.end, right.start, "only adjacent runs join");
        let mut at = self.end;
        for &node in &right.nodes {
            self.push(at, node);
            at += 1 << node.level;
        }
        self.end = right.end;
        self.bytes += right.bytes;
        self.crc32 = crc32_joined(self.crc32, right.crc32, right.bytes);
        self
    }

    /// Appends a subtree that starts at chunk `at`, merging siblings as far as they go.
    fn push(&mut self, at: u64, mut node: Node) {
        let mut at = at;
        while let Some(left) = self.nodes.last().copied() {
            let width = 1u64 << node.level;
            if left.level != node.level || at.is_multiple_of(width * 2) {
                break;
            }
            at -= width;
            node = Node {
                level: node.level + 1,
                value: merge_subtrees_non_root(&left.value, &node.value, Mode::Hash),
                children: (at == 0).then_some((left.value, node.value)),
            };
            self.nodes.pop();
        }
        self.nodes.push(node);
    }
}
