//! Random records and blocks of the binary formats through the splitter, checked against an oracle
//! that knows where every one of them is because it wrote them: parts, lengths, counts, origins.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod support;

use proptest::prelude::*;
use skyspray_dfu::format::{ByteOrder, RecordFormat, VARIABLE_RECORD_DEFAULT};
use skyspray_dfu::split::{Layout, Origin, Rule, SplitError, SplitOptions, Target};
use skyspray_wire::ids::PartIndex;
use std::num::NonZeroU32;
use support::{Part, blocks, parts, plain, split};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn binary_sources_are_split_as_the_oracle_says(case in case()) {
        let sources = case.bytes();

        let found = case.split(&sources);

        let found = found.map(|parts| parts.iter().map(Said::from).collect::<Vec<_>>());
        prop_assert_eq!(found, Ok(case.expected()));
    }

    #[test]
    fn a_source_cut_off_says_where_its_last_record_starts(
        (case, at) in (case(), any::<prop::sample::Index>()),
    ) {
        let mut sources = case.bytes();
        let last = sources.len() - 1;
        let cut = at.index(sources[last].len() + 1);
        sources[last].truncate(cut);
        let units = case.units();
        let torn = units.iter().find(|unit| {
            unit.source == last && unit.offset < cut && cut < unit.offset + unit.bytes.len()
        });

        let found = case.split(&sources).map(|_| ());

        let expected = match torn {
            None => Ok(()),
            Some(unit) => Err(case.kind.torn(last, unit.offset, cut)),
        };
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn damaged_sources_end_alike_whatever_the_blocks(
        (case, damage) in (case(), prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)),
    ) {
        let mut sources = case.bytes();
        let last = sources.last_mut().unwrap();
        for (at, byte) in damage {
            if !last.is_empty() {
                *at.get_mut(&mut last[..]) = byte;
            }
        }

        let found = case.split(&sources);

        let whole = Case { blocks: vec![usize::MAX], ..case.clone() }.split(&sources);
        let said = |parts: Vec<Part>| parts.iter().map(Said::from).collect::<Vec<_>>();
        if let Some((source, offset)) = found.as_ref().err().and_then(SplitError::location) {
            prop_assert!(offset <= sources[source].len() as u64);
        }
        prop_assert_eq!(found.map(said), whole.map(said));
    }

    #[test]
    fn garbage_ends_and_what_is_taken_is_taken_whole(
        (kind, count, blocks) in (kind(), 1u32..200, blocks()),
        contents in prop::collection::vec(garbage(), 1..4),
    ) {
        let format = kind.format();
        if let Ok(found) = split(&format, (plain(&contents), &contents), kind.options(count), &blocks) {
            let taken = found.iter().flat_map(|part| &part.origins).map(|origin| origin.length);
            prop_assert_eq!(taken.sum::<u64>(), contents.iter().map(|c| c.len() as u64).sum::<u64>());
        }
    }
}

#[test]
fn what_is_wrong_is_named_with_its_place_and_number() {
    let short = NonZeroU32::new(9).unwrap();
    let variable = |order| RecordFormat::Variable { order, max_record: short };
    let block = |start: &[u8]| [start, &vec![0; 32768 - start.len()]].concat();
    let two_blocks = [block(b"\0\0\0\x05\0\0\0\x01a"), block(b"\0\0\0\x04\0\0\0\x01")].concat();
    let long_record = [&b"\0\x0C\0\0\0\x04\0\0\0\x05\0\0a"[..], &[0; 9]].concat();
    for (format, bytes, offset, number) in [
        (
            variable(ByteOrder::Little),
            b"\x09\0\0\0abcdefghi\x0A\0\0\0abcdefghij".to_vec(),
            13,
            8080,
        ),
        (variable(ByteOrder::Big), b"\0\0\0\x01a\0\0\0\x09b".to_vec(), 5, 8080),
        (variable(ByteOrder::Big), b"\0\0\0\x01a\0\0".to_vec(), 5, 8080),
        (RecordFormat::Blocked, two_blocks, 32772, 8107),
        (RecordFormat::Blocked, block(b"\0\0\0\x03\0\0\0\0"), 4, 8107),
        (RecordFormat::RecfmV, b"\0\x05\0\0a\0\x03\0\0".to_vec(), 5, 8104),
        (RecordFormat::RecfmV, b"\0\x05\0\0a\0\x05\0\x01b".to_vec(), 5, 8104),
        (RecordFormat::RecfmV, b"\0\x05\0\0a\0\x06\0\0b".to_vec(), 5, 8107),
        (RecordFormat::RecfmVb, b"\0\x08\0\0\0\x04\0\0\0\x07\0\0".to_vec(), 8, 8105),
        (RecordFormat::RecfmVb, b"\0\x08\0\0\0\x04\0\0\x80\0\0\x09\0\x05".to_vec(), 8, 8106),
        (RecordFormat::RecfmVb, b"\0\x08\0\0\0\x00\0\0".to_vec(), 4, 8104),
        (RecordFormat::RecfmVb, long_record, 8, 8107),
    ] {
        for blocks in [1, 5, usize::MAX] {
            let contents = [bytes.clone()];
            let found = split(&format, (plain(&contents), &contents), parts(2), &[blocks]);

            let error = found.unwrap_err();
            let place = (error.location(), error.hpcc_number());
            assert_eq!(place, (Some((0, offset)), Some(number)), "{error}");
        }
    }
}

