//! Random XML documents through the probe and the splitter, checked against a generator that knows
//! where it put the rows: headers, footers, parts, counts, origins, whatever the blocks.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

#[path = "xml_properties/document.rs"]
mod document;
mod support;

use document::{Document, Place, document, encode};
use proptest::prelude::*;
use skyspray_dfu::encoding::Encoding;
use skyspray_dfu::format::{RecordFormat, XmlFormat};
use skyspray_dfu::probe::{self, Head, Measure, Tail};
use skyspray_dfu::split::{Rule, Source, SplitError};
use std::num::NonZeroU32;
use support::{Part, blocks, parts};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn parts_are_documents_of_whole_rows_split_as_the_oracle_says(
        (documents, tag) in documents(),
        encoding in encodings(),
        (count, blocks) in (prop_oneof![1u32..8, 1u32..200], blocks()),
    ) {
        let format = format(tag, encoding);
        let contents = documents.iter().map(|document| document.bytes(tag, encoding));
        let contents = contents.collect::<Vec<_>>();
        let places = documents.iter().map(|document| document.place(tag, encoding));
        let places = places.collect::<Vec<_>>();
        let sources = contents.iter().map(|content| probed(&format, content));
        let sources = sources.collect::<Vec<_>>();
        for ((source, content), place) in sources.iter().zip(&contents).zip(&places) {
            prop_assert_eq!(source, &announced(content, place.header, place.footer));
        }

        let found = split(&format, &sources, &contents, count, &blocks).unwrap();

        let expected = expected(&contents, &places, count, u64::from(encoding.unit_bytes()));
        let bodies = found.iter().map(|part| (body(part), part.records)).collect::<Vec<_>>();
        prop_assert_eq!(bodies, expected);
        for part in &found {
            assert_around(part, &sources);
            assert_origins(part, &contents);
        }
    }

    #[test]
    fn records_that_end_elsewhere_are_noticed_and_the_right_place_is_said(
        (document, tag) in (document(), tags()),
        encoding in encodings(),
        (end, blocks) in (any::<prop::sample::Index>(), blocks()),
    ) {
        let format = format(tag, encoding);
        let content = document.bytes(tag, encoding);
        let place = document.place(tag, encoding);
        let unit = usize::from(encoding.unit_bytes());
        // A source without records is not asked where the last one ends.
        let units = (content.len() - place.header) / unit;
        let end = place.header + (1 + end.index(units)) * unit;
        let source = announced(&content, place.header, end);

        let found = split(&format, &[source], std::slice::from_ref(&content), 3, &blocks);

        let blanks = encode(" \t\r\n", encoding);
        let is_blank = |found: &[u8]| blanks.chunks(unit).any(|blank| blank == found);
        let only_blanks = end >= place.last && content[place.last..end].chunks(unit).all(is_blank);
        match only_blanks {
            true => prop_assert!(found.is_ok(), "{:?}", found),
            false => {
                let offset = place.footer as u64;
                let elsewhere = SplitError::FooterElsewhere { source_index: 0, offset };
                prop_assert_eq!(found, Err(elsewhere));
            }
        }
    }

    #[test]
    fn a_document_cut_off_inside_a_row_is_refused(
        (document, tag) in (document(), tags()),
        (row, at, blocks) in (any::<prop::sample::Index>(), any::<prop::sample::Index>(), blocks()),
    ) {
        let format = format(tag, Encoding::Utf8);
        let place = document.place(tag, Encoding::Utf8);
        let (start, close, _) = place.rows[row.index(place.rows.len())];
        let cut = start + 1 + at.index(close + 1 - start);
        let content = document.bytes(tag, Encoding::Utf8)[..cut].to_vec();
        let source = announced(&content, place.header, cut);

        let found = split(&format, &[source], std::slice::from_ref(&content), 2, &blocks);

        let rule = Rule::DocumentCutOff;
        match found {
            Err(SplitError::Malformed { source_index: 0, rule: found, offset }) => {
                prop_assert_eq!(found, rule);
                prop_assert!(start as u64 <= offset && offset < cut as u64);
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn garbage_ends_in_parts_or_an_error_whatever_the_blocks(
        content in garbage(),
        (header, footer) in (0usize..4, 0usize..12),
        blocks in blocks(),
    ) {
        let format = short_rows();
        let header = header.min(content.len());
        let footer = footer.min(content.len() - header);
        let sources = [announced(&content, header, content.len() - footer)];
        let contents = [content];

        let found = split(&format, &sources, &contents, 3, &blocks);

        let whole = split(&format, &sources, &contents, 3, &[usize::MAX]);
        prop_assert_eq!(&found, &whole, "blocks of another size");
        if let Ok(parts) = found {
            let bodies = parts.iter().flat_map(body).collect::<Vec<_>>();
            prop_assert_eq!(&bodies, &contents[0][header..contents[0].len() - footer]);
        }
    }

    #[test]
    fn what_the_probe_finds_in_garbage_is_right_or_the_scan_says_what_is(
        content in garbage(),
        blocks in blocks(),
    ) {
        let format = short_rows();
        let Head::Found { header_bytes } = probe::head(&format, &content, true).unwrap() else {
            return Ok(());
        };
        let header = usize::try_from(header_bytes).unwrap();
        let footer_bytes = match probe::tail(&format, &content[header..], true) {
            Ok(Tail::Found { footer_bytes }) => footer_bytes,
            Ok(Tail::Unknown) | Err(_) => 0,
            Ok(Tail::NeedMore) => panic!("there is no more"),
        };
        let end = content.len() - usize::try_from(footer_bytes).unwrap();
        let mut source = announced(&content, header, end);
        let contents = [content];
        let mut found = split(&format, &[source], &contents, 3, &blocks);
        if let Err(SplitError::FooterElsewhere { offset, .. }) = found {
            source = announced(&contents[0], header, usize::try_from(offset).unwrap());
            found = split(&format, &[source], &contents, 3, &blocks);
        }

        let again = matches!(found, Err(SplitError::FooterElsewhere { .. }));
        prop_assert!(!again, "the second time it is known: {:?}", found);
    }
}

const TAGS: [&str; 4] = ["Row", "r", "ns:row-1", "Zeile\u{e4}\u{1f600}"];

fn tags() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&TAGS[..])
}

