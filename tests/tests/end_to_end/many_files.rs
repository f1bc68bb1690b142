//! Many small files in one push, and back.

use skyspray_tests::args;
use skyspray_tests::check::{assert_nothing_staged_after_collect, assert_same_tree, staged};
use skyspray_tests::data::many_files;
use skyspray_tests::pair::Pair;
use std::fs;
use std::path::PathBuf;

#[test]
fn twenty_thousand_files_of_4_kib_are_pushed_and_pulled_in_one_command_each() {
    let pair = Pair::start();
    let source = pair.edge.file("many");
    fs::create_dir(&source).unwrap();
    many_files(&source, 20_000, 4096).unwrap();

    let pushed = pair.done(args!["push", &source, "data:in/"]);
    assert_eq!(pushed.done_number("files"), 20_000);
    assert_same_tree(&pair.relay.plane.join("in/many"), &source);
    assert_nothing_staged_after_collect(&pair);

    let back = pair.edge.file("back");
    pair.done(args!["pull", "data:in/many/", &back]);
    assert_same_tree(&back, &source);
    assert_eq!(staged(&pair.edge.zone), Vec::<PathBuf>::new(), "staged in the landing zone");
}

#[test]
fn a_push_of_files_of_every_small_size_keeps_each_of_them() {
    let pair = Pair::start();
    let source = pair.edge.file("sizes");
    fs::create_dir(&source).unwrap();
    for length in [0, 1, 1023, 1024, 1025, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5 << 20] {
        let path = source.join(format!("{length} bytes"));
        skyspray_tests::data::random_file(&path, length, length).unwrap();
    }

    pair.done(args!["push", &source, "data:in/"]);
    assert_same_tree(&pair.relay.plane.join("in/sizes"), &source);

    let back = pair.edge.file("back");
    pair.done(args!["pull", "data:in/sizes/", &back]);
    assert_same_tree(&back, &source);
}
