//! The end of a spray: a commit that states seals, asked for before the last chunks arrived.

#![allow(clippy::unwrap_used, reason = "helpers of tests unwrap as tests do")]

use skyspray_link::request::RequestError;
use skyspray_link::session::Session;
use skyspray_tests::args;
use skyspray_tests::dial::{block_on, dial, hello};
use skyspray_tests::pair::Pair;
use skyspray_tests::two_parts::{JOB, PARTS, open, opening, seals, send};
use skyspray_tests::wait;
use skyspray_wire::digest::Digest;
use skyspray_wire::limits::COMMIT_SEALS_MAX;
use skyspray_wire::message::{
    Commit, Committed, Granted, JobState, PartSeal, Reply, Request, SealParts, VERSION_NEWEST,
};
use skyspray_wire::refusal::{Refusal, RefusalCode};
use std::time::Duration;

const NAME: &str = "t::orders";

async fn greeted(pair: &Pair) -> Session {
    let session = dial(pair).await;
    let reply = session.ask(&hello(1, VERSION_NEWEST)).await.unwrap();
    assert!(matches!(reply, Reply::Welcome(_)), "{reply:?}");
    session
}

fn commit(granted: &Granted, seals: Vec<PartSeal>) -> Request {
    let attributes = vec![("rowTag".into(), "a".into())];
    Request::Commit(Commit { job: JOB, epoch: granted.epoch, parts: 2, attributes, seals })
}

async fn refused(session: &Session, request: &Request) -> Refusal {
    match session.ask(request).await {
        Err(RequestError::Refused(refusal)) => refusal,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

async fn state(session: &Session) -> JobState {
    match session.ask(&Request::JobStatus(JOB)).await.unwrap() {
        Reply::Job(job) => job.state,
        other => panic!("expected a job, got {other:?}"),
    }
}

fn committed(reply: Reply) -> Committed {
    match reply {
        Reply::Committed(committed) => committed,
        other => panic!("expected a commit, got {other:?}"),
    }
}

#[test]
fn a_commit_with_the_last_seals_waits_for_the_chunks_that_are_still_on_their_way() {
    let pair = Pair::start();
    let (first, again) = block_on(async {
        let session = greeted(&pair).await;
        let granted = open(&session, NAME).await;
        let request = commit(&granted, seals(&granted));
        let mut early = session.request(&request).await.unwrap();
        // Requests are answered side by side: this one is, and the commit is not.
        assert_eq!(state(&session).await, JobState::Open);
        send(&session, &granted).await;
        let first = committed(early.reply().await.unwrap());

        let reopened = session.ask(&opening(NAME)).await.unwrap();
        (first, committed(reopened))
    });

    assert_eq!(again, first, "asked again, the same answer");
    let described = pair.done(args!["describe", "data:t::orders"]);
    let description = described.event("description").unwrap();
    assert_eq!(description["bytes"], PARTS.concat().len());
    assert_eq!(description["attributes"]["rowTag"], "a");
    assert_eq!(description["records"], 2);
}

#[test]
fn a_commit_that_does_not_seal_every_part_is_refused_at_once() {
    let pair = Pair::start();
    block_on(async {
        let session = greeted(&pair).await;
        let granted = open(&session, NAME).await;
        send(&session, &granted).await;
        let one = seals(&granted)[..1].to_vec();

        let refusal = refused(&session, &commit(&granted, one)).await;

        assert_eq!(refusal.code, RefusalCode::Incomplete);
        assert_eq!(refusal.detail, "commit of 2 parts, 1 of 2 are complete");
        assert_eq!(state(&session).await, JobState::Open);
        // What was stored is held, and the job goes on from it.
        let granted = open(&session, NAME).await;
        let reply = session.ask(&commit(&granted, seals(&granted))).await.unwrap();
        committed(reply);
    });
}

#[test]
fn a_wrong_seal_in_a_commit_fails_the_job_when_its_chunks_arrive() {
    let pair = Pair::start();
    block_on(async {
        let session = greeted(&pair).await;
        let granted = open(&session, NAME).await;
        send(&session, &granted).await;
        let mut wrong = seals(&granted);
        wrong[1].digest = Digest::of(b"something else");

        let refusal = refused(&session, &commit(&granted, wrong)).await;

        assert_eq!(refusal.code, RefusalCode::DigestMismatch);
        assert_eq!(state(&session).await, JobState::Open);
    });
    let described = pair.run(args!["describe", "data:t::orders"]);
    assert_ne!(described.code, 0, "nothing is visible: {described:?}");
}

#[test]
fn a_commit_with_more_seals_than_it_may_have_breaks_the_protocol() {
    let pair = Pair::start();
    block_on(async {
        let session = greeted(&pair).await;
        let granted = open(&session, NAME).await;
        let many = vec![seals(&granted)[0]; COMMIT_SEALS_MAX + 1];

        let refusal = refused(&session, &commit(&granted, many)).await;

        assert_eq!(refusal.code, RefusalCode::Malformed);
        assert_eq!(refusal.detail, "more seals than a commit may have");
    });
}

/// Whoever states a seal that is not true does so while the relay still waits for chunks: what it has
/// verified is what it records.
#[test]
fn no_seal_takes_the_place_of_another_while_a_commit_waits() {
    let pair = Pair::start();
    let granted = block_on(async {
        let session = greeted(&pair).await;
        let granted = open(&session, NAME).await;
        let mut early = session.request(&commit(&granted, seals(&granted))).await.unwrap();
        assert_eq!(state(&session).await, JobState::Open);
        let mut wrong = seals(&granted)[..1].to_vec();
        wrong[0].length += 1;
        wrong[0].digest = Digest::of(b"something else");
        let seal = SealParts { job: JOB, epoch: granted.epoch, parts: wrong };
        let mut other = session.request(&Request::SealParts(seal)).await.unwrap();
        assert_eq!(state(&session).await, JobState::Open);
        send(&session, &granted).await;

        committed(early.reply().await.unwrap());
        match other.reply().await {
            Err(RequestError::Refused(refusal)) => {
                assert_eq!(refusal.code, RefusalCode::JobUnknown, "it came after the commit");
            }
            other => panic!("expected a refusal, got {other:?}"),
        }
        granted
    });

    let described = pair.done(args!["describe", "data:t::orders"]);
    let description = described.event("description").unwrap();
    assert_eq!(description["bytes"], PARTS.concat().len());
    let verified = pair.done(args!["verify", "data:t::orders"]);
    assert_eq!(verified.code, 0, "{verified:?}");
    assert_eq!(granted.parts, 2);
}

/// Files on the plane that the relay has open.
fn staged(pair: &Pair) -> usize {
    let open = format!("/proc/{}/fd", pair.relay.process().id());
    let targets = std::fs::read_dir(open).unwrap().flatten();
    targets
        .filter_map(|entry| std::fs::read_link(entry.path()).ok())
        .filter(|target| target.starts_with(&pair.relay.plane) && *target != pair.relay.plane)
        .count()
}

#[test]
fn a_refused_commit_leaves_no_file_open() {
    let pair = Pair::start();
    block_on(async {
        let session = greeted(&pair).await;
        let granted = open(&session, NAME).await;
        send(&session, &granted).await;
        assert_eq!(staged(&pair), 2, "the parts are being written");

        let one = seals(&granted)[..1].to_vec();
        let refusal = refused(&session, &commit(&granted, one)).await;

        assert_eq!(refusal.code, RefusalCode::Incomplete);
        let closed = wait::poll(Duration::from_secs(30), || (staged(&pair) == 0).then_some(()));
        assert!(closed.is_some(), "{} files are still open", staged(&pair));
    });
}
