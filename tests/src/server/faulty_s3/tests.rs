//! Each fault, and the rules of S3 the server keeps.

use super::fault::{Failure, Fault, Gate, Operation};
use super::*;
use crate::server::http::Response;
use s3s::dto::Range;
use std::net::TcpStream;
use std::{io, thread};

fn server() -> FaultyS3 {
    let server = FaultyS3::start().unwrap();
    server.create_bucket("plane");
    server
}

fn ask(
    server: &FaultyS3,
    method: &str,
    key: &str,
    query: &[(&str, &str)],
    body: &[u8],
) -> Response {
    server.s3().request(method, &format!("/plane/{key}"), query, body).unwrap()
}

/// The status that came, 0 when the connection broke.
fn status(server: &FaultyS3, method: &str, key: &str, query: &[(&str, &str)]) -> u16 {
    match server.s3().request(method, &format!("/plane/{key}"), query, b"body") {
        Ok(response) => response.status,
        Err(HarnessError::Answered { status: 0, body, .. }) => {
            assert!(body.contains("reset"), "{body}");
            0
        }
        Err(other) => panic!("{other}"),
    }
}

fn begin(server: &FaultyS3, key: &str) -> String {
    let text = ask(server, "POST", key, &[("uploads", "")], b"").text();
    crate::server::s3::elements(&text, "UploadId").remove(0)
}

fn part(server: &FaultyS3, key: &str, upload: &str, number: &str, body: &[u8]) -> String {
    let query = [("partNumber", number), ("uploadId", upload)];
    ask(server, "PUT", key, &query, body).header("etag").unwrap().to_owned()
}

fn completion(parts: &[(u32, &str)]) -> String {
    let parts = parts.iter().map(|(number, etag)| {
        format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>")
    });
    let parts = parts.collect::<Vec<_>>().concat();
    format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>")
}

fn complete(server: &FaultyS3, key: &str, upload: &str, parts: &[(u32, &str)]) -> Response {
    let body = completion(parts);
    ask(server, "POST", key, &[("uploadId", upload)], body.as_bytes())
}

#[test]
fn objects_are_stored_listed_read_in_ranges_and_removed() {
    let server = server();
    for key in ["a/1", "a/ü &", "b"] {
        server.s3().put("plane", key, b"0123456789").unwrap();
    }
    assert_eq!(server.s3().list("plane", "a/").unwrap(), ["a/1", "a/ü &"]);
    let query = [("list-type", "2"), ("delimiter", "/"), ("max-keys", "1")];
    let listed = server.s3().request("GET", "/plane", &query, b"").unwrap().text();
    assert!(listed.contains("<CommonPrefixes><Prefix>a/</Prefix></CommonPrefixes>"), "{listed}");
    assert!(listed.contains("<NextContinuationToken>a/</NextContinuationToken>"), "{listed}");
    let rest = [("list-type", "2"), ("delimiter", "/"), ("continuation-token", "a/")];
    let rest = server.s3().request("GET", "/plane", &rest, b"").unwrap().text();
    assert_eq!(crate::server::s3::elements(&rest, "Key"), ["b"]);
    assert!(!rest.contains("CommonPrefixes"), "{rest}");
    server.s3().delete("plane", "b").unwrap();
    assert_eq!(server.s3().get("plane", "b").unwrap(), None);
    assert_eq!(server.keys("plane"), ["a/1", "a/ü &"]);
    let range = |header: &str| {
        let range = Range::parse(header).unwrap();
        super::store::range_of(range, 10).ok()
    };
    assert_eq!(range("bytes=2-4"), Some(2..5));
    assert_eq!(range("bytes=-3"), Some(7..10));
    assert_eq!(range("bytes=8-"), Some(8..10));
    assert_eq!(range("bytes=8-20"), Some(8..10));
    assert_eq!(range("bytes=10-"), None);
}

