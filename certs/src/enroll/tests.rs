//! Enrollment, recovery and renewal over real handshakes, and every proof that must not count.

use super::*;
use crate::address::RelayAddress;
use crate::authority::Term;
use crate::edge_identity::PendingEnrollment;
use crate::identity::IdentityError;
use crate::key::KeyHash;
use crate::receipt::ReceiptVerifier;
use crate::testing::{
    Session, agent, clock, day, domain, enrolled, handshake, now, relay, rng, token,
};
use crate::tls::{edge_data_config, edge_enroll_config, relay_data_config, relay_enroll_config};
use crate::trust_domain::TrustDomain;
use crate::{EdgeIdentity, RelayIdentity};
use proptest::prelude::*;
use skyspray_wire::refusal::RefusalCode;
use std::time::Duration;

fn enroll_session(relay: &RelayIdentity) -> Session {
    let client = edge_enroll_config(&[relay.pin()], &domain(), clock()).unwrap();
    let server = relay_enroll_config(&relay.credentials(), clock()).unwrap();
    handshake(&client, &server).unwrap()
}

fn data_session(relay: &RelayIdentity, edge: &EdgeIdentity) -> Session {
    let authority = [relay.agent_authority.certificate().clone()];
    let client = edge_data_config(&edge.credentials(), clock()).unwrap();
    let server = relay_data_config(&relay.credentials(), &authority, clock()).unwrap();
    handshake(&client, &server).unwrap()
}

/// Sends a message through its bytes.
fn travel<M: Message>(message: &M) -> M {
    M::decode(&message.encode().unwrap()).unwrap()
}

fn addresses() -> Vec<RelayAddress> {
    vec![RelayAddress::parse("relay.test:4433").unwrap()]
}

fn issue(relay: &RelayIdentity, key: &PublicKey, generation: u64) -> Grant {
    let leaf = relay.agent_authority.issue_agent_leaf(&agent(), key, day(), &rng()).unwrap();
    relay.grant(&leaf, IdentityGeneration(generation), addresses())
}

#[test]
fn an_edge_enrolls_renews_and_recovers() {
    let relay = relay();
    let token = token(&relay);
    let pending = PendingEnrollment::create(&token, &rng()).unwrap();

    let session = enroll_session(&relay);
    let join = Join::create(&token, pending.keys(), &session.edge_binding(), &rng()).unwrap();
    let EnrollRequest::Join(join) = travel(&EnrollRequest::Join(join)) else { unreachable!() };
    let verified = join.verify(&session.relay_binding()).unwrap();
    assert_eq!(verified.token, token.hash());
    assert_eq!(verified.agent, agent());
    assert_eq!(&verified.bound_key, pending.bound_key.public_key());
    let grant = issue(&relay, &verified.session_key, 1);
    let response = travel(&EnrollResponse::Granted(Box::new(grant)));
    let EnrollResponse::Granted(grant) = response else { unreachable!() };
    let first = pending.accept(*grant).unwrap();
    assert_eq!(first.generation, IdentityGeneration(1));
    assert_eq!(first.pins(), [relay.pin()]);

    let session = data_session(&relay, &first);
    let key = PrivateKey::generate(&rng()).unwrap();
    let binding = session.edge_binding();
    let renew = Renew::create(&agent(), first.generation, &key, &binding, &rng()).unwrap();
    let RenewRequest::Renew(renew) = travel(&RenewRequest::Renew(renew));
    let verified = renew.verify(&agent(), &session.relay_binding()).unwrap();
    assert_eq!(verified.generation, IdentityGeneration(1));
    let second = first.accept(key, issue(&relay, &verified.session_key, 2)).unwrap();
    data_session(&relay, &second);

    let session = enroll_session(&relay);
    let key = PrivateKey::generate(&rng()).unwrap();
    let (keys, binding) = (second.keys_with(&key), session.edge_binding());
    let recover = Recover::create(&agent(), second.generation, keys, &binding, &rng()).unwrap();
    let request = travel(&EnrollRequest::Recover(recover));
    let EnrollRequest::Recover(recover) = request else { unreachable!() };
    assert_eq!(recover.claimed_agent(), &agent());
    let verified = recover.verify(first.bound_key.public_key(), &session.relay_binding()).unwrap();
    let third = second.accept(key, issue(&relay, &verified.session_key, 3)).unwrap();
    data_session(&relay, &third);
}

