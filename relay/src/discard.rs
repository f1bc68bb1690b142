//! Deletes stored files that the catalogue lists as garbage.
//!
//! A claim keeps jobs from the places of such files for a minute and no longer. Whatever takes
//! longer comes before the claim, and with half of it gone nothing is deleted any more.

use crate::catalogue::{CLAIM_MS, Catalogue, CatalogueError, Discard, DiscardReason};
use crate::plane::{Plane, PlaneError, Stat};
use crate::state::{blocking, unix_ms};
use skyspray_link::seam::Clock;
use skyspray_link::seam::files::RelPath;
use skyspray_wire::name::PlaneName;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// What became of a plane's discards.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Discarded {
    /// Files deleted.
    pub(crate) files: u64,
    /// Bytes in them.
    pub(crate) bytes: u64,
    /// Files that were gone already, or that somebody else has put there.
    pub(crate) spared: u64,
    /// Files that could not be deleted now; the log says why. They stay on the list.
    pub(crate) failed: u64,
}

/// Deletes the files of `plane` that the catalogue lists as garbage.
///
/// # Errors
///
/// The catalogue failed. A file that cannot be deleted is counted and left on the list.
pub(crate) async fn delete_discards(
    catalogue: &Catalogue,
    (name, plane): (&PlaneName, &Arc<Plane>),
    clock: &dyn Clock,
) -> Result<Discarded, CatalogueError> {
    let mut total = Discarded::default();
    loop {
        // Reading back a long file takes longer than a claim holds, so it comes before the claim.
        let mut waiting = catalogue.discards(name, PAGE).await?;
        let free = unix_ms(clock.now()).saturating_sub(CLAIM_MS);
        waiting.retain(|discard| {
            discard.reason == DiscardReason::Aborted
                && discard.length > READ_BACK_BYTES_MAX
                && discard.claimed_ms.is_none_or(|claimed| claimed <= free)
        });
        let vetted = on_plane(plane, move |plane| vet(plane, &waiting)).await;
        let claim = Claim::begin();
        let now_ms = unix_ms(clock.now());
        let claimed = catalogue.claim_discards(name, now_ms, PAGE, now_ms).await?;
        if claimed.is_empty() {
            return Ok(total);
        }
        let deleted =
            on_plane(plane, move |plane| delete(plane, claimed, &vetted, &|| claim.holds()));
        let (gone, counted) = deleted.await;
        catalogue.discarded(&gone).await?;
        total.files += counted.files;
        total.bytes += counted.bytes;
        total.spared += counted.spared;
        total.failed += counted.failed;
    }
}

async fn on_plane<T: Send + 'static>(
    plane: &Arc<Plane>,
    work: impl FnOnce(&Plane) -> T + Send + 'static,
) -> T {
    let plane = Arc::clone(plane);
    blocking(move || work(&plane)).await
}

/// Files of jobs that were given up whose content was found to be theirs, as they were then.
type Vetted = BTreeMap<String, Stat>;

fn vet(plane: &Plane, waiting: &[Discard]) -> Vetted {
    let is_theirs = |discard: &Discard| -> Result<Option<Stat>, PlaneError> {
        let file = plane.open(&path(discard)?)?;
        let stat = file.stat()?;
        let same = stat.length == discard.length && file.measure()?.digest == discard.digest;
        Ok(same.then_some(stat))
    };
    let theirs = |discard: &Discard| Some((discard.path.clone(), is_theirs(discard).ok()??));
    waiting.iter().filter_map(theirs).collect()
}

/// Since when files are claimed, by a clock that never goes back.
#[derive(Clone, Copy, Debug)]
struct Claim(Instant);

impl Claim {
    /// Begins before the catalogue is asked, so that it is over here before it is over there.
    fn begin() -> Self {
        Self(Instant::now())
    }

    /// Whether at least half of it is left: enough for what was asked of a plane to be done. A process
    /// that was stopped in between finds that it is not.
    fn holds(self) -> bool {
        self.0.elapsed() < CLAIM / 2
    }
}

/// A file about to be deleted, and what was there when it was judged.
struct Doomed {
    discard: Discard,
    path: RelPath,
    found: Option<Stat>,
}

