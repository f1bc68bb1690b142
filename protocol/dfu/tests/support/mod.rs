//! Drives a splitter over sources in memory, in blocks of any lengths, and collects the parts.

#![allow(dead_code, reason = "every test file uses some of it")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use proptest::prelude::*;
use skyspray_dfu::format::RecordFormat;
use skyspray_dfu::split::{Origin, Piece, Source, SplitError, SplitOptions, Splitter};
use std::num::NonZeroU32;

/// A part as it was said.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Part {
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
    /// Records in it.
    pub(crate) records: u64,
    /// Bytes of header and footer.
    pub(crate) around: (u32, u32),
    /// Where it came from.
    pub(crate) origins: Vec<Origin>,
    ended: bool,
}

/// `count` parts of about equal length.
pub(crate) fn parts(count: u32) -> SplitOptions {
    SplitOptions::new(NonZeroU32::new(count).unwrap())
}

/// Sources with nothing around their records.
pub(crate) fn plain(contents: &[Vec<u8>]) -> Vec<Source> {
    contents.iter().map(|content| Source::plain(content.len() as u64)).collect()
}

/// Lengths of blocks, to be used in turn: from one byte to 1 MiB.
pub(crate) fn blocks() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        Just(vec![1]),
        prop::collection::vec(1usize..8, 1..6),
        prop::collection::vec(1usize..300, 1..6),
        prop::collection::vec(1usize..65_536, 1..4),
        Just(vec![1 << 20]),
    ]
}

/// Pushes `contents`, announced as `sources`, in blocks of the given lengths in turn.
pub(crate) fn split(
    format: &RecordFormat,
    (sources, contents): (Vec<Source>, &[Vec<u8>]),
    options: SplitOptions,
    blocks: &[usize],
) -> Result<Vec<Part>, SplitError> {
    let mut splitter = Splitter::try_new(format, sources, options)?;
    let mut parts = Vec::new();
    let mut lengths = blocks.iter().copied().cycle();
    for content in contents {
        let mut rest = &content[..];
        while !rest.is_empty() {
            let (block, after) = rest.split_at(lengths.next().unwrap().min(rest.len()));
            splitter.push(block)?;
            drain(&mut splitter, block, &mut parts);
            rest = after;
        }
        splitter.end_source()?;
        drain(&mut splitter, &[], &mut parts);
    }
    splitter.finish()?;
    drain(&mut splitter, &[], &mut parts);
    assert!(parts.iter().all(|part| part.ended), "every part ends");
    Ok(parts)
}

fn drain(splitter: &mut Splitter, block: &[u8], parts: &mut Vec<Part>) {
    while let Some(piece) = splitter.poll() {
        let index = match &piece {
            Piece::Bytes { part, .. }
            | Piece::Literal { part, .. }
            | Piece::PartEnd { part, .. } => part.0 as usize,
            Piece::Origin(origin) => origin.part.0 as usize,
        };
        if parts.len() == index {
            parts.push(Part::default());
        }
        assert_eq!(index + 1, parts.len(), "parts come in order");
        let target = &mut parts[index];
        assert!(!target.ended, "nothing comes after a part's end");
        match piece {
            Piece::Bytes { range, .. } => target.bytes.extend_from_slice(&block[range]),
            Piece::Literal { bytes, .. } => target.bytes.extend_from_slice(&bytes),
            Piece::Origin(origin) => target.origins.push(origin),
            Piece::PartEnd { length, records, header, footer, .. } => {
                assert_eq!(target.bytes.len() as u64, length);
                target.records = records;
                target.around = (header, footer);
                target.ended = true;
            }
        }
    }
}
