//! The demo: a relay and an edge on this machine, one real file all the way and back.
//!
//! `FILE=orders.csv PARTS=8` does it with the reader's own file.

use skyspray_tests::demo::{self, DemoError};
use std::error::Error as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    match demo::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(DemoError::Interrupted) => {
            eprintln!("\ninterrupted; everything is removed");
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("\nerror: {error}");
            let mut below = error.source();
            while let Some(cause) = below {
                eprintln!("  because: {cause}");
                below = cause.source();
            }
            ExitCode::FAILURE
        }
    }
}
