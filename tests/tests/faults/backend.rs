//! An object store that fails while a spray goes to it: each failure is retried, waited out or
//! refused, and nothing wrong is ever committed in silence (F13 to F17).

use skyspray_tests::args;
use skyspray_tests::check::{assert_returns, assert_same, assert_says, assert_stored};
use skyspray_tests::data::random_file;
use skyspray_tests::edge::Running;
use skyspray_tests::http::Http;
use skyspray_tests::output::Output;
use skyspray_tests::pair::Pair;
use skyspray_tests::planes::{LAKE, add_s3, secret_files};
use skyspray_tests::server::faulty_s3::FaultyS3;
use skyspray_tests::server::faulty_s3::fault::{Failure, Fault, Gate, Operation};
use skyspray_tests::server::seaweed::Seaweed;
use skyspray_tests::wait;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const MIB: u64 = 1 << 20;
const BUCKET: &str = "cluster-data";
const NAME: &str = "t::file";

/// Pieces of the source in two parts, in chunks of 8 MiB.
const PIECES: u64 = 4;

/// A pair with the plane `lake` on a store that does what it is told, once the relay has found it
/// to work, and a source of two parts with two pieces each.
fn on_faulty() -> (Pair, FaultyS3, PathBuf) {
    let server = FaultyS3::start().unwrap_or_else(|error| panic!("{error}"));
    server.create_bucket(BUCKET);
    let mut pair = Pair::prepare().expect("a pair can be made");
    add_s3(&pair, server.s3(), BUCKET, "");
    pair.relay.configure("[limits]\nsessions_per_agent = 64\n");
    pair.relay.serve().expect("the relay gets ready");
    pair.enroll("push,pull,list,remove,overwrite:*").expect("the edge enrolls");
    wait_logged(&pair, "the plane works");
    let source = source(&pair, 20 * MIB + 11);
    (pair, server, source)
}

fn source(pair: &Pair, length: u64) -> PathBuf {
    let source = pair.edge.file("source.bin");
    random_file(&source, length, 61).expect("the source can be written");
    source
}

fn wait_logged(pair: &Pair, text: &str) {
    wait::until(text, Duration::from_secs(20), || pair.relay.log_tail().contains(text));
}

fn spray(source: &Path, more: &[&str]) -> Vec<OsString> {
    let mut arguments = args!["spray", source, &format!("{LAKE}:{NAME}")];
    arguments.extend(args!["--format", "fixed", "--record-size", "1", "--parts", "2"]);
    arguments.extend(more.iter().map(OsString::from));
    arguments
}

fn operator(pair: &Pair, arguments: Vec<OsString>) -> Output {
    let output = pair.relay.admin(arguments).and_then(Output::done);
    output.unwrap_or_else(|error| panic!("{error}"))
}

fn done(running: &mut Running) -> Output {
    let output = running.finish_within(Duration::from_secs(300), &|| false);
    output.and_then(Output::done).unwrap_or_else(|error| panic!("{error}"))
}

/// Waits until the command has told its user that the plane is away.
fn wait_outage(running: &Running) {
    let told = |line: &str| line.contains("plane-unavailable").then_some(());
    running
        .process
        .wait_for("a warning that the plane is away", wait::PATIENCE, told)
        .unwrap_or_else(|error| panic!("{error}"));
}

/// The logical file is there, whole, comes back, and no upload is left.
fn assert_whole(pair: &Pair, server: &FaultyS3, source: &Path) {
    operator(pair, args!["file", "verify", &format!("{LAKE}:{NAME}")]);
    let back = pair.edge.file("back.out");
    pair.done(args!["despray", &format!("{LAKE}:{NAME}"), &back]);
    assert_same(&back, source);
    fs::remove_file(back).expect("the exported file can be removed");
    operator(pair, args!["collect"]);
    assert_eq!(server.open_uploads(BUCKET), []);
    let part = |n: u32| format!("planes/lake/t/{n}/file._{n}_of_2");
    assert_eq!(server.keys(BUCKET), [part(1), part(2)]);
}

