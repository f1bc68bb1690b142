//! Commits of jobs that are given up while their parts are placed, by whoever took a stopped commit
//! for dead.

use super::*;
use crate::catalogue::{JobKey, JobRecord};
use crate::commit::{CommitError, Commitment, Committer};
use crate::config::RelaySettings;
use skyspray_link::seam::Clock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

/// A clock that has a job given up when it is asked for the time once more: this is where a commit
/// was stopped.
#[derive(Debug)]
struct Stop {
    before: u32,
    asked: AtomicU32,
    place: crate::catalogue::Place,
}

impl Clock for Stop {
    fn now(&self) -> SystemTime {
        if self.asked.fetch_add(1, Ordering::Relaxed) == self.before {
            let place = self.place.clone();
            // Another process, as it were.
            std::thread::spawn(move || give_up(&place)).join().unwrap();
        }
        host().clock.now()
    }
}

/// Gives the job up and works off what is to be discarded, as if none of it were there.
fn give_up(place: &crate::catalogue::Place) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let catalogue = Catalogue::open(place).await.unwrap();
        catalogue.abort_sealed(job(1), None, &Actor::Operator, NOW_MS).await.unwrap();
        let claimed = catalogue.claim_discards(&plane_name(), NOW_MS, 9, NOW_MS).await.unwrap();
        assert_eq!(claimed.len(), 2);
        catalogue.discarded(&claimed).await.unwrap();
    });
}

/// Commits a sealed job that is given up right before the time is asked for so often.
async fn commit_stopped(stored: &Stored, before: u32) -> CommitError {
    let epoch = stored.sealed(job(1), "acme::orders", &[b"one", b"two"]).await;
    let dir = stored.site.dir();
    let settings = RelaySettings::load(&dir.config_file(), &Default::default()).unwrap();
    let identity = load_identity(&dir, &settings, host().clock.now()).unwrap();
    let place = crate::catalogue::Place::File(dir.catalogue());
    let committer = Committer {
        catalogue: stored.catalogue.clone(),
        clock: Arc::new(Stop { before, asked: AtomicU32::new(0), place }),
        identity: Arc::new(identity),
        plane: Arc::clone(&stored.plane),
        plane_name: plane_name(),
        placing: Arc::new(Placing::new(&dir, &stored.catalogue, &plane_name())),
        sources: crate::housekeeping::Planes::default(),
    };
    let record: JobRecord =
        stored.catalogue.job(&JobKey::Id(job(1))).await.unwrap().expect("it is known");
    committer.finish(Commitment::of_record(&record, epoch)).await.unwrap_err()
}

#[tokio::test]
async fn no_part_of_a_job_that_was_given_up_takes_its_place() {
    let stored = Stored::new().await;

    let error = commit_stopped(&stored, 0).await;

    assert_eq!(error.to_string(), format!("job {} was aborted", job(1)));
    assert!(!stored.stored_path("acme/1/orders._1_of_2").exists());
    assert!(!stored.stored_path("acme/2/orders._2_of_2").exists());
}

#[tokio::test]
async fn parts_that_took_their_places_after_their_job_was_given_up_are_discarded() {
    let stored = Stored::new().await;

    let error = commit_stopped(&stored, 1).await;

    assert_eq!(error.to_string(), format!("job {} was aborted", job(1)));
    assert!(stored.stored_path("acme/2/orders._2_of_2").exists());
    let plane = (&plane_name(), &stored.plane);
    let discarded = delete_discards(&stored.catalogue, plane, &*host().clock).await.unwrap();
    assert_eq!(discarded, Discarded { files: 2, bytes: 6, spared: 0, failed: 0 });
    stored.spray(job(2), "acme::orders", &[b"one", b"two"]).await;
}
