//! SIGKILL of either side during a push of files of equal length, where bytes that went under the
//! wrong name would pass every check of lengths (I1, I3, I8, I11);
//! and of parts that are pushed to be a logical file.

use skyspray_tests::args;
use skyspray_tests::check::{
    assert_nothing_staged_after_collect, assert_nothing_visible, assert_same, assert_same_tree,
    stored_parts,
};
use skyspray_tests::data::{many_files, random_file};
use skyspray_tests::kill::{MEMORY_MIB, Moments, Victim, endure};
use skyspray_tests::pair::Pair;
use std::fs;
use std::path::PathBuf;

const MIB: u64 = 1 << 20;

fn prepared() -> (Pair, PathBuf) {
    let mut pair = Pair::start();
    pair.relay.stop().expect("the relay ends");
    pair.edge.configure("memory", &format!("\"{MEMORY_MIB}MiB\""));
    pair.relay.configure("[limits]\nsessions_per_agent = 64\n");
    pair.relay.serve().expect("the relay gets ready");
    let source = pair.edge.file("many");
    fs::create_dir(&source).expect("the directory can be made");
    // Longer than what is copied out of its buffer: few are in flight, and the next pages wait.
    many_files(&source, 1_200, 80 * 1024).expect("the files can be written");
    (pair, source)
}

fn survives(victim: Victim, kills: u64, seed: u64) {
    let (mut pair, source) = prepared();
    let command = args!["push", &source, "data:in/", "-v"];
    let mut moments = Moments::new(seed, 6 * MIB..14 * MIB);

    let ordeal = endure(&mut pair, &command, (victim, kills), &mut moments, &|_| {});

    assert_eq!(ordeal.last.done_number("files_failed"), 0, "{:#?}", ordeal.last);
    assert_same_tree(&pair.relay.plane.join("in/many"), &source);
    assert_nothing_staged_after_collect(&pair);
    let back = pair.edge.file("back");
    pair.done(args!["pull", "data:in/many/", &back]);
    assert_same_tree(&back, &source);
}

#[test]
fn every_file_of_a_push_has_its_own_bytes_after_kills_of_the_relay() {
    survives(Victim::Relay, 4, 61);
}

#[test]
fn every_file_of_a_push_has_its_own_bytes_after_kills_of_the_edge() {
    survives(Victim::Edge, 4, 62);
}

#[test]
fn parts_with_their_metadata_are_the_logical_file_after_kills_of_either_side() {
    for (victim, seed) in [(Victim::Edge, 63u64), (Victim::Relay, 64)] {
        let (mut pair, _) = prepared();
        let part = |part: u32| pair.edge.file(&format!("f._{part}_of_3"));
        for number in 1..=3 {
            random_file(&part(number), 15 * MIB + u64::from(number), seed).unwrap();
        }
        let parts = [1, 2, 3].map(part);
        let said = [1, 2, 3].map(|part| format!("<Part num='{part}' recordCount='{part}'/>"));
        let meta = pair.root.path().join("f.xml");
        let xml = format!("<File name='f' numparts='3'>{}<Attr kind='key'/></File>", said.concat());
        fs::write(&meta, xml).expect("the metadata can be written");
        let mut command = args!["push", &parts[2], &parts[0], &parts[1], "data:t/"];
        command.extend(args!["--meta", &meta, "-v"]);
        let mut moments = Moments::new(seed, 8 * MIB..14 * MIB);

        let hidden = |pair: &Pair| assert_nothing_visible(pair, "t::f");
        let ordeal = endure(&mut pair, &command, (victim, 2), &mut moments, &hidden);

        let count = |field| ordeal.last.done_number(field);
        let (held, sent) = (count("chunks_held"), count("chunks_sent") - count("chunks_resent"));
        assert_eq!(held + sent, 3 * 16, "{:#?}", ordeal.last);
        assert_eq!(held > 0, victim == Victim::Edge, "{:#?}", ordeal.last);
        let stored = stored_parts(&pair.relay.plane, "t::f").unwrap();
        stored.iter().zip(&parts).for_each(|(stored, part)| assert_same(stored, part));
        let described = pair.done(args!["describe", "data:t::f"]).event("description").unwrap();
        assert_eq!((&described["records"], &described["parts"]), (&6.into(), &3.into()));
        assert_nothing_staged_after_collect(&pair);
    }
}
