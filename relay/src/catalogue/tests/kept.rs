//! Generations that stay stored, going back to one, and the pointers that follow.

use super::*;
use std::num::NonZeroU32;

each_engine! {
    the_last_generations_stay_stored_and_older_ones_are_discarded;
    nothing_is_discarded_before_the_pointer_names_what_replaced_it;
    a_kept_generation_becomes_current_again_and_numbers_go_on;
    what_cannot_be_gone_back_to_is_said;
    a_job_that_is_open_goes_on_and_one_that_is_sealed_is_not_undone;
    removing_the_name_lets_go_of_every_generation_after_the_pointer;
    a_plane_may_change_its_layout_and_change_it_back;
    a_pushed_file_and_a_pointer_do_not_take_each_others_place;
}

/// A spray of one part to `a::x` that replaces what is there and keeps `generations`.
fn keeping(id: u8, generations: u32) -> NewJob {
    let new = NewJob { overwrite: true, parts: 1, ..spray(id, "a::x") };
    let generations = NonZeroU32::new(generations).unwrap();
    let kept = Some(Kept { job: new.job, generations });
    NewJob { layout: PartLayout { kept, ..new.layout }, ..new }
}

/// The same in the places where HPCC looks.
fn in_place(id: u8) -> NewJob {
    NewJob { overwrite: true, parts: 1, ..spray(id, "a::x") }
}

/// Where the only part of a job lies.
fn place(new: &NewJob) -> String {
    match new.layout.kept {
        Some(kept) => format!("a/x.G{}/x._1_of_1", kept.job),
        None => "a/x._1_of_1".to_owned(),
    }
}

impl Bench {
    async fn seal_one(&self, new: &NewJob, now_ms: i64) -> Epoch {
        let epoch = self.open(new, now_ms).await.unwrap().epoch;
        let part = SealedPart { path: place(new), ..parts_of(new).remove(0) };
        self.catalogue.seal_parts(new.job, epoch, &[part], now_ms).await.unwrap();
        self.catalogue.mark_sealed((new.job, epoch), &[], OPEN_GATE.allowed, now_ms).await.unwrap();
        epoch
    }

    /// Commits without looking at the pointer, as before a crash.
    async fn commit_only(&self, new: &NewJob, now_ms: i64) -> u64 {
        let epoch = self.seal_one(new, now_ms).await;
        let done = self.catalogue.commit_spray(new.job, epoch, OPEN_GATE.sign, now_ms).await;
        done.unwrap().generation.unwrap().0
    }

    /// What the pointer is to name, confirmed as if it were written.
    async fn settle(&self, now_ms: i64) -> Option<u64> {
        let due = self.catalogue.due_pointer(&plane(), &x()).await.unwrap().expect("it is due");
        let named = due.target.map(|target| target.generation);
        let file = (&plane(), &x());
        assert!(self.catalogue.confirm_pointer(file, named, now_ms).await.unwrap());
        assert_eq!(self.catalogue.due_pointer(&plane(), &x()).await.unwrap(), None);
        named.map(|generation| generation.0)
    }

    async fn commit_and_settle(&self, new: &NewJob, now_ms: i64) -> u64 {
        let generation = self.commit_only(new, now_ms).await;
        assert_eq!(self.settle(now_ms).await, Some(generation));
        generation
    }

    async fn current_and_kept(&self) -> (Option<u64>, Vec<u64>) {
        let current = self.catalogue.current(&plane(), &x()).await.unwrap();
        let kept = self.catalogue.kept(&plane(), &x()).await.unwrap();
        let kept = kept.iter().map(|kept| kept.generation.0).collect();
        (current.map(|current| current.generation.0), kept)
    }

    async fn roll_back(&self, to: Option<u64>, now_ms: i64) -> Result<(u64, u64), String> {
        let (plane, name, to) = (plane(), x(), to.map(Generation));
        let rolled = self.catalogue.roll_back((&plane, &name), to, &Actor::Operator, now_ms).await;
        rolled.map(|rolled| (rolled.from.0, rolled.to.0)).map_err(|error| error.to_string())
    }

    async fn stored(&self, generation: u64) -> Vec<String> {
        let parts = self.catalogue.parts((&plane(), &x()), Generation(generation), None, 10).await;
        parts.unwrap().into_iter().map(|part| part.path).collect()
    }
}

fn x() -> LogicalName {
    logical("a::x")
}

