//! Why there is no session, in terms a person can act on.

use super::issue::IssueError;
use crate::exit::{Exit, Explain};
use skyspray_certs::RelayAddress;
use skyspray_certs::store::StoreError;
use skyspray_certs::tls::TlsError;
use skyspray_link::endpoint::{DIAL_DEADLINE, EndpointError};
use skyspray_link::request::RequestError;
use skyspray_link::session::{CloseCode, SessionError};
use skyspray_wire::message::{VERSION_NEWEST, VERSION_OLDEST};
use skyspray_wire::refusal::Refusal;
use std::borrow::Cow;
use std::io;
use thiserror::Error;

/// Why there is no session with a relay.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// There is no identity, or it cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The identity is not one to connect with.
    #[error("identity does not fit TLS")]
    Tls(#[from] TlsError),
    /// Neither the configuration nor the identity names a relay.
    #[error("no address of a relay is known")]
    NoAddress,
    /// The name of the relay's host means nothing here.
    #[error("host of relay {address} cannot be found")]
    Resolve {
        /// The relay.
        address: RelayAddress,
        /// What the resolver says.
        source: io::Error,
    },
    /// The name of the relay's host stands for no address.
    #[error("host of relay {address} has no address")]
    NoHost {
        /// The relay.
        address: RelayAddress,
    },
    /// This host gives no socket to dial from.
    #[error("relay {address} cannot be dialled")]
    Socket {
        /// The relay.
        address: RelayAddress,
        /// Why.
        source: EndpointError,
    },
    /// Nothing came back.
    #[error("no answer over UDP from relay {address} within {} s", DIAL_DEADLINE.as_secs())]
    Unreachable {
        /// The relay.
        address: RelayAddress,
    },
    /// Who answers is not the relay this edge was enrolled with.
    #[error("relay {address} is not the one this edge was enrolled with")]
    RelayNotTrusted {
        /// The relay.
        address: RelayAddress,
        /// What does not fit.
        source: SessionError,
    },
    /// The relay does not take this edge.
    #[error("relay {address} does not accept the identity of this edge")]
    NotAccepted {
        /// The relay.
        address: RelayAddress,
        /// How it said so.
        source: SessionError,
    },
    /// The relay takes nobody at the moment, or the session broke off before it began.
    #[error("relay {address} broke the session off before it began")]
    TurnedAway {
        /// The relay.
        address: RelayAddress,
        /// How it said so.
        source: SessionError,
    },
    /// The relay said no, and why.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The relay chose a version that was not offered.
    #[error("relay speaks version {found}, expected {VERSION_OLDEST} to {VERSION_NEWEST}")]
    Version {
        /// The version it chose.
        found: u16,
    },
    /// The first answer is not one to a greeting.
    #[error("relay {address} did not answer the greeting with a welcome")]
    Greeting {
        /// The relay.
        address: RelayAddress,
    },
    /// The identity has expired and could not be brought back.
    #[error("identity has expired and was not recovered at {address}")]
    Recovery {
        /// The enrollment listener.
        address: RelayAddress,
        /// Why.
        source: Box<Self>,
    },
    /// No new identity was issued.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// Sessions came and went, and the job did not move.
    #[error("no progress for {seconds} s")]
    NoProgress {
        /// For how long.
        seconds: u64,
    },
    /// No session for so long.
    #[error("no session for {seconds} s")]
    GaveUp {
        /// For how long.
        seconds: u64,
        /// The last attempt.
        source: Box<Self>,
    },
}

impl ConnectError {
    /// Whether another attempt, here or at another address, may succeed.
    pub fn is_passing(&self) -> bool {
        self.exit() == Exit::Temporary
            && !matches!(self, Self::GaveUp { .. } | Self::NoProgress { .. })
    }

    /// Whether nothing at all was heard of a relay.
    pub(super) fn is_silence(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Resolve { .. } | Self::NoHost { .. })
    }
}

/// What a failed dial means. The edge checks the relay before the relay checks the edge, so
/// whatever fails here but for silence is about the relay, unless the relay broke it off.
pub(super) fn handshake_fault(address: &RelayAddress, error: EndpointError) -> ConnectError {
    let address = address.clone();
    match error {
        EndpointError::Unreachable { .. } => ConnectError::Unreachable { address },
        EndpointError::Handshake { source, .. } => match source {
            SessionError::Handshake { ref reason } if !said_by_peer(reason) => {
                ConnectError::RelayNotTrusted { address, source }
            }
            source => ConnectError::TurnedAway { address, source },
        },
        source => ConnectError::Socket { address, source },
    }
}

/// What a session that ends before `Welcome` means: the relay checks the edge's certificate after
/// the edge believes the handshake done (RFC 8446, 4.4).
pub(super) fn greeting_fault(address: &RelayAddress, error: RequestError) -> ConnectError {
    let address = address.clone();
    let source = match error {
        RequestError::Refused(refusal) => return refusal.into(),
        RequestError::Session(source) => source,
        _ => return ConnectError::Greeting { address },
    };
    match source {
        SessionError::Handshake { .. }
        | SessionError::Closed(CloseCode::Revoked | CloseCode::Refused) => {
            ConnectError::NotAccepted { address, source }
        }
        SessionError::Malformed(_) | SessionError::Closed(CloseCode::Malformed) => {
            ConnectError::Greeting { address }
        }
        source => ConnectError::TurnedAway { address, source },
    }
}

