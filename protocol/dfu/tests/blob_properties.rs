//! Files through prefixes and back in any cuts, the bytes HPCC writes, and stored data that are
//! not what the specification says.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use proptest::prelude::*;
use skyspray_dfu::blob::{BlobError, NameFault, Piece, PrefixSpec, SplitPrefixSpec, Unblob};

/// Name and content.
type File = (Vec<u8>, Vec<u8>);

#[test]
fn two_files_are_stored_as_hpcc_stores_them() {
    let files = [file(b"file1.txt", b"hello"), file(b"b.bin", &[0, 1, 2])];
    let expected = b"\x09\0\0\0file1.txt\x05\0\0\0hello\x05\0\0\0b.bin\x03\0\0\0\0\x01\x02";

    let stored = store("FILENAME,FILESIZE", &files);

    assert_eq!(stored, expected);
    assert_eq!(take_apart("FILENAME,FILESIZE", &stored, &[usize::MAX]), Ok(files.to_vec()));
}

#[test]
fn skipped_bytes_are_passed_over() {
    let stored = b"????ab  !\x01\0x????cd  !\0\0";
    let files = vec![file(b"ab", b"x"), file(b"cd", b"")];

    for cuts in [vec![1], vec![usize::MAX]] {
        let spec = "SEQ:4,FILENAME:4,skip:1,L2";
        assert_eq!(take_apart(spec, stored, &cuts), Ok(files.clone()));
    }
}

#[test]
fn a_file_without_bytes_ends_without_further_input() {
    let mut unblob = Unblob::new(SplitPrefixSpec::parse("FILENAME:1,L1").unwrap());
    let mut input = &b"a\0"[..];

    let file = Piece::File { name: b"a".to_vec(), size: 0 };
    assert_eq!(unblob.next_piece(&mut input), Ok(Some(file)));
    assert_eq!(unblob.next_piece(&mut input), Ok(Some(Piece::FileEnd)));
    assert_eq!(unblob.next_piece(&mut input), Ok(None));
    assert_eq!(unblob.finish(), Ok(()));
}

#[test]
fn a_stored_name_that_could_escape_or_hide_is_refused() {
    for (name, fault) in [
        (&b""[..], NameFault::Empty),
        (b".", NameFault::Directory),
        (b"..", NameFault::Directory),
        (b"../x", NameFault::Byte { byte: b'/' }),
        (b"a\\b", NameFault::Byte { byte: b'\\' }),
        (b"a\0", NameFault::Byte { byte: 0 }),
    ] {
        let mut counted = (name.len() as u32).to_le_bytes().to_vec();
        counted.extend(name);
        let mut padded = name.to_vec();
        padded.resize(6, b' ');
        for (spec, stored, offset) in
            [("FILENAME,B1", &counted, 14), ("FILENAME:6,B1", &padded, 10)]
        {
            let stored = [b"\x01\0\0\0x     "[..].to_vec(), stored.clone()].concat();
            let spec = format!("SKIP:10,{spec}");
            for cuts in [vec![1], vec![usize::MAX]] {
                let name = name.to_vec();
                let error = take_apart(&spec, &stored, &cuts).unwrap_err();
                assert_eq!(error, BlobError::StoredName { offset, name, fault });
                assert_eq!(error.hpcc_number(), Some(8091));
            }
        }
    }
}

#[test]
fn a_name_length_out_of_reason_is_refused_before_it_is_read() {
    let error = take_apart("FILENAME,FILESIZE", b"\xFF\xFF\xFF\xFFabc", &[3]).unwrap_err();

    let fault = NameFault::TooLong { bytes: u32::MAX };
    assert_eq!(error, BlobError::StoredName { offset: 4, name: Vec::new(), fault });
    assert_eq!(
        error.to_string(),
        "offset 4: stored name \"\" cannot be a file's: it has 4294967295 bytes, at most 255 are \
         allowed"
    );
}

