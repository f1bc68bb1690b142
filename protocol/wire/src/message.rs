//! Messages on request streams. One request is one stream: a frame out, frames back.
//!
//! Postcard numbers variants by position: append only, never reorder, never reuse; a retired
//! variant stays as `ReservedN`. A struct never changes once released; a change is a new variant
//! behind a feature bit. The bytes of every variant stand in `docs/protocol.md` and are tested.

mod attributes;
mod origin;
mod read;
mod write;

pub use attributes::{Attributes, AttributesError, check_attributes, merge_attributes};
pub use origin::{OriginError, OriginRange, Origins, RecordOrigins, SourceNote};
pub use read::{
    Describe, Description, Entry, EntryKind, List, ListWhat, OpenRead, PartInfo, ReadTarget,
    Readable,
};
pub use write::{
    Commit, Committed, FileSpec, FilesOpened, Granted, Held, OpenFiles, OpenWrite, PartRuns,
    PartSeal, SealParts, WriteTarget,
};

use crate::ids::JobId;
use crate::name::AgentName;
use crate::refusal::Refusal;
use serde::{Deserialize, Serialize};

/// Oldest protocol version this build speaks.
pub const VERSION_OLDEST: u16 = 1;

/// Newest protocol version this build speaks.
pub const VERSION_NEWEST: u16 = 1;

/// First byte of a stream that carries one request.
pub const STREAM_REQUEST: u8 = 1;

/// First byte of a stream on which the edge sends chunks and the relay acknowledges them.
pub const STREAM_CHUNKS_TO_RELAY: u8 = 2;

/// First byte of a stream on which the relay sends chunks and the edge acknowledges them; the
/// 16 bytes of the job's id follow.
pub const STREAM_CHUNKS_TO_EDGE: u8 = 3;

/// What an edge asks.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// The first request of a session. Answered by `Welcome` or `Refused`.
    Hello(Hello),
    /// Asks for the right to write a target. Answered by `Granted`, `Held` pages and `Done`; by
    /// `Committed` when the job is already done; or by `Refused`.
    OpenWrite(OpenWrite),
    /// Adds files to a push. Answered by `FilesOpened` pages and `Done`, or `Refused`.
    OpenFiles(OpenFiles),
    /// States that parts are complete, with their digests. In a push this commits those files.
    /// Answered by `Done`, by `FilesRefused` and `Done`, or by `Refused`.
    SealParts(SealParts),
    /// Asks for the commit of a job whose parts were all sealed, or are with this. Answered by
    /// `Committed` or `Refused`.
    Commit(Commit),
    /// Asks for stored parts. Answered by `Readable`, `Parts` pages and `Done` once every chunk is
    /// acknowledged, or by `Refused`.
    OpenRead(OpenRead),
    /// Asks what a scope or directory holds. Answered by `Entries` pages and `Done`, or `Refused`.
    List(List),
    /// Asks for all that is known of a logical file. Answered by `Description`, `Parts` pages,
    /// `Origins` pages where they were asked for, and `Done`, or by `Refused`.
    Describe(Describe),
    /// Asks how a job stands. Answered by `Job` or `Refused`.
    JobStatus(JobId),
    /// Gives a job up; what it staged is collected. Answered by `Done` or `Refused`.
    Abort(JobId),
    /// Asks for a new certificate; the bytes are a message of the certificate layer. Answered by
    /// `Renewed` or `Refused`.
    Renew(Vec<u8>),
    /// States what parts of a spray came from. Answered by `Done` or `Refused`.
    RecordOrigins(RecordOrigins),
}

/// What a relay answers.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// The session is greeted; requests may follow.
    Welcome(Welcome),
    /// No, and why. The last frame of its stream.
    Refused(Refusal),
    /// The target may be written.
    Granted(Granted),
    /// Chunks already durable, one page.
    Held(Held),
    /// How the files of a push stand, one page.
    FilesOpened(FilesOpened),
    /// Files of a push that could not be committed, one page.
    FilesRefused(Vec<(crate::ids::PartIndex, Refusal)>),
    /// The last frame of an answer in pages, or the whole answer where nothing need be said.
    Done,
    /// The job is committed.
    Committed(Committed),
    /// The target may be read.
    Readable(Readable),
    /// Parts of a target, one page, in part order.
    Parts(Vec<PartInfo>),
    /// What a scope or directory holds, one page, sorted by name.
    Entries(Vec<Entry>),
    /// A logical file.
    Description(Description),
    /// A job.
    Job(JobStatus),
    /// A new certificate; the bytes are a message of the certificate layer.
    Renewed(Vec<u8>),
    /// What the parts of a logical file came from, one page; sources first, then ranges in part
    /// order.
    Origins(Origins),
}

/// Opens a session. Frozen: older and newer versions must be able to read it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// Oldest protocol version the edge speaks.
    pub oldest: u16,
    /// Newest protocol version the edge speaks.
    pub newest: u16,
    /// Optional features the edge speaks, one bit each. None are defined in version 1.
    pub features: u64,
    /// Name and version of the edge's build, for people; at most 64 bytes.
    pub software: String,
}

/// Accepts a session. Frozen like [`Hello`].
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    /// The version both sides speak from here on.
    pub version: u16,
    /// The features both sides speak.
    pub features: u64,
    /// Name and version of the relay's build, for people.
    pub software: String,
    /// Who the relay takes the edge for.
    pub agent: AgentName,
    /// The relay's clock, in milliseconds since 1970; only ever shown, never relied on.
    pub time_ms: i64,
    /// Data streams the edge may open in this session.
    pub data_streams: u32,
}

/// How a job stands.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct JobStatus {
    /// The job.
    pub job: JobId,
    /// HPCC-style id, `DYYYYMMDD-HHMMSS-n`.
    pub wuid: String,
    /// State of its target.
    pub state: JobState,
    /// Bytes durable so far.
    pub bytes_durable: u64,
    /// Bytes announced at open.
    pub bytes_total: u64,
}

/// State of a job's target.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
pub enum JobState {
    /// Chunks are accepted.
    Open,
    /// Every part is complete; the commit is under way and will be finished.
    Sealed,
    /// Visible. Final.
    Committed,
    /// Given up; nothing is visible. Final.
    Aborted,
}

impl JobState {
    /// The state in lower case, as it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Sealed => "sealed",
            Self::Committed => "committed",
            Self::Aborted => "aborted",
        }
    }

    /// The state with this name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Open, Self::Sealed, Self::Committed, Self::Aborted]
            .into_iter()
            .find(|state| state.as_str() == text)
    }
}

/// One acknowledgement on a data stream: this chunk need not be sent again.
///
/// Travels back on the stream that carried the chunk, many to a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Ack {
    /// The part.
    pub part: crate::ids::PartIndex,
    /// The chunk in it.
    pub chunk: crate::ids::ChunkIndex,
}

/// What a receiver of chunks says on a data stream.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum ChunkReply {
    /// These chunks of this job are durable; at most a page.
    Durable(JobId, Vec<Ack>),
    /// This job takes no more chunks from this session, and why.
    Refused(JobId, Refusal),
}
