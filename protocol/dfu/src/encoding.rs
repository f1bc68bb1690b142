//! What the bytes of text sources mean: the encoding a user declares, the one a byte order mark
//! shows, and conversion to UTF-8 while the bytes stream by.
//!
//! Record formats are no concern of this module: it neither knows nor keeps record boundaries.

mod detect;
mod first;
mod runs;
mod to_utf8;
mod utf8_check;

pub use detect::{Detected, EncodingError, MARK_BYTES_MAX};
pub use to_utf8::{Fault, InvalidText, OnInvalid, ToUtf8};
pub use utf8_check::Utf8Check;

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// How the text of a file is encoded, byte order included.
///
/// Stored and sent by position: append only, never reorder.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum Encoding {
    /// Bytes as they are, none of them looked at: HPCC's `csv`, any single-byte code page.
    Ascii,
    /// UTF-8.
    Utf8,
    /// UTF-16, low byte first.
    Utf16Le,
    /// UTF-16, high byte first.
    Utf16Be,
    /// UTF-32, low byte first.
    Utf32Le,
    /// UTF-32, high byte first.
    Utf32Be,
}

impl Encoding {
    /// Every encoding, in stored order.
    pub const ALL: [Self; 6] =
        [Self::Ascii, Self::Utf8, Self::Utf16Le, Self::Utf16Be, Self::Utf32Le, Self::Utf32Be];

    /// Bytes of a code unit; a text is a whole number of them.
    pub fn unit_bytes(self) -> u8 {
        match self {
            Self::Ascii | Self::Utf8 => 1,
            Self::Utf16Le | Self::Utf16Be => 2,
            Self::Utf32Le | Self::Utf32Be => 4,
        }
    }

    /// HPCC's `format` attribute for text in this encoding without a byte order mark; `None` for
    /// [`Encoding::Ascii`], where HPCC's format says nothing about the encoding.
    pub fn hpcc_format_name(self) -> Option<&'static str> {
        match self {
            Self::Ascii => None,
            Self::Utf8 => Some("utf8n"),
            Self::Utf16Le => Some("utf16le"),
            Self::Utf16Be => Some("utf16be"),
            Self::Utf32Le => Some("utf32le"),
            Self::Utf32Be => Some("utf32be"),
        }
    }

    /// Reads HPCC's `format` attribute, as [`DeclaredEncoding`] reads an option; `None` if it names
    /// no Unicode encoding, as `csv` and `ascii` do not.
    ///
    /// `utf`, `utf16` and `utf32` leave the byte order to a mark. What is returned for them holds
    /// for data without one; see [`DeclaredEncoding::detect`] for data that may have one.
    pub fn from_hpcc_format_name(name: &str) -> Option<Self> {
        let encoding = name.parse::<DeclaredEncoding>().ok()?.without_mark();
        (encoding != Self::Ascii).then_some(encoding)
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ascii => "ascii",
            Self::Utf8 => "utf8",
            Self::Utf16Le => "utf16le",
            Self::Utf16Be => "utf16be",
            Self::Utf32Le => "utf32le",
            Self::Utf32Be => "utf32be",
        })
    }
}

/// What a user says of the encoding of sources; a byte order mark may say the rest.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum DeclaredEncoding {
    /// Bytes as they are; nothing is detected.
    Ascii,
    /// UTF-8 with or without a mark.
    Utf8,
    /// UTF-8; HPCC's name for it where the target gets no mark.
    Utf8n,
    /// UTF-16 in the order its mark says, high byte first without one.
    Utf16,
    /// UTF-16, low byte first.
    Utf16Le,
    /// UTF-16, high byte first.
    Utf16Be,
    /// UTF-32 in the order its mark says, high byte first without one.
    Utf32,
    /// UTF-32, low byte first.
    Utf32Le,
    /// UTF-32, high byte first.
    Utf32Be,
}

impl DeclaredEncoding {
    /// The encoding of a source without a byte order mark.
    pub fn without_mark(self) -> Encoding {
        match self {
            Self::Ascii => Encoding::Ascii,
            Self::Utf8 | Self::Utf8n => Encoding::Utf8,
            Self::Utf16Le => Encoding::Utf16Le,
            Self::Utf16 | Self::Utf16Be => Encoding::Utf16Be,
            Self::Utf32Le => Encoding::Utf32Le,
            Self::Utf32 | Self::Utf32Be => Encoding::Utf32Be,
        }
    }
}

