//! Where the chunks of one writing job rest: staged parts on a plane, and their progress in the
//! catalogue.

use crate::catalogue::{CatalogueError, Progress};
use crate::plane::{PartTarget, PieceId, Plane, PlaneError, StagedPart, part_path};
use crate::staging::{Staging, StagingError};
use crate::state::{internal, unix_ms};
use skyspray_dfu::naming::PartPaths;
use skyspray_link::receive::Sink;
use skyspray_link::seam::files::{PooledBuf, RelPath};
use skyspray_wire::digest::PartTree;
use skyspray_wire::ids::{ChunkSize, Epoch, JobId, PartIndex};
use skyspray_wire::name::LogicalName;
use skyspray_wire::ranges::RangeSet;
use skyspray_wire::refusal::{Refusal, RefusalCode};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Staged parts kept open at once by one job; more are closed after a sync and opened again.
const OPEN_PARTS_MAX: usize = 128;

/// How long progress waits for a catalogue that is away before the job ends in this session.
const PATIENCE: Duration = Duration::from_secs(45);

/// The first wait between two attempts to record progress; each is twice the one before.
const FIRST_WAIT: Duration = Duration::from_millis(50);

/// The longest wait between two attempts.
const LAST_WAIT: Duration = Duration::from_secs(1);

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
    Files(BTreeMap<PartIndex, Place>),
}

/// Where a file of a push goes.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// From the root of the plane.
    pub(crate) path: RelPath,
    /// How long the file will be.
    pub(crate) length: Option<u64>,
}

/// A file of a push that is about to be put in its place.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) target: PartTarget,
    /// Its open handle, if there is one.
    pub(crate) staged: Option<Arc<StagedPart>>,
    /// Whether it was settled, and its handle let go of.
    pub(crate) settled: bool,
}

/// The sink of one writing job.
#[derive(Debug)]
pub(crate) struct PlaneSink {
    staging: Staging,
    chunk_size: ChunkSize,
    /// About how long a part will be: room for it is set aside at once, so that a plane without it
    /// says so early and the file does not grow with every write.
    length_hint: Option<u64>,
    // Shared by the threads that write chunks, for bookkeeping.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    places: Places,
    open: BTreeMap<PartIndex, Arc<Slot>>,
    /// Open parts written to since their last sync began.
    dirty: BTreeSet<PartIndex>,
    /// Parts that are whole and durable but for their name, and not open.
    settled: BTreeSet<PartIndex>,
    /// Parts that have a staging file.
    begun: RangeSet,
    recorded_bytes: BTreeMap<PartIndex, u64>,
    /// All that is durable of the job: `recorded_bytes` and what the sink is done with.
    job_bytes: u64,
    /// Pieces stored, of parts synced and not yet recorded.
    pieces: BTreeMap<PartIndex, Vec<(u32, PieceId)>>,
}

impl State {
    /// Takes note of how much of a part is durable.
    fn record_bytes(&mut self, part: PartIndex, bytes: u64) {
        let before = self.recorded_bytes.insert(part, bytes).unwrap_or(0);
        self.job_bytes = (self.job_bytes - before).saturating_add(bytes);
    }
}

/// One part being written. It is opened under a lock of its own, so that no two threads begin the
/// same part and none waits for another part to be begun.
#[derive(Debug, Default)]
struct Slot(Mutex<Option<Arc<StagedPart>>>);

impl Slot {
    fn staged(&self) -> Option<Arc<StagedPart>> {
        lock(&self.0).clone()
    }

    /// Whether nobody writes, and nothing written is still to be recorded.
    fn is_idle(slot: &Arc<Self>) -> bool {
        // Whoever holds the lock is about to write.
        let Ok(open) = slot.0.try_lock() else { return false };
        Arc::strong_count(slot) == 1
            && open.as_ref().is_some_and(|staged| Arc::strong_count(staged) == 1)
    }
}

