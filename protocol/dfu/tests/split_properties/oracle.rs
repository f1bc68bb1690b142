//! The independent answer: sees whole sources, reads a byte at a time, and is slow.

use super::{Part, Simple};
use skyspray_dfu::format::{CsvFormat, CsvOptions};
use skyspray_dfu::split::{Join, Layout, SplitOptions};

/// One record of a source and the quotes in the middle of its fields.
struct Record {
    start: usize,
    end: usize,
    terminator: Option<Vec<u8>>,
    strays: Vec<usize>,
}

struct Reading {
    records: Vec<Record>,
    open_quote: Option<usize>,
}

pub(super) fn split(
    format: &CsvFormat,
    sources: &[Vec<u8>],
    options: SplitOptions,
) -> Result<Vec<Part>, Simple> {
    let csv = format.options();
    let parts = options.parts.get() as usize;
    if options.layout == Layout::WholeSources && sources.len() < parts {
        return Err(Simple::FewerSources);
    }
    let readings = sources.iter().map(|source| read(csv, source)).collect::<Vec<_>>();
    let mut starts = Vec::new();
    let mut total = 0;
    for source in sources {
        starts.push(total);
        total += source.len();
    }
    let cuts = match options.layout {
        Layout::Balanced => balanced(csv, sources, &readings, parts),
        Layout::WholeSources => whole(&starts, total, parts),
        Layout::SplitPoints => unreachable!("no case asks for it"),
    };
    let mut last_terminator = csv.terminators[0].clone();
    let mut result = vec![Part::default(); parts];
    for (index, reading) in readings.iter().enumerate() {
        let start = starts[index];
        check(index, reading, csv, |first, second| {
            // A record decides a split if the search for its end begins in it or before it.
            cuts.iter().filter(|cut| cut.ideal <= first + start).any(|cut| {
                cut.search.is_some_and(|search| (search..cut.at).contains(&(second + start)))
            })
        })?;
        let follows = sources[index + 1..].iter().any(|source| !source.is_empty());
        for record in &reading.records {
            let part = cuts.iter().filter(|cut| cut.at <= start + record.start).count();
            let part = &mut result[part];
            part.bytes.extend_from_slice(&sources[index][record.start..record.end]);
            if let Some(terminator) = &record.terminator {
                last_terminator.clone_from(terminator);
            } else if follows && options.join == Join::Mend {
                let mended = [&sources[index][..], &last_terminator].concat();
                let after = read(csv, &mended).records;
                let ends = after.len() == reading.records.len()
                    && after.last().is_some_and(|last| last.terminator.is_some());
                if !ends {
                    return Err(Simple::CannotMend { source: index });
                }
                part.bytes.extend_from_slice(&last_terminator);
            }
            part.records += 1;
        }
    }
    Ok(result)
}

struct Cut {
    ideal: usize,
    /// Where the search for a record's end begins, if one is made.
    search: Option<usize>,
    at: usize,
}

/// The first record end beyond where each search begins, or the start of a source there.
fn balanced(csv: &CsvOptions, sources: &[Vec<u8>], readings: &[Reading], parts: usize) -> Vec<Cut> {
    let starts = sources.iter().scan(0, |sum, source| {
        *sum += source.len();
        Some(*sum - source.len())
    });
    let starts = starts.collect::<Vec<_>>();
    let total = sources.iter().map(Vec::len).sum::<usize>();
    let ends = readings
        .iter()
        .zip(&starts)
        .flat_map(|(reading, start)| reading.records.iter().map(move |record| start + record.end));
    let ends = ends.collect::<Vec<_>>();
    let mut cuts: Vec<Cut> = Vec::new();
    // HPCC begins with the first 256 KiB of the stream in its buffer.
    let mut buffered = (0, BUFFER);
    for ordinal in 1..parts {
        let ideal = match total / parts {
            0 => ordinal * total / parts,
            part => ordinal * part,
        };
        let reached = cuts.last().map_or(0, |cut| cut.at);
        if reached >= ideal {
            cuts.push(Cut { ideal, search: None, at: reached });
            continue;
        }
        let inside = |index: &usize| {
            (starts[*index] + 1..starts[*index] + sources[*index].len()).contains(&ideal)
        };
        let search = (0..sources.len()).find(inside).map_or(ideal, |index| {
            let start = starts[index];
            if buffered.0 != start {
                buffered = (start, start);
            }
            let rest = &sources[index][ideal - start..];
            ideal + telling(csv, rest, ideal, &mut buffered.1)
        });
        let filled = (0..sources.len()).filter(|&index| !sources[index].is_empty());
        let source_starts = filled.map(|index| starts[index]).filter(|&start| start >= search);
        let record_ends = ends.iter().copied().filter(|&end| end > search);
        let at = record_ends.chain(source_starts).min().unwrap_or(total);
        cuts.push(Cut { ideal, search: Some(search), at });
    }
    cuts
}

