//! What a record is, which part it belongs to, and what that part is called.
//!
//! Pure: bytes and numbers in, ranges and names out. Nothing here reads a file, a socket, a clock
//! or a random source, so the same rules run at the edge, at the relay and in a test.

pub mod format;
pub mod naming;
pub mod split;
