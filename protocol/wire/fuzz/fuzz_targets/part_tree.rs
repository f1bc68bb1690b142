//! A stored tree from any bytes: refused, or one that takes chunks and is stored again as itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skyspray_wire::digest::{ChunkValue, PartTree};
use skyspray_wire::ids::ChunkIndex;

fuzz_target!(|input: (&[u8], Vec<(u64, u16)>)| {
    let (bytes, chunks) = input;
    let Ok((mut tree, rest)) = postcard::take_from_bytes::<PartTree>(bytes) else { return };
    let stored = postcard::to_allocvec(&tree).expect("a tree is stored in memory");
    assert_eq!(postcard::from_bytes::<PartTree>(&stored).as_ref(), Ok(&tree));
    assert!(stored.len() <= bytes.len() - rest.len());

    let size = tree.chunk_size();
    let last = u64::MAX / u64::from(size.bytes()) - 1;
    for (chunk, length) in chunks {
        let chunk = ChunkIndex(chunk.min(last));
        let before = tree.bytes();
        let body = [7; 1024];
        let mut value = ChunkValue::of(size, chunk, &body);
        // The digests need not be right, only the shape.
        value.length = if length == 0 { size.bytes() } else { u32::from(length).min(size.bytes()) };
        let held = tree.holds(chunk);
        let inserted = tree.insert(chunk, &value).is_ok();
        assert!(!(held && inserted));
        if inserted {
            assert!(tree.holds(chunk));
            assert_eq!(tree.bytes(), before + u64::from(value.length));
        }
    }
    let _ = tree.root(tree.bytes());
    let stored = postcard::to_allocvec(&tree).expect("a tree is stored in memory");
    assert_eq!(postcard::from_bytes::<PartTree>(&stored), Ok(tree));
});
