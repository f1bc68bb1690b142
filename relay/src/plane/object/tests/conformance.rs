//! What every bucket does, whatever the store: run against each real server by the tests.

use super::super::bucket::ObjectTag;
use super::super::error::BucketFault;
use super::super::{Bucket, BucketError, Capabilities, CopyOf, PieceId, PutHow, UploadId};
use crate::config::{Credentials, ObjectKind, ObjectSettings};
use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use std::fs;
use std::path::PathBuf;

/// The second bucket of a server.
pub(super) const ELSEWHERE: &str = "elsewhere";

/// A server with two buckets, and how it is reached.
pub(super) struct Site {
    pub(super) settings: ObjectSettings,
    /// The directory of its static credential.
    pub(super) secret: PathBuf,
    /// Whether the store looks at credentials.
    pub(super) checks_credentials: bool,
}

impl Site {
    pub(super) fn bucket(&self) -> Bucket {
        Bucket::open(&self.settings, &self.settings.buckets[0]).unwrap()
    }

    fn kind(&self) -> ObjectKind {
        self.settings.kind
    }
}

fn fault<T: std::fmt::Debug>(outcome: Result<T, BucketError>) -> BucketFault {
    outcome.unwrap_err().fault()
}

fn bytes(length: usize, seed: u8) -> Bytes {
    (0..length).map(|at| (at as u8).wrapping_mul(31).wrapping_add(seed)).collect()
}

/// The least piece of an upload that is not its last, in bytes.
const PIECE: usize = 5 << 20;

/// Everything, one after the other; the name of a failing step is in the backtrace.
pub(super) async fn all(site: &Site) {
    one_of_many_writers_wins(site).await;
    another_process_continues_an_upload(site).await;
    a_completion_whose_reply_was_lost_is_found_out(site).await;
    an_aborted_upload_takes_no_pieces(site).await;
    a_piece_that_is_not_there_fails_the_completion(site).await;
    the_last_writing_of_a_piece_counts(site).await;
    ranges_are_exact_and_pinned(site).await;
    empty_objects_are_objects(site).await;
    names_come_back_as_they_went(site).await;
    names_that_cannot_be_kept_are_refused(site).await;
    copies_stay_in_the_store(site).await;
    large_objects_are_copied_in_pieces(site).await;
    lists_go_on_beyond_a_page(site).await;
    a_probe_finds_what_works_and_leaves_nothing(site).await;
    a_missing_bucket_is_named_so(site).await;
    a_credential_is_replaced_without_opening_again(site).await;
}

async fn one_of_many_writers_wins(site: &Site) {
    let (bucket, key) = (site.bucket(), "race/target");
    let writers = (0..20).map(|n| bucket.put(key, bytes(1000, n), PutHow::Create));
    let outcomes = join_all(writers).await;
    let won: Vec<u8> =
        (0..20).zip(&outcomes).filter(|(_, done)| done.is_ok()).map(|(n, _)| n).collect();
    let [winner] = won[..] else { panic!("{won:?} won") };
    for outcome in outcomes.into_iter().filter(Result::is_err) {
        assert_eq!(fault(outcome), BucketFault::Exists);
    }
    assert_eq!(bucket.read(key, 0..1000, None).await.unwrap(), bytes(1000, winner));
    bucket.put(key, bytes(10, 99), PutHow::Replace).await.unwrap();
    assert_eq!(bucket.read(key, 0..10, None).await.unwrap(), bytes(10, 99));
}

async fn another_process_continues_an_upload(site: &Site) {
    let key = "resume/part._1_of_1";
    let (first, last) = (bytes(PIECE, 1), bytes(77, 2));
    let (upload, zero) = {
        let bucket = site.bucket();
        let upload = bucket.begin_upload(key).await.unwrap();
        let zero = bucket.put_piece(key, &upload, 0, first.clone()).await.unwrap();
        assert_eq!(fault(bucket.stat(key).await), BucketFault::Missing);
        (upload.0, zero.0)
    };
    let (bucket, upload) = (site.bucket(), UploadId(upload));
    assert_eq!(upload.0.is_empty(), site.kind() == ObjectKind::Azure);
    let one = bucket.put_piece(key, &upload, 1, last.clone()).await.unwrap();
    bucket.complete_upload(key, &upload, vec![PieceId(zero), one]).await.unwrap();
    let found = bucket.stat(key).await.unwrap();
    assert_eq!(found.length, (PIECE + 77) as u64);
    assert!(found.modified_ns > 1_700_000_000_000_000_000, "{found:?}");
    let end = PIECE as u64;
    let seam = bucket.read(key, end - 100..end + 77, found.tag.as_ref()).await.unwrap();
    assert_eq!(seam[..100], first[PIECE - 100..]);
    assert_eq!(seam[100..], last[..]);
}

