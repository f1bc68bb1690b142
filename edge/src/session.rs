//! Sessions: from the identity of this edge to a relay that has welcomed it.
//!
//! A session counts only after `Welcome`. The identity is kept alive on the way: recovered before a
//! dial when it has expired, renewed on a session when it is time.

mod dial;
mod error;
mod issue;
mod paths;
mod reconnect;

use crate::config::{Directories, EdgeConfig};
use crate::context::{Host, unix_ms};
use dial::Line;
use error::greeting_fault;
use paths::Paths;
use skyspray_certs::identity::Validity;
use skyspray_certs::renewal::renewal_time;
use skyspray_certs::store::{EdgeStore, StoreLock};
use skyspray_certs::tls::{edge_data_config, edge_enroll_config};
use skyspray_certs::{EdgeIdentity, RelayAddress};
use skyspray_link::congestion::KnownPath;
use skyspray_link::request::{Exchange, RequestError};
use skyspray_link::seam::{Clock, Random};
use skyspray_link::session::{CloseCode, Session};
use skyspray_link::tls_clock::tls_clock;
use skyspray_wire::message::{Hello, Reply, Request, VERSION_NEWEST, VERSION_OLDEST, Welcome};
use skyspray_wire::refusal::Remedy;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::time::sleep;

pub use dial::SocketFactory;
pub use error::ConnectError;
pub use issue::IssueError;
pub use reconnect::{OUTAGE_PATIENCE, PATIENCE, Reconnect};

pub(crate) use dial::dial;
pub(crate) use issue::{ask_enroll, binding};

/// How long a relay may take to answer the greeting.
const WELCOME_DEADLINE: Duration = Duration::from_secs(5);

/// How far the two clocks may be apart before it is worth a warning.
pub const SKEW_MAX: Duration = Duration::from_secs(60);

/// How often a long session looks whether its identity should be renewed.
const RENEWAL_CHECK: Duration = Duration::from_secs(60);

/// Opens sessions with the identity of this edge.
#[derive(Debug)]
pub struct Connector {
    store: Arc<EdgeStore>,
    // Replaced when the identity is renewed, read for each dial; held for copying only.
    current: Mutex<Current>,
    /// Empty for those named in the identity.
    addresses: Vec<RelayAddress>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    sockets: SocketFactory,
    paths: Paths,
}

/// The identity in use.
#[derive(Clone, Debug)]
struct Current {
    identity: Arc<EdgeIdentity>,
    validity: Validity,
    renew_at: SystemTime,
}

impl Current {
    fn of(identity: EdgeIdentity) -> Result<Self, IssueError> {
        let validity = identity.identity()?.validity;
        let renew_at = renewal_time(validity, &ring::rand::SystemRandom::new())?;
        Ok(Self { identity: Arc::new(identity), validity, renew_at })
    }
}

/// A session with a relay that has welcomed this edge.
#[derive(Debug)]
pub struct RelaySession {
    line: Line,
    address: RelayAddress,
    welcome: Welcome,
    skew_ms: i64,
    paths: Paths,
    clock: Arc<dyn Clock>,
}

impl RelaySession {
    /// The session itself.
    pub fn session(&self) -> &Session {
        &self.line.session
    }

    /// What the relay said about it.
    pub fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// The address that answered.
    pub fn address(&self) -> &RelayAddress {
        &self.address
    }

    /// How far the relay's clock is ahead of this host's, in milliseconds.
    pub fn skew_ms(&self) -> i64 {
        self.skew_ms
    }

    /// Whether the relay has closed the session because it goes away.
    pub fn was_moved(&self) -> bool {
        self.session().close_code() == Some(CloseCode::Draining)
    }

    /// Closes the session and waits a moment for the relay to hear of it. What it has learned of the path
    /// is there for the next one.
    pub async fn close(self) {
        let learned = self.session().learned_path();
        self.line.close(CloseCode::Done).await;
        if let Some(path) = learned {
            let now_ms = unix_ms(self.clock.now());
            blocking(move || self.paths.note(&self.address, path, now_ms)).await;
        }
    }
}

impl Connector {
    /// Loads the identity. Blocks.
    ///
    /// # Errors
    ///
    /// The edge is not enrolled, or its identity cannot be used.
    pub fn open(
        directories: &Directories,
        config: &EdgeConfig,
        host: &Host,
    ) -> Result<Self, ConnectError> {
        let store = EdgeStore::open(&directories.identity())?;
        let identity = store.load()?;
        Ok(Self {
            store: Arc::new(store),
            current: Mutex::new(Current::of(identity)?),
            addresses: config.relay_addresses.clone(),
            clock: Arc::clone(&host.clock),
            random: Arc::clone(&host.random),
            sockets: host.sockets.clone().with_mtu(config.limits.mtu),
            paths: Paths::new(&directories.state),
        })
    }

    /// The identity in use.
    pub fn identity(&self) -> Arc<EdgeIdentity> {
        self.current().identity
    }

