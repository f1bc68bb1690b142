//! The jobs that are open, on disk: what a command needs to go on after a crash (F1 to F4).
//!
//! One file a job in `jobs/`, made whole before the first byte is sent and removed when the job
//! has ended; `history.jsonl` keeps a line of each that ended. See `record` for the format.

mod error;
mod history;
mod job;
mod lock;
mod record;

use crate::durable::{remove_if_there, write_file};
use lock::Lock;
use skyspray_link::seam::files::{Cause, FileKind, OsTree, RelPath, Replace, Tree};
use skyspray_wire::ids::JobId;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use error::{Damage, JournalError};
pub use history::{Ended, Outcome};
pub use job::JobLog;
pub use record::{CommandKey, JobHeader, JobKind, JournalSource, RECORD_BYTES_MAX};

/// Entries of `jobs/` read at once.
const PAGE_ENTRIES: usize = 1024;

/// Name of the lock that is held while a job is begun, taken up or ended.
const ALL_JOBS: &str = "jobs";

/// The journal of one edge. Several processes may use the same one. All calls block.
#[derive(Clone, Debug)]
pub struct Journal {
    tree: Arc<dyn Tree>,
    locks: PathBuf,
}

/// A job in the journal.
#[derive(Clone, Debug)]
pub struct OpenJob {
    /// The job.
    pub job: JobId,
    /// Whether a process works on it at the moment.
    pub running: bool,
    /// What was asked, or why that cannot be read.
    pub header: Result<JobHeader, Damage>,
}

/// What a command finds when it begins.
#[derive(Debug)]
pub enum Begun {
    /// Nothing was open for this command; the job is in the journal.
    New(JobLog),
    /// An earlier run of this command left the job open.
    Resumed(JobLog),
}

impl Journal {
    /// Opens the journal in the directory `state`, which exists.
    ///
    /// # Errors
    ///
    /// The host's.
    pub fn open(state: &Path) -> Result<Self, JournalError> {
        let tree = OsTree::open(state).map_err(|source| JournalError::Root { source })?;
        Self::with_tree(Arc::new(tree), state.join("locks"))
    }

    /// A journal in `tree` that keeps its lock files in `locks`, a real directory.
    ///
    /// # Errors
    ///
    /// The host's.
    pub fn with_tree(tree: Arc<dyn Tree>, locks: PathBuf) -> Result<Self, JournalError> {
        tree.create_dirs(&jobs_dir())?;
        lock::create_dir(&locks)?;
        Ok(Self { tree, locks })
    }

    /// Continues the open job of this command, or begins the one `header` describes. Durable on
    /// return.
    ///
    /// A job whose sources have changed is for the caller to compare and to end.
    ///
    /// # Errors
    ///
    /// [`JournalError::Busy`] when another process works on it; otherwise the host's.
    pub fn begin(&self, header: &JobHeader) -> Result<Begun, JournalError> {
        let _all = Lock::wait(&self.locks, ALL_JOBS)?;
        if let Some(job) = self.find(&header.key)? {
            return Ok(Begun::Resumed(self.open_log(job)?));
        }
        self.sweep()?;
        let lock = self.lock(header.job)?;
        let path = job_path(header.job);
        let bytes = record::encode_header(header)?;
        write_file(&*self.tree, &path, &bytes, 0o600, Replace::Never).map_err(
            |error| match error.cause {
                Cause::AlreadyExists => JournalError::Taken { job: header.job },
                _ => error.into(),
            },
        )?;
        Ok(Begun::New(JobLog::open(self.tree.clone(), header.job, lock)?))
    }

    /// The open job of the command `key`, if there is one. Files that cannot be read are passed over.
    ///
    /// # Errors
    ///
    /// The host's.
    pub fn find(&self, key: &CommandKey) -> Result<Option<JobId>, JournalError> {
        for job in self.jobs()? {
            if self.header(job)?.is_some_and(|header| header.is_ok_and(|h| h.key == *key)) {
                return Ok(Some(job));
            }
        }
        Ok(None)
    }

    /// Opens a job to go on with it. No other process can until the log is dropped.
    ///
    /// # Errors
    ///
    /// [`JournalError::Busy`], [`JournalError::Unknown`], [`JournalError::Damaged`], or the host's.
    pub fn resume(&self, job: JobId) -> Result<JobLog, JournalError> {
        let _all = Lock::wait(&self.locks, ALL_JOBS)?;
        self.open_log(job)
    }