#[test]
fn an_upload_becomes_visible_whole_and_once() {
    let server = server();
    let upload = begin(&server, "k");
    let first = vec![1; PART_BYTES_MIN];
    let one = part(&server, "k", &upload, "1", &first);
    let two = part(&server, "k", &upload, "2", b"end");
    assert_eq!(server.keys("plane"), Vec::<String>::new());
    assert_eq!(server.open_uploads("plane").len(), 1);
    let wrong = complete(&server, "k", &upload, &[(1, &two), (2, &one)]);
    assert_eq!((wrong.status, wrong.text().contains("InvalidPart")), (400, true));
    let order = complete(&server, "k", &upload, &[(2, &two), (1, &one)]);
    assert_eq!((order.status, order.text().contains("InvalidPartOrder")), (400, true));
    assert_eq!(complete(&server, "k", &upload, &[(1, &one), (2, &two)]).status, 200);
    assert_eq!(server.object("plane", "k").unwrap(), [&first[..], b"end"].concat());
    assert_eq!(server.open_uploads("plane"), []);
    let again = complete(&server, "k", &upload, &[(1, &one), (2, &two)]);
    assert_eq!((again.status, again.text().contains("NoSuchUpload")), (404, true));
}

#[test]
fn small_parts_and_parts_of_an_aborted_upload_are_refused() {
    let server = server();
    let upload = begin(&server, "k");
    let one = part(&server, "k", &upload, "1", b"small");
    let two = part(&server, "k", &upload, "2", b"end");
    let small = complete(&server, "k", &upload, &[(1, &one), (2, &two)]);
    assert_eq!((small.status, small.text().contains("EntityTooSmall")), (400, true));
    assert_eq!(ask(&server, "DELETE", "k", &[("uploadId", &upload)], b"").status, 204);
    let query = [("partNumber", "3"), ("uploadId", upload.as_str())];
    assert_eq!(ask(&server, "PUT", "k", &query, b"late").status, 404);
}

#[test]
fn failures_come_as_often_as_planned_and_change_nothing() {
    let server = server();
    let failures =
        [(Failure::Internal, 500), (Failure::SlowDown, 503), (Failure::TooManyRequests, 429)];
    for (failure, number) in failures {
        server.faults().times(Operation::Put, 2, Fault::Fail(failure));
        let seen = [(); 3].map(|()| status(&server, "PUT", "k", &[]));
        assert_eq!(seen, [number, number, 200]);
    }
    server.faults().next(Operation::Put, Fault::Reset);
    assert_eq!(status(&server, "PUT", "new", &[]), 0);
    assert_eq!(server.object("plane", "new"), None);
    assert_eq!(server.faults().requests(Operation::Put), 10);
    assert_eq!(server.faults().injected(), 7);
}

#[test]
fn keys_that_ran_out_fail_everything_until_told_otherwise() {
    let server = server();
    server.faults().everything(Fault::Fail(Failure::ExpiredToken));
    server.faults().every(Operation::Get, Fault::Fail(Failure::AccessDenied));
    assert_eq!(status(&server, "PUT", "k", &[]), 400);
    assert_eq!(status(&server, "GET", "k", &[]), 403);
    server.faults().clear();
    assert_eq!(status(&server, "PUT", "k", &[]), 200);
}

#[test]
fn a_lost_reply_leaves_the_work_done() {
    let server = server();
    let upload = begin(&server, "k");
    let one = part(&server, "k", &upload, "1", b"all");
    server.faults().next(Operation::CompleteMultipart, Fault::LoseReply);
    let body = completion(&[(1, &one)]);
    let lost = server.s3().request("POST", "/plane/k", &[("uploadId", &upload)], body.as_bytes());
    assert!(matches!(lost, Err(HarnessError::Answered { status: 0, .. })), "{lost:?}");
    assert_eq!(server.object("plane", "k").as_deref(), Some(&b"all"[..]));
    server.faults().next(Operation::CompleteMultipart, Fault::FailWithin200);
    let failed = complete(&server, "k", &upload, &[(1, &one)]);
    assert_eq!((failed.status, failed.text().contains("InternalError")), (200, true));
}

