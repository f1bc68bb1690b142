//! Where the chunks of one writing job rest: staged parts on a plane, and their progress in the
//! catalogue.

use crate::catalogue::{Catalogue, Progress};
use crate::plane::{PartTarget, Plane, PlaneError, StagedPart, part_path};
use skyspray_dfu::naming::PartPaths;
use skyspray_link::receive::Sink;
use skyspray_link::seam::Clock;
use skyspray_link::seam::files::RelPath;
use skyspray_wire::digest::PartTree;
use skyspray_wire::ids::{Epoch, JobId, PartIndex};
use skyspray_wire::name::LogicalName;
use skyspray_wire::ranges::RangeSet;
use skyspray_wire::refusal::{Refusal, RefusalCode};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Staged parts kept open at once by one job; more are closed after a sync and opened again.
const OPEN_PARTS_MAX: usize = 128;

/// Where the parts of a job go.
#[derive(Debug)]
pub(crate) enum Places {
    /// Parts of a logical file, by rule.
    LogicalFile {
        /// The logical file.
        name: LogicalName,
        /// The rule.
        paths: PartPaths,
        /// Bytes of all parts together, as announced.
        bytes: u64,
    },
    /// Files of a push that are open, one by one.
    Files(BTreeMap<PartIndex, RelPath>),
}

/// A file of a push that is about to be put in its place.
pub(crate) type Taken = (PartTarget, Option<Arc<StagedPart>>);

/// The sink of one writing job.
#[derive(Debug)]
pub(crate) struct PlaneSink {
    job: JobId,
    epoch: Epoch,
    plane: Arc<Plane>,
    catalogue: Catalogue,
    clock: Arc<dyn Clock>,
    /// About how long a part will be: room for it is set aside at once, so that a plane without it
    /// says so early and the file does not grow with every write.
    length_hint: Option<u64>,
    // Shared by the threads that write chunks; opening a part happens under the lock, so that no
    // two of them begin the same one.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    places: Places,
    open: BTreeMap<PartIndex, Arc<StagedPart>>,
    /// Open parts written to since their last sync began.
    dirty: BTreeSet<PartIndex>,
    /// Parts that have a staging file.
    begun: RangeSet,
    recorded_bytes: BTreeMap<PartIndex, u64>,
}

impl PlaneSink {
    /// A job that writes to `plane`. Parts in `begun` have a staging file already.
    pub(crate) fn new(
        (job, epoch): (JobId, Epoch),
        plane: Arc<Plane>,
        catalogue: Catalogue,
        clock: Arc<dyn Clock>,
        places: Places,
    ) -> Self {
        let length_hint = match &places {
            Places::LogicalFile { paths, bytes, .. } => Some(bytes / u64::from(paths.parts.get())),
            Places::Files(_) => None,
        };
        let state = State {
            places,
            open: BTreeMap::new(),
            dirty: BTreeSet::new(),
            begun: RangeSet::default(),
            recorded_bytes: BTreeMap::new(),
        };
        Self { job, epoch, plane, catalogue, clock, length_hint, state: Mutex::new(state) }
    }

    /// The plane written to.
    pub(crate) fn plane(&self) -> &Arc<Plane> {
        &self.plane
    }

    /// Adds a file of a push.
    pub(crate) fn add_file(&self, part: PartIndex, path: RelPath) {
        if let Places::Files(files) = &mut self.lock().places {
            files.insert(part, path);
        }
    }

    /// Takes up a part of which an earlier session made `tree` durable. Returns whether those bytes
    /// are still there: staged or, for a file of a push whose `length` is known, in its place, when
    /// a crash came between the rename and the catalogue. If not, all of the part must be sent
    /// again. Blocks.
    pub(crate) fn resume_part(
        &self,
        part: PartIndex,
        tree: &PartTree,
        length: Option<u64>,
    ) -> Result<bool, PlaneError> {
        let target = self.target(&self.lock(), part)?;
        let bytes = tree.bytes();
        let whole = || length.and_then(|length| tree.root(length));
        let there = match self.plane.resume(&target)? {
            Some(_staged) => true,
            None => whole().is_some_and(|(digest, _)| {
                let found = self.plane.open(target.path()).and_then(|file| file.measure());
                found.is_ok_and(|found| (found.length, found.digest) == (bytes, digest))
            }),
        };
        if !there {
            return Ok(false);
        }
        let mut state = self.lock();
        state.begun.insert(u64::from(part.0), u64::from(part.0) + 1);
        state.recorded_bytes.insert(part, bytes);
        Ok(true)
    }

    /// Whether this is a push, whose files have places of their own.
    pub(crate) fn is_push(&self) -> bool {
        matches!(self.lock().places, Places::Files(_))
    }

