//! The beginnings and ends of sources: byte order marks, and headers and footers of documents.

use super::{Around, LookError, Wanted};
use crate::source::{Source, SourceError};
use skyspray_dfu::blob::PrefixSpec;
use skyspray_dfu::encoding::{Detected, Encoding};
use skyspray_dfu::format::RecordFormat;
use skyspray_dfu::look;
use std::os::unix::ffi::OsStrExt as _;

/// Bytes read to learn where in a footer its length is needed.
type Marks = Vec<Vec<u8>>;

/// The one encoding of all sources, and their byte order marks.
pub(super) fn encoding(
    sources: &[Source],
    wanted: &Wanted,
) -> Result<(Encoding, Marks), LookError> {
    let none = || Ok((wanted.format.encoding(), vec![Vec::new(); sources.len()]));
    if wanted.prefix.is_some() || !look::may_be_marked(&wanted.format, wanted.declared) {
        return none();
    }
    let firsts = sources
        .iter()
        .map(|source| look::first_bytes(source).map_err(|error| of(source, error)))
        .collect::<Result<Vec<_>, _>>()?;
    let marked = || firsts.iter().find_map(|first| look::marked_as(first));
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
        let found = look::around(source, format, mark).map_err(|error| of(source, error))?;
        let look::Around { mark, header, footer, has_rows } = found;
        rows += usize::from(has_rows);
        result.push(Around { mark, header, footer, prefix: Vec::new() });
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
            let footer = look::measured_footer(source, format, start);
            around.footer = footer.map_err(|error| of(source, error))?;
        }
    }
    Ok(())
}

/// The error with the source it is about.
fn of(source: &Source, error: look::LookError<SourceError>) -> LookError {
    let path = || source.at().to_string();
    match error {
        look::LookError::Read(error) => error.into(),
        look::LookError::Encoding(error) => LookError::Encoding { path: path(), error },
        look::LookError::Document(error) => LookError::Document { path: path(), error },
    }
}

impl look::Readable for Source {
    type Error = SourceError;

    fn length(&self) -> u64 {
        self.length()
    }

    fn read(&self, range: std::ops::Range<u64>) -> Result<Vec<u8>, SourceError> {
        read(self, range)
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
