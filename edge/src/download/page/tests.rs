//! Files that appear whole, on a disk that fills up and crashes.

use super::*;
use crate::exit::{Exit, Explain as _};
use crate::landing::ZoneName;
use skyspray_link::seam::files::{Caching, Fault, MemoryTree, Op, Tree as _};
use skyspray_wire::digest::{ChunkValue, Digest};
use skyspray_wire::ids::{ChunkIndex, ChunkSize};

/// Bytes held, and the parts that have just got their names.
type Note = (u64, Vec<u32>);

#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<Note>>>);

impl Witness for Notes {
    fn note(&self, state: &ReadState, placed: &[PartIndex]) -> Result<(), DownloadFault> {
        let placed = placed.iter().map(|part| part.0).collect();
        lock(&self.0).push((state.bytes(), placed));
        Ok(())
    }
}

fn path(text: &str) -> RelPath {
    RelPath::parse(text).unwrap()
}

fn place(tree: &MemoryTree, name: &str) -> Place {
    let zone = ZoneName::parse("z").unwrap();
    let target = LandingPath { zone, tree: Arc::new(tree.clone()), path: path(name) };
    Place { target, staging: path(&format!(".skyspray-{name}")) }
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

fn sink(
    tree: &MemoryTree,
    files: &[(&str, u64)],
    replace: Replace,
    notes: &Notes,
) -> Arc<PageSink<Notes>> {
    let places = files.iter().map(|(name, _)| place(tree, name)).collect();
    let parts: Vec<PartInfo> = files.iter().map(|(_, length)| info(*length)).collect();
    let with = (replace, Arc::default(), notes.clone());
    Arc::new(PageSink::new(places, &parts, ReadState::default(), with, BTreeSet::new()))
}

fn sink_of(tree: &MemoryTree, files: &[(&str, &[u8])], notes: &Notes) -> PageSink<Notes> {
    let places = files.iter().map(|(name, _)| place(tree, name)).collect();
    let described = files
        .iter()
        .map(|(_, bytes)| PartInfo { digest: Some(Digest::of(bytes)), ..info(bytes.len() as u64) });
    let parts: Vec<PartInfo> = described.collect();
    let with = (Replace::Existing, Arc::default(), notes.clone());
    PageSink::new(places, &parts, ReadState::default(), with, BTreeSet::new())
}

fn tree_of(bytes: &[u8]) -> PartTree {
    let size = ChunkSize::try_new(1024).unwrap();
    let mut tree = PartTree::new(size);
    for (index, chunk) in bytes.chunks(1024).enumerate() {
        let index = ChunkIndex(index as u64);
        tree.insert(index, &ChunkValue::of(size, index, chunk)).unwrap();
    }
    tree
}

fn content(tree: &MemoryTree, name: &str) -> Option<Vec<u8>> {
    crate::durable::read_file(tree, &path(name), 1 << 20).ok().flatten()
}

async fn receive(sink: &PageSink<Notes>, part: u32, bytes: &[u8]) -> Result<(), Refusal> {
    let part = PartIndex(part);
    sink.write(part, 0, &mut bytes.to_vec())?;
    sink.sync(&[part])?;
    sink.record(vec![(part, tree_of(bytes))]).await
}

#[tokio::test]
async fn a_file_has_its_name_when_it_is_whole_and_not_before() {
    let (tree, notes) = (MemoryTree::new(1 << 20), Notes::default());
    let sink = sink(&tree, &[("a", 2000), ("b", 0), ("c", 5)], Replace::Never, &notes);
    sink.place_empty().unwrap();
    assert_eq!(content(&tree, "b"), Some(Vec::new()));

    receive(&sink, 0, &[1; 1024]).await.unwrap();
    assert_eq!(content(&tree, "a"), None);
    sink.write(PartIndex(0), 1024, &mut [1; 976]).unwrap();
    sink.sync(&[PartIndex(0)]).unwrap();
    sink.record(vec![(PartIndex(0), tree_of(&[1; 2000]))]).await.unwrap();
    receive(&sink, 2, b"hello").await.unwrap();

    let end = sink.finish().unwrap();
    assert_eq!(end.done.len(), 3);
    assert!(end.taken.is_empty());
    tree.crash();
    assert_eq!(content(&tree, "a"), Some(vec![1; 2000]));
    assert_eq!(content(&tree, "c"), Some(b"hello".to_vec()));
    assert_eq!(tree.read_dir(&RelPath::root(), None, 10).unwrap().len(), 3, "no staging is left");
    let expected = [(0, vec![1]), (1024, vec![]), (2000, vec![0]), (2005, vec![2])];
    assert_eq!(*lock(&notes.0), expected);
}

#[tokio::test]
async fn a_file_with_another_digest_than_stated_replaces_nothing_and_spares_the_others() {
    let (tree, notes) = (MemoryTree::new(1 << 20), Notes::default());
    let before = tree.create_new(&path("a"), 0o600, Caching::Buffered).unwrap();
    before.write_all_at(b"before", 0).unwrap();
    let sink = sink_of(&tree, &[("a", b"hello"), ("b", b"world")], &notes);
    sink.write(PartIndex(0), 0, &mut b"hellO".to_owned()).unwrap();
    sink.write(PartIndex(1), 0, &mut b"world".to_owned()).unwrap();
    sink.sync(&[PartIndex(0), PartIndex(1)]).unwrap();

    let both = vec![(PartIndex(0), tree_of(b"hellO")), (PartIndex(1), tree_of(b"world"))];
    sink.record(both).await.unwrap_err();

    let fault = sink.take_fault().unwrap();
    assert_eq!((fault.exit(), fault.concerns_a_file()), (Exit::Mismatch, true));
    assert_eq!(content(&tree, "a"), Some(b"before".to_vec()));
    assert_eq!(content(&tree, ".skyspray-a"), None);
    assert_eq!(content(&tree, "b"), Some(b"world".to_vec()));
    let end = sink.finish().unwrap();
    assert_eq!(end.done, BTreeSet::from([PartIndex(1)]));
    assert_eq!(*lock(&notes.0), [(5, vec![1])]);
}

#[tokio::test]
async fn a_name_that_was_taken_meanwhile_spares_the_other_files() {
    let (tree, notes) = (MemoryTree::new(1 << 20), Notes::default());
    let sink = sink(&tree, &[("a", 5), ("b", 5)], Replace::Never, &notes);
    tree.create_new(&path("a"), 0o600, Caching::Buffered).unwrap();

    receive(&sink, 0, b"hello").await.unwrap();
    receive(&sink, 1, b"world").await.unwrap();

    let end = sink.finish().unwrap();
    assert_eq!(end.taken.len(), 1);
    assert_eq!(end.taken[0].1.to_string(), "z:a exists already");
    assert_eq!(content(&tree, "a"), Some(Vec::new()), "what was there stays");
    assert_eq!(content(&tree, "b"), Some(b"world".to_vec()));
    assert_eq!(content(&tree, ".skyspray-a"), None);
}

#[tokio::test]
async fn a_longer_leftover_of_an_earlier_run_is_cut() {
    let (tree, notes) = (MemoryTree::new(1 << 20), Notes::default());
    let left = tree.create_new(&path(".skyspray-a"), 0o600, Caching::Buffered).unwrap();
    left.write_all_at(&[9; 100], 0).unwrap();
    let sink = sink(&tree, &[("a", 5)], Replace::Existing, &notes);

    receive(&sink, 0, b"hello").await.unwrap();

    assert_eq!(content(&tree, "a"), Some(b"hello".to_vec()));
}

#[tokio::test]
async fn more_files_than_may_be_open_are_all_written() {
    let (tree, notes) = (MemoryTree::new(1 << 20), Notes::default());
    let names: Vec<String> = (0..200).map(|n| format!("f{n}")).collect();
    let files: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 4)).collect();
    let sink = sink(&tree, &files, Replace::Never, &notes);
    let parts: Vec<PartIndex> = (0..200).map(PartIndex).collect();
    for &part in &parts {
        sink.write(part, 0, &mut part.0.to_le_bytes()).unwrap();
    }
    sink.sync(&parts).unwrap();
    let trees = parts.iter().map(|&part| (part, tree_of(&part.0.to_le_bytes()))).collect();
    sink.record(trees).await.unwrap();
    sink.finish().unwrap();
    tree.crash();

    for (name, n) in names.iter().zip(0u32..) {
        assert_eq!(content(&tree, name), Some(n.to_le_bytes().to_vec()));
    }
}

#[tokio::test]
async fn a_full_disk_ends_the_page_and_is_told_here() {
    let (tree, notes) = (MemoryTree::new(1 << 20), Notes::default());
    let sink = sink(&tree, &[("a", 5)], Replace::Never, &notes);
    tree.fail_next(Op::Write, Fault::NoSpace);

    let refusal = receive(&sink, 0, b"hello").await.unwrap_err();

    assert_eq!(refusal, Refusal::new(RefusalCode::Internal, ""));
    let fault = sink.take_fault().unwrap();
    assert_eq!(
        (fault.to_string(), fault.code().into_owned()),
        ("z:a cannot be written".to_owned(), "target-full".to_owned())
    );
}
