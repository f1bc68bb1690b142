//! Real servers for tests: databases, object stores and proxies as children of the test, each on
//! ports the system chose, with its data in a temporary directory.
//!
//! A server ends when it is dropped, and with the process that started it, however that ends.
//! `.ci/install-test-tools` installs the programs; a start that misses one says so.

pub mod azurite;
pub mod ca;
pub mod daemon;
pub mod faulty_s3;
pub mod http;
pub mod ministack;
pub mod nginx;
pub mod postgres;
mod program;
pub mod s3;
pub mod seaweed;
mod time;
pub mod udp_switch;
