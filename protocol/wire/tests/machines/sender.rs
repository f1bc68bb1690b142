//! Directed tests of the sender: what goes again, what is held, and what no peer may acknowledge.

use skyspray_wire::digest::Digest;
use skyspray_wire::ids::{ChunkIndex, ChunkSize, PartIndex};
use skyspray_wire::message::{Ack, PartRuns, PartSeal};
use skyspray_wire::sender::{Counters, Effect, Offer, Sender, UnexpectedAck};

const PART: PartIndex = PartIndex(1);

fn sender(window: u32) -> Sender {
    Sender::new(ChunkSize::try_new(1024).unwrap(), window)
}

fn offer(sender: &mut Sender, chunk: u64) -> Offer {
    sender.offer(PART, ChunkIndex(chunk), 1024)
}

fn ack(sender: &mut Sender, chunk: u64) -> Result<(), UnexpectedAck> {
    sender.handle_ack(Ack { part: PART, chunk: ChunkIndex(chunk) })
}

fn held(runs: &[(u64, u64)]) -> PartRuns {
    PartRuns { part: PART, runs: runs.to_vec() }
}

fn seal(length: u64) -> PartSeal {
    PartSeal {
        part: PART,
        length,
        digest: Digest([0; 32]),
        crc32: 0,
        records: None,
        header: 0,
        footer: 0,
    }
}

fn effects(sender: &mut Sender) -> Vec<Effect> {
    std::iter::from_fn(|| sender.poll_effect()).collect()
}

#[test]
fn an_acknowledgement_answers_a_chunk_in_flight_once() {
    let unexpected = |chunk| Err(UnexpectedAck { part: PART, chunk: ChunkIndex(chunk) });
    let mut sender = sender(4);
    assert_eq!(ack(&mut sender, 0), unexpected(0));
    offer(&mut sender, 0);

    assert_eq!(ack(&mut sender, 1), unexpected(1));
    assert_eq!(ack(&mut sender, 0), Ok(()));
    assert_eq!(ack(&mut sender, 0), unexpected(0));
    assert_eq!(
        ack(&mut sender, 0).unwrap_err().to_string(),
        "acknowledgement of chunk 0 of part 2, which is not in flight"
    );
}

#[test]
fn the_window_has_room_for_at_least_one_chunk() {
    let mut sender = sender(0);
    assert!(sender.has_room());
    offer(&mut sender, 0);
    assert!(!sender.has_room());
    ack(&mut sender, 0).unwrap();
    assert!(sender.has_room());
}

#[test]
fn a_part_is_sealed_once_all_of_it_is_durable_and_the_plan_ends_with_the_last_seal() {
    let mut sender = sender(4);
    offer(&mut sender, 0);
    offer(&mut sender, 1);
    ack(&mut sender, 1).unwrap();
    sender.handle_part_end(seal(2048));
    sender.handle_plan_end(2);
    assert_eq!(effects(&mut sender), []);

    ack(&mut sender, 0).unwrap();
    assert_eq!(effects(&mut sender), [Effect::Seal(seal(2048))]);
    let empty = PartSeal { part: PartIndex(0), ..seal(0) };
    sender.handle_part_end(empty);
    assert_eq!(effects(&mut sender), [Effect::Seal(empty), Effect::Complete { parts: 2 }]);
}

#[test]
fn the_last_seals_are_known_when_every_part_has_ended() {
    let mut sender = sender(4);
    let unsealed = |sender: &Sender| sender.unsealed().map(Iterator::collect::<Vec<_>>);
    offer(&mut sender, 0);
    sender.handle_part_end(seal(1024));
    assert_eq!(unsealed(&sender), None, "more parts may come");
    sender.handle_plan_end(2);
    assert_eq!(unsealed(&sender), None, "part 1 has not ended");

    sender.handle_part_end(PartSeal { part: PartIndex(0), ..seal(0) });
    assert_eq!(unsealed(&sender), Some(vec![seal(1024)]));
    ack(&mut sender, 0).unwrap();
    assert_eq!(unsealed(&sender), Some(vec![]));
}

