//! Splitting: which bytes of the sources belong to which part, in one pass and without look-ahead.
//!
//! Sans-IO: [`Splitter`] is fed blocks in source order and answers with [`Piece`]s. The sources are
//! one stream; the ideal end of part k of N is at `k * (total / N)`, and the last part takes the rest.

mod boundaries;
mod error;
mod fixed;
mod ledger;
mod lines;
mod masks;
mod tokens;

pub use error::SplitError;
pub use ledger::Piece;

use crate::format::{CsvFormat, RecordFormat};
use boundaries::Boundaries;
use error::Fault;
use fixed::Fixed;
use ledger::Ledger;
use lines::Lines;
use serde::{Deserialize, Serialize};
use skyspray_wire::ids::PartIndex;
use std::num::NonZeroU32;
use tokens::Tokens;

/// What happens where a delimited source without a final terminator is followed by another source.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum Join {
    /// The terminator last seen (the format's first, if none) is added, so no two records merge.
    #[default]
    Mend,
    /// Nothing is added, as HPCC does: concatenated, the two records become one.
    Verbatim,
}

/// How parts are cut.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum Layout {
    /// Parts of about equal length.
    #[default]
    Balanced,
    /// Whole sources, spread over the parts in order; as many sources as parts is one each.
    WholeSources,
}

impl Layout {
    /// HPCC's choice when the user made none: one source per part where the numbers are equal.
    pub fn implied(sources: usize, parts: NonZeroU32) -> Self {
        if sources as u64 == u64::from(parts.get()) { Self::WholeSources } else { Self::Balanced }
    }
}

/// How sources become parts.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SplitOptions {
    /// Parts to make; some may stay empty.
    pub parts: NonZeroU32,
    /// How they are cut.
    pub layout: Layout,
    /// What happens between delimited sources.
    pub join: Join,
}

/// The state at the start of the record in progress: all that is needed to go on from there.
///
/// Stored by the edge; fields are only ever added at the end.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Checkpoint {
    /// Source the record is in, from 0; the number of sources when all are done.
    pub source_index: usize,
    /// Where the record starts in that source, in bytes. Reading goes on here.
    pub source_offset: u64,
    /// Part the record belongs to.
    pub part: PartIndex,
    /// Where the record starts in that part, in bytes. Whatever came after it comes again.
    pub part_offset: u64,
    /// Records before it in that part.
    pub part_records: u64,
    /// Which of the format's terminators was seen last; it mends sources.
    pub terminator: u8,
}

/// Says which bytes belong to which part.
///
/// For each source in order: [`push`](Self::push) its blocks, of any length, draining
/// [`poll`](Self::poll) after each, then [`end_source`](Self::end_source); at last
/// [`finish`](Self::finish). Memory does not grow with the input or with the length of a record. After
/// an error the splitter is of no use.
#[derive(Debug)]
pub struct Splitter {
    lengths: Vec<u64>,
    /// One past the last source that is not empty.
    sources_filled: usize,
    options: SplitOptions,
    scanner: Scanner,
    ledger: Ledger,
    source_index: usize,
    source_offset: u64,
    /// Where the current source starts in the stream of all sources.
    source_start: u64,
}

impl Splitter {
    /// Starts at the first source. `source_lengths` are in bytes; empty sources are allowed.
    ///
    /// # Errors
    ///
    /// A source that is no whole number of fixed records, or more parts than whole sources: the
    /// user's choice of options does not fit the sources.
    pub fn try_new(
        format: &RecordFormat,
        source_lengths: &[u64],
        options: SplitOptions,
    ) -> Result<Self, SplitError> {
        let total = source_lengths
            .iter()
            .try_fold(0u64, |sum, &length| sum.checked_add(length))
            .filter(|&total| total < u64::MAX)
            .ok_or(SplitError::TotalTooLong)?;
        let parts = options.parts.get();
        if options.layout == Layout::WholeSources && source_lengths.len() < parts as usize {
            return Err(SplitError::FewerSources { sources: source_lengths.len(), parts });
        }
        let boundaries = match options.layout {
            Layout::Balanced => Boundaries::balanced(total, options.parts),
            Layout::WholeSources => Boundaries::none(options.parts),
        };
        Ok(Self {
            lengths: source_lengths.to_vec(),
            sources_filled: source_lengths.iter().rposition(|&l| l > 0).map_or(0, |last| last + 1),
            options,
            scanner: Scanner::try_new(format, source_lengths)?,
            ledger: Ledger::new(boundaries),
            source_index: 0,
            source_offset: 0,
            source_start: 0,
        })
    }

