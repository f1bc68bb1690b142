//! Splitting: which bytes of the sources belong to which part, in one pass and without look-ahead.
//!
//! Sans-IO: [`Splitter`] is fed blocks in source order and answers with [`Piece`]s. The records of
//! all sources are one stream; the ideal end of part k of N is at `k * (total / N)`, and the last
//! part takes the rest. Which part gets the record at that end is the format's rule:
//!
//! | format | the record an ideal end lies in goes to |
//! |---|---|
//! | fixed, blocked, variable, recfmv, recfmvb, text that is declared UTF and stays as it is | the later part |
//! | csv, text that is converted, JSON lines | the earlier part |
//! | xml | the earlier part, unless the end lies in its closing tag: then the row after it too |
//! | json | the part before the first row that starts at or after the end |
//!
//! ```text
//! block ─► trim (mark, header, footer) ─► narrow ─► Scan ─► Ledger ─► Shaper ─► Piece
//!                                       (one byte   (where   (which    (rewritten, with
//!                                        a unit)    records   part)     header and footer)
//!                                                   end)
//! ```

mod blocked;
mod boundaries;
mod check;
mod deduction;
mod error;
mod fixed;
mod json;
mod ledger;
mod lengths;
mod lines;
mod masks;
mod narrow;
mod plan;
mod recfm;
mod rewrite;
mod rule;
mod scan;
mod shaper;
mod tokens;
mod types;
mod variable;
mod walk;
mod whole;
mod xml;

pub use error::{Rule, SplitError};
pub use plan::{PlannedPart, Planner};
pub use types::{Join, Layout, Origin, Piece, Source, SplitOptions, Target};

use crate::format::RecordFormat;
use boundaries::Boundaries;
use deduction::Deduction;
use error::{Fault, Place};
pub(crate) use json::Text as JsonText;
use ledger::{Entry, Ledger};
pub(crate) use narrow::Narrow;
use scan::Scan;
use shaper::{Run, Shaper};
use std::num::NonZeroU32;
use std::ops::Range;
pub(crate) use xml::{Edge as XmlEdge, Rows as XmlRows, ends_name as ends_xml_name};

/// Says which bytes belong to which part.
///
/// For each source in order: [`push`](Self::push) its blocks, of any length, draining
/// [`poll`](Self::poll) after each, then [`end_source`](Self::end_source); at last
/// [`finish`](Self::finish). Memory does not grow with the input; the longest record bounds what is
/// held back of it. After an error the splitter is of no use.
#[derive(Debug)]
pub struct Splitter {
    sources: Vec<Source>,
    /// One past the last source that has records.
    sources_filled: usize,
    options: SplitOptions,
    scanner: Box<dyn Scan>,
    deduction: Option<Deduction>,
    ledger: Ledger,
    shaper: Shaper,
    narrow: Narrow,
    narrowed: Vec<u8>,
    too_long: u16,
    /// The longest record as it was said, in bytes.
    max_record: Option<NonZeroU32>,
    source_index: usize,
    source_offset: u64,
    /// Where the records of the current source start in the stream, in units.
    source_start: u64,
    /// Everything before this was pushed, in units of the stream.
    position: u64,
    /// Everything before this was scanned.
    scanned: u64,
    /// What was pushed and is in no piece yet: the bytes before `position`.
    tail: Vec<u8>,
    /// The bytes of a unit whose end was not pushed yet.
    carry: Vec<u8>,
}

