//! Which encoding a source has: what was declared, and what its first bytes show.

use super::{DeclaredEncoding, Encoding};
use thiserror::Error;

/// Bytes of the longest byte order mark: what [`DeclaredEncoding::detect`] wants to see.
pub const MARK_BYTES_MAX: usize = 4;

/// Why sources cannot be read in the encoding declared. Source indexes count from 0, texts from 1.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum EncodingError {
    /// The option names no encoding known here.
    #[error("encoding {name:?} is unknown")]
    UnknownName {
        /// What was said, cut after 40 characters.
        name: String,
    },
    /// The source starts with the byte order mark of another encoding than the declared one.
    #[error("{declared} was declared, the byte order mark is that of {marked}")]
    OtherMark {
        /// What the user said.
        declared: DeclaredEncoding,
        /// What the mark says.
        marked: Encoding,
    },
    /// Two sources differ, and one logical file has one encoding.
    #[error(
        "source {} is {second}, source {} is {first}: all sources must have one encoding",
        second_source + 1,
        first_source + 1
    )]
    Disagreement {
        /// The source that set the encoding.
        first_source: usize,
        /// Its encoding.
        first: Encoding,
        /// The first source that differs.
        second_source: usize,
        /// Its encoding.
        second: Encoding,
    },
    /// The source ends inside a code unit: the wrong encoding, or a file cut off.
    #[error(
        "length {length} is no multiple of {}, the bytes of a {encoding} unit",
        encoding.unit_bytes()
    )]
    PartialUnit {
        /// The encoding.
        encoding: Encoding,
        /// Length of the source in bytes.
        length: u64,
    },
    /// Bytes without a declared Unicode encoding cannot become text.
    #[error("{from} cannot be converted to utf8, only Unicode encodings can")]
    NoConversion {
        /// The encoding.
        from: Encoding,
    },
}

impl EncodingError {
    /// HPCC's number for this cause, where it has one.
    pub fn hpcc_number(&self) -> Option<u16> {
        match self {
            Self::UnknownName { .. } => Some(8073),
            Self::OtherMark { .. } => None,
            Self::Disagreement { .. } => Some(8076),
            Self::PartialUnit { .. } => Some(8079),
            Self::NoConversion { .. } => Some(8072),
        }
    }

    /// What a person should do.
    pub fn advice(&self) -> String {
        match self {
            Self::UnknownName { .. } => "use ascii, utf8, utf16, utf16le, utf16be, utf32, utf32le \
                                         or utf32be"
                .to_owned(),
            Self::OtherMark { marked, .. } => {
                format!("declare {marked}, or take the mark off the file if it is wrong")
            }
            Self::Disagreement { .. } => "spray them as files of their own, or make them alike; \
                                          without a mark utf16 and utf32 mean the high byte first"
                .to_owned(),
            Self::PartialUnit { .. } => {
                "check the encoding declared, and that the file is complete".to_owned()
            }
            Self::NoConversion { .. } => {
                "declare the encoding the sources have, or leave the conversion out".to_owned()
            }
        }
    }
}

/// What one source is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Detected {
    /// Its encoding, byte order included.
    pub encoding: Encoding,
    /// Bytes of the mark at its start, to be left out: 0, 2, 3 or 4.
    pub mark: u8,
    /// Whether the source has no byte at all, and so agrees with every other one.
    pub empty: bool,
}

/// The marks of all encodings. That of UTF-16 begins the one of UTF-32, so the longer stand first.
const MARKS: [(&[u8], Encoding); 5] = [
    (&[0xFF, 0xFE, 0, 0], Encoding::Utf32Le),
    (&[0, 0, 0xFE, 0xFF], Encoding::Utf32Be),
    (&[0xEF, 0xBB, 0xBF], Encoding::Utf8),
    (&[0xFF, 0xFE], Encoding::Utf16Le),
    (&[0xFE, 0xFF], Encoding::Utf16Be),
];

