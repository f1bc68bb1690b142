//! A format as the attributes HPCC keeps with a logical file, and back.

use super::csv::{CsvError, CsvFormat, CsvOptions, Role};
use super::documents::{DOCUMENT_RECORD_DEFAULT, JsonFormat, JsonLinesFormat, RowError, XmlFormat};
use super::list::list_text;
use super::{ByteOrder, RecordFormat, VARIABLE_RECORD_DEFAULT};
use crate::encoding::Encoding;
use std::num::NonZeroU32;
use thiserror::Error;

/// Why attributes describe no format known here.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum AttributeError {
    /// Neither `format` nor `kind` says what the records are.
    #[error("attributes name neither a format nor a kind")]
    Missing,
    /// A format without an implementation.
    #[error(
        "format {format:?} is unknown, known are fixed, variable, blocked, csv, xml and json, and \
         HPCC's names of encodings"
    )]
    Unknown {
        /// The value of `format`, or of `kind` where there is no format.
        format: String,
    },
    /// The bytes are HPCC's compressed blocks, in which no record can be found.
    #[error("parts are compressed by HPCC, records cannot be told apart in them")]
    Compressed,
    /// A fixed format without its record length.
    #[error("attribute recordSize is missing, a fixed format needs it")]
    NoRecordSize,
    /// Rows of XML without the name of their elements.
    #[error("attribute rowTag is missing, an xml format needs it")]
    NoRowTag,
    /// The row tag or path is none.
    #[error("attribute rowTag names no rows")]
    Row(#[from] RowError),
    /// A size that is no whole number from 1 to 4294967295.
    #[error("attribute {attribute} is {value:?}, expected a number of bytes from 1")]
    Size {
        /// The attribute.
        attribute: &'static str,
        /// Its value.
        value: String,
    },
    /// The delimiters do not fit together.
    #[error("attributes of a delimited format contradict each other")]
    Csv(#[from] CsvError),
}

impl AttributeError {
    /// HPCC's number for this cause, where it has one.
    pub fn hpcc_number(&self) -> Option<u16> {
        match self {
            Self::Missing | Self::NoRecordSize => Some(8055),
            Self::Unknown { .. } => Some(8052),
            Self::Size { attribute: MAX_RECORD_SIZE, .. } => Some(8071),
            Self::Size { .. } | Self::Compressed | Self::Csv(_) | Self::NoRowTag | Self::Row(_) => {
                None
            }
        }
    }
}

impl RecordFormat {
    /// The format as HPCC metadata attributes, names without `@`, in a fixed order.
    pub fn to_attributes(&self) -> Vec<(String, String)> {
        let mut attributes = Vec::new();
        let mut add = |name: &str, value: String| attributes.push((name.to_owned(), value));
        add(KIND, self.kind().to_owned());
        add(FORMAT, self.encoding().hpcc_format_name().unwrap_or(self.name()).to_owned());
        match self {
            Self::Fixed { record_bytes } => add(RECORD_SIZE, record_bytes.to_string()),
            Self::Csv(csv) => {
                let options = csv.options();
                add(CSV_SEPARATE, list_text(&options.separators));
                add(CSV_QUOTE, list_text(&options.quotes));
                add(CSV_TERMINATE, list_text(&options.terminators));
                if !options.escapes.is_empty() {
                    add(CSV_ESCAPE, list_text(&options.escapes));
                }
                if !options.quoted_terminator {
                    add(QUOTED_TERMINATOR, "0".to_owned());
                }
            }
            Self::Xml(xml) => add(ROW_TAG, xml.row_tag().to_owned()),
            Self::Json(json) => add(ROW_TAG, json.row_path()),
            Self::JsonLines(_) => {
                add(ROW_TAG, "/".to_owned());
                add(JSON_LINES, "1".to_owned());
            }
            Self::Variable { .. } | Self::Blocked | Self::RecfmV | Self::RecfmVb | Self::Blob => {}
        }
        if let Some(max_record) = self.max_record() {
            add(MAX_RECORD_SIZE, max_record.to_string());
        }
        attributes
    }

    /// Reads the format from attributes; names without `@`, order free, unknown names ignored.
    /// What is absent has its default; an empty delimiter list means none.
    ///
    /// # Errors
    ///
    /// [`AttributeError`]: whoever wrote the metadata is at fault.
    pub fn from_attributes<'a>(
        attributes: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, AttributeError> {
        let attributes = Attributes(attributes.into_iter().collect());
        if is_compressed(attributes.0.iter().copied()) {
            return Err(AttributeError::Compressed);
        }
        let kind = attributes.value(KIND);
        let said = attributes.value(FORMAT).or(kind).ok_or(AttributeError::Missing)?;
        let encoding = Encoding::from_hpcc_format_name(said);
        let format = match encoding {
            Some(_) => kind.unwrap_or("csv"),
            None => said,
        };
        let format = match format {
            "fixed" | "flat" => {
                let text = attributes.value(RECORD_SIZE).ok_or(AttributeError::NoRecordSize)?;
                Self::Fixed { record_bytes: size(RECORD_SIZE, text)? }
            }
            "csv" => Self::Csv(attributes.csv()?),
            "variable" => attributes.variable(ByteOrder::Little)?,
            "variablebigendian" => attributes.variable(ByteOrder::Big)?,
            "blocked" => Self::Blocked,
            "recfmv" => Self::RecfmV,
            "recfmvb" => Self::RecfmVb,
            "blob" => Self::Blob,
            "xml" | "json" | "jsonl" => attributes.document(format)?,
            other => return Err(AttributeError::Unknown { format: other.to_owned() }),
        };
        Ok(encoding.map_or(format.clone(), |encoding| format.with_encoding(encoding)))
    }

    /// HPCC's kind of the format.
    fn kind(&self) -> &'static str {
        match self {
            Self::Csv(_) => "csv",
            Self::Xml(_) => "xml",
            Self::Json(_) | Self::JsonLines(_) => "json",
            _ => "flat",
        }
    }
}

