//! Single facts about splitting; `tests/split_properties.rs` has the general ones.

use super::*;
use crate::encoding::Encoding;
use crate::format::csv::{CsvFormat, CsvOptions, Role};
use crate::format::{JsonFormat, XmlFormat};
use skyspray_wire::ids::PartIndex;
use std::num::NonZeroU32;

fn csv(changes: &[(Role, &str)], max_record: u32) -> RecordFormat {
    let max_record = NonZeroU32::new(max_record).unwrap();
    let mut options = CsvOptions { max_record, ..CsvOptions::default() };
    for &(role, list) in changes {
        options.set(role, list).unwrap();
    }
    RecordFormat::Csv(CsvFormat::try_new(options).unwrap())
}

fn fixed(record_bytes: u32) -> RecordFormat {
    RecordFormat::Fixed { record_bytes: NonZeroU32::new(record_bytes).unwrap() }
}

fn parts(parts: u32) -> SplitOptions {
    SplitOptions::new(NonZeroU32::new(parts).unwrap())
}

fn plain(lengths: &[u64]) -> Vec<Source> {
    lengths.iter().map(|&length| Source::plain(length)).collect()
}

/// The contents and record counts of the parts.
fn split(
    format: &RecordFormat,
    sources: &[&str],
    options: SplitOptions,
) -> Result<Vec<(String, u64)>, SplitError> {
    let lengths = sources.iter().map(|source| source.len() as u64).collect::<Vec<_>>();
    let mut splitter = Splitter::try_new(format, plain(&lengths), options)?;
    let mut parts = vec![(String::new(), 0); options.parts.get() as usize];
    let mut drain = |splitter: &mut Splitter, block: &str| {
        while let Some(piece) = splitter.poll() {
            match piece {
                Piece::Bytes { part, range } => parts[part.0 as usize].0 += &block[range],
                Piece::Literal { part, bytes } => {
                    parts[part.0 as usize].0 += std::str::from_utf8(&bytes).unwrap();
                }
                Piece::Origin(_) => {}
                Piece::PartEnd { part, records, .. } => parts[part.0 as usize].1 = records,
            }
        }
    };
    for source in sources {
        splitter.push(source.as_bytes())?;
        drain(&mut splitter, source);
        splitter.end_source()?;
        drain(&mut splitter, "");
    }
    splitter.finish()?;
    drain(&mut splitter, "");
    Ok(parts)
}

fn owned(parts: &[(&str, u64)]) -> Vec<(String, u64)> {
    parts.iter().map(|&(bytes, records)| (bytes.to_owned(), records)).collect()
}

#[test]
fn a_record_across_a_boundary_goes_to_the_earlier_part_and_a_fixed_one_to_the_later() {
    let default = csv(&[], 100);

    assert_eq!(
        split(&default, &["a\nbbbb\nc\n"], parts(2)),
        Ok(owned(&[("a\nbbbb\n", 2), ("c\n", 1)]))
    );
    assert_eq!(split(&fixed(3), &["aaabbbccc"], parts(2)), Ok(owned(&[("aaa", 1), ("bbbccc", 2)])));
}

#[test]
fn a_source_that_starts_at_a_boundary_starts_a_part() {
    assert_eq!(
        split(&csv(&[], 100), &["ab\n", "", "cd\n"], parts(2)),
        Ok(owned(&[("ab\n", 1), ("cd\n", 1)]))
    );
}

#[test]
fn parts_without_records_are_empty_and_ended() {
    assert_eq!(split(&csv(&[], 100), &[], parts(2)), Ok(owned(&[("", 0), ("", 0)])));
    assert_eq!(split(&fixed(9), &["", ""], parts(1)), Ok(owned(&[("", 0)])));
    assert_eq!(split(&csv(&[], 100), &["a"], parts(3)), Ok(owned(&[("", 0), ("", 0), ("a", 1)])));
}

