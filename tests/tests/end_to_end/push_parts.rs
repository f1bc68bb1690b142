//! Part files and HPCC's metadata of a logical file make that logical file again, elsewhere.

use serde_json::Value;
use skyspray_tests::args;
use skyspray_tests::check::{
    assert_nothing_staged_after_collect, assert_returns, assert_same, assert_says, stored_parts,
};
use skyspray_tests::output::Output;
use skyspray_tests::pair::Pair;
use std::fs;
use std::path::PathBuf;

const ROWS: usize = 30_000;

/// XML with rows whose text holds what would end them in a careless scanner.
fn document() -> String {
    let row = |id: usize| format!("<Row id='{id}'><t><![CDATA[</Row>{id}]]></t></Row>\n");
    format!("\u{feff}<D>\n{}</D>\n", (0..ROWS).map(row).collect::<String>())
}

/// A sprayed document, its part files in the landing zone, and its metadata.
fn sprayed(pair: &Pair) -> (PathBuf, PathBuf, PathBuf) {
    let source = pair.edge.file("rows.xml");
    fs::write(&source, document()).expect("the source can be written");
    let spray = args!["spray", &source, "data:t::rows", "--row-tag", "Row", "--parts", "11"];
    pair.done(spray);
    let directory = pair.edge.file("parts");
    fs::create_dir(&directory).expect("the directory can be made");
    pair.done(args!["despray", "data:t::rows", &directory.join("rows"), "--wrap"]);
    (source, directory, metadata(pair, "t::rows"))
}

fn events(output: &Output, name: &str) -> Vec<Value> {
    output.objects().into_iter().filter(|object| object["event"] == name).collect()
}

/// The metadata of a logical file, in a file.
fn metadata(pair: &Pair, name: &str) -> PathBuf {
    let output = pair.done(args!["describe", &pair.target(name), "--xml"]);
    let metadata = output.event("metadata").expect("XML was asked for");
    let file = pair.root.path().join("meta.xml");
    let xml = metadata["xml"].as_str().expect("XML is text");
    fs::write(&file, xml).expect("the metadata can be written");
    file
}

/// What is described: the file without who wrote it and when, and its parts.
fn described(pair: &Pair, name: &str) -> (Value, Vec<Value>) {
    let output = pair.done(args!["describe", &pair.target(name)]);
    let mut file = output.event("description").expect("the file is there");
    for changing in ["name", "committed_ms", "wuid", "generation"] {
        file.as_object_mut().expect("fields").remove(changing);
    }
    for changing in ["owner", "workunit"] {
        file["attributes"].as_object_mut().expect("attributes").remove(changing);
    }
    (file, events(&output, "part"))
}

#[test]
fn parts_pushed_with_their_metadata_are_the_logical_file_they_were() {
    let pair = Pair::start();
    let (source, directory, meta) = sprayed(&pair);

    let push = args!["push", &directory, "data:new::place::", "--meta", &meta];
    assert_says(&pair.run(push), 2, "PLANE:path/");
    let pushed = pair.done(args!["push", &directory, "data:new/place/", "--meta", &meta]);

    let done = pushed.event("done").unwrap();
    assert_eq!((&done["kind"], &done["parts"]), (&"push".into(), &11.into()));
    assert_eq!(done["target"], "data:new::place::rows");
    let (first, second) = ("t::rows", "new::place::rows");
    assert_eq!(described(&pair, first), described(&pair, second));
    let plane = &pair.relay.plane;
    let stored = |name| stored_parts(plane, name).unwrap();
    for (old, new) in stored(first).iter().zip(stored(second)) {
        assert_same(old, &new);
    }
    assert_eq!(stored(second).len(), 11);
    let rewritten = metadata(&pair, second);
    let again = args!["push", &directory, "data:third::rows", "--meta", &rewritten];
    pair.done(again);
    assert_eq!(described(&pair, first), described(&pair, "third::rows"));
    assert_returns(&pair, second, &source);
    pair.done(args!["verify", "data:new::place::rows", &directory.join("*")]);
    pair.done(args!["verify", "data:new::place::rows", &source]);
    let origins = events(&pair.done(args!["describe", "data:third::rows", "--origins"]), "origin");
    assert_eq!(origins.len(), 11);
    assert_eq!(origins[10]["source_name"], "lz:parts/rows._11_of_11");
}

#[test]
fn parts_that_are_not_those_of_the_metadata_are_refused_and_leave_nothing() {
    let pair = Pair::start();
    let (_, directory, meta) = sprayed(&pair);
    let part = directory.join("rows._7_of_11");
    let content = fs::read(&part).unwrap();
    let push = || args!["push", &directory, "data:new::rows", "--meta", &meta];
    let plain = pair.run(args!["push", &directory, "data:new::rows"]);
    assert_says(&plain, 2, "--meta");

    fs::remove_file(&part).unwrap();
    assert_says(&pair.run(push()), 3, "part 7 of 11 is missing");
    fs::write(&part, &content[1..]).unwrap();
    assert_says(&pair.run(push()), 6, "the metadata say");
    let mut changed = content.clone();
    changed[content.len() / 2] ^= 1;
    fs::write(&part, &changed).unwrap();
    let output = pair.run(push());
    assert_says(&output, 6, "CRC-32");
    assert_eq!(output.event("error").unwrap()["file"], "lz:parts/rows._7_of_11");

    assert!(!pair.relay.plane.join("new").exists(), "something is in the scope");
    assert_says(&pair.run(args!["describe", "data:new::rows"]), 3, "new::rows");
    assert_nothing_staged_after_collect(&pair);
    fs::write(&part, &content).unwrap();
    pair.done(push());
    assert_says(&pair.run(push()), 4, "exists");
}

