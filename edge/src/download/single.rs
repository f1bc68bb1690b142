//! The sink of a despray: all parts at their places in one staging file, or each in its own, and in
//! the journal what is durable of it.

use super::fault::DownloadFault;
use super::open_parts::OpenParts;
use super::reading::{DownloadSink, Tally};
use super::state::{ReadState, check_if_whole};
use crate::journal::JobLog;
use crate::output::Reporter;
use serde::{Deserialize, Serialize};
use skyspray_dfu::join::Joined;
use skyspray_link::receive::Sink;
use skyspray_link::seam::files::{
    BulkFile, Cause, FileError, Fingerprint, PooledBuf, RelPath, Tree,
};
use skyspray_wire::digest::PartTree;
use skyspray_wire::ids::{Generation, PartIndex};
use skyspray_wire::message::PartInfo;
use skyspray_wire::refusal::{Refusal, RefusalCode};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Version of [`DesprayState`] this build reads.
const VERSION: u8 = 3;

/// What the journal keeps of a despray. Fields are only ever added under another version.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct DesprayState {
    /// The generation that is read.
    pub(super) generation: Option<Generation>,
    /// Parts it has.
    pub(super) parts: u32,
    /// What is held of it.
    pub(super) read: ReadState,
    /// Everything is held, and gets its final names.
    pub(super) placing: Option<Placing>,
}

/// How far a despray that holds everything has come with the final names.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum Placing {
    /// The staging file, which this is, is about to get its name.
    File(Fingerprint),
    /// The staged files are whole and in the manifest; some may have their names.
    Files(Written),
    /// All files have their names; what is staged still is not needed.
    Done(Written),
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Written {
    /// Files.
    pub(super) files: u64,
    /// Bytes of all of them together.
    pub(super) bytes: u64,
}

impl DesprayState {
    /// As the journal keeps it.
    pub(super) fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(&(VERSION, self)).expect("plain data has a postcard form")
    }

    /// What the journal kept; nothing when that cannot be read, for then it is read again.
    pub(super) fn decode(bytes: &[u8]) -> Self {
        match postcard::from_bytes::<(u8, Self)>(bytes) {
            Ok((VERSION, state)) => state,
            _ => Self::default(),
        }
    }
}

/// What lives as long as the command: the journal and what it says.
#[derive(Debug)]
pub(super) struct Progress {
    // Taken out when the job ends. Held while a record is written, on a blocking thread.
    log: Mutex<Option<JobLog>>,
    // Held for bookkeeping only.
    state: Mutex<DesprayState>,
    reporter: Reporter,
}

impl Progress {
    pub(super) fn new(log: JobLog, state: DesprayState, reporter: Reporter) -> Self {
        Self { log: Mutex::new(Some(log)), state: Mutex::new(state), reporter }
    }

    /// The state as it is.
    pub(super) fn state(&self) -> DesprayState {
        lock(&self.state).clone()
    }

    /// Changes the state and makes it durable. Blocks.
    pub(super) fn keep(&self, change: impl FnOnce(&mut DesprayState)) -> Result<(), DownloadFault> {
        let mut log = lock(&self.log);
        let bytes = {
            let mut state = lock(&self.state);
            change(&mut state);
            state.encode()
        };
        if let Some(log) = log.as_mut() {
            log.keep(&bytes)?;
        }
        Ok(())
    }

    /// Takes the journal out, to end the job.
    pub(super) fn take_log(&self) -> Option<JobLog> {
        lock(&self.log).take()
    }
}

/// Where the bytes of the parts go. Clones are the same files.
#[derive(Clone, Debug)]
pub(super) enum Files {
    /// All into one file, at the places that joining gives them.
    One {
        /// The file.
        file: Arc<BulkFile>,
        /// The places.
        joined: Arc<Joined>,
    },
    /// Each into a file of its own.
    Each {
        /// The files.
        parts: Arc<OpenParts>,
        /// The directory that holds them.
        directory: RelPath,
        /// The tree it is in.
        tree: Arc<dyn Tree>,
    },
}

