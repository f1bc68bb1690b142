//! Where the rows of a JSON document are: forwards exactly, backwards as good as the last bytes
//! tell. Text is as the scanner sees it, one byte a unit.

use super::{Head, Tail};
use crate::split::{JsonText, Narrow};
use memchr::{memchr, memrchr};

/// Looks for the array that `keys` lead to; without keys, for the array that is the root, if it is
/// one. The header ends behind its bracket.
pub(super) fn head(keys: &[String], narrow: &Narrow, units: &[u8], whole: bool) -> Head {
    let found = match keys {
        [] => root(units),
        keys => Members { units, at: 0, narrow }.find(keys),
    };
    match found {
        Some(end) => Head::Found { header_bytes: end as u64 },
        None if whole => Head::NoRows,
        None => Head::NeedMore,
    }
}

/// Behind the root's bracket; at the start if the rows are values at the root.
fn root(units: &[u8]) -> Option<usize> {
    let first = units.iter().position(|&unit| !is_blank(unit))?;
    Some(if units[first] == b'[' { first + 1 } else { 0 })
}

/// Walks the members of objects. `None` where the text ends too early, or is not JSON.
struct Members<'a> {
    units: &'a [u8],
    at: usize,
    narrow: &'a Narrow,
}

impl<'a> Members<'a> {
    /// Behind the bracket of the first array that `keys` lead to.
    fn find(&mut self, keys: &[String]) -> Option<usize> {
        let keys = keys.iter().map(|key| self.narrow.text(key)).collect::<Vec<_>>();
        let mut level = 0;
        self.token(b'{')?;
        loop {
            match self.next()? {
                b'}' if level == 0 => return None,
                b'}' => {
                    self.at += 1;
                    level -= 1;
                }
                b',' => self.at += 1,
                b'"' => {
                    let key = self.string()?;
                    self.token(b':')?;
                    let on_the_way = decoded(key, self.narrow) == keys[level];
                    match (self.next()?, level + 1 == keys.len()) {
                        (b'[', true) if on_the_way => return Some(self.at + 1),
                        (b'{', false) if on_the_way => {
                            self.at += 1;
                            level += 1;
                        }
                        (first, _) => self.skip(first)?,
                    }
                }
                _ => return None,
            }
        }
    }

    /// The next byte that is not blank.
    fn next(&mut self) -> Option<u8> {
        self.at += self.units.get(self.at..)?.iter().position(|&unit| !is_blank(unit))?;
        Some(self.units[self.at])
    }

    fn token(&mut self, token: u8) -> Option<()> {
        let found = self.next()? == token;
        self.at += usize::from(found);
        found.then_some(())
    }

    /// Takes a string: what is between its quotes.
    fn string(&mut self) -> Option<&'a [u8]> {
        let start = self.at;
        self.at = JsonText::default().end_of_value(self.units, start).ok()??;
        Some(&self.units[start + 1..self.at - 1])
    }

    /// Takes a value that starts with `first`.
    fn skip(&mut self, first: u8) -> Option<()> {
        match first {
            b'"' | b'[' | b'{' => {
                self.at = JsonText::default().end_of_value(self.units, self.at).ok()??;
            }
            _ => {
                let rest = &self.units[self.at..];
                self.at +=
                    rest.iter().position(|&unit| is_blank(unit) || b",}]".contains(&unit))?;
            }
        }
        Some(())
    }
}

/// Looks backwards for the bracket that ends the rows: the last to close an array that is as deep
/// as `keys` say, and under the last of them where that can be seen. `whole` says that `units`
/// start behind the header. A document that is cut off has no footer: the scan says where, if
/// there is anything to scan.
pub(super) fn tail(keys: &[String], narrow: &Narrow, units: &[u8], whole: bool) -> Tail {
    let key = keys.last().map(|key| narrow.text(key));
    let is_key = |found: &[u8]| key.as_ref().is_some_and(|key| decoded(found, narrow) == *key);
    let mut backwards = Backwards { units, at: units.len(), closed: Vec::new(), depth: keys.len() };
    match backwards.find(is_key) {
        Seen::Rows(end) => Tail::Found { footer_bytes: (units.len() - end) as u64 },
        Seen::Start if !whole || units.is_empty() => Tail::NeedMore,
        Seen::Start | Seen::NoRows => Tail::Found { footer_bytes: 0 },
    }
}

