//! Who a verified certificate names.
//!
//! The checks here come after the chain has been verified and are stricter than X.509 asks: one
//! name, one usage, one issuer. Both sides run them inside the handshake and may run them again
//! on the certificates of a session.

use crate::key::{KeyError, KeyHash, write_hex};
use crate::trust_domain::TrustDomain;
use ring::rand::SecureRandom;
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use skyspray_wire::name::AgentName;
use std::fmt;
use std::time::{Duration, SystemTime};
use thiserror::Error;
use x509_parser::prelude::{ExtendedKeyUsage, FromDer, GeneralName, X509Certificate};

/// Most certificates a peer may present: its leaf and the authority that issued it.
pub const CHAIN_LENGTH_MAX: usize = 2;

/// The key usage extension with digitalSignature alone (RFC 5280, 4.2.1.3; bit 0).
const DIGITAL_SIGNATURE_ONLY: u16 = 1;

/// Why a peer's certificate is not an identity here. Always the peer's or its issuer's fault.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum IdentityError {
    /// The peer presented no certificate or too many.
    #[error("certificate chain has {length} certificates, expected 1 to {CHAIN_LENGTH_MAX}")]
    ChainLength {
        /// How many were presented.
        length: usize,
    },
    /// A certificate beside the leaf is not one of the trusted authorities.
    #[error("certificate beside the leaf is not a trusted authority")]
    IntermediateForeign,
    /// The bytes are not an X.509 certificate this program can read.
    #[error("certificate is malformed")]
    Malformed,
    /// The chain does not lead to a trusted authority, or is out of date.
    #[error("certificate is not trusted")]
    Untrusted {
        /// What the verification says.
        source: webpki::Error,
    },
    /// The trusted authority is out of date itself.
    #[error("authority of the certificate is not valid at this time")]
    AuthorityOutOfDate,
    /// The trusted certificate is not an authority.
    #[error("pinned certificate is not an authority with path length 0")]
    NotAuthority,
    /// No authority with the pinned key was presented.
    #[error("relay does not present the authority this token was made for")]
    PinMismatch,
    /// Another number of subject alternative names than one.
    #[error("certificate has {found} names, expected exactly 1")]
    NameCount {
        /// How many there are.
        found: usize,
    },
    /// The one name is not a DNS name.
    #[error("certificate name is not a DNS name")]
    NameKind,
    /// The name stands for many.
    #[error("certificate name {name:?} is a wildcard")]
    Wildcard {
        /// The name found, cut to 80 characters.
        name: String,
    },
    /// The name lies elsewhere.
    #[error("certificate name {name:?} is not {expected}")]
    NameForeign {
        /// The name found, cut to 80 characters.
        name: String,
        /// The name or the pattern that was expected.
        expected: String,
    },
    /// Extended key usage is absent, another one, or more than one.
    #[error("certificate usage is not exactly {expected}")]
    Usage {
        /// The usage that was expected.
        expected: &'static str,
    },
    /// Key usage is absent or more than digitalSignature.
    #[error("certificate key usage is not exactly digitalSignature")]
    KeyUsage,
    /// The leaf may issue certificates.
    #[error("certificate of a peer is an authority")]
    Authority,
    /// The serial number is not one this program makes.
    #[error("certificate serial number has {length} bytes, expected 16")]
    SerialLength {
        /// Length found, in bytes.
        length: usize,
    },
}

/// Serial number of a certificate: 16 bytes, positive, without leading zero.
#[derive(Clone, Copy, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Serial([u8; 16]);

impl Serial {
    /// Draws a serial number: 128 bits, of which the two highest are fixed so that the DER form
    /// always has 16 bytes.
    ///
    /// # Errors
    ///
    /// [`KeyError::RandomFailed`].
    pub fn generate(rng: &dyn SecureRandom) -> Result<Self, KeyError> {
        let mut bytes = [0; 16];
        rng.fill(&mut bytes).map_err(|_| KeyError::RandomFailed)?;
        bytes[0] = (bytes[0] & 0x3f) | 0x40;
        Ok(Self(bytes))
    }

    /// The number with these big-endian bytes, as kept in a record.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The number, big-endian.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Serial({self})")
    }
}

/// How often an agent's identity has been issued: 1 at enrollment, one more with every renewal
/// and recovery, 0 before.
///
/// Two edges that share one identity ask with the same number, and the second is found out.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
pub struct IdentityGeneration(pub u64);

impl IdentityGeneration {
    /// The number after this one.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for IdentityGeneration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// First and last moment a certificate is valid, both included, in whole seconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Validity {
    /// First moment; [`crate::authority::BACKDATE`] before the moment of issue.
    pub not_before: SystemTime,
    /// Last moment.
    pub not_after: SystemTime,
}

/// An edge, as its verified certificate names it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AgentIdentity {
    /// The agent's name.
    pub name: AgentName,
    /// Serial number of the leaf.
    pub serial: Serial,
    /// Dates of the leaf. A session must not outlive them.
    pub validity: Validity,
    /// Hash of the session key.
    pub key_hash: KeyHash,
}

