//! Push: files and directories 1:1 to a directory of a plane, each visible when it is whole.

use super::fault::UploadFault;
use super::files::{FileFault, Note, Opener, READ_QUEUE, produce};
use super::job::{self, Standing, Transfer};
use super::survey::survey;
use super::{
    blocking, close, feed_settings, gave_up, give_up, keep_receipt, note_outage, show_progress,
};
use crate::cli::{PathTarget, PushArgs, PushTarget};
use crate::context::{CommandError, Context};
use crate::exit::{Exit, Explain};
use crate::journal::{Begun, CommandKey, JobHeader, JobKind, JobLog, JournalSource};
use crate::landing::{LandingPath, Want};
use crate::meta::PartsFault;
use crate::session::{PATIENCE, Reconnect, RelaySession};
use crate::size::{About, Count};
use crate::source::{SourceError, Walk, plane_name};
use serde::Serialize;
use skyspray_link::feed;
use skyspray_link::send::SendJob;
use skyspray_wire::digest::Digest;
use skyspray_wire::message::{
    Attributes, Commit, Committed, Granted, OpenWrite, Request, WriteTarget,
};
use skyspray_wire::name::PlanePath;
use skyspray_wire::refusal::{Refusal, RefusalCode, Remedy};
use skyspray_wire::sender::Counters;
use std::borrow::Cow;
use std::os::unix::ffi::OsStrExt as _;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Notes about single files that may wait to be shown.
const NOTES: usize = 256;

/// What is said when a push is done.
#[derive(Serialize)]
struct Done {
    kind: &'static str,
    job: String,
    wuid: String,
    target: String,
    files: u64,
    files_unchanged: u64,
    files_failed: u64,
    bytes: u64,
    seconds: f64,
    chunks_sent: u64,
    chunks_resent: u64,
    chunks_held: u64,
    receipt: String,
}

/// Some files of a push failed; the others are stored.
#[derive(Debug, thiserror::Error)]
#[error("{failed} of {files} files failed")]
pub(super) struct SomeFailed {
    pub(super) failed: u64,
    pub(super) files: u64,
}

impl Explain for SomeFailed {
    fn exit(&self) -> Exit {
        Exit::SomeFailed
    }

    fn code(&self) -> Cow<'static, str> {
        "some-files-failed".into()
    }

    fn advice(&self) -> Option<String> {
        Some("see the messages above, then run the same command again for those files".to_owned())
    }
}

/// One file that the relay did not take.
#[derive(Debug, thiserror::Error)]
#[error("{at}")]
struct FileRefused {
    at: String,
    source: Refusal,
}

impl Explain for FileRefused {
    fn exit(&self) -> Exit {
        self.source.exit()
    }

    fn code(&self) -> Cow<'static, str> {
        Explain::code(&self.source)
    }

    fn advice(&self) -> Option<String> {
        self.source.advice()
    }
}

/// Pushes files and directories to a plane.
///
/// # Errors
///
/// What the user, the relay or the network is to blame for; [`SomeFailed`] when only some files
/// could not be sent.
pub async fn push(ctx: &Context, args: &PushArgs) -> Result<(), CommandError> {
    if let Some(meta) = &args.meta {
        return super::parts::push(ctx, args, meta).await;
    }
    let target = match &args.operands.target {
        PushTarget::Directory(target) => target,
        PushTarget::LogicalFile(file) => {
            return Err(PartsFault::NoMeta { target: file.to_string() }.into());
        }
    };
    push_files(ctx, args, target).await
}