/// Deletes what may be deleted and says which claims are settled. Once `holds` says that the claim
/// does not, nothing is touched: another replica may have claimed the rest, or a job have put
/// something else there.
fn delete(
    plane: &Plane,
    claimed: Vec<Discard>,
    vetted: &Vetted,
    holds: &dyn Fn() -> bool,
) -> (Vec<Discard>, Discarded) {
    let mut counted = Discarded::default();
    let (mut gone, mut doomed) = (Vec::new(), Vec::new());
    for discard in claimed {
        if !holds() {
            counted.failed += 1;
            continue;
        }
        match judge(plane, &discard, vetted) {
            Ok(Verdict::Delete(path, found)) => doomed.push(Doomed { discard, path, found }),
            Ok(Verdict::Spare) => {
                counted.spared += 1;
                gone.push(discard);
            }
            Ok(Verdict::Later) => counted.failed += 1,
            Err(error) => {
                tracing::warn!(path = discard.path, %error, "a discard cannot be judged");
                counted.failed += 1;
            }
        }
    }
    let mut doomed = doomed.into_iter();
    loop {
        let group: Vec<Doomed> = doomed.by_ref().take(AT_ONCE).collect();
        if group.is_empty() {
            return (gone, counted);
        }
        remove(plane, group, holds, (&mut gone, &mut counted));
    }
}

/// Removes a few files that are still what they were when they were judged.
fn remove(
    plane: &Plane,
    group: Vec<Doomed>,
    holds: &dyn Fn() -> bool,
    (gone, counted): (&mut Vec<Discard>, &mut Discarded),
) {
    let same = unchanged(plane, &group);
    let (doomed, changed): (Vec<_>, Vec<_>) =
        group.into_iter().zip(same).partition(|(_, same)| *same);
    for (Doomed { discard, .. }, _) in &changed {
        tracing::warn!(path = discard.path, "a discard changed and is left for later");
        counted.failed += 1;
    }
    // The last thing asked before the plane is.
    if !holds() {
        tracing::warn!(files = doomed.len(), "a claim is over; its discards are left for later");
        counted.failed += doomed.len() as u64;
        return;
    }
    let paths: Vec<RelPath> = doomed.iter().map(|(doomed, _)| doomed.path.clone()).collect();
    for ((Doomed { discard, .. }, _), outcome) in doomed.into_iter().zip(plane.remove(&paths)) {
        match outcome {
            Ok(true) => {
                counted.files += 1;
                counted.bytes += discard.length;
            }
            Ok(false) => counted.spared += 1,
            Err(error) => {
                tracing::warn!(path = discard.path, %error, "a discard cannot be deleted");
                counted.failed += 1;
                continue;
            }
        }
        gone.push(discard);
    }
}

/// Which files are what they were, asked of the plane all at once: for a bucket each is a request.
fn unchanged(plane: &Plane, group: &[Doomed]) -> Vec<bool> {
    let look = |doomed: &Doomed| stat(plane, &doomed.path).is_ok_and(|now| now == doomed.found);
    thread::scope(|scope| {
        let looks: Vec<_> = group.iter().map(|doomed| scope.spawn(move || look(doomed))).collect();
        looks.into_iter().map(|look| look.join().expect("a look does not panic")).collect()
    })
}

