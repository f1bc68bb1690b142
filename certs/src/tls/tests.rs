//! Handshakes with every kind of certificate that must not be accepted, in both directions.

use super::*;
use crate::authority::{Authority, Term};
use crate::identity::AgentIdentity;
use crate::testing::{
    Clock, NOW_SECONDS, agent, clock, day, domain, edge, enrolled, forge, forge_with, handshake,
    handshake_to, now, relay, rng, set_dates,
};
use rcgen::{BasicConstraints, KeyUsagePurpose};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose as Usage, IsCa, KeyPair, SanType};
use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};
use rustls_pki_types::ServerName;
use std::time::Duration;

/// What a handshake came to, in a form that compares: `accepted`, or who refused and why.
fn outcome(edge: &ClientConfig, relay: &ServerConfig) -> String {
    match handshake(edge, relay) {
        Ok(_) => "accepted".to_owned(),
        Err(failed) => format!("{}: {}", failed.side, reason(&failed.error)),
    }
}

fn reason(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(CertificateError::Other(other)) => {
            match other.0.downcast_ref::<IdentityError>() {
                Some(IdentityError::Untrusted { source }) => format!("{source:?}"),
                Some(identity) => format!("{identity:?}"),
                None => panic!("an error of somebody else: {other:?}"),
            }
        }
        Error::InvalidCertificate(known) => format!("{known:?}"),
        other => format!("{other:?}"),
    }
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

/// The parameters of a rightful leaf; each case changes one thing.
fn rightful(params: &mut CertificateParams, name: &str, usage: Usage) {
    params.subject_alt_names = vec![dns(name)];
    params.extended_key_usages = vec![usage];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
}

type Change = fn(&mut CertificateParams);

/// One thing wrong each, and what the side that checks says.
const BAD_LEAVES: &[(&str, Change, &str)] = &[
    ("nothing", |_| {}, "accepted"),
    ("expired", |p| set_dates(p, NOW_SECONDS - 3600, NOW_SECONDS - 1), "Expired"),
    ("future", |p| set_dates(p, NOW_SECONDS + 1, NOW_SECONDS + 3600), "NotValidYet"),
    ("foreign", |p| p.subject_alt_names = vec![dns("a.example")], "NameConstraintViolation"),
    ("nameless", |p| p.subject_alt_names.clear(), "NameCount { found: 0 }"),
    (
        "address",
        |p| p.subject_alt_names = vec![SanType::IpAddress([10, 0, 0, 1].into())],
        "NameKind",
    ),
    (
        "two names",
        |p| p.subject_alt_names.push(p.subject_alt_names[0].clone()),
        "NameCount { found: 2 }",
    ),
    ("no usage", |p| p.extended_key_usages.clear(), "InvalidPurpose"),
    ("other usage", |p| p.extended_key_usages = vec![Usage::CodeSigning], "InvalidPurpose"),
    ("any usage", |p| p.extended_key_usages.push(Usage::Any), "Usage"),
    ("no key usage", |p| p.key_usages.clear(), "KeyUsage"),
    ("more key usage", |p| p.key_usages.push(KeyUsagePurpose::KeyAgreement), "KeyUsage"),
    ("authority", |p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained), "CaUsedAsEndEntity"),
    ("short serial", |p| p.serial_number = Some(vec![1].into()), "SerialLength { length: 1 }"),
];

/// Cases that differ between the two sides.
const BAD_AGENTS: &[(&str, Change, &str)] = &[
    ("wildcard", |p| p.subject_alt_names = vec![dns("*.agents.sky.example")], "Wildcard"),
    ("subtree itself", |p| p.subject_alt_names = vec![dns("agents.sky.example")], "NameForeign"),
    ("deeper", |p| p.subject_alt_names = vec![dns("a.b.agents.sky.example")], "NameForeign"),
    ("a relay's name", |p| p.subject_alt_names = vec![dns("relay.sky.example")], "NameConstraint"),
    ("both usages", |p| p.extended_key_usages.push(Usage::ServerAuth), "Usage"),
    ("server usage", |p| p.extended_key_usages = vec![Usage::ServerAuth], "InvalidPurpose"),
];

