//! What edge and relay say to each other to enroll, recover and renew an identity.
//!
//! Only public keys travel. Every key is proved over keying material exported from the very TLS
//! session, so that nothing said here means anything in another session. Pure: the callers own
//! the streams, the records and the decision.

mod grant;
mod proof;

pub(crate) use grant::{Expected, authority_pin};
pub use grant::{Grant, GrantError};
pub use proof::{BINDING_BYTES, BINDING_LABEL, ChannelBinding, EdgeKeys, ProofError};

use crate::identity::IdentityGeneration;
use crate::key::{KeyError, PrivateKey, PublicKey};
use crate::token::{EnrollToken, TokenHash, TokenSecret};
use proof::{Claim, Proof, Purpose};
use ring::rand::SecureRandom;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use skyspray_wire::name::AgentName;
use skyspray_wire::refusal::Refusal;
use thiserror::Error;
use zeroize::Zeroizing;

/// Longest message of this module, in bytes, without the length in front of it.
///
/// Two authorities of each kind, sixteen addresses and a leaf fit several times over.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// Why the bytes of a message could not be taken. Always the peer's fault.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum MessageError {
    /// Longer than [`MESSAGE_BYTES_MAX`].
    #[error("message has {length} bytes, at most {MESSAGE_BYTES_MAX} are allowed")]
    TooLong {
        /// Length of the message, in bytes.
        length: usize,
    },
    /// Not a message of this kind, cut, or followed by more bytes.
    #[error("message is malformed")]
    Malformed,
}

/// What an edge says on the enrollment listener.
///
/// Append-only: postcard numbers the variants by position.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum EnrollRequest {
    /// Enrolls with a token. Answered by [`EnrollResponse`].
    Join(Join),
    /// Brings an enrolled edge back that cannot renew. Answered by [`EnrollResponse`].
    Recover(Recover),
}

/// What a relay answers on the enrollment listener. Append-only.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum EnrollResponse {
    /// The identity.
    Granted(Box<Grant>),
    /// None.
    Refused(Refusal),
}

/// What an edge says on a data session to renew its identity. Append-only.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum RenewRequest {
    /// Asks for the next leaf. Answered by [`RenewResponse`].
    Renew(Renew),
}

/// What a relay answers to [`RenewRequest`]. Append-only.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum RenewResponse {
    /// The identity.
    Granted(Box<Grant>),
    /// None.
    Refused(Refusal),
}

/// Messages that travel as one postcard value of at most [`MESSAGE_BYTES_MAX`] bytes.
pub trait Message: Serialize + DeserializeOwned {
    /// The message as bytes; wiped when dropped because a request may carry a token's secret.
    ///
    /// # Errors
    ///
    /// [`MessageError::TooLong`]: more authorities or addresses than fit.
    fn encode(&self) -> Result<Zeroizing<Vec<u8>>, MessageError> {
        let bytes = postcard::to_allocvec(self).map_err(|_| MessageError::Malformed)?;
        check_length(&bytes)?;
        Ok(Zeroizing::new(bytes))
    }

    /// Reads a message that fills `bytes` exactly.
    ///
    /// # Errors
    ///
    /// Too long, or not a message of this kind.
    fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        check_length(bytes)?;
        match postcard::take_from_bytes(bytes) {
            Ok((message, [])) => Ok(message),
            _ => Err(MessageError::Malformed),
        }
    }
}

impl Message for EnrollRequest {}
impl Message for EnrollResponse {}
impl Message for RenewRequest {}
impl Message for RenewResponse {}

fn check_length(bytes: &[u8]) -> Result<(), MessageError> {
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(MessageError::TooLong { length: bytes.len() });
    }
    Ok(())
}

/// A request to enroll. Worth nothing until [`Join::verify`] has seen it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Join {
    secret: TokenSecret,
    agent: AgentName,
    bound_key: PublicKey,
    session_key: PublicKey,
    bound_proof: Proof,
    session_proof: Proof,
}

impl Join {
    /// Made by the edge on the session to the pinned relay.
    ///
    /// # Errors
    ///
    /// [`KeyError::RandomFailed`].
    pub fn create(
        token: &EnrollToken,
        keys: EdgeKeys<'_>,
        binding: &ChannelBinding,
        rng: &dyn SecureRandom,
    ) -> Result<Self, KeyError> {
        let generation = IdentityGeneration(0);
        let claim = Claim::of_keys(&token.agent, generation, keys);
        Ok(Self {
            secret: token.secret().clone(),
            agent: token.agent.clone(),
            bound_key: *keys.bound.public_key(),
            session_key: *keys.session.public_key(),
            bound_proof: claim.prove(Purpose::JoinBound, keys.bound, binding, rng)?,
            session_proof: claim.prove(Purpose::JoinSession, keys.session, binding, rng)?,
        })
    }

