//! `history.jsonl`: one JSON object a line for every job that ended, in two files of bounded size.

use super::record::JobHeader;
use crate::durable::read_file;
use serde::Serialize;
use skyspray_link::seam::files::{Caching, Cause, File, FileError, RelPath, Replace, Tree};
use std::sync::Arc;

/// Length at which the history is begun anew, in bytes. The one before it is kept.
const ROTATE_BYTES: u64 = 4 << 20;

/// Bytes at the end in which the last whole line is looked for; no line is longer.
const LINE_BYTES_MAX: usize = 64 << 10;

/// How a job ended.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Ended {
    /// How.
    pub outcome: Outcome,
    /// When, in milliseconds since 1970.
    pub ended_ms: i64,
    /// HPCC-style id, where the relay gave one.
    pub wuid: Option<String>,
    /// Bytes of sources or, in a despray or pull, bytes written.
    pub bytes: u64,
    /// What went wrong, for people; at most 1 KiB of it is kept.
    pub detail: Option<String>,
}

/// How a job ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Everything it was to do is done.
    Committed,
    /// It cannot succeed: refused, or its sources changed.
    Failed,
    /// Given up by the user.
    Aborted,
}

#[derive(Serialize)]
struct Line<'a> {
    schema: u32,
    job: String,
    kind: String,
    target: &'a str,
    opened_ms: i64,
    #[serde(flatten)]
    ended: &'a Ended,
}

const DETAIL_CHARS_MAX: usize = 1024;

pub(super) fn append(tree: &dyn Tree, header: &JobHeader, ended: &Ended) -> Result<(), FileError> {
    let mut ended = ended.clone();
    ended.detail = ended.detail.map(|detail| detail.chars().take(DETAIL_CHARS_MAX).collect());
    let line = Line {
        schema: 1,
        job: header.job.to_string(),
        kind: header.kind.to_string(),
        target: &header.target,
        opened_ms: header.opened_ms,
        ended: &ended,
    };
    let mut bytes = serde_json::to_vec(&line).expect("plain data has a JSON form");
    bytes.push(b'\n');
    let (file, made) = open(tree)?;
    let end = end_of_lines(&*file)?;
    file.set_len(end)?;
    file.write_all_at(&bytes, end)?;
    file.sync_data()?;
    if made {
        tree.sync_dir(&RelPath::root())?;
    }
    Ok(())
}

/// The last lines, newest first. Lines that are no JSON are passed over.
pub(super) fn recent(tree: &dyn Tree, count: usize) -> Result<Vec<serde_json::Value>, FileError> {
    let mut found = Vec::new();
    for path in [current(), previous()] {
        let bytes = match read_file(tree, &path, ROTATE_BYTES + LINE_BYTES_MAX as u64) {
            Ok(bytes) => bytes.unwrap_or_default(),
            Err(error) if error.cause == Cause::Missing => continue,
            Err(error) => return Err(error),
        };
        let lines = bytes.rsplit(|&byte| byte == b'\n');
        found.extend(lines.filter_map(|line| serde_json::from_slice(line).ok()));
    }
    found.truncate(count);
    Ok(found)
}

/// The history to append to, and whether it is a new file.
fn open(tree: &dyn Tree) -> Result<(Arc<dyn File>, bool), FileError> {
    match tree.open_write(&current(), Caching::Buffered) {
        Ok(file) if file.metadata()?.len < ROTATE_BYTES => return Ok((file, false)),
        Ok(_) => tree.rename(&current(), &previous(), Replace::Existing)?,
        Err(error) if error.cause == Cause::Missing => {}
        Err(error) => return Err(error),
    }
    Ok((tree.create_new(&current(), 0o600, Caching::Buffered)?, true))
}

/// Where the last whole line ends; a crash may have left half a line behind it.
fn end_of_lines(file: &dyn File) -> Result<u64, FileError> {
    let length = file.metadata()?.len;
    let start = length.saturating_sub(LINE_BYTES_MAX as u64);
    let mut tail = vec![0; usize::try_from(length - start).expect("at most a line")];
    let read = file.read_at(&mut tail, start)?;
    let newline = tail[..read].iter().rposition(|&byte| byte == b'\n');
    Ok(newline.map_or(start, |index| start + index as u64 + 1))
}

fn current() -> RelPath {
    RelPath::parse("history.jsonl").expect("a plain name")
}

fn previous() -> RelPath {
    RelPath::parse("history.1.jsonl").expect("a plain name")
}
