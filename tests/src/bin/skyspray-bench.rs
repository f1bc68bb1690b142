//! The bench: every workload beside the programs people use for the same, in one run.
//!
//! `BENCH_WORKLOADS=w1,w3` chooses, `BENCH_MIB=64 BENCH_ROUNDS=2` makes it short,
//! `BENCH_JSON=figures.json` keeps the figures.

use skyspray_tests::bench::{self, BenchError};
use std::error::Error as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    match bench::side_of(&arguments).unwrap_or_else(bench::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(BenchError::Interrupted) => {
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
