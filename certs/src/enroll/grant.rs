//! The relay's answer, and the checks every part of it must pass before an edge takes it.

use crate::address::RelayAddress;
use crate::identity::{self, AgentIdentity, IdentityError, IdentityGeneration, Role};
use crate::key::{KeyHash, PrivateKey};
use crate::receipt::ReceiptVerifier;
use crate::trust_domain::TrustDomain;
use crate::verify::Anchors;
use rustls_pki_types::{CertificateDer, UnixTime};
use serde::{Deserialize, Serialize};
use skyspray_wire::name::AgentName;
use std::time::SystemTime;
use thiserror::Error;

/// Most authorities of one kind in a grant: the current one and those replacing it.
const AUTHORITIES_MAX: usize = 4;

/// Most receipt keys in a grant.
const RECEIPT_KEYS_MAX: usize = 8;

/// Most relay addresses in a grant.
const ADDRESSES_MAX: usize = 16;

/// What a relay grants: the leaf, and everything an edge needs beside it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Grant {
    /// The generation this grant is.
    pub generation: IdentityGeneration,
    /// The agent's leaf, DER.
    pub leaf: Vec<u8>,
    /// The agent authorities, DER; one of them issued the leaf.
    pub agent_authorities: Vec<Vec<u8>>,
    /// The relay authorities to believe from now on, DER.
    pub relay_authorities: Vec<Vec<u8>>,
    /// The installation's trust domain.
    pub trust_domain: TrustDomain,
    /// The keys receipts may be signed with; the current one first.
    pub receipt_keys: Vec<ReceiptVerifier>,
    /// The data listeners, in the order to try them.
    pub addresses: Vec<RelayAddress>,
}

/// Why an edge does not take a grant: the relay's fault, or a mistake in its configuration.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum GrantError {
    /// A list is empty or longer than its limit.
    #[error("grant has {found} {what}, expected 1 to {max}")]
    Count {
        /// What is listed.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// The limit.
        max: usize,
    },
    /// The trust domain is not the one the edge belongs to.
    #[error("grant is for trust domain {found}, expected {expected}")]
    TrustDomain {
        /// The domain granted.
        found: TrustDomain,
        /// The edge's own.
        expected: TrustDomain,
    },
    /// None of the relay authorities has the pinned key.
    #[error("grant does not contain the pinned relay authority")]
    PinMissing,
    /// A certificate is not what it should be.
    #[error("granted {what} is not usable")]
    Certificate {
        /// Which certificate.
        what: &'static str,
        /// What is wrong with it.
        source: IdentityError,
    },
    /// The leaf names another agent.
    #[error("granted leaf is for agent {found}, expected {expected}")]
    Agent {
        /// The agent in the leaf.
        found: AgentName,
        /// The agent that asked.
        expected: AgentName,
    },
    /// The leaf is for a key the edge did not send.
    #[error("granted leaf is for key {found}, expected {expected}")]
    Key {
        /// Hash of the key in the leaf.
        found: KeyHash,
        /// Hash of the session key that was sent.
        expected: KeyHash,
    },
    /// The generation does not go forward.
    #[error("granted generation is {found}, expected one after {current}")]
    Generation {
        /// The generation granted.
        found: IdentityGeneration,
        /// The edge's current one.
        current: IdentityGeneration,
    },
}

/// What a grant must agree with.
pub(crate) struct Expected<'a> {
    pub(crate) agent: &'a AgentName,
    pub(crate) trust_domain: &'a TrustDomain,
    pub(crate) session_key: &'a PrivateKey,
    pub(crate) current: IdentityGeneration,
}

/// The certificates of a grant after every check.
pub(crate) struct Accepted {
    pub(crate) leaf: CertificateDer<'static>,
    pub(crate) agent_authorities: Vec<CertificateDer<'static>>,
    pub(crate) relay_authorities: Vec<CertificateDer<'static>>,
}

impl Expected<'_> {
    pub(crate) fn check(&self, grant: &Grant) -> Result<Accepted, GrantError> {
        check_count("agent authorities", grant.agent_authorities.len(), AUTHORITIES_MAX)?;
        check_count("relay authorities", grant.relay_authorities.len(), AUTHORITIES_MAX)?;
        check_count("receipt keys", grant.receipt_keys.len(), RECEIPT_KEYS_MAX)?;
        check_count("addresses", grant.addresses.len(), ADDRESSES_MAX)?;
        if grant.trust_domain != *self.trust_domain {
            let (found, expected) = (grant.trust_domain.clone(), self.trust_domain.clone());
            return Err(GrantError::TrustDomain { found, expected });
        }
        if grant.generation <= self.current {
            let (found, current) = (grant.generation, self.current);
            return Err(GrantError::Generation { found, current });
        }
        let agent_authorities = certificates(&grant.agent_authorities);
        let relay_authorities = certificates(&grant.relay_authorities);
        anchors("relay authority", &relay_authorities)?;
        let anchors = anchors("agent authority", &agent_authorities)?;
        self.check_leaf(&grant.leaf, &anchors)?;
        let leaf = CertificateDer::from(grant.leaf.clone());
        Ok(Accepted { leaf, agent_authorities, relay_authorities })
    }

    fn check_leaf(&self, leaf: &[u8], anchors: &Anchors) -> Result<(), GrantError> {
        let unusable = |source| GrantError::Certificate { what: "leaf", source };
        let chain = [CertificateDer::from(leaf)];
        let identity = AgentIdentity::from_chain(&chain, self.trust_domain).map_err(unusable)?;
        // The edge's clock may be wrong; whether the leaf is still valid is the relay's to judge.
        let issued = identity.validity.not_after;
        anchors.verify(&chain, Role::Agent, unix_time(issued)).map_err(unusable)?;
        if identity.name != *self.agent {
            let (found, expected) = (identity.name, self.agent.clone());
            return Err(GrantError::Agent { found, expected });
        }
        let expected = self.session_key.public_key().hash();
        if identity.key_hash != expected {
            return Err(GrantError::Key { found: identity.key_hash, expected });
        }
        Ok(())
    }
}

fn check_count(what: &'static str, found: usize, max: usize) -> Result<(), GrantError> {
    if (1..=max).contains(&found) { Ok(()) } else { Err(GrantError::Count { what, found, max }) }
}

fn certificates(list: &[Vec<u8>]) -> Vec<CertificateDer<'static>> {
    list.iter().map(|der| CertificateDer::from(der.clone())).collect()
}

fn anchors(what: &'static str, list: &[CertificateDer<'_>]) -> Result<Anchors, GrantError> {
    Anchors::from_certificates(list).map_err(|source| GrantError::Certificate { what, source })
}

/// The pin of an authority; `None` for bytes that are no certificate.
pub(crate) fn authority_pin(der: &CertificateDer<'_>) -> Option<KeyHash> {
    identity::parse(der).ok().map(|parsed| KeyHash::of_spki(parsed.public_key().raw))
}

fn unix_time(time: SystemTime) -> UnixTime {
    UnixTime::since_unix_epoch(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}
