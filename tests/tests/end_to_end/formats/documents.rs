//! XML and JSON: documents whose parts are documents too.

use super::{Case, PARTS, shown};
use skyspray_tests::args;
use skyspray_tests::pair::Pair;

const XML_HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE Orders [<!ENTITY e \
                        '<Row>'>]>\n<!-- <Row id='9'>no</Row> -->\n<Orders day=\"&lt;Row>\">\n";
const XML_TAIL: &str = "</Orders>\n<!-- <Row>neither</Row> -->\n";

/// Rows that hold rows, and what looks like rows.
fn xml_rows(range: std::ops::Range<usize>) -> String {
    let row = |index: usize| match index % 4 {
        0 => format!("  <Row id='{index}'><Row>in<Row/></Row>\u{e9}</Row>\n"),
        1 => format!("  <Row id='{index}' gt='/>'><![CDATA[</Row><Row >]]></Row>\n"),
        2 => {
            format!("  <Row\n id='{index}'><!-- </Row> --><?p </Row>?>{}</Row >\n", "x".repeat(90))
        }
        _ => format!("  <Row id='{index}'/> text <Rows/>\n"),
    };
    range.map(row).collect()
}

/// Rows of a part; only outer ones have an id.
fn xml_count(part: &[u8]) -> u64 {
    let text = std::str::from_utf8(part).unwrap().replace("<Row id='9'>no", "");
    text.matches(" id='").count() as u64
}

#[test]
fn xml_with_everything_that_looks_like_rows_comes_back_and_every_part_is_a_document() {
    let pair = Pair::start();
    let document = format!("{XML_HEAD}{}{XML_TAIL}", xml_rows(0..150));
    let options = args!["--row-tag", "Row"];
    let case = Case::one("o.xml", document.into_bytes(), options, xml_count);
    let kept = [("format", "utf8n"), ("kind", "xml"), ("rowTag", "Row")];
    for parts in case.kept(&kept).check(&pair) {
        for part in parts {
            let text = String::from_utf8(part).unwrap();
            assert!(text.starts_with(XML_HEAD) && text.ends_with(XML_TAIL), "{text}");
        }
    }
}

#[test]
fn xml_sources_are_joined_to_one_document() {
    let pair = Pair::start();
    let document = |range| format!("{XML_HEAD}{}{XML_TAIL}", xml_rows(range)).into_bytes();
    let empty = format!("{XML_HEAD}{XML_TAIL}").into_bytes();
    let source = |name: &str, bytes| (name.to_owned(), bytes);
    let sources = vec![
        source("a.xml", document(0..41)),
        source("b.xml", empty),
        source("nothing.xml", Vec::new()),
        source("c.xml", document(41..90)),
    ];
    // The line end behind the last row of a document belongs to its footer.
    let rows = format!("{}{}", xml_rows(0..41).trim_end(), xml_rows(41..90));
    let back = format!("{XML_HEAD}{rows}{XML_TAIL}").into_bytes();
    let case = Case::one("", back, args!["--row-tag", "Row"], xml_count);
    Case { sources, ..case }.check(&pair);
}

fn item(index: usize) -> String {
    format!("{{\"id\": {index}, \"text\": \"]}},[ \\\" {} \u{1f600}\"}}", "x".repeat(index % 40))
}

fn items(range: std::ops::Range<usize>, between: &str) -> String {
    range.map(item).collect::<Vec<_>>().join(between)
}

fn root_count(part: &[u8]) -> u64 {
    let document: serde_json::Value = serde_json::from_slice(part).unwrap();
    document.as_array().unwrap().len() as u64
}

fn nested_count(part: &[u8]) -> u64 {
    let document: serde_json::Value = serde_json::from_slice(part).unwrap();
    document["a"]["b"].as_array().unwrap().len() as u64
}

/// Items are counted by their ids, which only they have.
fn id_count(part: &[u8]) -> u64 {
    std::str::from_utf8(part).unwrap().matches("{\"id\":").count() as u64
}

