//! Whether the options fit the format and the sources, before anything is read.

use super::{Layout, Source, SplitError, SplitOptions, Target};
use crate::encoding::Encoding;
use crate::format::RecordFormat;

/// Bytes of a block of [`RecordFormat::Blocked`].
pub(super) const BLOCK_BYTES: u32 = 32768;

pub(super) fn options(
    format: &RecordFormat,
    sources: &[Source],
    options: &SplitOptions,
) -> Result<(), SplitError> {
    let parts = options.parts.get();
    if options.layout == Layout::WholeSources && sources.len() < parts as usize {
        return Err(SplitError::FewerSources { sources: sources.len(), parts });
    }
    let from = format.name();
    let refuse = |to, number| Err(SplitError::NoConversion { from, to, number });
    match (options.target, format) {
        (Target::Native, _) | (Target::Variable, RecordFormat::Fixed { .. }) => Ok(()),
        (Target::Variable, _) => refuse("variable", 8051),
        (Target::Utf8 | Target::Utf8WithMark, _) if format.encoding() != Encoding::Ascii => Ok(()),
        (Target::Utf8 | Target::Utf8WithMark, RecordFormat::Csv(_)) => refuse("utf8", 8072),
        (Target::Utf8 | Target::Utf8WithMark, _) => refuse("utf8", 8075),
    }
}

pub(super) fn lengths(format: &RecordFormat, sources: &[Source]) -> Result<(), SplitError> {
    let multiple = match format {
        RecordFormat::Fixed { record_bytes } => record_bytes.get(),
        RecordFormat::Blocked => BLOCK_BYTES,
        _ => return units(format, sources),
    };
    let partial = |source: &Source| !source.length.is_multiple_of(u64::from(multiple));
    match sources.iter().position(partial) {
        None => Ok(()),
        Some(source_index) => Err(SplitError::PartialRecord {
            source_index,
            length: sources[source_index].length,
            record_bytes: multiple,
        }),
    }
}

fn units(format: &RecordFormat, sources: &[Source]) -> Result<(), SplitError> {
    let unit_bytes = format.encoding().unit_bytes();
    let text = |source: &Source| source.length.saturating_sub(u64::from(source.mark));
    let partial = |source: &Source| !text(source).is_multiple_of(u64::from(unit_bytes));
    match sources.iter().position(partial) {
        None => Ok(()),
        Some(source_index) => Err(SplitError::PartialUnit {
            source_index,
            length: text(&sources[source_index]),
            unit_bytes,
        }),
    }
}
