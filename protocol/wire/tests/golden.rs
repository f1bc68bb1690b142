//! The byte examples, refusal numbers and limits of `docs/protocol.md`, compared with the code.
//!
//! These bytes were released. If a test here fails, change the code, not the bytes: a change of what
//! travels is a new variant behind a feature bit.

#![allow(clippy::unwrap_used, reason = "helpers of tests unwrap as tests do")]

#[path = "golden/document.rs"]
mod document;
#[path = "golden/examples.rs"]
mod examples;
#[path = "golden/tables.rs"]
mod tables;

use document::Document;
use serde::Serialize;
use serde::de::DeserializeOwned;
use skyspray_wire::chunk::{CHUNK_HEADER_BYTES, ChunkHeader};
use skyspray_wire::frame;
use skyspray_wire::message::{ChunkReply, Reply, Request};
use std::collections::BTreeSet;
use std::fmt::Debug;

/// Bytes and value both ways, in postcard.
fn compare<T: Serialize + DeserializeOwned + Debug + PartialEq>(
    document: &Document,
    examples: Vec<(&'static str, T)>,
) {
    for (name, value) in examples {
        let released = document.example(name);
        let written = postcard::to_allocvec(&value).unwrap();
        assert_eq!(document::hex(&written), document::hex(&released), "{name} changed its bytes");
        assert_eq!(frame::decode::<T>(&released).unwrap(), value, "{name} reads as something else");
    }
}

/// Variants are numbered 0, 1, 2, … in the order of the list, and there is no other variant.
fn numbered_without_gaps<T: Serialize + DeserializeOwned + Debug>(examples: &[(&str, T)]) {
    for (number, (name, value)) in examples.iter().enumerate() {
        let first = postcard::to_allocvec(value).unwrap()[0];
        assert_eq!(usize::from(first), number, "{name}");
    }
    let beyond = u8::try_from(examples.len()).unwrap();
    // A variant there is would ask for its fields, or need none.
    let error = postcard::from_bytes::<T>(&[beyond]).unwrap_err();
    assert_eq!(error, postcard::Error::SerdeDeCustom, "variant {beyond} has no example");
}

#[test]
fn every_request_keeps_its_released_bytes() {
    compare(&Document::read(), examples::requests());
    numbered_without_gaps::<Request>(&examples::requests());
}

#[test]
fn every_reply_keeps_its_released_bytes() {
    compare(&Document::read(), examples::replies());
    numbered_without_gaps::<Reply>(&examples::replies());
}

#[test]
fn every_chunk_reply_keeps_its_released_bytes() {
    compare(&Document::read(), examples::chunk_replies());
    numbered_without_gaps::<ChunkReply>(&examples::chunk_replies());
}

#[test]
fn the_choices_inside_messages_keep_their_released_bytes() {
    let document = Document::read();
    compare(&document, examples::write_targets());
    compare(&document, examples::read_targets());
    compare(&document, examples::listed());
    compare(&document, examples::entry_kinds());
    compare(&document, examples::job_states());
    numbered_without_gaps(&examples::write_targets());
    numbered_without_gaps(&examples::read_targets());
    numbered_without_gaps(&examples::listed());
    numbered_without_gaps(&examples::entry_kinds());
    numbered_without_gaps(&examples::job_states());
}

#[test]
fn receipts_keep_their_released_bytes() {
    let document = Document::read();
    compare(&document, examples::receipts());
    compare(&document, examples::signed_receipts());
}

#[test]
fn chunk_headers_keep_their_released_bytes() {
    let document = Document::read();
    for (name, header) in examples::chunk_headers() {
        let released: [u8; CHUNK_HEADER_BYTES] = document.example(name).try_into().unwrap();
        assert_eq!(document::hex(&header.encode()), document::hex(&released), "{name}");
        assert_eq!(ChunkHeader::decode(&released), Ok(header), "{name}");
    }
}

#[test]
fn a_frame_is_the_length_and_the_bytes_of_its_message() {
    let released = Document::read().example("Frame");
    let (_, hello) = examples::requests().swap_remove(0);

    assert_eq!(frame::encode(&hello).unwrap(), released);
    let prefix = released[..frame::LENGTH_BYTES].try_into().unwrap();
    assert_eq!(frame::decode_length(prefix).unwrap(), released.len() - frame::LENGTH_BYTES);
}

#[test]
fn the_document_has_no_example_of_anything_else() {
    let known: BTreeSet<&str> = examples::names().into_iter().chain(["Frame"]).collect();

    assert_eq!(Document::read().example_names(), known);
}