/// Neither the catalogue nor, once collected, the store knows of it.
fn assert_nothing(pair: &Pair, server: &FaultyS3) {
    let shown = pair.relay.admin(args!["file", "show", &format!("{LAKE}:{NAME}")]);
    let shown = shown.expect("the relay answers");
    assert_ne!(shown.code, 0, "the relay knows it: {}", shown.text());
    operator(pair, args!["collect"]);
    assert_eq!(server.open_uploads(BUCKET), []);
    assert_eq!(server.keys(BUCKET), Vec::<String>::new());
}

/// F14: each request fails more often than it is tried again, so that the edge has to wait as well.
fn a_burst_only_slows(failure: Failure) {
    let (pair, server, source) = on_faulty();
    let faults = server.faults();
    for operation in [Operation::UploadPart, Operation::CompleteMultipart] {
        faults.times(operation, 9, Fault::Fail(failure));
    }

    let mut running = pair.begin(spray(&source, &[]));
    let output = done(&mut running);

    assert_eq!(faults.injected(), 18, "{output:#?}");
    assert_whole(&pair, &server, &source);
}

#[test]
fn a_burst_of_internal_errors_only_slows_a_spray() {
    a_burst_only_slows(Failure::Internal);
}

#[test]
fn a_burst_of_throttling_only_slows_a_spray() {
    a_burst_only_slows(Failure::SlowDown);
}

#[test]
fn a_burst_of_too_many_requests_only_slows_a_spray() {
    a_burst_only_slows(Failure::TooManyRequests);
}

#[test]
fn connections_that_break_cost_nothing_but_time() {
    let (pair, server, source) = on_faulty();
    let faults = server.faults();
    faults.next(Operation::CreateMultipart, Fault::Reset);
    faults.next(Operation::UploadPart, Fault::Reset);
    faults.next(Operation::UploadPart, Fault::LoseReply);
    faults.next(Operation::UploadPart, Fault::CutReply(0));
    faults.next(Operation::CompleteMultipart, Fault::Reset);

    pair.done(spray(&source, &[]));

    assert_eq!(faults.injected(), 5);
    assert_whole(&pair, &server, &source);
}

/// F13: what a lost answer said is looked up, and nothing is written a second time.
#[test]
fn a_lost_answer_to_a_completion_commits_once_and_copies_nothing_again() {
    let (pair, server, source) = on_faulty();
    let faults = server.faults();
    let before = [Operation::CreateMultipart, Operation::UploadPart].map(|o| faults.requests(o));
    faults.times(Operation::CompleteMultipart, 2, Fault::LoseReply);

    pair.done(spray(&source, &[]));

    let after = [Operation::CreateMultipart, Operation::UploadPart].map(|o| faults.requests(o));
    assert_eq!(faults.injected(), 2);
    assert_eq!([after[0] - before[0], after[1] - before[1]], [2, PIECES]);
    assert_eq!(faults.requests(Operation::Put), 2, "the two of the probe");
    assert_whole(&pair, &server, &source);
}

/// F14: while the store does not answer, bytes wait at their source and others are served.
#[test]
fn a_store_that_does_not_answer_holds_the_edge_back_and_nobody_else() {
    let (pair, server, _) = on_faulty();
    let source = source(&pair, 64 * MIB);
    let gate = Gate::new();
    server.faults().every(Operation::UploadPart, Fault::Hold(gate.clone()));

    let mut running = pair.begin(spray(&source, &[]));
    gate.wait_reached(3);
    let small = pair.edge.file("small.bin");
    random_file(&small, 3 * MIB, 62).expect("the source can be written");
    pair.done(pair.spray_bytes(&small, "t::other", 1));
    assert_stored(&pair, "t::other", &small, 1);
    wait::pass(Duration::from_secs(3));
    assert!(!running.process.has_ended(), "the spray waits");
    let peak = || pair.relay.process().memory_bytes_peak().expect("the relay serves");
    let held = peak();
    wait::pass(Duration::from_secs(2));
    let more = peak() - held;
    assert!(more < 4 * MIB, "memory grew by {more} bytes in two seconds of waiting");
    server.faults().clear();
    gate.open();
    done(&mut running);

    let peak = peak();
    eprintln!("the relay had {} MiB at most", peak / MIB);
    assert!(peak <= 192 * MIB, "the relay had {peak} bytes resident");
    assert_whole(&pair, &server, &source);
}

