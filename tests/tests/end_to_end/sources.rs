//! Which files a spray takes: patterns, lists, none at all, and more than may be open at once.

use skyspray_tests::args;
use skyspray_tests::check::{
    assert_nothing_visible, assert_returns, assert_says, assert_stored, stored_parts,
};
use skyspray_tests::data::random_file;
use skyspray_tests::kill::MEMORY_MIB;
use skyspray_tests::pair::Pair;
use std::fmt::Write as _;
use std::fs;

const MIB: u64 = 1 << 20;

#[test]
fn five_thousand_sources_are_sprayed_while_256_files_may_be_open() {
    let mut pair = Pair::start();
    let directory = pair.edge.file("many");
    fs::create_dir(&directory).unwrap();
    let mut all = String::new();
    for number in 0..5000 {
        let mut text = String::new();
        for row in 0..number % 4 {
            writeln!(text, "{number},\"row\n{row}\"").unwrap();
        }
        fs::write(directory.join(format!("{number:04}.csv")), &text).unwrap();
        all.push_str(&text);
    }
    fs::write(directory.join(".hidden.csv"), "not,me\n").unwrap();
    let expected = pair.root.path().join("all.csv");
    fs::write(&expected, &all).unwrap();
    pair.edge.prefix = args!["sh", "-c", "ulimit -n 256 && exec \"$@\"", "sh"];

    let target = pair.target("t::many");
    pair.done(args!["spray", "lz:many/*.csv", &target, "--parts", "4"]);
    assert_stored(&pair, "t::many", &expected, 4);
    assert_returns(&pair, "t::many", &expected);

    let verified = pair.done(args!["verify", &target, "lz:many/*.csv"]);
    assert_eq!(verified.event("verified").unwrap()["sources"], 5000);
    let planned = pair.done(args!["plan", "lz:many/*.csv", "--parts", "4"]);
    assert_eq!(planned.event("plan").unwrap()["bytes"], all.len());

    let list: String = (0..5000).map(|number| format!("lz:many/{number:04}.csv\n")).collect();
    let file = pair.root.path().join("list");
    fs::write(&file, list).unwrap();
    let listed = pair.target("t::listed");
    pair.done(args!["spray", "--files-from", &file, &listed, "--parts", "1"]);
    assert_stored(&pair, "t::listed", &expected, 1);
}

#[test]
fn a_comma_list_and_a_list_on_stdin_name_sources_too() {
    let mut pair = Pair::start();
    for (name, text) in [("a.csv", "a\n"), ("b,c.csv", "b\n"), ("d*.csv", "c\n")] {
        fs::write(pair.edge.file(name), text).unwrap();
    }
    let target = pair.target("t::commas");
    pair.done(args!["spray", "lz:d*.csv,a.csv", "lz:b,c.csv", &target, "--parts", "1"]);
    let parts = stored_parts(&pair.relay.plane, "t::commas").unwrap();
    assert_eq!(fs::read(&parts[0]).unwrap(), b"c\na\nb\n");

    let list = pair.root.path().join("list");
    fs::write(&list, "lz:b,c.csv\0lz:d*.csv\0").unwrap();
    pair.edge.prefix = args!["sh", "-c", "list=$1; shift; exec \"$@\" < \"$list\"", "sh", &list];
    let target = pair.target("t::stdin");
    pair.done(args!["spray", "lz:a.csv", &target, "--parts", "1", "--files-from", "-", "--from0"]);
    let parts = stored_parts(&pair.relay.plane, "t::stdin").unwrap();
    assert_eq!(fs::read(&parts[0]).unwrap(), b"a\nb\nc\n");
}

#[test]
fn a_pattern_that_finds_nothing_makes_an_empty_logical_file_unless_that_is_to_fail() {
    let pair = Pair::start();
    let target = pair.target("t::none");
    let spray = || args!["spray", "lz:*.csv", &target, "--parts", "3"];

    let mut failing = spray();
    failing.push("--fail-if-no-source".into());
    let refused = pair.run(failing);
    assert_says(&refused, 3, "pattern lz:*.csv matches no file");
    assert_eq!(refused.event("error").unwrap()["code"], "source-none");
    assert_nothing_visible(&pair, "t::none");

    let output = pair.done(spray());
    let warnings = output.objects().into_iter().filter(|object| object["event"] == "warning");
    let messages: Vec<_> = warnings.map(|object| object["message"].clone()).collect();
    assert_eq!(
        messages,
        ["pattern lz:*.csv matches no file", "there is no source: the logical file is empty"]
    );
    let parts = stored_parts(&pair.relay.plane, "t::none").unwrap();
    let lengths: Vec<u64> = parts.iter().map(|part| fs::metadata(part).unwrap().len()).collect();
    assert_eq!(lengths, [0, 0, 0]);
    pair.done(args!["verify", &target, "lz:*.csv"]);
    fs::write(pair.edge.file("late.csv"), "late\n").unwrap();
    assert_says(&pair.run(args!["verify", &target, "lz:*.csv"]), 6, "part 1 differs");

    let unsaid = pair.run(args!["spray", "lz:*.xyz", &pair.target("t::unsaid"), "--parts", "1"]);
    assert_says(&unsaid, 2, "announces no format");
}

#[test]
fn a_spray_whose_pattern_finds_other_files_than_before_starts_over() {
    let pair = Pair::start();
    pair.edge.configure("memory", &format!("\"{MEMORY_MIB}MiB\""));
    let source = |name: &str| pair.edge.file(name);
    random_file(&source("b.bin"), 192 * MIB, 71).unwrap();
    let spray = || {
        let mut arguments = args!["spray", "lz:?.bin", &pair.target("t::grown"), "--parts", "2"];
        arguments.extend(args!["--format", "fixed", "--record-size", "1"]);
        arguments
    };
    let before = pair.relay.process().used().written_bytes;
    let mut running = pair.begin(spray());
    assert!(pair.wait_written(before, 8 * MIB, &mut running), "the spray ended too early");
    running.process.kill();
    random_file(&source("a.bin"), MIB, 72).unwrap();

    let output = pair.done(spray());

    assert_says(&output, 0, "a source changed since the interrupted run; this run starts over");
    let parts = stored_parts(&pair.relay.plane, "t::grown").unwrap();
    let expected = skyspray_tests::data::digest_of(&[source("a.bin"), source("b.bin")]).unwrap();
    assert_eq!(skyspray_tests::data::digest_of(&parts).unwrap(), expected);
    let status = pair.done(args!["status"]);
    let open = status.objects().into_iter().filter(|object| object["event"] == "open-job");
    assert_eq!(open.count(), 0, "{status:#?}");
}