async fn a_completion_whose_reply_was_lost_is_found_out(site: &Site) {
    let (bucket, key) = (site.bucket(), "lost/reply");
    let upload = bucket.begin_upload(key).await.unwrap();
    let piece = bucket.put_piece(key, &upload, 0, bytes(500, 3)).await.unwrap();
    bucket.complete_upload(key, &upload, vec![piece.clone()]).await.unwrap();
    match bucket.complete_upload(key, &upload, vec![piece]).await {
        Ok(()) => {}
        Err(error) => assert_eq!(error.fault(), BucketFault::NoUpload, "{error}"),
    }
    assert_eq!(bucket.stat(key).await.unwrap().length, 500);
    assert_eq!(bucket.read(key, 0..500, None).await.unwrap(), bytes(500, 3));
}

async fn an_aborted_upload_takes_no_pieces(site: &Site) {
    let (bucket, key) = (site.bucket(), "aborted/part");
    let upload = bucket.begin_upload(key).await.unwrap();
    let piece = bucket.put_piece(key, &upload, 0, bytes(500, 4)).await.unwrap();
    bucket.abort_upload(key, &upload).await.unwrap();
    bucket.abort_upload(key, &upload).await.unwrap();
    let late = bucket.put_piece(key, &upload, 0, bytes(500, 5)).await;
    if site.kind() == ObjectKind::Azure {
        // Azure has no uploads, only pieces that nobody has named.
        late.unwrap();
        return;
    }
    assert_eq!(fault(late), BucketFault::NoUpload);
    let late = bucket.complete_upload(key, &upload, vec![piece]).await;
    assert_eq!(fault(late), BucketFault::NoUpload);
    assert_eq!(fault(bucket.stat(key).await), BucketFault::Missing);
}

async fn a_piece_that_is_not_there_fails_the_completion(site: &Site) {
    let (bucket, key) = (site.bucket(), "lost/piece");
    let upload = bucket.begin_upload(key).await.unwrap();
    let piece = bucket.put_piece(key, &upload, 0, bytes(PIECE, 6)).await.unwrap();
    let other = bucket.begin_upload("lost/other").await.unwrap();
    let never = bucket.put_piece("lost/other", &other, 1, bytes(9, 9)).await.unwrap();
    let outcome = bucket.complete_upload(key, &upload, vec![piece, never]).await;
    assert_eq!(fault(outcome), BucketFault::NoUpload);
    assert_eq!(fault(bucket.stat(key).await), BucketFault::Missing);
    bucket.abort_upload(key, &upload).await.unwrap();
    bucket.abort_upload("lost/other", &other).await.unwrap();
}

async fn the_last_writing_of_a_piece_counts(site: &Site) {
    let (bucket, key) = (site.bucket(), "again/part");
    let upload = bucket.begin_upload(key).await.unwrap();
    bucket.put_piece(key, &upload, 0, bytes(PIECE, 7)).await.unwrap();
    let (one, zero) = tokio::join!(
        bucket.put_piece(key, &upload, 1, bytes(3, 8)),
        bucket.put_piece(key, &upload, 0, bytes(PIECE, 9)),
    );
    bucket.complete_upload(key, &upload, vec![zero.unwrap(), one.unwrap()]).await.unwrap();
    assert_eq!(bucket.stat(key).await.unwrap().length, PIECE as u64 + 3);
    assert_eq!(bucket.read(key, 0..10, None).await.unwrap(), bytes(PIECE, 9)[..10]);
}

