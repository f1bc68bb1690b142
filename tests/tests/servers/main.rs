//! The servers other tests rely on: each starts, does its work, comes back, and leaves nothing.

mod blobs;
mod faulty;
mod objects;
mod postgres;
mod proxies;
