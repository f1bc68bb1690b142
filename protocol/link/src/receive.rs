//! The driver of a receiving job: reads chunks from data streams, verifies and writes them, and
//! acknowledges in groups what is durable.

mod gathering;
mod pool;

use crate::seam::files::PooledBuf;
use crate::session::{DataStream, STILL_BYTES, SessionError, Unread};
use gathering::{Arrived, Gathering};
pub use pool::ReceivePool;
use quinn::{RecvStream, SendStream};
use skyspray_wire::chunk::{CHUNK_HEADER_BYTES, ChunkHeader, Encoding};
use skyspray_wire::digest::{ChunkValue, PartTree};
use skyspray_wire::frame;
use skyspray_wire::ids::{ChunkIndex, JobId, PartIndex};
use skyspray_wire::limits::PAGE_MAX;
use skyspray_wire::message::{Ack, ChunkReply};
use skyspray_wire::receiver::{Admission, Effect, ReceiveError, Receiver};
use skyspray_wire::refusal::{Refusal, RefusalCode};
use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{self, Notify, OwnedMutexGuard, Semaphore, mpsc, watch};
use tokio::time::timeout;

/// A peer must deliver [`PROGRESS_BYTES`] of a body in this time.
const PROGRESS_DEADLINE: Duration = Duration::from_secs(30);

/// See [`PROGRESS_DEADLINE`].
const PROGRESS_BYTES: usize = 64 * 1024;

/// How long chunks gather before they are made durable and acknowledged together.
const GATHER: Duration = Duration::from_millis(15);

/// How long what is durable may still be recorded after the job has failed, so that it need not be
/// sent again.
const RECORD_GRACE: Duration = Duration::from_secs(1);

/// How long a commit waits for the next chunk of parts that are sealed while the session carries nothing.
/// Less than a sender waits for it, so that the sender hears the reason.
pub const CHUNKS_DEADLINE: Duration = Duration::from_secs(60);

/// Chunks of one job being written at once, over all its streams.
const WRITES_MAX: u32 = 1024;

/// Acknowledgements that may wait for one stream; more than any sender may have in flight.
const ACK_QUEUE: usize = 2048;

/// Where a receiving job's chunks rest.
pub trait Sink: Send + Sync + 'static {
    /// Writes a chunk of a part at its place. Blocks.
    ///
    /// # Errors
    ///
    /// What to tell the sender.
    fn write_chunk(&self, part: PartIndex, offset: u64, chunk: PooledBuf) -> Result<(), Refusal>;

    /// Makes everything written to `parts` so far durable. Blocks.
    ///
    /// # Errors
    ///
    /// What to tell the sender. The parts count as lost since the last success.
    fn sync(&self, parts: &[PartIndex]) -> Result<(), Refusal>;

    /// Notes durably which chunks are durable, before they are acknowledged.
    ///
    /// # Errors
    ///
    /// What to tell the sender.
    fn record(
        &self,
        changed: Vec<(PartIndex, PartTree)>,
    ) -> impl Future<Output = Result<(), Refusal>> + Send;
}

/// One receiving job in one session.
#[derive(Debug)]
pub struct ReceiveJob<S> {
    // Shared by the streams that bring chunks, the loop that syncs and the requests that seal;
    // held for bookkeeping only, never across an await.
    state: Mutex<State>,
    sink: Arc<S>,
    stored: Notify,
    failure: watch::Sender<Option<Refusal>>,
    /// How often chunks were recorded.
    recorded: watch::Sender<u64>,
    /// Whether a commit waits for what is left.
    ending: watch::Sender<bool>,
    /// See [`ReceiveJob::sealing`].
    sealing: Arc<sync::Mutex<()>>,
    /// One permit for each chunk being written.
    writes: Arc<Semaphore>,
}

#[derive(Debug)]
struct State {
    machine: Receiver,
    /// Which stream waits for the acknowledgement of a chunk.
    routes: HashMap<(PartIndex, ChunkIndex), mpsc::Sender<Answer>>,
}

