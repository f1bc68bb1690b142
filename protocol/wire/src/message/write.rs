//! Messages of spray and push.

use super::Attributes;
use crate::digest::Digest;
use crate::ids::{ChunkSize, Epoch, Generation, JobId, PartIndex};
use crate::name::{LogicalName, PlaneName, PlanePath};
use serde::{Deserialize, Serialize};

/// Asks for the right to write a target.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct OpenWrite {
    /// Chosen by the edge; the same id across sessions is what makes a job resumable.
    pub job: JobId,
    /// What is written.
    pub target: WriteTarget,
    /// Whether what exists may be replaced.
    pub overwrite: bool,
    /// Bytes of all sources together; what is stored may differ where records are converted.
    pub bytes: u64,
    /// Digest of the plan: sources with their fingerprints, format and options. A job opened again
    /// with another plan is refused.
    pub plan: Digest,
    /// What describes the logical file; empty in a push.
    pub attributes: Attributes,
}

/// What a job writes.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum WriteTarget {
    /// A spray: parts of one logical file, visible together.
    LogicalFile {
        /// The plane that stores the parts.
        plane: PlaneName,
        /// The logical file.
        name: LogicalName,
        /// Number of parts; 0 asks for the plane's default.
        parts: u32,
    },
    /// A push: files 1:1 below a directory of a plane, each visible when it is whole.
    Files {
        /// The plane.
        plane: PlaneName,
        /// The directory the files' paths are relative to.
        directory: PlanePath,
    },
}

impl WriteTarget {
    /// The plane that is written to.
    pub fn plane(&self) -> &PlaneName {
        match self {
            Self::LogicalFile { plane, .. } | Self::Files { plane, .. } => plane,
        }
    }
}

/// The right to write, and on which terms.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Granted {
    /// Fences earlier holders; every later message of the job names it.
    pub epoch: Epoch,
    /// Size of every chunk but the last of each part.
    pub chunk_size: ChunkSize,
    /// Number of parts of a spray; 0 in a push, whose files are counted as they are opened.
    pub parts: u32,
    /// Chunks the edge may have unacknowledged.
    pub in_flight_chunks: u32,
    /// HPCC-style id of the job, for people.
    pub wuid: String,
}

/// Chunks of one part as half-open ranges of chunk numbers, ascending and never adjacent.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct PartRuns {
    /// The part.
    pub part: PartIndex,
    /// First chunk and the one after the last, of each range.
    pub runs: Vec<(u64, u64)>,
}

/// A page of chunks that are durable already. Parts without any are left out.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// At most [`crate::limits::PAGE_MAX`] ranges together.
    pub parts: Vec<PartRuns>,
}

/// Adds files to a push.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct OpenFiles {
    /// The job.
    pub job: JobId,
    /// The lease.
    pub epoch: Epoch,
    /// Part number of the first file; the others follow in order. A file keeps its number when the
    /// job is resumed.
    pub first: PartIndex,
    /// At most a page.
    pub files: Vec<FileSpec>,
}

/// A file of a push.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct FileSpec {
    /// Where it goes, relative to the directory of the job.
    pub path: PlanePath,
    /// Its length in bytes.
    pub length: u64,
    /// When it was last modified, in nanoseconds since 1970; kept for readers.
    pub modified_ns: i64,
}

/// How the files of an [`OpenFiles`] stand.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct FilesOpened {
    /// Files this job has committed already.
    pub committed: Vec<PartIndex>,
    /// Files that cannot be written, and why; the others go on.
    pub refused: Vec<(PartIndex, crate::refusal::Refusal)>,
    /// Chunks that are durable already.
    pub held: Vec<PartRuns>,
}

/// States that parts are complete.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct SealParts {
    /// The job.
    pub job: JobId,
    /// The lease.
    pub epoch: Epoch,
    /// At most a page.
    pub parts: Vec<PartSeal>,
}

/// The sender's statement that a part is complete.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct PartSeal {
    /// The part.
    pub part: PartIndex,
    /// Its length in bytes.
    pub length: u64,
    /// BLAKE3 root over its bytes.
    pub digest: Digest,
    /// CRC-32 (IEEE) over its bytes.
    pub crc32: u32,
    /// Records in it, where the format counts them.
    pub records: Option<u64>,
    /// Bytes at its start that are the header of a document, no records; 0 where there is none.
    pub header: u32,
    /// Bytes at its end that are the footer of a document, no records; 0 where there is none.
    pub footer: u32,
}

impl PartSeal {
    /// Whether header and footer fit into the part beside each other.
    pub fn has_room_for_header_and_footer(&self) -> bool {
        u64::from(self.header) + u64::from(self.footer) <= self.length
    }
}

/// Asks for the commit.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Commit {
    /// The job.
    pub job: JobId,
    /// The lease.
    pub epoch: Epoch,
    /// Parts of the spray, or files of the push that were opened.
    pub parts: u32,
    /// What is known of the logical file only now: added to what [`OpenWrite`] said, and instead of
    /// it where names are equal. Empty in a push.
    pub attributes: Attributes,
    /// Seals of the parts that no [`SealParts`] has stated, at most
    /// [`crate::limits::COMMIT_SEALS_MAX`]; their last chunks may still be on their way. Empty in a
    /// push.
    pub seals: Vec<PartSeal>,
}

/// The result of a committed job.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Committed {
    /// The new generation of the logical file; `None` for a push.
    pub generation: Option<Generation>,
    /// HPCC-style id of the job.
    pub wuid: String,
    /// Encoded [`crate::receipt::SignedReceipt`].
    pub receipt: Vec<u8>,
}
