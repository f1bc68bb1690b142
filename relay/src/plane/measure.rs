//! Reads a stored file back and says what is really there.

use super::{PlaneError, StoredFile};
use skyspray_wire::digest::Digest;

/// What a file holds, as read from the plane.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Measured {
    /// Bytes read until the end.
    pub length: u64,
    /// BLAKE3 root over them.
    pub digest: Digest,
    /// CRC-32 (IEEE) over them.
    pub crc32: u32,
}

impl StoredFile {
    /// Reads the whole file once.
    ///
    /// # Errors
    ///
    /// The host's.
    pub fn measure(&self) -> Result<Measured, PlaneError> {
        self.advise_sequential();
        let mut buffer = vec![0; BUFFER_BYTES];
        let (mut blake3, mut crc32) = (blake3::Hasher::new(), crc32fast::Hasher::new());
        let mut length = 0;
        loop {
            let read = self.read_at(&mut buffer, length)?;
            if read == 0 {
                break;
            }
            blake3.update(&buffer[..read]);
            crc32.update(&buffer[..read]);
            length += read as u64;
        }
        let digest = Digest(*blake3.finalize().as_bytes());
        Ok(Measured { length, digest, crc32: crc32.finalize() })
    }
}

/// Bytes read at once.
const BUFFER_BYTES: usize = 1024 * 1024;