    /// First and last moment the leaf of the identity is valid.
    pub fn validity(&self) -> Validity {
        self.current().validity
    }

    /// The relays to try, in this order: those of the configuration, otherwise of the identity.
    pub fn addresses(&self) -> Vec<RelayAddress> {
        if self.addresses.is_empty() {
            self.identity().addresses.clone()
        } else {
            self.addresses.clone()
        }
    }

    pub(crate) fn random(&self) -> &dyn Random {
        &*self.random
    }

    /// Opens a session with the first relay that welcomes this edge, from a socket of its own.
    ///
    /// # Errors
    ///
    /// No relay does. What a person must correct is told rather than what may pass.
    pub async fn connect(&self) -> Result<RelaySession, ConnectError> {
        Ok(self.connect_with(async |_| Ok(())).await?.0)
    }

    /// Opens a session like [`Connector::connect`], and asks the first request in it together with the
    /// greeting. Its answer is handed on only when the relay has welcomed this edge. More than one
    /// relay may get the request, so it must be one that can be asked again.
    ///
    /// # Errors
    ///
    /// As for [`Connector::connect`].
    pub async fn connect_asking(
        &self,
        first: &Request,
    ) -> Result<(RelaySession, Exchange), ConnectError> {
        self.connect_with(async |session| session.request(first).await).await
    }

    async fn connect_with<T>(
        &self,
        ask: impl AsyncFn(&Session) -> Result<T, RequestError>,
    ) -> Result<(RelaySession, T), ConnectError> {
        self.recover_if_expired().await?;
        let mut fault: Option<ConnectError> = None;
        for address in self.addresses() {
            match self.connect_to_with(&address, &ask).await {
                Ok((session, asked)) => {
                    self.drop_previous().await;
                    self.renew_if_due(session.session()).await?;
                    return Ok((session, asked));
                }
                Err(error @ ConnectError::Refused(_)) if !error.is_passing() => return Err(error),
                Err(error) => {
                    tracing::debug!(%address, %error, "no session with this relay");
                    fault = Some(match fault {
                        Some(earlier) if !earlier.is_passing() => earlier,
                        _ => error,
                    });
                }
            }
        }
        Err(fault.unwrap_or(ConnectError::NoAddress))
    }

    /// Opens a session with the relay at `address`, without looking after the identity.
    ///
    /// # Errors
    ///
    /// It does not answer, is not trusted or does not accept this edge.
    pub async fn connect_to(&self, address: &RelayAddress) -> Result<RelaySession, ConnectError> {
        Ok(self.connect_to_with(address, async |_| Ok(())).await?.0)
    }

    async fn connect_to_with<T>(
        &self,
        address: &RelayAddress,
        ask: impl AsyncFn(&Session) -> Result<T, RequestError>,
    ) -> Result<(RelaySession, T), ConnectError> {
        let identity = self.identity();
        let tls = edge_data_config(&identity.credentials(), tls_clock(Arc::clone(&self.clock)))?;
        let line = dial(&self.sockets, address, &identity.trust_domain, &tls).await?;
        if let Some(path) = self.known_path(address).await {
            tracing::debug!(%address, ?path, "the path is known");
            line.session.expect_path(path);
        }
        let greeted = greet(&line.session, ask).await;
        match greeted.map_err(|error| greeting_fault(address, error)).and_then(checked) {
            Ok((welcome, asked)) => {
                let skew_ms = welcome.time_ms.saturating_sub(unix_ms(self.clock.now()));
                if skew_ms.unsigned_abs() > SKEW_MAX.as_millis() as u64 {
                    tracing::warn!(skew_ms, %address, "the clocks of edge and relay differ");
                }
                let (address, clock) = (address.clone(), Arc::clone(&self.clock));
                let paths = self.paths.clone();
                Ok((RelaySession { line, address, welcome, skew_ms, paths, clock }, asked))
            }
            Err(error) => {
                line.close(CloseCode::Done).await;
                Err(error)
            }
        }
    }

    /// What an earlier session has learned of the path to a relay.
    async fn known_path(&self, address: &RelayAddress) -> Option<KnownPath> {
        let (paths, address) = (self.paths.clone(), address.clone());
        let now_ms = unix_ms(self.clock.now());
        blocking(move || paths.get(&address, now_ms)).await
    }

    /// Renews the identity while `session` lives, whenever it is time. For jobs that take longer
    /// than a leaf lives; poll it beside the job. Returns only when the relay says that this
    /// identity is no good any more.
    pub async fn keep_identity(&self, session: &RelaySession) -> ConnectError {
        loop {
            sleep(RENEWAL_CHECK).await;
            if let Err(error) = self.renew_if_due(session.session()).await {
                return error;
            }
        }
    }

