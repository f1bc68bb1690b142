//! One read job in one session: opened, received, done.

use super::fault::DownloadFault;
use crate::context::Context;
use crate::session::{PATIENCE, RelaySession};
use skyspray_link::receive::{ReceiveJob, ReceivePool, Sink, serve_stream};
use skyspray_link::request::Exchange;
use skyspray_link::seam::files::BufferPool;
use skyspray_link::session::{STILL_BYTES, Session, SessionError};
use skyspray_wire::ids::{ChunkSize, JobId, PartIndex};
use skyspray_wire::limits::PARTS_MAX;
use skyspray_wire::message::{OpenRead, PartInfo, Readable, Reply, Request};
use skyspray_wire::receiver::Receiver;
use skyspray_wire::refusal::{Refusal, RefusalCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Data streams of a read job.
const STREAMS: u32 = 4;

/// Most chunks the relay may have under way to this edge.
const IN_FLIGHT_CHUNKS: u64 = 64;

/// Buffers of a stream: one being read and two being written.
const BUFFERS_PER_STREAM: u64 = 3;

/// What a sink of a download tells beside what every sink does.
pub(super) trait DownloadSink: Sink {
    /// What came so far.
    fn tally(&self) -> &Tally;

    /// Why it could not do what it was asked for; the refusal it gave instead says less.
    fn take_fault(&self) -> Option<DownloadFault>;
}

/// Counts what came.
#[derive(Debug, Default)]
pub(super) struct Tally {
    chunks: AtomicU64,
}

impl Tally {
    /// A chunk came and was written.
    pub(super) fn count(&self) {
        self.chunks.fetch_add(1, Ordering::Relaxed);
    }

    /// Chunks that came and were written.
    pub(super) fn chunks(&self) -> u64 {
        self.chunks.load(Ordering::Relaxed)
    }
}

/// A read job the relay has granted.
#[derive(Debug)]
pub(super) struct Opened {
    /// On which `Done` will come.
    exchange: Exchange,
    pub(super) job: JobId,
    pub(super) readable: Readable,
    /// One for each part.
    pub(super) parts: Vec<PartInfo>,
}

/// Reads what the relay grants of read job `job`.
pub(super) async fn opened(job: JobId, mut exchange: Exchange) -> Result<Opened, DownloadFault> {
    let unexpected = DownloadFault::Unexpected { what: "what is to be read" };
    let Reply::Readable(readable) = exchange.reply().await? else { return Err(unexpected) };
    if readable.parts > PARTS_MAX {
        return Err(unexpected);
    }
    let count = readable.parts as usize;
    let mut parts = Vec::new();
    while parts.len() < count {
        match exchange.reply().await? {
            Reply::Parts(page) if !page.is_empty() => parts.extend(page),
            _ => return Err(unexpected),
        }
    }
    let bytes = parts.iter().try_fold(0u64, |sum, part: &PartInfo| sum.checked_add(part.length));
    if parts.len() != count || bytes != Some(readable.bytes) {
        return Err(unexpected);
    }
    Ok(Opened { exchange, job, readable, parts })
}

/// Why a read of a pinned generation went wrong: `fault`, or that the generation was replaced under
/// it. Bytes that are not what was committed, or not there, may be those of its successor.
pub(super) async fn or_replaced(
    session: &Session,
    request: OpenRead,
    fault: DownloadFault,
) -> DownloadFault {
    let doubtful = match &fault {
        DownloadFault::Refused(refusal) => matches!(
            refusal.code,
            RefusalCode::DigestMismatch | RefusalCode::StoredCorrupt | RefusalCode::Missing
        ),
        _ => false,
    };
    if !doubtful || request.generation.is_none() {
        return fault;
    }
    // What is opened for this is let go of before a chunk is sent.
    let again = async {
        let job = request.job;
        opened(job, session.request(&Request::OpenRead(request)).await?).await
    };
    match again.await {
        Err(DownloadFault::Refused(refusal)) if tells_of_successor(refusal.code) => refusal.into(),
        _ => fault,
    }
}

/// Whether a refusal to open a pinned generation says that it is being replaced or was.
fn tells_of_successor(code: RefusalCode) -> bool {
    matches!(code, RefusalCode::SourceChanged | RefusalCode::Busy | RefusalCode::Missing)
}

impl Opened {
    /// A machine for this job that has been told of every part.
    pub(super) fn machine(
        &self,
        restore: impl FnOnce(&mut Receiver),
    ) -> Result<Receiver, DownloadFault> {
        let Readable { epoch, chunk_size, parts, .. } = self.readable;
        let mut machine = Receiver::new(self.job, epoch, chunk_size, parts);
        restore(&mut machine);
        for (index, info) in (0..parts).zip(&self.parts) {
            machine.handle_announced(PartIndex(index), info).map_err(|error| error.refusal())?;
        }
        Ok(machine)
    }

    /// Receives every chunk that is not held, in this session.
    pub(super) async fn receive<S: DownloadSink>(
        mut self,
        context: &Context,
        relay: &RelaySession,
        (pool, job): (&Arc<ReceivePool>, &Arc<ReceiveJob<S>>),
    ) -> Result<(), DownloadFault> {
        let mut streams = JoinSet::new();
        let received = async {
            for _ in 0..STREAMS.min(relay.welcome().data_streams).max(1) {
                let stream = relay.session().open_chunks_to_edge(self.job).await?;
                let (id, job) = (self.job, Arc::clone(job));
                let find = move |found| (found == id).then(|| Arc::clone(&job));
                streams.spawn(serve_stream(stream, Arc::clone(pool), find));
            }
            tokio::select! {
                biased;
                refusal = job.failed() => Err(refusal.into()),
                () = Arc::clone(job).sync_loop() => Err(job.failed().await.into()),
                done = until_done(&mut self.exchange) => done,
                error = first_broken(&mut streams) => Err(error.into()),
                () = context.stop.requested() => Err(DownloadFault::Interrupted),
                error = context.connector.keep_identity(relay) => Err(error.into()),
                () = stalled(job.sink().tally(), relay.session()) => {
                    Err(DownloadFault::Stalled { seconds: PATIENCE.as_secs() })
                }
            }
        };
        let received = received.await;
        streams.shutdown().await;
        if received.is_err() {
            job.retire(Refusal::new(RefusalCode::JobAborted, "")).await;
        }
        received.map_err(|fault| job.sink().take_fault().unwrap_or(fault))?;
        let stated = self.readable.parts;
        Ok(job.with_machine(|machine| machine.handle_commit(stated)).map_err(|e| e.refusal())?)
    }
}

async fn until_done(exchange: &mut Exchange) -> Result<(), DownloadFault> {
    match exchange.next_reply().await? {
        Reply::Done => Ok(()),
        _ => Err(DownloadFault::Unexpected { what: "the end of what is read" }),
    }
}

/// Why the first stream broke off. One the relay ended has brought all it was to bring.
async fn first_broken(streams: &mut JoinSet<Result<(), SessionError>>) -> SessionError {
    while let Some(served) = streams.join_next().await {
        if let Err(error) = served.expect("a stream task does not panic and is not aborted here") {
            return error;
        }
    }
    std::future::pending().await
}

/// Returns once no chunk came for [`PATIENCE`] and the session carried nothing: on a slow line a large
/// chunk takes longer.
async fn stalled(tally: &Tally, session: &Session) {
    loop {
        let (chunks, carried) = (tally.chunks(), session.carried());
        sleep(PATIENCE).await;
        if tally.chunks() == chunks && session.carried() - carried <= STILL_BYTES {
            return;
        }
    }
}

/// How many chunks the relay may have under way, for `memory` bytes of buffers of a size that is
/// not known yet.
pub(super) fn in_flight_chunks(memory: u64) -> u32 {
    let fitting = memory / u64::from(ChunkSize::FILE_PLANE.bytes()) / 2;
    u32::try_from(fitting.clamp(4, IN_FLIGHT_CHUNKS)).expect("at most the limit")
}

/// The buffers of a download, made anew when the chunk size changes.
#[derive(Debug)]
pub(super) struct Pools {
    memory: u64,
    current: Option<(ChunkSize, Arc<ReceivePool>)>,
}

impl Pools {
    /// Buffers of about `memory` bytes together.
    pub(super) fn new(memory: u64) -> Self {
        Self { memory, current: None }
    }

    /// The buffers for chunks of this size.
    pub(super) fn for_chunks(&mut self, size: ChunkSize) -> Arc<ReceivePool> {
        if let Some((found, pool)) = &self.current
            && *found == size
        {
            return Arc::clone(pool);
        }
        let (bodies, workers) = buffers(self.memory, size);
        let pool = BufferPool::new(bodies, size.bytes() as usize);
        let decompressed = BufferPool::new(workers, size.bytes() as usize);
        let pool = Arc::new(ReceivePool::new(pool, decompressed));
        self.current = Some((size, Arc::clone(&pool)));
        pool
    }
}

/// Buffers for bodies and for decompressed chunks that fit `memory`; at least one of each.
fn buffers(memory: u64, size: ChunkSize) -> (usize, usize) {
    let fitting = memory / u64::from(size.bytes());
    let workers = (fitting / 4).clamp(1, u64::from(STREAMS));
    let most = BUFFERS_PER_STREAM * u64::from(STREAMS);
    let bodies = fitting.saturating_sub(workers).clamp(1, most);
    (bodies as usize, workers as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_stay_within_the_memory_there_is() {
        let of = |memory: u64, size| buffers(memory, ChunkSize::try_new(size).unwrap());

        assert_eq!(of(128 << 20, 1 << 20), (12, 4));
        assert_eq!(of(128 << 20, 8 << 20), (12, 4));
        assert_eq!(of(128 << 20, 32 << 20), (3, 1));
        assert_eq!(of(16 << 20, 1 << 20), (12, 4));
        assert_eq!(of(16 << 20, 1 << 30), (1, 1), "less than one of each cannot work");
    }

    #[test]
    fn the_window_follows_the_memory() {
        assert_eq!(in_flight_chunks(128 << 20), 64);
        assert_eq!(in_flight_chunks(16 << 20), 8);
        assert_eq!(in_flight_chunks(0), 4);
        assert_eq!(in_flight_chunks(1 << 40), 64);
    }
}
