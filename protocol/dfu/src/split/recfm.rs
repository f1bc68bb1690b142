//! IBM mainframe files as they are transferred in binary: RECFM=V is records after a record
//! descriptor word, RECFM=VB is blocks of such records after a block descriptor word. Descriptors
//! count themselves. What an ideal boundary lies in, record or block, belongs to the later part.

use super::error::{Fault, Rule};
use super::ledger::Ledger;
use super::scan::Scan;
use super::walk::{WORD_BYTES, Walk};

/// Set in a block descriptor word of the extended form, which has 31 bits of length.
const EXTENDED: u32 = 1 << 31;

/// A block holds at least one record, which may be empty.
const BLOCK_BYTES_MIN: u32 = 8;

/// Length of a record in bytes, with its descriptor word.
pub(super) fn record_bytes(word: [u8; 4]) -> Result<u32, Rule> {
    let [high, low, zeros @ ..] = word;
    let bytes = u32::from(u16::from_be_bytes([high, low]));
    if u64::from(bytes) < WORD_BYTES || zeros != [0; 2] {
        return Err(Rule::RecordDescriptor);
    }
    Ok(bytes)
}

/// Length of a block in bytes, with its descriptor word.
pub(super) fn block_bytes(word: [u8; 4]) -> Result<u32, Rule> {
    let word = u32::from_be_bytes(word);
    let bytes = match (word & EXTENDED, word & 0xFFFF) {
        (0, 0) => word >> 16,
        (0, _) => return Err(Rule::BlockDescriptor),
        _ => word & !EXTENDED,
    };
    if bytes < BLOCK_BYTES_MIN {
        return Err(Rule::BlockDescriptor);
    }
    Ok(bytes)
}

#[derive(Debug)]
pub(super) struct RecfmV {
    records: Walk,
}

impl RecfmV {
    pub(super) fn new() -> Self {
        Self { records: Walk::new(Rule::RecordBeyondFile) }
    }
}

impl Scan for RecfmV {
    fn begin_source(&mut self, start: u64, end: u64, _ledger: &mut Ledger) -> Result<(), Fault> {
        self.records.begin(start, end);
        Ok(())
    }

    fn scan(&mut self, block: &[u8], base: u64, ledger: &mut Ledger) -> Result<(), Fault> {
        while let Some(word) = self.records.word(block, base)? {
            let bytes = record_bytes(word).map_err(|rule| self.records.fault(rule))?;
            self.records.assign(u64::from(bytes), ledger)?;
        }
        ledger.attribute(self.records.decided(base + block.len() as u64));
        Ok(())
    }

    fn end_source(&mut self, _end: u64, _mend: bool, _ledger: &mut Ledger) -> Result<(), Fault> {
        Ok(())
    }
}

#[derive(Debug)]
pub(super) struct RecfmVb {
    blocks: Walk,
    /// The records of the block in progress.
    records: Walk,
}

impl RecfmVb {
    pub(super) fn new() -> Self {
        Self { blocks: Walk::new(Rule::BlockCutOff), records: Walk::new(Rule::RecordBeyondBlock) }
    }

    fn count(&mut self, window: &[u8], base: u64, ledger: &mut Ledger) -> Result<(), Fault> {
        while let Some(word) = self.records.word(window, base)? {
            let bytes = record_bytes(word).map_err(|rule| self.records.fault(rule))?;
            let end = self.records.step(u64::from(bytes))?;
            ledger.end_records(1, end);
        }
        Ok(())
    }
}

impl Scan for RecfmVb {
    fn begin_source(&mut self, start: u64, end: u64, _ledger: &mut Ledger) -> Result<(), Fault> {
        self.blocks.begin(start, end);
        self.records.begin(start, start);
        Ok(())
    }

    fn scan(&mut self, block: &[u8], base: u64, ledger: &mut Ledger) -> Result<(), Fault> {
        self.count(block, base, ledger)?;
        while let Some(word) = self.blocks.word(block, base)? {
            let start = self.blocks.next();
            let bytes = block_bytes(word).map_err(|rule| self.blocks.fault(rule))?;
            let end = self.blocks.step(u64::from(bytes))?;
            ledger.begin_record(start, end);
            self.records.begin(start + WORD_BYTES, end);
            self.count(block, base, ledger)?;
        }
        ledger.attribute(self.blocks.decided(base + block.len() as u64));
        Ok(())
    }

    fn end_source(&mut self, _end: u64, _mend: bool, _ledger: &mut Ledger) -> Result<(), Fault> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_descriptor_counts_itself_and_ends_in_zeros() {
        assert_eq!(record_bytes([0, 4, 0, 0]), Ok(4));
        assert_eq!(record_bytes([0xFF, 0xFE, 0, 0]), Ok(0xFFFE));
        for word in [[0, 3, 0, 0], [0, 0, 0, 0], [0, 9, 1, 0], [0, 9, 0, 1]] {
            assert_eq!(record_bytes(word), Err(Rule::RecordDescriptor));
        }
    }

    #[test]
    fn a_block_descriptor_is_of_the_standard_or_the_extended_form() {
        assert_eq!(block_bytes([0, 8, 0, 0]), Ok(8));
        assert_eq!(block_bytes([0x7F, 0xFF, 0, 0]), Ok(0x7FFF));
        assert_eq!(block_bytes([0x80, 0, 0, 8]), Ok(8));
        assert_eq!(block_bytes([0xFF, 0xFF, 0xFF, 0xFF]), Ok(0x7FFF_FFFF));
        for word in [[0, 7, 0, 0], [0, 9, 1, 0], [0, 9, 0, 1], [0x80, 0, 0, 7], [0x80, 9, 0, 0]] {
            let expected =
                if word == [0x80, 9, 0, 0] { Ok(0x9_0000) } else { Err(Rule::BlockDescriptor) };
            assert_eq!(block_bytes(word), expected);
        }
    }
}
