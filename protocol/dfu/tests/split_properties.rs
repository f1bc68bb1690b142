//! Random sources through the splitter, checked against an oracle that reads a byte at a time and
//! sees whole sources at once: nothing lost, doubled or torn, boundaries right, whatever the blocks.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

#[path = "split_properties/oracle.rs"]
mod oracle;
mod support;

use proptest::prelude::*;
use skyspray_dfu::format::csv::Role;
use skyspray_dfu::format::{CsvFormat, CsvOptions, RecordFormat};
use skyspray_dfu::split::{Join, Layout, SplitError, SplitOptions};
use std::num::NonZeroU32;
use support::blocks;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    #[test]
    fn delimited_sources_are_split_as_the_oracle_says(case in delimited_case()) {
        let format = RecordFormat::Csv(case.format.clone());
        let expected = oracle::split(&case.format, &case.sources, case.options);

        let found = run(&format, &case.sources, case.options, &case.blocks);

        prop_assert_eq!(found.clone().map_err(|error| simple(&error)), expected);
        let whole = run(&format, &case.sources, case.options, &[usize::MAX]);
        prop_assert_eq!(found, whole, "blocks of another size");
    }

    #[test]
    fn fixed_records_are_split_as_arithmetic_says(
        (record, counts) in (1u32..40, prop::collection::vec(0u64..60, 0..6)),
        (parts, blocks) in (1u32..200, blocks()),
    ) {
        let record_bytes = NonZeroU32::new(record).unwrap();
        let format = RecordFormat::Fixed { record_bytes };
        let lengths = counts.iter().map(|count| count * u64::from(record)).collect::<Vec<_>>();
        let sources = lengths.iter().map(|&length| numbered(length)).collect::<Vec<_>>();
        let options = options(parts, Layout::Balanced, Join::Mend);

        let found = run(&format, &sources, options, &blocks).unwrap();

        prop_assert_eq!(found, oracle::split_fixed(u64::from(record), &sources, parts));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn rare_quotes_are_looked_for_as_far_as_hpcc_reads(
        sources in prop::collection::vec(sparse_source(), 1..3),
        (parts, blocks) in (2u32..40, blocks()),
    ) {
        let format = CsvFormat::default();
        let options = options(parts, Layout::Balanced, Join::Mend);
        let expected = oracle::split(&format, &sources, options);

        let found = run(&RecordFormat::Csv(format), &sources, options, &blocks);

        let lengths = |parts: Vec<Part>| parts.iter().map(|p| p.bytes.len()).collect::<Vec<_>>();
        prop_assert_eq!(
            found.as_ref().map(|parts| lengths(parts.clone())).map_err(simple),
            expected.as_ref().map(|parts| lengths(parts.clone())).map_err(|error| *error)
        );
        prop_assert!(found.is_err() || found.ok() == expected.ok(), "same lengths, other bytes");
    }
}

#[test]
fn a_record_end_decided_only_beyond_a_boundary_does_not_hide_it() {
    let mut csv = CsvOptions::default();
    csv.set(Role::Separator, "<SEP>").unwrap();
    csv.set(Role::Terminator, "<").unwrap();
    let format = CsvFormat::try_new(csv).unwrap();
    // Boundaries at 12 and 24. That the one at 21 is a terminator shows at 24; where the second
    // search begins shows at 28.
    let source = [b"\"aaaaaaaaaaaaaa\"bbbbb<SEc<\"d\"<eeeeee".to_vec()];
    let [bytes] = &source;
    let expected = [(&bytes[..22], 1), (&bytes[22..30], 2), (&bytes[30..], 1)];
    let expected = expected.map(|(bytes, records)| Part { bytes: bytes.to_vec(), records });

    for block in [1, 5, 36] {
        let options = options(3, Layout::Balanced, Join::Mend);
        let found = run(&RecordFormat::Csv(format.clone()), &source, options, &[block]);
        assert_eq!(found, Ok(expected.to_vec()));
    }
}

#[derive(Clone, Debug)]
struct Case {
    format: CsvFormat,
    sources: Vec<Vec<u8>>,
    options: SplitOptions,
    blocks: Vec<usize>,
}

/// A part's bytes and its records.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Part {
    bytes: Vec<u8>,
    records: u64,
}

/// An error without the fields the oracle does not work out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Simple {
    TooLong { source: usize, offset: u64 },
    Unterminated { source: usize, offset: u64 },
    Inconsistent { source: usize, offset: u64 },
    CannotMend { source: usize },
    FewerSources,
}

fn simple(error: &SplitError) -> Simple {
    match *error {
        SplitError::RecordTooLong { source_index: source, offset, .. } => {
            Simple::TooLong { source, offset }
        }
        SplitError::UnterminatedQuote { source_index: source, offset } => {
            Simple::Unterminated { source, offset }
        }
        SplitError::InconsistentQuote { source_index: source, offset } => {
            Simple::Inconsistent { source, offset }
        }
        SplitError::CannotMend { source_index: source, .. } => Simple::CannotMend { source },
        SplitError::FewerSources { .. } => Simple::FewerSources,
        ref other => panic!("unexpected: {other}"),
    }
}

fn options(parts: u32, layout: Layout, join: Join) -> SplitOptions {
    SplitOptions { layout, join, ..support::parts(parts) }
}

fn numbered(length: u64) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
}

