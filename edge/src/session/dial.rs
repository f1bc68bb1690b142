//! From the address of a relay to a connection: names resolved, a fresh socket for each attempt.

use super::error::{ConnectError, handshake_fault};
use rustls::ClientConfig;
use skyspray_certs::{RelayAddress, TrustDomain};
use skyspray_link::endpoint::{Dialler, EndpointError, UdpSocket};
use skyspray_link::session::{CloseCode, Session};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::lookup_host;
use tokio::time::timeout;

/// How long a closed connection may take to say so to the other side.
const FAREWELL: Duration = Duration::from_millis(500);

type Bind = dyn Fn(SocketAddr) -> Result<UdpSocket, EndpointError> + Send + Sync;

/// Makes UDP sockets: those of the host, or of a simulated network.
#[derive(Clone)]
pub struct SocketFactory(Arc<Bind>);

impl SocketFactory {
    /// Sockets of this host.
    pub fn system() -> Self {
        Self::new(UdpSocket::bind)
    }

    /// Sockets made by `bind`, which is given the address to bind.
    pub fn new(
        bind: impl Fn(SocketAddr) -> Result<UdpSocket, EndpointError> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(bind))
    }

    /// A socket from which `peer` can be reached, on a port of the system's choice.
    ///
    /// # Errors
    ///
    /// The host's.
    fn bind_for(&self, peer: SocketAddr) -> Result<UdpSocket, EndpointError> {
        let any: IpAddr = match peer {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        (self.0)(SocketAddr::new(any, 0))
    }
}

impl fmt::Debug for SocketFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SocketFactory")
    }
}

/// A connection with the socket it runs on.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) session: Session,
    dialler: Dialler,
}

impl Line {
    /// Closes the connection, and waits a moment for the other side to hear of it.
    pub(crate) async fn close(&self, code: CloseCode) {
        self.session.close(code);
        // Late or never, the other side notices by itself.
        let _ = timeout(FAREWELL, self.dialler.flushed()).await;
    }
}

/// Dials every address that `address` stands for, in order, until one answers.
pub(crate) async fn dial(
    sockets: &SocketFactory,
    address: &RelayAddress,
    domain: &TrustDomain,
    tls: &ClientConfig,
) -> Result<Line, ConnectError> {
    let resolve = |source| ConnectError::Resolve { address: address.clone(), source };
    let found: Vec<SocketAddr> =
        lookup_host((address.host(), address.port())).await.map_err(resolve)?.collect();
    let mut fault = ConnectError::NoHost { address: address.clone() };
    for peer in found {
        match dial_one(sockets, peer, domain, tls).await {
            Ok(line) => return Ok(line),
            Err(error) => fault = handshake_fault(address, error),
        }
    }
    Err(fault)
}

async fn dial_one(
    sockets: &SocketFactory,
    peer: SocketAddr,
    domain: &TrustDomain,
    tls: &ClientConfig,
) -> Result<Line, EndpointError> {
    let dialler = Dialler::try_new(sockets.bind_for(peer)?)?;
    let session = dialler.dial(peer, &domain.relay_name(), tls.clone()).await?;
    Ok(Line { session, dialler })
}
