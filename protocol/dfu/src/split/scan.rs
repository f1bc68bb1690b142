//! What every scanner does, and the one place that chooses one for a format.

use super::blocked::Blocked;
use super::error::Fault;
use super::fixed::Fixed;
use super::json::Json;
use super::ledger::Ledger;
use super::lines::Lines;
use super::narrow::Narrow;
use super::recfm::{RecfmV, RecfmVb};
use super::tokens::Tokens;
use super::variable::Variable;
use super::whole::Whole;
use super::xml::Xml;
use crate::format::{CsvFormat, RecordFormat};
use std::fmt::Debug;

/// Finds where records end. Sees the stream in source order and in blocks of any length, in code
/// units: one byte each, whatever the encoding. Remembers what a block leaves open; never asks for
/// a byte again.
pub(super) trait Scan: Debug + Send {
    /// The next source starts at `start` and its records end at `end`. Called for every source
    /// that is not empty, before its first block.
    fn begin_source(&mut self, start: u64, end: u64, ledger: &mut Ledger) -> Result<(), Fault> {
        let _ = (start, end, ledger);
        Ok(())
    }

    /// What stands before the records of the next source, if anything; said before
    /// [`begin_source`](Self::begin_source).
    fn header(&mut self, header: &[u8]) {
        let _ = header;
    }

    /// Takes a block that starts at `base`: says which records end in it, and with
    /// [`Ledger::scanned`] how far it could decide. What it could not decide comes no second time.
    fn scan(&mut self, block: &[u8], base: u64, ledger: &mut Ledger) -> Result<(), Fault>;

    /// Takes what stands behind the records of the source, which was said to hold none.
    fn footer(&mut self, block: &[u8], base: u64) -> Result<(), Fault> {
        let _ = (block, base);
        Ok(())
    }

    /// The footer of a source without records, which starts at `end`, is complete.
    fn end_footer(&self, end: u64) -> Result<(), Fault> {
        let _ = end;
        Ok(())
    }

    /// The records of the source end before `end`, and all of it must be attributed now; `mend`
    /// says that another source follows and that a missing terminator is to be added.
    fn end_source(&mut self, end: u64, mend: bool, ledger: &mut Ledger) -> Result<(), Fault>;
}

/// The scanner for a format. `narrow` is how it sees text of wide code units.
pub(super) fn scanner(format: &RecordFormat, narrow: &Narrow) -> Box<dyn Scan> {
    match format {
        RecordFormat::Fixed { record_bytes } => Box::new(Fixed::new(*record_bytes)),
        RecordFormat::Csv(csv) => delimited(&narrow.delimiters(csv)),
        RecordFormat::Variable { order, max_record } => {
            Box::new(Variable::new(*order, *max_record))
        }
        RecordFormat::Blocked => Box::new(Blocked::new()),
        RecordFormat::RecfmV => Box::new(RecfmV::new()),
        RecordFormat::RecfmVb => Box::new(RecfmVb::new()),
        RecordFormat::Xml(xml) => {
            let tag = narrow.text(xml.row_tag());
            Box::new(Xml::new(&tag, narrow.units(xml.max_record)))
        }
        RecordFormat::Json(json) => {
            let keys = json.keys().iter().map(|key| narrow.text(key)).collect();
            Box::new(Json::new(keys, narrow.units(json.max_record)))
        }
        RecordFormat::JsonLines(lines) => {
            let narrowed = narrow.units(lines.max_record);
            delimited(&CsvFormat::lines(narrowed))
        }
        RecordFormat::Blob => Box::new(Whole),
    }
}

fn delimited(csv: &CsvFormat) -> Box<dyn Scan> {
    match Lines::for_format(csv) {
        Some(lines) => Box::new(lines),
        None => Box::new(Tokens::new(csv)),
    }
}
