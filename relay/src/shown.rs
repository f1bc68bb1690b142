//! What is shown of logical files and their parts, by commands and by the HTTP interface alike.

use crate::catalogue::{GenerationRecord, StoredPart};
use serde::Serialize;
use skyspray_wire::message::Entry;
use skyspray_wire::name::{LogicalName, PlaneName};

/// The current generation of a logical file.
#[derive(Debug, Serialize)]
pub(crate) struct ShownGeneration {
    pub(crate) plane: String,
    pub(crate) name: String,
    pub(crate) generation: u64,
    pub(crate) wuid: String,
    pub(crate) agent: String,
    pub(crate) parts: u32,
    pub(crate) bytes: u64,
    pub(crate) records: Option<u64>,
    pub(crate) committed_ms: i64,
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) lfn_hash: u32,
}

impl ShownGeneration {
    pub(crate) fn new(plane: &PlaneName, name: &LogicalName, record: GenerationRecord) -> Self {
        Self {
            plane: plane.to_string(),
            name: name.to_string(),
            generation: record.generation.0,
            wuid: record.wuid,
            agent: record.agent.to_string(),
            parts: record.parts,
            bytes: record.bytes,
            records: record.records,
            committed_ms: record.committed_ms,
            attributes: record.attributes,
            lfn_hash: record.layout.lfn_hash,
        }
    }
}

/// A part of a generation.
#[derive(Debug, Serialize)]
pub(crate) struct ShownPart {
    /// Counted from 1.
    pub(crate) part: u64,
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) records: Option<u64>,
    pub(crate) blake3: String,
    pub(crate) crc32: u32,
    /// Bytes at its start that are the header of a document.
    pub(crate) header: u32,
    /// Bytes at its end that are the footer of a document.
    pub(crate) footer: u32,
}

impl ShownPart {
    pub(crate) fn new(part: &StoredPart) -> Self {
        Self {
            part: u64::from(part.part.0) + 1,
            path: part.path.clone(),
            bytes: part.length,
            records: part.records,
            blake3: part.digest.to_string(),
            crc32: part.crc32,
            header: part.header,
            footer: part.footer,
        }
    }
}

/// A logical file in a list.
#[derive(Debug, Serialize)]
pub(crate) struct ShownFile {
    pub(crate) plane: String,
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) parts: u32,
    pub(crate) committed_ms: i64,
}

impl ShownFile {
    pub(crate) fn new(plane: &PlaneName, entry: &Entry) -> Self {
        Self {
            plane: plane.to_string(),
            name: entry.name.clone(),
            bytes: entry.bytes,
            parts: entry.parts,
            committed_ms: entry.committed_ms,
        }
    }
}
