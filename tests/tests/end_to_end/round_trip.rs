//! Spray and despray of files of every shape.

use skyspray_tests::args;
use skyspray_tests::check::{
    assert_nothing_staged_after_collect, assert_returns, assert_same, assert_says, assert_stored,
    stored_parts,
};
use skyspray_tests::data::{csv_file, random_file};
use skyspray_tests::pair::Pair;
use std::fs;
use std::path::{Path, PathBuf};

/// The sample the repository ships: 3,063 records with line ends and quotes in their fields.
fn austen() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/austen.csv")
}

/// Sprays the file as fixed records of one byte and checks all there is to check.
fn round_trip(source: &Path, pair: &Pair, parts: u32) {
    pair.done(pair.spray_bytes(source, "t::file", parts));
    assert_stored(pair, "t::file", source, parts as usize);
    assert_returns(pair, "t::file", source);
    assert_nothing_staged_after_collect(pair);
}

#[test]
fn an_empty_file_comes_back_empty() {
    let pair = Pair::start();
    let source = pair.edge.file("empty.bin");
    fs::write(&source, b"").unwrap();

    round_trip(&source, &pair, 1);
}

#[test]
fn an_empty_file_fills_as_many_empty_parts_as_asked_for() {
    let pair = Pair::start();
    let source = pair.edge.file("empty.bin");
    fs::write(&source, b"").unwrap();

    round_trip(&source, &pair, 3);
}

#[test]
fn one_byte_comes_back_as_one_byte() {
    let pair = Pair::start();
    let source = pair.edge.file("one.bin");
    fs::write(&source, b"x").unwrap();

    round_trip(&source, &pair, 1);
}

#[test]
fn one_byte_in_four_parts_leaves_three_of_them_empty() {
    let pair = Pair::start();
    let source = pair.edge.file("one.bin");
    fs::write(&source, b"x").unwrap();

    round_trip(&source, &pair, 4);

    let stored = stored_parts(&pair.relay.plane, "t::file").unwrap();
    let mut lengths: Vec<u64> =
        stored.iter().map(|part| fs::metadata(part).unwrap().len()).collect();
    lengths.sort_unstable();
    assert_eq!(lengths, [0, 0, 0, 1]);
}

#[test]
fn a_csv_without_a_final_terminator_keeps_its_last_record_as_it_is() {
    let pair = Pair::start();
    let source = pair.edge.file("short.csv");
    fs::write(&source, b"a,b\n1,2\n3,\"4\n5\"").unwrap();

    pair.done(args!["spray", &source, "data:t::short", "--parts", "2"]);

    assert_stored(&pair, "t::short", &source, 2);
    assert_returns(&pair, "t::short", &source);
}

#[test]
fn csv_parts_begin_and_end_with_whole_records_whatever_is_inside_quotes() {
    let pair = Pair::start();

    let source = pair.edge.file("austen.csv");
    fs::copy(austen(), &source).unwrap();
    pair.done(args!["spray", &source, "data:books::austen", "--parts", "7"]);

    assert_stored(&pair, "books::austen", &source, 7);
    let records: Vec<usize> = stored_parts(&pair.relay.plane, "books::austen")
        .unwrap()
        .iter()
        .map(|part| whole_records(&fs::read(part).unwrap()))
        .collect();
    assert_eq!(records.iter().sum::<usize>(), 3063, "{records:?}");
    assert!(records.iter().all(|&records| records > 300), "uneven: {records:?}");
    assert_returns(&pair, "books::austen", &source);
}

/// How many records a part has; a plain look at every byte.
fn whole_records(part: &[u8]) -> usize {
    let (mut quoted, mut records) = (false, 0);
    for &byte in part {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' if !quoted => records += 1,
            _ => {}
        }
    }
    assert!(!quoted, "a part ends inside quotes");
    assert_eq!(part.last(), Some(&b'\n'), "a part ends inside a record");
    records
}