async fn the_last_generations_stay_stored_and_older_ones_are_discarded(engine: Engine) {
    let bench = Bench::new(engine).await;
    for id in 1..=4 {
        assert_eq!(
            bench.commit_and_settle(&keeping(id, 3), T + i64::from(id)).await,
            u64::from(id)
        );
    }

    assert_eq!(bench.current_and_kept().await, (Some(4), vec![3, 2]));
    assert_eq!(bench.stored(2).await, [place(&keeping(2, 3))]);
    assert_eq!(bench.stored(1).await, Vec::<String>::new());
    assert_eq!(bench.discard_paths().await, [place(&keeping(1, 3))]);
    let oldest = bench.catalogue.generation(&plane(), &x(), Generation(1)).await.unwrap().unwrap();
    assert_eq!(oldest.state, GenerationState::Replaced);
    let kept = bench.catalogue.generation(&plane(), &x(), Generation(3)).await.unwrap().unwrap();
    assert_eq!((kept.state, kept.ended_ms), (GenerationState::Kept, Some(T + 4)));

    // A lower number counts from the next replacement on.
    bench.commit_and_settle(&keeping(5, 1), T + 5).await;
    assert_eq!(bench.current_and_kept().await, (Some(5), vec![]));
    assert_eq!(bench.discard_paths().await.len(), 4);
}

async fn nothing_is_discarded_before_the_pointer_names_what_replaced_it(engine: Engine) {
    let mut bench = Bench::new(engine).await;
    bench.commit_and_settle(&keeping(1, 1), T).await;
    assert_eq!(bench.commit_only(&keeping(2, 1), T + 1).await, 2);

    bench.crash().await;
    assert_eq!(bench.discard_paths().await, Vec::<String>::new());
    assert_eq!(bench.stored(1).await, [place(&keeping(1, 1))]);
    assert_eq!(bench.catalogue.due_pointers(10).await.unwrap(), [(plane(), x())]);
    let file = (&plane(), &x());
    let late = bench.catalogue.confirm_pointer(file, Some(Generation(1)), T + 2).await.unwrap();
    assert!(!late, "a pointer to what is not current any more is taken for right");
    assert_eq!(bench.discard_paths().await, Vec::<String>::new());

    assert_eq!(bench.settle(T + 3).await, Some(2));
    assert_eq!(bench.discard_paths().await, [place(&keeping(1, 1))]);
    assert_eq!(bench.catalogue.due_pointers(10).await.unwrap(), []);
    let again = bench.catalogue.confirm_pointer(file, Some(Generation(2)), T + 4).await.unwrap();
    assert!(again);
}

async fn a_kept_generation_becomes_current_again_and_numbers_go_on(engine: Engine) {
    let bench = Bench::new(engine).await;
    for id in 1..=3 {
        bench.commit_and_settle(&keeping(id, 3), T + i64::from(id)).await;
    }

    assert_eq!(bench.roll_back(None, T + 10).await, Ok((3, 2)));
    assert_eq!(bench.settle(T + 10).await, Some(2));
    assert_eq!(bench.current_and_kept().await, (Some(2), vec![3, 1]));
    let current = bench.catalogue.current(&plane(), &x()).await.unwrap().unwrap();
    assert_eq!((current.state, current.ended_ms), (GenerationState::Live, None));
    assert_eq!(current.job, job_id(2));
    let events = bench.audit_events(1).await;
    assert_eq!(events, [("rolled-back".to_owned(), "done".to_owned())]);

    // Forward again, and to the oldest.
    assert_eq!(bench.roll_back(Some(3), T + 11).await, Ok((2, 3)));
    assert_eq!(bench.roll_back(Some(1), T + 12).await, Ok((3, 1)));
    assert_eq!(bench.settle(T + 12).await, Some(1));
    assert_eq!(bench.discard_paths().await, Vec::<String>::new());

    // What was current last is kept before what was rolled back from.
    assert_eq!(bench.commit_and_settle(&keeping(4, 2), T + 13).await, 4);
    assert_eq!(bench.current_and_kept().await, (Some(4), vec![1]));
    bench.catalogue.verify_audit().await.unwrap();
}

async fn what_cannot_be_gone_back_to_is_said(engine: Engine) {
    let bench = Bench::new(engine).await;
    assert_eq!(bench.roll_back(None, T).await.unwrap_err(), "a::x does not exist on plane data");
    bench.committed(&NewJob { parts: 1, ..spray(1, "a::x") }, T).await;
    let layout = "a::x has the layout hpcc, which keeps no earlier generation";
    assert_eq!(bench.roll_back(None, T).await.unwrap_err(), layout);
    bench.commit_and_settle(&keeping(2, 2), T + 1).await;
    let none = "a::x has no earlier generation than 2 that is kept";
    assert_eq!(bench.roll_back(None, T).await.unwrap_err(), none);
    for id in 3..=4 {
        bench.commit_and_settle(&keeping(id, 2), T + i64::from(id)).await;
    }
    for generation in [2, 7] {
        let error = bench.roll_back(Some(generation), T).await.unwrap_err();
        assert_eq!(error, format!("generation {generation} of a::x is not kept"));
    }
    let error = bench.roll_back(Some(4), T).await.unwrap_err();
    assert_eq!(error, "generation 4 of a::x is the current one");
}