const BAD_RELAYS: &[(&str, Change, &str)] = &[
    ("wildcard", |p| p.subject_alt_names = vec![dns("*.relay.sky.example")], "Wildcard"),
    ("deeper", |p| p.subject_alt_names = vec![dns("a.relay.sky.example")], "NameForeign"),
    ("an agent's name", |p| p.subject_alt_names = vec![dns("a.agents.sky.example")], "NameConstr"),
    ("both usages", |p| p.extended_key_usages.push(Usage::ClientAuth), "Usage"),
    ("client usage", |p| p.extended_key_usages = vec![Usage::ClientAuth], "InvalidPurpose"),
];

fn check(case: &str, side: &str, expected: &str, found: &str) {
    let expected =
        if expected == "accepted" { expected.to_owned() } else { format!("{side}: {expected}") };
    assert!(found.starts_with(&expected), "{case}: expected {expected}, found {found}");
}

#[test]
fn t2_a_relay_refuses_every_agent_certificate_outside_the_profile() {
    let relay = relay();
    let authority = [relay.agent_authority.certificate().clone()];
    let server = relay_data_config(&relay.credentials(), &authority, clock()).unwrap();
    for (case, change, expected) in BAD_LEAVES.iter().chain(BAD_AGENTS) {
        let mut credentials = edge(&relay);
        (credentials.leaf, credentials.key) = forge(&relay.agent_authority, |params| {
            rightful(params, "edge-1.agents.sky.example", Usage::ClientAuth);
            change(params);
        });
        let client = edge_data_config(&credentials, clock()).unwrap();

        check(case, "relay", expected, &outcome(&client, &server));
    }
}

#[test]
fn t1_an_edge_refuses_every_relay_certificate_outside_the_profile() {
    let relay = relay();
    let authority = [relay.agent_authority.certificate().clone()];
    let data = edge_data_config(&edge(&relay), clock()).unwrap();
    let enroll = edge_enroll_config(&[relay.pin()], &domain(), clock()).unwrap();
    for (case, change, expected) in BAD_LEAVES.iter().chain(BAD_RELAYS) {
        let mut credentials = relay.credentials();
        (credentials.leaf, credentials.key) = forge(&relay.relay_authority, |params| {
            rightful(params, "relay.sky.example", Usage::ServerAuth);
            change(params);
        });

        let server = relay_data_config(&credentials, &authority, clock()).unwrap();
        check(case, "edge", expected, &outcome(&data, &server));
        let server = relay_enroll_config(&credentials, clock()).unwrap();
        check(case, "edge", expected, &outcome(&enroll, &server));
    }
}

#[test]
fn t12_only_the_rightful_pair_of_certificates_makes_a_session() {
    let (mine, other) = (relay(), relay());
    let authority = [mine.agent_authority.certificate().clone()];
    let agent_leaf = |of: &crate::RelayIdentity| {
        let edge = edge(of);
        (edge.leaf, edge.key)
    };
    let relay_leaf = |of: &crate::RelayIdentity| (of.leaf.clone(), of.leaf_key.clone());
    let leaves = || [agent_leaf(&mine), relay_leaf(&mine), agent_leaf(&other), relay_leaf(&other)];
    let mut outcomes = Vec::new();
    for (leaf, key) in leaves() {
        let credentials = EdgeCredentials { leaf, key, ..edge(&mine) };
        let client = edge_data_config(&credentials, clock()).unwrap();
        for (leaf, key) in leaves() {
            let credentials = RelayCredentials { leaf, key, ..mine.credentials() };
            let server = relay_data_config(&credentials, &authority, clock()).unwrap();
            outcomes.push(outcome(&client, &server));
        }
    }

    let refused_by_relay = ["accepted", "InvalidPurpose", "UnknownIssuer", "InvalidPurpose"];
    for (as_edge, row) in outcomes.chunks(4).enumerate() {
        let mine = refused_by_relay[as_edge];
        let mine = if as_edge == 0 { mine.to_owned() } else { format!("relay: {mine}") };
        let expected =
            ["edge: InvalidPurpose", &mine, "edge: InvalidPurpose", "edge: UnknownIssuer"];
        assert_eq!(row, expected, "certificate {as_edge} as the edge's");
    }
}

