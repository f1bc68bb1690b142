//! Where HPCC begins to look for a record's end at an ideal boundary of plain csv.
//!
//! HPCC seeks to the boundary without knowing whether it lies inside quotes, reads on until a
//! quote tells, and takes the record end after that. The scanner knows anyway and splits at the
//! first record end after the same place, so the parts are HPCC's wherever it is right.

use super::lines::Lines;
use super::tokens::{Match, Table, Token};
use crate::format::CsvFormat;
use crate::format::csv::TOKEN_BYTES_MAX;
use memchr::memchr;

#[derive(Debug)]
pub(super) struct Deduction {
    table: Table,
    /// Set where all that matters can be read off single bytes.
    single: Option<Single>,
    state: State,
    /// Bytes after the boundary that were looked at.
    looked: usize,
    /// Bytes after the boundary that are looked at if nothing is known before; `None` between
    /// boundaries.
    window: Option<usize>,
    /// Where the bytes end that HPCC would have in its buffer, in the stream of all sources.
    buffer_end: u64,
}

/// What was seen since the boundary, without having told anything.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct State {
    before: Before,
    /// Nothing but quotes: the first may be the second half of a pair.
    only_quotes: bool,
    terminator_seen: bool,
}

/// What came last, blanks aside.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Before {
    /// A separator or terminator, or the boundary.
    Edge,
    Quote,
    Data,
}

/// A token, with what follows where that matters; or a byte of none.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Seen {
    Separator,
    Terminator,
    Quote {
        /// The same quote follows at once.
        again: bool,
    },
    Blank,
    /// An ordinary byte, or an escape and what it escapes.
    Data,
}

/// Quote and separators of one byte each, and terminators that all end in one of one byte.
#[derive(Debug)]
struct Single {
    quote: u8,
    separators: Vec<u8>,
    terminator: u8,
}

/// Bytes HPCC reads at once, and so the most it looks at from one boundary.
const WINDOW_BYTES: usize = 256 * 1024;

/// Bytes after a token's first that decide what it says: it, a token that follows, and what
/// that might be the beginning of.
const CONTEXT_BYTES: usize = 3 * TOKEN_BYTES_MAX;

impl Deduction {
    /// `None` if there are no quotes that hide terminators, so nothing to deduce.
    pub(super) fn for_format(csv: &CsvFormat) -> Option<Self> {
        let options = csv.options();
        if options.quotes.is_empty() || !options.quoted_terminator {
            return None;
        }
        Some(Self {
            table: Table::new(csv),
            single: Single::for_format(csv),
            state: State::START,
            looked: 0,
            window: None,
            // The first source is read from its start before the first boundary is sought.
            buffer_end: WINDOW_BYTES as u64,
        })
    }

    /// How far after `boundary` the search for a record's end begins; `None` if that depends on
    /// more bytes. `bytes` are those from the boundary on, all that were shown before with more
    /// behind them; `last` says that the source has no more.
    pub(super) fn look(&mut self, boundary: u64, bytes: [&[u8]; 2], last: bool) -> Option<u64> {
        let mut window = match self.window {
            Some(window) => window,
            None => self.open_window(boundary),
        };
        let mut known = self.read(bytes, window, last);
        if known.is_none() && self.looked >= window && self.reads_on(window) {
            window = WINDOW_BYTES;
            known = self.read(bytes, window, last);
        }
        self.window = Some(window);
        if known.is_none() && self.looked < window && !last {
            return None;
        }
        self.window = None;
        self.looked = 0;
        self.state = State::START;
        Some(known.unwrap_or(0) as u64)
    }

    /// The next boundary is one of another source.
    pub(super) fn end_source(&mut self) {
        self.buffer_end = 0;
    }

    /// HPCC goes on with what it has in its buffer, and reads only where the boundary lies beyond.
    fn open_window(&mut self, boundary: u64) -> usize {
        if self.buffer_end <= boundary {
            self.buffer_end = boundary + WINDOW_BYTES as u64;
        }
        usize::try_from(self.buffer_end - boundary).unwrap_or(WINDOW_BYTES).min(WINDOW_BYTES)
    }

    /// Whether HPCC reads more after a window that told nothing: it needs some terminator.
    fn reads_on(&mut self, window: usize) -> bool {
        let reads_on = window < WINDOW_BYTES && !self.state.terminator_seen;
        if reads_on {
            self.buffer_end += WINDOW_BYTES as u64;
        }
        reads_on
    }

