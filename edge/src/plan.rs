//! Where a spray would split local files: the same pass over the records, without sending a byte.

use crate::exit::{Details, Exit, Explain};
use crate::source::{RecordError, SourceError};
use crate::splitting::{LookError, Splitting};
use skyspray_dfu::split::Planner;
use std::borrow::Cow;
use std::num::NonZeroU32;
use thiserror::Error;

pub use skyspray_dfu::split::PlannedPart;

/// Why there is no plan.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum PlanError {
    /// A source cannot be read, or changed meanwhile.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The records cannot be told apart.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A source is not what the options say.
    #[error(transparent)]
    Look(#[from] LookError),
}

impl PlanError {
    fn inner(&self) -> &dyn Explain {
        match self {
            Self::Source(error) => error,
            Self::Record(error) => error,
            Self::Look(error) => error,
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

    fn details(&self) -> Details {
        self.inner().details()
    }
}

/// Reads the sources once and says what each part would be. Documents whose end was guessed wrong
/// are read again. Blocks.
///
/// # Errors
///
/// As for [`PlanError`].
pub fn plan(splitting: &mut Splitting, parts: NonZeroU32) -> Result<Vec<PlannedPart>, PlanError> {
    match pass(splitting, parts) {
        Err(PlanError::Record(error)) if splitting.was_guessed_wrong(&error) => {
            splitting.measure()?;
            pass(splitting, parts)
        }
        other => other,
    }
}

fn pass(splitting: &Splitting, parts: NonZeroU32) -> Result<Vec<PlannedPart>, PlanError> {
    let mut planner = Planner::new(splitting.sources().len());
    splitting.walk(parts, |piece, _| {
        planner.take(piece);
        Ok::<(), PlanError>(())
    })?;
    Ok(planner.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::landing::{LandingPath, ZoneName};
    use crate::source::Source;
    use crate::splitting::BLOCK_BYTES;
    use crate::splitting::Wanted;
    use skyspray_dfu::format::{CsvFormat, RecordFormat};
    use skyspray_dfu::split::Layout;
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
        let wanted = Wanted { layout: Some(Layout::Balanced), ..Wanted::plain(format.clone()) };
        let mut splitting = Splitting::look(sources.to_vec(), wanted)?;
        let found = plan(&mut splitting, NonZeroU32::new(parts).unwrap())?;
        assert!(found.iter().enumerate().all(|(index, part)| part.part.0 as usize == index));
        Ok(found.iter().map(|part| (part.offset, part.length, part.records)).collect())
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
