//! Why a download cannot go on.

use super::despray::ShapeFault;
use crate::exit::{Details, Exit, Explain};
use crate::journal::JournalError;
use crate::landing::LandingError;
use crate::session::ConnectError;
use skyspray_link::request::RequestError;
use skyspray_link::seam::files::{Cause, FileError, Op};
use skyspray_link::session::{CloseCode, SessionError};
use skyspray_wire::refusal::{Refusal, RefusalCode, Remedy};
use std::borrow::Cow;
use thiserror::Error;

/// Why a download cannot go on in this session, or at all. Paths are `zone:path`, escaped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DownloadFault {
    /// The local path is not one to write to.
    #[error(transparent)]
    Landing(#[from] LandingError),
    /// Something has the name of the file already.
    #[error("{path} exists already")]
    TargetExists {
        /// The file.
        path: String,
    },
    /// A directory has the name of the file.
    #[error("{path} is a directory, expected the name of a file")]
    TargetIsDirectory {
        /// The directory.
        path: String,
    },
    /// Something else has the name of a directory of files.
    #[error("{path} is no directory, expected one for the files or nothing")]
    TargetIsFile {
        /// What is there.
        path: String,
    },
    /// What was staged of a file is gone, or is not what it was.
    #[error("what was received for {path} is not there any more")]
    StagedLost {
        /// The file.
        path: String,
    },
    /// The logical file cannot become files of the shape that was asked for.
    #[error(transparent)]
    Shape(Box<ShapeFault>),
    /// A file cannot be written.
    #[error("{path} cannot be written")]
    Write {
        /// The file.
        path: String,
        /// Why.
        source: FileError,
    },
    /// Nothing is there to pull.
    #[error("no files at {source_text}")]
    NothingThere {
        /// Where it was looked for.
        source_text: String,
    },
    /// The plane has a name that this host cannot have.
    #[error("{name:?} of the plane can be no path here")]
    Name {
        /// The path on the plane.
        name: String,
        /// The rule it breaks.
        source: skyspray_link::seam::files::PathError,
    },
    /// No session.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The session is gone.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A no, of the relay or of this side's checks of what it sent.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The session lives, but nothing comes.
    #[error("nothing came for {seconds} s")]
    Stalled {
        /// For how long.
        seconds: u64,
    },
    /// The relay cuts chunks or states parts in another way than in the session before.
    #[error("the relay describes what is read in another way than before")]
    Redescribed,
    /// An answer of another kind than the request has.
    #[error("the relay's answer about {what} is not one to this request")]
    Unexpected {
        /// What was asked about.
        what: &'static str,
    },
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Session after session ended with a fault that may pass, and this was the last one. Says what
    /// that one says, and is final.
    #[error(transparent)]
    GaveUp(Box<Self>),
    /// The user interrupted the command.
    #[error("interrupted")]
    Interrupted,
}

impl DownloadFault {
    /// Whether the job can go on in another session.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Session(error) => error.close_code() != Some(CloseCode::Revoked),
            Self::Refused(refusal) => refusal.code.remedy() == Remedy::Retry,
            Self::Stalled { .. } | Self::Redescribed => true,
            _ => false,
        }
    }

    /// Whether the relay has sent this edge on to another.
    pub(super) fn is_move(&self) -> bool {
        match self {
            Self::Session(error) => error.close_code() == Some(CloseCode::Draining),
            Self::Refused(refusal) => refusal.code == RefusalCode::Draining,
            _ => false,
        }
    }

    /// Whether the relay is there and only waits for its storage.
    pub(crate) fn is_outage(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.code == RefusalCode::PlaneUnavailable)
    }

    /// Whether no later run could continue the job.
    pub(super) fn ends_job(&self) -> bool {
        match self {
            Self::Refused(refusal) => {
                // An operator may allow it.
                refusal.code.remedy() != Remedy::Retry
                    && !matches!(refusal.code, RefusalCode::Forbidden | RefusalCode::PlaneDenied)
            }
            Self::Shape(fault) => fault.is_final(),
            _ => false,
        }
    }

    /// Whether it is about one of the files asked for, so that the others may be had without it.
    pub(super) fn concerns_a_file(&self) -> bool {
        match self {
            Self::Refused(refusal) => matches!(
                refusal.code,
                RefusalCode::Missing
                    | RefusalCode::StoredCorrupt
                    | RefusalCode::DigestMismatch
                    | RefusalCode::SourceChanged
                    | RefusalCode::NameInvalid
                    | RefusalCode::PathBlocked
            ),
            _ => false,
        }
    }

    fn inner(&self) -> Option<&dyn Explain> {
        match self {
            Self::Landing(error) => Some(error),
            Self::Connect(error) => Some(error),
            Self::Session(error) => Some(error),
            Self::Refused(refusal) => Some(refusal),
            Self::Journal(error) => Some(error),
            Self::Shape(error) => Some(&**error),
            Self::GaveUp(last) => Some(&**last),
            _ => None,
        }
    }
}

impl From<ShapeFault> for DownloadFault {
    fn from(fault: ShapeFault) -> Self {
        Self::Shape(Box::new(fault))
    }
}

impl From<RequestError> for DownloadFault {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Refused(refusal) => Self::Refused(refusal),
            RequestError::Session(error) => Self::Session(error),
            _ => Self::Unexpected { what: "a request" },
        }
    }
}

