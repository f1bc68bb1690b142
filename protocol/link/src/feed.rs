//! The feed of a sending job: a thread that reads, threads that hash and compress, and a bounded
//! queue of chunks ready to go.

use crate::codec::{self, Compression, Compressor};
use crate::effort::{Effort, Interval};
use crate::seam::files::{BufferPool, PooledBuf};
use bytes::Bytes;
use skyspray_wire::chunk::Encoding;
use skyspray_wire::digest::ChunkValue;
use skyspray_wire::ids::{ChunkIndex, ChunkSize, PartIndex};
use skyspray_wire::message::PartRuns;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::mpsc;

/// Chunks between the reader and the threads that hash.
const RAW_QUEUE: usize = 2;

/// Batches of events between the threads that read and hash and the driver.
const READY_QUEUE: usize = 4;

/// Bodies up to this length are copied out of their buffers, in bytes. The thread that reads hashes
/// them itself: to hand them to another would cost more.
pub const SHORT_BODY: usize = 64 * 1024;

/// Events of small files that are handed to the driver together, at most: waking it costs more than
/// reading such a file.
const BATCH_EVENTS: usize = 64;

/// Bytes of bodies that are handed to the driver together, at most by one body more.
const BATCH_BYTES: usize = 128 * 1024;

/// A chunk that is ready to be sent.
#[derive(Clone, Debug)]
pub struct ReadyChunk {
    /// The part.
    pub part: PartIndex,
    /// The chunk in it.
    pub chunk: ChunkIndex,
    /// Digests and length of the uncompressed bytes.
    pub value: ChunkValue,
    /// How the body is encoded.
    pub encoding: Encoding,
    /// The body.
    pub body: Bytes,
}

/// What the threads of a feed tell the driver.
#[derive(Debug)]
pub enum FeedEvent<E> {
    /// A chunk; chunks of a part come in any order.
    Chunk(ReadyChunk),
    /// A part is `length` bytes long. May come before its last chunks.
    PartEnd(PartEnd),
    /// Chunks of a part the receiver has already; before the part's first chunk.
    Held(PartRuns),
    /// A part is given up: it is neither sent on nor sealed.
    PartDropped(PartIndex),
    /// There are `parts` parts and all of them have ended.
    PlanEnd {
        /// Number of parts.
        parts: u32,
    },
    /// The source cannot be read on; nothing follows.
    Failed(E),
}

/// End of a part, as the reader knows it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PartEnd {
    /// The part.
    pub part: PartIndex,
    /// Its length in bytes.
    pub length: u64,
    /// Records in it, where the format counts them.
    pub records: Option<u64>,
    /// Bytes at its start that are the header of a document.
    pub header: u32,
    /// Bytes at its end that are the footer of a document.
    pub footer: u32,
}

/// The driver is gone; the producer should return.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("the job was stopped")]
pub struct Stopped;

/// How a feed works.
#[derive(Clone, Debug)]
pub struct FeedSettings {
    /// Size of every chunk but the last of each part.
    pub chunk_size: ChunkSize,
    /// Whether chunks are compressed.
    pub compression: Compression,
    /// Where chunk buffers come from; it must fit one of a chunk. Bodies stay in them until they are
    /// acknowledged, so the pool must hold more than the window of the job.
    pub buffers: BufferPool,
    /// Threads that hash and compress, at least 1.
    pub encoders: usize,
}

/// The receiving end of a feed's queue.
#[derive(Debug)]
pub struct Feed<E> {
    events: mpsc::Receiver<Vec<FeedEvent<E>>>,
    /// Taken from the queue, and not from here.
    ready: VecDeque<FeedEvent<E>>,
    effort: Option<Shared>,
}

/// Set by the driver, which knows the link, and asked by the encoders before every chunk.
type Shared = Arc<Mutex<Effort>>;

impl<E> Feed<E> {
    /// The next event; `None` when the producer returned and everything was handed over.
    pub async fn next(&mut self) -> Option<FeedEvent<E>> {
        while self.ready.is_empty() {
            self.ready = self.events.recv().await?.into();
        }
        self.ready.pop_front()
    }

    /// The next event, if it is there already.
    pub fn try_next(&mut self) -> Option<FeedEvent<E>> {
        while self.ready.is_empty() {
            self.ready = self.events.try_recv().ok()?.into();
        }
        self.ready.pop_front()
    }

    /// Whether chunks are waiting to be sent.
    pub fn is_ahead(&self) -> bool {
        !self.ready.is_empty() || !self.events.is_empty()
    }

