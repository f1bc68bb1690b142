//! Exit codes, and what an error must say about itself before a command may end with it.

use serde::Serialize;
use skyspray_certs::store::StoreError;
use skyspray_wire::refusal::{Refusal, RefusalCode, Remedy};
use std::borrow::Cow;
use std::error::Error;
use std::fmt;

/// How a command ended, as its exit status. The numbers are a contract with other programs.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize)]
#[serde(into = "u8")]
pub enum Exit {
    /// Everything asked for is done.
    Done,
    /// Some files failed, the others are done.
    SomeFailed,
    /// The command line or the configuration is wrong.
    Usage,
    /// A source is missing, unsuitable or changed.
    Source,
    /// Refused by policy or identity.
    Refused,
    /// The same command may succeed later.
    Temporary,
    /// Bytes, digests or signatures are not what they should be.
    Mismatch,
    /// A fault of this program or of what it runs on.
    Internal,
    /// A limit or quota is reached.
    Limit,
    /// There was nothing to do, where the user asked to be told.
    NothingToDo,
    /// A window or deadline ended; the job can be resumed.
    WindowEnded,
    /// The plan is not the one the job began with.
    PlanDrifted,
    /// Interrupted; the job can be resumed.
    Interrupted,
}

impl Exit {
    /// The exit status.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::SomeFailed => 1,
            Self::Usage => 2,
            Self::Source => 3,
            Self::Refused => 4,
            Self::Temporary => 5,
            Self::Mismatch => 6,
            Self::Internal => 7,
            Self::Limit => 8,
            Self::NothingToDo => 9,
            Self::WindowEnded => 10,
            Self::PlanDrifted => 11,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for u8 {
    fn from(exit: Exit) -> Self {
        exit.code()
    }
}

impl From<RefusalCode> for Exit {
    fn from(code: RefusalCode) -> Self {
        match code {
            RefusalCode::Missing | RefusalCode::SourceChanged => Self::Source,
            RefusalCode::NameInvalid => Self::Usage,
            RefusalCode::LimitExceeded => Self::Limit,
            RefusalCode::JobDiffers => Self::PlanDrifted,
            RefusalCode::DigestMismatch | RefusalCode::StoredCorrupt => Self::Mismatch,
            // A newer relay's reason: still a no, not a fault of this program.
            RefusalCode::Unknown(_) => Self::Refused,
            other => match other.remedy() {
                Remedy::Retry => Self::Temporary,
                Remedy::Correct => Self::Refused,
                Remedy::Report => Self::Internal,
            },
        }
    }
}

/// An error a command may end with.
pub trait Explain: Error {
    /// The exit status it ends the command with.
    fn exit(&self) -> Exit;

    /// Its name for programs: lower-case words joined by `-`, never changed once released.
    fn code(&self) -> Cow<'static, str>;

    /// What a person can do about it, as a phrase that follows `try:`.
    fn advice(&self) -> Option<String> {
        None
    }

    /// Where it is, and HPCC's number for it.
    fn details(&self) -> Details {
        Details::default()
    }
}

/// Where an error is in a file, and HPCC's number for it; what does not apply is `None`.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Details {
    /// HPCC's number for the same cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hpcc: Option<u16>,
    /// The file, as `zone:path`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Where in the file, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
}

impl Explain for Refusal {
    fn exit(&self) -> Exit {
        self.code.into()
    }

    fn code(&self) -> Cow<'static, str> {
        format!("refused-{}", u16::from(self.code)).into()
    }

    fn advice(&self) -> Option<String> {
        let advice = match self.code {
            RefusalCode::VersionUnsupported => "bring edge and relay to versions that fit",
            RefusalCode::AgentRevoked => {
                "ask the relay's operator for a token under another name (skyspray-relay agent add), then enroll with --force"
            }
            RefusalCode::AgentCloned => {
                "ask the relay's operator for a new token (skyspray-relay agent add), then enroll with --force"
            }
            RefusalCode::TokenRejected => {
                "ask the relay's operator for a new token (skyspray-relay agent add)"
            }
            RefusalCode::Forbidden => {
                "ask the relay's operator to allow it (skyspray-relay agent allow)"
            }
            RefusalCode::PlaneDenied => {
                "ask the relay's operator to test the plane (skyspray-relay plane test); the same command goes on after that"
            }
            RefusalCode::PlaneUnknown => "ask the relay's operator for the names of its planes",
            RefusalCode::Exists => "add --overwrite, or choose another name",
            RefusalCode::Missing => "see what there is: skyspray-edge list",
            RefusalCode::PathBlocked => {
                "a file stands where a directory must go, or the other way round; push to a directory, PLANE:path/"
            }
            RefusalCode::JobDiffers => "run the command with the options it began with",
            RefusalCode::SourceChanged => "run the command again when nothing writes the source",
            other if other.remedy() == Remedy::Retry => "run the same command again; it resumes",
            _ => return None,
        };
        Some(advice.to_owned())
    }
}

