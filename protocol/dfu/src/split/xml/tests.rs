//! Single facts about scanning XML; `tests/xml_properties.rs` has the general ones.

use super::super::{Piece, Rule, Source, SplitError, SplitOptions, Splitter};
use crate::format::{RecordFormat, XmlFormat};
use std::num::NonZeroU32;

/// Bodies of the parts of a source whose header and footer have those lengths, in blocks of every
/// length up to all of it, and the records in each.
fn split(
    content: &str,
    (header, footer): (usize, usize),
    parts: u32,
) -> Result<Vec<(String, u64)>, SplitError> {
    let whole = split_in(content, (header, footer), parts, content.len());
    for block in 1..content.len() {
        assert_eq!(split_in(content, (header, footer), parts, block), whole, "blocks of {block}");
    }
    whole
}

fn split_in(
    content: &str,
    (header, footer): (usize, usize),
    parts: u32,
    block: usize,
) -> Result<Vec<(String, u64)>, SplitError> {
    let xml = XmlFormat::try_new("Row").unwrap().with_max_record(NonZeroU32::new(60).unwrap());
    let source = Source {
        length: content.len() as u64,
        header: content.as_bytes()[..header].to_vec(),
        footer: content.as_bytes()[content.len() - footer..].to_vec(),
        ..Source::default()
    };
    let options = SplitOptions::new(NonZeroU32::new(parts).unwrap());
    let mut splitter = Splitter::try_new(&RecordFormat::Xml(xml), vec![source], options)?;
    let mut found = Vec::new();
    let mut bytes = Vec::new();
    for block in content.as_bytes().chunks(block) {
        splitter.push(block)?;
        drain(&mut splitter, block, &mut bytes, &mut found);
    }
    splitter.end_source()?;
    drain(&mut splitter, &[], &mut bytes, &mut found);
    splitter.finish()?;
    drain(&mut splitter, &[], &mut bytes, &mut found);
    Ok(found)
}

fn drain(
    splitter: &mut Splitter,
    block: &[u8],
    bytes: &mut Vec<u8>,
    found: &mut Vec<(String, u64)>,
) {
    while let Some(piece) = splitter.poll() {
        match piece {
            Piece::Bytes { range, .. } => bytes.extend_from_slice(&block[range]),
            Piece::Literal { bytes: literal, .. } => bytes.extend(literal),
            Piece::Origin(_) => {}
            Piece::PartEnd { records, header, footer, .. } => {
                let body = bytes[header as usize..bytes.len() - footer as usize].to_vec();
                found.push((String::from_utf8(body).unwrap(), records));
                bytes.clear();
            }
        }
    }
}

fn bodies(found: &[(String, u64)]) -> Vec<(&str, u64)> {
    found.iter().map(|(body, records)| (&body[..], *records)).collect()
}

fn malformed(offset: u64, rule: Rule) -> Result<Vec<(String, u64)>, SplitError> {
    Err(SplitError::Malformed { source_index: 0, offset, rule })
}

#[test]
fn tags_in_comments_sections_instructions_and_attributes_are_no_tags() {
    for hidden in [
        "<!-- </Row> -->",
        "<!--></Row>--->",
        "<![CDATA[</Row>]]]>",
        "<?x </Row>?>",
        "<b c='/>' d=\">\"/>",
        "<Rows></Rows><Ro/></Rowing>",
    ] {
        let content = format!("<Row a='/>'>{hidden}</Row >{hidden}<Row/>");

        let found = split(&content, (0, 0), 1).unwrap();

        assert_eq!(bodies(&found), [(&content[..], 2)]);
    }
}

#[test]
fn a_row_in_a_row_belongs_to_the_outer_one() {
    let content = "<Row><Row><Row/></Row></Row><Row></Row>";

    let found = split(content, (0, 0), 2).unwrap();

    assert_eq!(bodies(&found), [("<Row><Row><Row/></Row></Row>", 1), ("<Row></Row>", 1)]);
}

#[test]
fn a_part_ends_after_the_row_whose_end_tag_begins_at_its_ideal_end_or_behind_it() {
    // The ideal end of the first of two parts is 15.
    let early = split("<Row>12345</Row>\n<Row>1</Row>\n", (0, 0), 2).unwrap();
    let late = split("<Row>1234</Row>\n<Row>12</Row>\n", (0, 0), 2).unwrap();
    let at = split("<Row>1234567890</Row>\n<Row/>12", (0, 2), 2).unwrap();

    assert_eq!(bodies(&early), [("<Row>12345</Row>\n<Row>1</Row>\n", 2), ("", 0)]);
    assert_eq!(bodies(&late), [("<Row>1234</Row>\n<Row>12</Row>\n", 2), ("", 0)]);
    assert_eq!(bodies(&at), [("<Row>1234567890</Row>\n", 1), ("<Row/>", 1)]);
}

#[test]
fn the_line_end_goes_with_the_row_and_the_rest_with_the_next_one() {
    for (line_end, rest) in [("\n", "\n "), ("\r\n", "\r\n"), ("", "\r "), ("", " <b/>\n")] {
        let content = format!("<Row>12345678901234</Row>{line_end}{rest}<Row/>");

        let found = split(&content, (0, 0), 2).unwrap();

        let expected = [format!("<Row>12345678901234</Row>{line_end}"), format!("{rest}<Row/>")];
        assert_eq!(bodies(&found), [(&expected[0][..], 1), (&expected[1][..], 1)]);
    }
}