async fn push_files(
    ctx: &Context,
    args: &PushArgs,
    target: &PathTarget,
) -> Result<(), CommandError> {
    let began = Instant::now();
    let roots = resolve(ctx, args)?;
    if args.dry_run {
        return survey(ctx, target.to_string(), roots).await;
    }
    let mut failed = Failed::default();
    let first = send_all(ctx, (args, target), &roots, &mut failed).await;
    let (log, committed, totals) = match first {
        Err(Unsent::Drifted) => {
            let text = "files came or went since the interrupted run; this run starts over, and \
                        what was sent is not sent again";
            ctx.reporter.warn("files-changed", text);
            failed = Failed::default();
            send_all(ctx, (args, target), &roots, &mut failed).await
        }
        other => other,
    }
    .map_err(Unsent::into_error)?;
    let job = log.job();
    let receipt = keep_receipt(ctx, job, &committed).await?;
    let done = Done {
        kind: "push",
        job: job.to_string(),
        wuid: committed.wuid.clone(),
        target: target.to_string(),
        files: totals.files,
        files_unchanged: totals.unchanged,
        files_failed: failed.files,
        bytes: totals.bytes,
        seconds: began.elapsed().as_secs_f64(),
        chunks_sent: totals.counters.chunks_sent,
        chunks_resent: totals.counters.chunks_resent,
        chunks_held: totals.counters.chunks_held,
        receipt: receipt.display().to_string(),
    };
    report(ctx, &done);
    close(ctx, log, &committed, totals.bytes).await?;
    if failed.files > 0 {
        let files = totals.files + totals.unchanged + failed.files;
        return Err(SomeFailed { failed: failed.files, files }.into());
    }
    Ok(())
}

/// Why a push did not come to its end.
enum Unsent {
    /// The directory is not the one an earlier run numbered; the job is given up.
    Drifted,
    Failed(CommandError),
}

impl Unsent {
    fn into_error(self) -> CommandError {
        match self {
            Self::Failed(error) => error,
            Self::Drifted => UploadFault::GrantDiffers { what: "files" }.into(),
        }
    }
}

/// Sends everything below `roots` in one job, which an earlier run may have begun.
async fn send_all(
    ctx: &Context,
    (args, target): (&PushArgs, &PathTarget),
    roots: &[(LandingPath, PlanePath)],
    failed: &mut Failed,
) -> Result<(JobLog, Committed, Totals), Unsent> {
    let (log, open) = begin(ctx, (args, target), roots).await.map_err(Unsent::Failed)?;
    let walks = roots.iter().map(|(at, below)| Walk::new(at.clone(), below.clone())).collect();
    let outcome = tokio::select! {
        outcome = run(ctx, args, &open, walks, failed) => outcome,
        () = ctx.stop.requested() => Err(UploadFault::Interrupted),
    };
    let fault = match outcome {
        Ok((committed, totals)) => return Ok((log, committed, totals)),
        Err(fault) => fault,
    };
    if let UploadFault::Refused(refusal) = &fault
        && refusal.code.remedy() != Remedy::Retry
        && refusal.code != RefusalCode::PlaneDenied
    {
        let drifted = refusal.code == RefusalCode::JobDiffers;
        give_up(ctx, log, 0, &fault).await;
        if drifted {
            return Err(Unsent::Drifted);
        }
    }
    Err(Unsent::Failed(fault.into()))
}

fn report(ctx: &Context, done: &Done) {
    let text = format!(
        "{}: {}, {}, {} unchanged, {} failed, {:.1} s, job {}\nreceipt: {}",
        done.target,
        Count(done.files, "file"),
        About(done.bytes),
        done.files_unchanged,
        done.files_failed,
        done.seconds,
        done.wuid,
        done.receipt,
    );
    ctx.reporter.progress_end();
    ctx.reporter.result("done", done, text);
}

/// What is pushed, and the path below the target each thing goes to: its own name, but for a
/// directory written with a `/` at the end, whose content goes straight to the target.
fn resolve(ctx: &Context, args: &PushArgs) -> Result<Vec<(LandingPath, PlanePath)>, CommandError> {
    let mut roots = Vec::with_capacity(args.operands.sources.len());
    for path in &args.operands.sources {
        let at = ctx.zones.resolve(path, &ctx.cwd, Want::Read)?;
        if !at.path.is_root() {
            at.tree.metadata(&at.path).map_err(|error| SourceError::of(&at, error))?;
        }
        let content_only = path.as_os_str().as_bytes().ends_with(b"/") || at.path.is_root();
        let below = if content_only { PlanePath::default() } else { plane_name(&at)? };
        roots.push((at, below));
    }
    Ok(roots)
}

