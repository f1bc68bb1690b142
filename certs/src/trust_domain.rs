//! The trust domain: the DNS suffix under which every certificate name of one installation lies.

use rustls_pki_types::{DnsName, ServerName};
use serde::{Deserialize, Serialize};
use skyspray_wire::name::AgentName;
use std::fmt;
use thiserror::Error;

/// DNS suffix of every certificate name, such as `skyspray.example`.
///
/// At most [`TrustDomain::BYTES_MAX`] bytes of lower-case letters, digits, `-`, `_` and `.`; no
/// trailing dot. Chosen by the operator when the relay is initialised. It need not exist in DNS.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct TrustDomain(String);

/// A text that is not a trust domain.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error(
    "trust domain {text:?} is not a lower-case DNS name of 1 to {} bytes",
    TrustDomain::BYTES_MAX
)]
pub struct TrustDomainError {
    text: String,
}

impl TrustDomain {
    /// Longest trust domain, in bytes: leaves room for `<agent>.agents.` in a DNS name of 253.
    pub const BYTES_MAX: usize = 200;

    /// Accepts the text as it is; nothing is changed.
    ///
    /// # Errors
    ///
    /// Anything that is not a lower-case DNS name of 1 to [`Self::BYTES_MAX`] bytes.
    pub fn parse(text: &str) -> Result<Self, TrustDomainError> {
        let usable = text.len() <= Self::BYTES_MAX
            && !text.ends_with('.')
            && !text.bytes().any(|byte| byte.is_ascii_uppercase())
            && DnsName::try_from(text).is_ok();
        if usable {
            Ok(Self(text.to_owned()))
        } else {
            Err(TrustDomainError { text: text.chars().take(80).collect() })
        }
    }

    /// The domain as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The one name in every relay's certificate and the server name an edge asks for:
    /// `relay.<trust domain>`.
    pub fn relay_name(&self) -> String {
        format!("relay.{}", self.0)
    }

    /// [`Self::relay_name`] in the form rustls takes.
    pub fn relay_server_name(&self) -> ServerName<'static> {
        ServerName::try_from(self.relay_name()).expect("a label before a trust domain is a name")
    }

    /// The subtree every agent's name lies in: `agents.<trust domain>`.
    pub fn agents_name(&self) -> String {
        format!("agents.{}", self.0)
    }

    /// The one name in the certificate of `agent`: `<agent>.agents.<trust domain>`.
    pub fn agent_name(&self, agent: &AgentName) -> String {
        format!("{agent}.agents.{}", self.0)
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for TrustDomain {
    type Error = TrustDomainError;

    fn try_from(text: String) -> Result<Self, TrustDomainError> {
        Self::parse(&text)
    }
}

impl From<TrustDomain> for String {
    fn from(domain: TrustDomain) -> Self {
        domain.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trust_domain_is_a_lower_case_dns_name() {
        let domain = TrustDomain::parse("sky.example").unwrap();

        assert_eq!(domain.relay_name(), "relay.sky.example");
        let agent = AgentName::parse("edge-1").unwrap();
        assert_eq!(domain.agent_name(&agent), "edge-1.agents.sky.example");
        let long = format!("{}.x", "a.".repeat(100));
        for wrong in ["", ".", "a.", "A.b", "*.b", "a b", "a..b", "-a.b", &long] {
            assert!(TrustDomain::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_longest_agent_in_the_longest_domain_is_still_a_dns_name() {
        let domain = TrustDomain::parse(&format!("{}ab", "a.".repeat(99))).unwrap();
        let agent = AgentName::parse(&"e".repeat(40)).unwrap();

        assert_eq!(domain.as_str().len(), TrustDomain::BYTES_MAX);
        DnsName::try_from(domain.agent_name(&agent)).unwrap();
    }
}
