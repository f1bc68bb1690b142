//! The beginnings and ends of sources: byte order marks, and headers and footers of documents.

use super::{Around, BLOCK_BYTES, LookError, Wanted};
use crate::source::{Source, SourceError};
use skyspray_dfu::blob::PrefixSpec;
use skyspray_dfu::encoding::{DeclaredEncoding, Detected, Encoding, MARK_BYTES_MAX};
use skyspray_dfu::format::RecordFormat;
use skyspray_dfu::probe::{self, Head, Measure, Tail};
use std::os::unix::ffi::OsStrExt as _;

/// Bytes looked at first; each further look is four times as long.
const LOOK_BYTES: u64 = 64 * 1024;

/// Bytes read to learn where in a footer its length is needed.
type Marks = Vec<Vec<u8>>;

/// The one encoding of all sources, and their byte order marks.
pub(super) fn encoding(
    sources: &[Source],
    wanted: &Wanted,
) -> Result<(Encoding, Marks), LookError> {
    let none = || Ok((wanted.format.encoding(), vec![Vec::new(); sources.len()]));
    let is_text = matches!(
        wanted.format,
        RecordFormat::Csv(_)
            | RecordFormat::Xml(_)
            | RecordFormat::Json(_)
            | RecordFormat::JsonLines(_)
    );
    if !is_text || wanted.prefix.is_some() || wanted.declared == Some(DeclaredEncoding::Ascii) {
        return none();
    }
    let firsts = sources.iter().map(|source| {
        let length = source.length().min(MARK_BYTES_MAX as u64);
        read(source, 0..length)
    });
    let firsts = firsts.collect::<Result<Vec<_>, _>>()?;
    let marked = || firsts.iter().find_map(|first| marked_as(first));
    let Some(declared) = wanted.declared.or_else(marked) else {
        return none();
    };
    let mut detected = Vec::with_capacity(sources.len());
    for (source, first) in sources.iter().zip(&firsts) {
        detected.push(
            declared
                .detect(first)
                .map_err(|error| LookError::Encoding { path: source.at().to_string(), error })?,
        );
    }
    let encoding = declared.agree(&detected).map_err(|error| disagreement(sources, error))?;
    let marks = firsts.iter().zip(&detected);
    let marks = marks.map(|(first, Detected { mark, .. })| first[..usize::from(*mark)].to_vec());
    Ok((encoding, marks.collect()))
}

/// The encoding a byte order mark stands for.
fn marked_as(first: &[u8]) -> Option<DeclaredEncoding> {
    // The mark of UTF-16 begins one of UTF-32.
    [DeclaredEncoding::Utf32, DeclaredEncoding::Utf8, DeclaredEncoding::Utf16]
        .into_iter()
        .find(|declared| declared.detect(first).is_ok_and(|detected| detected.mark > 0))
}

fn disagreement(sources: &[Source], error: skyspray_dfu::encoding::EncodingError) -> LookError {
    let path = match &error {
        skyspray_dfu::encoding::EncodingError::Disagreement { second_source, .. } => {
            sources.get(*second_source).map(|source| source.at().to_string())
        }
        _ => None,
    };
    LookError::Encoding { path: path.unwrap_or_default(), error }
}

/// What is written before a source.
pub(super) fn prefix(spec: &PrefixSpec, source: &Source) -> Result<Vec<u8>, LookError> {
    let name = source.at().path.file_name().unwrap_or_default();
    spec.prefix(name.as_bytes(), source.length())
        .map_err(|error| LookError::Prefix { path: source.at().to_string(), error })
}

/// Headers and footers of all sources. A footer is a guess that splitting proves.
pub(super) fn around(
    sources: &[Source],
    format: &RecordFormat,
    marks: Marks,
) -> Result<Vec<Around>, LookError> {
    let mut result = Vec::with_capacity(sources.len());
    let mut rows = 0;
    for (source, mark) in sources.iter().zip(marks) {
        let mut around = Around { mark, ..Around::default() };
        if is_document(format) && source.length() > around.mark.len() as u64 {
            match header(source, format, around.mark.len() as u64)? {
                Some(header) => {
                    rows += 1;
                    let records = (around.mark.len() + header.len()) as u64;
                    around.header = header;
                    around.footer = footer(source, format, records)?;
                }
                None => {
                    let start = around.mark.len() as u64;
                    around.header = read(source, start..source.length())?;
                }
            }
        } else {
            rows += 1;
        }
        result.push(around);
    }
    match sources.first() {
        Some(first) if rows == 0 => Err(LookError::no_rows(first.at().to_string(), format)),
        _ => Ok(result),
    }
}

/// Finds the footers by reading all sources.
pub(super) fn measure(
    sources: &[Source],
    format: &RecordFormat,
    around: &mut [Around],
) -> Result<(), LookError> {
    for (source, around) in sources.iter().zip(around) {
        let start = (around.mark.len() + around.header.len()) as u64;
        if start < source.length() {
            around.footer = measured_footer(source, format, start)?;
        }
    }
    Ok(())
}

/// What stands after the last row of a source whose rows start at `start`, found by reading it.
fn measured_footer(
    source: &Source,
    format: &RecordFormat,
    start: u64,
) -> Result<Vec<u8>, LookError> {
    let wrong = |error| LookError::Document { path: source.at().to_string(), error };
    let mut measure = Measure::try_new(format).map_err(wrong)?;
    let mut offset = start;
    while offset < source.length() {
        let end = source.length().min(offset + BLOCK_BYTES as u64);
        measure.push(&read(source, offset..end)?).map_err(wrong)?;
        offset = end;
    }
    let footer_bytes = measure.finish().map_err(wrong)?;
    Ok(read(source, source.length() - footer_bytes..source.length())?)
}

fn is_document(format: &RecordFormat) -> bool {
    matches!(format, RecordFormat::Xml(_) | RecordFormat::Json(_))
}

/// What stands before the first row; `None` if there is no row.
fn header(
    source: &Source,
    format: &RecordFormat,
    start: u64,
) -> Result<Option<Vec<u8>>, LookError> {
    let wrong = |error| LookError::Document { path: source.at().to_string(), error };
    let mut look = LOOK_BYTES;
    loop {
        let end = source.length().min(start + look);
        let mut first = read(source, start..end)?;
        match probe::head(format, &first, end == source.length()).map_err(wrong)? {
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
fn footer(source: &Source, format: &RecordFormat, start: u64) -> Result<Vec<u8>, LookError> {
    let wrong = |error| LookError::Document { path: source.at().to_string(), error };
    let mut look = LOOK_BYTES;
    loop {
        // An even distance from the end keeps wide characters whole.
        let from = source.length().saturating_sub(look).max(start);
        let last = read(source, from..source.length())?;
        match probe::tail(format, &last, from == start).map_err(wrong)? {
            Tail::NeedMore => look *= 4,
            Tail::Unknown => return measured_footer(source, format, start),
            Tail::Found { footer_bytes } => {
                let footer = usize::try_from(footer_bytes).unwrap_or(usize::MAX).min(last.len());
                return Ok(last[last.len() - footer..].to_vec());
            }
        }
    }
}

pub(super) fn read(source: &Source, range: std::ops::Range<u64>) -> Result<Vec<u8>, SourceError> {
    let length = usize::try_from(range.end - range.start).expect("the caller bounds it");
    let mut bytes = vec![0; length];
    if length > 0 {
        source.read_exact_at(&mut bytes, range.start)?;
    }
    Ok(bytes)
}