async fn begin(
    ctx: &Context,
    (args, at): (&PushArgs, &PathTarget),
    roots: &[(LandingPath, PlanePath)],
) -> Result<(JobLog, OpenWrite), CommandError> {
    let sources: Vec<JournalSource> =
        roots.iter().map(|(at, _)| JournalSource::new(at.zone.clone(), &at.path, None)).collect();
    let overwrite = args.overwrite.to_string();
    let places: Vec<String> = roots.iter().map(|(_, below)| below.to_string()).collect();
    let options = std::iter::once(("overwrite", &*overwrite))
        .chain(places.iter().map(|below| ("below", below.as_str())));
    let target = at.to_string();
    let key = CommandKey::of(JobKind::Push, &target, &sources, options);
    let header = JobHeader {
        job: ctx.new_job(),
        kind: JobKind::Push,
        key,
        target,
        sources,
        opened_ms: ctx.now_ms(),
    };
    let journal = ctx.journal.clone();
    let log = match blocking(move || journal.begin(&header)).await? {
        Begun::New(log) | Begun::Resumed(log) => log,
    };
    let open = OpenWrite {
        job: log.job(),
        target: WriteTarget::Files { plane: at.plane.clone(), directory: at.path.clone() },
        overwrite: args.overwrite,
        bytes: 0,
        plan: Digest(key.0),
        attributes: Vec::new(),
    };
    Ok((log, open))
}

/// Files that are not stored.
#[derive(Default)]
struct Failed {
    files: u64,
    /// Those of them that were opened at the relay before, and their bytes.
    opened: u64,
    opened_bytes: u64,
}

impl Failed {
    fn count(&mut self) {
        self.files += 1;
    }

    fn count_opened(&mut self, length: u64) {
        self.count();
        self.opened += 1;
        self.opened_bytes += length;
    }
}

/// What a push amounts to: what is stored, and what was there before.
struct Totals {
    files: u64,
    unchanged: u64,
    bytes: u64,
    counters: Counters,
}

/// What is kept from session to session.
struct State {
    transfer: Transfer,
    opener: Opener,
}

async fn run(
    ctx: &Context,
    args: &PushArgs,
    open: &OpenWrite,
    walks: Vec<Walk>,
    failed: &mut Failed,
) -> Result<(Committed, Totals), UploadFault> {
    let (notes, mut said) = mpsc::channel(NOTES);
    let mut walks = Some(walks);
    let mut state: Option<State> = None;
    let mut reconnect = Reconnect::new(&ctx.connector, PATIENCE);
    let mut last = None;
    let request = Request::OpenWrite(open.clone());
    loop {
        let opened = reconnect.session_asking(&request).await;
        let (session, answer) = opened.map_err(|error| gave_up(error, &mut last))?;
        let before = counters(&state);
        let attempt = async {
            let (granted, held) = match job::opened(answer).await? {
                Standing::Open { granted, held } => (granted, held),
                Standing::Committed(committed) => return Ok(committed),
            };
            if let Some(walks) = walks.take() {
                state = Some(start(ctx, args, open, &granted, (walks, notes.clone()))?);
            }
            let state = state.as_mut().expect("it was just started");
            send(ctx, &session, state, (&granted, &held), open).await
        };
        let listen = async {
            while let Some(note) = said.recv().await {
                show(ctx, note, failed);
            }
        };
        let outcome = tokio::select! {
            outcome = attempt => outcome,
            () = listen => Err(UploadFault::Unexpected),
            error = ctx.connector.keep_identity(&session) => Err(error.into()),
        };
        while let Ok(note) = said.try_recv() {
            show(ctx, note, failed);
        }
        match outcome {
            Ok(committed) => {
                session.close().await;
                refused_at_seal(ctx, &mut state, failed);
                return Ok((committed, totals(&state, failed)));
            }
            Err(fault) if fault.is_passing() => {
                tracing::info!(error = &fault as &dyn std::error::Error, "session ended");
                if counters(&state).bytes_durable > before.bytes_durable {
                    reconnect.progressed();
                }
                if fault.is_move() || session.was_moved() {
                    reconnect.moved();
                }
                note_outage(ctx, &mut reconnect, &fault);
                last = Some(fault);
                session.close().await;
            }
            Err(fault) => {
                session.close().await;
                return Err(fault);
            }
        }
    }
}

