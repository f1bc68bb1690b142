//! Endpoints: sockets, transport settings, dialling and accepting.

use crate::congestion::Fill;
use crate::mtu::Mtu;
use crate::replica::{self, ListenerSecrets};
use crate::session::{Session, SessionError};
use crate::socket::JoiningSocket;
pub use crate::socket::joined_sends;
use quinn::crypto::HandshakeTokenKey;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    EndpointConfig, IdleTimeout, MtuDiscoveryConfig, TokioRuntime, TransportConfig, VarInt,
};
use skyspray_wire::limits::{DATA_STREAMS_MAX, REQUEST_STREAMS_MAX};
use socket2::{Domain, Protocol, Socket, Type};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::time::timeout;

/// Kernel buffer asked for on each side of a socket, in bytes. Smaller ones drop packets in bursts.
const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Window a session starts with, in bytes. It follows the bandwidth-delay product from there; a
/// larger one on a short path only overruns the peer's socket buffer.
const WINDOW_BYTES_START: u64 = 4 * 1024 * 1024;

/// Least window of a session on a path that is not short, in bytes: there it grows before it is known how
/// fast the path is.
const WINDOW_BYTES_LONG: u64 = 16 * 1024 * 1024;

/// A round trip from which a path is not short.
const LONG_PATH: Duration = Duration::from_millis(5);

/// Windows in bandwidth-delay products. One is on its way; what came in behind a lost packet waits one or
/// two round trips for it, unread, and as much is unacknowledged at the sender.
const WINDOW_PRODUCTS: f64 = 4.0;

/// Largest window of a session, in bytes.
const WINDOW_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Window of one stream, in bytes. As much may lie unread in a stream whose reader waits for memory;
/// the window of the session grows by it meanwhile, so that the other streams go on.
const STREAM_WINDOW_BYTES: u64 = 4 * 1024 * 1024;

/// A session is lost on which nothing comes for this long after something was sent, and for three
/// probe timeouts (RFC 9000, 10.1), which are more on a long path. A session lost for nothing costs
/// the chunks in flight, one whose relay is gone costs all of this time: see decision 0013.
const IDLE: Duration = Duration::from_secs(4);

/// The edge sends something at least this often, so that NATs keep the path and loss is noticed: often
/// enough that a few lost packets do not end a session.
const KEEP_ALIVE: Duration = Duration::from_secs(1);

/// A peer that does not complete its handshake in this time is dropped.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(3);

/// A relay that does not answer a dial in this time is out of reach.
pub const DIAL_DEADLINE: Duration = Duration::from_secs(8);

/// How often the windows are fitted to the path.
const TUNE_INTERVAL: Duration = Duration::from_millis(250);

/// Unfinished handshakes kept at once.
const INCOMING_MAX: usize = 1024;

/// Bytes kept for one unfinished handshake, and for all together.
const INCOMING_BYTES: u64 = 64 * 1024;
const INCOMING_BYTES_TOTAL: u64 = 16 * 1024 * 1024;

/// Why an endpoint cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// No socket at this address.
    #[error("cannot bind UDP {address}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// What the host says.
        source: io::Error,
    },
    /// A TLS configuration without a cipher suite QUIC can start with.
    #[error("the TLS configuration does not fit QUIC")]
    Tls,
    /// The dial cannot begin: a name or address QUIC does not accept.
    #[error("cannot dial {address}: {reason}")]
    Dial {
        /// Where to.
        address: SocketAddr,
        /// What the QUIC layer says.
        reason: String,
    },
    /// Nothing came back.
    #[error("no answer from {address} over UDP within {} s", DIAL_DEADLINE.as_secs())]
    Unreachable {
        /// Where to.
        address: SocketAddr,
    },
    /// The handshake failed.
    #[error("cannot connect to {address}")]
    Handshake {
        /// Where to.
        address: SocketAddr,
        /// Why.
        source: SessionError,
    },
}

/// A UDP socket, real or simulated, and how long packets on it may become.
#[derive(Clone, Debug)]
pub struct UdpSocket {
    socket: Arc<dyn quinn::AsyncUdpSocket>,
    mtu: Mtu,
}

