//! The whole job on planes of objects: what goes out comes back, and no upload is left behind.

use skyspray_tests::args;
use skyspray_tests::check::{assert_same, assert_same_tree, assert_says};
use skyspray_tests::data::{csv_file, many_files, random_file};
use skyspray_tests::output::Output;
use skyspray_tests::pair::Pair;
use skyspray_tests::planes::{LAKE, add_s3};
use skyspray_tests::server::ca::TestCa;
use skyspray_tests::server::s3::S3;
use skyspray_tests::server::seaweed::Seaweed;
use skyspray_tests::wait;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

const MIB: u64 = 1 << 20;
const BUCKET: &str = "cluster-data";

/// A pair whose relay has the plane `lake` in a bucket reached by TLS with an authority of its own.
fn on_seaweed(more: &str) -> (Pair, Seaweed) {
    let ca = TestCa::new().expect("a test authority can be made");
    let server = Seaweed::start(Some(&ca)).unwrap_or_else(|error| panic!("{error}"));
    server.s3().create_bucket(BUCKET).expect("a bucket can be made");
    let mut pair = Pair::prepare().expect("a pair can be made");
    add_s3(&pair, server.s3(), BUCKET, more);
    pair.relay.configure("[limits]\nsessions_per_agent = 64\n");
    pair.relay.serve().expect("the relay gets ready");
    pair.enroll("push,pull,list,remove,overwrite:*").expect("the edge enrolls");
    (pair, server)
}

fn spray(source: &Path, name: &str, more: &[&str]) -> Vec<OsString> {
    let mut arguments = args!["spray", source, &format!("{LAKE}:{name}")];
    arguments.extend(more.iter().map(OsString::from));
    arguments
}

fn assert_comes_back(pair: &Pair, name: &str, source: &Path) {
    let back = pair.edge.file("back.out");
    pair.done(args!["despray", &format!("{LAKE}:{name}"), &back]);
    assert_same(&back, source);
    fs::remove_file(back).expect("the exported file can be removed");
}

fn operator(pair: &Pair, arguments: Vec<OsString>) -> Output {
    let output = pair.relay.admin(arguments).and_then(Output::done);
    output.unwrap_or_else(|error| panic!("{error}"))
}

/// No upload is open at the store once orphans are collected.
fn assert_no_upload_is_left(pair: &Pair, s3: &S3) {
    operator(pair, args!["collect"]);
    assert_eq!(s3.open_uploads(BUCKET).expect("uploads can be listed"), []);
}

#[test]
fn a_csv_is_sprayed_to_a_bucket_in_hpccs_paths_and_comes_back() {
    let (pair, server) = on_seaweed("");
    let source = pair.edge.file("rows.csv");
    csv_file(&source, 30 * MIB, 7, &|| false).unwrap();

    pair.done(spray(&source, "sales::rows", &["--parts", "3"]));

    let mut keys = server.s3().list(BUCKET, "planes/lake/").unwrap();
    keys.sort();
    let part = |n: u32| format!("planes/lake/sales/{n}/rows._{n}_of_3");
    assert_eq!(keys, [part(1), part(2), part(3)]);
    assert_comes_back(&pair, "sales::rows", &source);
    pair.done(args!["verify", "lake:sales::rows", &source]);
    operator(&pair, args!["file", "verify", "lake:sales::rows"]);
    assert_no_upload_is_left(&pair, server.s3());
}

#[test]
fn a_replacement_an_empty_file_and_one_byte_are_stored_and_removed() {
    let (pair, server) = on_seaweed("");
    let source = pair.edge.file("small.bin");
    let fixed = ["--format", "fixed", "--record-size", "1", "--parts", "2", "--overwrite"];
    for content in [b"xyz".as_slice(), b"", b"1"] {
        fs::write(&source, content).unwrap();
        pair.done(spray(&source, "t::small", &fixed));
        assert_comes_back(&pair, "t::small", &source);
    }
    let again = pair.run(spray(&source, "t::small", &fixed[..6]));
    assert_says(&again, 4, "exists");

    operator(&pair, args!["file", "remove", "lake:t::small"]);
    operator(&pair, args!["collect"]);

    assert_eq!(server.s3().list(BUCKET, "").unwrap(), Vec::<String>::new());
    assert_no_upload_is_left(&pair, server.s3());
}

#[test]
fn a_tree_of_odd_names_is_pushed_to_a_bucket_and_pulled_back() {
    let (pair, server) = on_seaweed("");
    let tree = pair.edge.file("tree");
    many_files(&tree, 40, 3000).unwrap();
    for name in ["with blank.txt", "ümlaut-ß.txt", "100%.txt", "a+b=c&d.txt", "empty"] {
        let content = if name == "empty" { "" } else { name };
        fs::write(tree.join(name), content).unwrap();
    }
    random_file(&tree.join("large.bin"), 20 * MIB + 3, 5).unwrap();

    pair.done(args!["push", &tree, "lake:in/"]);
    let back = pair.edge.file("back");
    pair.done(args!["pull", "lake:in/tree/", &back]);

    let pulled = if back.join("tree").is_dir() { back.join("tree") } else { back };
    assert_same_tree(&tree, &pulled);
    assert_no_upload_is_left(&pair, server.s3());
}