#[test]
fn what_was_in_flight_goes_again_unless_it_arrived() {
    let mut sender = sender(4);
    (0..3).for_each(|chunk| assert_eq!(offer(&mut sender, chunk), Offer::Send));
    ack(&mut sender, 0).unwrap();
    sender.handle_session_lost();
    sender.handle_held(&held(&[(0, 2)]));
    sender.handle_reopened();

    assert_eq!(sender.next_again(), Some((PART, ChunkIndex(2))));
    assert_eq!(sender.next_again(), None);
    assert_eq!(sender.in_flight(), 1);
    let counters =
        Counters { chunks_sent: 4, chunks_resent: 1, chunks_held: 0, bytes_durable: 2048 };
    assert_eq!(sender.counters(), counters);
}

#[test]
fn a_chunk_that_is_acknowledged_before_it_goes_again_does_not_go() {
    let mut sender = sender(4);
    (0..2).for_each(|chunk| assert_eq!(offer(&mut sender, chunk), Offer::Send));
    sender.handle_session_lost();
    sender.handle_reopened();
    ack(&mut sender, 0).unwrap();

    assert_eq!(sender.next_again(), Some((PART, ChunkIndex(1))));
    assert_eq!(sender.next_again(), None);
}

#[test]
fn a_session_lost_while_chunks_go_again_starts_them_over() {
    let mut sender = sender(4);
    (0..2).for_each(|chunk| assert_eq!(offer(&mut sender, chunk), Offer::Send));
    sender.handle_session_lost();
    sender.handle_reopened();
    assert_eq!(sender.next_again(), Some((PART, ChunkIndex(0))));
    sender.handle_session_lost();
    sender.handle_reopened();

    let again: Vec<_> = std::iter::from_fn(|| sender.next_again()).collect();
    assert_eq!(again, [(PART, ChunkIndex(0)), (PART, ChunkIndex(1))]);
}

#[test]
fn what_an_earlier_session_said_it_held_counts_no_more_after_a_loss() {
    let mut sender = sender(4);
    sender.handle_held(&held(&[(0, 1)]));
    sender.handle_session_lost();
    sender.handle_held(&held(&[(1, 2)]));
    sender.handle_reopened();

    assert_eq!(offer(&mut sender, 0), Offer::Send);
    assert_eq!(offer(&mut sender, 1), Offer::Held);
}

#[test]
fn ranges_a_peer_states_may_be_empty_reversed_or_overlapping() {
    let mut sender = sender(4);
    sender.handle_held(&held(&[(5, 5), (9, 3), (0, 2), (1, 3), (u64::MAX - 1, u64::MAX)]));

    let offers: Vec<_> = (0..4).map(|chunk| offer(&mut sender, chunk)).collect();
    assert_eq!(offers, [Offer::Held, Offer::Held, Offer::Held, Offer::Send]);
    assert_eq!(sender.counters().chunks_held, 3);
}

#[test]
fn a_part_given_up_is_never_sealed_and_does_not_hold_up_the_others() {
    let mut sender = sender(4);
    offer(&mut sender, 0);
    sender.handle_part_dropped(PART);
    offer(&mut sender, 1);
    sender.handle_part_end(seal(0));
    sender.handle_plan_end(2);
    assert_eq!(effects(&mut sender), []);

    let other = PartSeal { part: PartIndex(0), ..seal(0) };
    sender.handle_part_end(other);
    assert_eq!(effects(&mut sender), [Effect::Seal(other), Effect::Complete { parts: 2 }]);
    assert_eq!(ack(&mut sender, 0), Ok(()));
    assert_eq!(ack(&mut sender, 1), Ok(()));
    sender.handle_part_end(seal(2048));
    assert_eq!(effects(&mut sender), []);
}

#[test]
fn what_is_held_of_a_sealed_part_is_not_kept() {
    let mut sender = sender(4);
    sender.handle_part_end(seal(0));
    sender.handle_session_lost();
    sender.handle_held(&held(&[(0, 5)]));
    sender.handle_reopened();

    assert_eq!(offer(&mut sender, 0), Offer::Send);
}