async fn ranges_are_exact_and_pinned(site: &Site) {
    let (bucket, key) = (site.bucket(), "range/object");
    let whole = bytes(10_000, 10);
    bucket.put(key, whole.clone(), PutHow::Replace).await.unwrap();
    let found = bucket.stat(key).await.unwrap();
    let tag = found.tag.clone().unwrap();
    for range in [0..1, 0..10_000, 9_999..10_000, 17..4_711, 5..5] {
        let read = bucket.read(key, range.clone(), Some(&tag)).await.unwrap();
        assert_eq!(read, whole[range.start as usize..range.end as usize]);
    }
    for range in [0..10_001, 9_999..10_001, 10_000..10_001, 20_000..20_001, 10_001..10_001] {
        let error = bucket.read(key, range.clone(), None).await.unwrap_err();
        assert_eq!(error.fault(), BucketFault::Changed, "{range:?} {error}");
    }
    let listed = bucket.list(key, None, 9).await.unwrap();
    let tags: Vec<_> = listed.into_iter().map(|(_, found)| found.tag.unwrap()).collect();
    assert_eq!(tags, std::slice::from_ref(&tag));
    bucket.put(key, bytes(10_000, 11), PutHow::Replace).await.unwrap();
    assert_eq!(fault(bucket.read(key, 0..5, Some(&tag)).await), BucketFault::Changed);
    assert_eq!(fault(bucket.read(key, 5..5, Some(&tag)).await), BucketFault::Changed);
    assert_eq!(fault(bucket.read("range/none", 0..5, None).await), BucketFault::Missing);
    let none = ObjectTag("none".to_owned());
    assert_eq!(fault(bucket.read(key, 0..5, Some(&none)).await), BucketFault::Changed);
}

async fn empty_objects_are_objects(site: &Site) {
    let bucket = site.bucket();
    bucket.put("empty/put", Bytes::new(), PutHow::Create).await.unwrap();
    let upload = bucket.begin_upload("empty/upload").await.unwrap();
    bucket.complete_upload("empty/upload", &upload, Vec::new()).await.unwrap();
    for key in ["empty/put", "empty/upload"] {
        assert_eq!(bucket.stat(key).await.unwrap().length, 0);
        assert_eq!(bucket.read(key, 0..0, None).await.unwrap(), Bytes::new());
    }
}

const ODD: [&str; 12] = [
    "a b",
    "a+b",
    "a%20b",
    "100%",
    "%2F",
    "ü/größe.csv",
    "u\u{308}",
    "日本/\u{1f980}",
    "[x]{y}~^`'&;=@$!(),",
    "q?a=b#c",
    "\"<*>|:",
    "...",
];

async fn names_come_back_as_they_went(site: &Site) {
    let bucket = site.bucket();
    let mut keys: Vec<String> = ODD.iter().map(|name| format!("odd/{name}")).collect();
    for (n, key) in (0..).zip(&keys) {
        bucket.put(key, bytes(20, n), PutHow::Create).await.unwrap();
    }
    for (n, key) in (0..).zip(&keys) {
        assert_eq!(bucket.stat(key).await.unwrap().length, 20, "{key}");
        assert_eq!(bucket.read(key, 0..20, None).await.unwrap(), bytes(20, n), "{key}");
        let copied = format!("copied/{key}");
        bucket.copy(key, &copied).await.unwrap();
        assert_eq!(bucket.read(&copied, 0..20, None).await.unwrap(), bytes(20, n), "{key}");
        let uploaded = format!("uploaded/{key}");
        let upload = bucket.begin_upload(&uploaded).await.unwrap();
        let piece = bucket.put_piece(&uploaded, &upload, 0, bytes(30, n)).await.unwrap();
        bucket.complete_upload(&uploaded, &upload, vec![piece]).await.unwrap();
        assert_eq!(bucket.read(&uploaded, 0..30, None).await.unwrap(), bytes(30, n), "{key}");
    }
    let listed = bucket.list("odd/", None, 100).await.unwrap();
    let listed: Vec<String> = listed.into_iter().map(|(key, _)| key).collect();
    keys.sort();
    assert_eq!(listed, keys);
    for key in &keys {
        let after = bucket.list("odd/", Some(key), 1).await.unwrap();
        let next = keys.iter().find(|next| *next > key);
        assert_eq!(after.first().map(|(key, _)| key), next, "after {key}");
    }
    for outcome in bucket.remove(&keys).await {
        assert!(outcome.unwrap());
    }
    assert_eq!(bucket.list("odd/", None, 100).await.unwrap(), []);
}

async fn names_that_cannot_be_kept_are_refused(site: &Site) {
    let bucket = site.bucket();
    for key in ["", "/", "/a", "a/", "a//b", "a/../b", "./a", "a/.", "a\nb", "a\u{7f}", "a\\b"] {
        let error = bucket.put(key, bytes(1, 1), PutHow::Replace).await.unwrap_err();
        assert_eq!(error.fault(), BucketFault::NotSupported, "{key:?}");
        assert_eq!(fault(bucket.stat(key).await), BucketFault::NotSupported, "{key:?}");
    }
}

