//! Memory for reading and writing files: aligned for direct access, and a fixed number of
//! buffers, so that what a process holds is set by its configuration.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What [`AlignedBuf`] starts at a multiple of, in bytes: the largest logical block that disks
/// and file systems ask for in practice.
pub const BUFFER_ALIGNMENT: usize = 4096;

/// Bytes of fixed number whose address is a multiple of [`BUFFER_ALIGNMENT`], at first all zero.
pub struct AlignedBuf {
    // Longer than `len` by the alignment, and never resized, so that `start` stays aligned.
    memory: Box<[u8]>,
    start: usize,
    len: usize,
}

impl AlignedBuf {
    /// Sets aside `len` bytes.
    pub fn new(len: usize) -> Self {
        let memory = vec![0; len + BUFFER_ALIGNMENT].into_boxed_slice();
        let start = memory.as_ptr().align_offset(BUFFER_ALIGNMENT);
        assert!(start < BUFFER_ALIGNMENT, "bytes can be aligned to any power of two");
        Self { memory, start, len }
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.start..][..self.len]
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..][..self.len]
    }
}

impl fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlignedBuf").field("len", &self.len).finish_non_exhaustive()
    }
}

/// A fixed number of aligned buffers of one size, handed out in the order of asking.
///
/// Memory is taken from the host when a buffer is first needed and kept for the life of the pool.
#[derive(Clone, Debug)]
pub struct BufferPool {
    shared: Arc<Shared>,
}

impl BufferPool {
    /// A pool of `count` buffers of `size` bytes. Neither may be 0.
    pub fn new(count: usize, size: usize) -> Self {
        assert!(count > 0 && size > 0, "a pool needs at least one buffer of at least one byte");
        let permits = Arc::new(Semaphore::new(count));
        let idle = Mutex::new(VecDeque::with_capacity(count));
        Self { shared: Arc::new(Shared { permits, idle, size }) }
    }

    /// Length of each buffer in bytes.
    pub fn buffer_size(&self) -> usize {
        self.shared.size
    }

    /// How many buffers could be taken at once, without waiting, at this moment.
    pub fn available(&self) -> usize {
        self.shared.permits.available_permits()
    }

    /// Waits for a buffer. Dropping the future gives up the place in the queue.
    pub async fn take(&self) -> PooledBuf {
        let permits = Arc::clone(&self.shared.permits);
        self.hand_out(permits.acquire_owned().await.expect("the pool never closes its semaphore"))
    }

    /// Waits for a buffer on a thread that may block; in the same queue as [`BufferPool::take`].
    pub fn take_blocking(&self) -> PooledBuf {
        block_on(self.take())
    }

    /// A buffer if one is free and nobody waits for it.
    pub fn try_take(&self) -> Option<PooledBuf> {
        let permit = Arc::clone(&self.shared.permits).try_acquire_owned().ok()?;
        Some(self.hand_out(permit))
    }

    fn hand_out(&self, permit: OwnedSemaphorePermit) -> PooledBuf {
        let shared = Arc::clone(&self.shared);
        let idle = shared.idle.lock().unwrap_or_else(PoisonError::into_inner).pop_back();
        let buffer = idle.unwrap_or_else(|| AlignedBuf::new(shared.size));
        PooledBuf { buffer: Some(buffer), len: 0, shared, _permit: permit }
    }
}

/// A buffer on loan from a [`BufferPool`]; it goes back when this is dropped.
///
/// Fill [`PooledBuf::space`], then [`PooledBuf::set_len`]. It is what
/// `bytes::Bytes::from_owner` wants: the buffer goes back when the last `Bytes` of it is gone.
/// Bytes beyond those just filled may be left from an earlier loan.
#[derive(Debug)]
pub struct PooledBuf {
    // `None` only while it is being dropped.
    buffer: Option<AlignedBuf>,
    len: usize,
    shared: Arc<Shared>,
    // Released after the buffer is back, because fields are dropped after `drop`.
    _permit: OwnedSemaphorePermit,
}

impl PooledBuf {
    /// The whole buffer, to be filled.
    pub fn space(&mut self) -> &mut [u8] {
        self.buffer.as_mut().expect("the buffer is here until the drop")
    }

    /// Makes the first `len` bytes the visible ones; at first none are.
    ///
    /// Panics when the buffer is shorter.
    pub fn set_len(&mut self, len: usize) {
        assert!(len <= self.shared.size, "cannot show {len} bytes of {}", self.shared.size);
        self.len = len;
    }
}

impl AsRef<[u8]> for PooledBuf {
    fn as_ref(&self) -> &[u8] {
        &self.buffer.as_ref().expect("the buffer is here until the drop")[..self.len]
    }
}

impl Drop for PooledBuf {
    fn drop(&mut self) {
        let mut idle = self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.extend(self.buffer.take());
    }
}

#[derive(Debug)]
struct Shared {
    permits: Arc<Semaphore>,
    // Whoever holds a permit takes a buffer from here, on any thread, and puts it back.
    idle: Mutex<VecDeque<AlignedBuf>>,
    size: usize,
}

/// Runs `future` on this thread, which sleeps while there is nothing to do.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn every_buffer_is_aligned_and_as_long_as_asked() {
        for len in [1, 511, 4096, 1 << 20] {
            let buffer = AlignedBuf::new(len);

            assert_eq!(buffer.len(), len);
            assert_eq!(buffer.as_ptr().align_offset(BUFFER_ALIGNMENT), 0);
            assert!(buffer.iter().all(|&byte| byte == 0));
        }
    }

    #[test]
    fn a_pool_hands_out_no_more_than_it_has() {
        let pool = BufferPool::new(2, 4096);
        let first = pool.try_take().unwrap();
        let _second = pool.try_take().unwrap();

        assert!(pool.try_take().is_none());
        drop(first);
        assert_eq!(pool.available(), 1);
        assert!(pool.try_take().is_some());
    }

    #[test]
    fn a_buffer_comes_back_when_the_last_view_of_it_is_gone() {
        let pool = BufferPool::new(1, 4096);
        let mut buffer = pool.try_take().unwrap();
        buffer.space()[..4].copy_from_slice(b"data");
        buffer.set_len(4);

        let whole = Bytes::from_owner(buffer);
        let tail = whole.slice(2..);
        drop(whole);
        assert_eq!(tail, "ta");
        assert_eq!(pool.available(), 0);

        drop(tail);
        assert_eq!(pool.try_take().unwrap().as_ref(), b"");
    }

    #[test]
    fn a_blocked_thread_gets_the_buffer_that_comes_back() {
        let pool = BufferPool::new(1, 8);
        let mut held = pool.take_blocking();
        held.space()[0] = 42;
        let waiting = {
            let pool = pool.clone();
            thread::spawn(move || pool.take_blocking().space()[0])
        };
        drop(held);

        assert_eq!(waiting.join().unwrap(), 42);
    }

    #[tokio::test]
    async fn an_abandoned_wait_leaves_the_queue() {
        let pool = BufferPool::new(1, 8);
        let held = pool.take().await;
        let mut waiting = Box::pin(pool.take());
        assert!(futures_poll_once(waiting.as_mut()).is_none());
        drop(waiting);
        drop(held);

        assert_eq!(pool.take().await.space().len(), 8);
    }

    #[test]
    #[should_panic(expected = "cannot show 9 bytes of 8")]
    fn more_than_the_buffer_cannot_be_shown() {
        BufferPool::new(1, 8).take_blocking().set_len(9);
    }

    fn futures_poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }
}
