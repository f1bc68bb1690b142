//! The sink of a page of a pull: every part a file of its own, which gets its name as soon as it is
//! whole. Few files are open at a time, however many there are.

use super::fault::DownloadFault;
use super::reading::{DownloadSink, Tally};
use super::state::{ReadState, check_if_whole};
use crate::landing::LandingPath;
use skyspray_link::receive::Sink;
use skyspray_link::seam::files::{Caching, Cause, File, FileError, RelPath, Replace};
use skyspray_wire::digest::PartTree;
use skyspray_wire::ids::PartIndex;
use skyspray_wire::message::PartInfo;
use skyspray_wire::refusal::{Refusal, RefusalCode};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Files of a page that are open at once.
const OPEN_MAX: usize = 64;

/// Threads that make files durable at once: disks take several as fast as one.
const SYNC_THREADS: usize = 4;

/// Where a file of a page goes.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Under which name.
    pub(super) target: LandingPath,
    /// Under which name until it is whole, in the same directory.
    pub(super) staging: RelPath,
}

/// What a page tells of its state, whenever that changed.
pub(super) trait Witness: Send + Sync + 'static {
    /// Parts are durable as `state` says; `placed` of them have just got their names. Blocks.
    ///
    /// # Errors
    ///
    /// It cannot be noted.
    fn note(&self, state: &ReadState, placed: &[PartIndex]) -> Result<(), DownloadFault>;
}

/// Writes the files of a page.
pub(super) struct PageSink<W>(Arc<Inner<W>>);

struct Inner<W> {
    places: Vec<Place>,
    parts: Vec<PartInfo>,
    replace: Replace,
    tally: Arc<Tally>,
    witness: W,
    // Each held for bookkeeping, `open` also while a file is opened or made durable to make room.
    open: Mutex<BTreeMap<PartIndex, Slot>>,
    progress: Mutex<Progress>,
    fault: Mutex<Option<DownloadFault>>,
}

struct Slot {
    file: Arc<dyn File>,
    /// Whether something was written that is not durable.
    dirty: bool,
}

#[derive(Default)]
struct Progress {
    state: ReadState,
    /// Directories in which files got their names.
    directories: BTreeSet<RelPath>,
    /// Files that are done: they have their names, or cannot have them.
    done: BTreeSet<PartIndex>,
    /// Files that are whole, but whose name was taken meanwhile.
    taken: Vec<(PartIndex, DownloadFault)>,
}

/// What became of a page in one session.
pub(super) struct PageEnd {
    /// Files whose name was taken meanwhile.
    pub(super) taken: Vec<(PartIndex, DownloadFault)>,
    /// Files that are done, those among them.
    pub(super) done: BTreeSet<PartIndex>,
    /// What is held.
    pub(super) state: ReadState,
}

impl<W: Witness> PageSink<W> {
    /// A sink for `parts`, which go to `places`; of them `state` is held, and `done` are done.
    pub(super) fn new(
        places: Vec<Place>,
        parts: &[PartInfo],
        state: ReadState,
        (replace, tally, witness): (Replace, Arc<Tally>, W),
        done: BTreeSet<PartIndex>,
    ) -> Self {
        let parts = parts.to_vec();
        let progress = Mutex::new(Progress { state, done, ..Progress::default() });
        let (open, fault) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Inner { places, parts, replace, tally, witness, open, progress, fault }))
    }

    /// Makes the files without a byte, for which no chunk ever comes. Blocks.
    ///
    /// # Errors
    ///
    /// The host's.
    pub(super) fn place_empty(&self) -> Result<(), DownloadFault> {
        let inner = &self.0;
        let done = lock(&inner.progress).done.clone();
        let empty = (0..).map(PartIndex).zip(&inner.parts).filter(|(_, info)| info.length == 0);
        let empty = empty.map(|(part, _)| part).filter(|part| !done.contains(part));
        let empty = empty.collect::<Vec<_>>();
        for &part in &empty {
            inner.file(part, true).map_err(|source| inner.write_fault(part, source))?;
            inner.place(part)?;
        }
        if empty.is_empty() {
            return Ok(());
        }
        let state = lock(&inner.progress).state.clone();
        inner.witness.note(&state, &empty)
    }

    /// Makes the names durable and says what became of the page. Nothing is received any more.
    /// Blocks.
    ///
    /// # Errors
    ///
    /// The host's.
    pub(super) fn finish(&self) -> Result<PageEnd, DownloadFault> {
        let inner = &self.0;
        let mut progress = lock(&inner.progress);
        for directory in std::mem::take(&mut progress.directories) {
            let at = &inner.places[0].target;
            at.tree.sync_dir(&directory).map_err(|source| {
                let path = at.with_path(directory.clone()).to_string();
                DownloadFault::Write { path, source }
            })?;
        }
        let Progress { taken, done, state, .. } = std::mem::take(&mut *progress);
        Ok(PageEnd { taken, done, state })
    }
}

