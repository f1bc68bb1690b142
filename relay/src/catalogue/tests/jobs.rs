//! Opening, fencing, progress, taking over and giving up.

use super::*;
use skyspray_wire::refusal::RefusalCode;

each_engine! {
    a_job_opens_in_its_first_epoch_with_an_id_for_people;
    the_same_job_again_continues_in_a_new_epoch_with_what_was_fixed_at_first;
    a_job_id_is_not_shared_between_agents_targets_or_plans;
    a_name_is_leased_to_one_agent_while_it_shows_life;
    an_agents_new_job_displaces_its_own_old_one_at_once;
    a_sealed_job_is_never_displaced;
    of_two_agents_that_open_a_name_at_once_one_gets_it;
    of_two_sessions_that_continue_a_job_the_older_is_fenced;
    progress_of_many_jobs_is_one_transaction;
    progress_whose_first_recording_counted_unseen_is_recorded_again_and_not_counted_twice;
    an_aborted_job_is_collected_and_then_forgotten;
    a_name_that_never_was_leaves_nothing_behind;
    a_sealed_job_found_after_a_crash_is_taken_over_and_finished;
    open_jobs_without_a_sign_of_life_are_found;
    jobs_are_listed_newest_first_in_pages_and_by_what_is_asked;
}

fn progress(new: &NewJob, epoch: Epoch, part: u32, tree: &[u8]) -> Progress {
    Progress {
        job: new.job,
        epoch,
        part: PartIndex(part),
        tree: tree.to_vec(),
        job_bytes: 100,
        pieces: Vec::new(),
    }
}

async fn a_job_opens_in_its_first_epoch_with_an_id_for_people(engine: Engine) {
    let bench = Bench::new(engine).await;

    let opened = bench.open(&spray(1, "a::x"), T).await.unwrap();

    assert_eq!(
        opened,
        Opened {
            epoch: Epoch(1),
            wuid: "D20240229-123456-1".to_owned(),
            state: JobState::Open,
            parts: 2,
            chunk_size: ChunkSize::FILE_PLANE,
            layout: PartLayout { dir_per_part: true, devices: 1, lfn_hash: 5, kept: None },
            resumed: false,
        }
    );
    let second = bench.open(&spray(2, "a::y"), T).await.unwrap();
    assert_eq!(second.wuid, "D20240229-123456-2");
    let by_wuid = bench.catalogue.job(&JobKey::Wuid(second.wuid)).await.unwrap().unwrap();
    assert_eq!(by_wuid.job, job_id(2));
    assert_eq!(by_wuid.attributes, [("kind".to_owned(), "flat".to_owned())]);
}

async fn the_same_job_again_continues_in_a_new_epoch_with_what_was_fixed_at_first(engine: Engine) {
    let mut bench = Bench::new(engine).await;
    let new = spray(1, "a::x");
    let first = bench.open(&new, T).await.unwrap();
    bench
        .catalogue
        .record_progress(&[progress(&new, first.epoch, 1, b"tree")], T + 1)
        .await
        .unwrap();

    bench.crash().await;
    let changed_plane = NewJob {
        parts: 9,
        chunk_size: ChunkSize::try_new(4096).unwrap(),
        layout: PartLayout { dir_per_part: false, devices: 3, lfn_hash: 5, kept: None },
        ..new.clone()
    };
    let again = bench.open(&changed_plane, T + 100_000).await.unwrap();

    assert_eq!(again, Opened { epoch: Epoch(2), resumed: true, ..first });
    let parts = bench.catalogue.job_parts(new.job, None, 10).await.unwrap();
    assert_eq!(parts.len(), 1);
    assert_eq!((parts[0].part, parts[0].tree.as_deref()), (PartIndex(1), Some(&b"tree"[..])));
    assert_eq!(bench.job(&new).await.bytes_durable, 100);
}

