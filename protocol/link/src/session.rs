//! A session: one authenticated QUIC connection, seen from either end.

use crate::congestion::{self, KnownPath};
use crate::request::Exchange;
use quinn::{RecvStream, SendStream, VarInt};
use rustls_pki_types::CertificateDer;
use skyspray_wire::ids::JobId;
use skyspray_wire::message::{STREAM_CHUNKS_TO_EDGE, STREAM_CHUNKS_TO_RELAY, STREAM_REQUEST};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use thiserror::Error;
use tokio::time::timeout;

/// Bytes that a session may carry within one of the long deadlines and yet be one that carries nothing:
/// what it says to stay alive. On a slow line more than this is on its way for many minutes before a
/// large chunk is whole.
pub const STILL_BYTES: u64 = 64 * 1024;

/// How long the first bytes of a stream may take.
const PREAMBLE_DEADLINE: Duration = Duration::from_secs(5);

/// Why a session was closed, as the number in the QUIC close frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum CloseCode {
    /// Nothing more to do.
    Done,
    /// A refusal said why on a stream, or there was none to say it on.
    Refused,
    /// The peer broke the protocol.
    Malformed,
    /// The relay is going away; reconnect.
    Draining,
    /// The agent was revoked.
    Revoked,
    /// Nothing came for too long.
    Idle,
    /// A code of a newer peer.
    Unknown(u64),
}

impl CloseCode {
    const KNOWN: [Self; 6] =
        [Self::Done, Self::Refused, Self::Malformed, Self::Draining, Self::Revoked, Self::Idle];

    fn number(self) -> u64 {
        match self {
            Self::Unknown(number) => number,
            known => Self::KNOWN.iter().position(|&code| code == known).map_or(0, |n| n as u64),
        }
    }

    fn from_number(number: u64) -> Self {
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        Self::KNOWN.get(index).copied().unwrap_or(Self::Unknown(number))
    }
}

/// Why a session or one of its streams came to an end.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The peer closed the session and said why.
    #[error("the other side closed the session ({0:?})")]
    Closed(CloseCode),
    /// The peer did not complete the handshake, or refused ours.
    #[error("the other side refused the connection: {reason}")]
    Handshake {
        /// What the TLS or QUIC layer says.
        reason: String,
    },
    /// Nothing came for the idle time, or the network is gone.
    #[error("the session was lost: {reason}")]
    Lost {
        /// What the QUIC layer says.
        reason: String,
    },
    /// A stream was reset or ended inside a message.
    #[error("a stream was broken off")]
    StreamEnded,
    /// The peer was silent although it was its turn.
    #[error("the other side was silent for {seconds} s")]
    Silent {
        /// For how long.
        seconds: u64,
    },
    /// Bytes that are no frame or header of the protocol.
    #[error("the other side broke the protocol")]
    Malformed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl SessionError {
    pub(crate) fn malformed(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Malformed(Box::new(error))
    }

    /// The code with which the peer closed the session, if it did.
    pub fn close_code(&self) -> Option<CloseCode> {
        match self {
            Self::Closed(code) => Some(*code),
            _ => None,
        }
    }
}

impl From<quinn::ConnectionError> for SessionError {
    fn from(error: quinn::ConnectionError) -> Self {
        use quinn::ConnectionError as E;
        match error {
            E::ApplicationClosed(close) => {
                Self::Closed(CloseCode::from_number(close.error_code.into_inner()))
            }
            E::TransportError(_) | E::ConnectionClosed(_) | E::VersionMismatch => {
                Self::Handshake { reason: error.to_string() }
            }
            E::LocallyClosed => Self::Closed(CloseCode::Done),
            other => Self::Lost { reason: other.to_string() },
        }
    }
}

impl From<quinn::ReadExactError> for SessionError {
    fn from(error: quinn::ReadExactError) -> Self {
        match error {
            quinn::ReadExactError::FinishedEarly(_) => Self::StreamEnded,
            quinn::ReadExactError::ReadError(error) => error.into(),
        }
    }
}

impl From<quinn::ReadError> for SessionError {
    fn from(error: quinn::ReadError) -> Self {
        match error {
            quinn::ReadError::ConnectionLost(error) => error.into(),
            _ => Self::StreamEnded,
        }
    }
}

impl From<quinn::WriteError> for SessionError {
    fn from(error: quinn::WriteError) -> Self {
        match error {
            quinn::WriteError::ConnectionLost(error) => error.into(),
            _ => Self::StreamEnded,
        }
    }
}