impl Files {
    fn write(&self, part: PartIndex, offset: u64, bytes: &mut [u8]) -> Result<(), FileError> {
        match self {
            Self::One { file, joined } => {
                let placed = joined.parts[part.0 as usize].within(offset, bytes.len() as u64);
                // A chunk may be nothing but what other parts have as well.
                let Some((skip, count, at)) = placed else { return Ok(()) };
                let [skip, end] = [skip, skip + count]
                    .map(|at| usize::try_from(at).expect("within the bytes of a chunk"));
                file.write_from(bytes, skip..end, at)
            }
            Self::Each { parts, .. } => parts.write(part, offset, bytes),
        }
    }

    fn sync(&self, changed: &[PartIndex]) -> Result<(), FileError> {
        match self {
            Self::One { file, .. } => file.file().sync_data(),
            Self::Each { parts, directory, tree } => {
                parts.sync(changed).map_err(|(_, error)| error)?;
                // What the journal says of a staging file must not outlive its name.
                if parts.take_made() { tree.sync_dir(directory) } else { Ok(()) }
            }
        }
    }
}

/// Writes the parts of one generation.
#[derive(Debug)]
pub(super) struct FileSink {
    files: Files,
    /// `zone:path` of the target, for messages.
    shown: String,
    /// What was said of each part.
    parts: Arc<[PartInfo]>,
    total: u64,
    progress: Arc<Progress>,
    tally: Arc<Tally>,
    // Set by whichever thread fails first, read when the job has ended.
    fault: Mutex<Option<DownloadFault>>,
}

impl FileSink {
    /// A sink for `parts` in `files`, which are for the target `shown`.
    pub(super) fn new(
        (files, shown): (Files, String),
        parts: &[PartInfo],
        progress: Arc<Progress>,
        tally: Arc<Tally>,
    ) -> Self {
        let total = parts.iter().map(|part| part.length).sum();
        let parts = parts.into();
        Self { files, shown, parts, total, progress, tally, fault: Mutex::new(None) }
    }

    fn fail(&self, fault: DownloadFault) -> Refusal {
        let code = match &fault {
            DownloadFault::Write { source, .. } if source.cause == Cause::NoSpace => {
                RefusalCode::PlaneFull
            }
            _ => RefusalCode::Internal,
        };
        lock(&self.fault).get_or_insert(fault);
        // What is wrong on this host is no business of the relay's.
        Refusal::new(code, "")
    }

    fn write_fault(&self, source: FileError) -> Refusal {
        self.fail(DownloadFault::Write { path: self.shown.clone(), source })
    }
}

impl FileSink {
    /// Writes bytes of a part at their place; they may be moved about for that. Blocks.
    pub(super) fn write(
        &self,
        part: PartIndex,
        offset: u64,
        bytes: &mut [u8],
    ) -> Result<(), Refusal> {
        let written = self.files.write(part, offset, bytes);
        written.map_err(|error| self.write_fault(error))?;
        self.tally.count();
        Ok(())
    }
}

impl Sink for FileSink {
    fn write_chunk(
        &self,
        part: PartIndex,
        offset: u64,
        mut chunk: PooledBuf,
    ) -> Result<(), Refusal> {
        self.write(part, offset, chunk.bytes_mut())
    }

    fn sync(&self, parts: &[PartIndex]) -> Result<(), Refusal> {
        self.files.sync(parts).map_err(|error| self.write_fault(error))
    }

    async fn record(&self, changed: Vec<(PartIndex, PartTree)>) -> Result<(), Refusal> {
        let (progress, parts) = (Arc::clone(&self.progress), Arc::clone(&self.parts));
        let kept = tokio::task::spawn_blocking(move || {
            let mut wrong = None;
            progress.keep(|state| {
                for (part, tree) in changed {
                    let info = &parts[part.0 as usize];
                    match check_if_whole(part, &tree, info) {
                        Ok(()) => {
                            state.read.note(part, tree, info.length);
                        }
                        Err(refusal) => {
                            state.read.forget(part);
                            wrong.get_or_insert(refusal);
                        }
                    }
                }
            })?;
            wrong.map_or(Ok(()), |refusal| Err(refusal.into()))
        });
        let kept = kept.await.expect("keeping a record does not panic");
        kept.map_err(|fault| self.fail(fault))?;
        let durable = lock(&self.progress.state).read.bytes();
        self.progress.reporter.progress(durable, Some(self.total));
        Ok(())
    }
}

impl DownloadSink for FileSink {
    fn tally(&self) -> &Tally {
        &self.tally
    }

    fn take_fault(&self) -> Option<DownloadFault> {
        lock(&self.fault).take()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