/// What is at a place, if anything is.
fn stat(plane: &Plane, path: &RelPath) -> Result<Option<Stat>, PlaneError> {
    match plane.stat(path) {
        Ok(stat) => Ok(Some(stat)),
        Err(PlaneError::Missing { .. } | PlaneError::Blocked { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

enum Verdict {
    /// With what is there; nothing may be, and then its absence is made durable.
    Delete(RelPath, Option<Stat>),
    /// It is not there, or is not what was to be deleted.
    Spare,
    /// Not read back yet.
    Later,
}

/// Only what a job put there before it was given up is read: its place may never have been taken, or
/// have been somebody else's all along.
fn judge(plane: &Plane, discard: &Discard, vetted: &Vetted) -> Result<Verdict, PlaneError> {
    let path = path(discard)?;
    let found = stat(plane, &path)?;
    if discard.reason != DiscardReason::Aborted {
        return Ok(Verdict::Delete(path, found));
    }
    let Some(stat) = found.filter(|stat| stat.length == discard.length) else {
        return Ok(Verdict::Spare);
    };
    if vetted.get(&discard.path) == Some(&stat) {
        return Ok(Verdict::Delete(path, found));
    }
    if discard.length > READ_BACK_BYTES_MAX {
        return Ok(Verdict::Later);
    }
    let same = plane.open(&path)?.measure()?.digest == discard.digest;
    Ok(if same { Verdict::Delete(path, found) } else { Verdict::Spare })
}

fn path(discard: &Discard) -> Result<RelPath, PlaneError> {
    Ok(RelPath::parse(&discard.path)?)
}

/// Discards handled at once: few enough to be deleted well within a claim of a minute.
const PAGE: u32 = 64;

/// Files removed in one step, between two looks at what is left of a claim.
const AT_ONCE: usize = 8;

/// How long a claim holds.
const CLAIM: Duration = Duration::from_millis(CLAIM_MS.unsigned_abs());

/// Longest file read back under a claim, in bytes; 64 of them take seconds.
const READ_BACK_BYTES_MAX: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use skyspray_wire::digest::Digest;
    use std::cell::Cell;

    struct Site {
        root: tempfile::TempDir,
        plane: Plane,
    }

    impl Site {
        /// A plane with files of one byte whose names are numbers below `count`.
        fn new(count: usize) -> (Self, Vec<Discard>) {
            let root = tempfile::tempdir().unwrap();
            let plane = Plane::open_directory(root.path()).unwrap();
            let discard = |n: usize| {
                std::fs::write(root.path().join(n.to_string()), b"x").unwrap();
                Discard {
                    plane: PlaneName::parse("data").unwrap(),
                    path: n.to_string(),
                    since_ms: 0,
                    reason: DiscardReason::Replaced,
                    length: 1,
                    digest: Digest::of(b"x"),
                    claimed_ms: Some(1),
                }
            };
            let discards = (0..count).map(discard).collect();
            (Self { root, plane }, discards)
        }

        fn left(&self) -> usize {
            std::fs::read_dir(self.root.path()).unwrap().count()
        }
    }

    #[test]
    fn a_claim_that_holds_deletes_all_and_settles_what_is_gone_already() {
        let (site, discards) = Site::new(20);
        std::fs::remove_file(site.root.path().join("3")).unwrap();

        let (gone, counted) = delete(&site.plane, discards, &Vetted::new(), &|| true);

        assert_eq!(counted, Discarded { files: 19, bytes: 19, spared: 1, failed: 0 });
        assert_eq!((gone.len(), site.left()), (20, 0));
    }

    /// The process was stopped after files were judged and went on when the claim was over.
    #[test]
    fn once_the_claim_is_over_no_file_is_touched_and_none_is_settled() {
        let (site, discards) = Site::new(20);
        // All are judged, one group is removed.
        let asked = Cell::new(0);
        let holds = || {
            asked.set(asked.get() + 1);
            asked.get() <= 20 + 1
        };

        let (gone, counted) = delete(&site.plane, discards, &Vetted::new(), &holds);

        let removed = AT_ONCE as u64;
        let expected =
            Discarded { files: removed, bytes: removed, spared: 0, failed: 20 - removed };
        assert_eq!(counted, expected);
        assert_eq!((gone.len(), site.left()), (AT_ONCE, 20 - AT_ONCE));
    }

    /// Another job has put its part there after this process looked.
    #[test]
    fn a_file_that_changed_after_it_was_judged_is_left_alone() {
        let (site, discards) = Site::new(2);
        let asked = Cell::new(0);
        let holds = || {
            asked.set(asked.get() + 1);
            if asked.get() == 2 {
                std::fs::write(site.root.path().join("0"), b"newer").unwrap();
            }
            true
        };

        let (gone, counted) = delete(&site.plane, discards, &Vetted::new(), &holds);

        assert_eq!(counted, Discarded { files: 1, bytes: 1, spared: 0, failed: 1 });
        assert_eq!(gone.len(), 1);
        assert_eq!(std::fs::read(site.root.path().join("0")).unwrap(), b"newer");
    }

    #[test]
    fn half_of_a_claim_is_the_last_moment_at_which_it_holds() {
        let ago = |part: u32| Claim(Instant::now().checked_sub(CLAIM * part / 100).unwrap());

        assert!(Claim::begin().holds());
        assert!(ago(40).holds());
        assert!(!ago(50).holds());
        assert!(!ago(120).holds());
    }
}
