//! Why a ceiling was not measured.

use skyspray_certs::store::StoreError;
use skyspray_link::endpoint::EndpointError;
use skyspray_link::session::SessionError;
use std::error::Error;
use std::io;
use thiserror::Error;

/// Why a ceiling was not measured.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CeilingError {
    /// The user stopped it.
    #[error("interrupted")]
    Interrupted,
    /// The signals that end the run cannot be caught.
    #[error("cannot watch for Ctrl-C")]
    Signals(#[source] io::Error),
    /// There is no temporary directory.
    #[error("there is no temporary directory")]
    Directory(#[source] io::Error),
    /// A side cannot be started.
    #[error("a side of {ceiling} does not start")]
    Start {
        /// What it is a side of.
        ceiling: &'static str,
        /// What the host says.
        source: io::Error,
    },
    /// A side failed; it said why on stderr.
    #[error("a side of {ceiling} failed")]
    Side {
        /// What it is a side of.
        ceiling: &'static str,
    },
    /// A side did not say what it must.
    #[error("a side of {ceiling} said {said:?}")]
    Unsaid {
        /// What it is a side of.
        ceiling: &'static str,
        /// What it said.
        said: String,
    },
    /// Another number of bytes arrived than were sent.
    #[error("{sent} bytes were sent over {ceiling}, {received} arrived")]
    Short {
        /// Over what.
        ceiling: &'static str,
        /// Bytes sent.
        sent: u64,
        /// Bytes received.
        received: u64,
    },
    /// The network of this host failed.
    #[error("the network of this host failed")]
    Network(#[from] io::Error),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] Box<dyn Error + Send + Sync>),
    /// A QUIC endpoint failed.
    #[error("a QUIC endpoint failed")]
    Endpoint(#[from] EndpointError),
    /// The QUIC session failed.
    #[error("the QUIC session failed")]
    Session(#[from] SessionError),
    /// A stream of the session broke off.
    #[error("a stream of the session broke off")]
    Stream(#[source] Box<dyn Error + Send + Sync>),
    /// The identities of the two sides cannot be kept.
    #[error("the identities of the two sides cannot be kept")]
    Store(#[from] StoreError),
    /// The identities of the two sides cannot be made.
    #[error("the identities of the two sides cannot be made")]
    Identity(#[source] Box<dyn Error + Send + Sync>),
}

impl CeilingError {
    pub(super) fn tls(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Tls(Box::new(error))
    }

    pub(super) fn stream(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Stream(Box::new(error))
    }

    pub(super) fn identity(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Identity(Box::new(error))
    }
}