/// What is copied, as it is now.
async fn copied<'a>(bucket: &'a Bucket, key: &'a str) -> (CopyOf<'a>, Option<ObjectTag>) {
    let found = bucket.stat(key).await.unwrap();
    (CopyOf { bucket, key, length: found.length, tag: None }, found.tag)
}

async fn copies_stay_in_the_store(site: &Site) {
    let bucket = site.bucket();
    bucket.put("copy/from", bytes(5_000, 12), PutHow::Replace).await.unwrap();
    bucket.put("copy/to", bytes(1, 1), PutHow::Replace).await.unwrap();
    let source = site.bucket();
    let (from, tag) = copied(&source, "copy/from").await;
    bucket.copy_from(CopyOf { tag: tag.as_ref(), ..from }, "copy/to").await.unwrap();
    assert_eq!(bucket.read("copy/to", 0..5_000, None).await.unwrap(), bytes(5_000, 12));
    assert_eq!(fault(bucket.copy("copy/none", "copy/to").await), BucketFault::Missing);
    let gone = CopyOf { key: "copy/none", ..from };
    assert_eq!(fault(bucket.copy_from(gone, "copy/to").await), BucketFault::Missing);

    let elsewhere = Bucket::open(&site.settings, ELSEWHERE).unwrap();
    assert!(elsewhere.copies_from(&source));
    for key in ["copy/across", "copy/odd ü/[x]{y}~'&;=@$!(),%2F"] {
        elsewhere.copy_from(CopyOf { tag: tag.as_ref(), ..from }, key).await.unwrap();
        assert_eq!(elsewhere.read(key, 0..5_000, None).await.unwrap(), bytes(5_000, 12), "{key}");
    }
    let other = ObjectTag("0000".to_owned());
    let changed = elsewhere.copy_from(CopyOf { tag: Some(&other), ..from }, "copy/never").await;
    assert_eq!(fault(changed), BucketFault::Changed);
    assert_eq!(fault(elsewhere.stat("copy/never").await), BucketFault::Missing);
    let mut settings = site.settings.clone();
    settings.endpoint = Some("http://127.0.0.1:1".to_owned());
    settings.allow_http = true;
    let foreign = Bucket::open(&settings, ELSEWHERE).unwrap();
    assert!(!foreign.copies_from(&source));
    assert_eq!(fault(foreign.copy_from(from, "copy/to").await), BucketFault::NotSupported);
}

/// With a limit that small objects exceed: the rules are the same.
async fn large_objects_are_copied_in_pieces(site: &Site) {
    if site.kind() != ObjectKind::S3 {
        return;
    }
    let (source, key, length) = (site.bucket(), "large/from", 12 * (1 << 20) + 3);
    let whole = bytes(length, 13);
    source.put(key, whole.clone(), PutHow::Replace).await.unwrap();
    let elsewhere = Bucket::open(&site.settings, ELSEWHERE).unwrap();
    let elsewhere = elsewhere.copying(6 << 20, PIECE as u64);
    let (from, tag) = copied(&source, key).await;
    let from = CopyOf { tag: tag.as_ref(), ..from };
    assert_eq!(fault(elsewhere.copy_from(from, "large/to").await), BucketFault::TooLarge);
    let ranges = elsewhere.copied_pieces(length as u64);
    let piece = PIECE as u64;
    assert_eq!(ranges, [0..piece, piece..2 * piece, 2 * piece..length as u64]);
    let upload = elsewhere.begin_upload("large/to").await.unwrap();
    let pieces = ranges
        .into_iter()
        .zip(0..)
        .map(|(range, index)| elsewhere.copy_piece((from, range), ("large/to", &upload), index));
    let pieces = join_all(pieces).await.into_iter().collect::<Result<Vec<_>, _>>().unwrap();
    let other = ObjectTag("0000".to_owned());
    let changed = CopyOf { tag: Some(&other), ..from };
    let changed = elsewhere.copy_piece((changed, 0..9), ("large/to", &upload), 9).await;
    assert_eq!(fault(changed), BucketFault::Changed);
    elsewhere.complete_upload("large/to", &upload, pieces).await.unwrap();
    assert_eq!(elsewhere.stat("large/to").await.unwrap().length, length as u64);
    assert_eq!(elsewhere.read("large/to", 0..length as u64, None).await.unwrap(), whole);
    let late = elsewhere.copy_piece((from, 0..9), ("large/to", &upload), 0).await;
    assert_eq!(fault(late), BucketFault::NoUpload);
    assert_eq!(elsewhere.open_uploads("large/to").await.unwrap(), []);
}

