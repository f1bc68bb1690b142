//! One commit of a plane at a time, over all processes that use one catalogue: `serve` on every
//! replica, and the commands that write.
//!
//! Where the catalogue is a file, all of them are on its host and lock a file beside it. Where it is
//! on a server, they take turns by a lease in it.

use crate::catalogue::{Catalogue, CatalogueError, Holder};
use crate::config::RelayDir;
use crate::state::blocking;
use ring::rand::{SecureRandom as _, SystemRandom};
use skyspray_wire::name::PlaneName;
use skyspray_wire::refusal::{Refusal, RefusalCode};
use std::fs::{File, OpenOptions};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// How long a lease holds without being renewed.
const LEASE_MS: i64 = 15_000;

/// How often a lease is renewed while its holder places parts.
const RENEWAL: Duration = Duration::from_secs(5);

/// The first wait between two looks at a lease another holds; each is twice the one before.
const FIRST_WAIT: Duration = Duration::from_millis(20);

/// The longest wait between two looks.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// How long a lease of another is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Lets parts take their places on one plane.
#[derive(Debug)]
pub(crate) struct Placing {
    plane: PlaneName,
    between: Between,
    // Within a process a lock of a file keeps nobody out who has the same file open, and waiting here
    // asks the catalogue nothing.
    inside: Arc<Mutex<()>>,
}

/// What keeps processes apart.
#[derive(Debug)]
enum Between {
    /// A file that is locked.
    File(PathBuf),
    /// A lease in the catalogue.
    Lease(Catalogue),
}

/// The right to place parts, until it is dropped.
#[derive(Debug)]
pub(crate) struct Placed {
    _right: Right,
}

#[derive(Debug)]
enum Right {
    /// Closing the file gives the lock up, also when the process is killed.
    File { _inside: OwnedMutexGuard<()>, _file: File },
    /// Runs out by itself when the process is killed.
    Lease { _lease: Lease },
}

/// Why parts cannot be placed at this moment.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PlacingError {
    /// The file that is locked cannot be used.
    #[error("cannot {action} {}", path.display())]
    File {
        /// The verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The lease cannot be asked for.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// Others have placed parts all the time.
    #[error("another replica has placed parts on plane {plane} for {seconds} s")]
    Taken {
        /// The plane.
        plane: PlaneName,
        /// For how long it was waited.
        seconds: u64,
    },
}

impl PlacingError {
    /// What a peer is told.
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::File { .. } => Refusal::new(RefusalCode::Internal, ""),
            Self::Catalogue(error) => error.refusal(),
            Self::Taken { .. } => Refusal::new(RefusalCode::Busy, "commit"),
        }
    }
}

impl Placing {
    /// Of a plane of the relay in `dir`, between the processes that share `catalogue`; nothing is
    /// locked.
    pub(crate) fn new(dir: &RelayDir, catalogue: &Catalogue, plane: &PlaneName) -> Self {
        let between = if catalogue.is_shared() {
            Between::Lease(catalogue.clone())
        } else {
            Between::File(dir.state().join(format!("placing-{plane}.lock")))
        };
        Self { plane: plane.clone(), between, inside: Arc::default() }
    }

    /// Waits until nobody else places parts.
    ///
    /// # Errors
    ///
    /// The lock or lease cannot be taken, or not within [`PATIENCE`].
    pub(crate) async fn lock(&self) -> Result<Placed, PlacingError> {
        let inside = Arc::clone(&self.inside).lock_owned().await;
        let right = match &self.between {
            Between::File(path) => {
                let path = path.clone();
                let file = blocking(move || lock_file(path)).await?;
                Right::File { _inside: inside, _file: file }
            }
            Between::Lease(catalogue) => {
                Right::Lease { _lease: Lease::take(catalogue, &self.plane, inside).await? }
            }
        };
        Ok(Placed { _right: right })
    }
}

/// Waits for the lock. Blocks.
fn lock_file(path: PathBuf) -> Result<File, PlacingError> {
    let failed = |action| {
        let path = path.clone();
        move |source| PlacingError::File { action, path, source }
    };
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    let file = options.open(&path).map_err(failed("open"))?;
    file.lock().map_err(failed("lock"))?;
    Ok(file)
}

/// A lease that is kept until it is dropped.
#[derive(Debug)]
struct Lease {
    catalogue: Catalogue,
    plane: PlaneName,
    holder: Holder,
    renewing: JoinHandle<()>,
    /// Given up only when the catalogue knows that the lease is.
    inside: Option<OwnedMutexGuard<()>>,
}

