//! One session with an edge: who it is, what it may open, and how it ends.

use crate::service;
use crate::sink::PlaneSink;
use crate::state::{Relay, unix_ms};
use skyspray_certs::AgentIdentity;
use skyspray_link::receive::{ReceiveJob, serve_stream};
use skyspray_link::request::Exchange;
use skyspray_link::session::{Accepted, CloseCode, DataStream, Session, SessionError};
use skyspray_wire::ids::JobId;
use skyspray_wire::limits::DATA_STREAMS_MAX;
use skyspray_wire::message::{Hello, Reply, Request, VERSION_NEWEST, VERSION_OLDEST, Welcome};
use skyspray_wire::name::AgentName;
use skyspray_wire::refusal::{Refusal, RefusalCode};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// An edge must say `Hello` in this time.
const HELLO_DEADLINE: Duration = Duration::from_secs(5);

/// Longest name of an edge's build that is logged.
const SOFTWARE_CHARS_MAX: usize = 64;

/// A session that was greeted.
#[derive(Debug)]
pub(crate) struct Greeted {
    pub(crate) relay: Arc<Relay>,
    pub(crate) session: Session,
    pub(crate) agent: AgentName,
    /// Writing jobs this session opened, and reading jobs that wait for data streams. Shared by
    /// the tasks of the session's streams.
    jobs: Mutex<SessionJobs>,
    /// Data streams that may be open.
    data_streams: Semaphore,
}

#[derive(Debug, Default)]
struct SessionJobs {
    writes: HashMap<JobId, Arc<ReceiveJob<PlaneSink>>>,
    reads: HashMap<JobId, mpsc::Sender<DataStream>>,
}

impl Greeted {
    /// Notes a writing job; its chunks are taken from here on.
    pub(crate) fn add_write(&self, id: JobId, job: Arc<ReceiveJob<PlaneSink>>) {
        self.lock().writes.insert(id, job);
    }

    /// The writing job, if this session opened it.
    pub(crate) fn write(&self, job: JobId) -> Option<Arc<ReceiveJob<PlaneSink>>> {
        self.lock().writes.get(&job).cloned()
    }

    /// Forgets a writing job; late chunks of it are refused.
    pub(crate) fn remove_write(&self, job: JobId) {
        self.lock().writes.remove(&job);
    }

    /// Notes a reading job; its data streams are handed to `streams`.
    pub(crate) fn add_read(&self, job: JobId, streams: mpsc::Sender<DataStream>) {
        self.lock().reads.insert(job, streams);
    }

    /// Forgets a reading job.
    pub(crate) fn remove_read(&self, job: JobId) {
        self.lock().reads.remove(&job);
    }

    fn read(&self, job: JobId) -> Option<mpsc::Sender<DataStream>> {
        self.lock().reads.get(&job).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, SessionJobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves one authenticated session until it ends.
pub(crate) async fn serve(relay: Arc<Relay>, session: Session) {
    let identity = match identify(&relay, &session) {
        Ok(identity) => identity,
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "certificate refused");
            session.close(CloseCode::Refused);
            return;
        }
    };
    let peer = session.remote_address();
    let agent = identity.name.clone();
    let Some(_registered) = relay.sessions.register(&relay, &agent, &session) else {
        refuse_first(&session, RefusalCode::SessionsExceeded).await;
        return;
    };
    // Whoever is in the register when the relay begins to drain is sent away from there.
    if relay.is_draining() {
        session.close(CloseCode::Draining);
        return;
    }
    let greeted = match greet(&relay, &session, &identity).await {
        Ok(()) => Arc::new(Greeted {
            relay,
            session,
            agent,
            jobs: Mutex::default(),
            data_streams: Semaphore::new(DATA_STREAMS_MAX as usize),
        }),
        Err(error) => {
            tracing::info!(%agent, %peer, error = &error as &dyn std::error::Error, "not greeted");
            session.close(CloseCode::Refused);
            return;
        }
    };
    tracing::info!(agent = %greeted.agent, %peer, "session");
    let path = (greeted.agent.clone(), peer.ip());
    let known = greeted.relay.paths().get(&path);
    known.into_iter().for_each(|known| greeted.session.expect_path(known));
    let ended = serve_streams(&greeted, &identity).await;
    if let Some(learned) = greeted.session.learned_path() {
        greeted.relay.paths().insert(path, learned);
    }
    greeted.session.close(CloseCode::Done);
    let writes = std::mem::take(&mut greeted.lock().writes);
    for (id, job) in writes {
        job.retire(Refusal::new(RefusalCode::EpochStale, "")).await;
        greeted.relay.jobs.remove_same(id, &job);
    }
    tracing::info!(agent = %greeted.agent, %peer, %ended, "session ended");
}

