//! Harness for tests of the real pair of processes: a relay and an edge as children of the test,
//! each in directories of its own, on ports the system chose.
//!
//! Nothing here replaces a part of the product. What a test starts is killed when it ends.

pub mod bench;
pub mod binary;
pub mod canary;
pub mod check;
pub mod cluster;
pub mod data;
pub mod demo;
pub mod dial;
pub mod edge;
pub mod error;
pub mod http;
pub mod kill;
pub mod output;
pub mod pair;
pub mod planes;
pub mod process;
pub mod relay;
pub mod server;
pub mod two_parts;
pub mod wait;
pub mod wan;

/// The arguments of a command, each anything that is like an `OsStr`.
#[macro_export]
macro_rules! args {
    ($($argument:expr),* $(,)?) => {
        vec![$(::std::ffi::OsStr::new($argument).to_owned()),*]
    };
}