fn start(
    ctx: &Context,
    args: &PushArgs,
    open: &OpenWrite,
    granted: &Granted,
    (walks, notes): (Vec<Walk>, mpsc::Sender<Note>),
) -> Result<State, UploadFault> {
    let (tasks, reading) = mpsc::channel(READ_QUEUE);
    let settings = feed_settings(ctx, args.compress, granted.chunk_size);
    let told = notes.clone();
    let feed = feed::start(&settings, move |producer| produce(reading, &told, producer));
    let feed = feed.map_err(UploadFault::Threads)?;
    let send = SendJob::new(open.job, granted.chunk_size, granted.in_flight_chunks);
    let mut transfer = Transfer::new(send, feed);
    transfer.sealer.set_job(open.job);
    let names = transfer.sealer.names();
    Ok(State { transfer, opener: Opener::new(walks, tasks, notes, names) })
}

async fn send(
    ctx: &Context,
    session: &RelaySession,
    state: &mut State,
    (granted, held): (&Granted, &[skyspray_wire::message::Held]),
    open: &OpenWrite,
) -> Result<Committed, UploadFault> {
    let State { transfer, opener } = state;
    let streams = session.welcome().data_streams;
    let progress = show_progress(ctx, transfer.send.progress(), None);
    let opening = opener.run(session.session(), (open.job, granted.epoch));
    tokio::select! {
        sent = transfer.run((session.session(), streams), (granted, held), opening) => sent?,
        never = progress => match never {},
    }
    if transfer.send.plan_parts() != Some(opener.parts()) {
        let reason = "the files read are not the files opened".to_owned();
        return Err(UploadFault::Broken { reason });
    }
    let commit = Commit {
        job: open.job,
        epoch: granted.epoch,
        parts: opener.parts(),
        attributes: Attributes::new(),
        seals: Vec::new(),
    };
    job::commit(session.session(), commit).await
}

fn counters(state: &Option<State>) -> Counters {
    state.as_ref().map(|state| *state.transfer.send.progress().borrow()).unwrap_or_default()
}

fn totals(state: &Option<State>, failed: &Failed) -> Totals {
    let counters = counters(state);
    match state {
        Some(State { opener, .. }) => Totals {
            files: opener.files - failed.opened,
            unchanged: opener.unchanged,
            bytes: opener.bytes - failed.opened_bytes,
            counters,
        },
        None => Totals { files: 0, unchanged: 0, bytes: 0, counters },
    }
}

/// Shows a note, and counts the file when it failed.
fn show(ctx: &Context, note: Note, failed: &mut Failed) {
    match note {
        Note::Skipped(text) => ctx.reporter.warn("skipped", text),
        Note::Fault(FileFault::Source(error)) => {
            failed.count();
            ctx.reporter.file_error(&error);
        }
        Note::Fault(FileFault::Unread { error, length }) => {
            failed.count_opened(length);
            ctx.reporter.file_error(&error);
        }
        Note::Fault(FileFault::Refused { at, refusal }) => {
            failed.count();
            ctx.reporter.file_error(&FileRefused { at: at.to_string(), source: refusal });
        }
    }
}

/// Shows the files the relay had no place for when they were whole, and counts them.
fn refused_at_seal(ctx: &Context, state: &mut Option<State>, failed: &mut Failed) {
    let Some(State { transfer, .. }) = state else { return };
    for (file, source) in transfer.sealer.take_refused() {
        failed.count_opened(file.as_ref().map_or(0, |file| file.length));
        let at = file.map_or_else(String::new, |file| file.at.to_string());
        ctx.reporter.file_error(&FileRefused { at, source });
    }
}
