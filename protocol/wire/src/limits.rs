//! Every limit a peer can run into, in one place. Checked before anything is allocated.

/// ALPN of the data listener.
pub const ALPN_DATA: &[u8] = b"skyspray/1";

/// ALPN of the enrollment listener.
pub const ALPN_ENROLL: &[u8] = b"skyspray-enrol/1";

/// Largest frame on a request stream, in bytes, without its 4-byte length.
///
/// Each side sets this much aside for a frame before it has parsed a byte of it. Longer content
/// travels in pages.
pub const FRAME_MAX: u32 = 64 * 1024;

/// Largest chunk size, in bytes: what the 10,000 pieces of a 5 TiB object need, rounded up.
pub const CHUNK_SIZE_MAX: u32 = 1024 * 1024 * 1024;

/// Parts of one spray, at most.
pub const PARTS_MAX: u32 = 65_536;

/// Files of one push or pull, at most, as parts of its job.
pub const FILES_MAX: u32 = 100_000_000;

/// Items of one page in a frame: parts sealed, ranges held, files opened, entries listed.
pub const PAGE_MAX: usize = 512;

/// Parts that a commit may seal: as many as fit a frame beside the most attributes.
pub const COMMIT_SEALS_MAX: usize = 256;

/// Bytes of names in one page, so that a page of long names still fits [`FRAME_MAX`].
pub const PAGE_NAME_BYTES_MAX: usize = 40 * 1024;

/// Chunks a sender may have unacknowledged in one job, at most.
pub const IN_FLIGHT_CHUNKS_MAX: u32 = 1024;

/// Data streams of one session.
pub const DATA_STREAMS_MAX: u32 = 16;

/// Request streams of one session that may be open at once, beside the data streams.
pub const REQUEST_STREAMS_MAX: u32 = 48;

/// Bytes of one segment of a path: what common file systems allow.
pub const SEGMENT_BYTES_MAX: usize = 255;

/// Segments of one name.
pub const SEGMENTS_MAX: usize = 32;

/// Bytes of a whole name, with its separators.
pub const NAME_BYTES_MAX: usize = 900;

/// Attributes of a logical file (`kind`, `format`, `csvSeparate`, …).
pub const ATTRIBUTES_MAX: usize = 64;

/// Bytes of all attributes of a logical file together, so that they fit a frame with the rest.
pub const ATTRIBUTES_BYTES_MAX: usize = 32 * 1024;

/// Sources a spray may record, at most.
pub const SOURCES_MAX: u32 = 100_000;

/// Bytes of the name of a recorded source.
pub const SOURCE_NAME_BYTES_MAX: usize = 1024;

/// Ranges of parts and sources that a spray may record, at most.
pub const ORIGIN_RANGES_MAX: u32 = 1_000_000;

/// Bytes of the detail text of a refusal.
pub const DETAIL_BYTES_MAX: usize = 1024;

/// Bytes of one segment of a logical name; leaves room for `._65536_of_65536`.
pub const LOGICAL_SEGMENT_BYTES_MAX: usize = 200;
