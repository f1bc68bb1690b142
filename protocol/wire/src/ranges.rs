//! A set of numbers kept as ranges: memory grows with gaps, not with members.

use serde::{Deserialize, Serialize};

/// Half-open ranges, sorted, disjoint and never adjacent.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct RangeSet(Vec<(u64, u64)>);

impl RangeSet {
    /// Adds `start..end`; overlap with what is there is allowed, an empty range changes nothing.
    pub fn insert(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        let from = self.0.partition_point(|&(_, e)| e < start);
        let to = self.0.partition_point(|&(s, _)| s <= end);
        let mut range = (start, end);
        if from < to {
            range = (start.min(self.0[from].0), end.max(self.0[to - 1].1));
        }
        self.0.splice(from..to, [range]);
    }

    /// Whether `number` is in the set.
    pub fn contains(&self, number: u64) -> bool {
        let at = self.0.partition_point(|&(_, end)| end <= number);
        self.0.get(at).is_some_and(|&(start, _)| start <= number)
    }

    /// Numbers in the set.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(start, end)| end - start).sum()
    }

    /// The ranges, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().copied()
    }

    /// Whether the set has no member.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(u64, u64)> for RangeSet {
    fn from_iter<I: IntoIterator<Item = (u64, u64)>>(ranges: I) -> Self {
        let mut set = Self::default();
        ranges.into_iter().for_each(|(start, end)| set.insert(start, end));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touching_and_overlapping_ranges_become_one() {
        let mut set = RangeSet::default();
        for (start, end) in [(5, 7), (0, 2), (9, 9), (7, 9), (2, 3), (20, 21)] {
            set.insert(start, end);
        }

        assert_eq!(set.iter().collect::<Vec<_>>(), [(0, 3), (5, 9), (20, 21)]);
        set.insert(1, 20);
        assert_eq!(set.iter().collect::<Vec<_>>(), [(0, 21)]);
        assert_eq!(set.count(), 21);
    }

    #[test]
    fn membership_is_that_of_the_ranges() {
        let set: RangeSet = [(3, 5), (8, 9)].into_iter().collect();

        let members: Vec<u64> = (0..12).filter(|&n| set.contains(n)).collect();
        assert_eq!(members, [3, 4, 8]);
    }
}
