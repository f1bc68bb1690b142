//! The `despray` command: the parts of a logical file, in order, as one file in a landing zone.

use super::fault::DownloadFault;
use super::link::Link;
use super::reading::{Opened, Pools, Tally, in_flight_chunks, open, or_replaced};
use super::single::{DesprayState, FileSink, Progress};
use crate::cli::DesprayArgs;
use crate::context::Context;
use crate::durable::remove_if_there;
use crate::exit::{Exit, Explain as _};
use crate::journal::{
    Begun, CommandKey, Ended, JobHeader, JobKind, JobLog, JournalSource, Outcome,
};
use crate::landing::{LandingPath, Want};
use crate::size::About;
use serde::Serialize;
use skyspray_link::receive::ReceiveJob;
use skyspray_link::seam::files::{
    Caching, Cause, File, FileError, FileKind, Fingerprint, RelPath, Replace,
};
use skyspray_wire::ids::{Generation, JobId};
use skyspray_wire::message::{OpenRead, ReadTarget, Readable};
use std::sync::Arc;
use tokio::time::Instant;

#[derive(Debug, Serialize)]
struct Done {
    kind: &'static str,
    job: String,
    file: String,
    generation: Option<Generation>,
    bytes: u64,
    parts: u32,
    seconds: f64,
    chunks_received: u64,
    resumed: bool,
}

/// Writes a logical file to a file of a landing zone, or goes on with an earlier run of the same
/// command.
///
/// # Errors
///
/// See [`DownloadFault`]. Nothing is visible then; what is not final can be run again.
pub async fn despray(context: &Context, args: &DesprayArgs) -> Result<Exit, DownloadFault> {
    let started = Instant::now();
    let (log, resumed) = begin(context, args)?;
    let job = log.job();
    let target = context.zones.resolve(&args.file, &context.cwd, Want::Write)?;
    let state = log.checkpoint().map(DesprayState::decode).unwrap_or_default();
    let mut despray = Despray {
        context,
        args,
        job,
        staging: staging_path(&target, job),
        target,
        progress: Arc::new(Progress::new(log, state, context.reporter.clone())),
        tally: Arc::default(),
        file: None,
    };
    let done = despray.run().await;
    context.reporter.progress_end();
    let size = match done {
        Ok(size) => size,
        Err(fault) => return Err(despray.end_with(fault)),
    };
    let fields = Done {
        kind: "despray",
        job: job.to_string(),
        file: despray.target.to_string(),
        generation: despray.progress.state().generation,
        bytes: size.bytes,
        parts: size.parts,
        seconds: started.elapsed().as_secs_f64(),
        chunks_received: despray.tally.chunks(),
        resumed,
    };
    let text = format!(
        "{} -> {}: {} in {} parts, {:.1} s",
        args.source,
        despray.target,
        About(size.bytes),
        size.parts,
        fields.seconds
    );
    context.reporter.result("done", &fields, text);
    Ok(Exit::Done)
}

/// Finds the open job of this command or begins one, after a look at what is there already.
fn begin(context: &Context, args: &DesprayArgs) -> Result<(JobLog, bool), DownloadFault> {
    let target = context.zones.resolve(&args.file, &context.cwd, Want::Write)?;
    let sources = vec![JournalSource::new(target.zone.clone(), &target.path, None)];
    let text = args.source.to_string();
    let header = JobHeader {
        job: context.new_job(),
        kind: JobKind::Despray,
        key: CommandKey::of(JobKind::Despray, &text, &sources, []),
        target: text,
        sources,
        opened_ms: context.now_ms(),
    };
    // A job that stopped while its file got its name finds it there, and is done.
    if context.journal.find(&header.key)?.is_none() {
        check_target(&target, args.overwrite)?;
    }
    Ok(match context.journal.begin(&header)? {
        Begun::New(log) => (log, false),
        Begun::Resumed(log) => (log, true),
    })
}

fn check_target(target: &LandingPath, overwrite: bool) -> Result<(), DownloadFault> {
    let path = target.to_string();
    match target.tree.metadata(&target.path) {
        Ok(found) if found.kind == FileKind::Directory => {
            Err(DownloadFault::TargetIsDirectory { path })
        }
        Ok(_) if !overwrite => Err(DownloadFault::TargetExists { path }),
        Ok(_) => Ok(()),
        Err(error) if error.cause == Cause::Missing => Ok(()),
        Err(source) => Err(DownloadFault::Write { path, source }),
    }
}