impl Explain for StoreError {
    fn exit(&self) -> Exit {
        Exit::Usage
    }

    fn code(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Missing { .. } => "identity-missing",
            Self::Loose { .. } | Self::ForeignOwner { .. } => "identity-exposed",
            _ => "identity-unusable",
        })
    }

    fn advice(&self) -> Option<String> {
        let advice = match self {
            Self::Missing { .. } => {
                "enroll first (skyspray-edge enroll), or name its directory with --dir or SKYSPRAY_DIR"
                    .to_owned()
            }
            Self::Loose { path, expected, .. } => format!("chmod {expected:o} {}", path.display()),
            Self::ForeignOwner { .. } => "run as the user that enrolled this edge".to_owned(),
            _ => return None,
        };
        Some(advice)
    }
}

/// An error with everything below it, in one line, as people read it.
#[derive(Debug)]
pub struct Chain<'a>(pub &'a dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut below = self.0.source();
        while let Some(error) = below {
            write!(f, ": {}", error.to_string().trim_end().replace('\n', "\n  "))?;
            below = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_statuses_are_the_published_ones() {
        let all = [
            Exit::Done,
            Exit::SomeFailed,
            Exit::Usage,
            Exit::Source,
            Exit::Refused,
            Exit::Temporary,
            Exit::Mismatch,
            Exit::Internal,
            Exit::Limit,
            Exit::NothingToDo,
            Exit::WindowEnded,
            Exit::PlanDrifted,
            Exit::Interrupted,
        ];

        assert_eq!(all.map(Exit::code), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 130]);
    }

    #[test]
    fn every_refusal_that_says_retry_ends_as_temporary_and_no_other_does() {
        for &code in RefusalCode::ALL {
            let temporary = Exit::from(code) == Exit::Temporary;
            assert_eq!(temporary, code.remedy() == Remedy::Retry, "{code:?}");
        }
    }

    #[test]
    fn refusals_end_with_the_status_of_their_kind() {
        for (code, exit) in [
            (RefusalCode::VersionUnsupported, Exit::Refused),
            (RefusalCode::NotGreeted, Exit::Internal),
            (RefusalCode::AgentRevoked, Exit::Refused),
            (RefusalCode::TokenRejected, Exit::Refused),
            (RefusalCode::Forbidden, Exit::Refused),
            (RefusalCode::PlaneUnknown, Exit::Refused),
            (RefusalCode::NameInvalid, Exit::Usage),
            (RefusalCode::Exists, Exit::Refused),
            (RefusalCode::Missing, Exit::Source),
            (RefusalCode::PlaneFull, Exit::Temporary),
            (RefusalCode::LimitExceeded, Exit::Limit),
            (RefusalCode::JobDiffers, Exit::PlanDrifted),
            (RefusalCode::DigestMismatch, Exit::Mismatch),
            (RefusalCode::StoredCorrupt, Exit::Mismatch),
            (RefusalCode::SourceChanged, Exit::Source),
            (RefusalCode::Internal, Exit::Temporary),
            (RefusalCode::Unknown(999), Exit::Refused),
        ] {
            assert_eq!(Exit::from(code), exit, "{code:?}");
        }
    }

    #[test]
    fn an_identity_that_others_can_read_says_how_to_close_it() {
        let path = std::path::PathBuf::from("/d/identity");
        let loose = StoreError::Loose { path, mode: 0o755, expected: 0o700 };

        assert_eq!((loose.exit(), loose.code().as_ref()), (Exit::Usage, "identity-exposed"));
        assert_eq!(loose.advice().as_deref(), Some("chmod 700 /d/identity"));
    }

    #[test]
    fn a_refusal_names_its_number_and_what_to_do() {
        let refusal = Refusal::new(RefusalCode::Exists, "a::b");

        assert_eq!(refusal.code(), "refused-204");
        assert_eq!(refusal.advice().as_deref(), Some("add --overwrite, or choose another name"));
        assert_eq!(Refusal::new(RefusalCode::Malformed, "").advice(), None);
    }
}
