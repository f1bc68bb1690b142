//! Ends that are asked for: SIGINT and SIGTERM to either side, and a command started twice.

use rustix::process::Signal;
use skyspray_tests::check::{
    assert_nothing_staged_after_collect, assert_nothing_visible, assert_returns, assert_stored,
};
use skyspray_tests::data::random_file;
use skyspray_tests::edge::Running;
use skyspray_tests::kill::MEMORY_MIB;
use skyspray_tests::pair::Pair;
use std::path::PathBuf;

const MIB: u64 = 1 << 20;

/// A spray of 160 MiB of which the relay has written a part.
fn under_way() -> (Pair, PathBuf, Running) {
    let pair = Pair::start();
    pair.edge.configure("memory", &format!("\"{MEMORY_MIB}MiB\""));
    let source = pair.edge.file("source.bin");
    random_file(&source, 160 * MIB, 91).expect("the source can be written");
    let before = pair.relay.process().used().written_bytes;
    let mut running = pair.begin(pair.spray_bytes(&source, "t::file", 4));
    assert!(pair.wait_written(before, 24 * MIB, &mut running), "the spray ended too early");
    (pair, source, running)
}

fn assert_interrupted_and_continued(signal: Signal) {
    let (pair, source, mut running) = under_way();

    running.process.signal(signal);
    let output = running.finish().expect("the command ends");
    assert_eq!(output.code, 130, "{output:#?}");
    assert_nothing_visible(&pair, "t::file");

    let again = pair.done(pair.spray_bytes(&source, "t::file", 4));
    assert!(again.done_number("chunks_held") > 0, "it began from nothing: {again:#?}");
    assert_stored(&pair, "t::file", &source, 4);
    assert_returns(&pair, "t::file", &source);
    assert_nothing_staged_after_collect(&pair);
}

#[test]
fn ctrl_c_ends_a_spray_with_130_and_the_same_command_continues_it() {
    assert_interrupted_and_continued(Signal::INT);
}

#[test]
fn sigterm_ends_a_spray_with_130_and_the_same_command_continues_it() {
    assert_interrupted_and_continued(Signal::TERM);
}

#[test]
fn a_relay_that_drains_during_a_spray_ends_with_0_and_its_successor_continues() {
    let (mut pair, source, mut running) = under_way();

    assert_eq!(pair.relay.stop().unwrap(), 0, "{}", pair.relay.log_tail());
    pair.relay.serve().unwrap();
    let mut output = running.finish().unwrap();
    while output.code == 5 {
        output = pair.run(pair.spray_bytes(&source, "t::file", 4));
    }

    assert_eq!(output.code, 0, "{output:#?}");
    assert_stored(&pair, "t::file", &source, 4);
    assert_returns(&pair, "t::file", &source);
    assert_nothing_staged_after_collect(&pair);
}

#[test]
fn a_command_that_runs_already_is_not_run_twice_at_once() {
    let (pair, source, mut running) = under_way();
    running.process.signal(Signal::STOP);

    let second = pair.run(pair.spray_bytes(&source, "t::file", 4));
    running.process.signal(Signal::CONT);

    assert_eq!(second.code, 5, "{second:#?}");
    running.finish().unwrap().done().unwrap();
    assert_stored(&pair, "t::file", &source, 4);
    assert_nothing_staged_after_collect(&pair);
}
