//! P-256 key pairs of agents, relays and authorities, and the hash a public key is known by.
//!
//! Private keys show nothing of themselves in `Debug` and are wiped when dropped.

use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair, UnparsedPublicKey,
};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use std::fmt;
use thiserror::Error;
use zeroize::Zeroizing;

/// Length of an uncompressed P-256 point, in bytes: `0x04`, X, Y (SEC 1, 2.3.3).
pub const PUBLIC_KEY_BYTES: usize = 65;

/// Length of a signature made by [`PrivateKey::sign`], in bytes: r and s.
pub const SIGNATURE_BYTES: usize = 64;

/// Everything of a P-256 SubjectPublicKeyInfo before the point (RFC 5480, 2).
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Why a key or a signature was not usable.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum KeyError {
    /// Not an uncompressed P-256 point; the peer's fault.
    #[error(
        "public key of {length} bytes is not an uncompressed P-256 point of {PUBLIC_KEY_BYTES}"
    )]
    PublicKeyMalformed {
        /// Length of what was given, in bytes.
        length: usize,
    },
    /// Not a P-256 private key in PKCS#8.
    #[error("private key is not a P-256 key in PKCS#8")]
    PrivateKeyMalformed,
    /// The signature was made by another key or over other bytes.
    #[error("signature does not verify with key {key}")]
    SignatureInvalid {
        /// The key it was checked with.
        key: KeyHash,
    },
    /// The random source gave nothing.
    #[error("the random source failed")]
    RandomFailed,
}

/// SHA-256 of a public key's SubjectPublicKeyInfo: what pins, records and logs call a key.
#[derive(Clone, Copy, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// The hash with these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Hashes a DER SubjectPublicKeyInfo of any algorithm.
    pub fn of_spki(spki: &[u8]) -> Self {
        Self(sha256(&[spki]))
    }

    /// The hash as bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyHash({self})")
    }
}

/// A P-256 public key as an uncompressed point.
///
/// That the point lies on the curve is only known once a signature has verified with it.
#[derive(Clone, Copy, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "Vec<u8>", into = "Vec<u8>")]
pub struct PublicKey([u8; PUBLIC_KEY_BYTES]);

impl PublicKey {
    /// The key with this uncompressed point.
    ///
    /// # Errors
    ///
    /// [`KeyError::PublicKeyMalformed`]: another length, or not the uncompressed form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        match <[u8; PUBLIC_KEY_BYTES]>::try_from(bytes) {
            Ok(point) if point[0] == 0x04 => Ok(Self(point)),
            _ => Err(KeyError::PublicKeyMalformed { length: bytes.len() }),
        }
    }

    /// The uncompressed point.
    pub fn as_bytes(&self) -> &[u8; PUBLIC_KEY_BYTES] {
        &self.0
    }

    /// The key as a DER SubjectPublicKeyInfo.
    pub fn to_spki(&self) -> Vec<u8> {
        [&SPKI_PREFIX[..], &self.0].concat()
    }

    /// The hash this key is known by.
    pub fn hash(&self) -> KeyHash {
        KeyHash(sha256(&[&SPKI_PREFIX, &self.0]))
    }

    /// Checks a signature made by [`PrivateKey::sign`].
    ///
    /// # Errors
    ///
    /// [`KeyError::SignatureInvalid`]: another key, other bytes, or a point off the curve.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), KeyError> {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.0)
            .verify(message, signature)
            .map_err(|_| KeyError::SignatureInvalid { key: self.hash() })
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.hash())
    }
}

impl TryFrom<Vec<u8>> for PublicKey {
    type Error = KeyError;

    fn try_from(bytes: Vec<u8>) -> Result<Self, KeyError> {
        Self::from_bytes(&bytes)
    }
}

impl From<PublicKey> for Vec<u8> {
    fn from(key: PublicKey) -> Self {
        key.0.to_vec()
    }
}

/// A P-256 private key with its public half.
#[derive(Clone)]
pub struct PrivateKey {
    pkcs8: Zeroizing<Vec<u8>>,
    public: PublicKey,
}

