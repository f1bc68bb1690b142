//! Why sources cannot be split, with the place and HPCC's number.

use crate::encoding::InvalidText;
use std::num::NonZeroU32;
use thiserror::Error;

/// Why sources cannot be split as asked. `source_index` counts from 0 (texts from 1), offsets are
/// in bytes from the start of that source.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum SplitError {
    /// The source is no whole number of fixed records: the wrong record length, or a file cut off.
    #[error(
        "source {} ends inside a record: length {length} is no multiple of {record_bytes}",
        source_index + 1
    )]
    PartialRecord {
        /// The source.
        source_index: usize,
        /// Its length in bytes.
        length: u64,
        /// Length of a record in bytes.
        record_bytes: u32,
    },
    /// The text is no whole number of code units: another encoding, or a file cut off.
    #[error(
        "source {} ends inside a character: {length} bytes of text are no multiple of {unit_bytes}",
        source_index + 1
    )]
    PartialUnit {
        /// The source.
        source_index: usize,
        /// Length of its text in bytes, without a byte order mark.
        length: u64,
        /// Bytes of a code unit.
        unit_bytes: u8,
    },
    /// The text is not what its encoding allows.
    #[error("source {} at offset {offset}: {what}", source_index + 1)]
    InvalidText {
        /// The source.
        source_index: usize,
        /// Where the first wrong byte is.
        offset: u64,
        /// The rule it breaks.
        what: String,
    },
    /// A record, block or document breaks a rule of its format.
    #[error("source {} at offset {offset}: {rule}", source_index + 1)]
    Malformed {
        /// The source.
        source_index: usize,
        /// Where.
        offset: u64,
        /// The rule.
        rule: Rule,
    },
    /// What stands before the first or after the last record is not what was said: the caller
    /// found it another way, and finds it exactly with [`super::super::probe`].
    #[error(
        "source {} has its last record end at offset {offset}, not where it was looked for",
        source_index + 1
    )]
    FooterElsewhere {
        /// The source.
        source_index: usize,
        /// Where its last record ends, if that is known.
        offset: u64,
    },
    /// The format cannot be written as asked.
    #[error("{from} cannot be stored as {to}")]
    NoConversion {
        /// Name of the format or encoding of the sources.
        from: &'static str,
        /// What was asked for.
        to: &'static str,
        /// HPCC's number.
        number: u16,
    },
    /// The delimiters hold too many characters outside ASCII for text of wide characters.
    #[error("delimiters hold more than 127 different characters outside ASCII")]
    TooManyCharacters,
    /// Whole sources cannot fill more parts than there are sources.
    #[error("{sources} whole sources cannot fill {parts} parts")]
    FewerSources {
        /// Sources given.
        sources: usize,
        /// Parts wanted.
        parts: u32,
    },
    /// The lengths of all sources reach 2^64 - 1.
    #[error("sources have 2^64 - 1 bytes or more in all")]
    TotalTooLong,
    /// A record, with its terminator, is longer than the format allows.
    #[error(
        "source {} at offset {offset}: record is longer than {max_record} bytes{}",
        source_index + 1,
        open_quote(*quote)
    )]
    RecordTooLong {
        /// The source.
        source_index: usize,
        /// Where the record starts.
        offset: u64,
        /// The limit in bytes.
        max_record: u32,
        /// Where a quote was opened that was still open at the limit: often the real mistake.
        quote: Option<u64>,
        /// HPCC's number for the format.
        number: u16,
    },
    /// The source ends inside quotes.
    #[error("source {} at offset {offset}: quote is never closed", source_index + 1)]
    UnterminatedQuote {
        /// The source.
        source_index: usize,
        /// Where the quote was opened.
        offset: u64,
    },
    /// The record at a split point holds two quotes in the middle of fields: separator or quote do
    /// not fit the data, so what looks like the record's end may lie inside a field.
    #[error(
        "source {} at offset {offset}: quote in the middle of a field, separator or quote do not \
         fit the data",
        source_index + 1
    )]
    InconsistentQuote {
        /// The source.
        source_index: usize,
        /// Where the second such quote is.
        offset: u64,
    },
    /// The source has no final terminator and adding one would not end its last record, because
    /// it ends in an escape or in half a delimiter.
    #[error(
        "source {} at offset {offset}: last record has no terminator and none can be added",
        source_index + 1
    )]
    CannotMend {
        /// The source.
        source_index: usize,
        /// Its length.
        offset: u64,
    },
    /// More bytes than announced: the source was changed while it was read.
    #[error("source {} is longer than the {length} bytes announced", source_index + 1)]
    SourceGrew {
        /// The source.
        source_index: usize,
        /// Its announced length in bytes.
        length: u64,
    },
    /// Fewer bytes than announced: the source was changed while it was read.
    #[error("source {} ends after {read} of {length} bytes announced", source_index + 1)]
    SourceShrank {
        /// The source.
        source_index: usize,
        /// Its announced length in bytes.
        length: u64,
        /// Bytes it had.
        read: u64,
    },
    /// The caller ended more sources than it announced.
    #[error("no source is left to end")]
    NoSourceLeft,
    /// The caller finished too early.
    #[error("only {ended} of {sources} sources have ended")]
    SourcesLeft {
        /// Sources ended.
        ended: usize,
        /// Sources announced.
        sources: usize,
    },
}