impl DeclaredEncoding {
    /// Decides the encoding of a source from its first [`MARK_BYTES_MAX`] bytes, or all of a
    /// shorter one.
    ///
    /// Marks of the declared encoding come first: declared UTF-16, `FF FE 00 00` is its mark and a
    /// NUL. With [`DeclaredEncoding::Ascii`] nothing is looked at.
    ///
    /// # Errors
    ///
    /// [`EncodingError::OtherMark`]: the declaration does not fit the file.
    pub fn detect(self, first_bytes: &[u8]) -> Result<Detected, EncodingError> {
        let empty = first_bytes.is_empty();
        let unmarked = Detected { encoding: self.without_mark(), mark: 0, empty };
        if self == Self::Ascii {
            return Ok(unmarked);
        }
        let found = |wanted: &dyn Fn(Encoding) -> bool| {
            MARKS.iter().find(|(mark, encoding)| wanted(*encoding) && first_bytes.starts_with(mark))
        };
        if let Some(&(mark, encoding)) = found(&|encoding| self.allows(encoding)) {
            return Ok(Detected { encoding, mark: mark.len() as u8, empty });
        }
        match found(&|_| true) {
            Some(&(_, marked)) => Err(EncodingError::OtherMark { declared: self, marked }),
            None => Ok(unmarked),
        }
    }

    /// The one encoding of all sources, in source order. Empty sources decide nothing; if there
    /// are no others it is the one of a source without a mark.
    ///
    /// # Errors
    ///
    /// [`EncodingError::Disagreement`]: the sources do not belong together.
    pub fn agree(self, detected: &[Detected]) -> Result<Encoding, EncodingError> {
        let mut sources = detected.iter().enumerate().filter(|(_, source)| !source.empty);
        let Some((first_source, &Detected { encoding: first, .. })) = sources.next() else {
            return Ok(self.without_mark());
        };
        match sources.find(|(_, source)| source.encoding != first) {
            Some((second_source, &Detected { encoding: second, .. })) => {
                Err(EncodingError::Disagreement { first_source, first, second_source, second })
            }
            None => Ok(first),
        }
    }

    /// Whether a mark may say that a source so declared is in this encoding.
    fn allows(self, encoding: Encoding) -> bool {
        match self {
            Self::Utf16 => matches!(encoding, Encoding::Utf16Le | Encoding::Utf16Be),
            Self::Utf32 => matches!(encoding, Encoding::Utf32Le | Encoding::Utf32Be),
            _ => encoding == self.without_mark(),
        }
    }
}

