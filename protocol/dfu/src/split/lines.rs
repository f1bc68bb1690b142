//! Delimited records as most files have them: a one-byte terminator (alone or after one other
//! byte, as in CR LF), one-byte separators, at most one quote of one byte, no escape.
//!
//! No byte is looked at alone. Bytes outside quotes are searched with memchr; where quotes are
//! dense, 64 bytes are decided together. Anything unusual goes the slower way in [`Lines::step`].

use super::error::Fault;
use super::ledger::Ledger;
use super::masks::{BLOCK_BYTES, Lanes, prefix_parity};
use super::scan::Scan;
use crate::format::CsvFormat;
use memchr::{memchr, memchr_iter, memrchr};

#[derive(Debug)]
pub(super) struct Lines {
    terminators: Terminators,
    quoting: Option<QuoteRules>,
    max_record: u32,
    state: State,
    /// The byte before the window.
    previous: u8,
}

/// Terminators that all end in the same byte, which is one of them itself.
#[derive(Debug)]
struct Terminators {
    last: u8,
    /// Index of the one-byte terminator in the format.
    bare: u8,
    /// First byte and index of every two-byte terminator.
    led: Vec<(u8, u8)>,
    tokens: Vec<Vec<u8>>,
}

#[derive(Debug)]
struct QuoteRules {
    quote: u8,
    separators: Vec<u8>,
    /// What a byte before a quote says about it, by byte.
    before: Box<[Before; 256]>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Before {
    /// A field starts after this byte.
    FieldStart,
    /// Blanks may stand between the start of a field and its quote.
    Blank,
    Data,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Outside {
        /// Nothing but blanks stands between here and the start of the field.
        at_field_start: bool,
    },
    /// In a field whose quote is at `opened`.
    Inside { opened: u64 },
    /// After a quote that closes the field, unless the next byte is a quote too.
    Closing { opened: u64 },
}

impl Lines {
    /// `None` if the format has delimiters that need [`super::tokens`].
    pub(super) fn for_format(format: &CsvFormat) -> Option<Self> {
        let options = format.options();
        // A quote that does not hide terminators decides nothing about records.
        let quotes = if options.quoted_terminator { &options.quotes[..] } else { &[] };
        let one_byte = |tokens: &[Vec<u8>]| tokens.iter().all(|token| token.len() == 1);
        if !options.escapes.is_empty() || quotes.len() > 1 {
            return None;
        }
        if !one_byte(&options.quotes) || !one_byte(&options.separators) {
            return None;
        }
        let terminators = Terminators::try_new(&options.terminators)?;
        if terminators.led.iter().any(|&(lead, _)| quotes.iter().any(|quote| quote[0] == lead)) {
            return None;
        }
        let quoting = quotes
            .first()
            .map(|quote| QuoteRules::new(quote[0], &options.separators, terminators.last));
        Some(Self {
            terminators,
            quoting,
            max_record: options.max_record.get(),
            state: State::START,
            previous: 0,
        })
    }

    /// Goes on from `at` to the next byte that needs a decision.
    fn step(&mut self, window: Window<'_>, at: usize, ledger: &mut Ledger) -> Result<usize, Fault> {
        let bytes = window.bytes;
        let Some(rules) = &self.quoting else {
            self.outside(window, at, bytes.len(), ledger)?;
            return Ok(bytes.len());
        };
        let quote = rules.quote;
        match self.state {
            State::Inside { opened } => match memchr(quote, &bytes[at..]) {
                Some(found) => {
                    self.state = State::Closing { opened };
                    Ok(at + found + 1)
                }
                None => Ok(bytes.len()),
            },
            State::Closing { opened } if bytes[at] == quote => {
                self.state = State::Inside { opened };
                Ok(at + 1)
            }
            State::Closing { .. } => {
                self.state = State::Outside { at_field_start: false };
                Ok(at)
            }
            State::Outside { at_field_start } => {
                let Some(distance) = memchr(quote, &bytes[at..]) else {
                    let starts = rules.at_field_start(&bytes[at..], at_field_start);
                    self.state = State::Outside { at_field_start: starts };
                    self.outside(window, at, bytes.len(), ledger)?;
                    return Ok(bytes.len());
                };
                if distance < DENSE_BYTES {
                    let reached = self.dense(window, at, ledger);
                    if reached > at {
                        return Ok(reached);
                    }
                }
                self.quote_outside(window, at, at + distance, ledger)
            }
        }
    }

