//! Sender and Receiver joined without I/O: a network that loses sessions, a disk that loses what
//! was not synced, and directed tests of every way a peer can be wrong.
//!
//! Checks reliability invariants I3, I4, I5, I8, I10, I11 and I12 of the machines themselves.

#![allow(clippy::unwrap_used, reason = "helpers of tests unwrap as tests do")]

#[path = "machines/receiver.rs"]
mod receiver;
#[path = "machines/receiving.rs"]
mod receiving;
#[path = "machines/sender.rs"]
mod sender;
#[path = "machines/sending.rs"]
mod sending;
#[path = "machines/world.rs"]
mod world;

use proptest::collection::vec;
use proptest::prelude::*;
use world::{Direction, Plan, Step, World};

fn length() -> impl Strategy<Value = usize> {
    prop_oneof![
        2 => Just(0),
        1 => Just(1),
        1 => Just(1023),
        2 => (1usize..=8).prop_map(|chunks| chunks * 1024),
        1 => (1usize..=8).prop_map(|chunks| chunks * 1024 - 1),
        1 => (1usize..=8).prop_map(|chunks| chunks * 1024 + 1),
        2 => 2usize..9000,
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    let direction =
        prop_oneof![Just(Direction::Spray), Just(Direction::Push), Just(Direction::Despray)];
    (vec((length(), any::<u8>()), 0..6), 1u32..10, direction)
        .prop_map(|(parts, window, direction)| Plan::new(&parts, window, direction))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        30 => any::<u16>().prop_map(Step::Offer),
        25 => any::<u16>().prop_map(Step::Deliver),
        4 => any::<u16>().prop_map(Step::Duplicate),
        2 => any::<u16>().prop_map(Step::DeliverLate),
        20 => any::<u16>().prop_map(Step::Store),
        1 => any::<u16>().prop_map(Step::Damage),
        12 => Just(Step::BeginSync),
        12 => Just(Step::SyncDone),
        1 => Just(Step::SyncFails),
        12 => Just(Step::Record),
        20 => any::<u16>().prop_map(Step::DeliverAck),
        6 => any::<u16>().prop_map(Step::Seal),
        3 => Just(Step::Commit),
        3 => (any::<bool>(), any::<bool>())
            .prop_map(|(crash, forget)| Step::Cut { crash, forget }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_happens_the_job_ends_whole_and_committed_once(
        plan in plan(),
        steps in vec(step(), 0..500),
    ) {
        let mut world = World::new(plan);
        for step in steps {
            world.apply(step);
        }
        world.finish();
        world.check();
    }

    #[test]
    fn a_job_without_faults_sends_every_chunk_once(plan in plan()) {
        let chunks = plan.chunks();
        let bytes = plan.bytes();
        let mut world = World::new(plan);
        world.finish();
        world.check();

        let counters = world.counters();
        prop_assert_eq!(counters.chunks_sent, chunks);
        prop_assert_eq!(counters.chunks_resent, 0);
        prop_assert_eq!(counters.chunks_held, 0);
        prop_assert_eq!(counters.bytes_durable, bytes);
    }

    #[test]
    fn a_sender_that_forgot_everything_sends_only_what_is_missing(
        plan in plan(),
        steps in vec(step(), 0..300),
    ) {
        let chunks = plan.chunks();
        let mut world = World::new(plan);
        for step in steps {
            world.apply(step);
        }
        world.apply(Step::Cut { crash: true, forget: true });
        let held = world.recorded_chunks();
        let committed = world.is_committed();
        world.finish();
        world.check();

        if !committed {
            prop_assert_eq!(world.counters().chunks_held, held);
            prop_assert_eq!(world.counters().chunks_sent, chunks - held);
        }
    }
}
