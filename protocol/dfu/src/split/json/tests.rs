//! Sources by hand: where parts end, what joins them, and every fault with its place.

use super::super::{Piece, Source, SplitError, SplitOptions, Splitter};
use super::*;
use crate::format::{JsonFormat, RecordFormat};
use std::num::NonZeroU32;

type Parts = Vec<(String, u64)>;

/// Splits sources, each of header, rows and footer, a byte at a time and in one block.
fn split(path: &str, sources: &[[&str; 3]], parts: u32) -> Result<Parts, SplitError> {
    let format = JsonFormat::try_new(path).unwrap();
    let format = format.with_max_record(NonZeroU32::new(3000).unwrap());
    let by_byte = split_in_blocks(&format, sources, parts, 1);
    assert_eq!(by_byte, split_in_blocks(&format, sources, parts, 1 << 20));
    by_byte
}

fn split_in_blocks(
    format: &JsonFormat,
    sources: &[[&str; 3]],
    parts: u32,
    block_bytes: usize,
) -> Result<Parts, SplitError> {
    let announced = sources.iter().map(|source| Source {
        header: source[0].into(),
        footer: source[2].into(),
        ..Source::plain(source.concat().len() as u64)
    });
    let options = SplitOptions::new(NonZeroU32::new(parts).unwrap());
    let format = RecordFormat::Json(format.clone());
    let mut splitter = Splitter::try_new(&format, announced.collect(), options)?;
    let mut found = Vec::new();
    let mut bytes = Vec::new();
    let mut drain = |splitter: &mut Splitter, block: &[u8]| {
        while let Some(piece) = splitter.poll() {
            match piece {
                Piece::Bytes { range, .. } => bytes.extend_from_slice(&block[range]),
                Piece::Literal { bytes: added, .. } => bytes.extend(added),
                Piece::Origin(_) => {}
                Piece::PartEnd { records, .. } => {
                    found.push((String::from_utf8(std::mem::take(&mut bytes)).unwrap(), records));
                }
            }
        }
    };
    for source in sources {
        for block in source.concat().as_bytes().chunks(block_bytes) {
            splitter.push(block)?;
            drain(&mut splitter, block);
        }
        splitter.end_source()?;
        drain(&mut splitter, &[]);
    }
    splitter.finish()?;
    drain(&mut splitter, &[]);
    Ok(found)
}

fn part(text: &str, records: u64) -> (String, u64) {
    (text.to_owned(), records)
}

