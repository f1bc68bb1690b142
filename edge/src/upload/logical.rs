//! A job that writes the parts of one logical file, from the journal to its report: what a spray
//! and a push of part files have in common.

use super::copies::Copies;
use super::fault::UploadFault;
use super::job::{self, Standing, Transfer};
use super::reader::SprayPlan;
use super::{
    blocking, close, feed_settings, gave_up, give_up, keep_receipt, note_outage, show_progress,
};
use crate::config::Compress;
use crate::context::{CommandError, Context};
use crate::journal::{Begun, Ended, JobHeader, JobLog, Outcome};
use crate::session::{PATIENCE, Reconnect, RelaySession};
use crate::size::{About, Count};
use crate::source::{Source, SourceError};
use crate::splitting::Splitting;
use serde::Serialize;
use skyspray_link::feed::{self, Producer};
use skyspray_link::request::Exchange;
use skyspray_link::send::SendJob;
use skyspray_wire::message::{
    Attributes, Commit, Committed, Granted, OpenWrite, OriginRange, Request, SourceNote,
    WriteTarget,
};
use skyspray_wire::refusal::{RefusalCode, Remedy};
use skyspray_wire::sender::Counters;
use std::num::NonZeroU32;
use std::sync::Arc;
use tokio::time::Instant;

/// What is said when the logical file is committed.
#[derive(Serialize)]
struct Done {
    kind: &'static str,
    job: String,
    wuid: String,
    target: String,
    generation: Option<u64>,
    parts: u32,
    bytes: u64,
    seconds: f64,
    chunks_sent: u64,
    chunks_resent: u64,
    chunks_held: u64,
    replaced: u64,
    receipt: String,
}

/// A job as it is asked for.
pub(super) struct Writing {
    /// `spray` or `push`.
    pub(super) kind: &'static str,
    /// The logical file as the user is told of it.
    pub(super) target: String,
    pub(super) open: OpenWrite,
    pub(super) reads: Reads,
    pub(super) compress: Option<Compress>,
    pub(super) began: Instant,
}

/// What the parts are read from.
pub(super) enum Reads {
    /// Sources that are split; into so many parts where the relay's number is not that of the
    /// split points.
    Split { splitting: Box<Splitting>, points: Option<u32> },
    /// Files that are the parts.
    Copies(Arc<Copies>),
}

impl Reads {
    fn sources(&self) -> &[Source] {
        match self {
            Self::Split { splitting, .. } => splitting.sources(),
            Self::Copies(copies) => copies.sources(),
        }
    }

    /// How the number of parts that was granted is filled.
    fn plan(&self, granted: u32) -> Result<Plan, UploadFault> {
        match self {
            Self::Split { splitting, points } => {
                let parts = NonZeroU32::new(points.unwrap_or(granted));
                let parts = parts.ok_or(UploadFault::GrantDiffers { what: "number of parts" })?;
                let plan = SprayPlan::new((**splitting).clone(), parts);
                plan.check()?;
                Ok(Plan::Split(Box::new(plan)))
            }
            Self::Copies(copies) if copies.sources().len() == granted as usize => {
                Ok(Plan::Copies(Arc::clone(copies)))
            }
            Self::Copies(_) => Err(UploadFault::GrantDiffers { what: "number of parts" }),
        }
    }
}

/// What is read, in how many parts.
enum Plan {
    Split(Box<SprayPlan>),
    Copies(Arc<Copies>),
}

impl Plan {
    fn produce(&self, producer: &Producer<UploadFault>) -> Result<(), UploadFault> {
        match self {
            Self::Split(plan) => plan.produce(producer),
            Self::Copies(copies) => copies.produce(producer),
        }
    }

    fn origins(&self) -> (Vec<SourceNote>, Vec<OriginRange>) {
        match self {
            Self::Split(plan) => plan.origins(),
            Self::Copies(copies) => copies.origins(),
        }
    }

    fn late_attributes(&self) -> Attributes {
        match self {
            Self::Split(plan) => plan.late_attributes(),
            Self::Copies(_) => Attributes::new(),
        }
    }

    fn replaced(&self) -> u64 {
        match self {
            Self::Split(plan) => plan.replaced(),
            Self::Copies(_) => 0,
        }
    }
}