#[test]
fn a_missing_final_terminator_is_mended_with_the_one_the_files_use() {
    let default = csv(&[], 100);
    let verbatim = SplitOptions { join: Join::Verbatim, ..parts(1) };

    assert_eq!(
        split(&default, &["a\r\nb", "", "c", ""], parts(1)),
        Ok(owned(&[("a\r\nb\r\nc", 3)]))
    );
    assert_eq!(split(&default, &["a", "b\n"], parts(1)), Ok(owned(&[("a\nb\n", 2)])));
    assert_eq!(split(&default, &["a", "b\n"], verbatim), Ok(owned(&[("ab\n", 2)])));
}

#[test]
fn a_source_that_no_terminator_can_mend_is_refused() {
    let escaped = csv(&[(Role::Escape, "\\\\")], 100);
    let halved = csv(&[(Role::Terminator, "||"), (Role::Separator, "|||")], 100);
    let refused = |source_index, offset| Err(SplitError::CannotMend { source_index, offset });

    assert_eq!(split(&escaped, &["a\\", "b"], parts(1)), refused(0, 2));
    assert_eq!(split(&halved, &["", "a|", "b"], parts(1)), refused(1, 2));
    assert_eq!(split(&escaped, &["a\\"], parts(1)), Ok(owned(&[("a\\", 1)])));
}

#[test]
fn whole_sources_are_spread_in_order() {
    let sources = ["1\n", "2\n", "3\n", "4\n", "5\n"];
    let whole = |count| SplitOptions { layout: Layout::WholeSources, ..parts(count) };

    assert_eq!(
        split(&csv(&[], 100), &sources, whole(2)),
        Ok(owned(&[("1\n2\n3\n", 3), ("4\n5\n", 2)]))
    );
    let error = split(&csv(&[], 100), &sources, whole(6)).unwrap_err();
    assert_eq!(error, SplitError::FewerSources { sources: 5, parts: 6 });
    assert_eq!(error.hpcc_number(), Some(8067));
    assert_eq!(Layout::implied(2, NonZeroU32::new(2).unwrap()), Layout::WholeSources);
    assert_eq!(Layout::implied(3, NonZeroU32::new(2).unwrap()), Layout::Balanced);
}

/// A document: what stands before, in and behind its rows. With no rows all of it stands before.
fn document(header: &str, rows: &str, footer: &str) -> (Source, String) {
    let text = [header, rows, footer].concat();
    let (header, footer) = match rows {
        "" => (text.as_str(), ""),
        _ => (header, footer),
    };
    let source = Source {
        length: text.len() as u64,
        header: header.into(),
        footer: footer.into(),
        ..Source::default()
    };
    (source, text)
}

/// The contents of the parts of documents.
fn split_documents(
    format: &RecordFormat,
    documents: &[(Source, String)],
    options: SplitOptions,
) -> Result<Vec<String>, SplitError> {
    let sources = documents.iter().map(|(source, _)| source.clone()).collect();
    let mut splitter = Splitter::try_new(format, sources, options)?;
    let mut parts = vec![String::new()];
    let mut drain = |splitter: &mut Splitter, block: &str| {
        while let Some(piece) = splitter.poll() {
            let part = parts.last_mut().expect("there is one from the start");
            match piece {
                Piece::Bytes { range, .. } => part.push_str(&block[range]),
                Piece::Literal { bytes, .. } => part.push_str(std::str::from_utf8(&bytes).unwrap()),
                Piece::Origin(_) => {}
                Piece::PartEnd { .. } => parts.push(String::new()),
            }
        }
    };
    for (_, text) in documents {
        splitter.push(text.as_bytes())?;
        drain(&mut splitter, text);
        splitter.end_source()?;
        drain(&mut splitter, "");
    }
    splitter.finish()?;
    drain(&mut splitter, "");
    parts.pop();
    Ok(parts)
}

#[test]
fn documents_without_rows_take_no_header_and_no_footer_from_a_part() {
    let format = RecordFormat::Xml(XmlFormat::try_new("r").unwrap());
    let first = || document("<a>", "<r>1</r>", "</a>");
    let second = || document("<b>", "<r>2</r>", "</b>");
    let rowless = || document("<c>", "", "</c>");
    let empty = || document("", "", "");
    let split = |documents: &[_], count| split_documents(&format, documents, parts(count));

    for none in [rowless, empty] {
        assert_eq!(split(&[first(), none()], 1).unwrap(), ["<a><r>1</r></a>"]);
        assert_eq!(
            split(&[none(), first(), none(), second(), none()], 2).unwrap(),
            ["<a><r>1</r></a>", "<b><r>2</r></b>"]
        );
        let many = split(&[none(), first(), none()], 9).unwrap();
        assert_eq!(many.iter().filter(|part| *part == "<a></a>").count(), 8, "{many:?}");
    }
}

