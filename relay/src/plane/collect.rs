//! Orphans of a file plane: staged parts of jobs that the catalogue does not call live.

use super::PlaneError;
use super::staged::parse_staging_name;
use super::walk::Walk;
use skyspray_link::seam::files::{Cause, FileKind, RelPath, Tree};
use skyspray_wire::ids::{JobId, PartIndex};

/// A staged part that nobody will finish.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Orphan {
    /// Its staging name, from the root of the plane.
    pub path: RelPath,
    /// The job that staged it.
    pub job: JobId,
    /// The part of the job.
    pub part: PartIndex,
    /// Bytes staged.
    pub length: u64,
}

/// What a collection did, or with `dry_run` would have done.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Collected {
    /// Orphans removed.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Orphans that could not be removed; the log says why.
    pub failed: u64,
}

impl Collected {
    pub(super) fn count(&mut self, orphan: &Orphan, removed: bool) {
        if removed {
            self.files += 1;
            self.bytes += orphan.length;
        } else {
            self.failed += 1;
        }
    }
}

/// The next staged part whose job is not live.
pub(super) fn next_orphan(
    tree: &dyn Tree,
    walk: &mut Walk<'_>,
    live: &dyn Fn(JobId) -> bool,
) -> Result<Option<Orphan>, PlaneError> {
    while let Some((path, kind)) = walk.next()? {
        let name = path.file_name().expect("a file is not the root");
        let Some((job, part)) = parse_staging_name(name) else { continue };
        if kind != FileKind::Regular || live(job) {
            continue;
        }
        match tree.metadata(&path) {
            Ok(found) => return Ok(Some(Orphan { path, job, part, length: found.len })),
            Err(error) if error.cause == Cause::Missing => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}
