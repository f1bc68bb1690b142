//! One commit of a plane at a time, over all processes that use one relay's directory: `serve` and
//! the commands that write.

use crate::config::RelayDir;
use crate::state::blocking;
use skyspray_wire::name::PlaneName;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::PathBuf;
use thiserror::Error;
use tokio::sync::{Mutex, MutexGuard};

/// Lets parts take their places on one plane.
#[derive(Debug)]
pub(crate) struct Placing {
    path: PathBuf,
    // Within a process a lock of a file keeps nobody out who has the same file open.
    inside: Mutex<()>,
}

/// The right to place parts, until it is dropped.
#[derive(Debug)]
pub(crate) struct Placed<'a> {
    _inside: MutexGuard<'a, ()>,
    // Closing the file gives the lock up, also when the process is killed.
    _file: File,
}

/// The lock of a plane cannot be used.
#[derive(Debug, Error)]
#[error("cannot {action} {}", path.display())]
pub struct PlacingError {
    /// The verb.
    pub action: &'static str,
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl Placing {
    /// Of a plane of the relay in `dir`; nothing is locked.
    pub(crate) fn new(dir: &RelayDir, plane: &PlaneName) -> Self {
        let path = dir.state().join(format!("placing-{plane}.lock"));
        Self { path, inside: Mutex::default() }
    }

    /// Waits until nobody else places parts.
    ///
    /// # Errors
    ///
    /// The file of the lock cannot be made or locked.
    pub(crate) async fn lock(&self) -> Result<Placed<'_>, PlacingError> {
        let inside = self.inside.lock().await;
        let path = self.path.clone();
        let file = blocking(move || {
            let failed = |action| {
                let path = path.clone();
                move |source| PlacingError { action, path, source }
            };
            let mut options = OpenOptions::new();
            options.create(true).truncate(false).write(true);
            let file = options.open(&path).map_err(failed("open"))?;
            file.lock().map_err(failed("lock"))?;
            Ok(file)
        });
        Ok(Placed { _inside: inside, _file: file.await? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    #[tokio::test]
    async fn a_second_process_waits_until_the_first_has_placed_its_parts() {
        let root = tempfile::tempdir().unwrap();
        let dir = RelayDir::new(root.path());
        std::fs::create_dir(dir.state()).unwrap();
        let plane = PlaneName::parse("data").unwrap();
        // Two of them share nothing but the file, as two processes do.
        let (first, second) = (Placing::new(&dir, &plane), Placing::new(&dir, &plane));
        let other = Placing::new(&dir, &PlaneName::parse("lake").unwrap());

        let placed = first.lock().await.unwrap();
        drop(other.lock().await.unwrap());
        let mut waiting = Box::pin(second.lock());
        let early = timeout(Duration::from_millis(50), &mut waiting).await;
        assert!(early.is_err(), "both have the lock");
        drop(placed);
        let after = timeout(Duration::from_secs(30), waiting).await;
        after.expect("the lock was given up").unwrap();
    }

    #[tokio::test]
    async fn a_lock_that_cannot_be_made_is_told_with_its_path() {
        let root = tempfile::tempdir().unwrap();
        let placing = Placing::new(&RelayDir::new(root.path()), &PlaneName::parse("data").unwrap());

        let error = placing.lock().await.unwrap_err();

        let path = root.path().join("state/placing-data.lock");
        assert_eq!(error.to_string(), format!("cannot open {}", path.display()));
    }
}
