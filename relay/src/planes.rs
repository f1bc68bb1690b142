//! The planes of a relay while it serves: opened, tried once in the background, and looked at again
//! while they do not work. A store that is away never keeps the relay, or another plane, from work.

use crate::config::PlaneSettings;
use crate::placing::Placing;
use crate::plane::{ObjectMemory, OpenError, Plane, Probed};
use crate::state::{Relay, blocking};
use skyspray_wire::ids::JobId;
use skyspray_wire::name::PlaneName;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// How often a plane of objects that does not work is looked at again.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);

/// A plane of the configuration, open or not yet.
#[derive(Debug)]
pub(crate) struct PlaneSlot {
    settings: PlaneSettings,
    placing: Arc<Placing>,
    memory: ObjectMemory,
    served: OnceLock<ServedPlane>,
}

/// A plane with its settings.
#[derive(Debug)]
pub(crate) struct ServedPlane {
    pub(crate) plane: Arc<Plane>,
    pub(crate) settings: PlaneSettings,
    /// Held from the first rename of a commit to the transaction that tells of it, so that what the
    /// catalogue says of a place is what the last rename put there.
    pub(crate) placing: Arc<Placing>,
}

impl PlaneSlot {
    /// A plane that is not open yet.
    pub(crate) fn new(settings: PlaneSettings, placing: Placing, memory: ObjectMemory) -> Self {
        Self { settings, placing: Arc::new(placing), memory, served: OnceLock::new() }
    }

    /// The plane, once it is open.
    pub(crate) fn served(&self) -> Option<&ServedPlane> {
        self.served.get()
    }

    /// Whether it is made of buckets: reached over the network, and worth waiting for.
    pub(crate) fn is_remote(&self) -> bool {
        self.settings.object.is_some()
    }

    /// Opens it, unless it is open.
    ///
    /// # Errors
    ///
    /// Its directory, or what its settings name, such as a file of authorities, is not there.
    pub(crate) fn open(&self) -> Result<&ServedPlane, OpenError> {
        if self.served.get().is_none() {
            let plane = Arc::new(Plane::configured(&self.settings, self.memory.clone())?);
            let (settings, placing) = (self.settings.clone(), Arc::clone(&self.placing));
            // When another thread was first, its plane is as good.
            let _ = self.served.set(ServedPlane { plane, settings, placing });
        }
        Ok(self.served.get().expect("it was just opened"))
    }
}

/// Opens, tries and looks at the planes of objects for as long as the relay serves.
pub(crate) async fn keep(relay: Arc<Relay>) {
    let mut keeping = JoinSet::new();
    for (name, _) in relay.planes.iter().filter(|(_, slot)| slot.is_remote()) {
        keeping.spawn(keep_one(Arc::clone(&relay), name.clone()));
    }
    while keeping.join_next().await.is_some() {}
}

async fn keep_one(relay: Arc<Relay>, name: PlaneName) {
    let mut ticks = interval(LOOK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = false;
    let mut tried = false;
    // Of all tries: what one leaves the next removes.
    let job = random_job();
    loop {
        ticks.tick().await;
        let plane = match relay.planes[&name].open() {
            Ok(served) => Arc::clone(&served.plane),
            Err(error) => {
                if !told {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(plane = %name, error, "the plane is unhealthy");
                }
                told = true;
                continue;
            }
        };
        if !tried {
            tried = try_out((&name, plane), job, &mut told).await;
        } else if plane.unhealthy().is_some() {
            // Whatever comes of it is told by the bucket itself.
            let _ = plane.check().await;
        }
    }
}

/// Tries everything the relay needs of the plane, and tells what its store does not do. Returns
/// whether it works; a failure is told when `told` does not say that it was.
async fn try_out((name, plane): (&PlaneName, Arc<Plane>), job: JobId, told: &mut bool) -> bool {
    match blocking(move || plane.probe(job)).await {
        Ok(Probed { create_only, copies, .. }) => {
            tracing::info!(plane = %name, create_only, copies, "the plane works");
            if !create_only {
                tracing::warn!(
                    plane = %name,
                    "the store ignores create-only writes: the catalogue alone keeps two writers \
                     of one name apart; let nothing but this relay write below the prefix"
                );
            }
            true
        }
        Err(error) => {
            if !*told {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(plane = %name, error, "the plane does not work");
            }
            *told = true;
            false
        }
    }
}

/// An id no job has.
fn random_job() -> JobId {
    use ring::rand::SecureRandom as _;
    let mut id = [0; 16];
    ring::rand::SystemRandom::new()
        .fill(&mut id)
        .expect("the operating system provides random bytes");
    JobId(id)
}
