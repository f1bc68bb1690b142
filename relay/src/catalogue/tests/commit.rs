//! Sealing and committing sprays.

use super::*;
use skyspray_wire::receipt::ListDigest;
use skyspray_wire::refusal::{Refusal, RefusalCode};

each_engine! {
    a_commit_makes_the_generation_visible_with_all_that_is_known_of_it;
    a_commit_asked_for_again_in_any_epoch_returns_the_first_result;
    two_commits_of_one_job_at_once_write_one_generation;
    what_exists_is_replaced_only_when_asked_and_unused_places_are_discarded;
    places_the_new_generation_takes_over_are_not_discarded;
    a_job_is_sealed_only_when_every_part_is;
    records_are_known_only_when_every_part_counted_them;
    headers_and_footers_are_kept_with_their_parts;
    what_is_known_late_is_added_when_the_job_is_sealed_and_never_after;
    the_agent_is_judged_as_it_is_when_the_job_is_sealed;
    a_revoked_agent_seals_nothing_whatever_the_gate_says;
    what_a_sealed_job_put_in_its_places_is_discarded_when_it_is_given_up;
    a_sealed_job_is_given_up_only_by_whoever_may_place_its_parts;
    a_part_does_not_take_the_place_of_another_file;
    a_crash_between_any_two_steps_loses_nothing_and_repeats_nothing;
    a_transaction_that_was_cut_off_has_written_nothing;
    a_spray_of_ten_thousand_parts_commits_and_is_read_in_pages;
}

fn overwriting(id: u8, parts: u32) -> NewJob {
    NewJob { overwrite: true, parts, ..spray(id, "a::x") }
}

async fn a_commit_makes_the_generation_visible_with_all_that_is_known_of_it(engine: Engine) {
    let bench = Bench::new(engine).await;
    let new = spray(1, "a::x");
    let epoch = bench.sealed(&new, T).await;
    assert_eq!(bench.catalogue.current(&plane(), &logical("a::x")).await.unwrap(), None);

    let done = bench.catalogue.commit_spray(new.job, epoch, OPEN_GATE.sign, T + 5).await.unwrap();

    let mut list = ListDigest::default();
    for part in parts_of(&new) {
        list.push(part.seal.length, &part.seal.digest);
    }
    let bytes = parts_of(&new).iter().map(|part| part.seal.length).sum::<u64>();
    assert_eq!(
        receipt(&done),
        Receipt {
            version: 1,
            job: new.job,
            wuid: "D20240229-123456-1".to_owned(),
            agent: agent("edge-1"),
            plane: plane(),
            target: "a::x".to_owned(),
            generation: Some(Generation(1)),
            parts: 2,
            bytes,
            content: list.finish(),
            committed_ms: T + 5,
        }
    );
    let current = bench.catalogue.current(&plane(), &logical("a::x")).await.unwrap().unwrap();
    assert_eq!((current.generation, current.state), (Generation(1), GenerationState::Live));
    assert_eq!((current.parts, current.bytes, current.records), (2, bytes, Some(2)));
    assert_eq!((current.layout, &current.attributes), (new.layout, &new.attributes));
    assert_eq!(current.receipt, done.receipt);
    let name = logical("a::x");
    let parts = bench.catalogue.parts((&plane(), &name), Generation(1), None, 10).await.unwrap();
    let expected = parts_of(&new).into_iter().map(|part| (part.path, part.seal.digest));
    assert!(parts.into_iter().map(|part| (part.path, part.digest)).eq(expected));
    assert_eq!(bench.job(&new).await.state, JobState::Committed);
}

async fn a_commit_asked_for_again_in_any_epoch_returns_the_first_result(engine: Engine) {
    let mut bench = Bench::new(engine).await;
    let new = spray(1, "a::x");
    let done = bench.committed(&new, T).await;
    let audit = bench.catalogue.verify_audit().await.unwrap();

    bench.crash().await;
    for epoch in [Epoch(1), Epoch(9)] {
        let again =
            bench.catalogue.commit_spray(new.job, epoch, OPEN_GATE.sign, T + 9).await.unwrap();
        assert_eq!(again, done);
    }

    assert_eq!(bench.catalogue.verify_audit().await.unwrap(), audit);
    let reopened = bench.catalogue.open_write(&new, T + 9).await.unwrap();
    assert_eq!(reopened, Opening::Committed(done));
}

