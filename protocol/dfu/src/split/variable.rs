//! Records after a length of four bytes that does not count itself. The record an ideal boundary
//! lies in belongs to the later part.

use super::error::{Fault, Rule};
use super::ledger::Ledger;
use super::scan::Scan;
use super::walk::{WORD_BYTES, Walk};
use crate::format::ByteOrder;
use std::num::NonZeroU32;

#[derive(Debug)]
pub(super) struct Variable {
    order: ByteOrder,
    max_record: u32,
    records: Walk,
}

impl Variable {
    pub(super) fn new(order: ByteOrder, max_record: NonZeroU32) -> Self {
        let records = Walk::new(Rule::RecordCutOff);
        Self { order, max_record: max_record.get(), records }
    }
}

impl Scan for Variable {
    fn begin_source(&mut self, start: u64, end: u64, _ledger: &mut Ledger) -> Result<(), Fault> {
        self.records.begin(start, end);
        Ok(())
    }

    fn scan(&mut self, block: &[u8], base: u64, ledger: &mut Ledger) -> Result<(), Fault> {
        while let Some(word) = self.records.word(block, base)? {
            let length = match self.order {
                ByteOrder::Little => u32::from_le_bytes(word),
                ByteOrder::Big => u32::from_be_bytes(word),
            };
            if length > self.max_record {
                let record_start = self.records.next();
                let max_record = self.max_record;
                return Err(Fault::TooLong { record_start, max_record, quote: None });
            }
            self.records.assign(WORD_BYTES + u64::from(length), ledger)?;
        }
        ledger.attribute(self.records.decided(base + block.len() as u64));
        Ok(())
    }

    fn end_source(&mut self, _end: u64, _mend: bool, _ledger: &mut Ledger) -> Result<(), Fault> {
        Ok(())
    }
}
