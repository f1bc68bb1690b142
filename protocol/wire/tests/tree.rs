//! `PartTree`: any order of insertion gives the digest and CRC-32 of the whole part, in bounded
//! memory, and what was stored is read back or refused.

#![allow(clippy::unwrap_used, reason = "helpers of tests unwrap as tests do")]

use proptest::collection::vec;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use skyspray_wire::digest::{ChunkValue, Digest, PartTree, TreeError};
use skyspray_wire::ids::{ChunkIndex, ChunkSize};
use skyspray_wire::ranges::RangeSet;

const SIZE: usize = 1024;

fn size() -> ChunkSize {
    ChunkSize::try_new(SIZE as u32).unwrap()
}

fn value(body: &[u8], chunk: u64) -> ChunkValue {
    let start = chunk as usize * SIZE;
    let end = body.len().min(start + SIZE);
    ChunkValue::of(size(), ChunkIndex(chunk), &body[start..end])
}

fn insert(tree: &mut PartTree, body: &[u8], chunk: u64) -> Result<(), TreeError> {
    tree.insert(ChunkIndex(chunk), &value(body, chunk))
}

fn filled(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|at| (at as u8).wrapping_mul(31).wrapping_add(seed) ^ (at >> 8) as u8).collect()
}

/// A tree as it is stored, field by field: the layout of what catalogues and journals hold.
#[derive(Clone, Deserialize, Serialize)]
struct Stored {
    chunk_size: u32,
    runs: Vec<StoredRun>,
    first_root: Option<[u8; 32]>,
}

#[derive(Clone, Deserialize, Serialize)]
struct StoredRun {
    start: u64,
    end: u64,
    bytes: u64,
    crc32: u32,
    nodes: Vec<StoredNode>,
}

#[derive(Clone, Deserialize, Serialize)]
struct StoredNode {
    level: u8,
    value: [u8; 32],
    children: Option<([u8; 32], [u8; 32])>,
}

fn stored(tree: &PartTree) -> Stored {
    postcard::from_bytes(&postcard::to_allocvec(tree).unwrap()).unwrap()
}

fn restore(stored: &Stored) -> Result<PartTree, postcard::Error> {
    postcard::from_bytes(&postcard::to_allocvec(stored).unwrap())
}

