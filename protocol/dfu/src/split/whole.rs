//! Every source is one record, whatever is in it.

use super::error::Fault;
use super::ledger::Ledger;
use super::scan::Scan;

#[derive(Debug)]
pub(super) struct Whole;

impl Scan for Whole {
    fn scan(&mut self, block: &[u8], base: u64, ledger: &mut Ledger) -> Result<(), Fault> {
        ledger.attribute(base + block.len() as u64);
        Ok(())
    }

    fn end_source(&mut self, end: u64, _mend: bool, ledger: &mut Ledger) -> Result<(), Fault> {
        ledger.attribute(end);
        ledger.end_record(end);
        Ok(())
    }
}
