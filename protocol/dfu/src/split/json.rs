//! JSON documents: rows are the items of one array, or values at the root one after the other.
//!
//! A row is any value. Of the text only strings, brackets and what stands between rows is looked
//! at. The comma before the first row of a part is in no part, so that each part's rows stand
//! between header and footer as they would in a document of their own.

mod text;

use super::error::{Fault, Rule};
use super::ledger::Ledger;
use super::scan::Scan;
use std::num::NonZeroU32;
use text::Next;
pub(crate) use text::Text;

#[derive(Debug)]
pub(super) struct Json {
    text: Text,
    rows: Rows,
    /// Objects around the array of rows.
    objects: usize,
    footer: Option<Footer>,
}

/// The rows, and what is between them.
#[derive(Debug)]
struct Rows {
    max_record: u32,
    place: Place,
    row_start: u64,
    /// The current source has its rows in an array.
    in_array: bool,
    /// Where the sources before it have theirs, once one had any.
    all_in_array: Option<bool>,
    /// How rows are separated, once two have been seen.
    separation: Option<Separation>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    /// Before the first row of a source.
    Front,
    /// Behind a row.
    Behind,
    /// Behind this comma, which follows a row.
    Comma { comma: u64 },
    /// In a row that is a number or one of the words of JSON.
    Word,
    /// In a row that is a string, an array or an object.
    Inside,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Separation {
    Comma,
    Blanks,
}

impl Json {
    /// Rows are the items of the array that `keys` lead to. Without keys they are those of the
    /// array that is the root, or the values at the root.
    pub(super) fn new(keys: Vec<Vec<u8>>, max_record: NonZeroU32) -> Self {
        Self {
            text: Text::default(),
            rows: Rows {
                max_record: max_record.get(),
                place: Place::Front,
                row_start: 0,
                in_array: !keys.is_empty(),
                all_in_array: None,
                separation: None,
            },
            objects: keys.len(),
            footer: None,
        }
    }
}

impl Scan for Json {
    fn header(&mut self, header: &[u8]) {
        self.rows.in_array = self.objects > 0 || !header.is_empty();
    }

    fn begin_source(&mut self, start: u64, end: u64, ledger: &mut Ledger) -> Result<(), Fault> {
        self.text = Text::default();
        self.footer = None;
        self.rows.begin_source(start, end)?;
        ledger.record_start = start;
        Ok(())
    }

    fn scan(&mut self, block: &[u8], base: u64, ledger: &mut Ledger) -> Result<(), Fault> {
        let rows = &mut self.rows;
        let mut at = 0;
        while at < block.len() {
            let taken = match rows.place {
                Place::Inside => {
                    let taken = self.text.advance((block, base), at, |end| {
                        rows.end_row(base + end as u64, ledger)?;
                        rows.next_row((block, base), end, ledger)
                    });
                    taken.map_err(|fault| rows.or_too_long(fault, ledger))
                }
                Place::Word => rows.word((block, base), at, ledger),
                _ => rows.between((block, base), at, ledger),
            };
            at = taken?;
        }
        rows.attribute(base + block.len() as u64, ledger)
    }

    fn footer(&mut self, block: &[u8], base: u64) -> Result<(), Fault> {
        let Some(&first) = block.first() else { return Ok(()) };
        if self.footer.is_none() {
            self.rows.check_end(base, first)?;
        }
        let objects = self.objects;
        let footer = self.footer.get_or_insert_with(|| Footer::new(objects));
        match self.rows.in_array {
            true => footer.take(block, base),
            false => {
                footer.units += block.len() as u64;
                Ok(())
            }
        }
    }

    fn end_footer(&self, end: u64) -> Result<(), Fault> {
        match &self.footer {
            Some(footer) if footer.closed => Ok(()),
            _ if self.rows.in_array => Err(malformed(end, Rule::DocumentCutOff)),
            _ => Ok(()),
        }
    }

