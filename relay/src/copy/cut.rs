//! Which bytes of the original go into which part of the copy: those of the same part, or, where
//! there are to be more or fewer, whole records of the one file that the parts make.

use super::error::{CopyError, PartFault};
use super::input::Input;
use super::original::{Ended, Original, Read};
use super::transfer::cancelled;
use super::writer::{PartShape, Writer, Written};
use crate::staging::StagingError;
use skyspray_dfu::format::RecordFormat;
use skyspray_dfu::join::{Joined, Placed, SEPARATOR_ATTRIBUTE, Stored, separator};
use skyspray_dfu::split::{Origin, Piece, Source, SplitOptions, Splitter};
use skyspray_dfu::splitting::Splitting;
use skyspray_wire::ids::SourceIndex;
use skyspray_wire::message::{Attributes, OriginRange, SourceNote};
use std::num::NonZeroU32;
use tokio::sync::mpsc::Sender;

/// What is said of how an original was split and does not hold of a copy that is split again.
const LAYOUT_ATTRIBUTES: [&str; 3] = [SEPARATOR_ATTRIBUTE, "sourcesWhole", "splitPointParts"];

/// How the parts of a copy are cut.
#[derive(Debug)]
pub(super) enum Cut {
    /// As those of the original.
    AsIs,
    /// On record boundaries of the one file they make.
    Again(Box<Again>),
    /// Not those of an original: on record boundaries of files.
    Split(Box<Split>),
}

/// One pass over files.
#[derive(Debug)]
pub(super) struct Split {
    splitting: Splitting,
    parts: NonZeroU32,
    splitter: Splitter,
    sources: Vec<SourceNote>,
    origins: Vec<Origin>,
}

impl Split {
    /// Into `parts`, with a splitter at the start of the first of `sources`.
    pub(super) fn new(
        splitting: Splitting,
        parts: NonZeroU32,
        splitter: Splitter,
        sources: Vec<SourceNote>,
    ) -> Self {
        Self { splitting, parts, splitter, sources, origins: Vec::new() }
    }

    fn findings(self) -> Findings {
        let replaced = self.splitter.replaced();
        let attributes = self.splitting.found_attributes(self.parts, &self.origins, replaced);
        let index = |index: usize| SourceIndex(u32::try_from(index).expect("sources are limited"));
        let range = |origin: &Origin| OriginRange {
            part: origin.part,
            part_offset: origin.part_offset,
            source: index(origin.source_index),
            source_offset: origin.source_offset,
            length: origin.length,
        };
        let ranges = self.origins.iter().map(range).collect();
        Findings { sources: self.sources, ranges, attributes }
    }
}

/// One pass over the file that the parts of the original make.
#[derive(Debug)]
pub(super) struct Again {
    format: RecordFormat,
    joined: Joined,
    splitter: Splitter,
    /// What every part of the copy starts and ends with, as it was read before the pass.
    header: Vec<u8>,
    footer: Vec<u8>,
    /// How many of the bytes that are in no part were pushed.
    added: usize,
    /// Bytes of the file pushed.
    at: u64,
    origins: Vec<Origin>,
}

/// What is known of parts that were cut, once everything was read.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// What they are made of. Empty where they are the parts of the original.
    pub(super) sources: Vec<SourceNote>,
    /// Which bytes of which of those.
    pub(super) ranges: Vec<OriginRange>,
    /// Attributes to add.
    pub(super) attributes: Attributes,
}

