//! Sources that change while they are read: refused with 3, and nothing is visible (F1 to F4).

use rustix::process::Signal;
use skyspray_tests::check::{
    assert_nothing_staged_after_collect, assert_nothing_visible, assert_says, assert_stored,
};
use skyspray_tests::data::random_file;
use skyspray_tests::kill::MEMORY_MIB;
use skyspray_tests::output::Output;
use skyspray_tests::pair::Pair;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

const MIB: u64 = 1 << 20;

/// Length of every source here.
const SOURCE_BYTES: u64 = 192 * MIB;

/// Sprays a file, holds the edge still in the middle, lets `change` happen, and lets it go on.
fn spray_while(change: impl FnOnce(&Path)) -> (Pair, Output) {
    let pair = Pair::start();
    pair.edge.configure("memory", &format!("\"{MEMORY_MIB}MiB\""));
    let source = pair.edge.file("source.bin");
    random_file(&source, SOURCE_BYTES, 61).expect("the source can be written");

    let before = pair.relay.process().used().written_bytes;
    let mut running = pair.begin(pair.spray_bytes(&source, "t::file", 4));
    assert!(pair.wait_written(before, 8 * MIB, &mut running), "the spray ended too early");
    running.process.signal(Signal::STOP);
    change(&source);
    running.process.signal(Signal::CONT);
    (pair, running.finish().expect("the command ends"))
}

/// Refused for this reason, nothing visible, and the same command works on the file as it is.
fn assert_refused(pair: &Pair, output: &Output, reason: &str) {
    assert_says(output, 3, reason);
    assert_nothing_visible(pair, "t::file");
    let source = pair.edge.file("source.bin");
    if source.exists() {
        pair.done(pair.spray_bytes(&source, "t::file", 4));
        assert_stored(pair, "t::file", &source, 4);
    }
    assert_nothing_staged_after_collect(pair);
}

#[test]
fn a_source_that_shrinks_while_it_is_read_is_refused() {
    let (pair, output) = spray_while(|source| {
        fs::File::options().write(true).open(source).unwrap().set_len(SOURCE_BYTES / 2).unwrap();
    });

    assert_refused(&pair, &output, "was shrunk from 201326592 to 100663296 bytes");
}

#[test]
fn a_source_that_grows_while_it_is_read_is_refused() {
    let (pair, output) = spray_while(|source| {
        fs::File::options().append(true).open(source).unwrap().write_all(b"more").unwrap();
    });

    assert_refused(&pair, &output, "was grown from 201326592 to 201326596 bytes");
}

#[test]
fn a_source_that_is_replaced_while_it_is_read_is_refused() {
    let (pair, output) = spray_while(|source| {
        let other = source.with_extension("new");
        random_file(&other, SOURCE_BYTES, 62).unwrap();
        fs::rename(&other, source).unwrap();
    });

    assert_refused(&pair, &output, "was replaced by another file while the job ran");
}

#[test]
fn a_source_that_is_written_in_place_while_it_is_read_is_refused() {
    let (pair, output) = spray_while(|source| {
        let file = fs::File::options().write(true).open(source).unwrap();
        file.write_all_at(b"other", 100).unwrap();
    });

    assert_refused(&pair, &output, "was modified in place while the job ran");
}

#[test]
fn a_source_that_is_removed_while_it_is_read_is_refused() {
    let (pair, output) = spray_while(|source| fs::remove_file(source).unwrap());

    assert_refused(&pair, &output, "was removed while the job ran");
}

#[test]
fn a_source_that_changed_between_a_kill_and_the_next_run_does_not_continue_the_old_job() {
    let pair = Pair::start();
    pair.edge.configure("memory", &format!("\"{MEMORY_MIB}MiB\""));
    let source = pair.edge.file("source.bin");
    random_file(&source, SOURCE_BYTES, 63).unwrap();
    let before = pair.relay.process().used().written_bytes;
    let mut running = pair.begin(pair.spray_bytes(&source, "t::file", 4));
    assert!(pair.wait_written(before, 8 * MIB, &mut running), "the spray ended too early");
    running.process.kill();
    random_file(&source, SOURCE_BYTES, 64).unwrap();

    let mut output = pair.run(pair.spray_bytes(&source, "t::file", 4));
    if output.code == 3 {
        assert_nothing_visible(&pair, "t::file");
        output = pair.done(pair.spray_bytes(&source, "t::file", 4));
    }

    assert_eq!(output.code, 0, "{output:#?}");
    assert_stored(&pair, "t::file", &source, 4);
    assert_nothing_staged_after_collect(&pair);
}