async fn two_commits_of_one_job_at_once_write_one_generation(engine: Engine) {
    let bench = Bench::new(engine).await;
    let other = bench.other_process().await;
    let new = spray(1, "a::x");
    let epoch = bench.sealed(&new, T).await;

    let (one, two) = tokio::join!(
        bench.catalogue.commit_spray(new.job, epoch, OPEN_GATE.sign, T),
        other.commit_spray(new.job, epoch, OPEN_GATE.sign, T)
    );

    assert_eq!(one.unwrap(), two.unwrap());
    let second = bench.catalogue.generation(&plane(), &logical("a::x"), Generation(2)).await;
    assert_eq!(second.unwrap(), None);
}

async fn what_exists_is_replaced_only_when_asked_and_unused_places_are_discarded(engine: Engine) {
    let bench = Bench::new(engine).await;
    bench.committed(&spray(1, "a::x"), T).await;
    let error = bench.open(&spray(2, "a::x"), T).await.unwrap_err();
    assert!(matches!(&error, JobError::Exists { name } if name == "a::x"));

    let done = bench.committed(&overwriting(3, 3), T + 5).await;

    assert_eq!(done.generation, Some(Generation(2)));
    assert_eq!(bench.discard_paths().await, ["a/x._1_of_2", "a/x._2_of_2"]);
    let discards = bench.catalogue.discards(&plane(), 1).await.unwrap();
    assert_eq!(discards[0].reason, DiscardReason::Replaced);
    assert_eq!(discards[0].since_ms, T + 5);
    assert_eq!(discards[0].digest, parts_of(&spray(1, "a::x"))[0].seal.digest);
    let name = logical("a::x");
    let old = bench.catalogue.generation(&plane(), &name, Generation(1)).await.unwrap().unwrap();
    assert_eq!((old.state, old.ended_ms), (GenerationState::Replaced, Some(T + 5)));
    let old = bench.catalogue.parts((&plane(), &name), Generation(1), None, 10).await.unwrap();
    assert_eq!(old, []);
}

async fn places_the_new_generation_takes_over_are_not_discarded(engine: Engine) {
    let bench = Bench::new(engine).await;
    bench.committed(&spray(1, "a::x"), T).await;
    bench.committed(&overwriting(2, 2), T).await;
    assert_eq!(bench.discard_paths().await, Vec::<String>::new());

    bench.committed(&overwriting(3, 1), T).await;
    assert_eq!(bench.discard_paths().await, ["a/x._1_of_2", "a/x._2_of_2"]);
    bench.committed(&overwriting(4, 2), T).await;
    assert_eq!(bench.discard_paths().await, ["a/x._1_of_1"]);
}

