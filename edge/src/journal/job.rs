//! The file of one open job: read once, then only appended to.

use super::lock::Lock;
use super::record::{self, JobHeader};
use super::{JournalError, job_path};
use crate::durable::write_file;
use skyspray_link::seam::files::{Caching, Cause, File, Replace, Tree};
use skyspray_wire::ids::JobId;
use std::sync::Arc;

/// Length at which a file is rewritten to its header and last checkpoint, in bytes; four times
/// that of the last checkpoint when this is more, so that rewriting stays rare.
const COMPACT_BYTES: u64 = 4 << 20;

/// The log of one job, locked against other processes. All calls block.
#[derive(Debug)]
pub struct JobLog {
    tree: Arc<dyn Tree>,
    file: Arc<dyn File>,
    header: JobHeader,
    checkpoint: Option<Vec<u8>>,
    /// Where the next record goes; beyond every file when the next one needs a new file.
    end: u64,
    lock: Lock,
}

impl JobLog {
    pub(super) fn open(tree: Arc<dyn Tree>, job: JobId, lock: Lock) -> Result<Self, JournalError> {
        let path = job_path(job);
        let file =
            tree.open_write(&path, Caching::Buffered).map_err(|error| match error.cause {
                Cause::Missing => JournalError::Unknown { job },
                _ => error.into(),
            })?;
        let content =
            record::read(&*file)?.map_err(|source| JournalError::Damaged { job, source })?;
        if file.metadata()?.len > content.end {
            file.set_len(content.end)?;
            file.sync_data()?;
        }
        let record::Content { header, checkpoint, end } = content;
        Ok(Self { tree, file, header, checkpoint, end, lock })
    }

    /// The job.
    pub fn job(&self) -> JobId {
        self.header.job
    }

    /// What the job is.
    pub fn header(&self) -> &JobHeader {
        &self.header
    }

    /// The state last kept, as [`JobLog::keep`] was given it.
    pub fn checkpoint(&self) -> Option<&[u8]> {
        self.checkpoint.as_deref()
    }

    /// Keeps `state` in place of whatever was kept before. Durable on return.
    ///
    /// # Errors
    ///
    /// More than a record holds, or the host's. What was kept before is then still kept.
    pub fn keep(&mut self, state: &[u8]) -> Result<(), JournalError> {
        let record = record::encode_checkpoint(state)?;
        let length = record.len() as u64;
        let end = self.end.saturating_add(length);
        // Until the record is durable the file counts as unusable: after an error the next call
        // rewrites it, whatever the failed one left behind.
        let start = std::mem::replace(&mut self.end, u64::MAX);
        if end > COMPACT_BYTES.max(length * 4) {
            self.end = self.rewrite(&record)?;
        } else {
            self.file.write_all_at(&record, start)?;
            self.file.sync_data()?;
            self.end = end;
        }
        self.checkpoint = Some(state.to_vec());
        Ok(())
    }

    pub(super) fn into_lock(self) -> Lock {
        self.lock
    }

    fn rewrite(&mut self, checkpoint: &[u8]) -> Result<u64, JournalError> {
        let path = job_path(self.job());
        let mut bytes = record::encode_header(&self.header)?;
        bytes.extend_from_slice(checkpoint);
        write_file(&*self.tree, &path, &bytes, 0o600, Replace::Existing)?;
        self.file = self.tree.open_write(&path, Caching::Buffered)?;
        Ok(bytes.len() as u64)
    }
}