/// The job's log; a job whose sources have changed since is given up and begun anew.
pub(super) async fn take_up(
    ctx: &Context,
    header: &JobHeader,
    sources: &[Source],
) -> Result<JobLog, CommandError> {
    let begin = || {
        let (journal, header) = (ctx.journal.clone(), header.clone());
        blocking(move || journal.begin(&header))
    };
    let log = match begin().await? {
        Begun::New(log) => return Ok(log),
        Begun::Resumed(log) => log,
    };
    let same = sources.len() == log.header().sources.len()
        && sources.iter().zip(&log.header().sources).all(|(source, noted)| {
            noted
                .fingerprint
                .is_some_and(|earlier| source.fingerprint().changed_since(&earlier).is_none())
        });
    if same {
        let job = log.job().to_string();
        ctx.reporter.note("resumed", &Resumed { job: &job }, format!("going on with job {job}"));
        return Ok(log);
    }
    ctx.reporter
        .warn("source-changed", "a source changed since the interrupted run; this run starts over");
    super::abort(ctx, log.job()).await;
    let ended = Ended {
        outcome: Outcome::Failed,
        ended_ms: ctx.now_ms(),
        wuid: None,
        bytes: 0,
        detail: Some("a source changed between two runs".to_owned()),
    };
    let journal = ctx.journal.clone();
    blocking(move || journal.finish(log, &ended)).await?;
    match begin().await? {
        Begun::New(log) | Begun::Resumed(log) => Ok(log),
    }
}

#[derive(Serialize)]
struct Resumed<'a> {
    job: &'a str,
}

/// Sees the job to its end; the inner error is why it ended.
pub(super) async fn write(
    ctx: &Context,
    log: JobLog,
    writing: &Writing,
) -> Result<Result<(), UploadFault>, CommandError> {
    let bytes = writing.open.bytes;
    ctx.reporter.progress(0, Some(bytes));
    let outcome = tokio::select! {
        outcome = run(ctx, writing) => outcome,
        () = ctx.stop.requested() => Err(UploadFault::Interrupted),
    };
    match outcome {
        Ok(sent) => {
            let receipt = keep_receipt(ctx, log.job(), &sent.committed).await?;
            report(ctx, writing, &sent, &receipt);
            close(ctx, log, &sent.committed, bytes).await?;
            Ok(Ok(()))
        }
        Err(fault) => {
            if ends_the_job(&fault) {
                give_up(ctx, log, bytes, &fault).await;
            }
            Ok(Err(fault))
        }
    }
}

/// Whether nothing a later run could do would let this very job succeed.
fn ends_the_job(fault: &UploadFault) -> bool {
    match fault {
        UploadFault::Source(_) | UploadFault::Record(_) | UploadFault::Parts(_) => true,
        // Once its operator has seen to it the job goes on with what it has.
        UploadFault::Refused(refusal) if refusal.code == RefusalCode::PlaneDenied => false,
        UploadFault::Refused(refusal) => refusal.code.remedy() != Remedy::Retry,
        _ => false,
    }
}

/// A transfer under way.
struct Running {
    transfer: Transfer,
    plan: Arc<Plan>,
    /// Parts the relay granted.
    parts: u32,
}

/// What a committed job was.
struct Sent {
    committed: Committed,
    parts: u32,
    counters: Counters,
    /// Illegal sequences of text that were replaced.
    replaced: u64,
}