/// Attributes that say whether and how HPCC compressed the parts.
pub const OF_COMPRESSION: [&str; 3] = [BLOCK_COMPRESSED, ROW_COMPRESSED, "compressionType"];

/// Whether attributes say that the parts are compressed by HPCC.
pub fn is_compressed<'a>(attributes: impl IntoIterator<Item = (&'a str, &'a str)>) -> bool {
    let is_true = |value: &str| {
        ["1", "true", "yes", "on"].iter().any(|word| value.trim().eq_ignore_ascii_case(word))
    };
    let says = |name: &str| matches!(name, BLOCK_COMPRESSED | ROW_COMPRESSED);
    attributes.into_iter().any(|(name, value)| says(name) && is_true(value))
}

/// Attributes by name.
struct Attributes<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Attributes<'a> {
    fn value(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(other, _)| *other == name).map(|(_, value)| *value)
    }

    fn max_record(&self) -> Result<Option<NonZeroU32>, AttributeError> {
        self.value(MAX_RECORD_SIZE).map(|text| size(MAX_RECORD_SIZE, text)).transpose()
    }

    fn csv(&self) -> Result<CsvFormat, AttributeError> {
        let mut options = CsvOptions::default();
        for (role, name) in [
            (Role::Separator, CSV_SEPARATE),
            (Role::Quote, CSV_QUOTE),
            (Role::Terminator, CSV_TERMINATE),
            (Role::Escape, CSV_ESCAPE),
        ] {
            if let Some(list) = self.value(name) {
                options.set(role, list)?;
            }
        }
        options.quoted_terminator = self.value(QUOTED_TERMINATOR) != Some("0");
        options.max_record = self.max_record()?.unwrap_or(options.max_record);
        Ok(CsvFormat::try_new(options)?)
    }

    fn variable(&self, order: ByteOrder) -> Result<RecordFormat, AttributeError> {
        let max_record = self.max_record()?.unwrap_or(VARIABLE_RECORD_DEFAULT);
        Ok(RecordFormat::Variable { order, max_record })
    }

    /// A row tag that starts with a slash is the path of JSON rows.
    fn document(&self, format: &str) -> Result<RecordFormat, AttributeError> {
        let max_record = self.max_record()?.unwrap_or(DOCUMENT_RECORD_DEFAULT);
        if format == "jsonl" || self.value(JSON_LINES) == Some("1") {
            let lines = JsonLinesFormat::default();
            return Ok(RecordFormat::JsonLines(JsonLinesFormat { max_record, ..lines }));
        }
        match (format, self.value(ROW_TAG)) {
            ("xml", None) => Err(AttributeError::NoRowTag),
            ("xml", Some(tag)) if !tag.starts_with('/') => {
                Ok(RecordFormat::Xml(XmlFormat::try_new(tag)?.with_max_record(max_record)))
            }
            (_, path) => {
                let json = JsonFormat::try_new(path.unwrap_or("/"))?;
                Ok(RecordFormat::Json(json.with_max_record(max_record)))
            }
        }
    }
}

fn size(attribute: &'static str, value: &str) -> Result<NonZeroU32, AttributeError> {
    value.parse().map_err(|_| AttributeError::Size { attribute, value: value.to_owned() })
}

