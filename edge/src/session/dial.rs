//! From the address of a relay to a connection: names resolved, a fresh socket for each attempt.

use super::error::{ConnectError, handshake_fault};
use rustls::ClientConfig;
use skyspray_certs::{RelayAddress, TrustDomain};
use skyspray_link::endpoint::{DIAL_DEADLINE, Dialler, EndpointError, UdpSocket};
use skyspray_link::mtu::Mtu;
use skyspray_link::session::{CloseCode, Session};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::lookup_host;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

/// How long a closed connection is kept to say so to the other side. The word is sent when the runtime
/// turns next; what QUIC would wait for beyond that, three probe timeouts, is half a second of every
/// command on a long path.
const FAREWELL: Duration = Duration::from_millis(10);

/// A dial that is not answered by then gets company from another socket: a balancer may have given the
/// first one to a relay that is gone. Longer than a handshake on a path of 400 ms.
const COMPANY_AFTER: Duration = Duration::from_millis(1500);

/// Dials of one address that are under way at once.
const DIALS_MAX: usize = 4;

type Bind = dyn Fn(SocketAddr) -> Result<UdpSocket, EndpointError> + Send + Sync;

/// Makes UDP sockets: those of the host, or of a simulated network.
#[derive(Clone)]
pub struct SocketFactory {
    bind: Arc<Bind>,
    mtu: Mtu,
}

impl SocketFactory {
    /// Sockets of this host.
    pub fn system() -> Self {
        Self::new(UdpSocket::bind)
    }

    /// Sockets made by `bind`, which is given the address to bind.
    pub fn new(
        bind: impl Fn(SocketAddr) -> Result<UdpSocket, EndpointError> + Send + Sync + 'static,
    ) -> Self {
        Self { bind: Arc::new(bind), mtu: Mtu::default() }
    }

    /// Sockets whose packets may become that long.
    #[must_use]
    pub fn with_mtu(self, mtu: Mtu) -> Self {
        Self { mtu, ..self }
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
        (self.bind)(SocketAddr::new(any, 0)).map(|socket| socket.with_mtu(self.mtu))
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

/// Dials one address, from one socket after the other while none is answered; the first answer counts,
/// whatever it is.
async fn dial_one(
    sockets: &SocketFactory,
    peer: SocketAddr,
    domain: &TrustDomain,
    tls: &ClientConfig,
) -> Result<Line, EndpointError> {
    let until = Instant::now() + DIAL_DEADLINE;
    let mut dials = JoinSet::new();
    loop {
        if dials.len() < DIALS_MAX {
            match sockets.bind_for(peer) {
                Ok(socket) => {
                    let (tls, name) = (tls.clone(), domain.relay_name());
                    dials.spawn(async move {
                        let dialler = Dialler::try_new(socket)?;
                        let session = dialler.dial(peer, &name, tls).await?;
                        Ok(Line { session, dialler })
                    });
                }
                Err(error) if dials.is_empty() => return Err(error),
                // Those under way may still be answered.
                Err(error) => tracing::debug!(%error, "no further socket"),
            }
        }
        let company = until.min(Instant::now() + COMPANY_AFTER);
        match timeout_at(company, dials.join_next()).await.ok().flatten() {
            // It was silence: the other dials go on, and there is time for one more.
            Some(Ok(Err(EndpointError::Unreachable { .. }))) | None => {}
            Some(first) => return first.expect("a dial does not panic and is not aborted"),
        }
        if Instant::now() >= until {
            return Err(EndpointError::Unreachable { address: peer });
        }
    }
}