impl<S: Sink> ReceiveJob<S> {
    /// A job as the machine has it, with its sink.
    pub fn new(machine: Receiver, sink: Arc<S>) -> Self {
        let state = State { machine, routes: HashMap::new() };
        Self {
            state: Mutex::new(state),
            sink,
            stored: Notify::new(),
            failure: watch::Sender::new(None),
            recorded: watch::Sender::new(0),
            ending: watch::Sender::new(false),
            sealing: Arc::default(),
            writes: Arc::new(Semaphore::new(WRITES_MAX as usize)),
        }
    }

    /// Refuses every further chunk, and waits until those being written are: nothing touches the
    /// sink after this, so that another session may take the job over.
    pub async fn retire(&self, refusal: Refusal) {
        self.fail(refusal);
        // An error says that it was retired before.
        if let Ok(all) = self.writes.acquire_many(WRITES_MAX).await {
            all.forget();
            self.writes.close();
        }
    }

    /// The sink.
    pub fn sink(&self) -> &Arc<S> {
        &self.sink
    }

    /// Works on the machine, for seals, commits and announcements. Acknowledgements that result
    /// are sent on.
    pub fn with_machine<T>(&self, work: impl FnOnce(&mut Receiver) -> T) -> T {
        let mut state = lock(&self.state);
        let result = work(&mut state.machine);
        self.route_effects(&mut state);
        result
    }

