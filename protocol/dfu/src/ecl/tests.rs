//! Headers as people write them, and random ones against the rules of ECL names.

use super::*;
use crate::format::CsvOptions;
use crate::format::csv::Role;
use proptest::prelude::*;

fn names(header: &str) -> Vec<String> {
    names_with(&CsvFormat::default(), header).unwrap()
}

fn names_with(format: &CsvFormat, header: &str) -> Result<Vec<String>, EclError> {
    record_from_header(header.as_bytes(), format, false).map(|record| record.names)
}

fn format(settings: &[(Role, &str)]) -> CsvFormat {
    let mut options = CsvOptions::default();
    for &(role, list) in settings {
        options.set(role, list).unwrap();
    }
    CsvFormat::try_new(options).unwrap()
}

#[test]
fn the_text_is_the_one_hpcc_keeps_with_a_file() {
    let record = |utf8| record_from_header(b"id,full name\r\n", &CsvFormat::default(), utf8);

    let plain = record(false).unwrap();
    assert_eq!(plain.to_string(), "RECORD\n    STRING id;\n    STRING full_name;\nEND;");
    assert_eq!((plain.field_type(), plain.names().len()), (FieldType::String, 2));
    let utf8 = record(true).unwrap();
    assert_eq!(utf8.to_string(), "RECORD\n    UTF8 id;\n    UTF8 full_name;\nEND;");
}

#[test]
fn names_keep_letters_digits_underscore_and_dollar_and_lose_the_rest() {
    assert_eq!(
        names("a.b,x$1,_y, trimmed\t,pre-tax %"),
        ["a_b", "x$1", "_y", "trimmed", "pre_tax__"]
    );
    assert_eq!(names("é"), ["__"], "one for each byte, as HPCC does");
}

#[test]
fn a_name_that_starts_with_a_digit_or_dollar_starts_with_an_underscore() {
    assert_eq!(names("2024,$x,7"), ["_024", "_x", "_"]);
}

#[test]
fn blanks_become_numbered_fields() {
    assert_eq!(names("a,, \t,\"\",b,\n"), ["a", "field2", "field3", "field4", "b", "field6"]);
    assert_eq!(names("\n"), ["field1"]);
    assert_eq!(names("x,field3,,"), ["x", "field3", "field3_3", "field4"]);
}

#[test]
fn repeated_names_are_numbered_whatever_their_case() {
    assert_eq!(names("a,A,a"), ["a", "A_2", "a_3"]);
    assert_eq!(names("a,b,a_4,A"), ["a", "b", "a_4", "A_4_2"]);
    assert_eq!(names("a b,a-b"), ["a_b", "a_b_2"]);
}

#[test]
fn a_word_of_ecl_gets_an_underscore_in_front() {
    assert_eq!(
        names("type,End,string10,utf8_text,decimal8_2,_type"),
        ["_type", "_End", "_string10", "_utf8_text", "_decimal8_2", "_type_6"]
    );
    assert_eq!(
        names("typed,ending,string_x,utf8text,real1x"),
        ["typed", "ending", "string_x", "utf8text", "real1x"]
    );
}

#[test]
fn numbering_a_repeated_name_does_not_make_a_word_of_ecl() {
    // `unicode` and a locale of letters and underscores is a type; a number may complete one.
    let found = names("unicode_,unicode_");

    assert_eq!(found, ["_unicode_", "_unicode__2"]);
    assert!(found.iter().all(|name| !is_reserved(name)));
}

#[test]
fn quotes_are_taken_away_and_hide_delimiters() {
    assert_eq!(names("\"last, first\",\"say \"\"hi\"\"\"\n"), ["last__first", "say__hi_"]);
    assert_eq!(names("\"two\nlines\",b\nnot read"), ["two_lines", "b"]);
    assert_eq!(names(" \"a\" ,b\"c\",\"d\"e"), ["a", "b_c_", "de"]);
}

#[test]
fn escapes_make_the_next_delimiter_data() {
    let escaped = format(&[(Role::Escape, "\\\\")]);

    assert_eq!(
        names_with(&escaped, "a\\,b,\\\"c,d\\\ne,\\\\f\n").unwrap(),
        ["a_b", "_c", "d_e", "_f"]
    );
    assert_eq!(names_with(&escaped, "\"a\\\"b\",c\\").unwrap(), ["a_b", "c"]);
}

#[test]
fn an_escape_covers_a_whole_delimiter() {
    let settings = [(Role::Escape, "\\\\"), (Role::Separator, "|,||")];

    assert_eq!(names_with(&format(&settings), "a\\||b|c\n").unwrap(), ["a__b", "c"]);
}

#[test]
fn a_field_closes_with_the_quote_that_opened_it() {
    let either = format(&[(Role::Quote, "\",'")]);

    assert_eq!(names_with(&either, "'a\"b,c',\"d'e\"\n").unwrap(), ["a_b_c", "d_e"]);
}

