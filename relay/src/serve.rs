//! `serve`: opens everything, listens, and goes on until it is told to stop.

use crate::admin::{AdminError, Exit, Failure, RunningAddresses, catalogue_advice, catalogue_exit};
use crate::api::{Api, ApiListener, ListenError};
use crate::catalogue::{Catalogue, CatalogueError};
use crate::config::{RelayDir, RelaySettings};
use crate::memory::{self, Memory, UNIT};
use crate::placing::Placing;
use crate::plane::OpenError;
use crate::planes::{self, PlaneSlot};
use crate::session::{self, Sessions};
use crate::state::{Jobs, PATHS_MAX, READS_MAX, Relay};
use crate::{enroll, housekeeping, identity};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use skyspray_certs::RelayIdentity;
use skyspray_certs::tls::TlsError;
use skyspray_link::congestion::KnownPaths;
use skyspray_link::endpoint::{EndpointError, Listener, UdpSocket};
use skyspray_link::seam::files::BufferPool;
use skyspray_link::seam::{Clock, SystemClock};
use skyspray_wire::name::PlaneName;
use skyspray_wire::refusal::{Refusal, RefusalCode};
use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// How often revocations are looked for; the longest a revoked agent keeps its session.
const REVISION_INTERVAL: Duration = Duration::from_secs(1);

/// How often the time at which agents were seen last is noted.
const SEEN_INTERVAL: Duration = Duration::from_secs(30);

/// How often commits that were cut off are finished, and what nothing names any more is deleted.
const SWEEP_INTERVAL: Duration = Duration::from_secs(300);

/// How long sessions may take to end when the relay is told to stop.
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);

/// How long edges that were sent away are refused at once before the process ends. A balancer that
/// has not noticed yet gives them to this relay again, and nobody's answer costs them seconds.
const LINGER: Duration = Duration::from_secs(2);

/// Why the relay cannot serve.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Another process serves this directory.
    #[error("another relay serves this directory and holds {path}")]
    Locked {
        /// The lock.
        path: PathBuf,
    },
    /// A file of the relay's directory.
    #[error("cannot {action} {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Keys, certificates or settings.
    #[error(transparent)]
    Setup(#[from] AdminError),
    /// The catalogue.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// A plane's directory.
    #[error("plane {plane} cannot be opened")]
    Plane {
        /// The plane.
        plane: PlaneName,
        /// Why.
        source: OpenError,
    },
    /// A TLS configuration.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A socket.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The HTTP interface.
    #[error(transparent)]
    Api(#[from] ListenError),
    /// The host does not say on which address a socket is.
    #[error("cannot tell the address of a listener")]
    Address(#[source] io::Error),
    /// The public name is no address.
    #[error("the public name does not make an address with port {port}")]
    PublicName {
        /// The port.
        port: u16,
    },
}

impl Failure for ServeError {
    fn exit(&self) -> Exit {
        match self {
            Self::Locked { .. } => Exit::Temporary,
            Self::Setup(error) => error.exit(),
            Self::File { .. }
            | Self::Plane { .. }
            | Self::Endpoint(_)
            | Self::Api(_)
            | Self::PublicName { .. } => Exit::Usage,
            Self::Catalogue(error) => catalogue_exit(error),
            Self::Tls(_) | Self::Address(_) => Exit::Internal,
        }
    }

    fn advice(&self) -> &'static str {
        match self {
            Self::Locked { .. } => "stop the other relay, or serve another directory",
            Self::Setup(error) => error.advice(),
            Self::File { .. } => "check who owns the relay's directory",
            Self::Plane { .. } => "create the plane's directory, or correct its url in relay.toml",
            Self::Endpoint(_) => "check listen and enroll_listen in relay.toml",
            Self::Api(ListenError::Plaintext { .. }) => {
                "set tls_cert and tls_key in [api] of relay.toml, listen on 127.0.0.1, or say \
                 plaintext = true there where a service mesh encrypts"
            }
            Self::Api(_) => "check api_listen and [api] in relay.toml",
            Self::PublicName { .. } => "correct public_name in relay.toml",
            Self::Catalogue(error) => catalogue_advice(error),
            Self::Tls(_) | Self::Address(_) => "report this with the relay's log",
        }
    }
}

/// Serves the relay in `dir` until SIGTERM or SIGINT.
///
/// Prints one line, `ready data=ADDRESS enroll=ADDRESS`, on standard output when it takes sessions,
/// with ` api=ADDRESS` behind it where it serves HTTP.
///
/// # Errors
///
/// It could not begin. Once it serves, failures are logged and sessions refused one by one.
pub async fn run(dir: RelayDir, settings: RelaySettings) -> Result<(), ServeError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    raise_open_files();
    let _lock = lock(&dir)?;
    let identity = identity::at_start(&dir, &settings, clock.now())?;
    let data = UdpSocket::bind(settings.listen)?.with_mtu(settings.limits.mtu);
    let sockets = (data, UdpSocket::bind(settings.enroll_listen)?);
    let (data, enrolling) = identity::listeners(&dir, &identity, sockets, &clock)?;
    let api = ApiListener::bind(&dir, &settings).await?;
    let running = RunningAddresses {
        api: api.as_ref().map(ApiListener::address),
        data: data.local_address().map_err(ServeError::Address)?,
        enroll: enrolling.local_address().map_err(ServeError::Address)?,
    };
    let relay = Arc::new(open(&dir, settings, identity, clock, running).await?);
    housekeeping::finish_sealed(&relay).await?;
    let accepting = tokio::spawn(accept(Arc::clone(&relay), data.clone()));
    let enrolling_task = tokio::spawn(enroll::listen(Arc::clone(&relay), enrolling.clone()));
    let leaf = tokio::spawn(identity::keep(
        dir.clone(),
        Arc::clone(&relay),
        (data.clone(), enrolling.clone()),
    ));
    let (stop_api, stopped) = watch::channel(false);
    let mut serving_api = JoinSet::new();
    if let Some(listener) = api {
        let api = Arc::new(Api::new(dir.clone(), Arc::clone(&relay)));
        serving_api.spawn(listener.serve(api, stopped));
    }
    announce(&dir, running)?;
    let mut chores = JoinSet::new();
    chores.spawn(cut_sessions(Arc::clone(&relay)));
    chores.spawn(note_seen(Arc::clone(&relay)));
    chores.spawn(keep_clean(Arc::clone(&relay)));
    chores.spawn(planes::keep(Arc::clone(&relay)));
    chores.spawn(memory::keep(Arc::clone(&relay)));
    stop_requested().await;
    let sessions = relay.sessions.count();
    tracing::info!(sessions, "stopping");
    relay.begin_draining();
    chores.abort_all();
    leaf.abort();
    drain(&relay, &data).await;
    if sessions > 0 {
        sleep(LINGER).await;
    }
    // Asked whether it is ready, the relay says no as long as sessions are on their way out.
    let _ = stop_api.send(true);
    while serving_api.join_next().await.is_some() {}
    accepting.abort();
    enrolling_task.abort();
    // The file says that a relay runs; nothing is wrong when it is gone already.
    let _ = std::fs::remove_file(dir.addresses_file());
    relay.catalogue.close().await;
    Ok(())
}

