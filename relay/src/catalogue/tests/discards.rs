//! What is to be deleted, and what keeps it from being deleted.

use super::*;
use skyspray_wire::refusal::{Refusal, RefusalCode};

each_engine! {
    a_discard_is_claimed_by_one_and_gone_when_confirmed;
    a_claim_whose_holder_died_is_claimed_again_and_the_dead_confirms_nothing;
    a_job_takes_no_place_that_is_being_deleted;
    a_deleter_that_died_does_not_block_a_job_for_ever;
    an_aborted_sealed_job_discards_only_what_no_generation_uses;
}

/// A minute: how long a claim holds.
const MINUTE: i64 = 60_000;

impl Bench {
    /// Leaves `a/x._1_of_2` and `a/x._2_of_2` to be discarded since `T`.
    async fn removed(&self) {
        self.committed(&spray(1, "a::x"), T).await;
        let name = logical("a::x");
        self.catalogue.remove_logical(&plane(), &name, &Actor::Operator, T).await.unwrap();
    }

    async fn claim(&self, now_ms: i64) -> Vec<Discard> {
        self.catalogue.claim_discards(&plane(), now_ms, 10, now_ms).await.unwrap()
    }
}

async fn a_discard_is_claimed_by_one_and_gone_when_confirmed(engine: Engine) {
    let bench = Bench::new(engine).await;
    bench.removed().await;
    assert_eq!(bench.claim(T - 1).await, [], "not old enough");

    let one = bench.catalogue.claim_discards(&plane(), T, 1, T).await.unwrap();
    let rest = bench.claim(T).await;

    assert_eq!(one[0].path, "a/x._1_of_2");
    assert_eq!((one[0].reason, one[0].claimed_ms), (DiscardReason::Removed, Some(T)));
    assert_eq!(rest.iter().map(|d| d.path.as_str()).collect::<Vec<_>>(), ["a/x._2_of_2"]);
    assert_eq!(bench.claim(T).await, []);
    bench.catalogue.discarded(&one).await.unwrap();
    assert_eq!(bench.discard_paths().await, ["a/x._2_of_2"]);
    bench.catalogue.discarded(&rest).await.unwrap();
    assert_eq!(bench.discard_paths().await, Vec::<String>::new());
}

async fn a_claim_whose_holder_died_is_claimed_again_and_the_dead_confirms_nothing(engine: Engine) {
    let bench = Bench::new(engine).await;
    bench.removed().await;
    let dead = bench.claim(T).await;

    let again = bench.claim(T + MINUTE).await;
    assert_eq!(again.len(), 2);
    bench.catalogue.discarded(&dead).await.unwrap();

    assert_eq!(bench.discard_paths().await.len(), 2);
}

async fn a_job_takes_no_place_that_is_being_deleted(engine: Engine) {
    let bench = Bench::new(engine).await;
    bench.removed().await;
    let new = spray(2, "a::x");
    let epoch = bench.open(&new, T).await.unwrap().epoch;
    let claimed = bench.claim(T).await;
    bench.catalogue.seal_parts(new.job, epoch, &parts_of(&new), T).await.unwrap();

    let error =
        bench.catalogue.mark_sealed((new.job, epoch), &[], OPEN_GATE.allowed, T).await.unwrap_err();
    assert_eq!(error.to_string(), "what was at a/x._1_of_2 is being deleted or copied");
    assert_eq!(error.refusal().code, RefusalCode::Busy);
    let push = bench.open(&push_job(3), T).await.unwrap().epoch;
    let file = NewFile { path: path("a/x._2_of_2"), length: 1, modified_ns: 0 };
    let standing =
        bench.catalogue.add_files((job_id(3), push), PartIndex(0), &[file], T).await.unwrap();
    let busy =
        Refusal::new(RefusalCode::Busy, "a/x._2_of_2: what was there is being deleted or copied");
    assert_eq!(standing, [FileStanding::Refused(busy)]);

    bench.catalogue.discarded(&claimed).await.unwrap();
    bench.catalogue.mark_sealed((new.job, epoch), &[], OPEN_GATE.allowed, T).await.unwrap();
}

async fn a_deleter_that_died_does_not_block_a_job_for_ever(engine: Engine) {
    let bench = Bench::new(engine).await;
    bench.removed().await;
    let new = spray(2, "a::x");
    let epoch = bench.open(&new, T).await.unwrap().epoch;
    bench.claim(T).await;
    bench.catalogue.seal_parts(new.job, epoch, &parts_of(&new), T).await.unwrap();

    assert_eq!(bench.claim(T + MINUTE).await, [], "the job needs these places");
    bench
        .catalogue
        .mark_sealed((new.job, epoch), &[], OPEN_GATE.allowed, T + MINUTE)
        .await
        .unwrap();
    bench.catalogue.commit_spray(new.job, epoch, OPEN_GATE.sign, T + MINUTE).await.unwrap();

    assert_eq!(bench.discard_paths().await, Vec::<String>::new());
}

async fn an_aborted_sealed_job_discards_only_what_no_generation_uses(engine: Engine) {
    let bench = Bench::new(engine).await;
    bench.committed(&spray(1, "a::x"), T).await;
    let new = NewJob { overwrite: true, ..spray(2, "a::x") };
    bench.sealed(&new, T).await;

    bench.catalogue.abort_sealed(new.job, None, &Actor::Operator, T).await.unwrap();

    assert_eq!(bench.discard_paths().await, Vec::<String>::new());
    let current = bench.catalogue.current(&plane(), &logical("a::x")).await.unwrap().unwrap();
    assert_eq!(current.generation, Generation(1));
    let wider = NewJob { overwrite: true, parts: 3, ..spray(3, "a::x") };
    bench.sealed(&wider, T).await;
    bench.catalogue.abort_sealed(wider.job, None, &Actor::Relay, T).await.unwrap();
    assert_eq!(bench.discard_paths().await.len(), 3);
}
