//! Where a relay listens, as `host:port`.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::Ipv6Addr;
use thiserror::Error;

/// Address of a relay's listener: `host:port`, with the host a DNS name, an IPv4 address or an
/// IPv6 address in brackets.
///
/// Only says where to dial: who answers is decided by the certificate, never by this name.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct RelayAddress(String);

/// A text that is not a relay address.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("relay address {text:?} is not host:port with a port from 1 to 65535")]
pub struct RelayAddressError {
    text: String,
}

/// Longest host, in bytes (a DNS name, RFC 1035).
const HOST_BYTES_MAX: usize = 253;

impl RelayAddress {
    /// Accepts the text as it is; nothing is changed or looked up.
    ///
    /// # Errors
    ///
    /// No host, a character that no host has, or no port from 1 to 65535.
    pub fn parse(text: &str) -> Result<Self, RelayAddressError> {
        match split(text) {
            Some(_) => Ok(Self(text.to_owned())),
            None => Err(RelayAddressError { text: text.chars().take(80).collect() }),
        }
    }

    /// The address as text, in the form `ToSocketAddrs` takes.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host, without brackets.
    pub fn host(&self) -> &str {
        split(&self.0).expect("parsed before").0
    }

    /// The UDP port.
    pub fn port(&self) -> u16 {
        split(&self.0).expect("parsed before").1
    }
}

fn split(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    if port.starts_with('+') {
        return None;
    }
    let port = port.parse::<u16>().ok().filter(|&port| port != 0)?;
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.strip_suffix(']')?;
        return inner.parse::<Ipv6Addr>().ok().map(|_| (inner, port));
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let usable = (1..=HOST_BYTES_MAX).contains(&host.len()) && host.bytes().all(allowed);
    usable.then_some((host, port))
}

impl fmt::Display for RelayAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for RelayAddress {
    type Error = RelayAddressError;

    fn try_from(text: String) -> Result<Self, RelayAddressError> {
        Self::parse(&text)
    }
}

impl From<RelayAddress> for String {
    fn from(address: RelayAddress) -> Self {
        address.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port() {
        for (text, host, port) in [
            ("relay.example:4433", "relay.example", 4433),
            ("10.0.0.1:1", "10.0.0.1", 1),
            ("[::1]:65535", "::1", 65535),
        ] {
            let address = RelayAddress::parse(text).unwrap();
            assert_eq!((address.host(), address.port(), address.as_str()), (host, port, text));
        }
        for wrong in ["", "a", ":1", "a:0", "a:65536", "a:+1", "a b:1", "[::1:1", "::1:1", "a/b:1"]
        {
            assert!(RelayAddress::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
