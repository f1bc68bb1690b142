//! The host of a name: what HPCC would look up, never looked up here.

use std::fmt;
use thiserror::Error;

/// Bytes of the name of a host, as in DNS.
const NAME_BYTES_MAX: usize = 253;

/// A host by IPv4 address or name, in lower case, with its port where one is named.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Host {
    name: String,
    port: Option<u16>,
}

/// A text that names no host.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error(
    "{host:?} is no host, expected an IPv4 address or a name of 1 to {NAME_BYTES_MAX} letters, \
     digits, `-`, `_` and `.`, and perhaps `:` and a port"
)]
pub struct HostError {
    host: String,
}

impl Host {
    /// Accepts `name`, `10.0.0.1` and either with `:port`; blanks around it are dropped.
    ///
    /// # Errors
    ///
    /// Whoever wrote it is at fault. An IPv6 address has no form that fits between two `::`.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        let refused = || HostError { host: text.chars().take(80).collect() };
        let inner = text.trim_matches(' ').to_ascii_lowercase();
        let (name, port) = match inner.split_once(':') {
            Some((name, port)) => (name, Some(parse_port(port).ok_or_else(refused)?)),
            None => (inner.as_str(), None),
        };
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = name.as_bytes();
        if bytes.len() > NAME_BYTES_MAX
            || !bytes.iter().copied().all(allowed)
            || !edge(bytes.first())
            || !edge(bytes.last())
            || name.contains("..")
        {
            return Err(refused());
        }
        Ok(Self { name: name.to_owned(), port })
    }

    /// The address or name, in lower case.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The port where one is named.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Whether it is `localhost` or an address `127.x.x.x`: the system that reads the name.
    pub fn is_local(&self) -> bool {
        let mut octets = self.name.split('.');
        let loopback = octets.next() == Some("127")
            && octets.clone().count() == 3
            && octets.all(|octet| octet.parse::<u8>().is_ok());
        loopback || self.name == "localhost"
    }
}

fn parse_port(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|&port| digits && port > 0)
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}
