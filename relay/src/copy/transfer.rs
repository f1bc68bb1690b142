//! Moves the bytes of one copy: two threads that read and write, and the task that makes parts durable,
//! records and seals them while the lease is kept.

use super::cut::{Cut, Cutter, Findings};
use super::error::CopyError;
use super::input::Input;
use super::original::{Ended, Original};
use super::writer::{Place, Writer, Written};
use crate::catalogue::{Catalogue, JobError, Progress, SealedPart};
use crate::sink::encode_tree;
use crate::state::{blocking, unix_ms};
use skyspray_link::seam::Clock;
use skyspray_link::seam::files::BufferPool;
use skyspray_wire::ids::{Epoch, JobId};
use skyspray_wire::message::{OriginRange, Origins, SourceNote};
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc as threads};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

/// Buffers of a chunk between reading and writing.
const BUFFERS: usize = 4;

/// Parts that are made durable and sealed together; each is an open file.
const GROUP: usize = 32;

/// How often the job shows a sign of life; its lease holds four times as long.
pub(super) const TOUCH_INTERVAL: Duration = Duration::from_secs(15);

/// Times the last step is tried while others delete what was at the places of its parts, a second
/// apart: longer than a deletion may claim them.
const SEAL_ATTEMPTS: u32 = 70;

/// Rows of origins read at once.
const ROWS: u32 = 512;

/// One copy under way.
pub(super) struct Transfer<'a> {
    pub(super) catalogue: &'a Catalogue,
    pub(super) clock: &'a dyn Clock,
    pub(super) key: (JobId, Epoch),
    pub(super) input: Input,
    pub(super) place: Place,
    /// Bytes of the parts recorded as durable so far.
    pub(super) bytes: AtomicU64,
}

impl Transfer<'_> {
    /// Copies everything and seals the job.
    ///
    /// # Errors
    ///
    /// The job is not sealed, and still open unless it was given up by others.
    pub(super) async fn run(
        &self,
        cut: Cut,
        stop: impl Future<Output = ()>,
    ) -> Result<(), CopyError> {
        let (written, mut parts) = mpsc::channel(GROUP);
        let writing = self.start(cut, written);
        let sealed = tokio::select! {
            sealed = self.seal_parts(&mut parts) => sealed,
            () = stop => Err(CopyError::Interrupted),
        };
        // Ends the threads, if they still have something to say. What they stage is theirs until
        // then.
        drop(parts);
        let written = writing.await.expect("copying does not panic");
        let findings = match (written, sealed) {
            (Ok(findings), Ok(())) => findings,
            (Err(Ended::Failed(error)), _) | (_, Err(error)) => return Err(error),
            (Err(Ended::Unwanted), Ok(())) => return Err(CopyError::Cancelled),
        };
        self.record_findings(&findings).await?;
        self.input.recheck(self.catalogue).await?;
        self.mark_sealed(&findings).await
    }

    fn start(&self, cut: Cut, out: mpsc::Sender<Written>) -> JoinHandle<Result<Findings, Ended>> {
        let (input, place) = (self.input.clone(), self.place.clone());
        tokio::task::spawn_blocking(move || write(&input, cut, Writer::new(place), &out))
    }

    /// Makes parts durable and seals them as they come.
    async fn seal_parts(&self, parts: &mut mpsc::Receiver<Written>) -> Result<(), CopyError> {
        let mut ticks = interval(TOUCH_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut group = Vec::with_capacity(GROUP);
        loop {
            tokio::select! {
                received = parts.recv_many(&mut group, GROUP) => match received {
                    0 => return Ok(()),
                    _ => self.seal_group(std::mem::take(&mut group)).await?,
                },
                _ = ticks.tick() => self.touch().await?,
            }
        }
    }

    pub(super) async fn touch(&self) -> Result<(), CopyError> {
        let lost = self.catalogue.touch_jobs(&[self.key], self.now_ms()).await?;
        if lost.is_empty() { Ok(()) } else { Err(CopyError::Cancelled) }
    }

    async fn seal_group(&self, group: Vec<Written>) -> Result<(), CopyError> {
        let (mut staged, mut progress) = (Vec::new(), Vec::new());
        let mut sealed: Vec<SealedPart> = Vec::new();
        for mut part in group {
            progress.extend(self.progress(&mut part));
            staged.extend(part.staged);
            sealed.push(part.sealed);
        }
        let plane = Arc::clone(&self.place.staging.plane);
        let synced = blocking(move || {
            let staged: Vec<_> = staged.iter().collect();
            plane.sync(&staged).into_iter().collect::<Result<(), _>>()
        });
        let failed = |source| CopyError::Plane { plane: self.place.plane_name.clone(), source };
        synced.await.map_err(failed)?;
        let lost = self.catalogue.record_progress(&progress, self.now_ms()).await?;
        if !lost.is_empty() {
            return Err(CopyError::Cancelled);
        }
        let (job, epoch) = self.key;
        let recorded = self.catalogue.seal_parts(job, epoch, &sealed, self.now_ms()).await;
        recorded.map_err(cancelled)
    }

    fn progress(&self, part: &mut Written) -> Option<Progress> {
        part.staged.as_ref()?;
        let (job, epoch) = self.key;
        let length = part.sealed.seal.length;
        let job_bytes = self.bytes.fetch_add(length, Ordering::Relaxed) + length;
        Some(Progress {
            job,
            epoch,
            part: part.sealed.seal.part,
            tree: encode_tree(&part.tree),
            job_bytes,
            pieces: std::mem::take(&mut part.pieces),
        })
    }

    /// Records what the parts came from, where they were cut; otherwise what those of the original
    /// came from, which they are.
    async fn record_findings(&self, findings: &Findings) -> Result<(), CopyError> {
        if !findings.sources.is_empty() {
            return self.record(&findings.sources, &findings.ranges).await;
        }
        match &self.input {
            Input::Original(original) if original.record.parts == self.place.paths.parts.get() => {
                self.record_origins(original).await
            }
            _ => Ok(()),
        }
    }

    /// Records what the parts of the original came from, as what its copies came from.
    pub(super) async fn record_origins(&self, original: &Original) -> Result<(), CopyError> {
        let (job, mut after) = (original.record.job, None);
        loop {
            let sources = self.catalogue.origin_sources(job, after, ROWS).await?;
            let Some(last) = sources.last() else { break };
            after = Some(last.index);
            self.record(&sources, &[]).await?;
        }
        let mut after = None;
        loop {
            let page = self.catalogue.origin_ranges(job, after, ROWS).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some((last.range.part, last.range.part_offset));
            let ranges: Vec<OriginRange> = page.iter().map(|origin| origin.range).collect();
            self.record(&[], &ranges).await?;
        }
    }

    async fn record(
        &self,
        sources: &[SourceNote],
        ranges: &[OriginRange],
    ) -> Result<(), CopyError> {
        for page in Origins::pages(sources, ranges) {
            let recorded = self.catalogue.record_origins(self.key, &page, self.now_ms()).await;
            recorded.map_err(cancelled)?;
        }
        Ok(())
    }

    async fn mark_sealed(&self, findings: &Findings) -> Result<(), CopyError> {
        let late = &findings.attributes;
        let seal = || async {
            self.catalogue.mark_sealed(self.key, late, &|_, _| Ok(()), self.now_ms()).await
        };
        patiently(seal).await.map_err(cancelled)
    }

    pub(super) fn now_ms(&self) -> i64 {
        unix_ms(self.clock.now())
    }
}

