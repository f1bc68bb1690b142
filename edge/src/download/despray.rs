//! The `despray` command: the parts of a logical file as one file in a landing zone, or as several
//! of another shape.
//!
//! Parts are received into staging files. What is not one of them already is then made of the
//! staged file on this host. Only when everything is there, right and durable do files get their
//! names; the journal knows of it before the first one does.

mod complete;
mod cut;
mod error;
mod manifest;
mod outputs;
mod place;
mod shape;
mod staging;

pub use error::ShapeFault;

use super::fault::DownloadFault;
use super::link::Link;
use super::open_parts::{OpenParts, Staged};
use super::reading::{Opened, Pools, Tally, in_flight_chunks, opened, or_replaced};
use super::single::{DesprayState, FileSink, Files, Progress, Written};
use crate::cli::DesprayArgs;
use crate::context::Context;
use crate::exit::{Exit, Explain as _};
use crate::journal::{
    Begun, CommandKey, Ended, JobHeader, JobKind, JobLog, JournalSource, Outcome,
};
use crate::landing::Want;
use crate::size::{About, Count};
use complete::Completion;
use serde::Serialize;
use shape::{Recipe, Shape, numbered};
use skyspray_link::receive::ReceiveJob;
use skyspray_link::seam::files::{BulkFile, FileKind, RelPath, Replace};
use skyspray_wire::ids::{Generation, JobId, PartIndex};
use skyspray_wire::message::{OpenRead, PartInfo, ReadTarget, Readable, Request};
use staging::Staging;
use std::num::NonZeroU32;
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
    files: u64,
    /// Files that records were split into.
    split: Option<u64>,
    seconds: f64,
    chunks_received: u64,
    resumed: bool,
}

/// Writes a logical file to files of a landing zone, or goes on with an earlier run of the same
/// command.
///
/// # Errors
///
/// See [`DownloadFault`]. What is not final can be run again.
pub async fn despray(context: &Context, args: &DesprayArgs) -> Result<Exit, DownloadFault> {
    let started = Instant::now();
    let shape = Shape::of(args)?;
    let (log, resumed) = begin(context, args, &shape)?;
    let job = log.job();
    let target = context.zones.resolve(&args.file, &context.cwd, Want::Write)?;
    let state = log.checkpoint().map(DesprayState::decode).unwrap_or_default();
    let mut despray = Despray {
        context,
        args,
        job,
        staging: Staging::new(target, job, &shape),
        shape,
        progress: Arc::new(Progress::new(log, state, context.reporter.clone())),
        tally: Arc::default(),
        prepared: None,
    };
    let done = despray.run().await;
    context.reporter.progress_end();
    match done {
        Ok(written) => despray.report(written, started.elapsed().as_secs_f64(), resumed),
        Err(fault) => return Err(despray.end_with(fault)),
    }
    Ok(Exit::Done)
}

/// Finds the open job of this command or begins one, after a look at what is there already.
fn begin(
    context: &Context,
    args: &DesprayArgs,
    shape: &Shape,
) -> Result<(JobLog, bool), DownloadFault> {
    let target = context.zones.resolve(&args.file, &context.cwd, Want::Write)?;
    let sources = vec![JournalSource::new(target.zone.clone(), &target.path, None)];
    let text = args.source.to_string();
    let option = Shape::option(args);
    let options = option.iter().map(|(name, value)| (*name, value.as_str()));
    let header = JobHeader {
        job: context.new_job(),
        kind: JobKind::Despray,
        key: CommandKey::of(JobKind::Despray, &text, &sources, options),
        target: text,
        sources,
        opened_ms: context.now_ms(),
    };
    // A job that stopped while its files got their names finds them there, and is done.
    if context.journal.find(&header.key)?.is_none() {
        check_target(&Staging::new(target, header.job, shape), shape, replace(args))?;
    }
    Ok(match context.journal.begin(&header)? {
        Begun::New(log) => (log, false),
        Begun::Resumed(log) => (log, true),
    })
}

fn replace(args: &DesprayArgs) -> Replace {
    if args.overwrite { Replace::Existing } else { Replace::Never }
}

/// That the target is one of the shape, as far as can be said before the parts are known.
fn check_target(staging: &Staging, shape: &Shape, replace: Replace) -> Result<(), DownloadFault> {
    let shown = || staging.target.to_string();
    match (shape, staging.target.path.file_name()) {
        (Shape::Blobs(_), _) => match staging.find(&staging.target.path)? {
            Some(found) if found.kind != FileKind::Directory => {
                Err(DownloadFault::TargetIsFile { path: shown() })
            }
            _ => Ok(()),
        },
        (_, None) => Err(DownloadFault::TargetIsDirectory { path: shown() }),
        (Shape::Joined, Some(name)) => place::check_name(staging, name, replace),
        _ => Ok(()),
    }
}

