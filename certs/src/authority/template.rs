//! The fixed fields of every certificate this program issues.

use super::{AuthorityError, AuthorityKind};
use crate::identity::{Serial, Validity};
use crate::key::{PrivateKey, PublicKey};
use crate::trust_domain::TrustDomain;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256,
    PublicKeyData, SanType, SerialNumber, SignatureAlgorithm, SigningKey, date_time_ymd,
};
use ring::rand::SecureRandom;
use rustls_pki_types::CertificateDer;
use skyspray_wire::name::AgentName;
use std::time::SystemTime;

/// The last second of the year 9999, the latest date a certificate can carry.
pub(super) const UNIX_SECONDS_MAX: u64 = 253_402_300_799;

/// A certificate without its key, serial number and dates.
pub(super) struct Template {
    params: CertificateParams,
    issuer: DistinguishedName,
}

impl Template {
    pub(super) fn authority<K: AuthorityKind>(domain: &TrustDomain, key: &PublicKey) -> Self {
        let name = authority_name(K::NAME, key);
        let mut params = CertificateParams::default();
        params.distinguished_name = name.clone();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName(format!("{}.{domain}", K::SUBTREE))],
            excluded_subtrees: Vec::new(),
        });
        Self { params, issuer: name }
    }

    pub(super) fn relay_leaf(domain: &TrustDomain, issuer: &PublicKey) -> Self {
        let usage = ExtendedKeyUsagePurpose::ServerAuth;
        Self::leaf(domain.relay_name(), usage, authority_name("relay", issuer))
    }

    pub(super) fn agent_leaf(domain: &TrustDomain, agent: &AgentName, issuer: &PublicKey) -> Self {
        let usage = ExtendedKeyUsagePurpose::ClientAuth;
        Self::leaf(domain.agent_name(agent), usage, authority_name("agent", issuer))
    }

    fn leaf(name: String, usage: ExtendedKeyUsagePurpose, issuer: DistinguishedName) -> Self {
        let name = Ia5String::try_from(name).expect("names under a trust domain are ASCII");
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = vec![SanType::DnsName(name)];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        Self { params, issuer }
    }

    /// Fills in what differs from certificate to certificate and signs it.
    pub(super) fn sign(
        &self,
        subject: &PublicKey,
        (serial, validity): (Serial, Validity),
        (key, rng): (&PrivateKey, &dyn SecureRandom),
    ) -> Result<CertificateDer<'static>, AuthorityError> {
        let mut params = self.params.clone();
        params.serial_number = Some(SerialNumber::from_slice(serial.as_bytes()));
        let epoch = date_time_ymd(1970, 1, 1);
        let since = |time: SystemTime| {
            time.duration_since(SystemTime::UNIX_EPOCH).map_err(|_| AuthorityError::DateOutOfRange)
        };
        params.not_before = epoch + since(validity.not_before)?;
        params.not_after = epoch + since(validity.not_after)?;
        let mut issuer = CertificateParams::default();
        issuer.distinguished_name = self.issuer.clone();
        let issuer = Issuer::from_params(&issuer, Signer { key, rng });
        Ok(params.signed_by(&Subject(subject), &issuer)?.der().clone())
    }

    /// The subject's name as it stands in the certificate.
    pub(super) fn subject_der(&self) -> Vec<u8> {
        let name = self.params.distinguished_name.get(&DnType::CommonName);
        let Some(rcgen::DnValue::Utf8String(name)) = name else {
            return vec![0x30, 0x00];
        };
        let nested = |tag: u8, body: &[u8]| {
            let length = u8::try_from(body.len()).expect("a name of this program is short");
            [&[tag, length], body].concat()
        };
        let value = nested(0x0c, name.as_bytes());
        let attribute = nested(0x30, &[&[0x06, 0x03, 0x55, 0x04, 0x03], &value[..]].concat());
        nested(0x30, &nested(0x31, &attribute))
    }
}

/// The subject of an authority. Part of its key's hash tells two of the same kind apart while one
/// replaces the other.
fn authority_name(kind: &str, key: &PublicKey) -> DistinguishedName {
    let hash = key.hash().to_string();
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, format!("skyspray {kind} authority {}", &hash[..16]));
    name
}

/// A public key in the form rcgen takes; nothing else of the subject reaches the certificate.
struct Subject<'a>(&'a PublicKey);

impl PublicKeyData for Subject<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

/// An authority's key with the random source of its signatures.
struct Signer<'a> {
    key: &'a PrivateKey,
    rng: &'a dyn SecureRandom,
}

impl PublicKeyData for Signer<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.key.public_key().as_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for Signer<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.key.sign_asn1(message, self.rng).map_err(|_| rcgen::Error::RemoteKeyError)
    }
}
