//! What parts are made of besides their records: whole sources, split points, blobs, metadata.

use super::{Case, csv_text, lines, number};
use serde_json::Value;
use skyspray_tests::args;
use skyspray_tests::check::{assert_returns, assert_same_tree, assert_says, stored_parts};
use skyspray_tests::pair::Pair;
use std::fs;

fn of_utf8(part: &[u8]) -> u64 {
    lines(std::str::from_utf8(part).unwrap())
}

#[test]
fn sources_that_stay_whole_are_dealt_out_in_order() {
    let pair = Pair::start();
    let source = |name: &str, text: &str| (name.to_owned(), text.as_bytes().to_vec());
    let sources: Vec<_> = ["a,1\n", "b,\"2\n\"\n", "c\n", "d\n", "e\n"]
        .iter()
        .enumerate()
        .map(|(index, text)| source(&format!("{index}.csv"), text))
        .collect();
    let back = sources.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
    let case = Case::one("", back, args!["--nosplit"], of_utf8);
    let case = Case { sources, ..case }.kept(&[("sourcesWhole", "1")]);
    let named = case.write(&pair);

    let two = case.check_parts(&pair, &named, 2);
    assert_eq!(two, [&b"a,1\nb,\"2\n\"\nc\n"[..], b"d\ne\n"]);
    assert_eq!(case.check_parts(&pair, &named, 5).len(), 5);
    assert_eq!(case.check_parts(&pair, &named, 1).len(), 1);
}

#[test]
fn documents_that_stay_whole_are_stored_as_they_are() {
    let pair = Pair::start();
    let source = |name: &str, text: &str| (name.to_owned(), text.as_bytes().to_vec());
    let sources = vec![
        source("a.xml", "<a>\n<r>1</r>\n</a>\n"),
        source("b.xml", "<a>\n<r>2</r>\n<r>3</r>\n</a>\n"),
    ];
    let count = |part: &[u8]| std::str::from_utf8(part).unwrap().matches("<r>").count() as u64;
    // The line end behind the last row of a document belongs to its footer.
    let back = b"<a>\n<r>1</r><r>2</r>\n<r>3</r>\n</a>\n".to_vec();
    let case = Case::one("", back, args!["--row-tag", "r"], count);
    let case = Case { sources: sources.clone(), ..case };
    let named = case.write(&pair);
    let parts = case.check_parts(&pair, &named, 2);
    assert_eq!(parts, [sources[0].1.clone(), sources[1].1.clone()]);
}

#[test]
fn a_whole_file_keeps_its_split_points_on_record_boundaries() {
    let pair = Pair::start();
    let csv = format!("\u{feff}{}", csv_text(300));
    let rows: Vec<String> = (0..150).map(|id| format!("{{\"id\": {id}}}")).collect();
    let json = format!("{{\"rows\": [\n{}\n], \"rest\": []}}\n", rows.join(" ,\n"));
    for (name, text, options) in [
        ("w.csv", csv, args![]),
        ("w.json", json, args!["--row-path", "/rows"]),
        ("w.xml", format!("<a>\n{}</a>\n", "<r>1</r>\n".repeat(200)), args!["--row-tag", "r"]),
    ] {
        let source = pair.edge.file(name);
        fs::write(&source, &text).unwrap();
        let spray =
            args!["spray", &source, "data:t::whole", "--whole", "--parts", "5", "--overwrite"];
        pair.done([spray, options.clone()].concat());

        let stored = stored_parts(&pair.relay.plane, "t::whole").unwrap();
        assert_eq!(stored.len(), 1);
        assert!(fs::read(&stored[0]).unwrap() == text.as_bytes(), "{name} is not stored as it is");
        assert_returns(&pair, "t::whole", &source);
        pair.done(args!["verify", "data:t::whole", &source]);
        let described = pair.done(args!["describe", "data:t::whole", "--origins"]);
        let description = described.event("description").unwrap();
        assert_eq!(description["attributes"]["splitPointParts"], "5");
        let told: Vec<Value> = described.objects();
        let ranges: Vec<_> = told.iter().filter(|object| object["event"] == "origin").collect();
        assert_eq!(ranges.len(), 5, "{name}: {ranges:#?}");

        let plan = pair.done([args!["plan", &source, "--parts", "5"], options].concat());
        let plan: Vec<Value> = plan.objects();
        let planned = plan.iter().filter(|object| object["event"] == "part");
        let planned = planned.map(|part| {
            let range = &part["ranges"][0];
            (number(range, "offset"), number(range, "length"))
        });
        let found =
            ranges.iter().map(|range| (number(range, "source_offset"), number(range, "length")));
        let found: Vec<_> = found.collect();
        assert_eq!(found, planned.collect::<Vec<_>>(), "{name}");
        for (start, length) in found {
            let slice = &text[start as usize..(start + length) as usize];
            match name {
                "w.csv" => assert!(lines(slice) > 40 && slice.ends_with('\n')),
                "w.xml" => assert!(slice.starts_with("<r>") && slice.trim_end().ends_with("</r>")),
                _ => {
                    serde_json::from_str::<Value>(&format!("[{slice}]")).unwrap();
                }
            }
        }
    }
}