fn encodings() -> impl Strategy<Value = Encoding> {
    prop_oneof![
        4 => Just(Encoding::Utf8),
        1 => Just(Encoding::Utf16Le),
        1 => Just(Encoding::Utf16Be),
        1 => Just(Encoding::Utf32Le),
    ]
}

fn documents() -> impl Strategy<Value = (Vec<Document>, &'static str)> {
    (prop::collection::vec(document(), 1..5), tags())
}

/// Bytes that are markup more often than not.
fn garbage() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "<r",
        "<r>",
        "<r/>",
        "</r>",
        "</r",
        ">",
        "/>",
        "<",
        "/",
        "r",
        "<!--",
        "-->",
        "-",
        "--",
        "<![CDATA[",
        "]]>",
        "]",
        "<?",
        "?>",
        "?",
        "<!DOCTYPE",
        "<!",
        "[",
        "'",
        "\"",
        " ",
        "\n",
        "\r",
        "\r\n",
        "x",
        "<b>",
        "</b>",
    ];
    let word = prop_oneof![
        9 => prop::sample::select(words.to_vec()).prop_map(|word| word.as_bytes().to_vec()),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    prop_oneof![
        prop::collection::vec(word.clone(), 0..12).prop_map(|words| words.concat()),
        prop::collection::vec(word, 0..120).prop_map(|words| words.concat()),
    ]
}

fn format(tag: &str, encoding: Encoding) -> RecordFormat {
    RecordFormat::Xml(XmlFormat::try_new(tag).unwrap()).with_encoding(encoding)
}

/// So short that the limit is met now and then.
fn short_rows() -> RecordFormat {
    let xml = XmlFormat::try_new("r").unwrap();
    RecordFormat::Xml(xml.with_max_record(NonZeroU32::new(60).unwrap()))
}

/// A source whose records start and end there.
fn announced(content: &[u8], header: usize, footer: usize) -> Source {
    Source {
        length: content.len() as u64,
        header: content[..header].to_vec(),
        footer: content[footer..].to_vec(),
        ..Source::default()
    }
}