async fn a_job_id_is_not_shared_between_agents_targets_or_plans(engine: Engine) {
    let bench = Bench::new(engine).await;
    let new = spray(1, "a::x");
    bench.open(&new, T).await.unwrap();

    for other in [
        NewJob { agent: agent("edge-2"), ..new.clone() },
        NewJob { target: spray(1, "a::y").target, ..new.clone() },
        NewJob { target: push_job(1).target, ..new.clone() },
        NewJob { plan: Digest([8; 32]), ..new.clone() },
        NewJob { overwrite: true, ..new.clone() },
    ] {
        let error = bench.open(&other, T).await.unwrap_err();
        assert!(matches!(error, JobError::Differs { job } if job == job_id(1)), "{error:?}");
    }
    assert_eq!(bench.job(&new).await.epoch, Epoch(1));
    let refused = ("job-opened".to_owned(), "refused 405".to_owned());
    assert_eq!(bench.audit_events(1).await, [refused]);
}

async fn a_name_is_leased_to_one_agent_while_it_shows_life(engine: Engine) {
    let bench = Bench::new(engine).await;
    let mine = spray(1, "a::x");
    let theirs = NewJob { agent: agent("edge-2"), ..spray(2, "a::x") };
    let epoch = bench.open(&mine, T).await.unwrap().epoch;
    bench.catalogue.touch_jobs(&[(mine.job, epoch)], T + 50_000).await.unwrap();

    let error = bench.open(&theirs, T + 109_999).await.unwrap_err();
    assert_eq!(error.to_string(), "a::x is being written by job D20240229-123456-1");
    assert_eq!(error.refusal().code, RefusalCode::TargetLeased);

    let opened = bench.open(&theirs, T + 110_000).await.unwrap();
    assert_eq!((opened.epoch, opened.resumed), (Epoch(1), false));
    assert_eq!(bench.job(&mine).await.state, JobState::Aborted);
    let stale = bench
        .catalogue
        .record_progress(&[progress(&mine, epoch, 0, b"late")], T + 110_001)
        .await
        .unwrap();
    assert_eq!(stale, [(mine.job, epoch)]);
    assert_eq!(bench.catalogue.job_parts(mine.job, None, 10).await.unwrap(), []);
    let error = bench.open(&mine, T + 110_002).await.unwrap_err();
    assert!(matches!(error, JobError::Aborted { job } if job == mine.job));
}

async fn an_agents_new_job_displaces_its_own_old_one_at_once(engine: Engine) {
    let bench = Bench::new(engine).await;
    let (old, new) = (spray(1, "a::x"), spray(2, "a::x"));
    bench.open(&old, T).await.unwrap();

    bench.open(&new, T + 1).await.unwrap();

    assert_eq!(bench.job(&old).await.state, JobState::Aborted);
    let to_collect = bench.catalogue.jobs_to_collect(10).await.unwrap();
    assert_eq!(to_collect.iter().map(|job| job.job).collect::<Vec<_>>(), [old.job]);
}

async fn a_sealed_job_is_never_displaced(engine: Engine) {
    let bench = Bench::new(engine).await;
    let sealed = spray(1, "a::x");
    bench.sealed(&sealed, T).await;

    for other in [
        NewJob { agent: agent("edge-2"), ..spray(2, "a::x") },
        NewJob { overwrite: true, ..spray(3, "a::x") },
    ] {
        let error = bench.open(&other, T + 1_000_000).await.unwrap_err();
        assert!(matches!(error, JobError::Leased { .. }), "{error:?}");
    }
    assert_eq!(bench.job(&sealed).await.state, JobState::Sealed);
}

async fn of_two_agents_that_open_a_name_at_once_one_gets_it(engine: Engine) {
    let bench = Bench::new(engine).await;
    let other = bench.other_process().await;
    let mine = spray(1, "a::x");
    let theirs = NewJob { agent: agent("edge-2"), ..spray(2, "a::x") };

    let (one, two) =
        tokio::join!(bench.catalogue.open_write(&mine, T), other.open_write(&theirs, T));

    let (granted, refused) = if one.is_ok() { (one, two) } else { (two, one) };
    assert!(matches!(granted.unwrap(), Opening::Granted(_)));
    assert!(matches!(refused.unwrap_err(), JobError::Leased { .. }));
}

