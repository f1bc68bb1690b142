//! Azurite: blobs, keys, TLS, a restart, and what is left at the end.

use skyspray_tests::error::HarnessError;
use skyspray_tests::server::azurite::Azurite;
use skyspray_tests::server::ca::TestCa;
use std::path::Path;

#[test]
fn azurite_keeps_blobs_over_a_restart_and_leaves_nothing() {
    let mut server = Azurite::start(None).unwrap();
    let blobs = server.blobs().clone();
    blobs.create_container("plane").unwrap();
    blobs.put("plane", "a/ü b%&c", b"first").unwrap();
    blobs.put("plane", "b", b"second").unwrap();
    assert_eq!(blobs.get("plane", "a/ü b%&c").unwrap().as_deref(), Some(&b"first"[..]));
    assert_eq!(blobs.list("plane", "").unwrap(), ["a/ü b%&c", "b"]);
    assert_eq!(blobs.list("plane", "a/").unwrap(), ["a/ü b%&c"]);
    blobs.delete("plane", "b").unwrap();
    server.stop().unwrap();
    let down = blobs.get("plane", "b");
    assert!(matches!(down, Err(HarnessError::Answered { status: 0, .. })), "{down:?}");
    server.restart().unwrap();
    assert_eq!(blobs.list("plane", "").unwrap(), ["a/ü b%&c"]);
    assert_eq!(blobs.get("plane", "b").unwrap(), None);
    let (id, dir) = (server.id().unwrap(), server.dir().to_owned());
    drop(server);
    assert!(!Path::new(&format!("/proc/{id}")).exists());
    assert!(!dir.exists());
}

#[test]
fn azurite_speaks_tls_and_refuses_a_wrong_key() {
    let ca = TestCa::new().unwrap();
    let server = Azurite::start(Some(&ca)).unwrap();
    server.blobs().create_container("plane").unwrap();
    server.blobs().put("plane", "b", b"second").unwrap();
    assert!(server.blobs().endpoint().starts_with("https://127.0.0.1:"));
    let stranger = Azurite::start(Some(&ca)).unwrap();
    let refused = server.blobs().with_key_of(stranger.blobs()).get("plane", "b");
    assert!(matches!(refused, Err(HarnessError::Answered { status: 403, .. })), "{refused:?}");
}