#[test]
fn an_authority_of_the_same_name_with_another_key_is_not_trusted() {
    let relay = relay();
    let authority = [relay.agent_authority.certificate().clone()];
    let server = relay_data_config(&relay.credentials(), &authority, clock()).unwrap();
    let hash = relay.agent_authority.key_hash().to_string();
    let mut credentials = edge(&relay);
    (credentials.leaf, credentials.key) =
        forge_with("agent", &hash, &KeyPair::generate().unwrap(), |params| {
            rightful(params, "edge-1.agents.sky.example", Usage::ClientAuth);
        });
    let client = edge_data_config(&credentials, clock()).unwrap();

    assert_eq!(outcome(&client, &server), "relay: BadSignature");
}

#[test]
fn a_client_without_certificate_is_refused_on_the_data_listener() {
    let relay = relay();
    let authority = [relay.agent_authority.certificate().clone()];
    let server = relay_data_config(&relay.credentials(), &authority, clock()).unwrap();
    let trust =
        RelayTrust::Anchors(trusted(&[relay.relay_authority.certificate().clone()]).unwrap());
    let client = edge_builder(trust, &domain(), clock()).unwrap().with_no_client_auth();
    let client = harden_edge(client, ALPN_DATA);

    assert_eq!(outcome(&client, &server), "relay: NoCertificatesPresented");
}

#[test]
fn a_leaf_of_an_authority_that_is_over_is_refused() {
    let relay = relay();
    let end = now() + Duration::from_secs(60);
    let short = Term { now: now(), life: Duration::from_secs(60) };
    let authority = Authority::<crate::Agents>::create(domain(), short, &rng()).unwrap();
    assert_eq!(authority.not_after(), end);
    let (leaf, key) = forge(&authority, |params| {
        rightful(params, "edge-1.agents.sky.example", Usage::ClientAuth);
    });
    let credentials = EdgeCredentials { leaf, key, ..edge(&relay) };
    let client = edge_data_config(&credentials, clock()).unwrap();
    let roots = [authority.certificate().clone()];
    let after = |seconds| {
        let clock = Arc::new(Clock(NOW_SECONDS + seconds));
        let server = relay_data_config(&relay.credentials(), &roots, clock).unwrap();
        outcome(&client, &server)
    };

    assert_eq!(after(60), "accepted");
    assert_eq!(after(61), "relay: AuthorityOutOfDate");
}

#[test]
fn a_chain_carries_nothing_but_the_leaf_and_its_authority() {
    let (relay, other) = (relay(), relay());
    let authority = relay.agent_authority.certificate().clone();
    let server =
        relay_data_config(&relay.credentials(), std::slice::from_ref(&authority), clock()).unwrap();
    let with = |beside: &[&CertificateDer<'static>]| {
        let edge = edge(&relay);
        let trust = RelayTrust::Anchors(trusted(&edge.relay_authorities).unwrap());
        let mut chain = vec![edge.leaf.clone()];
        chain.extend(beside.iter().map(|&der| der.clone()));
        let client = edge_builder(trust, &domain(), clock())
            .unwrap()
            .with_client_auth_cert(chain, edge.key.to_rustls())
            .unwrap();
        outcome(&harden_edge(client, ALPN_DATA), &server)
    };

    assert_eq!(with(&[&authority]), "accepted");
    let foreign = other.agent_authority.certificate();
    assert_eq!(with(&[foreign]), "relay: IntermediateForeign");
    assert_eq!(with(&[&authority, &authority]), "relay: ChainLength { length: 3 }");
}

#[test]
fn t4_enrollment_believes_the_pinned_authority_only() {
    let (mine, fake) = (relay(), relay());
    let client = edge_enroll_config(&[mine.pin()], &domain(), clock()).unwrap();
    let server = |credentials| relay_enroll_config(&credentials, clock()).unwrap();
    let disguised = RelayCredentials {
        authority: mine.relay_authority.certificate().clone(),
        ..fake.credentials()
    };
    let leaf_for_authority =
        RelayCredentials { authority: mine.leaf.clone(), ..mine.credentials() };
    let pin_of_leaf = mine.leaf_key.public_key().hash();
    let pinned_leaf = edge_enroll_config(&[pin_of_leaf], &domain(), clock()).unwrap();

    assert_eq!(outcome(&client, &server(mine.credentials())), "accepted");
    assert_eq!(outcome(&client, &server(fake.credentials())), "edge: PinMismatch");
    assert_eq!(outcome(&client, &server(disguised)), "edge: UnknownIssuer");
    assert_eq!(outcome(&pinned_leaf, &server(leaf_for_authority)), "edge: NotAuthority");
}

