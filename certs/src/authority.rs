//! The two certificate authorities of an installation and the leaves they issue.
//!
//! One authority issues to relays, the other to agents; neither key can make the other's names.
//! A leaf is filled from a template on this side: of the subject only its public key is used.

mod template;

use crate::identity::{self, Serial, Validity};
use crate::key::{KeyError, KeyHash, PrivateKey, PublicKey};
use crate::pem::{self, PemError};
use crate::trust_domain::TrustDomain;
use ring::rand::SecureRandom;
use rustls_pki_types::CertificateDer;
use skyspray_wire::name::AgentName;
use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, SystemTime};
use template::Template;
use thiserror::Error;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use zeroize::Zeroizing;

/// Life of an authority unless the operator says otherwise: 365 days.
pub const AUTHORITY_LIFE: Duration = Duration::from_hours(365 * 24);

/// Life of an agent's leaf unless the operator says otherwise: 24 hours.
pub const AGENT_LEAF_LIFE: Duration = Duration::from_hours(24);

/// Life of a relay's leaf unless the operator says otherwise: 7 days.
pub const RELAY_LEAF_LIFE: Duration = Duration::from_hours(7 * 24);

/// Shortest life of any certificate: 60 seconds, for drills and tests of rotation.
pub const LIFE_MIN: Duration = Duration::from_secs(60);

/// Longest life of a leaf: 7 days. Revocation by not renewing takes at most this long.
pub const LEAF_LIFE_MAX: Duration = Duration::from_hours(7 * 24);

/// Longest life of an authority: 10 years.
pub const AUTHORITY_LIFE_MAX: Duration = Duration::from_hours(10 * 365 * 24);

/// How far a certificate's start lies before the moment it was issued: 10 minutes.
///
/// A peer whose clock is behind by less than this still accepts a certificate made just now.
pub const BACKDATE: Duration = Duration::from_mins(10);

/// When a certificate is issued and how long it lasts from then.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Term {
    /// The moment of issue; the certificate starts [`BACKDATE`] earlier.
    pub now: SystemTime,
    /// Counted from `now`. Cut to what is left of the issuing authority.
    pub life: Duration,
}

/// Why an authority could not be made, read or used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// A life outside what this kind of certificate may have.
    #[error("certificate life {life:?} is outside {min:?} to {max:?}")]
    LifeOutOfRange {
        /// What was asked for.
        life: Duration,
        /// The shortest allowed.
        min: Duration,
        /// The longest allowed.
        max: Duration,
    },
    /// A date that no certificate can carry: before 1970 or after 9999.
    #[error("certificate date is outside the years 1970 to 9999")]
    DateOutOfRange,
    /// The authority itself is over, so nothing it signs would be accepted.
    #[error("{kind} authority expired")]
    Expired {
        /// Which authority.
        kind: &'static str,
    },
    /// The certificate is not one this program makes for an authority of this kind.
    #[error("certificate of the {kind} authority breaks the rule: {rule}")]
    NotAuthority {
        /// Which authority was expected.
        kind: &'static str,
        /// The rule that does not hold.
        rule: &'static str,
    },
    /// The stored text has no certificate or no key.
    #[error("{kind} authority is not readable")]
    Pem {
        /// Which authority.
        kind: &'static str,
        /// What is missing.
        source: PemError,
    },
    /// A key could not be made or used.
    #[error("key of the authority failed")]
    Key(#[from] KeyError),
    /// The certificate could not be written.
    #[error("certificate could not be encoded")]
    Encode(#[from] rcgen::Error),
}

/// Which peers an authority vouches for. Sealed: [`Relays`] and [`Agents`].
pub trait AuthorityKind: sealed::Sealed {
    /// The word for messages: `relay` or `agent`.
    const NAME: &'static str;

    /// First label of the DNS subtree the authority is constrained to.
    const SUBTREE: &'static str;
}

/// Marks the authority that issues to relays.
#[derive(Debug)]
pub enum Relays {}

/// Marks the authority that issues to agents.
#[derive(Debug)]
pub enum Agents {}

impl AuthorityKind for Relays {
    const NAME: &'static str = "relay";
    const SUBTREE: &'static str = "relay";
}

impl AuthorityKind for Agents {
    const NAME: &'static str = "agent";
    const SUBTREE: &'static str = "agents";
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Relays {}
    impl Sealed for super::Agents {}
}

/// A leaf certificate just issued, with what a record of it needs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct IssuedLeaf {
    /// The certificate.
    pub certificate: CertificateDer<'static>,
    /// Its serial number.
    pub serial: Serial,
    /// When it ends, in whole seconds; never later than its authority.
    pub not_after: SystemTime,
}

