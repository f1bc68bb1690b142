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
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::mpsc;

/// Chunks between the reader and the threads that hash.
const RAW_QUEUE: usize = 2;

/// Events between the threads that hash and the driver.
const READY_QUEUE: usize = 4;

/// Bodies up to this length are copied out of their buffers, in bytes.
const SHORT_BODY: usize = 64 * 1024;

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
    events: mpsc::Receiver<FeedEvent<E>>,
    effort: Option<Shared>,
}

/// Set by the driver, which knows the link, and asked by the encoders before every chunk.
type Shared = Arc<Mutex<Effort>>;

impl<E> Feed<E> {
    /// The next event; `None` when the producer returned and everything was handed over.
    pub async fn next(&mut self) -> Option<FeedEvent<E>> {
        self.events.recv().await
    }

    /// Whether chunks are waiting to be sent.
    pub fn is_ahead(&self) -> bool {
        !self.events.is_empty()
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
    events: mpsc::Sender<FeedEvent<E>>,
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
        self.raw.send(RawChunk { part, chunk, body }).map_err(|_| Stopped)
    }

    /// States the length of a part whose last chunk was handed over.
    ///
    /// # Errors
    ///
    /// The driver is gone.
    pub fn part_end(&self, end: PartEnd) -> Result<(), Stopped> {
        self.events.blocking_send(FeedEvent::PartEnd(end)).map_err(|_| Stopped)
    }

    /// States which chunks of a part the receiver has, before its first chunk is handed over.
    ///
    /// # Errors
    ///
    /// The driver is gone.
    pub fn held(&self, runs: PartRuns) -> Result<(), Stopped> {
        self.events.blocking_send(FeedEvent::Held(runs)).map_err(|_| Stopped)
    }

    /// Gives up a part some of whose chunks may have been handed over.
    ///
    /// # Errors
    ///
    /// The driver is gone.
    pub fn part_dropped(&self, part: PartIndex) -> Result<(), Stopped> {
        self.events.blocking_send(FeedEvent::PartDropped(part)).map_err(|_| Stopped)
    }

    /// States that every part of the plan has ended.
    ///
    /// # Errors
    ///
    /// The driver is gone.
    pub fn plan_end(&self, parts: u32) -> Result<(), Stopped> {
        self.events.blocking_send(FeedEvent::PlanEnd { parts }).map_err(|_| Stopped)
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
        let encoder = Encoder {
            raw: Arc::clone(&raw_receiver),
            events: events.clone(),
            chunk_size: settings.chunk_size,
            effort: effort.clone(),
            level,
            compressor: Compressor::default(),
            scratch: Vec::new(),
        };
        thread::Builder::new().name("encode".to_owned()).spawn(move || encoder.run())?;
    }
    let mut producer = Producer {
        raw: raw_sender,
        events,
        buffers: settings.buffers.clone(),
        chunk_size: settings.chunk_size,
    };
    thread::Builder::new().name("read".to_owned()).spawn(move || {
        if let Err(error) = produce(&mut producer) {
            // A driver that is gone needs no reason.
            let _ = producer.events.blocking_send(FeedEvent::Failed(error));
        }
    })?;
    Ok(Feed { events: ready, effort })
}

struct Encoder<E> {
    raw: Arc<Mutex<Receiver<RawChunk>>>,
    events: mpsc::Sender<FeedEvent<E>>,
    chunk_size: ChunkSize,
    effort: Option<Shared>,
    /// The level where it is not chosen anew for every chunk.
    level: Option<i32>,
    compressor: Compressor,
    /// Room for a compressed chunk, once there was one.
    scratch: Vec<u8>,
}

impl<E> Encoder<E> {
    fn run(mut self) {
        loop {
            let next = lock(&self.raw).recv();
            let Ok(raw) = next else { return };
            let ready = self.encode(raw);
            if self.events.blocking_send(FeedEvent::Chunk(ready)).is_err() {
                return;
            }
        }
    }

    fn encode(&mut self, raw: RawChunk) -> ReadyChunk {
        let RawChunk { part, chunk, mut body } = raw;
        let began = thread_cpu_seconds();
        let level = self.effort.as_ref().map_or(self.level, |effort| lock(effort).level());
        let value = ChunkValue::of(self.chunk_size, chunk, body.as_ref());
        let compressed = level.and_then(|level| {
            let bytes = self.chunk_size.bytes() as usize;
            self.scratch.resize(bytes, 0);
            self.compressor.compress(level, body.as_ref(), &mut self.scratch)
        });
        if let Some(effort) = &self.effort {
            let spent = thread_cpu_seconds() - began;
            lock(effort).handle_encoded(level, body.as_ref().len(), spent);
        }
        let encoding = codec::encoding(compressed);
        if let Some(length) = compressed {
            // Compressed chunks wait where the others do, so that the pool bounds them all.
            body.space()[..length].copy_from_slice(&self.scratch[..length]);
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
