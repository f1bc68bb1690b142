//! An S3 server in the process of the test, in memory, that goes wrong as planned.
//!
//! It keeps the rules of S3 on conditions, parts and digests and checks no signatures: real
//! servers do that. It speaks plain HTTP/1.1 on the loopback address, so a relay in another process
//! can use it as well.

pub mod fault;
mod message;
mod store;

use self::fault::{Fault, Faults};
use self::message::{Answer, Request};
use self::store::Store;
use super::http::Endpoint;
use super::program::random_word;
use super::s3::{OpenUpload, S3};
use crate::error::HarnessError;
use std::io::{self, BufReader};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

pub use self::store::PART_BYTES_MIN;

/// A running server. Its connections end when it is dropped.
#[derive(Debug)]
pub struct FaultyS3 {
    shared: Arc<Shared>,
    account: S3,
    address: SocketAddr,
}

/// What the threads of the connections share with the test: it looks in while they work.
#[derive(Debug)]
struct Shared {
    store: Mutex<Store>,
    faults: Faults,
    connections: Mutex<Connections>,
}

#[derive(Debug, Default)]
struct Connections {
    open: Vec<TcpStream>,
    closed: bool,
}

impl FaultyS3 {
    /// Starts one without buckets.
    ///
    /// # Errors
    ///
    /// The system gives no port.
    pub fn start() -> Result<Self, HarnessError> {
        let listener = TcpListener::bind(("127.0.0.1", 0));
        let listener = listener.map_err(HarnessError::file("127.0.0.1:0"))?;
        let address = listener.local_addr().map_err(HarnessError::file("127.0.0.1:0"))?;
        let key = (random_word()?, random_word()?);
        let account = S3::new(Endpoint::new(address.port(), None)?, (&key.0, &key.1), None);
        let shared = Arc::new(Shared {
            store: Mutex::default(),
            faults: Faults::default(),
            connections: Mutex::default(),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accepting.accept(&listener));
        Ok(Self { shared, account, address })
    }

    /// Access to it. Its requests count and go wrong as all others do.
    pub fn s3(&self) -> &S3 {
        &self.account
    }

    /// What goes wrong, and what was asked.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Makes a bucket, without a request.
    pub fn create_bucket(&self, bucket: &str) {
        // One that is there already is as good.
        let _ = self.shared.store().create_bucket(bucket);
    }

    /// The bytes of an object, without a request.
    pub fn object(&self, bucket: &str, key: &str) -> Option<Vec<u8>> {
        self.shared.store().object(bucket, key)
    }

    /// The keys of a bucket in order, without a request.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        self.shared.store().keys(bucket)
    }

    /// The uploads that were neither completed nor aborted, in order of key and id, without a
    /// request.
    pub fn open_uploads(&self, bucket: &str) -> Vec<OpenUpload> {
        self.shared.store().open_uploads(bucket)
    }
}

impl Drop for FaultyS3 {
    fn drop(&mut self) {
        let mut connections = self.shared.connections();
        connections.closed = true;
        for connection in connections.open.drain(..) {
            // Fails only when the client has closed it.
            let _ = connection.shutdown(Shutdown::Both);
        }
        drop(connections);
        // Wakes the thread that accepts, which ends then.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for connection in listener.incoming() {
            let Ok(connection) = connection else { continue };
            let Ok(other) = connection.try_clone() else { continue };
            let mut connections = self.connections();
            if connections.closed {
                return;
            }
            connections.open.push(other);
            drop(connections);
            let shared = Arc::clone(self);
            thread::spawn(move || {
                // The client sees what ended it.
                let _ = shared.serve(&connection);
                shared.forget(&connection);
            });
        }
    }

    /// Closes our last hold on a connection.
    fn forget(&self, connection: &TcpStream) {
        let peer = connection.peer_addr().ok();
        self.connections().open.retain(|open| {
            let other = open.peer_addr().ok();
            other.is_some() && other != peer
        });
    }

    /// Answers the requests of a connection until it ends.
    fn serve(&self, connection: &TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(connection);
        while let Some(request) = Request::read(&mut reader)? {
            let operation = store::operation(&request);
            let fault = self.faults.take(operation);
            let is_head = request.method == "HEAD";
            let answer = match fault.as_ref().map(before).unwrap_or_default() {
                Before::Work => self.store().answer(operation, &request, fault.as_ref()),
                Before::Answer(answer) => answer,
                Before::Reset => return reset(connection),
            };
            match fault {
                Some(Fault::LoseReply) => return reset(connection),
                Some(Fault::CutReply(bytes)) => {
                    answer.write(&mut &*connection, is_head, bytes)?;
                    return reset(connection);
                }
                Some(Fault::HoldReply(gate)) => gate.pass(),
                _ => {}
            }
            answer.write(&mut &*connection, is_head, usize::MAX)?;
            if request.is_last {
                break;
            }
        }
        Ok(())
    }
}

/// What a fault does before the work.
#[derive(Default)]
enum Before {
    #[default]
    Work,
    Answer(Answer),
    Reset,
}

fn before(fault: &Fault) -> Before {
    match fault {
        Fault::Fail(failure) => {
            let (status, code) = failure.parts();
            Before::Answer(Answer::failure(status, code))
        }
        Fault::FailWithin200 => Before::Answer(Answer::failure(200, "InternalError")),
        Fault::Reset => Before::Reset,
        Fault::Hold(gate) => {
            gate.pass();
            Before::Work
        }
        _ => Before::Work,
    }
}

/// Ends a connection so that the client sees a reset, not an end, once the last hold is closed.
fn reset(connection: &TcpStream) -> io::Result<()> {
    rustix::net::sockopt::set_socket_linger(connection, Some(Duration::ZERO))?;
    Ok(())
}

#[cfg(test)]
mod tests;
