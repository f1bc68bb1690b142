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
        Layout::Balanced => balanced(&readings, &starts, total, parts),
        Layout::WholeSources => whole(&starts, total, parts),
        Layout::SplitPoints => unreachable!("no case asks for it"),
    };
    let mut last_terminator = csv.terminators[0].clone();
    let mut result = vec![Part::default(); parts];
    for (index, reading) in readings.iter().enumerate() {
        let start = starts[index];
        check(index, reading, csv, |at| {
            // A record decides a split if an ideal boundary lies in it.
            options.layout == Layout::Balanced
                && cuts.iter().any(|cut| cut.ideal <= at + start && at + start < cut.at)
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
    at: usize,
}

/// The first record end beyond each ideal boundary, or the start of a source at it.
fn balanced(readings: &[Reading], starts: &[usize], total: usize, parts: usize) -> Vec<Cut> {
    let mut cuts: Vec<Cut> = Vec::new();
    for ordinal in 1..parts {
        let ideal = match total / parts {
            0 => ordinal * total / parts,
            part => ordinal * part,
        };
        let reached = cuts.last().map_or(0, |cut| cut.at);
        let filled = readings.iter().zip(starts).filter(|(r, _)| !r.records.is_empty());
        let source_starts = filled.map(|(_, &start)| start).filter(|&start| start >= ideal);
        let ends = readings.iter().zip(starts).flat_map(|(reading, start)| {
            reading.records.iter().map(move |record| start + record.end)
        });
        let next = ends.filter(|&end| end > ideal).chain(source_starts).min();
        let at = if reached >= ideal { reached } else { next.unwrap_or(total) };
        cuts.push(Cut { ideal, at });
    }
    cuts
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
            cuts.push(Cut { ideal: at, at });
        }
    }
    cuts.truncate(parts - 1);
    cuts
}

fn check(
    source: usize,
    reading: &Reading,
    csv: &CsvOptions,
    decides: impl Fn(usize) -> bool,
) -> Result<(), Simple> {
    let max = csv.max_record.get() as usize;
    for record in &reading.records {
        let stray = record.strays.iter().copied().filter(|&at| decides(at)).nth(1);
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
    let mut reader = Reader {
        csv,
        source,
        at: 0,
        start: 0,
        field_start: true,
        quote: None,
        strays: Vec::new(),
        records: Vec::new(),
    };
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

impl Reader<'_> {
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

    /// The longest token here.
    fn token(&self) -> Option<Vec<u8>> {
        let CsvOptions { separators, quotes, terminators, escapes, .. } = self.csv;
        let tokens = [separators, quotes, terminators, escapes].into_iter().flatten();
        let rest = &self.source[self.at..];
        tokens.filter(|token| rest.starts_with(token)).max_by_key(|token| token.len()).cloned()
    }

    fn end_record(&mut self, terminator: Option<Vec<u8>>) {
        let strays = std::mem::take(&mut self.strays);
        self.records.push(Record { start: self.start, end: self.at, terminator, strays });
        self.start = self.at;
        self.field_start = true;
        self.quote = self.quote.take().filter(|_| self.csv.quoted_terminator);
    }
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