/// What a caller does: asks with more and more bytes, and tries what was found.
fn probed(format: &RecordFormat, content: &[u8]) -> Source {
    let mut looked = 8;
    let header = loop {
        let whole = looked >= content.len();
        match probe::head(format, &content[..looked.min(content.len())], whole).unwrap() {
            Head::Found { header_bytes } => break usize::try_from(header_bytes).unwrap(),
            Head::NeedMore => looked *= 2,
            Head::NoRows => panic!("there are rows"),
        }
    };
    let rest = &content[header..];
    let mut looked = 8;
    let footer_bytes = loop {
        let whole = looked >= rest.len();
        match probe::tail(format, &rest[rest.len() - looked.min(rest.len())..], whole).unwrap() {
            Tail::Found { footer_bytes } => break footer_bytes,
            Tail::NeedMore => looked *= 2,
            Tail::Unknown => break measured(format, rest),
        }
    };
    let footer = content.len() - usize::try_from(footer_bytes).unwrap();
    let source = announced(content, header, footer);
    match split(format, std::slice::from_ref(&source), &[content.to_vec()], 1, &[4096]) {
        Ok(_) => source,
        Err(SplitError::FooterElsewhere { offset, .. }) => {
            announced(content, header, usize::try_from(offset).unwrap())
        }
        Err(other) => panic!("unexpected: {other}"),
    }
}

fn measured(format: &RecordFormat, rest: &[u8]) -> u64 {
    let mut measure = Measure::try_new(format).unwrap();
    for block in rest.chunks(7) {
        measure.push(block).unwrap();
    }
    measure.finish().unwrap()
}

fn split(
    format: &RecordFormat,
    sources: &[Source],
    contents: &[Vec<u8>],
    count: u32,
    blocks: &[usize],
) -> Result<Vec<Part>, SplitError> {
    support::split(format, (sources.to_vec(), contents), parts(count), blocks)
}

fn body(part: &Part) -> Vec<u8> {
    let (header, footer) = (part.around.0 as usize, part.around.1 as usize);
    part.bytes[header..part.bytes.len() - footer].to_vec()
}

/// Bodies and record counts: every part ends with the first row whose end tag begins at or behind
/// the ideal end, or where a source starts there.
fn expected(contents: &[Vec<u8>], places: &[Place], count: u32, unit: u64) -> Vec<(Vec<u8>, u64)> {
    let mut stream = Vec::new();
    // Where a part may end: ideal ends up to the first number are content with the second.
    let mut cuts = Vec::new();
    for (content, place) in contents.iter().zip(places) {
        cuts.push((stream.len(), stream.len(), false));
        for &(_, close, line) in &place.rows {
            let shift = |at: usize| stream.len() + at - place.header;
            cuts.push((shift(close), shift(line.min(place.footer)), true));
        }
        stream.extend_from_slice(&content[place.header..place.footer]);
    }
    let total = stream.len() as u64;
    let part_bytes = total / u64::from(count);
    let mut parts = Vec::new();
    let mut start = 0;
    for ordinal in 1..=u64::from(count) {
        let ideal = match part_bytes {
            0 => ordinal * total / u64::from(count),
            _ => ordinal * part_bytes,
        };
        let ideal = usize::try_from(ideal / unit * unit).unwrap();
        let cut = cuts.iter().find(|(close, ..)| *close >= ideal).map(|(_, cut, _)| *cut);
        let last = ordinal == u64::from(count);
        let end = cut.filter(|_| !last).unwrap_or(stream.len());
        let holds = |cut: usize| start < cut && cut <= end;
        let records = cuts.iter().filter(|(_, cut, row)| *row && holds(*cut)).count();
        parts.push((stream[start..end].to_vec(), records as u64));
        start = end;
    }
    parts
}

/// A part has the header of the source its first row is from.
fn assert_around(part: &Part, sources: &[Source]) {
    let header = &part.bytes[..part.around.0 as usize];
    let footer = &part.bytes[part.bytes.len() - part.around.1 as usize..];
    match part.origins.first() {
        Some(first) => assert_eq!(header, sources[first.source_index].header),
        None => assert!(sources.iter().any(|source| source.header == header)),
    }
    assert!(sources.iter().any(|source| source.footer == footer));
}

fn assert_origins(part: &Part, contents: &[Vec<u8>]) {
    let mut at = u64::from(part.around.0);
    for origin in &part.origins {
        assert_eq!(origin.part_offset, at);
        at += origin.length;
        let range = |from: u64| {
            usize::try_from(from).unwrap()..usize::try_from(from + origin.length).unwrap()
        };
        assert_eq!(
            part.bytes[range(origin.part_offset)],
            contents[origin.source_index][range(origin.source_offset)]
        );
    }
    assert_eq!(at + u64::from(part.around.1), part.bytes.len() as u64, "all has an origin");
}
