//! The options of a delimited format, checked once.

use super::list::{ListError, list_text, parse_list};
use crate::encoding::Encoding;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use thiserror::Error;

/// Longest delimiter, in bytes. A delimiter cut by a block edge is held back, so this bounds memory.
pub const TOKEN_BYTES_MAX: usize = 64;

/// Most alternatives in one role.
pub const TOKENS_MAX: usize = 16;

/// Longest record accepted when nothing is said, in bytes: 256 KiB.
///
/// HPCC's nominal default is 8192, but it searches at least this far for a record's end, so files
/// with longer records pass there. Costs no memory here.
pub const MAX_RECORD_DEFAULT: NonZeroU32 = NonZeroU32::new(256 * 1024).expect("not zero");

/// What a delimiter is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// Ends a field.
    Separator,
    /// Opens and closes a field that may hold separators and terminators.
    Quote,
    /// Ends a record.
    Terminator,
    /// Makes the next delimiter, or byte, plain data.
    Escape,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Separator => "separator",
            Self::Quote => "quote",
            Self::Terminator => "terminator",
            Self::Escape => "escape",
        })
    }
}

/// Why delimiters make no format. The user's options, or stored metadata, are at fault.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum CsvError {
    /// The option's text is no list.
    #[error("{role} list cannot be read")]
    List {
        /// The option.
        role: Role,
        /// What is wrong with it.
        source: ListError,
    },
    /// One delimiter in two roles.
    #[error("duplicate entry: `{token}` is a {first} and a {second}")]
    DuplicateEntry {
        /// The delimiter in option syntax.
        token: String,
        /// The role it has.
        first: Role,
        /// The role it may not have as well.
        second: Role,
    },
    /// Nothing ends a record.
    #[error("terminator list is empty, at least 1 is needed")]
    NoTerminator,
    /// A delimiter of no byte, or too many.
    #[error("{role} of {bytes} bytes, 1 to {TOKEN_BYTES_MAX} are allowed")]
    TokenLength {
        /// The option.
        role: Role,
        /// Its length in bytes.
        bytes: usize,
    },
    /// Too many alternatives in one role.
    #[error("{role} list of {count} alternatives, at most {TOKENS_MAX} are allowed")]
    TooMany {
        /// The option.
        role: Role,
        /// Alternatives found.
        count: usize,
    },
}

/// The options of a delimited format as they are said; [`CsvFormat::try_new`] checks them.
///
/// Where several delimiters match at one place, the longest wins.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct CsvOptions {
    /// End a field. Empty: records have one field.
    pub separators: Vec<Vec<u8>>,
    /// Open a field at its start (after blanks and tabs) and close it; doubled, stand for
    /// themselves. Empty: no quoting.
    pub quotes: Vec<Vec<u8>>,
    /// End a record outside quotes.
    pub terminators: Vec<Vec<u8>>,
    /// Make the next delimiter, or byte, plain data. Usually empty.
    pub escapes: Vec<Vec<u8>>,
    /// Whether quotes hide terminators. If not, every terminator ends a record.
    pub quoted_terminator: bool,
    /// Longest record, in bytes with its terminator.
    pub max_record: NonZeroU32,
    /// How the text is stored; the delimiters here are always UTF-8.
    pub encoding: Encoding,
}

impl Default for CsvOptions {
    /// HPCC's defaults: separator `\,`, quote `"`, terminators `\n,\r\n`, no escape.
    fn default() -> Self {
        Self {
            separators: vec![b",".to_vec()],
            quotes: vec![b"\"".to_vec()],
            terminators: vec![b"\n".to_vec(), b"\r\n".to_vec()],
            escapes: Vec::new(),
            quoted_terminator: true,
            max_record: MAX_RECORD_DEFAULT,
            encoding: Encoding::Ascii,
        }
    }
}

impl CsvOptions {
    /// Replaces one role's delimiters by a list in option syntax.
    ///
    /// # Errors
    ///
    /// [`CsvError::List`].
    pub fn set(&mut self, role: Role, list: &str) -> Result<(), CsvError> {
        let tokens = parse_list(list).map_err(|source| CsvError::List { role, source })?;
        *match role {
            Role::Separator => &mut self.separators,
            Role::Quote => &mut self.quotes,
            Role::Terminator => &mut self.terminators,
            Role::Escape => &mut self.escapes,
        } = tokens;
        Ok(())
    }
}

/// A delimited format whose options fit together: no delimiter has two roles, every list and
/// delimiter has a bounded length, and something ends a record.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "CsvOptions", into = "CsvOptions")]
pub struct CsvFormat(CsvOptions);

