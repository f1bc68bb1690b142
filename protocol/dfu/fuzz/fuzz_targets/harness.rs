//! Splits bytes in two ways and checks that both say the same and that nothing is lost.

use skyspray_dfu::format::RecordFormat;
use skyspray_dfu::join::{Joined, Stored, separator};
use skyspray_dfu::probe::{self, Head, Tail};
use skyspray_dfu::split::{
    Join, Layout, Origin, Piece, Source, SplitError, SplitOptions, Splitter, Target,
};
use std::num::NonZeroU32;

/// The first bytes of an input decide how the rest is split.
pub struct Case<'a> {
    /// One of some formats.
    pub choice: u8,
    options: SplitOptions,
    block: usize,
    sources: Vec<&'a [u8]>,
}

impl<'a> Case<'a> {
    /// `None` if the input is too short to say anything.
    pub fn of(data: &'a [u8]) -> Option<Self> {
        let (&[choice, parts, cut, flags], content) = data.split_first_chunk()?;
        let parts = NonZeroU32::new(u32::from(parts) + 1)?;
        let mut options = SplitOptions::new(parts);
        if flags & 1 != 0 {
            options.join = Join::Verbatim;
        }
        if flags & 2 != 0 {
            options.layout = Layout::SplitPoints;
        }
        if flags & 4 != 0 {
            options.target = Target::Utf8;
        }
        let (first, second) = content.split_at(content.len() * usize::from(cut) / 255);
        let sources = if flags & 8 != 0 { vec![first, second] } else { vec![content] };
        Some(Self { choice, options, block: usize::from(flags >> 4) + 1, sources })
    }

    /// Splits in small blocks and in one, and checks what comes out.
    pub fn check(&self, format: &RecordFormat) {
        let Some(sources) = self.announced(format) else { return };
        let small = self.split(format, &sources, self.block);
        let whole = self.split(format, &sources, usize::MAX);
        // A block is scanned before it is converted, so which of two mistakes is met first depends
        // on the blocks where text is converted.
        if self.options.target == Target::Native || small.is_ok() || whole.is_ok() {
            assert_eq!(small, whole, "blocks of another size");
        }
        let Ok(parts) = whole else { return };
        let native = self.options.target == Target::Native;
        let copied = native && self.options.stored_format(format) == *format;
        // Blanks in an array without items are in no part.
        let rows = !matches!(format, RecordFormat::Json(_))
            || parts.iter().any(|part| part.records > 0);
        if copied && rows && self.sources.len() == 1 {
            let joined = join(format, &parts);
            assert!(joined == self.sources[0], "joined, the parts are not the source");
        }
        for part in parts.iter().filter(|_| copied) {
            for origin in &part.origins {
                let source = self.sources[origin.source_index];
                let taken = &source[at(origin.source_offset)..at(origin.source_offset + origin.length)];
                assert!(part.bytes[at(origin.part_offset)..].starts_with(taken));
            }
        }
    }

    /// The sources with what stands around their rows; `None` if that cannot be told.
    fn announced(&self, format: &RecordFormat) -> Option<Vec<Source>> {
        let mut sources = Vec::new();
        for content in &self.sources {
            let mut source = Source::plain(content.len() as u64);
            if matches!(format, RecordFormat::Xml(_) | RecordFormat::Json(_)) {
                match probe::head(format, content, true).ok()? {
                    Head::Found { header_bytes } => {
                        let (header, rows) = content.split_at(at(header_bytes));
                        source.header = header.to_vec();
                        let Tail::Found { footer_bytes } = probe::tail(format, rows, true).ok()?
                        else {
                            return None;
                        };
                        source.footer = rows[rows.len() - at(footer_bytes)..].to_vec();
                    }
                    _ => return None,
                }
            }
            sources.push(source);
        }
        Some(sources)
    }

    fn split(
        &self,
        format: &RecordFormat,
        sources: &[Source],
        block: usize,
    ) -> Result<Vec<Part>, SplitError> {
        let mut splitter = Splitter::try_new(format, sources.to_vec(), self.options)?;
        let mut parts = vec![Part::default()];
        for source in &self.sources {
            for block in source.chunks(block.min(source.len().max(1))) {
                splitter.push(block)?;
                drain(&mut splitter, block, &mut parts);
            }
            splitter.end_source()?;
            drain(&mut splitter, &[], &mut parts);
        }
        splitter.finish()?;
        drain(&mut splitter, &[], &mut parts);
        parts.pop();
        Ok(parts)
    }
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Part {
    bytes: Vec<u8>,
    records: u64,
    around: (u32, u32),
    origins: Vec<Origin>,
}

fn drain(splitter: &mut Splitter, block: &[u8], parts: &mut Vec<Part>) {
    while let Some(piece) = splitter.poll() {
        let last = parts.last_mut().expect("there is always one");
        match piece {
            Piece::Bytes { range, .. } => last.bytes.extend_from_slice(&block[range]),
            Piece::Literal { bytes, .. } => last.bytes.extend_from_slice(&bytes),
            Piece::Origin(origin) => last.origins.push(origin),
            Piece::PartEnd { length, records, header, footer, .. } => {
                assert_eq!(last.bytes.len() as u64, length);
                last.records = records;
                last.around = (header, footer);
                parts.push(Part::default());
            }
        }
    }
}

fn join(format: &RecordFormat, parts: &[Part]) -> Vec<u8> {
    let stored = |part: &Part| Stored {
        length: part.bytes.len() as u64,
        header: part.around.0,
        footer: part.around.1,
    };
    let shapes: Vec<Stored> = parts.iter().map(stored).collect();
    let dropped = parts.iter().flat_map(|part| &part.origins).collect::<Vec<_>>();
    let comma = dropped.windows(2).any(|pair| {
        pair[0].source_offset + pair[0].length < pair[1].source_offset
    });
    let header = parts.first().map_or(0, |part| part.around.0);
    let between = separator(format, header, comma.then_some(","));
    let joined = Joined::try_new(&shapes, b"", &between).expect("lengths are right");
    let mut file = vec![0; at(joined.length)];
    for (offset, bytes) in &joined.added {
        file[at(*offset)..][..bytes.len()].copy_from_slice(bytes);
    }
    for (part, placed) in parts.iter().zip(&joined.parts) {
        let taken = &part.bytes[at(placed.from)..at(placed.to)];
        file[at(placed.at)..][..taken.len()].copy_from_slice(taken);
    }
    file
}

fn at(offset: u64) -> usize {
    usize::try_from(offset).expect("inputs are small")
}
