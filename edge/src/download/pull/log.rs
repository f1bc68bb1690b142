//! What the journal keeps of a pull: the files of which something, but not all, is held.

use super::super::fault::DownloadFault;
use super::super::page::Witness;
use super::super::state::ReadState;
use crate::journal::JobLog;
use crate::output::Reporter;
use serde::{Deserialize, Serialize};
use skyspray_wire::digest::PartTree;
use skyspray_wire::ids::PartIndex;
use skyspray_wire::message::PartInfo;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Version of the records this build reads.
const VERSION: u8 = 2;

/// A file of which something is held.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Partial {
    /// What the relay said of it; of another file nothing is held.
    pub(super) info: PartInfo,
    pub(super) tree: PartTree,
}

/// Partials by path on the plane.
pub(super) type Partials = BTreeMap<String, Partial>;

/// The journal of a pull.
#[derive(Debug)]
pub(super) struct PullLog {
    // Held while a record is written, on a blocking thread.
    kept: Mutex<Kept>,
    reporter: Reporter,
}

#[derive(Debug)]
struct Kept {
    log: Option<JobLog>,
    /// Of files whose turn has not come.
    waiting: Partials,
    /// Whether the last record names any file.
    any: bool,
}

impl PullLog {
    /// Takes up what an earlier run held. A record that cannot be read counts as none.
    pub(super) fn new(log: JobLog, reporter: Reporter) -> Self {
        let decoded = log.checkpoint().map(postcard::from_bytes::<(u8, Partials)>);
        let waiting = match decoded {
            Some(Ok((VERSION, partials))) => partials,
            _ => Partials::new(),
        };
        let any = !waiting.is_empty();
        Self { kept: Mutex::new(Kept { log: Some(log), waiting, any }), reporter }
    }

    /// Takes what an earlier run held of the file at `path`.
    pub(super) fn take(&self, path: &str) -> Option<Partial> {
        self.kept().waiting.remove(path)
    }

    /// Paths of files whose turn never came: the plane does not have them any more.
    pub(super) fn left(&self) -> Vec<String> {
        self.kept().waiting.keys().cloned().collect()
    }

    /// Takes the journal out, to end the job.
    pub(super) fn take_log(&self) -> Option<JobLog> {
        self.kept().log.take()
    }

    fn keep(&self, partials: Partials) -> Result<(), DownloadFault> {
        let mut kept = self.kept();
        // Pages of small files have none, and need not wait for the journal.
        if partials.is_empty() && !kept.any {
            return Ok(());
        }
        let mut all = kept.waiting.clone();
        all.extend(partials);
        kept.any = !all.is_empty();
        let bytes = postcard::to_stdvec(&(VERSION, all)).expect("plain data has a postcard form");
        if let Some(log) = kept.log.as_mut() {
            log.keep(&bytes)?;
        }
        Ok(())
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Notes the state of one page.
#[derive(Debug)]
pub(super) struct PageWitness {
    pub(super) log: Arc<PullLog>,
    /// Path and description of each part.
    pub(super) parts: Vec<(String, PartInfo)>,
    /// Bytes of the pages before.
    pub(super) bytes_before: u64,
    /// Bytes of all pages, where known.
    pub(super) bytes_total: Option<u64>,
}

impl Witness for PageWitness {
    fn note(&self, state: &ReadState, _: &[PartIndex]) -> Result<(), DownloadFault> {
        let partial = |(part, tree): (&PartIndex, &PartTree)| {
            let (path, info) = &self.parts[part.0 as usize];
            (path.clone(), Partial { info: *info, tree: tree.clone() })
        };
        self.log.keep(state.begun().iter().map(partial).collect())?;
        self.log.reporter.progress(self.bytes_before + state.bytes(), self.bytes_total);
        Ok(())
    }
}