#[test]
fn blobs_become_the_files_they_were() {
    let pair = Pair::start();
    let before = pair.edge.file("before");
    fs::create_dir(&before).unwrap();
    for (name, bytes) in [("a b.csv", &b"a,\"b"[..]), ("empty", b""), ("x.json", b"\xff\xfe{")] {
        fs::write(before.join(name), bytes).unwrap();
    }
    for (index, (spec, first)) in [
        ("FILENAME,FILESIZE", &b"\x07\0\0\0a b.csv\x04\0\0\0a,\"b"[..]),
        ("FILENAME:9,FILESIZE:B3", b"a b.csv  \0\0\x04a,\"b"),
        ("FILESIZE:L8,FILENAME", b"\x04\0\0\0\0\0\0\0\x07\0\0\0a b.csva,\"b"),
    ]
    .into_iter()
    .enumerate()
    {
        for parts in ["1", "2", "3"] {
            let target = pair.target(&format!("t::b{index}{parts}"));
            let spray = args!["spray", "lz:before/*", &target, "--prefix", spec, "--parts", parts];
            pair.done(spray);
            pair.done(args!["verify", &target, "lz:before/*"]);
            let stored = stored_parts(&pair.relay.plane, &format!("t::b{index}{parts}")).unwrap();
            let bytes = fs::read(&stored[0]).unwrap();
            assert!(bytes.starts_with(first), "{spec}: {}", bytes.escape_ascii());
            let directory = format!("lz:after{index}{parts}");
            pair.done(args!["despray", &target, &directory, "--splitprefix", "auto"]);
            assert_same_tree(&pair.edge.file(&format!("after{index}{parts}")), &before);
        }
    }
}

#[test]
fn a_record_structure_is_made_of_the_header_of_csv() {
    let pair = Pair::start();
    let source = pair.edge.file("h.csv");
    fs::write(&source, "id,\"first name\",,id,record,na\u{ef}ve\n1,2,3,4,5,6\n").unwrap();
    for (encoding, kind) in [(args![], "STRING"), (args!["--encoding", "utf8"], "UTF8")] {
        let fields = ["id", "first_name", "field3", "id_4", "_record", "na__ve"];
        let spray = args!["spray", &source, "data:t::h", "--record-structure", "--overwrite"];
        pair.done([spray, encoding].concat());
        let described = pair.done(args!["describe", "data:t::h"]).event("description").unwrap();
        let ecl = described["attributes"]["ECL"].as_str().unwrap();
        let fields = fields.map(|name| format!("    {kind} {name};\n")).concat();
        assert_eq!(ecl, format!("RECORD\n{fields}END;"));
        assert_eq!(described["records"], 2);
        assert_returns(&pair, "t::h", &source);
    }
    let bare = args!["spray", &source, "data:t::j", "--record-structure", "--format", "jsonl"];
    assert_says(&pair.run(bare), 2, "csv");
}

