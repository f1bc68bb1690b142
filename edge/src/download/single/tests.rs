//! Bytes at their places, and what is durable in the journal, on a disk that can crash.

use super::*;
use crate::download::open_parts::Staged;
use crate::exit::{Exit, Explain as _};
use crate::journal::{Begun, CommandKey, JobHeader, JobKind, Journal};
use crate::output::Manner;
use skyspray_dfu::join::Stored;
use skyspray_link::seam::files::{Caching, Cause, Fault, File, MemoryTree, Op, RelPath};
use skyspray_wire::digest::{ChunkValue, Digest};
use skyspray_wire::ids::{ChunkIndex, ChunkSize, JobId};

struct Rig {
    zone: MemoryTree,
    state: MemoryTree,
    locks: tempfile::TempDir,
}

fn header() -> JobHeader {
    JobHeader {
        job: JobId([3; 16]),
        kind: JobKind::Despray,
        key: CommandKey::of(JobKind::Despray, "lake:a::b", &[], []),
        target: "lake:a::b".into(),
        sources: Vec::new(),
        opened_ms: 0,
    }
}

fn name() -> RelPath {
    RelPath::parse("out").unwrap()
}

fn info(length: u64) -> PartInfo {
    PartInfo {
        length,
        digest: None,
        crc32: None,
        records: None,
        modified_ns: None,
        header: 0,
        footer: 0,
    }
}

fn size() -> ChunkSize {
    ChunkSize::try_new(1024).unwrap()
}

impl Rig {
    fn new() -> Self {
        let (zone, state) = (MemoryTree::new(1 << 20), MemoryTree::new(1 << 20));
        Self { zone, state, locks: tempfile::tempdir().unwrap() }
    }

    fn log(&self) -> JobLog {
        let journal =
            Journal::with_tree(Arc::new(self.state.clone()), self.locks.path().join("locks"));
        match journal.unwrap().begin(&header()).unwrap() {
            Begun::New(log) | Begun::Resumed(log) => log,
        }
    }

    fn sink(&self, file: Arc<dyn File>) -> FileSink {
        self.sink_of(file, &[info(1500), info(0), info(1024)])
    }

    fn sink_of(&self, file: Arc<dyn File>, parts: &[PartInfo]) -> FileSink {
        let reporter = Reporter::new(Manner { quiet: true, ..Manner::default() });
        let progress = Progress::new(self.log(), DesprayState::default(), reporter);
        let stored = parts.iter().map(|part| Stored {
            length: part.length,
            header: part.header,
            footer: part.footer,
        });
        let joined = Joined::try_new(&stored.collect::<Vec<_>>(), b"", b"").unwrap();
        let zone: Arc<dyn Tree> = Arc::new(self.zone.clone());
        let file = Arc::new(BulkFile::for_writing(&zone, &name(), file));
        let files = Files::One { file, joined: Arc::new(joined) };
        FileSink::new((files, "z:out".into()), parts, Arc::new(progress), Arc::default())
    }

    fn create(&self) -> Arc<dyn File> {
        let file = self.zone.create_new(&name(), 0o600, Caching::Buffered).unwrap();
        self.zone.sync_dir(&RelPath::root()).unwrap();
        file
    }
}

fn tree(bytes: &[u8]) -> PartTree {
    let mut tree = PartTree::new(size());
    for (index, chunk) in bytes.chunks(1024).enumerate() {
        let index = ChunkIndex(index as u64);
        tree.insert(index, &ChunkValue::of(size(), index, chunk)).unwrap();
    }
    tree
}

#[tokio::test]
async fn parts_follow_each_other_and_what_is_recorded_survives_a_crash() {
    let rig = Rig::new();
    let sink = rig.sink(rig.create());
    sink.write(PartIndex(2), 0, &mut [2; 1024]).unwrap();
    sink.write(PartIndex(0), 1024, &mut [1; 476]).unwrap();
    sink.write(PartIndex(0), 0, &mut [0; 1024]).unwrap();
    sink.sync(&[PartIndex(0), PartIndex(2)]).unwrap();
    let whole = [vec![0; 1024], vec![1; 476]].concat();
    sink.record(vec![(PartIndex(0), tree(&whole)), (PartIndex(2), tree(&[2; 1024]))])
        .await
        .unwrap();
    assert_eq!(sink.tally().chunks(), 3);
    let state = sink.progress.state();
    drop(sink);
    rig.zone.crash();
    rig.state.crash();

    let mut found = vec![0xff; 3000];
    let read = rig.zone.open_read(&name()).unwrap().read_at(&mut found, 0).unwrap();
    assert_eq!(found[..read], [whole, vec![2; 1024]].concat());
    let kept = DesprayState::decode(rig.log().checkpoint().unwrap());
    assert_eq!(kept, state);
    assert_eq!(kept.read.bytes(), 2524);
}