async fn run(ctx: &Context, writing: &Writing) -> Result<Sent, UploadFault> {
    let mut reconnect = Reconnect::new(&ctx.connector, PATIENCE);
    let mut running: Option<Running> = None;
    let mut last = None;
    let open = Request::OpenWrite(writing.open.clone());
    loop {
        let opened = reconnect.session_asking(&open).await;
        let (session, answer) = opened.map_err(|error| gave_up(error, &mut last))?;
        let before = counters(&running).bytes_durable;
        let attempt = attempt(ctx, writing, (&session, answer), &mut running);
        let outcome = tokio::select! {
            outcome = attempt => outcome,
            error = ctx.connector.keep_identity(&session) => Err(error.into()),
        };
        let counters = counters(&running);
        match outcome {
            Ok(committed) => {
                session.close().await;
                let asked = match &writing.open.target {
                    WriteTarget::LogicalFile { parts, .. } => *parts,
                    WriteTarget::Files { .. } => 0,
                };
                let parts = running.as_ref().map_or(asked, |running| running.parts);
                let replaced = running.as_ref().map_or(0, |running| running.plan.replaced());
                return Ok(Sent { committed, parts, counters, replaced });
            }
            Err(fault) if fault.is_passing() => {
                tracing::info!(error = &fault as &dyn std::error::Error, "session ended");
                if counters.bytes_durable > before {
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

fn counters(running: &Option<Running>) -> Counters {
    let progress = running.as_ref().map(|running| *running.transfer.send.progress().borrow());
    progress.unwrap_or_default()
}

async fn attempt(
    ctx: &Context,
    writing: &Writing,
    (session, answer): (&RelaySession, Exchange),
    running: &mut Option<Running>,
) -> Result<Committed, UploadFault> {
    let (granted, held) = match job::opened(answer).await? {
        Standing::Open { granted, held } => (granted, held),
        Standing::Committed(committed) => return Ok(committed),
    };
    if running.is_none() {
        *running = Some(start(ctx, writing, &granted)?);
    }
    let Running { transfer, plan, parts } = running.as_mut().expect("it was just started");
    if *parts != granted.parts {
        return Err(UploadFault::GrantDiffers { what: "number of parts" });
    }
    let streams = session.welcome().data_streams;
    let progress = show_progress(ctx, transfer.send.progress(), Some(writing.open.bytes));
    let session = session.session();
    let end = async |seals| {
        let (job, epoch) = (writing.open.job, granted.epoch);
        let (sources, ranges) = plan.origins();
        let told = job::send_origins(session, job, epoch, &sources, &ranges);
        let unchanged = async { Ok(recheck(writing.reads.sources()).await?) };
        tokio::try_join!(unchanged, told)?;
        let attributes = plan.late_attributes();
        let commit = Commit { job, epoch, parts: granted.parts, attributes, seals };
        Ok(session.request(&Request::Commit(commit)).await?)
    };
    tokio::select! {
        committed = transfer.run_to_end((session, streams), (&granted, &held), end) => committed,
        never = progress => match never {},
    }
}

/// Starts the threads that read and hash.
fn start(ctx: &Context, writing: &Writing, granted: &Granted) -> Result<Running, UploadFault> {
    let plan = Arc::new(writing.reads.plan(granted.parts)?);
    let settings = feed_settings(ctx, writing.compress, granted.chunk_size);
    let producing = Arc::clone(&plan);
    let feed = feed::start(&settings, move |producer| producing.produce(producer));
    let feed = feed.map_err(UploadFault::Threads)?;
    let job = writing.open.job;
    let send = SendJob::new(job, granted.chunk_size, granted.in_flight_chunks);
    let mut transfer = Transfer::new(send, feed);
    transfer.sealer.set_job(job);
    Ok(Running { transfer, plan, parts: granted.parts })
}

/// Proves that every source is still what was read.
async fn recheck(sources: &[Source]) -> Result<(), SourceError> {
    let sources = sources.to_vec();
    blocking(move || sources.iter().try_for_each(Source::recheck)).await
}

fn report(ctx: &Context, writing: &Writing, sent: &Sent, receipt: &std::path::Path) {
    let seconds = writing.began.elapsed().as_secs_f64();
    let Sent { committed, parts, counters, replaced } = sent;
    let bytes = writing.open.bytes;
    let generation = committed.generation.map(|generation| generation.0);
    if *replaced > 0 {
        let places = Count(*replaced, "illegal sequence");
        ctx.reporter.warn("text-replaced", format!("{places} of text replaced by U+FFFD"));
    }
    let done = Done {
        kind: writing.kind,
        job: writing.open.job.to_string(),
        wuid: committed.wuid.clone(),
        target: writing.target.clone(),
        generation,
        parts: *parts,
        bytes,
        seconds,
        chunks_sent: counters.chunks_sent,
        chunks_resent: counters.chunks_resent,
        chunks_held: counters.chunks_held,
        replaced: *replaced,
        receipt: receipt.display().to_string(),
    };
    let mib = bytes as f64 / f64::from(1 << 20);
    let text = format!(
        "{}: {} in {}, generation {}, {seconds:.1} s ({:.0} MiB/s), job {}\nreceipt: {}",
        done.target,
        About(bytes),
        Count(done.parts.into(), "part"),
        generation.unwrap_or(0),
        mib / seconds.max(0.001),
        done.wuid,
        done.receipt,
    );
    ctx.reporter.progress_end();
    ctx.reporter.result("done", &done, text);
}
