//! Sessions of a test's own with the relay of a pair, under the identity of its edge: for what the
//! edge's commands never ask.

use crate::check::files_below;
use crate::pair::Pair;
use rustls::time_provider::DefaultTimeProvider;
use skyspray_certs::store::EdgeStore;
use skyspray_certs::tls::edge_data_config;
use skyspray_link::endpoint::{Dialler, UdpSocket};
use skyspray_link::session::Session;
use skyspray_wire::message::{Hello, Request};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// Where the edge keeps its identity.
fn identity_directory(pair: &Pair) -> PathBuf {
    let files = files_below(&pair.edge.dir).expect("the directory can be read");
    let identity = files.into_iter().find(|path| path.ends_with("identity.toml"));
    let mut path = pair.edge.dir.join(identity.expect("an enrolled edge has an identity"));
    path.pop();
    path
}

/// A session with the identity of the pair's edge, not greeted yet.
///
/// # Panics
///
/// When the edge is not enrolled or the relay does not take it.
pub async fn dial(pair: &Pair) -> Session {
    let identity = EdgeStore::open(&identity_directory(pair))
        .and_then(|store| store.load())
        .expect("an enrolled edge has an identity");
    let tls = edge_data_config(&identity.credentials(), Arc::new(DefaultTimeProvider))
        .expect("the identity fits TLS");
    let socket = UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a socket is free");
    let address = pair.relay.listeners().data.parse().expect("an address and a port");
    let name = identity.trust_domain.relay_name();
    let dialler = Dialler::try_new(socket).expect("the socket is usable");
    dialler.dial(address, &name, tls).await.expect("the relay takes this identity")
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
