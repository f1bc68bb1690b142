//! Delimited text in every encoding, as it is and as UTF-8.

use super::{Case, PARTS, csv_text, lines, shown};
use skyspray_tests::args;
use skyspray_tests::check::{assert_returns, assert_says, stored_parts};
use skyspray_tests::pair::Pair;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// Converts with iconv, an independent implementation.
fn iconv(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    let mut child = Command::new("iconv")
        .args(["-f", from, "-t", to])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&bytes));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    output.stdout
}

fn of_utf8(part: &[u8]) -> u64 {
    lines(std::str::from_utf8(part).unwrap())
}

fn utf16(part: &[u8], unit: fn([u8; 2]) -> u16) -> u64 {
    let (units, rest) = part.as_chunks::<2>();
    assert!(rest.is_empty(), "a part ends inside a unit");
    lines(&String::from_utf16(&units.iter().map(|pair| unit(*pair)).collect::<Vec<_>>()).unwrap())
}

fn utf32(part: &[u8], unit: fn([u8; 4]) -> u32) -> u64 {
    let (units, rest) = part.as_chunks::<4>();
    assert!(rest.is_empty(), "a part ends inside a unit");
    let text = units.iter().map(|bytes| char::from_u32(unit(*bytes)).unwrap());
    lines(&text.collect::<String>())
}

type Counter = fn(&[u8]) -> u64;

/// Names of encodings, here and for iconv, and how records in them are counted.
const WIDE: [(&str, &str, &str, Counter); 4] = [
    ("utf16le", "UTF-16LE", "utf16", |part| utf16(part, u16::from_le_bytes)),
    ("utf16be", "UTF-16BE", "utf16", |part| utf16(part, u16::from_be_bytes)),
    ("utf32le", "UTF-32LE", "utf32", |part| utf32(part, u32::from_le_bytes)),
    ("utf32be", "UTF-32BE", "utf32", |part| utf32(part, u32::from_be_bytes)),
];

#[test]
fn csv_comes_back_with_its_quotes_line_ends_and_marks() {
    let pair = Pair::start();
    let text = csv_text(200);
    let marked = format!("\u{feff}{text}");
    let kept = [("format", "csv"), ("kind", "csv"), ("csvSeparate", "\\,"), ("csvQuote", "\"")];
    Case::one("p.csv", text.clone().into(), args![], of_utf8).kept(&kept).check(&pair);
    let utf8 = args!["--encoding", "utf8"];
    let kept = [("format", "utf8n"), ("kind", "csv")];
    Case::one("u.csv", text.into(), utf8.clone(), of_utf8).kept(&kept).check(&pair);
    for options in [utf8, args![]] {
        let case = Case::one("m.csv", marked.clone().into(), options, of_utf8).kept(&kept);
        let stored = case.check(&pair);
        // One part of one source is the source; parts have no mark.
        assert_eq!(shown(&stored[0].concat()), shown(&case.back));
        assert_eq!(shown(&stored[1].concat()), shown(&case.back[3..]));
        let described = pair.done(args!["describe", "data:t::f3"]).event("description").unwrap();
        assert_eq!(described["attributes"]["byteOrderMark"], "1");
    }
}

#[test]
fn csv_with_delimiters_of_its_own_comes_back() {
    let pair = Pair::start();
    let text: String =
        (0..200).map(|index| format!("{index}||~a~~\nb~||c\\\n{index}<EOL>")).collect();
    let options = args![
        "--format",
        "csv",
        "--separator",
        "||",
        "--quote",
        "~",
        "--terminator",
        "<EOL>",
        "--escape",
        "\\\\"
    ];
    let count = |part: &[u8]| std::str::from_utf8(part).unwrap().matches("<EOL>").count() as u64;
    let kept = [("csvSeparate", "||"), ("csvTerminate", "<EOL>"), ("csvQuote", "~")];
    Case::one("own.txt", text.into(), options, count).kept(&kept).check(&pair);

    let tabs = "a\t\"x\ty\nz\"\n".repeat(100);
    let kept = [("csvSeparate", "\\t")];
    let count = |part: &[u8]| lines(&std::str::from_utf8(part).unwrap().replace('\t', ","));
    Case::one("t.tsv", tabs.into(), args![], count).kept(&kept).check(&pair);
}

