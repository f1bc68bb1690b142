//! Record formats as data: how the bytes of a source fall into records.
//!
//! A new format is a variant here, an arm in [`attributes`], an arm in `split::Scanner`, a file
//! under `split/` and an entry in `tests/hpcc_cases.rs`.

pub mod attributes;
pub mod csv;
pub mod list;

pub use csv::{CsvError, CsvFormat, CsvOptions};

use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;

/// How records are delimited.
///
/// Travels in messages and is stored with a logical file: append only, never reorder.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum RecordFormat {
    /// Records of one length, without anything between them (HPCC `fixed`, kind `flat`).
    Fixed {
        /// Length of every record, in bytes.
        record_bytes: NonZeroU32,
    },
    /// Text records that end with a terminator and may hide one in quotes (HPCC `csv`).
    Csv(CsvFormat),
}

impl RecordFormat {
    /// The format a file's name announces: `.csv` and `.tsv` in any case; `None` if it must be said.
    pub fn from_file_name(name: &str) -> Option<Self> {
        let (_, extension) = name.rsplit_once('.')?;
        if extension.eq_ignore_ascii_case("csv") {
            Some(Self::Csv(CsvFormat::default()))
        } else if extension.eq_ignore_ascii_case("tsv") {
            Some(Self::Csv(CsvFormat::tab_separated()))
        } else {
            None
        }
    }

    /// HPCC's name of the format, as in `@format`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Fixed { .. } => "fixed",
            Self::Csv(_) => "csv",
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