/// A certificate authority with its private key: path length 0, constrained to one DNS subtree.
pub struct Authority<K> {
    trust_domain: TrustDomain,
    certificate: CertificateDer<'static>,
    key: PrivateKey,
    validity: Validity,
    kind: PhantomData<fn() -> K>,
}

impl<K: AuthorityKind> Authority<K> {
    /// Makes a new authority with a new key.
    ///
    /// # Errors
    ///
    /// A life outside [`LIFE_MIN`] to [`AUTHORITY_LIFE_MAX`], a date no certificate carries, or a
    /// random source that failed.
    pub fn create(
        trust_domain: TrustDomain,
        term: Term,
        rng: &dyn SecureRandom,
    ) -> Result<Self, AuthorityError> {
        check_life(term.life, AUTHORITY_LIFE_MAX)?;
        let key = PrivateKey::generate(rng)?;
        let validity = validity_of(term)?;
        let template = Template::authority::<K>(&trust_domain, key.public_key());
        let serial = Serial::generate(rng)?;
        let certificate = template.sign(key.public_key(), (serial, validity), (&key, rng))?;
        Ok(Self { trust_domain, certificate, key, validity, kind: PhantomData })
    }

    /// Reads an authority from the text [`Self::to_pem`] made.
    ///
    /// # Errors
    ///
    /// A text without a certificate and its key, or a certificate that is not an authority of
    /// this kind; the fault of whoever wrote the file.
    pub fn from_pem(text: &str) -> Result<Self, AuthorityError> {
        let unreadable = |source| AuthorityError::Pem { kind: K::NAME, source };
        let certificate = pem::decode_certificate(text.as_bytes()).map_err(unreadable)?;
        let key = pem::decode_key(text.as_bytes()).map_err(unreadable)?;
        let (trust_domain, validity) = check_authority::<K>(&certificate, key.public_key())?;
        Ok(Self { trust_domain, certificate, key, validity, kind: PhantomData })
    }

    /// The private key and the certificate as PEM. Secret: for a private file only.
    pub fn to_pem(&self) -> Zeroizing<String> {
        pem::encode_pair(&self.key, &self.certificate)
    }

    /// The certificate, which peers hold as their trust anchor.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The trust domain all names lie in.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// Hash of the public key: the pin an enrollment token carries.
    pub fn key_hash(&self) -> KeyHash {
        self.key.public_key().hash()
    }

    /// When the authority ends.
    pub fn not_after(&self) -> SystemTime {
        self.validity.not_after
    }

    fn issue(
        &self,
        template: &Template,
        key: &PublicKey,
        term: Term,
        rng: &dyn SecureRandom,
    ) -> Result<IssuedLeaf, AuthorityError> {
        check_life(term.life, LEAF_LIFE_MAX)?;
        if term.now >= self.validity.not_after {
            return Err(AuthorityError::Expired { kind: K::NAME });
        }
        let mut validity = validity_of(term)?;
        validity.not_after = validity.not_after.min(self.validity.not_after);
        let serial = Serial::generate(rng)?;
        let certificate = template.sign(key, (serial, validity), (&self.key, rng))?;
        Ok(IssuedLeaf { certificate, serial, not_after: validity.not_after })
    }
}

impl Authority<Relays> {
    /// Issues the leaf of a relay: server authentication, named `relay.<trust domain>`.
    ///
    /// # Errors
    ///
    /// A life outside [`LIFE_MIN`] to [`LEAF_LIFE_MAX`], an expired authority, or a random source
    /// that failed.
    pub fn issue_relay_leaf(
        &self,
        key: &PublicKey,
        term: Term,
        rng: &dyn SecureRandom,
    ) -> Result<IssuedLeaf, AuthorityError> {
        let issuer = self.key.public_key();
        self.issue(&Template::relay_leaf(&self.trust_domain, issuer), key, term, rng)
    }
}