impl Splitter {
    /// Starts at the first source. Sources may be empty.
    ///
    /// # Errors
    ///
    /// A source that is no whole number of fixed records or characters, more parts than whole
    /// sources, a target the format has not: the user's options do not fit the sources.
    pub fn try_new(
        format: &RecordFormat,
        sources: Vec<Source>,
        options: SplitOptions,
    ) -> Result<Self, SplitError> {
        let total = sources
            .iter()
            .try_fold(0u64, |sum, source| sum.checked_add(source.length))
            .filter(|&total| total < u64::MAX)
            .ok_or(SplitError::TotalTooLong)?;
        check::options(format, &sources, &options)?;
        check::lengths(format, &sources)?;
        let narrow = Narrow::try_new(format).ok_or(SplitError::TooManyCharacters)?;
        let outside = sources.iter().map(|source| source.length - source.body()).sum::<u64>();
        let body = total - outside;
        let boundaries = match options.layout {
            Layout::WholeSources => Boundaries::none(options.parts),
            _ => Boundaries::balanced(body, options.parts, narrow.width() as u64),
        };
        let converts = options.stored_format(format).encoding() != format.encoding();
        let spanning = rule::spanning(format, converts, &narrow);
        let mark: &[u8] = match options.target {
            Target::Utf8WithMark => b"\xEF\xBB\xBF",
            _ => b"",
        };
        let text = converts.then(|| format.encoding());
        let rewriter = rewrite::rewriter(format, &options);
        let whole = options.layout == Layout::SplitPoints;
        let ledger = Ledger::new(boundaries, spanning);
        let mut shaper = Shaper::new(rewriter, text, mark, whole);
        // Parts that end before the first record are documents too.
        let first = sources.iter().position(|source| source.body() > 0);
        let first = first.or_else(|| sources.iter().position(|source| source.length > 0));
        shaper.begin_source(first.unwrap_or(0));
        Ok(Self {
            sources_filled: sources
                .iter()
                .rposition(|source| source.body() > 0)
                .map_or(0, |i| i + 1),
            scanner: scan::scanner(format, &narrow),
            deduction: rule::deduction(format, converts),
            ledger: if whole { ledger.in_one() } else { ledger },
            shaper,
            narrowed: Vec::new(),
            too_long: rule::too_long_number(format),
            max_record: format.max_record(),
            source_index: 0,
            source_offset: 0,
            source_start: 0,
            position: 0,
            scanned: 0,
            tail: Vec::new(),
            carry: Vec::new(),
            sources,
            options,
            narrow,
        })
    }

    /// Takes the next bytes of the current source. Drain [`Splitter::poll`] afterwards.
    ///
    /// # Errors
    ///
    /// The data break a rule of the format, or the source is longer than announced.
    pub fn push(&mut self, block: &[u8]) -> Result<(), SplitError> {
        if block.is_empty() {
            return Ok(());
        }
        let source_index = self.source_index;
        let (length, front, body) = match self.sources.get(source_index) {
            Some(source) => (source.length, source.front(), source.body()),
            None => (0, 0, 0),
        };
        if block.len() as u64 > length - self.source_offset {
            return Err(SplitError::SourceGrew { source_index, length });
        }
        if self.source_offset == 0 {
            self.begin_source()?;
        }
        let start = self.source_offset;
        let in_block = |offset: u64| {
            let index = offset.saturating_sub(start).min(block.len() as u64);
            usize::try_from(index).expect("within the block")
        };
        let records = in_block(front)..in_block(front + body);
        self.records(block, records.clone())?;
        if records.end < block.len() {
            self.behind_records(&block[records.end..])?;
        }
        self.source_offset += block.len() as u64;
        Ok(())
    }

    /// The next piece, or `None` when everything that can be decided is.
    pub fn poll(&mut self) -> Option<Piece> {
        self.shaper.poll()
    }

    /// States that the current source has no more bytes, and moves on to the next one.
    ///
    /// # Errors
    ///
    /// The source is shorter than announced, or ends inside a record.
    pub fn end_source(&mut self) -> Result<(), SplitError> {
        let source_index = self.source_index;
        let source = self.sources.get(source_index).ok_or(SplitError::NoSourceLeft)?;
        // The prefix is taken when the source begins; one without a byte begins here.
        let (length, body, blob) = (source.length, source.body(), !source.prefix.is_empty());
        let has_footer = !source.footer.is_empty();
        if self.source_offset < length {
            let read = self.source_offset;
            return Err(SplitError::SourceShrank { source_index, length, read });
        }
        let whole = self.options.layout == Layout::WholeSources;
        if self.source_offset == 0 && (blob || whole) {
            self.begin_source()?;
        }
        if body > 0 || blob {
            let end = self.position;
            let mend = self.options.join == Join::Mend && source_index + 1 < self.sources_filled;
            self.scan(&[], true)?;
            if let Some(deduction) = &mut self.deduction {
                deduction.end_source();
            }
            let ended = self.scanner.end_source(end, mend, &mut self.ledger);
            ended.map_err(|fault| self.explain(fault))?;
            self.ledger.attribute(end);
            self.settle(&[], None)?;
        } else if has_footer {
            let ended = self.scanner.end_footer(self.position);
            ended.map_err(|fault| self.explain(fault))?;
        }
        if length > 0 {
            self.shaper.end_source(&self.sources[source_index])?;
        }
        self.source_start = self.position;
        self.source_offset = 0;
        self.source_index += 1;
        Ok(())
    }