    /// Renews the identity when it is time. Only a final refusal counts as failure: there is time
    /// left to try again.
    async fn renew_if_due(&self, session: &Session) -> Result<(), ConnectError> {
        if self.clock.now() < self.current().renew_at {
            return Ok(());
        }
        match self.renew(session).await {
            Ok(()) | Err(IssueError::Busy) => Ok(()),
            Err(IssueError::Refused(refusal)) if refusal.code.remedy() != Remedy::Retry => {
                Err(refusal.into())
            }
            Err(error) => {
                tracing::warn!(%error, "the identity could not be renewed");
                Ok(())
            }
        }
    }

    async fn renew(&self, session: &Session) -> Result<(), IssueError> {
        let _lock = self.lock().await?;
        if self.reload().await? {
            return Ok(());
        }
        let key = self.with_store(issue::next_key).await?;
        let renewed = issue::renew(session, &self.identity(), key).await?;
        self.take(renewed).await
    }

    /// Brings back an identity whose leaf has expired, on the enrollment listener.
    async fn recover_if_expired(&self) -> Result<(), ConnectError> {
        if self.clock.now() <= self.current().validity.not_after {
            return Ok(());
        }
        let _lock = self.lock().await?;
        if self.reload().await? {
            return Ok(());
        }
        let identity = self.identity();
        let address = &identity.enroll_address;
        tracing::info!(%address, "the identity has expired, recovering it");
        let recovered = self.recover(&identity).await;
        let recovered = recovered.map_err(|error| {
            let (address, source) = (address.clone(), Box::new(error));
            ConnectError::Recovery { address, source }
        })?;
        Ok(self.take(recovered).await?)
    }

    async fn recover(&self, identity: &EdgeIdentity) -> Result<EdgeIdentity, ConnectError> {
        let domain = &identity.trust_domain;
        let clock = tls_clock(Arc::clone(&self.clock));
        let tls = edge_enroll_config(&identity.pins(), domain, clock)?;
        let key = self.with_store(issue::next_key).await?;
        let line = dial(&self.sockets, &identity.enroll_address, domain, &tls).await?;
        let recovered = issue::recover(&line.session, identity, key).await;
        line.close(CloseCode::Done).await;
        Ok(recovered?)
    }

    /// Takes up what another process of this edge has stored meanwhile; whether that is newer.
    async fn reload(&self) -> Result<bool, IssueError> {
        let stored = self.with_store(|store| Ok(store.load()?)).await?;
        let newer = stored.generation > self.identity().generation;
        if newer {
            self.set_current(Current::of(stored)?);
        }
        Ok(newer)
    }

    async fn take(&self, identity: EdgeIdentity) -> Result<(), IssueError> {
        let current = Current::of(identity)?;
        let identity = Arc::clone(&current.identity);
        self.with_store(move |store| Ok(store.save(&identity)?)).await?;
        tracing::info!(generation = current.identity.generation.0, "the identity was renewed");
        self.set_current(current);
        Ok(())
    }

    /// Forgets the identity before the current one: a relay has accepted the current one.
    async fn drop_previous(&self) {
        let Ok(_lock) = self.lock().await else { return };
        let dropped = self.with_store(|store| Ok(store.drop_previous()?)).await;
        if let Err(error) = dropped {
            tracing::warn!(%error, "the previous identity cannot be removed");
        }
    }

    async fn lock(&self) -> Result<StoreLock, IssueError> {
        self.with_store(|store| store.try_lock()?.ok_or(IssueError::Busy)).await
    }

    async fn with_store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&EdgeStore) -> Result<T, IssueError> + Send + 'static,
    ) -> Result<T, IssueError> {
        let store = Arc::clone(&self.store);
        let done = tokio::task::spawn_blocking(move || work(&store)).await;
        done.expect("work on the store does not panic")
    }

    fn current(&self) -> Current {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_current(&self, current: Current) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = current;
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("work on a file does not panic")
}

/// Sends the greeting and, right behind it, what `ask` asks; returns once the greeting is answered.
async fn greet<T>(
    session: &Session,
    ask: impl AsyncFn(&Session) -> Result<T, RequestError>,
) -> Result<(Welcome, T), RequestError> {
    let hello = Hello {
        oldest: VERSION_OLDEST,
        newest: VERSION_NEWEST,
        features: 0,
        software: concat!("skyspray-edge ", env!("CARGO_PKG_VERSION")).to_owned(),
    };
    let mut exchange = session.request(&Request::Hello(hello)).await?;
    let asked = ask(session).await;
    match exchange.receive_within(WELCOME_DEADLINE).await? {
        // A relay that does not welcome this edge may have closed the session before it was asked.
        Reply::Welcome(welcome) => Ok((welcome, asked?)),
        Reply::Refused(refusal) => Err(RequestError::Refused(refusal)),
        _ => Err(RequestError::Unexpected),
    }
}

/// What was asked counts only in a session whose version this edge speaks.
fn checked<T>((welcome, asked): (Welcome, T)) -> Result<(Welcome, T), ConnectError> {
    match welcome.version {
        VERSION_OLDEST..=VERSION_NEWEST => Ok((welcome, asked)),
        found => Err(ConnectError::Version { found }),
    }
}

#[cfg(test)]
pub(crate) mod tests;