/// F17: a store that contradicts itself about a piece does not get a commit out of it, and the next
/// run begins anew.
#[test]
fn a_wrong_receipt_for_a_piece_is_refused_and_never_committed() {
    let (pair, server, source) = on_faulty();
    server.faults().next(Operation::UploadPart, Fault::WrongETag);

    let output = pair.run(spray(&source, &[]));

    assert_says(&output, 6, "refused-505");
    assert_nothing(&pair, &server);
    pair.done(spray(&source, &[]));
    assert_whole(&pair, &server, &source);
}

/// F17: a piece shorter than was sent is seen in the length of the object.
#[test]
fn a_piece_cut_short_is_found_before_the_commit() {
    let (pair, server, source) = on_faulty();
    // Shorter than it was, and long enough for the store to take it in the middle of an object.
    server.faults().every(Operation::UploadPart, Fault::Truncate(6 << 20));

    let output = pair.run(spray(&source, &[]));

    assert_says(&output, 6, "refused-505");
    server.faults().clear();
    assert_nothing(&pair, &server);
    pair.done(spray(&source, &[]));
    assert_whole(&pair, &server, &source);
}

/// F17: a store that changes a byte after it answered for the right ones deceives the commit, and
/// whoever reads: `file verify` and the edge find it.
#[test]
fn a_byte_flipped_by_the_store_is_found_by_verify_and_never_handed_out() {
    let (pair, server, source) = on_faulty();
    server.faults().next(Operation::UploadPart, Fault::FlipByte(1_000_000));
    pair.done(spray(&source, &[]));

    let verified = pair.relay.admin(args!["file", "verify", &format!("{LAKE}:{NAME}")]);
    let verified = verified.expect("the relay answers");
    assert_eq!(verified.code, 6, "{}", verified.text());
    let back = pair.edge.file("back.out");
    let desprayed = pair.run(args!["despray", &format!("{LAKE}:{NAME}"), &back]);
    assert_eq!(desprayed.code, 6, "{desprayed:#?}");
    assert!(!back.exists(), "what is wrong has the name of what was asked for");

    pair.done(spray(&source, &["--overwrite"]));
    assert_whole(&pair, &server, &source);
}

/// An upload the store has thrown away begins anew, and only its part.
#[test]
fn an_upload_that_vanished_begins_anew() {
    let (pair, server, source) = on_faulty();
    let begun = server.faults().requests(Operation::CreateMultipart);
    server.faults().next(Operation::UploadPart, Fault::Fail(Failure::NoSuchUpload));

    pair.done(spray(&source, &[]));

    let begun = server.faults().requests(Operation::CreateMultipart) - begun;
    assert!((3..=4).contains(&begun), "{begun} uploads for 2 parts");
    assert_whole(&pair, &server, &source);
}

/// F15: a key that has run out stops nothing for good.
#[test]
fn an_expired_credential_is_a_pause() {
    let (pair, server, source) = on_faulty();
    server.faults().everything(Fault::Fail(Failure::ExpiredToken));

    let mut running = pair.begin(spray(&source, &[]));
    wait_outage(&running);
    assert!(!running.process.has_ended(), "the spray waits");
    server.faults().clear();
    done(&mut running);

    assert_whole(&pair, &server, &source);
}

/// F15, with a store that checks signatures: the right key comes into the files while the spray
/// waits for it.
#[test]
fn a_spray_goes_on_once_the_right_key_is_in_the_files() {
    let server = Seaweed::start(None).unwrap_or_else(|error| panic!("{error}"));
    server.s3().create_bucket(BUCKET).expect("a bucket can be made");
    let mut pair = Pair::prepare().expect("a pair can be made");
    add_s3(&pair, server.s3(), BUCKET, "");
    secret_files(&pair, &[("aws-access-key", "NotTheRightSecret")]);
    pair.relay.serve().expect("the relay gets ready with a wrong key");
    pair.enroll("push,pull,list,remove,overwrite:*").expect("the edge enrolls");
    let source = source(&pair, 20 * MIB);

    let mut running = pair.begin(spray(&source, &[]));
    wait_outage(&running);
    let listed = operator(&pair, args!["plane", "list"]);
    let lake = listed.objects().into_iter().find(|row| row["plane"] == LAKE);
    assert_eq!(lake.expect("it is listed")["usable"], false, "{listed:#?}");
    secret_files(&pair, &[("aws-access-key", server.s3().secret_key())]);
    let output = done(&mut running);

    assert!(!output.text().contains(server.s3().secret_key()));
    operator(&pair, args!["file", "verify", &format!("{LAKE}:{NAME}")]);
    let listed = operator(&pair, args!["plane", "list"]);
    assert!(listed.objects().iter().all(|row| row["usable"] == true), "{listed:#?}");
}