const BLOCK_COMPRESSED: &str = "blockCompressed";
const ROW_COMPRESSED: &str = "rowCompressed";
const KIND: &str = "kind";
const FORMAT: &str = "format";
const RECORD_SIZE: &str = "recordSize";
const CSV_SEPARATE: &str = "csvSeparate";
const CSV_QUOTE: &str = "csvQuote";
const CSV_TERMINATE: &str = "csvTerminate";
const CSV_ESCAPE: &str = "csvEscape";
const QUOTED_TERMINATOR: &str = "quotedTerminator";
const ROW_TAG: &str = "rowTag";
/// Ours: HPCC reads lines as documents one after the other.
const JSON_LINES: &str = "jsonLines";
const MAX_RECORD_SIZE: &str = "maxRecordSize";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(attributes: &[(&str, &str)]) -> Result<RecordFormat, AttributeError> {
        RecordFormat::from_attributes(attributes.iter().copied())
    }

    fn pairs(format: &RecordFormat) -> Vec<String> {
        format.to_attributes().into_iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    #[test]
    fn attributes_are_what_hpcc_keeps() {
        let fixed = RecordFormat::Fixed { record_bytes: NonZeroU32::new(9).unwrap() };
        let csv = RecordFormat::Csv(CsvFormat::default());

        assert_eq!(pairs(&fixed), ["kind=flat", "format=fixed", "recordSize=9"]);
        assert_eq!(
            pairs(&csv),
            [
                "kind=csv",
                "format=csv",
                "csvSeparate=\\,",
                "csvQuote=\"",
                "csvTerminate=\\n,\\r\\n",
                "maxRecordSize=262144"
            ]
        );
    }

    #[test]
    fn every_option_survives_the_round_trip() {
        let options = CsvOptions {
            separators: Vec::new(),
            quotes: vec![b"'".to_vec(), b"\"".to_vec()],
            terminators: vec![b"<EOL>".to_vec(), b"\x1e".to_vec()],
            escapes: vec![b"\\".to_vec()],
            quoted_terminator: false,
            max_record: NonZeroU32::new(8192).unwrap(),
            encoding: Encoding::Utf16Be,
        };
        let max_record = NonZeroU32::new(77).unwrap();
        let xml = XmlFormat::try_new("ns:row").unwrap().with_max_record(max_record);
        for format in [
            RecordFormat::Variable { order: ByteOrder::Little, max_record },
            RecordFormat::Variable { order: ByteOrder::Big, max_record },
            RecordFormat::Blocked,
            RecordFormat::RecfmV,
            RecordFormat::RecfmVb,
            RecordFormat::Blob,
            RecordFormat::Xml(xml).with_encoding(Encoding::Utf32Le),
            RecordFormat::Json(JsonFormat::try_new("/").unwrap()),
            RecordFormat::Json(JsonFormat::try_new("/a/b").unwrap()),
            RecordFormat::JsonLines(JsonLinesFormat { max_record, encoding: Encoding::Utf16Le }),
            RecordFormat::Csv(CsvFormat::default()).with_encoding(Encoding::Utf8),
            RecordFormat::Csv(CsvFormat::try_new(options).unwrap()),
            RecordFormat::Csv(CsvFormat::tab_separated()),
            RecordFormat::Fixed { record_bytes: NonZeroU32::MAX },
        ] {
            let attributes = format.to_attributes();
            let borrowed = attributes.iter().map(|(name, value)| (name.as_str(), value.as_str()));

            assert_eq!(RecordFormat::from_attributes(borrowed), Ok(format));
        }
    }

    #[test]
    fn absent_delimiters_have_defaults_and_empty_ones_are_none() {
        let csv = read(&[("kind", "csv")]);
        let bare = read(&[("format", "csv"), ("csvQuote", "")]).unwrap();

        assert_eq!(csv, Ok(RecordFormat::Csv(CsvFormat::default())));
        assert!(matches!(bare, RecordFormat::Csv(csv) if csv.options().quotes.is_empty()));
    }

    #[test]
    fn attributes_that_say_nothing_usable_are_refused_by_name() {
        let wrong_size = read(&[("format", "fixed"), ("recordSize", "0")]).unwrap_err();
        let no_limit = read(&[("format", "csv"), ("maxRecordSize", "0")]).unwrap_err();

        assert_eq!(
            wrong_size.to_string(),
            "attribute recordSize is \"0\", expected a number of bytes from 1"
        );
        assert_eq!(no_limit.hpcc_number(), Some(8071));
        assert_eq!(read(&[]), Err(AttributeError::Missing));
        for compressed in [("blockCompressed", "1"), ("rowCompressed", "True")] {
            assert_eq!(read(&[("kind", "csv"), compressed]), Err(AttributeError::Compressed));
        }
        let plain = read(&[("kind", "csv"), ("blockCompressed", "0")]);
        assert_eq!(plain, Ok(RecordFormat::Csv(CsvFormat::default())));
        assert_eq!(read(&[("kind", "flat")]), Err(AttributeError::NoRecordSize));
        assert_eq!(
            read(&[("format", "key")]),
            Err(AttributeError::Unknown { format: "key".into() })
        );
    }
}