/// One authenticated connection. Cheap to clone; the connection lives until it is closed.
#[derive(Clone, Debug)]
pub struct Session {
    connection: quinn::Connection,
    unread: Unread,
}

/// Counts the streams of a session that hold bytes nobody reads for the moment.
///
/// Such bytes use up the window of the whole session. Without room for them a stream that is being
/// read, and keeps memory for what is to come, would starve behind one that waits for that memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unread(Arc<AtomicU64>);

/// One stream that is not read, until this is dropped.
#[derive(Debug)]
pub(crate) struct Held(Unread);

impl Unread {
    /// The stream is not read while what this returns is kept.
    pub(crate) fn hold(&self) -> Held {
        self.0.fetch_add(1, Ordering::Relaxed);
        Held(self.clone())
    }

    /// How many streams are not read.
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream the edge opened, as the relay accepts it.
#[derive(Debug)]
pub enum Accepted {
    /// A request: one frame comes, frames go back.
    Request(Exchange),
    /// The edge sends chunks here.
    ChunksToRelay(DataStream),
    /// The edge wants the chunks of this read job here.
    ChunksToEdge(JobId, DataStream),
}

/// A stream that carries chunks one way and acknowledgements the other.
#[derive(Debug)]
pub struct DataStream {
    pub(crate) send: SendStream,
    pub(crate) recv: RecvStream,
    pub(crate) unread: Unread,
}

impl DataStream {
    /// Its two directions, for whoever moves other bytes than chunks: measurements of the bare path.
    pub fn into_halves(self) -> (SendStream, RecvStream) {
        (self.send, self.recv)
    }
}

impl Session {
    pub(crate) fn unread(&self) -> &Unread {
        &self.unread
    }

    pub(crate) fn new(connection: quinn::Connection) -> Self {
        Self { connection, unread: Unread::default() }
    }

    /// Where the peer is, as far as this host sees it.
    pub fn remote_address(&self) -> SocketAddr {
        self.connection.remote_address()
    }

    /// The certificates the peer showed, its own first.
    pub fn peer_certificates(&self) -> Vec<CertificateDer<'static>> {
        self.connection
            .peer_identity()
            .and_then(|identity| identity.downcast::<Vec<CertificateDer<'static>>>().ok())
            .map(|chain| *chain)
            .unwrap_or_default()
    }

    /// Bytes that only the two ends of this very session can compute (RFC 5705).
    ///
    /// # Errors
    ///
    /// The label or context is not acceptable to TLS.
    pub fn export_keying_material(&self, label: &[u8]) -> Result<[u8; 32], SessionError> {
        let mut material = [0; 32];
        self.connection.export_keying_material(&mut material, label, b"").map_err(|_| {
            SessionError::Handshake { reason: "no keying material can be exported".to_owned() }
        })?;
        Ok(material)
    }

    /// Opens a request stream.
    ///
    /// # Errors
    ///
    /// The session is gone.
    pub async fn open_request(&self) -> Result<Exchange, SessionError> {
        let (send, recv) = self.open(&[STREAM_REQUEST]).await?;
        Ok(Exchange::new(send, recv))
    }

    /// Opens a stream for chunks to the relay.
    ///
    /// # Errors
    ///
    /// The session is gone.
    pub async fn open_chunks_to_relay(&self) -> Result<DataStream, SessionError> {
        let (send, recv) = self.open(&[STREAM_CHUNKS_TO_RELAY]).await?;
        Ok(DataStream { send, recv, unread: self.unread.clone() })
    }

    /// Opens a stream for the chunks of read job `job`.
    ///
    /// # Errors
    ///
    /// The session is gone.
    pub async fn open_chunks_to_edge(&self, job: JobId) -> Result<DataStream, SessionError> {
        let mut preamble = vec![STREAM_CHUNKS_TO_EDGE];
        preamble.extend_from_slice(&job.0);
        let (send, recv) = self.open(&preamble).await?;
        Ok(DataStream { send, recv, unread: self.unread.clone() })
    }

    async fn open(&self, preamble: &[u8]) -> Result<(SendStream, RecvStream), SessionError> {
        let (mut send, recv) = self.connection.open_bi().await?;
        send.write_all(preamble).await?;
        Ok((send, recv))
    }

    /// Waits for the next stream the edge opens. Only its first byte may still be on its way:
    /// [`Incoming::identify`] waits for it, outside the accept loop.
    ///
    /// # Errors
    ///
    /// The session is gone.
    pub async fn accept(&self) -> Result<Incoming, SessionError> {
        let (send, recv) = self.connection.accept_bi().await?;
        Ok(Incoming { send, recv, unread: self.unread.clone() })
    }

