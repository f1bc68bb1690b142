//! The producers of sending jobs: they read sources on a thread of their own, cut them into parts
//! and hand chunks to the feed.

use super::chunker::Chunker;
use super::fault::UploadFault;
use crate::source::Source;
use crate::splitting::Splitting;
use skyspray_dfu::split::{Origin, Piece, SplitError, Splitter};
use skyspray_link::feed::{PartEnd, Producer};
use skyspray_wire::ids::{PartIndex, SourceIndex};
use skyspray_wire::message::{Attributes, OriginRange, SourceNote};
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes after which what was read is dropped from the page cache.
pub(super) const FORGET_EVERY: u64 = 64 * 1024 * 1024;

/// What a spray reads: sources in order, as one stream of records.
#[derive(Debug)]
pub(super) struct SprayPlan {
    splitting: Splitting,
    parts: NonZeroU32,
    findings: Mutex<Findings>,
}

/// What is known of a spray once everything was read.
#[derive(Debug, Default)]
struct Findings {
    /// Which bytes of which sources the parts are made of.
    origins: Vec<Origin>,
    /// Illegal sequences of text that were replaced.
    replaced: u64,
}

impl SprayPlan {
    /// Sources that were looked at, into `parts`.
    pub(super) fn new(splitting: Splitting, parts: NonZeroU32) -> Self {
        Self { splitting, parts, findings: Mutex::default() }
    }

    /// Illegal sequences of text that were replaced, once everything was read.
    pub(super) fn replaced(&self) -> u64 {
        self.found().replaced
    }

    /// What the parts were made of, once everything was read.
    pub(super) fn origins(&self) -> (Vec<SourceNote>, Vec<OriginRange>) {
        let index = |index: usize| SourceIndex(u32::try_from(index).expect("sources are limited"));
        let sources = self.splitting.sources().iter().enumerate().map(|(number, source)| {
            SourceNote::new(index(number), &source.at().to_string(), source.length())
        });
        let found = self.found();
        let ranges = found.origins.iter().map(|origin| OriginRange {
            part: origin.part,
            part_offset: origin.part_offset,
            source: index(origin.source_index),
            source_offset: origin.source_offset,
            length: origin.length,
        });
        (sources.collect(), ranges.collect())
    }

    /// Attributes of the logical file that are known only once everything was read.
    pub(super) fn late_attributes(&self) -> Attributes {
        let found = self.found();
        self.splitting.found_attributes(self.parts, &found.origins, found.replaced)
    }

    fn found(&self) -> MutexGuard<'_, Findings> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the options fit the sources, before anything is asked of a relay.
    pub(super) fn check(&self) -> Result<(), UploadFault> {
        Ok(self.splitting.splitter(self.parts).map(|_| ())?)
    }

    fn fault(&self, error: SplitError) -> UploadFault {
        UploadFault::Record(self.splitting.explain(error))
    }

    /// Reads everything once, in order. Blocks.
    pub(super) fn produce(&self, producer: &Producer<UploadFault>) -> Result<(), UploadFault> {
        let mut splitter = self.splitting.splitter(self.parts)?;
        let mut chunker = Chunker::new(producer, PartIndex(0));
        let mut findings = Findings::default();
        let mut ended = 0;
        let mut drain = |splitter: &mut Splitter, chunker: &mut Chunker<'_, UploadFault>| {
            std::iter::from_fn(|| splitter.poll()).try_for_each(|piece| match piece {
                Piece::Bytes { range, .. } => chunker.take(range),
                Piece::Literal { bytes, .. } => chunker.insert(&bytes),
                Piece::Origin(origin) => {
                    findings.origins.push(origin);
                    Ok(())
                }
                Piece::PartEnd { part, length, records, header, footer } => {
                    ended += 1;
                    let records = Some(records);
                    chunker.end_part(PartEnd { part, length, records, header, footer })
                }
            })
        };
        for source in self.splitting.sources() {
            let mut offset = 0;
            while offset < source.length() {
                let space = chunker.space()?;
                let left = source.length() - offset;
                let count = usize::try_from(left).map_or(space.len(), |left| left.min(space.len()));
                source.read_exact_at(&mut space[..count], offset)?;
                chunker.begin_block(count);
                splitter.push(chunker.block()).map_err(|error| self.fault(error))?;
                drain(&mut splitter, &mut chunker)?;
                let before = offset / FORGET_EVERY;
                offset += count as u64;
                if offset / FORGET_EVERY > before {
                    source.forget_before(offset);
                }
            }
            splitter.end_source().map_err(|error| self.fault(error))?;
            drain(&mut splitter, &mut chunker)?;
        }
        splitter.finish().map_err(|error| self.fault(error))?;
        drain(&mut splitter, &mut chunker)?;
        findings.replaced = splitter.replaced();
        *self.found() = findings;
        producer.plan_end(ended)?;
        Ok(())
    }
}

