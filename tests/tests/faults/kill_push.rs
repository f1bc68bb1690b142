//! SIGKILL of either side during a push of files of equal length, where bytes that went under the
//! wrong name would pass every check of lengths (I1, I3, I8, I11).

use skyspray_tests::args;
use skyspray_tests::check::{assert_nothing_staged_after_collect, assert_same_tree};
use skyspray_tests::data::many_files;
use skyspray_tests::kill::{MEMORY_MIB, Moments, Victim, endure};
use skyspray_tests::pair::Pair;
use std::fs;
use std::path::PathBuf;

const MIB: u64 = 1 << 20;

fn prepared() -> (Pair, PathBuf) {
    let mut pair = Pair::start();
    pair.relay.stop().expect("the relay ends");
    pair.edge.configure("memory", &format!("\"{MEMORY_MIB}MiB\""));
    pair.relay.configure("[limits]\nsessions_per_agent = 64\n");
    pair.relay.serve().expect("the relay gets ready");
    let source = pair.edge.file("many");
    fs::create_dir(&source).expect("the directory can be made");
    // Longer than what is copied out of its buffer: few are in flight, and the next pages wait.
    many_files(&source, 1_200, 80 * 1024).expect("the files can be written");
    (pair, source)
}

fn survives(victim: Victim, kills: u64, seed: u64) {
    let (mut pair, source) = prepared();
    let command = args!["push", &source, "data:in/", "-v"];
    let mut moments = Moments::new(seed, 6 * MIB..14 * MIB);

    let ordeal = endure(&mut pair, &command, (victim, kills), &mut moments, &|_| {});

    assert_eq!(ordeal.last.done_number("files_failed"), 0, "{:#?}", ordeal.last);
    assert_same_tree(&pair.relay.plane.join("in/many"), &source);
    assert_nothing_staged_after_collect(&pair);
    let back = pair.edge.file("back");
    pair.done(args!["pull", "data:in/many/", &back]);
    assert_same_tree(&back, &source);
}

#[test]
fn every_file_of_a_push_has_its_own_bytes_after_kills_of_the_relay() {
    survives(Victim::Relay, 4, 61);
}

#[test]
fn every_file_of_a_push_has_its_own_bytes_after_kills_of_the_edge() {
    survives(Victim::Edge, 4, 62);
}