    /// The session that carries the next chunks takes so long there and back.
    pub(crate) fn handle_path(&self, round_trip: Duration) {
        if let Some(effort) = &self.effort {
            lock(effort).handle_path(round_trip.as_secs_f64());
        }
    }

    /// Tells how the link did, for [`Compression::Auto`].
    pub(crate) fn handle_interval(&self, interval: &Interval) {
        if let Some(effort) = &self.effort {
            lock(effort).handle_interval(interval);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the producer's thread hands its chunks to.
#[derive(Debug)]
pub struct Producer<E> {
    raw: SyncSender<RawChunk>,
    batch: RefCell<Batch<E>>,
    buffers: BufferPool,
    chunk_size: ChunkSize,
}

#[derive(Debug)]
struct RawChunk {
    part: PartIndex,
    chunk: ChunkIndex,
    body: PooledBuf,
}

impl<E> Producer<E> {
    /// Size of every chunk but the last of each part.
    pub fn chunk_size(&self) -> ChunkSize {
        self.chunk_size
    }

    /// Waits for an empty buffer of at least a chunk.
    pub fn buffer(&self) -> PooledBuf {
        self.buffers.take_blocking_for(self.chunk_size.bytes() as usize)
    }

    /// Hands over a chunk of at most [`SHORT_BODY`] bytes, and at least one. It may wait for others
    /// until [`Producer::flush`].
    ///
    /// # Errors
    ///
    /// The driver is gone.
    pub fn short_chunk(
        &self,
        part: PartIndex,
        chunk: ChunkIndex,
        body: &[u8],
    ) -> Result<(), Stopped> {
        self.batch.borrow_mut().short_chunk((part, chunk), body)
    }

    /// Hands over what waits for others to go with it: before waiting for anything but the driver.
    ///
    /// # Errors
    ///
    /// The driver is gone.
    pub fn flush(&self) -> Result<(), Stopped> {
        self.batch.borrow_mut().flush()
    }

    /// Hands over a chunk: the visible bytes of `body`, at least one.
    ///
    /// # Errors
    ///
    /// The driver is gone.
    pub fn chunk(
        &self,
        part: PartIndex,
        chunk: ChunkIndex,
        body: PooledBuf,
    ) -> Result<(), Stopped> {
        // What is known of the part before its first chunk must not come after it.
        self.flush()?;
        self.raw.send(RawChunk { part, chunk, body }).map_err(|_| Stopped)
    }

    /// States the length of a part whose last chunk was handed over.
    ///
    /// # Errors
    ///
    /// The driver is gone.
    pub fn part_end(&self, end: PartEnd) -> Result<(), Stopped> {
        self.batch.borrow_mut().push(FeedEvent::PartEnd(end), 0)
    }

    /// States which chunks of a part the receiver has, before its first chunk is handed over.
    ///
    /// # Errors
    ///
    /// The driver is gone.
    pub fn held(&self, runs: PartRuns) -> Result<(), Stopped> {
        self.batch.borrow_mut().push(FeedEvent::Held(runs), 0)
    }

    /// Gives up a part some of whose chunks may have been handed over.
    ///
    /// # Errors
    ///
    /// The driver is gone.
    pub fn part_dropped(&self, part: PartIndex) -> Result<(), Stopped> {
        self.batch.borrow_mut().push(FeedEvent::PartDropped(part), 0)
    }

    /// States that every part of the plan has ended.
    ///
    /// # Errors
    ///
    /// The driver is gone.
    pub fn plan_end(&self, parts: u32) -> Result<(), Stopped> {
        self.batch.borrow_mut().push(FeedEvent::PlanEnd { parts }, 0)?;
        self.flush()
    }
}

/// Starts the threads of a feed. `produce` runs on a thread of its own; when it fails, what it
/// returns is the feed's last event.
///
/// # Errors
///
/// The host gives no thread.
pub fn start<E, P>(settings: &FeedSettings, produce: P) -> std::io::Result<Feed<E>>
where
    E: Send + 'static,
    P: FnOnce(&mut Producer<E>) -> Result<(), E> + Send + 'static,
{
    let (raw_sender, raw_receiver) = sync_channel(RAW_QUEUE);
    let (events, ready) = mpsc::channel(READY_QUEUE);
    let encoders = settings.encoders.max(1);
    let effort = (settings.compression == Compression::Auto)
        .then(|| Arc::new(Mutex::new(Effort::new(encoders))));
    let level = match settings.compression {
        Compression::Level(level) => Some(i32::from(level)),
        Compression::Auto | Compression::Off => None,
    };
    // Encoders take turns at the queue; whoever holds the lock waits for the next chunk.
    let raw_receiver = Arc::new(Mutex::new(raw_receiver));
    for _ in 0..encoders {
        let coder = Coder::new(settings.chunk_size, effort.clone(), level);
        let encoder = Encoder { raw: Arc::clone(&raw_receiver), events: events.clone(), coder };
        thread::Builder::new().name("encode".to_owned()).spawn(move || encoder.run())?;
    }
    let coder = Coder::new(settings.chunk_size, effort.clone(), level);
    let mut producer = Producer {
        raw: raw_sender,
        batch: RefCell::new(Batch { events, waiting: Vec::new(), bytes: 0, coder }),
        buffers: settings.buffers.clone(),
        chunk_size: settings.chunk_size,
    };
    thread::Builder::new().name("read".to_owned()).spawn(move || {
        let failure = produce(&mut producer).err().map(FeedEvent::Failed);
        let mut batch = producer.batch.into_inner();
        batch.waiting.extend(failure);
        // A driver that is gone needs no reason.
        let _ = batch.flush();
    })?;
    Ok(Feed { events: ready, ready: VecDeque::new(), effort })
}

/// Events on their way from the producer's thread to the driver.
#[derive(Debug)]
struct Batch<E> {
    events: mpsc::Sender<Vec<FeedEvent<E>>>,
    waiting: Vec<FeedEvent<E>>,
    /// Bytes of the bodies in it.
    bytes: usize,
    coder: Coder,
}

impl<E> Batch<E> {
    fn push(&mut self, event: FeedEvent<E>, bytes: usize) -> Result<(), Stopped> {
        self.waiting.push(event);
        self.bytes += bytes;
        if self.waiting.len() < BATCH_EVENTS && self.bytes < BATCH_BYTES {
            return Ok(());
        }
        self.flush()
    }

    fn short_chunk(&mut self, at: (PartIndex, ChunkIndex), body: &[u8]) -> Result<(), Stopped> {
        let (value, compressed) = self.coder.encode(at.1, body);
        let encoding = codec::encoding(compressed);
        let body = match compressed {
            Some(length) => Bytes::copy_from_slice(&self.coder.scratch[..length]),
            None => Bytes::copy_from_slice(body),
        };
        let bytes = body.len();
        let ready = ReadyChunk { part: at.0, chunk: at.1, value, encoding, body };
        self.push(FeedEvent::Chunk(ready), bytes)
    }

    fn flush(&mut self) -> Result<(), Stopped> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        self.bytes = 0;
        let full = std::mem::replace(&mut self.waiting, Vec::with_capacity(BATCH_EVENTS));
        self.events.blocking_send(full).map_err(|_| Stopped)
    }
}

/// Hashes and compresses.
#[derive(Debug)]
struct Coder {
    chunk_size: ChunkSize,
    effort: Option<Shared>,
    /// The level where it is not chosen anew for every chunk.
    level: Option<i32>,
    compressor: Compressor,
    /// Room for a compressed body, once there was one.
    scratch: Vec<u8>,
}

impl Coder {
    fn new(chunk_size: ChunkSize, effort: Option<Shared>, level: Option<i32>) -> Self {
        let (compressor, scratch) = (Compressor::default(), Vec::new());
        Self { chunk_size, effort, level, compressor, scratch }
    }

    /// What a chunk contributes to its part, and the length of its body in `scratch` where it was
    /// compressed.
    fn encode(&mut self, chunk: ChunkIndex, body: &[u8]) -> (ChunkValue, Option<usize>) {
        let began = thread_cpu_seconds();
        let level = self.effort.as_ref().map_or(self.level, |effort| lock(effort).level());
        let value = ChunkValue::of(self.chunk_size, chunk, body);
        let compressed = level.and_then(|level| {
            if self.scratch.len() < body.len() {
                self.scratch.resize(body.len(), 0);
            }
            self.compressor.compress(level, body, &mut self.scratch)
        });
        if let Some(effort) = &self.effort {
            let spent = thread_cpu_seconds() - began;
            lock(effort).handle_encoded(level, body.len(), spent);
        }
        (value, compressed)
    }
}

struct Encoder<E> {
    raw: Arc<Mutex<Receiver<RawChunk>>>,
    events: mpsc::Sender<Vec<FeedEvent<E>>>,
    coder: Coder,
}

impl<E> Encoder<E> {
    fn run(mut self) {
        loop {
            let next = lock(&self.raw).recv();
            let Ok(raw) = next else { return };
            let ready = self.encode(raw);
            if self.events.blocking_send(vec![FeedEvent::Chunk(ready)]).is_err() {
                return;
            }
        }
    }

    fn encode(&mut self, raw: RawChunk) -> ReadyChunk {
        let RawChunk { part, chunk, mut body } = raw;
        let (value, compressed) = self.coder.encode(chunk, body.as_ref());
        let encoding = codec::encoding(compressed);
        if let Some(length) = compressed {
            // Compressed chunks wait where the others do, so that the pool bounds them all.
            body.space()[..length].copy_from_slice(&self.coder.scratch[..length]);
            body.set_len(length);
        }
        let body = if body.as_ref().len() <= SHORT_BODY {
            // A short body must not keep a whole buffer while it waits to be acknowledged.
            Bytes::copy_from_slice(body.as_ref())
        } else {
            Bytes::from_owner(body)
        };
        ReadyChunk { part, chunk, value, encoding, body }
    }
}

/// CPU time this thread has used. Says what a chunk costs whatever else the host does meanwhile.
fn thread_cpu_seconds() -> f64 {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> FeedSettings {
        let chunk_size = ChunkSize::FILE_PLANE;
        let buffers = BufferPool::new(3, chunk_size.bytes() as usize);
        FeedSettings { chunk_size, compression: Compression::Off, buffers, encoders: 1 }
    }

    fn end(part: u32, length: u64) -> PartEnd {
        PartEnd { part: PartIndex(part), length, records: None, header: 0, footer: 0 }
    }

    #[tokio::test]
    async fn small_files_come_in_order_and_none_waits_for_a_reader_that_waits_itself() {
        let (go_on, waiting) = sync_channel::<()>(0);
        let held = PartRuns { part: PartIndex(1), runs: vec![(0, 1)] };
        let told = held.clone();
        let produce = move |producer: &mut Producer<Stopped>| {
            producer.short_chunk(PartIndex(0), ChunkIndex(0), b"first")?;
            producer.part_end(end(0, 5))?;
            producer.flush()?;
            waiting.recv().map_err(|_| Stopped)?;
            producer.held(told)?;
            let mut long = producer.buffer();
            long.set_len(SHORT_BODY + 1);
            producer.chunk(PartIndex(1), ChunkIndex(0), long)?;
            producer.part_dropped(PartIndex(1))?;
            producer.plan_end(2)
        };
        let mut feed = start(&settings(), produce).unwrap();

        let Some(FeedEvent::Chunk(first)) = feed.next().await else { panic!("a chunk") };
        assert_eq!((first.part, &first.body[..]), (PartIndex(0), b"first".as_slice()));
        assert_eq!(first.value, ChunkValue::of(ChunkSize::FILE_PLANE, ChunkIndex(0), b"first"));
        assert!(matches!(feed.try_next(), Some(FeedEvent::PartEnd(of)) if of == end(0, 5)));
        assert!(feed.try_next().is_none());
        go_on.send(()).unwrap();
        assert!(matches!(feed.next().await, Some(FeedEvent::Held(runs)) if runs == held));
        let mut rest = Vec::new();
        while let Some(event) = feed.next().await {
            rest.push(match event {
                FeedEvent::Chunk(long) => format!("chunk of {}", long.body.len()),
                FeedEvent::PartDropped(part) => format!("dropped {part}"),
                FeedEvent::PlanEnd { parts } => format!("end of {parts}"),
                other => panic!("{other:?}"),
            });
        }
        // The long one is hashed on a thread of its own.
        rest.sort();
        assert_eq!(rest, ["chunk of 65537", "dropped 2", "end of 2"]);
    }

    #[tokio::test]
    async fn what_was_read_before_a_fault_comes_before_it() {
        let produce = |producer: &mut Producer<Stopped>| {
            producer.short_chunk(PartIndex(0), ChunkIndex(0), b"x")?;
            Err(Stopped)
        };
        let mut feed = start(&settings(), produce).unwrap();

        assert!(matches!(feed.next().await, Some(FeedEvent::Chunk(_))));
        assert!(matches!(feed.next().await, Some(FeedEvent::Failed(Stopped))));
        assert!(feed.next().await.is_none());
    }
}
