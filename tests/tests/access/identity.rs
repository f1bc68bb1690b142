//! Identities and versions: the wrong authority, an edge that is newer than the relay.

use skyspray_link::request::RequestError;
use skyspray_link::session::{Session, SessionError};
use skyspray_tests::args;
use skyspray_tests::check::assert_says;
use skyspray_tests::dial::{block_on, dial, hello};
use skyspray_tests::pair::Pair;
use skyspray_tests::two_parts::{JOB, opening};
use skyspray_wire::message::{List, ListWhat, Reply, Request, VERSION_NEWEST};
use skyspray_wire::name::{PlaneName, Scope};
use skyspray_wire::refusal::{Refusal, RefusalCode};
use std::fs;

#[test]
fn a_relay_of_another_authority_is_not_believed() {
    let (pair, other) = (Pair::start(), Pair::start());
    let address = &other.relay.listeners().data;
    pair.edge.configure("addresses", &format!("[\"{address}\"]"));
    let source = pair.edge.file("a.csv");
    fs::write(&source, b"a\n").unwrap();

    let output = pair.run(args!["spray", &source, "data:t::file"]);

    let reason = format!("relay {address} is not the one this edge was enrolled with");
    assert_says(&output, 4, &reason);
    skyspray_tests::check::assert_nothing_visible(&other, "t::file");
}

async fn refusal(session: &Session, request: &Request) -> Refusal {
    match session.ask(request).await {
        Err(RequestError::Refused(refusal)) => refusal,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[test]
fn an_edge_that_is_newer_than_the_relay_is_told_so() {
    let pair = Pair::start();

    block_on(async {
        let session = dial(&pair).await;
        let newer = hello(VERSION_NEWEST + 1, VERSION_NEWEST + 3);
        assert_eq!(refusal(&session, &newer).await.code, RefusalCode::VersionUnsupported);
    });
}

#[test]
fn an_edge_that_speaks_newer_versions_too_is_welcomed_in_the_relays() {
    let pair = Pair::start();

    block_on(async {
        let session = dial(&pair).await;
        match session.ask(&hello(1, VERSION_NEWEST + 3)).await.unwrap() {
            Reply::Welcome(welcome) => assert_eq!(welcome.version, VERSION_NEWEST),
            other => panic!("expected a welcome, got {other:?}"),
        }
    });
}

/// Streams wait, unread, until the first one has greeted.
#[test]
fn what_is_asked_behind_the_greeting_is_answered_after_it() {
    let pair = Pair::start();

    block_on(async {
        let session = dial(&pair).await;
        let mut greeting = session.request(&hello(1, VERSION_NEWEST)).await.unwrap();
        let mut behind = session.request(&opening("t::behind")).await.unwrap();

        let granted = behind.reply().await.unwrap();
        assert!(matches!(granted, Reply::Granted(_)), "{granted:?}");
        let welcome = greeting.reply().await.unwrap();
        assert!(matches!(welcome, Reply::Welcome(_)), "{welcome:?}");
    });
}

#[test]
fn nothing_is_done_that_is_asked_behind_a_greeting_that_is_refused() {
    let pair = Pair::start();

    block_on(async {
        let session = dial(&pair).await;
        let newer = hello(VERSION_NEWEST + 1, VERSION_NEWEST + 3);
        let mut greeting = session.request(&newer).await.unwrap();
        let mut behind = session.request(&opening("t::behind")).await.unwrap();

        let refused = greeting.reply().await.unwrap_err();
        let code = RefusalCode::VersionUnsupported;
        assert!(matches!(&refused, RequestError::Refused(no) if no.code == code), "{refused}");
        let lost = behind.reply().await.unwrap_err();
        assert!(matches!(&lost, RequestError::Session(SessionError::Closed(_))), "{lost}");
        let session = dial(&pair).await;
        let greeted = session.ask(&hello(1, VERSION_NEWEST)).await.unwrap();
        assert!(matches!(greeted, Reply::Welcome(_)), "{greeted:?}");
        let unknown = refusal(&session, &Request::JobStatus(JOB)).await;
        assert_eq!(unknown.code, RefusalCode::JobUnknown, "the job was not opened");
    });
}

#[test]
fn a_request_before_the_greeting_is_refused() {
    let pair = Pair::start();

    block_on(async {
        let session = dial(&pair).await;
        let list = Request::List(List {
            plane: PlaneName::parse("data").unwrap(),
            what: ListWhat::Logical(Scope::parse("t").unwrap()),
            after: String::new(),
            limit: 1,
        });
        assert_eq!(refusal(&session, &list).await.code, RefusalCode::NotGreeted);
    });
}