async fn a_job_is_sealed_only_when_every_part_is(engine: Engine) {
    let bench = Bench::new(engine).await;
    let new = spray(1, "a::x");
    let epoch = bench.open(&new, T).await.unwrap().epoch;
    let parts = parts_of(&new);
    let catalogue = &bench.catalogue;

    catalogue.seal_parts(new.job, epoch, &parts[..1], T).await.unwrap();
    catalogue.seal_parts(new.job, epoch, &parts[..1], T).await.unwrap();
    let error =
        catalogue.mark_sealed((new.job, epoch), &[], OPEN_GATE.allowed, T).await.unwrap_err();
    assert_eq!(error.to_string(), "1 of 2 parts are sealed");
    assert_eq!(error.refusal().code, RefusalCode::Incomplete);
    let error = catalogue.commit_spray(new.job, epoch, OPEN_GATE.sign, T).await.unwrap_err();
    assert!(matches!(error, JobError::State { state: JobState::Open, .. }));

    let changed = SealedPart { seal: seal(0, b"other"), path: parts[0].path.clone() };
    let error = catalogue.seal_parts(new.job, epoch, &[changed], T).await.unwrap_err();
    assert!(matches!(error, JobError::PartDiffers { part: PartIndex(0) }));
    let beyond = SealedPart { seal: seal(2, b"x"), path: "a/y".to_owned() };
    let error = catalogue.seal_parts(new.job, epoch, &[beyond], T).await.unwrap_err();
    assert_eq!(error.to_string(), "part 3 is not one of the job's 2");

    catalogue.seal_parts(new.job, epoch, &parts, T).await.unwrap();
    catalogue.mark_sealed((new.job, epoch), &[], OPEN_GATE.allowed, T).await.unwrap();
    catalogue.mark_sealed((new.job, epoch), &[], OPEN_GATE.allowed, T).await.unwrap();
    catalogue.seal_parts(new.job, epoch, &parts, T).await.unwrap();
    assert_eq!(bench.job(&new).await.state, JobState::Sealed);
}

async fn records_are_known_only_when_every_part_counted_them(engine: Engine) {
    let bench = Bench::new(engine).await;
    let new = spray(1, "a::x");
    let epoch = bench.open(&new, T).await.unwrap().epoch;
    let mut parts = parts_of(&new);
    parts[1].seal.records = None;
    bench.catalogue.seal_parts(new.job, epoch, &parts, T).await.unwrap();
    bench.catalogue.mark_sealed((new.job, epoch), &[], OPEN_GATE.allowed, T).await.unwrap();
    bench.catalogue.commit_spray(new.job, epoch, OPEN_GATE.sign, T).await.unwrap();

    let current = bench.catalogue.current(&plane(), &logical("a::x")).await.unwrap().unwrap();

    assert_eq!(current.records, None);
}

