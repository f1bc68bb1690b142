//! Random sources through the splitter, checked against an oracle that reads a byte at a time and
//! sees whole sources at once: nothing lost, doubled or torn, boundaries right, whatever the blocks.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

#[path = "split_properties/oracle.rs"]
mod oracle;

use proptest::prelude::*;
use skyspray_dfu::format::csv::Role;
use skyspray_dfu::format::{CsvFormat, CsvOptions, RecordFormat};
use skyspray_dfu::split::{Checkpoint, Join, Layout, Piece, SplitError, SplitOptions, Splitter};
use std::num::NonZeroU32;

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

    #[test]
    fn a_split_resumed_anywhere_ends_the_same(case in delimited_case(), fixed: bool) {
        let (format, sources) = if fixed {
            let cut = |source: &Vec<u8>| source[..source.len() / 7 * 7].to_vec();
            let record_bytes = NonZeroU32::new(7).unwrap();
            (RecordFormat::Fixed { record_bytes }, case.sources.iter().map(cut).collect())
        } else {
            (RecordFormat::Csv(case.format.clone()), case.sources.clone())
        };
        let Ok(expected) = run(&format, &sources, case.options, &[usize::MAX]) else {
            return Ok(());
        };

        let stops = run_with_checkpoints(&format, &sources, case.options, &case.blocks);

        let step = stops.len().div_ceil(24);
        for (checkpoint, parts) in stops.into_iter().step_by(step.max(1)) {
            let resumed = resume(&format, &sources, case.options, &checkpoint, parts);
            prop_assert_eq!(&resumed, &expected, "from {:?}", checkpoint);
        }
    }
}

#[derive(Clone, Debug)]
struct Case {
    format: CsvFormat,
    sources: Vec<Vec<u8>>,
    options: SplitOptions,
    blocks: Vec<usize>,
}

/// A part's bytes and, once it has ended, its length and records as the splitter gave them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Part {
    bytes: Vec<u8>,
    ended: Option<(u64, u64)>,
}

/// An error without the fields the oracle does not work out.
#[derive(Debug, Eq, PartialEq)]
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
    SplitOptions { parts: NonZeroU32::new(parts).unwrap(), layout, join }
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

fn blocks() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        Just(vec![1]),
        prop::collection::vec(1usize..8, 1..6),
        prop::collection::vec(1usize..300, 1..6),
        prop::collection::vec(1usize..65_536, 1..4),
    ]
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

fn lengths(sources: &[Vec<u8>]) -> Vec<u64> {
    sources.iter().map(|source| source.len() as u64).collect()
}

fn slices(sources: &[Vec<u8>]) -> Vec<&[u8]> {
    sources.iter().map(Vec::as_slice).collect()
}

fn run(
    format: &RecordFormat,
    sources: &[Vec<u8>],
    options: SplitOptions,
    blocks: &[usize],
) -> Result<Vec<Part>, SplitError> {
    let mut splitter = Splitter::try_new(format, &lengths(sources), options)?;
    let mut parts = vec![Part::default(); options.parts.get() as usize];
    feed(&mut splitter, &slices(sources), blocks, &mut parts, |_, _| {})?;
    Ok(parts)
}

fn run_with_checkpoints(
    format: &RecordFormat,
    sources: &[Vec<u8>],
    options: SplitOptions,
    blocks: &[usize],
) -> Vec<(Checkpoint, Vec<Part>)> {
    let mut splitter = Splitter::try_new(format, &lengths(sources), options).unwrap();
    let mut parts = vec![Part::default(); options.parts.get() as usize];
    let mut stops = vec![(splitter.checkpoint(), parts.clone())];
    feed(&mut splitter, &slices(sources), blocks, &mut parts, |splitter, parts| {
        // Enough to meet every kind of place, few enough to keep whole copies of.
        if stops.len() < 400 {
            stops.push((splitter.checkpoint(), parts.to_vec()));
        }
    })
    .unwrap();
    stops
}

fn resume(
    format: &RecordFormat,
    sources: &[Vec<u8>],
    options: SplitOptions,
    checkpoint: &Checkpoint,
    mut parts: Vec<Part>,
) -> Vec<Part> {
    let mut splitter = Splitter::resume(format, &lengths(sources), options, checkpoint).unwrap();
    assert_eq!(splitter.checkpoint(), *checkpoint);
    let open = &mut parts[checkpoint.part.0 as usize];
    open.bytes.truncate(usize::try_from(checkpoint.part_offset).unwrap());
    let mut rest = slices(&sources[checkpoint.source_index..]);
    if let Some(first) = rest.first_mut() {
        *first = &first[usize::try_from(checkpoint.source_offset).unwrap()..];
    }
    feed(&mut splitter, &rest, &[5, 100], &mut parts, |_, _| {}).unwrap();
    parts
}

/// Pushes the sources in blocks of the given lengths, in turn.
fn feed(
    splitter: &mut Splitter,
    sources: &[&[u8]],
    blocks: &[usize],
    parts: &mut [Part],
    mut after_block: impl FnMut(&Splitter, &[Part]),
) -> Result<(), SplitError> {
    let mut lengths = blocks.iter().copied().cycle();
    for source in sources {
        let mut rest = *source;
        while !rest.is_empty() {
            let length = lengths.next().unwrap().min(rest.len());
            let (block, after) = rest.split_at(length);
            splitter.push(block)?;
            drain(splitter, block, parts);
            after_block(splitter, parts);
            rest = after;
        }
        splitter.end_source()?;
        drain(splitter, &[], parts);
        after_block(splitter, parts);
    }
    splitter.finish()?;
    drain(splitter, &[], parts);
    Ok(())
}

fn drain(splitter: &mut Splitter, block: &[u8], parts: &mut [Part]) {
    while let Some(piece) = splitter.poll() {
        match piece {
            Piece::Bytes { part, range } => {
                parts[part.0 as usize].bytes.extend_from_slice(&block[range]);
            }
            Piece::Literal { part, bytes } => {
                parts[part.0 as usize].bytes.extend_from_slice(&bytes);
            }
            Piece::PartEnd { part, length, records } => {
                let part = &mut parts[part.0 as usize];
                assert_eq!(part.ended, None, "a part ends once");
                assert_eq!(part.bytes.len() as u64, length);
                part.ended = Some((length, records));
            }
        }
    }
}
