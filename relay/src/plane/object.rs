//! Buckets of object stores, in the product's own words: what a plane of objects is made of.
//!
//! Nothing of the client crate shows outside this module. What lies where in a bucket, which
//! uploads are live and when a part is whole is known to the plane above.

mod bucket;
mod classify;
mod copying;
mod credentials;
mod error;
mod health;
mod many;
mod probe;
mod secret;
mod signed;
mod store;
mod strays;
mod transport;

#[cfg(test)]
mod tests;

pub(in crate::plane) use bucket::{Bucket, ObjectStat, ObjectTag, PutHow};
pub use bucket::{PieceId, UploadId};
pub(in crate::plane) use copying::CopyOf;
pub use error::BucketError;
pub(in crate::plane) use error::BucketFault;
pub(in crate::plane) use probe::Capabilities;
