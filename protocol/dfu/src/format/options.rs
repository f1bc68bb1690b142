//! From the options people and programs say a format with to the format.
//!
//! The names are those of the command line: `--record-size` there is `record-size` elsewhere.

use super::csv::Role;
use super::documents::DOCUMENT_RECORD_DEFAULT;
use super::{
    ByteOrder, CsvError, CsvFormat, CsvOptions, JsonFormat, JsonLinesFormat, RecordFormat,
    RowError, VARIABLE_RECORD_DEFAULT, XmlFormat,
};
use crate::encoding::DeclaredEncoding;
use std::num::NonZeroU32;
use thiserror::Error;

/// What `--format` names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FormatName {
    /// Records of one length.
    Fixed,
    /// Records after a length of 4 bytes, lowest byte first.
    Variable,
    /// The same, highest byte first.
    VariableBe,
    /// Blocks of 32768 bytes of length-prefixed records.
    Blocked,
    /// IBM RECFM=V.
    Recfmv,
    /// IBM RECFM=VB, standard or extended.
    Recfmvb,
    /// Delimited records.
    Csv,
    /// Elements of an XML document.
    Xml,
    /// Items of an array in a JSON document, or documents one after the other.
    Json,
    /// Lines with a JSON document each.
    Jsonl,
}

impl FormatName {
    /// Every name, in the order they are shown.
    pub const ALL: [Self; 10] = [
        Self::Fixed,
        Self::Variable,
        Self::VariableBe,
        Self::Blocked,
        Self::Recfmv,
        Self::Recfmvb,
        Self::Csv,
        Self::Xml,
        Self::Json,
        Self::Jsonl,
    ];

    /// The name as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Variable => "variable",
            Self::VariableBe => "variable-be",
            Self::Blocked => "blocked",
            Self::Recfmv => "recfmv",
            Self::Recfmvb => "recfmvb",
            Self::Csv => "csv",
            Self::Xml => "xml",
            Self::Json => "json",
            Self::Jsonl => "jsonl",
        }
    }

    /// The format of this name, or of HPCC's name for it.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "variablebigendian" => Some(Self::VariableBe),
            "delimited" => Some(Self::Csv),
            "ndjson" => Some(Self::Jsonl),
            _ => Self::ALL.into_iter().find(|name| name.as_str() == text),
        }
    }

    /// The format a file's name announces, by its extension in any case.
    pub fn of_file(name: &str) -> Option<Self> {
        let (_, extension) = name.rsplit_once('.')?;
        Some(match extension.to_ascii_lowercase().as_str() {
            "csv" | "tsv" => Self::Csv,
            "xml" => Self::Xml,
            "json" => Self::Json,
            "jsonl" | "ndjson" => Self::Jsonl,
            _ => return None,
        })
    }
}

/// What was said of a format; `None` is not said. Lists are in HPCC's syntax.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct FormatOptions {
    /// `--format`.
    pub format: Option<FormatName>,
    /// `--record-size`, in bytes.
    pub record_size: Option<u64>,
    /// `--separator`.
    pub separator: Option<String>,
    /// `--quote`.
    pub quote: Option<String>,
    /// `--terminator`.
    pub terminator: Option<String>,
    /// `--escape`.
    pub escape: Option<String>,
    /// `--row-tag`.
    pub row_tag: Option<String>,
    /// `--row-path`.
    pub row_path: Option<String>,
    /// `--max-record`, in bytes.
    pub max_record: Option<u64>,
    /// `--encoding`. What it means is known once the source was looked at.
    pub encoding: Option<DeclaredEncoding>,
}