impl Cut {
    /// How to make `parts` parts. Reads what stands around the records, no more. Blocks.
    ///
    /// # Errors
    ///
    /// The original has no records to split on, or is not what is said of it.
    pub(super) fn prepare(original: &Original, parts: NonZeroU32) -> Result<Self, CopyError> {
        if parts.get() == original.record.parts {
            return Ok(Self::AsIs);
        }
        let name = || original.shown();
        let attributes = &original.record.attributes;
        let format = RecordFormat::from_attributes(attributes.iter().map(|(k, v)| (&**k, &**v)))
            .map_err(|source| CopyError::Format { name: name(), source })?;
        let options = SplitOptions::new(parts);
        if format == RecordFormat::Blob || options.stored_format(&format) != format {
            return Err(CopyError::Unsplittable { name: name(), format: format.name() });
        }
        let stored: Vec<Stored> = original
            .parts
            .iter()
            .map(|part| Stored { length: part.length, header: part.header, footer: part.footer })
            .collect();
        let filled = |part: &Stored| part.length > u64::from(part.header) + u64::from(part.footer);
        let first = stored.iter().position(filled).unwrap_or(0);
        let last = stored.iter().rposition(filled).unwrap_or(0);
        let said = attributes
            .iter()
            .find(|(key, _)| key == SEPARATOR_ATTRIBUTE)
            .map(|(_, value)| &**value);
        let between = separator(&format, stored[first].header, said);
        let joined = Joined::try_new(&stored, b"", &between)
            .map_err(|source| CopyError::Parts { name: name(), source })?;
        let header = original.piece(first, 0, stored[first].header)?;
        let Stored { length, footer, .. } = stored[last];
        let footer = original.piece(last, length - u64::from(footer), footer)?;
        let (front, back) = (header.clone(), footer.clone());
        let source =
            Source { length: joined.length, header: front, footer: back, ..Source::default() };
        let splitter = Splitter::try_new(&format, vec![source], options)
            .map_err(|source| CopyError::Records { name: name(), source })?;
        let origins = Vec::new();
        let (added, at) = (0, 0);
        let again = Again { format, joined, splitter, header, footer, added, at, origins };
        Ok(Self::Again(Box::new(again)))
    }

    /// The splitter at work, and what it has said of origins.
    fn splitter(&mut self) -> Option<(&mut Splitter, &mut Vec<Origin>)> {
        match self {
            Self::AsIs => None,
            Self::Again(again) => Some((&mut again.splitter, &mut again.origins)),
            Self::Split(split) => Some((&mut split.splitter, &mut split.origins)),
        }
    }

    /// The attributes of the copy that are known before anything is read.
    pub(super) fn attributes(&self, original: &Attributes) -> Attributes {
        let kept = |name: &str| {
            name != "workunit" && (matches!(self, Self::AsIs) || !LAYOUT_ATTRIBUTES.contains(&name))
        };
        original.iter().filter(|(name, _)| kept(name)).cloned().collect()
    }
}

/// Turns what is read of an original into parts of its copy.
#[derive(Debug)]
pub(super) struct Cutter<'a> {
    pub(super) input: &'a Input,
    pub(super) cut: Cut,
    pub(super) writer: Writer,
    /// Takes the parts that are written.
    pub(super) out: &'a Sender<Written>,
}

