//! The regression guard: counts the instructions of the hot loops and compares them with the
//! stored baseline. Nothing is timed, so it says the same on a busy machine.
//!
//! Without an argument it compares; `--renew` writes the baseline; `--loop NAME` runs one loop, which
//! is what callgrind is given; `--list` names the loops. Ends with 0 when every loop costs what the
//! baseline says, 1 when one does not, 2 when nothing could be counted, 3 when the baseline is not
//! for this compiler and machine.

mod baseline;
mod callgrind;
mod hot;
mod verdict;

use baseline::{Baseline, BaselineError, Cost, Key, Tools};
use callgrind::{CountError, Said};
use std::collections::BTreeMap;
use std::error::Error as _;
use std::process::ExitCode;
use thiserror::Error;
use verdict::{TOLERANCE_PERCENT, Verdict};

/// How the baseline is renewed.
const RENEW: &str = "make guard-baseline";

/// Why nothing was compared.
#[derive(Debug, Error)]
enum GuardError {
    #[error(transparent)]
    Count(#[from] CountError),
    #[error(transparent)]
    Baseline(#[from] BaselineError),
    /// Counts of an unoptimised build mean nothing.
    #[error("this is no optimised build: run make guard")]
    Unoptimised,
    #[error("unknown argument {argument:?}: none, --renew, --list or --loop NAME is expected")]
    Argument { argument: String },
    #[error("there is no loop {name:?}: --list names them")]
    UnknownLoop { name: String },
    /// A loop that does not do its work.
    #[error("the loop {name} came to {found}, {expected} was expected")]
    Outcome { name: &'static str, found: u64, expected: u64 },
}

impl GuardError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Baseline(BaselineError::Missing { .. } | BaselineError::NotComparable { .. }) => {
                3
            }
            _ => 2,
        }
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            let mut below = error.source();
            while let Some(cause) = below {
                eprintln!("  because: {cause}");
                below = cause.source();
            }
            if error.exit_code() == 3 {
                eprintln!("this is no regression: `{RENEW}` takes the baseline anew; commit it");
            }
            ExitCode::from(error.exit_code())
        }
    }
}

fn run() -> Result<ExitCode, GuardError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => guard(),
        ["--renew"] => renew(),
        ["--list"] => {
            hot::all().iter().for_each(|hot| println!("{}", hot.name));
            Ok(ExitCode::SUCCESS)
        }
        ["--loop", name] => run_loop(name),
        _ => Err(GuardError::Argument { argument: arguments.join(" ") }),
    }
}

/// Runs one loop, under callgrind or not.
fn run_loop(name: &str) -> Result<ExitCode, GuardError> {
    let hot = hot::find(name).ok_or_else(|| GuardError::UnknownLoop { name: name.to_owned() })?;
    let hot::Prepared { units, outcome: expected, work } = (hot.prepare)();
    let found = hot::counted_hot_loop(work);
    if found != expected {
        return Err(GuardError::Outcome { name: hot.name, found, expected });
    }
    let said = Said { units, simd: callgrind::simd() };
    println!("{}", serde_json::to_string(&said).expect("numbers and text are JSON"));
    Ok(ExitCode::SUCCESS)
}

/// What every loop costs here.
struct Counts {
    key: Key,
    tools: Tools,
    loops: BTreeMap<String, Cost>,
}

fn count() -> Result<Counts, GuardError> {
    if cfg!(debug_assertions) || env!("GUARD_OPT_LEVEL") != "3" {
        return Err(GuardError::Unoptimised);
    }
    let tools = callgrind::tools()?;
    let counted = callgrind::count_all(&hot::all())?;
    let simd = counted.first().map(|counted| counted.simd.clone()).unwrap_or_default();
    let key = Key { rustc: env!("GUARD_RUSTC").to_owned(), simd };
    let loops = counted.into_iter().map(|counted| (counted.name.to_owned(), counted.cost));
    Ok(Counts { key, tools, loops: loops.collect() })
}

fn renew() -> Result<ExitCode, GuardError> {
    let Counts { key, tools, loops } = count()?;
    let path = baseline::path(env!("GUARD_TARGET"));
    let count = loops.len();
    Baseline { key, tools, loops }.store(&path)?;
    println!("the counts of {count} loops are in {}", path.display());
    Ok(ExitCode::SUCCESS)
}

fn guard() -> Result<ExitCode, GuardError> {
    let path = baseline::path(env!("GUARD_TARGET"));
    let baseline = Baseline::load(&path)?;
    let counts = count()?;
    baseline.check(&counts.key)?;
    let verdicts = verdict::compare(&baseline, &counts.loops);
    println!("{:<20} {:>12} {:>12} {:>9}", "instructions of", "baseline", "here", "change");
    for (name, verdict) in &verdicts {
        println!("{name:<20} {verdict}{}", per_unit(name, counts.loops.get(name)));
    }
    if verdicts.values().all(|verdict| verdict.is_kept()) {
        println!("every loop is within {TOLERANCE_PERCENT} % of its baseline");
        return Ok(ExitCode::SUCCESS);
    }
    advise(&verdicts);
    if counts.tools != baseline.tools {
        eprintln!("the baseline was taken with {:?}, here are {:?}", baseline.tools, counts.tools);
    }
    Ok(ExitCode::FAILURE)
}

fn per_unit(name: &str, cost: Option<&Cost>) -> String {
    let (Some(hot), Some(cost)) = (hot::find(name), cost) else { return String::new() };
    let each = cost.instructions as f64 / cost.units as f64;
    format!("  {each:.2} a {}", hot.unit.name())
}

fn advise(verdicts: &BTreeMap<String, Verdict>) {
    let names = |wanted: &dyn Fn(Verdict) -> bool| {
        let of = verdicts.iter().filter(|(_, verdict)| wanted(**verdict));
        of.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let dearer = names(&Verdict::is_regression);
    let others = names(&|verdict| !verdict.is_kept() && !verdict.is_regression());
    if !dearer.is_empty() {
        eprintln!(
            "more than {TOLERANCE_PERCENT} % dearer: {dearer}; mend the code, or say in the commit \
             why it must cost more and renew the baseline with `{RENEW}`"
        );
    }
    if !others.is_empty() {
        eprintln!(
            "the baseline is out of date for {others}: renew it with `{RENEW}` and commit it, so \
             that what was gained is guarded too"
        );
    }
}