#[test]
fn csv_sources_are_joined_with_the_terminators_they_lack() {
    let pair = Pair::start();
    let text = |name: &str, text: &str| (name.to_owned(), text.as_bytes().to_vec());
    let sources =
        vec![text("a.csv", "1,a\r\n2,b"), text("b.csv", ""), text("c.csv", "3,\"c\nd\"\n4")];
    let back = b"1,a\r\n2,b\r\n3,\"c\nd\"\n4".to_vec();
    let case = Case { sources: sources.clone(), ..Case::one("", back, args![], of_utf8) };
    let named = case.write(&pair);
    for parts in [1, 2, 7] {
        case.check_parts(&pair, &named, parts);
    }
    let back = b"1,a\r\n2,b3,\"c\nd\"\n4".to_vec();
    let verbatim = args!["--join", "verbatim"];
    // Every source begins a record, even where it cannot be seen any more.
    let case = Case { sources, ..Case::one("", back, verbatim, |_| 4) };
    case.check_parts(&pair, &named, 1);
}

#[test]
fn wide_text_comes_back_declared_and_by_its_mark() {
    let pair = Pair::start();
    for (name, iconv_name, family, count) in WIDE {
        let bytes = iconv(csv_text(120).as_bytes(), "UTF-8", iconv_name);
        let marked = iconv(format!("\u{feff}{}", csv_text(120)).as_bytes(), "UTF-8", iconv_name);
        let kept = [("format", name), ("kind", "csv")];
        let mut said =
            vec![(&bytes, args!["--encoding", name]), (&marked, args!["--encoding", name])];
        said.push((&marked, args!["--encoding", family]));
        said.push((&marked, args![]));
        if name.ends_with("be") {
            said.push((&bytes, args!["--encoding", family]));
        }
        for (bytes, options) in said {
            Case::one("w.csv", bytes.clone(), options, count).kept(&kept).check(&pair);
        }
    }
}

#[test]
fn wide_text_that_nothing_declares_is_bytes_and_comes_back() {
    let pair = Pair::start();
    let source = pair.edge.file("w.csv");
    let text: String = (0..120).map(|row| format!("{row},\u{1f600}\r\n")).collect();
    fs::write(&source, iconv(text.as_bytes(), "UTF-8", "UTF-16LE")).unwrap();
    pair.done(args!["spray", &source, "data:t::bytes", "--parts", "7"]);
    assert_returns(&pair, "t::bytes", &source);
    pair.done(args!["verify", "data:t::bytes", &source]);
}

#[test]
fn wide_documents_come_back_by_their_mark() {
    let pair = Pair::start();
    let rows: String = (0..90).map(|id| format!("  <Row><id>{id}</id>\u{1f600}</Row>\n")).collect();
    let xml = format!("\u{feff}<?xml version=\"1.0\" encoding=\"UTF-16\"?>\n<a>\n{rows}</a>\n");
    let rows: Vec<String> =
        (0..90).map(|id| format!("{{\"id\":{id},\"t\":\"\u{1f600}\"}}")).collect();
    let json = format!("\u{feff}[{}]\n", rows.join(",\n"));
    let count = |part: &[u8]| {
        let (units, _) = part.as_chunks::<2>();
        let units: Vec<u16> = units.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
        let text = String::from_utf16(&units).unwrap();
        (text.matches("<Row>").count() + text.matches("{\"id\"").count()) as u64
    };
    let wide = |text: &str| iconv(text.as_bytes(), "UTF-8", "UTF-16LE");
    let tag = args!["--row-tag", "Row"];
    let kept = [("format", "utf16le"), ("kind", "xml")];
    Case::one("w.xml", wide(&xml), tag, count).kept(&kept).check(&pair);
    let kept = [("format", "utf16le"), ("kind", "json")];
    Case::one("w.json", wide(&json), args![], count).kept(&kept).check(&pair);
}

