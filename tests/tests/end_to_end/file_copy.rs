//! Copies inside the cluster, made by the operator while the relay serves.

#![allow(clippy::unwrap_used, reason = "helpers of tests unwrap as tests do")]

use rustix::process::Signal;
use skyspray_tests::args;
use skyspray_tests::binary::locate;
use skyspray_tests::check::{
    assert_nothing_staged_after_collect, assert_returns, assert_says, assert_stored, stored_parts,
};
use skyspray_tests::data::{csv_file, random_file};
use skyspray_tests::output::Output;
use skyspray_tests::pair::Pair;
use skyspray_tests::process::{Launch, Process};
use skyspray_tests::wait;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

fn copy(pair: &Pair, from: &str, to: &str, more: &[&str]) -> Output {
    let mut arguments = args!["file", "copy", &pair.target(from), &pair.target(to)];
    arguments.extend(more.iter().map(OsString::from));
    pair.relay.admin(arguments).expect("the relay's command ends")
}

fn copied(pair: &Pair, from: &str, to: &str, more: &[&str]) {
    copy(pair, from, to, more).done().unwrap_or_else(|error| panic!("{error}"));
}

/// Records of the logical file as its parts count them, part by part.
fn records(pair: &Pair, name: &str) -> Vec<u64> {
    let shown = pair.relay.admin(args!["file", "show", &pair.target(name)]);
    let shown = shown.expect("the relay's command ends").done().expect("the file is there");
    let objects = shown.objects();
    let parts = objects.iter().filter(|object| object["event"] == "part");
    parts.map(|part| part["records"].as_u64().expect("records are counted")).collect()
}

/// Three parts, then five, then one of those five; all of them come back as the source.
fn goes_round(pair: &Pair, source: &Path, format: &[&str], expected_records: u64) {
    let mut spray = args!["spray", source, "data:t::three", "--parts", "3"];
    spray.extend(format.iter().map(OsString::from));
    pair.done(spray);

    copied(pair, "t::three", "t::five", &["--parts", "5"]);
    copied(pair, "t::five", "u::one", &["--parts", "1"]);
    copied(pair, "t::five", "u::twin", &[]);

    for (name, parts) in [("t::three", 3), ("t::five", 5), ("u::one", 1), ("u::twin", 5)] {
        assert_eq!(stored_parts(&pair.relay.plane, name).unwrap().len(), parts, "{name}");
        let counted = records(pair, name);
        assert_eq!(counted.iter().sum::<u64>(), expected_records, "{name}: {counted:?}");
        assert_returns(pair, name, source);
        let verified = pair.relay.admin(args!["file", "verify", &pair.target(name)]).unwrap();
        assert_eq!(verified.code, 0, "{verified:#?}");
    }
    let bytes = |name: &str| -> Vec<Vec<u8>> {
        let parts = stored_parts(&pair.relay.plane, name).unwrap();
        parts.iter().map(|part| fs::read(part).unwrap()).collect()
    };
    assert_eq!(bytes("u::twin"), bytes("t::five"));
    let longest = bytes("t::five").iter().map(Vec::len).max().unwrap();
    let length = usize::try_from(fs::metadata(source).unwrap().len()).unwrap();
    assert!(longest < length / 4, "{longest} of {length} bytes are in one of five parts");
    assert_nothing_staged_after_collect(pair);
}

#[test]
fn a_csv_is_copied_into_more_and_fewer_parts_and_comes_back_identical() {
    let pair = Pair::start();
    let source = pair.edge.file("orders.csv");
    let records = csv_file(&source, 24 << 20, 12, &|| false).unwrap();

    goes_round(&pair, &source, &["--format", "csv"], records);
}

#[test]
fn fixed_records_are_copied_into_more_and_fewer_parts_and_come_back_identical() {
    let pair = Pair::start();
    let source = pair.edge.file("records.bin");
    random_file(&source, 97 * 40_037, 5).unwrap();

    goes_round(&pair, &source, &["--format", "fixed", "--record-size", "97"], 40_037);
}

#[test]
fn an_xml_is_copied_into_more_and_fewer_parts_and_comes_back_identical() {
    let pair = Pair::start();
    let source = pair.edge.file("rows.xml");
    let row = |number: u32| format!("  <row n=\"{number}\"><name>r {number}</name></row>\n");
    let rows: String = (0..30_000).map(row).collect();
    fs::write(&source, format!("<?xml version=\"1.0\"?>\n<rows>\n{rows}</rows>\n")).unwrap();

    goes_round(&pair, &source, &["--format", "xml", "--row-tag", "row"], 30_000);
}

#[test]
fn a_json_is_copied_into_more_and_fewer_parts_and_comes_back_identical() {
    let pair = Pair::start();
    let source = pair.edge.file("rows.json");
    let rows: Vec<String> =
        (0..30_000).map(|number| format!("{{\"n\":{number},\"s\":\"a]}},{{\\\"\"}}")).collect();
    fs::write(&source, format!("[{}]", rows.join(","))).unwrap();

    goes_round(&pair, &source, &["--format", "json"], 30_000);
}

#[test]
fn a_refused_copy_says_what_hpcc_says() {
    let pair = Pair::start();
    let source = pair.edge.file("a.bin");
    random_file(&source, 5_000, 1).unwrap();
    pair.done(pair.spray_bytes(&source, "t::a", 2));
    pair.done(pair.spray_bytes(&source, "t::b", 2));

    let itself = copy(&pair, "t::a", "t::a", &[]);
    let there = copy(&pair, "t::a", "t::b", &["--parts", "4"]);

    assert_says(&itself, 2, "data:t::a cannot be copied onto itself");
    assert_says(&itself, 2, "\"hpcc\":8061");
    assert_says(&there, 4, "\"hpcc\":8089");
    assert_stored(&pair, "t::b", &source, 2);
    copied(&pair, "t::a", "t::b", &["--parts", "4", "--overwrite"]);
    assert_stored(&pair, "t::b", &source, 4);
    assert_returns(&pair, "t::b", &source);
}

