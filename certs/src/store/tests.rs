//! What is stored comes back, and what others could read or own is refused.

use super::*;
use crate::identity::IdentityGeneration;
use crate::key::PrivateKey;
use crate::testing::{agent, day, enrolled, now, relay, rng, token};
use crate::{EdgeIdentity, PendingEnrollment, RelayIdentity, Term};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn assert_same(left: &EdgeIdentity, right: &EdgeIdentity) {
    assert_eq!(left.agent, right.agent);
    assert_eq!(left.generation, right.generation);
    assert_eq!(left.trust_domain, right.trust_domain);
    assert_eq!(left.enroll_address, right.enroll_address);
    assert_eq!(left.addresses, right.addresses);
    assert_eq!(left.bound_key.public_key(), right.bound_key.public_key());
    assert_eq!(left.session_key.public_key(), right.session_key.public_key());
    assert_eq!(left.leaf, right.leaf);
    assert_eq!(left.agent_authorities, right.agent_authorities);
    assert_eq!(left.relay_authorities, right.relay_authorities);
    assert_eq!(left.receipt_keys, right.receipt_keys);
}

/// The next identity of `edge`, issued by `relay`.
fn renewed(relay: &RelayIdentity, edge: &EdgeIdentity) -> EdgeIdentity {
    let key = PrivateKey::generate(&rng()).unwrap();
    let authority = &relay.agent_authority;
    let leaf = authority.issue_agent_leaf(&agent(), key.public_key(), day(), &rng()).unwrap();
    let generation = IdentityGeneration(edge.generation.0 + 1);
    edge.accept(key, relay.grant(&leaf, generation, edge.addresses.clone())).unwrap()
}

#[test]
fn an_edge_identity_comes_back_and_the_one_before_it_stays_until_dropped() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("made/here");
    let store = EdgeStore::create(&path).unwrap();
    let relay = relay();
    let first = enrolled(&relay);
    let second = renewed(&relay, &first);

    store.save(&first).unwrap();
    assert!(store.load_previous().unwrap().is_none());
    store.save(&second).unwrap();
    assert_same(&EdgeStore::open(&path).unwrap().load().unwrap(), &second);
    assert_same(&store.load_previous().unwrap().unwrap(), &first);
    store.drop_previous().unwrap();
    assert!(store.load_previous().unwrap().is_none());
    assert_eq!(mode(&path), 0o700);
    assert_eq!(mode(&path.join("identity.toml")), 0o600);
    assert_eq!(names(&path), ["identity.toml"]);
}

#[test]
fn an_enrollment_is_kept_until_the_identity_is_there() {
    let base = tempfile::tempdir().unwrap();
    let store = EdgeStore::create(&base.path().join("edge")).unwrap();
    let relay = relay();
    let pending = PendingEnrollment::create(&token(&relay), &rng()).unwrap();

    assert!(store.load_pending().unwrap().is_none());
    store.save_pending(&pending).unwrap();
    let again = store.load_pending().unwrap().unwrap();
    assert_eq!(again.bound_key.public_key(), pending.bound_key.public_key());
    assert_eq!(again.session_key.public_key(), pending.session_key.public_key());
    assert_eq!((again.pin, again.agent), (pending.pin, pending.agent));
    assert_eq!(again.enroll_address, pending.enroll_address);
    store.save(&enrolled(&relay)).unwrap();
    assert!(store.load_pending().unwrap().is_none());
}

#[test]
fn a_renewal_key_is_kept_until_the_renewed_identity_is_there() {
    let base = tempfile::tempdir().unwrap();
    let store = EdgeStore::create(&base.path().join("edge")).unwrap();
    let key = PrivateKey::generate(&rng()).unwrap();

    store.save_renewal_key(&key).unwrap();
    let again = store.load_renewal_key().unwrap().unwrap();
    assert_eq!(again.public_key(), key.public_key());
    let identity = enrolled(&relay());
    store.save(&identity).unwrap();
    assert!(store.load_renewal_key().unwrap().is_none());
    store.save_renewal_key(&identity.session_key).unwrap();
    assert!(store.load_renewal_key().unwrap().is_none());
}

#[test]
fn one_process_at_a_time_may_change_an_identity() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("edge");
    let (one, other) = (EdgeStore::create(&path).unwrap(), EdgeStore::open(&path).unwrap());

    let lock = one.try_lock().unwrap();
    assert!(lock.is_some());
    assert!(other.try_lock().unwrap().is_none());
    drop(lock);
    assert!(other.try_lock().unwrap().is_some());
}

#[test]
fn a_relay_identity_comes_back() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("relay");
    let store = RelayStore::create(&path).unwrap();
    let mut identity = relay();

    assert!(!store.holds_identity().unwrap());
    store.save(&identity).unwrap();
    assert!(store.holds_identity().unwrap());
    let term = Term { now: now(), life: Duration::from_secs(60) };
    identity.renew_leaf(term, &rng()).unwrap();
    store.save_leaf(&identity).unwrap();
    let again = RelayStore::open(&path).unwrap().load().unwrap();
    assert_eq!(again.pin(), identity.pin());
    assert_eq!(again.leaf, identity.leaf);
    assert_eq!(again.certificate().unwrap(), identity.certificate().unwrap());
    assert_eq!(again.receipt_signer.verifier(), identity.receipt_signer.verifier());
    let authority = identity.agent_authority.certificate();
    assert_eq!(again.agent_authority.certificate(), authority);
    let expected = ["agent-authority.pem", "receipt-key.pem", "relay-authority.pem", "relay.pem"];
    assert_eq!(names(&path), expected);
    for name in expected {
        assert_eq!(mode(&path.join(name)), 0o600, "{name}");
    }
}

