//! Spray: source files to the parts of a logical file.

use super::fault::UploadFault;
use super::job::{self, Standing, Transfer};
use super::reader::SprayPlan;
use super::{blocking, close, feed_settings, give_up, keep_receipt, show_progress};
use crate::cli::SprayArgs;
use crate::context::{CommandError, Context};
use crate::format::{self, FormatError};
use crate::journal::{
    Begun, CommandKey, Ended, JobHeader, JobKind, JobLog, JournalSource, Outcome,
};
use crate::meta;
use crate::session::{PATIENCE, Reconnect, RelaySession};
use crate::size::{About, Count};
use crate::source::{Asked, Selection, Source, SourceError};
use crate::splitting::Splitting;
use serde::Serialize;
use skyspray_link::feed;
use skyspray_link::seam::files::Fingerprint;
use skyspray_link::send::SendJob;
use skyspray_wire::digest::Digest;
use skyspray_wire::message::{
    Attributes, Commit, Committed, Granted, OpenWrite, WriteTarget, merge_attributes,
};
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
    replaced: u64,
    receipt: String,
}

/// A spray, as it is asked for.
struct Spray {
    splitting: Splitting,
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
    let mut request = prepare(ctx, args).await?;
    let fault = match once(ctx, args, &request, began).await? {
        Ok(()) => return Ok(()),
        Err(fault) => fault,
    };
    match &fault {
        UploadFault::Record(error) if request.splitting.was_guessed_wrong(error) => {
            ctx.reporter.warn(
                "footer-elsewhere",
                "rows end elsewhere than the end of the file suggests; they are looked for in all \
                 of it and the spray starts over",
            );
            let mut splitting = request.splitting.clone();
            request.splitting = blocking(move || splitting.measure().map(|()| splitting)).await?;
            once(ctx, args, &request, began).await?.map_err(CommandError::from)
        }
        _ => Err(fault.into()),
    }
}

