//! Sealed copies that the store makes, and what they keep from being deleted or replaced.

use super::*;

each_engine! {
    what_a_sealed_copy_is_made_of_is_neither_deleted_nor_replaced_before_its_commit;
    a_copy_that_is_given_up_lets_go_of_what_it_was_made_of;
    nothing_is_copied_that_was_replaced_or_is_about_to_be;
    a_tag_is_that_of_the_last_part_at_its_place_until_that_is_deleted;
}

impl Bench {
    /// Stores `a::x` and opens a copy of it that knows its parts; the copy and its epoch.
    async fn copy_of_x(&self) -> (NewJob, Epoch) {
        self.committed(&spray(1, "a::x"), T).await;
        self.open_copy(2).await
    }

    /// Opens a copy to `a::twin` that knows its parts.
    pub(super) async fn open_copy(&self, id: u8) -> (NewJob, Epoch) {
        let new = NewJob { agent: operator(), ..spray(id, "a::twin") };
        let opened = match self.catalogue.open_copy(&new, T).await.unwrap() {
            Opening::Granted(opened) => opened,
            Opening::Committed(done) => panic!("{done:?}"),
        };
        self.catalogue.seal_parts(new.job, opened.epoch, &parts_of(&new), T).await.unwrap();
        (new, opened.epoch)
    }

    pub(super) async fn seal_copy(
        &self,
        key: (JobId, Epoch),
        generation: u64,
    ) -> Result<bool, JobError> {
        let (plane, name) = (plane(), logical("a::x"));
        let generation = Generation(generation);
        let from = CopiedFrom { plane: &plane, name: &name, generation, read_back: true };
        self.catalogue.seal_copy(key, from, T).await
    }

    async fn sources(&self, new: &NewJob) -> Vec<(PartIndex, PartCopy)> {
        let span = (PartIndex(0), PartIndex(9));
        self.catalogue.part_copies(new.job, span).await.unwrap().into_iter().collect()
    }
}

async fn what_a_sealed_copy_is_made_of_is_neither_deleted_nor_replaced_before_its_commit(
    engine: Engine,
) {
    let bench = Bench::new(engine).await;
    let (new, epoch) = bench.copy_of_x().await;

    assert!(bench.seal_copy((new.job, epoch), 1).await.unwrap());
    assert!(bench.seal_copy((new.job, epoch), 1).await.unwrap(), "sealed before");

    let from =
        |part| PartCopy { plane: plane(), path: format!("a/x._{part}_of_2"), read_back: true };
    assert_eq!(bench.sources(&new).await, [(PartIndex(0), from(1)), (PartIndex(1), from(2))]);
    let other = NewJob { overwrite: true, ..spray(3, "a::x") };
    let other_epoch = bench.parts_sealed(&other, T).await;
    let key = (other.job, other_epoch);
    let busy = bench.catalogue.mark_sealed(key, &[], OPEN_GATE.allowed, T).await.unwrap_err();
    assert_eq!(busy.to_string(), "what was at a/x._1_of_2 is being deleted or copied");
    bench.catalogue.abort(other.job, None, &Actor::Operator, T).await.unwrap();
    let name = logical("a::x");
    bench.catalogue.remove_logical(&plane(), &name, &Actor::Operator, T).await.unwrap();
    assert_eq!(bench.catalogue.claim_discards(&plane(), T, 9, T).await.unwrap(), []);

    bench.catalogue.commit_spray(new.job, epoch, OPEN_GATE.sign, T).await.unwrap();

    assert_eq!(bench.sources(&new).await, []);
    assert_eq!(bench.catalogue.claim_discards(&plane(), T, 9, T).await.unwrap().len(), 2);
    let made = bench.job(&new).await;
    assert_eq!((made.bytes_durable, made.kind), (made.bytes, JobKind::Copy));
}

async fn a_copy_that_is_given_up_lets_go_of_what_it_was_made_of(engine: Engine) {
    let bench = Bench::new(engine).await;
    let (new, epoch) = bench.copy_of_x().await;
    assert!(bench.seal_copy((new.job, epoch), 1).await.unwrap());

    bench.catalogue.abort_sealed(new.job, None, &Actor::Operator, T).await.unwrap();

    assert_eq!(bench.sources(&new).await, []);
    let other = NewJob { overwrite: true, ..spray(3, "a::x") };
    bench.committed(&other, T).await;
}

async fn nothing_is_copied_that_was_replaced_or_is_about_to_be(engine: Engine) {
    let bench = Bench::new(engine).await;
    let (new, epoch) = bench.copy_of_x().await;
    let other = NewJob { overwrite: true, ..spray(3, "a::x") };
    let other_epoch = bench.sealed(&other, T).await;

    assert!(!bench.seal_copy((new.job, epoch), 1).await.unwrap(), "about to be replaced");
    bench.catalogue.commit_spray(other.job, other_epoch, OPEN_GATE.sign, T).await.unwrap();
    assert!(!bench.seal_copy((new.job, epoch), 1).await.unwrap(), "replaced");

    assert_eq!(bench.job(&new).await.state, JobState::Open);
    assert_eq!(bench.sources(&new).await, []);
    assert!(bench.seal_copy((new.job, epoch), 2).await.unwrap());
}

async fn a_tag_is_that_of_the_last_part_at_its_place_until_that_is_deleted(engine: Engine) {
    let bench = Bench::new(engine).await;
    bench.committed(&spray(1, "a::x"), T).await;
    let path = |part: u32| format!("a/x._{part}_of_2");
    let note = |part, tag: Option<&str>| (path(part), tag.map(str::to_owned));
    let found = async || bench.catalogue.stored_tags(&plane(), &[path(1), path(2)]).await.unwrap();

    bench
        .catalogue
        .record_tags(&plane(), &[note(1, Some("old")), note(2, Some("b"))])
        .await
        .unwrap();
    bench.catalogue.record_tags(&plane(), &[note(1, Some("new"))]).await.unwrap();
    assert_eq!(found().await.into_values().collect::<Vec<_>>(), ["new", "b"]);
    bench.catalogue.record_tags(&plane(), &[note(1, None)]).await.unwrap();
    assert_eq!(found().await.into_values().collect::<Vec<_>>(), ["b"]);

    let name = logical("a::x");
    bench.catalogue.remove_logical(&plane(), &name, &Actor::Operator, T).await.unwrap();
    let claimed = bench.catalogue.claim_discards(&plane(), T, 9, T).await.unwrap();
    bench.catalogue.discarded(&claimed).await.unwrap();

    assert_eq!(found().await.len(), 0);
}
