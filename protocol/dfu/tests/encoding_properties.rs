//! Text and garbage of every encoding in any cuts, against the standard library's decoding of the
//! whole: the same text, the same count of bad sequences, the same place of the first one.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use proptest::prelude::*;
use skyspray_dfu::encoding::{Encoding, Fault, InvalidText, OnInvalid, ToUtf8, Utf8Check};

const UNICODE: [Encoding; 5] =
    [Encoding::Utf8, Encoding::Utf16Le, Encoding::Utf16Be, Encoding::Utf32Le, Encoding::Utf32Be];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn text_of_every_encoding_becomes_the_same_utf8(text in text(), cuts in cuts()) {
        for encoding in UNICODE {
            let (output, replaced) = convert(encoding, OnInvalid::Fail, &encode(encoding, &text), &cuts);

            prop_assert_eq!(output, Ok(text.clone().into_bytes()), "{}", encoding);
            prop_assert_eq!(replaced, 0);
        }
    }

    #[test]
    fn each_bad_sequence_is_replaced_once(
        encoding in prop::sample::select(&UNICODE[..]),
        segments in segments(),
        cuts in cuts(),
    ) {
        let data = garbage(encoding, &segments);
        let expected = oracle(encoding, &data);

        let (output, replaced) = convert(encoding, OnInvalid::Replace, &data, &cuts);

        prop_assert_eq!(String::from_utf8(output.unwrap()).unwrap(), expected.text);
        prop_assert_eq!(replaced, expected.bad);
    }

    #[test]
    fn the_first_bad_sequence_is_named_and_all_before_it_is_written(
        encoding in prop::sample::select(&UNICODE[..]),
        segments in segments(),
        cuts in cuts(),
    ) {
        let data = garbage(encoding, &segments);
        let expected = oracle(encoding, &data);

        let mut output = Vec::new();
        let failed = convert_into(encoding, OnInvalid::Fail, &data, &cuts, &mut output).0.err();

        prop_assert_eq!(failed.map(|failed| failed.offset), expected.first_bad);
        prop_assert_eq!(String::from_utf8(output).unwrap(), expected.before);
    }

    #[test]
    fn a_check_of_utf8_finds_what_a_conversion_finds(segments in segments(), cuts in cuts()) {
        let data = garbage(Encoding::Utf8, &segments);
        let mut check = Utf8Check::new();

        let found = pieces(&data, &cuts)
            .try_for_each(|piece| check.push(piece))
            .and_then(|()| check.finish());

        let converted = convert(Encoding::Utf8, OnInvalid::Fail, &data, &cuts).0;
        prop_assert_eq!(found, converted.map(|_| ()));
        prop_assert_eq!(found.is_ok(), std::str::from_utf8(&data).is_ok());
    }
}

#[test]
fn the_code_points_at_the_edges_of_every_form_survive() {
    let edges = [0..=10, 100..=109, 127..=137, 2047..=2056, 65_535..=65_544, 1_114_102..=1_114_111];
    let text: String =
        edges.into_iter().flatten().map(|code| char::from_u32(code).unwrap()).collect();

    for encoding in UNICODE {
        for cuts in [vec![usize::MAX], vec![1], vec![3]] {
            let data = encode(encoding, &text);
            let (output, _) = convert(encoding, OnInvalid::Fail, &data, &cuts);
            assert_eq!(output, Ok(text.clone().into_bytes()), "{encoding}");
        }
    }
}

