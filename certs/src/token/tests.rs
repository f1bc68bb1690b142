//! Tokens there and back, and every way a line can be wrong.

use super::*;
use crate::testing::{agent, domain, relay, rng, token};
use proptest::prelude::*;

/// A token with fixed fields.
fn fixed() -> EnrollToken {
    EnrollToken {
        address: RelayAddress::parse("relay.test:4434").unwrap(),
        trust_domain: domain(),
        pin: KeyHash::from_bytes([0x11; 32]),
        agent: agent(),
        secret: TokenSecret([0x22; 32]),
    }
}

/// A line with an intact checksum around any body.
fn line_of(body: &[u8]) -> String {
    let bytes = [body, &sha256(&[body])[..CHECKSUM_BYTES]].concat();
    format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
}

#[test]
fn a_token_comes_back_from_its_line() {
    let token = token(&relay());
    let line = token.to_line();
    let again = EnrollToken::parse(&format!("  {}\n", *line)).unwrap();

    assert_eq!(again.address, token.address);
    assert_eq!(again.trust_domain, token.trust_domain);
    assert_eq!(again.pin, token.pin);
    assert_eq!(again.agent, token.agent);
    assert_eq!(again.hash(), token.hash());
    assert!(line.bytes().all(|byte| byte.is_ascii_graphic()));
}

#[test]
fn the_line_of_a_token_never_changes_its_form() {
    let expected = concat!(
        "skyspray1.D3JlbGF5LnRlc3Q6NDQzNAtza3kuZXhhbXBsZRERERERERERERERERERERERERERERERER",
        "ERERERERERBmVkZ2UtMSIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiIiClv-CA",
    );
    let line = fixed().to_line();

    assert_eq!(*line, expected);
    assert_eq!(EnrollToken::parse(expected).unwrap().hash(), fixed().hash());
}

#[test]
fn a_wrong_line_is_refused_with_its_reason() {
    let line = fixed().to_line().to_string();
    let reason = |line: &str| EnrollToken::parse(line).unwrap_err();

    assert_eq!(reason(""), TokenError::PrefixUnknown);
    assert_eq!(reason(&line.replace("spray1", "spray2")), TokenError::PrefixUnknown);
    assert_eq!(reason(&line[..line.len() - 1]), TokenError::Damaged);
    assert_eq!(reason(TOKEN_PREFIX), TokenError::Damaged);
    assert_eq!(reason(&format!("{line}=")), TokenError::Damaged);
    let long = "x".repeat(TOKEN_BYTES_MAX + 1);
    assert_eq!(reason(&long), TokenError::TooLong { length: TOKEN_BYTES_MAX + 1 });
}

#[test]
fn a_token_with_an_invalid_field_or_more_bytes_is_refused() {
    let body = |address: &str, agent: &str| {
        let fields = (address, "sky.example", [0x11_u8; 32], agent, [0x22_u8; 32]);
        postcard::to_allocvec(&fields).unwrap()
    };
    let reason = |body: &[u8]| EnrollToken::parse(&line_of(body)).map(|_| ()).unwrap_err();

    EnrollToken::parse(&line_of(&body("a:1", "edge-1"))).unwrap();
    assert_eq!(reason(&body("a:0", "edge-1")), TokenError::FieldInvalid);
    assert_eq!(reason(&body("a:1", "Edge")), TokenError::FieldInvalid);
    let more = [body("a:1", "edge-1"), vec![0]].concat();
    assert_eq!(reason(&more), TokenError::FieldInvalid);
    assert_eq!(reason(&body("a:1", "edge-1")[..60]), TokenError::FieldInvalid);
}

#[test]
fn debug_shows_no_secret() {
    let token = EnrollToken::create(
        RelayAddress::parse("a:1").unwrap(),
        domain(),
        KeyHash::from_bytes([0; 32]),
        agent(),
        &rng(),
    )
    .unwrap();

    assert!(format!("{token:?}").ends_with("secret: TokenSecret(redacted) }"));
}

#[test]
fn hashes_are_equal_when_every_byte_is() {
    let hash = fixed().hash();
    assert_eq!(hash, TokenHash::from_bytes(sha256(&[&[0x22; 32]])));
    for index in 0..32 {
        let mut bytes = *hash.as_bytes();
        bytes[index] ^= 0x80;
        assert_ne!(hash, TokenHash::from_bytes(bytes));
    }
}

proptest! {
    #[test]
    fn any_changed_character_is_noticed(index in 10_usize..150, replacement in "[A-Za-z0-9_-]") {
        let line = fixed().to_line().to_string();
        prop_assume!(index < line.len() && line[index..=index] != replacement);
        let mut changed = line.clone();
        changed.replace_range(index..=index, &replacement);
        prop_assert_eq!(EnrollToken::parse(&changed).unwrap_err(), TokenError::Damaged);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,200}") {
        let _ = EnrollToken::parse(&text);
        let _ = EnrollToken::parse(&format!("{TOKEN_PREFIX}{text}"));
    }
}