impl Explain for DownloadFault {
    fn exit(&self) -> Exit {
        match self {
            Self::TargetExists { .. } => Exit::Refused,
            Self::TargetIsDirectory { .. } | Self::TargetIsFile { .. } | Self::Name { .. } => {
                Exit::Usage
            }
            Self::NothingThere { .. } => Exit::Source,
            Self::Write { source, .. } => match source.cause {
                Cause::NoSpace => Exit::Temporary,
                Cause::Io(_) | Cause::Abandoned => Exit::Internal,
                _ => Exit::Usage,
            },
            Self::Stalled { .. } | Self::Redescribed | Self::StagedLost { .. } => Exit::Temporary,
            Self::Interrupted => Exit::Interrupted,
            _ => self.inner().map_or(Exit::Internal, Explain::exit),
        }
    }

    fn code(&self) -> Cow<'static, str> {
        let code = match self {
            Self::TargetExists { .. } => "target-exists",
            Self::TargetIsDirectory { .. } => "target-is-directory",
            Self::TargetIsFile { .. } => "target-is-file",
            Self::StagedLost { .. } => "staged-lost",
            Self::Name { .. } => "target-name",
            Self::NothingThere { .. } => "source-missing",
            Self::Write { source, .. } if source.cause == Cause::NoSpace => "target-full",
            Self::Write { .. } => "target-unwritable",
            Self::Stalled { .. } => "stalled",
            Self::Interrupted => "interrupted",
            _ => return self.inner().map_or("protocol".into(), Explain::code),
        };
        code.into()
    }

    fn advice(&self) -> Option<String> {
        let advice = match self {
            Self::TargetExists { .. } => "add --overwrite, or choose another name",
            Self::TargetIsDirectory { .. } => "name the file to write in it",
            Self::TargetIsFile { .. } => "name another directory",
            Self::NothingThere { .. } => "look with skyspray-edge list PLANE:path/",
            Self::Write { source, .. } => match (source.op, source.cause) {
                (_, Cause::NoSpace) => "make room; the same command goes on where this one stopped",
                (_, Cause::Denied) => "let the user that runs the edge write there",
                (Op::SyncData | Op::SyncAll, _) => "check the disk that holds the landing zone",
                _ => return None,
            },
            Self::StagedLost { .. } => "run the same command again; it starts over",
            Self::Stalled { .. } | Self::Redescribed | Self::Interrupted => {
                "run the same command again; it goes on where it stopped"
            }
            _ => return self.inner().and_then(Explain::advice),
        };
        Some(advice.to_owned())
    }

    fn details(&self) -> Details {
        match self {
            Self::TargetExists { path } => {
                Details { hpcc: Some(8089), file: Some(path.clone()), offset: None }
            }
            _ => self.inner().map(Explain::details).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Chain;
    use skyspray_link::seam::files::Caching;
    use skyspray_link::seam::files::{Fault, MemoryTree, RelPath, Tree as _};

    fn refused(code: RefusalCode) -> DownloadFault {
        Refusal::new(code, "").into()
    }

    #[test]
    fn only_what_another_session_may_mend_is_passing() {
        assert!(DownloadFault::from(SessionError::StreamEnded).is_passing());
        assert!(DownloadFault::from(SessionError::Closed(CloseCode::Draining)).is_passing());
        assert!(!DownloadFault::from(SessionError::Closed(CloseCode::Revoked)).is_passing());
        assert!(refused(RefusalCode::Busy).is_passing());
        assert!(refused(RefusalCode::ChunkCorrupt).is_passing());
        assert!(!refused(RefusalCode::DigestMismatch).is_passing());
        assert!(!DownloadFault::Interrupted.is_passing());
    }

    #[test]
    fn a_fault_that_was_given_up_on_is_final_and_says_what_it_said() {
        let away = || refused(RefusalCode::PlaneUnavailable);
        for (fault, last) in [
            (away(), away()),
            (DownloadFault::Redescribed, DownloadFault::Redescribed),
            (SessionError::StreamEnded.into(), SessionError::StreamEnded.into()),
        ] {
            assert!(last.is_passing());
            let end = DownloadFault::GaveUp(Box::new(fault));
            assert!(!end.is_passing() && !end.ends_job() && !end.concerns_a_file(), "{end}");
            assert_eq!((end.exit(), end.code()), (last.exit(), last.code()));
            assert_eq!((end.advice(), end.details()), (last.advice(), last.details()));
            assert_eq!(Chain(&end).to_string(), Chain(&last).to_string());
        }
    }

    #[test]
    fn a_job_ends_with_a_final_refusal_and_survives_the_rest() {
        assert!(refused(RefusalCode::SourceChanged).ends_job());
        assert!(refused(RefusalCode::Missing).ends_job());
        assert!(!refused(RefusalCode::PlaneUnavailable).ends_job());
        assert!(!refused(RefusalCode::Forbidden).ends_job(), "an operator may allow it");
        assert!(!DownloadFault::Interrupted.ends_job());
    }

    #[test]
    fn faults_end_with_the_status_of_their_kind() {
        let path = || "in:a".to_owned();
        assert_eq!(refused(RefusalCode::DigestMismatch).exit(), Exit::Mismatch);
        assert_eq!(DownloadFault::TargetExists { path: path() }.exit(), Exit::Refused);
        assert_eq!(DownloadFault::Interrupted.exit(), Exit::Interrupted);
        assert_eq!(DownloadFault::Unexpected { what: "parts" }.exit(), Exit::Internal);

        let tree = MemoryTree::new(0);
        tree.fail_next(Op::CreateNew, Fault::NoSpace);
        let name = RelPath::parse("a").unwrap();
        let source = tree.create_new(&name, 0o600, Caching::Buffered).unwrap_err();
        let full = DownloadFault::Write { path: path(), source };
        assert_eq!((full.exit(), &*full.code()), (Exit::Temporary, "target-full"));
    }
}