impl<W: Witness> Inner<W> {
    /// The open staging file of `part`, to write to or to make durable.
    fn file(&self, part: PartIndex, writes: bool) -> Result<Arc<dyn File>, FileError> {
        let mut open = lock(&self.open);
        if let Some(slot) = open.get_mut(&part) {
            slot.dirty |= writes;
            return Ok(Arc::clone(&slot.file));
        }
        if open.len() >= OPEN_MAX {
            make_room(&mut open)?;
        }
        let Place { target, staging } = &self.places[part.0 as usize];
        let file = match target.tree.open_write(staging, Caching::Buffered) {
            Err(error) if error.cause == Cause::Missing => {
                target.tree.create_new(staging, 0o644, Caching::Buffered)?
            }
            other => other?,
        };
        open.insert(part, Slot { file: Arc::clone(&file), dirty: writes });
        Ok(file)
    }

    /// Notes that `file` was written to: it may have been synced or closed between being handed out
    /// and the write.
    fn wrote(&self, part: PartIndex, file: Arc<dyn File>) {
        let mut open = lock(&self.open);
        open.entry(part).or_insert(Slot { file, dirty: true }).dirty = true;
    }

    fn sync_part(&self, part: PartIndex) -> Result<(), FileError> {
        // Cleared before, so that what is written meanwhile counts for the next time.
        let file = {
            let mut open = lock(&self.open);
            let slot = open.get_mut(&part);
            slot.map(|slot| {
                slot.dirty = false;
                Arc::clone(&slot.file)
            })
        };
        // A file that is not open was made durable when it was closed.
        file.map_or(Ok(()), |file| file.sync_data())
    }

    /// Gives a durable file its name. One whose name is taken is told, and holds nobody up.
    fn place(&self, part: PartIndex) -> Result<(), DownloadFault> {
        let placed = self.rename(part);
        lock(&self.open).remove(&part);
        lock(&self.progress).done.insert(part);
        let target = &self.places[part.0 as usize].target;
        match placed {
            Ok(()) => {
                let directory = target.path.parent().unwrap_or_default();
                lock(&self.progress).directories.insert(directory);
                Ok(())
            }
            Err(source) if source.cause == Cause::AlreadyExists => {
                let fault = DownloadFault::TargetExists { path: target.to_string() };
                lock(&self.progress).taken.push((part, fault));
                self.drop_staging(part)
            }
            Err(source) => Err(self.write_fault(part, source)),
        }
    }

    fn rename(&self, part: PartIndex) -> Result<(), FileError> {
        let Place { target, staging } = &self.places[part.0 as usize];
        let (file, length) = (self.file(part, false)?, self.parts[part.0 as usize].length);
        // An earlier run may have left a longer staging file.
        if file.metadata()?.len != length {
            file.set_len(length)?;
            file.sync_all()?;
        }
        target.tree.rename(staging, &target.path, self.replace)
    }