fn identify(
    relay: &Relay,
    session: &Session,
) -> Result<AgentIdentity, skyspray_certs::IdentityError> {
    let domain = relay.identity().trust_domain().clone();
    AgentIdentity::from_chain(&session.peer_certificates(), &domain)
}

/// Answers the first request of a session with a refusal.
async fn refuse_first(session: &Session, code: RefusalCode) {
    if let Ok(Ok((mut exchange, _))) = timeout(HELLO_DEADLINE, first_request(session)).await {
        // The peer may be gone already.
        let _ = exchange.send(&Reply::Refused(Refusal::new(code, ""))).await;
        exchange.finish();
        let _ = timeout(Duration::from_secs(1), session.closed()).await;
    }
    session.close(CloseCode::Refused);
}

async fn first_request(session: &Session) -> Result<(Exchange, Request), SessionError> {
    match session.accept().await?.identify().await? {
        Accepted::Request(mut exchange) => {
            let request = exchange.receive_request().await?;
            Ok((exchange, request))
        }
        _ => Err(SessionError::StreamEnded),
    }
}

/// Why a session was not greeted.
#[derive(Debug, thiserror::Error)]
enum NotGreeted {
    #[error("the edge was silent")]
    Silent,
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Refused(Refusal),
}

async fn greet(
    relay: &Relay,
    session: &Session,
    identity: &AgentIdentity,
) -> Result<(), NotGreeted> {
    let first = timeout(HELLO_DEADLINE, first_request(session)).await;
    let (mut exchange, request) = first.map_err(|_| NotGreeted::Silent)??;
    let answer = match request {
        Request::Hello(hello) => welcome(relay, identity, &hello).await,
        _ => Err(Refusal::new(RefusalCode::NotGreeted, "")),
    };
    match answer {
        Ok(welcome) => {
            exchange.send(&Reply::Welcome(welcome)).await?;
            exchange.finish();
            Ok(())
        }
        Err(refusal) => {
            exchange.send(&Reply::Refused(refusal.clone())).await?;
            exchange.finish();
            // The refusal must arrive before the close does; a peer that waits is not waited for.
            let _ = timeout(Duration::from_secs(1), session.closed()).await;
            Err(NotGreeted::Refused(refusal))
        }
    }
}

async fn welcome(
    relay: &Relay,
    identity: &AgentIdentity,
    hello: &Hello,
) -> Result<Welcome, Refusal> {
    let software: String = hello.software.chars().take(SOFTWARE_CHARS_MAX).collect();
    tracing::debug!(agent = %identity.name, ?software, "hello");
    if hello.oldest > VERSION_NEWEST || hello.newest < VERSION_OLDEST {
        let (oldest, newest) = (hello.oldest, hello.newest);
        let detail = format!(
            "the edge speaks {oldest} to {newest}, the relay {VERSION_OLDEST} to {VERSION_NEWEST}"
        );
        return Err(Refusal::new(RefusalCode::VersionUnsupported, detail));
    }
    let agent = relay.enrolled_agent(&identity.name).await?;
    // A leaf that was replaced is good until it expires only for the edge that replaced it.
    tracing::debug!(agent = %agent.name, generation = agent.generation.0, "enrolled");
    Ok(Welcome {
        version: hello.newest.min(VERSION_NEWEST),
        features: 0,
        software: concat!("skyspray-relay/", env!("CARGO_PKG_VERSION")).to_owned(),
        agent: identity.name.clone(),
        time_ms: relay.now_ms(),
        data_streams: DATA_STREAMS_MAX,
    })
}

