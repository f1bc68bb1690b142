//! Finds what stands before the first and behind the last row of a document, from the first and
//! last bytes of a source, so that a caller can announce it to [`crate::split`] before it reads
//! all of it. What is found at the end is a guess which the scan verifies.

mod json;
mod xml;

use crate::format::RecordFormat;
use crate::split::Narrow;
use std::borrow::Cow;
use thiserror::Error;

/// Most bytes before the first row: 16 MiB. Every part starts with them, and the caller holds them
/// in memory.
pub const HEADER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Most bytes behind the last row: 16 MiB. Every part ends with them, and the caller holds them in
/// memory.
pub const FOOTER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What the first bytes of a source show.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Head {
    /// The first row starts behind them: ask again with twice as many.
    NeedMore,
    /// The first row was found.
    Found {
        /// Bytes before it, byte order mark excluded.
        header_bytes: u64,
    },
    /// They are the whole source, and it holds no row. Alone it is a mistake of the user's (HPCC
    /// 8098, 8109); among others it is all header and adds no record.
    NoRows,
}

/// What the last bytes of a source show.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Tail {
    /// The last row ends before them, or they do not tell: ask again with twice as many.
    NeedMore,
    /// The last row seems to end here. The scan answers
    /// [`SplitError::FooterElsewhere`](crate::split::SplitError::FooterElsewhere) if it does not.
    Found {
        /// Bytes behind it.
        footer_bytes: u64,
    },
    /// No number of last bytes can tell: use [`Measure`].
    Unknown,
}

/// Why the rows of a document were not found. The user's row tag or path, or the source, is at
/// fault.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum ProbeError {
    /// The header is longer than [`HEADER_BYTES_MAX`], or no row follows at all.
    #[error(
        "no row was found in the first {looked} bytes of the document, more cannot stand before \
         it; check the row tag or row path"
    )]
    NoFirstRow {
        /// Bytes looked at.
        looked: u64,
        /// HPCC's number for the format.
        number: u16,
    },
    /// The footer is longer than [`FOOTER_BYTES_MAX`], or no row ends at all.
    #[error(
        "no end of a row was found in the last {looked} bytes of the document; it is cut off, or \
         its rows end earlier than can be handled"
    )]
    NoLastRow {
        /// Bytes looked at.
        looked: u64,
        /// HPCC's number for the format.
        number: u16,
    },
    /// The row tag or path holds too many characters outside ASCII for text of wide characters.
    #[error("row tag or row path holds more than 127 different characters outside ASCII")]
    TooManyCharacters,
}

impl ProbeError {
    /// HPCC's number for this cause, where it has one.
    pub fn hpcc_number(&self) -> Option<u16> {
        match self {
            Self::NoFirstRow { number, .. } | Self::NoLastRow { number, .. } => Some(*number),
            Self::TooManyCharacters => None,
        }
    }
}

/// Looks for the first row in `first`, the first bytes of a source after its byte order mark;
/// `whole` says that there are no more. Formats without header answer at once.
///
/// # Errors
///
/// [`ProbeError::NoFirstRow`] at [`HEADER_BYTES_MAX`] bytes.
pub fn head(format: &RecordFormat, first: &[u8], whole: bool) -> Result<Head, ProbeError> {
    let (number, found) = match format {
        RecordFormat::Xml(xml) => {
            let text = Text::try_new(format, first, End::First)?;
            (8098, text.head(xml::head(&text.narrow.text(xml.row_tag()), &text.units, whole)))
        }
        RecordFormat::Json(json) => {
            let text = Text::try_new(format, first, End::First)?;
            (8109, text.head(json::head(json.keys(), &text.narrow, &text.units, whole)))
        }
        _ => return Ok(Head::Found { header_bytes: 0 }),
    };
    let looked = first.len() as u64;
    let too_long = match found {
        Head::NeedMore => looked >= HEADER_BYTES_MAX,
        Head::Found { header_bytes } => header_bytes > HEADER_BYTES_MAX,
        Head::NoRows => false,
    };
    if too_long { Err(ProbeError::NoFirstRow { looked, number }) } else { Ok(found) }
}

/// Looks for the end of the last row in `last`, the last bytes of a source; `whole` says that they
/// start where its header ends. Formats without footer answer at once.
///
/// # Errors
///
/// [`ProbeError::NoLastRow`] at [`FOOTER_BYTES_MAX`] bytes, or if no row ends in the whole source.
pub fn tail(format: &RecordFormat, last: &[u8], whole: bool) -> Result<Tail, ProbeError> {
    let looked = last.len() as u64;
    let all = whole || looked >= FOOTER_BYTES_MAX;
    let (number, found) = match format {
        RecordFormat::Xml(xml) => {
            let text = Text::try_new(format, last, End::Last)?;
            (8099, text.tail(xml::tail(&text.narrow.text(xml.row_tag()), &text.units, all)))
        }
        RecordFormat::Json(json) => {
            let text = Text::try_new(format, last, End::Last)?;
            (8101, text.tail(json::tail(json.keys(), &text.narrow, &text.units, whole)))
        }
        _ => return Ok(Tail::Found { footer_bytes: 0 }),
    };
    let too_long = match found {
        Tail::NeedMore => all,
        Tail::Found { footer_bytes } => footer_bytes > FOOTER_BYTES_MAX,
        Tail::Unknown => false,
    };
    if too_long { Err(ProbeError::NoLastRow { looked, number }) } else { Ok(found) }
}