async fn of_two_sessions_that_continue_a_job_the_older_is_fenced(engine: Engine) {
    let bench = Bench::new(engine).await;
    let new = spray(1, "a::x");
    let old = bench.open(&new, T).await.unwrap().epoch;
    let newer = bench.open(&new, T).await.unwrap().epoch;

    let items = [progress(&new, old, 0, b"old"), progress(&new, newer, 1, b"new")];
    let stale = bench.catalogue.record_progress(&items, T).await.unwrap();

    assert_eq!(stale, [(new.job, old)]);
    let parts = bench.catalogue.job_parts(new.job, None, 10).await.unwrap();
    assert_eq!(parts.iter().map(|part| part.part).collect::<Vec<_>>(), [PartIndex(1)]);
    assert_eq!(bench.job(&new).await.bytes_durable, 100);
    let sealed = bench.catalogue.seal_parts(new.job, old, &parts_of(&new), T).await.unwrap_err();
    assert_eq!(sealed.refusal().code, RefusalCode::EpochStale);
    assert_eq!(sealed.to_string(), format!("job {} is at epoch 2, not 1", new.job));
    let marked =
        bench.catalogue.mark_sealed((new.job, old), &[], OPEN_GATE.allowed, T).await.unwrap_err();
    assert!(matches!(marked, JobError::Stale { .. }));
    let gone = bench.catalogue.touch_jobs(&[(new.job, old)], T).await.unwrap();
    assert_eq!(gone, [(new.job, old)]);
}

async fn progress_of_many_jobs_is_one_transaction(engine: Engine) {
    let bench = Bench::new(engine).await;
    let jobs: Vec<NewJob> = (0..10).map(|id| spray(id, &format!("a::n{id}"))).collect();
    let mut items = Vec::new();
    for new in &jobs {
        let epoch = bench.open(new, T).await.unwrap().epoch;
        items.push(progress(new, epoch, 0, b"0"));
        items.push(Progress { job_bytes: 200, ..progress(new, epoch, 1, b"1") });
    }

    assert_eq!(bench.catalogue.record_progress(&items, T + 7).await.unwrap(), []);

    for new in &jobs {
        let record = bench.job(new).await;
        assert_eq!((record.bytes_durable, record.touched_ms), (200, T + 7));
    }
}

async fn progress_whose_first_recording_counted_unseen_is_recorded_again_and_not_counted_twice(
    engine: Engine,
) {
    let bench = Bench::new(engine).await;
    let new = spray(1, "a::x");
    let epoch = bench.open(&new, T).await.unwrap().epoch;
    let items = [progress(&new, epoch, 0, b"0"), progress(&new, epoch, 1, b"1")];
    let later = Progress { job_bytes: 150, ..progress(&new, epoch, 1, b"11") };

    for _ in 0..2 {
        assert_eq!(bench.catalogue.record_progress(&items, T).await.unwrap(), []);
    }
    assert_eq!(bench.job(&new).await.bytes_durable, 100);
    bench.catalogue.record_progress(&[later], T).await.unwrap();

    assert_eq!(bench.job(&new).await.bytes_durable, 150);
    let parts = bench.catalogue.job_parts(new.job, None, 10).await.unwrap();
    assert_eq!(parts[1].tree.as_deref(), Some(&b"11"[..]));
}

async fn an_aborted_job_is_collected_and_then_forgotten(engine: Engine) {
    let bench = Bench::new(engine).await;
    let new = spray(1, "a::x");
    let epoch = bench.open(&new, T).await.unwrap().epoch;
    bench.catalogue.record_progress(&[progress(&new, epoch, 0, b"t")], T).await.unwrap();
    let me = Actor::Agent(agent("edge-1"));
    let catalogue = &bench.catalogue;

    let stranger = Actor::Agent(agent("edge-2"));
    let error = catalogue.abort(new.job, None, &stranger, T).await.unwrap_err();
    assert!(matches!(error, JobError::Unknown { .. }));
    let error = catalogue.abort(new.job, Some(Epoch(7)), &me, T).await.unwrap_err();
    assert!(matches!(error, JobError::Stale { .. }));
    assert!(catalogue.is_live(new.job).await.unwrap());
    catalogue.abort(new.job, Some(epoch), &me, T + 1).await.unwrap();
    let lines = catalogue.verify_audit().await.unwrap().lines;
    catalogue.abort(new.job, None, &Actor::Operator, T + 2).await.unwrap();

    assert_eq!(catalogue.verify_audit().await.unwrap().lines, lines);
    assert!(!catalogue.is_live(new.job).await.unwrap());
    assert_eq!(bench.job(&new).await.finished_ms, Some(T + 1));
    assert_eq!(catalogue.forget_litter(10).await.unwrap(), 0);
    assert_eq!(catalogue.job_parts(new.job, None, 10).await.unwrap().len(), 1);
    catalogue.collected(new.job).await.unwrap();
    assert_eq!(catalogue.jobs_to_collect(10).await.unwrap(), []);
    assert_eq!(catalogue.forget_litter(10).await.unwrap(), 1);
    assert_eq!(catalogue.forget_litter(10).await.unwrap(), 0);
    assert_eq!(catalogue.job_parts(new.job, None, 10).await.unwrap(), []);
    bench.open(&spray(2, "a::x"), T).await.unwrap();
}