    /// Ends the parts that are still open, after the last source. Drain [`Splitter::poll`] again.
    ///
    /// # Errors
    ///
    /// A source was not ended.
    pub fn finish(&mut self) -> Result<(), SplitError> {
        if self.source_index < self.sources.len() {
            return Err(SplitError::SourcesLeft {
                ended: self.source_index,
                sources: self.sources.len(),
            });
        }
        self.ledger.finish();
        self.settle(&[], None)
    }

    /// Illegal sequences of text replaced so far.
    pub fn replaced(&self) -> u64 {
        self.shaper.replaced()
    }

    /// A source always starts with a record, so a part that should end here does.
    fn begin_source(&mut self) -> Result<(), SplitError> {
        let source_index = self.source_index;
        match self.options.layout {
            Layout::Balanced | Layout::SplitPoints => self.ledger.end_parts_due(self.source_start),
            Layout::WholeSources => {
                let sources = self.sources.len() as u128;
                let spread = u128::from(self.options.parts.get()).min(sources);
                let part = source_index as u128 * spread / sources;
                self.ledger.skip_to(u32::try_from(part).expect("less than the number of parts"));
            }
        }
        self.settle(&[], None)?;
        let source = &self.sources[source_index];
        let filled = source.body() > 0 || !source.prefix.is_empty();
        // Without records it says what stands around them only where it is a part of its own.
        let alone = self.options.layout == Layout::WholeSources && !self.shaper.has_begun();
        if filled || alone {
            self.shaper.begin_source(source_index);
        }
        let unit = self.narrow.width() as u64;
        let end = self.source_start + source.body() / unit;
        self.narrow.narrow(self.narrow.behind_mark(&source.header), &mut self.narrowed);
        self.scanner.header(&self.narrowed);
        let begun = self.scanner.begin_source(self.source_start, end, &mut self.ledger);
        begun.map_err(|fault| self.explain(fault))?;
        let prefix = std::mem::take(&mut self.sources[source_index].prefix);
        if !prefix.is_empty() {
            self.shaper.add(&prefix, &self.sources[source_index])?;
        }
        Ok(())
    }

    /// Takes the part of a block that holds records: whole units, and what is left of one.
    fn records(&mut self, block: &[u8], range: Range<usize>) -> Result<(), SplitError> {
        let width = self.narrow.width();
        let mut at = range.start;
        if !self.carry.is_empty() {
            let missing = (width - self.carry.len()).min(range.len());
            self.carry.extend_from_slice(&block[at..at + missing]);
            at += missing;
            if self.carry.len() < width {
                return Ok(());
            }
            let unit = std::mem::take(&mut self.carry);
            self.units(&unit, None)?;
        }
        let whole = (range.end - at) / width * width;
        self.units(&block[at..at + whole], Some(at))?;
        self.carry.extend_from_slice(&block[at + whole..range.end]);
        Ok(())
    }

    /// Takes whole units, which start at `at` in the block if they are in it.
    fn units(&mut self, units: &[u8], at: Option<usize>) -> Result<(), SplitError> {
        if units.is_empty() {
            return Ok(());
        }
        if self.narrow.width() == 1 {
            self.scan(units, false)?;
        } else {
            let mut narrowed = std::mem::take(&mut self.narrowed);
            self.narrow.narrow(units, &mut narrowed);
            let scanned = self.scan(&narrowed, false);
            self.narrowed = narrowed;
            scanned?;
        }
        self.settle(units, at)
    }

    /// Takes what stands behind the records, in whole units.
    fn behind_records(&mut self, block: &[u8]) -> Result<(), SplitError> {
        let width = self.narrow.width();
        let joint = [&std::mem::take(&mut self.carry), block].concat();
        let whole = joint.len() / width * width;
        let mut narrowed = Vec::new();
        self.narrow.narrow(&joint[..whole], &mut narrowed);
        self.scan(&[], true)?;
        let taken = self.scanner.footer(&narrowed, self.position);
        taken.map_err(|fault| self.explain(fault))?;
        self.carry.extend_from_slice(&joint[whole..]);
        self.settle(&[], None)
    }

    /// Scans the next units of the stream; `last` says that no more of this source follow.
    fn scan(&mut self, units: &[u8], last: bool) -> Result<(), SplitError> {
        let Some(mut deduction) = self.deduction.take() else {
            let result = self.scanner.scan(units, self.position, &mut self.ledger);
            self.scanned = self.position + units.len() as u64;
            return result.map_err(|fault| self.explain(fault));
        };
        let result = self.scan_with(&mut deduction, units, last);
        self.deduction = Some(deduction);
        result.map_err(|fault| self.explain(fault))
    }

