//! The issued bytes field by field, and what an authority refuses to issue or to be.

use super::*;
use crate::testing::{agent, day, domain, now, relay, rng};
use x509_parser::prelude::ParsedExtension;

fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    since.as_secs().try_into().unwrap()
}

/// The extensions as `(object identifier, critical)`, in order.
fn extensions(parsed: &X509Certificate<'_>) -> Vec<(String, bool)> {
    parsed.extensions().iter().map(|e| (e.oid.to_id_string(), e.critical)).collect()
}

#[test]
fn t10_an_agent_leaf_is_the_template_and_nothing_else() {
    let relay = relay();
    let key = *PrivateKey::generate(&rng()).unwrap().public_key();
    let issued = relay.agent_authority.issue_agent_leaf(&agent(), &key, day(), &rng()).unwrap();
    let (rest, parsed) = X509Certificate::from_der(&issued.certificate).unwrap();
    let (_, issuer) = X509Certificate::from_der(relay.agent_authority.certificate()).unwrap();

    assert_eq!(rest, b"");
    assert_eq!(parsed.version().0, 2);
    assert_eq!(parsed.raw_serial(), issued.serial.as_bytes());
    assert_eq!(parsed.signature_algorithm.algorithm.to_id_string(), "1.2.840.10045.4.3.2");
    assert_eq!(parsed.issuer().as_raw(), issuer.subject().as_raw());
    assert_eq!(parsed.subject().as_raw(), [0x30, 0x00]);
    assert_eq!(parsed.validity().not_before.timestamp(), seconds(now()) - 600);
    assert_eq!(parsed.validity().not_after.timestamp(), seconds(now()) + 86_400);
    assert_eq!(issued.not_after, now() + AGENT_LEAF_LIFE);
    assert_eq!(parsed.public_key().raw, key.to_spki());
    let expected = [
        ("2.5.29.35", false),
        ("2.5.29.17", true),
        ("2.5.29.15", true),
        ("2.5.29.37", false),
        ("2.5.29.14", false),
        ("2.5.29.19", true),
    ];
    assert_eq!(extensions(&parsed), expected.map(|(oid, critical)| (oid.to_owned(), critical)));
    let values: Vec<_> = parsed.extensions().iter().map(|e| e.value).collect();
    assert_eq!(values[1], b"\x30\x1b\x82\x19edge-1.agents.sky.example");
    assert_eq!(values[2], [0x03, 0x02, 0x07, 0x80]);
    assert_eq!(values[3], b"\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x02");
    assert_eq!(values[5], [0x30, 0x00]);
    assert!(matches!(
        parsed.extensions()[0].parsed_extension(),
        ParsedExtension::AuthorityKeyIdentifier(_)
    ));
}

#[test]
fn two_leaves_of_one_key_differ_in_serial_and_signature_only() {
    let relay = relay();
    let key = *PrivateKey::generate(&rng()).unwrap().public_key();
    let signed_part = || {
        let issued = relay.agent_authority.issue_agent_leaf(&agent(), &key, day(), &rng()).unwrap();
        let (_, parsed) = X509Certificate::from_der(&issued.certificate).unwrap();
        let mut bytes = parsed.tbs_certificate.as_ref().to_vec();
        let serial = issued.serial.as_bytes();
        let start = bytes.windows(16).position(|window| window == serial).unwrap();
        bytes[start..start + 16].fill(0);
        (bytes, issued.serial)
    };
    let (first, second) = (signed_part(), signed_part());

    assert_eq!(first.0, second.0);
    assert_ne!(first.1, second.1);
}

#[test]
fn a_relay_leaf_has_the_one_name_and_server_usage() {
    let relay = relay();
    let (_, parsed) = X509Certificate::from_der(&relay.leaf).unwrap();
    let values: Vec<_> = parsed.extensions().iter().map(|e| e.value).collect();

    assert_eq!(values[1], b"\x30\x13\x82\x11relay.sky.example");
    assert_eq!(values[3], b"\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01");
    assert_eq!(parsed.validity().not_after.timestamp(), seconds(now() + RELAY_LEAF_LIFE));
}

