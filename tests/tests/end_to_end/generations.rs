//! The layout that gives each generation a directory of its own, seen by those who read the plane
//! and not the relay.

#![allow(clippy::unwrap_used, reason = "helpers of tests unwrap as tests do")]

use serde_json::Value;
use skyspray_tests::args;
use skyspray_tests::check::{assert_nothing_staged_after_collect, visible};
use skyspray_tests::output::Output;
use skyspray_tests::pair::Pair;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

const PARTS: u32 = 4;

/// Bytes of one generation.
const BYTES: usize = 1 << 20;

fn start(keep: u32) -> Pair {
    let mut pair = Pair::prepare().unwrap();
    // The table of the plane is the last one of the file.
    pair.relay.configure(&format!("layout = \"generation\"\nkeep_generations = {keep}\n"));
    pair.relay.serve().unwrap();
    pair.enroll("push,pull,list,overwrite:data").unwrap();
    pair
}

/// Sprays a file of nothing but `letter` and returns its generation.
fn spray(pair: &Pair, letter: u8) -> u64 {
    let source = pair.edge.file("orders");
    fs::write(&source, vec![letter; BYTES]).unwrap();
    let mut arguments = pair.spray_bytes(&source, "t::orders", PARTS);
    arguments.push("--overwrite".into());
    pair.done(arguments);
    shown(pair, "generation")[0]["generation"].as_u64().unwrap()
}

/// The lines of one kind that `file show` says.
fn shown(pair: &Pair, event: &str) -> Vec<Value> {
    let shown = pair.relay.admin(args!["file", "show", "data:t::orders"]).unwrap().done().unwrap();
    let objects = shown.objects().into_iter();
    objects.filter(|object| object["event"] == event).collect()
}

fn rollback(pair: &Pair, more: &[&str]) -> Output {
    let mut arguments = args!["file", "rollback", "data:t::orders"];
    arguments.extend(more.iter().map(std::ffi::OsString::from));
    pair.relay.admin(arguments).unwrap()
}

/// What one look through the pointer finds: the generation and the bytes of all parts, `None` where
/// a part went meanwhile.
fn look(plane: &Path) -> Option<(u64, Vec<u8>)> {
    let pointer = fs::read(plane.join("t/orders.CURRENT")).expect("the pointer is always there");
    let pointer: Value = serde_json::from_slice(&pointer).expect("the pointer is always whole");
    let mut found = Vec::new();
    for part in pointer["parts"].as_array().unwrap() {
        let bytes = fs::read(plane.join(part["path"].as_str().unwrap())).ok()?;
        assert_eq!(part["bytes"], bytes.len());
        assert_eq!(part["blake3"], blake3::hash(&bytes).to_string());
        found.extend(bytes);
    }
    Some((pointer["generation"].as_u64().unwrap(), found))
}

#[test]
fn readers_of_the_plane_never_find_a_mixture_while_a_file_is_replaced() {
    let pair = start(3);
    spray(&pair, b'a');
    let (plane, over) = (pair.relay.plane.clone(), AtomicBool::new(false));
    let (looks, seen) = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut looks, mut seen, mut last) = (0u32, 0u32, 0);
            while !over.load(Ordering::Relaxed) {
                let (generation, found) = look(&plane).expect("kept generations stay readable");
                // Generation 1 is all `a`, generation 2 all `b`, and so on.
                let letter = b'a' + u8::try_from(generation - 1).unwrap();
                assert!(found == vec![letter; BYTES], "a mixture in generation {generation}");
                assert!(generation >= last, "generation {generation} after {last}");
                seen += u32::from(generation != last);
                (looks, last) = (looks + 1, generation);
            }
            (looks, seen)
        });
        for letter in b'b'..=b'h' {
            spray(&pair, letter);
        }
        over.store(true, Ordering::Relaxed);
        reader.join().unwrap()
    });
    assert!(looks > 8 && seen > 2, "{looks} looks at {seen} generations");

    assert_eq!(look(&plane), Some((8, vec![b'h'; BYTES])));
    let kept: Vec<Value> = shown(&pair, "kept_generation");
    let kept: Vec<u64> = kept.iter().map(|row| row["generation"].as_u64().unwrap()).collect();
    assert_eq!(kept, [7, 6]);
    pair.relay.admin(args!["collect"]).unwrap().done().unwrap();
    // Three generations and the pointer.
    assert_eq!(visible(&plane).len(), 3 * PARTS as usize + 1);
    assert_nothing_staged_after_collect(&pair);
}

#[test]
fn a_kept_generation_comes_back_for_readers_of_the_plane_and_of_the_relay() {
    let mut pair = start(2);
    spray(&pair, b'a');
    assert_eq!(spray(&pair, b'b'), 2);

    let rolled = rollback(&pair, &[]).done().unwrap();
    assert_eq!(rolled.event("rolled_back").unwrap()["generation"], 1);
    assert_eq!(look(&pair.relay.plane), Some((1, vec![b'a'; BYTES])));
    let back = pair.edge.file("back");
    pair.done(args!["despray", "data:t::orders", &back]);
    assert_eq!(fs::read(&back).unwrap(), vec![b'a'; BYTES]);
    let verified = pair.relay.admin(args!["file", "verify", "data:t::orders"]).unwrap();
    assert_eq!(verified.code, 0, "{}", verified.text());
    let again = rollback(&pair, &["--to", "1"]);
    assert_eq!((again.code, again.text().contains("is the current one")), (9, true));

    pair.restart_relay();
    assert_eq!(rollback(&pair, &["--to", "2"]).code, 0);
    assert_eq!(look(&pair.relay.plane), Some((2, vec![b'b'; BYTES])));
    assert_eq!(spray(&pair, b'c'), 3);

    pair.relay.admin(args!["file", "remove", "data:t::orders"]).unwrap().done().unwrap();
    assert_eq!(visible(&pair.relay.plane), Vec::<PathBuf>::new());
}

#[test]
fn a_plane_with_hpccs_layout_has_nothing_to_roll_back_to() {
    let pair = Pair::start();
    spray(&pair, b'a');
    spray(&pair, b'b');

    let refused = rollback(&pair, &[]);

    assert_eq!(refused.code, 4);
    let said = refused.text();
    assert!(said.contains("has the layout hpcc, which keeps no earlier generation"), "{said}");
}
