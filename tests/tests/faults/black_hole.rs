//! A path that drops long packets without a word from the middle of a transfer on.

use serde_json::Value;
use skyspray_tests::args;
use skyspray_tests::check::{assert_same, assert_stored};
use skyspray_tests::data::random_file;
use skyspray_tests::wan::{Ends, LongPath};
use std::ffi::OsString;
use std::time::Duration;

const MIB: u64 = 1 << 20;
const LOGICAL: &str = "t::hole";

/// Opens once 8 MiB have passed, to packets longer than this with their IP and UDP headers: what a
/// tunnel may leave.
const HOLE: &str = "8MiB:1280";

/// What a session says that has found a hole, and the length every path carries (RFC 9000, 14).
const FOUND: &str = "the path drops long packets, going on with shorter ones";
const LEAST: &str = "mtu=1200";

/// The longest outage that is none of minutes.
const TRANSFER_MAX: Duration = Duration::from_secs(60);

const PATH: LongPath = LongPath {
    bits_per_second: 100_000_000,
    delay: Duration::from_millis(10),
    loss: 0.0,
    seed: 11,
};

/// The hole, in one direction.
fn hole(option: &str) -> Vec<OsString> {
    args![option, HOLE]
}

/// Long packets were lost, but few of them beside what came through.
fn assert_fell_into_the_hole(figures: &Value) {
    let count = |name: &str| figures[name].as_u64().unwrap_or_else(|| panic!("{figures}"));
    let (dropped, carried) = (count("drop_size"), count("out"));
    assert!(dropped > 0, "no packet was too long: {figures}");
    assert!(dropped * 5 < carried, "long packets were sent for long: {figures}");
}

fn assert_found(log: &str) {
    let found = log.lines().filter(|line| line.contains(FOUND)).collect::<Vec<_>>();
    assert!(!found.is_empty() && found.iter().all(|line| line.contains(LEAST)), "{log}");
}

#[test]
fn a_spray_goes_on_when_the_path_begins_to_drop_long_packets() {
    let Some(ends) = Ends::meet_or_skip(PATH) else { return };
    let source = ends.pair.edge.file("source.bin");
    random_file(&source, 24 * MIB, 81).unwrap();
    let Ends { pair, link } = ends.meet_again(PATH, &hole("--up-hole")).unwrap();

    let mut arguments = pair.spray_bytes(&source, LOGICAL, 2);
    arguments.extend(args!["-v"]);
    let output = pair.done(arguments);

    assert!(output.took < TRANSFER_MAX, "{:?}", output.took);
    assert_found(&output.stderr);
    assert_eq!(pair.relay.sessions().0, 1, "the session ended in the hole");
    let figures = link.down().unwrap();
    assert_fell_into_the_hole(&figures.up);
    assert_stored(&pair, LOGICAL, &source, 2);
}

#[test]
fn a_despray_goes_on_when_the_path_begins_to_drop_long_packets() {
    let Some(ends) = Ends::meet_or_skip(PATH) else { return };
    let source = ends.pair.edge.file("source.bin");
    random_file(&source, 24 * MIB, 82).unwrap();
    ends.pair.done(ends.pair.spray_bytes(&source, LOGICAL, 2));
    let Ends { pair, link } = ends.meet_again(PATH, &hole("--down-hole")).unwrap();

    let export = pair.edge.file("export.bin");
    let output = pair.done(args!["despray", &pair.target(LOGICAL), &export]);

    assert!(output.took < TRANSFER_MAX, "{:?}", output.took);
    assert_found(&pair.relay.log_tail());
    assert_eq!(pair.relay.sessions().0, 1, "the session ended in the hole");
    let figures = link.down().unwrap();
    assert_fell_into_the_hole(&figures.down);
    assert_same(&export, &source);
}
