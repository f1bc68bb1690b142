//! What an edge is: before the relay has answered, and after.

use crate::address::RelayAddress;
use crate::enroll::{EdgeKeys, Expected, Grant, GrantError, authority_pin};
use crate::identity::{AgentIdentity, IdentityError, IdentityGeneration};
use crate::key::{KeyError, KeyHash, PrivateKey};
use crate::receipt::ReceiptVerifier;
use crate::tls::EdgeCredentials;
use crate::token::EnrollToken;
use crate::trust_domain::TrustDomain;
use ring::rand::SecureRandom;
use rustls_pki_types::CertificateDer;
use skyspray_wire::name::AgentName;

/// An edge between making its keys and holding an identity.
///
/// Store it before the first `Join` is sent: should the answer be lost, the bound key recovers
/// the identity although the token is used up.
#[derive(Clone, Debug)]
pub struct PendingEnrollment {
    /// The relay's enrollment listener.
    pub enroll_address: RelayAddress,
    /// The installation's trust domain.
    pub trust_domain: TrustDomain,
    /// Hash of the relay authority's key.
    pub pin: KeyHash,
    /// The name the operator chose.
    pub agent: AgentName,
    /// The long-lived key.
    pub bound_key: PrivateKey,
    /// The key of the first leaf.
    pub session_key: PrivateKey,
}

impl PendingEnrollment {
    /// Makes the two keys of a new edge.
    ///
    /// # Errors
    ///
    /// [`KeyError::RandomFailed`].
    pub fn create(token: &EnrollToken, rng: &dyn SecureRandom) -> Result<Self, KeyError> {
        Ok(Self {
            enroll_address: token.address.clone(),
            trust_domain: token.trust_domain.clone(),
            pin: token.pin,
            agent: token.agent.clone(),
            bound_key: PrivateKey::generate(rng)?,
            session_key: PrivateKey::generate(rng)?,
        })
    }

    /// The keys, as requests take them.
    pub fn keys(&self) -> EdgeKeys<'_> {
        EdgeKeys { bound: &self.bound_key, session: &self.session_key }
    }

    /// Turns the answer to a `Join` or to the `Recover` that followed it into an identity.
    ///
    /// # Errors
    ///
    /// A grant that does not fit the token or the keys that were sent.
    pub fn accept(self, grant: Grant) -> Result<EdgeIdentity, GrantError> {
        let expected = Expected {
            agent: &self.agent,
            trust_domain: &self.trust_domain,
            session_key: &self.session_key,
            current: IdentityGeneration(0),
        };
        let accepted = expected.check(&grant)?;
        if !accepted.relay_authorities.iter().any(|der| authority_pin(der) == Some(self.pin)) {
            return Err(GrantError::PinMissing);
        }
        Ok(EdgeIdentity {
            agent: self.agent,
            generation: grant.generation,
            trust_domain: self.trust_domain,
            enroll_address: self.enroll_address,
            addresses: grant.addresses,
            bound_key: self.bound_key,
            session_key: self.session_key,
            leaf: accepted.leaf,
            agent_authorities: accepted.agent_authorities,
            relay_authorities: accepted.relay_authorities,
            receipt_keys: grant.receipt_keys,
        })
    }
}

/// The identity of an edge, with everything it needs to open sessions, renew and recover.
#[derive(Clone, Debug)]
pub struct EdgeIdentity {
    /// The agent's name.
    pub agent: AgentName,
    /// The generation of the leaf.
    pub generation: IdentityGeneration,
    /// The installation's trust domain.
    pub trust_domain: TrustDomain,
    /// The relay's enrollment listener, for recovery.
    pub enroll_address: RelayAddress,
    /// The relays' data listeners, in the order to try them.
    pub addresses: Vec<RelayAddress>,
    /// The long-lived key.
    pub bound_key: PrivateKey,
    /// The leaf's key.
    pub session_key: PrivateKey,
    /// The leaf.
    pub leaf: CertificateDer<'static>,
    /// The agent authorities.
    pub agent_authorities: Vec<CertificateDer<'static>>,
    /// The relay authorities.
    pub relay_authorities: Vec<CertificateDer<'static>>,
    /// The keys receipts may be signed with.
    pub receipt_keys: Vec<ReceiptVerifier>,
}

impl EdgeIdentity {
    /// What the TLS configuration of data sessions needs.
    pub fn credentials(&self) -> EdgeCredentials {
        EdgeCredentials {
            leaf: self.leaf.clone(),
            key: self.session_key.clone(),
            relay_authorities: self.relay_authorities.clone(),
            trust_domain: self.trust_domain.clone(),
        }
    }

    /// The keys, as a `Recover` takes them together with a new session key.
    pub fn keys_with<'a>(&'a self, session: &'a PrivateKey) -> EdgeKeys<'a> {
        EdgeKeys { bound: &self.bound_key, session }
    }

    /// The pins for recovery on the enrollment listener, one for each relay authority.
    pub fn pins(&self) -> Vec<KeyHash> {
        self.relay_authorities.iter().filter_map(|der| authority_pin(der)).collect()
    }

    /// Name, serial number and dates of the leaf.
    ///
    /// # Errors
    ///
    /// A stored leaf that is not this program's: the file was changed by somebody else.
    pub fn identity(&self) -> Result<AgentIdentity, IdentityError> {
        AgentIdentity::from_chain(std::slice::from_ref(&self.leaf), &self.trust_domain)
    }

    /// Turns the answer to a `Renew` or `Recover` into the next identity, with the session key
    /// that was sent.
    ///
    /// # Errors
    ///
    /// A grant that does not fit the identity or the key that was sent; this identity stays.
    pub fn accept(&self, session_key: PrivateKey, grant: Grant) -> Result<Self, GrantError> {
        let expected = Expected {
            agent: &self.agent,
            trust_domain: &self.trust_domain,
            session_key: &session_key,
            current: self.generation,
        };
        let accepted = expected.check(&grant)?;
        Ok(Self {
            agent: self.agent.clone(),
            generation: grant.generation,
            trust_domain: self.trust_domain.clone(),
            enroll_address: self.enroll_address.clone(),
            addresses: grant.addresses,
            bound_key: self.bound_key.clone(),
            session_key,
            leaf: accepted.leaf,
            agent_authorities: accepted.agent_authorities,
            relay_authorities: accepted.relay_authorities,
            receipt_keys: grant.receipt_keys,
        })
    }
}