#[test]
fn a_block_holds_up_to_32764_bytes_of_records() {
    let full = |used: u32, length: u32| {
        let mut block = [used.to_be_bytes(), length.to_be_bytes()].concat();
        block.resize(32768, b'x');
        [block]
    };
    let blocked = |contents: &[Vec<u8>]| {
        split(&RecordFormat::Blocked, (plain(contents), contents), parts(1), &[1000])
    };

    assert_eq!(blocked(&full(32764, 32760)).unwrap()[0].records, 1);
    let (source_index, offset, rule) = (0, 0, Rule::BlockTooFull);
    assert_eq!(
        blocked(&full(32765, 32761)),
        Err(SplitError::Malformed { source_index, offset, rule })
    );
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Variable,
    VariableBig,
    Blocked,
    RecfmV,
    RecfmVb,
    /// Fixed records that are stored after their lengths.
    Fixed(u32),
}

impl Kind {
    fn format(self) -> RecordFormat {
        let max_record = VARIABLE_RECORD_DEFAULT;
        match self {
            Self::Variable => RecordFormat::Variable { order: ByteOrder::Little, max_record },
            Self::VariableBig => RecordFormat::Variable { order: ByteOrder::Big, max_record },
            Self::Blocked => RecordFormat::Blocked,
            Self::RecfmV => RecordFormat::RecfmV,
            Self::RecfmVb => RecordFormat::RecfmVb,
            Self::Fixed(bytes) => {
                RecordFormat::Fixed { record_bytes: NonZeroU32::new(bytes).unwrap() }
            }
        }
    }

    fn options(self, count: u32) -> SplitOptions {
        let target = match self {
            Self::Fixed(_) => Target::Variable,
            _ => Target::Native,
        };
        SplitOptions { target, ..parts(count) }
    }

    /// The bytes of a unit that holds `records`.
    fn written(self, records: &[Vec<u8>], extended: bool) -> Vec<u8> {
        let records = records.iter().map(|record| match self {
            Self::Variable => [&(record.len() as u32).to_le_bytes(), &record[..]].concat(),
            Self::VariableBig | Self::Blocked => {
                [&(record.len() as u32).to_be_bytes(), &record[..]].concat()
            }
            Self::RecfmV | Self::RecfmVb => {
                let length = u16::try_from(record.len() + 4).unwrap().to_be_bytes();
                [&length[..], &[0, 0], &record[..]].concat()
            }
            Self::Fixed(_) => record.clone(),
        });
        let records = records.collect::<Vec<_>>().concat();
        let length = records.len() as u32;
        match self {
            Self::Blocked => {
                let mut block = [&length.to_be_bytes(), &records[..]].concat();
                block.resize(32768, 0);
                block
            }
            Self::RecfmVb if extended || length + 4 > 0x7FFF => {
                [&(length + 4 + 0x8000_0000).to_be_bytes(), &records[..]].concat()
            }
            Self::RecfmVb => [&((length + 4) << 16).to_be_bytes(), &records[..]].concat(),
            _ => records,
        }
    }

    /// What parts hold of a unit of `records`.
    fn stored(self, records: &[Vec<u8>]) -> Vec<u8> {
        match self {
            Self::Blocked => self.written(records, false),
            _ => Self::Variable.written(records, false),
        }
    }