#[test]
fn enrollment_without_the_authority_in_the_chain_is_refused() {
    let relay = relay();
    let client = edge_enroll_config(&[relay.pin()], &domain(), clock()).unwrap();
    let server = ServerConfig::builder_with_details(provider(), clock())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![relay.leaf.clone()], relay.leaf_key.to_rustls())
        .unwrap();

    assert_eq!(outcome(&client, &harden_relay(server, ALPN_ENROLL)), "edge: PinMismatch");
}

#[test]
fn an_edge_asks_for_the_one_name_of_the_trust_domain() {
    let relay = relay();
    let client = edge_enroll_config(&[relay.pin()], &domain(), clock()).unwrap();
    let server = relay_enroll_config(&relay.credentials(), clock()).unwrap();
    let name = ServerName::try_from("relay.other.example").unwrap();

    let failed = handshake_to(name, &Arc::new(client), &Arc::new(server)).err().unwrap();
    let expected = Error::InvalidCertificate(CertificateError::NotValidForName);
    assert_eq!((failed.side, failed.error), ("edge", expected));
}

#[test]
fn both_sides_insist_on_the_protocol_name() {
    let relay = relay();
    let authority = [relay.agent_authority.certificate().clone()];
    let mut data = relay_data_config(&relay.credentials(), &authority, clock()).unwrap();
    let enroll = relay_enroll_config(&relay.credentials(), clock()).unwrap();
    let mut client = edge_data_config(&edge(&relay), clock()).unwrap();

    assert_eq!(outcome(&client, &enroll), "relay: NoApplicationProtocol");
    data.alpn_protocols.clear();
    assert_eq!(outcome(&client, &data), "relay: NoApplicationProtocol");
    data.alpn_protocols = vec![b"skyspray/1".to_vec()];
    assert_eq!(outcome(&client, &data), "accepted");
    client.alpn_protocols.clear();
    assert_eq!(outcome(&client, &data), "relay: NoApplicationProtocol");
    assert_eq!(enroll.alpn_protocols, [b"skyspray-enrol/1".to_vec()]);
}

#[test]
fn tls_1_2_is_not_offered_and_not_taken() {
    let relay = relay();
    let server = relay_enroll_config(&relay.credentials(), clock()).unwrap();
    let mut server = rustls::ServerConnection::new(Arc::new(server)).unwrap();
    let mut body = vec![0x03, 0x03];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0xc0, 0x2b, 1, 0]);
    body.extend([0, 14, 0, 13, 0, 4, 0, 2, 4, 3, 0, 10, 0, 4, 0, 2, 0, 0x17]);
    body[42] = 16;
    let length = |body: &[u8]| u8::try_from(body.len()).unwrap();
    let mut record = vec![0x16, 0x03, 0x01, 0, length(&body) + 4, 0x01, 0, 0, length(&body)];
    record.extend(&body);
    server.read_tls(&mut &record[..]).unwrap();

    let error = server.process_new_packets().unwrap_err();
    let expected = PeerIncompatible::SupportedVersionsExtensionRequired;
    assert_eq!(error, Error::PeerIncompatible(expected));

    let client = edge_enroll_config(&[relay.pin()], &domain(), clock()).unwrap();
    let name = domain().relay_server_name();
    let mut client = rustls::ClientConnection::new(Arc::new(client), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    let supported_versions = [0x00, 0x2b, 0x00, 0x03, 0x02, 0x03, 0x04];
    assert!(hello.windows(supported_versions.len()).any(|window| window == supported_versions));
}