#[test]
fn a_proof_counts_in_its_own_session_only() {
    let relay = relay();
    let token = token(&relay);
    let pending = PendingEnrollment::create(&token, &rng()).unwrap();
    let (mine, other) = (enroll_session(&relay), enroll_session(&relay));
    let join = Join::create(&token, pending.keys(), &mine.edge_binding(), &rng()).unwrap();
    let zero = IdentityGeneration(0);
    let binding = mine.edge_binding();
    let recover = Recover::create(&agent(), zero, pending.keys(), &binding, &rng()).unwrap();
    let renew = Renew::create(&agent(), zero, &pending.session_key, &binding, &rng()).unwrap();
    let bound = pending.bound_key.public_key();

    join.verify(&mine.relay_binding()).unwrap();
    assert_eq!(join.verify(&other.relay_binding()), Err(ProofError { key: "bound" }));
    recover.verify(bound, &mine.relay_binding()).unwrap();
    assert_eq!(recover.verify(bound, &other.relay_binding()), Err(ProofError { key: "bound" }));
    renew.verify(&agent(), &mine.relay_binding()).unwrap();
    let refused = Err(ProofError { key: "session" });
    assert_eq!(renew.verify(&agent(), &other.relay_binding()), refused);
}

#[test]
fn a_proof_counts_for_its_own_key_name_and_purpose_only() {
    let token = token(&relay());
    let binding = ChannelBinding::new([7; 32]);
    let pending = PendingEnrollment::create(&token, &rng()).unwrap();
    let stranger = *PrivateKey::generate(&rng()).unwrap().public_key();
    let join = Join::create(&token, pending.keys(), &binding, &rng()).unwrap();
    let refused = |change: &dyn Fn(&mut Join)| {
        let mut join = join.clone();
        change(&mut join);
        join.verify(&binding).unwrap_err().key
    };

    assert_eq!(refused(&|join| join.bound_key = stranger), "bound");
    assert_eq!(refused(&|join| join.session_key = stranger), "bound");
    assert_eq!(refused(&|join| join.agent = AgentName::parse("edge-2").unwrap()), "bound");
    assert_eq!(refused(&|join| join.bound_proof = join.session_proof.clone()), "bound");
    assert_eq!(refused(&|join| join.session_proof = join.bound_proof.clone()), "session");

    let one = IdentityGeneration(1);
    let recover = Recover::create(&agent(), one, pending.keys(), &binding, &rng()).unwrap();
    let refused = Err(ProofError { key: "bound" });
    assert_eq!(recover.verify(&stranger, &binding), refused);
    let mut later = recover.clone();
    later.generation = IdentityGeneration(2);
    assert_eq!(later.verify(pending.bound_key.public_key(), &binding), refused);
    let mut joined = recover;
    joined.bound_proof = join.bound_proof.clone();
    assert_eq!(joined.verify(pending.bound_key.public_key(), &binding), refused);

    let renew = Renew::create(&agent(), one, &pending.session_key, &binding, &rng()).unwrap();
    let other = AgentName::parse("edge-2").unwrap();
    assert_eq!(renew.verify(&other, &binding), Err(ProofError { key: "session" }));
}

