//! What a record is, which part it belongs to, and what that part is called.
//!
//! Pure: bytes and numbers in, ranges and names out. Nothing here reads a file, a socket, a clock
//! or a random source, so the same rules run at the edge, at the relay and in a test.

pub mod blob;
pub mod ecl;
pub mod encoding;
pub mod format;
pub mod hpcc_name;
pub mod join;
pub mod look;
pub mod meta;
pub mod naming;
pub mod probe;
pub mod split;
pub mod splitting;