    /// Checks that the sender holds both keys and speaks in this session.
    ///
    /// The caller then burns the token whose hash this returns, if it is one for this agent.
    ///
    /// # Errors
    ///
    /// [`ProofError`]: a proof of another key, or of another session.
    pub fn verify(&self, binding: &ChannelBinding) -> Result<VerifiedJoin, ProofError> {
        let claim = Claim {
            agent: &self.agent,
            generation: IdentityGeneration(0),
            bound: Some(&self.bound_key),
            session: &self.session_key,
        };
        claim.check(Purpose::JoinBound, &self.bound_key, (&self.bound_proof, binding))?;
        claim.check(Purpose::JoinSession, &self.session_key, (&self.session_proof, binding))?;
        Ok(VerifiedJoin {
            token: self.secret.hash(),
            agent: self.agent.clone(),
            bound_key: self.bound_key,
            session_key: self.session_key,
        })
    }
}

/// A request to enroll whose keys are proved; the token is still to be looked up.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VerifiedJoin {
    /// Hash of the token's secret.
    pub token: TokenHash,
    /// The name asked for; must be the one the token was made for.
    pub agent: AgentName,
    /// The long-lived key, to be recorded: it alone brings the edge back later.
    pub bound_key: PublicKey,
    /// The key to issue the first leaf for.
    pub session_key: PublicKey,
}

/// A request to come back with the bound key. Worth nothing until [`Recover::verify`].
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Recover {
    agent: AgentName,
    generation: IdentityGeneration,
    session_key: PublicKey,
    bound_proof: Proof,
    session_proof: Proof,
}

impl Recover {
    /// Made by an edge whose leaf expired, or that never got the answer to its `Join`.
    /// `generation` is the last one the edge knows of, 0 if none.
    ///
    /// # Errors
    ///
    /// [`KeyError::RandomFailed`].
    pub fn create(
        agent: &AgentName,
        generation: IdentityGeneration,
        keys: EdgeKeys<'_>,
        binding: &ChannelBinding,
        rng: &dyn SecureRandom,
    ) -> Result<Self, KeyError> {
        let claim = Claim::of_keys(agent, generation, keys);
        Ok(Self {
            agent: agent.clone(),
            generation,
            session_key: *keys.session.public_key(),
            bound_proof: claim.prove(Purpose::RecoverBound, keys.bound, binding, rng)?,
            session_proof: claim.prove(Purpose::RecoverSession, keys.session, binding, rng)?,
        })
    }

    /// Who says it is asking: for looking up the bound key, for nothing else.
    pub fn claimed_agent(&self) -> &AgentName {
        &self.agent
    }

    /// Checks that the sender holds the recorded bound key and the new one, in this session.
    ///
    /// The caller then applies [`crate::renewal::decide_renewal`] and its own limits.
    ///
    /// # Errors
    ///
    /// [`ProofError`]: a proof of another key, or of another session.
    pub fn verify(
        &self,
        recorded: &PublicKey,
        binding: &ChannelBinding,
    ) -> Result<VerifiedRenewal, ProofError> {
        let claim = Claim {
            agent: &self.agent,
            generation: self.generation,
            bound: Some(recorded),
            session: &self.session_key,
        };
        claim.check(Purpose::RecoverBound, recorded, (&self.bound_proof, binding))?;
        claim.check(Purpose::RecoverSession, &self.session_key, (&self.session_proof, binding))?;
        Ok(VerifiedRenewal { generation: self.generation, session_key: self.session_key })
    }
}

/// A request for the next leaf, on a session that the current leaf authenticated.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Renew {
    generation: IdentityGeneration,
    session_key: PublicKey,
    session_proof: Proof,
}

impl Renew {
    /// Made by the edge with a new session key; `generation` is its current one.
    ///
    /// # Errors
    ///
    /// [`KeyError::RandomFailed`].
    pub fn create(
        agent: &AgentName,
        generation: IdentityGeneration,
        session: &PrivateKey,
        binding: &ChannelBinding,
        rng: &dyn SecureRandom,
    ) -> Result<Self, KeyError> {
        let claim = Claim { agent, generation, bound: None, session: session.public_key() };
        let session_proof = claim.prove(Purpose::RenewSession, session, binding, rng)?;
        Ok(Self { generation, session_key: *session.public_key(), session_proof })
    }

    /// Checks that the sender holds the new key, in this session of `agent`.
    ///
    /// The caller then applies [`crate::renewal::decide_renewal`].
    ///
    /// # Errors
    ///
    /// [`ProofError`]: a proof of another key, or of another session or agent.
    pub fn verify(
        &self,
        agent: &AgentName,
        binding: &ChannelBinding,
    ) -> Result<VerifiedRenewal, ProofError> {
        let claim =
            Claim { agent, generation: self.generation, bound: None, session: &self.session_key };
        claim.check(Purpose::RenewSession, &self.session_key, (&self.session_proof, binding))?;
        Ok(VerifiedRenewal { generation: self.generation, session_key: self.session_key })
    }
}

/// A request to renew or recover whose keys are proved.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct VerifiedRenewal {
    /// The generation the edge has.
    pub generation: IdentityGeneration,
    /// The key to issue the next leaf for.
    pub session_key: PublicKey,
}

#[cfg(test)]
mod tests;