    /// Decides the quote at `found`, the first one since `at`, which lies outside quotes.
    fn quote_outside(
        &mut self,
        window: Window<'_>,
        at: usize,
        found: usize,
        ledger: &mut Ledger,
    ) -> Result<usize, Fault> {
        let (Some(rules), State::Outside { at_field_start }) = (&self.quoting, self.state) else {
            unreachable!("only called outside quotes, where there are quotes");
        };
        let opens = rules.at_field_start(&window.bytes[at..found], at_field_start);
        self.outside(window, at, found, ledger)?;
        let position = window.start + found as u64;
        if opens {
            self.state = State::Inside { opened: position };
        } else {
            self.state = State::Outside { at_field_start: false };
            if ledger.is_inconsistent(position) {
                return Err(Fault::Inconsistent { quote: position });
            }
        }
        Ok(found + 1)
    }

    /// Takes the bytes from `at` to `to`, all outside quotes: every terminator ends a record.
    fn outside(
        &self,
        window: Window<'_>,
        mut at: usize,
        to: usize,
        ledger: &mut Ledger,
    ) -> Result<(), Fault> {
        while at < to {
            // Up to here no record can be too long and no part can end, so counting is enough.
            let safe = ledger.limit.min(ledger.record_start + u64::from(self.max_record));
            let plain = to.min(at.max(window.index_of(safe)));
            let run = &window.bytes[at..plain];
            if let Some(last) = memrchr(self.terminators.last, run) {
                let count = memchr_iter(self.terminators.last, &run[..=last]).count() as u64;
                ledger.terminator = self.terminator_at(window, at + last);
                ledger.end_records(count, window.start + (at + last + 1) as u64);
            }
            at = plain;
            if at == to {
                break;
            }
            match memchr(self.terminators.last, &window.bytes[at..to]) {
                Some(found) => {
                    let end = window.start + (at + found + 1) as u64;
                    self.check_length(end, ledger)?;
                    ledger.terminator = self.terminator_at(window, at + found);
                    ledger.end_record(end);
                    at += found + 1;
                }
                None => {
                    at = to;
                    self.check_length(window.start + to as u64, ledger)?;
                }
            }
        }
        Ok(())
    }

    /// Takes 64 bytes at a time from `at` while quotes are frequent and stand only where fields
    /// start or end. Returns how far it came; the rest is for [`Lines::step`].
    fn dense(&mut self, window: Window<'_>, mut at: usize, ledger: &mut Ledger) -> usize {
        let Some(rules) = &self.quoting else { return at };
        let quote = rules.quote;
        let mut quiet_blocks = 0;
        let (mut records, mut record_start) = (0, ledger.record_start);
        let (blocks, _) = window.bytes[at..].as_chunks::<BLOCK_BYTES>();
        for block in blocks {
            let start = window.start + at as u64;
            let end = start + BLOCK_BYTES as u64;
            let longest = record_start + u64::from(self.max_record);
            if end > ledger.limit || end > longest || quiet_blocks == QUIET_BLOCKS_MAX {
                break;
            }
            let lanes = Lanes::of(block);
            let quotes = lanes.occurrences(quote);
            let terminators = lanes.occurrences(self.terminators.last);
            let separators =
                rules.separators.iter().fold(0, |mask, byte| mask | lanes.occurrences(*byte));
            let carried = u64::from(matches!(self.state, State::Inside { .. })).wrapping_neg();
            let inside = prefix_parity(quotes) ^ carried;
            // A quote right after a closing one is a doubled quote: the field goes on.
            let may_open =
                self.state.may_open() | ((terminators | separators | quotes) & !inside) << 1;
            if quotes & inside & !may_open != 0 {
                break;
            }
            let ends = terminators & !inside;
            if ends != 0 {
                records += u64::from(ends.count_ones());
                record_start = end - u64::from(ends.leading_zeros());
            }
            self.state = self.state.after_block((block, rules), quotes, inside, start);
            quiet_blocks = if quotes == 0 { quiet_blocks + 1 } else { 0 };
            at += BLOCK_BYTES;
        }
        if records > 0 {
            ledger.terminator = self.terminator_at(window, window.index_of(record_start) - 1);
            ledger.end_records(records, record_start);
        }
        at
    }

