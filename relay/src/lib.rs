//! The service beside the storage: it alone holds storage credentials and writes parts to planes.

pub mod access;
pub mod admin;
pub mod api;
pub mod catalogue;
mod commit;
pub mod config;
pub mod copy;
mod discard;
mod enroll;
pub mod housekeeping;
mod identity;
pub mod logging;
mod memory;
mod placing;
pub mod plane;
mod planes;
mod pointer;
pub mod serve;
mod service;
mod session;
mod shown;
mod sink;
mod staging;
mod state;
