//! How a command ended, as other programs see it.

use skyspray_wire::refusal::Remedy;
use std::error::Error;
use std::process::ExitCode;

/// The error of a command: what went wrong, how the command then ends, and what to do.
pub trait Failure: Error {
    /// How the command ends.
    fn exit(&self) -> Exit;

    /// What the user can do, as one line.
    fn advice(&self) -> &'static str;

    /// HPCC's number for the same cause, where it has one.
    fn hpcc_number(&self) -> Option<u16> {
        None
    }
}

/// Exit codes of both binaries. Numbers never change meaning.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Exit {
    /// Everything asked for is done.
    Done = 0,
    /// Some files failed, the rest is done.
    SomeFailed = 1,
    /// The command line or configuration is wrong.
    Usage = 2,
    /// What was to be read is missing or unsuitable.
    Source = 3,
    /// Refused by policy or for want of an identity.
    Refused = 4,
    /// Failed for now; the same command may succeed later.
    Temporary = 5,
    /// Stored bytes are not what was committed, or the audit trail is broken.
    Mismatch = 6,
    /// A fault of this program or host.
    Internal = 7,
    /// A limit or quota is reached.
    Limit = 8,
    /// There was nothing to do, and the command was asked to say so.
    NothingToDo = 9,
    /// A window or deadline ended; resumable.
    DeadlineEnded = 10,
    /// What was planned is not what is there any more.
    PlanDrifted = 11,
    /// Interrupted; resumable.
    Interrupted = 130,
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl From<Remedy> for Exit {
    fn from(remedy: Remedy) -> Self {
        match remedy {
            Remedy::Retry => Self::Temporary,
            Remedy::Correct => Self::Usage,
            Remedy::Report => Self::Internal,
        }
    }
}
