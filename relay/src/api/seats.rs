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
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
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
    became_idle: Notify,
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
    /// Requests being answered: 0 or 1.
    answering: AtomicUsize,
    /// When bytes last came or went. Behind a lock as others compare it.
    active: Mutex<Instant>,
    given_up: Notify,
}

impl Seats {
    pub(super) fn new(count: usize) -> Arc<Self> {
        let (free, became_idle) = (Arc::new(Semaphore::new(count)), Notify::new());
        Arc::new(Self { free, taken: Mutex::default(), given: AtomicU64::new(0), became_idle })
    }

    /// Waits for a place; while there is none, an idle connection is given up. May be dropped at any
    /// await.
    pub(super) async fn free(&self) -> OwnedSemaphorePermit {
        loop {
            let slot = Arc::clone(&self.free);
            if let Ok(slot) = slot.clone().try_acquire_owned() {
                return slot;
            }
            self.give_up_longest_idle();
            tokio::select! {
                slot = slot.acquire_owned() => return slot.expect("it is never closed"),
                () = self.became_idle.notified() => {}
            }
        }
    }

    /// Gives the place to a connection.
    pub(super) fn take(self: &Arc<Self>, slot: OwnedSemaphorePermit) -> Arc<Seat> {
        let place = Arc::new(Place {
            answering: AtomicUsize::new(0),
            active: Mutex::new(Instant::now()),
            given_up: Notify::new(),
        });
        let number = self.given.fetch_add(1, Ordering::Relaxed);
        self.taken().insert(number, Arc::clone(&place));
        Arc::new(Seat { seats: Arc::clone(self), number, place, _slot: slot })
    }

    fn give_up_longest_idle(&self) {
        let mut taken = self.taken();
        let idle = taken.iter().filter(|(_, place)| place.is_idle());
        let longest = idle.min_by_key(|(_, place)| place.active()).map(|(&number, _)| number);
        if let Some(place) = longest.and_then(|number| taken.remove(&number)) {
            place.given_up.notify_one();
        }
    }

    fn taken(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Place>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    fn is_idle(&self) -> bool {
        self.answering.load(Ordering::Acquire) == 0
    }

    fn active(&self) -> Instant {
        *self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn touch(&self) {
        *self.active.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

impl Seat {
    /// Waits until the connection has to make room.
    pub(super) async fn given_up(&self) {
        self.place.given_up.notified().await;
    }

    /// The stream of the connection, watched for bytes that come and go.
    pub(super) fn watch<S>(self: &Arc<Self>, inner: S) -> Watched<S> {
        Watched { inner, seat: Arc::clone(self) }
    }

    fn begin(self: &Arc<Self>) -> Answering {
        self.place.answering.fetch_add(1, Ordering::AcqRel);
        Answering(Arc::clone(self))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.taken().remove(&self.number);
    }
}

/// A request that is being answered, from its head to the last byte of the answer.
struct Answering(Arc<Seat>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.place.touch();
        self.0.place.answering.fetch_sub(1, Ordering::AcqRel);
        self.0.seats.became_idle.notify_one();
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
            self.seat.place.touch();
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
            self.seat.place.touch();
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
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use std::time::Duration;

    /// Connections on all of these places, each idle for a second less than the one before.
    fn full(seats: &Arc<Seats>, count: u64) -> Vec<Arc<Seat>> {
        let began = Instant::now();
        let seat = |number| {
            let seat = seats.take(seats.free().now_or_never().expect("a place is free"));
            *seat.place.active.lock().unwrap() = began + Duration::from_secs(number);
            seat
        };
        (0..count).map(seat).collect()
    }

    fn is_given_up(seat: &Seat) -> bool {
        seat.given_up().now_or_never().is_some()
    }

    #[tokio::test]
    async fn the_longest_idle_makes_room_and_others_stay() {
        let seats = Seats::new(3);
        let mut taken = full(&seats, 3);
        *taken[0].place.active.lock().unwrap() += Duration::from_secs(9);

        assert!(seats.free().now_or_never().is_none(), "nobody has left yet");

        let given_up: Vec<_> = taken.iter().map(|seat| is_given_up(seat)).collect();
        assert_eq!(given_up, [false, true, false]);
        taken.remove(1);
        assert!(seats.free().now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_connection_with_a_request_stays_until_it_is_answered() {
        let seats = Seats::new(2);
        let mut taken = full(&seats, 2);
        let answering: Vec<_> = taken.iter().map(Seat::begin).collect();
        let waiting = seats.free();
        tokio::pin!(waiting);

        assert!(waiting.as_mut().now_or_never().is_none());
        assert!(!taken.iter().any(|seat| is_given_up(seat)));

        let mut answering = answering.into_iter();
        drop(answering.next());
        *taken[0].place.active.lock().unwrap() -= Duration::from_secs(9);
        assert!(waiting.as_mut().now_or_never().is_none());
        assert!(is_given_up(&taken[0]) && !is_given_up(&taken[1]));
        taken.remove(0);
        assert!(waiting.now_or_never().is_some());
    }
}