#[test]
fn wide_text_is_stored_as_utf8_as_iconv_makes_it() {
    let pair = Pair::start();
    for (name, iconv_name, _, _) in WIDE {
        let wide = iconv(csv_text(150).as_bytes(), "UTF-8", iconv_name);
        let narrow = iconv(&wide, iconv_name, "UTF-8");
        let options = args!["--encoding", name, "--to", "utf8"];
        let case = Case::one("w.csv", wide.clone(), options, of_utf8);
        let case = Case { back: narrow.clone(), ..case };
        for parts in case.kept(&[("format", "utf8n"), ("conversion", "utf8n")]).check(&pair) {
            assert_eq!(shown(&parts.concat()), shown(&narrow), "{name}");
        }
    }
}

#[test]
fn utf8_with_marks_has_one_in_every_part_and_one_when_it_is_back() {
    let pair = Pair::start();
    let count = |part: &[u8]| of_utf8(part.strip_prefix("\u{feff}".as_bytes()).unwrap());
    let text = csv_text(150);
    let wide = iconv(text.as_bytes(), "UTF-8", "UTF-16LE");
    for (bytes, encoding) in [(wide, "utf16le"), (text.clone().into(), "utf8")] {
        let options = args!["--encoding", encoding, "--to", "utf8-bom"];
        let case = Case::one("w.csv", bytes, options, count);
        let case = Case { back: format!("\u{feff}{text}").into(), ..case };
        for parts in case.kept(&[("format", "utf8"), ("conversion", "utf8")]).check(&pair) {
            let bodies: Vec<&[u8]> = parts
                .iter()
                .map(|part| part.strip_prefix("\u{feff}".as_bytes()).unwrap())
                .collect();
            assert_eq!(shown(&bodies.concat()), shown(text.as_bytes()));
        }
    }
}

#[test]
fn an_xml_declaration_says_utf8_after_a_conversion() {
    let pair = Pair::start();
    let document = |encoding: &str| {
        let rows: String = (0..90).map(|id| format!("<Row><id>{id}</id>\u{e9}</Row>\n")).collect();
        format!("<?xml version=\"1.0\" encoding=\"{encoding}\"?>\n<a>\n{rows}</a>\n")
    };
    let wide = iconv(document("UTF-16").as_bytes(), "UTF-8", "UTF-16");
    let options = args!["--row-tag", "Row", "--to", "utf8"];
    let count = |part: &[u8]| std::str::from_utf8(part).unwrap().matches("<Row>").count() as u64;
    let case = Case::one("w.xml", wide, options, count);
    Case { back: document("UTF-8").into(), ..case }.kept(&[("format", "utf8n")]).check(&pair);
}

#[test]
fn illegal_text_ends_a_conversion_unless_it_is_to_be_replaced_and_counted() {
    let pair = Pair::start();
    let wide = |text: &str| iconv(text.as_bytes(), "UTF-8", "UTF-16LE");
    let lone = [0x00, 0xd8];
    let bytes =
        [&wide("a,b\nc")[..], &lone, &wide(",d\n")[..], &lone, &wide("\ne,f\n")[..]].concat();
    let source = pair.edge.file("bad.csv");
    fs::write(&source, &bytes).unwrap();
    for parts in PARTS {
        let target = pair.target(&format!("t::bad{parts}"));
        let mut spray = args!["spray", &source, &target, "--parts", &parts.to_string()];
        spray.extend(args!["--encoding", "utf16le", "--to", "utf8"]);

        let refused = pair.run(spray.clone());
        assert_says(&refused, 3, "lz:bad.csv");
        let error = refused.event("error").unwrap();
        assert_eq!((&error["code"], &error["offset"]), (&"text-invalid".into(), &10.into()));
        assert!(error["try"].as_str().unwrap().contains("--on-invalid replace"), "{error:#}");

        spray.extend(args!["--on-invalid", "replace"]);
        let done = pair.done(spray);
        assert_eq!(done.done_number("replaced"), 2);
        let stored = stored_parts(&pair.relay.plane, &format!("t::bad{parts}")).unwrap();
        let stored: Vec<u8> = stored.iter().flat_map(|part| fs::read(part).unwrap()).collect();
        assert_eq!(String::from_utf8(stored).unwrap(), "a,b\nc\u{fffd},d\n\u{fffd}\ne,f\n");
        let described = pair.done(args!["describe", &target]).event("description").unwrap();
        assert_eq!(described["attributes"]["replacedSequences"], "2");
        pair.done(args!["verify", &target, &source]);
    }
}