    /// The right to seal parts, which one request has at a time. The machine believes the seal of a
    /// complete part, so until it is written down nobody may state another.
    pub async fn sealing(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.sealing).lock_owned().await
    }

    /// Waits for the chunks that a job of `stated` parts still lacks, all of which are sealed. `carried`
    /// counts the bytes of the session they come in.
    ///
    /// # Errors
    ///
    /// What to tell the sender: a part is not sealed, the job failed, or no chunk came for
    /// [`CHUNKS_DEADLINE`] and nothing else either.
    pub async fn complete(&self, stated: u32, carried: impl FnMut() -> u64) -> Result<(), Refusal> {
        self.complete_within(stated, CHUNKS_DEADLINE, carried).await
    }

    async fn complete_within(
        &self,
        stated: u32,
        patience: Duration,
        mut carried: impl FnMut() -> u64,
    ) -> Result<(), Refusal> {
        let mut recorded = self.recorded.subscribe();
        let mut before = carried();
        while self.with_machine(|machine| machine.awaits_chunks(stated)).map_err(refusal)? {
            self.ending.send_replace(true);
            let more = tokio::select! {
                refusal = self.failed() => return Err(refusal),
                more = timeout(patience, recorded.changed()) => more,
            };
            let now = carried();
            if more.is_err() && now - before <= STILL_BYTES {
                let machine = self.with_machine(|machine| machine.handle_commit(stated));
                return machine.map_err(refusal);
            }
            before = now;
        }
        Ok(())
    }

    /// Refuses every further chunk, and tells every stream that waits for an acknowledgement: its
    /// sender may have its whole window in flight and send nothing that could be answered.
    pub fn fail(&self, refusal: Refusal) {
        let first = self.failure.send_if_modified(|failure| {
            let first = failure.is_none();
            if first {
                *failure = Some(refusal.clone());
            }
            first
        });
        if !first {
            return;
        }
        let mut state = lock(&self.state);
        let job = state.machine.job();
        let mut told: Vec<mpsc::Sender<Answer>> = Vec::new();
        for (_, route) in state.routes.drain() {
            if !told.iter().any(|other| other.same_channel(&route)) {
                // A stream that is gone needs no answer; its queue cannot be full.
                let _ = route.try_send(Answer::Refused(job, refusal.clone()));
                told.push(route);
            }
        }
    }

    /// Why the job failed, once it has.
    pub async fn failed(&self) -> Refusal {
        let mut failure = self.failure.subscribe();
        let failed = failure.wait_for(Option::is_some).await;
        let reason = failed.expect("the sender lives in self").clone();
        reason.expect("waited for a reason")
    }

    /// Why the job failed, once that is `grace` ago.
    async fn failed_for(&self, grace: Duration) -> Refusal {
        let refusal = self.failed().await;
        tokio::time::sleep(grace).await;
        refusal
    }

    /// Makes chunks durable and acknowledges them until the job fails or is retired. While one
    /// group is on its way to the disk the next one gathers.
    pub async fn sync_loop(self: Arc<Self>) {
        // Without it no chunk is ever acknowledged, so the job does not outlive it.
        let _ends = Syncing { job: &self };
        let mut ending = self.ending.subscribe();
        loop {
            tokio::select! {
                () = self.stored.notified() => {}
                _ = self.failed() => return,
            }
            // A larger group costs fewer syncs and catalogue writes for the same bytes; the sender
            // has a window to fill meanwhile, unless these are its last chunks.
            tokio::select! {
                () = tokio::time::sleep(GATHER) => {}
                _ = ending.wait_for(|&ending| ending) => {}
                _ = self.failed() => return,
            }
            if let Err(refusal) = self.sync_once().await {
                self.fail(refusal);
                return;
            }
        }
    }

    async fn sync_once(self: &Arc<Self>) -> Result<(), Refusal> {
        let parts = lock(&self.state).machine.begin_sync();
        if parts.is_empty() {
            return Ok(());
        }
        let job = Arc::clone(self);
        let synced = tokio::task::spawn_blocking(move || job.sink.sync(&parts)).await;
        if let Err(refusal) = synced.unwrap_or_else(|_panicked| Err(broken())) {
            lock(&self.state).machine.handle_sync_failed();
            return Err(refusal);
        }
        let changed = lock(&self.state).machine.handle_durable();
        let changed = changed.map_err(|error| error.refusal())?;
        tokio::select! {
            recorded = self.sink.record(changed) => recorded?,
            // A sink may wait long for whoever keeps the record; nobody is acknowledged any more.
            refusal = self.failed_for(RECORD_GRACE) => return Err(refusal),
        }
        let mut state = lock(&self.state);
        state.machine.handle_recorded().map_err(refusal)?;
        self.route_effects(&mut state);
        drop(state);
        self.recorded.send_modify(|times| *times += 1);
        Ok(())
    }

    fn route_effects(&self, state: &mut State) {
        let job = state.machine.job();
        while let Some(effect) = state.machine.poll_effect() {
            match effect {
                Effect::Ack(ack) => {
                    // A stream that is gone needs no acknowledgement; its queue cannot be full.
                    if let Some(route) = state.routes.remove(&(ack.part, ack.chunk)) {
                        let _ = route.try_send(Answer::Durable(job, ack));
                    }
                }
                Effect::PartComplete(_) | Effect::Commit => {}
            }
        }
    }

    /// Verifies and writes one admitted chunk. Blocks.
    fn store(&self, pool: &ReceivePool, header: &ChunkHeader, chunk: ChunkIndex, body: PooledBuf) {
        let mut storing = Storing { job: self, part: header.part, chunk, refusal: Some(broken()) };
        match self.verify_and_write(pool, header, chunk, body) {
            Ok(value) => {
                storing.refusal = None;
                lock(&self.state).machine.handle_stored(header.part, chunk, value);
                self.stored.notify_one();
            }
            Err(refusal) => storing.refusal = Some(refusal),
        }
    }

    fn verify_and_write(
        &self,
        pool: &ReceivePool,
        header: &ChunkHeader,
        chunk: ChunkIndex,
        body: PooledBuf,
    ) -> Result<ChunkValue, Refusal> {
        let size = lock(&self.state).machine.chunk_size();
        let raw = match header.encoding {
            Encoding::Raw => body,
            Encoding::Zstd => {
                let raw = pool.decompress(header, body.as_ref())?;
                // Its memory is for others while this chunk is written.
                drop(body);
                raw
            }
        };
        let value = ChunkValue::of(size, chunk, raw.as_ref());
        if value.subtree != header.subtree {
            return Err(ReceiveError::Corrupt { part: header.part, chunk }.refusal());
        }
        self.sink.write_chunk(header.part, header.offset, raw)?;
        Ok(value)
    }
}

fn refusal(error: ReceiveError) -> Refusal {
    error.refusal()
}

/// What a sender is told whose chunk no buffer can hold; the size it was granted fits.
fn too_large(header: &ChunkHeader) -> Refusal {
    let detail = format!("a chunk of {} bytes does not fit memory", header.raw_length);
    Refusal::new(RefusalCode::LimitExceeded, detail)
}