/// F16: what waiting does not mend is said at once, to the edge without the store's words; other
/// planes go on, and so does the job once somebody has seen to it.
#[test]
fn a_permission_that_lacks_is_refused_at_once_and_only_on_its_plane() {
    let (pair, server, source) = on_faulty();
    server.faults().everything(Fault::Fail(Failure::AccessDenied));

    let output = pair.run(spray(&source, &[]));

    assert_says(&output, 4, "refused-305");
    for secret in [server.s3().secret_key(), server.s3().access_key(), BUCKET, "AccessDenied"] {
        assert!(!output.text().contains(secret), "{secret} at the edge: {output:#?}");
    }
    let listed = operator(&pair, args!["plane", "list"]);
    let row = |plane: &str| {
        let found = listed.objects().into_iter().find(|row| row["plane"] == plane);
        found.unwrap_or_else(|| panic!("{plane} is not listed: {listed:#?}"))
    };
    assert_eq!(row(LAKE)["usable"], false);
    let failure = row(LAKE)["reason"].to_string();
    assert!(failure.contains("403 AccessDenied"), "{failure}");
    assert_eq!(row("data")["usable"], true);
    assert_eq!(pair.relay.log_tail().matches("the bucket is unhealthy").count(), 1);
    pair.done(pair.spray_bytes(&source, "t::other", 1));
    assert_returns(&pair, "t::other", &source);

    server.faults().clear();
    pair.done(spray(&source, &[]));
    assert_whole(&pair, &server, &source);
    assert_eq!(pair.relay.log_tail().matches("the bucket works again").count(), 1);
}

/// F6: the store goes away between the seal and the commit of a replacement, the edge too; whoever
/// runs the command again finishes it.
#[test]
fn a_sealed_replacement_is_finished_once_the_store_is_back() {
    let (pair, server, source) = on_faulty();
    pair.done(spray(&source, &[]));
    random_file(&source, 20 * MIB + 12, 63).expect("the source can be written");
    let faults = server.faults();
    let pieces = faults.requests(Operation::UploadPart);
    faults.every(Operation::CompleteMultipart, Fault::Fail(Failure::Internal));

    let mut running = pair.begin(spray(&source, &["--overwrite"]));
    wait_outage(&running);
    running.process.kill();
    faults.clear();
    pair.done(spray(&source, &["--overwrite"]));

    assert_eq!(faults.requests(Operation::UploadPart) - pieces, PIECES, "pieces of one source");
    assert_whole(&pair, &server, &source);
}

/// F13, F14: parts that a lost answer left in their places cannot be read back for a while, which
/// says nothing of whose they are: the job is not given up for it.
#[test]
fn a_store_that_cannot_be_read_for_a_while_does_not_end_a_sealed_job() {
    let (pair, server, source) = on_faulty();
    let faults = server.faults();
    let uploads = faults.requests(Operation::CreateMultipart);
    faults.times(Operation::CompleteMultipart, 2, Fault::LoseReply);
    faults.every(Operation::Get, Fault::Fail(Failure::Internal));

    let gets = faults.requests(Operation::Get);
    let mut running = pair.begin(spray(&source, &[]));
    wait_outage(&running);
    // Each request is tried six times; from the second commit on the parts are found where nothing
    // may be replaced.
    faults.wait_requests(Operation::Get, gets + 12);
    faults.clear();
    done(&mut running);

    assert_eq!(faults.requests(Operation::CreateMultipart) - uploads, 2);
    assert_whole(&pair, &server, &source);
}

fn push(source: &Path) -> Vec<OsString> {
    args!["push", source, &format!("{LAKE}:in/")]
}

