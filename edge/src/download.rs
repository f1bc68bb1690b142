//! Files from a plane into a landing zone: `despray` of a logical file, `pull` of files as they
//! are, and the reading without writing that `verify` does.
//!
//! All of them drive `skyspray_link::receive` with a sink of their own. A file appears under its
//! name only when it is whole, durable and has the digest the catalogue states.

mod despray;
mod fault;
mod link;
mod listing;
mod open_parts;
mod page;
mod probe;
mod pull;
mod reading;
mod single;
mod state;

pub use despray::{ShapeFault, despray};
pub use fault::DownloadFault;
pub use probe::probe;
pub use pull::pull;

pub(crate) use link::Link;
pub(crate) use listing::Listing;
