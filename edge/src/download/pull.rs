//! The `pull` command: files of a plane as they are, each visible when it is whole.
//!
//! The list is read a batch at a time and fetched a page at a time, so memory does not grow with
//! the number of files. What is there already with the same digest is not fetched.

mod compare;
mod fetch;
mod local;
mod log;

use super::fault::DownloadFault;
use super::link::Link;
use super::listing::Listing;
use super::reading::{Pools, Tally};
use crate::cli::PullArgs;
use crate::context::Context;
use crate::durable::remove_if_there;
use crate::exit::{Exit, Explain as _};
use crate::journal::{
    Begun, CommandKey, Ended, JobHeader, JobKind, JobLog, JournalSource, Outcome,
};
use crate::landing::{LandingPath, Want};
use crate::size::About;
use local::{Destination, PullFile, Standing, write_fault};
use log::PullLog;
use serde::Serialize;
use skyspray_link::seam::files::FileKind;
use skyspray_wire::ids::JobId;
use skyspray_wire::limits::PAGE_NAME_BYTES_MAX;
use skyspray_wire::message::{Entry, EntryKind, ListWhat};
use skyspray_wire::name::PlanePath;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;
use tokio::time::Instant;

/// Files of one read job.
const PAGE_FILES: usize = 256;

#[derive(Debug, Serialize)]
struct Done {
    kind: &'static str,
    job: String,
    files: u64,
    skipped: u64,
    failed: u64,
    bytes: u64,
    seconds: f64,
    chunks_received: u64,
    resumed: bool,
}

/// Fetches a file or the files of a directory into a landing zone. A file that cannot be had is
/// told, and the others are fetched.
///
/// # Errors
///
/// See [`DownloadFault`]: what ends the whole command. What is not final can be run again.
pub async fn pull(context: &Context, args: &PullArgs) -> Result<Exit, DownloadFault> {
    let started = Instant::now();
    let at = context.zones.resolve(&args.path, &context.cwd, Want::Write)?;
    let (log, resumed) = begin(context, args, &at)?;
    let job = log.job();
    let mut pull = Pull {
        context,
        args,
        job,
        link: Link::new(context),
        pools: Pools::new(context.config.limits.memory.0),
        log: Arc::new(PullLog::new(log, context.reporter.clone())),
        tally: Arc::default(),
        counts: Counts::default(),
        bytes_total: None,
    };
    let pulled = pull.run(at).await;
    pull.link.close().await;
    context.reporter.progress_end();
    pull.end(pulled.as_ref().err())?;
    pulled?;
    let Counts { files, skipped, failed, bytes, .. } = pull.counts;
    let fields = Done {
        kind: "pull",
        job: job.to_string(),
        files,
        skipped,
        failed,
        bytes,
        seconds: started.elapsed().as_secs_f64(),
        chunks_received: pull.tally.chunks(),
        resumed,
    };
    let text = format!(
        "{} -> {}: {files} files, {}, {skipped} there already, {failed} failed, {:.1} s",
        args.source,
        args.path.display(),
        About(bytes),
        fields.seconds
    );
    context.reporter.result("done", &fields, text);
    Ok(pull.counts.exit())
}

fn begin(
    context: &Context,
    args: &PullArgs,
    at: &LandingPath,
) -> Result<(JobLog, bool), DownloadFault> {
    let sources = vec![JournalSource::new(at.zone.clone(), &at.path, None)];
    let target = args.source.to_string();
    let header = JobHeader {
        job: context.new_job(),
        kind: JobKind::Pull,
        key: CommandKey::of(JobKind::Pull, &target, &sources, []),
        target,
        sources,
        opened_ms: context.now_ms(),
    };
    Ok(match context.journal.begin(&header)? {
        Begun::New(log) => (log, false),
        Begun::Resumed(log) => (log, true),
    })
}

/// What became of the files.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    /// Fetched.
    files: u64,
    /// There already with the same digest.
    skipped: u64,
    failed: u64,
    /// Of files fetched or skipped.
    bytes: u64,
    /// With what the last file failed.
    failed_with: Option<Exit>,
}

impl Counts {
    /// One file that fails ends the command as it failed; of several, it is some.
    fn exit(&self) -> Exit {
        match (self.failed, self.files + self.skipped, self.failed_with) {
            (0, _, _) => Exit::Done,
            (1, 0, Some(exit)) => exit,
            _ => Exit::SomeFailed,
        }
    }
}

struct Pull<'a> {
    context: &'a Context,
    args: &'a PullArgs,
    job: JobId,
    link: Link<'a>,
    pools: Pools,
    log: Arc<PullLog>,
    tally: Arc<Tally>,
    counts: Counts,
    bytes_total: Option<u64>,
}

