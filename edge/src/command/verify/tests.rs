//! Local sources against parts as a relay describes them.

use super::*;
use crate::landing::{LandingPath, ZoneName};
use skyspray_link::seam::files::{Caching, MemoryTree, RelPath, Tree as _};
use skyspray_wire::ids::Generation;
use std::sync::Arc;

fn source(tree: &MemoryTree, name: &str, content: &[u8]) -> Source {
    let path = RelPath::parse(name).unwrap();
    let file = tree.create_new(&path, 0o600, Caching::Buffered).unwrap();
    file.write_all_at(content, 0).unwrap();
    let at =
        LandingPath { zone: ZoneName::parse("z").unwrap(), tree: Arc::new(tree.clone()), path };
    Source::open(&at).unwrap()
}

fn stored(parts: &[&[u8]]) -> (Description, Vec<PartInfo>) {
    let attributes = vec![("format".to_owned(), "csv".to_owned())];
    let description = Description {
        generation: Generation(1),
        parts: parts.len() as u32,
        bytes: parts.iter().map(|part| part.len() as u64).sum(),
        records: None,
        committed_ms: 0,
        wuid: String::new(),
        agent: String::new(),
        attributes,
    };
    let info = |part: &&[u8]| PartInfo {
        length: part.len() as u64,
        digest: Some(Digest::of(part)),
        crc32: None,
        records: None,
        modified_ns: None,
        header: 0,
        footer: 0,
    };
    (description, parts.iter().map(info).collect())
}

fn verified(sources: &[Source], parts: &[&[u8]]) -> Result<(), VerifyError> {
    let (description, parts) = stored(parts);
    compare_sources(sources.to_vec(), &description, &parts)
}

#[test]
fn sources_that_split_into_the_stored_parts_are_the_same() {
    let tree = MemoryTree::new(1000);
    let one = [source(&tree, "one", b"a,1\nb,2\nc,3\nd,4\n")];

    verified(&one, &[b"a,1\nb,2\nc,3\n", b"d,4\n"]).unwrap();
    verified(&one, &[b"a,1\nb,2\nc,3\nd,4\n"]).unwrap();
}

#[test]
fn the_first_part_that_differs_is_named() {
    let tree = MemoryTree::new(1000);
    let one = [source(&tree, "one", b"a,1\nb,2\nc,3\nd,X\n")];

    let error = verified(&one, &[b"a,1\nb,2\nc,3\n", b"d,4\n"]).unwrap_err();

    let (found, expected) = (Digest::of(b"d,X\n"), Digest::of(b"d,4\n"));
    assert_eq!(
        error.to_string(),
        format!(
            "part 2 differs: sources make 4 bytes with BLAKE3 {found}, stored are 4 bytes with \
             {expected}"
        )
    );
    assert_eq!(error.exit(), Exit::Mismatch);
}

#[test]
fn either_way_of_joining_sources_is_recognised() {
    let tree = MemoryTree::new(1000);
    let two = [source(&tree, "one", b"a,1"), source(&tree, "two", b"b,2\n")];

    verified(&two, &[b"a,1\nb,2\n"]).unwrap();
    let (mut description, parts) = stored(&[b"a,1b,2\n"]);
    description.attributes.push(("sourceJoin".to_owned(), "verbatim".to_owned()));
    compare_sources(two.to_vec(), &description, &parts).unwrap();
    let neither = verified(&two, &[b"a,1;b,2\n"]).unwrap_err();
    assert!(matches!(neither, VerifyError::Differs { part: PartIndex(0), .. }), "{neither}");
}

#[test]
fn what_cannot_be_compared_is_told() {
    let tree = MemoryTree::new(1000);
    let one = [source(&tree, "one", b"a,1\n")];
    let (mut description, mut parts) = stored(&[b"a,1\n"]);
    parts[0].digest = None;
    let undigested = compare_sources(one.to_vec(), &description, &parts).unwrap_err();
    assert_eq!(undigested.to_string(), "part 1 was not digested when it was stored");

    description.attributes.clear();
    let unknown = compare_sources(one.to_vec(), &description, &parts).unwrap_err();
    assert_eq!((unknown.exit(), &*unknown.code()), (Exit::Source, "format-unknown"));
}

#[test]
fn sources_that_cannot_even_be_split_are_not_what_is_stored() {
    let tree = MemoryTree::new(1000);
    let one = [source(&tree, "one", b"a,\"1\n")];

    let error = verified(&one, &[b"a,\"1\"\n"]).unwrap_err();

    assert_eq!((error.exit(), &*error.code()), (Exit::Mismatch, "sources-differ"));
}

#[test]
fn sources_that_are_the_parts_are_the_same_whatever_their_records_are() {
    let tree = MemoryTree::new(1000);
    let parts: [&[u8]; 2] = [b"\"open", b"quote"];
    let second = source(&tree, "f._2_of_2", parts[1]);
    let first = source(&tree, "f._1_of_2", parts[0]);
    let other = source(&tree, "f._1_of_3", b"\"OPEN");

    verified(&[second.clone(), first], &parts).unwrap();
    let error = verified(&[other, second], &parts).unwrap_err();
    assert!(matches!(error, VerifyError::Record(_)), "{error}");
}
