//! The service beside the storage: it alone holds storage credentials and writes parts to planes.

pub mod access;
pub mod admin;
pub mod catalogue;
mod commit;
pub mod config;
mod discard;
mod enroll;
pub mod housekeeping;
pub mod logging;
pub mod plane;
pub mod serve;
mod service;
mod session;
mod sink;
mod state;
