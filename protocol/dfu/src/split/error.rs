//! Why sources cannot be split, with the place and HPCC's number.

use skyspray_wire::ids::PartIndex;
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
    /// The checkpoint was made for other sources or parts.
    #[error(
        "checkpoint at source {}, offset {offset}, part {part} lies outside this split",
        source_index + 1
    )]
    ForeignCheckpoint {
        /// The checkpoint's source.
        source_index: usize,
        /// Its offset in that source.
        offset: u64,
        /// Its part.
        part: PartIndex,
    },
}

impl SplitError {
    /// HPCC's number for this cause, where it has one.
    pub fn hpcc_number(&self) -> Option<u16> {
        match self {
            Self::PartialRecord { .. } => Some(8078),
            Self::FewerSources { .. } => Some(8067),
            Self::RecordTooLong { .. } => Some(8102),
            Self::InconsistentQuote { .. } => Some(8118),
            _ => None,
        }
    }

    /// The source, from 0, and the offset in it that a person should look at.
    pub fn location(&self) -> Option<(usize, u64)> {
        match *self {
            Self::RecordTooLong { source_index, offset, .. }
            | Self::UnterminatedQuote { source_index, offset }
            | Self::InconsistentQuote { source_index, offset }
            | Self::CannotMend { source_index, offset } => Some((source_index, offset)),
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

/// What a scanner found; offsets are in the stream of all sources.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fault {
    TooLong { record_start: u64, max_record: u32, quote: Option<u64> },
    Unterminated { quote: u64 },
    Inconsistent { quote: u64 },
    CannotMend { end: u64 },
}

impl Fault {
    pub(super) fn in_source(self, source_index: usize, start: u64) -> SplitError {
        match self {
            Self::TooLong { record_start, max_record, quote } => SplitError::RecordTooLong {
                source_index,
                offset: record_start - start,
                max_record,
                quote: quote.map(|quote| quote - start),
            },
            Self::Unterminated { quote } => {
                SplitError::UnterminatedQuote { source_index, offset: quote - start }
            }
            Self::Inconsistent { quote } => {
                SplitError::InconsistentQuote { source_index, offset: quote - start }
            }
            Self::CannotMend { end } => {
                SplitError::CannotMend { source_index, offset: end - start }
            }
        }
    }
}