#[test]
fn json_of_every_shape_comes_back_and_every_part_is_json() {
    let pair = Pair::start();
    let rows = items(0..200, ",\n ");
    let root = format!(" [\n {rows}\n]\n");
    let nested = format!("{{\"x\": [[1], {{\"b\": []}}], \"a\": {{\"b\": [{rows}], \"c\": 1}}}}\n");
    let siblings = format!(
        "{{\"a\": {{\"z\": 1, \"b\": [{rows}], \"c\": [{}]}}, \"d\": [1, 2, {{\"b\": [3]}}]}}\n",
        "{\"no\": [1]}, ".repeat(3000) + "2"
    );
    for (name, text, path, count) in [
        ("root.json", root, "/", root_count as fn(&[u8]) -> u64),
        ("nested.json", nested, "/a/b", nested_count),
        ("siblings.json", siblings, "/a/b", nested_count),
        ("scalars.json", "[1, \"a\",null , {}, [],\n2.5e3,true]".into(), "/", root_count),
    ] {
        let case = Case::one(name, text.into_bytes(), args!["--row-path", path], count);
        case.kept(&[("kind", "json"), ("rowTag", path)]).check(&pair);
    }
}

#[test]
fn successive_json_documents_come_back_whatever_stands_between_them() {
    let pair = Pair::start();
    let commas: String =
        (0..120).map(|index| item(index) + [",", " , ", "\r\n,", " ,\n"][index % 4]).collect();
    let blanks: String =
        (0..120).map(|index| item(index) + ["", "\n", "\r\n\r\n", " \t"][index % 4]).collect();
    for (name, text) in [
        ("lines.json", items(0..100, "\n")),
        ("commas.json", items(0..100, ",\n") + "\n"),
        ("close.json", items(0..100, "")),
        ("uneven.json", commas.trim_end_matches([',', '\n', ' ']).to_owned() + "\n"),
        ("blanks.json", blanks),
    ] {
        Case::one(name, text.into_bytes(), args![], id_count).check(&pair);
    }
}

#[test]
fn json_sources_are_joined_to_one_document() {
    let pair = Pair::start();
    let source = |name: &str, text: String| (name.to_owned(), text.into_bytes());
    let document = |range| format!("{{\"a\": {{\"b\": [{}]}}, \"c\": [0]}}\n", items(range, ", "));
    let sources = vec![
        source("a.json", document(0..30)),
        source("b.json", document(0..0)),
        source("c.json", document(30..80)),
    ];
    let options = args!["--row-path", "/a/b"];
    let named = Case { sources, ..Case::one("", Vec::new(), options, nested_count) };
    for &parts in &PARTS {
        let back = back_of(&pair, &named, parts);
        let rows: serde_json::Value = serde_json::from_slice(&back).unwrap();
        let ids: Vec<_> = rows["a"]["b"].as_array().unwrap().iter().map(|row| &row["id"]).collect();
        assert_eq!(ids.len(), 80, "{}", shown(&back));
        assert!(ids.iter().enumerate().all(|(index, id)| **id == index), "{ids:?}");
        assert_eq!(rows["c"], serde_json::json!([0]));
    }
}

/// What a despray gives after a spray into `parts`, verified between.
fn back_of(pair: &Pair, case: &Case, parts: u32) -> Vec<u8> {
    let named = case.write(pair);
    let target = pair.target(&format!("t::j{parts}"));
    let mut spray = [args!["spray"], named.clone(), args![&target]].concat();
    spray.extend([args!["--parts", &parts.to_string()], case.options.clone()].concat());
    pair.done(spray);
    pair.done([args!["verify", &target], named].concat());
    let back = pair.edge.file("joined.out");
    pair.done(args!["despray", &target, &back, "--overwrite"]);
    std::fs::read(back).unwrap()
}

#[test]
fn json_lines_come_back_with_their_line_ends() {
    let pair = Pair::start();
    let text = items(0..60, "\n") + "\r\n\r\n" + &items(60..100, "\r\n");
    // Strings of JSON hold no line ends, so every one ends a record, an empty one too.
    let count = |part: &[u8]| part.split_inclusive(|byte| *byte == b'\n').count() as u64;
    let kept = [("kind", "json"), ("jsonLines", "1")];
    Case::one("l.jsonl", text.into_bytes(), args![], count).kept(&kept).check(&pair);

    let sources = vec![
        ("a.jsonl".to_owned(), items(0..10, "\n").into_bytes()),
        ("b.ndjson".to_owned(), items(10..30, "\n").into_bytes()),
    ];
    let back = items(0..30, "\n").into_bytes();
    let case = Case { sources, ..Case::one("", back, args![], id_count) };
    let named = case.write(&pair);
    for parts in [1, 3, 7] {
        case.check_parts(&pair, &named, parts);
    }
}