impl Pull<'_> {
    async fn run(&mut self, at: LandingPath) -> Result<(), DownloadFault> {
        let source = &self.args.source;
        let what = ListWhat::Files(source.path.clone());
        let mut listing = Listing::new(source.plane.clone(), what, None);
        let mut batch = listing.next_batch(&mut self.link).await?;
        if batch.is_empty() {
            return Err(DownloadFault::NothingThere { source_text: source.to_string() });
        }
        let destination = self.destination(at, &batch)?;
        if listing.is_ended() {
            self.bytes_total = Some(batch.iter().map(|entry| entry.bytes).sum());
        }
        while !batch.is_empty() {
            self.pull_batch(batch, &destination).await?;
            batch = listing.next_batch(&mut self.link).await?;
        }
        self.drop_left(&destination);
        Ok(())
    }

    /// Where files go: one file to the name given, or into the directory given.
    fn destination(&self, at: LandingPath, first: &[Entry]) -> Result<Destination, DownloadFault> {
        let (source, job) = (&self.args.source, self.job);
        let depth = source.path.segments().len();
        let is_file = !source.is_directory && first[0].name == source.path.to_string();
        let found = at.tree.metadata(&at.path);
        let is_directory = self.args.path.as_os_str().as_bytes().ends_with(b"/")
            || found.is_ok_and(|found| found.kind == FileKind::Directory);
        let strip = match (is_file, is_directory) {
            (true, false) => None,
            // The file keeps its own name.
            (true, true) => Some(depth - 1),
            (false, _) => Some(depth),
        };
        Ok(Destination { at, strip, job })
    }

    async fn pull_batch(
        &mut self,
        batch: Vec<Entry>,
        destination: &Destination,
    ) -> Result<(), DownloadFault> {
        let (to, overwrite) = (destination.clone(), self.args.overwrite);
        let sorted = tokio::task::spawn_blocking(move || Sorted::of(&batch, &to, overwrite)).await;
        let Sorted { fetch, compare, failed } = sorted.expect("looking at files does not panic");
        failed.iter().for_each(|fault| self.file_failed(fault));
        for page in pages(fetch) {
            self.fetch(page).await?;
        }
        for page in pages(compare) {
            let differing = self.compare(page).await?;
            for page in pages(differing) {
                self.fetch(page).await?;
            }
        }
        Ok(())
    }

    fn file_failed(&mut self, fault: &DownloadFault) {
        self.context.reporter.file_error(fault);
        self.counts.failed += 1;
        self.counts.failed_with = Some(fault.exit());
    }

    /// Removes what an earlier run left of files that are not on the plane any more.
    fn drop_left(&self, destination: &Destination) {
        for path in self.log.left() {
            let Ok(path) = PlanePath::parse(&path) else { continue };
            if destination.strip.is_some_and(|strip| path.segments().len() <= strip) {
                continue;
            }
            let Ok(place) = destination.place(&path) else { continue };
            if let Err(source) = remove_if_there(&*place.target.tree, &place.staging) {
                let fault = write_fault(&place.target, source);
                self.context.reporter.warn(&fault.code(), &fault);
            }
        }
    }

    /// Ends the job in the journal, unless a later run can go on with it.
    fn end(&self, fault: Option<&DownloadFault>) -> Result<(), DownloadFault> {
        let nothing_there =
            |fault: &DownloadFault| matches!(fault, DownloadFault::NothingThere { .. });
        if fault.is_some_and(|fault| !fault.ends_job() && !nothing_there(fault)) {
            return Ok(());
        }
        let Some(log) = self.log.take_log() else { return Ok(()) };
        let outcome = if fault.is_some() { Outcome::Failed } else { Outcome::Committed };
        let (ended_ms, bytes) = (self.context.now_ms(), self.counts.bytes);
        let detail = fault.map(ToString::to_string);
        let ended = Ended { outcome, ended_ms, wuid: None, bytes, detail };
        Ok(self.context.journal.finish(log, &ended)?)
    }
}

/// The files of a batch, by what is to be done for them.
#[derive(Debug, Default)]
struct Sorted {
    fetch: Vec<PullFile>,
    compare: Vec<PullFile>,
    failed: Vec<DownloadFault>,
}

impl Sorted {
    fn of(batch: &[Entry], destination: &Destination, overwrite: bool) -> Self {
        let mut sorted = Self::default();
        let mut known = None;
        for entry in batch {
            if entry.kind != EntryKind::File {
                sorted.failed.push(DownloadFault::Unexpected { what: "a list" });
                continue;
            }
            match destination.prepare(entry, &mut known) {
                Err(fault) => sorted.failed.push(fault),
                Ok(file) => match file.standing {
                    Standing::Free => sorted.fetch.push(file),
                    Standing::SameLength => sorted.compare.push(file),
                    Standing::Differs if overwrite => sorted.fetch.push(file),
                    Standing::Differs => {
                        let path = file.place.target.to_string();
                        sorted.failed.push(DownloadFault::TargetExists { path });
                    }
                },
            }
        }
        sorted
    }
}

/// Cuts files into pages that fit a request.
fn pages(files: Vec<PullFile>) -> Vec<Vec<PullFile>> {
    let mut pages: Vec<Vec<PullFile>> = Vec::new();
    let mut bytes = 0;
    for file in files {
        let length = file.path.to_string().len();
        match pages.last_mut() {
            Some(page) if page.len() < PAGE_FILES && bytes + length <= PAGE_NAME_BYTES_MAX => {
                bytes += length;
                page.push(file);
            }
            _ => {
                bytes = length;
                pages.push(vec![file]);
            }
        }
    }
    pages
}

#[cfg(test)]
mod tests;
