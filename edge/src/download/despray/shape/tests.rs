//! What each shape means for logical files of each kind.

use super::*;
use crate::exit::{Exit, Explain as _};

fn attributes(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn part(length: u64, header: u32, footer: u32) -> PartInfo {
    PartInfo { length, digest: None, crc32: None, records: None, modified_ns: None, header, footer }
}

fn sized(bytes: u64) -> Shape {
    Shape::Sized(ByteSize(bytes))
}

fn files(
    shape: &Shape,
    pairs: &[(&str, &str)],
    parts: &[PartInfo],
) -> Result<(u32, bool), ShapeFault> {
    match Recipe::of(shape, &attributes(pairs), parts)? {
        Recipe::Cut(_, Cut::Records(cut)) => Ok((cut.files.get(), cut.is_empty)),
        other => panic!("{other:?}"),
    }
}

fn added(pairs: &[(&str, &str)], parts: &[PartInfo]) -> Vec<(u64, Vec<u8>)> {
    match Recipe::of(&Shape::Joined, &attributes(pairs), parts).unwrap() {
        Recipe::Join(joined) => joined.added.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_no_part_has_is_put_between_and_before_the_parts() {
    let json = [("kind", "json"), ("format", "json"), ("rowTag", "/")];
    let rows = [part(2, 1, 1), part(10, 1, 1), part(2, 1, 1), part(10, 1, 1)];
    assert_eq!(added(&json, &rows), [(9, b",".to_vec())]);
    let said = [&json[..], &[("rowSeparator", "")]].concat();
    assert_eq!(added(&said, &rows), []);

    let wide = [("kind", "csv"), ("format", "utf16le"), ("byteOrderMark", "1")];
    assert_eq!(added(&wide, &[part(4, 0, 0)]), [(0, vec![0xff, 0xfe])]);
}

#[test]
fn a_file_of_an_unknown_format_is_joined_unless_that_needs_the_format() {
    let unknown = [("format", "key")];
    assert_eq!(added(&unknown, &[part(3, 0, 0), part(4, 0, 0)]), []);

    let of = |parts: &[PartInfo], pairs: &[(&str, &str)]| {
        Recipe::of(&Shape::Joined, &attributes(pairs), parts).unwrap_err().code().into_owned()
    };
    assert_eq!(of(&[part(3, 1, 1)], &unknown), "format-unsaid");
    assert_eq!(of(&[part(3, 0, 0)], &[("format", "key"), ("byteOrderMark", "1")]), "format-unsaid");
}

#[test]
fn as_few_files_are_made_as_have_room_for_one_more_record_each() {
    let fixed = [("format", "fixed"), ("recordSize", "10")];
    let csv = [("format", "csv"), ("maxRecordSize", "100")];
    assert_eq!(files(&sized(110), &fixed, &[part(1000, 0, 0)]), Ok((10, false)));
    assert_eq!(files(&sized(109), &fixed, &[part(1000, 0, 0)]), Ok((12, false)));
    assert_eq!(files(&sized(1100), &csv, &[part(600, 0, 0), part(400, 0, 0)]), Ok((1, false)));
    assert_eq!(files(&sized(1100), &csv, &[part(601, 0, 0), part(400, 0, 0)]), Ok((2, false)));
    assert_eq!(files(&sized(1100), &csv, &[part(0, 0, 0)]), Ok((1, true)));

    let xml = [("format", "xml"), ("rowTag", "r"), ("maxRecordSize", "100")];
    let documents = [part(7, 3, 4), part(507, 3, 4), part(507, 3, 4)];
    assert_eq!(files(&sized(607), &xml, &documents), Ok((2, false)));
    assert_eq!(files(&sized(606), &xml, &documents), Ok((3, false)));
    assert_eq!(files(&sized(606), &xml, &[part(7, 3, 4)]), Ok((1, true)));
}

#[test]
fn a_size_without_room_for_a_record_or_with_too_many_files_is_refused() {
    let xml = [("format", "xml"), ("rowTag", "r"), ("maxRecordSize", "100")];
    let small = files(&sized(107), &xml, &[part(507, 3, 4)]).unwrap_err();
    assert_eq!(small.exit(), Exit::Usage);
    assert_eq!(
        small.to_string(),
        "--split 107B is too small: with its longest record of 100 bytes and the 7 bytes around \
         the records a file needs more than 107 bytes"
    );
    let blocked = files(&sized(32_768), &[("format", "blocked")], &[part(1 << 20, 0, 0)]);
    assert!(matches!(blocked, Err(ShapeFault::TooSmall { record: 32_768, .. })), "{blocked:?}");

    let fixed = [("format", "fixed"), ("recordSize", "1")];
    let many = files(&sized(2), &fixed, &[part(65_537, 0, 0)]).unwrap_err();
    assert_eq!(many, ShapeFault::TooMany { size: ByteSize(2) });
    assert_eq!(files(&sized(2), &fixed, &[part(65_536, 0, 0)]), Ok((65_536, false)));
}

#[test]
fn blobs_have_no_records_and_only_blobs_have_a_prefix() {
    let blob = [("format", "blob"), ("blobPrefix", "FILENAME:20,FILESIZE")];
    let fault = files(&sized(1 << 20), &blob, &[part(9, 0, 0)]).unwrap_err();
    assert_eq!((fault.details().hpcc, fault.exit()), (Some(8055), Exit::Usage));

    let of = |pairs: &[(&str, &str)]| {
        Recipe::of(&Shape::Blobs(None), &attributes(pairs), &[part(9, 0, 0)])
    };
    let spec = SplitPrefixSpec::parse("FILENAME:20,FILESIZE").unwrap();
    assert!(matches!(of(&blob), Ok(Recipe::Cut(_, Cut::Blobs(found))) if found == spec));
    assert_eq!(of(&[("format", "csv")]), Err(ShapeFault::NoPrefix));
}

#[test]
fn a_part_shorter_than_what_is_said_of_it_has_hpccs_number() {
    let xml = [("format", "xml"), ("rowTag", "r")];
    let parts = [part(6, 3, 4)];
    let fault = Recipe::of(&Shape::Joined, &attributes(&xml), &parts).unwrap_err();

    assert_eq!(fault.details().hpcc, Some(8110));
    assert!(Recipe::of(&Shape::Wrapped, &attributes(&xml), &parts).is_ok(), "--wrap asks nothing");
}

#[test]
fn compressed_parts_are_only_fetched_as_they_are() {
    let compressed = attributes(&[("kind", "flat"), ("recordSize", "1"), ("blockCompressed", "1")]);
    let parts = [part(6, 0, 0)];
    for shape in [Shape::Joined, sized(100), Shape::Parts(NonZeroU32::MIN)] {
        let fault = Recipe::of(&shape, &compressed, &parts).unwrap_err();
        assert_eq!((fault.exit(), fault), (Exit::Usage, ShapeFault::Compressed));
    }
    Recipe::of(&Shape::Wrapped, &compressed, &parts).unwrap();
}
