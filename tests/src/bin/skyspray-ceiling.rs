//! The ceilings of this machine: `skyspray-ceiling [--mib N] [--rounds N] [quic|tls-tcp|tcp|blake3]...`.
//!
//! Ends with 1 when QUIC stays below its bar.

use skyspray_tests::bench::ceiling::{Bar, Ceiling, CeilingError, measure, side_of};
use std::error::Error as _;
use std::ffi::OsString;
use std::process::ExitCode;

/// Bytes of one turn unless `--mib` says otherwise, in MiB.
const MIB: u64 = 1024;

/// Rounds unless `--rounds` says otherwise.
const ROUNDS: u32 = 7;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if let Some(ended) = side_of(&arguments) {
        return ended.map_or_else(|error| fail(&error), |()| ExitCode::SUCCESS);
    }
    let Some((mib, rounds, ceilings)) = parse(&arguments) else {
        eprintln!("usage: skyspray-ceiling [--mib N] [--rounds N] [quic|tls-tcp|tcp|blake3]...");
        return ExitCode::from(2);
    };
    let measured = measure((mib, rounds), &ceilings, |round, ceiling, turn| {
        println!(
            "round {}  {:<8} {:>6.0} MB/s  {:.3} CPU s/GB",
            round + 1,
            ceiling.name(),
            turn.rate(),
            turn.cpu_seconds_a_gigabyte()
        );
    });
    match measured {
        Ok(report) => {
            println!("\n{}", report.table());
            let below = report.bar().is_some_and(|bar: Bar| !bar.is_reached());
            if below { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        Err(CeilingError::Interrupted) => ExitCode::from(130),
        Err(error) => fail(&error),
    }
}

fn parse(arguments: &[OsString]) -> Option<(u64, u32, Vec<Ceiling>)> {
    let (mut mib, mut rounds, mut ceilings) = (MIB, ROUNDS, Vec::new());
    let mut words = arguments.iter().map(|argument| argument.to_str());
    while let Some(word) = words.next() {
        match word? {
            "--mib" => mib = words.next()??.parse().ok().filter(|&mib| mib > 0)?,
            "--rounds" => rounds = words.next()??.parse().ok().filter(|&rounds| rounds > 0)?,
            name => ceilings.push(Ceiling::parse(name)?),
        }
    }
    if ceilings.is_empty() {
        ceilings = Ceiling::ALL.to_vec();
    }
    Some((mib, rounds, ceilings))
}

fn fail(error: &CeilingError) -> ExitCode {
    eprintln!("error: {error}");
    let mut below = error.source();
    while let Some(cause) = below {
        eprintln!("  because: {cause}");
        below = cause.source();
    }
    ExitCode::FAILURE
}
