//! A stream to which writing must go on: a client that takes next to nothing for a while is cut off,
//! and what was being sent to it is given up.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// A stream whose writes fail once one had to wait and fewer than `floor` bytes were taken within
/// `limit` from then on.
#[derive(Debug)]
pub(super) struct Unstalled<S> {
    inner: S,
    limit: Duration,
    floor: usize,
    deadline: Pin<Box<Sleep>>,
    /// Bytes taken since a write had to wait, while the deadline counts.
    taken: Option<usize>,
}

impl<S> Unstalled<S> {
    pub(super) fn new(inner: S, limit: Duration, floor: usize) -> Self {
        Self { inner, limit, floor, deadline: Box::pin(sleep(limit)), taken: None }
    }

    /// After a write: bytes count, and enough of them end the wait.
    fn written(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let Poll::Ready(written) = polled else { return self.within(context, polled) };
        if let (Some(taken), Ok(bytes)) = (self.taken, &written) {
            let taken = taken + bytes;
            self.taken = (taken < self.floor).then_some(taken);
        }
        Poll::Ready(written)
    }

    /// After what ends a wait when it is done: all that was to be written is taken then.
    fn settled(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        if polled.is_ready() {
            self.taken = None;
        }
        self.within(context, polled)
    }

    fn within<T>(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            return polled;
        }
        if self.taken.is_none() {
            self.taken = Some(0);
            self.deadline.as_mut().reset(Instant::now() + self.limit);
        }
        ready!(self.deadline.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Unstalled<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Unstalled<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.written(context, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(context, slices);
        self.written(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_flush(context);
        self.settled(context, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_shutdown(context);
        self.settled(context, polled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    const LIMIT: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn a_write_that_nobody_takes_fails_and_one_that_is_taken_does_not() {
        let (ours, mut theirs) = duplex(8);
        let mut stream = Unstalled::new(ours, LIMIT, 4);

        stream.write_all(b"12345678").await.unwrap();
        let error = stream.write_all(b"9").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let mut taken = [0; 8];
        theirs.read_exact(&mut taken).await.unwrap();
        stream.write_all(b"9").await.unwrap();
        assert_eq!(&taken, b"12345678");
    }

    /// Takes one byte at every other call.
    #[derive(Default)]
    struct Trickle {
        takes: bool,
    }

    impl AsyncWrite for Trickle {
        fn poll_write(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            _bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.takes = !self.takes;
            if self.takes {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(Ok(1))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// Writes to it until that fails, or for ten times the limit.
    async fn trickle(floor: usize) -> io::Result<()> {
        let mut stream = Unstalled::new(Trickle::default(), LIMIT, floor);
        let begun = Instant::now();
        while begun.elapsed() < LIMIT * 10 {
            stream.write_all(b"x").await?;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_reader_that_takes_next_to_nothing_is_cut_off_and_a_slow_one_is_not() {
        let error = trickle(usize::MAX).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        trickle(2).await.unwrap();
    }

    #[tokio::test]
    async fn what_was_slow_counts_no_longer_once_all_of_it_was_taken() {
        let mut stream = Unstalled::new(Trickle::default(), LIMIT, 100);
        stream.write_all(b"12").await.unwrap();
        assert_eq!(stream.taken, Some(2));
        stream.flush().await.unwrap();
        assert_eq!(stream.taken, None);
    }
}