#[test]
fn a_generated_csv_of_64_mib_keeps_every_record_whole_in_8_parts() {
    let pair = Pair::start();
    let source = pair.edge.file("orders.csv");
    let expected = csv_file(&source, 64 << 20, 11, &|| false).unwrap();

    pair.done(args!["spray", &source, "data:t::orders", "--parts", "8"]);

    assert_stored(&pair, "t::orders", &source, 8);
    let stored = stored_parts(&pair.relay.plane, "t::orders").unwrap();
    let records: usize = stored.iter().map(|part| whole_records(&fs::read(part).unwrap())).sum();
    assert_eq!(records as u64, expected);
    assert_returns(&pair, "t::orders", &source);
}

#[test]
fn four_thousand_parts_hold_whole_records_and_come_back_in_order() {
    let pair = Pair::start();
    let source = pair.edge.file("records.bin");
    random_file(&source, 16 * 40_037, 3).unwrap();

    let mut spray = args!["spray", &source, "data:t::wide", "--format", "fixed"];
    spray.extend(args!["--record-size", "16", "--parts", "4000"]);
    pair.done(spray);

    assert_stored(&pair, "t::wide", &source, 4000);
    let stored = stored_parts(&pair.relay.plane, "t::wide").unwrap();
    let torn = stored.iter().filter(|part| fs::metadata(part).unwrap().len() % 16 != 0).count();
    assert_eq!(torn, 0, "parts that end inside a record");
    assert_returns(&pair, "t::wide", &source);
}

#[test]
fn several_sources_become_one_logical_file_in_their_order() {
    let pair = Pair::start();
    let (first, second) = (pair.edge.file("b.csv"), pair.edge.file("a.csv"));
    fs::write(&first, b"1,one\n2,two\n").unwrap();
    fs::write(&second, b"3,three\n").unwrap();
    let whole = pair.edge.file("whole.csv");
    fs::write(&whole, b"1,one\n2,two\n3,three\n").unwrap();

    pair.done(args!["spray", &first, &second, "data:t::joined", "--parts", "2"]);

    assert_stored(&pair, "t::joined", &whole, 2);
    assert_returns(&pair, "t::joined", &whole);
}

#[test]
fn names_with_spaces_and_letters_of_other_scripts_survive() {
    let pair = Pair::start();
    let name = "Übersicht März – 月次 (final).csv";
    let source = pair.edge.file(name);
    fs::write(&source, b"a\nb\n").unwrap();

    pair.done(args!["spray", &source, "data:monthly reports::march 2026"]);
    assert_stored(&pair, "monthly reports::march 2026", &source, 1);
    pair.done(args!["push", &source, "data:Eingang/Süd Ost/"]);
    let back = pair.edge.file("zurück 月.csv");
    pair.done(args!["pull", &format!("data:Eingang/Süd Ost/{name}"), &back]);

    assert_same(&back, &source);
    assert_same(&pair.relay.plane.join("Eingang/Süd Ost").join(name), &source);
}

#[test]
fn a_logical_file_is_replaced_only_when_asked_to() {
    let pair = Pair::start();
    let (old, new) = (pair.edge.file("old.bin"), pair.edge.file("new.bin"));
    random_file(&old, 3_000_000, 1).unwrap();
    random_file(&new, 2_000_000, 2).unwrap();
    pair.done(pair.spray_bytes(&old, "t::file", 3));

    let refused = pair.run(pair.spray_bytes(&new, "t::file", 3));
    assert_says(&refused, 4, "it exists already; ask to overwrite it");
    assert_stored(&pair, "t::file", &old, 3);

    let mut replace = pair.spray_bytes(&new, "t::file", 3);
    replace.extend(args!["--overwrite"]);
    pair.done(replace);
    assert_stored(&pair, "t::file", &new, 3);
    assert_returns(&pair, "t::file", &new);
}

#[test]
fn a_despray_replaces_a_local_file_only_when_asked_to() {
    let pair = Pair::start();
    let source = pair.edge.file("source.bin");
    random_file(&source, 1_000_000, 9).unwrap();
    pair.done(pair.spray_bytes(&source, "t::file", 2));
    let there = pair.edge.file("there.bin");
    fs::write(&there, b"precious").unwrap();

    let refused = pair.run(args!["despray", "data:t::file", &there]);

    assert_ne!(refused.code, 0, "{refused:#?}");
    assert_eq!(fs::read(&there).unwrap(), b"precious");
    pair.done(args!["despray", "data:t::file", &there, "--overwrite"]);
    assert_same(&there, &source);
}
