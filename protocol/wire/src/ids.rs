//! Numbers and ids that cross function boundaries, one type each.

use serde::{Deserialize, Serialize};
use std::fmt;
use thiserror::Error;

/// Position of a part within its job, counted from 0.
///
/// People and stored names count from 1 (`orders._1_of_4`), and so does `Display`.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
pub struct PartIndex(pub u32);

impl fmt::Display for PartIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", u64::from(self.0) + 1)
    }
}

/// Position of a source among the sources of its job, counted from 0.
///
/// People count from 1, and so does `Display`.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
pub struct SourceIndex(pub u32);

impl fmt::Display for SourceIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", u64::from(self.0) + 1)
    }
}

/// Position of a chunk within its part, counted from 0: its offset divided by the chunk size.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
pub struct ChunkIndex(pub u64);

impl fmt::Display for ChunkIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Number that fences earlier holders of a lease. Starts at 1 and only grows.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Epoch(pub u64);

/// Number of one immutable state of a logical file, from 1 in the order of commits.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Generation(pub u64);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One requested operation, named by the edge that asks for it.
///
/// 128 random bits. The same id opened again continues the job or returns its result; it never
/// writes twice. Shown as 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct JobId(pub [u8; 16]);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobId({self})")
    }
}

/// A text that is not a job id.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("a job id is 32 hexadecimal digits, found {length} characters")]
pub struct JobIdError {
    /// Characters in the text.
    pub length: usize,
}

impl std::str::FromStr for JobId {
    type Err = JobIdError;

    fn from_str(text: &str) -> Result<Self, JobIdError> {
        let wrong = || JobIdError { length: text.chars().count() };
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let mut id = [0u8; 16];
        for (index, byte) in id.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[index * 2..index * 2 + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Self(id))
    }
}

/// Size of every chunk of a job but the last of each part, in bytes.
///
/// A power of two of at least 1 KiB, so that chunk values are nodes of the part's BLAKE3 tree. The
/// relay chooses it at open from what the plane needs.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct ChunkSize(u32);

impl ChunkSize {
    /// 1 MiB, what file planes use.
    pub const FILE_PLANE: Self = Self(1024 * 1024);

    /// Accepts a power of two between 1 KiB and [`crate::limits::CHUNK_SIZE_MAX`].
    ///
    /// # Errors
    ///
    /// Any other number.
    pub fn try_new(bytes: u32) -> Result<Self, ChunkSizeError> {
        let allowed = 1024..=crate::limits::CHUNK_SIZE_MAX;
        if bytes.is_power_of_two() && allowed.contains(&bytes) {
            Ok(Self(bytes))
        } else {
            Err(ChunkSizeError { bytes })
        }
    }

    /// The size in bytes.
    pub fn bytes(self) -> u32 {
        self.0
    }

    /// The chunk that holds byte `offset` of a part.
    pub fn index_of(self, offset: u64) -> ChunkIndex {
        ChunkIndex(offset / u64::from(self.0))
    }

    /// Offset of the first byte of `chunk`; saturates for an index no part can have.
    pub fn offset_of(self, chunk: ChunkIndex) -> u64 {
        chunk.0.saturating_mul(u64::from(self.0))
    }

    /// How many chunks a part of `length` bytes has; an empty part has none.
    pub fn count(self, length: u64) -> u64 {
        length.div_ceil(u64::from(self.0))
    }

    /// Length of `chunk` in a part of `length` bytes, 0 beyond its end.
    pub fn length_of(self, chunk: ChunkIndex, length: u64) -> u32 {
        let rest = length.saturating_sub(self.offset_of(chunk));
        u32::try_from(rest.min(u64::from(self.0))).expect("at most the chunk size")
    }
}

impl TryFrom<u32> for ChunkSize {
    type Error = ChunkSizeError;

    fn try_from(bytes: u32) -> Result<Self, ChunkSizeError> {
        Self::try_new(bytes)
    }
}

impl From<ChunkSize> for u32 {
    fn from(size: ChunkSize) -> Self {
        size.0
    }
}

/// A number that cannot be a chunk size.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error(
    "chunk size {bytes} is not a power of two between 1024 and {}",
    crate::limits::CHUNK_SIZE_MAX
)]
pub struct ChunkSizeError {
    /// The number found.
    pub bytes: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_id_reads_back_from_what_it_shows() {
        let id = JobId(std::array::from_fn(|i| (i * 17) as u8));

        assert_eq!(id.to_string(), "00112233445566778899aabbccddeeff");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("xyz".parse::<JobId>(), Err(JobIdError { length: 3 }));
        assert_eq!("+1".repeat(16).parse::<JobId>(), Err(JobIdError { length: 32 }));
    }

    #[test]
    fn a_part_counts_from_one_for_people() {
        assert_eq!(PartIndex(0).to_string(), "1");
        assert_eq!(PartIndex(u32::MAX).to_string(), "4294967296");
    }

    #[test]
    fn only_powers_of_two_are_chunk_sizes() {
        assert_eq!(ChunkSize::try_new(4096).map(ChunkSize::bytes), Ok(4096));
        assert_eq!(ChunkSize::try_new(512), Err(ChunkSizeError { bytes: 512 }));
        assert_eq!(ChunkSize::try_new(3000), Err(ChunkSizeError { bytes: 3000 }));
    }

    #[test]
    fn the_last_chunk_is_what_is_left() {
        let size = ChunkSize::try_new(1024).unwrap();

        assert_eq!(size.count(2049), 3);
        assert_eq!(size.length_of(ChunkIndex(2), 2049), 1);
        assert_eq!(size.length_of(ChunkIndex(3), 2049), 0);
        assert_eq!(size.count(0), 0);
    }
}