async fn a_name_that_never_was_leaves_nothing_behind(engine: Engine) {
    let bench = Bench::new(engine).await;
    let new = spray(1, "a::x");
    bench.open(&new, T).await.unwrap();

    bench.catalogue.abort(new.job, None, &Actor::Operator, T).await.unwrap();

    let row = query("SELECT COUNT(*) AS names FROM logical_files")
        .fetch_one(bench.catalogue.store.readers())
        .await
        .unwrap();
    assert_eq!(row.try_get::<i64>("names").unwrap(), 0);
}

async fn a_sealed_job_found_after_a_crash_is_taken_over_and_finished(engine: Engine) {
    let mut bench = Bench::new(engine).await;
    let new = spray(1, "a::x");
    let old = bench.sealed(&new, T).await;
    bench.crash().await;

    let found = bench.catalogue.sealed_jobs(10).await.unwrap();
    assert_eq!(found.iter().map(|job| job.job).collect::<Vec<_>>(), [new.job]);
    let taken = bench.catalogue.take_over(new.job, T + 1).await.unwrap();
    assert_eq!((taken.epoch, taken.state), (Epoch(2), JobState::Sealed));

    let late = bench.catalogue.commit_spray(new.job, old, OPEN_GATE.sign, T + 2).await.unwrap_err();
    assert!(matches!(late, JobError::Stale { current: Epoch(2), .. }), "{late:?}");
    let done =
        bench.catalogue.commit_spray(new.job, taken.epoch, OPEN_GATE.sign, T + 2).await.unwrap();
    assert_eq!(done.generation, Some(Generation(1)));
    assert_eq!(bench.catalogue.sealed_jobs(10).await.unwrap(), []);
    let error = bench.catalogue.take_over(new.job, T + 3).await.unwrap_err();
    assert!(matches!(error, JobError::State { state: JobState::Committed, .. }));
}

async fn open_jobs_without_a_sign_of_life_are_found(engine: Engine) {
    let bench = Bench::new(engine).await;
    for (id, at) in [(1, T + 30), (2, T + 10), (3, T + 20)] {
        bench.open(&spray(id, &format!("a::n{id}")), at).await.unwrap();
    }

    let old = bench.catalogue.open_jobs_older_than(T + 30, 10).await.unwrap();

    assert_eq!(old.iter().map(|job| job.job).collect::<Vec<_>>(), [job_id(2), job_id(3)]);
}

async fn jobs_are_listed_newest_first_in_pages_and_by_what_is_asked(engine: Engine) {
    let bench = Bench::new(engine).await;
    for id in 1..=5 {
        let by = if id % 2 == 0 { "edge-2" } else { "edge-1" };
        let new = NewJob { agent: agent(by), ..spray(id, &format!("a::n{id}")) };
        bench.open(&new, T).await.unwrap();
    }
    bench.catalogue.abort(job_id(3), None, &Actor::Operator, T).await.unwrap();
    let list = async |filter: &JobFilter, before, limit| {
        let page = bench.catalogue.jobs(filter, before, limit).await.unwrap();
        page.iter().map(|job| job.number).collect::<Vec<_>>()
    };

    let all = JobFilter::default();
    assert_eq!(list(&all, None, 3).await, [5, 4, 3]);
    assert_eq!(list(&all, Some(3), 3).await, [2, 1]);
    let open = JobFilter {
        state: Some(JobState::Open),
        agent: Some(agent("edge-1")),
        plane: Some(plane()),
    };
    assert_eq!(list(&open, None, 10).await, [5, 1]);
}