impl Encoding {
    /// Checks the length of a source in bytes, with or without its mark.
    ///
    /// # Errors
    ///
    /// [`EncodingError::PartialUnit`]: the source is cut off or in another encoding.
    pub fn check_length(self, length: u64) -> Result<(), EncodingError> {
        if length.is_multiple_of(u64::from(self.unit_bytes())) {
            Ok(())
        } else {
            Err(EncodingError::PartialUnit { encoding: self, length })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECLARED: [DeclaredEncoding; 9] = [
        DeclaredEncoding::Ascii,
        DeclaredEncoding::Utf8,
        DeclaredEncoding::Utf8n,
        DeclaredEncoding::Utf16,
        DeclaredEncoding::Utf16Le,
        DeclaredEncoding::Utf16Be,
        DeclaredEncoding::Utf32,
        DeclaredEncoding::Utf32Le,
        DeclaredEncoding::Utf32Be,
    ];

    fn source(encoding: Encoding) -> Detected {
        Detected { encoding, mark: 0, empty: false }
    }

    /// What detection says in short: encoding and mark, or the encoding of a mark that contradicts.
    fn said(declared: DeclaredEncoding, bytes: &[u8]) -> String {
        match declared.detect(bytes) {
            Ok(detected) => format!("{}/{}", detected.encoding, detected.mark),
            Err(EncodingError::OtherMark { marked, .. }) => format!("!{marked}"),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn a_mark_decides_what_was_left_open_and_must_not_contradict() {
        // In the order of DECLARED.
        let rows: [(&[u8], &str); 6] = [
            (b"\xEF\xBB\xBFab", "ascii/0 utf8/3 utf8/3 !utf8 !utf8 !utf8 !utf8 !utf8 !utf8"),
            (
                b"\xFF\xFEa\0",
                "ascii/0 !utf16le !utf16le utf16le/2 utf16le/2 !utf16le !utf16le !utf16le !utf16le",
            ),
            (
                b"\xFE\xFF\0a",
                "ascii/0 !utf16be !utf16be utf16be/2 !utf16be utf16be/2 !utf16be !utf16be !utf16be",
            ),
            (
                b"\xFF\xFE\0\0",
                "ascii/0 !utf32le !utf32le utf16le/2 utf16le/2 !utf32le utf32le/4 utf32le/4 !utf32le",
            ),
            (
                b"\0\0\xFE\xFF",
                "ascii/0 !utf32be !utf32be !utf32be !utf32be !utf32be utf32be/4 !utf32be utf32be/4",
            ),
            (
                b"text",
                "ascii/0 utf8/0 utf8/0 utf16be/0 utf16le/0 utf16be/0 utf32be/0 utf32le/0 utf32be/0",
            ),
        ];
        for (bytes, expected) in rows {
            let found = DECLARED.map(|declared| said(declared, bytes)).join(" ");
            assert_eq!(found, expected, "{bytes:X?}");
        }
    }

    #[test]
    fn a_source_shorter_than_a_mark_has_none() {
        for bytes in [&b""[..], b"\xFF", b"\xEF\xBB", b"\0\0\xFE"] {
            for declared in DECLARED {
                let empty = bytes.is_empty();
                let expected = Detected { encoding: declared.without_mark(), mark: 0, empty };
                assert_eq!(declared.detect(bytes), Ok(expected));
            }
        }
        assert_eq!(said(DeclaredEncoding::Utf16, b"\xFF\xFE"), "utf16le/2");
    }

    #[test]
    fn a_contradicting_mark_comes_with_advice() {
        let error = DeclaredEncoding::Utf16Le.detect(b"\xFE\xFF\0a").unwrap_err();

        assert_eq!(
            error.to_string(),
            "utf16le was declared, the byte order mark is that of utf16be"
        );
        assert_eq!(error.advice(), "declare utf16be, or take the mark off the file if it is wrong");
    }

    #[test]
    fn sources_that_differ_are_named() {
        let sources = [Encoding::Utf16Be, Encoding::Utf16Be, Encoding::Utf16Le].map(source);

        let error = DeclaredEncoding::Utf16.agree(&sources).unwrap_err();

        assert_eq!(
            error.to_string(),
            "source 3 is utf16le, source 1 is utf16be: all sources must have one encoding"
        );
        assert_eq!(error.hpcc_number(), Some(8076));
    }

    #[test]
    fn marks_of_different_length_agree_if_the_encoding_does() {
        let marked = Detected { mark: 2, ..source(Encoding::Utf16Be) };

        let agreed = DeclaredEncoding::Utf16.agree(&[marked, source(Encoding::Utf16Be)]);

        assert_eq!(agreed, Ok(Encoding::Utf16Be));
    }

    #[test]
    fn empty_sources_agree_with_all_others() {
        let declared = DeclaredEncoding::Utf16;
        let empty = declared.detect(b"").unwrap();
        let little = declared.detect(b"\xFF\xFEa\0").unwrap();

        assert_eq!(declared.agree(&[empty, little, empty]), Ok(Encoding::Utf16Le));
        assert_eq!(declared.agree(&[empty, empty]), Ok(Encoding::Utf16Be));
        assert_eq!(declared.agree(&[]), Ok(Encoding::Utf16Be));
    }

    #[test]
    fn a_length_must_be_whole_units() {
        for encoding in Encoding::ALL {
            let unit = u64::from(encoding.unit_bytes());
            for length in 0..9 {
                assert_eq!(encoding.check_length(length).is_ok(), length % unit == 0);
            }
        }
        let error = Encoding::Utf16Le.check_length(7).unwrap_err();
        assert_eq!(error.to_string(), "length 7 is no multiple of 2, the bytes of a utf16le unit");
        assert_eq!(error.hpcc_number(), Some(8079));
    }
}