/// Most brackets that are followed: more than a document may have open.
const DEPTH_MAX: usize = 2048;

/// Reads text from its end, which is in no string.
struct Backwards<'a> {
    units: &'a [u8],
    /// Everything from here on was read.
    at: usize,
    /// Closing brackets whose opening ones stand further ahead, the outermost first.
    closed: Vec<usize>,
    /// Objects around the rows.
    depth: usize,
}

enum Seen {
    /// The rows seem to end with the bracket at this index.
    Rows(usize),
    /// No rows can end here.
    NoRows,
    /// The start of the text.
    Start,
}

impl Backwards<'_> {
    fn find(&mut self, is_key: impl Fn(&[u8]) -> bool) -> Seen {
        let last = if self.depth == 0 { b']' } else { b'}' };
        if self.units.iter().rfind(|&&unit| !is_blank(unit)).is_some_and(|&unit| unit != last) {
            return Seen::NoRows;
        }
        while let Some(at) = self.special() {
            match self.units[at] {
                b']' | b'}' if self.closed.len() == DEPTH_MAX => return Seen::NoRows,
                b']' | b'}' => self.closed.push(at),
                opening => {
                    let rows = self.rows();
                    let Some(end) = self.closed.pop() else { return Seen::NoRows };
                    // A value at the root that is seen whole is a row, and the root no array.
                    let is_root = self.depth == 0 && self.closed.is_empty();
                    if is_root || (opening == b'[') != (self.units[end] == b']') {
                        return Seen::NoRows;
                    }
                    if rows == Some(end) && key_before(&self.units[..at]).is_none_or(&is_key) {
                        return Seen::Rows(end);
                    }
                }
            }
        }
        self.rows().map_or(Seen::Start, Seen::Rows)
    }

    /// Goes back to the next bracket outside strings.
    fn special(&mut self) -> Option<usize> {
        loop {
            let units = &self.units[..self.at];
            let at = units.iter().rposition(|unit| b"\"[]{}".contains(unit))?;
            if units[at] != b'"' {
                self.at = at;
                return Some(at);
            }
            self.at = opening_quote(&units[..at])?;
        }
    }

    /// The closing bracket of an array as deep as the rows are.
    fn rows(&self) -> Option<usize> {
        let (around, inside) = self.closed.split_at_checked(self.depth)?;
        let end = *inside.first()?;
        let is = |at: usize, bracket| self.units[at] == bracket;
        (is(end, b']') && around.iter().all(|&at| is(at, b'}'))).then_some(end)
    }
}

/// The quote that opens the string which `units` end in.
fn opening_quote(units: &[u8]) -> Option<usize> {
    let mut end = units.len();
    loop {
        let quote = memrchr(b'"', &units[..end])?;
        let backslashes = units[..quote].iter().rev().take_while(|&&unit| unit == b'\\').count();
        if backslashes.is_multiple_of(2) {
            return Some(quote);
        }
        end = quote;
    }
}

/// The key, as it is written, of the value before which `units` end.
fn key_before(units: &[u8]) -> Option<&[u8]> {
    let units = units.trim_ascii_end().strip_suffix(b":")?.trim_ascii_end().strip_suffix(b"\"")?;
    Some(&units[opening_quote(units)? + 1..])
}

/// Finds the end of the rows in all that follows a header.
#[derive(Debug)]
pub(super) struct Measure {
    /// The array of rows, until it is closed or found broken.
    text: Option<JsonText>,
    /// The rows may be values at the root, which nothing ends.
    may_be_values: bool,
    units: u64,
    end: Option<u64>,
}

impl Measure {
    /// The rows are where this many keys lead to.
    pub(super) fn new(keys: usize) -> Self {
        let text = Some(JsonText::inside_array(0));
        Self { text, may_be_values: keys == 0, units: 0, end: None }
    }

    pub(super) fn push(&mut self, units: &[u8]) {
        if let Some(text) = &mut self.text {
            match text.end_of_value(units, 0) {
                Ok(None) => {}
                Ok(Some(end)) => {
                    self.end = Some(self.units + end as u64 - 1);
                    self.text = None;
                }
                Err(_) => self.text = None,
            }
        }
        self.units += units.len() as u64;
    }

