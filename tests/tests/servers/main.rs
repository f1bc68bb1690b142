//! The servers other tests rely on: each starts, does its work, comes back, and leaves nothing.

mod objects;
mod postgres;
