//! How fast records are found, as a ratio to counting line ends with memchr over the same bytes.
//!
//! `cargo run --release -p skyspray-dfu --example scan_speed`

use skyspray_dfu::encoding::Encoding;
use skyspray_dfu::format::csv::Role;
use skyspray_dfu::format::{
    ByteOrder, CsvFormat, CsvOptions, JsonFormat, JsonLinesFormat, RecordFormat,
    VARIABLE_RECORD_DEFAULT, XmlFormat,
};
use skyspray_dfu::split::{Source, SplitOptions, Splitter, Target};
use std::hint::black_box;
use std::num::NonZeroU32;
use std::time::Instant;

fn main() {
    println!("{:<34} {:>9} {:>9} {:>7}", "data", "memchr", "splitter", "ratio");
    delimited();
    xml();
    json();
    binary();
    utf16();
}

/// Split and converted to UTF-8 in one pass.
fn utf16() {
    let format = RecordFormat::Csv(CsvFormat::default()).with_encoding(Encoding::Utf16Le);
    let text = String::from_utf8(rows(30)).expect("rows are ASCII");
    for (name, text) in [
        ("utf16 to utf8, 30 % quoted", text.clone()),
        ("utf16 to utf8, some accented", text.replace("abcdefghijkl", "\u{e4}bcdefghijkl")),
    ] {
        let half = &text.as_bytes()[..32 << 20];
        let text = String::from_utf8_lossy(&half[..memchr::memrchr(b'\n', half).unwrap_or(0) + 1]);
        let data: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        report(name, &data, &format, &Source::plain(data.len() as u64));
    }
}

fn delimited() {
    let plain = rows(0);
    let quoted = rows(30);
    for (name, data, changes) in [
        ("quoting off, no quotes", &plain, &[(Role::Quote, "")][..]),
        ("quoting on, no quotes", &plain, &[]),
        ("quoting on, 30 % of fields quoted", &quoted, &[]),
        ("three separators, 30 % quoted", &quoted, &[(Role::Separator, "\\,,;,|")]),
        (
            "two quotes and an escape, 30 %",
            &quoted,
            &[(Role::Quote, "\",'"), (Role::Escape, "\\\\")],
        ),
    ] {
        let mut options = CsvOptions::default();
        for &(role, list) in changes {
            options.set(role, list).expect("the list is well formed");
        }
        let format = CsvFormat::try_new(options).expect("the delimiters fit together");
        report(name, data, &RecordFormat::Csv(format), &Source::plain(data.len() as u64));
    }
}

fn xml() {
    let format = RecordFormat::Xml(XmlFormat::try_new("Row").expect("a name"));
    let fields = "<id>1234567</id><name first=\"Ada\">Lovelace</name><Region>EU</Region>";
    for (name, row) in [
        ("xml, rows of 20 bytes", "<Row>12345</Row>\n".to_owned()),
        ("xml, rows of 90 bytes", format!("<Row>{fields}</Row>\n")),
        ("xml, rows of 900 bytes", format!("<Row>{}</Row>\n", fields.repeat(11))),
        ("xml, a comment in every row", format!("<Row><!-- </Row> -->{fields}</Row>\n")),
    ] {
        let rows = row.repeat((64 << 20) / row.len());
        let data = format!("<Dataset>\n{rows}</Dataset>\n").into_bytes();
        let source = Source {
            length: data.len() as u64,
            header: b"<Dataset>\n".to_vec(),
            footer: b"</Dataset>\n".to_vec(),
            ..Source::default()
        };
        report(name, &data, &format, &source);
    }
}

fn json() {
    let format = RecordFormat::Json(JsonFormat::try_new("/Row").expect("a path"));
    let fields = "\"id\":1234567,\"name\":{\"first\":\"Ada\"},\"region\":\"EU\",\"sum\":17.5";
    let text = "a text of some length that goes on and on, ".repeat(20);
    let usual = format!("{{{fields}}},\n");
    for (name, row) in [
        ("json, rows that are numbers", "1234567,\n"),
        ("json, rows of 20 bytes", "{\"id\":123,\"n\":\"A\"},\n"),
        ("json, rows of 70 bytes", &usual),
        ("json, rows of 700 bytes", &format!("{{{},{fields}}},\n", [fields; 9].join(","))),
        ("json, long texts", &format!("{{\"text\":\"{text}\"}},\n")),
        ("json, an escape every 7 bytes", &format!("{{\"t\":\"{}\"}},\n", "\\nline5".repeat(30))),
    ] {
        let mut rows = row.repeat((64 << 20) / row.len());
        rows.truncate(rows.trim_end().len() - 1);
        let data = format!("{{\"Row\":[{rows}]}}").into_bytes();
        let source = Source {
            length: data.len() as u64,
            header: b"{\"Row\":[".to_vec(),
            footer: b"]}".to_vec(),
            ..Source::default()
        };
        report(name, &data, &format, &source);
    }
    let lines = usual.replace("},", "}").repeat((64 << 20) / usual.len()).into_bytes();
    let format = RecordFormat::JsonLines(JsonLinesFormat::default());
    report("jsonl, rows of 70 bytes", &lines, &format, &Source::plain(lines.len() as u64));
}

