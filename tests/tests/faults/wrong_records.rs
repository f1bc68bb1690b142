//! Files whose records cannot be told apart: refused with 3, the place and the rule.

use skyspray_tests::args;
use skyspray_tests::check::{
    assert_nothing_staged_after_collect, assert_nothing_visible, assert_says,
};
use skyspray_tests::pair::Pair;
use std::fs;

/// Sprays a file with these contents and options, and expects 3 with these reasons.
fn assert_refused(file: &str, contents: &[u8], options: &[&str], reasons: &[&str]) {
    let pair = Pair::start();
    let source = pair.edge.file(file);
    fs::write(&source, contents).expect("the source can be written");
    let mut command = args!["spray", &source, "data:t::file", "--parts", "3"];
    command.extend(options.iter().map(Into::into));

    let output = pair.run(command);

    for reason in reasons {
        assert_says(&output, 3, reason);
    }
    assert_nothing_visible(&pair, "t::file");
    assert_nothing_staged_after_collect(&pair);
}

#[test]
fn a_fixed_file_that_ends_inside_a_record_is_refused() {
    let options = ["--format", "fixed", "--record-size", "16"];
    let reasons = ["lz:short.bin", "ends inside a record: length 1001 is no multiple of 16"];

    assert_refused("short.bin", &[b'x'; 1001], &options, &reasons);
}

#[test]
fn a_quote_that_is_never_closed_is_refused_with_its_offset() {
    let mut contents = "1,good\n".repeat(1000);
    contents.push_str("2,\"never closed\n");
    contents.push_str(&"3,more\n".repeat(1000));

    assert_refused("open.csv", contents.as_bytes(), &[], &["lz:open.csv", "7002"]);
}

#[test]
fn a_record_longer_than_the_limit_is_refused_with_its_offset() {
    let contents = format!("1,good\n2,{}\n3,good\n", "x".repeat(5000));
    let reasons = ["lz:long.csv", "offset 7", "record is longer than 4096 bytes"];

    assert_refused("long.csv", contents.as_bytes(), &["--max-record", "4KiB"], &reasons);
}

#[test]
fn a_format_that_the_name_does_not_say_must_be_said() {
    let pair = Pair::start();
    let source = pair.edge.file("unknown.dat");
    fs::write(&source, b"data").unwrap();

    let output = pair.run(args!["spray", &source, "data:t::file", "--parts", "2"]);

    assert_says(&output, 2, "--format");
}
