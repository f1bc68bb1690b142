//! Which part every byte of the stream belongs to. Scanners report where records end; offsets are
//! in code units of the stream of all sources, without what is in no part.

use super::boundaries::Boundaries;
use skyspray_wire::ids::PartIndex;
use std::collections::VecDeque;

/// Which part gets the record an ideal boundary lies in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Spanning {
    /// The part before the boundary: it ends with the first record that ends beyond it.
    Earlier,
    /// The part after the boundary: the one before ends with the last record that ends at or
    /// before it. A record's end is known only once it was read, so the record that may have to
    /// move is held back; `record_max` units bound that.
    Later { record_max: u64 },
}

/// What becomes of the stream, in order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Entry {
    /// The stream from one offset to another belongs to the part being filled.
    Run { from: u64, to: u64 },
    /// The stream from one offset to another separates records; it is in no part.
    Gap { from: u64, to: u64 },
    /// Bytes no source has, as the scanner sees text, belong to the part being filled.
    Added { bytes: Vec<u8> },
    /// The part being filled is complete, with this many records; where all parts are one, with
    /// those before.
    PartEnd { part: PartIndex, records: u64 },
}

#[derive(Debug)]
pub(super) struct Ledger {
    boundaries: Boundaries,
    spanning: Spanning,
    /// The part being filled; the number of parts when all have ended.
    part: u32,
    /// The end of the part being filled if records did not matter, or where the search for a
    /// record's end was told to begin.
    pub(super) limit: u64,
    /// The end of the part being filled if records did not matter.
    ideal: u64,
    /// Ideal boundaries not passed yet, in order, and for each where the search was told to begin.
    searches: VecDeque<(u64, u64)>,
    /// All parts are one: only where others would end is of interest.
    is_one: bool,
    /// Where the part being filled starts.
    pub(super) part_start: u64,
    /// Records that have ended in the part being filled.
    pub(super) part_records: u64,
    /// Where the record in progress starts.
    pub(super) record_start: u64,
    /// Index of the terminator last seen.
    pub(super) terminator: u8,
    /// Quotes in the middle of fields since the ideal end, in the record in progress.
    strays: u8,
    /// Everything before this offset is in an entry.
    attributed: u64,
    entries: VecDeque<Entry>,
}

impl Ledger {
    pub(super) fn new(boundaries: Boundaries, spanning: Spanning) -> Self {
        Self {
            boundaries,
            spanning,
            part: 0,
            limit: boundaries.end_of(0),
            ideal: boundaries.end_of(0),
            searches: VecDeque::new(),
            is_one: false,
            part_start: 0,
            part_records: 0,
            record_start: 0,
            terminator: 0,
            strays: 0,
            attributed: 0,
            entries: VecDeque::new(),
        }
    }

    /// All parts are one, in which records follow each other whatever ends between them.
    pub(super) fn in_one(self) -> Self {
        Self { is_one: true, ..self }
    }

    /// The next entry.
    pub(super) fn poll(&mut self) -> Option<Entry> {
        self.entries.pop_front()
    }

    /// Everything before this offset is in an entry.
    pub(super) fn attributed(&self) -> u64 {
        self.attributed
    }

    /// The first ideal boundary after `at`.
    pub(super) fn boundary_after(&self, at: u64) -> u64 {
        self.boundaries.next_after(at, self.part)
    }

    /// Whether `at` is an ideal boundary where a part may have to end, and nobody has said yet
    /// where the search begins. Where the scanner holds bytes back, a record in them may still
    /// end the part before.
    pub(super) fn is_undecided_at(&self, at: u64) -> bool {
        let holds_back = self.attributed < at && self.limit < at;
        let due = self.ideal == at || (holds_back && self.boundary_after(at - 1) == at);
        due && self.searches.back().is_none_or(|&(ideal, _)| ideal < at)
    }

