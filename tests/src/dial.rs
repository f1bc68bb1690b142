//! Sessions of a test's own with the relay of a pair, under the identity of its edge: for what the
//! edge's commands never ask.

use crate::check::files_below;
use crate::error::HarnessError;
use crate::pair::Pair;
use rustls::time_provider::DefaultTimeProvider;
use skyspray_certs::edge_identity::EdgeIdentity;
use skyspray_certs::store::{EdgeStore, StoreError};
use skyspray_certs::tls::{TlsError, edge_data_config};
use skyspray_link::endpoint::{Dialler, EndpointError, UdpSocket};
use skyspray_link::request::RequestError;
use skyspray_link::session::Session;
use skyspray_wire::message::{Hello, Reply, Request, VERSION_NEWEST, VERSION_OLDEST};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use thiserror::Error;

/// Why there is no session.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DialError {
    /// The edge is not enrolled, or its directory cannot be read.
    #[error("no identity.toml below {}", dir.display())]
    NotEnrolled {
        /// The edge's directory.
        dir: PathBuf,
    },
    /// Its directory cannot be read.
    #[error(transparent)]
    Harness(#[from] HarnessError),
    /// Its identity cannot be read.
    #[error("cannot read the identity")]
    Identity(#[from] StoreError),
    /// Its identity does not fit TLS.
    #[error("the identity does not fit TLS")]
    Tls(#[from] TlsError),
    /// No socket is free, or the relay is out of reach or does not take this identity.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The relay did not answer the greeting.
    #[error("the greeting was not answered")]
    Unanswered(#[from] RequestError),
    /// The relay does not welcome this edge.
    #[error("the relay answered the greeting with {reply}")]
    Unwelcome {
        /// What it said.
        reply: String,
    },
}

/// The edge of a pair, which dials the relay of the pair.
#[derive(Debug)]
pub struct Caller {
    identity: EdgeIdentity,
    address: SocketAddr,
}

impl Caller {
    /// Reads the identity of the edge and where the relay listens.
    ///
    /// # Errors
    ///
    /// The edge is not enrolled, or its identity cannot be read.
    ///
    /// # Panics
    ///
    /// When the relay never served.
    pub fn of(pair: &Pair) -> Result<Self, DialError> {
        let identity = EdgeStore::open(&identity_directory(pair)?)?.load()?;
        let address = pair.relay.listeners().data.parse().expect("an address and a port");
        Ok(Self { identity, address })
    }

    /// A session from a socket of its own, not greeted yet.
    ///
    /// # Errors
    ///
    /// The relay is out of reach or does not take this identity.
    pub async fn dial(&self) -> Result<Session, DialError> {
        let clock = Arc::new(DefaultTimeProvider);
        let tls = edge_data_config(&self.identity.credentials(), clock)?;
        let dialler = Dialler::try_new(UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?)?;
        Ok(dialler.dial(self.address, &self.identity.trust_domain.relay_name(), tls).await?)
    }

    /// A session the relay has welcomed.
    ///
    /// # Errors
    ///
    /// As for [`Caller::dial`]; the relay says something else.
    pub async fn greet(&self) -> Result<Session, DialError> {
        let session = self.dial().await?;
        match session.ask(&hello(VERSION_OLDEST, VERSION_NEWEST)).await? {
            Reply::Welcome(_) => Ok(session),
            other => Err(DialError::Unwelcome { reply: format!("{other:?}") }),
        }
    }
}

/// Where the edge keeps its identity.
fn identity_directory(pair: &Pair) -> Result<PathBuf, DialError> {
    let dir = &pair.edge.dir;
    let files = files_below(dir)?;
    let identity = files.into_iter().find(|path| path.ends_with("identity.toml"));
    let mut path = dir.join(identity.ok_or_else(|| DialError::NotEnrolled { dir: dir.clone() })?);
    path.pop();
    Ok(path)
}

/// A session with the identity of the pair's edge, not greeted yet.
///
/// # Panics
///
/// When the edge is not enrolled or the relay does not take it.
pub async fn dial(pair: &Pair) -> Session {
    let caller = Caller::of(pair).unwrap_or_else(|error| panic!("{error}"));
    caller.dial().await.unwrap_or_else(|error| panic!("{error}"))
}

/// The greeting of an edge that speaks these versions.
pub fn hello(oldest: u16, newest: u16) -> Request {
    Request::Hello(Hello { oldest, newest, features: 0, software: "test".into() })
}

/// Runs what a test does in a session of its own.
///
/// # Panics
///
/// When the host gives no runtime.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime starts").block_on(future)
}
