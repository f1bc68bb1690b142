//! Why an upload cannot go on.

use crate::exit::{Details, Exit, Explain};
use crate::journal::JournalError;
use crate::meta::PartsFault;
use crate::session::ConnectError;
use crate::source::{RecordError, SourceError};
use skyspray_link::feed::Stopped;
use skyspray_link::request::RequestError;
use skyspray_link::send::SendError;
use skyspray_link::session::{CloseCode, SessionError};
use skyspray_wire::message::AttributesError;
use skyspray_wire::refusal::{Refusal, RefusalCode, Remedy};
use std::borrow::Cow;
use thiserror::Error;

/// Why an upload cannot go on in this session, or at all.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum UploadFault {
    /// A source is not what it must be.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The records of the sources cannot be told apart.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Files are not the parts that metadata describe.
    #[error(transparent)]
    Parts(#[from] PartsFault),
    /// No session.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The session is gone.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The relay said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The logical file would have more attributes than it may.
    #[error(transparent)]
    Attributes {
        /// How many are allowed.
        #[from]
        error: AttributesError,
    },
    /// The relay granted another plan than before.
    #[error("the relay changed its mind about the job's {what}")]
    GrantDiffers {
        /// What differs.
        what: &'static str,
    },
    /// The relay answered with something that is no answer to the request.
    #[error("the relay's answer is not one to this request")]
    Unexpected,
    /// The relay acknowledged what was not sent, or the source's chunks did not fit together.
    #[error("the transfer broke its own rules: {reason}")]
    Broken {
        /// Which rule.
        reason: String,
    },
    /// No thread, or no memory to compress with.
    #[error("the host gives no thread to read with")]
    Threads(#[source] std::io::Error),
    /// The user interrupted the command.
    #[error("interrupted")]
    Interrupted,
    /// Only between the threads of a job: its driver is gone.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl UploadFault {
    /// Whether the job can go on in another session.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Session(error) => error.exit() == Exit::Temporary,
            Self::Refused(refusal) => matches!(
                refusal.code,
                RefusalCode::Draining
                    | RefusalCode::Busy
                    | RefusalCode::ChunkCorrupt
                    | RefusalCode::PlaneUnavailable
            ),
            _ => false,
        }
    }

    /// Whether the relay is there and only waits for its storage: worth more patience than sessions
    /// that come and go.
    pub(super) fn is_outage(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.code == RefusalCode::PlaneUnavailable)
    }
}

impl UploadFault {
    /// Whether the relay has sent this edge on to another.
    pub(super) fn is_move(&self) -> bool {
        match self {
            Self::Session(error) => error.close_code() == Some(CloseCode::Draining),
            Self::Refused(refusal) => refusal.code == RefusalCode::Draining,
            _ => false,
        }
    }
}

impl From<RequestError> for UploadFault {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Refused(refusal) => Self::Refused(refusal),
            RequestError::Session(error) => Self::Session(error),
            _ => Self::Unexpected,
        }
    }
}

impl From<SendError<UploadFault>> for UploadFault {
    fn from(error: SendError<Self>) -> Self {
        match error {
            SendError::Session(error) => Self::Session(error),
            SendError::Refused(refusal) => Self::Refused(refusal),
            SendError::Source(fault) => fault,
            other => Self::Broken { reason: other.to_string() },
        }
    }
}

impl Explain for UploadFault {
    fn exit(&self) -> Exit {
        match self {
            Self::Source(error) => error.exit(),
            Self::Record(error) => error.exit(),
            Self::Parts(error) => error.exit(),
            Self::Connect(error) => error.exit(),
            Self::Refused(refusal) => refusal.exit(),
            Self::Journal(error) => error.exit(),
            Self::Session(error) => error.exit(),
            Self::GrantDiffers { .. } => Exit::PlanDrifted,
            Self::Attributes { .. } => Exit::Limit,
            Self::Interrupted => Exit::Interrupted,
            Self::Unexpected | Self::Broken { .. } | Self::Threads(_) | Self::Stopped(_) => {
                Exit::Internal
            }
        }
    }

    fn code(&self) -> Cow<'static, str> {
        match self {
            Self::Source(error) => error.code(),
            Self::Record(error) => error.code(),
            Self::Parts(error) => error.code(),
            Self::Connect(error) => error.code(),
            Self::Refused(refusal) => Explain::code(refusal),
            Self::Journal(error) => error.code(),
            Self::Session(error) => Explain::code(error),
            Self::GrantDiffers { .. } => "grant-differs".into(),
            Self::Attributes { .. } => "attributes-too-many".into(),
            Self::Interrupted => "interrupted".into(),
            Self::Unexpected | Self::Broken { .. } => "protocol".into(),
            Self::Threads(_) | Self::Stopped(_) => "internal".into(),
        }
    }

    fn details(&self) -> Details {
        match self {
            Self::Source(error) => error.details(),
            Self::Record(error) => error.details(),
            Self::Parts(error) => error.details(),
            _ => Details::default(),
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            Self::Attributes { .. } => Some("leave attributes out of the metadata".to_owned()),
            Self::Source(error) => error.advice(),
            Self::Record(error) => error.advice(),
            Self::Parts(error) => error.advice(),
            Self::Connect(error) => error.advice(),
            Self::Journal(error) => error.advice(),
            Self::Refused(refusal) if refusal.code.remedy() == Remedy::Retry => {
                Some("run the same command again; it goes on where it stopped".to_owned())
            }
            Self::Refused(refusal) => refusal.advice(),
            Self::Session(error) => error.advice(),
            Self::Interrupted | Self::GrantDiffers { .. } => {
                Some("run the same command again; it goes on where it stopped".to_owned())
            }
            _ => None,
        }
    }
}