impl CsvFormat {
    /// Checks the options. A delimiter said twice in one role counts once; an escape that is also
    /// a quote is dropped, as HPCC does.
    ///
    /// # Errors
    ///
    /// Every [`CsvError`] but [`CsvError::List`].
    pub fn try_new(mut options: CsvOptions) -> Result<Self, CsvError> {
        let quotes = &options.quotes;
        options.escapes.retain(|escape| !quotes.contains(escape));
        let mut seen: Vec<(&[u8], Role)> = Vec::new();
        for (role, tokens) in [
            (Role::Separator, &mut options.separators),
            (Role::Quote, &mut options.quotes),
            (Role::Terminator, &mut options.terminators),
            (Role::Escape, &mut options.escapes),
        ] {
            if tokens.len() > TOKENS_MAX {
                return Err(CsvError::TooMany { role, count: tokens.len() });
            }
            deduplicate(tokens);
            for token in tokens.iter() {
                if token.is_empty() || token.len() > TOKEN_BYTES_MAX {
                    return Err(CsvError::TokenLength { role, bytes: token.len() });
                }
                if let Some(&(_, first)) = seen.iter().find(|(other, _)| other == token) {
                    let token = list_text(std::slice::from_ref(token));
                    return Err(CsvError::DuplicateEntry { token, first, second: role });
                }
                seen.push((token, role));
            }
        }
        if options.terminators.is_empty() {
            return Err(CsvError::NoTerminator);
        }
        Ok(Self(options))
    }

    /// HPCC's defaults with a tab as the separator.
    pub fn tab_separated() -> Self {
        Self(CsvOptions { separators: vec![b"\t".to_vec()], ..CsvOptions::default() })
    }

    /// Lines, each ended by a line feed, with or without a carriage return before it; nothing in
    /// them is looked at.
    pub fn lines(max_record: NonZeroU32) -> Self {
        let options = CsvOptions::default();
        Self(CsvOptions { separators: Vec::new(), quotes: Vec::new(), max_record, ..options })
    }

    /// The same format with every delimiter as `map` makes it. The new ones must differ where the
    /// old ones do.
    pub(crate) fn map_tokens(
        &self,
        map: impl Fn(&[u8]) -> Vec<u8>,
        max_record: NonZeroU32,
    ) -> Self {
        let list = |tokens: &[Vec<u8>]| tokens.iter().map(|token| map(token)).collect();
        Self(CsvOptions {
            separators: list(&self.0.separators),
            quotes: list(&self.0.quotes),
            terminators: list(&self.0.terminators),
            escapes: list(&self.0.escapes),
            max_record,
            ..self.0
        })
    }

    /// Says how the text is stored.
    pub fn set_encoding(&mut self, encoding: Encoding) {
        self.0.encoding = encoding;
    }

    /// The options.
    pub fn options(&self) -> &CsvOptions {
        &self.0
    }
}

impl TryFrom<CsvOptions> for CsvFormat {
    type Error = CsvError;

    fn try_from(options: CsvOptions) -> Result<Self, CsvError> {
        Self::try_new(options)
    }
}

impl From<CsvFormat> for CsvOptions {
    fn from(format: CsvFormat) -> Self {
        format.0
    }
}

fn deduplicate(tokens: &mut Vec<Vec<u8>>) {
    let mut kept: Vec<Vec<u8>> = Vec::with_capacity(tokens.len());
    for token in tokens.drain(..) {
        if !kept.contains(&token) {
            kept.push(token);
        }
    }
    *tokens = kept;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(role: Role, list: &str) -> Result<CsvFormat, CsvError> {
        let mut options = CsvOptions::default();
        options.set(role, list)?;
        CsvFormat::try_new(options)
    }

    #[test]
    fn one_delimiter_in_two_roles_is_a_duplicate_entry() {
        let error = with(Role::Separator, ";,\\n").unwrap_err();

        assert_eq!(error.to_string(), "duplicate entry: `\\n` is a separator and a terminator");
        assert_eq!(
            with(Role::Escape, "\\,"),
            Err(CsvError::DuplicateEntry {
                token: "\\,".into(),
                first: Role::Separator,
                second: Role::Escape
            })
        );
    }

    #[test]
    fn an_escape_that_is_the_quote_is_ignored() {
        assert_eq!(with(Role::Escape, "\""), Ok(CsvFormat::default()));
    }

    #[test]
    fn a_delimiter_said_twice_counts_once() {
        assert_eq!(with(Role::Quote, "\",\""), Ok(CsvFormat::default()));
    }

    #[test]
    fn an_empty_quote_list_disables_quoting_and_an_empty_terminator_list_is_refused() {
        assert_eq!(with(Role::Quote, "").unwrap().options().quotes, Vec::<Vec<u8>>::new());
        assert_eq!(with(Role::Terminator, ""), Err(CsvError::NoTerminator));
    }

    #[test]
    fn lists_and_delimiters_have_limits() {
        let long = "x".repeat(TOKEN_BYTES_MAX + 1);
        let many = (0..=TOKENS_MAX).map(|n| format!("t{n}")).collect::<Vec<_>>().join(",");

        assert_eq!(
            with(Role::Terminator, &long),
            Err(CsvError::TokenLength { role: Role::Terminator, bytes: 65 })
        );
        assert_eq!(
            with(Role::Terminator, &many),
            Err(CsvError::TooMany { role: Role::Terminator, count: 17 })
        );
    }

    #[test]
    fn options_that_break_a_rule_are_refused_when_deserialised() {
        let text = serde_json::to_string(&CsvFormat::default()).unwrap();
        let broken = text.replace("\"terminators\":[[10],[13,10]]", "\"terminators\":[]");

        assert_eq!(serde_json::from_str::<CsvFormat>(&text).unwrap(), CsvFormat::default());
        let error = serde_json::from_str::<CsvFormat>(&broken).unwrap_err().to_string();
        assert_eq!(error, "terminator list is empty, at least 1 is needed");
    }
}
