//! Sending jobs: spray and push. Chunks are read, hashed and compressed on threads of their own;
//! here is what is asked of the relay, in which order, and what happens when a session is lost.

mod chunker;
mod copies;
mod fault;
mod files;
mod job;
mod logical;
mod parts;
mod push;
mod reader;
mod spray;
mod survey;

pub use fault::UploadFault;
pub use push::push;
pub use spray::spray;

use crate::config::Compress;
use crate::context::Context;
use crate::journal::{Ended, JobLog, Outcome};
use crate::receipts::{ReceiptError, ReceiptStore};
use crate::session::{ConnectError, OUTAGE_PATIENCE, Reconnect};
use skyspray_link::codec::Compression;
use skyspray_link::feed::FeedSettings;
use skyspray_link::seam::files::BufferPool;
use skyspray_wire::ids::{ChunkSize, JobId};
use skyspray_wire::message::{Committed, Request};
use skyspray_wire::sender::Counters;
use std::path::PathBuf;
use tokio::sync::watch;
use tokio::time::{Duration, timeout};

/// How long a relay may take to hear that a job is given up.
const ABORT_DEADLINE: Duration = Duration::from_secs(5);

/// Threads that hash and compress, at most: each has memory of its own for compressed chunks.
const ENCODERS_MAX: usize = 4;

/// Runs blocking work on a thread for it.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("blocking work does not panic")
}

/// How the feed of a job works within the memory the edge may use.
fn feed_settings(ctx: &Context, compress: Option<Compress>, chunk_size: ChunkSize) -> FeedSettings {
    let chunk = u64::from(chunk_size.bytes());
    // Half of the memory holds chunks, compressed or not; the rest is for compressing and the connection.
    // One is read into, one on its way through the encoder, one in flight: fewer cannot work.
    let chunks = (ctx.config.limits.memory.0 / 2 / chunk).clamp(3, 1024);
    let chunks = usize::try_from(chunks).expect("at most 1024");
    FeedSettings {
        chunk_size,
        compression: match compress.unwrap_or(ctx.config.limits.compress) {
            Compress::Auto => Compression::Auto,
            Compress::Off => Compression::Off,
            Compress::Level(level) => Compression::Level(level),
        },
        buffers: BufferPool::new(chunks, chunk_size.bytes() as usize),
        encoders: encoders(),
    }
}

/// Threads that hash and compress: as many as there are cores, up to what a link is likely to need.
fn encoders() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(ENCODERS_MAX)
}

/// Shows how far a job is until it is dropped.
async fn show_progress(
    ctx: &Context,
    mut counters: watch::Receiver<Counters>,
    total: Option<u64>,
) -> std::convert::Infallible {
    loop {
        ctx.reporter.progress(counters.borrow_and_update().bytes_durable, total);
        if counters.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Takes note of why a session of the job ended, and tells the user once when it is the relay's
/// storage that is away.
fn note_outage(ctx: &Context, reconnect: &mut Reconnect<'_>, fault: &UploadFault) {
    if reconnect.ended(fault.is_outage()) {
        let seconds = OUTAGE_PATIENCE.as_secs();
        ctx.reporter
            .warn("plane-unavailable", format!("{fault}; waiting up to {seconds} s for it"));
    }
}

/// What a job ends with that got no other session: what ended the last one says more than that
/// there was no progress.
fn gave_up(error: ConnectError, last: &mut Option<UploadFault>) -> UploadFault {
    match (error, last.take()) {
        (ConnectError::NoProgress { .. }, Some(fault)) => fault,
        (error, _) => error.into(),
    }
}

/// Checks and keeps the receipt of a committed job; returns where it is.
async fn keep_receipt(
    ctx: &Context,
    job: JobId,
    committed: &Committed,
) -> Result<PathBuf, SettleError> {
    let keys = ctx.connector.identity().receipt_keys.clone();
    let (state, receipt) = (ctx.directories.state.clone(), committed.receipt.clone());
    blocking(move || {
        let store = ReceiptStore::open(&state)?;
        store.keep(job, &receipt, &keys)?;
        Ok(store.path(job))
    })
    .await
}

/// Takes a committed job out of the journal, after the user was told: a run that is cut off before
/// is told again by the next one.
async fn close(
    ctx: &Context,
    log: JobLog,
    committed: &Committed,
    bytes: u64,
) -> Result<(), SettleError> {
    let (journal, wuid) = (ctx.journal.clone(), committed.wuid.clone());
    let ended_ms = ctx.now_ms();
    let ended =
        Ended { outcome: Outcome::Committed, ended_ms, wuid: Some(wuid), bytes, detail: None };
    Ok(blocking(move || journal.finish(log, &ended)).await?)
}

/// Why a committed job could not be closed on this side.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// The receipt is not good, or cannot be kept.
    #[error(transparent)]
    Receipt(#[from] ReceiptError),
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] crate::journal::JournalError),
}

impl crate::exit::Explain for SettleError {
    fn exit(&self) -> crate::exit::Exit {
        match self {
            Self::Receipt(error) => error.exit(),
            Self::Journal(error) => error.exit(),
        }
    }

    fn code(&self) -> std::borrow::Cow<'static, str> {
        match self {
            Self::Receipt(error) => crate::exit::Explain::code(error),
            Self::Journal(error) => crate::exit::Explain::code(error),
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            Self::Receipt(error) => error.advice(),
            Self::Journal(error) => error.advice(),
        }
    }
}

/// Gives a job up that can never succeed: the relay is told, so that nothing stays staged, and the
/// journal forgets it.
async fn give_up(ctx: &Context, log: JobLog, bytes: u64, why: &UploadFault) {
    let job = log.job();
    if timeout(ABORT_DEADLINE, abort(ctx, job)).await.is_err() {
        tracing::info!(%job, "the relay was not told that the job is given up");
    }
    let ended = Ended {
        outcome: Outcome::Failed,
        ended_ms: ctx.now_ms(),
        wuid: None,
        bytes,
        detail: Some(why.to_string()),
    };
    let journal = ctx.journal.clone();
    if let Err(error) = blocking(move || journal.finish(log, &ended)).await {
        ctx.reporter.warn("journal", error);
    }
}

async fn abort(ctx: &Context, job: JobId) {
    let Ok(session) = ctx.connector.connect().await else { return };
    if let Err(error) = session.session().ask(&Request::Abort(job)).await {
        tracing::info!(%job, error = &error as &dyn std::error::Error, "giving up");
    }
    session.close().await;
}
