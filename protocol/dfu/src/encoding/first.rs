//! The rules of every encoding, for one character at a time. The fast ways in [`super::runs`] and
//! [`super::to_utf8`] leave here whatever is not plainly right.

use super::{Encoding, Fault};

/// Bytes of the longest character, and the most that can be waiting for their end.
pub(super) const CHARACTER_BYTES_MAX: usize = 4;

/// What stands at the start of some bytes; the lengths are in bytes and never 0.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum First {
    Character(char, usize),
    /// A maximal bad sequence: what follows it is looked at afresh.
    Bad(Fault, usize),
    /// More bytes decide. All bytes given belong to it, fewer than [`CHARACTER_BYTES_MAX`].
    Unfinished,
}

/// The start of a character whose end has not come yet.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    bytes: [u8; CHARACTER_BYTES_MAX],
    count: usize,
}

impl Waiting {
    /// Starts to wait with what [`first`] called unfinished.
    pub(super) fn hold(&mut self, unfinished: &[u8]) {
        self.bytes[..unfinished.len()].copy_from_slice(unfinished);
        self.count = unfinished.len();
    }

    pub(super) fn add(&mut self, byte: u8) {
        self.bytes[self.count] = byte;
        self.count += 1;
    }

    pub(super) fn drop_first(&mut self, count: usize) {
        self.bytes.copy_within(count..self.count, 0);
        self.count -= count;
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.count]
    }
}

/// Looks at the start of `bytes`, which are not empty.
pub(super) fn first(encoding: Encoding, bytes: &[u8]) -> First {
    match encoding {
        Encoding::Ascii | Encoding::Utf8 => first_utf8(bytes),
        Encoding::Utf16Le => first_utf16(bytes, u16::from_le_bytes),
        Encoding::Utf16Be => first_utf16(bytes, u16::from_be_bytes),
        Encoding::Utf32Le => first_utf32(bytes, u32::from_le_bytes),
        Encoding::Utf32Be => first_utf32(bytes, u32::from_be_bytes),
    }
}

/// What unfinished bytes are if none follow, and how many of them.
pub(super) fn at_end(encoding: Encoding, bytes: &[u8]) -> (Fault, usize) {
    let surrogate = match (encoding, bytes) {
        (Encoding::Utf16Le, &[low, high, ..]) => Some(u16::from_le_bytes([low, high])),
        (Encoding::Utf16Be, &[high, low, ..]) => Some(u16::from_be_bytes([high, low])),
        _ => None,
    };
    match surrogate {
        Some(unit) => (Fault::LoneSurrogate { unit }, 2),
        None => (Fault::Incomplete { bytes: bytes.len() as u8 }, bytes.len()),
    }
}

fn first_utf8(bytes: &[u8]) -> First {
    let bytes = &bytes[..bytes.len().min(CHARACTER_BYTES_MAX)];
    let valid = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if error.valid_up_to() > 0 => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).expect("it was found valid")
        }
        Err(error) => {
            return match error.error_len() {
                Some(length) => First::Bad(Fault::IllegalUtf8 { bytes: length as u8 }, length),
                None => First::Unfinished,
            };
        }
    };
    match valid.chars().next() {
        Some(character) => First::Character(character, character.len_utf8()),
        None => First::Unfinished,
    }
}

fn first_utf16(bytes: &[u8], read: impl Fn([u8; 2]) -> u16) -> First {
    let Some((&unit, rest)) = bytes.split_first_chunk() else { return First::Unfinished };
    let unit = read(unit);
    match unit {
        0xD800..0xDC00 => {
            let Some(&second) = rest.first_chunk() else { return First::Unfinished };
            match char::decode_utf16([unit, read(second)]).next() {
                Some(Ok(character)) => First::Character(character, 4),
                _ => First::Bad(Fault::LoneSurrogate { unit }, 2),
            }
        }
        _ => match char::from_u32(u32::from(unit)) {
            Some(character) => First::Character(character, 2),
            None => First::Bad(Fault::LoneSurrogate { unit }, 2),
        },
    }
}

fn first_utf32(bytes: &[u8], read: impl Fn([u8; 4]) -> u32) -> First {
    let Some(&unit) = bytes.first_chunk() else { return First::Unfinished };
    let code = read(unit);
    match char::from_u32(code) {
        Some(character) => First::Character(character, 4),
        None if code > u32::from(char::MAX) => First::Bad(Fault::BeyondUnicode { code }, 4),
        None => First::Bad(Fault::SurrogateCode { code }, 4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_low_surrogate_must_follow_a_high_one() {
        let le = |bytes: &[u8]| first(Encoding::Utf16Le, bytes);

        assert_eq!(le(b"\x3D\xD8\x00\xDEx"), First::Character('\u{1F600}', 4));
        assert_eq!(le(b"\x3D\xD8a\0"), First::Bad(Fault::LoneSurrogate { unit: 0xD83D }, 2));
        assert_eq!(le(b"\x3D\xD8\x3D\xD8"), First::Bad(Fault::LoneSurrogate { unit: 0xD83D }, 2));
        assert_eq!(le(b"\x00\xDE"), First::Bad(Fault::LoneSurrogate { unit: 0xDE00 }, 2));
        assert_eq!(le(b"\x3D\xD8\x00"), First::Unfinished);
        assert_eq!(first(Encoding::Utf16Be, b"\xD8\x3D\xDE\0"), First::Character('\u{1F600}', 4));
    }

    #[test]
    fn utf32_holds_neither_surrogates_nor_more_than_unicode() {
        let be = |bytes: &[u8]| first(Encoding::Utf32Be, bytes);

        assert_eq!(be(b"\0\x10\xFF\xFF"), First::Character('\u{10FFFF}', 4));
        assert_eq!(be(b"\0\x11\0\0"), First::Bad(Fault::BeyondUnicode { code: 0x0011_0000 }, 4));
        assert_eq!(be(b"\0\0\xD8\0"), First::Bad(Fault::SurrogateCode { code: 0xD800 }, 4));
        assert_eq!(be(b"\0\0\0"), First::Unfinished);
        assert_eq!(first(Encoding::Utf32Le, b"a\0\0\0"), First::Character('a', 4));
    }

    #[test]
    fn a_bad_utf8_sequence_ends_before_what_may_begin_another() {
        let utf8 = |bytes: &[u8]| first(Encoding::Utf8, bytes);

        assert_eq!(utf8("aé".as_bytes()), First::Character('a', 1));
        assert_eq!(utf8(b"a\xFF"), First::Character('a', 1));
        assert_eq!(utf8(b"\xE2\x82"), First::Unfinished);
        assert_eq!(utf8(b"\xE2\x82A"), First::Bad(Fault::IllegalUtf8 { bytes: 2 }, 2));
        assert_eq!(utf8(b"\xED\xA0\x80"), First::Bad(Fault::IllegalUtf8 { bytes: 1 }, 1));
        assert_eq!(utf8(b"\xC0\x80"), First::Bad(Fault::IllegalUtf8 { bytes: 1 }, 1));
    }
}