#[test]
fn delimiters_may_be_long_and_the_longest_wins() {
    let long =
        format(&[(Role::Separator, "|,||"), (Role::Terminator, "<EOL>"), (Role::Quote, "''")]);

    assert_eq!(names_with(&long, "a||b|c,d<EOL>e").unwrap(), ["a", "b", "c_d"]);
    assert_eq!(names_with(&long, "''x|y''||''p''''q''<EOL>").unwrap(), ["x_y", "p__q"]);
}

#[test]
fn without_separator_or_quote_the_record_is_one_or_more_plain_fields() {
    let whole = format(&[(Role::Separator, "")]);
    let unquoted = format(&[(Role::Quote, "")]);

    assert_eq!(names_with(&whole, "a,b\n").unwrap(), ["a_b"]);
    assert_eq!(names_with(&unquoted, "\"a,b\"\n").unwrap(), ["_a", "b_"]);
}

#[test]
fn a_tab_that_separates_is_no_blank() {
    assert_eq!(names_with(&CsvFormat::tab_separated(), "a\t\tb\n").unwrap(), ["a", "field2", "b"]);
}

#[test]
fn a_byte_order_mark_is_not_part_of_the_first_name() {
    assert_eq!(names("\u{feff}\"id\",x\n"), ["id", "x"]);
    assert_eq!(names_with(&CsvFormat::default(), "\u{feff}"), Err(EclError::Empty));
    assert_eq!(names_with(&CsvFormat::default(), ""), Err(EclError::Empty));
}

#[test]
fn an_open_quote_is_an_error_unless_terminators_end_records_in_quotes() {
    let error = names_with(&CsvFormat::default(), "a,\"b\nc,d\n").unwrap_err();
    assert_eq!(error.to_string(), "quote at offset 2 of the header record is never closed");
    assert_eq!(error.hpcc_number(), Some(8102));

    let options = CsvOptions { quoted_terminator: false, ..CsvOptions::default() };
    let blind = CsvFormat::try_new(options).unwrap();
    assert_eq!(names_with(&blind, "a,\"b\nc,d\n").unwrap(), ["a", "b"]);
}

#[test]
fn a_header_has_at_most_4096_fields() {
    let most = vec!["x"; FIELDS_MAX].join(",");

    assert_eq!(names(&most).len(), 4096);
    let error = names_with(&CsvFormat::default(), &format!("{most},y\n")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "header record has more than 4096 fields, number 4097 starts at offset 8192"
    );
    assert_eq!(error.hpcc_number(), None);
}

proptest! {
    #[test]
    fn any_header_gives_as_many_valid_and_different_names_as_it_has_fields(
        values in prop::collection::vec(value(), 1..12),
    ) {
        let quoted = values.iter().map(|value| format!("\"{}\"", value.replace('"', "\"\"")));
        let header = quoted.collect::<Vec<_>>().join(",") + "\n";

        let found = names(&header);

        prop_assert_eq!(found.len(), values.len());
        let mut seen = std::collections::HashSet::new();
        for (name, value) in found.iter().zip(&values) {
            prop_assert!(is_identifier(name), "{:?} from {:?}", name, value);
            prop_assert!(!is_reserved(name), "{:?} is reserved", name);
            prop_assert!(seen.insert(name.to_lowercase()), "{:?} twice", name);
        }
    }

    #[test]
    fn any_bytes_give_a_record_or_an_error_and_never_a_panic(
        bytes in prop::collection::vec(prop::sample::select(ALPHABET), 0..60),
    ) {
        let escaped = format(&[(Role::Escape, "\\\\"), (Role::Separator, "\\,,||")]);
        if let Ok(record) = record_from_header(&bytes, &escaped, true) {
            prop_assert!(record.names().iter().all(|name| is_identifier(name)));
        }
    }
}

const ALPHABET: &[u8] = b"aB1_$\" ,\n\r\t\\|\xef\xbb\xbf\0";

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-c]{1,2}",
        "[A-C]_[0-9]",
        "field[0-9]",
        "[0-9$][a-z]",
        prop::sample::select(vec!["TYPE", "utf8", "unicode_de", "STRING8", "_array_", "string"])
            .prop_map(str::to_owned),
        "[ a-z\",\n\u{e9}.$_]{0,6}",
    ]
}

/// ECL's rule for identifiers, said again.
fn is_identifier(name: &str) -> bool {
    let (first, rest) = name.split_at_checked(1).unwrap_or(("", ""));
    first.bytes().all(|b| b == b'_' || b.is_ascii_alphabetic())
        && !first.is_empty()
        && rest.bytes().all(|b| b == b'_' || b == b'$' || b.is_ascii_alphanumeric())
}
