//! Blocks of 32768 bytes that hold whole length-prefixed records: a used length that does not count
//! itself, the records, and padding. Splits are arithmetic, and the block an ideal boundary lies in
//! belongs to the later part; the records are walked to count them and to find damage.

use super::check::BLOCK_BYTES;
use super::error::{Fault, Rule};
use super::ledger::Ledger;
use super::scan::Scan;
use super::walk::{WORD_BYTES, Walk};

/// That every source is a whole number of blocks was checked before.
#[derive(Debug)]
pub(super) struct Blocked {
    blocks: Walk,
    /// The records of the block in progress.
    records: Walk,
}

impl Blocked {
    pub(super) fn new() -> Self {
        Self { blocks: Walk::new(Rule::BlockCutOff), records: Walk::new(Rule::RecordBeyondBlock) }
    }

    fn count(&mut self, window: &[u8], base: u64, ledger: &mut Ledger) -> Result<(), Fault> {
        while let Some(word) = self.records.word(window, base)? {
            let end = self.records.step(WORD_BYTES + u64::from(u32::from_be_bytes(word)))?;
            ledger.end_records(1, end);
        }
        Ok(())
    }
}

impl Scan for Blocked {
    fn begin_source(&mut self, start: u64, end: u64, _ledger: &mut Ledger) -> Result<(), Fault> {
        self.blocks.begin(start, end);
        self.records.begin(start, start);
        Ok(())
    }

    fn scan(&mut self, block: &[u8], base: u64, ledger: &mut Ledger) -> Result<(), Fault> {
        self.count(block, base, ledger)?;
        while let Some(word) = self.blocks.word(block, base)? {
            let start = self.blocks.next();
            let records_end = WORD_BYTES + u64::from(u32::from_be_bytes(word));
            if records_end > u64::from(BLOCK_BYTES) {
                return Err(self.blocks.fault(Rule::BlockTooFull));
            }
            let end = self.blocks.step(u64::from(BLOCK_BYTES))?;
            ledger.begin_record(start, end);
            self.records.begin(start + WORD_BYTES, start + records_end);
            self.count(block, base, ledger)?;
        }
        ledger.attribute(self.blocks.decided(base + block.len() as u64));
        Ok(())
    }

    fn end_source(&mut self, _end: u64, _mend: bool, _ledger: &mut Ledger) -> Result<(), Fault> {
        Ok(())
    }
}