impl SplitError {
    /// HPCC's number for this cause, where it has one.
    pub fn hpcc_number(&self) -> Option<u16> {
        match self {
            Self::PartialRecord { .. } => Some(8078),
            Self::FewerSources { .. } => Some(8067),
            Self::RecordTooLong { number, .. } => Some(*number),
            Self::InconsistentQuote { .. } => Some(8118),
            Self::PartialUnit { .. } => Some(8079),
            Self::Malformed { rule, .. } => rule.hpcc_number(),
            Self::NoConversion { number, .. } => Some(*number),
            _ => None,
        }
    }

    /// The source, from 0, and the offset in it that a person should look at.
    pub fn location(&self) -> Option<(usize, u64)> {
        match *self {
            Self::RecordTooLong { source_index, offset, .. }
            | Self::UnterminatedQuote { source_index, offset }
            | Self::InconsistentQuote { source_index, offset }
            | Self::CannotMend { source_index, offset }
            | Self::InvalidText { source_index, offset, .. }
            | Self::Malformed { source_index, offset, .. }
            | Self::FooterElsewhere { source_index, offset } => Some((source_index, offset)),
            Self::PartialUnit { source_index, length, unit_bytes } => {
                Some((source_index, length - length % u64::from(unit_bytes)))
            }
            Self::PartialRecord { source_index, length, record_bytes } => {
                Some((source_index, length - length % u64::from(record_bytes)))
            }
            Self::SourceGrew { source_index, length } => Some((source_index, length)),
            Self::SourceShrank { source_index, read, .. } => Some((source_index, read)),
            _ => None,
        }
    }
}

fn open_quote(quote: Option<u64>) -> String {
    quote.map_or_else(String::new, |offset| format!(", a quote opened at offset {offset} is open"))
}

/// A rule of a format that data break, for people.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum Rule {
    /// A length-prefixed record, or a block of them, is cut off by the end of the source.
    #[error("the last record is cut off by the end of the file")]
    RecordCutOff,
    /// A record descriptor word is none.
    #[error(
        "record descriptor word is wrong, expected a length of 4 or more in 2 bytes and 2 zero bytes"
    )]
    RecordDescriptor,
    /// A block descriptor word is none.
    #[error(
        "block descriptor word is wrong, expected a length of 8 or more, standard or extended form"
    )]
    BlockDescriptor,
    /// A block goes on beyond the end of the source.
    #[error("block is cut off by the end of the file")]
    BlockCutOff,
    /// A record goes on beyond the end of the source, which its descriptor word says.
    #[error("record goes on beyond the end of the file, says its descriptor word")]
    RecordBeyondFile,
    /// A record goes on beyond its block.
    #[error("record goes on beyond the end of its block")]
    RecordBeyondBlock,
    /// A block holds more than it can.
    #[error("block says it holds more than 32764 bytes")]
    BlockTooFull,
    /// No element has the row tag.
    #[error("no row was found: no element has the row tag")]
    NoRowTag,
    /// Nothing is at the row path.
    #[error("no row was found: the row path names no array")]
    NoRowPath,
    /// Markup that is never closed.
    #[error("the document ends inside a row, comment, CDATA section or tag")]
    DocumentCutOff,
    /// An end tag without its start tag.
    #[error("end tag of a row that was not opened")]
    RowNotOpened,
    /// The rows of a JSON document are not separated by commas, or not in one way.
    #[error("expected one comma between every two rows, or blanks alone between all of them")]
    Separator,
    /// Between the rows of a JSON document stands what starts no value.
    #[error("expected a JSON value here")]
    Value,
    /// Something follows a JSON document.
    #[error("something follows the end of the document")]
    BehindDocument,
    /// A source has its rows elsewhere than the sources before it.
    #[error("rows are in an array here and at the root in a source before, or the other way round")]
    MixedRoots,
    /// Brackets that do not match.
    #[error("closing bracket does not match the one that was opened")]
    Bracket,
    /// Values nested too deep.
    #[error("values are nested deeper than 1024")]
    Depth,
}