/// Takes as many open files as the host allows: each part being written needs two.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).is_err() {
        tracing::debug!(?limit, "the limit of open files stays");
    }
}

/// Keeps a second process from serving the same directory.
fn lock(dir: &RelayDir) -> Result<std::fs::File, ServeError> {
    let path = dir.state().join("serve.lock");
    make_private(&dir.state())?;
    let file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|source| ServeError::File { action: "open", path: path.clone(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(ServeError::Locked { path }),
        Err(std::fs::TryLockError::Error(source)) => {
            Err(ServeError::File { action: "lock", path, source })
        }
    }
}

/// Makes a directory that only the relay enters, where there is none: a replica begins with a
/// configuration and an identity alone.
fn make_private(path: &Path) -> Result<(), ServeError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| ServeError::File { action: "make directory", path: path.into(), source })
}

async fn open(
    dir: &RelayDir,
    settings: RelaySettings,
    identity: RelayIdentity,
    clock: Arc<dyn Clock>,
    running: RunningAddresses,
) -> Result<Relay, ServeError> {
    let catalogue = Catalogue::open(&settings.catalogue_place(dir)).await?;
    settings.hpcc.log();
    let memory = Memory::shared_out(&settings);
    let planes_memory = memory.for_objects();
    let mut planes = BTreeMap::new();
    for (name, plane_settings) in &settings.planes {
        let placing = Placing::new(dir, &catalogue, name);
        let slot = PlaneSlot::new(plane_settings.clone(), placing, planes_memory.clone());
        match slot.open() {
            Ok(_) => {}
            // Its secrets may be mounted later, and the other planes must not wait for them.
            Err(_) if slot.is_remote() => {}
            Err(source) => return Err(ServeError::Plane { plane: name.clone(), source }),
        }
        planes.insert(name.clone(), slot);
    }
    let port = running.data.port();
    let mut addresses = settings.advertise.clone();
    if addresses.is_empty() {
        let own = settings.public_name.with_port(port);
        addresses.push(own.ok_or(ServeError::PublicName { port })?);
    }
    Ok(Relay {
        catalogue,
        planes,
        identity: RwLock::new(Arc::new(identity)),
        clock,
        receive_pool: Arc::new(memory.receive_pool()),
        send_buffers: BufferPool::new(memory.outbound, UNIT),
        send_buffers_count: memory.outbound,
        reads: Semaphore::new(READS_MAX),
        sessions: Sessions::default(),
        paths: Mutex::new(KnownPaths::new(PATHS_MAX)),
        jobs: Jobs::default(),
        addresses,
        draining: AtomicBool::new(false),
        settings,
    })
}