fn staging_path(target: &LandingPath, job: JobId) -> RelPath {
    let directory = target.path.parent().unwrap_or_default();
    directory.join(format!(".skyspray-{job}-1")).expect("hexadecimal digits make a plain name")
}

/// What was written.
#[derive(Clone, Copy, Debug)]
struct Size {
    bytes: u64,
    parts: u32,
}

struct Despray<'a> {
    context: &'a Context,
    args: &'a DesprayArgs,
    job: JobId,
    target: LandingPath,
    staging: RelPath,
    progress: Arc<Progress>,
    tally: Arc<Tally>,
    file: Option<Arc<dyn File>>,
}

impl Despray<'_> {
    async fn run(&mut self) -> Result<Size, DownloadFault> {
        let placed = placed_before(&self.target, &self.staging, &self.progress.state());
        if let Some(size) = placed.map_err(|source| self.write_fault(source))? {
            self.finish(Outcome::Committed, size.bytes, None)?;
            return Ok(size);
        }
        check_target(&self.target, self.args.overwrite)?;
        self.drop_state_without_file()?;
        let memory = self.context.config.limits.memory.0;
        let (mut link, mut pools) = (Link::new(self.context), Pools::new(memory));
        let received = loop {
            let before = self.tally.chunks();
            match self.attempt(&mut link, &mut pools).await {
                Err(fault) if fault.is_passing() => {
                    if self.tally.chunks() > before {
                        link.progressed();
                    }
                    link.give_up(fault).await;
                }
                other => break other,
            }
        };
        link.close().await;
        let size = received?;
        self.place(size)?;
        self.finish(Outcome::Committed, size.bytes, None)?;
        Ok(size)
    }

    /// One session's work.
    async fn attempt(
        &mut self,
        link: &mut Link<'_>,
        pools: &mut Pools,
    ) -> Result<Size, DownloadFault> {
        let context = self.context;
        let relay = link.session().await?;
        let opened = open(relay.session(), self.request()).await?;
        let size = Size { bytes: opened.readable.bytes, parts: opened.readable.parts };
        let file = self.prepare(&opened).await?;
        let held = self.progress.state().read;
        let machine = opened.machine(|machine| held.restore(machine))?;
        context.reporter.progress(held.bytes(), Some(size.bytes));
        let (progress, tally) = (Arc::clone(&self.progress), Arc::clone(&self.tally));
        let sink = FileSink::new((file, self.target.to_string()), &opened.parts, progress, tally);
        let receiving = Arc::new(ReceiveJob::new(machine, Arc::new(sink)));
        let pool = pools.for_chunks(opened.readable.chunk_size);
        match opened.receive(context, relay, (&pool, &receiving)).await {
            Ok(()) => Ok(size),
            Err(fault) => Err(or_replaced(relay.session(), self.request(), fault).await),
        }
    }

    fn request(&self) -> OpenRead {
        let state = self.progress.state();
        let source = &self.args.source;
        OpenRead {
            job: self.job,
            target: ReadTarget::LogicalFile {
                plane: source.plane.clone(),
                name: source.name.clone(),
            },
            generation: state.generation,
            held: state.read.runs(),
            in_flight_chunks: in_flight_chunks(self.context.config.limits.memory.0),
        }
    }

    /// The staging file, with room for everything; and in the journal which generation it is for.
    async fn prepare(&mut self, opened: &Opened) -> Result<Arc<dyn File>, DownloadFault> {
        let (target, staging) = (self.target.clone(), self.staging.clone());
        let (progress, readable) = (Arc::clone(&self.progress), opened.readable.clone());
        let known = self.file.clone();
        let prepared = tokio::task::spawn_blocking(move || {
            note_opened(&progress, &readable)?;
            let opened = known.map_or_else(|| open_staging(&target, &staging, readable.bytes), Ok);
            let path = target.to_string();
            opened.map_err(|source| DownloadFault::Write { path, source })
        });
        let file = prepared.await.expect("preparing a file does not panic")?;
        self.file = Some(Arc::clone(&file));
        Ok(file)
    }

    /// Forgets what the journal says of a staging file that is gone.
    fn drop_state_without_file(&self) -> Result<(), DownloadFault> {
        match self.target.tree.metadata(&self.staging) {
            Err(error) if error.cause == Cause::Missing => {
                let held = self.progress.state();
                if held != DesprayState::default() {
                    self.progress.keep(|state| *state = DesprayState::default())?;
                }
                Ok(())
            }
            Err(source) => Err(self.write_fault(source)),
            Ok(_) => Ok(()),
        }
    }

    /// Gives the file its name, once all of it is durable.
    fn place(&self, size: Size) -> Result<(), DownloadFault> {
        let file = self.file.as_ref().expect("a received file was prepared");
        let replace = if self.args.overwrite { Replace::Existing } else { Replace::Never };
        let (tree, target) = (&self.target.tree, &self.target.path);
        let whole = file.set_len(size.bytes).and_then(|()| file.sync_all());
        let found =
            whole.and_then(|()| file.metadata()).map_err(|source| self.write_fault(source))?;
        self.progress.keep(|state| state.placing = Some(found.fingerprint()))?;
        tree.rename(&self.staging, target, replace).map_err(|source| match source.cause {
            Cause::AlreadyExists => DownloadFault::TargetExists { path: self.target.to_string() },
            _ => self.write_fault(source),
        })?;
        sync_directory(&self.target).map_err(|source| self.write_fault(source))
    }

    /// Ends the job after a fault that no later run could mend, and passes the fault on.
    fn end_with(&self, fault: DownloadFault) -> DownloadFault {
        if !fault.ends_job() {
            return fault;
        }
        let dropped = remove_if_there(&*self.target.tree, &self.staging);
        let held = self.progress.state().read.bytes();
        let ended = self.finish(Outcome::Failed, held, Some(fault.to_string()));
        if let Err(error) = dropped.map_err(|source| self.write_fault(source)).and(ended) {
            self.context.reporter.warn(&error.code(), &error);
        }
        fault
    }

    fn finish(
        &self,
        outcome: Outcome,
        bytes: u64,
        detail: Option<String>,
    ) -> Result<(), DownloadFault> {
        let Some(log) = self.progress.take_log() else { return Ok(()) };
        let ended_ms = self.context.now_ms();
        let ended = Ended { outcome, ended_ms, wuid: None, bytes, detail };
        Ok(self.context.journal.finish(log, &ended)?)
    }

    fn write_fault(&self, source: FileError) -> DownloadFault {
        DownloadFault::Write { path: self.target.to_string(), source }
    }
}

