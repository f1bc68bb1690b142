//! What a plane of objects shows to those who read it, and what trying it leaves in its bucket.

use skyspray_tests::args;
use skyspray_tests::check::assert_says;
use skyspray_tests::http::Http;
use skyspray_tests::pair::Pair;
use skyspray_tests::planes::{LAKE, add_s3_as};
use skyspray_tests::server::faulty_s3::FaultyS3;
use skyspray_tests::server::faulty_s3::fault::{Failure, Fault, Operation};
use std::fs;

const BUCKET: &str = "cluster-data";

/// Whoever goes on reading by its tag gets the bytes of one object, not of two: times of a store are
/// of whole seconds.
#[test]
fn an_object_that_is_replaced_within_a_second_has_another_tag_for_readers() {
    let server = FaultyS3::start().unwrap_or_else(|error| panic!("{error}"));
    server.create_bucket(BUCKET);
    let mut pair = Pair::prepare().expect("a pair can be made");
    add_s3_as(LAKE, &pair, (server.s3(), BUCKET), "");
    pair.relay.listen_http("127.0.0.1:0");
    pair.relay.serve().expect("the relay gets ready");
    let token = Some(pair.relay.add_api_token("reader", "pull:lake"));
    let http = Http { address: pair.relay.http_address(), token };
    let path = "/v1/planes/lake/files/in/rows";
    let tag = |bytes: &[u8]| {
        server.s3().put(BUCKET, "planes/lake/in/rows", bytes).expect("it can be written");
        let answer = http.get(path, &[]);
        assert_eq!((answer.status, &answer.body[..]), (200, bytes));
        answer.header("etag").expect("content has a tag").to_owned()
    };
    let tags = [tag(b"one"), tag(b"two"), tag(b"one"), tag(b"two")];
    assert_eq!([&tags[0], &tags[1]], [&tags[2], &tags[3]]);
    assert_ne!(tags[0], tags[1]);
    let stale = [("Range", "bytes=1-2"), ("If-Range", tags[0].as_str())];
    let answer = http.get(path, &stale);
    assert_eq!((answer.status, &answer.body[..]), (200, &b"two"[..]));
}

/// A credential that may not remove leaves a bucket as it was, however often the plane is tried.
#[test]
fn nothing_is_written_to_try_a_store_that_removes_nothing() {
    let server = FaultyS3::start().unwrap_or_else(|error| panic!("{error}"));
    server.create_bucket(BUCKET);
    let denied = || Fault::Fail(Failure::AccessDenied);
    server.faults().every(Operation::DeleteMany, denied());
    server.faults().every(Operation::Delete, denied());
    let pair = Pair::prepare().expect("a pair can be made");
    add_s3_as(LAKE, &pair, (server.s3(), BUCKET), "");

    let tested = pair.relay.admin(args!["plane", "test", LAKE]).expect("the command ends");

    assert_ne!(tested.code, 0, "{tested:#?}");
    assert!(tested.text().contains("403 AccessDenied"), "{tested:#?}");
    assert_eq!(server.keys(BUCKET), Vec::<String>::new());
    assert_eq!(server.open_uploads(BUCKET), []);
}

/// A store that does not answer has not damaged anything.
#[test]
fn a_file_whose_store_is_away_is_not_said_to_differ() {
    let server = FaultyS3::start().unwrap_or_else(|error| panic!("{error}"));
    server.create_bucket(BUCKET);
    let mut pair = Pair::prepare().expect("a pair can be made");
    add_s3_as(LAKE, &pair, (server.s3(), BUCKET), "");
    pair.relay.serve().expect("the relay gets ready");
    pair.enroll("push,pull:*").expect("the edge enrolls");
    let source = pair.edge.file("a.bin");
    fs::write(&source, "abcd").expect("the source can be written");
    let mut spray = args!["spray", &source, "lake:t::file", "--parts", "2"];
    spray.extend(args!["--format", "fixed", "--record-size", "1"]);
    pair.done(spray);
    let verify = || pair.relay.admin(args!["file", "verify", "lake:t::file"]).expect("it ends");

    server.faults().every(Operation::Head, Fault::Fail(Failure::AccessDenied));
    assert_says(&verify(), 5, "the credential is missing or not accepted");

    server.faults().clear();
    server.s3().put(BUCKET, "planes/lake/t/1/file._1_of_2", b"xb").expect("it can be written");
    server.faults().next(Operation::Head, Fault::Fail(Failure::Internal));
    assert_says(&verify(), 6, "first part 1");
    server.faults().every(Operation::Get, Fault::Fail(Failure::AccessDenied));
    assert_ne!(verify().code, 6);
    server.s3().put(BUCKET, "planes/lake/t/1/file._1_of_2", b"longer").expect("it can be written");
    assert_says(&verify(), 6, "first part 1");
}
