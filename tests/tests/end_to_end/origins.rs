//! Headers, footers, late attributes and origins of a spray: kept by the relay and told by both.

#![allow(clippy::unwrap_used, reason = "helpers of tests unwrap as tests do")]

use serde_json::json;
use skyspray_link::request::RequestError;
use skyspray_link::session::Session;
use skyspray_tests::args;
use skyspray_tests::dial::{block_on, dial, hello};
use skyspray_tests::pair::Pair;
use skyspray_tests::two_parts::{HEADER, JOB, open, seals, send};
use skyspray_wire::ids::{Epoch, PartIndex, SourceIndex};
use skyspray_wire::message::{
    Commit, OriginRange, Origins, RecordOrigins, Reply, Request, SealParts, SourceNote,
};
use skyspray_wire::refusal::{Refusal, RefusalCode};

fn range(part: u32, source: u32, source_offset: u64, length: u64) -> OriginRange {
    OriginRange {
        part: PartIndex(part),
        part_offset: HEADER.into(),
        source: SourceIndex(source),
        source_offset,
        length,
    }
}

fn origins() -> Origins {
    Origins {
        sources: vec![
            SourceNote::new(SourceIndex(0), "in/one.xml", 60),
            SourceNote::new(SourceIndex(1), "in/two.xml", 40),
        ],
        ranges: vec![range(0, 0, 21, 8), range(1, 1, 5, 9)],
    }
}

async fn record(session: &Session, epoch: Epoch, origins: Origins) -> Result<Reply, Refusal> {
    let request = Request::RecordOrigins(RecordOrigins { job: JOB, epoch, origins });
    match session.ask(&request).await {
        Ok(reply) => Ok(reply),
        Err(RequestError::Refused(refusal)) => Err(refusal),
        Err(other) => panic!("{other}"),
    }
}

async fn spray(session: &Session) {
    let Ok(Reply::Welcome(_)) = session.ask(&hello(1, 1)).await else { panic!("no welcome") };
    let granted = open(session, "t::orders").await;
    let epoch = granted.epoch;
    assert_eq!(record(session, epoch, origins()).await, Ok(Reply::Done));
    send(session, &granted).await;
    let parts = seals(&granted);
    // As a job does that goes on after a lost answer.
    assert_eq!(record(session, epoch, origins()).await, Ok(Reply::Done));
    let other = Origins { ranges: vec![range(0, 1, 21, 8)], sources: Vec::new() };
    let refused = record(session, epoch, other).await.unwrap_err();
    assert_eq!(refused.code, RefusalCode::JobDiffers);
    assert_eq!(refused.detail, "the range at 3 in part 1 was stated before with another origin");
    let seal = Request::SealParts(SealParts { job: JOB, epoch, parts });
    assert_eq!(session.ask(&seal).await.unwrap(), Reply::Done);
    let attributes = vec![("rowTag".into(), "a".into()), ("replaced".into(), "0".into())];
    let commit =
        Request::Commit(Commit { job: JOB, epoch, parts: 2, attributes, seals: Vec::new() });
    let committed = session.ask(&commit).await.unwrap();
    assert!(matches!(committed, Reply::Committed(_)), "{committed:?}");
}

#[test]
fn what_is_told_of_parts_is_kept_and_shown_on_both_sides() {
    let pair = Pair::start();
    block_on(async { spray(&dial(&pair).await).await });

    let described = pair.done(args!["describe", "data:t::orders", "--origins"]);
    let description = described.event("description").unwrap();
    let attributes = json!({ "format": "xml", "rowTag": "a", "replaced": "0" });
    assert_eq!(description["attributes"], attributes);
    assert_eq!(description["records"], 2);
    let objects = described.objects();
    let of = |event: &'static str| objects.iter().filter(move |object| object["event"] == event);
    let framed: Vec<_> = of("part").map(|part| (&part["header"], &part["footer"])).collect();
    assert_eq!(framed, [(&json!(3), &json!(4)); 2]);
    let told: Vec<_> = of("origin")
        .map(|o| {
            json!([o["part"], o["part_offset"], o["length"], o["source_name"], o["source_offset"]])
        })
        .collect();
    assert_eq!(told, [json!([1, 3, 8, "in/one.xml", 21]), json!([2, 3, 9, "in/two.xml", 5])]);
    let plain = pair.done(args!["describe", "data:t::orders"]);
    assert!(plain.event("origin").is_none());

    let shown = args!["file", "show", "data:t::orders", "--origins"];
    let shown = pair.relay.admin(shown).unwrap().done().unwrap();
    let part = shown.event("part").unwrap();
    assert_eq!((&part["header"], &part["footer"]), (&json!(3), &json!(4)));
    let origin = shown.event("origin").unwrap();
    assert_eq!(
        (&origin["part"], &origin["source_name"], &origin["source_offset"], &origin["bytes"]),
        (&json!(2), &json!("in/two.xml"), &json!(5), &json!(9))
    );
}