#[test]
fn data_cut_off_are_told_by_where_they_end() {
    let stored = store("FILENAME,FILESIZE", &[file(b"a", b"xyz"), file(b"b", b"uvw")]);
    assert_eq!(stored.len(), 24);
    let cut = |length| take_apart("FILENAME,FILESIZE", &stored[..length], &[5]).unwrap_err();

    assert_eq!(cut(7), BlobError::CutPrefix { start: 0, end: 7 });
    assert_eq!(cut(9), BlobError::CutFile { name: b"a".to_vec(), end: 9, missing: 3 });
    assert_eq!(cut(13), BlobError::CutPrefix { start: 12, end: 13 });
    let error = cut(23);
    assert_eq!(error.to_string(), r#"offset 23: data end 1 bytes before the end of file "b""#);
    assert_eq!((error.hpcc_number(), error.offset()), (Some(8091), Some(23)));
}

#[test]
fn a_stream_that_failed_stays_failed() {
    let mut unblob = Unblob::new(SplitPrefixSpec::parse("FILENAME:1,L1").unwrap());
    let error = unblob.next_piece(&mut &b"/\0"[..]).unwrap_err();

    assert_eq!(unblob.next_piece(&mut &b"a\0"[..]), Err(error.clone()));
    assert_eq!(unblob.finish(), Err(error));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn files_come_back_as_they_were(
        spec in prop::sample::select(&SPECS[..]),
        files in prop::collection::vec((name(), content()), 0..6),
        cuts in prop::collection::vec(1usize..200, 1..6),
    ) {
        let stored = store(spec, &files);

        prop_assert_eq!(take_apart(spec, &stored, &cuts), Ok(files));
    }

    #[test]
    fn whatever_is_stored_is_taken_apart_or_refused(
        stored in prop::collection::vec(prop_oneof![0u8..4, 97u8..100], 0..200),
        cuts in prop::collection::vec(1usize..20, 1..6),
    ) {
        let whole = take_apart("FILENAME,FILESIZE:B1", &stored, &[usize::MAX]);

        prop_assert_eq!(&take_apart("FILENAME,FILESIZE:B1", &stored, &cuts), &whole);
        if let Ok(files) = whole {
            prop_assert_eq!(store("FILENAME,FILESIZE:B1", &files), stored);
        }
    }
}

const SPECS: [&str; 6] = [
    "FILENAME,FILESIZE",
    "filename:255,filesize:B8",
    "FILESIZE:L2,FILENAME",
    "FILENAME:300,FILESIZE:L3",
    "B2,FILENAME:255",
    "FILENAME,FILESIZE:L8",
];

/// Any bytes a Linux file can be called by and that fit every specification above.
fn name() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 1..=255).prop_map(|mut name| {
        for byte in &mut name {
            if matches!(byte, b'/' | b'\\' | 0) {
                *byte = b'_';
            }
        }
        if matches!(&name[..], b"." | b"..") || name.ends_with(b" ") {
            *name.last_mut().unwrap() = b'x';
        }
        name
    })
}

fn content() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![Just(Vec::new()), prop::collection::vec(any::<u8>(), 0..500)]
}

fn file(name: &[u8], content: &[u8]) -> File {
    (name.to_vec(), content.to_vec())
}

fn store(spec: &str, files: &[File]) -> Vec<u8> {
    let spec = PrefixSpec::parse(spec).unwrap();
    let mut stored = Vec::new();
    for (name, content) in files {
        stored.extend(spec.prefix(name, content.len() as u64).unwrap());
        stored.extend(content);
    }
    stored
}

fn take_apart(spec: &str, stored: &[u8], cuts: &[usize]) -> Result<Vec<File>, BlobError> {
    let mut unblob = Unblob::new(SplitPrefixSpec::parse(spec).unwrap());
    let mut files = Vec::<File>::new();
    let mut open = None;
    let mut rest = stored;
    for &length in cuts.iter().cycle() {
        let (mut input, after) = rest.split_at(length.min(rest.len()));
        rest = after;
        while let Some(piece) = unblob.next_piece(&mut input)? {
            match piece {
                Piece::File { name, size } => {
                    assert_eq!(open.replace(size), None, "a file begins inside another");
                    files.push((name, Vec::new()));
                }
                Piece::Bytes(bytes) => {
                    assert!(!bytes.is_empty());
                    files.last_mut().unwrap().1.extend(bytes);
                }
                Piece::FileEnd => {
                    assert_eq!(open.take(), Some(files.last().unwrap().1.len() as u64));
                }
            }
        }
        assert_eq!(input, b"", "input was left");
        if rest.is_empty() {
            break;
        }
    }
    unblob.finish()?;
    Ok(files)
}