/// Why options make no format. The user's to correct.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum OptionError {
    /// Neither an option nor the name says what the records are.
    #[error("neither --format nor the name of the source says what the records are")]
    Unsaid,
    /// A fixed format without the length of its records.
    #[error("a fixed format needs --record-size")]
    NoRecordSize,
    /// XML without the name of its rows.
    #[error("an xml format needs --row-tag")]
    NoRowTag,
    /// The row tag or path is none.
    #[error(transparent)]
    Row(#[from] RowError),
    /// An option of another format.
    #[error("{option} does not belong to format {}", format.as_str())]
    Unfit {
        /// The option.
        option: &'static str,
        /// The format.
        format: FormatName,
    },
    /// A length no record can have.
    #[error("{option} is {found} bytes, expected 1 to {}", u32::MAX)]
    Size {
        /// The option.
        option: &'static str,
        /// Bytes found.
        found: u64,
    },
    /// Delimiters that cannot be told apart.
    #[error("delimiters make no format")]
    Csv(#[from] CsvError),
}

impl FormatOptions {
    /// The format they ask for, or else the one the name of the first source stands for. Its
    /// encoding is the format's default.
    ///
    /// # Errors
    ///
    /// They do not fit each other, or say too little.
    pub fn resolve(&self, file_name: &str) -> Result<RecordFormat, OptionError> {
        let name = self.format.or_else(|| FormatName::of_file(file_name));
        let name = name.ok_or(OptionError::Unsaid)?;
        self.refuse_others(name)?;
        let max_record = self.max_record.map(|size| bytes("--max-record", size)).transpose()?;
        let document = max_record.unwrap_or(DOCUMENT_RECORD_DEFAULT);
        Ok(match name {
            FormatName::Fixed => {
                let size = self.record_size.ok_or(OptionError::NoRecordSize)?;
                RecordFormat::Fixed { record_bytes: bytes("--record-size", size)? }
            }
            FormatName::Variable => variable(ByteOrder::Little, max_record),
            FormatName::VariableBe => variable(ByteOrder::Big, max_record),
            FormatName::Blocked => RecordFormat::Blocked,
            FormatName::Recfmv => RecordFormat::RecfmV,
            FormatName::Recfmvb => RecordFormat::RecfmVb,
            FormatName::Csv => {
                let tabs = file_name.to_ascii_lowercase().ends_with(".tsv");
                let named = if tabs { CsvFormat::tab_separated() } else { CsvFormat::default() };
                self.csv(named, max_record)?
            }
            FormatName::Xml => {
                let tag = self.row_tag.as_deref().ok_or(OptionError::NoRowTag)?;
                RecordFormat::Xml(XmlFormat::try_new(tag)?.with_max_record(document))
            }
            FormatName::Json => {
                let json = JsonFormat::try_new(self.row_path.as_deref().unwrap_or("/"))?;
                RecordFormat::Json(json.with_max_record(document))
            }
            FormatName::Jsonl => {
                let mut lines = JsonLinesFormat::default();
                lines.max_record = max_record.unwrap_or(lines.max_record);
                RecordFormat::JsonLines(lines)
            }
        })
    }

    /// Refuses options of other formats, by name.
    fn refuse_others(&self, format: FormatName) -> Result<(), OptionError> {
        use FormatName::{Csv, Fixed, Json, Jsonl, Variable, VariableBe, Xml};
        let limited: &[FormatName] = &[Csv, Variable, VariableBe, Xml, Json, Jsonl];
        let options: [(&str, bool, &[FormatName]); 9] = [
            ("--record-size", self.record_size.is_some(), &[Fixed]),
            ("--separator", self.separator.is_some(), &[Csv]),
            ("--quote", self.quote.is_some(), &[Csv]),
            ("--terminator", self.terminator.is_some(), &[Csv]),
            ("--escape", self.escape.is_some(), &[Csv]),
            ("--row-tag", self.row_tag.is_some(), &[Xml]),
            ("--row-path", self.row_path.is_some(), &[Json]),
            ("--max-record", self.max_record.is_some(), limited),
            ("--encoding", self.encoding.is_some(), &[Csv, Xml, Json, Jsonl]),
        ];
        let unfit = options.iter().find(|(_, said, formats)| *said && !formats.contains(&format));
        match unfit {
            None => Ok(()),
            Some(&(option, ..)) => Err(OptionError::Unfit { option, format }),
        }
    }

    fn csv(
        &self,
        named: CsvFormat,
        max_record: Option<NonZeroU32>,
    ) -> Result<RecordFormat, OptionError> {
        let mut options = CsvOptions::from(named);
        for (role, list) in [
            (Role::Separator, &self.separator),
            (Role::Quote, &self.quote),
            (Role::Terminator, &self.terminator),
            (Role::Escape, &self.escape),
        ] {
            if let Some(list) = list {
                options.set(role, list)?;
            }
        }
        options.max_record = max_record.unwrap_or(options.max_record);
        Ok(RecordFormat::Csv(CsvFormat::try_new(options)?))
    }
}

fn variable(order: ByteOrder, max_record: Option<NonZeroU32>) -> RecordFormat {
    let max_record = max_record.unwrap_or(VARIABLE_RECORD_DEFAULT);
    RecordFormat::Variable { order, max_record }
}

fn bytes(option: &'static str, size: u64) -> Result<NonZeroU32, OptionError> {
    u32::try_from(size)
        .ok()
        .and_then(NonZeroU32::new)
        .ok_or(OptionError::Size { option, found: size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_parsed_as_it_is_written() {
        for name in FormatName::ALL {
            assert_eq!(FormatName::parse(name.as_str()), Some(name));
        }
        assert_eq!(FormatName::parse("delimited"), Some(FormatName::Csv));
        assert_eq!(FormatName::parse("Csv"), None);
    }

    #[test]
    fn a_name_without_a_known_ending_must_be_told_its_format() {
        assert_eq!(FormatOptions::default().resolve("a.bin"), Err(OptionError::Unsaid));
        let fixed = FormatOptions { format: Some(FormatName::Fixed), ..FormatOptions::default() };
        assert_eq!(fixed.resolve("a.csv"), Err(OptionError::NoRecordSize));
    }
}