#[test]
fn a_held_request_does_nothing_until_released_and_a_held_reply_has_done_it() {
    let server = server();
    let (work, reply) = (Gate::new(), Gate::new());
    server.faults().next(Operation::Put, Fault::Hold(work.clone()));
    server.faults().next(Operation::Put, Fault::HoldReply(reply.clone()));
    thread::scope(|scope| {
        let first = scope.spawn(|| status(&server, "PUT", "first", &[]));
        work.wait_reached(1);
        let second = scope.spawn(|| status(&server, "PUT", "second", &[]));
        reply.wait_reached(1);
        assert_eq!(server.keys("plane"), ["second"]);
        work.open();
        assert_eq!(first.join().unwrap(), 200);
        reply.open();
        assert_eq!(second.join().unwrap(), 200);
    });
    assert_eq!(server.keys("plane"), ["first", "second"]);
}

#[test]
fn stored_parts_may_differ_from_what_was_acknowledged() {
    let server = server();
    let upload = begin(&server, "k");
    let right = part(&server, "k", &upload, "1", b"abc");
    server.faults().next(Operation::UploadPart, Fault::FlipByte(1));
    assert_eq!(part(&server, "k", &upload, "1", b"abc"), right);
    assert_eq!(complete(&server, "k", &upload, &[(1, &right)]).status, 200);
    assert_eq!(server.object("plane", "k").unwrap(), [b'a', !b'b', b'c']);
    server.faults().next(Operation::Put, Fault::Truncate(2));
    server.s3().put("plane", "short", b"abc").unwrap();
    assert_eq!(server.object("plane", "short").unwrap(), b"ab");
    let upload = begin(&server, "e");
    server.faults().next(Operation::UploadPart, Fault::WrongETag);
    let wrong = part(&server, "e", &upload, "1", b"abc");
    assert_ne!(wrong, right);
    assert_eq!(complete(&server, "e", &upload, &[(1, &wrong)]).status, 400);
    assert_eq!(complete(&server, "e", &upload, &[(1, &right)]).status, 200);
}

#[test]
fn a_cut_reply_brings_less_than_it_announced() {
    let server = server();
    server.s3().put("plane", "k", &[7; 1000]).unwrap();
    server.faults().next(Operation::Get, Fault::CutReply(10));
    let cut = server.s3().get("plane", "k");
    assert!(matches!(cut, Err(HarnessError::Answered { status: 0, .. })), "{cut:?}");
    assert_eq!(server.s3().get("plane", "k").unwrap().unwrap().len(), 1000);
}

#[test]
fn a_server_that_is_dropped_answers_no_more() {
    let server = server();
    let access = server.s3().clone();
    let idle = TcpStream::connect(access.endpoint().trim_start_matches("http://")).unwrap();
    access.put("plane", "k", b"").unwrap();
    drop(server);
    assert_eq!(io::Read::read(&mut &idle, &mut [0]).unwrap(), 0);
    crate::wait::until("the port is closed", crate::wait::PATIENCE, || {
        access.get("plane", "k").is_err()
    });
}

#[test]
fn requests_of_another_key_or_with_a_wrong_signature_are_refused() {
    let server = server();
    let other = FaultyS3::start().unwrap();
    let stranger = server.s3().with_key_of(other.s3());
    let refused = |account: &S3, code: &str| {
        let answer = account.request("PUT", "/plane/k", &[], b"body").unwrap();
        assert_eq!((answer.status, answer.text().contains(code)), (403, true), "{answer:?}");
        assert_eq!(server.object("plane", "k"), None);
    };
    refused(&stranger, "InvalidAccessKeyId");
    server.accept_key(other.s3().access_key(), "NotItsSecret");
    refused(&stranger, "SignatureDoesNotMatch");
    server.accept_key(other.s3().access_key(), other.s3().secret_key());
    stranger.put("plane", "k", b"body").unwrap();
    assert_eq!(server.object("plane", "k").as_deref(), Some(&b"body"[..]));
}
