//! Where a spray would split local files: the same pass over the records, without sending a byte.

use crate::exit::{Exit, Explain};
use crate::source::{RecordError, Source, SourceError};
use skyspray_dfu::format::RecordFormat;
use skyspray_dfu::split::{Piece, SplitError, SplitOptions, Splitter};
use skyspray_wire::ids::PartIndex;
use std::borrow::Cow;
use thiserror::Error;

/// Bytes read at once.
const BLOCK_BYTES: usize = 1 << 20;

/// A part as it would be stored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PlannedPart {
    /// The part.
    pub part: PartIndex,
    /// Where it starts in all parts put together, in bytes; in one source, its split point.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
    /// Records in it.
    pub records: u64,
}

/// Why there is no plan.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum PlanError {
    /// A source cannot be read, or changed meanwhile.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The records cannot be told apart.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl PlanError {
    fn inner(&self) -> &dyn Explain {
        match self {
            Self::Source(error) => error,
            Self::Record(error) => error,
        }
    }
}

impl Explain for PlanError {
    fn exit(&self) -> Exit {
        self.inner().exit()
    }

    fn code(&self) -> Cow<'static, str> {
        self.inner().code()
    }

    fn advice(&self) -> Option<String> {
        self.inner().advice()
    }
}

/// Reads the sources once and hands each part to `part` as soon as its end is known, in part
/// order. Blocks.
///
/// # Errors
///
/// As for [`PlanError`]. Parts handed out before an error are not a plan.
pub fn plan(
    sources: &[Source],
    format: &RecordFormat,
    options: SplitOptions,
    part: impl FnMut(PlannedPart),
) -> Result<(), PlanError> {
    let lengths = sources.iter().map(Source::length).collect::<Vec<_>>();
    let wrong = |error: SplitError| Source::record_error(sources, error);
    let splitter = Splitter::try_new(format, &lengths, options).map_err(wrong)?;
    let mut pass = Pass { splitter, offset: 0, part };
    let mut block = vec![0; BLOCK_BYTES];
    for source in sources {
        let mut offset = 0;
        while offset < source.length() {
            let left = source.length() - offset;
            let length = usize::try_from(left).unwrap_or(BLOCK_BYTES).min(BLOCK_BYTES);
            let bytes = &mut block[..length];
            source.read_exact_at(bytes, offset)?;
            pass.splitter.push(bytes).map_err(wrong)?;
            pass.drain();
            offset += length as u64;
        }
        pass.splitter.end_source().map_err(wrong)?;
        pass.drain();
        source.recheck()?;
    }
    pass.splitter.finish().map_err(wrong)?;
    pass.drain();
    Ok(())
}

struct Pass<F> {
    splitter: Splitter,
    offset: u64,
    part: F,
}

impl<F: FnMut(PlannedPart)> Pass<F> {
    fn drain(&mut self) {
        while let Some(piece) = self.splitter.poll() {
            if let Piece::PartEnd { part, length, records } = piece {
                let offset = self.offset;
                (self.part)(PlannedPart { part, offset, length, records });
                self.offset += length;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::landing::{LandingPath, ZoneName};
    use skyspray_dfu::format::CsvFormat;
    use skyspray_dfu::split::{Join, Layout};
    use skyspray_link::seam::files::{Caching, MemoryTree, RelPath, Tree as _};
    use std::num::NonZeroU32;
    use std::sync::Arc;

    fn sources(contents: &[&[u8]]) -> Vec<Source> {
        let tree = MemoryTree::new(64 << 20);
        let open = |(index, bytes): (usize, &&[u8])| {
            let path = RelPath::parse(format!("{index}")).unwrap();
            let file = tree.create_new(&path, 0o644, Caching::Buffered).unwrap();
            file.write_all_at(bytes, 0).unwrap();
            let zone = ZoneName::parse("in").unwrap();
            Source::open(&LandingPath { zone, tree: Arc::new(tree.clone()), path }).unwrap()
        };
        contents.iter().enumerate().map(open).collect()
    }

    fn planned(
        sources: &[Source],
        format: &RecordFormat,
        parts: u32,
    ) -> Result<Vec<(u64, u64, u64)>, PlanError> {
        let parts = NonZeroU32::new(parts).unwrap();
        let options = SplitOptions { parts, layout: Layout::Balanced, join: Join::Mend };
        let mut found = Vec::new();
        plan(sources, format, options, |part| {
            assert_eq!(part.part.0 as usize, found.len());
            found.push((part.offset, part.length, part.records));
        })?;
        Ok(found)
    }

    #[test]
    fn a_fixed_source_is_split_between_records() {
        let format = RecordFormat::Fixed { record_bytes: NonZeroU32::new(3).unwrap() };
        let found = planned(&sources(&[&[0; 30]]), &format, 4).unwrap();

        assert_eq!(found, [(0, 6, 2), (6, 6, 2), (12, 9, 3), (21, 9, 3)]);
    }

    #[test]
    fn a_csv_source_longer_than_a_block_is_read_whole() {
        let line = b"0123456,\"a\nb\"\n";
        let records = 3 * BLOCK_BYTES / line.len();
        let format = RecordFormat::Csv(CsvFormat::default());
        let found = planned(&sources(&[&line.repeat(records)]), &format, 2).unwrap();

        let (first, second) = (found[0], found[1]);
        assert_eq!(first.0, 0);
        assert_eq!((second.0, first.1 + second.1), (first.1, (records * line.len()) as u64));
        assert_eq!((first.2 + second.2, first.1 % line.len() as u64), (records as u64, 0));
    }

    #[test]
    fn a_missing_terminator_between_sources_is_counted_in_the_part() {
        let format = RecordFormat::Csv(CsvFormat::default());
        let found = planned(&sources(&[b"a\nb", b"", b"c\n"]), &format, 1).unwrap();

        assert_eq!(found, [(0, 6, 3)]);
    }

    #[test]
    fn a_broken_record_names_its_file_and_place() {
        let format = RecordFormat::Csv(CsvFormat::default());
        let error = planned(&sources(&[b"a\n", b"b,\"c\n"]), &format, 1).unwrap_err();

        assert_eq!((error.exit(), error.code().as_ref()), (Exit::Source, "record-invalid"));
        assert_eq!(
            crate::exit::Chain(&error).to_string(),
            "records of in:1 break off at offset 2: source 2 at offset 2: quote is never closed"
        );
    }
}