    /// Goes on from a checkpoint, as if everything before it had been pushed. The format, lengths
    /// and options must be those of the splitter that made it.
    ///
    /// # Errors
    ///
    /// As for [`Splitter::try_new`], and a checkpoint that lies outside the sources or parts,
    /// or that another format made.
    pub fn resume(
        format: &RecordFormat,
        source_lengths: &[u64],
        options: SplitOptions,
        checkpoint: &Checkpoint,
    ) -> Result<Self, SplitError> {
        let mut splitter = Self::try_new(format, source_lengths, options)?;
        let &Checkpoint { source_index, source_offset, part, .. } = checkpoint;
        let length = match source_index.cmp(&source_lengths.len()) {
            std::cmp::Ordering::Less => Some(source_lengths[source_index]),
            std::cmp::Ordering::Equal => Some(0),
            std::cmp::Ordering::Greater => None,
        };
        let fits = length.is_some_and(|length| source_offset <= length)
            && part.0 < options.parts.get()
            && splitter.scanner.accepts(checkpoint);
        if !fits {
            return Err(SplitError::ForeignCheckpoint {
                source_index,
                offset: source_offset,
                part,
            });
        }
        splitter.source_index = source_index;
        splitter.source_offset = source_offset;
        splitter.source_start = source_lengths[..source_index].iter().sum();
        splitter.ledger.resume(splitter.source_start + source_offset, checkpoint);
        Ok(splitter)
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
        let length = self.lengths.get(source_index).copied().unwrap_or(0);
        if block.len() as u64 > length - self.source_offset {
            return Err(SplitError::SourceGrew { source_index, length });
        }
        let base = self.source_start + self.source_offset;
        self.ledger.begin_block(base);
        if self.source_offset == 0 {
            self.begin_source();
        }
        let source_end = self.source_start + length;
        match &mut self.scanner {
            Scanner::Fixed(fixed) => {
                fixed.scan(
                    base + block.len() as u64,
                    self.source_start..source_end,
                    &mut self.ledger,
                );
                Ok(())
            }
            Scanner::Lines(lines) => lines.scan(block, base, &mut self.ledger),
            Scanner::Tokens(tokens) => tokens.scan(block, base, &mut self.ledger),
        }
        .map_err(|fault| self.explain(fault))?;
        self.source_offset += block.len() as u64;
        Ok(())
    }

    /// The next piece, or `None` when everything pushed so far is attributed.
    pub fn poll(&mut self) -> Option<Piece> {
        self.ledger.pieces.pop_front()
    }

    /// States that the current source has no more bytes, and moves on to the next one.
    ///
    /// # Errors
    ///
    /// The source is shorter than announced, or ends inside quotes.
    pub fn end_source(&mut self) -> Result<(), SplitError> {
        let source_index = self.source_index;
        let length = *self.lengths.get(source_index).ok_or(SplitError::NoSourceLeft)?;
        if self.source_offset < length {
            let read = self.source_offset;
            return Err(SplitError::SourceShrank { source_index, length, read });
        }
        if length > 0 {
            let end = self.source_start + length;
            let mend = self.options.join == Join::Mend && source_index + 1 < self.sources_filled;
            self.ledger.begin_block(end);
            match &mut self.scanner {
                Scanner::Fixed(_) => Ok(()),
                Scanner::Lines(lines) => lines.end_source(end, mend, &mut self.ledger),
                Scanner::Tokens(tokens) => tokens.end_source(end, mend, &mut self.ledger),
            }
            .map_err(|fault| self.explain(fault))?;
        }
        self.source_start += length;
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
        if self.source_index < self.lengths.len() {
            return Err(SplitError::SourcesLeft {
                ended: self.source_index,
                sources: self.lengths.len(),
            });
        }
        self.ledger.finish();
        Ok(())
    }

    /// The state at the start of the record in progress. Taken when [`Splitter::poll`] is drained,
    /// everything a resumed splitter will not say again has been said.
    pub fn checkpoint(&self) -> Checkpoint {
        let record_start = match &self.scanner {
            Scanner::Fixed(fixed) => self.source_start + fixed.whole_records(self.source_offset),
            Scanner::Lines(_) | Scanner::Tokens(_) => self.ledger.record_start,
        };
        let part_offset = self.ledger.part_offset(record_start);
        let part_records = match &self.scanner {
            Scanner::Fixed(fixed) => fixed.records(part_offset),
            Scanner::Lines(_) | Scanner::Tokens(_) => self.ledger.part_records,
        };
        Checkpoint {
            source_index: self.source_index,
            source_offset: record_start - self.source_start,
            part: self.ledger.part(),
            part_offset,
            part_records,
            terminator: self.ledger.terminator,
        }
    }

    /// A source always starts with a record, so a part that should end here does.
    fn begin_source(&mut self) {
        match self.options.layout {
            Layout::Balanced => self.ledger.end_parts_due(self.source_start),
            Layout::WholeSources => {
                let sources = self.lengths.len() as u128;
                let spread = u128::from(self.options.parts.get()).min(sources);
                let part = self.source_index as u128 * spread / sources;
                self.ledger.skip_to(u32::try_from(part).expect("less than the number of parts"));
            }
        }
    }

    fn explain(&self, fault: Fault) -> SplitError {
        fault.in_source(self.source_index, self.source_start)
    }
}

/// The one place that chooses how a format is scanned.
#[derive(Debug)]
enum Scanner {
    Fixed(Fixed),
    Lines(Box<Lines>),
    Tokens(Box<Tokens>),
}

impl Scanner {
    fn try_new(format: &RecordFormat, source_lengths: &[u64]) -> Result<Self, SplitError> {
        match format {
            RecordFormat::Fixed { record_bytes } => {
                Fixed::try_new(*record_bytes, source_lengths).map(Self::Fixed)
            }
            RecordFormat::Csv(csv) => Ok(Self::delimited(csv)),
        }
    }

    /// Whether the format could have made the checkpoint.
    fn accepts(&self, checkpoint: &Checkpoint) -> bool {
        let terminator = usize::from(checkpoint.terminator);
        match self {
            Self::Fixed(fixed) => {
                fixed.whole_records(checkpoint.source_offset) == checkpoint.source_offset
            }
            Self::Lines(lines) => terminator < lines.terminator_count(),
            Self::Tokens(tokens) => terminator < tokens.terminator_count(),
        }
    }

    fn delimited(csv: &CsvFormat) -> Self {
        match Lines::for_format(csv) {
            Some(lines) => Self::Lines(Box::new(lines)),
            None => Self::Tokens(Box::new(Tokens::new(csv))),
        }
    }
}

#[cfg(test)]
mod tests;