impl PlaneSink {
    /// A job that writes chunks of `chunk_size` through `staging`.
    pub(crate) fn new(staging: Staging, chunk_size: ChunkSize, places: Places) -> Self {
        let length_hint = match &places {
            Places::LogicalFile { paths, bytes, .. } => Some(bytes / u64::from(paths.parts.get())),
            Places::Files(_) => None,
        };
        let state = State {
            places,
            open: BTreeMap::new(),
            dirty: BTreeSet::new(),
            settled: BTreeSet::new(),
            begun: RangeSet::default(),
            recorded_bytes: BTreeMap::new(),
            job_bytes: 0,
            pieces: BTreeMap::new(),
        };
        Self { staging, chunk_size, length_hint, state: Mutex::new(state) }
    }

    /// The plane written to.
    pub(crate) fn plane(&self) -> &Arc<Plane> {
        &self.staging.plane
    }

    /// The longest part that chunks of this job's size can make, in bytes.
    pub(crate) fn part_bytes_max(&self) -> u64 {
        self.plane().part_bytes_max(self.chunk_size)
    }

    /// What the parts of the job go through.
    pub(crate) fn staging(&self) -> &Staging {
        &self.staging
    }

    /// Adds a file of a push.
    pub(crate) fn add_file(&self, part: PartIndex, place: Place) {
        if let Places::Files(files) = &mut self.lock().places {
            files.insert(part, place);
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
    ) -> Result<bool, StagingError> {
        let target = self.target(&self.lock(), part)?;
        let bytes = tree.bytes();
        let whole = || length.and_then(|length| tree.root(length));
        let there = match self.staging.resume(&target)? {
            Some(_staged) => true,
            None => whole().is_some_and(|(digest, _)| {
                let found = self.plane().open(target.path()).and_then(|file| file.measure());
                found.is_ok_and(|found| (found.length, found.digest) == (bytes, digest))
            }),
        };
        if !there {
            return Ok(false);
        }
        let mut state = self.lock();
        state.begun.insert(u64::from(part.0), u64::from(part.0) + 1);
        state.record_bytes(part, bytes);
        Ok(true)
    }

    /// Takes note of a part that an earlier session has brought to its end.
    pub(crate) fn count_complete(&self, part: PartIndex, length: u64) {
        // Nothing more is recorded of it, so it needs no place of its own.
        let mut state = self.lock();
        let before = state.recorded_bytes.remove(&part).unwrap_or(0);
        state.job_bytes = (state.job_bytes - before).saturating_add(length);
    }

    /// Whether this is a push, whose files have places of their own.
    pub(crate) fn is_push(&self) -> bool {
        matches!(self.lock().places, Places::Files(_))
    }

    /// A file of a push; the sink is done with it. `None` when it was taken before.
    pub(crate) fn take_file(&self, part: PartIndex) -> Result<Option<Taken>, PlaneError> {
        let (place, slot, settled) = {
            let mut state = self.lock();
            let Places::Files(files) = &mut state.places else { return Ok(None) };
            let Some(place) = files.remove(&part) else { return Ok(None) };
            state.recorded_bytes.remove(&part);
            state.dirty.remove(&part);
            state.pieces.remove(&part);
            (place, state.open.remove(&part), state.settled.remove(&part))
        };
        let target = self.staging.target(part, place.path)?;
        let staged = slot.and_then(|slot| slot.staged());
        Ok(Some(Taken { target, staged, settled }))
    }

    /// Where a part goes.
    pub(crate) fn part_target(&self, part: PartIndex) -> Result<PartTarget, PlaneError> {
        self.target(&self.lock(), part)
    }

    fn target(&self, state: &State, part: PartIndex) -> Result<PartTarget, PlaneError> {
        let path = match &state.places {
            Places::LogicalFile { name, paths, .. } => part_path(paths, name, part)?,
            Places::Files(files) => {
                files.get(&part).map_or_else(RelPath::root, |place| place.path.clone())
            }
        };
        self.staging.target(part, path)
    }

    fn staged(&self, part: PartIndex) -> Result<Arc<StagedPart>, StagingError> {
        let (slot, target, begun, length) = {
            let mut state = self.lock();
            let target = self.target(&state, part)?;
            let begun = state.begun.contains(u64::from(part.0));
            let length = match &state.places {
                Places::LogicalFile { .. } => self.length_hint,
                Places::Files(files) => files.get(&part).and_then(|place| place.length),
            };
            state.settled.remove(&part);
            (Arc::clone(state.open.entry(part).or_default()), target, begun, length)
        };
        let mut open = lock(&slot.0);
        if let Some(staged) = &*open {
            return Ok(Arc::clone(staged));
        }
        // Whoever had the lock before may have begun the part and failed to open it since.
        let begun = begun || self.lock().begun.contains(u64::from(part.0));
        let staged = if begun {
            let lost = || PlaneError::Lost { path: target.path().clone(), expected: 0 };
            self.staging.resume(&target)?.ok_or_else(lost)?
        } else {
            self.staging.begin(&target, length)?
        };
        self.lock().begun.insert(u64::from(part.0), u64::from(part.0) + 1);
        Ok(Arc::clone(open.insert(Arc::new(staged))))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sink for PlaneSink {
    fn write_chunk(&self, part: PartIndex, offset: u64, bytes: PooledBuf) -> Result<(), Refusal> {
        let staged = self.staged(part).map_err(|error| not_staged(&error))?;
        let chunk = self.chunk_size.index_of(offset);
        let written = staged.write_chunk(self.chunk_size, chunk, bytes);
        // Before the handle is let go of: a part is closed only when nobody writes to it and
        // nothing was written since its sync began.
        self.lock().dirty.insert(part);
        if let Err(PlaneError::Abandoned { .. }) = &written
            && self.plane().has_uploads()
            && let Err(error) = self.staging.lost(part)
        {
            tracing::warn!(error = &error as &dyn std::error::Error, "a lost upload is not noted");
        }
        written.map_err(|error| refused(&error))
    }

    fn sync(&self, parts: &[PartIndex]) -> Result<(), Refusal> {
        let open: Vec<_> = {
            let mut state = self.lock();
            parts.iter().for_each(|part| {
                state.dirty.remove(part);
            });
            let slot = |&part: &PartIndex| Some((part, Arc::clone(state.open.get(&part)?)));
            parts.iter().filter_map(slot).collect()
        };
        // Whoever opens a part takes its own lock first, then the one on the state.
        let open: Vec<_> =
            open.into_iter().filter_map(|(part, slot)| Some((part, slot.staged()?))).collect();
        let staged: Vec<&StagedPart> = open.iter().map(|(_, staged)| &**staged).collect();
        for outcome in self.plane().sync(&staged) {
            outcome.map_err(|error| refused(&error))?;
        }
        let mut state = self.lock();
        let State { open: slots, dirty, settled, pieces, .. } = &mut *state;
        let mut whole = Vec::new();
        for (part, staged) in open {
            let new = staged.take_pieces();
            if !new.is_empty() {
                pieces.entry(part).or_default().extend(new);
            }
            if staged.is_settled() && !dirty.contains(&part) {
                whole.push(part);
            }
        }
        let open = slots;
        for part in whole {
            if open.get(&part).is_some_and(Slot::is_idle) {
                open.remove(&part);
                settled.insert(part);
            }
        }
        if open.len() > OPEN_PARTS_MAX {
            for part in parts.iter().filter(|part| !dirty.contains(part)) {
                if open.get(part).is_some_and(Slot::is_idle) {
                    open.remove(part);
                }
            }
        }
        Ok(())
    }

    async fn record(&self, changed: Vec<(PartIndex, PartTree)>) -> Result<(), Refusal> {
        let progress: Vec<Progress> = {
            let mut state = self.lock();
            changed.iter().for_each(|(part, tree)| state.record_bytes(*part, tree.bytes()));
            let job_bytes = state.job_bytes;
            let (job, epoch) = (self.staging.job, self.staging.epoch);
            let progress = |(part, tree): (PartIndex, PartTree)| {
                let tree = encode_tree(&tree);
                let pieces = state.pieces.remove(&part).unwrap_or_default();
                Progress { job, epoch, part, tree, job_bytes, pieces }
            };
            changed.into_iter().map(progress).collect()
        };
        let stale = self.record_with_patience(&progress).await.map_err(|error| internal(&error))?;
        if stale.is_empty() { Ok(()) } else { Err(Refusal::new(RefusalCode::EpochStale, "")) }
    }
}

impl PlaneSink {
    /// Records progress, again and again while the catalogue is away: what is written stays, nothing
    /// is acknowledged, and the edge's window holds it back. Whether an attempt that failed had
    /// counted does not matter, because the same progress says the same twice.
    async fn record_with_patience(
        &self,
        progress: &[Progress],
    ) -> Result<Vec<(JobId, Epoch)>, CatalogueError> {
        let until = Instant::now() + PATIENCE;
        let mut wait = FIRST_WAIT;
        loop {
            let now_ms = unix_ms(self.staging.clock.now());
            let error = match self.staging.catalogue.record_progress(progress, now_ms).await {
                Err(error) if error.is_passing() => error,
                outcome => return outcome,
            };
            if Instant::now() + wait > until {
                return Err(error);
            }
            {
                let (job, error) = (self.staging.job, &error as &dyn std::error::Error);
                tracing::warn!(%job, error, "progress is not recorded yet");
            }
            sleep(wait).await;
            wait = LAST_WAIT.min(wait * 2);
        }
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

fn not_staged(error: &StagingError) -> Refusal {
    tracing::warn!(error = error as &dyn std::error::Error, "plane");
    error.refusal()
}

fn refused(error: &PlaneError) -> Refusal {
    tracing::warn!(error = error as &dyn std::error::Error, "plane");
    error.refusal()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::tests::{Engine, Site};
    use crate::catalogue::{Catalogue, JobKey, NewJob, Opening, PartLayout};
    use skyspray_link::seam::SystemClock;
    use skyspray_link::seam::files::BufferPool;
    use skyspray_tests::server::postgres::Postgres;
    use skyspray_wire::digest::{ChunkValue, Digest};
    use skyspray_wire::ids::{ChunkIndex, ChunkSize};
    use skyspray_wire::message::WriteTarget;
    use skyspray_wire::name::{AgentName, PlaneName};
    use tokio::time::timeout;

    fn spray() -> NewJob {
        NewJob {
            job: JobId([1; 16]),
            agent: AgentName::parse("edge-1").unwrap(),
            target: WriteTarget::LogicalFile {
                plane: PlaneName::parse("data").unwrap(),
                name: LogicalName::parse("a::x").unwrap(),
                parts: 2,
            },
            overwrite: false,
            bytes: 300,
            plan: Digest([7; 32]),
            attributes: Vec::new(),
            parts: 2,
            chunk_size: ChunkSize::FILE_PLANE,
            layout: PartLayout { dir_per_part: true, devices: 1, lfn_hash: 5, kept: None },
        }
    }

    fn tree(bytes: &[u8]) -> PartTree {
        let mut tree = PartTree::new(ChunkSize::FILE_PLANE);
        let value = ChunkValue::of(ChunkSize::FILE_PLANE, ChunkIndex(0), bytes);
        tree.insert(ChunkIndex(0), &value).unwrap();
        tree
    }

    /// A sink of a push whose job no catalogue knows.
    fn sink(plane: &tempfile::TempDir, catalogue: Catalogue) -> PlaneSink {
        let staging = Staging {
            plane_name: PlaneName::parse("data").unwrap(),
            plane: Arc::new(Plane::open_directory(plane.path()).unwrap()),
            catalogue,
            clock: Arc::new(SystemClock),
            job: spray().job,
            epoch: Epoch(1),
        };
        PlaneSink::new(staging, ChunkSize::FILE_PLANE, Places::Files(BTreeMap::new()))
    }

    #[tokio::test]
    async fn progress_waits_for_a_catalogue_that_is_away_and_is_then_recorded_once() {
        let mut server = Postgres::start().unwrap_or_else(|error| panic!("{error}"));
        let directory = tempfile::tempdir().unwrap();
        let place = Site::on_server(&server, &directory);
        let catalogue = Catalogue::create(&place).await.unwrap();
        let Opening::Granted(opened) = catalogue.open_write(&spray(), 1).await.unwrap() else {
            panic!("the job is new");
        };
        let staging = Staging {
            plane_name: PlaneName::parse("data").unwrap(),
            plane: Arc::new(Plane::open_directory(directory.path()).unwrap()),
            catalogue: catalogue.clone(),
            clock: Arc::new(SystemClock),
            job: spray().job,
            epoch: opened.epoch,
        };
        let places = Places::Files(BTreeMap::new());
        let sink = PlaneSink::new(staging, ChunkSize::FILE_PLANE, places);
        sink.record(vec![(PartIndex(0), tree(b"abc"))]).await.unwrap();
        server.stop_immediate().unwrap();

        let changed = vec![(PartIndex(0), tree(b"abcd")), (PartIndex(1), tree(b"xyz"))];
        let mut recording = Box::pin(sink.record(changed));
        let early = timeout(Duration::from_millis(500), &mut recording).await;
        assert!(early.is_err(), "nothing is recorded and nothing given up");
        server.restart().unwrap();

        timeout(Duration::from_secs(40), recording).await.unwrap().unwrap();
        let job = catalogue.job(&JobKey::Id(spray().job)).await.unwrap().unwrap();
        assert_eq!(job.bytes_durable, 7);
        assert_eq!(catalogue.job_parts(job.job, None, 9).await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn files_that_are_whole_and_durable_need_no_handle_any_more() {
        const FILES: u32 = 2 * OPEN_PARTS_MAX as u32;
        let site = Site::new(Engine::Sqlite);
        let catalogue = Catalogue::create(&site.place).await.unwrap();
        let sink = sink(&site.directory, catalogue);
        let pool = BufferPool::new(1, ChunkSize::FILE_PLANE.bytes() as usize);
        let write = |part: u32, bytes: &[u8]| {
            let mut body = pool.try_take().unwrap();
            body.space()[..bytes.len()].copy_from_slice(bytes);
            body.set_len(bytes.len());
            sink.write_chunk(PartIndex(part), 0, body).unwrap();
        };
        for part in 0..FILES {
            let path = RelPath::parse(format!("in/{part}")).unwrap();
            sink.add_file(PartIndex(part), Place { path, length: Some(3) });
            write(part, if part == 5 { b"ab" } else { b"abc" });
        }
        let parts: Vec<PartIndex> = (0..FILES).map(PartIndex).collect();
        sink.sync(&parts).unwrap();

        assert_eq!(sink.lock().settled.len(), FILES as usize - 1);
        let half = sink.take_file(PartIndex(5)).unwrap().unwrap();
        assert!(!half.settled, "a byte is missing");
        let whole = sink.take_file(PartIndex(6)).unwrap().unwrap();
        assert!(whole.settled && whole.staged.is_none());
        assert!(sink.take_file(PartIndex(6)).unwrap().is_none(), "it was taken");
        // Sent again all the same: what was known of it is not believed any more.
        write(7, b"abc");
        assert!(!sink.take_file(PartIndex(7)).unwrap().unwrap().settled);
    }

    #[tokio::test]
    async fn parts_that_an_earlier_session_finished_count_and_take_no_memory() {
        let site = Site::new(Engine::Sqlite);
        let catalogue = Catalogue::create(&site.place).await.unwrap();
        let sink = sink(&site.directory, catalogue);

        (0..1000).for_each(|part| sink.count_complete(PartIndex(part), 4));

        assert_eq!(sink.lock().job_bytes, 4000);
        assert!(sink.lock().recorded_bytes.is_empty());
    }
}