fn binary() {
    let max_record = VARIABLE_RECORD_DEFAULT;
    let variable = |order| RecordFormat::Variable { order, max_record };
    for (name, format, unit) in [
        (
            "variable, records of 12 bytes",
            variable(ByteOrder::Little),
            [&[12, 0, 0, 0], &[b'x'; 12][..]].concat(),
        ),
        (
            "variable, records of 100 bytes",
            variable(ByteOrder::Little),
            [&[100, 0, 0, 0], &[b'x'; 100][..]].concat(),
        ),
        (
            "variablebigendian, 100 bytes",
            variable(ByteOrder::Big),
            [&[0, 0, 0, 100], &[b'x'; 100][..]].concat(),
        ),
        ("recfmvb, records of 100 bytes", RecordFormat::RecfmVb, {
            let record = [&[0, 104, 0, 0], &[b'x'; 100][..]].concat();
            let block_bytes = u16::try_from(4 + 300 * record.len()).expect("a standard block");
            [&block_bytes.to_be_bytes()[..], &[0, 0], &record.repeat(300)].concat()
        }),
    ] {
        let data = unit.repeat((64 << 20) / unit.len());
        report(name, &data, &format, &Source::plain(data.len() as u64));
    }
}

fn report(name: &str, data: &[u8], format: &RecordFormat, source: &Source) {
    let mut memchr = f64::INFINITY;
    let mut splitter = f64::INFINITY;
    // Alternating, so that a busy machine slows both.
    for _ in 0..15 {
        memchr = memchr.min(seconds(|| {
            memchr::memchr_iter(b'\n', black_box(data)).fold(0, |last, at| last ^ at)
        }));
        splitter = splitter.min(seconds(|| split(format, source, black_box(data))));
    }
    let rate = |seconds: f64| data.len() as f64 / seconds / 1e9;
    let (memchr, splitter) = (rate(memchr), rate(splitter));
    println!("{name:<34} {memchr:>4.1} GB/s {splitter:>4.1} GB/s {:>7.2}", splitter / memchr);
}

fn seconds<T>(work: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    black_box(work());
    start.elapsed().as_secs_f64()
}

fn split(format: &RecordFormat, source: &Source, data: &[u8]) -> usize {
    let mut options = SplitOptions::new(NonZeroU32::new(8).expect("not zero"));
    if format.encoding() == Encoding::Utf16Le {
        options.target = Target::Utf8;
    }
    let mut splitter =
        Splitter::try_new(format, vec![source.clone()], options).expect("any length fits");
    let mut pieces = 0;
    for block in data.chunks(1 << 20) {
        splitter.push(block).expect("rows are well formed");
        pieces += std::iter::from_fn(|| splitter.poll()).count();
    }
    splitter.end_source().expect("rows are well formed");
    splitter.finish().expect("all sources ended");
    pieces + std::iter::from_fn(|| splitter.poll()).count()
}

/// 64 MiB of rows of ten fields of 4 to 12 letters, `quoted_percent` of them in quotes.
fn rows(quoted_percent: u32) -> Vec<u8> {
    let mut state = 12_345u64;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32
    };
    let mut data = Vec::with_capacity(65 << 20);
    while data.len() < 64 << 20 {
        for field in 0..10 {
            let quote = next() % 100 < quoted_percent;
            data.extend((field > 0).then_some(b','));
            data.extend(quote.then_some(b'"'));
            data.extend((0..4 + next() % 9).map(|letter| b'a' + letter as u8));
            data.extend(quote.then_some(b'"'));
        }
        data.push(b'\n');
    }
    data
}
