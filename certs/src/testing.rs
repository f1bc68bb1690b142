//! What several test modules need: an installation at a fixed time, certificates outside the
//! profile, and TLS handshakes in memory, in the form QUIC uses.

use crate::address::RelayAddress;
use crate::authority::{Authority, AuthorityKind, Term};
use crate::edge_identity::{EdgeIdentity, PendingEnrollment};
use crate::enroll::{BINDING_LABEL, ChannelBinding};
use crate::identity::IdentityGeneration;
use crate::key::PrivateKey;
use crate::pem;
use crate::relay_identity::RelayIdentity;
use crate::tls::EdgeCredentials;
use crate::token::EnrollToken;
use crate::trust_domain::TrustDomain;
use rcgen::{CertificateParams, DistinguishedName, DnType, Issuer, KeyPair, date_time_ymd};
use ring::rand::SystemRandom;
use rustls::quic::{ClientConnection, Connection, ServerConnection, Version};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ServerConfig};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use skyspray_wire::name::AgentName;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Seconds since 1970 of the moment every test happens at: 2027-01-15 08:00:00.
pub(crate) const NOW_SECONDS: u64 = 1_800_000_000;

pub(crate) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW_SECONDS)
}

pub(crate) fn rng() -> SystemRandom {
    SystemRandom::new()
}

pub(crate) fn domain() -> TrustDomain {
    TrustDomain::parse("sky.example").unwrap()
}

pub(crate) fn agent() -> AgentName {
    AgentName::parse("edge-1").unwrap()
}

pub(crate) fn day() -> Term {
    Term { now: now(), life: Duration::from_hours(24) }
}

/// A clock that stands.
#[derive(Debug)]
pub(crate) struct Clock(pub(crate) u64);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0)))
    }
}

pub(crate) fn clock() -> Arc<dyn TimeProvider> {
    Arc::new(Clock(NOW_SECONDS))
}

pub(crate) fn relay() -> RelayIdentity {
    RelayIdentity::create(domain(), now(), &rng()).unwrap()
}

/// Credentials of an agent enrolled at `relay`.
pub(crate) fn edge(relay: &RelayIdentity) -> EdgeCredentials {
    enrolled(relay).credentials()
}

pub(crate) fn token(relay: &RelayIdentity) -> EnrollToken {
    let address = RelayAddress::parse("relay.test:4434").unwrap();
    EnrollToken::create(address, domain(), relay.pin(), agent(), &rng()).unwrap()
}

/// The identity of an agent enrolled at `relay`.
pub(crate) fn enrolled(relay: &RelayIdentity) -> EdgeIdentity {
    let pending = PendingEnrollment::create(&token(relay), &rng()).unwrap();
    let key = *pending.session_key.public_key();
    let leaf = relay.agent_authority.issue_agent_leaf(&agent(), &key, day(), &rng()).unwrap();
    let address = RelayAddress::parse("relay.test:4433").unwrap();
    pending.accept(relay.grant(&leaf, IdentityGeneration(1), vec![address])).unwrap()
}

/// Signs a leaf with the authority's key, beside every rule that [`Authority`] keeps. The
/// parameters start without name, usage or authority bits, valid for an hour either side of now.
pub(crate) fn forge<K: AuthorityKind>(
    authority: &Authority<K>,
    change: impl FnOnce(&mut CertificateParams),
) -> (CertificateDer<'static>, PrivateKey) {
    let signer = KeyPair::from_pem(&authority.to_pem()).unwrap();
    forge_with(K::NAME, &authority.key_hash().to_string(), &signer, change)
}

/// [`forge`] with any key and the issuer name an authority with `key_hash` has.
pub(crate) fn forge_with(
    kind: &str,
    key_hash: &str,
    signer: &KeyPair,
    change: impl FnOnce(&mut CertificateParams),
) -> (CertificateDer<'static>, PrivateKey) {
    let mut issuer = CertificateParams::default();
    issuer.distinguished_name = DistinguishedName::new();
    let name = format!("skyspray {kind} authority {}", &key_hash[..16]);
    issuer.distinguished_name.push(DnType::CommonName, name);
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.serial_number = Some(vec![0x41; 16].into());
    set_dates(&mut params, NOW_SECONDS - 3600, NOW_SECONDS + 3600);
    change(&mut params);
    let key = PrivateKey::generate(&rng()).unwrap();
    let subject = KeyPair::from_pem(&pem::encode_key(&key)).unwrap();
    let issuer = Issuer::from_params(&issuer, signer);
    (params.signed_by(&subject, &issuer).unwrap().der().clone(), key)
}

/// Sets the dates of a certificate, in seconds since 1970.
pub(crate) fn set_dates(params: &mut CertificateParams, from: u64, to: u64) {
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(from);
    params.not_after = epoch + Duration::from_secs(to);
}

/// A handshake that did not complete: who refused, and why.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) side: &'static str,
    pub(crate) error: rustls::Error,
}

pub(crate) struct Session {
    pub(crate) edge: Connection,
    pub(crate) relay: Connection,
}

impl Session {
    pub(crate) fn edge_binding(&self) -> ChannelBinding {
        let exported = self.edge.export_keying_material([0; 32], BINDING_LABEL, Some(&[]));
        ChannelBinding::new(exported.unwrap())
    }

    pub(crate) fn relay_binding(&self) -> ChannelBinding {
        let exported = self.relay.export_keying_material([0; 32], BINDING_LABEL, Some(&[]));
        ChannelBinding::new(exported.unwrap())
    }
}

/// A whole handshake, to `relay.sky.example`.
pub(crate) fn handshake(edge: &ClientConfig, relay: &ServerConfig) -> Result<Session, Failed> {
    let name = domain().relay_server_name();
    handshake_to(name, &Arc::new(edge.clone()), &Arc::new(relay.clone()))
}

pub(crate) fn handshake_to(
    name: ServerName<'static>,
    edge: &Arc<ClientConfig>,
    relay: &Arc<ServerConfig>,
) -> Result<Session, Failed> {
    let on = |side| move |error| Failed { side, error };
    let mut edge =
        ClientConnection::new(edge.clone(), Version::V1, name, Vec::new()).map_err(on("edge"))?;
    let mut relay =
        ServerConnection::new(relay.clone(), Version::V1, Vec::new()).map_err(on("relay"))?;
    loop {
        let mut moved = 0;
        for message in flight(|buffer| edge.write_hs(buffer).is_some()) {
            moved += message.len();
            relay.read_hs(&message).map_err(on("relay"))?;
        }
        for message in flight(|buffer| relay.write_hs(buffer).is_some()) {
            moved += message.len();
            edge.read_hs(&message).map_err(on("edge"))?;
        }
        if moved == 0 {
            assert!(!edge.is_handshaking() && !relay.is_handshaking());
            return Ok(Session { edge: edge.into(), relay: relay.into() });
        }
    }
}

/// Everything one side has to say, cut where its keys change.
fn flight(mut write: impl FnMut(&mut Vec<u8>) -> bool) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    loop {
        let mut buffer = Vec::new();
        let keys_changed = write(&mut buffer);
        let done = buffer.is_empty() && !keys_changed;
        messages.push(buffer);
        if done {
            return messages;
        }
    }
}