/// Waits until the relay has recorded more than `bytes` of the newest job, or `done` says so.
fn wait_durable(pair: &Pair, bytes: u64, mut done: impl FnMut() -> bool) -> bool {
    let seen = wait::poll(Duration::from_secs(120), || {
        let listed = pair.relay.admin(args!["job", "list"]).expect("the relay answers");
        let text = listed.text();
        let newest = text.lines().find_map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).ok()?;
            value["bytes_durable"].as_u64()
        });
        if newest.is_some_and(|durable| durable > bytes) {
            return Some(true);
        }
        done().then_some(false)
    });
    seen.expect("the spray makes progress")
}

/// I1, I2, I7, F1, F5: either side is killed again and again; the object is whole in the end, and
/// nothing that was begun is left at the store.
#[test]
fn a_spray_to_a_bucket_survives_kills_of_relay_and_edge() {
    let (mut pair, server) = on_seaweed("");
    let source = pair.edge.file("source.bin");
    let length = 160 * MIB + 4321;
    random_file(&source, length, 33).unwrap();
    let command =
        spray(&source, "t::file", &["--format", "fixed", "--record-size", "1", "--parts", "3"]);

    let mut kills = 0;
    let mut running = pair.begin(command.clone());
    for step in 1..=6 {
        if !wait_durable(&pair, step * 20 * MIB, || running.process.has_ended()) {
            break;
        }
        let keys = server.s3().list(BUCKET, "planes/").unwrap();
        assert_eq!(keys, Vec::<String>::new(), "something is visible before the commit");
        kills += 1;
        if step % 2 == 0 {
            pair.restart_relay();
        } else {
            drop(running);
            running = pair.begin(command.clone());
        }
    }
    let output = running.finish().unwrap_or_else(|error| panic!("{error}"));
    let output = output.done().unwrap_or_else(|error| panic!("{error}"));

    assert_eq!(kills, 6, "the spray was over before all kills");
    assert!(output.done_number("chunks_held") > 0, "the last run began from nothing");
    assert_comes_back(&pair, "t::file", &source);
    assert_no_upload_is_left(&pair, server.s3());
}

#[test]
fn a_cancelled_spray_leaves_no_upload_behind() {
    let (pair, server) = on_seaweed("");
    let source = pair.edge.file("source.bin");
    random_file(&source, 120 * MIB, 34).unwrap();
    let fixed = ["--format", "fixed", "--record-size", "1", "--parts", "2"];
    let mut running = pair.begin(spray(&source, "t::given up", &fixed));
    assert!(wait_durable(&pair, 16 * MIB, || running.process.has_ended()));
    drop(running);
    let listed = pair.relay.admin(args!["job", "list"]).unwrap().text();
    let wuid = listed.split('"').find(|text| text.starts_with('D') && text.contains('-'));
    let open = server.s3().open_uploads(BUCKET).unwrap();
    assert!(matches!(open.len(), 1 | 2), "one upload for each part begun: {open:?}");

    operator(&pair, args!["job", "cancel", wuid.expect("the job is listed")]);

    assert_no_upload_is_left(&pair, server.s3());
    assert_eq!(server.s3().list(BUCKET, "").unwrap(), Vec::<String>::new());
}

/// I18: what the relay holds is set by its budget, however many sprays it serves. With
/// `SKYSPRAY_BIG=1` eight sprays of 1 GiB run at once, otherwise of 96 MiB.
#[test]
fn memory_of_the_relay_stays_bounded_while_eight_sprays_run_to_a_bucket_at_once() {
    let (pair, server) = on_seaweed("");
    let big = std::env::var_os("SKYSPRAY_BIG").is_some_and(|value| value == "1");
    let length = if big { 1024 * MIB } else { 96 * MIB };
    let source = pair.edge.file("source.bin");
    random_file(&source, length, 35).unwrap();
    let fixed = ["--format", "fixed", "--record-size", "1", "--parts", "4"];
    let began = std::time::Instant::now();

    let sprays: Vec<_> =
        (0..8).map(|n| pair.begin(spray(&source, &format!("t::file {n}"), &fixed))).collect();
    for mut running in sprays {
        let output = running.finish_within(Duration::from_secs(900), &|| false);
        output.and_then(Output::done).unwrap_or_else(|error| panic!("{error}"));
    }

    let seconds = began.elapsed().as_secs_f64();
    let peak = pair.relay.process().memory_bytes_peak().expect("the relay serves");
    let rate = 8.0 * length as f64 / seconds / 1e6;
    eprintln!("8 sprays of {} MiB: relay {} MiB, {rate:.0} MB/s", length / MIB, peak / MIB);
    assert!(peak <= 320 * MIB, "the relay had {peak} bytes resident");
    assert_comes_back(&pair, "t::file 7", &source);
    assert_no_upload_is_left(&pair, server.s3());
}
