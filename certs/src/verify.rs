//! Certificate verification of both sides: webpki first, then the stricter profile.
//!
//! Certificates beside the leaf never take part in building the chain: a leaf is signed by a
//! trusted authority or it is nothing.

use crate::identity::{
    AgentIdentity, IdentityError, RelayCertificate, Role, Validity, parse, validity,
};
use crate::key::KeyHash;
use crate::trust_domain::TrustDomain;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, PeerIncompatible,
    SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use std::sync::Arc;
use std::time::SystemTime;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

/// Object identifiers of the two usages, as DER contents (RFC 5280, 4.2.1.12).
const SERVER_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
const CLIENT_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];

/// The one signature algorithm of certificates and handshakes: ECDSA over P-256 with SHA-256.
pub(crate) static ALGORITHMS: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[webpki::ring::ECDSA_P256_SHA256],
    mapping: &[(SignatureScheme::ECDSA_NISTP256_SHA256, &[webpki::ring::ECDSA_P256_SHA256])],
};

/// The authorities one side trusts, with the dates webpki does not look at.
#[derive(Clone, Debug)]
pub(crate) struct Anchors(Vec<Anchor>);

#[derive(Clone, Debug)]
struct Anchor {
    certificate: CertificateDer<'static>,
    trust: TrustAnchor<'static>,
    validity: Validity,
}

impl Anchors {
    /// Trusts exactly these authorities.
    pub(crate) fn from_certificates(
        certificates: &[CertificateDer<'_>],
    ) -> Result<Self, IdentityError> {
        certificates.iter().map(Anchor::from_certificate).collect::<Result<_, _>>().map(Self)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Verifies that one of the authorities issued `chain[0]` for `role` and all dates hold.
    pub(crate) fn verify(
        &self,
        chain: &[CertificateDer<'_>],
        role: Role,
        now: UnixTime,
    ) -> Result<(), IdentityError> {
        let [leaf, beside @ ..] = chain else {
            return Err(IdentityError::ChainLength { length: 0 });
        };
        if chain.len() > crate::identity::CHAIN_LENGTH_MAX {
            return Err(IdentityError::ChainLength { length: chain.len() });
        }
        if beside.iter().any(|der| !self.0.iter().any(|anchor| anchor.certificate == *der)) {
            return Err(IdentityError::IntermediateForeign);
        }
        let usage = KeyUsage::required(match role {
            Role::Agent => CLIENT_AUTH,
            Role::Relay => SERVER_AUTH,
        });
        let untrusted = |source| IdentityError::Untrusted { source };
        let leaf = EndEntityCert::try_from(leaf).map_err(untrusted)?;
        let trusted: Vec<_> = self.0.iter().map(|anchor| anchor.trust.clone()).collect();
        let path = leaf
            .verify_for_usage(ALGORITHMS.all, &trusted, &[], now, usage, None, None)
            .map_err(untrusted)?;
        let used = self.0.iter().find(|anchor| anchor.trust == *path.anchor());
        if used.is_some_and(|anchor| anchor.covers(now)) {
            Ok(())
        } else {
            Err(IdentityError::AuthorityOutOfDate)
        }
    }
}

impl Anchor {
    fn from_certificate(certificate: &CertificateDer<'_>) -> Result<Self, IdentityError> {
        let certificate = certificate.clone().into_owned();
        let parsed = parse(&certificate)?;
        let limited = parsed
            .basic_constraints()
            .ok()
            .flatten()
            .is_some_and(|basic| basic.value.ca && basic.value.path_len_constraint == Some(0));
        if !limited {
            return Err(IdentityError::NotAuthority);
        }
        let validity = validity(&parsed).ok_or(IdentityError::Malformed)?;
        let trust = anchor_from_trusted_cert(&certificate)
            .map_err(|source| IdentityError::Untrusted { source })?
            .to_owned();
        Ok(Self { certificate, trust, validity })
    }

    fn covers(&self, now: UnixTime) -> bool {
        let now = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(now.as_secs());
        (self.validity.not_before..=self.validity.not_after).contains(&now)
    }
}

/// The relay's check of an edge.
#[derive(Debug)]
pub(crate) struct AgentVerifier {
    pub(crate) anchors: Anchors,
    pub(crate) trust_domain: TrustDomain,
}

impl ClientCertVerifier for AgentVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        beside: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let chain = chain_of(leaf, beside);
        self.anchors.verify(&chain, Role::Agent, now).map_err(refuse)?;
        AgentIdentity::from_chain(&chain, &self.trust_domain).map_err(refuse)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::Tls12NotOfferedOrEnabled.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, leaf, signed, &ALGORITHMS)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ALGORITHMS.supported_schemes()
    }
}

