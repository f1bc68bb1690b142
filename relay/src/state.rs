//! What all sessions of a relay share.

use crate::catalogue::{AgentRecord, AgentState, Catalogue, CatalogueError};
use crate::config::RelaySettings;
use crate::planes::{PlaneSlot, ServedPlane};
use crate::session::Sessions;
use crate::sink::PlaneSink;
use skyspray_certs::RelayIdentity;
use skyspray_link::congestion::KnownPaths;
use skyspray_link::receive::{ReceiveJob, ReceivePool};
use skyspray_link::seam::Clock;
use skyspray_link::seam::files::BufferPool;
use skyspray_wire::ids::JobId;
use skyspray_wire::name::{AgentName, PlaneName};
use skyspray_wire::refusal::{Refusal, RefusalCode};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::SystemTime;
use tokio::sync::Semaphore;

/// Threads that may verify, write and sync at once.
pub(crate) const BLOCKING_THREADS: usize = 6;

/// Reading jobs served at once, over all sessions; one more is told to come back.
pub(crate) const READS_MAX: usize = 32;

/// Paths to agents that are remembered.
pub(crate) const PATHS_MAX: usize = 4096;

/// One relay while it serves.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) settings: RelaySettings,
    pub(crate) catalogue: Catalogue,
    pub(crate) planes: BTreeMap<PlaneName, PlaneSlot>,
    /// Replaced when the leaf is renewed; readers take what is current.
    pub(crate) identity: RwLock<Arc<RelayIdentity>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) receive_pool: Arc<ReceivePool>,
    pub(crate) send_buffers: BufferPool,
    /// How many buffers those are.
    pub(crate) send_buffers_count: usize,
    /// Reading jobs that may run; each has two threads.
    pub(crate) reads: Semaphore,
    pub(crate) sessions: Sessions,
    /// What sessions have learned of the paths to agents, for the next to the same place. Held to look
    /// one up.
    pub(crate) paths: Mutex<KnownPaths<(AgentName, IpAddr)>>,
    pub(crate) jobs: Jobs,
    /// Where edges are told to connect.
    pub(crate) addresses: Vec<skyspray_certs::RelayAddress>,
    /// Whether the relay is on its way out: it takes no sessions, and is not ready.
    pub(crate) draining: AtomicBool,
}

impl Relay {
    /// What is known of paths.
    pub(crate) fn paths(&self) -> MutexGuard<'_, KnownPaths<(AgentName, IpAddr)>> {
        self.paths.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The plane of this name.
    pub(crate) fn plane(&self, name: &PlaneName) -> Result<&ServedPlane, Refusal> {
        let refused = || match self.settings.hpcc.unserved.get(name.as_str()) {
            Some(unserved) => format!("{name} is not served: {}", unserved.reason.told()),
            None => name.to_string(),
        };
        let slot = self.planes.get(name);
        let slot = slot.ok_or_else(|| Refusal::new(RefusalCode::PlaneUnknown, refused()))?;
        slot.served().ok_or_else(|| Refusal::new(RefusalCode::PlaneUnavailable, name.to_string()))
    }

    /// The planes by name that are open, for work that needs nothing else of them.
    pub(crate) fn plane_map(&self) -> crate::housekeeping::Planes {
        let open = self.planes.iter().filter_map(|(name, slot)| Some((name, slot.served()?)));
        open.map(|(name, served)| (name.clone(), Arc::clone(&served.plane))).collect()
    }

    /// From here on the relay takes no sessions.
    pub(crate) fn begin_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether the relay is on its way out.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// The identity in use.
    pub(crate) fn identity(&self) -> Arc<RelayIdentity> {
        Arc::clone(&self.identity.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Milliseconds since 1970 by the relay's clock.
    pub(crate) fn now_ms(&self) -> i64 {
        unix_ms(self.clock.now())
    }

    /// The agent as it stands now; only an enrolled one may do anything.
    pub(crate) async fn enrolled_agent(&self, name: &AgentName) -> Result<AgentRecord, Refusal> {
        let record = self.catalogue.agent(name).await.map_err(|error| internal(&error))?;
        record
            .filter(|record| record.state == AgentState::Enrolled)
            .ok_or_else(|| Refusal::new(RefusalCode::AgentRevoked, name.to_string()))
    }
}

/// The writing jobs that are open in this process, by id.
#[derive(Debug, Default)]
pub(crate) struct Jobs(
    // Shared by all sessions, because a job may be taken over from one by another.
    Mutex<HashMap<JobId, Arc<ReceiveJob<PlaneSink>>>>,
);

impl Jobs {
    /// Makes `job` the one that takes chunks.
    pub(crate) fn insert(&self, id: JobId, job: Arc<ReceiveJob<PlaneSink>>) {
        self.lock().insert(id, job);
    }

    /// Every job that is open here.
    pub(crate) fn all(&self) -> Vec<Arc<ReceiveJob<PlaneSink>>> {
        self.lock().values().cloned().collect()
    }

    /// Takes the job out, whoever has it.
    pub(crate) fn remove(&self, job: JobId) -> Option<Arc<ReceiveJob<PlaneSink>>> {
        self.lock().remove(&job)
    }

    /// Takes out exactly this job, and no later one with the same id.
    pub(crate) fn remove_same(&self, id: JobId, job: &Arc<ReceiveJob<PlaneSink>>) {
        let mut jobs = self.lock();
        if jobs.get(&id).is_some_and(|held| Arc::ptr_eq(held, job)) {
            jobs.remove(&id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, Arc<ReceiveJob<PlaneSink>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Milliseconds since 1970; 0 for a clock before that.
pub(crate) fn unix_ms(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Logs a failure of the catalogue and says what a peer is told of it.
pub(crate) fn internal(error: &CatalogueError) -> Refusal {
    tracing::error!(error = error as &dyn std::error::Error, "catalogue");
    error.refusal()
}

/// Runs blocking work on a thread for it.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("blocking work does not panic")
}
