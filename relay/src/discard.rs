//! Deletes stored files that the catalogue lists as garbage.
//!
//! A claim keeps jobs from the places of such files for a minute and no longer, so whatever takes
//! longer than that comes before the claim.

use crate::catalogue::{CLAIM_MS, Catalogue, CatalogueError, Discard, DiscardReason};
use crate::plane::{Plane, PlaneError, Stat};
use crate::state::{blocking, unix_ms};
use skyspray_link::seam::Clock;
use skyspray_link::seam::files::RelPath;
use skyspray_wire::name::PlaneName;
use std::collections::BTreeMap;
use std::sync::Arc;

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
        let now_ms = unix_ms(clock.now());
        let claimed = catalogue.claim_discards(name, now_ms, PAGE, now_ms).await?;
        if claimed.is_empty() {
            return Ok(total);
        }
        let (gone, counted) = on_plane(plane, move |plane| delete(plane, claimed, &vetted)).await;
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

/// Deletes what may be deleted and says which claims are settled.
fn delete(plane: &Plane, claimed: Vec<Discard>, vetted: &Vetted) -> (Vec<Discard>, Discarded) {
    let mut counted = Discarded::default();
    let mut paths = Vec::new();
    let (mut gone, mut doomed) = (Vec::new(), Vec::new());
    for discard in claimed {
        match judge(plane, &discard, vetted) {
            Ok(Verdict::Delete(path)) => {
                paths.push(path);
                doomed.push(discard);
            }
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
    for (discard, outcome) in doomed.into_iter().zip(plane.remove(&paths)) {
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
    (gone, counted)
}

enum Verdict {
    Delete(RelPath),
    /// It is not there, or is not what was to be deleted.
    Spare,
    /// Not read back yet.
    Later,
}

/// Only what a job put there before it was given up needs a look: its place may never have been
/// taken, or have been somebody else's all along.
fn judge(plane: &Plane, discard: &Discard, vetted: &Vetted) -> Result<Verdict, PlaneError> {
    let path = path(discard)?;
    if discard.reason != DiscardReason::Aborted {
        return Ok(Verdict::Delete(path));
    }
    let stat = match plane.stat(&path) {
        Ok(stat) if stat.length == discard.length => stat,
        Ok(_) | Err(PlaneError::Missing { .. } | PlaneError::Blocked { .. }) => {
            return Ok(Verdict::Spare);
        }
        Err(error) => return Err(error),
    };
    if vetted.get(&discard.path) == Some(&stat) {
        return Ok(Verdict::Delete(path));
    }
    if discard.length > READ_BACK_BYTES_MAX {
        return Ok(Verdict::Later);
    }
    let same = plane.open(&path)?.measure()?.digest == discard.digest;
    Ok(if same { Verdict::Delete(path) } else { Verdict::Spare })
}

fn path(discard: &Discard) -> Result<RelPath, PlaneError> {
    Ok(RelPath::parse(&discard.path)?)
}

/// Discards handled at once: few enough to be deleted well within a claim of a minute.
const PAGE: u32 = 64;

/// Longest file read back under a claim, in bytes; 64 of them take seconds.
const READ_BACK_BYTES_MAX: u64 = 16 << 20;