    /// Looks at the bytes not looked at before. How far after the boundary it is known, if it is.
    fn read(&mut self, bytes: [&[u8]; 2], window: usize, last: bool) -> Option<usize> {
        let [waiting, block] = bytes;
        if let Some(rest) = waiting.get(self.looked..).filter(|rest| !rest.is_empty()) {
            let known = self.read_on(rest, window, last && block.is_empty());
            if known.is_some() || block.is_empty() {
                return known;
            }
        }
        if let Some(rest) = waiting.get(self.looked..).filter(|rest| !rest.is_empty()) {
            let context = &block[..block.len().min(CONTEXT_BYTES)];
            let joint = [rest, context].concat();
            let known = self.read_on(&joint, window, last && context.len() == block.len());
            if known.is_some() {
                return known;
            }
        }
        let looked = self.looked.checked_sub(waiting.len())?;
        self.read_on(&block[looked..], window, last)
    }

    /// Looks at tokens, the first one at the start of `bytes`, until one tells, begins beyond the
    /// window or may go on beyond the bytes, of which there are no more if they are the `last`.
    fn read_on(&mut self, bytes: &[u8], window: usize, last: bool) -> Option<usize> {
        let start = self.looked;
        let end = bytes.len().min(window.saturating_sub(start));
        let mut at = 0;
        while at < end {
            if let (Some(single), Before::Edge | Before::Data) = (&self.single, self.state.before) {
                let found = memchr(single.quote, &bytes[at..end]).map_or(end, |quote| at + quote);
                self.state.skip(&bytes[at..found], single);
                at = found;
                if at == end {
                    break;
                }
            }
            let Some((seen, length)) = self.seen(&bytes[at..], last) else { break };
            at += length;
            if self.state.take(seen) {
                return Some(start + at);
            }
        }
        self.looked = start + at;
        None
    }

    /// What `bytes`, of which there is one, begin with, and its length.
    fn seen(&self, bytes: &[u8], last: bool) -> Option<(Seen, usize)> {
        let (token, length) = self.token(bytes, last)?;
        let rest = &bytes[length..];
        let seen = match token {
            None if matches!(bytes[0], b' ' | b'\t') => Seen::Blank,
            None => Seen::Data,
            Some(Token::Separator) => Seen::Separator,
            Some(Token::Terminator(_)) => Seen::Terminator,
            Some(Token::Quote(_)) => {
                let (next, _) = self.token(rest, last)?;
                Seen::Quote { again: next == token }
            }
            Some(Token::Escape) => {
                let (_, escaped_length) = self.token(rest, last)?;
                return Some((Seen::Data, length + escaped_length));
            }
        };
        Some((seen, length))
    }

    /// The token `bytes` begin with, or no token and one byte; `None` if that depends on more.
    fn token(&self, bytes: &[u8], last: bool) -> Option<(Option<Token>, usize)> {
        if bytes.is_empty() {
            return last.then_some((None, 0));
        }
        match self.table.token_at(bytes, last) {
            Match::Token(token, length) => Some((Some(token), length)),
            Match::Data => Some((None, 1)),
            Match::Undecided => None,
        }
    }
}

impl State {
    const START: Self = Self { before: Before::Edge, only_quotes: true, terminator_seen: false };

    /// Whether it is known after this: data after a quote that is no half of a pair are inside
    /// quotes, a quote after data that is not doubled ends a field.
    fn take(&mut self, seen: Seen) -> bool {
        let tells = match (seen, self.before) {
            (Seen::Data, Before::Quote) => !self.only_quotes,
            (Seen::Quote { again }, Before::Data) => !again,
            _ => false,
        };
        self.only_quotes &= matches!(seen, Seen::Quote { .. });
        self.terminator_seen |= seen == Seen::Terminator;
        self.before = match seen {
            Seen::Blank => self.before,
            Seen::Data => Before::Data,
            Seen::Separator | Seen::Terminator => Before::Edge,
            Seen::Quote { .. } => Before::Quote,
        };
        tells
    }

    /// Takes bytes without a quote, after none.
    fn skip(&mut self, bytes: &[u8], single: &Single) {
        self.only_quotes &= bytes.is_empty();
        self.terminator_seen |= !self.terminator_seen && memchr(single.terminator, bytes).is_some();
        let is_edge = |byte| byte == single.terminator || single.separators.contains(&byte);
        let data = bytes.iter().rev().find(|&&byte| is_edge(byte) || !matches!(byte, b' ' | b'\t'));
        if let Some(&byte) = data {
            self.before = if is_edge(byte) { Before::Edge } else { Before::Data };
        }
    }
}

