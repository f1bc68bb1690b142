//! What an edge and a relay say to each other, as data: names, ids, digests, limits, messages,
//! frames, refusals and the sans-IO machines that decide which chunk goes next and when a job may
//! be committed.
//!
//! Nothing here reads a clock, a file, a socket or a random source.

pub mod chunk;
pub mod digest;
pub mod frame;
pub mod ids;
pub mod limits;
pub mod message;
pub mod name;
pub mod ranges;
pub mod receipt;
pub mod receiver;
pub mod refusal;
pub mod sender;
