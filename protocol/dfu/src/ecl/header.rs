//! The values in the first record of a delimited file.

use super::{EclError, FIELDS_MAX};
use crate::format::CsvFormat;

/// The record's values in order, quotes and escapes taken away; blanks around them may remain.
pub(super) fn fields(record: &[u8], format: &CsvFormat) -> Result<Vec<Vec<u8>>, EclError> {
    let mark = if record.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    if record.len() == mark {
        return Err(EclError::Empty);
    }
    let tokens = Tokens::new(format);
    let mut reader = Reader { at: mark, fields: vec![Vec::new()], quote: None, fresh: true };
    while reader.at < record.len() {
        if !reader.step(record, &tokens)? {
            return Ok(reader.fields);
        }
    }
    match reader.quote {
        Some((_, offset)) if tokens.quotes_hide_terminators => {
            Err(EclError::UnterminatedQuote { offset })
        }
        _ => Ok(reader.fields),
    }
}

struct Reader {
    /// Offset of the next byte.
    at: usize,
    /// The values up to the one being read, which is the last.
    fields: Vec<Vec<u8>>,
    /// The open quote's number and offset.
    quote: Option<(usize, usize)>,
    /// Nothing but blanks of this field has been read.
    fresh: bool,
}

impl Reader {
    /// Takes one delimiter or byte; `false` at the record's terminator.
    fn step(&mut self, record: &[u8], tokens: &Tokens<'_>) -> Result<bool, EclError> {
        let rest = &record[self.at..];
        let (token, length) = match tokens.at(rest) {
            Some((token, bytes)) => (Some(token), bytes.len()),
            None => (None, 1),
        };
        let start = self.at;
        self.at += length;
        match (token, self.quote) {
            (Some(Token::Terminator), quote)
                if quote.is_none() || !tokens.quotes_hide_terminators =>
            {
                return Ok(false);
            }
            (Some(Token::Separator), None) => {
                if self.fields.len() == FIELDS_MAX {
                    return Err(EclError::TooManyFields { offset: self.at });
                }
                self.fields.push(Vec::new());
                self.fresh = true;
                return Ok(true);
            }
            (Some(Token::Quote(opening)), None) if self.fresh => {
                self.quote = Some((opening, start));
                self.fresh = false;
            }
            (Some(Token::Quote(closing)), Some((open, _))) if closing == open => {
                let doubled = match tokens.at(&record[self.at..]) {
                    Some((Token::Quote(next), bytes)) if next == open => bytes.len(),
                    _ => 0,
                };
                if doubled == 0 {
                    self.quote = None;
                } else {
                    self.value().extend_from_slice(&rest[..length]);
                    self.at += doubled;
                }
            }
            (Some(Token::Escape), _) => {
                let rest = &record[self.at..];
                let length = tokens.at(rest).map_or(rest.len().min(1), |(_, bytes)| bytes.len());
                self.value().extend_from_slice(&rest[..length]);
                self.at += length;
                self.fresh = false;
            }
            _ => {
                let data = &rest[..length];
                self.value().extend_from_slice(data);
                self.fresh &= matches!(data, b" " | b"\t");
            }
        }
        Ok(true)
    }

    fn value(&mut self) -> &mut Vec<u8> {
        self.fields.last_mut().expect("a record has at least one field")
    }
}

#[derive(Clone, Copy)]
enum Token {
    Separator,
    Quote(usize),
    Terminator,
    Escape,
}

/// The format's delimiters, longest first.
struct Tokens<'f> {
    tokens: Vec<(Token, &'f [u8])>,
    quotes_hide_terminators: bool,
}

impl<'f> Tokens<'f> {
    fn new(format: &'f CsvFormat) -> Self {
        let options = format.options();
        let mut tokens = Vec::new();
        tokens.extend(options.separators.iter().map(|token| (Token::Separator, &token[..])));
        tokens.extend(options.terminators.iter().map(|token| (Token::Terminator, &token[..])));
        tokens.extend(options.escapes.iter().map(|token| (Token::Escape, &token[..])));
        let quotes = options.quotes.iter().enumerate();
        tokens.extend(quotes.map(|(index, token)| (Token::Quote(index), &token[..])));
        tokens.sort_by_key(|(_, bytes)| std::cmp::Reverse(bytes.len()));
        Self { tokens, quotes_hide_terminators: options.quoted_terminator }
    }

    fn at(&self, bytes: &[u8]) -> Option<(Token, &'f [u8])> {
        self.tokens.iter().copied().find(|(_, token)| bytes.starts_with(token))
    }
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
