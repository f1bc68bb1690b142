//! PEM text of certificates and private keys.

use crate::key::{KeyError, PrivateKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use thiserror::Error;
use zeroize::Zeroizing;

/// A PEM text without the objects that were looked for.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum PemError {
    /// No certificate, more than one, or one that is damaged.
    #[error("PEM text has {found} readable certificates, expected exactly 1")]
    CertificateCount {
        /// How many certificates could be read.
        found: usize,
    },
    /// No private key, or one that is damaged.
    #[error("PEM text has no readable PKCS#8 private key")]
    KeyMissing,
    /// The private key is not of the expected kind.
    #[error("PEM text has an unusable private key")]
    Key(#[from] KeyError),
}

/// The text of one PEM object; wiped when dropped because it may be a private key.
pub(crate) fn encode(label: &str, der: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(STANDARD.encode(der));
    let mut text = Zeroizing::new(String::with_capacity(body.len() + body.len() / 64 + 80));
    text.push_str(&format!("-----BEGIN {label}-----\n"));
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = tail;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

pub(crate) fn encode_certificate(certificate: &CertificateDer<'_>) -> Zeroizing<String> {
    encode("CERTIFICATE", certificate)
}

pub(crate) fn encode_key(key: &PrivateKey) -> Zeroizing<String> {
    encode("PRIVATE KEY", key.pkcs8())
}

/// A private key and its certificate in one text, so that one file holds the pair.
pub(crate) fn encode_pair(key: &PrivateKey, leaf: &CertificateDer<'_>) -> Zeroizing<String> {
    let mut text = encode_key(key);
    text.push_str(&encode_certificate(leaf));
    text
}

pub(crate) fn decode_certificates(text: &[u8]) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(text).filter_map(Result::ok).collect()
}

pub(crate) fn decode_certificate(text: &[u8]) -> Result<CertificateDer<'static>, PemError> {
    let mut found = decode_certificates(text);
    match (found.len(), found.pop()) {
        (1, Some(certificate)) => Ok(certificate),
        (found, _) => Err(PemError::CertificateCount { found }),
    }
}

/// The PKCS#8 document of the first private key, of any algorithm.
pub(crate) fn decode_pkcs8(text: &[u8]) -> Result<Zeroizing<Vec<u8>>, PemError> {
    let der = PrivatePkcs8KeyDer::from_pem_slice(text).map_err(|_| PemError::KeyMissing)?;
    Ok(Zeroizing::new(der.secret_pkcs8_der().to_vec()))
}

pub(crate) fn decode_key(text: &[u8]) -> Result<PrivateKey, PemError> {
    Ok(PrivateKey::from_pkcs8(&decode_pkcs8(text)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_comes_back_from_one_text() {
        let key = PrivateKey::generate(&ring::rand::SystemRandom::new()).unwrap();
        let leaf = CertificateDer::from(vec![0x30; 200]);
        let text = encode_pair(&key, &leaf);

        assert!(text.lines().all(|line| line.len() <= 64));
        assert_eq!(decode_certificate(text.as_bytes()).unwrap(), leaf);
        assert_eq!(decode_key(text.as_bytes()).unwrap().public_key(), key.public_key());
    }

    #[test]
    fn a_text_without_the_object_says_so() {
        let text = encode_certificate(&CertificateDer::from(vec![1])).repeat(2);

        assert_eq!(
            decode_certificate(text.as_bytes()),
            Err(PemError::CertificateCount { found: 2 })
        );
        assert_eq!(decode_key(text.as_bytes()).unwrap_err(), PemError::KeyMissing);
    }
}