#[test]
fn a_source_that_is_a_part_stays_as_it_is_also_without_rows() {
    let format = RecordFormat::Xml(XmlFormat::try_new("r").unwrap());
    let whole = |count| SplitOptions { layout: Layout::WholeSources, ..parts(count) };
    let documents = [
        document("<a>", "<r>1</r>", "</a>"),
        document("<c>", "", "</c>"),
        document("", "", ""),
        document("<b>", "<r>2</r>", "</b>"),
        document("", "", ""),
    ];

    assert_eq!(
        split_documents(&format, &documents, whole(5)).unwrap(),
        documents.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>()
    );
    assert_eq!(
        split_documents(&format, &documents, whole(2)).unwrap(),
        ["<a><r>1</r></a>", "<b><r>2</r></b>"]
    );
}

#[test]
fn rows_of_sources_that_stay_in_one_part_are_separated_also_at_a_split_point() {
    let format = RecordFormat::Json(JsonFormat::try_new("/").unwrap());
    let points = |count| SplitOptions { layout: Layout::SplitPoints, ..parts(count) };
    let array = |rows| document("[", rows, "]");
    let values = |rows| {
        let (source, text) = document("", rows, "");
        (Source { header: Vec::new(), ..source }, text)
    };

    for count in 1..4 {
        let arrays = split_documents(&format, &[array("1, 2"), array("3, 4")], points(count));
        let bare = split_documents(&format, &[values("1 2"), values("3 4")], points(count));
        assert_eq!(arrays.unwrap(), ["[1, 2,\n3, 4]"], "{count}");
        assert_eq!(bare.unwrap(), ["1 2\n3 4"], "{count}");
    }
}

#[test]
fn a_byte_order_mark_that_is_kept_does_not_make_an_array_of_values() {
    for encoding in [Encoding::Utf8, Encoding::Utf16Le, Encoding::Utf32Be] {
        let format = RecordFormat::Json(JsonFormat::try_new("/").unwrap()).with_encoding(encoding);
        let stored = |text: &str| -> Vec<u8> {
            match encoding {
                Encoding::Utf16Le => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
                Encoding::Utf32Be => {
                    text.chars().flat_map(|unit| u32::from(unit).to_be_bytes()).collect()
                }
                _ => text.as_bytes().to_vec(),
            }
        };
        let text = stored("\u{feff}{} {}");
        let source =
            Source { length: text.len() as u64, header: stored("\u{feff}"), ..Source::default() };
        let options = SplitOptions { layout: Layout::SplitPoints, ..parts(2) };
        let mut splitter = Splitter::try_new(&format, vec![source], options).unwrap();

        splitter.push(&text).unwrap();
        splitter.end_source().unwrap();
        splitter.finish().unwrap();

        let end = std::iter::from_fn(|| splitter.poll()).last().unwrap();
        assert!(matches!(end, Piece::PartEnd { records: 2, .. }), "{encoding:?}: {end:?}");
    }
}

#[test]
fn rows_that_follow_each_other_in_a_part_are_one_piece_also_when_converted() {
    let format = RecordFormat::Json(JsonFormat::try_new("/").unwrap());
    let text = "1,".repeat(1000) + "1";
    let wide = text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let options = SplitOptions { target: Target::Utf8, ..parts(1) };
    let format = format.with_encoding(Encoding::Utf16Le);
    let mut splitter = Splitter::try_new(&format, plain(&[wide.len() as u64]), options).unwrap();

    splitter.push(&wide).unwrap();

    let pieces = std::iter::from_fn(|| splitter.poll()).collect::<Vec<_>>();
    assert_eq!(pieces, [Piece::Literal { part: PartIndex(0), bytes: text.into_bytes() }]);
}

