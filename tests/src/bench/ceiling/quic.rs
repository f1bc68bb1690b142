//! Bytes over the product's QUIC endpoints: its sockets, transport settings, TLS and runtime, and
//! as many streams as an edge uses. Nothing is hashed, framed or written.

use super::side::{Received, Sent, Stopwatch, announce, cpu_seconds};
use super::{CeilingError, identity, pieces};
use bytes::Bytes;
use skyspray_link::endpoint::{Dialler, Listener, UdpSocket};
use skyspray_link::session::{Accepted, CloseCode, DataStream, Session, SessionError};
use std::net::SocketAddr;
use std::path::Path;
use tokio::task::JoinSet;

/// Streams of one session, as an edge opens them.
const STREAMS: u64 = 4;

/// Bytes a receiver takes at once, at most.
const READ_BYTES: usize = 64 * 1024;

/// Runs one side as both binaries run: on one thread.
fn block_on<F: Future>(future: F) -> Result<F::Output, CeilingError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(future))
}

pub(super) fn receive(directory: &Path) -> Result<Received, CeilingError> {
    block_on(async {
        let socket = UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let listener = Listener::try_new(socket, identity::relay(directory)?)?;
        announce(listener.local_address()?);
        let handshake = listener.accept().await.ok_or(SessionError::StreamEnded)?;
        let session = handshake.complete().await?;
        let cpu = cpu_seconds();
        let mut streams = JoinSet::new();
        for _ in 0..STREAMS {
            let Accepted::ChunksToRelay(stream) = session.accept().await?.identify().await? else {
                return Err(SessionError::StreamEnded.into());
            };
            streams.spawn(drain(stream));
        }
        let mut bytes = 0;
        while let Some(drained) = streams.join_next().await {
            bytes += drained.expect("a stream task does not panic")?;
        }
        let cpu_seconds = cpu_seconds() - cpu;
        // The sender closes once it has heard of the last byte.
        session.closed().await;
        Ok(Received { bytes, cpu_seconds })
    })?
}

/// Reads everything, throws it away and says so.
async fn drain(stream: DataStream) -> Result<u64, CeilingError> {
    let (mut send, mut recv) = stream.into_halves();
    let mut bytes = 0;
    while let Some(chunk) = recv.read_chunk(READ_BYTES, true).await.map_err(CeilingError::stream)? {
        bytes += chunk.bytes.len() as u64;
    }
    send.finish().map_err(CeilingError::stream)?;
    Ok(bytes)
}

pub(super) fn send(
    directory: &Path,
    (address, bytes): (SocketAddr, u64),
) -> Result<Sent, CeilingError> {
    let pieces: Vec<Bytes> = pieces().into_iter().map(Bytes::from).collect();
    block_on(async {
        let socket = UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let (tls, name) = identity::edge(directory)?;
        let dialler = Dialler::try_new(socket)?;
        let session: Session = dialler.dial(address, &name, tls).await?;
        let watch = Stopwatch::start();
        let mut streams = JoinSet::new();
        for stream in 0..STREAMS {
            let share = bytes / STREAMS + u64::from(stream < bytes % STREAMS);
            let opened = session.open_chunks_to_relay().await?;
            streams.spawn(pour(opened, pieces.clone(), share));
        }
        while let Some(poured) = streams.join_next().await {
            poured.expect("a stream task does not panic")?;
        }
        let sent = watch.sent(bytes);
        session.close(CloseCode::Done);
        dialler.flushed().await;
        Ok(sent)
    })?
}

async fn pour(stream: DataStream, pieces: Vec<Bytes>, bytes: u64) -> Result<(), CeilingError> {
    let (mut send, mut recv) = stream.into_halves();
    let mut left = bytes;
    for piece in pieces.iter().cycle() {
        if left == 0 {
            break;
        }
        let length = left.min(piece.len() as u64);
        let piece = piece.slice(..length as usize);
        send.write_chunk(piece).await.map_err(CeilingError::stream)?;
        left -= length;
    }
    send.finish().map_err(CeilingError::stream)?;
    // The receiver ends its half when it has everything.
    recv.read_to_end(0).await.map_err(CeilingError::stream)?;
    Ok(())
}
