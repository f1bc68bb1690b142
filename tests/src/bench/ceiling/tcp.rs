//! Bytes over TCP, with TLS or without, on the thread that calls: no runtime, no task.

use super::side::{Received, Sent, Stopwatch, announce, cpu_seconds};
use super::{CeilingError, identity, pieces};
use rustls::{ClientConnection, ServerConnection, Stream};
use rustls_pki_types::ServerName;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

/// Bytes of one read.
const READ_BYTES: usize = 256 * 1024;

/// What the receiver says once it has everything.
const DONE: &[u8] = b"d";

pub(super) fn receive(directory: &Path, tls: bool) -> Result<Received, CeilingError> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    announce(listener.local_addr()?);
    let (mut socket, _) = listener.accept()?;
    if !tls {
        return Ok(drain(&mut socket)?);
    }
    let config = Arc::new(identity::relay(directory)?);
    let mut connection = ServerConnection::new(config).map_err(CeilingError::tls)?;
    let mut socket = socket;
    while connection.is_handshaking() {
        connection.complete_io(&mut socket)?;
    }
    Ok(drain(&mut Stream::new(&mut connection, &mut socket))?)
}

/// Reads everything, throws it away and says so.
fn drain(stream: &mut (impl Read + Write)) -> std::io::Result<Received> {
    let mut buffer = vec![0; READ_BYTES];
    let cpu = cpu_seconds();
    let mut bytes = 0;
    loop {
        match stream.read(&mut buffer)? {
            0 => break,
            read => bytes += read as u64,
        }
    }
    stream.write_all(DONE)?;
    stream.flush()?;
    Ok(Received { bytes, cpu_seconds: cpu_seconds() - cpu })
}

pub(super) fn send(
    directory: &Path,
    tls: bool,
    (address, bytes): (SocketAddr, u64),
) -> Result<Sent, CeilingError> {
    let pieces = pieces();
    let mut socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    if !tls {
        let watch = Stopwatch::start();
        pour(&mut socket, &pieces, bytes)?;
        socket.shutdown(Shutdown::Write)?;
        socket.read_exact(&mut [0])?;
        return Ok(watch.sent(bytes));
    }
    let (config, name) = identity::edge(directory)?;
    let name = ServerName::try_from(name).map_err(CeilingError::tls)?;
    let mut connection =
        ClientConnection::new(Arc::new(config), name).map_err(CeilingError::tls)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut socket)?;
    }
    let watch = Stopwatch::start();
    pour(&mut Stream::new(&mut connection, &mut socket), &pieces, bytes)?;
    connection.send_close_notify();
    while connection.wants_write() {
        connection.write_tls(&mut socket)?;
    }
    Stream::new(&mut connection, &mut socket).read_exact(&mut [0])?;
    Ok(watch.sent(bytes))
}

fn pour(stream: &mut impl Write, pieces: &[Vec<u8>], bytes: u64) -> std::io::Result<()> {
    let mut left = bytes;
    for piece in pieces.iter().cycle() {
        if left == 0 {
            return stream.flush();
        }
        let length = left.min(piece.len() as u64);
        stream.write_all(&piece[..length as usize])?;
        left -= length;
    }
    Ok(())
}
