//! Signatures of receipts: Ed25519 over bytes the caller defines.

use crate::key::{sha256, write_hex};
use ring::rand::SecureRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use std::fmt;
use thiserror::Error;
use zeroize::Zeroizing;

/// Length of a receipt's signature, in bytes.
pub const RECEIPT_SIGNATURE_BYTES: usize = 64;

/// Why a receipt could not be signed or believed.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum ReceiptKeyError {
    /// The random source gave nothing.
    #[error("the random source failed")]
    RandomFailed,
    /// Not an Ed25519 private key in PKCS#8.
    #[error("receipt key is not an Ed25519 key in PKCS#8")]
    Malformed,
    /// Another key or other bytes.
    #[error("receipt signature does not verify with key {key}")]
    SignatureInvalid {
        /// The key it was checked with.
        key: ReceiptKeyId,
    },
}

/// Names a receipt key: the first 8 bytes of SHA-256 of its public key.
#[derive(Clone, Copy, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct ReceiptKeyId(pub [u8; 8]);

impl fmt::Display for ReceiptKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for ReceiptKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReceiptKeyId({self})")
    }
}

/// The public half of a receipt key, with which anybody checks receipts offline.
#[derive(Clone, Copy, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct ReceiptVerifier([u8; 32]);

impl ReceiptVerifier {
    /// The key with these bytes (RFC 8032, 5.1.5).
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key as bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The id receipts name this key by.
    pub fn key_id(&self) -> ReceiptKeyId {
        let hash = sha256(&[&self.0]);
        ReceiptKeyId(hash[..8].try_into().expect("SHA-256 has more than 8 bytes"))
    }

    /// Checks a signature made by [`ReceiptSigner::sign`].
    ///
    /// # Errors
    ///
    /// [`ReceiptKeyError::SignatureInvalid`]: another key or other bytes.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), ReceiptKeyError> {
        UnparsedPublicKey::new(&ED25519, &self.0)
            .verify(message, signature)
            .map_err(|_| ReceiptKeyError::SignatureInvalid { key: self.key_id() })
    }
}

impl fmt::Debug for ReceiptVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReceiptVerifier({})", self.key_id())
    }
}

/// The relay's key for receipts.
pub struct ReceiptSigner {
    pkcs8: Zeroizing<Vec<u8>>,
    pair: Ed25519KeyPair,
}

impl ReceiptSigner {
    /// Makes a new key.
    ///
    /// # Errors
    ///
    /// [`ReceiptKeyError::RandomFailed`].
    pub fn generate(rng: &dyn SecureRandom) -> Result<Self, ReceiptKeyError> {
        let document =
            Ed25519KeyPair::generate_pkcs8(rng).map_err(|_| ReceiptKeyError::RandomFailed)?;
        Self::from_pkcs8(document.as_ref())
    }

    /// Takes a key from its PKCS#8 document (version 2, with the public key).
    ///
    /// # Errors
    ///
    /// [`ReceiptKeyError::Malformed`]: another algorithm, or halves that do not belong together.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, ReceiptKeyError> {
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| ReceiptKeyError::Malformed)?;
        Ok(Self { pkcs8: Zeroizing::new(pkcs8.to_vec()), pair })
    }

    /// The public half.
    pub fn verifier(&self) -> ReceiptVerifier {
        let public = self.pair.public_key().as_ref();
        ReceiptVerifier(public.try_into().expect("an Ed25519 public key has 32 bytes"))
    }

    /// Signs `message`. The caller begins it with what kind of statement it is.
    pub fn sign(&self, message: &[u8]) -> [u8; RECEIPT_SIGNATURE_BYTES] {
        let signature = self.pair.sign(message);
        signature.as_ref().try_into().expect("an Ed25519 signature has 64 bytes")
    }

    pub(crate) fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }
}

impl fmt::Debug for ReceiptSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReceiptSigner(redacted, public {})", self.verifier().key_id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::rand::SystemRandom;

    #[test]
    fn a_receipt_verifies_with_its_own_key_and_bytes_only() {
        let signer = ReceiptSigner::generate(&SystemRandom::new()).unwrap();
        let again = ReceiptSigner::from_pkcs8(signer.pkcs8()).unwrap();
        let other = ReceiptSigner::generate(&SystemRandom::new()).unwrap().verifier();
        let signature = again.sign(b"receipt");
        let verifier = signer.verifier();

        assert_eq!(verifier.verify(b"receipt", &signature), Ok(()));
        let invalid = |key| Err(ReceiptKeyError::SignatureInvalid { key });
        assert_eq!(verifier.verify(b"Receipt", &signature), invalid(verifier.key_id()));
        assert_eq!(verifier.verify(b"receipt", &signature[..63]), invalid(verifier.key_id()));
        assert_eq!(other.verify(b"receipt", &signature), invalid(other.key_id()));
    }

    #[test]
    fn a_key_id_is_the_start_of_the_hash_of_the_public_key() {
        let verifier = ReceiptVerifier::from_bytes([0; 32]);

        assert_eq!(verifier.key_id().to_string(), "66687aadf862bd77");
        assert_eq!(format!("{verifier:?}"), "ReceiptVerifier(66687aadf862bd77)");
    }

    #[test]
    fn a_p256_key_is_no_receipt_key() {
        let key = crate::key::PrivateKey::generate(&SystemRandom::new()).unwrap();

        let error = ReceiptSigner::from_pkcs8(key.pkcs8()).unwrap_err();
        assert_eq!(error, ReceiptKeyError::Malformed);
    }
}
