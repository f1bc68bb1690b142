//! What the pieces of a splitter amount to: where each part starts, how long it is, and what it is
//! made of.

use super::{Origin, Piece};
use skyspray_wire::ids::PartIndex;

/// A part as it would be stored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PlannedPart {
    /// The part.
    pub part: PartIndex,
    /// Its split point: where it starts in the only source, or else in all parts put together, in
    /// bytes.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
    /// Records in it.
    pub records: u64,
    /// Bytes at its start that are a document's header.
    pub header: u32,
    /// Bytes at its end that are a document's footer.
    pub footer: u32,
    /// Which bytes of which sources it is made of.
    pub origins: Vec<Origin>,
}

impl PlannedPart {
    /// Bytes of the only source from the first to the last that is in the part; 0 for an empty
    /// part.
    pub fn source_length(&self) -> u64 {
        self.origins
            .last()
            .map_or(0, |last| (last.source_offset + last.length).saturating_sub(self.offset))
    }
}

/// Collects pieces into planned parts.
#[derive(Clone, Debug)]
pub struct Planner {
    one_source: bool,
    parts: Vec<PlannedPart>,
    origins: Vec<Origin>,
    /// Bytes in the parts so far.
    stored: u64,
    /// Where the last run of the only source ended.
    read: u64,
}

impl Planner {
    /// Of a split of so many sources.
    pub fn new(sources: usize) -> Self {
        Self {
            one_source: sources == 1,
            parts: Vec::new(),
            origins: Vec::new(),
            stored: 0,
            read: 0,
        }
    }

    /// Takes the next piece.
    pub fn take(&mut self, piece: Piece) {
        match piece {
            Piece::Bytes { .. } | Piece::Literal { .. } => {}
            Piece::Origin(origin) => self.origins.push(origin),
            Piece::PartEnd { part, length, records, header, footer } => {
                let origins = std::mem::take(&mut self.origins);
                let start = origins.first().map_or(self.read, |origin| origin.source_offset);
                let end = origins.last().map(|origin| origin.source_offset + origin.length);
                self.read = end.unwrap_or(self.read);
                let offset = if self.one_source { start } else { self.stored };
                self.stored += length;
                let planned =
                    PlannedPart { part, offset, length, records, header, footer, origins };
                self.parts.push(planned);
            }
        }
    }

    /// The parts, once everything was taken.
    pub fn finish(self) -> Vec<PlannedPart> {
        self.parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(part: u32, length: u64) -> Piece {
        Piece::PartEnd { part: PartIndex(part), length, records: 1, header: 1, footer: 1 }
    }

    fn origin(part: u32, source_index: usize, source_offset: u64, length: u64) -> Piece {
        let part = PartIndex(part);
        Piece::Origin(Origin { part, part_offset: 1, source_index, source_offset, length })
    }

    #[test]
    fn parts_of_one_source_start_where_it_is_cut_and_of_several_where_they_would_be_joined() {
        let planned = |sources| {
            let mut planner = Planner::new(sources);
            for piece in [origin(0, 0, 1, 4), end(0, 6), end(1, 2), origin(2, 0, 6, 3), end(2, 5)] {
                planner.take(piece);
            }
            let parts = planner.finish();
            let shown = |part: &PlannedPart| (part.offset, part.length, part.source_length());
            parts.iter().map(shown).collect::<Vec<_>>()
        };

        assert_eq!(planned(1), [(1, 6, 4), (5, 2, 0), (6, 5, 3)]);
        let starts: Vec<u64> = planned(2).into_iter().map(|(offset, ..)| offset).collect();
        assert_eq!(starts, [0, 6, 8]);
    }
}
