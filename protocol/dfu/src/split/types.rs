//! What a splitter is told and what it says.

use crate::encoding::{Encoding, OnInvalid};
use crate::format::{ByteOrder, RecordFormat, VARIABLE_RECORD_DEFAULT};
use serde::{Deserialize, Serialize};
use skyspray_wire::ids::PartIndex;
use std::num::NonZeroU32;
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
    /// Bytes that are not in the block last pushed: rewritten, added, or held back from an
    /// earlier block.
    Literal {
        /// The part they belong to.
        part: PartIndex,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Where a run of the part came from. Said once the run is over, before the part's end.
    Origin(Origin),
    /// The part is complete. Said once for every part, in part order.
    PartEnd {
        /// The part.
        part: PartIndex,
        /// Its length in bytes.
        length: u64,
        /// Records in it.
        records: u64,
        /// Bytes at its start that are a document's header, or a byte order mark.
        header: u32,
        /// Bytes at its end that are a document's footer.
        footer: u32,
    },
}

/// A run of a part that came from one place of one source, before any rewriting.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Origin {
    /// The part.
    pub part: PartIndex,
    /// Where the run starts in the part, in bytes as stored.
    pub part_offset: u64,
    /// The source, from 0.
    pub source_index: usize,
    /// Where the run starts in the source, in bytes.
    pub source_offset: u64,
    /// Its length in the source, in bytes.
    pub length: u64,
}

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
    /// Where parts of about equal length would end is said ([`Piece::Origin`]); everything goes
    /// into one part, as it is.
    SplitPoints,
}

impl Layout {
    /// HPCC's choice when the user made none: one source per part where the numbers are equal.
    pub fn implied(sources: usize, parts: NonZeroU32) -> Self {
        if sources as u64 == u64::from(parts.get()) { Self::WholeSources } else { Self::Balanced }
    }
}

/// How records are stored.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum Target {
    /// As they are; recfm and big-endian lengths become [`RecordFormat::Variable`], as in HPCC.
    #[default]
    Native,
    /// Text as UTF-8.
    Utf8,
    /// Text as UTF-8, every part with a byte order mark.
    Utf8WithMark,
    /// Fixed records after their length, as [`RecordFormat::Variable`].
    Variable,
}

/// How sources become parts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SplitOptions {
    /// Parts to make; some may stay empty.
    pub parts: NonZeroU32,
    /// How they are cut.
    pub layout: Layout,
    /// What happens between delimited sources.
    pub join: Join,
    /// How records are stored.
    pub target: Target,
    /// What happens to text that is not what its encoding allows; looked at only where it is
    /// converted.
    pub on_invalid: OnInvalid,
}

impl SplitOptions {
    /// `parts` parts of about equal length, records as they are.
    pub fn new(parts: NonZeroU32) -> Self {
        Self {
            parts,
            layout: Layout::default(),
            join: Join::default(),
            target: Target::default(),
            on_invalid: OnInvalid::default(),
        }
    }

    /// What the parts of a `format` hold.
    pub fn stored_format(&self, format: &RecordFormat) -> RecordFormat {
        let variable = |max_record| RecordFormat::Variable { order: ByteOrder::Little, max_record };
        match format {
            RecordFormat::Variable { max_record, .. } => variable(*max_record),
            RecordFormat::RecfmV | RecordFormat::RecfmVb => variable(VARIABLE_RECORD_DEFAULT),
            RecordFormat::Fixed { .. } if self.target == Target::Variable => {
                variable(VARIABLE_RECORD_DEFAULT)
            }
            _ if matches!(self.target, Target::Utf8 | Target::Utf8WithMark) => {
                format.clone().with_encoding(Encoding::Utf8)
            }
            _ => format.clone(),
        }
    }
}

/// A source, as far as it must be known before its first byte.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Source {
    /// Its length in bytes, everything included.
    pub length: u64,
    /// Bytes of a byte order mark at its start. They are in no part.
    pub mark: u8,
    /// What stands before the first row of a document, after the mark. Every part starts with it.
    pub header: Vec<u8>,
    /// What stands after the last row of a document. Every part ends with it.
    pub footer: Vec<u8>,
    /// Written before the source's bytes, as the name and length of a blob.
    pub prefix: Vec<u8>,
}

impl Source {
    /// A source with nothing around its records.
    pub fn plain(length: u64) -> Self {
        Self { length, ..Self::default() }
    }

    /// Where its records start, in bytes.
    pub(super) fn front(&self) -> u64 {
        u64::from(self.mark) + self.header.len() as u64
    }

    /// Bytes of its records.
    pub(super) fn body(&self) -> u64 {
        self.length.saturating_sub(self.front() + self.footer.len() as u64)
    }
}