/// What a session of this process prepared, for the later ones.
#[derive(Clone, Debug)]
struct Prepared {
    recipe: Recipe,
    files: Files,
    parts: Arc<[PartInfo]>,
}

struct Despray<'a> {
    context: &'a Context,
    args: &'a DesprayArgs,
    job: JobId,
    shape: Shape,
    staging: Staging,
    progress: Arc<Progress>,
    tally: Arc<Tally>,
    prepared: Option<Prepared>,
}

impl Despray<'_> {
    async fn run(&mut self) -> Result<Written, DownloadFault> {
        let (staging, progress) = (self.staging.clone(), Arc::clone(&self.progress));
        let replace = replace(self.args);
        let before = blocking(move || complete::go_on(&staging, &progress, replace)).await?;
        let written = match before {
            Some(written) => written,
            None => {
                check_target(&self.staging, &self.shape, replace)?;
                self.drop_state_without_files()?;
                self.receive().await?;
                self.complete().await?
            }
        };
        self.finish(Outcome::Committed, written.bytes, None)?;
        Ok(written)
    }

    /// Receives everything that is not held, in as many sessions as it takes.
    async fn receive(&mut self) -> Result<(), DownloadFault> {
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
        received
    }

    /// One session's work.
    async fn attempt(
        &mut self,
        link: &mut Link<'_>,
        pools: &mut Pools,
    ) -> Result<(), DownloadFault> {
        let context = self.context;
        let request = self.request();
        let job = request.job;
        let (relay, answer) = link.ask(&Request::OpenRead(request)).await?;
        let opened = opened(job, answer).await?;
        let files = self.prepare(&opened).await?;
        let held = self.progress.state().read;
        let machine = opened.machine(|machine| held.restore(machine))?;
        context.reporter.progress(held.bytes(), Some(opened.readable.bytes));
        let (progress, tally) = (Arc::clone(&self.progress), Arc::clone(&self.tally));
        let target = (files, self.staging.target.to_string());
        let sink = FileSink::new(target, &opened.parts, progress, tally);
        let receiving = Arc::new(ReceiveJob::new(machine, Arc::new(sink)));
        let pool = pools.for_chunks(opened.readable.chunk_size);
        match opened.receive(context, relay, (&pool, &receiving)).await {
            Ok(()) => Ok(()),
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

    /// The staging files; and in the journal which generation they are for.
    async fn prepare(&mut self, opened: &Opened) -> Result<Files, DownloadFault> {
        let recipe = Recipe::of(&self.shape, &opened.readable.attributes, &opened.parts)?;
        let known = self.prepared.take().filter(|known| known.recipe == recipe);
        let (staging, progress) = (self.staging.clone(), Arc::clone(&self.progress));
        let (readable, replace) = (opened.readable.clone(), replace(self.args));
        let parts: Arc<[PartInfo]> = opened.parts.as_slice().into();
        let prepared = blocking(move || {
            note_opened(&progress, &readable)?;
            let files = match known {
                Some(known) => known.files,
                None => {
                    check_names(&staging, &recipe, replace)?;
                    open_files(&staging, &recipe, &progress)?
                }
            };
            Ok(Prepared { recipe, files, parts })
        });
        let prepared = self.prepared.insert(prepared.await?);
        Ok(prepared.files.clone())
    }

    /// Forgets what the journal says of staging files that are gone.
    fn drop_state_without_files(&self) -> Result<(), DownloadFault> {
        let held = self.progress.state();
        if held == DesprayState::default() {
            return Ok(());
        }
        let staging = &self.staging;
        let is_there = match (&self.shape, NonZeroU32::new(held.parts)) {
            (Shape::Wrapped, Some(count)) => {
                let mut all = true;
                for part in held.read.parts() {
                    all &= staging.find(&wrapped(staging, part, count)?)?.is_some();
                }
                all
            }
            _ => staging.find(&staging.joined())?.is_some(),
        };
        if !is_there {
            staging.remove_files().map_err(|error| staging.fault(error))?;
            self.progress.keep(|state| *state = DesprayState::default())?;
        }
        Ok(())
    }

    /// Makes the files of what was received and gives them their names.
    async fn complete(&mut self) -> Result<Written, DownloadFault> {
        let Prepared { recipe, files, parts } = self.prepared.take().expect("it was received");
        if let Recipe::Cut(..) = &recipe {
            let text = "everything is here; it is taken apart";
            self.context.reporter.note("splitting", &Splitting { job: self.job }, text);
        }
        let completion = Completion {
            staging: self.staging.clone(),
            progress: Arc::clone(&self.progress),
            replace: replace(self.args),
            stop: self.context.stop.clone(),
        };
        blocking(move || completion.run(&recipe, &files, &parts)).await
    }

    fn report(&self, written: Written, seconds: f64, resumed: bool) {
        let (state, target) = (self.progress.state(), &self.staging.target);
        let splits = matches!(self.shape, Shape::Sized(_) | Shape::Parts(_));
        let fields = Done {
            kind: "despray",
            job: self.job.to_string(),
            file: target.to_string(),
            generation: state.generation,
            bytes: written.bytes,
            parts: state.parts,
            files: written.files,
            split: splits.then_some(written.files),
            seconds,
            chunks_received: self.tally.chunks(),
            resumed,
        };
        let (source, bytes) = (&self.args.source, About(written.bytes));
        let text = match &self.shape {
            Shape::Joined => {
                format!("{source} -> {target}: {bytes} in {} parts, {seconds:.1} s", state.parts)
            }
            _ => {
                let files = Count(written.files, "file");
                format!("{source} -> {target}: {bytes} in {files}, {seconds:.1} s")
            }
        };
        self.context.reporter.result("done", &fields, text);
    }

    /// Ends the job after a fault that no later run could mend or before anything was received,
    /// and passes the fault on.
    fn end_with(&self, fault: DownloadFault) -> DownloadFault {
        let is_taken = matches!(
            fault,
            DownloadFault::TargetExists { .. } | DownloadFault::TargetIsDirectory { .. }
        );
        // What was received can still get its names with another option; nothing needs no job.
        let is_unbegun = self.progress.state().read.bytes() == 0;
        if !(fault.ends_job() || is_taken && is_unbegun) {
            return fault;
        }
        let dropped = self.staging.remove_all().map_err(|source| self.staging.fault(source));
        let held = self.progress.state().read.bytes();
        let ended = self.finish(Outcome::Failed, held, Some(fault.to_string()));
        if let Err(error) = dropped.and(ended) {
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
}

#[derive(Serialize)]
struct Splitting {
    #[serde(serialize_with = "as_text")]
    job: JobId,
}

fn as_text<S: serde::Serializer>(job: &JobId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(job)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DownloadFault> + Send + 'static,
) -> Result<T, DownloadFault> {
    tokio::task::spawn_blocking(work).await.expect("work on files does not panic")
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

/// That numbered files can have their names; the names of blobs are not known yet.
fn check_names(staging: &Staging, recipe: &Recipe, replace: Replace) -> Result<(), DownloadFault> {
    let count = match recipe {
        Recipe::Wrap(parts) => *parts,
        Recipe::Cut(_, shape::Cut::Records(cut)) => cut.files,
        _ => return Ok(()),
    };
    let target = staging.target.path.file_name().unwrap_or_default();
    (0..count.get())
        .map(|part| numbered(target, PartIndex(part), count))
        .try_for_each(|name| place::check_name(staging, &name, replace))
}

/// Opens or makes the files that parts are received into.
fn open_files(
    staging: &Staging,
    recipe: &Recipe,
    progress: &Progress,
) -> Result<Files, DownloadFault> {
    let fail = |source| staging.fault(source);
    match recipe {
        Recipe::Join(joined) | Recipe::Cut(joined, _) => {
            let file = staging.open_joined(joined.length).map_err(fail)?;
            for (at, bytes) in &joined.added {
                file.write_all_at(bytes, *at).map_err(fail)?;
            }
            let (tree, path) = (&staging.target.tree, staging.joined());
            let file = Arc::new(BulkFile::for_writing(tree, &path, file));
            Ok(Files::One { file, joined: Arc::clone(joined) })
        }
        Recipe::Wrap(count) => {
            let (tree, directory) = (Arc::clone(&staging.target.tree), staging.directory());
            tree.create_dirs(&directory).map_err(fail)?;
            let staged = (0..count.get()).map(|part| {
                let path = wrapped(staging, PartIndex(part), *count)?;
                Ok(Staged { tree: Arc::clone(&tree), path })
            });
            let parts = OpenParts::new(staged.collect::<Result<_, DownloadFault>>()?);
            parts.expect_there(progress.state().read.parts());
            Ok(Files::Each { parts: Arc::new(parts), directory, tree })
        }
    }
}

/// The staging file of a part that becomes a file of its own.
fn wrapped(
    staging: &Staging,
    part: PartIndex,
    count: NonZeroU32,
) -> Result<RelPath, DownloadFault> {
    let name = numbered(staging.target.path.file_name().unwrap_or_default(), part, count);
    staging
        .directory()
        .join(&name)
        .map_err(|source| DownloadFault::Name { name: name.to_string_lossy().into_owned(), source })
}

#[cfg(test)]
mod tests;
