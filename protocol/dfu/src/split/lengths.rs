//! Records as [`RecordFormat::Variable`](crate::format::RecordFormat::Variable) has them: each
//! after its length in four bytes, lowest first. The scan has checked the lengths it takes them
//! from; a fault here says that scan and rewriting disagree.

use super::error::{RewriteFault, Rule};
use super::recfm;
use super::rewrite::Rewrite;
use std::num::NonZeroU32;

/// How records tell their lengths so far.
#[derive(Debug)]
pub(super) enum Framing {
    /// Four bytes, highest first, that do not count themselves.
    BigEndian,
    /// A record descriptor word.
    RecordDescriptor,
    /// A record descriptor word, in blocks with a block descriptor word, which is left out.
    BlockDescriptor,
    /// Not at all: every record has this many bytes.
    Fixed(NonZeroU32),
}

/// Writes every record after its length.
#[derive(Debug)]
pub(super) struct Lengths {
    framing: Framing,
    /// Bytes ever given.
    given: u64,
    /// Bytes of the record in progress that are still to come.
    record_left: u32,
    /// Bytes of the block in progress that are still to come after that record.
    block_left: u32,
    /// What came of a word whose end did not come yet.
    held: [u8; 4],
    held_count: usize,
}

impl Lengths {
    pub(super) fn new(framing: Framing) -> Self {
        Self { framing, given: 0, record_left: 0, block_left: 0, held: [0; 4], held_count: 0 }
    }

    /// Bytes that `input_bytes` more become, at most.
    fn output_bytes_max(&self, input_bytes: usize) -> usize {
        let lengths = match &self.framing {
            Framing::Fixed(record_bytes) => {
                let record_bytes = usize::try_from(record_bytes.get()).unwrap_or(usize::MAX);
                input_bytes.div_ceil(record_bytes).saturating_mul(self.held.len())
            }
            _ => self.held_count,
        };
        input_bytes.saturating_add(lengths)
    }

    /// A record starts, or a block of them, with what `rest` starts with, which is not empty.
    fn open<'a>(&mut self, rest: &'a [u8], output: &mut Vec<u8>) -> Result<&'a [u8], RewriteFault> {
        if let Framing::Fixed(record_bytes) = self.framing {
            self.record_left = record_bytes.get();
            output.extend_from_slice(&self.record_left.to_le_bytes());
            return Ok(rest);
        }
        let (word, rest) = match rest.split_first_chunk() {
            Some((word, rest)) if self.held_count == 0 => {
                self.given += word.len() as u64;
                (*word, rest)
            }
            _ => match self.gather(rest) {
                (Some(word), rest) => (word, rest),
                (None, rest) => return Ok(rest),
            },
        };
        if let Some(record_left) = self
            .record(word)
            .map_err(|rule| RewriteFault::Malformed { at: self.given - word.len() as u64, rule })?
        {
            self.record_left = record_left;
            output.extend_from_slice(&record_left.to_le_bytes());
        }
        Ok(rest)
    }

    /// What a record has after its `word`; `None` where that starts a block.
    fn record(&mut self, word: [u8; 4]) -> Result<Option<u32>, Rule> {
        let word_bytes = word.len() as u32;
        match self.framing {
            Framing::RecordDescriptor => Ok(Some(recfm::record_bytes(word)? - word_bytes)),
            Framing::BlockDescriptor if self.block_left == 0 => {
                self.block_left = recfm::block_bytes(word)? - word_bytes;
                Ok(None)
            }
            Framing::BlockDescriptor => {
                let bytes = recfm::record_bytes(word)?;
                let left = self.block_left.checked_sub(bytes);
                self.block_left = left.ok_or(Rule::RecordBeyondBlock)?;
                Ok(Some(bytes - word_bytes))
            }
            Framing::BigEndian | Framing::Fixed(_) => Ok(Some(u32::from_be_bytes(word))),
        }
    }

    /// Adds to the word in progress what `rest` has of it.
    fn gather<'a>(&mut self, rest: &'a [u8]) -> (Option<[u8; 4]>, &'a [u8]) {
        let missing = &mut self.held[self.held_count..];
        let (seen, rest) = rest.split_at(missing.len().min(rest.len()));
        missing[..seen.len()].copy_from_slice(seen);
        self.given += seen.len() as u64;
        self.held_count += seen.len();
        if self.held_count < self.held.len() {
            return (None, rest);
        }
        self.held_count = 0;
        (Some(self.held), rest)
    }
}