    /// Scans from one ideal boundary to the next; at each, nothing beyond it is scanned before the
    /// deduction has said where the search for a record's end begins.
    fn scan_with(
        &mut self,
        deduction: &mut Deduction,
        units: &[u8],
        last: bool,
    ) -> Result<(), Fault> {
        let end = self.position + units.len() as u64;
        loop {
            let waiting = usize::try_from(self.position.saturating_sub(self.scanned)).unwrap_or(0);
            let tail = &self.tail[self.tail.len() - waiting..];
            let done = usize::try_from(self.scanned.saturating_sub(self.position)).unwrap_or(0);
            if self.ledger.is_undecided_at(self.scanned) {
                match deduction.look(self.scanned, [tail, &units[done..]], last) {
                    Some(beyond) => self.ledger.decide(self.scanned, self.scanned + beyond),
                    None => return Ok(()),
                }
            }
            if self.scanned == end {
                return Ok(());
            }
            let (bytes, seam) = match waiting {
                0 => (&units[done..], end),
                _ => (tail, self.position),
            };
            let stop = seam.min(self.ledger.boundary_after(self.scanned));
            let count = usize::try_from(stop - self.scanned).expect("within what is in memory");
            self.scanner.scan(&bytes[..count], self.scanned, &mut self.ledger)?;
            self.scanned = stop;
        }
    }

    /// Turns what the ledger decided into pieces. `units` are the units last scanned, which start
    /// at `at` in the block if they are in it; what is not decided of them is kept.
    fn settle(&mut self, units: &[u8], at: Option<usize>) -> Result<(), SplitError> {
        let width = self.narrow.width() as u64;
        let bytes = |count: u64| usize::try_from(count * width).expect("within what is in memory");
        let source_index = self.source_index.min(self.sources.len().saturating_sub(1));
        let nothing = Source::default();
        let source = self.sources.get(source_index).unwrap_or(&nothing);
        let place = self.place();
        let start = self.position;
        let tail_start = start - self.tail.len() as u64 / width;
        while let Some(entry) = self.ledger.poll() {
            let (from, to, kept) = match entry {
                Entry::PartEnd { part, records } => {
                    let last = part.0 + 1 == self.options.parts.get();
                    // A part that ends where a source begins is still of the source before.
                    let of_part = self.sources.get(self.shaper.source_index()).unwrap_or(source);
                    self.shaper.end_part(records, of_part, last)?;
                    continue;
                }
                Entry::Added { bytes } => {
                    self.shaper.add(&self.narrow.widen(&bytes), source)?;
                    continue;
                }
                Entry::Run { from, to } => (from, to, true),
                Entry::Gap { from, to } => (from, to, false),
            };
            let seam = start.clamp(from, to);
            for (from, to) in [(from, seam), (seam, to)] {
                if from == to {
                    continue;
                }
                let run = if to <= start {
                    let range = bytes(from - tail_start)..bytes(to - tail_start);
                    let offset = place.offset(from);
                    Run { bytes: &self.tail[range], in_block: None, source_offset: offset }
                } else {
                    let range = bytes(from - start)..bytes(to - start);
                    let in_block = at.map(|at| range.start + at..range.end + at);
                    let offset = place.offset(from);
                    Run { bytes: &units[range], in_block, source_offset: offset }
                };
                match kept {
                    true => self.shaper.take(run, source)?,
                    false => self.shaper.leave_out(run, source)?,
                }
            }
        }
        self.position = start + units.len() as u64 / width;
        let attributed = self.ledger.attributed();
        let done = bytes(attributed.clamp(tail_start, start) - tail_start);
        self.tail.drain(..done);
        let from = bytes(attributed.clamp(start, self.position) - start);
        self.tail.extend_from_slice(&units[from..]);
        Ok(())
    }

    fn place(&self) -> Place {
        let source = self.sources.get(self.source_index);
        Place {
            source_index: self.source_index,
            start: self.source_start,
            front: source.map_or(0, Source::front),
            unit: self.narrow.width() as u64,
            too_long: self.too_long,
            max_record: self.max_record,
        }
    }

    fn explain(&self, fault: Fault) -> SplitError {
        fault.in_source(self.place())
    }
}

#[cfg(test)]
mod tests;
