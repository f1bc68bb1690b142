//! Counting: every loop runs in a process of its own under callgrind, which counts the
//! instructions of one function and all below it.

use crate::baseline::{Cost, Tools};
use crate::hot::HotLoop;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use thiserror::Error;

/// The function that is counted, as callgrind names it.
const COUNTED: &str = "*counted_hot_loop*";

/// What a process that runs one loop says on stdout.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Said {
    /// What the loop went through.
    pub(crate) units: u64,
    /// The instruction sets it saw.
    pub(crate) simd: String,
}

/// Why a loop was not counted.
#[derive(Debug, Error)]
pub(crate) enum CountError {
    /// A program is not installed.
    #[error("{program} is missing: run .ci/install-test-tools as root, which installs it")]
    Missing { program: &'static str },
    /// A program does not start.
    #[error("{program} does not start")]
    Start { program: &'static str, source: io::Error },
    /// The guard does not know where its own program is.
    #[error("the guard's own program is not found")]
    Own(#[source] io::Error),
    /// The loop failed.
    #[error("the loop {name} failed under callgrind\n{log}")]
    Failed { name: &'static str, log: String },
    /// callgrind counted nothing, so it did not see the function.
    #[error("callgrind did not find the loop {name}\n{log}")]
    Unseen { name: &'static str, log: String },
    /// The loop did not say what it went through.
    #[error("the loop {name} said nothing of use: {said:?}")]
    Unsaid { name: &'static str, said: String },
}

/// What one loop cost, and the instruction sets it saw.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Counted {
    pub(crate) name: &'static str,
    pub(crate) cost: Cost,
    pub(crate) simd: String,
}

/// Counts all of `loops`, as many at a time as there are processors. Counts do not depend on what
/// else the machine does.
///
/// # Errors
///
/// callgrind is not there or a loop fails; the first of them.
pub(crate) fn count_all(loops: &[HotLoop]) -> Result<Vec<Counted>, CountError> {
    let own = std::env::current_exe().map_err(CountError::Own)?;
    let next = AtomicUsize::new(0);
    let work = || {
        let mut counted = Vec::new();
        while let Some(hot) = loops.get(next.fetch_add(1, Ordering::Relaxed)) {
            counted.push(count(&own, hot.name)?);
        }
        Ok(counted)
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let results: Vec<Result<Vec<Counted>, CountError>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().expect("counting does not panic")).collect()
    });
    let counted: Result<Vec<Vec<Counted>>, CountError> = results.into_iter().collect();
    Ok(counted?.into_iter().flatten().collect())
}

fn count(own: &Path, name: &'static str) -> Result<Counted, CountError> {
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(format!("--toggle-collect={COUNTED}"))
        .arg(own)
        .args(["--loop", name]);
    // What a shell exports changes where the stack begins, and with it a few counts.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let output = run(command.env_clear().env("PATH", path), "valgrind")?;
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(CountError::Failed { name, log });
    }
    let Some(instructions) = collected(&log).filter(|&count| count > 0) else {
        return Err(CountError::Unseen { name, log });
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let Ok(Said { units, simd }) = serde_json::from_str(&said) else {
        return Err(CountError::Unsaid { name, said });
    };
    Ok(Counted { name, cost: Cost { units, instructions }, simd })
}

/// The count in what callgrind writes at its end: `==7== Collected : 123`.
fn collected(log: &str) -> Option<u64> {
    log.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok())
}

fn run(command: &mut Command, program: &'static str) -> Result<Output, CountError> {
    command.output().map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => CountError::Missing { program },
        _ => CountError::Start { program, source },
    })
}

/// The instruction sets that the libraries below the loops choose from at run time, as far as they
/// are there. Under callgrind these are what callgrind emulates.
pub(crate) fn simd() -> String {
    #[cfg(target_arch = "x86_64")]
    let sets = [
        ("sse4.1", std::arch::is_x86_feature_detected!("sse4.1")),
        ("avx", std::arch::is_x86_feature_detected!("avx")),
        ("avx2", std::arch::is_x86_feature_detected!("avx2")),
        ("avx512vl", std::arch::is_x86_feature_detected!("avx512vl")),
        ("bmi2", std::arch::is_x86_feature_detected!("bmi2")),
        ("pclmulqdq", std::arch::is_x86_feature_detected!("pclmulqdq")),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    let sets = [("of the target", true)];
    let there: Vec<_> = sets.into_iter().filter(|set| set.1).map(|set| set.0).collect();
    there.join(" ")
}

/// The programs of this machine that have a small say in the counts.
///
/// # Errors
///
/// One of them is missing.
pub(crate) fn tools() -> Result<Tools, CountError> {
    let first_line = |program: &'static str, argument: &str| -> Result<String, CountError> {
        let output = run(Command::new(program).arg(argument), program)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(text.lines().next().unwrap_or_default().trim().to_owned())
    };
    Ok(Tools {
        valgrind: first_line("valgrind", "--version")?,
        cc: first_line("cc", "--version")?,
        libc: first_line("getconf", "GNU_LIBC_VERSION")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_what_callgrind_says_at_its_end() {
        let log = "==7== Callgrind\n==7== Events    : Ir\n==7== Collected : 186543\n==7== \n";

        assert_eq!(collected(log), Some(186_543));
        assert_eq!(collected("==7== Collected :\n"), None);
        assert_eq!(collected(""), None);
    }

    #[test]
    fn what_a_loop_says_reads_back() {
        let said = Said { units: 5, simd: "avx2".to_owned() };

        let text = serde_json::to_string(&said).unwrap();

        assert_eq!(text, r#"{"units":5,"simd":"avx2"}"#);
        assert_eq!(serde_json::from_str::<Said>(&text).unwrap(), said);
    }
}