    /// Which of the format's terminators ends with the byte at `index`.
    fn terminator_at(&self, window: Window<'_>, index: usize) -> u8 {
        let lead = if index == 0 { self.previous } else { window.bytes[index - 1] };
        let led = self.terminators.led.iter().find(|(byte, _)| *byte == lead);
        led.map_or(self.terminators.bare, |&(_, terminator)| terminator)
    }

    /// Refuses a record in progress that is too long at `end` already.
    fn check_length(&self, end: u64, ledger: &Ledger) -> Result<(), Fault> {
        if end - ledger.record_start <= u64::from(self.max_record) {
            return Ok(());
        }
        let quote = match self.state {
            State::Inside { opened } | State::Closing { opened } => Some(opened),
            State::Outside { .. } => None,
        };
        let record_start = ledger.record_start;
        Err(Fault::TooLong { record_start, max_record: self.max_record, quote })
    }
}

impl Scan for Lines {
    fn scan(&mut self, block: &[u8], base: u64, ledger: &mut Ledger) -> Result<(), Fault> {
        let mut start = base;
        for window in block.chunks(WINDOW_BYTES) {
            let mut at = 0;
            while at < window.len() {
                at = self.step(Window { bytes: window, start }, at, ledger)?;
                self.check_length(start + at as u64, ledger)?;
            }
            self.previous = window[window.len() - 1];
            start += window.len() as u64;
        }
        ledger.scanned(start);
        Ok(())
    }

    fn end_source(&mut self, end: u64, mend: bool, ledger: &mut Ledger) -> Result<(), Fault> {
        if let State::Inside { opened } = self.state {
            return Err(Fault::Unterminated { quote: opened });
        }
        if ledger.record_start < end {
            if mend {
                ledger.mend(end, &self.terminators.tokens[usize::from(ledger.terminator)]);
            }
            ledger.end_record(end);
        }
        self.state = State::START;
        Ok(())
    }
}

impl Terminators {
    fn try_new(tokens: &[Vec<u8>]) -> Option<Self> {
        let bare = tokens.iter().position(|token| token.len() == 1)?;
        let last = tokens[bare][0];
        let index = |index: usize| u8::try_from(index).expect("few terminators");
        let mut led = Vec::new();
        for (position, token) in tokens.iter().enumerate() {
            match token[..] {
                [byte] if byte == last => {}
                [lead, byte] if byte == last && lead != last => led.push((lead, index(position))),
                _ => return None,
            }
        }
        Some(Self { last, bare: index(bare), led, tokens: tokens.to_vec() })
    }
}

impl QuoteRules {
    fn new(quote: u8, separators: &[Vec<u8>], terminator: u8) -> Self {
        let mut before = Box::new([Before::Data; 256]);
        before[usize::from(b' ')] = Before::Blank;
        before[usize::from(b'\t')] = Before::Blank;
        before[usize::from(quote)] = Before::Data;
        for separator in separators {
            before[usize::from(separator[0])] = Before::FieldStart;
        }
        before[usize::from(terminator)] = Before::FieldStart;
        Self { quote, separators: separators.concat(), before }
    }

