//! Whole files one after another in a logical file, each after a prefix that says its name and
//! size: HPCC's blob spray (`prefix`) and its reverse (`splitprefix`).
//!
//! Pure: makes and reads prefixes. Which files, in which order and into which part is the plan's.

mod error;
mod spec;
mod unblob;

pub use error::{BlobError, NameFault, SpecOption};
pub use spec::{PrefixSpec, SplitPrefixSpec};
pub use unblob::{Piece, Unblob};
