//! Frames on request streams: a 4-byte little-endian length, then one postcard message.

use crate::limits::FRAME_MAX;
use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

/// Bytes before each message: its length.
pub const LENGTH_BYTES: usize = 4;

/// Why a frame cannot be written or read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Longer than [`FRAME_MAX`].
    #[error("frame of {bytes} bytes, at most {FRAME_MAX} are allowed")]
    TooLong {
        /// Bytes found.
        bytes: u64,
    },
    /// The bytes are no message of this protocol version.
    #[error("a frame of {bytes} bytes is no known message")]
    Unreadable {
        /// Bytes in the frame.
        bytes: usize,
        /// What the decoder said.
        source: postcard::Error,
    },
    /// Bytes left over behind the message.
    #[error("{bytes} bytes behind the message of a frame")]
    Trailing {
        /// Bytes left over.
        bytes: usize,
    },
}

/// The message with its length before it.
///
/// # Errors
///
/// The message is longer than a frame may be: whoever filled a page too full is at fault.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let start = vec![0u8; LENGTH_BYTES];
    let mut bytes = postcard::to_extend(message, start)
        .map_err(|source| FrameError::Unreadable { bytes: 0, source })?;
    let length = bytes.len() - LENGTH_BYTES;
    let prefix = checked_length(length as u64)?;
    bytes[..LENGTH_BYTES].copy_from_slice(&prefix.to_le_bytes());
    Ok(bytes)
}

/// The length of the message that follows these bytes.
///
/// # Errors
///
/// Longer than allowed: the peer's fault, and nothing was allocated.
pub fn decode_length(prefix: [u8; LENGTH_BYTES]) -> Result<usize, FrameError> {
    checked_length(u64::from(u32::from_le_bytes(prefix))).map(|length| length as usize)
}

/// Reads a message from exactly its bytes.
///
/// # Errors
///
/// The peer broke the protocol or speaks a newer version of it.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, FrameError> {
    let (message, rest) = postcard::take_from_bytes(bytes)
        .map_err(|source| FrameError::Unreadable { bytes: bytes.len(), source })?;
    if rest.is_empty() { Ok(message) } else { Err(FrameError::Trailing { bytes: rest.len() }) }
}

fn checked_length(bytes: u64) -> Result<u32, FrameError> {
    u32::try_from(bytes)
        .ok()
        .filter(|&length| length <= FRAME_MAX)
        .ok_or(FrameError::TooLong { bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_its_length_and_its_message() {
        let bytes = encode(&(1u8, "ab")).unwrap();

        assert_eq!(bytes, [4, 0, 0, 0, 1, 2, b'a', b'b']);
        assert_eq!(decode_length([4, 0, 0, 0]).unwrap(), 4);
        assert_eq!(decode::<(u8, String)>(&bytes[4..]).unwrap(), (1, "ab".to_owned()));
    }

    #[test]
    fn bytes_behind_the_message_and_overlong_frames_are_refused() {
        let trailing = decode::<u8>(&[1, 2, 3]).unwrap_err();
        assert_eq!(trailing.to_string(), "2 bytes behind the message of a frame");

        let long = decode_length(u32::MAX.to_le_bytes()).unwrap_err();
        assert_eq!(long.to_string(), "frame of 4294967295 bytes, at most 65536 are allowed");
    }
}
