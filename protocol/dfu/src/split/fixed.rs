//! Records of one length: arithmetic only. The record an ideal boundary lies in belongs to the
//! later part.

use super::SplitError;
use super::ledger::Ledger;
use std::num::NonZeroU32;
use std::ops::Range;

#[derive(Debug)]
pub(super) struct Fixed {
    record_bytes: u64,
}

impl Fixed {
    pub(super) fn try_new(
        record_bytes: NonZeroU32,
        source_lengths: &[u64],
    ) -> Result<Self, SplitError> {
        let record_bytes = record_bytes.get();
        let partial = source_lengths.iter().position(|l| l % u64::from(record_bytes) != 0);
        match partial {
            Some(source_index) => Err(SplitError::PartialRecord {
                source_index,
                length: source_lengths[source_index],
                record_bytes,
            }),
            None => Ok(Self { record_bytes: u64::from(record_bytes) }),
        }
    }

    /// The bytes of whole records among `bytes`.
    pub(super) fn whole_records(&self, bytes: u64) -> u64 {
        bytes - bytes % self.record_bytes
    }

    /// The whole records among `bytes`.
    pub(super) fn records(&self, bytes: u64) -> u64 {
        bytes / self.record_bytes
    }

    /// Attributes everything of `source` before `end`, the end of the block.
    pub(super) fn scan(&self, end: u64, source: Range<u64>, ledger: &mut Ledger) {
        while ledger.limit < source.end {
            let split = source.start + self.whole_records(ledger.limit - source.start);
            if split > end {
                break;
            }
            self.count(split, ledger);
            ledger.end_part(split);
        }
        ledger.attribute(end);
        self.count(end, ledger);
    }

    fn count(&self, at: u64, ledger: &mut Ledger) {
        ledger.attribute(at);
        ledger.part_records = self.records(ledger.part_offset(at));
    }
}
