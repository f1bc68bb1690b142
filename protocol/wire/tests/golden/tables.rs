//! The tables of `docs/protocol.md` against the constants and refusals of the code.

use crate::document::Document;
use skyspray_wire::refusal::{RefusalCode, Remedy};
use skyspray_wire::{chunk, frame, limits, message};

#[test]
fn the_refusal_table_is_that_of_the_code() {
    let documented: Vec<_> = Document::read()
        .table("Refusal numbers")
        .into_iter()
        .map(|row| (row[0].clone(), row[1].clone(), row[2].clone(), row[3].clone()))
        .collect();
    let known: Vec<_> = RefusalCode::ALL
        .iter()
        .map(|&code| {
            let remedy = match code.remedy() {
                Remedy::Retry => "retry",
                Remedy::Correct => "correct",
                Remedy::Report => "report",
            };
            let number = u16::from(code).to_string();
            (number, format!("{code:?}"), remedy.to_owned(), code.to_string())
        })
        .collect();

    assert_eq!(documented, known);
}

#[test]
fn a_refusal_number_of_a_newer_peer_is_kept_and_reported() {
    let newer = RefusalCode::from(999);

    assert_eq!(newer, RefusalCode::Unknown(999));
    assert_eq!(newer.remedy(), Remedy::Report);
    assert_eq!(postcard::to_allocvec(&newer).unwrap(), [0xe7, 0x07]);
    assert_eq!(newer.to_string(), "refused with code 999, which this version does not know");
}

/// Name and value of every limit, in the order of `limits.rs`.
macro_rules! values {
    ($($name:ident),* $(,)?) => {
        [$((stringify!($name), limits::$name.to_string())),*]
    };
}

#[test]
fn the_limits_table_is_that_of_the_code() {
    let documented: Vec<_> = Document::read()
        .table("Limits")
        .into_iter()
        .map(|row| (row[0].clone(), row[1].replace(' ', "")))
        .collect();
    let known = values!(
        FRAME_MAX,
        CHUNK_SIZE_MAX,
        PARTS_MAX,
        FILES_MAX,
        PAGE_MAX,
        COMMIT_SEALS_MAX,
        PAGE_NAME_BYTES_MAX,
        IN_FLIGHT_CHUNKS_MAX,
        DATA_STREAMS_MAX,
        REQUEST_STREAMS_MAX,
        SEGMENT_BYTES_MAX,
        SEGMENTS_MAX,
        NAME_BYTES_MAX,
        ATTRIBUTES_MAX,
        ATTRIBUTES_BYTES_MAX,
        SOURCES_MAX,
        SOURCE_NAME_BYTES_MAX,
        ORIGIN_RANGES_MAX,
        DETAIL_BYTES_MAX,
        LOGICAL_SEGMENT_BYTES_MAX,
    );

    assert_eq!(documented, known.map(|(name, value)| (name.to_owned(), value)));
}

#[test]
fn no_limit_of_the_code_is_left_out_of_the_table() {
    let declared: Vec<_> = include_str!("../../src/limits.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("pub const "))
        .filter_map(|line| line.split(':').next())
        .filter(|name| !name.starts_with("ALPN_"))
        .collect();
    let rows = Document::read().table("Limits");
    let documented: Vec<_> = rows.iter().map(|row| row[0].as_str()).collect();

    assert_eq!(documented, declared);
}

#[test]
fn the_protocol_names_are_those_of_the_code() {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let rows = Document::read().table("Listeners");
    let documented: Vec<_> = rows.iter().map(|row| row[1].clone()).collect();

    assert_eq!(documented, [text(limits::ALPN_DATA), text(limits::ALPN_ENROLL)]);
}

#[test]
fn the_first_bytes_of_streams_are_those_of_the_code() {
    let rows = Document::read().table("Streams");
    let documented: Vec<_> = rows.iter().map(|row| row[0].clone()).collect();

    assert_eq!(
        documented,
        [message::STREAM_REQUEST, message::STREAM_CHUNKS_TO_RELAY, message::STREAM_CHUNKS_TO_EDGE]
            .map(|byte| byte.to_string())
    );
}

#[test]
fn the_chunk_header_table_covers_the_header_without_gaps() {
    let mut end = 0usize;
    for row in Document::read().table("Chunk header") {
        let (at, bytes): (usize, usize) = (row[0].parse().unwrap(), row[1].parse().unwrap());
        assert_eq!(at, end, "{}", row[2]);
        end = at + bytes;
    }

    assert_eq!(end, chunk::CHUNK_HEADER_BYTES);
    assert_eq!(frame::LENGTH_BYTES, 4);
}
