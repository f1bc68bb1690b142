//! Memory of both processes, whatever the size of the file. With `SKYSPRAY_BIG=1` also for 5 GiB
//! and for 50 GiB of zeros.

use skyspray_tests::check::{assert_returns, assert_stored};
use skyspray_tests::data::{random_file, sparse_file};
use skyspray_tests::pair::Pair;
use skyspray_tests::wait;
use std::fs;
use std::path::Path;
use std::time::Duration;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Most memory a relay may have resident, in bytes.
const RELAY_BYTES_MAX: u64 = 256 * MIB;

/// Most memory an edge may have resident, in bytes.
const EDGE_BYTES_MAX: u64 = 192 * MIB;

fn big_wanted(test: &str) -> bool {
    let wanted = std::env::var_os("SKYSPRAY_BIG").is_some_and(|value| value == "1");
    if !wanted {
        eprintln!("skipped: {test} needs SKYSPRAY_BIG=1");
    }
    wanted
}

fn room_for(bytes: u64) -> bool {
    let found = rustix::fs::statvfs(std::env::temp_dir()).expect("the directory is there");
    let free = found.f_bavail * found.f_frsize;
    if free < bytes {
        eprintln!("skipped: {free} bytes free, {bytes} needed");
    }
    free >= bytes
}

/// Sprays into 8 parts while watching both processes.
fn spray_watched(pair: &Pair, source: &Path, within: Duration) {
    let mut running = pair.begin(pair.spray_bytes(source, "t::big", 8));
    let mut edge_peak = 0;
    wait::until("the spray ends", within, || {
        edge_peak = running.process.memory_bytes_peak().unwrap_or(0).max(edge_peak);
        running.process.has_ended()
    });
    running.finish().expect("the command ends").done().unwrap_or_else(|error| panic!("{error}"));
    let relay_peak = pair.relay.process().memory_bytes_peak().expect("the relay serves");
    eprintln!("peaks: relay {} MiB, edge {} MiB", relay_peak / MIB, edge_peak / MIB);
    assert!(edge_peak > 0, "the edge was never seen");
    assert!(edge_peak <= EDGE_BYTES_MAX, "edge had {edge_peak} bytes resident");
    assert!(relay_peak <= RELAY_BYTES_MAX, "relay had {relay_peak} bytes resident");
}

#[test]
fn memory_stays_bounded_while_1_gib_moves_in_8_parts_and_back() {
    let pair = Pair::start();
    let source = pair.edge.file("big.bin");
    random_file(&source, GIB, 5).unwrap();

    spray_watched(&pair, &source, Duration::from_secs(170));

    assert_stored(&pair, "t::big", &source, 8);
    assert_returns(&pair, "t::big", &source);
    let peak = pair.relay.process().memory_bytes_peak().unwrap();
    assert!(peak <= RELAY_BYTES_MAX, "relay had {peak} bytes resident");
}

#[test]
fn memory_stays_bounded_while_5_gib_move_in_8_parts_and_come_back_identical() {
    if !big_wanted("5 GiB") || !room_for(16 * GIB) {
        return;
    }
    let pair = Pair::start();
    let source = pair.edge.file("big.bin");
    random_file(&source, 5 * GIB, 6).unwrap();

    spray_watched(&pair, &source, Duration::from_secs(900));

    assert_stored(&pair, "t::big", &source, 8);
    assert_returns(&pair, "t::big", &source);
}

#[test]
fn memory_stays_bounded_for_50_gib_of_zeros() {
    if !big_wanted("50 GiB of zeros") || !room_for(55 * GIB) {
        return;
    }
    let pair = Pair::start();
    let source = pair.edge.file("zeros.bin");
    sparse_file(&source, 50 * GIB).unwrap();

    spray_watched(&pair, &source, Duration::from_secs(1800));

    let stored = skyspray_tests::check::stored_parts(&pair.relay.plane, "t::big").unwrap();
    let bytes: u64 = stored.iter().map(|part| fs::metadata(part).unwrap().len()).sum();
    assert_eq!((stored.len(), bytes), (8, 50 * GIB));
}