impl UdpSocket {
    /// A socket of this host. Must be called inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// The address is taken or not allowed.
    pub fn bind(address: SocketAddr) -> Result<Self, EndpointError> {
        let bound = || -> io::Result<Arc<dyn quinn::AsyncUdpSocket>> {
            let socket =
                Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
            if address.is_ipv6() {
                socket.set_only_v6(false)?;
            }
            socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
            socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
            socket.bind(&address.into())?;
            let granted = socket.recv_buffer_size()?;
            if granted < SOCKET_BUFFER_BYTES {
                tracing::debug!(granted, wanted = SOCKET_BUFFER_BYTES, "small socket buffers");
            }
            Ok(JoiningSocket::new(socket.into())?)
        };
        let socket = bound().map_err(|source| EndpointError::Bind { address, source })?;
        Ok(Self::from_abstract(socket))
    }

    /// The socket with another bound of its packets.
    #[must_use]
    pub fn with_mtu(self, mtu: Mtu) -> Self {
        Self { mtu, ..self }
    }

    /// A socket of a simulated network.
    pub fn from_abstract(socket: Arc<dyn quinn::AsyncUdpSocket>) -> Self {
        Self { socket, mtu: Mtu::default() }
    }
}

/// The listening side: the relay.
#[derive(Clone)]
pub struct Listener {
    endpoint: quinn::Endpoint,
    tokens: Option<Arc<dyn HandshakeTokenKey>>,
    mtu: Mtu,
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Listener {
    /// Listens on `socket` with this TLS configuration.
    ///
    /// # Errors
    ///
    /// The configuration does not fit QUIC.
    pub fn try_new(socket: UdpSocket, tls: rustls::ServerConfig) -> Result<Self, EndpointError> {
        Self::with_endpoint(EndpointConfig::default(), None, socket, tls)
    }

    /// As [`Self::try_new`], with secrets that outlive the process. A packet of a session of the
    /// process that was here before is answered so that the edge knows at once that the session is
    /// gone; without it the edge learns that from silence.
    ///
    /// # Errors
    ///
    /// The configuration does not fit QUIC.
    pub fn try_replica(
        socket: UdpSocket,
        tls: rustls::ServerConfig,
        secrets: ListenerSecrets<'_>,
    ) -> Result<Self, EndpointError> {
        let tokens = Some(replica::token_key(secrets.tokens));
        Self::with_endpoint(replica::endpoint_config(secrets.reset), tokens, socket, tls)
    }

    fn with_endpoint(
        mut endpoint: EndpointConfig,
        tokens: Option<Arc<dyn HandshakeTokenKey>>,
        socket: UdpSocket,
        tls: rustls::ServerConfig,
    ) -> Result<Self, EndpointError> {
        let UdpSocket { socket, mtu } = socket;
        mtu.announce(&mut endpoint);
        let config = listener_config(tls, tokens.as_ref(), mtu)?;
        let endpoint = quinn::Endpoint::new_with_abstract_socket(
            endpoint,
            Some(config),
            socket,
            Arc::new(TokioRuntime),
        )
        .map_err(|_| EndpointError::Tls)?;
        Ok(Self { endpoint, tokens, mtu })
    }

    /// Uses another TLS configuration for sessions that begin from here on.
    ///
    /// # Errors
    ///
    /// The configuration does not fit QUIC; the earlier one stays.
    pub fn reconfigure(&self, tls: rustls::ServerConfig) -> Result<(), EndpointError> {
        let config = listener_config(tls, self.tokens.as_ref(), self.mtu)?;
        self.endpoint.set_server_config(Some(config));
        Ok(())
    }

    /// The address it listens on.
    ///
    /// # Errors
    ///
    /// The host does not say.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// Waits for the next peer that has proved its address; `None` once the listener is closed.
    pub async fn accept(&self) -> Option<Handshake> {
        loop {
            let incoming = self.endpoint.accept().await?;
            if incoming.remote_address_validated() {
                return Some(Handshake { incoming });
            }
            // A spoofed address never answers, and one more round trip is nothing to a bulk job.
            if incoming.retry().is_err() {
                tracing::debug!("a peer could not be asked to prove its address");
            }
        }
    }

    /// Waits until every session is gone.
    pub async fn drained(&self) {
        self.endpoint.wait_idle().await;
    }
}

/// A peer about to be authenticated.
#[derive(Debug)]
pub struct Handshake {
    incoming: quinn::Incoming,
}

impl Handshake {
    /// Where the peer is.
    pub fn remote_address(&self) -> SocketAddr {
        self.incoming.remote_address()
    }