#[test]
fn t7_a_removed_authority_cannot_come_back_by_resumption() {
    let (old, new) = (relay(), relay());
    let storage = rustls::server::ServerSessionMemoryCache::new(16);
    let accepting = |roots: &crate::RelayIdentity, tickets| {
        let authority = [roots.agent_authority.certificate().clone()];
        let mut config = relay_data_config(&old.credentials(), &authority, clock()).unwrap();
        if tickets > 0 {
            config.send_tls13_tickets = tickets;
            config.session_storage = storage.clone();
        }
        config
    };
    let reconnect = |tickets| {
        let mut client = edge_data_config(&edge(&old), clock()).unwrap();
        client.resumption = Resumption::in_memory_sessions(16);
        let session = handshake(&client, &accepting(&old, tickets)).unwrap();
        let rustls::quic::Connection::Client(session) = session.edge else { unreachable!() };
        let received = session.tls13_tickets_received();
        (received, outcome(&client, &accepting(&new, tickets)))
    };

    assert_eq!(reconnect(0), (0, "relay: UnknownIssuer".to_owned()));
    // The danger is real: with tickets the removed authority's agent is let in.
    assert_eq!(reconnect(2), (2, "accepted".to_owned()));
}

#[test]
fn no_configuration_makes_tickets_resumes_or_takes_early_data() {
    let relay = relay();
    let authority = [relay.agent_authority.certificate().clone()];
    let data = relay_data_config(&relay.credentials(), &authority, clock()).unwrap();
    let enroll = relay_enroll_config(&relay.credentials(), clock()).unwrap();
    for config in [&data, &enroll] {
        assert_eq!(config.send_tls13_tickets, 0);
        assert_eq!(config.max_early_data_size, 0);
        assert!(!config.session_storage.can_cache());
        assert!(!config.ticketer.enabled());
        assert!(!config.key_log.will_log("CLIENT_TRAFFIC_SECRET_0"));
    }
    let edge_data = edge_data_config(&edge(&relay), clock()).unwrap();
    let edge_enroll = edge_enroll_config(&[relay.pin()], &domain(), clock()).unwrap();
    for config in [&edge_data, &edge_enroll] {
        assert!(!config.enable_early_data);
        assert!(!config.key_log.will_log("CLIENT_TRAFFIC_SECRET_0"));
    }
}

#[test]
fn a_session_uses_aes_128_gcm_and_names_both_ends() {
    let relay = relay();
    let authority = [relay.agent_authority.certificate().clone()];
    let server = relay_data_config(&relay.credentials(), &authority, clock()).unwrap();
    let enrolled = enrolled(&relay);
    let client = edge_data_config(&enrolled.credentials(), clock()).unwrap();
    let session = handshake(&client, &server).unwrap();

    let suite = session.relay.negotiated_cipher_suite().unwrap().suite();
    assert_eq!(suite, rustls::CipherSuite::TLS13_AES_128_GCM_SHA256);
    let peer = session.relay.peer_certificates().unwrap();
    let identity = AgentIdentity::from_chain(peer, &domain()).unwrap();
    assert_eq!(identity, enrolled.identity().unwrap());
    assert_eq!(identity.name, agent());
    assert_eq!(identity.key_hash, enrolled.session_key.public_key().hash());
    assert_eq!(identity.validity.not_after, now() + day().life);
    assert_eq!(session.relay.alert(), None::<AlertDescription>);
}

#[test]
fn a_configuration_needs_somebody_to_trust_and_a_key_that_fits() {
    let relay = relay();
    let none = relay_data_config(&relay.credentials(), &[], clock()).unwrap_err();
    assert!(matches!(none, TlsError::TrustEmpty));
    let none = edge_enroll_config(&[], &domain(), clock()).unwrap_err();
    assert!(matches!(none, TlsError::TrustEmpty));
    let leaf = [relay.leaf.clone()];
    let error = relay_data_config(&relay.credentials(), &leaf, clock()).unwrap_err();
    assert!(matches!(error, TlsError::Authority(IdentityError::NotAuthority)));
    let key = PrivateKey::generate(&rng()).unwrap();
    let mixed = RelayCredentials { key, ..relay.credentials() };
    let error = relay_enroll_config(&mixed, clock()).unwrap_err();
    assert!(matches!(error, TlsError::Credentials(Error::InconsistentKeys(_))), "{error:?}");
}