/// Whom an edge believes to be the authority of relays.
#[derive(Debug)]
pub(crate) enum RelayTrust {
    /// The authorities it was given at enrollment.
    Anchors(Anchors),
    /// The authority the relay presents, if its key has one of these hashes.
    Pins(Vec<KeyHash>),
}

/// The edge's check of a relay.
#[derive(Debug)]
pub(crate) struct RelayVerifier {
    pub(crate) trust: RelayTrust,
    pub(crate) trust_domain: TrustDomain,
}

impl RelayVerifier {
    fn verify(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<(), IdentityError> {
        match &self.trust {
            RelayTrust::Anchors(anchors) => anchors.verify(chain, Role::Relay, now)?,
            RelayTrust::Pins(pins) => {
                pinned_anchor(chain, pins)?.verify(chain, Role::Relay, now)?;
            }
        }
        RelayCertificate::from_chain(chain, &self.trust_domain).map(|_| ())
    }
}

impl ServerCertVerifier for RelayVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        beside: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if server_name.to_str() != self.trust_domain.relay_name() {
            return Err(CertificateError::NotValidForName.into());
        }
        self.verify(&chain_of(leaf, beside), now).map_err(refuse)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::Tls12NotOfferedOrEnabled.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, leaf, signed, &ALGORITHMS)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ALGORITHMS.supported_schemes()
    }
}

/// The one presented authority, trusted because its key has a pinned hash.
fn pinned_anchor(chain: &[CertificateDer<'_>], pins: &[KeyHash]) -> Result<Anchors, IdentityError> {
    let [_, authority] = chain else {
        return Err(IdentityError::PinMismatch);
    };
    let hash = KeyHash::of_spki(parse(authority)?.public_key().raw);
    if !pins.contains(&hash) {
        return Err(IdentityError::PinMismatch);
    }
    Anchors::from_certificates(std::slice::from_ref(authority))
}

fn chain_of<'a>(
    leaf: &'a CertificateDer<'_>,
    beside: &'a [CertificateDer<'_>],
) -> Vec<CertificateDer<'a>> {
    std::iter::once(leaf).chain(beside).map(|der| CertificateDer::from(der.as_ref())).collect()
}

/// Gives rustls its own variant where it has one, so that the peer gets the standard alert.
fn refuse(error: IdentityError) -> rustls::Error {
    use webpki::Error as E;
    let standard = match &error {
        IdentityError::Untrusted { source } => match source {
            E::CertExpired { .. } => Some(CertificateError::Expired),
            E::CertNotValidYet { .. } => Some(CertificateError::NotValidYet),
            E::UnknownIssuer => Some(CertificateError::UnknownIssuer),
            E::InvalidSignatureForPublicKey => Some(CertificateError::BadSignature),
            E::RequiredEkuNotFoundContext(_) => Some(CertificateError::InvalidPurpose),
            E::BadDer | E::BadDerTime | E::TrailingData(_) => Some(CertificateError::BadEncoding),
            _ => None,
        },
        IdentityError::Malformed => Some(CertificateError::BadEncoding),
        _ => None,
    };
    standard.unwrap_or_else(|| CertificateError::Other(OtherError(Arc::new(error)))).into()
}