    /// The part that should end at `ideal` ends with the first record that ends beyond `limit`.
    pub(super) fn decide(&mut self, ideal: u64, limit: u64) {
        self.searches.push_back((ideal, limit));
        if ideal == self.ideal {
            self.limit = limit;
        }
    }

    /// Everything before `to` was looked at. It belongs to the part being filled, as far as no
    /// record in progress may have to move.
    pub(super) fn scanned(&mut self, to: u64) {
        match self.spanning {
            Spanning::Later { record_max }
                if self.limit < self.record_start.saturating_add(record_max) =>
            {
                self.attribute(self.record_start);
            }
            _ => self.attribute(to),
        }
    }

    /// Gives everything before `to` to the part being filled.
    pub(super) fn attribute(&mut self, to: u64) {
        if to <= self.attributed {
            return;
        }
        match self.entries.back_mut() {
            Some(Entry::Run { to: before, .. }) => *before = to,
            _ => self.entries.push_back(Entry::Run { from: self.attributed, to }),
        }
        self.attributed = to;
    }

    /// Everything not yet attributed before `to` is in no part.
    pub(super) fn drop_to(&mut self, to: u64) {
        if to > self.attributed {
            self.entries.push_back(Entry::Gap { from: self.attributed, to });
            self.attributed = to;
        }
    }

    /// One record ends before `end`.
    pub(super) fn end_record(&mut self, end: u64) {
        match self.spanning {
            Spanning::Earlier => {
                self.end_records(1, end);
                if end > self.limit {
                    self.end_part(end);
                    self.end_parts_due(end);
                }
            }
            Spanning::Later { .. } => {
                self.begin_record(self.record_start, end);
                self.end_records(1, end);
            }
        }
    }

    /// `count` records end, the last one before `end`, which is not beyond the limit.
    pub(super) fn end_records(&mut self, count: u64, end: u64) {
        self.part_records += count;
        self.record_start = end;
        self.strays = 0;
    }

    /// A record is known to lie from `start` to `end`: a part that should end inside it ends
    /// before it.
    pub(super) fn begin_record(&mut self, start: u64, end: u64) {
        while self.limit < end {
            self.end_part(start);
        }
    }

    /// A record ends before `end`, and what closes it begins at `close`: every part that should
    /// end at or before `close` ends with it.
    pub(super) fn end_element(&mut self, close: u64, end: u64) {
        self.end_records(1, end);
        while self.limit <= close {
            self.end_part(end);
        }
    }

    /// Notes a quote in the middle of a field. `true` if the record decides a split and this is
    /// not the first such quote in it since the ideal boundary.
    pub(super) fn is_inconsistent(&mut self, quote: u64) -> bool {
        if quote >= self.ideal {
            self.strays = self.strays.saturating_add(1);
        }
        self.strays >= 2 && quote >= self.limit
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
        self.entries
            .push_back(Entry::PartEnd { part: PartIndex(self.part), records: self.part_records });
        self.part += 1;
        self.ideal = self.boundaries.end_of(self.part);
        while self.searches.front().is_some_and(|&(ideal, _)| ideal < self.ideal) {
            self.searches.pop_front();
        }
        // A boundary that was passed already needs no search.
        self.limit = match self.searches.front() {
            Some(&(ideal, limit)) if ideal == self.ideal && at < ideal => limit,
            _ => self.ideal,
        };
        if !self.is_one {
            self.part_start = at;
            self.part_records = 0;
        }
    }

    /// Adds bytes that no source has to the part being filled.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.entries.push_back(Entry::Added { bytes: bytes.to_vec() });
    }

    /// The record in progress ends at `end`, the end of a source, without its terminator, which is
    /// added. Under [`Spanning::Later`] it moves to the next part first, if it has to.
    pub(super) fn mend(&mut self, end: u64, terminator: &[u8]) {
        if let Spanning::Later { .. } = self.spanning {
            self.begin_record(self.record_start, end);
        }
        self.attribute(end);
        self.add(terminator);
    }

    pub(super) fn finish(&mut self) {
        self.skip_to(self.boundaries.parts());
    }
}
