//! The agent beside the files: reads and writes landing zones, and speaks to relays over
//! connections it opens itself.

pub mod cli;
pub mod command;
pub mod config;
pub mod context;
pub mod download;
mod durable;
pub mod enroll;
pub mod exit;
pub mod format;
pub mod journal;
pub mod landing;
pub mod logging;
pub mod meta;
pub mod offline;
pub mod output;
pub mod plan;
pub mod receipts;
pub mod session;
pub mod size;
pub mod source;
pub mod splitting;
pub mod stop;
pub mod upload;