#[test]
fn an_edge_takes_no_grant_that_does_not_fit() {
    let (relay, foreign) = (relay(), relay());
    let edge = enrolled(&relay);
    let key = PrivateKey::generate(&rng()).unwrap();
    let good = issue(&relay, key.public_key(), 2);
    let refused = |change: &dyn Fn(&mut Grant)| {
        let mut grant = good.clone();
        change(&mut grant);
        edge.accept(key.clone(), grant).unwrap_err()
    };
    let count = |what, found, max| GrantError::Count { what, found, max };

    edge.accept(key.clone(), good.clone()).unwrap();
    assert_eq!(refused(&|grant| grant.addresses.clear()), count("addresses", 0, 16));
    assert_eq!(
        refused(&|grant| grant.receipt_keys = vec![grant.receipt_keys[0]; 9]),
        count("receipt keys", 9, 8)
    );
    let other = TrustDomain::parse("other.example").unwrap();
    assert_eq!(
        refused(&|grant| grant.trust_domain = other.clone()),
        GrantError::TrustDomain { found: other.clone(), expected: domain() }
    );
    let one = IdentityGeneration(1);
    assert_eq!(
        refused(&|grant| grant.generation = one),
        GrantError::Generation { found: one, current: one }
    );
    let stranger = PrivateKey::generate(&rng()).unwrap();
    assert_eq!(
        refused(&|grant| grant.leaf = issue(&relay, stranger.public_key(), 2).leaf),
        GrantError::Key { found: stranger.public_key().hash(), expected: key.public_key().hash() }
    );
    let (what, source) = ("leaf", IdentityError::Usage { expected: "clientAuth" });
    assert_eq!(
        refused(&|grant| grant.leaf = relay.leaf.to_vec()),
        GrantError::Certificate { what, source }
    );
    let source = IdentityError::Untrusted { source: webpki::Error::UnknownIssuer };
    assert_eq!(
        refused(&|grant| grant.leaf = issue(&foreign, key.public_key(), 2).leaf),
        GrantError::Certificate { what, source }
    );
    let (what, source) = ("relay authority", IdentityError::Malformed);
    assert_eq!(
        refused(&|grant| grant.relay_authorities = vec![vec![1]]),
        GrantError::Certificate { what, source }
    );
}

#[test]
fn the_first_grant_names_the_agent_and_contains_the_pinned_authority() {
    let (relay, foreign) = (relay(), relay());
    let pending = PendingEnrollment::create(&token(&relay), &rng()).unwrap();
    let key = *pending.session_key.public_key();
    let mut unpinned = issue(&relay, &key, 1);
    unpinned.relay_authorities = vec![foreign.relay_authority.certificate().to_vec()];
    assert_eq!(pending.clone().accept(unpinned).unwrap_err(), GrantError::PinMissing);

    let other = AgentName::parse("edge-2").unwrap();
    let term = Term { now: now(), life: Duration::from_secs(60) };
    let leaf = relay.agent_authority.issue_agent_leaf(&other, &key, term, &rng()).unwrap();
    let grant = relay.grant(&leaf, IdentityGeneration(1), addresses());
    let expected = GrantError::Agent { found: other, expected: agent() };
    assert_eq!(pending.accept(grant).unwrap_err(), expected);
}

#[test]
fn a_message_of_another_length_or_kind_is_refused() {
    let refusal = Refusal::new(RefusalCode::TokenRejected, "used");
    let response = EnrollResponse::Refused(refusal.clone());
    let bytes = response.encode().unwrap();

    assert_eq!(EnrollResponse::decode(&bytes).unwrap(), response);
    let cut = EnrollResponse::decode(&bytes[..bytes.len() - 1]);
    assert_eq!(cut, Err(MessageError::Malformed));
    let more = [&bytes[..], &[0]].concat();
    assert_eq!(EnrollResponse::decode(&more), Err(MessageError::Malformed));
    let unknown = [&[9], &bytes[1..]].concat();
    assert_eq!(EnrollResponse::decode(&unknown), Err(MessageError::Malformed));
    let length = MESSAGE_BYTES_MAX + 1;
    let long = EnrollResponse::decode(&vec![0; length]);
    assert_eq!(long, Err(MessageError::TooLong { length }));
}

