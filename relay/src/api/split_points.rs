//! `POST /v1/split-points`: where a file of a plane would be split, without keeping anything. The
//! same scanners and rules as for a spray.

use super::Api;
use super::caller::Caller;
use super::error::{ApiError, SCHEMA};
use super::plane_files::OpenFile;
use crate::config::Size;
use crate::plane::{PlaneError, Stat, StoredFile};
use crate::state::blocking;
use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use serde::{Deserialize, Serialize};
use skyspray_dfu::encoding::{DeclaredEncoding, EncodingError};
use skyspray_dfu::format::{FormatName, FormatOptions, RecordFormat};
use skyspray_dfu::look::{self, Around, LookError, Readable};
use skyspray_dfu::probe::ProbeError;
use skyspray_dfu::split::{PlannedPart, Planner, Source, SplitError, SplitOptions, Splitter};
use skyspray_wire::limits::PARTS_MAX;
use skyspray_wire::name::{PlaneName, PlanePath};
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use thiserror::Error;
use tokio::time::timeout;

/// Bytes of a request.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// How long a client may take for them.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// Bytes read at once.
const BLOCK_BYTES: usize = 1 << 20;

/// What is asked: a file, a number of parts, and the options of the command line without dashes in
/// front.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Asked {
    plane: PlaneName,
    path: PlanePath,
    parts: NonZeroU32,
    format: Option<String>,
    record_size: Option<Bytes>,
    separator: Option<String>,
    quote: Option<String>,
    terminator: Option<String>,
    escape: Option<String>,
    row_tag: Option<String>,
    row_path: Option<String>,
    max_record: Option<Bytes>,
    encoding: Option<EncodingName>,
}

/// A number of bytes, or a text such as `64KiB`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
enum Bytes {
    Number(u64),
    Text(Size),
}