#[test]
fn every_fault_is_told_apart() {
    for (encoding, data, offset, fault, words) in [
        (
            Encoding::Utf16Le,
            &b"a\0\x3D\xD8b\0"[..],
            2,
            Fault::LoneSurrogate { unit: 0xD83D },
            "offset 2 is no utf16le: surrogate D83D without its pair",
        ),
        (
            Encoding::Utf16Be,
            b"\0a\0b\xDE\0",
            4,
            Fault::LoneSurrogate { unit: 0xDE00 },
            "offset 4 is no utf16be: surrogate DE00 without its pair",
        ),
        (
            Encoding::Utf16Le,
            b"a\0b",
            2,
            Fault::Incomplete { bytes: 1 },
            "offset 2 is no utf16le: text ends inside a character (bytes left: 1)",
        ),
        (
            Encoding::Utf16Le,
            b"a\0\x3D\xD8\0",
            2,
            Fault::LoneSurrogate { unit: 0xD83D },
            "offset 2 is no utf16le: surrogate D83D without its pair",
        ),
        (
            Encoding::Utf32Le,
            b"\0\0\x11\0",
            0,
            Fault::BeyondUnicode { code: 0x11_0000 },
            "offset 0 is no utf32le: 00110000, beyond the last character 0010FFFF",
        ),
        (
            Encoding::Utf32Be,
            b"\0\0\0a\0\0\xD8\0",
            4,
            Fault::SurrogateCode { code: 0xD800 },
            "offset 4 is no utf32be: surrogate D800, which is no character",
        ),
        (
            Encoding::Utf8,
            b"abc\xE2\x82d",
            3,
            Fault::IllegalUtf8 { bytes: 2 },
            "offset 3 is no utf8: no character begins so (bytes: 2)",
        ),
        (
            Encoding::Utf8,
            b"abc\xE2\x82",
            3,
            Fault::Incomplete { bytes: 2 },
            "offset 3 is no utf8: text ends inside a character (bytes left: 2)",
        ),
    ] {
        for cuts in [vec![usize::MAX], vec![1], vec![2, 3]] {
            let failed = convert(encoding, OnInvalid::Fail, data, &cuts).0.unwrap_err();

            assert_eq!(failed, InvalidText { encoding, offset, fault });
            assert_eq!(failed.to_string(), words);
        }
    }
}

#[test]
fn a_cut_off_file_of_wide_units_has_hpccs_number() {
    let number = |encoding, data| {
        convert(encoding, OnInvalid::Fail, data, &[9]).0.unwrap_err().hpcc_number()
    };

    assert_eq!(number(Encoding::Utf16Le, b"a\0b"), Some(8079));
    assert_eq!(number(Encoding::Utf32Le, b"a\0\0"), Some(8079));
    assert_eq!(number(Encoding::Utf8, b"\xE2\x82"), None);
    assert_eq!(number(Encoding::Utf16Le, b"\0\xDE"), None);
}

#[test]
fn a_failed_conversion_stays_failed() {
    let mut converter = ToUtf8::try_new(Encoding::Utf16Le, OnInvalid::Fail).unwrap();
    let mut output = Vec::new();
    let failed = converter.push(b"a\0\0\xDE", &mut output).unwrap_err();

    assert_eq!(converter.push(b"b\0", &mut output), Err(failed));
    assert_eq!(converter.finish(&mut output), Err(failed));
    assert_eq!(output, b"a");
}

#[test]
fn bytes_without_a_declared_encoding_are_not_converted() {
    let error = ToUtf8::try_new(Encoding::Ascii, OnInvalid::Replace).unwrap_err();

    assert_eq!(error.hpcc_number(), Some(8072));
    assert_eq!(error.to_string(), "ascii cannot be converted to utf8, only Unicode encodings can");
}

struct Expected {
    text: String,
    bad: u64,
    /// Offset of the first bad sequence, and the text before it.
    first_bad: Option<u64>,
    before: String,
}

/// What the standard library makes of all bytes at once.
fn oracle(encoding: Encoding, data: &[u8]) -> Expected {
    let mut expected =
        Expected { text: String::new(), bad: 0, first_bad: None, before: String::new() };
    let mut offset = 0;
    let mut add = |characters: Option<&str>, bytes: u64| {
        match characters {
            Some(characters) => expected.text.push_str(characters),
            None => {
                if expected.first_bad.is_none() {
                    expected.first_bad = Some(offset);
                    expected.before.clone_from(&expected.text);
                }
                expected.bad += 1;
                expected.text.push('\u{FFFD}');
            }
        }
        offset += bytes;
    };
    let unit = usize::from(encoding.unit_bytes());
    match encoding {
        Encoding::Ascii | Encoding::Utf8 => {
            for chunk in data.utf8_chunks() {
                add(Some(chunk.valid()), chunk.valid().len() as u64);
                if !chunk.invalid().is_empty() {
                    add(None, chunk.invalid().len() as u64);
                }
            }
        }
        Encoding::Utf16Le | Encoding::Utf16Be => {
            let units = data.chunks_exact(2).map(|pair| match encoding {
                Encoding::Utf16Le => u16::from_le_bytes([pair[0], pair[1]]),
                _ => u16::from_be_bytes([pair[0], pair[1]]),
            });
            for decoded in char::decode_utf16(units) {
                match decoded {
                    Ok(character) => {
                        add(Some(&String::from(character)), 2 * character.len_utf16() as u64);
                    }
                    Err(_) => add(None, 2),
                }
            }
        }
        Encoding::Utf32Le | Encoding::Utf32Be => {
            for word in data.chunks_exact(4) {
                let word = word.try_into().unwrap();
                let code = match encoding {
                    Encoding::Utf32Le => u32::from_le_bytes(word),
                    _ => u32::from_be_bytes(word),
                };
                add(char::from_u32(code).map(String::from).as_deref(), 4);
            }
        }
    }
    if !data.len().is_multiple_of(unit) {
        add(None, (data.len() % unit) as u64);
    }
    if expected.first_bad.is_none() {
        expected.before.clone_from(&expected.text);
    }
    expected
}