#[test]
fn t41_a_directory_or_file_that_others_may_enter_is_refused() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("edge");
    let store = EdgeStore::create(&path).unwrap();
    store.save(&enrolled(&relay())).unwrap();
    let file = path.join("identity.toml");

    for loose in [0o640, 0o604, 0o620, 0o602, 0o601, 0o4600] {
        set_mode(&file, loose);
        match store.load().unwrap_err() {
            StoreError::Loose { path, mode, expected: 0o600 } => {
                assert_eq!((path, mode), (file.clone(), loose));
            }
            other => panic!("{other:?}"),
        }
    }
    set_mode(&file, 0o400);
    store.load().unwrap();
    for loose in [0o750, 0o705, 0o710, 0o701, 0o770] {
        set_mode(&path, loose);
        let error = EdgeStore::open(&path).unwrap_err();
        let expected =
            format!("{} has mode {loose:04o}, expected 0700 or stricter", path.display());
        assert_eq!(error.to_string(), expected);
        assert!(matches!(EdgeStore::create(&path), Err(StoreError::Loose { .. })));
    }
}

#[test]
fn a_file_of_another_user_is_refused() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("edge");
    let store = EdgeStore::create(&path).unwrap();
    store.save(&enrolled(&relay())).unwrap();
    let file = path.join("identity.toml");
    let user = fs::metadata(&file).unwrap().uid();
    if std::os::unix::fs::chown(&file, Some(user + 1), None).is_err() {
        // Only a privileged user can give a file away; every other cannot meet this case.
        return;
    }

    match store.load().unwrap_err() {
        StoreError::ForeignOwner { owner, user: found, .. } => {
            assert_eq!((owner, found), (user + 1, user));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_link_or_special_file_is_not_followed() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("edge");
    let store = EdgeStore::create(&path).unwrap();
    store.save(&enrolled(&relay())).unwrap();
    fs::rename(path.join("identity.toml"), path.join("elsewhere")).unwrap();

    symlink("elsewhere", path.join("identity.toml")).unwrap();
    assert!(matches!(store.load(), Err(StoreError::NotRegular { .. })));
    fs::remove_file(path.join("identity.toml")).unwrap();
    fs::create_dir(path.join("identity.toml")).unwrap();
    assert!(matches!(store.load(), Err(StoreError::NotRegular { .. })));
    symlink(&path, base.path().join("link")).unwrap();
    let error = EdgeStore::open(&base.path().join("link")).unwrap_err();
    assert!(matches!(error, StoreError::NotDirectory { .. }), "{error:?}");
}

#[test]
fn a_file_in_the_way_of_a_write_is_replaced_and_never_followed() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("edge");
    let store = EdgeStore::create(&path).unwrap();
    let victim = base.path().join("victim");
    fs::write(&victim, "kept").unwrap();
    symlink(&victim, path.join(".identity.toml.new")).unwrap();

    store.save(&enrolled(&relay())).unwrap();
    assert_eq!(fs::read_to_string(&victim).unwrap(), "kept");
    assert_eq!(names(&path), ["identity.toml"]);
}

#[test]
fn what_is_missing_or_unreadable_is_named_without_its_contents() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("edge");
    assert!(matches!(EdgeStore::open(&path), Err(StoreError::Missing { .. })));
    let store = EdgeStore::create(&path).unwrap();
    let file = path.join("identity.toml");
    let missing = store.load().unwrap_err();
    assert_eq!(missing.to_string(), format!("{} does not exist", file.display()));

    store.save(&enrolled(&relay())).unwrap();
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("format = 1", "format = 2")).unwrap();
    let newer = store.load().unwrap_err();
    assert!(matches!(newer, StoreError::FormatUnknown { found: 2, expected: 1, .. }));
    fs::write(&file, text.replace("generation = 1", "generation = [secret]")).unwrap();
    let error = store.load().unwrap_err();
    assert!(matches!(error, StoreError::Malformed { offset: 1.., .. }), "{error:?}");
    assert!(!format!("{error:?} {error}").contains("secret"));
    fs::write(&file, text.replace("BEGIN PRIVATE", "BEGIN PUBLIC")).unwrap();
    assert!(matches!(store.load(), Err(StoreError::Pem { .. })));
    fs::write(&file, vec![b'#'; 300_000]).unwrap();
    let large = store.load().unwrap_err();
    assert!(matches!(large, StoreError::TooLarge { length: 300_000, max: 262_144, .. }));
}

#[test]
fn a_relay_file_with_another_key_inside_is_refused() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("relay");
    let store = RelayStore::create(&path).unwrap();
    store.save(&relay()).unwrap();
    let authority = fs::read(path.join("agent-authority.pem")).unwrap();
    fs::write(path.join("relay-authority.pem"), &authority).unwrap();
    assert!(matches!(store.load(), Err(StoreError::Authority { .. })));
    store.save(&relay()).unwrap();
    fs::write(path.join("receipt-key.pem"), &authority).unwrap();
    assert!(matches!(store.load(), Err(StoreError::Receipt { .. })));
}
