//! SIGKILL of either side during a spray (I1, I2, I7; F5, F6, F12 to F15 of the failure matrix).

use skyspray_tests::check::{
    assert_nothing_staged_after_collect, assert_nothing_visible, assert_returns, assert_stored,
};
use skyspray_tests::data::random_file;
use skyspray_tests::kill::{
    CHUNK_BYTES, MEMORY_MIB, Moments, Ordeal, Victim, WINDOW_CHUNKS, endure,
};
use skyspray_tests::pair::Pair;
use std::ffi::OsString;
use std::ops::Range;
use std::path::PathBuf;

const MIB: u64 = 1 << 20;

/// A pair whose edge has few chunks in flight, and a source of that many MiB.
fn prepared(source_mib: u64, seed: u64) -> (Pair, PathBuf) {
    let mut pair = Pair::start();
    pair.relay.stop().expect("the relay ends");
    // A killed edge has its session until the relay notices, and here many die one after another.
    pair.edge.configure("memory", &format!("\"{MEMORY_MIB}MiB\""));
    pair.relay.configure("[limits]\nsessions_per_agent = 64\n");
    pair.relay.serve().expect("the relay gets ready");
    let source = pair.edge.file("source.bin");
    random_file(&source, source_mib * MIB + 4321, seed).expect("the source can be written");
    (pair, source)
}

/// The command with its decisions in its log, for when a test fails.
fn told(mut command: Vec<OsString>) -> Vec<OsString> {
    command.push("-v".into());
    command
}

/// Chunks of the source in 4 parts.
fn chunks(source_mib: u64) -> u64 {
    let part = (source_mib * MIB + 4321).div_ceil(4);
    4 * part.div_ceil(CHUNK_BYTES)
}

/// The relays together wrote the source once, and for each kill at most what was in flight.
fn assert_little_was_sent_again(ordeal: &Ordeal, source_mib: u64) {
    let again = ordeal.kills * WINDOW_CHUNKS * CHUNK_BYTES;
    // The catalogue and its log are written too.
    let overhead = 4 * MIB + ordeal.kills * MIB / 2;
    let allowed = source_mib * MIB + again + overhead;
    let written = ordeal.written_bytes;
    eprintln!("{written} bytes written in {} kills, {allowed} allowed", ordeal.kills);
    assert!(written <= allowed, "{written} bytes written, {allowed} allowed: {ordeal:#?}");
}

#[test]
fn a_spray_survives_twelve_kills_of_the_edge() {
    let (mut pair, source) = prepared(224, 31);
    let command = told(pair.spray_bytes(&source, "t::file", 4));

    let mut moments = Moments::new(1, 12 * MIB..20 * MIB);
    let hidden = |pair: &Pair| assert_nothing_visible(pair, "t::file");
    let ordeal = endure(&mut pair, &command, (Victim::Edge, 12), &mut moments, &hidden);

    assert_eq!(ordeal.kills, 12);
    assert_little_was_sent_again(&ordeal, 224);
    let (held, sent) =
        (ordeal.last.done_number("chunks_held"), ordeal.last.done_number("chunks_sent"));
    let resent = ordeal.last.done_number("chunks_resent");
    assert_eq!(held + sent - resent, chunks(224), "{:#?}", ordeal.last);
    assert!(held > 0, "the last run began from nothing: {:#?}", ordeal.last);
    assert_stored(&pair, "t::file", &source, 4);
    assert_returns(&pair, "t::file", &source);
    assert_nothing_staged_after_collect(&pair);
}

#[test]
fn a_spray_survives_eight_kills_of_the_relay() {
    let (mut pair, source) = prepared(160, 32);
    let command = told(pair.spray_bytes(&source, "t::file", 4));

    let mut moments = Moments::new(2, 10 * MIB..18 * MIB);
    let hidden = |pair: &Pair| assert_nothing_visible(pair, "t::file");
    let ordeal = endure(&mut pair, &command, (Victim::Relay, 8), &mut moments, &hidden);

    assert_eq!(ordeal.kills, 8);
    assert_little_was_sent_again(&ordeal, 160);
    let resent = ordeal.last.done_number("chunks_resent");
    assert!(resent <= 8 * WINDOW_CHUNKS, "{resent} chunks sent again: {:#?}", ordeal.last);
    assert_stored(&pair, "t::file", &source, 4);
    assert_returns(&pair, "t::file", &source);
    assert_nothing_staged_after_collect(&pair);
}

/// Kills `victim` once at each of some moments, each time in a spray of its own, and runs the
/// command again: done or done already, and stored once.
fn killed_once_each((victim, rounds): (Victim, u32), seed: u64, written: Range<u64>) {
    let (mut pair, source) = prepared(8, seed);
    let mut moments = Moments::new(seed, written);
    for round in 0..rounds {
        let name = format!("t::round {round}");
        let command = told(pair.spray_bytes(&source, &name, 2));
        let ordeal = endure(&mut pair, &command, (victim, 1), &mut moments, &|_| {});
        assert_little_was_sent_again(&ordeal, 8);
        assert_stored(&pair, &name, &source, 2);
    }
    assert_nothing_staged_after_collect(&pair);
}

#[test]
fn the_edge_may_die_at_any_moment_near_the_commit() {
    killed_once_each((Victim::Edge, 8), 41, 8 * MIB - 20_000..8 * MIB + 160_000);
}

#[test]
fn the_relay_may_die_at_any_moment_near_the_commit() {
    killed_once_each((Victim::Relay, 3), 42, 8 * MIB - 20_000..8 * MIB + 160_000);
}

#[test]
fn the_edge_may_die_at_any_moment_near_the_open() {
    killed_once_each((Victim::Edge, 8), 43, 1..120_000);
}

#[test]
fn the_relay_may_die_at_any_moment_near_the_open() {
    killed_once_each((Victim::Relay, 3), 44, 1..120_000);
}
