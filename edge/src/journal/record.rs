//! Records of a job's file: length (4 bytes, little-endian), CRC-32 over those 4 bytes and the
//! body (4 bytes, little-endian), body in postcard. A record is a header, first and once, or a
//! checkpoint. Whatever follows the last whole record is a write that a crash cut off.

use super::{Damage, JournalError};
use crate::landing::ZoneName;
use serde::{Deserialize, Serialize};
use skyspray_link::seam::files::{File, FileError, Fingerprint, RelPath};
use skyspray_wire::ids::JobId;
use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

/// Longest body of a record, in bytes.
pub const RECORD_BYTES_MAX: usize = 16 << 20;

/// Version of the header this build writes and reads.
pub(super) const VERSION: u16 = 1;

const PREFIX_BYTES: u64 = 8;

/// What kind of operation a job is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum JobKind {
    /// Sources to the parts of a logical file.
    Spray,
    /// The parts of a logical file to a file.
    Despray,
    /// Files to a plane.
    Push,
    /// Files from a plane.
    Pull,
}

impl fmt::Display for JobKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Spray => "spray",
            Self::Despray => "despray",
            Self::Push => "push",
            Self::Pull => "pull",
        })
    }
}

/// Tells one command from another: the same sources, target and options give the same key.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct CommandKey(pub [u8; 32]);

impl CommandKey {
    /// The key of a command. `options` are names and values in an order of the caller's that is
    /// always the same; only those that change what is stored belong there.
    pub fn of<'a>(
        kind: JobKind,
        target: &str,
        sources: &[JournalSource],
        options: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("skyspray edge command key 1");
        let mut field = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        field(kind.to_string().as_bytes());
        field(target.as_bytes());
        field(&(sources.len() as u64).to_le_bytes());
        for source in sources {
            field(source.zone.as_str().as_bytes());
            field(&source.path);
        }
        for (name, value) in options {
            field(name.as_bytes());
            field(value.as_bytes());
        }
        Self(*hasher.finalize().as_bytes())
    }
}

/// A local file or directory of a job: source of a spray or push, target of a despray or pull.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct JournalSource {
    /// Its landing zone.
    pub zone: ZoneName,
    /// Its path there, as bytes; empty for the zone itself.
    pub path: Vec<u8>,
    /// The state of a source file when the job began; `None` for directories and targets.
    pub fingerprint: Option<Fingerprint>,
}

impl JournalSource {
    /// Notes a path in a zone.
    pub fn new(zone: ZoneName, path: &RelPath, fingerprint: Option<Fingerprint>) -> Self {
        let path = path.as_path().as_os_str().as_bytes().to_vec();
        Self { zone, path, fingerprint }
    }

    /// The path in the zone; `None` when the journal holds something that is no path.
    pub fn rel_path(&self) -> Option<RelPath> {
        if self.path.is_empty() {
            return Some(RelPath::root());
        }
        RelPath::parse(OsString::from_vec(self.path.clone())).ok()
    }
}

/// What a job is, written once when it begins.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct JobHeader {
    /// Its id, known to the relay too.
    pub job: JobId,
    /// What is done.
    pub kind: JobKind,
    /// Which command began it.
    pub key: CommandKey,
    /// The side of the plane, as the command names it: `PLANE:scope::name` or `PLANE:path`.
    pub target: String,
    /// The side of the landing zone, in the order of the command.
    pub sources: Vec<JournalSource>,
    /// When it began, in milliseconds since 1970.
    pub opened_ms: i64,
}

/// A record. Postcard numbers variants by position: append only.
#[derive(Debug, Deserialize, Serialize)]
enum Record {
    Header { version: u16, header: Vec<u8> },
    Checkpoint(Vec<u8>),
}

/// A header as the first record of a file.
pub(super) fn encode_header(header: &JobHeader) -> Result<Vec<u8>, JournalError> {
    let header = postcard::to_stdvec(header).expect("plain data has a postcard form");
    encode(&Record::Header { version: VERSION, header })
}

/// A checkpoint as a record.
pub(super) fn encode_checkpoint(state: &[u8]) -> Result<Vec<u8>, JournalError> {
    encode(&Record::Checkpoint(state.to_vec()))
}

fn encode(record: &Record) -> Result<Vec<u8>, JournalError> {
    let body = postcard::to_stdvec(record).expect("plain data has a postcard form");
    if body.len() > RECORD_BYTES_MAX {
        return Err(JournalError::RecordTooLong { bytes: body.len() });
    }
    let length = u32::try_from(body.len()).expect("below the limit").to_le_bytes();
    let mut bytes = Vec::with_capacity(body.len() + length.len() * 2);
    bytes.extend_from_slice(&length);
    bytes.extend_from_slice(&crc(length, &body).to_le_bytes());
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// Covers the length too, so that a run of zeros is no record.
fn crc(length: [u8; 4], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length);
    hasher.update(body);
    hasher.finalize()
}

/// The header of a job's file.
pub(super) fn read_header(file: &dyn File) -> Result<Result<JobHeader, Damage>, FileError> {
    let read = read_at(file, 0)?;
    Ok(decode_header(read.map(|(record, _)| record)))
}

fn decode_header(record: Option<Record>) -> Result<JobHeader, Damage> {
    match record {
        Some(Record::Header { version: VERSION, header }) => {
            postcard::from_bytes(&header).map_err(|_| Damage::Header)
        }
        Some(Record::Header { version, .. }) => Err(Damage::Version { found: version }),
        _ => Err(Damage::Header),
    }
}

/// What a job's file holds.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) header: JobHeader,
    /// The last checkpoint.
    pub(super) checkpoint: Option<Vec<u8>>,
    /// Where the last whole record ends; what follows was cut off by a crash.
    pub(super) end: u64,
}

/// Reads a job's file, one record in memory at a time.
pub(super) fn read(file: &dyn File) -> Result<Result<Content, Damage>, FileError> {
    let first = read_at(file, 0)?;
    let mut end = first.as_ref().map_or(0, |(_, end)| *end);
    let header = match decode_header(first.map(|(record, _)| record)) {
        Ok(header) => header,
        Err(damage) => return Ok(Err(damage)),
    };
    let mut checkpoint = None;
    while let Some((Record::Checkpoint(state), next)) = read_at(file, end)? {
        checkpoint = Some(state);
        end = next;
    }
    Ok(Ok(Content { header, checkpoint, end }))
}

/// The record at `offset` and where it ends; `None` when there is no whole one.
fn read_at(file: &dyn File, offset: u64) -> Result<Option<(Record, u64)>, FileError> {
    let mut prefix = [0; PREFIX_BYTES as usize];
    if file.read_at(&mut prefix, offset)? < prefix.len() {
        return Ok(None);
    }
    let length: [u8; 4] = prefix[..4].try_into().expect("4 bytes");
    let expected = u32::from_le_bytes(prefix[4..].try_into().expect("4 bytes"));
    let bytes = u32::from_le_bytes(length) as usize;
    let rest = file.metadata()?.len.saturating_sub(offset + PREFIX_BYTES);
    if bytes > RECORD_BYTES_MAX || bytes as u64 > rest {
        return Ok(None);
    }
    let mut body = vec![0; bytes];
    let read = file.read_at(&mut body, offset + PREFIX_BYTES)?;
    if read < bytes || crc(length, &body) != expected {
        return Ok(None);
    }
    let record = postcard::from_bytes(&body).ok();
    Ok(record.map(|record| (record, offset + PREFIX_BYTES + bytes as u64)))
}