impl Rule {
    /// HPCC's number for this cause, where it has one.
    pub fn hpcc_number(self) -> Option<u16> {
        match self {
            Self::RecordCutOff => Some(8080),
            Self::RecordDescriptor => Some(8104),
            Self::BlockDescriptor => Some(8105),
            Self::BlockCutOff => Some(8106),
            Self::RecordBeyondBlock | Self::RecordBeyondFile => Some(8107),
            Self::NoRowTag => Some(8098),
            Self::NoRowPath => Some(8109),
            Self::DocumentCutOff => Some(8101),
            Self::BlockTooFull
            | Self::RowNotOpened
            | Self::Separator
            | Self::Value
            | Self::BehindDocument
            | Self::MixedRoots
            | Self::Bracket
            | Self::Depth => None,
        }
    }
}

/// What a scanner found; offsets are in code units of the stream of all sources.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fault {
    TooLong {
        record_start: u64,
        max_record: u32,
        quote: Option<u64>,
    },
    Unterminated {
        quote: u64,
    },
    Inconsistent {
        quote: u64,
    },
    CannotMend {
        end: u64,
    },
    Malformed {
        at: u64,
        rule: Rule,
    },
    /// Records end at `at`, although the source was said to end its records elsewhere.
    FooterElsewhere {
        at: u64,
    },
}

/// Where the stream's offsets are in a source.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) source_index: usize,
    /// Where the source's records start in the stream, in units.
    pub(super) start: u64,
    /// Where they start in the source, in bytes.
    pub(super) front: u64,
    /// Bytes of a unit.
    pub(super) unit: u64,
    /// HPCC's number for a record that is too long.
    pub(super) too_long: u16,
    /// The longest record as it was said, in bytes; no whole number of units perhaps.
    pub(super) max_record: Option<NonZeroU32>,
}

impl Place {
    /// The offset in the source, in bytes.
    pub(super) fn offset(self, at: u64) -> u64 {
        at.saturating_sub(self.start) * self.unit + self.front
    }
}

impl Fault {
    pub(super) fn in_source(self, place: Place) -> SplitError {
        let source_index = place.source_index;
        let offset = |at| place.offset(at);
        match self {
            Self::TooLong { record_start, max_record, quote } => SplitError::RecordTooLong {
                source_index,
                offset: offset(record_start),
                max_record: place.max_record.map_or(max_record, NonZeroU32::get),
                quote: quote.map(offset),
                number: place.too_long,
            },
            Self::Unterminated { quote } => {
                SplitError::UnterminatedQuote { source_index, offset: offset(quote) }
            }
            Self::Inconsistent { quote } => {
                SplitError::InconsistentQuote { source_index, offset: offset(quote) }
            }
            Self::CannotMend { end } => {
                SplitError::CannotMend { source_index, offset: offset(end) }
            }
            Self::Malformed { at, rule } => {
                SplitError::Malformed { source_index, offset: offset(at), rule }
            }
            Self::FooterElsewhere { at } => {
                SplitError::FooterElsewhere { source_index, offset: offset(at) }
            }
        }
    }
}

/// What a rewriter found; the offset counts from the first byte it was ever given.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum RewriteFault {
    Text(InvalidText),
    Malformed { at: u64, rule: Rule },
}

impl From<InvalidText> for RewriteFault {
    fn from(text: InvalidText) -> Self {
        Self::Text(text)
    }
}

impl RewriteFault {
    pub(super) fn offset(&self) -> u64 {
        match self {
            Self::Text(text) => text.offset,
            Self::Malformed { at, .. } => *at,
        }
    }

    pub(super) fn in_source(self, source_index: usize, offset: u64) -> SplitError {
        match self {
            Self::Text(text) => {
                SplitError::InvalidText { source_index, offset, what: text.fault.to_string() }
            }
            Self::Malformed { rule, .. } => SplitError::Malformed { source_index, offset, rule },
        }
    }
}