/// Lists for separator, quote, terminator and escape; whether quotes hide terminators.
const FORMATS: [([&str; 4], bool); 12] = [
    (["\\,", "\"", "\\n,\\r\\n", ""], true),
    (["\\,", "\"", "\\n,\\r\\n", ""], true),
    (["\\,", "\"", "\\n", ""], true),
    (["\\,", "", "\\n,\\r\\n", ""], true),
    (["\\,", "\"", "\\n,\\r\\n", ""], false),
    (["\\,,;,\\t", "\"", "\\r\\n,\\n", ""], true),
    (["\\,", "\",'", "\\n,\\r\\n", "\\\\"], true),
    (["||", "\"", "\\r\\n", ""], true),
    (["|||", "\"", "|,\\n", "^^"], true),
    (["<S>", "''", "<EOL>,<E>,\\n", ""], true),
    (["\\n\\n\\n", "", "\\n", "\\\\"], true),
    (["", "\"", "\\n\\n,\\n,;", ""], true),
];

fn delimited_case() -> impl Strategy<Value = Case> {
    let formats = (0..FORMATS.len(), prop_oneof![Just(40u32), Just(300), Just(100_000)])
        .prop_map(|(index, max_record)| (index, delimited(index, max_record)));
    let layout = prop_oneof![9 => Just(Layout::Balanced), 1 => Just(Layout::WholeSources)];
    let join = prop_oneof![Just(Join::Mend), Just(Join::Verbatim)];
    let chosen = (prop_oneof![1u32..8, 1u32..200], layout, join);
    (formats, chosen, blocks()).prop_flat_map(|((index, format), (parts, layout, join), blocks)| {
        prop::collection::vec(source(index), 0..5).prop_map(move |sources| Case {
            format: format.clone(),
            sources,
            options: options(parts, layout, join),
            blocks: blocks.clone(),
        })
    })
}

fn delimited(index: usize, max_record: u32) -> CsvFormat {
    let (lists, quoted_terminator) = FORMATS[index];
    let max_record = NonZeroU32::new(max_record).unwrap();
    let mut options = CsvOptions { quoted_terminator, max_record, ..CsvOptions::default() };
    for (role, list) in
        [Role::Separator, Role::Quote, Role::Terminator, Role::Escape].into_iter().zip(lists)
    {
        options.set(role, list).unwrap();
    }
    CsvFormat::try_new(options).unwrap()
}

/// Fields, quoted and plain, with the format's delimiters between them, and now and then noise.
fn source(index: usize) -> impl Strategy<Value = Vec<u8>> {
    let options = CsvOptions::from(delimited(index, 1));
    let one_of = |tokens: &[Vec<u8>]| {
        prop::sample::select(if tokens.is_empty() { vec![b"x".to_vec()] } else { tokens.to_vec() })
    };
    let tokens = [&options.separators, &options.quotes, &options.terminators, &options.escapes];
    let any_token = one_of(&tokens.into_iter().flatten().cloned().collect::<Vec<_>>());
    let word = "[a-z]{0,9}".prop_map(String::into_bytes);
    let noise = prop_oneof![
        8 => any_token,
        1 => prop::sample::select(vec![&b" "[..], b"\t", b"\r", b"|", b"<E", b"\n", b"\\"])
            .prop_map(<[u8]>::to_vec),
    ];
    let inner = prop_oneof![
        4 => word.clone().boxed(),
        1 => one_of(&options.terminators).boxed(),
        1 => one_of(&options.separators).boxed(),
        1 => one_of(&options.quotes).prop_map(|quote| quote.repeat(2)).boxed(),
    ];
    let quoted = (one_of(&options.quotes), prop::collection::vec(inner, 0..5))
        .prop_map(|(quote, inner)| [&quote[..], &inner.concat(), &quote].concat());
    let blank = prop_oneof![9 => Just(Vec::new()), 1 => Just(b" \t".to_vec())];
    let ends = prop_oneof![
        3 => one_of(&options.separators).boxed(),
        1 => one_of(&options.terminators).boxed()
    ];
    let field = prop_oneof![
        40 => (word, ends.clone()).prop_map(|(word, end)| [word, end].concat()).boxed(),
        30 => (blank, quoted, ends).prop_map(|(blank, quoted, end)| [blank, quoted, end].concat())
            .boxed(),
        1 => noise.boxed(),
    ];
    prop_oneof![
        1 => Just(Vec::new()).boxed(),
        4 => prop::collection::vec(field.clone(), 0..12).prop_map(|f| f.concat()).boxed(),
        4 => prop::collection::vec(field, 50..250).prop_map(|f| f.concat()).boxed(),
    ]
}

/// Many rows without quotes, and between them a few that have some or are long: more than HPCC
/// reads at once.
fn sparse_source() -> impl Strategy<Value = Vec<u8>> {
    let rows =
        (0usize..4000, "[a-z]{3,50},[0-9]{1,5}\n").prop_map(|(count, row)| row.repeat(count));
    let special = prop_oneof![
        Just("a,\"\",\"\",b\n".to_owned()),
        Just("a,\"b\nc\",d\n".to_owned()),
        Just("12\" pipe,1\n".to_owned()),
        (1usize..90_000).prop_map(|length| "x".repeat(length) + "\n"),
        (1usize..90_000).prop_map(|length| format!("1,\"{}\"\n", "a b\n".repeat(length / 4))),
    ];
    prop::collection::vec((rows, special), 0..8).prop_map(|pairs| {
        pairs.into_iter().map(|(rows, row)| rows + &row).collect::<String>().into()
    })
}

fn run(
    format: &RecordFormat,
    sources: &[Vec<u8>],
    options: SplitOptions,
    blocks: &[usize],
) -> Result<Vec<Part>, SplitError> {
    let found = support::split(format, (support::plain(sources), sources), options, blocks)?;
    Ok(found.into_iter().map(|part| Part { bytes: part.bytes, records: part.records }).collect())
}