async fn a_job_that_is_open_goes_on_and_one_that_is_sealed_is_not_undone(engine: Engine) {
    let bench = Bench::new(engine).await;
    for id in 1..=2 {
        bench.commit_and_settle(&keeping(id, 3), T + i64::from(id)).await;
    }
    let new = keeping(3, 3);
    bench.open(&new, T + 3).await.unwrap();

    assert_eq!(bench.roll_back(None, T + 4).await, Ok((2, 1)));
    bench.settle(T + 4).await;
    let epoch = bench.seal_one(&new, T + 5).await;
    let wuid = bench.job(&new).await.wuid;
    let error = bench.roll_back(Some(2), T + 6).await.unwrap_err();
    assert_eq!(error, format!("a::x is being replaced by job {wuid}"));
    let replaced = bench.catalogue.is_being_replaced(&plane(), &x()).await.unwrap();
    assert!(!replaced, "readers wait for a job that leaves the parts alone");

    let done = bench.catalogue.commit_spray(new.job, epoch, OPEN_GATE.sign, T + 7).await.unwrap();
    assert_eq!(done.generation, Some(Generation(3)));
    bench.settle(T + 7).await;
    assert_eq!(bench.current_and_kept().await, (Some(3), vec![1, 2]));
}

async fn removing_the_name_lets_go_of_every_generation_after_the_pointer(engine: Engine) {
    let bench = Bench::new(engine).await;
    for id in 1..=2 {
        bench.commit_and_settle(&keeping(id, 2), T + i64::from(id)).await;
    }

    bench.catalogue.remove_logical(&plane(), &x(), &Actor::Operator, T + 3).await.unwrap();
    assert_eq!(bench.current_and_kept().await, (None, vec![]));
    assert_eq!(bench.discard_paths().await, Vec::<String>::new());
    // A new file of the name comes before anybody has removed the pointer.
    assert_eq!(bench.commit_and_settle(&keeping(3, 2), T + 4).await, 3);

    assert_eq!(bench.current_and_kept().await, (Some(3), vec![]));
    let mut expected = [1, 2].map(|id| place(&keeping(id, 2))).to_vec();
    expected.sort();
    assert_eq!(bench.discard_paths().await, expected);
    bench.catalogue.remove_logical(&plane(), &x(), &Actor::Operator, T + 5).await.unwrap();
    assert_eq!(bench.settle(T + 5).await, None);
    assert_eq!(bench.discard_paths().await.len(), 3);
    let discards = bench.catalogue.discards(&plane(), 9).await.unwrap();
    assert!(discards.iter().all(|discard| discard.reason == DiscardReason::Removed));
}

async fn a_plane_may_change_its_layout_and_change_it_back(engine: Engine) {
    let bench = Bench::new(engine).await;
    bench.committed(&NewJob { parts: 1, ..spray(1, "a::x") }, T).await;
    assert_eq!(bench.commit_only(&keeping(2, 5), T + 1).await, 2);
    // Whoever reads the first generation where HPCC looks is not disturbed before the pointer.
    assert_eq!(bench.stored(1).await, ["a/x._1_of_1"]);
    assert_eq!(bench.current_and_kept().await, (Some(2), vec![]));

    // Back, before the pointer was written: the same places are taken again.
    assert_eq!(bench.commit_only(&in_place(3), T + 2).await, 3);
    assert_eq!(bench.stored(1).await, Vec::<String>::new());
    assert_eq!(bench.discard_paths().await, Vec::<String>::new());
    assert_eq!(bench.settle(T + 3).await, None);
    assert_eq!(bench.stored(3).await, ["a/x._1_of_1"]);
    assert_eq!(bench.discard_paths().await, [place(&keeping(2, 5))]);

    // Without a pointer everything is as it was.
    let epoch = bench.seal_one(&in_place(4), T + 4).await;
    bench.catalogue.commit_spray(job_id(4), epoch, OPEN_GATE.sign, T + 4).await.unwrap();
    assert_eq!(bench.catalogue.due_pointers(10).await.unwrap(), []);
    assert_eq!(bench.stored(3).await, Vec::<String>::new());
}

async fn a_pushed_file_and_a_pointer_do_not_take_each_others_place(engine: Engine) {
    let bench = Bench::new(engine).await;
    bench.commit_and_settle(&keeping(1, 1), T).await;
    let push = NewJob {
        target: WriteTarget::Files { plane: plane(), directory: path("a") },
        ..push_job(2)
    };
    let epoch = bench.open(&push, T).await.unwrap().epoch;
    let file = |name: &str| NewFile { path: path(name), length: 1, modified_ns: 0 };
    let files = [file("a/x.CURRENT"), file("a/y.CURRENT")];
    let key = (push.job, epoch);
    let standings = bench.catalogue.add_files(key, PartIndex(0), &files, T).await.unwrap();

    let FileStanding::Refused(refusal) = &standings[0] else { panic!("{standings:?}") };
    assert_eq!(refusal.code, skyspray_wire::refusal::RefusalCode::PathBlocked);
    assert_eq!(standings[1], FileStanding::Open { tree: None });
}
