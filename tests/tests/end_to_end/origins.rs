//! Headers, footers, late attributes and origins of a spray: kept by the relay and told by both.

#![allow(clippy::unwrap_used, reason = "helpers of tests unwrap as tests do")]

use serde_json::json;
use skyspray_link::codec::Compression;
use skyspray_link::feed::{self, FeedSettings, PartEnd, Producer, Stopped};
use skyspray_link::request::RequestError;
use skyspray_link::seam::files::BufferPool;
use skyspray_link::send::{Lane, SendJob};
use skyspray_link::session::Session;
use skyspray_tests::args;
use skyspray_tests::dial::{block_on, dial, hello};
use skyspray_tests::pair::Pair;
use skyspray_wire::digest::Digest;
use skyspray_wire::ids::{ChunkIndex, Epoch, JobId, PartIndex, SourceIndex};
use skyspray_wire::message::{
    Commit, Granted, OpenWrite, OriginRange, Origins, PartSeal, RecordOrigins, Reply, Request,
    SealParts, SourceNote, WriteTarget,
};
use skyspray_wire::name::{LogicalName, PlaneName};
use skyspray_wire::refusal::{Refusal, RefusalCode};
use tokio::sync::mpsc;

const JOB: JobId = JobId([7; 16]);

/// What is stored: each part a document with one record.
const PARTS: [&str; 2] = ["<r><a>1</a></r>", "<r><a>22</a></r>"];

const HEADER: u32 = 3;
const FOOTER: u32 = 4;

async fn open(session: &Session) -> Granted {
    let open = Request::OpenWrite(OpenWrite {
        job: JOB,
        target: WriteTarget::LogicalFile {
            plane: PlaneName::parse("data").unwrap(),
            name: LogicalName::parse("t::orders").unwrap(),
            parts: 2,
        },
        overwrite: false,
        bytes: 100,
        plan: Digest::of(b"plan"),
        attributes: vec![("format".into(), "xml".into()), ("rowTag".into(), "b".into())],
    });
    let mut answer = session.request(&open).await.unwrap();
    match answer.reply().await.unwrap() {
        Reply::Granted(granted) => granted,
        other => panic!("expected a grant, got {other:?}"),
    }
}

fn produce(producer: &Producer<Stopped>) -> Result<(), Stopped> {
    for (part, bytes) in (0u32..).map(PartIndex).zip(PARTS) {
        let mut buffer = producer.buffer();
        buffer.space()[..bytes.len()].copy_from_slice(bytes.as_bytes());
        buffer.set_len(bytes.len());
        producer.chunk(part, ChunkIndex(0), buffer)?;
        let (length, records) = (bytes.len() as u64, Some(1));
        producer.part_end(PartEnd { part, length, records, header: HEADER, footer: FOOTER })?;
    }
    producer.plan_end(2)
}

/// Sends the parts; what is to be sealed.
async fn send(session: &Session, granted: &Granted) -> Vec<PartSeal> {
    let settings = FeedSettings {
        chunk_size: granted.chunk_size,
        compression: Compression::Off,
        buffers: BufferPool::new(4, granted.chunk_size.bytes() as usize),
        encoders: 1,
    };
    let mut feed = feed::start(&settings, |producer| produce(producer)).unwrap();
    let mut job = SendJob::new(JOB, granted.chunk_size, granted.in_flight_chunks);
    let (streams, mut opened) = mpsc::channel(1);
    streams.send(session.open_chunks_to_relay().await.unwrap()).await.unwrap();
    let (seals, mut sealed) = mpsc::channel(2);
    let lane = Lane {
        epoch: granted.epoch,
        round_trip: session.round_trip(),
        streams: &mut opened,
        seals: &seals,
    };
    job.begin_session();
    job.reopened();
    job.run(&mut feed, lane).await.unwrap();
    vec![sealed.recv().await.unwrap(), sealed.recv().await.unwrap()]
}

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
    let granted = open(session).await;
    let epoch = granted.epoch;
    assert_eq!(record(session, epoch, origins()).await, Ok(Reply::Done));
    let parts = send(session, &granted).await;
    // As a job does that goes on after a lost answer.
    assert_eq!(record(session, epoch, origins()).await, Ok(Reply::Done));
    let other = Origins { ranges: vec![range(0, 1, 21, 8)], sources: Vec::new() };
    let refused = record(session, epoch, other).await.unwrap_err();
    assert_eq!(refused.code, RefusalCode::JobDiffers);
    assert_eq!(refused.detail, "the range at 3 in part 1 was stated before with another origin");
    let seal = Request::SealParts(SealParts { job: JOB, epoch, parts });
    assert_eq!(session.ask(&seal).await.unwrap(), Reply::Done);
    let attributes = vec![("rowTag".into(), "a".into()), ("replaced".into(), "0".into())];
    let commit = Request::Commit(Commit { job: JOB, epoch, parts: 2, attributes });
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
