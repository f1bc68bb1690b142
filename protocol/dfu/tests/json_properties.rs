//! Random JSON documents through the probe and the splitter, checked against a generator that
//! knows where it put the rows: headers, footers, parts, counts, origins, whatever the blocks.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

#[path = "json_properties/document.rs"]
mod document;
mod support;

use document::{Document, Shape, documents, shapes};
use proptest::prelude::*;
use serde_json::Value;
use skyspray_dfu::encoding::Encoding;
use skyspray_dfu::format::{JsonFormat, RecordFormat};
use skyspray_dfu::probe::{self, Head, Measure, Tail};
use skyspray_dfu::split::{Source, SplitError};
use std::num::NonZeroU32;
use support::{Part, blocks, parts};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn parts_are_documents_of_whole_rows_split_as_the_oracle_says(
        (shape, documents) in shaped_documents(),
        encoding in encodings(),
        (count, blocks) in (prop_oneof![1u32..8, 1u32..200], blocks()),
    ) {
        let format = format(shape, encoding);
        let contents = documents.iter().map(|document| encode(&document.text(shape), encoding));
        let contents = contents.collect::<Vec<_>>();
        let sources = documents.iter().map(|document| announced(document, shape, encoding));
        let sources = sources.collect::<Vec<_>>();

        let found = run(&format, &sources, &contents, count, &blocks).unwrap();

        let expected = expected(&documents, shape, count, encoding);
        for (part, (body, rows)) in found.iter().zip(&expected) {
            let (header, footer) = (part.around.0 as usize, part.around.1 as usize);
            let found = &part.bytes[header..part.bytes.len() - footer];
            prop_assert_eq!(decode(found, encoding), body.clone());
            prop_assert_eq!(part.records, rows.len() as u64);
            prop_assert_eq!(&rows_of(&decode(&part.bytes, encoding), shape), rows);
            assert_origins(part, &contents);
        }
        prop_assert_eq!(found.len(), expected.len());
        if let [document] = &documents[..] {
            let filled = expected.iter().filter(|(_, rows)| !rows.is_empty());
            let bodies = filled.map(|(body, _)| &body[..]).collect::<Vec<_>>();
            let between = if shape.has_commas() { "," } else { "" };
            if !document.rows.is_empty() {
                prop_assert_eq!(bodies.join(between), document.body(shape));
            }
        }
    }

    #[test]
    fn the_probe_finds_header_and_footer_or_the_scan_says_where_rows_end(
        (shape, documents) in shaped_documents(),
        (encoding, first, last) in (encodings(), 1usize..40, 1usize..40),
    ) {
        let format = format(shape, encoding);
        let document = &documents[0];
        let content = encode(&document.text(shape), encoding);
        let right = announced(document, shape, encoding);
        if document.header.is_empty() && document.rows.is_empty() {
            prop_assert_eq!(probe::head(&format, &content, true), Ok(Head::NoRows));
            return Ok(());
        }

        let header = probed_header(&format, &content, first);
        prop_assert_eq!(header, right.header.len());
        let records = &content[header..];
        let guess = probed_footer(&format, records, last).unwrap();
        let source = |footer: usize| Source {
            header: right.header.clone(),
            footer: content[content.len() - footer..].to_vec(),
            ..Source::plain(content.len() as u64)
        };
        let contents = std::slice::from_ref(&content);
        match run(&format, &[source(guess)], contents, 3, &[1 << 20]) {
            Ok(_) => prop_assert_eq!(guess, right.footer.len()),
            Err(SplitError::FooterElsewhere { offset, .. }) => {
                prop_assert_eq!(offset as usize, content.len() - right.footer.len());
                prop_assert_ne!(guess, right.footer.len());
            }
            Err(other) => prop_assert!(false, "{other}"),
        }
        let mut measure = Measure::try_new(&format).unwrap();
        records.chunks(last).for_each(|block| measure.push(block).unwrap());
        let measured = measure.finish().unwrap() as usize;
        // Which of the two a document without keys is, its header says.
        if shape == Shape::Array(&[]) || shape.path() != "/" {
            prop_assert_eq!(measured, right.footer.len());
        }
    }

    #[test]
    fn a_document_cut_off_anywhere_is_refused(
        (shape, documents) in shaped_documents(),
        (cut, blocks) in (any::<prop::sample::Index>(), blocks()),
    ) {
        let (Shape::Array(_), document) = (shape, &documents[0]) else { return Ok(()) };
        let blanks_behind = document.footer.len() - document.footer.trim_end().len();
        let whole = document.text(shape).into_bytes();
        let cut = document.header.len() + cut.index(whole.len() - blanks_behind - document.header.len());
        let content = whole[..cut].to_vec();
        let format = format(shape, Encoding::Utf8);

        let refused = probed_split(&format, &content, document.header.len(), &blocks);

        match cut == document.header.len() {
            true => prop_assert!(refused.is_none()),
            false => prop_assert!(
                matches!(refused, Some(Err(SplitError::Malformed { .. }))),
                "{refused:?}"
            ),
        }
    }

    #[test]
    fn garbage_ends_in_parts_or_an_error_whatever_the_blocks(
        content in garbage(),
        (keys, header, footer) in (any::<bool>(), 0usize..4, 0usize..12),
        (blocks, max_record) in (blocks(), prop_oneof![1u32..12, Just(1000)]),
    ) {
        let path = if keys { "/a" } else { "/" };
        let max_record = NonZeroU32::new(max_record).unwrap();
        let format = JsonFormat::try_new(path).unwrap().with_max_record(max_record);
        let format = RecordFormat::Json(format);
        let header = header.min(content.len());
        let footer = footer.min(content.len() - header);
        let source = Source {
            header: content[..header].to_vec(),
            footer: content[content.len() - footer..].to_vec(),
            ..Source::plain(content.len() as u64)
        };
        let sources = [source.clone(), source];
        let contents = [content.clone(), content];

        let found = run(&format, &sources, &contents, 3, &blocks);

        let whole = run(&format, &sources, &contents, 3, &[usize::MAX]);
        prop_assert_eq!(found, whole, "blocks of another size");
    }

    #[test]
    fn what_the_probe_finds_in_garbage_is_right_or_the_scan_says_what_is(
        content in garbage(),
        (keys, blocks) in (any::<bool>(), blocks()),
    ) {
        let path = if keys { "/a" } else { "/" };
        let format = RecordFormat::Json(JsonFormat::try_new(path).unwrap());
        let content = if keys { [b"{\"a\":[", &content[..]].concat() } else { content };
        let Head::Found { header_bytes } = probe::head(&format, &content, true).unwrap() else {
            return Ok(());
        };

        let Some(found) = probed_split(&format, &content, header_bytes as usize, &blocks) else {
            prop_assert_eq!(content.len() as u64, header_bytes);
            return Ok(());
        };

        prop_assert!(!matches!(found, Err(SplitError::FooterElsewhere { .. })), "{found:?}");
        for part in found.into_iter().flatten() {
            // Only whole values and brackets are looked at, but those are right in every part.
            let text = String::from_utf8_lossy(&part.bytes).into_owned();
            prop_assert!(is_balanced(&text), "{text}");
        }
    }
}