#[test]
fn parts_that_hpcc_compressed_keep_what_they_are_when_expanded() {
    let pair = Pair::start();
    for (part, bytes) in [(1, &b"packed one"[..]), (2, b"packed 2")] {
        fs::write(pair.edge.file(&format!("c._{part}_of_2")), bytes).unwrap();
    }
    let xml = "<File name='old::c' numparts='2' partmask='c._$P$_of_2'>\
        <Part num='1' size='1000' compressedSize='10' fileCrc='77' recordCount='10'/>\
        <Part num='2' size='900' compressedSize='8' recordCount='9'/>\
        <Attr size='1900' kind='flat' recordSize='100' blockCompressed='1' compressionType='LZ4' \
        formatCrc='5'><ECL>RECORD END;</ECL></Attr></File>";
    let meta = pair.root.path().join("c.xml");
    fs::write(&meta, xml).unwrap();
    pair.done(args!["push", "lz:", "data:t::c", "--meta", &meta]);

    let (file, _) = described(&pair, "t::c");
    assert_eq!((&file["bytes"], &file["records"]), (&18.into(), &19.into()));
    let again = fs::read_to_string(metadata(&pair, "t::c")).unwrap();
    for expected in [
        "size=\"1000\"",
        "compressedSize=\"10\"",
        "fileCrc=\"77\"",
        "size=\"900\"",
        "size=\"1900\"",
        "compressedSize=\"18\"",
        "blockCompressed=\"1\"",
        "compressionType=\"LZ4\"",
        "formatCrc=\"5\"",
        "<ECL>RECORD END;</ECL>",
    ] {
        assert!(again.contains(expected), "no {expected} in {again}");
    }
    assert!(!again.contains("expandedParts"), "{again}");
    let back = pair.edge.file("back");
    assert_says(&pair.run(args!["despray", "data:t::c", &back]), 2, "--wrap");
    pair.done(args!["despray", "data:t::c", &back, "--wrap"]);
    assert_same(&pair.edge.file("back._2_of_2"), &pair.edge.file("c._2_of_2"));
    let copy = pair.relay.admin(args!["file", "copy", "data:t::c", "data:t::d", "--parts", "3"]);
    assert_says(&copy.unwrap(), 3, "compressed by HPCC");
}

#[test]
fn what_a_spray_was_given_with_metadata_says_nothing_of_how_it_splits() {
    let pair = Pair::start();
    let (_, _, meta) = sprayed(&pair);
    let source = pair.edge.file("plain.xml");
    fs::write(&source, "<D>\n<Row>1</Row>\n<Row>2</Row>\n</D>\n").unwrap();

    pair.done(args!["spray", &source, "data:t::plain", "--meta", &meta, "--parts", "2"]);

    let (file, _) = described(&pair, "t::plain");
    assert_eq!(file["attributes"]["byteOrderMark"], Value::Null);
    assert_returns(&pair, "t::plain", &source);
}

#[test]
fn more_attributes_than_there_may_be_are_refused_before_a_byte_is_sent() {
    let pair = Pair::start();
    let source = pair.edge.file("a.csv");
    fs::write(&source, "\u{feff}1,2\n3,4\n").unwrap();
    let meta = pair.root.path().join("long.xml");
    let spray = |layout: usize| {
        let ecl = format!("<ECL>{}</ECL>", "x".repeat(layout));
        let xml = format!("<File numparts='1'><Part num='1'/><Attr kind='csv'>{ecl}</Attr></File>");
        fs::write(&meta, xml).unwrap();
        let spray = args!["spray", &source, "data:t::a", "--meta", &meta, "--parts", "2"];
        pair.run([spray, args!["--overwrite"]].concat())
    };
    assert_eq!(spray(1).code, 0);
    let (file, _) = described(&pair, "t::a");
    let attributes = file["attributes"].as_object().unwrap();
    assert_eq!(attributes["byteOrderMark"], "1", "it is added when everything was read");
    let bytes = |(name, value): (&String, &Value)| name.len() + value.as_str().unwrap().len();
    let left = 32 * 1024 - attributes.iter().map(bytes).sum::<usize>();

    assert_eq!(spray(1 + left).code, 0);
    assert_says(&spray(2 + left), 8, "32769 bytes, at most 64 of 32768");
    let jobs = pair.relay.admin(args!["job", "list"]).unwrap();
    assert_eq!(jobs.objects().len(), 2, "the third was not opened: {jobs:#?}");
}
