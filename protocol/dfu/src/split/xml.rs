//! Splits XML after elements of one name. What stands between two rows belongs to the second one.

mod lexer;
mod rows;
#[cfg(test)]
mod tests;

pub(crate) use lexer::ends_name;
pub(crate) use rows::{Edge, Row, Rows};

use super::error::{Fault, Rule};
use super::ledger::Ledger;
use super::scan::Scan;
use lexer::is_blank;
use std::num::NonZeroU32;

#[derive(Debug)]
pub(super) struct Xml {
    rows: Rows,
    max_record: u32,
    /// Where the records of the source start and end.
    records: (u64, u64),
    /// The last row of the source, once it has ended.
    last: Option<Row>,
    /// Only blanks have followed it.
    blank: bool,
    /// How far the footer was read, once it was reached.
    footer_read: Option<u64>,
    /// The row at the very end of the records, if its line end was still unknown there.
    at_end: Option<Row>,
    /// The last row in the footer.
    in_footer: Option<Row>,
}

impl Xml {
    pub(super) fn new(tag: &[u8], max_record: NonZeroU32) -> Self {
        Self {
            rows: Rows::new(tag),
            max_record: max_record.get(),
            records: (0, 0),
            last: None,
            blank: true,
            footer_read: None,
            at_end: None,
            in_footer: None,
        }
    }

    fn end_row(&mut self, row: Row, ledger: &mut Ledger) -> Result<(), Fault> {
        self.check_length(row.end, ledger)?;
        ledger.end_element(row.close, row.line());
        self.last = Some(row);
        self.blank = true;
        Ok(())
    }

    /// The record in progress reaches to `to`.
    fn check_length(&self, to: u64, ledger: &Ledger) -> Result<(), Fault> {
        let (record_start, max_record) = (ledger.record_start, self.max_record);
        if to.saturating_sub(record_start) > u64::from(max_record) {
            return Err(Fault::TooLong { record_start, max_record, quote: None });
        }
        Ok(())
    }
}

impl Scan for Xml {
    fn begin_source(&mut self, start: u64, end: u64, ledger: &mut Ledger) -> Result<(), Fault> {
        self.rows.reset();
        self.records = (start, end);
        self.last = None;
        self.blank = true;
        self.footer_read = None;
        self.at_end = None;
        self.in_footer = None;
        ledger.record_start = start;
        Ok(())
    }

    fn scan(&mut self, block: &[u8], base: u64, ledger: &mut Ledger) -> Result<(), Fault> {
        if block.is_empty() {
            return Ok(());
        }
        let mut at = 0;
        while let Some(edge) = self.rows.next(block, base, &mut at) {
            match edge {
                Edge::Start { .. } => {}
                Edge::End(row) => self.end_row(row, ledger)?,
                Edge::NotOpened { start, end } => {
                    self.check_length(end, ledger)?;
                    return Err(Fault::Malformed { at: start, rule: Rule::RowNotOpened });
                }
            }
        }
        let end = base + block.len() as u64;
        if let Some(row_end) = self.rows.waiting() {
            ledger.scanned(row_end);
            return Ok(());
        }
        self.check_length(end, ledger)?;
        if self.blank {
            let from = ledger.record_start.clamp(base, end) - base;
            let from = usize::try_from(from).expect("within the block");
            self.blank = block[from..].iter().all(|&byte| is_blank(byte));
        }
        ledger.scanned(end);
        Ok(())
    }

    /// Reads on, so that the end of the last row can be said if the records were said to end
    /// before it.
    fn footer(&mut self, block: &[u8], _base: u64) -> Result<(), Fault> {
        let (start, end) = self.records;
        let base = self.footer_read.unwrap_or_else(|| {
            self.at_end = self.rows.finish();
            end
        });
        self.footer_read = Some(base + block.len() as u64);
        let mut at = 0;
        while let Some(edge) = self.rows.next(block, base, &mut at) {
            match edge {
                Edge::Start { .. } => {}
                Edge::End(row) => self.in_footer = Some(row),
                Edge::NotOpened { start, .. } => {
                    return Err(Fault::Malformed { at: start, rule: Rule::RowNotOpened });
                }
            }
        }
        // A source without records is not asked where they end.
        let row_end = self.rows.waiting().or(self.in_footer.map(|row| row.end));
        match row_end {
            Some(at) if start == end => Err(Fault::FooterElsewhere { at }),
            _ => Ok(()),
        }
    }

    fn end_source(&mut self, _end: u64, _mend: bool, ledger: &mut Ledger) -> Result<(), Fault> {
        match self.footer_read {
            None => self.at_end = self.rows.finish(),
            Some(_) => self.in_footer = self.rows.finish().or(self.in_footer),
        }
        if let Some(row) = self.at_end.take() {
            self.end_row(row, ledger)?;
        }
        if let Some(row) = self.in_footer {
            return Err(Fault::FooterElsewhere { at: row.footer() });
        }
        if let Some(at) = self.rows.open() {
            return Err(Fault::Malformed { at, rule: Rule::DocumentCutOff });
        }
        match self.last {
            _ if self.blank => Ok(()),
            Some(row) => Err(Fault::FooterElsewhere { at: row.footer() }),
            None => Err(Fault::Malformed { at: self.records.0, rule: Rule::NoRowTag }),
        }
    }
}
