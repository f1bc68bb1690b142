//! UTF-16 and UTF-32 without faults, many characters at a time, as most text is.
//!
//! Groups of units that are all ASCII are narrowed together, groups without surrogates are written
//! without a branch on what they hold; the compiler makes vector code of the loops over a group.

/// Units decided together.
const GROUP: usize = 16;
/// Units of ASCII narrowed together where much of the text is ASCII.
const RUN: usize = 4 * GROUP;
/// Output that a group or run may touch: 4 bytes for each unit of a group, and what the last word
/// reaches beyond them.
const PLACE_BYTES: usize = 4 * GROUP + 4;
/// Bytes of output gathered before they are handed on; small enough to stay in the first cache.
const SCRATCH_BYTES: usize = 8 * 1024;

/// Where the output of some groups is gathered, so that a `Vec` grows once for many of them.
#[derive(Debug)]
pub(super) struct Scratch {
    bytes: Box<[u8; SCRATCH_BYTES]>,
    filled: usize,
}

impl Scratch {
    pub(super) fn new() -> Self {
        Self { bytes: Box::new([0; SCRATCH_BYTES]), filled: 0 }
    }

    /// Room for a group or run, after what is there.
    fn place(&mut self, output: &mut Vec<u8>) -> &mut [u8; PLACE_BYTES] {
        if self.filled > SCRATCH_BYTES - PLACE_BYTES {
            self.hand_on(output);
        }
        self.bytes[self.filled..].first_chunk_mut().expect("it was handed on when nearly full")
    }

    fn hand_on(&mut self, output: &mut Vec<u8>) {
        output.extend_from_slice(&self.bytes[..self.filled]);
        self.filled = 0;
    }
}

/// Converts UTF-16 up to the first lone surrogate or less than a group before the end, and returns
/// the bytes used.
pub(super) fn utf16(
    input: &[u8],
    read: impl Fn([u8; 2]) -> u16 + Copy,
    scratch: &mut Scratch,
    output: &mut Vec<u8>,
) -> usize {
    let mut used = 0;
    // ASCII seen without a break: a run is tried where it is likely to succeed.
    let mut ascii_groups = RUN / GROUP;
    while let Some(group) = input[used..].first_chunk::<{ 2 * GROUP }>() {
        if ascii_groups >= RUN / GROUP
            && let Some(run) = input[used..].first_chunk::<{ 2 * RUN }>()
        {
            ascii_groups = 0;
            let units: [u16; RUN] = units(run, read);
            if units.iter().fold(0, |all, unit| all | unit) < 0x80 {
                let written = narrow(scratch.place(output), units.map(|unit| unit as u8));
                scratch.filled += written;
                used += 2 * RUN;
                ascii_groups = RUN / GROUP;
                continue;
            }
        }
        let units: [u16; GROUP] = units(group, read);
        let all = units.iter().fold(0, |all, unit| all | unit);
        let place = scratch.place(output);
        ascii_groups = if all < 0x80 { ascii_groups + 1 } else { 0 };
        let mut taken = GROUP;
        let written = if all < 0x80 {
            narrow(place, units.map(|unit| unit as u8))
        } else if all < 0x800 {
            widen_to_two(place, &units)
        } else if units.iter().fold(false, |any, unit| any | (unit & 0xF800 == 0xD800)) {
            let (units_taken, written) = join_pairs(place, &units);
            taken = units_taken;
            written
        } else {
            widen(place, &units.map(u32::from))
        };
        scratch.filled += written;
        used += 2 * taken;
        if taken == 0 {
            break;
        }
    }
    scratch.hand_on(output);
    used
}

/// Converts UTF-32 up to the first group that holds something bad or is cut off, and returns the
/// bytes used.
pub(super) fn utf32(
    input: &[u8],
    read: impl Fn([u8; 4]) -> u32 + Copy,
    scratch: &mut Scratch,
    output: &mut Vec<u8>,
) -> usize {
    let mut used = 0;
    while let Some(group) = input[used..].first_chunk::<{ 4 * GROUP }>() {
        let units: [u32; GROUP] = units(group, read);
        let all = units.iter().fold(0, |all, unit| all | unit);
        let place = scratch.place(output);
        let written = if all < 0x80 {
            narrow(place, units.map(|unit| unit as u8))
        } else if all < 0x800 {
            widen_to_two(place, &units.map(|unit| unit as u16))
        } else if units.iter().fold(true, |all, &unit| all & is_scalar(unit)) {
            widen(place, &units)
        } else {
            break;
        };
        scratch.filled += written;
        used += 4 * GROUP;
    }
    scratch.hand_on(output);
    used
}

fn units<const UNIT_BYTES: usize, const COUNT: usize, Unit: Copy + Default>(
    bytes: &[u8],
    read: impl Fn([u8; UNIT_BYTES]) -> Unit,
) -> [Unit; COUNT] {
    let mut units = [Unit::default(); COUNT];
    for (unit, &bytes) in units.iter_mut().zip(bytes.as_chunks().0) {
        *unit = read(bytes);
    }
    units
}

