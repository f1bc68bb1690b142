//! The probe of XML: exact forwards, a proven guess backwards.

use super::super::{
    FOOTER_BYTES_MAX, HEADER_BYTES_MAX, Head, Measure, ProbeError, Tail, head, tail,
};
use crate::encoding::Encoding;
use crate::format::{CsvFormat, RecordFormat, XmlFormat};

fn format() -> RecordFormat {
    RecordFormat::Xml(XmlFormat::try_new("Row").unwrap())
}

fn header(header_bytes: u64) -> Result<Head, ProbeError> {
    Ok(Head::Found { header_bytes })
}

fn footer(footer_bytes: u64) -> Result<Tail, ProbeError> {
    Ok(Tail::Found { footer_bytes })
}

#[test]
fn the_header_ends_where_the_line_of_the_first_row_begins() {
    for (first, header_bytes) in [
        ("<Row>", 0),
        (" \t<Row a='>'>", 0),
        ("<D>\n  <Row/>", 4),
        ("<D>\r\n<Row/>", 5),
        ("<D> <Row/>", 4),
        ("<D><!-- <Row> --><Rows/>\n</Row><Row>", 31),
    ] {
        assert_eq!(head(&format(), first.as_bytes(), false), header(header_bytes), "{first}");
    }
}

#[test]
fn a_first_row_that_is_not_there_is_waited_for_up_to_a_limit() {
    let mut long = b"<!--".to_vec();
    long.resize(usize::try_from(HEADER_BYTES_MAX).unwrap(), b' ');

    assert_eq!(head(&format(), b"<D><Row a=", false), Ok(Head::NeedMore));
    assert_eq!(head(&format(), b"<D></D>", true), Ok(Head::NoRows));
    assert_eq!(head(&format(), &long[1..], false), Ok(Head::NeedMore));
    let error = head(&format(), &long, false).unwrap_err();
    assert_eq!(error, ProbeError::NoFirstRow { looked: HEADER_BYTES_MAX, number: 8098 });
    assert_eq!(error.hpcc_number(), Some(8098));
}

#[test]
fn the_footer_starts_behind_the_last_row_with_a_lone_line_feed() {
    for (last, footer_bytes) in [
        ("x</Row>", 0),
        ("x</Row>\n", 1),
        ("x</Row>\r\n", 0),
        ("x</Row \n>\n</D>", 5),
        ("<Row/>\r\n</D>", 4),
        ("<Row a='>' b=\"/>\" />\n\n</D>", 6),
        ("</Row><Rows/></Rowing></b><!-- </Row> --></D>", 39),
        ("</Row><![CDATA[<Row/>]]><?x </Row>?>", 30),
        ("</Row><!-- ]]> ?> --><?x --> ?>", 25),
    ] {
        assert_eq!(tail(&format(), last.as_bytes(), false), footer(footer_bytes), "{last}");
    }
}

#[test]
fn bytes_that_may_be_inside_a_comment_do_not_tell_where_the_last_row_ends() {
    let inside = b"<Row> </Row> -->\n</D>";

    assert_eq!(tail(&format(), inside, false), Ok(Tail::NeedMore));
    assert_eq!(tail(&format(), inside, true), Ok(Tail::Unknown));
    assert_eq!(tail(&format(), &[&b"</Row><!--"[..], inside].concat(), false), footer(25));
}

#[test]
fn a_last_row_that_is_not_there_is_looked_for_up_to_a_limit() {
    let long = vec![b' '; usize::try_from(FOOTER_BYTES_MAX).unwrap()];

    assert_eq!(tail(&format(), &long[1..], false), Ok(Tail::NeedMore));
    for (last, whole) in [(&long[..], false), (b"<Row></Ro", true), (b"<Row a='/>", true)] {
        let looked = last.len() as u64;
        let error = tail(&format(), last, whole).unwrap_err();
        assert_eq!(error, ProbeError::NoLastRow { looked, number: 8099 });
    }
}

#[test]
fn looking_back_through_many_unclosed_comments_is_given_up() {
    let last = b"</Row><!-- ".repeat(100_000);

    assert_eq!(tail(&format(), &last, false), Ok(Tail::Unknown));
}

#[test]
fn looking_back_through_a_long_comment_takes_one_pass() {
    let comment = format!("<!--{}-->", "</Row>".repeat(100_000));
    let last = format!("</Row>{comment}");

    assert_eq!(tail(&format(), last.as_bytes(), false), footer(comment.len() as u64));
}

#[test]
fn lengths_are_in_bytes_whatever_the_encoding() {
    let wide = |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<_>>();
    let format = RecordFormat::Xml(XmlFormat::try_new("Zeile\u{e4}").unwrap())
        .with_encoding(Encoding::Utf16Be);
    let text = wide("<D>\u{20ac}\n<Zeile\u{e4}>\u{3c00}</Zeile\u{e4}>\n</D>");

    assert_eq!(head(&format, &text[..text.len() - 1], false), header(10));
    assert_eq!(tail(&format, &text[1..], false), footer(10));
    let mut measure = Measure::try_new(&format).unwrap();
    text[10..].chunks(3).for_each(|block| measure.push(block).unwrap());
    assert_eq!(measure.finish(), Ok(10));
}

#[test]
fn measuring_finds_the_last_row_and_says_when_there_is_none() {
    let measure = |text: &str| {
        let mut measure = Measure::try_new(&format()).unwrap();
        text.as_bytes().chunks(2).for_each(|block| measure.push(block).unwrap());
        measure.finish()
    };

    assert_eq!(measure("<Row/>\n<Row>--></Row>\r\n<!-- </Row> --></D>"), Ok(19));
    assert_eq!(measure("<Row></Row>"), Ok(0));
    let none = ProbeError::NoLastRow { looked: 8, number: 8099 };
    assert_eq!(measure("<Row></D"), Err(none));
}

#[test]
fn records_without_a_document_have_nothing_around_them() {
    let csv = RecordFormat::Csv(CsvFormat::default());

    assert_eq!(head(&csv, b"", false), header(0));
    assert_eq!(tail(&csv, b"", false), footer(0));
    assert_eq!(Measure::try_new(&csv).unwrap().finish(), Ok(0));
}