    /// Closes the session and all its streams at once.
    pub fn close(&self, code: CloseCode) {
        let number = VarInt::from_u64(code.number()).unwrap_or(VarInt::MAX);
        self.connection.close(number, b"");
    }

    /// Waits until the session is gone, from whichever side, and says why.
    pub async fn closed(&self) -> SessionError {
        self.connection.closed().await.into()
    }

    /// Whether the session is gone already.
    pub fn is_closed(&self) -> bool {
        self.connection.close_reason().is_some()
    }

    /// The code with which the peer closed the session, if it did.
    pub fn close_code(&self) -> Option<CloseCode> {
        SessionError::from(self.connection.close_reason()?).close_code()
    }

    /// Smoothed round-trip time.
    pub fn round_trip(&self) -> Duration {
        self.connection.rtt()
    }

    /// Bytes sent and received so far, on the wire. What grows by more than [`STILL_BYTES`] moves.
    pub fn carried(&self) -> u64 {
        let stats = self.connection.stats();
        stats.udp_tx.bytes + stats.udp_rx.bytes
    }

    /// Says that this session, just begun, goes over a path that an earlier one has filled: it begins
    /// with a part of what that one found, if the round trip is the same.
    pub fn expect_path(&self, path: KnownPath) {
        congestion::expect(self.connection.congestion_state(), path);
    }

    /// What this session has learned of the path to the peer, if it has sent enough to fill it.
    pub fn learned_path(&self) -> Option<KnownPath> {
        congestion::learned(self.connection.congestion_state())
    }

    /// What the path looks like, for diagnosis.
    pub fn path(&self) -> PathReport {
        let stats = self.connection.stats();
        PathReport {
            round_trip: stats.path.rtt,
            mtu: stats.path.current_mtu,
            packets_sent: stats.path.sent_packets,
            packets_lost: stats.path.lost_packets,
            bytes_sent: stats.udp_tx.bytes,
            bytes_received: stats.udp_rx.bytes,
        }
    }

    pub(crate) fn connection(&self) -> &quinn::Connection {
        &self.connection
    }
}

/// Figures of one session's path.
#[derive(Clone, Copy, Debug)]
pub struct PathReport {
    /// Smoothed round-trip time.
    pub round_trip: Duration,
    /// Largest UDP payload in use, in bytes.
    pub mtu: u16,
    /// Packets sent.
    pub packets_sent: u64,
    /// Of those, taken for lost.
    pub packets_lost: u64,
    /// UDP payload bytes sent.
    pub bytes_sent: u64,
    /// UDP payload bytes received.
    pub bytes_received: u64,
}

/// A stream whose kind is not known yet.
#[derive(Debug)]
pub struct Incoming {
    send: SendStream,
    recv: RecvStream,
    unread: Unread,
}

impl Incoming {
    /// Reads what the stream is for.
    ///
    /// # Errors
    ///
    /// The peer is silent, broke the stream off, or opened a kind of stream there is not.
    pub async fn identify(mut self) -> Result<Accepted, SessionError> {
        let deadline = SessionError::Silent { seconds: PREAMBLE_DEADLINE.as_secs() };
        timeout(PREAMBLE_DEADLINE, self.read_kind()).await.map_err(|_| deadline)?.map(|kind| {
            match kind {
                Kind::Request => Accepted::Request(Exchange::new(self.send, self.recv)),
                Kind::ToRelay => Accepted::ChunksToRelay(self.data()),
                Kind::ToEdge(job) => Accepted::ChunksToEdge(job, self.data()),
            }
        })
    }

    fn data(self) -> DataStream {
        DataStream { send: self.send, recv: self.recv, unread: self.unread }
    }

    async fn read_kind(&mut self) -> Result<Kind, SessionError> {
        let mut first = [0];
        self.recv.read_exact(&mut first).await?;
        match first[0] {
            STREAM_REQUEST => Ok(Kind::Request),
            STREAM_CHUNKS_TO_RELAY => Ok(Kind::ToRelay),
            STREAM_CHUNKS_TO_EDGE => {
                let mut job = [0; 16];
                self.recv.read_exact(&mut job).await?;
                Ok(Kind::ToEdge(JobId(job)))
            }
            found => Err(SessionError::malformed(UnknownStream { found })),
        }
    }
}

enum Kind {
    Request,
    ToRelay,
    ToEdge(JobId),
}

#[derive(Debug, Error)]
#[error("a stream begins with {found}, which is no kind of stream")]
struct UnknownStream {
    found: u8,
}