/// Takes the last step of a job, again and again while others are at the places of its parts.
pub(super) async fn patiently<T, F>(step: impl Fn() -> F) -> Result<T, JobError>
where
    F: Future<Output = Result<T, JobError>>,
{
    let mut attempts_left = SEAL_ATTEMPTS;
    loop {
        attempts_left -= 1;
        match step().await {
            Err(JobError::PathBusy { .. }) if attempts_left > 0 => {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Err(JobError::Catalogue(error)) if error.is_passing() && attempts_left > 0 => {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            taken => return taken,
        }
    }
}

/// Reads on a thread of its own and writes on this one. Blocks.
fn write(
    input: &Input,
    cut: Cut,
    writer: Writer,
    out: &mpsc::Sender<Written>,
) -> Result<Findings, Ended> {
    let pool = BufferPool::new(BUFFERS, writer.chunk_bytes());
    let mut cutter = Cutter { input, cut, writer, out };
    std::thread::scope(|scope| {
        let (found, reads) = threads::sync_channel(BUFFERS);
        let reading = scope.spawn(|| {
            let found = found;
            input.read(&pool, &found)
        });
        let written = reads.iter().try_for_each(|read| cutter.take(&read));
        // A reader that waits for room learns that nobody wants more.
        drop(reads);
        let read = reading.join().expect("reading does not panic");
        match (written, read) {
            (Err(Ended::Failed(error)), _) | (Ok(()), Err(Ended::Failed(error))) => {
                Err(Ended::Failed(error))
            }
            (Err(Ended::Unwanted), _) | (Ok(()), Err(Ended::Unwanted)) => Err(Ended::Unwanted),
            (Ok(()), Ok(())) => cutter.finish(),
        }
    })
}

/// A job that was given up by others is told as what that is.
pub(super) fn cancelled(error: JobError) -> CopyError {
    match error {
        JobError::Aborted { .. } | JobError::Stale { .. } => CopyError::Cancelled,
        error => error.into(),
    }
}