/// A copy that can be killed.
fn begin(pair: &Pair, from: &str, to: &str) -> Process {
    let program = locate("skyspray-relay").unwrap_or_else(|error| panic!("{error}"));
    let mut arguments = args!["file", "copy", &pair.target(from), &pair.target(to)];
    arguments.extend(args!["--parts", "6", "--dir", &pair.relay.dir, "--json"]);
    let log = pair.relay.dir.with_extension("copy.log");
    let launch = Launch { prefix: Vec::new(), program, arguments, log };
    Process::start(&launch).unwrap_or_else(|error| panic!("{error}"))
}

/// Ends a copy by a signal once it has written so much; says whether it was still running.
fn cut_off(pair: &Pair, signal: Signal, written_bytes: u64) -> bool {
    let mut running = begin(pair, "t::file", "t::copy");
    let written = wait::poll(Duration::from_secs(60), || {
        if running.used().written_bytes >= written_bytes {
            return Some(true);
        }
        running.has_ended().then_some(false)
    });
    running.signal(signal);
    let (status, _) = running.finish(wait::PATIENCE, &|| false).expect("the copy ends");
    assert_ne!(status.code(), Some(0), "the copy was done before it was cut off");
    written.expect("the copy writes or ends")
}

#[test]
fn a_copy_that_is_killed_leaves_nothing_to_see_and_works_when_it_is_run_again() {
    const MIB: u64 = 1 << 20;
    let pair = Pair::start();
    let source = pair.edge.file("source.bin");
    random_file(&source, 192 * MIB + 77, 3).unwrap();
    pair.done(pair.spray_bytes(&source, "t::file", 4));

    for (signal, after) in [(Signal::KILL, 20), (Signal::KILL, 70), (Signal::TERM, 40)] {
        assert!(cut_off(&pair, signal, after * MIB), "it ended by itself");
        let shown = pair.relay.admin(args!["file", "show", "data:t::copy"]).unwrap();
        assert_says(&shown, 3, "data:t::copy does not exist");
        let refused = pair.run(args!["describe", "data:t::copy"]);
        assert_says(&refused, 3, "205");
        let seen = skyspray_tests::check::visible(&pair.relay.plane);
        assert!(seen.iter().all(|path| !path.to_string_lossy().contains("copy")), "{seen:?}");
    }
    copied(&pair, "t::file", "t::copy", &["--parts", "6"]);

    assert_stored(&pair, "t::copy", &source, 6);
    assert_returns(&pair, "t::copy", &source);
    assert_nothing_staged_after_collect(&pair);
    let open = pair.relay.admin(args!["job", "list", "--state", "open"]).unwrap();
    assert_eq!(open.objects().len(), 0, "{open:#?}");
}

#[test]
fn an_edge_sprays_and_desprays_while_its_files_are_copied() {
    let pair = Pair::start();
    let source = pair.edge.file("source.bin");
    random_file(&source, 48 << 20, 4).unwrap();
    pair.done(pair.spray_bytes(&source, "t::file", 3));

    let mut running: Vec<Process> =
        ["a", "b", "c"].map(|name| begin(&pair, "t::file", &format!("t::{name}"))).into();
    for round in 0..3 {
        pair.done(pair.spray_bytes(&source, &format!("s::{round}"), 2));
        assert_returns(&pair, "t::file", &source);
    }
    for process in &mut running {
        let (status, _) = process.finish(wait::PATIENCE, &|| false).expect("the copy ends");
        assert_eq!(status.code(), Some(0), "{}", process.shown());
    }

    for name in ["t::a", "t::b", "t::c"] {
        assert_stored(&pair, name, &source, 6);
        assert_returns(&pair, name, &source);
    }
    let audit = pair.relay.admin(args!["audit", "verify"]).unwrap();
    assert_eq!(audit.code, 0, "{audit:#?}");
}

#[test]
fn a_copy_whose_job_is_cancelled_ends_and_leaves_nothing() {
    let pair = Pair::start();
    let source = pair.edge.file("source.bin");
    random_file(&source, 192 << 20, 6).unwrap();
    pair.done(pair.spray_bytes(&source, "t::file", 4));

    let mut running = begin(&pair, "t::file", "t::copy");
    let open = wait::poll(Duration::from_secs(60), || {
        let listed = pair.relay.admin(args!["job", "list", "--state", "open"]).unwrap();
        listed.objects().first().map(|job| job["wuid"].as_str().unwrap().to_owned())
    });
    let cancelled = pair.relay.admin(args!["job", "cancel", &open.expect("the copy opens a job")]);

    assert_eq!(cancelled.unwrap().code, 0);
    let (status, _) = running.finish(wait::PATIENCE, &|| false).expect("the copy ends");
    assert_eq!(status.code(), Some(5), "{}", running.shown());
    let staged = skyspray_tests::check::staged(&pair.relay.plane);
    assert!(staged.is_empty(), "the copy leaves {staged:?}");
    let shown = pair.relay.admin(args!["file", "show", "data:t::copy"]).unwrap();
    assert_says(&shown, 3, "data:t::copy does not exist");
}