/// The pushed file is there, whole, comes back, and no upload is left.
fn assert_pushed(pair: &Pair, server: &FaultyS3, source: &Path) {
    let back = pair.edge.file("back.out");
    pair.done(args!["pull", &format!("{LAKE}:in/source.bin"), &back]);
    assert_same(&back, source);
    operator(pair, args!["collect"]);
    assert_eq!(server.open_uploads(BUCKET), []);
    assert_eq!(server.keys(BUCKET), ["planes/lake/in/source.bin"]);
}

/// F13: the answer to a completion is lost, and so is every further one: that the file may be there
/// is no reason to refuse it for good.
#[test]
fn a_file_whose_completion_may_have_happened_is_asked_for_again() {
    let (pair, server, source) = on_faulty();
    let faults = server.faults();
    let uploads = faults.requests(Operation::CreateMultipart);
    faults.next(Operation::CompleteMultipart, Fault::LoseReply);
    faults.every(Operation::CompleteMultipart, Fault::Fail(Failure::Internal));

    let mut running = pair.begin(push(&source));
    wait_outage(&running);
    faults.clear();
    let output = done(&mut running);

    assert_eq!(output.done_number("files"), 1, "{output:#?}");
    assert_eq!(faults.requests(Operation::CreateMultipart) - uploads, 1);
    assert_pushed(&pair, &server, &source);
}

/// The store has thrown the upload of a whole file away: the file is sent again.
#[test]
fn an_upload_that_vanished_before_its_completion_begins_anew() {
    let (pair, server, source) = on_faulty();
    let faults = server.faults();
    let uploads = faults.requests(Operation::CreateMultipart);
    faults.next(Operation::CompleteMultipart, Fault::Fail(Failure::NoSuchUpload));

    let lost = pair.run(push(&source));
    assert_says(&lost, 5, "refused-404");
    assert!(lost.text().contains("in/source.bin"), "{lost:#?}");
    let sent = pair.done(push(&source));

    assert_eq!(sent.done_number("files"), 1);
    assert_eq!(faults.requests(Operation::CreateMultipart) - uploads, 2);
    assert_pushed(&pair, &server, &source);
}

/// A relay serves what it can: a plane without its store, credential or authorities is the only one
/// that does not work, and it works once they are there.
#[test]
fn a_relay_starts_without_the_stores_of_its_planes() {
    let server = FaultyS3::start().unwrap_or_else(|error| panic!("{error}"));
    server.create_bucket(BUCKET);
    server.faults().everything(Fault::Reset);
    let mut pair = Pair::prepare().expect("a pair can be made");
    add_s3(&pair, server.s3(), BUCKET, "");
    let missing = pair.root.path().join("not there");
    let broken = |name: &str, more: &str| {
        format!(
            "[plane.{name}]\nurl = \"s3://{BUCKET}/{name}\"\nendpoint = \"{}\"\nallow_http = true\n\
             credentials_dir = \"{}\"\n{more}",
            server.s3().endpoint(),
            missing.display()
        )
    };
    pair.relay.configure(&broken("keyless", ""));
    pair.relay
        .configure(&broken("rootless", &format!("ca_file = \"{}/ca.pem\"\n", missing.display())));
    pair.relay.listen_http("127.0.0.1:0");
    pair.relay.serve().expect("the relay gets ready");
    pair.enroll("push,pull,list,remove,overwrite:*").expect("the edge enrolls");

    let source = source(&pair, 20 * MIB + 11);
    pair.done(pair.spray_bytes(&source, "t::other", 1));
    assert_stored(&pair, "t::other", &source, 1);
    let ready = Http { address: pair.relay.http_address(), token: None }.get("/readyz", &[]);
    assert_eq!(ready.status, 204);
    for plane in ["keyless", "rootless"] {
        let mut target = args!["spray", &source, &format!("{plane}:{NAME}")];
        target.extend(args!["--format", "fixed", "--record-size", "1"]);
        let running = pair.begin(target);
        wait_outage(&running);
    }
    let mut running = pair.begin(spray(&source, &[]));
    wait_outage(&running);
    server.faults().clear();
    done(&mut running);
    operator(&pair, args!["file", "verify", &format!("{LAKE}:{NAME}")]);
}