#[test]
fn a_partial_fixed_record_is_refused_before_a_byte_is_read() {
    let error = Splitter::try_new(&fixed(4), plain(&[8, 10]), parts(2)).unwrap_err();

    assert_eq!(error.to_string(), "source 2 ends inside a record: length 10 is no multiple of 4");
    assert_eq!((error.hpcc_number(), error.location()), (Some(8078), Some((1, 8))));
}

#[test]
fn a_quote_left_open_is_reported_where_it_was_opened() {
    let error = split(&csv(&[], 100), &["a\n", "b,\"c\nd"], parts(1)).unwrap_err();

    assert_eq!(error.to_string(), "source 2 at offset 2: quote is never closed");
    assert_eq!(error, SplitError::UnterminatedQuote { source_index: 1, offset: 2 });
}

#[test]
fn a_record_over_the_limit_is_refused_and_one_at_the_limit_is_not() {
    let format = csv(&[], 4);

    assert_eq!(split(&format, &["abc\nabc\n"], parts(1)), Ok(owned(&[("abc\nabc\n", 2)])));
    let error = split(&format, &["abc\nabcd\n"], parts(1)).unwrap_err();
    assert_eq!(error.to_string(), "source 1 at offset 4: record is longer than 4 bytes");
    assert_eq!(error.hpcc_number(), Some(8102));
    let error = split(&format, &["abc\n\"bcd\nefgh"], parts(1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "source 1 at offset 4: record is longer than 4 bytes, a quote opened at offset 4 is open"
    );
}

#[test]
fn a_quote_in_the_middle_of_a_field_is_data() {
    let default = csv(&[], 100);

    assert_eq!(
        split(&default, &["a\"b\nc \"d\n\"e\"f\"\n"], parts(1)),
        Ok(owned(&[("a\"b\nc \"d\n\"e\"f\"\n", 3)]))
    );
    assert_eq!(
        split(&default, &["a, \t\"b\nc\"\nd\n"], parts(1)),
        Ok(owned(&[("a, \t\"b\nc\"\nd\n", 2)]))
    );
}

#[test]
fn a_record_that_decides_a_split_may_not_quote_in_the_middle_of_a_field() {
    let default = csv(&[], 100);
    let rows = "a;\"b\";c\na;\"b\";c\n";

    let error = split(&default, &[&rows.repeat(2)], parts(2)).unwrap_err();

    assert_eq!(error, SplitError::InconsistentQuote { source_index: 0, offset: 20 });
    assert_eq!(error.hpcc_number(), Some(8118));
    split(&default, &[&rows.repeat(2)], parts(1)).unwrap();
    split(&csv(&[(Role::Separator, ";")], 100), &[&rows.repeat(2)], parts(2)).unwrap();
}

#[test]
fn a_quote_counts_as_at_the_split_once_it_is_known_whether_the_boundary_is_in_quotes() {
    let default = csv(&[], 100);

    // 14 bytes, so the ideal boundary is at 7; the second quote behind it tells.
    let told = split(&default, &["aaaaaaa\"b\"cdd\n"], parts(2));
    let known = split(&default, &["aaaaaaa\"b\"cd\"\n"], parts(2));

    assert_eq!(told, Ok(owned(&[("aaaaaaa\"b\"cdd\n", 1), ("", 0)])));
    assert_eq!(known, Err(SplitError::InconsistentQuote { source_index: 0, offset: 12 }));
}

#[test]
fn an_escaped_blank_is_not_skipped_before_a_quote() {
    let format = csv(&[(Role::Escape, "\\\\")], 100);

    assert_eq!(
        split(&format, &["\\ \"a\n \"b\nc\"\n"], parts(1)),
        Ok(owned(&[("\\ \"a\n \"b\nc\"\n", 2)]))
    );
}

/// Rows long enough for 64 bytes to be decided together, moved so that every byte of them comes to
/// lie at the edge of 64 bytes once.
#[test]
fn quotes_are_understood_wherever_they_lie_in_64_bytes() {
    let default = csv(&[], 1000);
    let rows = "\"a\"\"\nb\",\"\",c\n\"\"\"\",\"d,\"\n".repeat(30);
    for shift in 0..64 {
        let source = format!("{},{rows}", "x".repeat(shift));

        assert_eq!(split(&default, &[&source], parts(1)), Ok(vec![(source.clone(), 60)]));
        for open in ["\"e", "\"e\"\"", "\"\"\"\"\"\"\"f\n"] {
            let broken = format!("{source}{open}{}", "\"\"g\n".repeat(40));
            let offset = source.len() as u64;
            let error = SplitError::UnterminatedQuote { source_index: 0, offset };
            assert_eq!(split(&default, &[&broken], parts(1)), Err(error), "{shift} {open}");
        }
    }
}

#[test]
fn terminators_in_quotes_end_records_when_told_so() {
    let options = CsvOptions { quoted_terminator: false, ..CsvOptions::default() };
    let format = RecordFormat::Csv(CsvFormat::try_new(options).unwrap());

    assert_eq!(split(&format, &["\"a\nb\"\n\"c"], parts(1)), Ok(owned(&[("\"a\nb\"\n\"c", 3)])));
}

#[test]
fn a_source_that_changed_while_it_was_read_is_refused() {
    let mut splitter = Splitter::try_new(&csv(&[], 100), plain(&[3, 3]), parts(1)).unwrap();

    splitter.push(b"a\n").unwrap();
    assert_eq!(
        splitter.end_source(),
        Err(SplitError::SourceShrank { source_index: 0, length: 3, read: 2 })
    );
    assert_eq!(splitter.finish(), Err(SplitError::SourcesLeft { ended: 0, sources: 2 }));
    assert_eq!(splitter.push(b"bc"), Err(SplitError::SourceGrew { source_index: 0, length: 3 }));
}

#[test]
fn more_sources_than_announced_are_refused() {
    let mut splitter = Splitter::try_new(&csv(&[], 100), plain(&[]), parts(1)).unwrap();

    assert_eq!(splitter.end_source(), Err(SplitError::NoSourceLeft));
    assert_eq!(splitter.push(b"a"), Err(SplitError::SourceGrew { source_index: 0, length: 0 }));
    assert_eq!(
        Splitter::try_new(&csv(&[], 100), plain(&[u64::MAX, 1]), parts(1)).unwrap_err(),
        SplitError::TotalTooLong
    );
}

#[test]
fn a_delimiter_cut_by_a_block_edge_is_held_back_and_never_more_than_that() {
    let format = csv(&[(Role::Terminator, "|,|<EOL>")], 100_000);
    let mut splitter = Splitter::try_new(&format, plain(&[10_000]), parts(1)).unwrap();

    splitter.push(&[b'x'; 5_000]).unwrap();
    splitter.push(b"|<EO").unwrap();
    let pieces = std::iter::from_fn(|| splitter.poll()).collect::<Vec<_>>();
    let part = PartIndex(0);
    assert_eq!(pieces, [Piece::Bytes { part, range: 0..5_000 }]);
    assert_eq!(splitter.tail, b"|<EO");

    splitter.push(b"!").unwrap();
    let pieces = std::iter::from_fn(|| splitter.poll()).collect::<Vec<_>>();
    assert_eq!(
        pieces,
        [Piece::Literal { part, bytes: b"|<EO".to_vec() }, Piece::Bytes { part, range: 0..1 }]
    );
    assert_eq!(splitter.tail, b"");
}

#[test]
fn a_record_of_wide_text_is_measured_in_whole_units_and_the_limit_named_as_it_was_said() {
    let text = |units: usize| "a".repeat(units - 1) + "\n";
    for (limit, fits) in [(9, 4), (8, 4), (1, 1)] {
        let format = csv(&[], limit).with_encoding(Encoding::Utf16Le);
        let split = |units| {
            let wide: Vec<u8> = text(units).encode_utf16().flat_map(u16::to_le_bytes).collect();
            split(&format, &[std::str::from_utf8(&wide).unwrap()], parts(1))
        };

        assert_eq!(split(fits).unwrap()[0].1, 1, "{limit}");
        let fault = split(fits + 1).unwrap_err();
        assert!(
            matches!(fault, SplitError::RecordTooLong { max_record, .. } if max_record == limit),
            "{fault}"
        );
    }
}
