//! Spray: source files to the parts of a logical file.

use super::fault::UploadFault;
use super::job::{self, Standing, Transfer};
use super::reader::SprayPlan;
use super::{blocking, close, feed_settings, give_up, keep_receipt, show_progress};
use crate::cli::{JoinArg, SprayArgs};
use crate::context::{CommandError, Context};
use crate::format;
use crate::journal::{
    Begun, CommandKey, Ended, JobHeader, JobKind, JobLog, JournalSource, Outcome,
};
use crate::session::{PATIENCE, Reconnect, RelaySession};
use crate::size::{About, Count};
use crate::source::{Source, SourceError};
use serde::Serialize;
use skyspray_dfu::format::RecordFormat;
use skyspray_dfu::split::{Join, Layout, SplitOptions};
use skyspray_link::feed;
use skyspray_link::seam::files::Fingerprint;
use skyspray_link::send::SendJob;
use skyspray_wire::digest::Digest;
use skyspray_wire::message::{Commit, Committed, Granted, OpenWrite, WriteTarget};
use skyspray_wire::sender::Counters;
use std::num::NonZeroU32;
use std::sync::Arc;
use tokio::time::Instant;

/// What is said when a spray is done.
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
    receipt: String,
}

/// A spray, as it is asked for.
struct Spray {
    sources: Vec<Source>,
    format: RecordFormat,
    join: Join,
    bytes: u64,
    open: OpenWrite,
}

/// Sprays files into one logical file.
///
/// # Errors
///
/// What the user, the relay or the network is to blame for; the job stays in the journal when the
/// same command can go on with it.
pub async fn spray(ctx: &Context, args: &SprayArgs) -> Result<(), CommandError> {
    let began = Instant::now();
    let (sources, format) = open_sources(ctx, args).await?;
    let bytes = sources.iter().map(Source::length).sum();
    ctx.reporter.progress(0, Some(bytes));
    let (log, spray) = begin(ctx, args, sources, format, bytes).await?;
    let outcome = tokio::select! {
        outcome = run(ctx, args, &spray) => outcome,
        () = ctx.stop.requested() => Err(UploadFault::Interrupted),
    };
    match outcome {
        Ok((committed, parts, counters)) => {
            let job = log.job();
            let receipt = keep_receipt(ctx, job, &committed).await?;
            let finished = Finished { job, committed, parts, counters, bytes, began, receipt };
            report(ctx, args, &finished);
            close(ctx, log, &finished.committed, bytes).await?;
            Ok(())
        }
        Err(fault) => {
            if ends_the_job(&fault) {
                give_up(ctx, log, bytes, &fault).await;
            }
            Err(fault.into())
        }
    }
}

async fn open_sources(
    ctx: &Context,
    args: &SprayArgs,
) -> Result<(Vec<Source>, RecordFormat), CommandError> {
    let (zones, cwd, names) = (ctx.zones.clone(), ctx.cwd.clone(), args.sources.clone());
    let sources = blocking(move || Source::open_all(&zones, &names, &cwd)).await?;
    let first = args.sources.first().and_then(|path| path.file_name()).unwrap_or_default();
    let format = format::resolve(&args.format, first)?;
    Ok((sources, format))
}

/// Finds the job an earlier run of this command left open, or begins one.
async fn begin(
    ctx: &Context,
    args: &SprayArgs,
    sources: Vec<Source>,
    format: RecordFormat,
    bytes: u64,
) -> Result<(JobLog, Spray), CommandError> {
    let notes: Vec<JournalSource> = sources
        .iter()
        .map(|source| {
            let at = source.at();
            JournalSource::new(at.zone.clone(), &at.path, Some(*source.fingerprint()))
        })
        .collect();
    let attributes = format.to_attributes();
    let (parts, overwrite) = (args.parts.to_string(), args.overwrite.to_string());
    let join = match args.join {
        JoinArg::Mend => Join::Mend,
        JoinArg::Verbatim => Join::Verbatim,
    };
    let joined = format!("{join:?}");
    let fixed = [("parts", &*parts), ("overwrite", &*overwrite), ("join", &*joined)];
    let options = fixed.into_iter().chain(attributes.iter().map(|(k, v)| (k.as_str(), v.as_str())));
    let key = CommandKey::of(JobKind::Spray, &args.target.to_string(), &notes, options);
    let header = |job| JobHeader {
        job,
        kind: JobKind::Spray,
        key,
        target: args.target.to_string(),
        sources: notes.clone(),
        opened_ms: ctx.now_ms(),
    };
    let log = take_up(ctx, &header(ctx.new_job()), &sources).await?;
    let prints: Vec<Fingerprint> = sources.iter().map(|source| *source.fingerprint()).collect();
    let plan = postcard::to_stdvec(&(prints, key.0)).expect("fingerprints are plain data");
    let open = OpenWrite {
        job: log.job(),
        target: WriteTarget::LogicalFile {
            plane: args.target.plane.clone(),
            name: args.target.name.clone(),
            parts: args.parts,
        },
        overwrite: args.overwrite,
        bytes,
        plan: Digest::of(&plan),
        attributes,
    };
    Ok((log, Spray { sources, format, join, bytes, open }))
}

