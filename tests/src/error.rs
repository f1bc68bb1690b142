//! Why the harness could not do its part.

use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// A failed start, wait or command.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HarnessError {
    /// A program under test is not built.
    #[error("{} is missing: run make test or make demo, which build it", path.display())]
    BinaryMissing {
        /// Where it should be.
        path: PathBuf,
    },
    /// A program that a server for tests needs is not installed.
    #[error("{program} is not installed: run .ci/install-test-tools as root")]
    ServerMissing {
        /// The program.
        program: &'static str,
    },
    /// A server answered a request of the harness with a failure.
    #[error("{request} was answered {status}: {body}")]
    Answered {
        /// Method and path.
        request: String,
        /// The HTTP status; 0 when there was no answer.
        status: u16,
        /// What came with it.
        body: String,
    },
    /// A certificate of a test cannot be made.
    #[error("a certificate cannot be made")]
    Certificate(#[from] rcgen::Error),
    /// TLS to a server for tests cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    /// A program does not start.
    #[error("{program} does not start")]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the host says.
        source: io::Error,
    },
    /// A program ended before it said what was waited for.
    #[error("{command} ended before {what}\n{log}")]
    Ended {
        /// The command line.
        command: String,
        /// What was waited for.
        what: &'static str,
        /// The end of what it wrote to stderr.
        log: String,
    },
    /// Time is up.
    #[error("{command} did not reach {what} within {seconds} s\n{log}")]
    Late {
        /// The command line.
        command: String,
        /// What was waited for.
        what: &'static str,
        /// For how long.
        seconds: u64,
        /// The end of what it wrote to stderr.
        log: String,
    },
    /// A command ended with another exit code than 0.
    #[error("{command} ended with {code}\n{stderr}")]
    Failed {
        /// The command line.
        command: String,
        /// Its exit code; -1 for a signal.
        code: i32,
        /// All it wrote to stderr.
        stderr: String,
    },
    /// A command did not say what it must.
    #[error("{command} did not say {what}")]
    Unsaid {
        /// The command line.
        command: String,
        /// What was looked for.
        what: &'static str,
    },
    /// The user wants to stop.
    #[error("interrupted")]
    Interrupted,
    /// A file of the harness cannot be used.
    #[error("cannot use {}", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What the host says.
        source: io::Error,
    },
}

impl HarnessError {
    /// The error for `path`, to give to `map_err`.
    pub fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
