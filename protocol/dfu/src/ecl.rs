//! The ECL record of a delimited file, from its header record.

mod header;
mod reserved;

use crate::format::CsvFormat;
use reserved::is_reserved;
use std::collections::BTreeSet;
use std::fmt;
use thiserror::Error;

/// Most fields of a record.
pub const FIELDS_MAX: usize = 4096;

/// Why a header gives no record. The source, or the format chosen for it, is at fault.
///
/// Offsets are in bytes from the start of the record as it was given.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum EclError {
    /// There is nothing to take names from.
    #[error("header record is empty, at least 1 byte is needed")]
    Empty,
    /// A quote hides the rest of the record.
    #[error("quote at offset {offset} of the header record is never closed")]
    UnterminatedQuote {
        /// Where the quote was opened.
        offset: usize,
    },
    /// Usually a separator or terminator that does not fit the data.
    #[error(
        "header record has more than {FIELDS_MAX} fields, number {} starts at offset {offset}",
        FIELDS_MAX + 1
    )]
    TooManyFields {
        /// Where the first field too many starts.
        offset: usize,
    },
}

impl EclError {
    /// HPCC's number for this cause, where it has one.
    pub fn hpcc_number(&self) -> Option<u16> {
        match self {
            Self::UnterminatedQuote { .. } => Some(8102),
            Self::Empty | Self::TooManyFields { .. } => None,
        }
    }
}

/// What every field of a delimited record is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FieldType {
    /// One byte a character.
    String,
    /// UTF-8.
    Utf8,
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::String => "STRING",
            Self::Utf8 => "UTF8",
        })
    }
}

/// A record definition whose names are valid ECL and all different, whatever their case.
///
/// `Display` gives the text HPCC keeps with a file: `RECORD`, a line for each field, `END;`, and no
/// line end after that.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EclRecord {
    field_type: FieldType,
    names: Vec<String>,
}

impl EclRecord {
    /// The type all fields have.
    pub fn field_type(&self) -> FieldType {
        self.field_type
    }

    /// The names of the fields in order, at least one.
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

impl fmt::Display for EclRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RECORD\n")?;
        for name in &self.names {
            writeln!(f, "    {} {name};", self.field_type)?;
        }
        f.write_str("END;")
    }
}

/// Makes a record of a delimited file's first record, the way HPCC names fields.
///
/// `first_record` is in bytes of the file, UTF-8 where the file is UTF-16 or UTF-32; its terminator
/// may be missing and what follows it is not looked at. `encoding_is_utf8` chooses between `UTF8`
/// and `STRING` fields. A UTF-8 byte order mark is not part of the first name.
///
/// A name is the field's value without quotes, escapes and the blanks around it; then
/// - it is `fieldN` if nothing is left, `N` being the field's number from 1;
/// - every byte that is no letter, digit, `_` or `$` becomes `_`, and so does a first byte that is
///   a digit or `$`;
/// - a word ECL reserves gets a `_` in front;
/// - a name that is there already, in whatever case, gets `_N` at its end, and `_N_2`, `_N_3` and
///   so on where that is there too.
///
/// HPCC does the same, except that it keeps doubled quotes and escapes as two characters, compares
/// case, puts the time of day behind a repeated name, and knows nothing of reserved words.
///
/// # Errors
///
/// [`EclError`]: the source or its format is at fault.
pub fn record_from_header(
    first_record: &[u8],
    format: &CsvFormat,
    encoding_is_utf8: bool,
) -> Result<EclRecord, EclError> {
    let fields = header::fields(first_record, format)?;
    let mut taken = BTreeSet::new();
    let names = fields.iter().enumerate().map(|(index, field)| {
        let name = unique(valid(field, index + 1), index + 1, &taken);
        taken.insert(name.to_ascii_lowercase());
        name
    });
    let names = names.collect();
    let field_type = if encoding_is_utf8 { FieldType::Utf8 } else { FieldType::String };
    Ok(EclRecord { field_type, names })
}

/// The name in a field's value, valid ECL but perhaps there already.
fn valid(value: &[u8], number: usize) -> String {
    let value = value.trim_ascii();
    if value.is_empty() {
        return format!("field{number}");
    }
    let letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let name = value.iter().enumerate().map(|(index, &byte)| match byte {
        byte if letter(byte) => char::from(byte),
        b'0'..=b'9' | b'$' if index > 0 => char::from(byte),
        _ => '_',
    });
    let name = name.collect::<String>();
    if is_reserved(&name) { format!("_{name}") } else { name }
}

fn unique(name: String, number: usize, taken: &BTreeSet<String>) -> String {
    let free = |name: &str| !taken.contains(&name.to_ascii_lowercase());
    if free(&name) {
        return name;
    }
    // No reserved word ends in a number like this, unless it is one without it as well.
    std::iter::once(format!("{name}_{number}"))
        .chain((2..).map(|again: usize| format!("{name}_{number}_{again}")))
        .find(|name| free(name))
        .expect("some number is free")
}

#[cfg(test)]
mod tests;
