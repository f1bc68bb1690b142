//! The listener of the HTTP interface, and its connections: how many, how large, how slow.

use super::seats::{Seat, Seats, seated};
use super::stall::Unstalled;
use super::tls::{Tls, TlsFiles, TlsFilesError};
use super::{Api, router};
use crate::config::{ApiProtection, RelayDir, RelaySettings};
use crate::state::blocking;
use axum::{Router, middleware};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_rustls::TlsAcceptor;

/// Connections at once; for one more the longest idle one ends.
const CONNECTIONS_MAX: usize = 256;

/// How long a client may take for a TLS handshake.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

/// How long a client may take for the head of a request, and a connection may be idle.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);

/// How long a client may take for [`STALL_BYTES`] of what is sent to it.
const STALL_DEADLINE: Duration = Duration::from_secs(60);

/// A client that takes less than that a minute holds one of few responses for nothing.
const STALL_BYTES: usize = 64 * 1024;

/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Fields of a request's head.
const HEAD_FIELDS_MAX: usize = 64;

/// How often the certificate is read again.
const TLS_INTERVAL: Duration = Duration::from_secs(60);

/// How long responses may go on when the relay is told to stop.
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);

/// What is waited after a connection could not be taken, for want of open files as a rule.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Why the HTTP interface does not listen. All for the operator to correct.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ListenError {
    /// Tokens would go over a network in clear text.
    #[error("api_listen {address} can be reached from other hosts, and [api] has no tls_cert")]
    Plaintext {
        /// The address.
        address: SocketAddr,
    },
    /// Certificate or key.
    #[error("the HTTP interface has no identity")]
    Tls(#[from] TlsFilesError),
    /// The address cannot be used.
    #[error("cannot listen for HTTP on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// The listener of the HTTP interface.
pub(crate) struct ApiListener {
    socket: TcpListener,
    address: SocketAddr,
    tls: Option<Tls>,
}

impl ApiListener {
    /// Listens where the settings say; `None` where they say nothing.
    ///
    /// # Errors
    ///
    /// [`ListenError`].
    pub(crate) async fn bind(
        dir: &RelayDir,
        settings: &RelaySettings,
    ) -> Result<Option<Self>, ListenError> {
        let Some(address) = settings.api_listen else { return Ok(None) };
        let tls = match &settings.api {
            ApiProtection::Tls { cert, key } => {
                // An absolute path stays what it is.
                let files = TlsFiles { cert: dir.path().join(cert), key: dir.path().join(key) };
                Some(blocking(move || Tls::load(files)).await?)
            }
            ApiProtection::Loopback if !address.ip().is_loopback() => {
                return Err(ListenError::Plaintext { address });
            }
            ApiProtection::Loopback | ApiProtection::Plaintext => None,
        };
        let failed = |source| ListenError::Bind { address, source };
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        Ok(Some(Self { socket, address, tls }))
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` says so, and lets responses end for a while then.
    pub(crate) async fn serve(self, api: Arc<Api>, mut stop: watch::Receiver<bool>) {
        let Self { socket, mut tls, .. } = self;
        let router = router(api);
        let mut arrivals = Arrivals::new(socket, CONNECTIONS_MAX);
        let mut connections = JoinSet::new();
        let mut ticks = interval(TLS_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                arrived = arrivals.next() => match arrived {
                    Ok((stream, peer, seat)) => {
                        let connection = Connection {
                            acceptor: tls.as_ref().map(Tls::acceptor),
                            router: router.clone(),
                            stop: stop.clone(),
                            peer,
                            seat,
                        };
                        connections.spawn(connection.serve(stream));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "an HTTP connection cannot be taken");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                _ = ticks.tick() => take_up_certificate(&mut tls).await,
                Some(_) = connections.join_next() => {}
                _ = stop.changed() => break,
            }
        }
        drop(arrivals);
        let drained = async { while connections.join_next().await.is_some() {} };
        if timeout(DRAIN_DEADLINE, drained).await.is_err() {
            tracing::warn!("HTTP responses did not end in time");
        }
    }
}

async fn take_up_certificate(current: &mut Option<Tls>) {
    let Some(tls) = current.clone() else { return };
    match blocking(move || tls.reload()).await {
        Ok((tls, changed)) => {
            if changed {
                tracing::info!("the HTTP interface has another certificate");
            }
            *current = Some(tls);
        }
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "the HTTP interface keeps its certificate");
        }
    }
}

/// Connections that come, each with a place.
struct Arrivals {
    socket: TcpListener,
    seats: Arc<Seats>,
    /// It has come and waits for a place.
    waiting: Option<(TcpStream, SocketAddr)>,
}

impl Arrivals {
    fn new(socket: TcpListener, seats: usize) -> Self {
        Self { socket, seats: Seats::new(seats), waiting: None }
    }

    /// The next connection. Nobody has to make room before there is one. May be dropped at any await.
    async fn next(&mut self) -> io::Result<(TcpStream, SocketAddr, Arc<Seat>)> {
        if self.waiting.is_none() {
            self.waiting = Some(self.socket.accept().await?);
        }
        let slot = self.seats.free().await;
        let (stream, peer) = self.waiting.take().expect("it has come");
        Ok((stream, peer, self.seats.take(slot)))
    }
}

struct Connection {
    acceptor: Option<TlsAcceptor>,
    router: Router,
    stop: watch::Receiver<bool>,
    peer: SocketAddr,
    seat: Arc<Seat>,
}

impl Connection {
    async fn serve(self, stream: TcpStream) {
        let peer = self.peer;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "TCP_NODELAY");
        }
        let stream = self.seat.watch(Unstalled::new(stream, STALL_DEADLINE, STALL_BYTES));
        let Some(acceptor) = self.acceptor.clone() else {
            return self.answer(stream).await;
        };
        let accepted = tokio::select! {
            accepted = timeout(HANDSHAKE_DEADLINE, acceptor.accept(stream)) => accepted,
            () = self.seat.given_up() => {
                return tracing::debug!(%peer, "a TLS handshake made room");
            }
        };
        match accepted {
            Ok(Ok(stream)) => self.answer(stream).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
        }
    }

    async fn answer<S: AsyncRead + AsyncWrite + Unpin>(mut self, stream: S) {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_DEADLINE)
            .max_headers(HEAD_FIELDS_MAX)
            .max_buf_size(HEAD_BYTES_MAX);
        let seat = Arc::clone(&self.seat);
        let router = self.router.layer(middleware::from_fn_with_state(seat, seated));
        let service = TowerToHyperService::new(router);
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let ended = tokio::select! {
            // A request that is there counts, whatever else happened.
            biased;
            ended = connection.as_mut() => ended,
            () = self.seat.given_up() => {
                tracing::debug!(peer = %self.peer, "an idle HTTP connection makes room");
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    biased;
                    ended = connection => ended,
                    // It did not end at once, and still has nothing to answer.
                    () = self.seat.given_up() => return,
                }
            }
            _ = self.stop.changed() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(peer = %self.peer, error, "HTTP connection ended");
        }
    }
}

#[cfg(test)]
mod tests;