/// What HPCC reads at once.
const BUFFER: usize = 256 * 1024;

#[derive(Clone, PartialEq)]
enum Kind {
    Quote(Vec<u8>),
    Separator,
    Terminator,
    Blank,
    Data,
}

/// Bytes of `rest`, which begins at `ideal`, up to where they tell whether its start lies inside
/// quotes; none if no token that begins in HPCC's buffer does. Where that has no terminator
/// either, HPCC fills it again.
fn telling(csv: &CsvOptions, rest: &[u8], ideal: usize, buffer_end: &mut usize) -> usize {
    if csv.quotes.is_empty() || !csv.quoted_terminator {
        return 0;
    }
    if *buffer_end <= ideal {
        *buffer_end = ideal + BUFFER;
    }
    let mut window = (*buffer_end - ideal).min(BUFFER);
    let mut seen: Vec<Kind> = Vec::new();
    let mut at = 0;
    while at < rest.len() {
        if at >= window {
            if window == BUFFER || seen.contains(&Kind::Terminator) {
                return 0;
            }
            *buffer_end += BUFFER;
            window = BUFFER;
        }
        let (length, kind) = kind_at(csv, &rest[at..]);
        let before = seen.iter().rev().find(|kind| **kind != Kind::Blank);
        at += length;
        let tells = match (before, &kind) {
            // It ends a field, unless it is doubled.
            (Some(Kind::Data), Kind::Quote(_)) => {
                at == rest.len() || kind_at(csv, &rest[at..]).1 != kind
            }
            // That quote began a field, unless it may be the second half of a pair.
            (Some(Kind::Quote(_)), Kind::Data) => {
                seen.iter().any(|kind| !matches!(kind, Kind::Quote(_)))
            }
            _ => false,
        };
        if tells {
            return at;
        }
        seen.push(kind);
    }
    0
}

/// The longest token `bytes` begin with, or a byte of none. An escape makes data of what follows.
fn kind_at(csv: &CsvOptions, bytes: &[u8]) -> (usize, Kind) {
    let Some(token) = token_at(csv, bytes) else {
        let blank = matches!(bytes[0], b' ' | b'\t');
        return (1, if blank { Kind::Blank } else { Kind::Data });
    };
    let length = token.len();
    if csv.escapes.contains(&token) {
        let rest = &bytes[length..];
        let escaped = token_at(csv, rest).map_or(1, |escaped| escaped.len());
        (length + escaped.min(rest.len()), Kind::Data)
    } else if csv.terminators.contains(&token) {
        (length, Kind::Terminator)
    } else if csv.separators.contains(&token) {
        (length, Kind::Separator)
    } else {
        (length, Kind::Quote(token))
    }
}

/// The assignment by tally that HPCC documents.
fn whole(starts: &[usize], total: usize, parts: usize) -> Vec<Cut> {
    let mut tally = 0;
    let mut cuts = Vec::new();
    for index in 0..starts.len() {
        tally += starts.len().min(parts);
        if tally >= starts.len() {
            tally -= starts.len();
            let at = starts.get(index + 1).copied().unwrap_or(total);
            cuts.push(Cut { ideal: at, search: None, at });
        }
    }
    cuts.truncate(parts - 1);
    cuts
}

