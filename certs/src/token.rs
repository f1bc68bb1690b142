//! The enrollment token: one printable line that lets one agent enroll once.
//!
//! It pins the relay authority, so that the secret is only ever sent to the right relay. The
//! relay keeps nothing but the hash of the secret.

use crate::address::RelayAddress;
use crate::key::{KeyError, KeyHash, sha256, write_hex};
use crate::trust_domain::TrustDomain;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SecureRandom;
use serde::{Deserialize, Serialize};
use skyspray_wire::name::AgentName;
use std::fmt;
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

/// What every token of this form begins with.
pub const TOKEN_PREFIX: &str = "skyspray1.";

/// Longest token line, in bytes, checked before anything is decoded.
pub const TOKEN_BYTES_MAX: usize = 1024;

/// Bytes of SHA-256 at the end of a token, which catch a line damaged by copying.
const CHECKSUM_BYTES: usize = 4;

/// A text that is not a token.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum TokenError {
    /// Another program's token, or one of a newer form.
    #[error("token does not begin with {TOKEN_PREFIX:?}")]
    PrefixUnknown,
    /// Longer than any token.
    #[error("token has {length} bytes, at most {TOKEN_BYTES_MAX} are allowed")]
    TooLong {
        /// Length of the text, in bytes.
        length: usize,
    },
    /// Cut, or changed in copying.
    #[error("token is damaged: copy the whole line again")]
    Damaged,
    /// Intact, but with a field that breaks its rules.
    #[error("token has an invalid address, name or length")]
    FieldInvalid,
}

/// The secret of a token: whoever has it may enroll once. 256 random bits.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct TokenSecret([u8; 32]);

impl TokenSecret {
    pub(crate) fn hash(&self) -> TokenHash {
        TokenHash(sha256(&[&self.0]))
    }
}

impl Drop for TokenSecret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSecret(redacted)")
    }
}

/// SHA-256 of a token's secret: what a relay stores and looks up.
///
/// Comparing takes the same time wherever two hashes differ.
#[derive(Clone, Copy)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// The hash with these bytes, as kept in a record.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The hash as bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        let pairs = self.0.iter().zip(&other.0);
        let difference = pairs.fold(0, |all, (a, b)| std::hint::black_box(all | (a ^ b)));
        difference == 0
    }
}

impl Eq for TokenHash {}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(")?;
        write_hex(f, &self.0[..8])?;
        f.write_str("..)")
    }
}

/// What an edge needs in order to enroll: where, whom to believe, as whom, and the secret.
#[derive(Clone, Debug)]
pub struct EnrollToken {
    /// The relay's enrollment listener.
    pub address: RelayAddress,
    /// The installation's trust domain.
    pub trust_domain: TrustDomain,
    /// Hash of the relay authority's key.
    pub pin: KeyHash,
    /// The name the edge will have, chosen by the operator.
    pub agent: AgentName,
    secret: TokenSecret,
}

/// The fields of a token in the order they are encoded. Never changes: a new form gets a new
/// prefix.
#[derive(Deserialize, Serialize)]
struct Body {
    address: RelayAddress,
    trust_domain: TrustDomain,
    pin: KeyHash,
    agent: AgentName,
    secret: TokenSecret,
}

impl EnrollToken {
    /// Makes a token with a new secret.
    ///
    /// # Errors
    ///
    /// [`KeyError::RandomFailed`].
    pub fn create(
        address: RelayAddress,
        trust_domain: TrustDomain,
        pin: KeyHash,
        agent: AgentName,
        rng: &dyn SecureRandom,
    ) -> Result<Self, KeyError> {
        let mut bytes = Zeroizing::new([0; 32]);
        rng.fill(&mut *bytes).map_err(|_| KeyError::RandomFailed)?;
        Ok(Self { address, trust_domain, pin, agent, secret: TokenSecret(*bytes) })
    }

    /// Reads a token; white space around it is ignored.
    ///
    /// # Errors
    ///
    /// A text that is not a whole token of this form.
    pub fn parse(line: &str) -> Result<Self, TokenError> {
        let line = line.trim();
        if line.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong { length: line.len() });
        }
        let encoded = line.strip_prefix(TOKEN_PREFIX).ok_or(TokenError::PrefixUnknown)?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| TokenError::Damaged)?;
        let bytes = Zeroizing::new(bytes);
        let (body, checksum) = bytes
            .len()
            .checked_sub(CHECKSUM_BYTES)
            .map(|middle| bytes.split_at(middle))
            .ok_or(TokenError::Damaged)?;
        if checksum != &sha256(&[body])[..CHECKSUM_BYTES] {
            return Err(TokenError::Damaged);
        }
        match postcard::take_from_bytes::<Body>(body) {
            Ok((Body { address, trust_domain, pin, agent, secret }, [])) => {
                Ok(Self { address, trust_domain, pin, agent, secret })
            }
            _ => Err(TokenError::FieldInvalid),
        }
    }

    /// The token as one line without line end. Secret: for the operator's standard output only.
    pub fn to_line(&self) -> Zeroizing<String> {
        let body = Body {
            address: self.address.clone(),
            trust_domain: self.trust_domain.clone(),
            pin: self.pin,
            agent: self.agent.clone(),
            secret: self.secret.clone(),
        };
        let encoded = postcard::to_allocvec(&body).expect("a token body always encodes");
        let mut bytes = Zeroizing::new(encoded);
        let checksum = sha256(&[&bytes]);
        bytes.extend_from_slice(&checksum[..CHECKSUM_BYTES]);
        let mut line = Zeroizing::new(TOKEN_PREFIX.to_owned());
        line.push_str(&URL_SAFE_NO_PAD.encode(&*bytes));
        line
    }

    /// Hash of the secret, for the relay's record of the token.
    pub fn hash(&self) -> TokenHash {
        self.secret.hash()
    }

    pub(crate) fn secret(&self) -> &TokenSecret {
        &self.secret
    }
}

#[cfg(test)]
mod tests;