fn shaped_documents() -> impl Strategy<Value = (Shape, Vec<Document>)> {
    shapes().prop_flat_map(|shape| (Just(shape), documents(shape)))
}

fn encodings() -> impl Strategy<Value = Encoding> {
    prop_oneof![
        6 => Just(Encoding::Utf8),
        1 => Just(Encoding::Utf16Le),
        1 => Just(Encoding::Utf32Be),
    ]
}

fn garbage() -> impl Strategy<Value = Vec<u8>> {
    let token = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ",",
        "\"",
        "\"",
        "\\",
        ":",
        " ",
        "\n",
        "1",
        "true",
        "{}",
        "[]",
        "\"a\":[",
        "{\"a\":1}",
        "\u{e4}",
        "_Y",
        "],",
        "}]",
        "[{}]",
    ]);
    prop_oneof![
        4 => prop::collection::vec(token.clone(), 0..12).prop_map(|t| t.concat().into_bytes()),
        2 => prop::collection::vec(token, 30..150).prop_map(|t| t.concat().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..100),
    ]
}

fn format(shape: Shape, encoding: Encoding) -> RecordFormat {
    RecordFormat::Json(JsonFormat::try_new(&shape.path()).unwrap()).with_encoding(encoding)
}

fn encode(text: &str, encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::Utf16Le => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        Encoding::Utf32Be => text.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect(),
        _ => text.as_bytes().to_vec(),
    }
}

fn decode(bytes: &[u8], encoding: Encoding) -> String {
    match encoding {
        Encoding::Utf16Le => {
            let units = bytes.chunks(2).map(|unit| u16::from_le_bytes(unit.try_into().unwrap()));
            String::from_utf16(&units.collect::<Vec<_>>()).unwrap()
        }
        Encoding::Utf32Be => {
            let units = bytes.chunks(4).map(|unit| u32::from_be_bytes(unit.try_into().unwrap()));
            units.map(|unit| char::from_u32(unit).unwrap()).collect()
        }
        _ => String::from_utf8(bytes.to_vec()).unwrap(),
    }
}

fn announced(document: &Document, shape: Shape, encoding: Encoding) -> Source {
    Source {
        header: encode(&document.header, encoding),
        footer: encode(&document.footer, encoding),
        ..Source::plain(encode(&document.text(shape), encoding).len() as u64)
    }
}

fn run(
    format: &RecordFormat,
    sources: &[Source],
    contents: &[Vec<u8>],
    count: u32,
    blocks: &[usize],
) -> Result<Vec<Part>, SplitError> {
    support::split(format, (sources.to_vec(), contents), parts(count), blocks)
}