impl Cutter<'_> {
    /// Takes what was read, in order. Blocks.
    pub(super) fn take(&mut self, read: &Read) -> Result<(), Ended> {
        let placed = |again: &Again, part: usize| -> Placed { again.joined.parts[part] };
        match (&mut self.cut, read) {
            (Cut::AsIs, Read::Bytes { bytes, .. }) => self.append(bytes.as_ref()),
            (Cut::Split(_), Read::Bytes { bytes, .. }) => self.push(bytes.as_ref()),
            (Cut::Split(_), Read::End { .. }) => self.end_source(),
            (Cut::AsIs, Read::End { part }) => {
                let stored = &self.original().parts[*part];
                let (records, header, footer) = (stored.records, stored.header, stored.footer);
                self.end_part(PartShape { records, header, footer })
            }
            (Cut::Again(_), Read::End { .. }) => Ok(()),
            (Cut::Again(again), Read::Bytes { part, offset, bytes }) => {
                let bytes = bytes.as_ref();
                let Some((skip, count, at)) =
                    placed(again, *part).within(*offset, bytes.len() as u64)
                else {
                    return Ok(());
                };
                let index = |number: u64| usize::try_from(number).expect("within the bytes read");
                let bytes = &bytes[index(skip)..][..index(count)];
                if !again.has_edges(at, bytes) {
                    return Err(Ended::Failed(self.original().fault(*part, PartFault::Digest)));
                }
                self.add()?;
                self.push(bytes)
            }
        }
    }

    /// Ends the parts that are still open, once everything was read. Blocks.
    pub(super) fn finish(mut self) -> Result<Findings, Ended> {
        if let Cut::Again(_) = self.cut {
            self.end_source()?;
        }
        if let Some((splitter, _)) = self.cut.splitter() {
            splitter.finish().map_err(|error| Ended::Failed(self.input.records(error)))?;
            self.drain(&[])?;
        }
        match self.cut {
            Cut::AsIs => Ok(Findings::default()),
            Cut::Again(again) => Ok(again.findings(self.input)),
            Cut::Split(split) => Ok(split.findings()),
        }
    }

    /// The logical file whose parts are read.
    fn original(&self) -> &'_ Original {
        match self.input {
            Input::Original(original) => original,
            Input::Sources(_) => unreachable!("files are split, and have no parts"),
        }
    }

    fn end_source(&mut self) -> Result<(), Ended> {
        let Some((splitter, _)) = self.cut.splitter() else { return Ok(()) };
        splitter.end_source().map_err(|error| Ended::Failed(self.input.records(error)))?;
        self.drain(&[])
    }

    /// Pushes what stands in no part before the next bytes.
    fn add(&mut self) -> Result<(), Ended> {
        while let Cut::Again(again) = &mut self.cut
            && let Some((_, text)) =
                again.joined.added.get(again.added).filter(|(at, _)| *at == again.at)
        {
            let text = text.clone();
            again.added += 1;
            self.push(&text)?;
        }
        Ok(())
    }

    fn push(&mut self, block: &[u8]) -> Result<(), Ended> {
        if let Cut::Again(again) = &mut self.cut {
            again.at += block.len() as u64;
        }
        if let Some((splitter, _)) = self.cut.splitter() {
            splitter.push(block).map_err(|error| Ended::Failed(self.input.records(error)))?;
        }
        self.drain(block)
    }

    fn drain(&mut self, block: &[u8]) -> Result<(), Ended> {
        while let Some((splitter, origins)) = self.cut.splitter()
            && let Some(piece) = splitter.poll()
        {
            match piece {
                Piece::Bytes { range, .. } => self.append(&block[range])?,
                Piece::Literal { bytes, .. } => self.append(&bytes)?,
                Piece::Origin(origin) => origins.push(origin),
                Piece::PartEnd { records, header, footer, .. } => {
                    self.end_part(PartShape { records: Some(records), header, footer })?;
                }
            }
        }
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        self.writer.append(bytes).map_err(|source| self.full(source))
    }

    fn end_part(&mut self, shape: PartShape) -> Result<(), Ended> {
        let written = self.writer.end_part(shape).map_err(|source| self.full(source))?;
        self.out.blocking_send(written).map_err(|_| Ended::Unwanted)
    }

    fn full(&self, error: StagingError) -> Ended {
        Ended::Failed(match error {
            StagingError::Plane(source) => {
                CopyError::Plane { plane: self.writer.plane().clone(), source }
            }
            StagingError::Job(error) => cancelled(error),
        })
    }
}

impl Again {
    /// Whether header and footer, as far as they are among these bytes of the file, are still what
    /// they were when they were read.
    fn has_edges(&self, at: u64, bytes: &[u8]) -> bool {
        let footer_at = self.joined.length - self.footer.len() as u64;
        overlap_agrees((at, bytes), (0, &self.header))
            && overlap_agrees((at, bytes), (footer_at, &self.footer))
    }