fn encode(encoding: Encoding, text: &str) -> Vec<u8> {
    match encoding {
        Encoding::Ascii | Encoding::Utf8 => text.as_bytes().to_vec(),
        Encoding::Utf16Le => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        Encoding::Utf16Be => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        Encoding::Utf32Le => text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect(),
        Encoding::Utf32Be => text.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect(),
    }
}

fn convert(
    encoding: Encoding,
    on_invalid: OnInvalid,
    data: &[u8],
    cuts: &[usize],
) -> (Result<Vec<u8>, InvalidText>, u64) {
    let mut output = Vec::new();
    let (result, replaced) = convert_into(encoding, on_invalid, data, cuts, &mut output);
    (result.map(|()| output), replaced)
}

fn convert_into(
    encoding: Encoding,
    on_invalid: OnInvalid,
    data: &[u8],
    cuts: &[usize],
    output: &mut Vec<u8>,
) -> (Result<(), InvalidText>, u64) {
    let mut converter = ToUtf8::try_new(encoding, on_invalid).unwrap();
    let result = pieces(data, cuts)
        .try_for_each(|piece| converter.push(piece, output))
        .and_then(|()| converter.finish(output));
    (result, converter.replaced())
}

/// The data in pieces of the lengths given, over and over.
fn pieces<'a>(mut data: &'a [u8], cuts: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    cuts.iter().cycle().map_while(move |&length| {
        let (piece, rest) = data.split_at(length.min(data.len()));
        data = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        Just(vec![1]),
        Just(vec![usize::MAX]),
        prop::collection::vec(1usize..10, 1..5),
        prop::collection::vec(1usize..400, 1..5),
    ]
}

/// Mostly longer than what is converted together, with all widths of characters side by side.
fn text() -> impl Strategy<Value = String> {
    let character = prop_oneof![
        4 => prop::char::range(' ', '~'),
        1 => prop::char::range('\u{80}', '\u{7FF}'),
        1 => prop::char::range('\u{800}', '\u{FFFF}'),
        1 => prop::char::range('\u{10000}', char::MAX),
    ];
    let run = prop_oneof![
        "[ -~]{0,150}",
        prop::collection::vec(prop::char::range('\u{400}', '\u{4FF}'), 0..60)
            .prop_map(String::from_iter),
        prop::collection::vec(character, 0..60).prop_map(String::from_iter),
    ];
    prop::collection::vec(run, 0..8).prop_map(|runs| runs.concat())
}

#[derive(Clone, Debug)]
enum Segment {
    Text(String),
    /// Units of the encoding, their high bits cut off where it has fewer.
    Units(Vec<u32>),
    Bytes(Vec<u8>),
}

fn segments() -> impl Strategy<Value = Vec<Segment>> {
    let unit = prop_oneof![
        0xD800u32..0xDC00,
        0xDC00u32..0xE000,
        0x20u32..0x7F,
        0x10_FFF0u32..0x11_0010,
        any::<u32>(),
    ];
    let segment = prop_oneof![
        3 => text().prop_map(Segment::Text),
        2 => prop::collection::vec(unit, 0..12).prop_map(Segment::Units),
        1 => prop::collection::vec(any::<u8>(), 0..6).prop_map(Segment::Bytes),
    ];
    prop::collection::vec(segment, 0..5)
}

fn garbage(encoding: Encoding, segments: &[Segment]) -> Vec<u8> {
    let mut data = Vec::new();
    for segment in segments {
        match segment {
            Segment::Text(text) => data.extend(encode(encoding, text)),
            Segment::Bytes(bytes) => data.extend(bytes),
            Segment::Units(units) => {
                for &unit in units {
                    match encoding {
                        Encoding::Ascii | Encoding::Utf8 => data.push(unit as u8),
                        Encoding::Utf16Le => data.extend((unit as u16).to_le_bytes()),
                        Encoding::Utf16Be => data.extend((unit as u16).to_be_bytes()),
                        Encoding::Utf32Le => data.extend(unit.to_le_bytes()),
                        Encoding::Utf32Be => data.extend(unit.to_be_bytes()),
                    }
                }
            }
        }
    }
    data
}
