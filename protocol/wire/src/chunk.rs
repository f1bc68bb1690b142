//! The header before each chunk on a data stream: fixed size, parsed without allocation.

use crate::ids::{ChunkIndex, ChunkSize, Epoch, JobId, PartIndex};
use crate::limits::CHUNK_SIZE_MAX;
use thiserror::Error;

/// Bytes of an encoded [`ChunkHeader`].
pub const CHUNK_HEADER_BYTES: usize = 88;

const MAGIC: [u8; 4] = *b"SKC1";

/// How the body of a chunk is encoded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Encoding {
    /// The bytes as they are.
    Raw,
    /// One zstd frame that states its content size.
    Zstd,
}

/// What stands before the body of a chunk. A chunk needs nothing else to be placed and verified.
///
/// Layout, integers little-endian: magic `SKC1`, encoding (1 byte: 0 raw, 1 zstd), 3 zero bytes,
/// job (16), epoch (8), part (4), 4 zero bytes, offset (8), raw length (4), wire length (4), BLAKE3
/// subtree value (32).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ChunkHeader {
    /// The job this chunk belongs to.
    pub job: JobId,
    /// The lease under which it is written; in a read, the epoch the relay granted.
    pub epoch: Epoch,
    /// The part it belongs to.
    pub part: PartIndex,
    /// Offset of its first byte in the part, a multiple of the job's chunk size.
    pub offset: u64,
    /// Bytes of the chunk itself, 1 to the chunk size.
    pub raw_length: u32,
    /// Bytes of the body that follows; equal to `raw_length` when raw, less otherwise.
    pub wire_length: u32,
    /// How the body is encoded.
    pub encoding: Encoding,
    /// BLAKE3 subtree value of the uncompressed bytes at `offset`.
    pub subtree: [u8; 32],
}

/// Why bytes are no chunk header. The peer's fault; the session ends.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum ChunkHeaderError {
    /// Other bytes than `SKC1`.
    #[error("a chunk header begins with SKC1, found {found:02x?}")]
    Magic {
        /// The bytes found.
        found: [u8; 4],
    },
    /// An encoding this version does not know.
    #[error("chunk encoding {found} is unknown")]
    Encoding {
        /// The number found.
        found: u8,
    },
    /// Bytes that must be zero are not.
    #[error("reserved bytes of a chunk header are not zero")]
    Reserved,
    /// A length that no chunk has.
    #[error("chunk of {raw} bytes in a body of {wire} bytes")]
    Length {
        /// Stated raw length.
        raw: u32,
        /// Stated wire length.
        wire: u32,
    },
    /// Not a multiple of the chunk size, or beyond what an offset can be.
    #[error("chunk offset {offset} is not a multiple of the chunk size {size}")]
    Offset {
        /// Stated offset.
        offset: u64,
        /// The job's chunk size.
        size: u32,
    },
}

impl ChunkHeader {
    /// The header as it travels.
    pub fn encode(&self) -> [u8; CHUNK_HEADER_BYTES] {
        let mut bytes = [0u8; CHUNK_HEADER_BYTES];
        bytes[0..4].copy_from_slice(&MAGIC);
        bytes[4] = match self.encoding {
            Encoding::Raw => 0,
            Encoding::Zstd => 1,
        };
        bytes[8..24].copy_from_slice(&self.job.0);
        bytes[24..32].copy_from_slice(&self.epoch.0.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.part.0.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.offset.to_le_bytes());
        bytes[48..52].copy_from_slice(&self.raw_length.to_le_bytes());
        bytes[52..56].copy_from_slice(&self.wire_length.to_le_bytes());
        bytes[56..88].copy_from_slice(&self.subtree);
        bytes
    }