    fn end_source(&mut self, end: u64, _: bool, ledger: &mut Ledger) -> Result<(), Fault> {
        let rows = &mut self.rows;
        if let (Some(footer), false) = (&self.footer, rows.in_array) {
            // Values at the root have none: they end where the source ends.
            return Err(Fault::FooterElsewhere { at: end + footer.units });
        }
        match rows.place {
            Place::Word => rows.end_row(end, ledger)?,
            Place::Inside => return Err(rows.cut_off()),
            Place::Comma { comma } => return Err(malformed(comma, Rule::Separator)),
            Place::Front => ledger.drop_to(end),
            Place::Behind => {}
        }
        self.end_footer(end)
    }
}

impl Rows {
    fn begin_source(&mut self, start: u64, end: u64) -> Result<(), Fault> {
        self.place = Place::Front;
        if start == end {
            return Ok(());
        }
        match self.all_in_array.replace(self.in_array) {
            Some(before) if before != self.in_array => Err(malformed(start, Rule::MixedRoots)),
            _ => Ok(()),
        }
    }

    /// Takes what is between rows, from `at` on: the index of the next row's first byte.
    fn between(
        &mut self,
        (bytes, start): (&[u8], u64),
        at: usize,
        ledger: &mut Ledger,
    ) -> Result<usize, Fault> {
        for (index, &byte) in bytes.iter().enumerate().skip(at) {
            let offset = start + index as u64;
            if is_blank(byte) {
                continue;
            }
            if self.place != Place::Behind {
                self.check_length(offset, ledger)?;
            }
            match byte {
                b',' => self.comma(offset, ledger)?,
                b']' | b'}' => return Err(self.close(offset, byte)),
                b'"' | b'[' | b'{' => {
                    self.begin_row(offset, Place::Inside, ledger)?;
                    return Ok(index);
                }
                _ if is_word(byte) => {
                    self.begin_row(offset, Place::Word, ledger)?;
                    return Ok(index);
                }
                _ => return Err(malformed(offset, Rule::Value)),
            }
        }
        Ok(bytes.len())
    }

    /// Takes what is between rows, after one that ended at `at`, for somebody who would go on with
    /// an array or object.
    fn next_row(
        &mut self,
        (bytes, start): (&[u8], u64),
        at: usize,
        ledger: &mut Ledger,
    ) -> Result<Next, Fault> {
        let index = self.between((bytes, start), at, ledger)?;
        Ok(match bytes.get(index) {
            Some(b'[' | b'{') => Next::Nested(index),
            _ => Next::Stop(index),
        })
    }

    /// Takes a number or word from `at` on: the index behind it, or behind what is there of it.
    fn word(
        &mut self,
        (bytes, start): (&[u8], u64),
        at: usize,
        ledger: &mut Ledger,
    ) -> Result<usize, Fault> {
        match bytes[at..].iter().position(|&byte| !is_word(byte)) {
            None => Ok(bytes.len()),
            Some(length) => {
                self.end_row(start + (at + length) as u64, ledger)?;
                Ok(at + length)
            }
        }
    }

    fn comma(&mut self, comma: u64, ledger: &mut Ledger) -> Result<(), Fault> {
        if self.place != Place::Behind || self.separation == Some(Separation::Blanks) {
            return Err(malformed(comma, Rule::Separator));
        }
        ledger.attribute(comma);
        self.separation = Some(Separation::Comma);
        self.place = Place::Comma { comma };
        Ok(())
    }

    /// A closing bracket that no row opened.
    fn close(&self, at: u64, byte: u8) -> Fault {
        match self.place {
            _ if byte != b']' || !self.in_array => malformed(at, Rule::Bracket),
            Place::Comma { comma } => malformed(comma, Rule::Separator),
            _ => Fault::FooterElsewhere { at },
        }
    }

    /// A row starts at `at`: every part that should end at or before it ends before it.
    fn begin_row(&mut self, at: u64, place: Place, ledger: &mut Ledger) -> Result<(), Fault> {
        match self.place {
            // Blanks before it go with it: no part holds nothing else.
            Place::Front => {
                end_parts(ledger, at, ledger.attributed());
                if ledger.part_records > 0 {
                    ledger.add(self.glue());
                }
            }
            Place::Comma { comma } if ledger.limit <= at => {
                ledger.end_part(comma);
                ledger.drop_to(comma + 1);
                end_parts(ledger, at, comma + 1);
            }
            Place::Behind => {
                if self.in_array || self.separation == Some(Separation::Comma) {
                    return Err(malformed(at, Rule::Separator));
                }
                self.separation = Some(Separation::Blanks);
                end_parts(ledger, at, at);
            }
            _ => {}
        }
        self.place = place;
        self.row_start = at;
        Ok(())
    }