    /// Every open job, by ascending id.
    ///
    /// # Errors
    ///
    /// The host's.
    pub fn list(&self) -> Result<Vec<OpenJob>, JournalError> {
        // Looking at a lock takes it for a moment, which nobody must mistake for a running job.
        let _all = Lock::wait(&self.locks, ALL_JOBS)?;
        let mut found = Vec::new();
        for job in self.jobs()? {
            let Some(header) = self.header(job)? else { continue };
            let running = Lock::is_held(&self.locks, &job.to_string())?;
            found.push(OpenJob { job, running, header });
        }
        Ok(found)
    }

    /// Ends a job: a line in the history, then it is gone from the journal.
    ///
    /// After a crash between the two the job is still open and ended again by its next run, so a
    /// job has at least one line.
    ///
    /// # Errors
    ///
    /// The host's; the job is then still open.
    pub fn finish(&self, log: JobLog, ended: &Ended) -> Result<(), JournalError> {
        let _all = Lock::wait(&self.locks, ALL_JOBS)?;
        history::append(&*self.tree, log.header(), ended)?;
        remove_if_there(&*self.tree, &job_path(log.job()))?;
        self.tree.sync_dir(&jobs_dir())?;
        log.into_lock().remove();
        Ok(())
    }

    /// The last lines of the history, newest first, at most `count`, as they were written.
    ///
    /// # Errors
    ///
    /// The host's.
    pub fn recent(&self, count: usize) -> Result<Vec<serde_json::Value>, JournalError> {
        Ok(history::recent(&*self.tree, count)?)
    }

    fn open_log(&self, job: JobId) -> Result<JobLog, JournalError> {
        let lock = self.lock(job)?;
        JobLog::open(self.tree.clone(), job, lock)
    }

    /// Removes what a crash left of jobs that never were or are no more. Nobody begins or ends
    /// one meanwhile.
    fn sweep(&self) -> Result<(), JournalError> {
        let jobs = self.jobs()?;
        let is_open = |job: &JobId| jobs.binary_search(job).is_ok();
        for job in self.names(".", ".job.new")?.into_iter().filter(|job| !is_open(job)) {
            let name = format!(".{job}.job.new");
            let path = jobs_dir().join(name).expect("hexadecimal digits make a plain name");
            remove_if_there(&*self.tree, &path)?;
        }
        lock::sweep(&self.locks, |name| {
            name == ALL_JOBS || name.parse::<JobId>().is_ok_and(|job| is_open(&job))
        })
    }

    fn lock(&self, job: JobId) -> Result<Lock, JournalError> {
        Lock::take(&self.locks, &job.to_string())?.ok_or(JournalError::Busy { job })
    }

    /// Ids of the jobs that have a file, ascending.
    fn jobs(&self) -> Result<Vec<JobId>, JournalError> {
        self.names("", JOB_SUFFIX)
    }

    /// Ids between `prefix` and `suffix` in names of files, ascending.
    fn names(&self, prefix: &str, suffix: &str) -> Result<Vec<JobId>, JournalError> {
        let id = |name: &str| -> Option<JobId> {
            name.strip_prefix(prefix)?.strip_suffix(suffix)?.parse().ok()
        };
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = self.tree.read_dir(&jobs_dir(), after.as_deref(), PAGE_ENTRIES)?;
            let regular = page.iter().filter(|entry| entry.kind == FileKind::Regular);
            found.extend(regular.filter_map(|entry| id(entry.name.to_str()?)));
            match page.last() {
                Some(last) if page.len() == PAGE_ENTRIES => after = Some(last.name.clone()),
                _ => return Ok(found),
            }
        }
    }

    /// The header of a job; `None` when it ended meanwhile.
    fn header(&self, job: JobId) -> Result<Option<Result<JobHeader, Damage>>, JournalError> {
        match self.tree.open_read(&job_path(job)) {
            Ok(file) => Ok(Some(record::read_header(&*file)?)),
            Err(error) if error.cause == Cause::Missing => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

const JOB_SUFFIX: &str = ".job";

fn jobs_dir() -> RelPath {
    RelPath::parse("jobs").expect("a plain name")
}

fn job_path(job: JobId) -> RelPath {
    jobs_dir().join(format!("{job}{JOB_SUFFIX}")).expect("hexadecimal digits make a plain name")
}

#[cfg(test)]
mod tests;
