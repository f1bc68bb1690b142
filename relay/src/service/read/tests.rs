//! Files that change while they are read, and edges that only wanted to know.

use super::*;
use skyspray_link::feed::FeedEvent;
use skyspray_link::seam::files::BufferPool;
use skyspray_wire::digest::Digest;
use skyspray_wire::ids::{ChunkSize, JobId};
use std::fs;

/// What a feed told, in order.
#[derive(Debug, Eq, PartialEq)]
enum Told {
    Chunk(u64),
    PartEnd,
    PlanEnd,
    Refused(RefusalCode),
}

struct Rig {
    directory: tempfile::TempDir,
    plane: Arc<Plane>,
}

impl Rig {
    fn new(bytes: &[u8]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a"), bytes).unwrap();
        let plane = Arc::new(Plane::open_directory(directory.path()).unwrap());
        Self { directory, plane }
    }

    fn stat(&self) -> Stat {
        self.plane.stat(&path()).unwrap()
    }

    async fn read(&self, info: PartInfo) -> Vec<Told> {
        let parts = vec![(path(), info)];
        let reader = Reader { plane: Arc::clone(&self.plane), parts, held: BTreeMap::new() };
        let settings = FeedSettings {
            chunk_size: ChunkSize::try_new(1024).unwrap(),
            compression: Compression::Off,
            buffers: BufferPool::new(2, 1024),
            encoders: 1,
        };
        let mut feed = feed::start(&settings, move |producer| reader.produce(producer)).unwrap();
        let mut told = Vec::new();
        while let Some(event) = feed.next().await {
            told.push(match event {
                FeedEvent::Chunk(ready) => Told::Chunk(ready.chunk.0),
                FeedEvent::PartEnd(_) => Told::PartEnd,
                FeedEvent::PlanEnd { .. } => Told::PlanEnd,
                FeedEvent::Failed(fault) => Told::Refused(fault.refusal().code),
                other => panic!("{other:?}"),
            });
        }
        told
    }
}

fn path() -> RelPath {
    RelPath::parse("a").unwrap()
}

#[tokio::test]
async fn a_file_without_a_digest_that_stays_what_it_was_is_read_to_its_end() {
    let rig = Rig::new(&[7; 1500]);

    let told = rig.read(file_info(None, rig.stat())).await;

    let chunks: Vec<_> = told.iter().filter(|told| matches!(told, Told::Chunk(_))).collect();
    assert_eq!(chunks, [&Told::Chunk(0), &Told::Chunk(1)]);
    assert!(told.contains(&Told::PartEnd) && told.contains(&Told::PlanEnd));
}

#[tokio::test]
async fn a_file_without_a_digest_that_changed_is_refused_before_a_chunk_of_it_goes() {
    let rig = Rig::new(&[7; 1500]);
    let stat = rig.stat();
    let changed = [Told::Refused(RefusalCode::SourceChanged)];
    let earlier = Stat { modified_ns: stat.modified_ns - 1, ..stat };
    assert_eq!(rig.read(file_info(None, earlier)).await, changed);

    for length in [0, 10, 3000] {
        fs::write(rig.directory.path().join("a"), vec![7; length]).unwrap();
        assert_eq!(rig.read(file_info(None, stat)).await, changed, "{length} bytes");
    }
}

#[tokio::test]
async fn a_file_with_a_digest_may_have_any_time_but_must_have_its_bytes() {
    let rig = Rig::new(&[7; 10]);
    let info = |length| PartInfo {
        length,
        digest: Some(Digest::of(&[7; 10])),
        crc32: None,
        records: None,
        modified_ns: Some(1),
        header: 0,
        footer: 0,
    };

    assert!(rig.read(info(10)).await.contains(&Told::PlanEnd));
    assert_eq!(rig.read(info(11)).await, [Told::Refused(RefusalCode::StoredCorrupt)]);
}

#[test]
fn a_file_the_catalogue_does_not_know_is_described_by_its_time_on_the_plane() {
    let stat = Stat { length: 5, modified_ns: 77 };
    let known = PlaneFile {
        path: PlanePath::parse("a").unwrap(),
        length: 6,
        digest: Digest::of(b"x"),
        crc32: 1,
        modified_ns: 78,
        committed_ms: 0,
        job: JobId([1; 16]),
        agent: "edge".parse().unwrap(),
    };

    let unknown = file_info(None, stat);
    assert_eq!((unknown.length, unknown.modified_ns, unknown.digest), (5, Some(77), None));
    let known = file_info(Some(known), stat);
    assert_eq!((known.length, known.modified_ns), (6, Some(78)));
}

#[tokio::test]
async fn an_edge_that_opens_no_data_stream_is_not_waited_for() {
    let (streams, mut arriving) = mpsc::channel(1);
    let never = std::future::pending::<()>;

    let silent = first_stream(&mut arriving, never(), Duration::ZERO).await.unwrap_err();
    assert_eq!(silent.to_string(), "the relay is busy: no data stream was opened");
    let gone = std::future::ready(());
    let gone = first_stream(&mut arriving, gone, FIRST_STREAM_DEADLINE).await.unwrap_err();
    assert_eq!(gone.to_string(), "a stream was broken off");
    streams.send(5).await.unwrap();
    let first = first_stream(&mut arriving, never(), FIRST_STREAM_DEADLINE).await;
    assert_eq!(first.unwrap(), 5);
}