    fn findings(&self, input: &Input) -> Findings {
        let comma =
            |pair: &[Origin]| pair[0].source_offset + pair[0].length < pair[1].source_offset;
        let mut attributes = Attributes::new();
        let json = matches!(self.format, RecordFormat::Json(_));
        if json && self.origins.windows(2).any(comma) {
            attributes.push((SEPARATOR_ATTRIBUTE.to_owned(), ",".to_owned()));
        }
        let ranges = self.origins.iter().flat_map(|origin| ranges(&self.joined, origin));
        let sources = match input {
            Input::Original(original) => original.notes(),
            Input::Sources(_) => Vec::new(),
        };
        Findings { sources, ranges: ranges.collect(), attributes }
    }
}

/// Whether two texts agree where both have bytes; each is given with where it stands.
fn overlap_agrees((at, left): (u64, &[u8]), (stands, right): (u64, &[u8])) -> bool {
    let from = at.max(stands);
    let to = (at + left.len() as u64).min(stands + right.len() as u64);
    if from >= to {
        return true;
    }
    let within = |start: u64| {
        let index = |number: u64| usize::try_from(number - start).expect("within the text");
        index(from)..index(to)
    };
    left[within(at)] == right[within(stands)]
}

/// A run of the file as runs of the parts it was made of.
fn ranges<'a>(joined: &'a Joined, origin: &Origin) -> impl Iterator<Item = OriginRange> + 'a {
    let (start, end) = (origin.source_offset, origin.source_offset + origin.length);
    let (part, part_offset) = (origin.part, origin.part_offset);
    let stops = |placed: &Placed| placed.at + (placed.to - placed.from);
    let first = joined.parts.partition_point(|placed| stops(placed) <= start);
    let behind = joined.parts[first..].iter().zip(first..);
    behind.take_while(move |(placed, _)| placed.at < end).filter_map(move |(placed, index)| {
        let (from, to) = (start.max(placed.at), end.min(stops(placed)));
        (from < to).then(|| OriginRange {
            part,
            part_offset: part_offset + (from - start),
            source: SourceIndex(u32::try_from(index).expect("parts are counted in 32 bits")),
            source_offset: placed.from + (from - placed.at),
            length: to - from,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use skyspray_wire::ids::PartIndex;

    #[test]
    fn texts_agree_where_both_have_bytes_and_elsewhere_need_not() {
        let agrees = |at, left: &str, stands, right: &str| {
            overlap_agrees((at, left.as_bytes()), (stands, right.as_bytes()))
        };

        assert!(agrees(0, "<r><a>", 0, "<r>"));
        assert!(agrees(2, "><a>", 0, "<r>"));
        assert!(agrees(3, "anything", 0, "<r>"));
        assert!(!agrees(1, "R><a>", 0, "<r>"));
        assert!(agrees(90, "x</", 91, "</r>"));
        assert!(!agrees(90, "x<x", 91, "</r>"));
        assert!(!agrees(93, "X>", 91, "</r>"));
        assert!(agrees(5, "abc", 0, ""));
    }

    #[test]
    fn a_run_of_the_file_is_told_as_runs_of_the_parts_it_came_from() {
        let stored = |length| Stored { length, header: 1, footer: 1 };
        // `[aaa` `,` `bbb` `,` `c]`, and a part without rows between the last two.
        let stored = [stored(5), stored(5), stored(2), stored(3)];
        let joined = Joined::try_new(&stored, b"", b",").unwrap();
        let run = |source_offset, length| Origin {
            part: PartIndex(7),
            part_offset: 20,
            source_index: 0,
            source_offset,
            length,
        };
        let told = |origin: &Origin| {
            let told = ranges(&joined, origin).map(|range| {
                (range.part_offset, range.source.0, range.source_offset, range.length)
            });
            told.collect::<Vec<_>>()
        };

        assert_eq!(joined.length, 11);
        assert_eq!(told(&run(2, 1)), [(20, 0, 2, 1)]);
        assert_eq!(told(&run(0, 11)), [(20, 0, 0, 4), (25, 1, 1, 3), (29, 3, 1, 2)]);
        assert_eq!(told(&run(6, 4)), [(20, 1, 2, 2), (23, 3, 1, 1)]);
        assert_eq!(told(&run(4, 1)), []);
    }
}