#[test]
fn a_record_may_be_as_long_as_the_limit_and_no_longer() {
    let row = |text: usize| format!("<Row/>\n <b/><Row>{}</Row>\n", "x".repeat(text));

    let longest = split(&row(44), (0, 0), 1);
    let longer = split(&row(45), (0, 0), 1);

    assert_eq!(longest.unwrap()[0].1, 2);
    let number = 8101;
    let too_long = SplitError::RecordTooLong {
        source_index: 0,
        offset: 7,
        max_record: 60,
        quote: None,
        number,
    };
    assert_eq!(longer, Err(too_long));
}

#[test]
fn rows_that_do_not_end_where_it_was_said_are_noticed() {
    let elsewhere = |offset| Err(SplitError::FooterElsewhere { source_index: 0, offset });
    for (content, around, offset) in [
        ("<D><Row/>\n</D>", (3, 0), 9),
        ("<D><Row/>\r\n</D>", (3, 3), 11),
        ("<D><Row/>\n<Row></Row>\n</D>", (3, 12), 21),
        ("<D><Row/>\n<Row></Row>\r\n</D>", (3, 14), 23),
        ("<D><Row/><!-- </Row> --></D>", (3, 8), 9),
        ("<D><Row/></D>", (3, 10), 9),
        ("<D><Row/>", (3, 6), 9),
    ] {
        assert_eq!(split(content, around, 1), elsewhere(offset), "{content}");
    }
    for around in [(3, 5), (3, 4)] {
        let found = split("<D><Row/>\n</D>", around, 1).unwrap();
        assert_eq!(found[0].1, 1, "a line end more or less is no mistake");
    }
}

#[test]
fn a_document_cut_off_is_refused_with_the_markup_it_ends_in() {
    let whole = "<Row/><Row a='b'>c<Row/></Row>";
    for end in 7..whole.len() {
        let found = split(&whole[..end], (0, 0), 1);
        assert_eq!(found, malformed(6, Rule::DocumentCutOff), "{end}");
    }
    for (content, footer) in [("<Row/><!-- a --", 9), ("<Row/></D><!DOCTYPE [ '>' ", 20)] {
        let open = content.rfind("<!").unwrap() as u64;
        assert_eq!(split(content, (0, footer), 1), malformed(open, Rule::DocumentCutOff));
    }
    let open = split("<Row/><!DOCTYPE D [<!-- -->", (0, 21), 1);
    assert_eq!(open, malformed(6, Rule::DocumentCutOff));
}

#[test]
fn an_end_tag_too_many_and_a_source_without_rows_are_refused() {
    assert_eq!(split("<Row/></Row>", (0, 0), 1), malformed(6, Rule::RowNotOpened));
    assert_eq!(split("<Row/></Row>", (0, 6), 1), malformed(6, Rule::RowNotOpened));
    assert_eq!(split("<D></D>", (3, 0), 1), malformed(3, Rule::NoRowTag));
    assert_eq!(Rule::NoRowTag.hpcc_number(), Some(8098));
    assert_eq!(split("<D></D>", (7, 0), 2).unwrap(), [(String::new(), 0), (String::new(), 0)]);
}

#[test]
fn a_document_type_may_hold_brackets_quotes_and_comments() {
    for subset in [
        "<!ENTITY a ']>'>",
        "<!-- don't ]> -->",
        "<?x don't ]> ?>",
        "<!-- - --><!ENTITY a '<Row>'>",
        "<?x?><!ENTITY a \"'<Row>\">",
    ] {
        let content = format!("<!DOCTYPE D [{subset}]><Row></Row>");

        assert_eq!(split(&content, (0, 0), 1).unwrap()[0].1, 1, "{subset}");
    }
}

#[test]
fn a_source_begins_anew_whatever_the_one_before_left_open() {
    let longest = format!("<Row>{}</Row>", "x".repeat(49));
    let bodies_given = ["", "<Row/>\n \t", &longest];
    let footers = ["<!--", "</D>", "</D>"];
    let contents =
        bodies_given.iter().zip(footers).map(|(body, footer)| format!("<D>{body}{footer}"));
    let contents = contents.collect::<Vec<_>>();
    let source = |(content, footer): (&String, &str)| Source {
        length: content.len() as u64,
        header: b"<D>".to_vec(),
        footer: footer.as_bytes().to_vec(),
        ..Source::default()
    };
    let sources = contents.iter().zip(footers).map(source).collect();
    let xml = XmlFormat::try_new("Row").unwrap().with_max_record(NonZeroU32::new(60).unwrap());
    let options = SplitOptions::new(NonZeroU32::MIN);
    let mut splitter = Splitter::try_new(&RecordFormat::Xml(xml), sources, options).unwrap();
    let (mut bytes, mut found) = (Vec::new(), Vec::new());

    for content in &contents {
        splitter.push(content.as_bytes()).unwrap();
        drain(&mut splitter, content.as_bytes(), &mut bytes, &mut found);
        splitter.end_source().unwrap();
        drain(&mut splitter, &[], &mut bytes, &mut found);
    }
    splitter.finish().unwrap();
    drain(&mut splitter, &[], &mut bytes, &mut found);

    assert_eq!(bodies(&found), [(&bodies_given.concat()[..], 2)]);
}