#[test]
fn headers_and_footers_of_later_parts_are_left_out_wherever_chunks_are_cut() {
    let rig = Rig::new();
    let info = PartInfo { header: 1000, footer: 2000, ..info(5000) };
    let sink = rig.sink_of(rig.create(), &[info, info]);
    let part = |byte: u8| [vec![b'('; 1000], vec![byte; 2000], vec![b')'; 2000]].concat();
    for (index, whole) in [part(b'1'), part(b'2')].iter().enumerate() {
        for (chunk, bytes) in whole.chunks(1024).enumerate().collect::<Vec<_>>().into_iter().rev() {
            sink.write(PartIndex(index as u32), 1024 * chunk as u64, &mut bytes.to_vec()).unwrap();
        }
    }

    let mut found = vec![0xff; 8000];
    let read = rig.zone.open_read(&name()).unwrap().read_at(&mut found, 0).unwrap();
    let expected =
        [vec![b'('; 1000], vec![b'1'; 2000], vec![b'2'; 2000], vec![b')'; 2000]].concat();
    assert_eq!(found[..read], expected);
}

#[tokio::test]
async fn parts_in_files_of_their_own_survive_a_crash_with_their_names() {
    let rig = Rig::new();
    let tree: Arc<dyn Tree> = Arc::new(rig.zone.clone());
    let directory = RelPath::parse("staged").unwrap();
    tree.create_dirs(&directory).unwrap();
    let path = |part: u32| directory.join(format!("p{part}")).unwrap();
    let staged = (0..2).map(|part| Staged { tree: Arc::clone(&tree), path: path(part) });
    let parts = Arc::new(OpenParts::new(staged.collect()));
    let files = Files::Each { parts, directory: directory.clone(), tree };
    let reporter = Reporter::new(Manner { quiet: true, ..Manner::default() });
    let progress = Arc::new(Progress::new(rig.log(), DesprayState::default(), reporter));
    let sink =
        FileSink::new((files, "z:out".into()), &[info(3), info(3)], progress, Arc::default());
    sink.write(PartIndex(1), 0, &mut b"two".to_owned()).unwrap();
    sink.sync(&[PartIndex(1)]).unwrap();
    sink.record(vec![(PartIndex(1), self::tree(b"two"))]).await.unwrap();
    rig.zone.crash();

    let mut found = [0; 3];
    rig.zone.open_read(&path(1)).unwrap().read_at(&mut found, 0).unwrap();
    assert_eq!(&found, b"two");
    assert_eq!(rig.zone.open_read(&path(0)).unwrap_err().cause, Cause::Missing);
}

#[tokio::test]
async fn a_full_disk_is_told_here_and_only_as_a_number_to_the_relay() {
    let rig = Rig::new();
    let sink = rig.sink(rig.create());
    rig.zone.fail_next(Op::Write, Fault::NoSpace);

    let refusal = sink.write(PartIndex(0), 0, &mut [0; 1024]).unwrap_err();

    assert_eq!(refusal, Refusal::new(RefusalCode::PlaneFull, ""));
    assert_eq!(sink.take_fault().unwrap().code(), "target-full");
    assert_eq!(sink.tally().chunks(), 0);
}

#[tokio::test]
async fn a_part_with_another_digest_than_stated_is_never_kept_as_whole() {
    let rig = Rig::new();
    let stated = |byte| PartInfo { digest: Some(Digest::of(&[byte; 2048])), ..info(2048) };
    let sink = rig.sink_of(rig.create(), &[stated(1), stated(2)]);
    sink.record(vec![(PartIndex(1), tree(&[7; 1024]))]).await.unwrap();
    assert_eq!(sink.progress.state().read.bytes(), 1024);

    let both = vec![(PartIndex(0), tree(&[1; 2048])), (PartIndex(1), tree(&[7; 2048]))];
    sink.record(both).await.unwrap_err();

    assert_eq!(sink.take_fault().unwrap().exit(), Exit::Mismatch);
    drop(sink);
    rig.state.crash();
    let kept = DesprayState::decode(rig.log().checkpoint().unwrap()).read;
    let runs: Vec<_> = kept.runs().into_iter().map(|part| (part.part, part.runs)).collect();
    assert_eq!(runs, [(PartIndex(0), vec![(0, 2)])]);
}

#[tokio::test]
async fn a_record_the_journal_cannot_keep_is_no_record() {
    let rig = Rig::new();
    let sink = rig.sink(rig.create());
    rig.state.fail_next(Op::SyncData, Fault::NoSpace);

    let refusal = sink.record(vec![(PartIndex(2), tree(&[2; 1024]))]).await.unwrap_err();

    assert_eq!(refusal, Refusal::new(RefusalCode::Internal, ""));
    assert_eq!(sink.take_fault().unwrap().code(), "journal-unusable");
}

#[test]
fn a_state_of_another_version_counts_as_nothing_held() {
    let state = DesprayState { generation: Some(Generation(4)), ..DesprayState::default() };

    assert_eq!(DesprayState::decode(&state.encode()), state);
    let mut newer = state.encode();
    newer[0] = 4;
    assert_eq!(DesprayState::decode(&newer), DesprayState::default());
    assert_eq!(DesprayState::decode(&[]), DesprayState::default());
}