async fn headers_and_footers_are_kept_with_their_parts(engine: Engine) {
    let bench = Bench::new(engine).await;
    let new = spray(1, "a::x");
    let epoch = bench.open(&new, T).await.unwrap().epoch;
    let mut parts = parts_of(&new);
    (parts[0].seal.header, parts[1].seal.footer) = (3, 2);
    bench.catalogue.seal_parts(new.job, epoch, &parts, T).await.unwrap();
    let mut other = parts.clone();
    other[1].seal.footer = 1;
    let error = bench.catalogue.seal_parts(new.job, epoch, &other, T).await.unwrap_err();
    assert!(matches!(error, JobError::PartDiffers { part: PartIndex(1) }), "{error}");
    bench.catalogue.mark_sealed((new.job, epoch), &[], OPEN_GATE.allowed, T).await.unwrap();
    bench.catalogue.commit_spray(new.job, epoch, OPEN_GATE.sign, T).await.unwrap();

    let name = logical("a::x");
    let stored = bench.catalogue.parts((&plane(), &name), Generation(1), None, 10).await.unwrap();

    let framed: Vec<_> = stored.iter().map(|part| (part.header, part.footer)).collect();
    assert_eq!(framed, [(3, 0), (0, 2)]);
    assert_eq!((stored[0].info().header, stored[1].info().footer), (3, 2));
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

async fn what_is_known_late_is_added_when_the_job_is_sealed_and_never_after(engine: Engine) {
    let bench = Bench::new(engine).await;
    let new = spray(1, "a::x");
    let epoch = bench.parts_sealed(&new, T).await;
    let (catalogue, key) = (&bench.catalogue, (new.job, epoch));

    let long = [pair("ECL", &"x".repeat(32 * 1024))];
    let error = catalogue.mark_sealed(key, &long, OPEN_GATE.allowed, T).await.unwrap_err();
    assert_eq!(error.refusal().code, RefusalCode::LimitExceeded);
    assert!(error.to_string().starts_with("2 attributes of 32779 bytes, at most 64"), "{error}");
    assert_eq!(
        (bench.job(&new).await.state, bench.job(&new).await.attributes),
        (JobState::Open, new.attributes.clone())
    );
    let late = [pair("replaced", "4"), pair("kind", "csv")];
    catalogue.mark_sealed(key, &late, OPEN_GATE.allowed, T).await.unwrap();
    catalogue.mark_sealed(key, &[pair("later", "5")], OPEN_GATE.allowed, T).await.unwrap();
    catalogue.commit_spray(new.job, epoch, OPEN_GATE.sign, T).await.unwrap();

    let current = catalogue.current(&plane(), &logical("a::x")).await.unwrap().unwrap();
    assert_eq!(current.attributes, [pair("kind", "csv"), pair("replaced", "4")]);
}

async fn the_agent_is_judged_as_it_is_when_the_job_is_sealed(engine: Engine) {
    let bench = Bench::new(engine).await;
    let new = spray(1, "a::x");
    let epoch = bench.parts_sealed(&new, T).await;
    bench.catalogue.set_rules(&agent("edge-1"), &[], T).await.unwrap();
    let allowed: Allowed<'_> = &|agent, job| {
        assert_eq!((&agent.name, job.job), (&job.agent, job_id(1)));
        match agent.rules.is_empty() {
            true => Err(Refusal::new(RefusalCode::Forbidden, "a::x")),
            false => Ok(()),
        }
    };

    let error = bench.catalogue.mark_sealed((new.job, epoch), &[], allowed, T).await.unwrap_err();

    assert_eq!(error.refusal(), Refusal::new(RefusalCode::Forbidden, "a::x"));
    assert_eq!(bench.job(&new).await.state, JobState::Open);
    let refused = ("job-committed".to_owned(), "refused 201".to_owned());
    assert_eq!(bench.audit_events(1).await, [refused]);
    bench.catalogue.set_rules(&agent("edge-1"), &rules(), T).await.unwrap();
    bench.catalogue.mark_sealed((new.job, epoch), &[], allowed, T).await.unwrap();
    // From here on the commit is only finished, whatever happens to the agent.
    bench.catalogue.set_rules(&agent("edge-1"), &[], T).await.unwrap();
    bench.catalogue.commit_spray(new.job, epoch, OPEN_GATE.sign, T).await.unwrap();
}

async fn a_revoked_agent_seals_nothing_whatever_the_gate_says(engine: Engine) {
    let bench = Bench::new(engine).await;
    let new = spray(1, "a::x");
    let epoch = bench.parts_sealed(&new, T).await;
    bench.catalogue.revoke_agent(&agent("edge-1"), T).await.unwrap();

    let sealed = bench.catalogue.mark_sealed((new.job, epoch), &[], OPEN_GATE.allowed, T).await;

    assert_eq!(sealed.unwrap_err().refusal().code, RefusalCode::AgentRevoked);
    assert_eq!(bench.job(&new).await.state, JobState::Open);
}

async fn what_a_sealed_job_put_in_its_places_is_discarded_when_it_is_given_up(engine: Engine) {
    let bench = Bench::new(engine).await;
    let new = spray(1, "a::x");
    bench.sealed(&new, T).await;

    bench.catalogue.abort_sealed(new.job, None, &Actor::Relay, T).await.unwrap();
    assert_eq!(bench.discard_paths().await, ["a/x._1_of_2", "a/x._2_of_2"]);
    let discards = bench.catalogue.discards(&plane(), 1).await.unwrap();
    assert_eq!(discards[0].reason, DiscardReason::Aborted);
}

async fn a_sealed_job_is_given_up_only_by_whoever_may_place_its_parts(engine: Engine) {
    let bench = Bench::new(engine).await;
    let new = spray(1, "a::x");
    let epoch = bench.sealed(&new, T).await;

    for actor in [Actor::Agent(agent("edge-1")), Actor::Operator, Actor::Relay] {
        let error = bench.catalogue.abort(new.job, Some(epoch), &actor, T).await.unwrap_err();
        assert!(matches!(error, JobError::State { state: JobState::Sealed, .. }), "{error}");
    }
    assert_eq!(bench.job(&new).await.state, JobState::Sealed);
}