#[test]
fn an_authority_is_limited_to_leaves_in_its_subtree() {
    let relay = relay();
    let (_, parsed) = X509Certificate::from_der(relay.agent_authority.certificate()).unwrap();

    let expected =
        [("2.5.29.15", true), ("2.5.29.30", true), ("2.5.29.14", false), ("2.5.29.19", true)];
    assert_eq!(extensions(&parsed), expected.map(|(oid, critical)| (oid.to_owned(), critical)));
    let values: Vec<_> = parsed.extensions().iter().map(|e| e.value).collect();
    assert_eq!(values[0], [0x03, 0x02, 0x01, 0x06]);
    assert_eq!(values[1], b"\x30\x18\xa0\x16\x30\x14\x82\x12agents.sky.example");
    assert_eq!(values[3], [0x30, 0x06, 0x01, 0x01, 0xff, 0x02, 0x01, 0x00]);
    assert_eq!(parsed.validity().not_after.timestamp(), seconds(now() + AUTHORITY_LIFE));
    assert_ne!(relay.agent_authority.key_hash(), relay.relay_authority.key_hash());
}

#[test]
fn an_authority_comes_back_from_pem_as_its_own_kind_only() {
    let relay = relay();
    let text = relay.agent_authority.to_pem();
    let again = Authority::<Agents>::from_pem(&text).unwrap();

    assert_eq!(again.certificate(), relay.agent_authority.certificate());
    assert_eq!(again.trust_domain(), &domain());
    assert_eq!(again.key_hash(), relay.agent_authority.key_hash());
    assert_eq!(again.not_after(), relay.agent_authority.not_after());
    let rule = |text: &str| match Authority::<Relays>::from_pem(text).unwrap_err() {
        AuthorityError::NotAuthority { kind: "relay", rule } => rule,
        other => panic!("{other:?}"),
    };
    assert_eq!(rule(&text), "is constrained to its subtree");
    let leaf = pem::encode_pair(&relay.leaf_key, &relay.leaf);
    assert_eq!(rule(&leaf), "is an authority with path length 0");
    let mixed = pem::encode_pair(&relay.leaf_key, relay.relay_authority.certificate());
    assert_eq!(rule(&mixed), "belongs to the private key beside it");
}

#[test]
fn a_life_outside_the_limits_is_refused() {
    let relay = relay();
    let key = *PrivateKey::generate(&rng()).unwrap().public_key();
    let issue = |life| {
        let term = Term { now: now(), life };
        relay.agent_authority.issue_agent_leaf(&agent(), &key, term, &rng())
    };

    for life in [LIFE_MIN - Duration::from_secs(1), LEAF_LIFE_MAX + Duration::from_secs(1)] {
        match issue(life).unwrap_err() {
            AuthorityError::LifeOutOfRange { life: found, min, max } => {
                assert_eq!((found, min, max), (life, LIFE_MIN, LEAF_LIFE_MAX));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(issue(LIFE_MIN).unwrap().not_after, now() + LIFE_MIN);
}

#[test]
fn a_leaf_ends_with_its_authority_and_none_is_issued_after_it() {
    let relay = relay();
    let key = *PrivateKey::generate(&rng()).unwrap().public_key();
    let end = relay.agent_authority.not_after();
    let issue = |now| {
        let term = Term { now, life: AGENT_LEAF_LIFE };
        relay.agent_authority.issue_agent_leaf(&agent(), &key, term, &rng())
    };

    assert_eq!(issue(end - Duration::from_hours(1)).unwrap().not_after, end);
    let error = issue(end).unwrap_err();
    assert!(matches!(error, AuthorityError::Expired { kind: "agent" }), "{error:?}");
}

#[test]
fn dates_no_certificate_can_carry_are_refused() {
    let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
    let after = SystemTime::UNIX_EPOCH + Duration::from_secs(template::UNIX_SECONDS_MAX);
    for now in [before, after] {
        let term = Term { now, life: AUTHORITY_LIFE };
        let error = Authority::<Relays>::create(domain(), term, &rng()).unwrap_err();
        assert!(matches!(error, AuthorityError::DateOutOfRange), "{error:?}");
    }
}

#[test]
fn debug_shows_nothing_of_an_authority_key() {
    let text = format!("{:?}", relay().agent_authority);

    assert!(text.contains("PrivateKey(redacted"), "{text}");
}
