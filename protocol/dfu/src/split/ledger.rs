//! The books of a split: which part is being filled, with what, and where the record began.
//!
//! Scanners report where records end; offsets are in the stream of all sources.

use super::Checkpoint;
use super::boundaries::Boundaries;
use skyspray_wire::ids::PartIndex;
use std::collections::VecDeque;
use std::ops::Range;

/// What belongs to a part, in part order and without gaps.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Piece {
    /// Bytes of the block last pushed.
    Bytes {
        /// The part they belong to.
        part: PartIndex,
        /// Where they are in the block.
        range: Range<usize>,
    },
    /// Bytes that are not in the block last pushed: a terminator that mends a source, or a
    /// delimiter cut by the edge between two blocks. At most a few delimiters long.
    Literal {
        /// The part they belong to.
        part: PartIndex,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// The part is complete. Said once for every part, in part order.
    PartEnd {
        /// The part.
        part: PartIndex,
        /// Its length in bytes.
        length: u64,
        /// Records in it.
        records: u64,
    },
}

#[derive(Debug)]
pub(super) struct Ledger {
    boundaries: Boundaries,
    /// The part being filled; the number of parts when all have ended.
    part: u32,
    /// The ideal end of the part being filled: the first record end beyond it ends the part.
    pub(super) limit: u64,
    part_length: u64,
    pub(super) part_records: u64,
    /// Where the record in progress starts.
    pub(super) record_start: u64,
    /// Index of the terminator last seen.
    pub(super) terminator: u8,
    /// Quotes in the middle of fields since the limit, in the record in progress.
    strays: u8,
    /// Everything before this offset is in a piece.
    attributed: u64,
    block_start: u64,
    /// The bytes between `attributed` and `block_start`.
    pub(super) held: Vec<u8>,
    pub(super) pieces: VecDeque<Piece>,
}

impl Ledger {
    pub(super) fn new(boundaries: Boundaries) -> Self {
        Self {
            boundaries,
            part: 0,
            limit: boundaries.end_of(0),
            part_length: 0,
            part_records: 0,
            record_start: 0,
            terminator: 0,
            strays: 0,
            attributed: 0,
            block_start: 0,
            held: Vec::new(),
            pieces: VecDeque::new(),
        }
    }

    pub(super) fn resume(&mut self, at: u64, checkpoint: &Checkpoint) {
        self.part = checkpoint.part.0;
        self.limit = self.boundaries.end_of(self.part);
        self.part_length = checkpoint.part_offset;
        self.part_records = checkpoint.part_records;
        self.terminator = checkpoint.terminator;
        self.record_start = at;
        self.attributed = at;
        self.block_start = at;
    }

    /// The part being filled, or the last one when all have ended.
    pub(super) fn part(&self) -> PartIndex {
        PartIndex(self.part.min(self.boundaries.parts() - 1))
    }

    /// Where `at`, not beyond what is attributed, lies in the part being filled.
    pub(super) fn part_offset(&self, at: u64) -> u64 {
        self.part_length - (self.attributed - at)
    }

    pub(super) fn begin_block(&mut self, start: u64) {
        self.block_start = start;
    }

    /// Gives everything before `to` to the part being filled.
    pub(super) fn attribute(&mut self, to: u64) {
        let part = PartIndex(self.part);
        let held_to = to.min(self.block_start);
        if held_to > self.attributed {
            let count = usize::try_from(held_to - self.attributed).expect("a few delimiters");
            let bytes = self.held.drain(..count).collect();
            self.pieces.push_back(Piece::Literal { part, bytes });
            self.part_length += held_to - self.attributed;
            self.attributed = held_to;
        }
        if to > self.attributed {
            let in_block = |at: u64| usize::try_from(at - self.block_start).expect("in the block");
            let range = in_block(self.attributed)..in_block(to);
            self.pieces.push_back(Piece::Bytes { part, range });
            self.part_length += to - self.attributed;
            self.attributed = to;
        }
    }

    /// One record ends before `end`.
    pub(super) fn end_record(&mut self, end: u64) {
        self.end_records(1, end);
        if end > self.limit {
            self.end_part(end);
            self.end_parts_due(end);
        }
    }

    /// `count` records end, the last one before `end`, which is not beyond the limit.
    pub(super) fn end_records(&mut self, count: u64, end: u64) {
        self.part_records += count;
        self.record_start = end;
        self.strays = 0;
    }

    /// Notes a quote in the middle of a field. `true` if the record decides a split and this is
    /// the second such quote in it.
    pub(super) fn is_inconsistent(&mut self, quote: u64) -> bool {
        if quote >= self.limit {
            self.strays += 1;
        }
        self.strays >= 2
    }

    /// Ends every part that should end at or before `at`, where a record starts.
    pub(super) fn end_parts_due(&mut self, at: u64) {
        while self.limit <= at {
            self.end_part(at);
        }
    }

    /// Ends parts until `part` is the one being filled.
    pub(super) fn skip_to(&mut self, part: u32) {
        while self.part < part {
            self.end_part(self.attributed);
        }
    }

    /// Ends the part being filled before `at`.
    pub(super) fn end_part(&mut self, at: u64) {
        self.attribute(at);
        self.pieces.push_back(Piece::PartEnd {
            part: PartIndex(self.part),
            length: self.part_length,
            records: self.part_records,
        });
        self.part += 1;
        self.limit = self.boundaries.end_of(self.part);
        self.part_length = 0;
        self.part_records = 0;
    }

    /// Adds bytes that no source has to the part being filled.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.part_length += bytes.len() as u64;
        let part = PartIndex(self.part);
        self.pieces.push_back(Piece::Literal { part, bytes: bytes.to_vec() });
    }

    pub(super) fn finish(&mut self) {
        self.skip_to(self.boundaries.parts());
    }
}
