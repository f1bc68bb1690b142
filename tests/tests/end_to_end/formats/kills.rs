//! SIGKILL of the edge in the middle of a spray that looks into its records; the same command
//! again sends what is missing.

use skyspray_tests::args;
use skyspray_tests::check::{
    assert_nothing_staged_after_collect, assert_nothing_visible, assert_returns, stored_parts,
};
use skyspray_tests::data::{Numbers, digest, digest_of};
use skyspray_tests::kill::{CHUNK_BYTES, MEMORY_MIB, Moments, Victim, WINDOW_CHUNKS, endure};
use skyspray_tests::pair::Pair;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;

const MIB: u64 = 1 << 20;

const KILLS: u64 = 2;

/// About this many bytes of records, each made by `row` of its number and of what cannot be
/// compressed much.
fn records(bytes: usize, row: fn(usize, &str) -> String) -> String {
    let mut numbers = Numbers::new(91);
    let (mut text, mut index) = (String::with_capacity(bytes + 2000), 0);
    let mut noise = String::new();
    while text.len() < bytes {
        noise.clear();
        for _ in 0..40 + numbers.below(20) {
            write!(noise, "{:016x}", numbers.below(u64::MAX)).unwrap();
        }
        text.push_str(&row(index, &noise));
        index += 1;
    }
    text
}

/// Sprays with kills; `stored` is what the parts hold together, where that is plain to say.
fn survives(name: &str, bytes: &[u8], options: Vec<OsString>, stored: Option<&[u8]>) {
    let mut pair = Pair::start();
    pair.relay.stop().expect("the relay ends");
    pair.edge.configure("memory", &format!("\"{MEMORY_MIB}MiB\""));
    pair.relay.configure("[limits]\nsessions_per_agent = 64\n");
    pair.relay.serve().expect("the relay gets ready");
    let source = pair.edge.file(name);
    fs::write(&source, bytes).unwrap();
    let spray =
        args!["spray", &source, "data:t::killed", "--parts", "4", "--compress", "off", "-v"];
    let command = [spray, options].concat();

    let mut moments = Moments::new(17, 6 * MIB..10 * MIB);
    let hidden = |pair: &Pair| assert_nothing_visible(pair, "t::killed");
    let ordeal = endure(&mut pair, &command, (Victim::Edge, KILLS), &mut moments, &hidden);

    assert_eq!(ordeal.kills, KILLS);
    let parts = stored_parts(&pair.relay.plane, "t::killed").unwrap();
    assert_eq!(parts.len(), 4);
    let lengths: Vec<u64> = parts.iter().map(|part| fs::metadata(part).unwrap().len()).collect();
    let chunks: u64 = lengths.iter().map(|length| length.div_ceil(CHUNK_BYTES)).sum();
    let of = |field| ordeal.last.done_number(field);
    let (held, sent, resent) = (of("chunks_held"), of("chunks_sent"), of("chunks_resent"));
    assert_eq!(held + sent - resent, chunks, "{:#?}", ordeal.last);
    assert!(held > 0, "the last run began from nothing: {:#?}", ordeal.last);
    // What was in flight at each kill, and what the catalogue writes for itself.
    let allowed =
        lengths.iter().sum::<u64>() + ordeal.kills * WINDOW_CHUNKS * CHUNK_BYTES + 8 * MIB;
    assert!(ordeal.written_bytes <= allowed, "{} of {allowed}", ordeal.written_bytes);

    match stored {
        Some(stored) => {
            assert_eq!(digest_of(&parts).unwrap(), blake3::hash(stored), "what is stored");
            let back = pair.edge.file("back");
            pair.done(args!["despray", "data:t::killed", &back]);
            assert_eq!(digest(&back).unwrap(), blake3::hash(stored), "what came back");
        }
        None => assert_returns(&pair, "t::killed", &source),
    }
    pair.done(args!["verify", "data:t::killed", &source]);
    assert_nothing_staged_after_collect(&pair);
}

#[test]
fn a_spray_of_xml_survives_kills_of_the_edge() {
    let rows = records(64 << 20, |index, noise| {
        format!("  <Row id='{index}'><Row>{noise}</Row><!-- </Row> --></Row>\n")
    });
    let document =
        format!("<?xml version=\"1.0\"?>\n<Rows>\n{rows}</Rows>\n<!-- <Row>no</Row> -->\n");
    survives("k.xml", document.as_bytes(), args!["--row-tag", "Row"], None);
}

#[test]
fn a_spray_of_json_survives_kills_of_the_edge() {
    let rows = records(64 << 20, |index, noise| {
        let comma = if index == 0 { "" } else { ",\n" };
        format!("{comma}{{\"id\": {index}, \"text\": \"]}},{noise}\"}}")
    });
    let document = format!("{{\"rows\": [{rows}], \"more\": [[1], {{\"rows\": [2]}}]}}\n");
    survives("k.json", document.as_bytes(), args!["--row-path", "/rows"], None);
}

#[test]
fn a_spray_that_converts_survives_kills_of_the_edge() {
    let text = records(32 << 20, |index, noise| format!("{index},\"\u{e9}\n{noise}\"\n"));
    let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    assert!(wide.len() > 60 << 20, "{}", wide.len());
    let options = args!["--encoding", "utf16be", "--to", "utf8"];
    survives("k.csv", &wide, options, Some(text.as_bytes()));
}
