//! Records of one length: arithmetic only. The record an ideal boundary lies in belongs to the
//! later part.

use super::error::Fault;
use super::ledger::Ledger;
use super::scan::Scan;
use std::num::NonZeroU32;

/// That every source is a whole number of records was checked before.
#[derive(Debug)]
pub(super) struct Fixed {
    record_bytes: u64,
    source_start: u64,
    source_end: u64,
}

impl Fixed {
    pub(super) fn new(record_bytes: NonZeroU32) -> Self {
        Self { record_bytes: u64::from(record_bytes.get()), source_start: 0, source_end: 0 }
    }

    fn count(&self, at: u64, ledger: &mut Ledger) {
        ledger.part_records = (at - ledger.part_start) / self.record_bytes;
    }
}

impl Scan for Fixed {
    fn begin_source(&mut self, start: u64, end: u64, _ledger: &mut Ledger) -> Result<(), Fault> {
        self.source_start = start;
        self.source_end = end;
        Ok(())
    }

    fn scan(&mut self, block: &[u8], base: u64, ledger: &mut Ledger) -> Result<(), Fault> {
        let end = base + block.len() as u64;
        while ledger.limit < self.source_end {
            let within = ledger.limit - self.source_start;
            let split = ledger.limit - within % self.record_bytes;
            if split > end {
                break;
            }
            self.count(split, ledger);
            ledger.end_part(split);
        }
        ledger.attribute(end);
        self.count(end, ledger);
        Ok(())
    }

    fn end_source(&mut self, _end: u64, _mend: bool, _ledger: &mut Ledger) -> Result<(), Fault> {
        Ok(())
    }
}
