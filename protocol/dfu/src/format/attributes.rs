//! A format as the attributes HPCC keeps with a logical file, and back.

use super::RecordFormat;
use super::csv::{CsvError, CsvFormat, CsvOptions, Role};
use super::list::list_text;
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
    #[error("format {format:?} is unknown, known are fixed and csv")]
    Unknown {
        /// The value of `format`, or of `kind` where there is no format.
        format: String,
    },
    /// A fixed format without its record length.
    #[error("attribute recordSize is missing, a fixed format needs it")]
    NoRecordSize,
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
            Self::Size { .. } | Self::Csv(_) => None,
        }
    }
}

impl RecordFormat {
    /// The format as HPCC metadata attributes, names without `@`, in a fixed order.
    pub fn to_attributes(&self) -> Vec<(String, String)> {
        let mut attributes = Vec::new();
        let mut add = |name: &str, value: String| attributes.push((name.to_owned(), value));
        match self {
            Self::Fixed { record_bytes } => {
                add(KIND, "flat".to_owned());
                add(FORMAT, self.name().to_owned());
                add(RECORD_SIZE, record_bytes.to_string());
            }
            Self::Csv(csv) => {
                let options = csv.options();
                add(KIND, "csv".to_owned());
                add(FORMAT, self.name().to_owned());
                add(CSV_SEPARATE, list_text(&options.separators));
                add(CSV_QUOTE, list_text(&options.quotes));
                add(CSV_TERMINATE, list_text(&options.terminators));
                if !options.escapes.is_empty() {
                    add(CSV_ESCAPE, list_text(&options.escapes));
                }
                if !options.quoted_terminator {
                    add(QUOTED_TERMINATOR, "0".to_owned());
                }
                add(MAX_RECORD_SIZE, options.max_record.to_string());
            }
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
        let attributes = attributes.into_iter().collect::<Vec<_>>();
        let value = |name: &str| {
            attributes.iter().find(|(other, _)| *other == name).map(|(_, value)| *value)
        };
        let said = value(FORMAT).or(value(KIND)).ok_or(AttributeError::Missing)?;
        match said {
            "fixed" | "flat" => {
                let text = value(RECORD_SIZE).ok_or(AttributeError::NoRecordSize)?;
                Ok(Self::Fixed { record_bytes: size(RECORD_SIZE, text)? })
            }
            "csv" => {
                let mut options = CsvOptions::default();
                for (role, name) in [
                    (Role::Separator, CSV_SEPARATE),
                    (Role::Quote, CSV_QUOTE),
                    (Role::Terminator, CSV_TERMINATE),
                    (Role::Escape, CSV_ESCAPE),
                ] {
                    if let Some(list) = value(name) {
                        options.set(role, list)?;
                    }
                }
                options.quoted_terminator = value(QUOTED_TERMINATOR) != Some("0");
                if let Some(text) = value(MAX_RECORD_SIZE) {
                    options.max_record = size(MAX_RECORD_SIZE, text)?;
                }
                Ok(Self::Csv(CsvFormat::try_new(options)?))
            }
            other => Err(AttributeError::Unknown { format: other.to_owned() }),
        }
    }
}

fn size(attribute: &'static str, value: &str) -> Result<NonZeroU32, AttributeError> {
    value.parse().map_err(|_| AttributeError::Size { attribute, value: value.to_owned() })
}

const KIND: &str = "kind";
const FORMAT: &str = "format";
const RECORD_SIZE: &str = "recordSize";
const CSV_SEPARATE: &str = "csvSeparate";
const CSV_QUOTE: &str = "csvQuote";
const CSV_TERMINATE: &str = "csvTerminate";
const CSV_ESCAPE: &str = "csvEscape";
const QUOTED_TERMINATOR: &str = "quotedTerminator";
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
        };
        for format in [
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
        assert_eq!(read(&[("kind", "flat")]), Err(AttributeError::NoRecordSize));
        assert_eq!(
            read(&[("format", "key")]),
            Err(AttributeError::Unknown { format: "key".into() })
        );
    }
}