    fn record(&self, changed: Vec<(PartIndex, PartTree)>) -> Result<(), DownloadFault> {
        let (mut placed, mut wrong) = (Vec::new(), Vec::new());
        let state = {
            let mut progress = lock(&self.progress);
            for (part, tree) in changed {
                let info = &self.parts[part.0 as usize];
                if let Err(refusal) = check_if_whole(part, &tree, info) {
                    progress.state.forget(part);
                    wrong.push((part, refusal));
                } else if progress.state.note(part, tree, info.length) {
                    placed.push(part);
                }
            }
            progress.state.clone()
        };
        placed.iter().try_for_each(|&part| self.place(part))?;
        self.witness.note(&state, &placed)?;
        wrong.iter().try_for_each(|(part, _)| self.drop_staging(*part))?;
        wrong.into_iter().next().map_or(Ok(()), |(_, refusal)| Err(refusal.into()))
    }

    fn drop_staging(&self, part: PartIndex) -> Result<(), DownloadFault> {
        lock(&self.open).remove(&part);
        let Place { target, staging } = &self.places[part.0 as usize];
        crate::durable::remove_if_there(&*target.tree, staging)
            .map_err(|source| self.write_fault(part, source))
    }

    fn write_fault(&self, part: PartIndex, source: FileError) -> DownloadFault {
        DownloadFault::Write { path: self.places[part.0 as usize].target.to_string(), source }
    }

    fn fail(&self, fault: DownloadFault) -> Refusal {
        lock(&self.fault).get_or_insert(fault);
        // What is wrong on this host is no business of the relay's.
        Refusal::new(RefusalCode::Internal, "")
    }
}

/// Closes a file that has nothing to lose, or else makes one durable first.
fn make_room(open: &mut BTreeMap<PartIndex, Slot>) -> Result<(), FileError> {
    let clean = open.iter().find(|(_, slot)| !slot.dirty);
    let (&part, slot) = clean.or_else(|| open.first_key_value()).expect("some are open");
    if slot.dirty {
        slot.file.sync_data()?;
    }
    open.remove(&part);
    Ok(())
}

impl<W: Witness> Sink for PageSink<W> {
    fn write(&self, part: PartIndex, offset: u64, bytes: &[u8]) -> Result<(), Refusal> {
        let inner = &self.0;
        let written = inner.file(part, true).and_then(|file| {
            file.write_all_at(bytes, offset)?;
            inner.wrote(part, file);
            Ok(())
        });
        written.map_err(|source| inner.fail(inner.write_fault(part, source)))?;
        inner.tally.count();
        Ok(())
    }

    fn sync(&self, parts: &[PartIndex]) -> Result<(), Refusal> {
        let inner = &self.0;
        let share = parts.len().div_ceil(SYNC_THREADS).max(1);
        let sync = |parts: &[PartIndex]| {
            parts.iter().try_for_each(|&part| {
                inner.sync_part(part).map_err(|source| inner.write_fault(part, source))
            })
        };
        let synced = thread::scope(|scope| {
            let threads: Vec<_> =
                parts.chunks(share).map(|parts| scope.spawn(move || sync(parts))).collect();
            let joined = threads.into_iter().map(|thread| thread.join());
            joined.map(|synced| synced.expect("syncing does not panic")).collect::<Vec<_>>()
        });
        synced.into_iter().collect::<Result<(), _>>().map_err(|fault| inner.fail(fault))
    }

    async fn record(&self, changed: Vec<(PartIndex, PartTree)>) -> Result<(), Refusal> {
        let inner = Arc::clone(&self.0);
        let recorded = tokio::task::spawn_blocking(move || inner.record(changed)).await;
        recorded.expect("recording does not panic").map_err(|fault| self.0.fail(fault))
    }
}

impl<W: Witness> DownloadSink for PageSink<W> {
    fn tally(&self) -> &Tally {
        &self.0.tally
    }

    fn take_fault(&self) -> Option<DownloadFault> {
        lock(&self.0.fault).take()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