    /// Reads a header; everything that can be checked without the job is checked.
    ///
    /// # Errors
    ///
    /// The peer broke the protocol.
    pub fn decode(bytes: &[u8; CHUNK_HEADER_BYTES]) -> Result<Self, ChunkHeaderError> {
        let magic = array(bytes, 0);
        if magic != MAGIC {
            return Err(ChunkHeaderError::Magic { found: magic });
        }
        let encoding = match bytes[4] {
            0 => Encoding::Raw,
            1 => Encoding::Zstd,
            found => return Err(ChunkHeaderError::Encoding { found }),
        };
        if bytes[5..8] != [0; 3] || bytes[36..40] != [0; 4] {
            return Err(ChunkHeaderError::Reserved);
        }
        let header = Self {
            job: JobId(array(bytes, 8)),
            epoch: Epoch(u64::from_le_bytes(array(bytes, 24))),
            part: PartIndex(u32::from_le_bytes(array(bytes, 32))),
            offset: u64::from_le_bytes(array(bytes, 40)),
            raw_length: u32::from_le_bytes(array(bytes, 48)),
            wire_length: u32::from_le_bytes(array(bytes, 52)),
            encoding,
            subtree: array(bytes, 56),
        };
        let (raw, wire) = (header.raw_length, header.wire_length);
        let fits = match encoding {
            Encoding::Raw => wire == raw,
            Encoding::Zstd => wire > 0 && wire < raw,
        };
        if raw == 0 || raw > CHUNK_SIZE_MAX || !fits {
            return Err(ChunkHeaderError::Length { raw, wire });
        }
        Ok(header)
    }

    /// Which chunk of its part this is, for a job with chunks of `size`.
    ///
    /// # Errors
    ///
    /// The offset is not aligned, or the chunk is longer than the job allows: the peer's fault.
    pub fn index(&self, size: ChunkSize) -> Result<ChunkIndex, ChunkHeaderError> {
        if self.raw_length > size.bytes() {
            return Err(ChunkHeaderError::Length { raw: self.raw_length, wire: self.wire_length });
        }
        let end = self.offset.checked_add(u64::from(size.bytes()));
        if end.is_none() || !self.offset.is_multiple_of(u64::from(size.bytes())) {
            return Err(ChunkHeaderError::Offset { offset: self.offset, size: size.bytes() });
        }
        Ok(size.index_of(self.offset))
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("a header holds the field")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> ChunkHeader {
        ChunkHeader {
            job: JobId([7; 16]),
            epoch: Epoch(3),
            part: PartIndex(2),
            offset: 2048,
            raw_length: 1000,
            wire_length: 10,
            encoding: Encoding::Zstd,
            subtree: [9; 32],
        }
    }

    #[test]
    fn a_header_reads_back_as_written() {
        assert_eq!(ChunkHeader::decode(&header().encode()), Ok(header()));
    }

    #[test]
    fn a_header_that_breaks_a_rule_is_refused_with_the_rule() {
        let with = |at: usize, byte: u8| {
            let mut bytes = header().encode();
            bytes[at] = byte;
            ChunkHeader::decode(&bytes).unwrap_err()
        };

        assert_eq!(with(0, b'X'), ChunkHeaderError::Magic { found: *b"XKC1" });
        assert_eq!(with(4, 2), ChunkHeaderError::Encoding { found: 2 });
        assert_eq!(with(6, 1), ChunkHeaderError::Reserved);
        assert_eq!(with(39, 1), ChunkHeaderError::Reserved);
        assert_eq!(with(4, 0), ChunkHeaderError::Length { raw: 1000, wire: 10 });
        assert_eq!(with(53, 4), ChunkHeaderError::Length { raw: 1000, wire: 1034 });
    }

    #[test]
    fn an_offset_must_be_aligned_and_leave_room_for_a_chunk() {
        let size = ChunkSize::try_new(1024).unwrap();
        let at = |offset| ChunkHeader { offset, ..header() }.index(size);

        assert_eq!(at(2048), Ok(ChunkIndex(2)));
        assert_eq!(at(2049), Err(ChunkHeaderError::Offset { offset: 2049, size: 1024 }));
        let last = u64::MAX - 1023;
        assert_eq!(at(last), Err(ChunkHeaderError::Offset { offset: last, size: 1024 }));
    }
}