    /// Where the rows end, counted from the header's end; `None` if they do not.
    pub(super) fn end(&self) -> Option<u64> {
        self.end.or(self.may_be_values.then_some(self.units))
    }
}

/// A key as the row path has it: without escapes. What no text can hold becomes a byte no row path
/// has.
fn decoded(key: &[u8], narrow: &Narrow) -> Vec<u8> {
    let mut found = Vec::with_capacity(key.len());
    let mut rest = key;
    while let Some(backslash) = memchr(b'\\', rest) {
        found.extend_from_slice(&rest[..backslash]);
        let (decoded, length) = escape(&rest[backslash..]);
        match decoded {
            Some(decoded) => found.extend(narrow.text(decoded.encode_utf8(&mut [0; 4]))),
            None => found.push(0xFF),
        }
        rest = &rest[backslash + length..];
    }
    found.extend_from_slice(rest);
    found
}

/// What an escape stands for, and its length; two that are halves of one character are one.
fn escape(text: &[u8]) -> (Option<char>, usize) {
    let plain = |character| (Some(character), 2);
    match text.get(1) {
        Some(b'b') => plain('\u{8}'),
        Some(b'f') => plain('\u{c}'),
        Some(b'n') => plain('\n'),
        Some(b'r') => plain('\r'),
        Some(b't') => plain('\t'),
        Some(&quoted @ (b'"' | b'\\' | b'/')) => plain(char::from(quoted)),
        Some(b'u') => match (unit(text), text.get(6..).and_then(unit)) {
            (Some(high @ 0xD800..0xDC00), Some(low @ 0xDC00..0xE000)) => {
                (char::from_u32(0x10000 + (high - 0xD800) * 0x400 + (low - 0xDC00)), 12)
            }
            (Some(unit), _) => (char::from_u32(unit), 6),
            (None, _) => (None, 2),
        },
        Some(_) => (None, 2),
        None => (None, 1),
    }
}

/// The code unit that an escape of six bytes stands for.
fn unit(text: &[u8]) -> Option<u32> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0, |unit, &digit| Some(unit * 16 + char::from(digit).to_digit(16)?))
}

fn is_blank(unit: u8) -> bool {
    matches!(unit, b' ' | b'\t' | b'\r' | b'\n')
}

#[cfg(test)]
mod tests {
    use super::super::{Head, Measure, ProbeError, Tail, head, tail};
    use crate::format::{JsonFormat, RecordFormat};

    fn format(path: &str) -> RecordFormat {
        RecordFormat::Json(JsonFormat::try_new(path).unwrap())
    }

