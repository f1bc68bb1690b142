//! What a relay is: its two authorities, its leaf and its receipt key.

use crate::address::RelayAddress;
use crate::authority::{
    AUTHORITY_LIFE, Agents, Authority, AuthorityError, IssuedLeaf, RELAY_LEAF_LIFE, Relays, Term,
};
use crate::enroll::Grant;
use crate::identity::{IdentityError, IdentityGeneration, RelayCertificate};
use crate::key::{KeyHash, PrivateKey};
use crate::receipt::{ReceiptKeyError, ReceiptSigner};
use crate::tls::RelayCredentials;
use crate::trust_domain::TrustDomain;
use ring::hmac;
use ring::rand::SecureRandom;
use rustls_pki_types::CertificateDer;
use std::time::SystemTime;
use thiserror::Error;

/// Why a relay's identity could not be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RelayIdentityError {
    /// An authority could not be made, or could not issue the leaf.
    #[error("authority of the relay failed")]
    Authority(#[from] AuthorityError),
    /// The receipt key could not be made.
    #[error("receipt key could not be made")]
    Receipt(#[from] ReceiptKeyError),
}

/// Everything secret a relay has. Replicas of one installation share it.
#[derive(Debug)]
pub struct RelayIdentity {
    /// Issues to relays; edges pin it.
    pub relay_authority: Authority<Relays>,
    /// Issues to agents.
    pub agent_authority: Authority<Agents>,
    /// The leaf this relay shows.
    pub leaf: CertificateDer<'static>,
    /// The leaf's key.
    pub leaf_key: PrivateKey,
    /// Signs receipts.
    pub receipt_signer: ReceiptSigner,
}

impl RelayIdentity {
    /// Makes the identity of a new installation, with [`AUTHORITY_LIFE`] and [`RELAY_LEAF_LIFE`].
    ///
    /// # Errors
    ///
    /// A clock before 1970 or after 9999, or a random source that failed.
    pub fn create(
        trust_domain: TrustDomain,
        now: SystemTime,
        rng: &dyn SecureRandom,
    ) -> Result<Self, RelayIdentityError> {
        let term = Term { now, life: AUTHORITY_LIFE };
        let relay_authority = Authority::create(trust_domain.clone(), term, rng)?;
        let agent_authority = Authority::create(trust_domain, term, rng)?;
        let receipt_signer = ReceiptSigner::generate(rng)?;
        let leaf_term = Term { now, life: RELAY_LEAF_LIFE };
        let authorities = (relay_authority, agent_authority);
        Ok(Self::with_new_leaf(authorities, receipt_signer, leaf_term, rng)?)
    }

    /// What replicas share, with a leaf made for `term`.
    ///
    /// # Errors
    ///
    /// As for [`Self::renew_leaf`].
    pub fn with_new_leaf(
        (relay_authority, agent_authority): (Authority<Relays>, Authority<Agents>),
        receipt_signer: ReceiptSigner,
        term: Term,
        rng: &dyn SecureRandom,
    ) -> Result<Self, AuthorityError> {
        let (leaf, leaf_key) = new_leaf(&relay_authority, term, rng)?;
        Ok(Self { relay_authority, agent_authority, leaf, leaf_key, receipt_signer })
    }

    /// Replaces the leaf by one with a new key. Store it, then build the configurations anew.
    ///
    /// # Errors
    ///
    /// An expired authority, a life out of range, or a random source that failed; the old leaf
    /// stays.
    pub fn renew_leaf(&mut self, term: Term, rng: &dyn SecureRandom) -> Result<(), AuthorityError> {
        (self.leaf, self.leaf_key) = new_leaf(&self.relay_authority, term, rng)?;
        Ok(())
    }

    /// What the TLS configurations need.
    pub fn credentials(&self) -> RelayCredentials {
        RelayCredentials {
            leaf: self.leaf.clone(),
            key: self.leaf_key.clone(),
            authority: self.relay_authority.certificate().clone(),
            trust_domain: self.trust_domain().clone(),
        }
    }

    /// A secret that every replica derives alike and nobody else can, for one `purpose`.
    pub fn shared_secret(&self, purpose: &str) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.receipt_signer.pkcs8());
        let tag = hmac::sign(&key, purpose.as_bytes());
        tag.as_ref().try_into().expect("SHA-256 has 32 bytes")
    }

    /// The installation's trust domain.
    pub fn trust_domain(&self) -> &TrustDomain {
        self.relay_authority.trust_domain()
    }

    /// The pin for enrollment tokens.
    pub fn pin(&self) -> KeyHash {
        self.relay_authority.key_hash()
    }

    /// Serial number and dates of the leaf.
    ///
    /// # Errors
    ///
    /// A stored leaf that is not this program's: the file was changed by somebody else.
    pub fn certificate(&self) -> Result<RelayCertificate, IdentityError> {
        RelayCertificate::from_chain(std::slice::from_ref(&self.leaf), self.trust_domain())
    }

    /// The answer to an enrollment, recovery or renewal: the leaf just issued, and `addresses` of
    /// the data listeners.
    pub fn grant(
        &self,
        issued: &IssuedLeaf,
        generation: IdentityGeneration,
        addresses: Vec<RelayAddress>,
    ) -> Grant {
        Grant {
            generation,
            leaf: issued.certificate.to_vec(),
            agent_authorities: vec![self.agent_authority.certificate().to_vec()],
            relay_authorities: vec![self.relay_authority.certificate().to_vec()],
            trust_domain: self.trust_domain().clone(),
            receipt_keys: vec![self.receipt_signer.verifier()],
            addresses,
        }
    }
}

fn new_leaf(
    authority: &Authority<Relays>,
    term: Term,
    rng: &dyn SecureRandom,
) -> Result<(CertificateDer<'static>, PrivateKey), AuthorityError> {
    let key = PrivateKey::generate(rng)?;
    let issued = authority.issue_relay_leaf(key.public_key(), term, rng)?;
    Ok((issued.certificate, key))
}