impl FromStr for DeclaredEncoding {
    type Err = EncodingError;

    /// Reads an option: `ascii` or a Unicode name, in any case, with or without hyphens (`utf16le`,
    /// `UTF-16LE`, `utf-16-le`). HPCC's `utf` is `utf8`.
    fn from_str(text: &str) -> Result<Self, EncodingError> {
        let unknown = || EncodingError::UnknownName { name: text.chars().take(40).collect() };
        let lower = text.to_ascii_lowercase();
        if lower == "ascii" {
            return Ok(Self::Ascii);
        }
        let rest = lower.strip_prefix("utf").ok_or_else(unknown)?;
        match rest.strip_prefix('-').unwrap_or(rest) {
            "" if rest.is_empty() => Ok(Self::Utf8),
            "8" => Ok(Self::Utf8),
            "8n" | "8-n" => Ok(Self::Utf8n),
            "16" => Ok(Self::Utf16),
            "16le" | "16-le" => Ok(Self::Utf16Le),
            "16be" | "16-be" => Ok(Self::Utf16Be),
            "32" => Ok(Self::Utf32),
            "32le" | "32-le" => Ok(Self::Utf32Le),
            "32be" | "32-be" => Ok(Self::Utf32Be),
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for DeclaredEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ascii => "ascii",
            Self::Utf8 => "utf8",
            Self::Utf8n => "utf8n",
            Self::Utf16 => "utf16",
            Self::Utf16Le => "utf16le",
            Self::Utf16Be => "utf16be",
            Self::Utf32 => "utf32",
            Self::Utf32Le => "utf32le",
            Self::Utf32Be => "utf32be",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_any_case_and_with_hyphens() {
        for (text, declared) in [
            ("ascii", DeclaredEncoding::Ascii),
            ("utf", DeclaredEncoding::Utf8),
            ("UTF-8", DeclaredEncoding::Utf8),
            ("utf-8n", DeclaredEncoding::Utf8n),
            ("Utf16", DeclaredEncoding::Utf16),
            ("utf-16LE", DeclaredEncoding::Utf16Le),
            ("utf-16-be", DeclaredEncoding::Utf16Be),
            ("utf32", DeclaredEncoding::Utf32),
            ("utf-32le", DeclaredEncoding::Utf32Le),
            ("UTF32BE", DeclaredEncoding::Utf32Be),
        ] {
            assert_eq!(text.parse(), Ok(declared), "{text}");
            assert_eq!(declared.to_string().parse(), Ok(declared));
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_hpccs_number() {
        for name in ["", "utf-", "utf7", "latin1", "utf--8", "16le", "utf16 "] {
            let error = name.parse::<DeclaredEncoding>().unwrap_err();

            assert_eq!(error, EncodingError::UnknownName { name: name.to_owned() });
            assert_eq!(error.hpcc_number(), Some(8073));
        }
    }

    #[test]
    fn hpccs_format_names_are_written_and_read() {
        let names = Encoding::ALL.map(Encoding::hpcc_format_name);

        assert_eq!(
            names,
            [
                None,
                Some("utf8n"),
                Some("utf16le"),
                Some("utf16be"),
                Some("utf32le"),
                Some("utf32be")
            ]
        );
        for (encoding, name) in Encoding::ALL.into_iter().zip(names) {
            assert_eq!(name.and_then(Encoding::from_hpcc_format_name), name.map(|_| encoding));
        }
        assert_eq!(Encoding::from_hpcc_format_name("utf"), Some(Encoding::Utf8));
        assert_eq!(Encoding::from_hpcc_format_name("utf-16"), Some(Encoding::Utf16Be));
        assert_eq!(Encoding::from_hpcc_format_name("csv"), None);
        assert_eq!(Encoding::from_hpcc_format_name("ascii"), None);
    }

    #[test]
    fn stored_numbers_never_change() {
        let stored = serde_json::to_string(&Encoding::ALL).unwrap();

        assert_eq!(stored, r#"["Ascii","Utf8","Utf16Le","Utf16Be","Utf32Le","Utf32Be"]"#);
        assert_eq!(Encoding::ALL.map(|encoding| encoding as u8), [0, 1, 2, 3, 4, 5]);
    }
}