/// Says where the relay listens: to programs in a file, to people on standard output.
fn announce(dir: &RelayDir, running: RunningAddresses) -> Result<(), ServeError> {
    let path = dir.addresses_file();
    let failed = |action, source| ServeError::File { action, path: path.clone(), source };
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|source| failed("create", source))?;
    }
    let text = serde_json::to_string(&running).expect("addresses are plain data");
    let draft = path.with_extension("json.new");
    std::fs::write(&draft, text).map_err(|source| failed("write", source))?;
    std::fs::rename(&draft, &path).map_err(|source| failed("write", source))?;
    let mut out = io::stdout().lock();
    let api = running.api.map_or_else(String::new, |address| format!(" api={address}"));
    let line = writeln!(out, "ready data={} enroll={}{api}", running.data, running.enroll);
    if line.and_then(|()| out.flush()).is_err() {
        tracing::debug!("nobody reads standard output");
    }
    tracing::info!(data = %running.data, enroll = %running.enroll, api = ?running.api, "ready");
    Ok(())
}

async fn accept(relay: Arc<Relay>, listener: Listener) {
    while let Some(handshake) = listener.accept().await {
        if relay.is_draining() {
            // An answer sends the edge on at once.
            handshake.refuse();
            continue;
        }
        let relay = Arc::clone(&relay);
        tokio::spawn(async move {
            let peer = handshake.remote_address();
            match handshake.complete().await {
                Ok(session) => session::serve(relay, session).await,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::info!(%peer, error, "handshake failed");
                }
            }
        });
    }
}

/// Cuts the sessions of revoked agents, whatever else the relay is busy with.
async fn cut_sessions(relay: Arc<Relay>) {
    let mut ticks = interval(REVISION_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = None;
    loop {
        ticks.tick().await;
        match relay.catalogue.agents_revision().await {
            Ok(revision) if seen == Some(revision) => {}
            Ok(revision) => {
                if cut_revoked(&relay).await {
                    seen = Some(revision);
                }
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "looking for revocations");
            }
        }
    }
}

/// Returns whether every agent that has a session was looked at.
async fn cut_revoked(relay: &Relay) -> bool {
    let mut complete = true;
    for agent in relay.sessions.agents() {
        match relay.enrolled_agent(&agent).await {
            Ok(_) => {}
            Err(refusal) if refusal.code == RefusalCode::AgentRevoked => {
                let sessions = relay.sessions.cut(&agent);
                tracing::warn!(%agent, sessions, "revoked; sessions cut");
            }
            Err(refusal) => {
                tracing::error!(%agent, %refusal, "looking for revocations");
                complete = false;
            }
        }
    }
    complete
}

/// Notes which agents have sessions.
async fn note_seen(relay: Arc<Relay>) {
    let mut ticks = interval(SEEN_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let agents = relay.sessions.agents();
        if let Err(error) = relay.catalogue.touch_agents(&agents, relay.now_ms()).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "agents");
        }
    }
}

/// Deletes what is garbage, and finishes commits that nobody else does.
async fn keep_clean(relay: Arc<Relay>) {
    let mut ticks = interval(SWEEP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick is immediate: what was sealed is finished before the relay is ready.
    ticks.tick().await;
    loop {
        housekeeping::sweep(&relay).await;
        ticks.tick().await;
        if let Err(error) = housekeeping::finish_sealed(&relay).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "finishing commits");
        }
    }
}

/// Waits for SIGTERM or SIGINT.
pub(crate) async fn stop_requested() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals cannot be waited for; end the process to stop it");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Lets chunks that are being written end, then sends every edge away.
async fn drain(relay: &Relay, listener: &Listener) {
    let refusal = Refusal::new(RefusalCode::Draining, "");
    let drained = async {
        for job in relay.jobs.all() {
            job.retire(refusal.clone()).await;
        }
        relay.sessions.drain();
        listener.drained().await;
    };
    if timeout(DRAIN_DEADLINE, drained).await.is_err() {
        tracing::warn!("sessions did not end in time");
    }
}