async fn lists_go_on_beyond_a_page(site: &Site) {
    let bucket = site.bucket();
    let keys: Vec<String> = (0..1_050).map(|n| format!("page/{:02}/{n:04}", n % 7)).collect();
    let puts = keys.iter().map(|key| bucket.put(key, Bytes::from_static(b"x"), PutHow::Create));
    let puts: Vec<_> = stream::iter(puts).buffer_unordered(16).collect().await;
    puts.into_iter().collect::<Result<Vec<_>, _>>().unwrap();
    let mut sorted = keys.clone();
    sorted.sort();
    let names = |listed: Vec<(String, _)>| -> Vec<String> {
        listed.into_iter().map(|(key, _)| key).collect()
    };
    assert_eq!(names(bucket.list("page/", None, 5_000).await.unwrap()), sorted);
    assert_eq!(names(bucket.list("page/", None, 1_049).await.unwrap()), sorted[..1_049]);
    let middle = &sorted[523];
    assert_eq!(names(bucket.list("page/", Some(middle), 9).await.unwrap()), sorted[524..533]);
    let rest = bucket.list("page/", Some(middle), 5_000).await.unwrap();
    assert_eq!(names(rest), sorted[524..]);
    assert_eq!(bucket.list("page/03/", None, 5_000).await.unwrap().len(), 150);
    assert_eq!(bucket.list("pagf", None, 5_000).await.unwrap(), []);

    let mut doomed = keys;
    doomed.insert(500, "page/never".to_owned());
    let removed = bucket.remove(&doomed).await;
    assert_eq!(removed.len(), 1_051);
    for (key, outcome) in doomed.iter().zip(removed) {
        let told = site.kind() != ObjectKind::S3 && site.checks_credentials;
        assert!(outcome.unwrap() != (told && key == "page/never"), "{key}");
    }
    assert_eq!(bucket.list("page/", None, 1).await.unwrap(), []);
}

async fn a_probe_finds_what_works_and_leaves_nothing(site: &Site) {
    let bucket = site.bucket();
    let found = bucket.probe("probe/.skyspray-1-").await.unwrap();
    assert_eq!(found, Capabilities { create_only: true, copy: true });
    assert_eq!(bucket.list("probe/", None, 9).await.unwrap(), []);
}

async fn a_missing_bucket_is_named_so(site: &Site) {
    let bucket = Bucket::open(&site.settings, "not-there").unwrap();
    let error = bucket.put("a", bytes(1, 1), PutHow::Replace).await.unwrap_err();
    assert_eq!(error.fault(), BucketFault::NoBucket, "{error}");
    let error = bucket.probe("x").await.unwrap_err();
    assert_eq!(error.fault(), BucketFault::NoBucket);
    assert!(error.to_string().contains(" \"xcreated\" in bucket not-there"), "{error}");
}

/// F15 and G7: the bucket stays open while its credential is broken, and says nothing of it.
async fn a_credential_is_replaced_without_opening_again(site: &Site) {
    let Credentials::Static { .. } = site.settings.credentials else { return };
    if !site.checks_credentials {
        return;
    }
    let bucket = site.bucket();
    bucket.put("rotated/object", bytes(9, 1), PutHow::Replace).await.unwrap();
    let name = match site.kind() {
        ObjectKind::S3 => "aws-access-key",
        ObjectKind::Azure => "key",
        ObjectKind::Gcs => "service-account.json",
    };
    let file = site.secret.join(name);
    let good = fs::read(&file).unwrap();
    fs::write(&file, "Q2FuYXJ5U2VjcmV0MTIzNDU2Nzg5").unwrap();
    // What was read before is believed for some seconds.
    let fresh = site.bucket();
    let error = fresh.stat("rotated/object").await.unwrap_err();
    assert_eq!(error.fault(), BucketFault::Denied, "{error}");
    for shown in [error.to_string(), format!("{error:?}"), format!("{fresh:?}")] {
        assert!(!shown.contains("Canary") && !shown.contains("Q2FuYXJ5"), "{shown}");
    }
    assert!(std::error::Error::source(&error).is_none());
    fs::write(&file, good).unwrap();
    assert_eq!(fresh.stat("rotated/object").await.unwrap().length, 9);
}
