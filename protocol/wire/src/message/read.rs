//! Messages of despray, pull, list and describe.

use super::{Attributes, PartRuns};
use crate::digest::Digest;
use crate::ids::{ChunkSize, Epoch, Generation, JobId};
use crate::name::{LogicalName, PlaneName, PlanePath, Scope};
use serde::{Deserialize, Serialize};

/// Asks for stored parts.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct OpenRead {
    /// Chosen by the edge.
    pub job: JobId,
    /// What is read.
    pub target: ReadTarget,
    /// The generation an earlier session of this job read; another one now is refused.
    pub generation: Option<Generation>,
    /// Chunks the edge holds already, at most a page of ranges; they are not sent.
    pub held: Vec<PartRuns>,
    /// Chunks the edge is ready to have unacknowledged.
    pub in_flight_chunks: u32,
}

/// What a job reads.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum ReadTarget {
    /// Every part of a logical file.
    LogicalFile {
        /// The plane.
        plane: PlaneName,
        /// The logical file.
        name: LogicalName,
    },
    /// Files of a plane, one part each in this order, at most a page.
    Files {
        /// The plane.
        plane: PlaneName,
        /// Their paths from the plane's root.
        paths: Vec<PlanePath>,
    },
}

impl ReadTarget {
    /// The plane that is read from.
    pub fn plane(&self) -> &PlaneName {
        match self {
            Self::LogicalFile { plane, .. } | Self::Files { plane, .. } => plane,
        }
    }
}

/// The right to read, and what there is.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Readable {
    /// Named by the chunks that follow.
    pub epoch: Epoch,
    /// The generation that is read; `None` for files.
    pub generation: Option<Generation>,
    /// Size of every chunk but the last of each part.
    pub chunk_size: ChunkSize,
    /// Number of parts.
    pub parts: u32,
    /// Bytes of all parts together.
    pub bytes: u64,
    /// What describes the logical file; empty for files.
    pub attributes: Attributes,
}

/// One stored part.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct PartInfo {
    /// Bytes in it.
    pub length: u64,
    /// BLAKE3 root; `None` for a file that was not written through a relay.
    pub digest: Option<Digest>,
    /// CRC-32 (IEEE), where known.
    pub crc32: Option<u32>,
    /// Records in it, where counted.
    pub records: Option<u64>,
    /// When the source of a pushed file was last modified, or a file the catalogue does not know on
    /// the plane itself, in nanoseconds since 1970.
    pub modified_ns: Option<i64>,
    /// Bytes at its start that are the header of a document, no records; 0 where there is none.
    pub header: u32,
    /// Bytes at its end that are the footer of a document, no records; 0 where there is none.
    pub footer: u32,
}

/// Asks what a scope or directory holds.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct List {
    /// The plane.
    pub plane: PlaneName,
    /// Which kind of thing, and where.
    pub what: ListWhat,
    /// Only names after this one, as an earlier page showed it; empty from the start.
    pub after: String,
    /// Entries wanted, 1 to [`crate::limits::FILES_MAX`]; sent in pages.
    pub limit: u32,
}

/// What is listed.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum ListWhat {
    /// Logical files in a scope and below it.
    Logical(Scope),
    /// Files below a directory, by path; a path that names a file lists that file.
    Files(PlanePath),
}

/// One thing in a list.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// What it is.
    pub kind: EntryKind,
    /// Logical name, or path from the plane's root.
    pub name: String,
    /// Bytes in it.
    pub bytes: u64,
    /// Parts of a logical file; 1 for a file.
    pub parts: u32,
    /// When it was committed, in milliseconds since 1970; 0 where unknown.
    pub committed_ms: i64,
}

/// Kind of a listed thing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum EntryKind {
    /// A logical file.
    LogicalFile,
    /// A file of a plane.
    File,
}

/// Asks for all that is known of a logical file.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Describe {
    /// The plane.
    pub plane: PlaneName,
    /// The logical file.
    pub name: LogicalName,
    /// Whether it is to be told what the parts came from.
    pub origins: bool,
}

/// A logical file as the catalogue knows it; its parts follow in pages.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// The current generation.
    pub generation: Generation,
    /// Number of parts.
    pub parts: u32,
    /// Bytes of all parts together.
    pub bytes: u64,
    /// Records of all parts together, where counted.
    pub records: Option<u64>,
    /// When it was committed, in milliseconds since 1970.
    pub committed_ms: i64,
    /// HPCC-style id of the job that wrote it.
    pub wuid: String,
    /// The agent that wrote it.
    pub agent: String,
    /// What describes it.
    pub attributes: Attributes,
}