/// Finds the end of the last row exactly, in one pass over all that follows the header. For the
/// rare source whose last bytes do not tell.
#[derive(Debug)]
pub struct Measure {
    narrow: Narrow,
    rows: Rows,
    /// The bytes of a unit whose end was not pushed yet.
    carry: Vec<u8>,
    narrowed: Vec<u8>,
    bytes: u64,
}

/// The rows of each format, in units.
#[derive(Debug)]
enum Rows {
    Xml(xml::Measure),
    Json(json::Measure),
    /// Nothing stands behind the last record.
    Plain,
}

impl Measure {
    /// Starts where the header of a source ends.
    ///
    /// # Errors
    ///
    /// [`ProbeError::TooManyCharacters`].
    pub fn try_new(format: &RecordFormat) -> Result<Self, ProbeError> {
        let narrow = Narrow::try_new(format).ok_or(ProbeError::TooManyCharacters)?;
        let rows = match format {
            RecordFormat::Xml(xml) => Rows::Xml(xml::Measure::new(&narrow.text(xml.row_tag()))),
            RecordFormat::Json(json) => Rows::Json(json::Measure::new(json.keys().len())),
            _ => Rows::Plain,
        };
        Ok(Self { narrow, rows, carry: Vec::new(), narrowed: Vec::new(), bytes: 0 })
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    ///
    /// The document breaks a rule of the format.
    pub fn push(&mut self, block: &[u8]) -> Result<(), ProbeError> {
        self.bytes += block.len() as u64;
        if self.narrow.width() == 1 {
            return self.rows.push(block);
        }
        self.carry.extend_from_slice(block);
        let whole = self.carry.len() / self.narrow.width() * self.narrow.width();
        self.narrow.narrow(&self.carry[..whole], &mut self.narrowed);
        self.carry.drain(..whole);
        self.rows.push(&self.narrowed)
    }

    /// Bytes behind the last row, once everything was pushed.
    ///
    /// # Errors
    ///
    /// [`ProbeError::NoLastRow`]: no row ends, or the last one is followed by more than
    /// [`FOOTER_BYTES_MAX`] bytes.
    pub fn finish(self) -> Result<u64, ProbeError> {
        let width = self.narrow.width() as u64;
        let (number, end) = match self.rows {
            Rows::Xml(rows) => (8099, rows.end()),
            Rows::Json(rows) => (8101, rows.end()),
            Rows::Plain => return Ok(0),
        };
        let footer_bytes = match end {
            Some(end) => self.bytes - end * width,
            None => return Err(ProbeError::NoLastRow { looked: self.bytes, number }),
        };
        if footer_bytes > FOOTER_BYTES_MAX {
            return Err(ProbeError::NoLastRow { looked: footer_bytes, number });
        }
        Ok(footer_bytes)
    }
}

impl Rows {
    fn push(&mut self, units: &[u8]) -> Result<(), ProbeError> {
        match self {
            Self::Xml(rows) => rows.push(units),
            Self::Json(rows) => rows.push(units),
            Self::Plain => {}
        }
        Ok(())
    }
}

/// Which end of a source bytes are from: there, they are a whole number of units.
enum End {
    First,
    Last,
}

/// Text as one byte a unit.
struct Text<'a> {
    narrow: Narrow,
    units: Cow<'a, [u8]>,
}

impl<'a> Text<'a> {
    fn try_new(format: &RecordFormat, bytes: &'a [u8], end: End) -> Result<Self, ProbeError> {
        let narrow = Narrow::try_new(format).ok_or(ProbeError::TooManyCharacters)?;
        let excess = bytes.len() % narrow.width();
        let units = match (narrow.width(), end) {
            (1, _) => return Ok(Self { narrow, units: Cow::Borrowed(bytes) }),
            (_, End::First) => &bytes[..bytes.len() - excess],
            (_, End::Last) => &bytes[excess..],
        };
        let mut narrowed = Vec::new();
        narrow.narrow(units, &mut narrowed);
        Ok(Self { narrow, units: Cow::Owned(narrowed) })
    }

    /// Units as bytes.
    fn head(&self, found: Head) -> Head {
        match found {
            Head::Found { header_bytes: units } => {
                Head::Found { header_bytes: units * self.narrow.width() as u64 }
            }
            other => other,
        }
    }

    /// Units as bytes.
    fn tail(&self, found: Tail) -> Tail {
        match found {
            Tail::Found { footer_bytes: units } => {
                Tail::Found { footer_bytes: units * self.narrow.width() as u64 }
            }
            other => other,
        }
    }
}