impl Lease {
    async fn take(
        catalogue: &Catalogue,
        plane: &PlaneName,
        inside: OwnedMutexGuard<()>,
    ) -> Result<Self, PlacingError> {
        let mut holder: Holder = [0; 16];
        SystemRandom::new().fill(&mut holder).expect("the system provides random bytes");
        let (began, mut wait) = (Instant::now(), FIRST_WAIT);
        while !catalogue.take_placing(plane, &holder, LEASE_MS).await? {
            if began.elapsed() >= PATIENCE {
                let seconds = began.elapsed().as_secs();
                return Err(PlacingError::Taken { plane: plane.clone(), seconds });
            }
            sleep(wait).await;
            wait = LAST_WAIT.min(wait * 2);
        }
        let renewing = tokio::spawn(renew(catalogue.clone(), plane.clone(), holder));
        let (catalogue, plane, inside) = (catalogue.clone(), plane.clone(), Some(inside));
        Ok(Self { catalogue, plane, holder, renewing, inside })
    }
}

/// Keeps a lease. Losing it costs courtesy only, so it is told and the commit goes on.
async fn renew(catalogue: Catalogue, plane: PlaneName, holder: Holder) {
    loop {
        sleep(RENEWAL).await;
        match catalogue.take_placing(&plane, &holder, LEASE_MS).await {
            Ok(true) => {}
            Ok(false) => tracing::warn!(%plane, "another replica places parts as well"),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(%plane, error, "the right to place parts is not renewed");
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewing.abort();
        let (catalogue, plane, holder) = (self.catalogue.clone(), self.plane.clone(), self.holder);
        let inside = self.inside.take();
        let release = async move {
            if let Err(error) = catalogue.release_placing(&plane, &holder).await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(%plane, error, "the right to place parts runs out by itself");
            }
            drop(inside);
        };
        // Without a runtime the lease runs out by itself.
        if let Ok(runtime) = Handle::try_current() {
            drop(runtime.spawn(release));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Place;
    use crate::catalogue::tests::{Engine, Site};
    use tokio::time::timeout;

    /// Two processes that share a catalogue, and nothing else.
    async fn two_processes(site: &Site) -> [(RelayDir, Catalogue); 2] {
        let dirs = match site.place {
            // On one host, where they share the directory as well.
            Place::File(_) => ["relay", "relay"],
            Place::Postgres { .. } => ["one", "two"],
        };
        let mut processes = Vec::new();
        for dir in dirs {
            let dir = RelayDir::new(site.directory.path().join(dir));
            std::fs::create_dir_all(dir.state()).unwrap();
            processes.push((dir, Catalogue::create(&site.place).await.unwrap()));
        }
        processes.try_into().unwrap_or_else(|_| panic!("there are two"))
    }

    async fn a_second_process_waits(engine: Engine) {
        let site = Site::new(engine);
        let [one, two] = two_processes(&site).await;
        let plane = PlaneName::parse("data").unwrap();
        let (first, second) =
            (Placing::new(&one.0, &one.1, &plane), Placing::new(&two.0, &two.1, &plane));
        let other = Placing::new(&one.0, &one.1, &PlaneName::parse("lake").unwrap());

        let placed = first.lock().await.unwrap();
        drop(other.lock().await.unwrap());
        let mut waiting = Box::pin(second.lock());
        let early = timeout(Duration::from_millis(200), &mut waiting).await;
        assert!(early.is_err(), "both have the lock");
        drop(placed);
        let after = timeout(Duration::from_secs(30), waiting).await;
        after.expect("the lock was given up").unwrap();
    }

    #[tokio::test]
    async fn a_second_process_waits_until_the_first_has_placed_its_parts() {
        a_second_process_waits(Engine::Sqlite).await;
    }

    #[tokio::test]
    async fn a_second_replica_waits_until_the_first_has_placed_its_parts() {
        a_second_process_waits(Engine::Postgres).await;
    }

    #[tokio::test]
    async fn commits_of_one_process_follow_each_other_by_lease() {
        let site = Site::new(Engine::Postgres);
        let [one, _] = two_processes(&site).await;
        let placing = Placing::new(&one.0, &one.1, &PlaneName::parse("data").unwrap());

        let began = Instant::now();
        for _ in 0..20 {
            drop(placing.lock().await.unwrap());
        }

        assert!(began.elapsed() < Duration::from_secs(10), "each waited for the one before");
    }

    #[tokio::test]
    async fn a_lock_that_cannot_be_made_is_told_with_its_path() {
        let site = Site::new(Engine::Sqlite);
        let catalogue = Catalogue::create(&site.place).await.unwrap();
        let root = site.directory.path();
        let plane = PlaneName::parse("data").unwrap();
        let placing = Placing::new(&RelayDir::new(root), &catalogue, &plane);

        let error = placing.lock().await.unwrap_err();

        let path = root.join("state/placing-data.lock");
        assert_eq!(error.to_string(), format!("cannot open {}", path.display()));
    }
}