    /// Completes the handshake; the peer has shown a certificate the TLS configuration accepts.
    ///
    /// # Errors
    ///
    /// The peer is slow, gone, or not who it must be.
    pub async fn complete(self) -> Result<Session, SessionError> {
        let connecting = self.incoming.accept()?;
        let connection = timeout(HANDSHAKE_DEADLINE, connecting)
            .await
            .map_err(|_| SessionError::Silent { seconds: HANDSHAKE_DEADLINE.as_secs() })??;
        Ok(tuned(connection))
    }

    /// Turns the peer away without a word more than QUIC needs.
    pub fn refuse(self) {
        self.incoming.refuse();
    }
}

/// The dialling side: the edge. One dialler is one socket; a new one takes a new local port.
#[derive(Clone, Debug)]
pub struct Dialler {
    endpoint: quinn::Endpoint,
    mtu: Mtu,
}

impl Dialler {
    /// Dials from `socket`.
    ///
    /// # Errors
    ///
    /// The socket cannot be used.
    pub fn try_new(socket: UdpSocket) -> Result<Self, EndpointError> {
        let UdpSocket { socket, mtu } = socket;
        let mut config = EndpointConfig::default();
        mtu.announce(&mut config);
        let endpoint =
            quinn::Endpoint::new_with_abstract_socket(config, None, socket, Arc::new(TokioRuntime))
                .map_err(|_| EndpointError::Tls)?;
        Ok(Self { endpoint, mtu })
    }

    /// Connects to the relay at `address`, whose certificate must be for `server_name`.
    ///
    /// In TLS 1.3 this side finishes first: the relay may still refuse, so the session counts as
    /// accepted only after `Welcome`.
    ///
    /// # Errors
    ///
    /// Out of reach within [`DIAL_DEADLINE`], or the relay is not who it must be.
    pub async fn dial(
        &self,
        address: SocketAddr,
        server_name: &str,
        tls: rustls::ClientConfig,
    ) -> Result<Session, EndpointError> {
        let crypto = QuicClientConfig::try_from(tls).map_err(|_| EndpointError::Tls)?;
        let mut config = quinn::ClientConfig::new(Arc::new(crypto));
        config.transport_config(Arc::new(transport(Side::Edge, self.mtu)));
        let connecting = self
            .endpoint
            .connect_with(config, address, server_name)
            .map_err(|error| EndpointError::Dial { address, reason: error.to_string() })?;
        match timeout(DIAL_DEADLINE, connecting).await {
            Err(_) | Ok(Err(quinn::ConnectionError::TimedOut)) => {
                Err(EndpointError::Unreachable { address })
            }
            Ok(Err(error)) => Err(EndpointError::Handshake { address, source: error.into() }),
            Ok(Ok(connection)) => Ok(tuned(connection)),
        }
    }