/// Opens or goes on with the job and sees it to its end; the inner error is why it ended.
async fn once(
    ctx: &Context,
    args: &SprayArgs,
    request: &Prepared,
    began: Instant,
) -> Result<Result<(), UploadFault>, CommandError> {
    let bytes = request.splitting.bytes();
    ctx.reporter.progress(0, Some(bytes));
    let (log, spray) = begin(ctx, args, request).await?;
    let outcome = tokio::select! {
        outcome = run(ctx, args, &spray) => outcome,
        () = ctx.stop.requested() => Err(UploadFault::Interrupted),
    };
    match outcome {
        Ok(sent) => {
            let job = log.job();
            let receipt = keep_receipt(ctx, job, &sent.committed).await?;
            let finished = Finished { job, sent, bytes, began, receipt };
            report(ctx, args, &finished);
            close(ctx, log, &finished.sent.committed, bytes).await?;
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

/// Everything about the sources that is known before a relay is asked.
struct Prepared {
    splitting: Splitting,
    asked: Vec<Asked>,
    /// Attributes of the logical file besides those of its format.
    kept: Attributes,
}

async fn prepare(ctx: &Context, args: &SprayArgs) -> Result<Prepared, CommandError> {
    if args.layout.whole && args.parts == 0 {
        return Err(FormatError::NoSplitPoints.into());
    }
    let meta = match &args.format.meta {
        None => None,
        Some(path) => {
            let path = path.clone();
            Some(blocking(move || meta::read(&path)).await?)
        }
    };
    let (zones, cwd) = (ctx.zones.clone(), ctx.cwd.clone());
    let (names, options) = (args.operands.sources.clone(), args.source_options.clone());
    let selection = blocking(move || Selection::resolve(&zones, &names, &options, &cwd)).await?;
    let name = selection.first_name();
    let wanted = format::wanted(&args.format, &args.layout, meta.as_ref(), name)?;
    selection.warn(&ctx.reporter, args.format.format.is_some());
    let Selection { sources, asked, .. } = selection;
    let splitting = blocking(move || Splitting::look(sources, wanted)).await?;
    let mut kept = meta.as_ref().map(meta::kept).unwrap_or_default();
    if args.record_structure {
        let looked = splitting.clone();
        let record = blocking(move || meta::record_structure(&looked)).await?;
        kept.retain(|(name, _)| name != meta::ECL_ATTRIBUTE);
        kept.push((meta::ECL_ATTRIBUTE.to_owned(), record));
    }
    Ok(Prepared { splitting, asked, kept })
}

/// Finds the job an earlier run of this command left open, or begins one.
async fn begin(
    ctx: &Context,
    args: &SprayArgs,
    request: &Prepared,
) -> Result<(JobLog, Spray), CommandError> {
    let splitting = request.splitting.clone();
    let sources = splitting.sources();
    // A pattern that finds other files than before is the same command with other sources.
    let named: Vec<JournalSource> = request
        .asked
        .iter()
        .map(|asked| JournalSource::new(asked.zone.clone(), &asked.path, None))
        .collect();
    let notes: Vec<JournalSource> = sources
        .iter()
        .map(|source| {
            let at = source.at();
            JournalSource::new(at.zone.clone(), &at.path, Some(*source.fingerprint()))
        })
        .collect();
    let attributes = merge_attributes(splitting.attributes(), &request.kept)
        .map_err(|error| UploadFault::Attributes { error })?;
    let (parts, overwrite) = (args.parts.to_string(), args.overwrite.to_string());
    // What stands around the records decides every part, as the options do.
    let signature = Digest::of(&splitting.signature()).to_string();
    let fixed = [("parts", &*parts), ("overwrite", &*overwrite), ("splitting", &*signature)];
    let options = fixed.into_iter().chain(attributes.iter().map(|(k, v)| (k.as_str(), v.as_str())));
    let key = CommandKey::of(JobKind::Spray, &args.operands.target.to_string(), &named, options);
    let header = |job| JobHeader {
        job,
        kind: JobKind::Spray,
        key,
        target: args.operands.target.to_string(),
        sources: notes.clone(),
        opened_ms: ctx.now_ms(),
    };
    let log = take_up(ctx, &header(ctx.new_job()), sources).await?;
    let prints: Vec<Fingerprint> = sources.iter().map(|source| *source.fingerprint()).collect();
    let plan = postcard::to_stdvec(&(prints, key.0)).expect("fingerprints are plain data");
    let bytes = splitting.bytes();
    let open = OpenWrite {
        job: log.job(),
        target: WriteTarget::LogicalFile {
            plane: args.operands.target.plane.clone(),
            name: args.operands.target.name.clone(),
            parts: if args.layout.whole { 1 } else { args.parts },
        },
        overwrite: args.overwrite,
        bytes,
        plan: Digest::of(&plan),
        attributes,
    };
    Ok((log, Spray { splitting, bytes, open }))
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

/// A transfer under way.
struct Running {
    transfer: Transfer,
    plan: Arc<SprayPlan>,
    /// Parts the relay granted.
    parts: u32,
}

/// What a committed spray was.
struct Sent {
    committed: Committed,
    parts: u32,
    counters: Counters,
    /// Illegal sequences of text that were replaced.
    replaced: u64,
}

async fn run(ctx: &Context, args: &SprayArgs, spray: &Spray) -> Result<Sent, UploadFault> {
    let mut reconnect = Reconnect::new(&ctx.connector, PATIENCE);
    let mut running: Option<Running> = None;
    loop {
        let session = reconnect.session().await?;
        let before = counters(&running).bytes_durable;
        let attempt = attempt(ctx, args, spray, &session, &mut running);
        let outcome = tokio::select! {
            outcome = attempt => outcome,
            error = ctx.connector.keep_identity(&session) => Err(error.into()),
        };
        let counters = counters(&running);
        match outcome {
            Ok(committed) => {
                session.close().await;
                let parts = running.as_ref().map_or(args.parts, |running| running.parts);
                let replaced = running.as_ref().map_or(0, |running| running.plan.replaced());
                return Ok(Sent { committed, parts, counters, replaced });
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

fn counters(running: &Option<Running>) -> Counters {
    let progress = running.as_ref().map(|running| *running.transfer.send.progress().borrow());
    progress.unwrap_or_default()
}

async fn attempt(
    ctx: &Context,
    args: &SprayArgs,
    spray: &Spray,
    session: &RelaySession,
    running: &mut Option<Running>,
) -> Result<Committed, UploadFault> {
    let (granted, held) = match job::open(session.session(), &spray.open).await? {
        Standing::Open { granted, held } => (granted, held),
        Standing::Committed(committed) => return Ok(committed),
    };
    if running.is_none() {
        *running = Some(start(ctx, args, spray, &granted)?);
    }
    let Running { transfer, plan, parts } = running.as_mut().expect("it was just started");
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
    recheck(spray.splitting.sources()).await?;
    let (job, epoch) = (spray.open.job, granted.epoch);
    let (sources, ranges) = plan.origins();
    job::send_origins(session.session(), job, epoch, &sources, &ranges).await?;
    let attributes = plan.late_attributes();
    let commit = Commit { job, epoch, parts: granted.parts, attributes };
    job::commit(session.session(), commit).await
}

/// Starts the threads that read and hash.
fn start(
    ctx: &Context,
    args: &SprayArgs,
    spray: &Spray,
    granted: &Granted,
) -> Result<Running, UploadFault> {
    let wanted = if args.layout.whole { args.parts } else { granted.parts };
    let parts =
        NonZeroU32::new(wanted).ok_or(UploadFault::GrantDiffers { what: "number of parts" })?;
    let plan = Arc::new(SprayPlan::new(spray.splitting.clone(), parts));
    plan.check()?;
    let settings = feed_settings(ctx, args.compress, granted.chunk_size);
    let producing = Arc::clone(&plan);
    let feed = feed::start(&settings, move |producer| producing.produce(producer));
    let feed = feed.map_err(UploadFault::Threads)?;
    let send = SendJob::new(spray.open.job, granted.chunk_size, granted.in_flight_chunks);
    let mut transfer = Transfer::new(send, feed);
    transfer.sealer.set_job(spray.open.job);
    Ok(Running { transfer, plan, parts: granted.parts })
}

/// Proves that every source is still what was read.
async fn recheck(sources: &[Source]) -> Result<(), SourceError> {
    let sources = sources.to_vec();
    blocking(move || sources.iter().try_for_each(Source::recheck)).await
}

struct Finished {
    job: skyspray_wire::ids::JobId,
    sent: Sent,
    bytes: u64,
    began: Instant,
    receipt: std::path::PathBuf,
}

fn report(ctx: &Context, args: &SprayArgs, finished: &Finished) {
    let seconds = finished.began.elapsed().as_secs_f64();
    let Sent { committed, parts, counters, replaced } = &finished.sent;
    let generation = committed.generation.map(|generation| generation.0);
    if *replaced > 0 {
        let places = Count(*replaced, "illegal sequence");
        ctx.reporter.warn("text-replaced", format!("{places} of text replaced by U+FFFD"));
    }
    let done = Done {
        kind: "spray",
        job: finished.job.to_string(),
        wuid: committed.wuid.clone(),
        target: args.operands.target.to_string(),
        generation,
        parts: *parts,
        bytes: finished.bytes,
        seconds,
        chunks_sent: counters.chunks_sent,
        chunks_resent: counters.chunks_resent,
        chunks_held: counters.chunks_held,
        replaced: *replaced,
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