impl Authority<Agents> {
    /// Issues the leaf of an agent: client authentication, named `<agent>.agents.<trust domain>`.
    ///
    /// The caller has checked that the asker holds the private half of `key`.
    ///
    /// # Errors
    ///
    /// A life outside [`LIFE_MIN`] to [`LEAF_LIFE_MAX`], an expired authority, or a random source
    /// that failed.
    pub fn issue_agent_leaf(
        &self,
        agent: &AgentName,
        key: &PublicKey,
        term: Term,
        rng: &dyn SecureRandom,
    ) -> Result<IssuedLeaf, AuthorityError> {
        let issuer = self.key.public_key();
        self.issue(&Template::agent_leaf(&self.trust_domain, agent, issuer), key, term, rng)
    }
}

impl<K: AuthorityKind> fmt::Debug for Authority<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("kind", &K::NAME)
            .field("trust_domain", &self.trust_domain)
            .field("key", &self.key)
            .field("validity", &self.validity)
            .finish()
    }
}

fn check_life(life: Duration, max: Duration) -> Result<(), AuthorityError> {
    if (LIFE_MIN..=max).contains(&life) {
        Ok(())
    } else {
        Err(AuthorityError::LifeOutOfRange { life, min: LIFE_MIN, max })
    }
}

/// The dates of a certificate, in whole seconds.
fn validity_of(term: Term) -> Result<Validity, AuthorityError> {
    let now = term
        .now
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_err(|_| AuthorityError::DateOutOfRange)?
        .as_secs();
    let end = now.saturating_add(term.life.as_secs());
    if end > template::UNIX_SECONDS_MAX {
        return Err(AuthorityError::DateOutOfRange);
    }
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    Ok(Validity { not_before: at(now.saturating_sub(BACKDATE.as_secs())), not_after: at(end) })
}

/// Checks that a stored certificate is an authority of kind `K` for `key`, and reads its domain.
fn check_authority<K: AuthorityKind>(
    certificate: &CertificateDer<'_>,
    key: &PublicKey,
) -> Result<(TrustDomain, Validity), AuthorityError> {
    let broken = |rule| AuthorityError::NotAuthority { kind: K::NAME, rule };
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| broken("is X.509"))?;
    if parsed.public_key().raw != key.to_spki() {
        return Err(broken("belongs to the private key beside it"));
    }
    let limited = parsed
        .basic_constraints()
        .ok()
        .flatten()
        .is_some_and(|basic| basic.value.ca && basic.value.path_len_constraint == Some(0));
    if !limited {
        return Err(broken("is an authority with path length 0"));
    }
    let signs = parsed
        .key_usage()
        .ok()
        .flatten()
        .is_some_and(|usage| usage.value.key_cert_sign() && usage.value.crl_sign());
    if !signs {
        return Err(broken("may sign certificates"));
    }
    let trust_domain =
        constrained_domain::<K>(&parsed).ok_or_else(|| broken("is constrained to its subtree"))?;
    let expected = Template::authority::<K>(&trust_domain, key).subject_der();
    if parsed.subject().as_raw() != expected || parsed.issuer().as_raw() != expected {
        return Err(broken("is self-signed under its own name"));
    }
    let validity = identity::validity(&parsed).ok_or_else(|| broken("has dates after 1970"))?;
    Ok((trust_domain, validity))
}

fn constrained_domain<K: AuthorityKind>(parsed: &X509Certificate<'_>) -> Option<TrustDomain> {
    let constraints = parsed.name_constraints().ok()??.value;
    let subtrees = constraints.permitted_subtrees.as_ref()?;
    match (subtrees.as_slice(), &constraints.excluded_subtrees) {
        ([only], None) => match only.base {
            GeneralName::DNSName(name) => {
                let domain = name.strip_prefix(K::SUBTREE)?.strip_prefix('.')?;
                TrustDomain::parse(domain).ok()
            }
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests;
