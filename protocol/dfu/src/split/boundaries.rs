//! Where parts should end if records did not matter.

use std::num::NonZeroU32;

/// The ideal ends of parts in the stream of all sources.
#[derive(Clone, Copy, Debug)]
pub(super) struct Boundaries {
    /// `None` where the stream's length does not decide.
    total: Option<u64>,
    parts: NonZeroU32,
    /// Bytes of a code unit; the total and the ends it gives are in bytes and units.
    unit: u64,
}

impl Boundaries {
    /// Parts of about equal length. `total` is in bytes, what the ends are given in has `unit`
    /// bytes: a part ends after the same record in either.
    pub(super) fn balanced(total: u64, parts: NonZeroU32, unit: u64) -> Self {
        Self { total: Some(total), parts, unit }
    }

    pub(super) fn none(parts: NonZeroU32) -> Self {
        Self { total: None, parts, unit: 1 }
    }

    pub(super) fn parts(&self) -> u32 {
        self.parts.get()
    }

    /// The first ideal end after `at`, looked for from `part` on.
    pub(super) fn next_after(&self, at: u64, part: u32) -> u64 {
        let (mut low, mut high) = (part, self.parts().max(part));
        // Almost always it is the next one.
        let mut middle = low;
        while low < high {
            match self.end_of(middle) > at {
                true => high = middle,
                false => low = middle + 1,
            }
            middle = low + (high - low) / 2;
        }
        self.end_of(low)
    }

    /// The ideal end of `part`, counted from 0; `u64::MAX` where it takes all that comes.
    pub(super) fn end_of(&self, part: u32) -> u64 {
        match self.end_in_bytes(part) {
            u64::MAX => u64::MAX,
            end => end / self.unit,
        }
    }

    fn end_in_bytes(&self, part: u32) -> u64 {
        let parts = u64::from(self.parts.get());
        let ordinal = u64::from(part) + 1;
        match self.total {
            Some(total) if ordinal < parts => match total / parts {
                0 => {
                    let end = u128::from(ordinal) * u128::from(total) / u128::from(parts);
                    u64::try_from(end).expect("not beyond the total")
                }
                part_bytes => ordinal * part_bytes,
            },
            _ => u64::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(total: u64, parts: u32) -> Vec<u64> {
        let boundaries = Boundaries::balanced(total, NonZeroU32::new(parts).unwrap(), 1);
        (0..parts).map(|part| boundaries.end_of(part)).collect()
    }

    #[test]
    fn parts_are_equal_and_the_last_takes_the_rest() {
        assert_eq!(ends(33, 3), [11, 22, u64::MAX]);
        assert_eq!(ends(107, 4), [26, 52, 78, u64::MAX]);
        assert_eq!(ends(u64::MAX, 2), [u64::MAX / 2, u64::MAX]);
    }

    #[test]
    fn the_end_after_an_offset_is_the_first_beyond_it_from_a_part_on() {
        for (total, parts) in [(0, 3), (2, 4), (33, 3), (50, 60), (107, 4), (1, 1)] {
            let boundaries = Boundaries::balanced(total, NonZeroU32::new(parts).unwrap(), 2);
            for (at, part) in (0..total + 2).flat_map(|at| (0..=parts).map(move |part| (at, part)))
            {
                let mut ends = (part..parts).map(|part| boundaries.end_of(part));
                let expected = ends.find(|&end| end > at).unwrap_or(u64::MAX);
                assert_eq!(
                    boundaries.next_after(at, part),
                    expected,
                    "{total} {parts} {at} {part}"
                );
            }
        }
    }

    #[test]
    fn fewer_bytes_than_parts_are_spread() {
        assert_eq!(ends(2, 4), [0, 1, 1, u64::MAX]);
        assert_eq!(ends(0, 2), [0, u64::MAX]);
    }
}