    /// What stands before the rows.
    fn header<'a>(path: &str, text: &'a str) -> Option<&'a str> {
        match head(&format(path), text.as_bytes(), true).unwrap() {
            Head::Found { header_bytes } => Some(&text[..usize::try_from(header_bytes).unwrap()]),
            Head::NoRows => None,
            Head::NeedMore => panic!("there is no more"),
        }
    }

    /// What stands behind the rows, if `text` is what follows the header, or the end of it.
    fn footer<'a>(path: &str, text: &'a str, whole: bool) -> Option<&'a str> {
        match tail(&format(path), text.as_bytes(), whole).unwrap() {
            Tail::Found { footer_bytes } => {
                Some(&text[text.len() - usize::try_from(footer_bytes).unwrap()..])
            }
            Tail::NeedMore => None,
            Tail::Unknown => panic!("the last bytes always tell something"),
        }
    }

    #[test]
    fn the_rows_are_those_under_the_keys_and_not_under_the_same_keys_elsewhere() {
        let found = "{\"b\":[0], \"x\":{\"a\":{\"b\":[1]}},\"a\":{\"a\":\"{[\\\"\",\"b\" :\n[";
        let text = format!("{found}2],\"b\":[3]}}}}");

        assert_eq!(header("/a/b", &text), Some(found));
        for end in 0..found.len() {
            assert_eq!(head(&format("/a/b"), &text.as_bytes()[..end], false), Ok(Head::NeedMore));
        }
    }

    #[test]
    fn keys_are_compared_as_what_they_say() {
        assert_eq!(header("/ab", "{\"\\u0061b\":[1]}"), Some("{\"\\u0061b\":["));
        assert_eq!(header("/\u{e4}", "{\"\\u00E4\":[]}"), Some("{\"\\u00E4\":["));
        assert_eq!(header("/\u{1f600}", "{\"\\uD83d\\uDE00\":[]}"), Some("{\"\\uD83d\\uDE00\":["));
        assert_eq!(header("/\\\"\n", "{\"\\\\\\\"\\n\":[]}"), Some("{\"\\\\\\\"\\n\":["));
        assert_eq!(header("/a", "{\"\\u0061b\":[1],\"\\ud83d\":[],\"\\a\":[],\"\\u00\":[]}"), None);
    }

    #[test]
    fn without_keys_the_rows_are_in_the_root_array_or_at_the_root() {
        assert_eq!(header("/", " \n[1]"), Some(" \n["));
        assert_eq!(header("/", " {}\n[1]"), Some(""));
        assert_eq!(header("/", " \n"), None);
        assert_eq!(head(&format("/"), b" ", false), Ok(Head::NeedMore));
    }

    #[test]
    fn what_is_no_array_holds_no_rows() {
        for text in
            ["", "[]", "{}", "1", "{\"a\":1}", "{\"a\":{}}", "{\"b\":[]}", "{\"a\"", "{\"a\"]"]
        {
            assert_eq!(header("/a", text), None, "{text}");
        }
    }

    #[test]
    fn the_footer_starts_with_the_bracket_that_closes_the_rows() {
        assert_eq!(footer("/", "1,[2] ] \n", true), Some("] \n"));
        assert_eq!(footer("/", "{}\n[2]", true), Some(""));
        assert_eq!(footer("/", "{}\n{}", false), Some(""));
        assert_eq!(footer("/a/b", "}]}]}}\n", false), Some("]}}\n"));
        assert_eq!(
            footer("/a", "\"[]\"],\"b\":{\"c\":[1]},\"d\":[2]}", true),
            Some("],\"b\":{\"c\":[1]},\"d\":[2]}")
        );
        assert_eq!(
            footer("/a", "{\"x\":1}],\"b\":\"]}\\\\\"}", false),
            Some("],\"b\":\"]}\\\\\"}")
        );
    }

    #[test]
    fn quotes_in_strings_end_none() {
        for text in [r#"1],"b":"]\"\\"}"#, r#"1],"b":"{[\"]"}"#] {
            assert_eq!(footer("/a", text, false), Some(&text[1..]));
        }
    }

    #[test]
    fn an_array_under_another_key_does_not_hold_the_rows() {
        assert_eq!(footer("/a", ",\"b\":[2]}", false), None);
        assert_eq!(footer("/a", "[1], \"a\" : [2],\"c\":[[3]]}", false), Some("],\"c\":[[3]]}"));
        assert_eq!(footer("/a/b", "9]},\"z\":[[1]]}", false), Some("]},\"z\":[[1]]}"));
        // All of the array that can be seen may be rows.
        assert_eq!(footer("/a", "2],\"c\":[3]}", false), Some("],\"c\":[3]}"));
        assert_eq!(footer("/a", "3]}", false), Some("]}"));
    }

    #[test]
    fn a_document_that_is_cut_off_has_no_footer() {
        assert_eq!(footer("/a", "{\"x\":[1]", true), Some(""));
        assert_eq!(footer("/a", "1,{\"x\":{}", true), Some(""));
        assert_eq!(
            tail(&format("/a"), b"", true),
            Err(ProbeError::NoLastRow { looked: 0, number: 8101 })
        );
    }

    #[test]
    fn the_end_of_the_rows_is_measured_exactly() {
        let measure = |path: &str, text: &str| {
            let mut measure = Measure::try_new(&format(path)).unwrap();
            text.as_bytes().chunks(3).for_each(|block| measure.push(block).unwrap());
            measure.finish()
        };

        assert_eq!(measure("/a", "[1],\"]\"],\"b\":[2]}"), Ok(10));
        let cut_off = Err(ProbeError::NoLastRow { looked: 4, number: 8101 });
        assert_eq!(measure("/a", "[1],"), cut_off);
        assert_eq!(measure("/a", "[1}]"), cut_off);
        assert_eq!(measure("/", "{} []"), Ok(0));
    }
}