    /// What separates rows of two sources in one part.
    fn glue(&mut self) -> &'static [u8] {
        let usual = if self.in_array { Separation::Comma } else { Separation::Blanks };
        match self.separation.get_or_insert(usual) {
            Separation::Comma => b",\n",
            Separation::Blanks => b"\n",
        }
    }

    fn end_row(&mut self, end: u64, ledger: &mut Ledger) -> Result<(), Fault> {
        self.check_length(end, ledger)?;
        ledger.end_records(1, end);
        self.place = Place::Behind;
        Ok(())
    }

    /// Attributes what is decided of everything before `to`: a comma and the blanks before a row
    /// are decided by the row's first byte.
    fn attribute(&self, to: u64, ledger: &mut Ledger) -> Result<(), Fault> {
        match self.place {
            Place::Front | Place::Comma { .. } => self.check_length(to, ledger),
            Place::Behind => {
                ledger.attribute(to);
                Ok(())
            }
            Place::Word | Place::Inside => {
                self.check_length(to, ledger)?;
                ledger.attribute(to);
                Ok(())
            }
        }
    }

    /// Refuses a record in progress that is too long at `end` already.
    fn check_length(&self, end: u64, ledger: &Ledger) -> Result<(), Fault> {
        let record_start = ledger.record_start;
        match end - record_start <= u64::from(self.max_record) {
            true => Ok(()),
            false => Err(Fault::TooLong { record_start, max_record: self.max_record, quote: None }),
        }
    }

    /// What is wrong in a row: that it is too long, if it is before anything else is wrong in it.
    fn or_too_long(&self, fault: Fault, ledger: &Ledger) -> Fault {
        match fault {
            Fault::Malformed { at, .. } if self.place == Place::Inside => {
                self.check_length(at, ledger).err().unwrap_or(fault)
            }
            fault => fault,
        }
    }

    /// Rows end at `end`, before a footer that starts with `first`.
    fn check_end(&self, end: u64, first: u8) -> Result<(), Fault> {
        match self.place {
            Place::Front if !self.in_array => Err(malformed(end, Rule::Bracket)),
            // The caller took the end of the last row for a footer.
            _ if !self.in_array => Ok(()),
            Place::Inside => Err(self.cut_off()),
            Place::Comma { comma } if first == b']' => Err(malformed(comma, Rule::Separator)),
            _ if first != b']' => Err(malformed(end, Rule::Separator)),
            _ => Ok(()),
        }
    }

    fn cut_off(&self) -> Fault {
        malformed(self.row_start, Rule::DocumentCutOff)
    }
}

/// What stands behind the array of rows.
#[derive(Debug)]
struct Footer {
    text: Text,
    units: u64,
    /// The root was closed; only blanks may follow.
    closed: bool,
}

impl Footer {
    fn new(objects: usize) -> Self {
        Self { text: Text::inside_array(objects), units: 0, closed: false }
    }

    /// Takes a block of it; the whole of it starts at `base`.
    fn take(&mut self, block: &[u8], base: u64) -> Result<(), Fault> {
        let start = base + self.units;
        self.units += block.len() as u64;
        let mut at = 0;
        if !self.closed {
            let closed = &mut self.closed;
            at = self.text.advance((block, start), 0, |end| {
                *closed = true;
                Ok(Next::Stop(end))
            })?;
        }
        match block[at..].iter().position(|&byte| !is_blank(byte)) {
            Some(index) => Err(malformed(start + (at + index) as u64, Rule::BehindDocument)),
            None => Ok(()),
        }
    }
}

/// Ends every part that should end at or before `due`, the first of them before `end`.
fn end_parts(ledger: &mut Ledger, due: u64, end: u64) {
    while ledger.limit <= due {
        ledger.end_part(end);
    }
}

/// Whether it may stand between any two parts of a document.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Whether numbers, true, false and null are made of it.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

fn malformed(at: u64, rule: Rule) -> Fault {
    Fault::Malformed { at, rule }
}

#[cfg(test)]
mod tests;
