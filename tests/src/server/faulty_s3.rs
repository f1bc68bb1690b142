//! An S3 server in the process of the test, in memory, that goes wrong as planned.
//!
//! `s3s` reads its requests, checks their signatures and words its answers; it keeps the rules of S3 on
//! conditions, parts and digests. It speaks plain HTTP/1.1 on the loopback address, so a relay in
//! another process can use it as well.

mod connection;
pub mod fault;
mod service;
mod store;

use self::connection::Connection;
use self::fault::Faults;
use self::service::Operations;
use self::store::Store;
use super::http::Endpoint;
use super::program::random_word;
use super::s3::{OpenUpload, S3};
use crate::error::HarnessError;
use async_trait::async_trait;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use s3s::auth::{S3Auth, SecretKey, SimpleAuth};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3Result, s3_error};
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

pub use self::store::PART_BYTES_MIN;

/// A running server. Its connections end when it is dropped.
#[derive(Debug)]
pub struct FaultyS3 {
    store: Arc<Mutex<Store>>,
    keys: Keys,
    faults: Faults,
    account: S3,
    /// What it runs on; gone only while it is dropped.
    runtime: Option<Runtime>,
}

/// The keys that it accepts.
#[derive(Clone, Debug, Default)]
struct Keys(Arc<Mutex<SimpleAuth>>);

#[async_trait]
impl S3Auth for Keys {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.lookup(access_key).cloned().ok_or_else(|| s3_error!(InvalidAccessKeyId))
    }
}

impl FaultyS3 {
    /// Starts one without buckets.
    ///
    /// # Errors
    ///
    /// The system gives no port.
    pub fn start() -> Result<Self, HarnessError> {
        let failed = HarnessError::file("127.0.0.1:0");
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok((listener.local_addr()?, listener))
        });
        let (address, listener) = listener.map_err(failed)?;
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.map_err(HarnessError::file("a runtime"))?;
        let key = (random_word()?, random_word()?);
        let account = S3::new(Endpoint::new(address.port(), None)?, (&key.0, &key.1), None);
        let (store, keys, faults) = (Arc::default(), Keys::default(), Faults::default());
        let mut builder = S3ServiceBuilder::new(Operations { store: Arc::clone(&store) });
        builder.set_auth(keys.clone());
        runtime.spawn(accept(listener, faults.clone(), builder.build()));
        let server = Self { store, keys, faults, account, runtime: Some(runtime) };
        server.accept_key(&key.0, &key.1);
        Ok(server)
    }

    /// Takes requests that are signed with this key as well.
    pub fn accept_key(&self, access_key: &str, secret_key: &str) {
        let mut keys = self.keys.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.register(access_key.to_owned(), secret_key.into());
    }

    /// Refuses to copy objects of more than so many bytes in one request.
    pub fn limit_copies(&self, bytes_max: u64) {
        self.store().copy_bytes_max = bytes_max;
    }

    /// Access to it. Its requests count and go wrong as all others do.
    pub fn s3(&self) -> &S3 {
        &self.account
    }

    /// What goes wrong, and what was asked.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Makes a bucket, without a request.
    pub fn create_bucket(&self, bucket: &str) {
        // One that is there already is as good.
        let _ = self.store().create_bucket(bucket);
    }

    /// The bytes of an object, without a request.
    pub fn object(&self, bucket: &str, key: &str) -> Option<Vec<u8>> {
        let mut store = self.store();
        let object = store.bucket(bucket).ok()?.objects.get(key)?;
        Some(object.bytes.to_vec())
    }

    /// The keys of a bucket in order, without a request.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        let mut store = self.store();
        let bucket = store.bucket(bucket);
        bucket.map(|bucket| bucket.objects.keys().cloned().collect()).unwrap_or_default()
    }

    /// The uploads that were neither completed nor aborted, in order of key and id, without a
    /// request.
    pub fn open_uploads(&self, bucket: &str) -> Vec<OpenUpload> {
        self.store().open_uploads(bucket)
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for FaultyS3 {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Tests drop it where nothing may wait.
            runtime.shutdown_background();
        }
    }
}

async fn accept(listener: std::net::TcpListener, faults: Faults, s3: S3Service) {
    let listener = TcpListener::from_std(listener).expect("it was bound a moment ago");
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                connections.spawn(serve(stream, faults.clone(), s3.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Answers the requests of a connection until it ends.
async fn serve(stream: TcpStream, faults: Faults, s3: S3Service) {
    let Ok(socket) = stream.as_fd().try_clone_to_owned() else { return };
    let connection = Arc::new(Connection { socket, faults, s3 });
    let service = service_fn(|request| Arc::clone(&connection).answer(request));
    // The client sees what ended it.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

#[cfg(test)]
mod tests;
