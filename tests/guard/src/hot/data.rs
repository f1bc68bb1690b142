//! Data for the loops, from fixed seeds.

use skyspray_link::seam::{Random as _, SeededRandom};

/// Bytes of the data of one loop.
pub(super) const BYTES: usize = 1 << 20;

/// Random numbers, the same in every run.
pub(super) struct Numbers(u64);

impl Numbers {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `limit`.
    pub(super) fn below(&mut self, limit: u32) -> u32 {
        // The generator of Knuth's MMIX; its upper bits are the good ones.
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32 % limit
    }
}

/// Rows of ten fields of 4 to 12 letters, `quoted_percent` of them in quotes, and how many there
/// are.
pub(super) fn rows(quoted_percent: u32) -> (Vec<u8>, u64) {
    let mut numbers = Numbers::new(12_345);
    let mut data = Vec::with_capacity(BYTES + 200);
    let mut count = 0;
    while data.len() < BYTES {
        for field in 0..10 {
            let quote = numbers.below(100) < quoted_percent;
            data.extend((field > 0).then_some(b','));
            data.extend(quote.then_some(b'"'));
            data.extend((0..4 + numbers.below(9)).map(|letter| b'a' + letter as u8));
            data.extend(quote.then_some(b'"'));
        }
        data.push(b'\n');
        count += 1;
    }
    (data, count)
}

/// As much text as `pattern` fits in [`BYTES`], and how often it is there.
pub(super) fn repeated(pattern: &[u8]) -> (Vec<u8>, u64) {
    let times = BYTES / pattern.len();
    (pattern.repeat(times), times as u64)
}

/// Bytes that do not shrink.
pub(super) fn noise() -> Vec<u8> {
    let mut bytes = vec![0; BYTES];
    SeededRandom::new(7).fill(&mut bytes);
    bytes
}

/// Text as it is in tables: words, numbers and dates that come again and again.
pub(super) fn table() -> Vec<u8> {
    const TOWNS: [&str; 6] = ["Oslo", "Lima", "Accra", "Perth", "Turin", "Quebec"];
    let mut numbers = Numbers::new(54_321);
    let mut text = String::with_capacity(BYTES + 100);
    while text.len() < BYTES {
        let town = TOWNS[numbers.below(6) as usize];
        let (month, day) = (1 + numbers.below(12), 1 + numbers.below(28));
        let (order, cents) = (numbers.below(10_000_000), numbers.below(100_000));
        text += &format!(
            "{order:07},{town},2026-{month:02}-{day:02},{}.{:02}\n",
            cents / 100,
            cents % 100
        );
    }
    text.truncate(BYTES);
    text.into_bytes()
}
