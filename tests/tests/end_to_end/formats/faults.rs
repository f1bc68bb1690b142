//! Wrong inputs end with file, offset and HPCC's number; wrong options with what helps.

use skyspray_tests::args;
use skyspray_tests::check::{assert_nothing_visible, assert_says};
use skyspray_tests::pair::Pair;
use std::ffi::OsString;
use std::fs;

/// A wrong input: its name, bytes and options, and what is said.
struct Wrong {
    name: &'static str,
    bytes: Vec<u8>,
    options: Vec<OsString>,
    /// HPCC's number.
    hpcc: u16,
    /// Where, if it is said.
    offset: Option<u64>,
    says: &'static str,
}

fn wrong(
    (name, bytes): (&'static str, &[u8]),
    options: Vec<OsString>,
    (hpcc, offset): (u16, Option<u64>),
    says: &'static str,
) -> Wrong {
    Wrong { name, bytes: bytes.to_vec(), options, hpcc, offset, says }
}

fn assert_refused(pair: &Pair, wrong: Wrong) {
    let Wrong { name, bytes, options, hpcc, offset, says } = wrong;
    let source = pair.edge.file(name);
    fs::write(&source, bytes).unwrap();
    let spray = args!["spray", &source, "data:t::wrong", "--parts", "2"];
    let plan = args!["plan", &source, "--parts", "2"];
    for command in [plan, spray] {
        let output = pair.run([command, options.clone()].concat());
        assert_says(&output, 3, says);
        let error = output.event("error").unwrap();
        assert_eq!(error["hpcc"], hpcc, "{error:#}");
        assert_eq!(error["file"], format!("lz:{name}"), "{error:#}");
        assert_eq!(error["offset"].as_u64(), offset, "{error:#}");
    }
    assert_nothing_visible(pair, "t::wrong");
    assert_eq!(pair.done(args!["status"]).event("open-job"), None);
}

#[test]
fn documents_without_rows_or_ends_are_refused() {
    let pair = Pair::start();
    let tag = || args!["--row-tag", "Row"];
    let named = || args!["--row-path", "/a/b"];
    for wrong in [
        wrong(("a.xml", b"<a><row/></a>"), tag(), (8098, None), "no element is called Row"),
        wrong(("b.xml", b"\n"), tag(), (8098, None), "no element is called Row"),
        wrong(
            ("c.xml", b"<a>\n<Row>1</Row>\n<Row>2\n</a>\n"),
            tag(),
            (8101, Some(17)),
            "ends inside a row",
        ),
        wrong(("a.json", b"{\"a\":{\"c\":[1]}}"), named(), (8109, None), "no array at /a/b"),
        wrong(("b.json", b"{\"a\":{\"b\":{}}}"), named(), (8109, None), "no array at /a/b"),
    ] {
        assert_refused(&pair, wrong);
    }
}

#[test]
fn binary_records_that_are_cut_off_or_damaged_are_refused() {
    let pair = Pair::start();
    let of = |format: &str| args!["--format", format];
    let fixed = args!["--format", "fixed", "--record-size", "4"];
    let block = |used: u32| {
        let mut block = used.to_be_bytes().to_vec();
        block.resize(32768, 0);
        block
    };
    for wrong in [
        wrong(("a", b"\x01\0\0\0x\x05\0\0\0yy"), of("variable"), (8080, Some(5)), "cut off"),
        wrong(("b", b"\0\0\0\x01x\0\0"), of("variable-be"), (8080, Some(5)), ""),
        wrong(("c", b"abcde"), fixed, (8078, Some(4)), "--record-size"),
        wrong(("d", &[block(8), vec![0; 9]].concat()), of("blocked"), (8078, Some(32768)), ""),
        wrong(("e", b"\0\x05\0\0x\0\x05\0\x01x"), of("recfmv"), (8104, Some(5)), ""),
        wrong(("f", b"\0\x0a\0\x01\0\x06\0\0xx"), of("recfmvb"), (8105, Some(0)), ""),
        wrong(("g", b"\0\x05\0\0\0\x06\0\0xx"), of("recfmvb"), (8105, Some(0)), ""),
        wrong(("h", b"\0\x0b\0\0\0\x06\0\0xx"), of("recfmvb"), (8106, Some(0)), ""),
        wrong(("i", b"\0\x0a\0\0\0\x07\0\0xx"), of("recfmvb"), (8107, Some(4)), ""),
        wrong(("j", b"\0\x05\0\0x\0\x09\0\0x"), of("recfmv"), (8107, Some(5)), ""),
    ] {
        assert_refused(&pair, wrong);
    }
}

#[test]
fn text_that_is_not_what_was_said_is_refused() {
    let pair = Pair::start();
    let utf16 = || args!["--encoding", "utf16le"];
    let short = |limit| args!["--max-record", limit];
    let long = b"ab\nabcdefgh\n";
    let wide: Vec<u8> = long.iter().flat_map(|byte| [*byte, 0]).collect();
    // The part ends at 91 inside a record, whose second quote behind that contradicts the first.
    let quotes = format!("{}\n", "aa\"".repeat(20)).repeat(3).into_bytes();
    for wrong in [
        wrong(("a.csv", b"a\0\n"), utf16(), (8079, Some(2)), "--encoding"),
        wrong(("c.csv", long), short("5"), (8102, Some(3)), "raise --max-record"),
        wrong(
            ("d.csv", &wide),
            [utf16(), short("10")].concat(),
            (8103, Some(6)),
            "raise --max-record",
        ),
        wrong(("f.csv", &quotes), args![], (8118, Some(96)), "quote"),
    ] {
        assert_refused(&pair, wrong);
    }
}

#[test]
fn sources_that_do_not_fit_each_other_or_the_options_are_refused() {
    let pair = Pair::start();
    let file = |name: &str, bytes: &[u8]| {
        fs::write(pair.edge.file(name), bytes).unwrap();
        OsString::from(format!("lz:{name}"))
    };
    let (le, be) = (file("le.csv", b"\xff\xfea\0\n\0"), file("be.csv", b"\xfe\xff\0a\0\n"));
    let target = "data:t::wrong";

    let refused = pair.run(args!["spray", &le, &be, target, "--parts", "3"]);
    assert_says(&refused, 3, "lz:be.csv");
    assert_eq!(refused.event("error").unwrap()["hpcc"], 8076);

    let refused = pair.run(args!["spray", &be, target, "--encoding", "utf16le"]);
    assert_says(
        &refused,
        3,
        "lz:be.csv: utf16le was declared, the byte order mark is that of utf16be",
    );

    let open = file("open.csv", b"a,b\nc,\"d\ne,f\n");
    let refused = pair.run(args!["spray", &open, target]);
    assert_says(&refused, 3, "records of lz:open.csv break off at offset 6");
    assert_says(&refused, 3, "quote is never closed");

    let mixed = file("mixed.json", b"{\"a\": 1}, {\"a\": 2}\n{\"a\": 3}\n");
    let refused = pair.run(args!["spray", &mixed, target]);
    assert_says(
        &refused,
        3,
        "one comma between every two rows, or blanks alone between all of them",
    );

    let refused = pair.run(args!["spray", &le, target, "--parts", "3", "--nosplit"]);
    assert_says(&refused, 2, "leave --nosplit out");
    assert_eq!(refused.event("error").unwrap()["hpcc"], 8067);

    let missing = pair.run(args!["spray", "lz:none.csv", target]);
    assert_says(&missing, 3, "source lz:none.csv does not exist");
    assert_eq!(missing.event("error").unwrap()["hpcc"], 8050);

    let none = pair.run(args!["spray", "lz:*.none", target, "--fail-if-no-source"]);
    assert_says(&none, 3, "pattern lz:*.none matches no file");
    assert_eq!(none.event("error").unwrap()["hpcc"], 8095);

    let blob = |spec: &str, more: Vec<OsString>| {
        let output = pair
            .run([args!["spray", &le, target, "--parts", "1", "--prefix", spec], more].concat());
        (output.code, output.event("error").unwrap()["hpcc"].as_u64())
    };
    assert_eq!(blob("FILENAME", args!["--to", "utf8"]), (2, Some(8083)));
    assert_eq!(blob("FILENAMES", args![]), (2, Some(8085)));
    assert_eq!(blob("FILENAME:3", args![]), (3, Some(8086)));
    assert_nothing_visible(&pair, "t::wrong");
}

#[test]
fn wrong_options_end_as_usage_and_say_what_helps() {
    let pair = Pair::start();
    for name in ["a.csv", "a.bin", "a.xml"] {
        fs::write(pair.edge.file(name), b"a,b\n").unwrap();
    }
    for (source, options, says) in [
        ("lz:a.bin", args![], "say --format csv, or --format fixed with --record-size"),
        ("lz:a.xml", args![], "--row-tag"),
        ("lz:a.csv", args!["--format", "fixed"], "a fixed format needs --record-size"),
        ("lz:a.csv", args!["--row-tag", "x"], "--row-tag does not belong to format csv"),
        ("lz:a.csv", args!["--record-size", "1"], "--record-size does not belong to format csv"),
        ("lz:a.csv", args!["--format", "thor"], "recfmvb"),
        ("lz:a.csv", args!["--to", "utf8"], "--encoding utf16"),
        ("lz:a.csv", args!["--to", "variable"], "csv cannot be stored as variable"),
        ("lz:a.csv", args!["--separator", ","], "separator list cannot be read"),
        ("lz:a.csv", args!["--separator", "\\n"], "delimiters make no format"),
        ("lz:a.xml", args!["--row-tag", "a b"], "row tag"),
        ("lz:a.csv", args!["--format", "json", "--row-path", "a"], "row path"),
        ("lz:a.csv", args!["--whole", "--nosplit"], "cannot be used with"),
        ("lz:a.csv", args!["--whole"], "--whole needs --parts"),
        ("lz:a.csv", args!["--meta", "none.xml"], "none.xml"),
        ("lz:a.csv", args!["--max-record", "0"], "--max-record is 0 bytes"),
    ] {
        let spray = [args!["spray", source, "data:t::wrong"], options.clone()].concat();
        let output = pair.run(spray);
        assert_says(&output, 2, says);
    }
    assert_nothing_visible(&pair, "t::wrong");
}

#[test]
fn options_may_stand_between_sources_and_target() {
    let pair = Pair::start();
    for (name, text) in [("a.csv", "a\n"), ("b.csv", "b\n")] {
        fs::write(pair.edge.file(name), text).unwrap();
    }
    let list = pair.root.path().join("list");
    fs::write(&list, "lz:b.csv\n").unwrap();
    for (index, (spray, bytes)) in [
        (args!["spray", "lz:a.csv", "--parts", "4", "data:t::o0"], 2),
        (args!["spray", "--parts", "4", "lz:a.csv", "--overwrite", "data:t::o1"], 2),
        (args!["spray", "lz:a.csv", "--parts", "4", "lz:b.csv", "data:t::o2"], 4),
        (args!["spray", "lz:a.csv", "lz:b.csv", "--parts", "4", "data:t::o3"], 4),
        (args!["spray", "lz:a.csv", "--parts", "4", "--files-from", &list, "data:t::o4"], 4),
        (args!["spray", "lz:a.csv", "data:t::o5", "--files-from", &list, "--parts", "4"], 4),
        (args!["spray", "--files-from", &list, "--parts", "4", "data:t::o6"], 2),
        (args!["spray", "data:t::o7", "--files-from", &list], 2),
        (args!["push", "lz:a.csv", "--overwrite", "data:o8/"], 2),
        (args!["push", "lz:a.csv", "--overwrite", "lz:b.csv", "data:o9/"], 4),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(pair.done(spray).done_number("bytes"), bytes, "command {index}");
    }
}