/// Reads one file of a push into the chunker's part. Blocks.
pub(super) fn read_whole(
    source: &Source,
    chunker: &mut Chunker<'_, UploadFault>,
) -> Result<(), UploadFault> {
    let mut offset = 0;
    while offset < source.length() {
        let space = chunker.space()?;
        let left = source.length() - offset;
        let count = usize::try_from(left).map_or(space.len(), |left| left.min(space.len()));
        source.read_exact_at(&mut space[..count], offset)?;
        chunker.begin_block(count);
        chunker.take(0..count)?;
        offset += count as u64;
    }
    source.recheck()?;
    let (part, length) = (chunker.part(), source.length());
    chunker.end_part(PartEnd { part, length, records: None, header: 0, footer: 0 })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::landing::{LandingPath, ZoneName};
    use crate::plan::plan;
    use crate::splitting::{SEPARATOR_ATTRIBUTE, Wanted};
    use skyspray_dfu::format::{JsonFormat, RecordFormat};
    use skyspray_link::seam::files::{Caching, MemoryTree, RelPath, Tree as _};
    use std::sync::Arc;

    /// What is said to stand between the parts of JSON sources.
    fn separator(contents: &[&str], parts: u32) -> Option<String> {
        let tree = MemoryTree::new(1 << 20);
        let open = |(index, text): (usize, &&str)| {
            let path = RelPath::parse(format!("{index}")).unwrap();
            let file = tree.create_new(&path, 0o644, Caching::Buffered).unwrap();
            file.write_all_at(text.as_bytes(), 0).unwrap();
            let zone = ZoneName::parse("in").unwrap();
            Source::open(&LandingPath { zone, tree: Arc::new(tree.clone()), path }).unwrap()
        };
        let sources = contents.iter().enumerate().map(open).collect();
        let parts = NonZeroU32::new(parts).unwrap();
        let format = RecordFormat::Json(JsonFormat::try_new("/").unwrap());
        let mut splitting = Splitting::look(sources, Wanted::plain(format)).unwrap();
        let planned = plan(&mut splitting, parts).unwrap();
        let spray = SprayPlan::new(splitting, parts);
        spray.found().origins = planned.into_iter().flat_map(|part| part.origins).collect();
        let attributes = spray.late_attributes();
        attributes.into_iter().find(|(name, _)| name == SEPARATOR_ATTRIBUTE).map(|(_, said)| said)
    }

    #[test]
    fn two_values_of_two_sources_are_not_one_when_their_parts_are_joined() {
        assert_eq!(separator(&["1 2", "3 4"], 2).as_deref(), Some("\n"));
        assert_eq!(separator(&["\u{feff}1 2", "\u{feff}3 4"], 2).as_deref(), Some("\n"));
        assert_eq!(separator(&["1,2,3,4"], 2).as_deref(), Some(","));
        for (contents, parts) in
            [(&["1 2", "3 4"][..], 1), (&["1 2\n3 4\n"], 2), (&["[1, 2]", "[3, 4]"], 2)]
        {
            assert_eq!(separator(contents, parts), None, "{contents:?}");
        }
    }
}