async fn a_part_does_not_take_the_place_of_another_file(engine: Engine) {
    let bench = Bench::new(engine).await;
    bench.committed(&spray(1, "a::x"), T).await;
    let new = spray(2, "a::y");
    let epoch = bench.open(&new, T).await.unwrap().epoch;
    let stolen = SealedPart { seal: seal(0, b"y"), path: "a/x._1_of_2".to_owned() };

    let error = bench.catalogue.seal_parts(new.job, epoch, &[stolen], T).await.unwrap_err();

    assert_eq!(error.to_string(), "a/x._1_of_2 belongs to another file");
    assert_eq!(error.refusal().code, RefusalCode::PathBlocked);
}

async fn a_crash_between_any_two_steps_loses_nothing_and_repeats_nothing(engine: Engine) {
    let mut bench = Bench::new(engine).await;
    let new = spray(1, "a::x");
    let mut epoch = Epoch(0);
    for step in 0..4 {
        bench.crash().await;
        epoch = bench.open(&new, T + step).await.unwrap().epoch;
        let parts = parts_of(&new);
        let catalogue = &bench.catalogue;
        if step >= 1 {
            catalogue.seal_parts(new.job, epoch, &parts[..1], T).await.unwrap();
        }
        if step >= 2 {
            catalogue.seal_parts(new.job, epoch, &parts, T).await.unwrap();
        }
        if step >= 3 {
            catalogue.mark_sealed((new.job, epoch), &[], OPEN_GATE.allowed, T).await.unwrap();
        }
    }
    bench.crash().await;
    assert_eq!(epoch, Epoch(4));

    let done = bench.catalogue.commit_spray(new.job, epoch, OPEN_GATE.sign, T).await.unwrap();

    assert_eq!(done.generation, Some(Generation(1)));
    let sealed = bench.catalogue.audit_tail(100).await.unwrap();
    assert_eq!(sealed.iter().filter(|line| line.event == "job-sealed").count(), 1);
}

async fn a_transaction_that_was_cut_off_has_written_nothing(engine: Engine) {
    let mut bench = Bench::new(engine).await;
    let new = spray(1, "a::x");
    let epoch = bench.sealed(&new, T).await;
    let mut tx = bench.catalogue.store.begin().await.unwrap();
    query("UPDATE jobs SET state = 'committed'").execute(&mut tx).await.unwrap();
    drop(tx);

    bench.crash().await;

    assert_eq!(bench.job(&new).await.state, JobState::Sealed);
    bench.catalogue.commit_spray(new.job, epoch, OPEN_GATE.sign, T).await.unwrap();
}

async fn a_spray_of_ten_thousand_parts_commits_and_is_read_in_pages(engine: Engine) {
    let bench = Bench::new(engine).await;
    let new = NewJob { parts: 10_000, ..spray(1, "a::x") };
    let epoch = bench.open(&new, T).await.unwrap().epoch;
    for page in parts_of(&new).chunks(512) {
        bench.catalogue.seal_parts(new.job, epoch, page, T).await.unwrap();
    }
    bench.catalogue.mark_sealed((new.job, epoch), &[], OPEN_GATE.allowed, T).await.unwrap();
    let done = bench.catalogue.commit_spray(new.job, epoch, OPEN_GATE.sign, T).await.unwrap();

    let mut list = ListDigest::default();
    let (mut after, mut seen) = (None, 0);
    loop {
        let page = bench
            .catalogue
            .parts((&plane(), &logical("a::x")), Generation(1), after, 999)
            .await
            .unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.part);
        for part in &page {
            assert_eq!(part.part, PartIndex(seen));
            seen += 1;
            list.push(part.length, &part.digest);
        }
    }

    assert_eq!(seen, 10_000);
    assert_eq!(receipt(&done).content, list.finish());
    assert_eq!(receipt(&done).parts, 10_000);
}
