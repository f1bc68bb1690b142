//! A path that one command has filled, and the next one knows.

use serde_json::Value;
use skyspray_tests::args;
use skyspray_tests::check::assert_stored;
use skyspray_tests::data::random_file;
use skyspray_tests::wan::{Ends, LongPath};
use std::fs;
use std::time::Duration;

const MIB: u64 = 1 << 20;

const PATH: LongPath = LongPath {
    bits_per_second: 40_000_000,
    delay: Duration::from_millis(15),
    loss: 0.001,
    seed: 23,
};

/// What the edge says of a path it has learned of earlier.
const KNOWN: &str = "the path is known";

#[test]
fn what_one_spray_finds_of_its_path_the_next_one_begins_with() {
    let Some(ends) = Ends::meet_or_skip(PATH) else { return };
    let pair = &ends.pair;
    let source = pair.edge.file("source.bin");
    random_file(&source, 12 * MIB, 83).unwrap();
    let spray = |name: &str| {
        let mut arguments = pair.spray_bytes(&source, name, 2);
        arguments.extend(args!["-vv"]);
        let output = pair.done(arguments);
        assert_stored(pair, name, &source, 2);
        output.stderr
    };

    let first = spray("t::first");
    assert!(!first.contains(KNOWN), "{first}");

    let file = pair.edge.dir.join("state/paths.json");
    let text = fs::read_to_string(&file).unwrap();
    let stored: Value = serde_json::from_str(&text).unwrap();
    let [known] = &stored["paths"].as_array().unwrap()[..] else { panic!("{text}") };
    let megabits = known["bytes_per_second"].as_f64().unwrap() * 8.0 / 1e6;
    assert!((30.0..45.0).contains(&megabits), "{text}");
    let round_trip = Duration::from_micros(known["round_trip_us"].as_u64().unwrap());
    assert!(round_trip >= 2 * PATH.delay && round_trip < 3 * PATH.delay, "{text}");

    let second = spray("t::second");
    assert!(second.contains(KNOWN), "{second}");

    // Nothing depends on it.
    fs::write(&file, "no paths").unwrap();
    let third = spray("t::third");
    assert!(!third.contains(KNOWN), "{third}");
    let again = fs::read_to_string(&file).unwrap();
    assert!(serde_json::from_str::<Value>(&again).is_ok(), "{again}");
}
