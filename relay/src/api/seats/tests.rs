//! Places by themselves, without connections.

use super::*;
use futures_util::FutureExt as _;
use std::time::Duration;

/// Connections on all of these places, each idle for a second less than the one before.
fn full(seats: &Arc<Seats>, count: u64) -> Vec<Arc<Seat>> {
    let began = Instant::now();
    let seat = |number| {
        let seat = seats.take(seats.free().now_or_never().expect("a place is free"));
        seat.place.activity().active = began + Duration::from_secs(number);
        seat
    };
    (0..count).map(seat).collect()
}

fn given_up(taken: &[Arc<Seat>]) -> Vec<bool> {
    taken.iter().map(|seat| seat.given_up().now_or_never().is_some()).collect()
}

/// Ends the answer and has all of it sent.
fn end(answering: Answering) {
    let seat = Arc::clone(&answering.0);
    drop(answering);
    seat.wrote();
    seat.flushed();
}

#[tokio::test]
async fn the_longest_idle_makes_room_and_others_stay() {
    let seats = Seats::new(3);
    let mut taken = full(&seats, 3);
    taken[0].place.activity().active += Duration::from_secs(9);
    assert_eq!(given_up(&taken), [false, false, false], "all places are taken, and nobody waits");

    assert!(seats.free().now_or_never().is_none(), "nobody has left yet");

    assert_eq!(given_up(&taken), [false, true, false]);
    taken.remove(1);
    assert!(seats.free().now_or_never().is_some());
    assert_eq!(given_up(&taken), [false, false]);
}

#[tokio::test]
async fn a_connection_with_a_request_stays_until_it_is_answered() {
    let seats = Seats::new(2);
    let mut taken = full(&seats, 2);
    let mut answering: Vec<_> = taken.iter().map(Seat::begin).collect();
    let waiting = seats.free();
    tokio::pin!(waiting);

    assert!(waiting.as_mut().now_or_never().is_none());
    assert_eq!(given_up(&taken), [false, false]);

    end(answering.remove(0));
    assert!(waiting.as_mut().now_or_never().is_none());
    assert_eq!(given_up(&taken), [true, false]);
    taken.remove(0);
    assert!(waiting.now_or_never().is_some());
}

#[tokio::test]
async fn a_connection_is_idle_only_when_all_of_its_answer_is_flushed() {
    let seats = Seats::new(1);
    let taken = full(&seats, 1);
    let waiting = seats.free();
    tokio::pin!(waiting);
    let answering = taken[0].begin();
    taken[0].wrote();
    taken[0].flushed();
    assert!(waiting.as_mut().now_or_never().is_none());
    assert_eq!(given_up(&taken), [false], "more of the answer is to come");

    drop(answering);
    assert!(waiting.as_mut().now_or_never().is_none());
    assert_eq!(given_up(&taken), [false], "its end is not written yet");
    taken[0].wrote();
    assert!(waiting.as_mut().now_or_never().is_none());
    assert_eq!(given_up(&taken), [false], "its end is not flushed yet");

    taken[0].flushed();
    assert!(waiting.as_mut().now_or_never().is_none());
    assert_eq!(given_up(&taken), [true]);
}

#[tokio::test]
async fn what_is_said_without_a_request_is_flushed_before_the_connection_is_idle() {
    let seats = Seats::new(1);
    let taken = full(&seats, 1);
    taken[0].wrote();
    let waiting = seats.free();
    tokio::pin!(waiting);
    assert!(waiting.as_mut().now_or_never().is_none());
    assert_eq!(given_up(&taken), [false]);

    taken[0].flushed();
    assert!(waiting.as_mut().now_or_never().is_none());
    assert_eq!(given_up(&taken), [true]);
    taken[0].wrote();
    assert_eq!(given_up(&taken), [true], "a farewell does not keep it");
}

#[tokio::test]
async fn one_newcomer_has_one_connection_given_up_however_often_it_looks() {
    let seats = Seats::new(3);
    let mut taken = full(&seats, 3);
    // Nobody waits for what becomes idle here, and nobody is to be given up for it later.
    taken.iter().map(Seat::begin).for_each(end);

    for _ in 0..3 {
        let waiting = seats.free();
        tokio::pin!(waiting);
        assert!(waiting.as_mut().now_or_never().is_none());
        end(taken[2].begin());
        assert!(waiting.as_mut().now_or_never().is_none());
    }

    assert_eq!(given_up(&taken), [true, false, false]);
    taken.remove(0);
    taken.push(seats.take(seats.free().now_or_never().unwrap()));
    assert_eq!(given_up(&taken), [false, false, false]);
}

#[tokio::test]
async fn a_request_on_a_connection_that_was_given_up_keeps_it_and_another_leaves() {
    let seats = Seats::new(2);
    let taken = full(&seats, 2);
    let waiting = seats.free();
    tokio::pin!(waiting);
    assert!(waiting.as_mut().now_or_never().is_none());
    assert_eq!(given_up(&taken), [true, false]);

    let answering = taken[0].begin();

    assert_eq!(given_up(&taken), [false, false]);
    assert!(waiting.as_mut().now_or_never().is_none());
    assert_eq!(given_up(&taken), [false, true]);
    end(answering);
    assert!(waiting.as_mut().now_or_never().is_none());
    assert_eq!(given_up(&taken), [false, true]);
}