    /// Where a file of a push goes, and its open handle if there is one; the sink is done with it.
    /// `None` when it was taken before.
    pub(crate) fn take_file(&self, part: PartIndex) -> Result<Option<Taken>, PlaneError> {
        let mut state = self.lock();
        let Places::Files(files) = &mut state.places else { return Ok(None) };
        let Some(path) = files.remove(&part) else { return Ok(None) };
        state.recorded_bytes.remove(&part);
        state.dirty.remove(&part);
        let target = PartTarget::try_new(self.job, part, path)?;
        Ok(Some((target, state.open.remove(&part))))
    }

    /// Where a part goes.
    pub(crate) fn part_target(&self, part: PartIndex) -> Result<PartTarget, PlaneError> {
        self.target(&self.lock(), part)
    }

    fn target(&self, state: &State, part: PartIndex) -> Result<PartTarget, PlaneError> {
        let path = match &state.places {
            Places::LogicalFile { name, paths, .. } => part_path(paths, name, part)?,
            Places::Files(files) => files.get(&part).cloned().unwrap_or_else(RelPath::root),
        };
        PartTarget::try_new(self.job, part, path)
    }

    fn staged(&self, part: PartIndex) -> Result<Arc<StagedPart>, PlaneError> {
        let mut state = self.lock();
        if let Some(staged) = state.open.get(&part) {
            return Ok(Arc::clone(staged));
        }
        let target = self.target(&state, part)?;
        let staged = if state.begun.contains(u64::from(part.0)) {
            match self.plane.resume(&target)? {
                Some(staged) => staged,
                None => return Err(PlaneError::Lost { path: target.path().clone(), expected: 0 }),
            }
        } else {
            self.plane.begin(&target, self.length_hint)?
        };
        let staged = Arc::new(staged);
        state.begun.insert(u64::from(part.0), u64::from(part.0) + 1);
        state.open.insert(part, Arc::clone(&staged));
        Ok(staged)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for PlaneSink {
    fn write(&self, part: PartIndex, offset: u64, bytes: &[u8]) -> Result<(), Refusal> {
        let staged = self.staged(part).map_err(|error| refused(&error))?;
        let written = staged.write_at(bytes, offset);
        // Before the handle is let go of: a part is closed only when nobody writes to it and
        // nothing was written since its sync began.
        self.lock().dirty.insert(part);
        written.map_err(|error| refused(&error))
    }

    fn sync(&self, parts: &[PartIndex]) -> Result<(), Refusal> {
        let open: Vec<_> = {
            let mut state = self.lock();
            parts.iter().for_each(|part| {
                state.dirty.remove(part);
            });
            parts.iter().filter_map(|part| state.open.get(part).cloned()).collect()
        };
        let staged: Vec<&StagedPart> = open.iter().map(|staged| &**staged).collect();
        for outcome in self.plane.sync(&staged) {
            outcome.map_err(|error| refused(&error))?;
        }
        drop(open);
        let mut state = self.lock();
        let State { open, dirty, .. } = &mut *state;
        if open.len() > OPEN_PARTS_MAX {
            for part in parts.iter().filter(|part| !dirty.contains(part)) {
                if open.get(part).is_some_and(|staged| Arc::strong_count(staged) == 1) {
                    open.remove(part);
                }
            }
        }
        Ok(())
    }

    async fn record(&self, changed: Vec<(PartIndex, PartTree)>) -> Result<(), Refusal> {
        let mut progress = Vec::with_capacity(changed.len());
        {
            let mut state = self.lock();
            for (part, tree) in changed {
                let bytes = tree.bytes();
                let before = state.recorded_bytes.insert(part, bytes).unwrap_or(0);
                progress.push(Progress {
                    job: self.job,
                    epoch: self.epoch,
                    part,
                    tree: encode_tree(&tree),
                    bytes_delta: bytes - before,
                });
            }
        }
        let now_ms = crate::state::unix_ms(self.clock.now());
        let stale = self
            .catalogue
            .record_progress(&progress, now_ms)
            .await
            .map_err(|error| crate::state::internal(&error))?;
        if stale.is_empty() { Ok(()) } else { Err(Refusal::new(RefusalCode::EpochStale, "")) }
    }
}

/// A tree as the catalogue keeps it.
pub(crate) fn encode_tree(tree: &PartTree) -> Vec<u8> {
    postcard::to_stdvec(tree).expect("a tree is plain data")
}

/// A tree from the catalogue; `None` when it is not one, and then the part is sent anew.
pub(crate) fn decode_tree(bytes: &[u8]) -> Option<PartTree> {
    postcard::from_bytes(bytes).ok()
}

fn refused(error: &PlaneError) -> Refusal {
    tracing::warn!(error = error as &dyn std::error::Error, "plane");
    error.refusal()
}
