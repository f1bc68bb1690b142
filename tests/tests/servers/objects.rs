//! The S3 servers: objects, keys, TLS, a crash, and what is left at the end.

use skyspray_tests::error::HarnessError;
use skyspray_tests::server::ca::TestCa;
use skyspray_tests::server::ministack::Ministack;
use skyspray_tests::server::s3::{OpenUpload, S3};
use skyspray_tests::server::seaweed::Seaweed;
use std::path::Path;

/// What every one must do.
fn stores_lists_and_removes(s3: &S3) {
    s3.create_bucket("plane").expect("the server answers");
    s3.put("plane", "a/ü b%&c", b"first").expect("the server answers");
    s3.put("plane", "b", b"second").expect("the server answers");
    assert_eq!(
        s3.get("plane", "a/ü b%&c").expect("the server answers").as_deref(),
        Some(&b"first"[..])
    );
    assert_eq!(s3.list("plane", "").expect("the server answers"), ["a/ü b%&c", "b"]);
    assert_eq!(s3.list("plane", "a/").expect("the server answers"), ["a/ü b%&c"]);
    s3.delete("plane", "b").expect("the server answers");
    assert_eq!(s3.get("plane", "b").expect("the server answers"), None);
    let begun =
        s3.request("POST", "/plane/large", &[("uploads", "")], b"").expect("the server answers");
    assert_eq!(begun.status, 200, "{}", begun.text());
    let open = s3.open_uploads("plane").expect("the server answers");
    let [OpenUpload { key, upload }] = &open[..] else { panic!("{open:?}") };
    assert_eq!(key, "large");
    let aborted = s3
        .request("DELETE", "/plane/large", &[("uploadId", upload)], b"")
        .expect("the server answers");
    assert_eq!(aborted.status, 204, "{}", aborted.text());
    assert_eq!(s3.open_uploads("plane").expect("the server answers"), []);
}

fn gone(id: u32) -> bool {
    !Path::new(&format!("/proc/{id}")).exists()
}

#[test]
fn seaweed_keeps_objects_over_a_crash_and_leaves_nothing() {
    let mut server = Seaweed::start(None).unwrap();
    stores_lists_and_removes(server.s3());
    server.kill();
    let down = server.s3().get("plane", "a/ü b%&c");
    assert!(matches!(down, Err(HarnessError::Answered { status: 0, .. })), "{down:?}");
    server.restart().unwrap();
    assert_eq!(server.s3().get("plane", "a/ü b%&c").unwrap().as_deref(), Some(&b"first"[..]));
    server.pause();
    server.resume();
    assert_eq!(server.s3().list("plane", "").unwrap(), ["a/ü b%&c"]);
    let (id, dir) = (server.id().unwrap(), server.dir().to_owned());
    drop(server);
    assert!(gone(id));
    assert!(!dir.exists());
}

#[test]
fn seaweed_speaks_tls_and_refuses_a_wrong_secret() {
    let ca = TestCa::new().unwrap();
    let server = Seaweed::start(Some(&ca)).unwrap();
    stores_lists_and_removes(server.s3());
    assert!(server.s3().endpoint().starts_with("https://127.0.0.1:"));
    let stranger = Seaweed::start(Some(&ca)).unwrap();
    let refused = server.s3().with_key_of(stranger.s3()).get("plane", "b");
    assert!(matches!(refused, Err(HarnessError::Answered { status: 403, .. })), "{refused:?}");
}

#[test]
fn ministack_stores_and_leaves_nothing() {
    let server = Ministack::start().unwrap();
    stores_lists_and_removes(server.s3());
    let id = server.id();
    drop(server);
    assert!(gone(id));
}