    /// Whether a quote after `bytes`, all outside quotes, stands at the start of a field; `before`
    /// is the answer for their first byte.
    #[inline(never)] // Where the length is known it is unrolled, and all bytes leave their registers.
    fn at_field_start(&self, bytes: &[u8], before: bool) -> bool {
        bytes
            .iter()
            .rev()
            .map(|&byte| self.before[usize::from(byte)])
            .find(|&kind| kind != Before::Blank)
            .map_or(before, |kind| kind == Before::FieldStart)
    }
}

impl State {
    const START: Self = Self::Outside { at_field_start: true };

    /// Bit 0 says whether a quote as the next byte opens or goes on with a field.
    fn may_open(self) -> u64 {
        match self {
            Self::Outside { at_field_start } => u64::from(at_field_start),
            Self::Inside { .. } => 0,
            Self::Closing { .. } => 1,
        }
    }

    /// The state after a regular block of 64 bytes that starts at `start`.
    fn after_block(
        self,
        (block, rules): (&[u8; BLOCK_BYTES], &QuoteRules),
        quotes: u64,
        inside: u64,
        start: u64,
    ) -> Self {
        let opened = || {
            let doubled = u64::from(matches!(self, Self::Closing { .. }));
            let closing = quotes & !inside;
            match (quotes & inside & !(closing << 1 | doubled), self) {
                (0, Self::Inside { opened } | Self::Closing { opened }) => opened,
                (0, Self::Outside { .. }) => unreachable!("a field is open, so a quote opened it"),
                (opening, _) => start + u64::from(63 - opening.leading_zeros()),
            }
        };
        if inside >> 63 == 1 {
            Self::Inside { opened: opened() }
        } else if quotes >> 63 == 1 {
            Self::Closing { opened: opened() }
        } else {
            let at_field_start = match rules.before[usize::from(block[BLOCK_BYTES - 1])] {
                Before::FieldStart => true,
                Before::Data => false,
                Before::Blank => rules.at_field_start(block, self == Self::START),
            };
            Self::Outside { at_field_start }
        }
    }
}

/// A few KiB of a block, so that what one search reads is in the cache for the next.
#[derive(Clone, Copy)]
struct Window<'a> {
    bytes: &'a [u8],
    /// Offset of the first byte in the stream.
    start: u64,
}

impl Window<'_> {
    /// The index of a stream offset, cut to the window.
    fn index_of(&self, offset: u64) -> usize {
        let index = offset.saturating_sub(self.start);
        usize::try_from(index).unwrap_or(usize::MAX).min(self.bytes.len())
    }
}

/// Bytes searched for quotes before they are searched for terminators: half of a level 1 cache.
const WINDOW_BYTES: usize = 16 * 1024;

/// A quote nearer than this makes it worth deciding 64 bytes at a time.
const DENSE_BYTES: usize = 256;

/// Blocks of 64 bytes without a quote after which memchr is tried again.
const QUIET_BLOCKS_MAX: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::csv::{CsvOptions, Role};

    fn fits(changes: &[(Role, &str)]) -> bool {
        let mut options = CsvOptions::default();
        for &(role, list) in changes {
            options.set(role, list).unwrap();
        }
        Lines::for_format(&CsvFormat::try_new(options).unwrap()).is_some()
    }

    #[test]
    fn usual_formats_are_scanned_fast_and_the_rest_by_token() {
        assert!(fits(&[]));
        assert!(fits(&[(Role::Quote, "")]));
        assert!(fits(&[(Role::Separator, ";,\\t"), (Role::Terminator, "|")]));
        assert!(!fits(&[(Role::Separator, "||")]));
        assert!(!fits(&[(Role::Terminator, ";,|")]));
        assert!(!fits(&[(Role::Terminator, "\\r\\n")]));
        assert!(!fits(&[(Role::Terminator, "\\n,\\n\\n")]));
        assert!(!fits(&[(Role::Terminator, "\\n,\\x22\\n")]));
        assert!(!fits(&[(Role::Escape, "\\\\")]));
        assert!(!fits(&[(Role::Quote, "\",'")]));
    }
}
