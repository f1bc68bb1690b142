//! The sink of a page of a pull: every part a file of its own, which gets its name as soon as it is
//! whole. Few files are open at a time, however many there are.

use super::fault::DownloadFault;
use super::open_parts::{OpenParts, Staged};
use super::reading::{DownloadSink, Tally};
use super::state::{ReadState, check_if_whole};
use crate::landing::LandingPath;
use skyspray_link::receive::Sink;
use skyspray_link::seam::files::{Cause, FileError, PooledBuf, RelPath, Replace};
use skyspray_wire::digest::PartTree;
use skyspray_wire::ids::PartIndex;
use skyspray_wire::message::PartInfo;
use skyspray_wire::refusal::{Refusal, RefusalCode};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    open: OpenParts,
    // Each held for bookkeeping only.
    progress: Mutex<Progress>,
    fault: Mutex<Option<DownloadFault>>,
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
        let staged = places.iter().map(|place| Staged {
            tree: Arc::clone(&place.target.tree),
            path: place.staging.clone(),
        });
        let (open, fault) = (OpenParts::new(staged.collect()), Mutex::default());
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
            inner.open.file(part).map_err(|source| inner.write_fault(part, source))?;
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
    /// Gives a durable file its name. One whose name is taken is told, and holds nobody up.
    fn place(&self, part: PartIndex) -> Result<(), DownloadFault> {
        let placed = self.rename(part);
        self.open.close(part);
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
        let (file, length) = (self.open.file(part)?, self.parts[part.0 as usize].length);
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
        self.open.close(part);
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

impl<W: Witness> PageSink<W> {
    /// Writes bytes of a part at their place; they may be moved about for that. Blocks.
    pub(super) fn write(
        &self,
        part: PartIndex,
        offset: u64,
        bytes: &mut [u8],
    ) -> Result<(), Refusal> {
        let inner = &self.0;
        let written = inner.open.write(part, offset, bytes);
        written.map_err(|source| inner.fail(inner.write_fault(part, source)))?;
        inner.tally.count();
        Ok(())
    }
}

impl<W: Witness> Sink for PageSink<W> {
    fn write_chunk(
        &self,
        part: PartIndex,
        offset: u64,
        mut chunk: PooledBuf,
    ) -> Result<(), Refusal> {
        self.write(part, offset, chunk.bytes_mut())
    }

    fn sync(&self, parts: &[PartIndex]) -> Result<(), Refusal> {
        let inner = &self.0;
        let synced = inner.open.sync(parts);
        synced.map_err(|(part, source)| inner.fail(inner.write_fault(part, source)))
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