#[test]
fn metadata_of_a_logical_file_describe_the_next_one() {
    let pair = Pair::start();
    let source = pair.edge.file("m.txt");
    fs::write(&source, "id;'a\n';b|1;2;3|").unwrap();
    let mut spray = args!["spray", &source, "data:t::m", "--record-structure", "--format", "csv"];
    spray.extend(args!["--separator", ";", "--quote", "'", "--terminator", "|", "--parts", "2"]);
    pair.done(spray);

    let xml = pair.done(args!["describe", "data:t::m", "--xml"]);
    let xml = xml.event("metadata").unwrap()["xml"].as_str().unwrap().to_owned();
    assert_well_formed(&xml);
    let file = pair.root.path().join("m.xml");
    let described = xml.replacen("<Attr ", "<Attr description=\"An &lt;old&gt; file\" ", 1);
    assert_ne!(described, xml, "{xml}");
    fs::write(&file, described).unwrap();
    pair.done(args!["spray", &source, "data:t::n", "--meta", &file, "--parts", "3"]);

    let of = |target| pair.done(args!["describe", target]).event("description").unwrap();
    let (first, second) = (of("data:t::m"), of("data:t::n"));
    for name in ["ECL", "csvSeparate", "csvQuote", "csvTerminate", "format", "kind"] {
        assert!(first["attributes"][name].is_string(), "no {name} in {first:#}");
        assert_eq!(first["attributes"][name], second["attributes"][name], "{name}");
    }
    assert_eq!(second["attributes"]["description"], "An <old> file");
    assert_eq!((&second["parts"], &second["records"]), (&3.into(), &2.into()));
    assert_returns(&pair, "t::n", &source);
    pair.done(args!["verify", "data:t::n", &source]);
}

#[test]
fn metadata_of_every_format_are_well_formed_and_taken_again() {
    let pair = Pair::start();
    let rows = "<r a='&quot;'>1</r>\n".repeat(20);
    for (name, text, options) in [
        ("a.xml", format!("<a>\n{rows}</a>\n"), args!["--row-tag", "r"]),
        ("a.json", "{\"a\": [1, 2, 3]}".to_owned(), args!["--row-path", "/a"]),
        ("b.json", "[1, 2, 3]".to_owned(), args![]),
        ("a.jsonl", "1\n2\n3\n".to_owned(), args![]),
        ("a.bin", "abcdef".to_owned(), args!["--format", "fixed", "--record-size", "2"]),
        ("v.bin", "\u{1}\0\0\0x".to_owned(), args!["--format", "variable"]),
        ("a.csv", "a,\"b\"\n".to_owned(), args!["--encoding", "utf8"]),
    ] {
        let source = pair.edge.file(name);
        fs::write(&source, text).unwrap();
        let label = name.replace('.', "_");
        let (first, second) = (format!("t::{label}"), format!("t::{label}_again"));
        let spray = args!["spray", &source, &pair.target(&first), "--parts", "2"];
        pair.done([spray, options].concat());
        let xml = pair.done(args!["describe", &pair.target(&first), "--xml"]);
        let xml = xml.event("metadata").unwrap()["xml"].as_str().unwrap().to_owned();
        assert_well_formed(&xml);
        let file = pair.root.path().join("again.xml");
        fs::write(&file, xml).unwrap();
        let plain = pair.edge.file("plain.data");
        fs::copy(&source, &plain).unwrap();
        let again = args!["spray", &plain, &pair.target(&second), "--parts", "2", "--meta", &file];
        pair.done(again);
        let of = |name: &str| {
            let output = pair.done(args!["describe", &pair.target(name)]);
            let description = output.event("description").unwrap();
            let mut attributes = description["attributes"].as_object().unwrap().clone();
            // Who wrote the first one.
            attributes.retain(|name, _| name != "owner" && name != "workunit");
            (attributes, description["records"].clone())
        };
        assert_eq!(of(&first), of(&second), "{name}");
        assert_returns(&pair, &second, &source);
    }
}

/// A plain look at tags and quotes: every element is closed by its own name, and none is left.
fn assert_well_formed(xml: &str) {
    let (mut open, mut rest) = (Vec::new(), xml);
    while let Some((_, after)) = rest.split_once('<') {
        let mut quote = None;
        let end = after.find(|character| match (quote, character) {
            (None, '"' | '\'') => {
                quote = Some(character);
                false
            }
            (Some(opened), character) if opened == character => {
                quote = None;
                false
            }
            (None, '>') => true,
            (_, '<') => panic!("a < inside a tag: {xml}"),
            _ => false,
        });
        let end = end.unwrap_or_else(|| panic!("a tag without end: {xml}"));
        let tag = &after[..end];
        rest = &after[end + 1..];
        let name = |tag: &str| tag.split([' ', '\n', '/']).next().unwrap_or_default().to_owned();
        if let Some(closed) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name(closed)), "{xml}");
        } else if !tag.ends_with('/') && !tag.starts_with('?') {
            open.push(name(tag));
        }
    }
    assert_eq!(open, Vec::<String>::new(), "{xml}");
}
