//! Why a bench has no result, or one of its contenders none.

use super::ceiling::CeilingError;
use crate::dial::DialError;
use crate::error::HarnessError;
use std::error::Error as _;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why there is no result.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BenchError {
    /// The user stopped it.
    #[error("interrupted")]
    Interrupted,
    /// A step failed.
    #[error(transparent)]
    Step(HarnessError),
    /// Built without optimisation.
    #[error("this is a debug build, whose figures mean nothing: run make bench")]
    DebugBuild,
    /// A variable of the environment is no usable number.
    #[error("{name} is {text:?}, expected a number from 1 to {most}")]
    Setting {
        /// The variable.
        name: &'static str,
        /// What it is.
        text: String,
        /// The largest number it may be.
        most: u64,
    },
    /// A workload was asked for that does not exist.
    #[error("BENCH_WORKLOADS names {text:?}, expected some of {known}")]
    Workload {
        /// What it names.
        text: String,
        /// Those that exist.
        known: String,
    },
    /// A program of a peer is not installed.
    #[error("{name} is not installed: make bench installs it or says how")]
    Missing {
        /// The program.
        name: &'static str,
    },
    /// The temporary directory is in memory, where nothing is durable.
    #[error("{} is in memory: name a directory on disk with TMPDIR", path.display())]
    Volatile {
        /// The directory.
        path: PathBuf,
    },
    /// A peer's server took no connection.
    #[error("{name} does not listen\n{log}")]
    Deaf {
        /// The program.
        name: &'static str,
        /// The end of what it logged.
        log: String,
    },
    /// What arrived is not what was sent.
    #[error("{contender} delivered other bytes than those sent")]
    Differs {
        /// Who delivered.
        contender: &'static str,
    },
    /// A program did not say what the bench reads from it.
    #[error("{program} did not say {what}")]
    Unsaid {
        /// The program.
        program: &'static str,
        /// What was looked for.
        what: &'static str,
    },
    /// Sessions ended that nobody ended.
    #[error("{lost} of {sessions} sessions were lost")]
    Lost {
        /// Those that ended.
        lost: usize,
        /// All of them.
        sessions: u64,
    },
    /// A command was done before it could be killed.
    #[error("{command} was done before it could be killed: name a larger BENCH_MIB")]
    NotCut {
        /// The command line.
        command: String,
    },
    /// The client of an object store failed.
    #[error("the client of the store failed")]
    Store(#[from] object_store::Error),
    /// What goes from memory to nowhere cannot be measured.
    #[error(transparent)]
    Ceiling(CeilingError),
    /// There is no session.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The document has no place for a table.
    #[error("{} has no {marker:?}", path.display())]
    Marker {
        /// The document.
        path: PathBuf,
        /// The line that is missing.
        marker: String,
    },
    /// The certificates of the TLS peers cannot be made.
    #[error("cannot make the certificates of the TLS peers")]
    Certificates(#[from] rcgen::Error),
    /// The signals that end the bench cannot be caught.
    #[error("cannot watch for Ctrl-C")]
    Signals(#[source] io::Error),
    /// Some workloads have no result; the others have.
    #[error("no result for {names}")]
    Incomplete {
        /// The workloads.
        names: String,
    },
}

impl BenchError {
    /// The error and its causes on one line each.
    pub(super) fn told(&self) -> String {
        let mut told = self.to_string();
        let mut below = self.source();
        while let Some(cause) = below {
            told.push_str(&format!("\nbecause: {cause}"));
            below = cause.source();
        }
        told
    }

    /// The first line of it, for a cell of a table.
    pub(super) fn brief(&self) -> String {
        let brief = match self {
            Self::Step(HarnessError::Failed { command, code, stderr }) => {
                let program = command.split(' ').next().unwrap_or_default();
                let lines = || stderr.lines().filter(|line| !line.trim().is_empty());
                let is_error = |line: &&str| line.to_ascii_lowercase().contains("error");
                let said = lines().find(is_error).or_else(|| lines().next_back());
                format!("{program} ended with {code}: {}", said.unwrap_or("it said nothing").trim())
            }
            other => other.to_string(),
        };
        brief.lines().next().unwrap_or_default().replace('|', "/")
    }
}

impl From<HarnessError> for BenchError {
    fn from(error: HarnessError) -> Self {
        match error {
            HarnessError::Interrupted => Self::Interrupted,
            other => Self::Step(other),
        }
    }
}

impl From<CeilingError> for BenchError {
    fn from(error: CeilingError) -> Self {
        match error {
            CeilingError::Interrupted => Self::Interrupted,
            other => Self::Ceiling(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_command_is_told_in_one_line_that_fits_a_table() {
        let error = BenchError::Step(HarnessError::Failed {
            command: "qcp -q a b".into(),
            code: 1,
            stderr: "first\na | b\n\n".into(),
        });

        assert_eq!(error.brief(), "qcp ended with 1: a / b");
    }

    #[test]
    fn the_line_that_tells_of_an_error_is_the_one_that_is_told() {
        let error = BenchError::Step(HarnessError::Failed {
            command: "skyspray-edge push".into(),
            code: 2,
            stderr: "note\nerror: unexpected argument\n\nFor more, try '--help'.\n".into(),
        });

        assert_eq!(error.brief(), "skyspray-edge ended with 2: error: unexpected argument");
    }
}