fn refused(path: &str, source: [&str; 3]) -> (Rule, u64) {
    match split(path, &[source], 2) {
        Err(SplitError::Malformed { source_index: 0, offset, rule }) => (rule, offset),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_part_ends_before_the_first_row_at_or_after_its_ideal_end_and_the_comma_is_dropped() {
    // 11 units, so the ideal end of the first of two parts is 5, where a row starts.
    let found = split("/Row", &[["{\"Row\":[", "1, [2],{} ,3", "]}"]], 2).unwrap();
    assert_eq!(found, [part("{\"Row\":[1, [2]]}", 2), part("{\"Row\":[{} ,3]}", 2)]);

    let found = split("/", &[["[", "1 , 22", "]"]], 3).unwrap();
    assert_eq!(found, [part("[1 ]", 1), part("[]", 0), part("[ 22]", 1)]);

    let found = split("/", &[["", "{} \n{}{}", ""]], 2).unwrap();
    assert_eq!(found, [part("{} \n", 1), part("{}{}", 2)]);
}

#[test]
fn brackets_and_quotes_in_strings_are_text() {
    let rows =
        r#"{"a":"]}[{\"],","b":"\\"},"]","\\\"","#.to_owned() + &"[".repeat(9) + &"]".repeat(9);

    let found = split("/", &[["[", &rows, "]"]], 1).unwrap();

    assert_eq!(found, [part(&format!("[{rows}]"), 4)]);
}

#[test]
fn rows_of_another_source_join_with_a_comma_or_a_line_feed() {
    let array = ["[", "1", "]"];
    let without_rows = ["[", " \n", "]"];
    let found = split("/", &[without_rows, array, without_rows, array], 1).unwrap();
    assert_eq!(found, [part("[1,\n1]", 2)]);

    let value = ["", "{}", ""];
    assert_eq!(split("/", &[value, value], 1).unwrap(), [part("{}\n{}", 2)]);
    assert_eq!(split("/", &[value, value], 2).unwrap(), [part("{}", 1), part("{}", 1)]);

    let commas = ["", "{},{}", ""];
    assert_eq!(split("/", &[commas, value], 1).unwrap(), [part("{},{},\n{}", 3)]);
}

#[test]
fn rows_are_separated_in_one_way() {
    assert_eq!(refused("/", ["[", "1,2,", "]"]), (Rule::Separator, 4));
    assert_eq!(refused("/", ["[", "1,2 ,  ]", ""]), (Rule::Separator, 5));
    assert_eq!(refused("/", ["[", ",1", "]"]), (Rule::Separator, 1));
    assert_eq!(refused("/", ["[", "1,,2", "]"]), (Rule::Separator, 3));
    assert_eq!(refused("/", ["[", "1 2", "]"]), (Rule::Separator, 3));
    assert_eq!(refused("/", ["", "{},{} {}", ""]), (Rule::Separator, 6));
    assert_eq!(refused("/", ["", "{} {},{}", ""]), (Rule::Separator, 5));
    assert_eq!(refused("/", ["", "{},", ""]), (Rule::Separator, 2));
    assert_eq!(refused("/", ["", "{\"a\":1}:", ""]), (Rule::Value, 7));
}

#[test]
fn brackets_match_by_kind_and_are_1024_deep_at_most() {
    assert_eq!(refused("/", ["[", "{]", "]"]), (Rule::Bracket, 2));
    assert_eq!(refused("/", ["[", "1}", "]"]), (Rule::Bracket, 2));
    assert_eq!(refused("/", ["", "{}]", ""]), (Rule::Bracket, 2));
    let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
    assert_eq!(split("/", &[["[", &nested(1024), "]"]], 1).unwrap()[0].1, 1);
    assert_eq!(refused("/", ["[", &nested(1025), "]"]), (Rule::Depth, 1025));
}

#[test]
fn a_document_is_complete_and_nothing_follows_it() {
    assert_eq!(refused("/", ["[", "1,[2", ""]), (Rule::DocumentCutOff, 3));
    assert_eq!(refused("/", ["[", "1,\"2", "]"]), (Rule::DocumentCutOff, 3));
    assert_eq!(refused("/", ["[", "1", ""]), (Rule::DocumentCutOff, 2));
    assert_eq!(refused("/a", ["{\"a\":[", "1", "]"]), (Rule::DocumentCutOff, 7));
    assert_eq!(refused("/a", ["{\"a\":[", "", "]"]), (Rule::DocumentCutOff, 6));
    assert_eq!(refused("/a", ["{\"a\":[", "1", "]} \n{"]), (Rule::BehindDocument, 11));
    assert_eq!(refused("/a", ["{\"a\":[", "1", ",2]}"]), (Rule::Separator, 7));
    assert_eq!(refused("/a", ["{\"a\":[", "1", "]]"]), (Rule::Bracket, 8));
}

#[test]
fn rows_that_end_elsewhere_are_said_to() {
    let elsewhere = |offset| Err(SplitError::FooterElsewhere { source_index: 0, offset });

    let siblings = ["{\"a\":[", "1 ],\"b\":[2", "]}"];
    assert_eq!(split("/a", &[siblings], 2), elsewhere(8));
    let values = ["", "{}\n[2", "]"];
    assert_eq!(split("/", &[values], 2), elsewhere(6));
    let values = ["", "{}\n", "[2]"];
    assert_eq!(split("/", &[values], 2), elsewhere(6));
}

#[test]
fn sources_have_their_rows_in_one_place() {
    let found = split("/", &[["[", "1", "]"], ["", "2", ""]], 1);

    let rule = Rule::MixedRoots;
    assert_eq!(found, Err(SplitError::Malformed { source_index: 1, offset: 0, rule }));
}

#[test]
fn a_row_with_what_precedes_it_is_at_most_as_long_as_was_said() {
    let too_long = |offset| {
        Err(SplitError::RecordTooLong {
            source_index: 0,
            offset,
            max_record: 3000,
            quote: None,
            number: 8101,
        })
    };
    let row =
        |blanks: usize, letters| format!("0,{}\"{}\"", " ".repeat(blanks), "x".repeat(letters));

    assert_eq!(split("/", &[["[", &row(997, 2000), "]"]], 1).unwrap()[0].1, 2);
    assert_eq!(split("/", &[["[", &row(997, 2001), "]"]], 1), too_long(2));
    assert_eq!(split("/", &[["[", &row(3000, 1), "]"]], 1), too_long(2));
    assert_eq!(split("/", &[["[", &" ".repeat(3001), "]"]], 1), too_long(1));
    // Whatever else is wrong is wrong behind that.
    let wrong = |open: &str, close: &str| [open, &" ".repeat(3000), close].concat();
    assert_eq!(split("/", &[["[", &wrong("[", "}"), "]"]], 1), too_long(1));
    assert_eq!(split("/", &[["[", &wrong("0,", ":"), "]"]], 1), too_long(2));
    assert_eq!(split("/", &[["[", &format!("0{}", " ".repeat(9999)), "]"]], 1).unwrap()[0].1, 1);
}
