//! SIGKILL of either side during a despray: the export resumes and appears only when it is whole.

use skyspray_tests::args;
use skyspray_tests::check::{assert_same, staged};
use skyspray_tests::data::{Numbers, random_file};
use skyspray_tests::edge::Running;
use skyspray_tests::kill::MEMORY_MIB;
use skyspray_tests::pair::Pair;
use skyspray_tests::wait;
use std::path::{Path, PathBuf};
use std::time::Duration;

const MIB: u64 = 1 << 20;

/// A pair that holds `t::file` of 128 MiB, and its source.
fn stored() -> (Pair, PathBuf) {
    let pair = Pair::start();
    pair.edge.configure("memory", &format!("\"{MEMORY_MIB}MiB\""));
    let source = pair.edge.file("source.bin");
    random_file(&source, 128 * MIB + 77, 51).expect("the source can be written");
    pair.done(pair.spray_bytes(&source, "t::file", 4));
    (pair, source)
}

fn export(pair: &Pair, file: &Path) -> Running {
    pair.begin(args!["despray", "data:t::file", file])
}

/// Waits until the command has written that much; `false` when it ended before.
fn wait_exported(running: &mut Running, bytes: u64) -> bool {
    let seen = wait::poll(Duration::from_secs(60), || {
        if running.process.used().written_bytes >= bytes {
            return Some(true);
        }
        running.process.has_ended().then_some(false)
    });
    seen.expect("the export goes on or ends")
}

fn assert_exported(pair: &Pair, file: &Path, source: &Path) {
    assert_same(file, source);
    assert_eq!(staged(&pair.edge.zone), Vec::<PathBuf>::new(), "staged in the landing zone");
}

#[test]
fn a_despray_survives_six_kills_of_the_edge() {
    let (pair, source) = stored();
    let file = pair.edge.file("export.bin");
    let mut numbers = Numbers::new(6);

    for round in 0..6 {
        let mut running = export(&pair, &file);
        let bytes = 4 * MIB + numbers.below(12 * MIB);
        assert!(wait_exported(&mut running, bytes), "round {round} ended by itself");
        running.process.kill();
        assert!(!file.exists(), "the file appeared before it was whole");
    }
    let last = export(&pair, &file).finish().unwrap();

    assert_eq!(last.code, 0, "{last:#?}");
    // 128 MiB and 77 bytes in 4 parts are 132 chunks.
    let received = last.done_number("chunks_received");
    assert!(received < 132, "it began from nothing: {last:#?}");
    assert_exported(&pair, &file, &source);
}

#[test]
fn a_despray_survives_three_kills_of_the_relay() {
    let (mut pair, source) = stored();
    let file = pair.edge.file("export.bin");
    let mut numbers = Numbers::new(7);

    let mut running = export(&pair, &file);
    let mut written = 0;
    for _ in 0..3 {
        written += 8 * MIB + numbers.below(16 * MIB);
        if !wait_exported(&mut running, written) {
            let ended = running.finish().unwrap();
            assert_eq!(ended.code, 5, "{ended:#?}");
            running = export(&pair, &file);
            written = 0;
        }
        pair.restart_relay();
        assert!(!file.exists(), "the file appeared before it was whole");
    }
    let mut last = running.finish().unwrap();
    while last.code == 5 {
        last = export(&pair, &file).finish().unwrap();
    }

    assert_eq!(last.code, 0, "{last:#?}");
    assert_exported(&pair, &file, &source);
}
