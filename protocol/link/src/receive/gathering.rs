//! From a stream's bodies to the threads that verify and write them.

use super::{Arriving, ReceiveJob, ReceivePool, Sink};
use crate::seam::files::PooledBuf;
use crate::session::Unread;
use skyspray_wire::chunk::ChunkHeader;
use skyspray_wire::ids::ChunkIndex;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use tokio::sync::Semaphore;

/// Chunks up to this length are verified and written together with others, in bytes.
const SMALL_BODY: usize = 64 * 1024;

/// Small chunks of one stream that are verified and written together, at most.
const TOGETHER_MAX: usize = 32;

/// Groups of one stream being verified and written while the next is read.
const STREAM_DEPTH: usize = 2;

/// A chunk whose body is here.
pub(super) struct Arrived<S: Sink> {
    pub(super) header: ChunkHeader,
    pub(super) chunk: ChunkIndex,
    pub(super) body: PooledBuf,
    pub(super) arriving: Arriving<S>,
}

/// Hands the chunks of one stream to threads that verify and write them. Small ones go together:
/// a thread costs more to wake than such a chunk to write.
pub(super) struct Gathering<S: Sink> {
    pub(super) pool: Arc<ReceivePool>,
    unread: Unread,
    depth: Arc<Semaphore>,
    /// Of one job. Never waits for anything but what its peer is sending at this moment.
    waiting: Vec<Arrived<S>>,
    job: Option<Arc<ReceiveJob<S>>>,
}

impl<S: Sink> Gathering<S> {
    pub(super) fn new(pool: Arc<ReceivePool>, unread: Unread) -> Self {
        let depth = Arc::new(Semaphore::new(STREAM_DEPTH));
        Self { pool, unread, depth, waiting: Vec::new(), job: None }
    }

    /// The output of `reading`; when the peer has nothing more to read at this moment, what waits is
    /// stored meanwhile.
    pub(super) async fn meanwhile<F: Future>(&mut self, reading: F) -> F::Output {
        let mut reading = pin!(reading);
        if !self.waiting.is_empty() {
            let once = poll_fn(|context| match reading.as_mut().poll(context) {
                Poll::Ready(read) => Poll::Ready(Some(read)),
                Poll::Pending => Poll::Ready(None),
            });
            if let Some(read) = once.await {
                return read;
            }
            self.flush().await;
        }
        reading.await
    }

    /// A buffer; what waits is stored before it is waited for, since it has buffers itself.
    pub(super) async fn buffer(&mut self, bytes: usize) -> PooledBuf {
        if bytes <= self.pool.bodies.buffer_size()
            && let Some(buffer) = self.pool.bodies.try_take()
        {
            return buffer;
        }
        self.flush().await;
        let held = self.unread.hold();
        let buffer = self.pool.bodies.take_for(bytes).await;
        drop(held);
        buffer
    }

    pub(super) async fn push(&mut self, job: Arc<ReceiveJob<S>>, arrived: Arrived<S>) {
        if self.job.as_ref().is_some_and(|waiting| !Arc::ptr_eq(waiting, &job)) {
            self.flush().await;
        }
        let small = arrived.header.raw_length as usize <= SMALL_BODY;
        self.job = Some(job);
        self.waiting.push(arrived);
        if !small || self.waiting.len() >= TOGETHER_MAX {
            self.flush().await;
        }
    }

    /// Has everything that waits stored.
    pub(super) async fn flush(&mut self) {
        let Some(job) = self.job.take() else { return };
        let held = self.unread.hold();
        let permit = Arc::clone(&self.depth).acquire_owned().await;
        drop(held);
        let permit = permit.expect("the semaphore is never closed");
        let count = u32::try_from(self.waiting.len()).expect("few chunks wait");
        let Ok(write) = Arc::clone(&job.writes).try_acquire_many_owned(count) else {
            // Only a retired job has no permit left: they may be sent again.
            self.waiting.clear();
            return;
        };
        let mut arrived = std::mem::take(&mut self.waiting);
        arrived.iter_mut().for_each(|arrived| arrived.arriving.job = None);
        let pool = Arc::clone(&self.pool);
        tokio::task::spawn_blocking(move || {
            for Arrived { header, chunk, body, .. } in arrived {
                job.store(&pool, &header, chunk, body);
            }
            drop((write, permit));
        });
    }
}