/// Serves one data stream until its sender ends it. `find` gives the job a chunk belongs to, if
/// this session has it open.
///
/// # Errors
///
/// The peer broke the protocol, fell silent or is gone. What was read whole still counts.
pub async fn serve_stream<S: Sink>(
    stream: DataStream,
    pool: Arc<ReceivePool>,
    find: impl Fn(JobId) -> Option<Arc<ReceiveJob<S>>>,
) -> Result<(), SessionError> {
    let DataStream { send, recv, unread } = stream;
    let (answers, waiting) = mpsc::channel(ACK_QUEUE);
    let reader = read_chunks((recv, unread), pool, find, answers);
    let writer = write_answers(send, waiting);
    let (read, written) = tokio::join!(reader, writer);
    read.and(written)
}

/// What is said on a stream that brought chunks.
#[derive(Debug)]
enum Answer {
    Durable(JobId, Ack),
    Refused(JobId, Refusal),
}

async fn read_chunks<S: Sink>(
    (recv, unread): (RecvStream, Unread),
    pool: Arc<ReceivePool>,
    find: impl Fn(JobId) -> Option<Arc<ReceiveJob<S>>>,
    answers: mpsc::Sender<Answer>,
) -> Result<(), SessionError> {
    let mut gathering = Gathering::new(pool, unread);
    let read = read_into(&mut gathering, recv, find, answers).await;
    gathering.flush().await;
    read
}

/// Reads chunks and has them stored; some may still be waiting for others when it returns.
async fn read_into<S: Sink>(
    gathering: &mut Gathering<S>,
    mut recv: RecvStream,
    find: impl Fn(JobId) -> Option<Arc<ReceiveJob<S>>>,
    answers: mpsc::Sender<Answer>,
) -> Result<(), SessionError> {
    while let Some(header) = gathering.meanwhile(read_header(&mut recv)).await? {
        let Some(job) = find(header.job) else {
            let refusal = Refusal::new(RefusalCode::JobUnknown, "");
            return refuse(&answers, header.job, refusal).await;
        };
        if !gathering.pool.bodies.fits(header.wire_length as usize) {
            return refuse(&answers, header.job, too_large(&header)).await;
        }
        match admit(&job, &header, &answers) {
            Err(refusal) => return refuse(&answers, header.job, refusal).await,
            Ok(Admission::Write(chunk)) => {
                let (part, reading) = (header.part, Some(Arc::clone(&job)));
                let arriving = Arriving { job: reading, part, chunk };
                let body = gathering.buffer(header.wire_length as usize).await;
                let body = gathering.meanwhile(read_body(&mut recv, body, &header)).await?;
                gathering.push(job, Arrived { header, chunk, body, arriving }).await;
            }
            Ok(Admission::Durable(chunk)) => {
                skip_body(&mut recv, &header).await?;
                let ack = Ack { part: header.part, chunk };
                let _ = answers.send(Answer::Durable(header.job, ack)).await;
            }
            Ok(Admission::Arriving) => skip_body(&mut recv, &header).await?,
        }
    }
    Ok(())
}

fn admit<S: Sink>(
    job: &ReceiveJob<S>,
    header: &ChunkHeader,
    answers: &mpsc::Sender<Answer>,
) -> Result<Admission, Refusal> {
    let mut state = lock(&job.state);
    // Under the lock that a failure takes to tell the streams: nobody is missed.
    if let Some(refusal) = job.failure.borrow().clone() {
        return Err(refusal);
    }
    let admission = state.machine.handle_header(header).map_err(|error| error.refusal())?;
    if let Admission::Write(chunk) = admission {
        state.routes.insert((header.part, chunk), answers.clone());
    }
    Ok(admission)
}

async fn refuse(
    answers: &mpsc::Sender<Answer>,
    job: JobId,
    refusal: Refusal,
) -> Result<(), SessionError> {
    // Nobody to tell when the stream is gone.
    let _ = answers.send(Answer::Refused(job, refusal)).await;
    Ok(())
}

/// A chunk whose body is being read; forgotten again when the stream breaks off.
struct Arriving<S: Sink> {
    /// `None` once the body is here.
    job: Option<Arc<ReceiveJob<S>>>,
    part: PartIndex,
    chunk: ChunkIndex,
}