fn check(
    source: usize,
    reading: &Reading,
    csv: &CsvOptions,
    contradict: impl Fn(usize, usize) -> bool,
) -> Result<(), Simple> {
    let max = csv.max_record.get() as usize;
    for record in &reading.records {
        let stray = (1..record.strays.len()).find_map(|index| {
            let (before, second) = (&record.strays[..index], record.strays[index]);
            before.iter().any(|&first| contradict(first, second)).then_some(second)
        });
        let too_long = record.end - record.start > max;
        match stray {
            Some(at) if !too_long || at <= record.start + max => {
                return Err(Simple::Inconsistent { source, offset: at as u64 });
            }
            _ if too_long => {
                return Err(Simple::TooLong { source, offset: record.start as u64 });
            }
            _ => {}
        }
    }
    match reading.open_quote {
        Some(at) => Err(Simple::Unterminated { source, offset: at as u64 }),
        None => Ok(()),
    }
}

/// Reads a whole source, a token or byte at a time.
fn read(csv: &CsvOptions, source: &[u8]) -> Reading {
    let mut reader = Reader::new(csv, source);
    while reader.at < source.len() {
        reader.step();
    }
    if reader.start < source.len() {
        reader.end_record(None);
    }
    Reading { records: reader.records, open_quote: reader.quote.map(|(_, at)| at) }
}

struct Reader<'a> {
    csv: &'a CsvOptions,
    source: &'a [u8],
    at: usize,
    start: usize,
    field_start: bool,
    /// The quote that is open and where it was opened.
    quote: Option<(Vec<u8>, usize)>,
    strays: Vec<usize>,
    records: Vec<Record>,
}

impl<'a> Reader<'a> {
    fn new(csv: &'a CsvOptions, source: &'a [u8]) -> Self {
        Self {
            csv,
            source,
            at: 0,
            start: 0,
            field_start: true,
            quote: None,
            strays: Vec::new(),
            records: Vec::new(),
        }
    }

    fn step(&mut self) {
        let at = self.at;
        let Some(token) = self.token() else {
            self.field_start &= matches!(self.source[at], b' ' | b'\t');
            self.at += 1;
            return;
        };
        let CsvOptions { separators, quotes, terminators, escapes, .. } = self.csv;
        let hides = self.csv.quoted_terminator;
        self.at += token.len();
        if escapes.contains(&token) {
            let rest = self.source.len() - self.at;
            self.at += self.token().map_or(1, |skipped| skipped.len()).min(rest);
            self.field_start = false;
        } else if terminators.contains(&token) && (self.quote.is_none() || !hides) {
            self.end_record(Some(token));
        } else if let Some((open, _)) = &self.quote {
            if token == *open && self.token().as_ref() == Some(open) {
                self.at += open.len();
            } else if token == *open {
                self.quote = None;
            }
        } else if separators.contains(&token) {
            self.field_start = true;
        } else if quotes.contains(&token) && hides {
            if self.field_start {
                self.quote = Some((token, at));
            } else {
                self.strays.push(at);
            }
            self.field_start = false;
        }
    }

    fn token(&self) -> Option<Vec<u8>> {
        token_at(self.csv, &self.source[self.at..])
    }

    fn end_record(&mut self, terminator: Option<Vec<u8>>) {
        let strays = std::mem::take(&mut self.strays);
        self.records.push(Record { start: self.start, end: self.at, terminator, strays });
        self.start = self.at;
        self.field_start = true;
        self.quote = self.quote.take().filter(|_| self.csv.quoted_terminator);
    }
}

/// The longest token `bytes` begin with.
fn token_at(csv: &CsvOptions, bytes: &[u8]) -> Option<Vec<u8>> {
    let CsvOptions { separators, quotes, terminators, escapes, .. } = csv;
    let tokens = [separators, quotes, terminators, escapes].into_iter().flatten();
    tokens.filter(|token| bytes.starts_with(token)).max_by_key(|token| token.len()).cloned()
}

pub(super) fn split_fixed(record: u64, sources: &[Vec<u8>], parts: u32) -> Vec<Part> {
    let total = sources.iter().map(|source| source.len() as u64).sum::<u64>();
    let parts = u64::from(parts);
    let ideal = |ordinal: u64| match total / parts {
        0 => ordinal * total / parts,
        part => ordinal * part,
    };
    let mut result = vec![Part::default(); parts as usize];
    let mut at = 0;
    for bytes in sources.iter().flat_map(|source| source.chunks(record as usize)) {
        let part = (1..parts).filter(|&ordinal| ideal(ordinal) < at + record).count();
        at += record;
        let part = &mut result[part];
        part.bytes.extend_from_slice(bytes);
        part.records += 1;
    }
    result
}
