//! Proofs of possession: a signature over one TLS session, one purpose and everything claimed.

use crate::identity::IdentityGeneration;
use crate::key::{KeyError, PrivateKey, PublicKey};
use ring::rand::SecureRandom;
use serde::{Deserialize, Serialize};
use skyspray_wire::name::AgentName;
use std::fmt;
use thiserror::Error;

/// Label for exporting the keying material of a session (RFC 8446, 7.5). The context is empty.
pub const BINDING_LABEL: &[u8] = b"skyspray-enrol/1";

/// Length of the exported keying material, in bytes.
pub const BINDING_BYTES: usize = 32;

/// First bytes of everything signed here, so that no other signature can be taken for a proof.
const DOMAIN: &[u8] = b"skyspray proof of possession 1\0";

/// Keying material exported from one TLS session: the same on both ends, on no other session.
#[derive(Clone)]
pub struct ChannelBinding([u8; BINDING_BYTES]);

impl ChannelBinding {
    /// Takes what the session's `export_keying_material` gave for [`BINDING_LABEL`] and an empty
    /// context.
    pub fn new(exported: [u8; BINDING_BYTES]) -> Self {
        Self(exported)
    }
}

impl fmt::Debug for ChannelBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChannelBinding(redacted)")
    }
}

/// The two private keys of an edge.
#[derive(Clone, Copy, Debug)]
pub struct EdgeKeys<'a> {
    /// Long-lived; only enrolls and recovers, never in a certificate.
    pub bound: &'a PrivateKey,
    /// In the leaf that is asked for.
    pub session: &'a PrivateKey,
}

/// A proof does not verify: another key, another session, or a field changed on the way.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("proof of possession of the {key} key does not verify")]
pub struct ProofError {
    pub(super) key: &'static str,
}

/// What a signature is for. The numbers are part of what is signed and never change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Purpose {
    JoinBound = 1,
    JoinSession = 2,
    RecoverBound = 3,
    RecoverSession = 4,
    RenewSession = 5,
}

impl Purpose {
    fn key_name(self) -> &'static str {
        match self {
            Self::JoinBound | Self::RecoverBound => "bound",
            Self::JoinSession | Self::RecoverSession | Self::RenewSession => "session",
        }
    }
}

/// A signature as it travels.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Proof(Vec<u8>);

/// Everything a request claims, all of it signed.
pub(super) struct Claim<'a> {
    pub(super) agent: &'a AgentName,
    pub(super) generation: IdentityGeneration,
    /// Absent where the bound key takes no part.
    pub(super) bound: Option<&'a PublicKey>,
    pub(super) session: &'a PublicKey,
}

impl<'a> Claim<'a> {
    pub(super) fn of_keys(
        agent: &'a AgentName,
        generation: IdentityGeneration,
        keys: EdgeKeys<'a>,
    ) -> Self {
        let (bound, session) = (Some(keys.bound.public_key()), keys.session.public_key());
        Self { agent, generation, bound, session }
    }

    pub(super) fn prove(
        &self,
        purpose: Purpose,
        key: &PrivateKey,
        binding: &ChannelBinding,
        rng: &dyn SecureRandom,
    ) -> Result<Proof, KeyError> {
        key.sign(&self.signed(purpose, binding), rng).map(Proof)
    }

    pub(super) fn check(
        &self,
        purpose: Purpose,
        key: &PublicKey,
        (proof, binding): (&Proof, &ChannelBinding),
    ) -> Result<(), ProofError> {
        key.verify(&self.signed(purpose, binding), &proof.0)
            .map_err(|_| ProofError { key: purpose.key_name() })
    }

    /// The signed bytes: every field of fixed length or with its length in front.
    fn signed(&self, purpose: Purpose, binding: &ChannelBinding) -> Vec<u8> {
        let agent = self.agent.as_str().as_bytes();
        let agent_length = u8::try_from(agent.len()).expect("agent names have at most 40 bytes");
        let mut message = Vec::with_capacity(DOMAIN.len() + BINDING_BYTES + 256);
        message.extend_from_slice(DOMAIN);
        message.push(purpose as u8);
        message.extend_from_slice(&binding.0);
        message.push(agent_length);
        message.extend_from_slice(agent);
        message.extend_from_slice(&self.generation.0.to_be_bytes());
        message.push(u8::from(self.bound.is_some()));
        if let Some(bound) = self.bound {
            message.extend_from_slice(bound.as_bytes());
        }
        message.extend_from_slice(self.session.as_bytes());
        message
    }
}