/// Whether the text of the QUIC layer says that the other side ended the handshake.
fn said_by_peer(reason: &str) -> bool {
    reason.starts_with("aborted by peer")
}

impl Explain for ConnectError {
    fn exit(&self) -> Exit {
        match self {
            Self::Store(error) => error.exit(),
            Self::NoAddress => Exit::Usage,
            Self::Resolve { .. }
            | Self::NoHost { .. }
            | Self::Unreachable { .. }
            | Self::TurnedAway { .. }
            | Self::NoProgress { .. }
            | Self::GaveUp { .. } => Exit::Temporary,
            Self::RelayNotTrusted { .. } | Self::NotAccepted { .. } | Self::Version { .. } => {
                Exit::Refused
            }
            Self::Tls(_) | Self::Socket { .. } | Self::Greeting { .. } => Exit::Internal,
            Self::Refused(refusal) => refusal.exit(),
            Self::Recovery { source, .. } => source.exit(),
            Self::Issue(error) => error.exit(),
        }
    }

    fn code(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Tls(_) => "identity-unusable",
            Self::NoAddress => "relay-address-missing",
            Self::Resolve { .. } | Self::NoHost { .. } => "relay-host-unknown",
            Self::Socket { .. } => "socket",
            Self::Unreachable { .. } => "relay-unreachable",
            Self::RelayNotTrusted { .. } => "relay-not-trusted",
            Self::NotAccepted { .. } => "not-accepted",
            Self::TurnedAway { .. } => "relay-turned-away",
            Self::Version { .. } => "version",
            Self::Greeting { .. } => "protocol",
            Self::GaveUp { .. } | Self::NoProgress { .. } => "gave-up",
            Self::Store(error) => return error.code(),
            Self::Refused(refusal) => return Explain::code(refusal),
            Self::Recovery { source, .. } => return source.code(),
            Self::Issue(error) => return error.code(),
        })
    }

    fn advice(&self) -> Option<String> {
        let advice = match self {
            Self::Store(error) => return error.advice(),
            Self::NoAddress => "set addresses in [relay] of edge.toml",
            Self::Resolve { .. } | Self::NoHost { .. } => {
                "check the name, or set addresses in [relay] of edge.toml"
            }
            Self::Unreachable { address } => {
                let port = address.port();
                return Some(format!(
                    "check that the relay runs and that UDP port {port} is open from here to it"
                ));
            }
            Self::RelayNotTrusted { .. } => {
                "check the address and this host's clock; after a relay was set up anew, enroll again"
            }
            Self::NotAccepted { .. } => {
                "ask the relay's operator whether this agent is revoked, and check this host's clock"
            }
            Self::TurnedAway { .. } => "run the same command again in a while",
            Self::NoProgress { .. } => "run the same command again; it goes on where it stopped",
            Self::Version { .. } => "bring edge and relay to versions that fit",
            Self::GaveUp { source, .. } => {
                let first = source.advice().map_or(String::new(), |advice| format!("{advice}; "));
                return Some(format!("{first}the same command goes on where this one stopped"));
            }
            Self::Refused(refusal) => return refusal.advice(),
            Self::Recovery { source, .. } => return source.advice(),
            Self::Issue(error) => return error.advice(),
            _ => return None,
        };
        Some(advice.to_owned())
    }
}

/// A session that ended under a command.
impl Explain for SessionError {
    fn exit(&self) -> Exit {
        match self {
            Self::Closed(CloseCode::Revoked) => Exit::Refused,
            Self::Malformed(_) | Self::Closed(CloseCode::Malformed) => Exit::Internal,
            _ => Exit::Temporary,
        }
    }

    fn code(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Closed(CloseCode::Revoked) => "revoked",
            Self::Malformed(_) | Self::Closed(CloseCode::Malformed) => "protocol",
            _ => "session-lost",
        })
    }

    fn advice(&self) -> Option<String> {
        match self.exit() {
            Exit::Refused => Some("ask the relay's operator why this agent was revoked".into()),
            Exit::Temporary => {
                Some("run the same command again; it goes on where it stopped".into())
            }
            _ => None,
        }
    }
}

/// A request without its answer.
impl Explain for RequestError {
    fn exit(&self) -> Exit {
        match self {
            Self::Refused(refusal) => refusal.exit(),
            Self::Session(error) => error.exit(),
            _ => Exit::Internal,
        }
    }

    fn code(&self) -> Cow<'static, str> {
        match self {
            Self::Refused(refusal) => Explain::code(refusal),
            Self::Session(error) => error.code(),
            _ => "protocol".into(),
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            Self::Refused(refusal) => refusal.advice(),
            Self::Session(error) => error.advice(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
