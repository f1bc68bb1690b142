//! A receipt key as text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use skyspray_certs::receipt::ReceiptVerifier;
use thiserror::Error;

/// A text that is no receipt key.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("{length} characters, expected 64 hexadecimal digits or the base64 of 32 bytes")]
pub struct KeyTextError {
    /// Characters found, without blanks at either end.
    pub length: usize,
}

/// Reads the public half of a receipt key: its 32 bytes (RFC 8032) as hexadecimal digits or
/// base64, on one line.
///
/// # Errors
///
/// Any other text.
pub fn parse_key(text: &str) -> Result<ReceiptVerifier, KeyTextError> {
    let text = text.trim();
    let bytes = from_hex(text).or_else(|| STANDARD.decode(text).ok());
    bytes
        .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
        .map(ReceiptVerifier::from_bytes)
        .ok_or(KeyTextError { length: text.chars().count() })
}

/// The bytes of lower- or upper-case hexadecimal digits.
pub(super) fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let pair = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).ok();
    (0..text.len()).step_by(2).map(pair).collect()
}

/// Bytes as lower-case hexadecimal digits.
pub(super) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