/// The job's log; a job whose sources have changed since is given up and begun anew.
async fn take_up(
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

/// Whether nothing a later run could do would let this very job succeed.
fn ends_the_job(fault: &UploadFault) -> bool {
    use skyspray_wire::refusal::Remedy;
    match fault {
        UploadFault::Source(_) | UploadFault::Record(_) => true,
        UploadFault::Refused(refusal) => refusal.code.remedy() != Remedy::Retry,
        _ => false,
    }
}

async fn run(
    ctx: &Context,
    args: &SprayArgs,
    spray: &Spray,
) -> Result<(Committed, u32, Counters), UploadFault> {
    let mut reconnect = Reconnect::new(&ctx.connector, PATIENCE);
    let mut transfer: Option<(Transfer, u32)> = None;
    loop {
        let session = reconnect.session().await?;
        let before = counters(&transfer).bytes_durable;
        let attempt = attempt(ctx, args, spray, &session, &mut transfer);
        let outcome = tokio::select! {
            outcome = attempt => outcome,
            error = ctx.connector.keep_identity(&session) => Err(error.into()),
        };
        let counters = counters(&transfer);
        match outcome {
            Ok((committed, parts)) => {
                session.close().await;
                return Ok((committed, parts, counters));
            }
            Err(fault) if fault.is_passing() => {
                tracing::info!(error = &fault as &dyn std::error::Error, "session ended");
                if counters.bytes_durable > before {
                    reconnect.progressed();
                }
            }
            Err(fault) => {
                session.close().await;
                return Err(fault);
            }
        }
    }
}

fn counters(transfer: &Option<(Transfer, u32)>) -> Counters {
    transfer.as_ref().map(|(transfer, _)| *transfer.send.progress().borrow()).unwrap_or_default()
}

async fn attempt(
    ctx: &Context,
    args: &SprayArgs,
    spray: &Spray,
    session: &RelaySession,
    transfer: &mut Option<(Transfer, u32)>,
) -> Result<(Committed, u32), UploadFault> {
    let (granted, held) = match job::open(session.session(), &spray.open).await? {
        Standing::Open { granted, held } => (granted, held),
        Standing::Committed(committed) => {
            let parts = transfer.as_ref().map_or(args.parts, |(_, parts)| *parts);
            return Ok((committed, parts));
        }
    };
    if transfer.is_none() {
        *transfer = Some((start(ctx, args, spray, &granted)?, granted.parts));
    }
    let (transfer, parts) = transfer.as_mut().expect("it was just started");
    if *parts != granted.parts {
        return Err(UploadFault::GrantDiffers { what: "number of parts" });
    }
    let streams = session.welcome().data_streams;
    let progress = show_progress(ctx, transfer.send.progress(), Some(spray.bytes));
    let nothing = async { Ok(()) };
    tokio::select! {
        sent = transfer.run(session.session(), (&granted, &held), streams, nothing) => sent?,
        never = progress => match never {},
    }
    recheck(&spray.sources).await?;
    let commit = Commit { job: spray.open.job, epoch: granted.epoch, parts: granted.parts };
    Ok((job::commit(session.session(), commit).await?, granted.parts))
}

/// Starts the threads that read and hash.
fn start(
    ctx: &Context,
    args: &SprayArgs,
    spray: &Spray,
    granted: &Granted,
) -> Result<Transfer, UploadFault> {
    let parts = NonZeroU32::new(granted.parts)
        .ok_or(UploadFault::GrantDiffers { what: "number of parts" })?;
    let layout = Layout::implied(spray.sources.len(), parts);
    let options = SplitOptions { parts, layout, join: spray.join };
    let plan = Arc::new(SprayPlan {
        sources: spray.sources.clone(),
        format: spray.format.clone(),
        options,
    });
    plan.check()?;
    let settings = feed_settings(ctx, args.compress, granted.chunk_size);
    let feed = feed::start(&settings, move |producer| plan.produce(producer));
    let feed = feed.map_err(UploadFault::Threads)?;
    let send = SendJob::new(spray.open.job, granted.chunk_size, granted.in_flight_chunks);
    let mut transfer = Transfer::new(send, feed);
    transfer.sealer.set_job(spray.open.job);
    Ok(transfer)
}

/// Proves that every source is still what was read.
async fn recheck(sources: &[Source]) -> Result<(), SourceError> {
    let sources = sources.to_vec();
    blocking(move || sources.iter().try_for_each(Source::recheck)).await
}

struct Finished {
    job: skyspray_wire::ids::JobId,
    committed: Committed,
    parts: u32,
    counters: Counters,
    bytes: u64,
    began: Instant,
    receipt: std::path::PathBuf,
}

fn report(ctx: &Context, args: &SprayArgs, finished: &Finished) {
    let seconds = finished.began.elapsed().as_secs_f64();
    let generation = finished.committed.generation.map(|generation| generation.0);
    let done = Done {
        kind: "spray",
        job: finished.job.to_string(),
        wuid: finished.committed.wuid.clone(),
        target: args.target.to_string(),
        generation,
        parts: finished.parts,
        bytes: finished.bytes,
        seconds,
        chunks_sent: finished.counters.chunks_sent,
        chunks_resent: finished.counters.chunks_resent,
        chunks_held: finished.counters.chunks_held,
        receipt: finished.receipt.display().to_string(),
    };
    let mib = finished.bytes as f64 / f64::from(1 << 20);
    let text = format!(
        "{}: {} in {}, generation {}, {seconds:.1} s ({:.0} MiB/s), job {}\nreceipt: {}",
        done.target,
        About(finished.bytes),
        Count(done.parts.into(), "part"),
        generation.unwrap_or(0),
        mib / seconds.max(0.001),
        done.wuid,
        done.receipt,
    );
    ctx.reporter.progress_end();
    ctx.reporter.result("done", &done, text);
}
