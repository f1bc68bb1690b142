//! The places of HTTP connections: when all are taken, the one that has been idle longest is given up
//! for the next, so that idle clients keep nobody out.

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// A number of places.
#[derive(Debug)]
pub(super) struct Seats {
    free: Arc<Semaphore>,
    /// The connections by number. Behind a lock as each of them ends by itself.
    taken: Mutex<BTreeMap<u64, Arc<Place>>>,
    /// Numbers given so far; none is given twice.
    given: AtomicU64,
    /// Another connection may be given up than before.
    changed: Notify,
}

/// The place of one connection; free again when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    number: u64,
    place: Arc<Place>,
    _slot: OwnedSemaphorePermit,
}

#[derive(Debug)]
struct Place {
    /// Behind a lock as whoever makes room compares and changes it.
    activity: Mutex<Activity>,
    given_up: Notify,
}

#[derive(Clone, Copy, Debug)]
struct Activity {
    doing: Doing,
    /// When bytes last came or went.
    active: Instant,
}

/// What a connection is at. The answers on one follow each other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Doing {
    /// Nothing, so that it may be given up.
    Idle,
    /// A request, from its head to the end of the answer's body.
    Answering,
    /// The rest of what was written, which waits for the client to take it.
    Sending,
    /// Nothing, and it was given up: it has to go, unless a request comes first.
    Leaving,
}

impl Seats {
    pub(super) fn new(count: usize) -> Arc<Self> {
        let (free, changed) = (Arc::new(Semaphore::new(count)), Notify::new());
        Arc::new(Self { free, taken: Mutex::default(), given: AtomicU64::new(0), changed })
    }

    /// Waits for a place; while there is none, an idle connection is given up, and no other before that
    /// one is gone. May be dropped at any await; one at a time waits.
    pub(super) async fn free(&self) -> OwnedSemaphorePermit {
        loop {
            // Begun first, so that nothing is missed that changes while it looks.
            let changed = self.changed.notified();
            let slot = Arc::clone(&self.free);
            if let Ok(slot) = slot.clone().try_acquire_owned() {
                return slot;
            }
            self.give_up_longest_idle();
            tokio::select! {
                slot = slot.acquire_owned() => return slot.expect("it is never closed"),
                () = changed => {}
            }
        }
    }

    /// Gives the place to a connection.
    pub(super) fn take(self: &Arc<Self>, slot: OwnedSemaphorePermit) -> Arc<Seat> {
        let activity = Activity { doing: Doing::Idle, active: Instant::now() };
        let place = Arc::new(Place { activity: Mutex::new(activity), given_up: Notify::new() });
        let number = self.given.fetch_add(1, Ordering::Relaxed);
        self.taken().insert(number, Arc::clone(&place));
        Arc::new(Seat { seats: Arc::clone(self), number, place, _slot: slot })
    }

    /// Gives one connection up, unless one is leaving already.
    fn give_up_longest_idle(&self) {
        let taken = self.taken();
        loop {
            let all = || taken.values().map(|place| (place, *place.activity()));
            if all().any(|(_, activity)| activity.doing == Doing::Leaving) {
                return;
            }
            let idle = all().filter(|(_, activity)| activity.doing == Doing::Idle);
            let longest = idle.min_by_key(|(_, activity)| activity.active);
            let Some((longest, _)) = longest else { return };
            // A request may have come on it meanwhile.
            if longest.change(Doing::Idle, Doing::Leaving) {
                longest.given_up.notify_one();
                return;
            }
        }
    }

    fn taken(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Place>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    fn activity(&self) -> MutexGuard<'_, Activity> {
        self.activity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From one to another; whether it was at the one.
    fn change(&self, from: Doing, to: Doing) -> bool {
        let mut activity = self.activity();
        let was = activity.doing == from;
        if was {
            activity.doing = to;
        }
        was
    }
}

impl Seat {
    /// Waits until the connection has to make room. When a request comes on it before it is gone, it
    /// need not any more, until it is given up again.
    pub(super) async fn given_up(&self) {
        loop {
            if self.place.activity().doing == Doing::Leaving {
                return;
            }
            self.place.given_up.notified().await;
        }
    }

    /// The stream of the connection, watched for bytes that come and go.
    pub(super) fn watch<S>(self: &Arc<Self>, inner: S) -> Watched<S> {
        Watched { inner, seat: Arc::clone(self) }
    }

    fn begin(self: &Arc<Self>) -> Answering {
        let before = std::mem::replace(&mut self.place.activity().doing, Doing::Answering);
        if before == Doing::Leaving {
            self.seats.changed.notify_waiters();
        }
        Answering(Arc::clone(self))
    }

    fn received(&self) {
        self.place.activity().active = Instant::now();
    }

    fn wrote(&self) {
        let mut activity = self.place.activity();
        activity.active = Instant::now();
        if activity.doing == Doing::Idle {
            activity.doing = Doing::Sending;
        }
    }

    /// All that was written is with the host.
    fn flushed(&self) {
        if self.place.change(Doing::Sending, Doing::Idle) {
            self.seats.changed.notify_waiters();
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.taken().remove(&self.number);
    }
}

/// A request that is being answered, from its head to the end of the answer's body.
struct Answering(Arc<Seat>);

impl Drop for Answering {
    fn drop(&mut self) {
        // The body ends when its last bytes are buffered; they are written and flushed after that.
        *self.0.place.activity() = Activity { doing: Doing::Sending, active: Instant::now() };
    }
}

/// Keeps the seat of a connection for as long as a request on it is being answered.
pub(super) async fn seated(
    State(seat): State<Arc<Seat>>,
    request: Request,
    next: Next,
) -> Response {
    let answering = seat.begin();
    next.run(request).await.map(|body| Body::new(Answer { body, _answering: answering }))
}

/// The body of an answer.
struct Answer {
    body: Body,
    _answering: Answering,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream that notes when bytes came or went.
#[derive(Debug)]
pub(super) struct Watched<S> {
    inner: S,
    seat: Arc<Seat>,
}

impl<S> Watched<S> {
    fn note(&self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(polled, Poll::Ready(Ok(bytes)) if bytes > 0) {
            self.seat.wrote();
        }
        polled
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.seat.received();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.note(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(context, slices);
        self.note(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_flush(context);
        if matches!(polled, Poll::Ready(Ok(()))) {
            self.seat.flushed();
        }
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
