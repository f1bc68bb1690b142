//! The real pair of processes on good input: what goes out comes back, and nothing else.

mod bounded_memory;
mod demo;
mod many_files;
mod proofs;
mod round_trip;
