//! Sixty-four bytes at a time: where a byte occurs, as one bit each.

use wide::u8x16;

/// Bytes looked at together.
pub(super) const BLOCK_BYTES: usize = 64;

/// A block in the registers of the host, to be searched for more than one byte.
#[derive(Clone, Copy)]
pub(super) struct Lanes([u8x16; 4]);

impl Lanes {
    /// Loads a block.
    #[inline]
    pub(super) fn of(block: &[u8; BLOCK_BYTES]) -> Self {
        let (quarters, _) = block.as_chunks::<16>();
        Self([0, 1, 2, 3].map(|index| u8x16::new(quarters[index])))
    }

    /// Bit `i` is set where byte `i` is `byte`.
    #[inline]
    pub(super) fn occurrences(self, byte: u8) -> u64 {
        let pattern = u8x16::splat(byte);
        let [first, second, third, fourth] =
            self.0.map(|lane| u64::from(lane.simd_eq(pattern).to_bitmask()));
        first | second << 16 | third << 32 | fourth << 48
    }
}

/// Bit `i` is set where `block[i] == byte`.
#[inline]
pub(super) fn occurrences(block: &[u8; BLOCK_BYTES], byte: u8) -> u64 {
    Lanes::of(block).occurrences(byte)
}

/// Bit `i` is the parity of the bits 0 to `i` of `mask`: set from each odd bit to the next even one.
#[inline]
pub(super) fn prefix_parity(mut mask: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        mask ^= mask << shift;
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_occurrence_has_its_bit_and_no_other(
            block in proptest::array::uniform32(any::<[u8; 2]>()),
            byte: u8,
        ) {
            let mut bytes = [0; BLOCK_BYTES];
            for (index, pair) in block.iter().enumerate() {
                // Half of the bytes are the one looked for, or one bit away from it.
                bytes[2 * index] = byte ^ (pair[0] & 1) ^ (pair[0] & 0x80);
                bytes[2 * index + 1] = pair[1];
            }

            let expected = (0..BLOCK_BYTES)
                .filter(|&index| bytes[index] == byte)
                .fold(0u64, |mask, index| mask | 1 << index);
            prop_assert_eq!(occurrences(&bytes, byte), expected);
        }
    }

    #[test]
    fn parity_is_set_from_each_odd_bit_to_the_next_even_one() {
        assert_eq!(prefix_parity(0b0100_0010), 0b0011_1110);
        assert_eq!(prefix_parity(1 << 63), 1 << 63);
        assert_eq!(prefix_parity(1), u64::MAX);
    }
}