impl<S: Sink> Drop for Arriving<S> {
    fn drop(&mut self) {
        let Some(job) = &self.job else { return };
        let mut state = lock(&job.state);
        state.machine.handle_dropped(self.part, self.chunk);
        state.routes.remove(&(self.part, self.chunk));
    }
}

/// A chunk being written. Its job fails unless it is, also when the sink panics and nobody else is
/// left to say so.
struct Storing<'a, S: Sink> {
    job: &'a ReceiveJob<S>,
    part: PartIndex,
    chunk: ChunkIndex,
    /// `None` once it is written.
    refusal: Option<Refusal>,
}

impl<S: Sink> Drop for Storing<'_, S> {
    fn drop(&mut self) {
        let Some(refusal) = self.refusal.take() else { return };
        lock(&self.job.state).machine.handle_dropped(self.part, self.chunk);
        self.job.fail(refusal);
    }
}

/// The loop that makes a job's chunks durable; its job fails with its end, however that comes.
struct Syncing<'a, S: Sink> {
    job: &'a ReceiveJob<S>,
}

impl<S: Sink> Drop for Syncing<'_, S> {
    fn drop(&mut self) {
        self.job.fail(broken());
    }
}

/// What a sender is told whose chunks nobody looks after any more.
fn broken() -> Refusal {
    Refusal::new(RefusalCode::Internal, "")
}

async fn read_header(recv: &mut RecvStream) -> Result<Option<ChunkHeader>, SessionError> {
    let mut bytes = [0; CHUNK_HEADER_BYTES];
    // Between chunks a stream may rest for as long as the session lives.
    let Some(first) = recv.read(&mut bytes).await? else { return Ok(None) };
    within_deadline(recv.read_exact(&mut bytes[first..])).await??;
    ChunkHeader::decode(&bytes).map(Some).map_err(SessionError::malformed)
}

async fn read_body(
    recv: &mut RecvStream,
    mut body: PooledBuf,
    header: &ChunkHeader,
) -> Result<PooledBuf, SessionError> {
    let length = header.wire_length as usize;
    for piece in body.space()[..length].chunks_mut(PROGRESS_BYTES) {
        within_deadline(recv.read_exact(piece)).await??;
    }
    body.set_len(length);
    Ok(body)
}

async fn skip_body(recv: &mut RecvStream, header: &ChunkHeader) -> Result<(), SessionError> {
    let mut left = header.wire_length as usize;
    while left > 0 {
        let chunk = within_deadline(recv.read_chunk(left, true)).await??;
        left -= chunk.ok_or(SessionError::StreamEnded)?.bytes.len();
    }
    Ok(())
}

async fn within_deadline<F: Future>(future: F) -> Result<F::Output, SessionError> {
    let silent = SessionError::Silent { seconds: PROGRESS_DEADLINE.as_secs() };
    timeout(PROGRESS_DEADLINE, future).await.map_err(|_| silent)
}

async fn write_answers(
    mut send: SendStream,
    mut answers: mpsc::Receiver<Answer>,
) -> Result<(), SessionError> {
    let mut group = Vec::with_capacity(PAGE_MAX);
    while answers.recv_many(&mut group, PAGE_MAX).await > 0 {
        let (mut durable, mut refused) = (Vec::new(), Vec::new());
        for answer in group.drain(..) {
            match answer {
                Answer::Durable(job, ack) => durable.push((job, ack)),
                Answer::Refused(job, refusal) => refused.push((job, refusal)),
            }
        }
        durable.sort_by_key(|&(job, ack)| (job, ack.part, ack.chunk));
        for same in durable.chunk_by(|a, b| a.0 == b.0) {
            let acks = same.iter().map(|&(_, ack)| ack).collect();
            write_reply(&mut send, &ChunkReply::Durable(same[0].0, acks)).await?;
        }
        for (job, refusal) in refused {
            write_reply(&mut send, &ChunkReply::Refused(job, refusal)).await?;
        }
    }
    // Fails only when the peer has stopped the stream already.
    let _ = send.finish();
    Ok(())
}

async fn write_reply(send: &mut SendStream, reply: &ChunkReply) -> Result<(), SessionError> {
    let bytes = frame::encode(reply).map_err(SessionError::malformed)?;
    send.write_all(&bytes).await?;
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