    /// Waits until what was closed is closed on the wire too.
    pub async fn flushed(&self) {
        self.endpoint.wait_idle().await;
    }
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Side {
    Edge,
    Relay,
}

fn listener_config(
    tls: rustls::ServerConfig,
    tokens: Option<&Arc<dyn HandshakeTokenKey>>,
    mtu: Mtu,
) -> Result<quinn::ServerConfig, EndpointError> {
    let crypto = QuicServerConfig::try_from(tls).map_err(|_| EndpointError::Tls)?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    if let Some(tokens) = tokens {
        config.token_key(Arc::clone(tokens));
    }
    config
        .transport_config(Arc::new(transport(Side::Relay, mtu)))
        .migration(true)
        .retry_token_lifetime(Duration::from_secs(15))
        .max_incoming(INCOMING_MAX)
        .incoming_buffer_size(INCOMING_BYTES)
        .incoming_buffer_size_total(INCOMING_BYTES_TOTAL);
    config.validation_token.sent(0);
    Ok(config)
}

fn transport(side: Side, mtu: Mtu) -> TransportConfig {
    let streams = match side {
        // The relay cannot open a stream to an edge.
        Side::Edge => 0,
        Side::Relay => DATA_STREAMS_MAX + REQUEST_STREAMS_MAX,
    };
    let idle = IdleTimeout::try_from(IDLE).expect("the idle time fits");
    let window = VarInt::from_u64(WINDOW_BYTES_START).expect("the window fits");
    let stream_window = VarInt::from_u64(STREAM_WINDOW_BYTES).expect("the window fits");
    // It begins at what every path carries, so a bound that is too high costs a few probes.
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(mtu.bytes());
    let mut config = TransportConfig::default();
    config
        .mtu_discovery_config(Some(discovery))
        .max_concurrent_bidi_streams(VarInt::from_u32(streams))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .max_idle_timeout(Some(idle))
        .keep_alive_interval((side == Side::Edge).then_some(KEEP_ALIVE))
        .stream_receive_window(stream_window)
        .receive_window(window)
        .send_window(WINDOW_BYTES_START)
        .datagram_receive_buffer_size(None)
        .crypto_buffer_size(16 * 1024)
        .congestion_controller_factory(Arc::new(Fill))
        .allow_spin(false);
    config
}

/// Wraps a connection and keeps its windows at a few times its bandwidth-delay product.
fn tuned(connection: quinn::Connection) -> Session {
    let session = Session::new(connection);
    let weak = session.connection().clone();
    let unread = session.unread().clone();
    tokio::spawn(async move {
        let mut interval = tokio::time::interval(TUNE_INTERVAL);
        let (mut sent, mut received, mut black_holes) = (0, 0, 0);
        loop {
            tokio::select! {
                _ = interval.tick() => {}
                _ = weak.closed() => return,
            }
            let stats = weak.stats();
            let fit = |bytes: u64| window(bytes, stats.path.rtt);
            weak.set_send_window(fit(stats.udp_tx.bytes - sent));
            let held = unread.count() * STREAM_WINDOW_BYTES;
            let window = VarInt::from_u64(fit(stats.udp_rx.bytes - received) + held);
            weak.set_receive_window(window.expect("the window fits"));
            (sent, received) = (stats.udp_tx.bytes, stats.udp_rx.bytes);
            if stats.path.black_holes_detected > black_holes {
                let (peer, mtu) = (weak.remote_address(), stats.path.current_mtu);
                tracing::info!(%peer, mtu, "the path drops long packets, going on with shorter ones");
            }
            black_holes = stats.path.black_holes_detected;
        }
    });
    session
}

/// The window for a path that carried so many bytes in the last interval.
fn window(bytes: u64, round_trip: Duration) -> u64 {
    let least = if round_trip < LONG_PATH { WINDOW_BYTES_START } else { WINDOW_BYTES_LONG };
    let rate = bytes as f64 / TUNE_INTERVAL.as_secs_f64();
    let products = WINDOW_PRODUCTS * rate * round_trip.as_secs_f64();
    (products as u64).clamp(least, WINDOW_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_follow_the_path_and_have_room_for_what_waits_behind_a_loss() {
        let fitted = |mbit: u64, millis| {
            let bytes = mbit * 1_000_000 / 8 / 4;
            window(bytes, Duration::from_millis(millis)) as f64 / (1024.0 * 1024.0)
        };

        assert_eq!(fitted(8000, 0), 4.0);
        assert_eq!(fitted(0, 80), 16.0);
        assert_eq!(fitted(200, 80), 16.0);
        assert!((38.0..38.3).contains(&fitted(1000, 80)));
        assert_eq!(fitted(10_000, 80), 64.0);
    }
}
