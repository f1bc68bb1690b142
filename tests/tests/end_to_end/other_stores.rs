//! The whole job on stores other than the reference S3: Azure's interface, and a second S3.

use skyspray_tests::args;
use skyspray_tests::check::assert_same;
use skyspray_tests::data::random_file;
use skyspray_tests::output::Output;
use skyspray_tests::pair::Pair;
use skyspray_tests::planes::{LAKE, add_azure, add_s3};
use skyspray_tests::server::azurite::Azurite;
use skyspray_tests::server::ca::TestCa;
use skyspray_tests::server::ministack::Ministack;
use skyspray_tests::wait;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

const MIB: u64 = 1 << 20;
const BUCKET: &str = "cluster-data";

fn served(mut pair: Pair) -> Pair {
    pair.relay.serve().expect("the relay gets ready");
    pair.enroll("push,pull,list,remove,overwrite:*").expect("the edge enrolls");
    pair
}

fn spray(source: &Path, parts: &str) -> Vec<OsString> {
    let mut arguments = args!["spray", source, &format!("{LAKE}:t::file"), "--parts", parts];
    arguments.extend(args!["--format", "fixed", "--record-size", "1"]);
    arguments
}

fn operator(pair: &Pair, arguments: Vec<OsString>) -> Output {
    let output = pair.relay.admin(arguments).and_then(Output::done);
    output.unwrap_or_else(|error| panic!("{error}"))
}

fn assert_comes_back(pair: &Pair, source: &Path) {
    operator(pair, args!["file", "verify", &format!("{LAKE}:t::file")]);
    let back = pair.edge.file("back.out");
    pair.done(args!["despray", &format!("{LAKE}:t::file"), &back]);
    assert_same(&back, source);
}

fn durable(pair: &Pair) -> u64 {
    let listed = pair.relay.admin(args!["job", "list"]).expect("the relay answers");
    listed.objects().first().and_then(|job| job["bytes_durable"].as_u64()).unwrap_or(0)
}

/// F5, I2: over TLS with an authority of its own, with the relay killed on the way.
#[test]
fn a_spray_to_azure_survives_a_kill_of_the_relay_and_comes_back() {
    let ca = TestCa::new().expect("a test authority can be made");
    let server = Azurite::start(Some(&ca)).unwrap_or_else(|error| panic!("{error}"));
    server.blobs().create_container(BUCKET).expect("a container can be made");
    let pair = Pair::prepare().expect("a pair can be made");
    add_azure(&pair, server.blobs(), BUCKET, "[limits]\nsessions_per_agent = 64\n");
    let mut pair = served(pair);
    let source = pair.edge.file("source.bin");
    random_file(&source, 72 * MIB + 7, 81).expect("the source can be written");

    let mut running = pair.begin(spray(&source, "3"));
    wait::until("16 MiB are durable", Duration::from_secs(120), || durable(&pair) >= 16 * MIB);
    assert!(!running.process.has_ended(), "the spray was over before the kill");
    let blobs = server.blobs().list(BUCKET, "planes/lake/t/").expect("blobs can be listed");
    assert_eq!(blobs, Vec::<String>::new(), "something is visible before the commit");
    pair.restart_relay();
    let output = running.finish().and_then(Output::done).unwrap_or_else(|error| panic!("{error}"));

    let resent = output.done_number("chunks_resent");
    assert!(resent <= 9, "{resent} of 10 chunks were sent again: {output:#?}");
    assert_comes_back(&pair, &source);
    let mut blobs = server.blobs().list(BUCKET, "planes/lake/t/").expect("blobs can be listed");
    blobs.sort();
    let part = |n: u32| format!("planes/lake/t/{n}/file._{n}_of_3");
    assert_eq!(blobs, [part(1), part(2), part(3)]);
    operator(&pair, args!["file", "remove", &format!("{LAKE}:t::file")]);
    operator(&pair, args!["collect"]);
    let left = server.blobs().list(BUCKET, "planes/lake/t/").expect("blobs can be listed");
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn a_second_s3_takes_a_spray_and_gives_it_back() {
    let server = Ministack::start().unwrap_or_else(|error| panic!("{error}"));
    server.s3().create_bucket(BUCKET).expect("a bucket can be made");
    let pair = Pair::prepare().expect("a pair can be made");
    add_s3(&pair, server.s3(), BUCKET, "");
    let pair = served(pair);
    let source = pair.edge.file("source.bin");
    random_file(&source, 20 * MIB + 7, 82).expect("the source can be written");

    pair.done(spray(&source, "2"));

    assert_comes_back(&pair, &source);
    let tested = operator(&pair, args!["plane", "test", LAKE]);
    let row = tested.event("plane_test").expect("the plane is tested");
    assert_eq!(row["ok"], true);
    assert!(row["create_only"].is_boolean() && row["copies"].is_boolean(), "{row}");
    operator(&pair, args!["collect"]);
    assert_eq!(server.s3().open_uploads(BUCKET).expect("uploads can be listed"), []);
}