impl Rewrite for Lengths {
    fn rewrite(&mut self, input: &[u8], output: &mut Vec<u8>) -> Result<(), RewriteFault> {
        output.reserve(self.output_bytes_max(input.len()));
        let mut rest = input;
        loop {
            let left = usize::try_from(self.record_left).unwrap_or(usize::MAX);
            let (taken, after) = rest.split_at(left.min(rest.len()));
            output.extend_from_slice(taken);
            self.given += taken.len() as u64;
            self.record_left -= taken.len() as u32;
            if after.is_empty() {
                return Ok(());
            }
            rest = self.open(after, output)?;
        }
    }

    fn end(&mut self, _output: &mut Vec<u8>) -> Result<(), RewriteFault> {
        let rule = match (self.record_left, self.held_count, self.block_left) {
            (0, 0, 0) => return Ok(()),
            (0, 0, _) => Rule::BlockCutOff,
            _ => Rule::RecordCutOff,
        };
        Err(RewriteFault::Malformed { at: self.given, rule })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rewritten(framing: Framing, cuts: &[&[u8]]) -> Result<Vec<u8>, RewriteFault> {
        let mut lengths = Lengths::new(framing);
        let mut output = Vec::new();
        for cut in cuts {
            lengths.rewrite(cut, &mut output)?;
        }
        lengths.end(&mut output)?;
        Ok(output)
    }

    #[test]
    fn every_framing_becomes_little_endian_lengths() {
        let records = b"\x02\0\0\0ab\0\0\0\0\x01\0\0\0c";
        let big = b"\0\0\0\x02ab\0\0\0\0\0\0\0\x01c";
        let described = b"\0\x06\0\0ab\0\x04\0\0\0\x05\0\0c";
        let blocks = b"\0\x0E\0\0\0\x06\0\0ab\0\x04\0\0\x80\0\0\x09\0\x05\0\0c";

        assert_eq!(rewritten(Framing::BigEndian, &[big]).unwrap(), records);
        assert_eq!(rewritten(Framing::RecordDescriptor, &[described]).unwrap(), records);
        assert_eq!(rewritten(Framing::BlockDescriptor, &[blocks]).unwrap(), records);
        let two = NonZeroU32::new(2).unwrap();
        let pairs = b"\x02\0\0\0ab\x02\0\0\0cd";
        assert_eq!(rewritten(Framing::Fixed(two), &[b"abcd"]).unwrap(), pairs);
    }

    #[test]
    fn what_contradicts_the_scan_is_a_fault_at_its_place() {
        let fault = |at, rule| Err(RewriteFault::Malformed { at, rule });
        let blocked = |bytes: &[u8]| rewritten(Framing::BlockDescriptor, &[bytes]);

        assert_eq!(
            rewritten(Framing::RecordDescriptor, &[b"\0\x05\0\0a\0\x05", b"\x01\0"]),
            fault(5, Rule::RecordDescriptor)
        );
        assert_eq!(blocked(b"\0\x07\0\0"), fault(0, Rule::BlockDescriptor));
        assert_eq!(blocked(b"\0\x08\0\0\0\x05\0\0"), fault(4, Rule::RecordBeyondBlock));
        assert_eq!(blocked(b"\0\x0C\0\0\0\x04\0\0"), fault(8, Rule::BlockCutOff));
        assert_eq!(rewritten(Framing::BigEndian, &[b"\0\0\0"]), fault(3, Rule::RecordCutOff));
        assert_eq!(
            rewritten(Framing::Fixed(NonZeroU32::MAX), &[b"abc"]),
            fault(3, Rule::RecordCutOff)
        );
    }

    proptest! {
        #[test]
        fn cuts_change_nothing_whatever_the_bytes(
            input in prop::collection::vec(prop_oneof![4 => 0u8..2, 1 => 2u8..20, 1 => any::<u8>()], 0..60),
            cut in 1usize..9,
            which in 0usize..4,
        ) {
            let framing = || match which {
                0 => Framing::BigEndian,
                1 => Framing::RecordDescriptor,
                2 => Framing::BlockDescriptor,
                _ => Framing::Fixed(NonZeroU32::new(3).unwrap()),
            };
            let cuts = input.chunks(cut).collect::<Vec<_>>();

            prop_assert_eq!(rewritten(framing(), &cuts), rewritten(framing(), &[&input]));
        }
    }
}