/// Whether an earlier run stopped between giving the file its name and ending the job: then what
/// has the name is the file that was staged.
fn placed_before(
    target: &LandingPath,
    staging: &RelPath,
    state: &DesprayState,
) -> Result<Option<Size>, FileError> {
    let Some(staged) = state.placing else { return Ok(None) };
    match target.tree.metadata(staging) {
        Err(error) if error.cause == Cause::Missing => {}
        _ => return Ok(None),
    }
    let Ok(found) = target.tree.metadata(&target.path) else { return Ok(None) };
    // Getting its name changes a file's ctime.
    let renamed = Fingerprint { ctime_nanos: staged.ctime_nanos, ..found.fingerprint() };
    if found.kind != FileKind::Regular || renamed != staged {
        return Ok(None);
    }
    sync_directory(target)?;
    Ok(Some(Size { bytes: found.len, parts: state.parts }))
}

fn sync_directory(target: &LandingPath) -> Result<(), FileError> {
    target.tree.sync_dir(&target.path.parent().unwrap_or_default())
}

/// Notes what the relay opened; what was held of something else does not count any more.
fn note_opened(progress: &Progress, readable: &Readable) -> Result<(), DownloadFault> {
    let state = progress.state();
    if !state.read.fits(readable.chunk_size) {
        progress.keep(|state| *state = DesprayState::default())?;
        return Err(DownloadFault::Redescribed);
    }
    if (state.generation, state.parts) != (readable.generation, readable.parts) {
        progress.keep(|state| {
            state.generation = readable.generation;
            state.parts = readable.parts;
        })?;
    }
    Ok(())
}

fn open_staging(
    target: &LandingPath,
    staging: &RelPath,
    bytes: u64,
) -> Result<Arc<dyn File>, FileError> {
    let (tree, directory) = (&target.tree, staging.parent().unwrap_or_default());
    match tree.open_write(staging, Caching::Buffered) {
        Err(error) if error.cause == Cause::Missing => {}
        other => return other,
    }
    if !directory.is_root() {
        tree.create_dirs(&directory)?;
    }
    let file = tree.create_new(staging, 0o644, Caching::Buffered)?;
    if bytes > 0 {
        file.allocate(bytes)?;
    }
    // What the journal says of this file must not outlive its name.
    tree.sync_dir(&directory)?;
    Ok(file)
}

#[cfg(test)]
mod tests;
