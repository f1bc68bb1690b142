//! From one length word to the next: records, or blocks of them, that start with four bytes which
//! tell their length. What lies between the words is not looked at, so long records cost nothing.

use super::error::{Fault, Rule};
use super::ledger::Ledger;

/// Bytes of a length or descriptor word.
pub(super) const WORD_BYTES: u64 = 4;

/// Steps over records that lie one after the other up to a known end.
#[derive(Debug)]
pub(super) struct Walk {
    /// What is wrong with a record that goes on beyond the end.
    beyond: Rule,
    next: u64,
    end: u64,
    /// What was seen of the next record's word, where a window ended inside it.
    held: [u8; 4],
    held_count: usize,
}

impl Walk {
    /// Walks nothing until it is told to [`begin`](Self::begin).
    pub(super) fn new(beyond: Rule) -> Self {
        Self { beyond, next: 0, end: 0, held: [0; 4], held_count: 0 }
    }

    /// Records lie from `start` to `end`.
    pub(super) fn begin(&mut self, start: u64, end: u64) {
        self.next = start;
        self.end = end;
        self.held_count = 0;
    }

    /// Where the next record starts.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// The word of the next record, if all of it was seen by the end of `window`, which starts at
    /// `base` where the one before it ended. After a word comes a step.
    #[inline]
    pub(super) fn word(&mut self, window: &[u8], base: u64) -> Result<Option<[u8; 4]>, Fault> {
        if self.next >= self.end.min(base + window.len() as u64) {
            return Ok(None);
        }
        if self.end - self.next < WORD_BYTES {
            return Err(self.fault(self.beyond));
        }
        if self.held_count == 0 {
            let from = usize::try_from(self.next - base).expect("in the window");
            if let Some(word) = window[from..].first_chunk() {
                return Ok(Some(*word));
            }
        }
        Ok(self.gather(window, base))
    }

    /// Goes on to the record after the next one, which has `bytes` bytes with its word. Says where
    /// that is.
    #[inline]
    pub(super) fn step(&mut self, bytes: u64) -> Result<u64, Fault> {
        if bytes > self.end - self.next {
            return Err(self.fault(self.beyond));
        }
        self.next += bytes;
        Ok(self.next)
    }

    /// [Steps](Self::step), and gives the record stepped over to a part: the later one if an ideal
    /// boundary lies inside.
    #[inline]
    pub(super) fn assign(&mut self, bytes: u64, ledger: &mut Ledger) -> Result<(), Fault> {
        let start = self.next;
        let end = self.step(bytes)?;
        ledger.begin_record(start, end);
        ledger.end_records(1, end);
        Ok(())
    }

    /// How far a window that ends at `to` is known to belong to records that were stepped over.
    pub(super) fn decided(&self, to: u64) -> u64 {
        if self.held_count > 0 { self.next } else { to }
    }

    /// What is wrong with the next record.
    pub(super) fn fault(&self, rule: Rule) -> Fault {
        Fault::Malformed { at: self.next, rule }
    }

    #[cold]
    fn gather(&mut self, window: &[u8], base: u64) -> Option<[u8; 4]> {
        let from = self.next + self.held_count as u64 - base;
        let seen = &window[usize::try_from(from).expect("in the window")..];
        let missing = &mut self.held[self.held_count..];
        let count = missing.len().min(seen.len());
        missing[..count].copy_from_slice(&seen[..count]);
        self.held_count += count;
        (self.held_count == self.held.len()).then(|| {
            self.held_count = 0;
            self.held
        })
    }
}