    /// The error for a source that is cut inside the unit at `offset`.
    fn torn(self, source_index: usize, offset: usize, cut: usize) -> SplitError {
        let length = cut as u64;
        let offset = offset as u64;
        let rule = match self {
            Self::Fixed(record_bytes) => {
                return SplitError::PartialRecord { source_index, length, record_bytes };
            }
            Self::Blocked => {
                let record_bytes = 32768;
                return SplitError::PartialRecord { source_index, length, record_bytes };
            }
            Self::Variable | Self::VariableBig => Rule::RecordCutOff,
            Self::RecfmV => Rule::RecordBeyondFile,
            Self::RecfmVb => Rule::BlockCutOff,
        };
        SplitError::Malformed { source_index, offset, rule }
    }
}

/// A unit is what goes into one part: a block where there are blocks, a record otherwise.
#[derive(Clone, Debug)]
struct Case {
    kind: Kind,
    /// The records of each unit of each source, and whether a descriptor word is extended.
    sources: Vec<Vec<(Vec<Vec<u8>>, bool)>>,
    parts: u32,
    layout: Layout,
    blocks: Vec<usize>,
}

struct Unit {
    source: usize,
    offset: usize,
    /// Where it starts in all sources.
    start: u64,
    bytes: Vec<u8>,
    stored: Vec<u8>,
    records: u64,
}

/// A part without what only the helper needs.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Said {
    bytes: Vec<u8>,
    records: u64,
    origins: Vec<Origin>,
}

impl From<&Part> for Said {
    fn from(part: &Part) -> Self {
        let (bytes, origins) = (part.bytes.clone(), part.origins.clone());
        Self { bytes, records: part.records, origins }
    }
}

impl Said {
    /// Both as one part, which still says where they would be apart.
    fn joined(mut self, next: Self) -> Self {
        let before = self.bytes.len() as u64;
        self.origins.extend(next.origins.iter().map(|origin| Origin {
            part: PartIndex(0),
            part_offset: before + origin.part_offset,
            ..*origin
        }));
        self.bytes.extend(next.bytes);
        Self { records: self.records + next.records, ..self }
    }
}

impl Case {
    fn units(&self) -> Vec<Unit> {
        let mut units = Vec::new();
        let mut start = 0;
        for (source, contents) in self.sources.iter().enumerate() {
            let mut offset = 0;
            for (records, extended) in contents {
                let bytes = self.kind.written(records, *extended);
                let (length, stored) = (bytes.len(), self.kind.stored(records));
                units.push(Unit {
                    source,
                    offset,
                    start,
                    bytes,
                    stored,
                    records: records.len() as u64,
                });
                offset += length;
                start += length as u64;
            }
        }
        units
    }

    fn bytes(&self) -> Vec<Vec<u8>> {
        let units = self.units();
        let of = |source| units.iter().filter(move |unit| unit.source == source);
        let bytes = |source| of(source).flat_map(|unit| unit.bytes.iter().copied()).collect();
        (0..self.sources.len()).map(bytes).collect()
    }

    fn split(&self, contents: &[Vec<u8>]) -> Result<Vec<Part>, SplitError> {
        let options = SplitOptions { layout: self.layout, ..self.kind.options(self.parts) };
        split(&self.kind.format(), (plain(contents), contents), options, &self.blocks)
    }

    /// The starts of parts from the second on: the last place before each ideal boundary, or at
    /// it, where a unit starts or all end.
    fn split_points(&self, units: &[Unit]) -> Vec<u64> {
        let total = units.iter().map(|unit| unit.bytes.len() as u64).sum::<u64>();
        let parts = u64::from(self.parts);
        let ideal = |ordinal| {
            if total < parts { ordinal * total / parts } else { ordinal * (total / parts) }
        };
        let starts = || units.iter().map(|unit| unit.start).chain([0, total]);
        (1..parts).map(|k| starts().filter(|&start| start <= ideal(k)).max().unwrap()).collect()
    }