impl Bytes {
    fn count(self) -> u64 {
        match self {
            Self::Number(bytes) | Self::Text(Size(bytes)) => bytes,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum EncodingName {
    Ascii,
    Utf8,
    Utf8n,
    Utf16,
    Utf16le,
    Utf16be,
    Utf32,
    Utf32le,
    Utf32be,
}

impl From<EncodingName> for DeclaredEncoding {
    fn from(name: EncodingName) -> Self {
        match name {
            EncodingName::Ascii => Self::Ascii,
            EncodingName::Utf8 => Self::Utf8,
            EncodingName::Utf8n => Self::Utf8n,
            EncodingName::Utf16 => Self::Utf16,
            EncodingName::Utf16le => Self::Utf16Le,
            EncodingName::Utf16be => Self::Utf16Be,
            EncodingName::Utf32 => Self::Utf32,
            EncodingName::Utf32le => Self::Utf32Le,
            EncodingName::Utf32be => Self::Utf32Be,
        }
    }
}

impl Asked {
    fn options(&self) -> Result<FormatOptions, ApiError> {
        let named = |text: &String| {
            FormatName::parse(text).ok_or_else(|| {
                let known = FormatName::ALL.map(FormatName::as_str).join(", ");
                let text: String = text.chars().take(40).collect();
                let problem = format!("format {text:?} is none of {known}");
                ApiError::Request { problem }
            })
        };
        Ok(FormatOptions {
            format: self.format.as_ref().map(named).transpose()?,
            record_size: self.record_size.map(Bytes::count),
            separator: self.separator.clone(),
            quote: self.quote.clone(),
            terminator: self.terminator.clone(),
            escape: self.escape.clone(),
            row_tag: self.row_tag.clone(),
            row_path: self.row_path.clone(),
            max_record: self.max_record.map(Bytes::count),
            encoding: self.encoding.map(DeclaredEncoding::from),
        })
    }
}

#[derive(Serialize)]
pub(super) struct Answer {
    schema: u32,
    event: &'static str,
    plane: String,
    path: String,
    /// Entity tag of what was scanned: `If-Match` with it reads the same bytes.
    tag: String,
    /// Bytes of the file.
    length: u64,
    format: &'static str,
    records: u64,
    parts: Vec<Point>,
}

#[derive(Serialize)]
struct Point {
    /// Counted from 1.
    part: u64,
    /// Where it starts in the file.
    offset: u64,
    /// How many bytes of the file from there are its records.
    length: u64,
    records: u64,
    /// Bytes of a part that is stored, with what stands around its records.
    stored_length: u64,
    header: u32,
    footer: u32,
}

impl Point {
    fn new(part: &PlannedPart) -> Self {
        Self {
            part: u64::from(part.part.0) + 1,
            offset: part.offset,
            length: part.source_length(),
            records: part.records,
            stored_length: part.length,
            header: part.header,
            footer: part.footer,
        }
    }
}

/// Answers it.
pub(super) async fn answer(
    State(api): State<Arc<Api>>,
    caller: Caller,
    body: Body,
) -> Result<Json<Answer>, ApiError> {
    let asked = read(body).await?;
    if asked.parts.get() > PARTS_MAX {
        let problem = format!("parts is {}, expected 1 to {PARTS_MAX}", asked.parts);
        return Err(ApiError::Request { problem });
    }
    let options = asked.options()?;
    caller.may_pull_path(&api, (&asked.plane, &asked.path)).await?;
    let slot = api.read_slot()?;
    let open = OpenFile::open(&api, asked.plane, asked.path).await?;
    let file_name = open.path.segments().last().map(|name| name.as_str()).unwrap_or_default();
    let format = options.resolve(file_name).map_err(ApiError::Format)?;
    let format_name = format.name();
    let tag = open.tag();
    let gone = Gone(Arc::default());
    let scan = Scan {
        file: open.file.clone(),
        stat: open.stat,
        declared: options.encoding,
        parts: asked.parts,
        gone: Arc::clone(&gone.0),
    };
    let target = open.path.to_string();
    let read = (&open.plane_name, target.as_str(), tag.as_str());
    api.audited.read(&api.relay, &caller.name, read).await?;
    // The slot is the scan's: it is free again when the thread is.
    let scanned = blocking(move || {
        let _slot = slot;
        scan.run(&format)
    });
    let planned = scanned.await.map_err(|fault| fault.told(&open))?;
    Ok(Json(Answer {
        schema: SCHEMA,
        event: "split-points",
        plane: open.plane_name.to_string(),
        path: target,
        tag,
        length: open.stat.length,
        format: format_name,
        records: planned.iter().map(|part| part.records).sum(),
        parts: planned.iter().map(Point::new).collect(),
    }))
}

async fn read(body: Body) -> Result<Asked, ApiError> {
    let bytes = timeout(BODY_DEADLINE, to_bytes(body, BODY_BYTES_MAX)).await;
    let bytes = bytes.map_err(|_| ApiError::TooSlow)?;
    // A connection that broke off has nobody left to tell, so what remains is the length.
    let bytes = bytes.map_err(|_| ApiError::TooLarge { max: BODY_BYTES_MAX })?;
    serde_json::from_slice(&bytes).map_err(|error| ApiError::Request { problem: error.to_string() })
}

/// Says, when the request is given up, that nobody waits for the scan any more.
struct Gone(Arc<AtomicBool>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One pass over a file, or two where the end of a document was guessed wrong. Blocks.
struct Scan {
    file: StoredFile,
    stat: Stat,
    declared: Option<DeclaredEncoding>,
    parts: NonZeroU32,
    gone: Arc<AtomicBool>,
}

/// Why there are no split points.
#[derive(Debug, Error)]
enum ScanFault {
    #[error(transparent)]
    Plane(#[from] PlaneError),
    #[error("the file changed")]
    Changed,
    #[error("nobody waits for the answer")]
    Unwanted,
    #[error(transparent)]
    Encoding(EncodingError),
    #[error(transparent)]
    Document(ProbeError),
    #[error("no row")]
    NoRows,
    #[error(transparent)]
    Records(#[from] SplitError),
}

impl From<LookError<ScanFault>> for ScanFault {
    fn from(error: LookError<ScanFault>) -> Self {
        match error {
            LookError::Read(fault) => fault,
            LookError::Encoding(error) => Self::Encoding(error),
            LookError::Document(error) => Self::Document(error),
        }
    }
}

impl ScanFault {
    fn told(self, open: &OpenFile) -> ApiError {
        let path = open.shown();
        match self {
            Self::Plane(source) => ApiError::Plane { plane: open.plane_name.clone(), source },
            Self::Changed | Self::Unwanted => ApiError::Changed { path },
            Self::Encoding(source) => ApiError::Encoding { path, source },
            Self::Document(source) => ApiError::Document { path, source },
            Self::NoRows => ApiError::NoRows { path },
            Self::Records(source) => ApiError::Records { path, source },
        }
    }
}

impl Readable for Scan {
    type Error = ScanFault;

    fn length(&self) -> u64 {
        self.stat.length
    }

    fn read(&self, range: Range<u64>) -> Result<Vec<u8>, ScanFault> {
        if self.gone.load(Ordering::Relaxed) {
            return Err(ScanFault::Unwanted);
        }
        let length = usize::try_from(range.end - range.start).expect("callers bound it");
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while filled < length {
            let read = self.file.read_at(&mut bytes[filled..], range.start + filled as u64)?;
            if read == 0 {
                return Err(ScanFault::Changed);
            }
            filled += read;
        }
        Ok(bytes)
    }
}

impl Scan {
    fn run(&self, format: &RecordFormat) -> Result<Vec<PlannedPart>, ScanFault> {
        self.file.advise_sequential();
        let (encoding, mark) = look::encoding(self, format, self.declared)?;
        let format = format.clone().with_encoding(encoding);
        let mut around = look::around(self, &format, mark)?;
        if !around.has_rows {
            return Err(ScanFault::NoRows);
        }
        let planned = match self.pass(&format, &around) {
            Err(ScanFault::Records(SplitError::FooterElsewhere { .. })) => {
                let records = (around.mark.len() + around.header.len()) as u64;
                around.footer = look::measured_footer(self, &format, records)?;
                self.pass(&format, &around)?
            }
            planned => planned?,
        };
        if self.file.stat()? == self.stat { Ok(planned) } else { Err(ScanFault::Changed) }
    }

    fn pass(&self, format: &RecordFormat, around: &Around) -> Result<Vec<PlannedPart>, ScanFault> {
        let source = Source {
            length: self.stat.length,
            mark: u8::try_from(around.mark.len()).expect("a mark has 4 bytes at most"),
            header: around.header.clone(),
            footer: around.footer.clone(),
            prefix: Vec::new(),
        };
        let options = SplitOptions::new(self.parts);
        let mut splitter = Splitter::try_new(format, vec![source], options)?;
        let mut planner = Planner::new(1);
        let mut offset = 0;
        while offset < self.stat.length {
            let end = self.stat.length.min(offset + BLOCK_BYTES as u64);
            splitter.push(&self.read(offset..end)?)?;
            std::iter::from_fn(|| splitter.poll()).for_each(|piece| planner.take(piece));
            offset = end;
        }
        splitter.end_source()?;
        splitter.finish()?;
        std::iter::from_fn(|| splitter.poll()).for_each(|piece| planner.take(piece));
        Ok(planner.finish())
    }
}
