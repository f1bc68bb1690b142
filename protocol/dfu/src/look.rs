//! What stands around the records of a source: its byte order mark, and the header and footer of a
//! document, through whatever can read the source.
//!
//! The footer is a guess that splitting proves: where it answers
//! [`SplitError::FooterElsewhere`](crate::split::SplitError::FooterElsewhere), [`measured_footer`]
//! finds it by reading everything.

use crate::encoding::{DeclaredEncoding, Detected, Encoding, EncodingError, MARK_BYTES_MAX};
use crate::format::RecordFormat;
use crate::probe::{self, Head, Measure, ProbeError, Tail};
use std::ops::Range;

/// Bytes looked at first; each further look is four times as long.
const LOOK_BYTES: u64 = 64 * 1024;

/// Bytes read at once where everything is read.
const BLOCK_BYTES: u64 = 1 << 20;

/// A source that can be read anywhere.
pub trait Readable {
    /// Why it cannot be read.
    type Error;

    /// Its length in bytes.
    fn length(&self) -> u64;

    /// Reads all of `range`, which lies within the source.
    ///
    /// # Errors
    ///
    /// The source cannot be read, or changed meanwhile.
    fn read(&self, range: Range<u64>) -> Result<Vec<u8>, Self::Error>;
}

/// Why it is not known what stands around the records of a source.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum LookError<E> {
    /// The source cannot be read.
    Read(E),
    /// The byte order mark contradicts what was said.
    Encoding(EncodingError),
    /// A document has no recognizable beginning or end.
    Document(ProbeError),
}

impl<E> From<ProbeError> for LookError<E> {
    fn from(error: ProbeError) -> Self {
        Self::Document(error)
    }
}

impl<E> From<EncodingError> for LookError<E> {
    fn from(error: EncodingError) -> Self {
        Self::Encoding(error)
    }
}

/// What stands around the records of a source, in bytes of it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Around {
    /// The byte order mark.
    pub mark: Vec<u8>,
    /// What stands before the first row of a document, after the mark. All of a document without
    /// rows.
    pub header: Vec<u8>,
    /// What probably stands after the last row.
    pub footer: Vec<u8>,
    /// Whether the document has a row; `true` for what is no document.
    pub has_rows: bool,
}

/// Whether sources of this format can begin with a byte order mark that is none of their records.
pub fn may_be_marked(format: &RecordFormat, declared: Option<DeclaredEncoding>) -> bool {
    let is_text = matches!(
        format,
        RecordFormat::Csv(_)
            | RecordFormat::Xml(_)
            | RecordFormat::Json(_)
            | RecordFormat::JsonLines(_)
    );
    is_text && declared != Some(DeclaredEncoding::Ascii)
}

/// The first bytes of a source, as many as a byte order mark may have.
///
/// # Errors
///
/// [`LookError::Read`].
pub fn first_bytes<R: Readable>(source: &R) -> Result<Vec<u8>, LookError<R::Error>> {
    read(source, 0..source.length().min(MARK_BYTES_MAX as u64))
}

/// The encoding a byte order mark stands for.
pub fn marked_as(first: &[u8]) -> Option<DeclaredEncoding> {
    // The mark of UTF-16 begins one of UTF-32.
    [DeclaredEncoding::Utf32, DeclaredEncoding::Utf8, DeclaredEncoding::Utf16]
        .into_iter()
        .find(|declared| declared.detect(first).is_ok_and(|detected| detected.mark > 0))
}

/// The encoding of one source alone, and its byte order mark.
///
/// # Errors
///
/// It cannot be read, or its mark is not that of the declared encoding.
pub fn encoding<R: Readable>(
    source: &R,
    format: &RecordFormat,
    declared: Option<DeclaredEncoding>,
) -> Result<(Encoding, Vec<u8>), LookError<R::Error>> {
    if !may_be_marked(format, declared) {
        return Ok((format.encoding(), Vec::new()));
    }
    let first = first_bytes(source)?;
    let Some(declared) = declared.or_else(|| marked_as(&first)) else {
        return Ok((format.encoding(), Vec::new()));
    };
    let detected: Detected = declared.detect(&first)?;
    let encoding = declared.agree(&[detected])?;
    Ok((encoding, first[..usize::from(detected.mark)].to_vec()))
}

/// What stands around the records of a source that begins with `mark`. `format` has the source's
/// encoding.
///
/// # Errors
///
/// It cannot be read, or is no document of the format.
pub fn around<R: Readable>(
    source: &R,
    format: &RecordFormat,
    mark: Vec<u8>,
) -> Result<Around, LookError<R::Error>> {
    let start = mark.len() as u64;
    let mut around = Around { mark, has_rows: true, ..Around::default() };
    if !is_document(format) || source.length() <= start {
        return Ok(around);
    }
    match header(source, format, start)? {
        Some(header) => {
            let records = start + header.len() as u64;
            around.header = header;
            around.footer = footer(source, format, records)?;
        }
        None => {
            around.header = read(source, start..source.length())?;
            around.has_rows = false;
        }
    }
    Ok(around)
}

/// What stands after the last row of a source whose rows start at `start`, found by reading it.
///
/// # Errors
///
/// It cannot be read, or is no document of the format.
pub fn measured_footer<R: Readable>(
    source: &R,
    format: &RecordFormat,
    start: u64,
) -> Result<Vec<u8>, LookError<R::Error>> {
    let mut measure = Measure::try_new(format)?;
    let mut offset = start;
    while offset < source.length() {
        let end = source.length().min(offset + BLOCK_BYTES);
        measure.push(&read(source, offset..end)?)?;
        offset = end;
    }
    let footer_bytes = measure.finish()?;
    read(source, source.length() - footer_bytes..source.length())
}

fn is_document(format: &RecordFormat) -> bool {
    matches!(format, RecordFormat::Xml(_) | RecordFormat::Json(_))
}

/// What stands before the first row; `None` if there is no row.
fn header<R: Readable>(
    source: &R,
    format: &RecordFormat,
    start: u64,
) -> Result<Option<Vec<u8>>, LookError<R::Error>> {
    let mut look = LOOK_BYTES;
    loop {
        let end = source.length().min(start + look);
        let mut first = read(source, start..end)?;
        match probe::head(format, &first, end == source.length())? {
            Head::NeedMore => look *= 4,
            Head::NoRows => return Ok(None),
            Head::Found { header_bytes } => {
                first.truncate(usize::try_from(header_bytes).unwrap_or(usize::MAX));
                return Ok(Some(first));
            }
        }
    }
}

/// What probably stands after the last row of a source whose rows start at `start`.
fn footer<R: Readable>(
    source: &R,
    format: &RecordFormat,
    start: u64,
) -> Result<Vec<u8>, LookError<R::Error>> {
    let mut look = LOOK_BYTES;
    loop {
        // An even distance from the end keeps wide characters whole.
        let from = source.length().saturating_sub(look).max(start);
        let last = read(source, from..source.length())?;
        match probe::tail(format, &last, from == start)? {
            Tail::NeedMore => look *= 4,
            Tail::Unknown => return measured_footer(source, format, start),
            Tail::Found { footer_bytes } => {
                let footer = usize::try_from(footer_bytes).unwrap_or(usize::MAX).min(last.len());
                return Ok(last[last.len() - footer..].to_vec());
            }
        }
    }
}

fn read<R: Readable>(source: &R, range: Range<u64>) -> Result<Vec<u8>, LookError<R::Error>> {
    if range.is_empty() {
        return Ok(Vec::new());
    }
    source.read(range).map_err(LookError::Read)
}