impl AgentIdentity {
    /// Reads the identity from the certificates of a session, leaf first.
    ///
    /// The chain was verified in the handshake; this does not check signatures or dates.
    ///
    /// # Errors
    ///
    /// A certificate outside the profile of an agent's leaf in `trust_domain`.
    pub fn from_chain(
        chain: &[CertificateDer<'_>],
        trust_domain: &TrustDomain,
    ) -> Result<Self, IdentityError> {
        let leaf = Leaf::from_chain(chain, Role::Agent)?;
        let suffix = format!(".{}", trust_domain.agents_name());
        let name = leaf.name.strip_suffix(&suffix).and_then(|label| AgentName::parse(label).ok());
        let name = name.ok_or_else(|| IdentityError::NameForeign {
            name: shorten(&leaf.name),
            expected: format!("<agent>{suffix}"),
        })?;
        let Leaf { serial, validity, key_hash, .. } = leaf;
        Ok(Self { name, serial, validity, key_hash })
    }
}

/// A relay, as its verified certificate names it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RelayCertificate {
    /// Serial number of the leaf.
    pub serial: Serial,
    /// Dates of the leaf.
    pub validity: Validity,
    /// Hash of the leaf's key.
    pub key_hash: KeyHash,
}

impl RelayCertificate {
    /// Reads the identity from the certificates of a session, leaf first.
    ///
    /// The chain was verified in the handshake; this does not check signatures or dates.
    ///
    /// # Errors
    ///
    /// A certificate outside the profile of a relay's leaf in `trust_domain`.
    pub fn from_chain(
        chain: &[CertificateDer<'_>],
        trust_domain: &TrustDomain,
    ) -> Result<Self, IdentityError> {
        let Leaf { name, serial, validity, key_hash } = Leaf::from_chain(chain, Role::Relay)?;
        let expected = trust_domain.relay_name();
        if name != expected {
            return Err(IdentityError::NameForeign { name: shorten(&name), expected });
        }
        Ok(Self { serial, validity, key_hash })
    }
}

/// Which side a leaf was issued for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Role {
    Agent,
    Relay,
}

impl Role {
    fn usage_name(self) -> &'static str {
        match self {
            Self::Agent => "clientAuth",
            Self::Relay => "serverAuth",
        }
    }

    fn has_usage(self, usage: &ExtendedKeyUsage<'_>) -> bool {
        match self {
            Self::Agent => usage.client_auth,
            Self::Relay => usage.server_auth,
        }
    }
}

/// The fields both kinds of leaf share, each checked.
struct Leaf {
    name: String,
    serial: Serial,
    validity: Validity,
    key_hash: KeyHash,
}

impl Leaf {
    fn from_chain(chain: &[CertificateDer<'_>], role: Role) -> Result<Self, IdentityError> {
        let leaf = match chain {
            [leaf] | [leaf, _] => leaf,
            _ => return Err(IdentityError::ChainLength { length: chain.len() }),
        };
        let parsed = parse(leaf)?;
        if parsed.is_ca() {
            return Err(IdentityError::Authority);
        }
        let usage = parsed.extended_key_usage().map_err(|_| IdentityError::Malformed)?;
        let exact =
            usage.is_some_and(|usage| usage_count(usage.value) == 1 && role.has_usage(usage.value));
        if !exact {
            return Err(IdentityError::Usage { expected: role.usage_name() });
        }
        let usage = parsed.key_usage().map_err(|_| IdentityError::Malformed)?;
        if usage.is_none_or(|usage| usage.value.flags != DIGITAL_SIGNATURE_ONLY) {
            return Err(IdentityError::KeyUsage);
        }
        Ok(Self {
            name: only_name(&parsed)?,
            serial: serial(&parsed)?,
            validity: validity(&parsed).ok_or(IdentityError::Malformed)?,
            key_hash: KeyHash::of_spki(parsed.public_key().raw),
        })
    }
}

/// Reads a whole certificate; bytes after it are an error.
pub(crate) fn parse<'a>(
    certificate: &'a CertificateDer<'_>,
) -> Result<X509Certificate<'a>, IdentityError> {
    match X509Certificate::from_der(certificate) {
        Ok(([], parsed)) => Ok(parsed),
        _ => Err(IdentityError::Malformed),
    }
}

/// The dates of a certificate; `None` when one lies before 1970.
pub(crate) fn validity(parsed: &X509Certificate<'_>) -> Option<Validity> {
    let at = |seconds: i64| {
        let seconds = u64::try_from(seconds).ok()?;
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
    };
    Some(Validity {
        not_before: at(parsed.validity().not_before.timestamp())?,
        not_after: at(parsed.validity().not_after.timestamp())?,
    })
}

fn only_name(parsed: &X509Certificate<'_>) -> Result<String, IdentityError> {
    let names = parsed.subject_alternative_name().map_err(|_| IdentityError::Malformed)?;
    let names = names.map_or(&[][..], |names| &names.value.general_names);
    let [name] = names else {
        return Err(IdentityError::NameCount { found: names.len() });
    };
    match name {
        GeneralName::DNSName(name) if name.contains('*') => {
            Err(IdentityError::Wildcard { name: shorten(name) })
        }
        GeneralName::DNSName(name) => Ok((*name).to_owned()),
        _ => Err(IdentityError::NameKind),
    }
}

fn serial(parsed: &X509Certificate<'_>) -> Result<Serial, IdentityError> {
    let bytes = parsed.raw_serial();
    let length = bytes.len();
    bytes.try_into().map(Serial).map_err(|_| IdentityError::SerialLength { length })
}

fn usage_count(usage: &ExtendedKeyUsage<'_>) -> usize {
    let known = [
        usage.any,
        usage.server_auth,
        usage.client_auth,
        usage.code_signing,
        usage.email_protection,
        usage.time_stamping,
        usage.ocsp_signing,
    ];
    known.iter().filter(|&&present| present).count() + usage.other.len()
}

fn shorten(name: &str) -> String {
    name.chars().take(80).collect()
}