impl PrivateKey {
    /// Makes a new key.
    ///
    /// # Errors
    ///
    /// [`KeyError::RandomFailed`].
    pub fn generate(rng: &dyn SecureRandom) -> Result<Self, KeyError> {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, rng)
            .map_err(|_| KeyError::RandomFailed)?;
        Self::from_pkcs8(document.as_ref())
    }

    /// Takes a key from its PKCS#8 document.
    ///
    /// # Errors
    ///
    /// [`KeyError::PrivateKeyMalformed`]: another algorithm, or halves that do not belong together.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, KeyError> {
        // ring seeds the nonces of the pair from this source; the pair is dropped unused.
        let rng = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &rng)
            .map_err(|_| KeyError::PrivateKeyMalformed)?;
        let public = PublicKey::from_bytes(pair.public_key().as_ref())?;
        Ok(Self { pkcs8: Zeroizing::new(pkcs8.to_vec()), public })
    }

    /// The public half.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// Signs `message` with ECDSA over SHA-256: [`SIGNATURE_BYTES`] bytes.
    ///
    /// # Errors
    ///
    /// [`KeyError::RandomFailed`].
    pub fn sign(&self, message: &[u8], rng: &dyn SecureRandom) -> Result<Vec<u8>, KeyError> {
        self.sign_with(&ECDSA_P256_SHA256_FIXED_SIGNING, message, rng)
    }

    /// Signs `message` in the ASN.1 form that certificates carry.
    pub(crate) fn sign_asn1(
        &self,
        message: &[u8],
        rng: &dyn SecureRandom,
    ) -> Result<Vec<u8>, KeyError> {
        self.sign_with(&ECDSA_P256_SHA256_ASN1_SIGNING, message, rng)
    }

    /// The PKCS#8 document, for files and for rustls.
    pub(crate) fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    /// A copy in the form rustls takes.
    pub(crate) fn to_rustls(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.pkcs8.to_vec()))
    }

    fn sign_with(
        &self,
        algorithm: &'static EcdsaSigningAlgorithm,
        message: &[u8],
        rng: &dyn SecureRandom,
    ) -> Result<Vec<u8>, KeyError> {
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, &self.pkcs8, rng)
            .map_err(|_| KeyError::RandomFailed)?;
        let signature = pair.sign(rng, message).map_err(|_| KeyError::RandomFailed)?;
        Ok(signature.as_ref().to_vec())
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey(redacted, public {})", self.public.hash())
    }
}

/// SHA-256 of the pieces one after another.
pub(crate) fn sha256(pieces: &[&[u8]]) -> [u8; 32] {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    for piece in pieces {
        context.update(piece);
    }
    context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// Writes bytes as lower-case hexadecimal digits.
pub(crate) fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_verifies_with_its_own_key_and_bytes_only() {
        let rng = SystemRandom::new();
        let key = PrivateKey::generate(&rng).unwrap();
        let other = PrivateKey::generate(&rng).unwrap();
        let signature = key.sign(b"message", &rng).unwrap();

        assert_eq!(signature.len(), SIGNATURE_BYTES);
        assert_eq!(key.public_key().verify(b"message", &signature), Ok(()));
        let invalid = Err(KeyError::SignatureInvalid { key: key.public_key().hash() });
        assert_eq!(key.public_key().verify(b"massage", &signature), invalid);
        let invalid = Err(KeyError::SignatureInvalid { key: other.public_key().hash() });
        assert_eq!(other.public_key().verify(b"message", &signature), invalid);
    }

    #[test]
    fn a_key_comes_back_from_pkcs8_and_other_documents_do_not() {
        let rng = SystemRandom::new();
        let key = PrivateKey::generate(&rng).unwrap();
        let ed25519 = ring::signature::Ed25519KeyPair::generate_pkcs8(&rng).unwrap();

        let again = PrivateKey::from_pkcs8(key.pkcs8()).unwrap();
        assert_eq!(again.public_key(), key.public_key());
        let malformed = KeyError::PrivateKeyMalformed;
        assert_eq!(PrivateKey::from_pkcs8(ed25519.as_ref()).unwrap_err(), malformed);
        assert_eq!(PrivateKey::from_pkcs8(b"").unwrap_err(), malformed);
    }

    #[test]
    fn a_public_key_is_an_uncompressed_point() {
        let key = *PrivateKey::generate(&SystemRandom::new()).unwrap().public_key();
        let mut compressed = key.as_bytes().to_vec();
        compressed[0] = 0x02;

        assert_eq!(PublicKey::from_bytes(key.as_bytes()), Ok(key));
        for wrong in [&compressed[..], &compressed[..33], &[]] {
            let malformed = KeyError::PublicKeyMalformed { length: wrong.len() };
            assert_eq!(PublicKey::from_bytes(wrong), Err(malformed));
        }
    }

    #[test]
    fn debug_shows_nothing_of_a_private_key() {
        let key = PrivateKey::generate(&SystemRandom::new()).unwrap();

        let expected = format!("PrivateKey(redacted, public {})", key.public_key().hash());
        assert_eq!(format!("{key:?}"), expected);
    }
}
