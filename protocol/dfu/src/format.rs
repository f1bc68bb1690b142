//! Record formats as data: how the bytes of a source fall into records.
//!
//! A new format is a variant here, an arm in [`attributes`], an arm in `split::Scanner`, a file
//! under `split/` and an entry in `tests/hpcc_cases.rs`.

pub mod attributes;
pub mod csv;
pub mod documents;
pub mod list;
mod options;

pub use csv::{CsvError, CsvFormat, CsvOptions};
pub use documents::{JsonFormat, JsonLinesFormat, RowError, XmlFormat};
pub use options::{FormatName, FormatOptions, OptionError};

use crate::encoding::Encoding;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;

/// Order of the bytes of a number.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum ByteOrder {
    /// Lowest byte first.
    Little,
    /// Highest byte first.
    Big,
}

/// Longest length-prefixed record accepted when nothing is said, in bytes: 64 MiB. It costs no
/// memory; it finds data of another format early.
pub const VARIABLE_RECORD_DEFAULT: NonZeroU32 =
    NonZeroU32::new(64 * 1024 * 1024).expect("not zero");

/// How records are delimited.
///
/// Kept in journals: append only, never reorder.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum RecordFormat {
    /// Records of one length, without anything between them (HPCC `fixed`, kind `flat`).
    Fixed {
        /// Length of every record, in bytes.
        record_bytes: NonZeroU32,
    },
    /// Text records that end with a terminator and may hide one in quotes (HPCC `csv`, `utf*`).
    Csv(CsvFormat),
    /// Records after a length of four bytes that does not count itself (HPCC `variable`,
    /// `variablebigendian`).
    Variable {
        /// Order of the length's bytes. Parts always have it little.
        order: ByteOrder,
        /// Longest record, in bytes without its length.
        max_record: NonZeroU32,
    },
    /// Blocks of 32768 bytes that hold whole length-prefixed records (HPCC `blocked`).
    Blocked,
    /// IBM RECFM=V: records after a record descriptor word. Parts are [`RecordFormat::Variable`].
    RecfmV,
    /// IBM RECFM=VB: blocks of such records after a block descriptor word, standard or extended.
    /// Parts are [`RecordFormat::Variable`].
    RecfmVb,
    /// Elements of an XML document (HPCC `xml`).
    Xml(XmlFormat),
    /// Items of an array in a JSON document, or documents one after the other (HPCC `json`).
    Json(JsonFormat),
    /// Lines with a JSON document each.
    JsonLines(JsonLinesFormat),
    /// Every source is one record, whatever is in it (HPCC blobs).
    Blob,
}

impl RecordFormat {
    /// The format a file's name announces, by its extension in any case; `None` if it must be said.
    pub fn from_file_name(name: &str) -> Option<Self> {
        let (_, extension) = name.rsplit_once('.')?;
        match extension.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv(CsvFormat::default())),
            "tsv" => Some(Self::Csv(CsvFormat::tab_separated())),
            "jsonl" | "ndjson" => Some(Self::JsonLines(JsonLinesFormat::default())),
            "json" => JsonFormat::try_new("/").ok().map(Self::Json),
            _ => None,
        }
    }

    /// The format's name: HPCC's where it has one.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Fixed { .. } => "fixed",
            Self::Csv(_) => "csv",
            Self::Variable { order: ByteOrder::Little, .. } => "variable",
            Self::Variable { order: ByteOrder::Big, .. } => "variablebigendian",
            Self::Blocked => "blocked",
            Self::RecfmV => "recfmv",
            Self::RecfmVb => "recfmvb",
            Self::Xml(_) => "xml",
            Self::Json(_) => "json",
            Self::JsonLines(_) => "jsonl",
            Self::Blob => "blob",
        }
    }

    /// How text is stored; [`Encoding::Ascii`] where bytes are not text, or any.
    pub fn encoding(&self) -> Encoding {
        match self {
            Self::Csv(csv) => csv.options().encoding,
            Self::Xml(xml) => xml.encoding,
            Self::Json(json) => json.encoding,
            Self::JsonLines(lines) => lines.encoding,
            _ => Encoding::Ascii,
        }
    }

    /// The same format with text stored as `encoding`; unchanged where bytes are not text.
    #[must_use]
    pub fn with_encoding(mut self, encoding: Encoding) -> Self {
        match &mut self {
            Self::Csv(csv) => csv.set_encoding(encoding),
            Self::Xml(xml) => xml.encoding = encoding,
            Self::Json(json) => json.encoding = encoding,
            Self::JsonLines(lines) => lines.encoding = encoding,
            _ => {}
        }
        self
    }

    /// The longest record, in bytes, where there is a limit.
    pub fn max_record(&self) -> Option<NonZeroU32> {
        match self {
            Self::Csv(csv) => Some(csv.options().max_record),
            Self::Variable { max_record, .. } => Some(*max_record),
            Self::Xml(xml) => Some(xml.max_record),
            Self::Json(json) => Some(json.max_record),
            Self::JsonLines(lines) => Some(lines.max_record),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_announces_csv_and_tsv_and_nothing_else() {
        let csv = RecordFormat::Csv(CsvFormat::default());

        assert_eq!(RecordFormat::from_file_name("a.b.CSV"), Some(csv));
        let Some(RecordFormat::Csv(tsv)) = RecordFormat::from_file_name("x.tsv") else {
            panic!("x.tsv announces a delimited file");
        };
        assert_eq!(tsv.options().separators, [b"\t"]);
        assert_eq!(RecordFormat::from_file_name("csv"), None);
        assert_eq!(RecordFormat::from_file_name("a.dat"), None);
    }
}