/// A part of up to 200 chunks and an order to insert them in.
fn part_and_order() -> impl Strategy<Value = (Vec<u8>, Vec<u64>)> {
    (1u64..=200, 1usize..=SIZE, any::<u8>()).prop_flat_map(|(chunks, last, seed)| {
        let body = filled((chunks as usize - 1) * SIZE + last, seed);
        (Just(body), Just((0..chunks).collect::<Vec<_>>()).prop_shuffle())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_order_of_chunks_gives_the_digests_of_the_whole_part((body, order) in part_and_order()) {
        let mut tree = PartTree::new(size());
        let length = body.len() as u64;
        for (count, &chunk) in order.iter().enumerate() {
            prop_assert_eq!(tree.root(length), None, "{} of {} chunks", count, order.len());
            prop_assert_eq!(insert(&mut tree, &body, chunk), Ok(()));
        }

        let whole = (Digest(*blake3::hash(&body).as_bytes()), crc32fast::hash(&body));
        prop_assert_eq!(tree.root(length), Some(whole));
        prop_assert_eq!(tree.bytes(), length);
        prop_assert_eq!(tree.root(length - 1), None);
        prop_assert_eq!(tree.root(length + 1), None);
    }

    #[test]
    fn runs_are_the_chunks_inserted_and_nodes_stay_few((body, order) in part_and_order(), keep in 0usize..=200) {
        let mut tree = PartTree::new(size());
        let mut model = RangeSet::default();
        for &chunk in order.iter().take(keep) {
            insert(&mut tree, &body, chunk).unwrap();
            model.insert(chunk, chunk + 1);

            for run in stored(&tree).runs {
                let bound = 2.0 * ((run.end - run.start) as f64).log2();
                prop_assert!(run.nodes.len() as f64 <= bound.max(1.0), "{} nodes", run.nodes.len());
                let inner = run.nodes.iter().filter(|node| node.children.is_some()).count();
                prop_assert!(inner <= usize::from(run.start == 0));
            }
        }

        let runs: Vec<_> = tree.runs().map(|run| (run.start, run.end)).collect();
        prop_assert_eq!(runs, model.iter().collect::<Vec<_>>());
        for &chunk in &order {
            prop_assert_eq!(tree.holds(ChunkIndex(chunk)), model.contains(chunk));
        }
    }

    #[test]
    fn a_tree_stored_at_any_moment_goes_on_as_if_it_had_not_been((body, order) in part_and_order()) {
        let mut tree = PartTree::new(size());
        for &chunk in &order {
            let bytes = postcard::to_allocvec(&tree).unwrap();
            let read: PartTree = postcard::from_bytes(&bytes).unwrap();
            prop_assert_eq!(&read, &tree);
            tree = read;
            insert(&mut tree, &body, chunk).unwrap();
        }

        prop_assert_eq!(tree.root(body.len() as u64).unwrap().0, Digest::of(&body));
    }

    #[test]
    fn a_chunk_is_held_once((body, order) in part_and_order(), again in vec(any::<prop::sample::Index>(), 1..10)) {
        let mut tree = PartTree::new(size());
        for &chunk in &order {
            insert(&mut tree, &body, chunk).unwrap();
        }
        let before = tree.clone();

        for index in again {
            let chunk = ChunkIndex(*index.get(&order));
            let error = tree.insert(chunk, &value(&body, chunk.0)).unwrap_err();
            prop_assert_eq!(error, TreeError::Held { chunk });
        }
        prop_assert_eq!(tree, before);
    }
}

#[test]
fn larger_chunks_merge_to_the_same_root() {
    let body = filled(5 * 16 * SIZE + 77, 3);
    let large = ChunkSize::try_new(16 * SIZE as u32).unwrap();
    let mut tree = PartTree::new(large);
    for (chunk, bytes) in body.chunks(16 * SIZE).enumerate().rev() {
        let chunk = ChunkIndex(chunk as u64);
        tree.insert(chunk, &ChunkValue::of(large, chunk, bytes)).unwrap();
    }

    let whole = (Digest(*blake3::hash(&body).as_bytes()), crc32fast::hash(&body));
    assert_eq!(tree.root(body.len() as u64), Some(whole));
}

#[test]
fn an_empty_part_has_the_digest_of_no_bytes_until_a_chunk_comes() {
    let mut tree = PartTree::new(size());

    assert_eq!(tree.root(0), Some((Digest(*blake3::hash(b"").as_bytes()), 0)));
    insert(&mut tree, b"x", 0).unwrap();
    assert_eq!(tree.root(0), None);
    assert_eq!(tree.root(1), Some((Digest(*blake3::hash(b"x").as_bytes()), crc32fast::hash(b"x"))));
}

#[test]
fn a_short_chunk_is_the_last_one_whichever_comes_first() {
    let body = filled(3 * SIZE, 1);
    let short = |chunk| ChunkValue::of(size(), ChunkIndex(chunk), &body[..1000]);
    let error = |chunk| TreeError::ShortInside { chunk: ChunkIndex(chunk), length: 24 };

    let mut after = PartTree::new(size());
    insert(&mut after, &body, 2).unwrap();
    assert_eq!(after.insert(ChunkIndex(1), &short(1)), Err(error(1)));

    let mut before = PartTree::new(size());
    before.insert(ChunkIndex(1), &short(1)).unwrap();
    assert_eq!(insert(&mut before, &body, 2), Err(error(1)));
    assert_eq!(insert(&mut before, &body, 0), Ok(()));
    assert_eq!((before.runs().next(), before.bytes()), (Some(0..2), 2024));
}

#[test]
fn a_million_chunks_in_order_take_a_few_nodes() {
    let body = filled(SIZE, 9);
    let mut tree = PartTree::new(size());
    let value = value(&body, 0);
    // Every chunk with the same value: the shape of the tree does not depend on it.
    for chunk in 0..1_000_000 {
        tree.insert(ChunkIndex(chunk), &value).unwrap();
    }

    // 1,000,000 has seven bits set, and only the first node keeps its children.
    assert_eq!(stored(&tree).runs[0].nodes.len(), 7);
    assert_eq!(postcard::to_allocvec(&tree).unwrap().len(), 353);
}

#[test]
fn stored_bytes_that_no_tree_was_stored_as_are_refused() {
    let body = filled(5 * SIZE + 100, 4);
    let mut tree = PartTree::new(size());
    for chunk in [0, 1, 2, 4, 5] {
        insert(&mut tree, &body, chunk).unwrap();
    }
    let sound = stored(&tree);
    assert_eq!(restore(&sound).unwrap(), tree);

    type Change = fn(&mut Stored);
    let broken: [(&str, Change); 11] = [
        ("a chunk size that is none", |s| s.chunk_size = 1000),
        ("an empty run", |s| s.runs[1].end = 4),
        ("a run that ends before it starts", |s| s.runs[1].end = 0),
        ("runs out of order", |s| s.runs.swap(0, 1)),
        ("adjacent runs", |s| s.runs[0].end = 4),
        ("a chunk number no part has", |s| s.runs[1].end = u64::MAX),
        ("a level beyond the run", |s| s.runs[1].nodes[0].level = 200),
        ("a node too many", |s| s.runs[0].nodes.extend_from_within(1..)),
        ("a node too few", |s| s.runs[0].nodes.truncate(1)),
        ("a first node without its children", |s| s.runs[0].nodes[0].children = None),
        ("a short chunk inside", |s| s.runs[0].bytes -= 1),
    ];
    for (what, change) in broken {
        let mut changed = sound.clone();
        change(&mut changed);
        let error = restore(&changed).err();
        assert_eq!(error, Some(postcard::Error::SerdeDeCustom), "{what}");
    }
    for bytes in [0, 1024, 2049] {
        let mut changed = sound.clone();
        changed.runs[1].bytes = bytes;
        assert_eq!(restore(&changed).err(), Some(postcard::Error::SerdeDeCustom), "{bytes} bytes");
    }
}

#[test]
fn stored_runs_that_touch_or_overlap_are_refused() {
    let body = filled(8 * SIZE, 4);
    let run = |chunks: std::ops::Range<u64>| {
        let mut tree = PartTree::new(size());
        chunks.for_each(|chunk| insert(&mut tree, &body, chunk).unwrap());
        stored(&tree).runs.remove(0)
    };
    let tree = |runs| restore(&Stored { chunk_size: 1024, runs, first_root: None });
    let refused = Some(postcard::Error::SerdeDeCustom);

    assert_eq!(tree(vec![run(0..2), run(2..4)]).err(), refused);
    assert_eq!(tree(vec![run(0..2), run(1..4)]).err(), refused);
    assert_eq!(tree(vec![run(3..4), run(0..2)]).err(), refused);
    let apart = tree(vec![run(0..2), run(3..4)]).unwrap();
    assert!(apart.runs().eq([0..2, 3..4]));
}
