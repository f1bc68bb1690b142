//! Memory for reading and writing files: aligned for direct access, and a fixed number of
//! buffers, so that what a process holds is set by its configuration.

use memmap2::MmapMut;
use std::collections::BTreeMap;
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
///
/// They are pages of their own: the host has them back as soon as this is dropped, while an allocator
/// would keep what lies between other things.
pub struct AlignedBuf {
    // Longer than `len` by the alignment where pages are smaller than that.
    memory: MmapMut,
    start: usize,
    len: usize,
}

impl AlignedBuf {
    /// Sets aside `len` bytes. Panics when the host has no memory left, as every allocation ends the
    /// process then.
    pub fn new(len: usize) -> Self {
        let memory = MmapMut::map_anon(len + BUFFER_ALIGNMENT);
        let memory = memory.expect("the host has memory for what the configuration allows");
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

/// A fixed amount of memory for aligned buffers, counted in units and handed out in the order of
/// asking.
///
/// A buffer has one unit, or a power of two of them where more was asked for. Memory is taken from
/// the host when a buffer is first needed and kept until [`BufferPool::trim`]; idle buffers of one size
/// make way for another.
#[derive(Clone, Debug)]
pub struct BufferPool {
    shared: Arc<Shared>,
}

impl BufferPool {
    /// A pool of `count` units of `size` bytes. Neither may be 0.
    pub fn new(count: usize, size: usize) -> Self {
        assert!(count > 0 && size > 0, "a pool needs at least one buffer of at least one byte");
        let permits = Arc::new(Semaphore::new(count));
        let idle = Mutex::default();
        Self { shared: Arc::new(Shared { permits, idle, size, count }) }
    }

    /// Length of a buffer of one unit, in bytes.
    pub fn buffer_size(&self) -> usize {
        self.shared.size
    }

    /// Whether a buffer of `bytes` bytes can ever be had.
    pub fn fits(&self, bytes: usize) -> bool {
        self.units(bytes) <= self.shared.count
    }

    /// How many units could be taken at once, without waiting, at this moment.
    pub fn available(&self) -> usize {
        self.shared.permits.available_permits()
    }

    /// Waits for a buffer of one unit. Dropping the future gives up the place in the queue.
    pub async fn take(&self) -> PooledBuf {
        self.take_for(self.shared.size).await
    }

    /// Waits for a buffer of at least `bytes` bytes. Panics for more than [`BufferPool::fits`].
    pub async fn take_for(&self, bytes: usize) -> PooledBuf {
        let units = self.units(bytes);
        assert!(units <= self.shared.count, "cannot take {bytes} bytes from a smaller pool");
        let permits = Arc::clone(&self.shared.permits);
        let wanted = u32::try_from(units).expect("units are counted in 32 bits");
        let permit = permits.acquire_many_owned(wanted).await;
        self.hand_out(units, permit.expect("the pool never closes its semaphore"))
    }

    /// Waits for a buffer on a thread that may block; in the same queue as [`BufferPool::take`].
    pub fn take_blocking(&self) -> PooledBuf {
        block_on(self.take())
    }

    /// As [`BufferPool::take_for`], on a thread that may block.
    pub fn take_blocking_for(&self, bytes: usize) -> PooledBuf {
        block_on(self.take_for(bytes))
    }

    /// A buffer of one unit if one is free and nobody waits for it.
    pub fn try_take(&self) -> Option<PooledBuf> {
        let permit = Arc::clone(&self.shared.permits).try_acquire_owned().ok()?;
        Some(self.hand_out(1, permit))
    }

    /// Gives the host back the memory of buffers that nobody has needed since the last time.
    pub fn trim(&self) {
        let unneeded = {
            let mut idle = self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.take_unneeded()
        };
        // Without the lock: the host takes its time.
        drop(unneeded);
    }

    fn units(&self, bytes: usize) -> usize {
        bytes.div_ceil(self.shared.size).max(1).next_power_of_two()
    }

    fn hand_out(&self, units: usize, permit: OwnedSemaphorePermit) -> PooledBuf {
        let shared = Arc::clone(&self.shared);
        let idle = {
            let mut idle = shared.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.take(units, shared.count)
        };
        let buffer = idle.unwrap_or_else(|| AlignedBuf::new(units * shared.size));
        PooledBuf { buffer: Some(buffer), len: 0, units, shared, _permit: permit }
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
    units: usize,
    shared: Arc<Shared>,
    // Released after the buffer is back, because fields are dropped after `drop`.
    _permit: OwnedSemaphorePermit,
}

impl PooledBuf {
    /// The whole buffer, to be filled.
    pub fn space(&mut self) -> &mut [u8] {
        self.buffer.as_mut().expect("the buffer is here until the drop")
    }

    /// The visible bytes, to be changed.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let len = self.len;
        &mut self.space()[..len]
    }

    /// Makes the first `len` bytes the visible ones; at first none are.
    ///
    /// Panics when the buffer is shorter.
    pub fn set_len(&mut self, len: usize) {
        let size = self.units * self.shared.size;
        assert!(len <= size, "cannot show {len} bytes of {size}");
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
        if let Some(buffer) = self.buffer.take() {
            idle.give(self.units, buffer);
        }
    }
}

#[derive(Debug)]
struct Shared {
    permits: Arc<Semaphore>,
    // Whoever holds permits takes a buffer from here, on any thread, and puts it back.
    idle: Mutex<Idle>,
    size: usize,
    count: usize,
}

/// Buffers nobody has, by their units.
#[derive(Debug, Default)]
struct Idle {
    buffers: BTreeMap<usize, Stack>,
    /// Units of all buffers there are, on loan or not.
    allocated: usize,
}

impl Idle {
    /// A buffer of `units`; `None` means that one may be made, after others made room for it.
    fn take(&mut self, units: usize, count: usize) -> Option<AlignedBuf> {
        if let Some(buffer) = self.buffers.get_mut(&units).and_then(Stack::pop) {
            return Some(buffer);
        }
        // What is on loan has permits, as has the new one, so idle buffers suffice to make room.
        while self.allocated + units > count {
            let mut largest_first = self.buffers.iter_mut().rev();
            let Some(other) = largest_first.find_map(|(&units, stack)| stack.pop().map(|_| units))
            else {
                break;
            };
            self.allocated -= other;
        }
        self.allocated += units;
        None
    }

    fn give(&mut self, units: usize, buffer: AlignedBuf) {
        self.buffers.entry(units).or_default().buffers.push(buffer);
    }

    /// Buffers that were here all the time since the last call.
    fn take_unneeded(&mut self) -> Vec<AlignedBuf> {
        let mut unneeded = Vec::new();
        for (units, stack) in &mut self.buffers {
            self.allocated -= units * stack.least;
            unneeded.extend(stack.buffers.drain(..stack.least));
            stack.least = stack.buffers.len();
        }
        unneeded
    }
}

/// Idle buffers of one size; the one that came last goes first.
#[derive(Debug, Default)]
struct Stack {
    buffers: Vec<AlignedBuf>,
    /// The fewest there were since they were last trimmed.
    least: usize,
}

impl Stack {
    fn pop(&mut self) -> Option<AlignedBuf> {
        let buffer = self.buffers.pop();
        self.least = self.least.min(self.buffers.len());
        buffer
    }
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

    #[test]
    fn large_buffers_come_out_of_the_same_memory_as_small_ones() {
        let pool = BufferPool::new(8, 1024);
        let small: Vec<_> = (0..8).map(|_| pool.try_take().unwrap()).collect();
        drop(small);

        let mut large = pool.take_blocking_for(3000);
        assert_eq!(large.space().len(), 4096);
        large.set_len(4096);
        assert_eq!(pool.available(), 4);
        assert_eq!(pool.shared.idle.lock().unwrap().allocated, 8, "small ones made way");
        drop(large);
        let whole = pool.take_blocking_for(8192);
        assert_eq!((pool.available(), pool.shared.idle.lock().unwrap().allocated), (0, 8));
        drop(whole);
        assert!(pool.fits(8192) && !pool.fits(8193));
    }

    #[test]
    fn memory_that_nobody_needed_for_a_while_goes_back_to_the_host() {
        let pool = BufferPool::new(8, 1024);
        let allocated = || pool.shared.idle.lock().unwrap().allocated;
        let (large, small) = (pool.take_blocking_for(4096), pool.try_take().unwrap());
        drop((large, small, pool.try_take().unwrap()));

        pool.trim();
        assert_eq!(allocated(), 6, "all were on loan a moment ago");
        drop(pool.try_take().unwrap());
        pool.trim();
        assert_eq!(allocated(), 1, "one was needed meanwhile");
        let held = pool.try_take().unwrap();
        pool.trim();
        pool.trim();
        assert_eq!(allocated(), 1, "what is on loan stays");
        drop(held);
        pool.trim();
        pool.trim();
        assert_eq!((allocated(), pool.available()), (0, 8));
        assert_eq!(pool.take_blocking_for(8192).space().len(), 8192);
    }

    #[test]
    #[should_panic(expected = "cannot take 9 bytes from a smaller pool")]
    fn a_buffer_larger_than_the_pool_is_not_waited_for() {
        BufferPool::new(1, 8).take_blocking_for(9);
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