    fn expected(&self) -> Vec<Said> {
        let units = self.units();
        let points = self.split_points(&units);
        let part_of = |unit: &Unit| match self.layout {
            Layout::WholeSources => unit.source * self.parts as usize / self.sources.len(),
            _ => points.iter().filter(|&&point| point <= unit.start).count(),
        };
        let mut parts = vec![Said::default(); self.parts as usize];
        for unit in &units {
            let index = part_of(unit);
            let part = &mut parts[index];
            let source_offset = unit.offset as u64;
            let length = unit.bytes.len() as u64;
            match part.origins.last_mut() {
                Some(run) if run.source_index == unit.source => run.length += length,
                _ => part.origins.push(Origin {
                    part: PartIndex(index as u32),
                    part_offset: part.bytes.len() as u64,
                    source_index: unit.source,
                    source_offset,
                    length,
                }),
            }
            part.bytes.extend_from_slice(&unit.stored);
            part.records += unit.records;
        }
        match self.layout {
            Layout::SplitPoints => vec![parts.into_iter().fold(Said::default(), Said::joined)],
            _ => parts,
        }
    }
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Variable),
        Just(Kind::VariableBig),
        Just(Kind::Blocked),
        Just(Kind::RecfmV),
        Just(Kind::RecfmVb),
        (1u32..300).prop_map(Kind::Fixed),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    (kind(), 1usize..5, prop_oneof![1u32..8, 1u32..200], blocks(), 0u8..8).prop_flat_map(
        |(kind, sources, parts, blocks, choice)| {
            let (layout, parts) = match choice {
                0 => (Layout::WholeSources, parts.min(sources as u32)),
                1 => (Layout::SplitPoints, parts),
                _ => (Layout::Balanced, parts),
            };
            prop::collection::vec(source(kind), sources).prop_map(move |sources| Case {
                kind,
                sources,
                parts,
                layout,
                blocks: blocks.clone(),
            })
        },
    )
}

/// Units of a source: few of blocks, many of records.
fn source(kind: Kind) -> BoxedStrategy<Vec<(Vec<Vec<u8>>, bool)>> {
    let units = |records, count: std::ops::Range<usize>| {
        prop::collection::vec((records, any::<bool>()), count).boxed()
    };
    let one = |record: BoxedStrategy<Vec<u8>>| record.prop_map(|record| vec![record]).boxed();
    match kind {
        Kind::Blocked => {
            let records = prop::collection::vec(record(120), 0..200).boxed();
            let full = records.prop_map(|records| fitting(records, 32764)).boxed();
            units(full, 0..4)
        }
        Kind::RecfmVb => units(prop::collection::vec(record(65_531), 1..9).boxed(), 0..12),
        Kind::RecfmV => units(one(record(65_531)), 0..40),
        Kind::Variable | Kind::VariableBig => units(one(record(150_000)), 0..40),
        Kind::Fixed(bytes) => {
            let record = prop::collection::vec(any::<u8>(), bytes as usize).boxed();
            units(one(record), 0..40)
        }
    }
}

/// Records with their lengths, as many as there is room for.
fn fitting(records: Vec<Vec<u8>>, mut room: usize) -> Vec<Vec<u8>> {
    let fits = |record: &Vec<u8>| {
        let left = room.checked_sub(record.len() + 4);
        room = left.unwrap_or(0);
        left.is_some()
    };
    records.into_iter().take_while(fits).collect()
}

/// Mostly short, often empty, and now and then up to `most` bytes.
fn record(most: usize) -> BoxedStrategy<Vec<u8>> {
    let long = (0..=most, any::<u8>())
        .prop_map(|(length, seed)| (0..length).map(|at| seed.wrapping_add(at as u8)).collect());
    prop_oneof![
        10 => Just(Vec::new()),
        60 => prop::collection::vec(any::<u8>(), 0..20),
        20 => prop::collection::vec(0u8..6, 0..200),
        1 => long,
    ]
    .boxed()
}

/// Bytes that are often, but not always, lengths that fit.
fn garbage() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        4 => (0u8..12).prop_map(|low| vec![0, 0, 0, low]),
        4 => (0u8..12).prop_map(|low| vec![low, 0, 0, 0]),
        4 => (0u8..12).prop_map(|low| vec![0, low, 0, 0]),
        1 => (0u8..12).prop_map(|low| vec![0x80, 0, 0, low]),
        1 => prop::collection::vec(any::<u8>(), 0..5),
    ];
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..60),
        prop::collection::vec(word.clone(), 0..40).prop_map(|words| words.concat()),
        (prop::collection::vec(word, 0..40), 0usize..3).prop_map(|(words, count)| {
            let mut blocks = words.concat();
            blocks.resize(count * 32768, 0);
            blocks
        }),
    ]
}
