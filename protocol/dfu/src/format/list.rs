//! HPCC's option syntax for delimiters: alternatives separated by `,`, with backslash escapes.

use std::fmt::Write;
use thiserror::Error;

/// Why a text is no list of delimiters. The user's option is at fault.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum ListError {
    /// Nothing between two commas, or beside one. A literal comma is written `\,`.
    #[error("alternative {position} of the list is empty, a literal comma is written `\\,`")]
    EmptyAlternative {
        /// Which alternative, counted from 1.
        position: usize,
    },
    /// `\x` without two hexadecimal digits after it.
    #[error("`\\x` at byte {offset} of the list needs two hexadecimal digits")]
    BadHex {
        /// Offset of the backslash in the option's text, in bytes.
        offset: usize,
    },
}

/// Reads a list: `\n,\r\n` is LF or CR LF. An empty text is an empty list.
///
/// Escapes: `\r`, `\n`, `\t`, `\xHH`, and `\c` for any other character `c`, so `\,` is a comma and
/// `\\` a backslash. A backslash at the very end stands for itself.
///
/// # Errors
///
/// [`ListError`]: the text is the user's.
pub fn parse_list(text: &str) -> Result<Vec<Vec<u8>>, ListError> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let mut tokens = vec![Vec::new()];
    let mut bytes = text.bytes().enumerate();
    while let Some((offset, byte)) = bytes.next() {
        let literal = match byte {
            b',' => {
                tokens.push(Vec::new());
                continue;
            }
            b'\\' => match bytes.next().map(|(_, escaped)| escaped) {
                None => b'\\',
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b't') => b'\t',
                Some(b'x') => {
                    let mut digit = || {
                        let (_, digit) = bytes.next()?;
                        char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
                    };
                    let (high, low) = digit().zip(digit()).ok_or(ListError::BadHex { offset })?;
                    high << 4 | low
                }
                Some(other) => other,
            },
            other => other,
        };
        tokens.last_mut().expect("the list starts with one token").push(literal);
    }
    match tokens.iter().position(Vec::is_empty) {
        Some(index) => Err(ListError::EmptyAlternative { position: index + 1 }),
        None => Ok(tokens),
    }
}

/// Writes a list so that [`parse_list`] reads the same tokens; printable ASCII only.
pub fn list_text(tokens: &[Vec<u8>]) -> String {
    let mut text = String::new();
    for (index, token) in tokens.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        for &byte in token {
            match byte {
                b'\n' => text.push_str("\\n"),
                b'\r' => text.push_str("\\r"),
                b'\t' => text.push_str("\\t"),
                b',' => text.push_str("\\,"),
                b'\\' => text.push_str("\\\\"),
                b' '..=b'~' => text.push(char::from(byte)),
                _ => write!(text, "\\x{byte:02X}").expect("a string takes every text"),
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_with_its_escapes() {
        let read = |text: &str| parse_list(text).unwrap();

        assert_eq!(read("\\n,\\r\\n"), [b"\n".to_vec(), b"\r\n".to_vec()]);
        assert_eq!(read("\\,"), [b","]);
        assert_eq!(read(";,|"), [b";", b"|"]);
        assert_eq!(read("\\x1f\\xE9,<EOL>"), [b"\x1f\xe9".to_vec(), b"<EOL>".to_vec()]);
        assert_eq!(read("\\\\,\\'"), [b"\\", b"'"]);
        assert_eq!(read("\\"), [b"\\"]);
        assert_eq!(read(""), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn a_bare_comma_is_refused_because_it_would_mean_no_separator() {
        assert_eq!(parse_list(","), Err(ListError::EmptyAlternative { position: 1 }));
        assert_eq!(parse_list("a,,b"), Err(ListError::EmptyAlternative { position: 2 }));
        assert_eq!(
            parse_list(",").unwrap_err().to_string(),
            "alternative 1 of the list is empty, a literal comma is written `\\,`"
        );
    }

    #[test]
    fn a_short_or_wrong_hexadecimal_escape_is_refused_where_it_stands() {
        assert_eq!(parse_list("ab\\x1"), Err(ListError::BadHex { offset: 2 }));
        assert_eq!(parse_list("\\xzz"), Err(ListError::BadHex { offset: 0 }));
    }

    #[test]
    fn what_is_written_is_read_back() {
        for text in ["\\n,\\r\\n", "\\,", "\\x00\\xFF,\\\\", "\\t,||, "] {
            assert_eq!(list_text(&parse_list(text).unwrap()), text);
        }
    }
}