/// As a caller does it: header and footer from the probe, and once more if the scan knows better.
/// `None` if the probe refuses it.
fn probed_split(
    format: &RecordFormat,
    content: &[u8],
    header: usize,
    blocks: &[usize],
) -> Option<Result<Vec<Part>, SplitError>> {
    let contents = [content.to_vec()];
    let source = |end: usize| Source {
        header: content[..header].to_vec(),
        footer: content[end..].to_vec(),
        ..Source::plain(content.len() as u64)
    };
    let end = content.len() - probed_footer(format, &content[header..], 16)?;
    Some(match run(format, &[source(end)], &contents, 3, blocks) {
        Err(SplitError::FooterElsewhere { offset, .. }) => {
            run(format, &[source(usize::try_from(offset).unwrap())], &contents, 3, blocks)
        }
        found => found,
    })
}

fn probed_header(format: &RecordFormat, content: &[u8], mut looked: usize) -> usize {
    loop {
        let first = &content[..looked.min(content.len())];
        match probe::head(format, first, first.len() == content.len()).unwrap() {
            Head::NeedMore => looked *= 2,
            Head::Found { header_bytes } => return usize::try_from(header_bytes).unwrap(),
            Head::NoRows => panic!("there are rows"),
        }
    }
}

fn probed_footer(format: &RecordFormat, records: &[u8], mut looked: usize) -> Option<usize> {
    loop {
        let last = &records[records.len() - looked.min(records.len())..];
        match probe::tail(format, last, last.len() == records.len()).ok()? {
            Tail::NeedMore => looked *= 2,
            Tail::Found { footer_bytes } => return usize::try_from(footer_bytes).ok(),
            Tail::Unknown => panic!("the last bytes always tell something"),
        }
    }
}

/// Bodies and rows of the parts: a part ends before the first row that starts at or after its
/// ideal end, and the comma there is in no part.
fn expected(
    documents: &[Document],
    shape: Shape,
    count: u32,
    encoding: Encoding,
) -> Vec<(String, Vec<Value>)> {
    let unit = u64::from(encoding.unit_bytes());
    let bytes = |text: &str| encode(text, encoding).len() as u64;
    let total = documents.iter().map(|document| bytes(&document.body(shape))).sum::<u64>();
    let count = u64::from(count);
    let is_due = |part: usize, at: u64| {
        let ordinal = part as u64 + 1;
        let end = if total < count { ordinal * total / count } else { total / count * ordinal };
        ordinal < count && end / unit <= at / unit
    };
    let glue = if shape.has_commas() { ",\n" } else { "\n" };
    let mut parts = vec![(String::new(), Vec::<Value>::new()); usize::try_from(count).unwrap()];
    let (mut part, mut at) = (0, 0);
    for document in documents {
        // Blanks before the comma that precedes a row, and behind it.
        let mut gap = (String::new(), document.lead.clone());
        at += bytes(&document.lead);
        for (index, row) in document.rows.iter().enumerate() {
            let before = part;
            while is_due(part, at) {
                part += 1;
            }
            let comma = match index {
                0 if parts[part].1.is_empty() => "",
                0 => glue,
                _ if shape.has_commas() && part == before => ",",
                _ => "",
            };
            parts[before].0 += &gap.0;
            parts[part].0 += comma;
            parts[part].0 += &gap.1;
            parts[part].0 += &row.text;
            parts[part].1.push(serde_json::from_str(&row.text).unwrap());
            let separator = shape.has_commas() && index + 1 < document.rows.len();
            gap = match separator {
                true => row.behind.clone(),
                false => (row.behind.0.clone() + &row.behind.1, String::new()),
            };
            at += bytes(&row.text) + bytes(&gap.0) + bytes(&gap.1);
            at += if separator { unit } else { 0 };
        }
        if !document.rows.is_empty() {
            parts[part].0 += &gap.0;
        }
    }
    parts
}

/// The rows of a part, as another reader of JSON sees it.
fn rows_of(text: &str, shape: Shape) -> Vec<Value> {
    match shape {
        Shape::Array(keys) => {
            let mut value = &serde_json::from_str::<Value>(text).unwrap();
            for key in keys {
                value = &value[key];
            }
            value.as_array().unwrap().clone()
        }
        Shape::Commas => serde_json::from_str(&format!("[{text}]")).unwrap(),
        Shape::Blanks => {
            let values = serde_json::Deserializer::from_str(text).into_iter();
            values.collect::<Result<_, _>>().unwrap()
        }
    }
}

fn assert_origins(part: &Part, contents: &[Vec<u8>]) {
    for origin in &part.origins {
        let length = usize::try_from(origin.length).unwrap();
        let in_part = usize::try_from(origin.part_offset).unwrap();
        let in_source = usize::try_from(origin.source_offset).unwrap();
        assert_eq!(
            part.bytes[in_part..in_part + length],
            contents[origin.source_index][in_source..in_source + length]
        );
    }
}

/// Whether brackets match and strings end; a backslash hides what follows it everywhere.
fn is_balanced(text: &str) -> bool {
    let mut open = Vec::new();
    let (mut quoted, mut hidden) = (false, false);
    for character in text.chars() {
        match character {
            _ if hidden => hidden = false,
            '\\' => hidden = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '[' | '{' => open.push(character),
            ']' if open.pop() != Some('[') => return false,
            '}' if open.pop() != Some('{') => return false,
            _ => {}
        }
    }
    open.is_empty() && !quoted
}