fn narrow<const COUNT: usize>(place: &mut [u8; PLACE_BYTES], ascii: [u8; COUNT]) -> usize {
    place[..COUNT].copy_from_slice(&ascii);
    COUNT
}

/// Writes the characters of UTF-16 up to a lone surrogate or a pair that reaches out of the group;
/// returns the units taken and the bytes written.
fn join_pairs(place: &mut [u8; PLACE_BYTES], group: &[u16; GROUP]) -> (usize, usize) {
    let mut taken = 0;
    let mut at = 0usize;
    while taken < GROUP {
        let unit = group[taken];
        let mut code = u32::from(unit);
        let mut count = 1;
        if unit & 0xF800 == 0xD800 {
            match group.get(taken + 1) {
                Some(&low) if unit < 0xDC00 && low & 0xFC00 == 0xDC00 => {
                    code = 0x1_0000 + (((code & 0x3FF) << 10) | u32::from(low & 0x3FF));
                    count = 2;
                }
                _ => break,
            }
        }
        let start = at & (4 * GROUP - 1);
        place[start..start + 4].copy_from_slice(&utf8_word(code).to_le_bytes());
        at = at.wrapping_add(utf8_length(code) as usize);
        taken += count;
    }
    (taken, at)
}

/// Writes characters below 800 as two bytes each, of which the next one overwrites the second
/// where it is not needed.
fn widen_to_two(place: &mut [u8; PLACE_BYTES], group: &[u16; GROUP]) -> usize {
    let mut words = [0; GROUP];
    for (word, &code) in words.iter_mut().zip(group) {
        let two = 0x80C0 | (code >> 6) | ((code & 0x3F) << 8);
        *word = if code < 0x80 { code } else { two };
    }
    let mut at = 0usize;
    for (word, &code) in words.iter().zip(group) {
        // Never cuts anything off: what it does is to spare a check of the bounds.
        let start = at & (2 * GROUP - 1);
        place[start..start + 2].copy_from_slice(&word.to_le_bytes());
        at = at.wrapping_add(1 + usize::from(code >= 0x80));
    }
    at
}

/// Writes characters as four bytes each, of which the next one overwrites those not needed.
fn widen(place: &mut [u8; PLACE_BYTES], group: &[u32; GROUP]) -> usize {
    let mut words = [0; GROUP];
    let mut lengths = [0; GROUP];
    for index in 0..GROUP {
        words[index] = utf8_word(group[index]);
        lengths[index] = utf8_length(group[index]);
    }
    let mut at = 0usize;
    for (word, &length) in words.iter().zip(&lengths) {
        let start = at & (4 * GROUP - 1);
        place[start..start + 4].copy_from_slice(&word.to_le_bytes());
        at = at.wrapping_add(length as usize);
    }
    at
}

/// UTF-8 of a character from its low byte on.
fn utf8_word(code: u32) -> u32 {
    let tail = |shift: u32| 0x80 | ((code >> shift) & 0x3F);
    let two = 0xC0 | (code >> 6) | (tail(0) << 8);
    let three = 0xE0 | (code >> 12) | (tail(6) << 8) | (tail(0) << 16);
    let four = 0xF0 | (code >> 18) | (tail(12) << 8) | (tail(6) << 16) | (tail(0) << 24);
    let word = if code < 0x80 { code } else { two };
    let word = if code < 0x800 { word } else { three };
    if code < 0x1_0000 { word } else { four }
}

/// Bytes of a character in UTF-8.
fn utf8_length(code: u32) -> u32 {
    let above = |limit| u32::from(code >= limit);
    1 + above(0x80) + above(0x800) + above(0x1_0000)
}

/// Whether a number is a Unicode character: at most 10FFFF and no surrogate.
fn is_scalar(code: u32) -> bool {
    (code < 0x11_0000) & (code & !0x7FF != 0xD800)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_is_written_as_the_standard_library_writes_it() {
        for character in '\0'..=char::MAX {
            let mut expected = [0; 4];
            let length = character.encode_utf8(&mut expected).len();
            let word = utf8_word(u32::from(character)).to_le_bytes();

            assert_eq!(utf8_length(u32::from(character)) as usize, length);
            assert_eq!(word[..length], expected[..length]);
        }
    }

    #[test]
    fn numbers_are_characters_exactly_where_the_standard_library_says_so() {
        let near = |limit: u32| limit - 3..limit + 3;

        for code in [0xD800, 0xE000, 0x1_0000, 0x1_D800, 0x10_D800, 0x11_0000].map(near) {
            for code in code {
                assert_eq!(is_scalar(code), char::from_u32(code).is_some(), "{code:X}");
            }
        }
        assert!(!is_scalar(u32::MAX));
    }
}