/// A request with fixed fields.
fn fixed_join() -> Join {
    let mut point = [0xaa; 65];
    point[0] = 0x04;
    let bound_key = PublicKey::from_bytes(&point).unwrap();
    point[1..].fill(0xbb);
    let session_key = PublicKey::from_bytes(&point).unwrap();
    let token = postcard::from_bytes(&[0x22; 32]).unwrap();
    let proof = |byte| postcard::from_bytes(&[2, byte, byte]).unwrap();
    Join {
        secret: token,
        agent: agent(),
        bound_key,
        session_key,
        bound_proof: proof(1),
        session_proof: proof(2),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_bytes_of_every_request_stay_as_they_are() {
    let join = fixed_join();
    let (secret, agent) = ("22".repeat(32), "06656467652d31");
    let bound = format!("4104{}", "aa".repeat(64));
    let session = format!("4104{}", "bb".repeat(64));
    let expected = format!("00{secret}{agent}{bound}{session}020101020202");
    assert_eq!(hex(&EnrollRequest::Join(join.clone()).encode().unwrap()), expected);

    let recover = Recover {
        agent: join.agent.clone(),
        generation: IdentityGeneration(300),
        session_key: join.session_key,
        bound_proof: join.bound_proof.clone(),
        session_proof: join.session_proof.clone(),
    };
    let expected = format!("01{agent}ac02{session}020101020202");
    assert_eq!(hex(&EnrollRequest::Recover(recover).encode().unwrap()), expected);

    let renew = Renew {
        generation: IdentityGeneration(300),
        session_key: join.session_key,
        session_proof: join.session_proof,
    };
    let expected = format!("00ac02{session}020202");
    assert_eq!(hex(&RenewRequest::Renew(renew).encode().unwrap()), expected);
}

#[test]
fn the_bytes_of_every_answer_stay_as_they_are() {
    let grant = Grant {
        generation: IdentityGeneration(1),
        leaf: vec![0x0a],
        agent_authorities: vec![vec![0x0b]],
        relay_authorities: vec![vec![0x0c], vec![0x0d]],
        trust_domain: TrustDomain::parse("a.b").unwrap(),
        receipt_keys: vec![ReceiptVerifier::from_bytes([0x0e; 32])],
        addresses: vec![RelayAddress::parse("h:1").unwrap()],
    };
    let refusal = Refusal::new(RefusalCode::ProofRejected, "x");
    let key = "0e".repeat(32);
    let granted = format!("0001010a01010b02010c010d03612e6201{key}0103683a31");

    let response = EnrollResponse::Granted(Box::new(grant.clone()));
    assert_eq!(hex(&response.encode().unwrap()), granted);
    let response = RenewResponse::Granted(Box::new(grant));
    assert_eq!(hex(&response.encode().unwrap()), granted);
    let response = EnrollResponse::Refused(refusal.clone());
    assert_eq!(hex(&response.encode().unwrap()), "016c0178");
    let response = RenewResponse::Refused(refusal);
    assert_eq!(hex(&response.encode().unwrap()), "016c0178");
}

#[test]
fn debug_shows_neither_secret_nor_binding() {
    let text = format!("{:?} {:?}", fixed_join(), ChannelBinding::new([0x33; 32]));

    assert!(text.contains("secret: TokenSecret(redacted)"), "{text}");
    assert!(text.ends_with("ChannelBinding(redacted)"), "{text}");
    let hash = fixed_join().bound_key.hash();
    assert!(text.contains(&format!("PublicKey({hash})")), "{text}");
    assert_ne!(hash, KeyHash::from_bytes([0; 32]));
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = EnrollRequest::decode(&bytes);
        let _ = EnrollResponse::decode(&bytes);
        let _ = RenewRequest::decode(&bytes);
        let _ = RenewResponse::decode(&bytes);
    }
}
