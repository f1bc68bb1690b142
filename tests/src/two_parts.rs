//! A spray of two small parts, asked for request by request in a session of the test's own.

use skyspray_link::codec::Compression;
use skyspray_link::feed::{self, FeedSettings, PartEnd, Producer, Stopped};
use skyspray_link::seam::files::BufferPool;
use skyspray_link::send::{Lane, SendJob};
use skyspray_link::session::Session;
use skyspray_wire::digest::{ChunkValue, Digest, PartTree};
use skyspray_wire::ids::{ChunkIndex, JobId, PartIndex};
use skyspray_wire::message::{Granted, OpenWrite, PartSeal, Reply, Request, WriteTarget};
use skyspray_wire::name::{LogicalName, PlaneName};
use tokio::sync::mpsc;

/// The job.
pub const JOB: JobId = JobId([7; 16]);

/// What is stored: each part a document with one record.
pub const PARTS: [&str; 2] = ["<r><a>1</a></r>", "<r><a>22</a></r>"];

/// Bytes of each part before its record.
pub const HEADER: u32 = 3;
const FOOTER: u32 = 4;

/// The request that opens the job, for a logical file on the plane `data`.
///
/// # Panics
///
/// When the name is none.
pub fn opening(name: &str) -> Request {
    Request::OpenWrite(OpenWrite {
        job: JOB,
        target: WriteTarget::LogicalFile {
            plane: PlaneName::parse("data").expect("a plane"),
            name: LogicalName::parse(name).expect("a logical name"),
            parts: 2,
        },
        overwrite: false,
        bytes: 100,
        plan: Digest::of(b"plan"),
        attributes: vec![("format".into(), "xml".into()), ("rowTag".into(), "b".into())],
    })
}

/// Opens the job in a session that is greeted.
///
/// # Panics
///
/// When the relay does not grant it.
pub async fn open(session: &Session, name: &str) -> Granted {
    let mut answer = session.request(&opening(name)).await.expect("a session");
    match answer.reply().await.expect("an answer") {
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

/// The seals of the parts.
///
/// # Panics
///
/// When a part is none.
pub fn seals(granted: &Granted) -> Vec<PartSeal> {
    let seal = |(part, bytes): (PartIndex, &str)| {
        let (size, first) = (granted.chunk_size, ChunkIndex(0));
        let mut tree = PartTree::new(size);
        tree.insert(first, &ChunkValue::of(size, first, bytes.as_bytes())).expect("it fits");
        let length = bytes.len() as u64;
        let (digest, crc32) = tree.root(length).expect("one chunk is all of it");
        PartSeal { part, length, digest, crc32, records: Some(1), header: HEADER, footer: FOOTER }
    };
    (0u32..).map(PartIndex).zip(PARTS).map(seal).collect()
}

/// Sends the parts, and waits until they are durable.
///
/// # Panics
///
/// When the relay does not take them.
pub async fn send(session: &Session, granted: &Granted) {
    let settings = FeedSettings {
        chunk_size: granted.chunk_size,
        compression: Compression::Off,
        buffers: BufferPool::new(4, granted.chunk_size.bytes() as usize),
        encoders: 1,
    };
    let mut feed = feed::start(&settings, |producer| produce(producer)).expect("threads");
    let mut job = SendJob::new(JOB, granted.chunk_size, granted.in_flight_chunks);
    let (streams, mut opened) = mpsc::channel(1);
    let stream = session.open_chunks_to_relay().await.expect("a session");
    streams.send(stream).await.expect("the queue has room");
    let (sealed, _seals) = mpsc::channel(2);
    let lane =
        Lane { epoch: granted.epoch, session, streams: &mut opened, seals: &sealed, last: None };
    job.begin_session();
    job.reopened();
    job.run(&mut feed, lane).await.expect("the relay takes the parts");
}
