//! Sixty-four bytes at a time: where a byte occurs, as one bit each.

/// Bytes looked at together.
pub(super) const BLOCK_BYTES: usize = 64;

/// Bit `i` is set where `block[i] == byte`.
///
/// Eight bytes are compared in one word, eight words are packed into one whose bits are then
/// transposed; compilers turn this into vector code without being asked to.
#[inline]
pub(super) fn occurrences(block: &[u8; BLOCK_BYTES], byte: u8) -> u64 {
    let pattern = u64::from(byte) * EVERY_BYTE;
    let (words, _) = block.as_chunks::<8>();
    let hit = |index: usize| {
        let difference = u64::from_le_bytes(words[index]) ^ pattern;
        !(((difference & LOW_BITS) + LOW_BITS) | difference) & !LOW_BITS
    };
    let mut first_half = 0;
    let mut second_half = 0;
    for index in 0..4 {
        first_half |= hit(index) >> (7 - index);
        second_half |= hit(index + 4) >> (7 - index);
    }
    transpose(first_half | second_half << 4)
}

/// Bit `i` is the parity of the bits 0 to `i` of `mask`: set from each odd bit to the next even one.
#[inline]
pub(super) fn prefix_parity(mut mask: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        mask ^= mask << shift;
    }
    mask
}

/// Swaps row and column of the 8 by 8 bits of `bits`.
#[inline]
fn transpose(mut bits: u64) -> u64 {
    for (shift, mask) in
        [(7, 0x00AA_00AA_00AA_00AA), (14, 0x0000_CCCC_0000_CCCC), (28, 0x0000_0000_F0F0_F0F0)]
    {
        let swapped = (bits ^ (bits >> shift)) & mask;
        bits ^= swapped ^ (swapped << shift);
    }
    bits
}

const EVERY_BYTE: u64 = 0x0101_0101_0101_0101;
const LOW_BITS: u64 = 0x7F7F_7F7F_7F7F_7F7F;

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
