//! Delimited records in general: any delimiters of any length, several quotes, escapes.
//!
//! Jumps from one byte that may begin a delimiter to the next. A delimiter cut by the edge of a
//! block is kept back, at most [`TOKEN_BYTES_MAX`] bytes, until it is decided.

use super::boundaries::Boundaries;
use super::error::Fault;
use super::ledger::{Ledger, Spanning};
use super::scan::Scan;
use crate::format::CsvFormat;
use crate::format::csv::TOKEN_BYTES_MAX;
use memchr::{memchr, memchr2, memchr3};
use std::num::NonZeroU32;
use std::ops::Range;

#[derive(Debug)]
pub(super) struct Tokens {
    table: Table,
    state: State,
    /// The end of what was scanned, cut inside what may be a token.
    held: Vec<u8>,
}

/// What the options say, prepared for searching.
#[derive(Debug)]
pub(super) struct Table {
    /// By first byte, then longest first.
    tokens: Vec<(Vec<u8>, Token)>,
    /// The bytes tokens begin with, without repeats.
    leads: Vec<u8>,
    /// Where the tokens are that begin with a byte, by byte.
    by_lead: Box<[Range<usize>; 256]>,
    terminators: Vec<Vec<u8>>,
    max_record: u32,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Token {
    Separator,
    Quote(u8),
    Terminator(u8),
    Escape,
}

pub(super) enum Match {
    Token(Token, usize),
    /// A byte that only looked like the beginning of a token.
    Data,
    /// More bytes could make a longer token.
    Undecided,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct State {
    quoting: Quoting,
    /// The next token, or byte, is data.
    escaped: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Quoting {
    Outside {
        /// Nothing but blanks stands between here and the start of the field.
        at_field_start: bool,
    },
    /// In a field that quote number `quote` opened.
    Inside { quote: u8, opened: u64 },
    /// After a quote that closes the field, unless the same quote follows.
    Closing { quote: u8, opened: u64 },
}

impl Tokens {
    pub(super) fn new(format: &CsvFormat) -> Self {
        Self { table: Table::new(format), state: State::START, held: Vec::new() }
    }
}

impl Scan for Tokens {
    fn scan(&mut self, block: &[u8], base: u64, ledger: &mut Ledger) -> Result<(), Fault> {
        let Self { table, state, held } = self;
        let waiting = held.len();
        let mut reached = 0;
        if waiting > 0 {
            let mut joint = held.clone();
            joint.extend_from_slice(&block[..block.len().min(TOKEN_BYTES_MAX)]);
            let span = Span { bytes: &joint, start: base - waiting as u64 };
            let taken = table.scan(state, span, false, ledger)?;
            reached = taken.saturating_sub(waiting);
            if taken < waiting {
                held.drain(..taken);
                held.extend_from_slice(block);
                ledger.scanned(base + block.len() as u64 - held.len() as u64);
                return Ok(());
            }
        }
        let rest = Span { bytes: &block[reached..], start: base + reached as u64 };
        reached += table.scan(state, rest, false, ledger)?;
        held.clear();
        held.extend_from_slice(&block[reached..]);
        ledger.scanned(base + reached as u64);
        Ok(())
    }

    fn end_source(&mut self, end: u64, mend: bool, ledger: &mut Ledger) -> Result<(), Fault> {
        let held = std::mem::take(&mut self.held);
        let before = self.state;
        let start = end - held.len() as u64;
        self.table.scan(&mut self.state, Span { bytes: &held, start }, true, ledger)?;
        if let Quoting::Inside { opened, .. } = self.state.quoting {
            return Err(Fault::Unterminated { quote: opened });
        }
        if ledger.record_start < end {
            if mend {
                let terminator = &self.table.terminators[usize::from(ledger.terminator)];
                if !self.table.mends(before, &held, terminator) {
                    return Err(Fault::CannotMend { end });
                }
                ledger.mend(end, terminator);
            }
            ledger.end_record(end);
        }
        self.state = State::START;
        Ok(())
    }
}

impl Table {
    pub(super) fn new(format: &CsvFormat) -> Self {
        let options = format.options();
        let mut tokens = Vec::new();
        let mut add = |list: &[Vec<u8>], token: fn(u8) -> Token| {
            for (index, bytes) in list.iter().enumerate() {
                let index = u8::try_from(index).expect("few alternatives in a role");
                tokens.push((bytes.clone(), token(index)));
            }
        };
        add(&options.terminators, Token::Terminator);
        add(&options.escapes, |_| Token::Escape);
        if options.quoted_terminator && !options.quotes.is_empty() {
            add(&options.quotes, Token::Quote);
            add(&options.separators, |_| Token::Separator);
        } else {
            // They decide nothing about records, but a longer one hides a terminator inside it.
            for list in [&options.quotes, &options.separators] {
                let long = list.iter().filter(|bytes| bytes.len() > 1).cloned().collect::<Vec<_>>();
                add(&long, |_| Token::Separator);
            }
        }
        tokens.sort_by_key(|(bytes, _)| (bytes[0], std::cmp::Reverse(bytes.len())));
        let mut leads = tokens.iter().map(|(bytes, _)| bytes[0]).collect::<Vec<_>>();
        leads.dedup();
        let mut by_lead = Box::new([const { 0..0 }; 256]);
        for (index, (bytes, _)) in tokens.iter().enumerate() {
            let range = &mut by_lead[usize::from(bytes[0])];
            let start = if range.start == range.end { index } else { range.start };
            *range = start..index + 1;
        }
        let terminators = options.terminators.clone();
        Self { tokens, leads, by_lead, terminators, max_record: options.max_record.get() }
    }

    /// Takes what can be decided of `span` and returns how many bytes that is; all of them if
    /// `last` says that nothing follows.
    fn scan(
        &self,
        state: &mut State,
        span: Span<'_>,
        last: bool,
        ledger: &mut Ledger,
    ) -> Result<usize, Fault> {
        let bytes = span.bytes;
        let mut at = 0;
        while at < bytes.len() {
            if !state.escaped {
                let lead = self.next_lead(&bytes[at..]).map_or(bytes.len(), |found| at + found);
                state.take_data(&bytes[at..lead]);
                at = lead;
                self.check_length(span.start + at as u64, state, ledger)?;
                if at == bytes.len() {
                    break;
                }
            }
            match self.token_at(&bytes[at..], last) {
                Match::Undecided => break,
                Match::Data => {
                    state.take_data(&bytes[at..=at]);
                    at += 1;
                }
                Match::Token(token, length) => {
                    let start = span.start + at as u64;
                    let end = start + length as u64;
                    at += length;
                    let was_escaped = std::mem::take(&mut state.escaped);
                    if was_escaped {
                        state.take_other();
                    } else if state.takes_terminator(token, start, ledger)? {
                        self.check_length(end, state, ledger)?;
                        let Token::Terminator(index) = token else {
                            unreachable!("only a terminator ends a record");
                        };
                        ledger.terminator = index;
                        ledger.end_record(end);
                    }
                }
            }
            self.check_length(span.start + at as u64, state, ledger)?;
        }
        Ok(at)
    }

    fn next_lead(&self, bytes: &[u8]) -> Option<usize> {
        match self.leads[..] {
            [first] => memchr(first, bytes),
            [first, second] => memchr2(first, second, bytes),
            [first, second, third] => memchr3(first, second, third, bytes),
            _ => bytes.iter().position(|&byte| !self.by_lead[usize::from(byte)].is_empty()),
        }
    }

    /// The longest token `bytes`, of which there is one, begin with. Undecided only if they are
    /// shorter than a token.
    pub(super) fn token_at(&self, bytes: &[u8], last: bool) -> Match {
        for (token, kind) in &self.tokens[self.by_lead[usize::from(bytes[0])].clone()] {
            if bytes.starts_with(token) {
                return Match::Token(*kind, token.len());
            }
            if !last && token.starts_with(bytes) {
                return Match::Undecided;
            }
        }
        Match::Data
    }

    /// Whether `terminator` after a source that ends in `held`, in the state before it, ends its
    /// last record and does nothing else.
    fn mends(&self, before: State, held: &[u8], terminator: &[u8]) -> bool {
        let ends = |bytes: &[u8]| {
            let mut state = before;
            let mut ledger = Ledger::new(Boundaries::none(NonZeroU32::MIN), Spanning::Earlier);
            let span = Span { bytes, start: 0 };
            self.scan(&mut state, span, true, &mut ledger).ok()?;
            Some((ledger.part_records, ledger.record_start))
        };
        let mended = [held, terminator].concat();
        match (ends(held), ends(&mended)) {
            (Some((records, _)), Some(after)) => after == (records + 1, mended.len() as u64),
            _ => false,
        }
    }

    /// Refuses a record in progress that is too long at `end` already.
    fn check_length(&self, end: u64, state: &State, ledger: &Ledger) -> Result<(), Fault> {
        if end - ledger.record_start <= u64::from(self.max_record) {
            return Ok(());
        }
        let quote = match state.quoting {
            Quoting::Inside { opened, .. } | Quoting::Closing { opened, .. } => Some(opened),
            Quoting::Outside { .. } => None,
        };
        let record_start = ledger.record_start;
        Err(Fault::TooLong { record_start, max_record: self.max_record, quote })
    }
}

impl State {
    const START: Self = Self { quoting: Quoting::Outside { at_field_start: true }, escaped: false };

    /// Takes bytes that are no token; none at all changes nothing.
    fn take_data(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let blank = bytes.iter().all(|byte| matches!(byte, b' ' | b'\t'));
        match self.quoting {
            Quoting::Outside { at_field_start: true } if blank => {}
            _ => self.take_other(),
        }
        self.escaped = false;
    }

    /// Takes something that is neither blank nor, where it stands, a delimiter.
    fn take_other(&mut self) {
        if !matches!(self.quoting, Quoting::Inside { .. }) {
            self.quoting = Quoting::Outside { at_field_start: false };
        }
    }

    /// Takes a token that is not escaped; `true` if it ends the record.
    fn takes_terminator(
        &mut self,
        token: Token,
        start: u64,
        ledger: &mut Ledger,
    ) -> Result<bool, Fault> {
        match (self.quoting, token) {
            (Quoting::Inside { quote, opened }, Token::Quote(found)) if found == quote => {
                self.quoting = Quoting::Closing { quote, opened };
            }
            (Quoting::Closing { quote, opened }, Token::Quote(found)) if found == quote => {
                self.quoting = Quoting::Inside { quote, opened };
            }
            (_, Token::Escape) => {
                self.take_other();
                self.escaped = true;
            }
            (Quoting::Inside { .. }, _) => {}
            (_, Token::Separator) => self.quoting = Quoting::Outside { at_field_start: true },
            (_, Token::Terminator(_)) => {
                self.quoting = Quoting::Outside { at_field_start: true };
                return Ok(true);
            }
            (Quoting::Outside { at_field_start: true }, Token::Quote(quote)) => {
                self.quoting = Quoting::Inside { quote, opened: start };
            }
            (_, Token::Quote(_)) => {
                self.take_other();
                if ledger.is_inconsistent(start) {
                    return Err(Fault::Inconsistent { quote: start });
                }
            }
        }
        Ok(false)
    }
}

/// Bytes and where they start in the stream.
#[derive(Clone, Copy)]
struct Span<'a> {
    bytes: &'a [u8],
    start: u64,
}