impl Single {
    /// `None` if delimiters of several bytes matter.
    fn for_format(csv: &CsvFormat) -> Option<Self> {
        // Wherever lines are enough, a byte alone says what stands before the byte after it.
        Lines::for_format(csv)?;
        let options = csv.options();
        let [quote] = options.quotes.first()?[..] else { return None };
        let terminator = options.terminators.iter().find(|token| token.len() == 1)?[0];
        Some(Self { quote, separators: options.separators.concat(), terminator })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::CsvOptions;
    use crate::format::csv::Role;

    fn deduction(changes: &[(Role, &str)]) -> Option<Deduction> {
        let mut options = CsvOptions::default();
        for &(role, list) in changes {
            options.set(role, list).unwrap();
        }
        Deduction::for_format(&CsvFormat::try_new(options).unwrap())
    }

    /// Bytes of `text`, where the source ends, after which it is known; the same when they come
    /// one by one.
    fn known(changes: &[(Role, &str)], text: &str) -> u64 {
        let text = text.as_bytes();
        let at_once = deduction(changes).unwrap().look(7, [&[], text], true).unwrap();
        let mut deduction = deduction(changes).unwrap();
        let one_by_one = (0..text.len()).find_map(|at| {
            let (waiting, block) = text[..=at].split_at(at);
            deduction.look(7, [waiting, block], false)
        });
        let one_by_one = one_by_one.or_else(|| deduction.look(7, [text, &[]], true));
        assert_eq!(one_by_one, Some(at_once));
        at_once
    }

    #[test]
    fn a_quote_after_data_tells_unless_it_is_doubled() {
        assert_eq!(known(&[], "ab\",c\n"), 3);
        assert_eq!(known(&[], "ab\"\n"), 3);
        assert_eq!(known(&[], "ab\""), 3);
        assert_eq!(known(&[], "a\t \"\n"), 4);
        assert_eq!(known(&[], "a\"\"\n\"\n"), 0);
    }

    #[test]
    fn data_after_a_quote_tell_unless_that_may_be_half_of_a_pair() {
        assert_eq!(known(&[], ",\"a\n"), 3);
        assert_eq!(known(&[], ",\" a\n"), 4);
        assert_eq!(known(&[], "a\"\"b\n"), 4);
        assert_eq!(known(&[], "\"a\n"), 0);
        assert_eq!(known(&[], "\"\"a\n"), 0);
        assert_eq!(known(&[], " \"a\n"), 3);
    }

    #[test]
    fn quotes_between_separators_and_terminators_tell_nothing() {
        assert_eq!(known(&[], "\"\",\"\"\r\n\",\"\n\""), 0);
        assert_eq!(known(&[], "ab,c\nd,\n"), 0);
    }

    #[test]
    fn delimiters_of_several_bytes_and_escapes_count_as_what_they_are() {
        let long = [(Role::Separator, "||"), (Role::Quote, "'',\""), (Role::Terminator, "<E>")];

        assert_eq!(known(&long, "||''a"), 5);
        assert_eq!(known(&long, "|''<E>"), 3);
        assert_eq!(known(&long, "a'''',"), 6);
        assert_eq!(known(&long, "a''\"b"), 3);
        assert_eq!(known(&long, "<E>''<E"), 6);
        assert_eq!(known(&[(Role::Escape, "\\\\")], "\\\"\",\n"), 3);
        assert_eq!(known(&[(Role::Escape, "\\\\")], ",\"\\"), 3);
    }

    #[test]
    fn at_most_as_much_is_looked_at_as_hpcc_reads() {
        let rows = |bytes: usize| "a\n".repeat(bytes / 2);
        let telling = rows(WINDOW_BYTES) + ",\"a";
        let boundary = WINDOW_BYTES as u64;

        let mut deduction = deduction(&[]).unwrap();
        let (within, beyond) = (&telling.as_bytes()[3..], &telling.as_bytes()[2..]);
        assert_eq!(deduction.look(boundary, [&[], &within[..WINDOW_BYTES - 1]], false), None);
        assert_eq!(deduction.look(boundary, [&[], within], false), Some(WINDOW_BYTES as u64));
        assert_eq!(deduction.look(2 * boundary, [&[], beyond], false), Some(0));
    }

    #[test]
    fn hpcc_goes_on_with_its_buffer_and_fills_it_again_only_without_a_terminator_in_it() {
        let boundary = WINDOW_BYTES as u64 - 10;
        let mut deduction = deduction(&[]).unwrap();

        assert_eq!(deduction.look(boundary, [&[], b"aaaaaaaa\na,\"a"], false), Some(0));
        assert_eq!(deduction.look(boundary, [&[], b"aaaaaaaaaa,\"a"], false), Some(13));
        // It has been filled by 256 KiB.
        assert_eq!(deduction.look(boundary, [&[], b"aaaaaaaa\na,\"a"], false), Some(13));
        deduction.end_source();
        assert_eq!(deduction.look(boundary + 20, [&[], b"a,\"a"], false), Some(4));
    }

    #[test]
    fn without_quotes_that_hide_terminators_there_is_nothing_to_deduce() {
        let blind = CsvOptions { quoted_terminator: false, ..CsvOptions::default() };

        assert!(deduction(&[(Role::Quote, "")]).is_none());
        assert!(Deduction::for_format(&CsvFormat::try_new(blind).unwrap()).is_none());
    }
}
