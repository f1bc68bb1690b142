//! What outlives the process of a listener: packets for sessions of a process that was in its place
//! before are known again, and proofs of an address are good at every replica.

use quinn::crypto::HandshakeTokenKey;
use quinn::{ConnectionId, ConnectionIdGenerator, EndpointConfig};
use ring::hkdf;
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use std::sync::Arc;

/// The secrets of a listener that its process does not make up by itself.
#[derive(Clone, Copy)]
pub struct ListenerSecrets<'a> {
    /// Of this listener alone, the same after a restart. Whoever shares it with another listener lets
    /// anybody who sees a connection id have the other one end that session (RFC 9000, 21.11).
    pub reset: &'a [u8; 32],
    /// Of all replicas: an edge that proved its address to one of them has proved it to all.
    pub tokens: &'a [u8; 32],
}

impl std::fmt::Debug for ListenerSecrets<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ListenerSecrets")
    }
}

/// The key under which proofs of an address are made.
pub(crate) fn token_key(secret: &[u8; 32]) -> Arc<dyn HandshakeTokenKey> {
    Arc::new(hkdf::Salt::new(hkdf::HKDF_SHA256, b"retry tokens").extract(secret))
}

/// Bytes of a connection id that are random.
const NONCE_LEN: usize = 4;

/// Bytes of a connection id that show who made it.
const TAG_LEN: usize = 4;

/// The settings of an endpoint that answers packets of sessions it does not know with a stateless
/// reset (RFC 9000, 10.3) if an endpoint with the same secret gave them their ids. A peer believes
/// it, because the token in it is the one it was given with the id.
///
/// Packets with other ids are left without an answer, so that nobody can make it send any.
pub(crate) fn endpoint_config(secret: &[u8; 32]) -> EndpointConfig {
    let mut config = EndpointConfig::new(Arc::new(derived(secret, b"stateless reset")));
    let ids = Ids { key: derived(secret, b"connection ids"), random: SystemRandom::new() };
    config.cid_generator(move || Box::new(ids.clone()));
    config
}

/// A key for one purpose, which says nothing of the keys for others.
fn derived(secret: &[u8; 32], purpose: &[u8]) -> hmac::Key {
    let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
    hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&secret, purpose).as_ref())
}

/// Makes connection ids, and knows again those that were made with the same key.
#[derive(Clone, Debug)]
struct Ids {
    key: hmac::Key,
    random: SystemRandom,
}

impl Ids {
    fn tag(&self, nonce: &[u8]) -> [u8; TAG_LEN] {
        let tag = hmac::sign(&self.key, nonce);
        *tag.as_ref().first_chunk().expect("SHA-256 has more than 4 bytes")
    }
}

impl ConnectionIdGenerator for Ids {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; NONCE_LEN + TAG_LEN];
        let (nonce, tag) = id.split_at_mut(NONCE_LEN);
        self.random.fill(nonce).expect("the system provides random bytes");
        tag.copy_from_slice(&self.tag(nonce));
        ConnectionId::new(&id)
    }

    fn validate(&self, id: &ConnectionId) -> Result<(), quinn_proto::InvalidCid> {
        match id.split_at_checked(NONCE_LEN) {
            Some((nonce, tag)) if *tag == self.tag(nonce) => Ok(()),
            _ => Err(quinn_proto::InvalidCid),
        }
    }

    fn cid_len(&self) -> usize {
        NONCE_LEN + TAG_LEN
    }

    fn cid_lifetime(&self) -> Option<std::time::Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(secret: [u8; 32]) -> Ids {
        Ids { key: derived(&secret, b"connection ids"), random: SystemRandom::new() }
    }

    #[test]
    fn ids_are_known_again_with_the_same_secret_alone() {
        let id = ids([1; 32]).generate_cid();

        assert!(matches!(ids([1; 32]).validate(&id), Ok(())));
        for (secret, foreign) in [
            ([2; 32], id),
            ([1; 32], ConnectionId::new(&[0; 8])),
            ([1; 32], ConnectionId::new(&[0; 2])),
        ] {
            let refused = ids(secret).validate(&foreign);
            assert!(matches!(refused, Err(quinn_proto::InvalidCid)), "{foreign}");
        }
        assert_ne!(ids([1; 32]).generate_cid(), id);
    }
}