/// Accepts streams until the session is gone. Returns why it is.
async fn serve_streams(greeted: &Arc<Greeted>, identity: &AgentIdentity) -> SessionError {
    let mut tasks = JoinSet::new();
    let life_ms = unix_ms(identity.validity.not_after).saturating_sub(greeted.relay.now_ms());
    let life = Duration::from_millis(u64::try_from(life_ms).unwrap_or(0));
    let expiry = tokio::time::sleep(life);
    tokio::pin!(expiry);
    let error = loop {
        tokio::select! {
            incoming = greeted.session.accept() => match incoming {
                Ok(incoming) => {
                    let greeted = Arc::clone(greeted);
                    tasks.spawn(async move {
                        if let Err(error) = serve_stream_of(&greeted, incoming).await {
                            end_if_broken(&greeted, &error);
                        }
                    });
                }
                Err(error) => break error,
            },
            Some(_) = tasks.join_next() => {}
            () = &mut expiry => {
                greeted.session.close(CloseCode::Refused);
            }
        }
    };
    tasks.shutdown().await;
    error
}

/// A peer that breaks the protocol, or falls silent in the middle of something, loses its session.
fn end_if_broken(greeted: &Greeted, error: &SessionError) {
    let code = match error {
        SessionError::Malformed(_) => CloseCode::Malformed,
        SessionError::Silent { .. } => CloseCode::Idle,
        _ => return,
    };
    let error = error as &dyn std::error::Error;
    tracing::warn!(agent = %greeted.agent, error, "session closed");
    greeted.session.close(code);
}

async fn serve_stream_of(
    greeted: &Arc<Greeted>,
    incoming: skyspray_link::session::Incoming,
) -> Result<(), SessionError> {
    match incoming.identify().await? {
        Accepted::Request(mut exchange) => {
            let request = exchange.receive_request().await?;
            service::answer(greeted, exchange, request).await
        }
        Accepted::ChunksToRelay(stream) => {
            // More than were allowed: each could hold buffers that others wait for.
            let allowed = greeted.data_streams.try_acquire();
            let _slot = allowed.map_err(|_| SessionError::StreamEnded)?;
            let pool = Arc::clone(&greeted.relay.receive_pool);
            serve_stream(stream, pool, |job| greeted.write(job)).await
        }
        Accepted::ChunksToEdge(job, stream) => {
            let streams = greeted.read(job).ok_or(SessionError::StreamEnded)?;
            streams.send(stream).await.map_err(|_| SessionError::StreamEnded)
        }
    }
}

/// The sessions that live, so that they can be counted and cut.
#[derive(Debug, Default)]
pub(crate) struct Sessions(
    // Shared by the accept loop and the task that watches for revocations.
    Mutex<BTreeMap<u64, (AgentName, Session)>>,
);

/// Takes its session out of the register when dropped.
struct Registered {
    relay: Arc<Relay>,
    id: u64,
}

impl Sessions {
    /// Notes a session; `None` when there are as many as may be.
    fn register(
        &self,
        relay: &Arc<Relay>,
        agent: &AgentName,
        session: &Session,
    ) -> Option<Registered> {
        let limits = &relay.settings.limits;
        let mut sessions = self.lock();
        let of_agent = sessions.values().filter(|(name, _)| name == agent).count();
        if sessions.len() >= limits.sessions_max.get() as usize
            || of_agent >= limits.sessions_per_agent.get() as usize
        {
            return None;
        }
        let id = sessions.last_key_value().map_or(0, |(id, _)| id + 1);
        sessions.insert(id, (agent.clone(), session.clone()));
        Some(Registered { relay: Arc::clone(relay), id })
    }

    /// The agents that have sessions, each once.
    pub(crate) fn agents(&self) -> Vec<AgentName> {
        let mut agents: Vec<_> = self.lock().values().map(|(agent, _)| agent.clone()).collect();
        agents.sort();
        agents.dedup();
        agents
    }

    /// Closes every session of an agent at once. Returns how many there were.
    pub(crate) fn cut(&self, agent: &AgentName) -> usize {
        let sessions = self.lock();
        let mine = sessions.values().filter(|(name, _)| name == agent);
        mine.map(|(_, session)| session.close(CloseCode::Revoked)).count()
    }

    /// Tells every session that the relay is going away.
    pub(crate) fn drain(&self) {
        self.lock().values().for_each(|(_, session)| session.close(CloseCode::Draining));
    }

    /// Sessions that live.
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, (AgentName, Session)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.relay.sessions.lock().remove(&self.id);
    }
}
