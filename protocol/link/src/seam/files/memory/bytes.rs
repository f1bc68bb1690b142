//! The content of a file in memory: as everybody sees it, and as it would survive.

use crate::seam::{Random as _, SeededRandom};
use std::ops::Range;

/// The content of a file.
#[derive(Debug, Default)]
pub(super) struct Bytes {
    pub(super) current: Vec<u8>,
    durable: Vec<u8>,
    /// What was written since the last sync, in the order of writing.
    dirty: Vec<Range<usize>>,
}

impl Bytes {
    pub(super) fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        self.extend(end);
        self.current[offset..end].copy_from_slice(bytes);
        self.dirty.push(offset..end);
    }

    pub(super) fn extend(&mut self, len: usize) {
        let before = self.current.len();
        if len > before {
            self.current.resize(len, 0);
            // The gap counts as written: before a cut, other bytes may have been durable there.
            self.dirty.push(before..len);
        }
    }

    pub(super) fn sync(&mut self) {
        self.durable.resize(self.current.len(), 0);
        for range in std::mem::take(&mut self.dirty) {
            self.keep(range);
        }
    }

    /// After a failed sync: the bytes stay visible but no later sync will write them.
    pub(super) fn forget_dirty(&mut self) {
        self.dirty.clear();
    }

    /// Lets some of what is not synced become durable.
    pub(super) fn tear(&mut self, random: &SeededRandom) {
        for range in std::mem::take(&mut self.dirty) {
            let fate = random.u64() % 3;
            for start in range.clone().step_by(TORN_UNIT) {
                let unit = start..range.end.min(start + TORN_UNIT);
                if fate == 0 || (fate == 1 && random.u64().is_multiple_of(2)) {
                    self.keep(unit);
                }
            }
        }
    }

    /// Goes back to what is durable.
    pub(super) fn crash(&mut self) {
        self.current.clone_from(&self.durable);
        self.dirty.clear();
    }

    fn keep(&mut self, range: Range<usize>) {
        let range = range.start..range.end.min(self.current.len());
        if range.is_empty() {
            return;
        }
        if self.durable.len() < range.end {
            self.durable.resize(range.end, 0);
        }
        self.durable[range.clone()].copy_from_slice(&self.current[range]);
    }
}

/// What a disk writes whole or not at all, in bytes.
const TORN_UNIT: usize = 512;
