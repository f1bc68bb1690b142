//! A case as data: its sources, what is asked of them, and what HPCC makes of them.

use super::support::{self, Part};
use serde_json::Value;
use skyspray_dfu::encoding::{DeclaredEncoding, EncodingError};
use skyspray_dfu::format::csv::Role;
use skyspray_dfu::format::{
    ByteOrder, CsvFormat, CsvOptions, JsonFormat, RecordFormat, VARIABLE_RECORD_DEFAULT, XmlFormat,
};
use skyspray_dfu::probe::{self, Head, Measure, ProbeError, Tail};
use skyspray_dfu::split::{Join, Layout, Source, SplitError, SplitOptions, Target};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

/// Why a case ends without parts.
#[derive(Debug, thiserror::Error)]
pub(super) enum CaseError {
    #[error(transparent)]
    Encoding(#[from] EncodingError),
    #[error(transparent)]
    Probe(#[from] ProbeError),
    #[error("no row")]
    NoRow,
    #[error(transparent)]
    Split(#[from] SplitError),
}

impl CaseError {
    pub(super) fn hpcc_number(&self) -> Option<u16> {
        match self {
            Self::Encoding(error) => error.hpcc_number(),
            Self::Probe(error) => error.hpcc_number(),
            Self::NoRow => Some(8098),
            Self::Split(error) => error.hpcc_number(),
        }
    }
}

/// The parts of a spray, its sources read in blocks of one length.
pub(super) fn spray(
    case: &Value,
    contents: &[Vec<u8>],
    block: usize,
) -> Result<Vec<Part>, CaseError> {
    let options = &case["options"];
    let declared = declared(options);
    let marks = contents.iter().map(|content| declared.detect(content));
    let marks = marks.collect::<Result<Vec<_>, _>>()?;
    let format = format(options).with_encoding(declared.agree(&marks)?);
    let parts = number(&options["numParts"]);
    let target = match options["targetEncoding"].as_str() {
        Some("utf8n") => Target::Utf8,
        Some("utf8") => Target::Utf8WithMark,
        Some(other) => panic!("target encoding {other}"),
        None => Target::Native,
    };
    let layout = match target {
        Target::Native => Layout::implied(contents.len(), parts),
        _ => Layout::Balanced,
    };
    let mut sources = Vec::new();
    for (content, mark) in contents.iter().zip(&marks) {
        sources.push(source(&format, content, mark.mark)?);
    }
    let split = SplitOptions { layout, join: Join::Verbatim, target, ..SplitOptions::new(parts) };
    Ok(support::split(&format, (sources, contents), split, &[block])?)
}

fn source(format: &RecordFormat, content: &[u8], mark: u8) -> Result<Source, CaseError> {
    let mut source = Source { mark, ..Source::plain(content.len() as u64) };
    if !matches!(format, RecordFormat::Xml(_) | RecordFormat::Json(_)) {
        return Ok(source);
    }
    let text = &content[usize::from(mark)..];
    let Head::Found { header_bytes } = probe::head(format, text, true)? else {
        return Err(CaseError::NoRow);
    };
    let (header, rows) = text.split_at(usize::try_from(header_bytes).unwrap());
    let footer = match probe::tail(format, rows, true)? {
        Tail::Found { footer_bytes } => footer_bytes,
        Tail::NeedMore | Tail::Unknown => {
            let mut measure = Measure::try_new(format)?;
            measure.push(rows)?;
            measure.finish()?
        }
    };
    source.header = header.to_vec();
    source.footer = rows[rows.len() - usize::try_from(footer).unwrap()..].to_vec();
    Ok(source)
}

/// The format a case asks for.
pub(super) fn format(options: &Value) -> RecordFormat {
    match options["format"].as_str().unwrap_or("csv") {
        "fixed" => RecordFormat::Fixed { record_bytes: number(&options["recordSize"]) },
        "variable" => {
            RecordFormat::Variable { order: ByteOrder::Little, max_record: VARIABLE_RECORD_DEFAULT }
        }
        "variablebigendian" => {
            RecordFormat::Variable { order: ByteOrder::Big, max_record: VARIABLE_RECORD_DEFAULT }
        }
        "blocked" => RecordFormat::Blocked,
        "recfmv" => RecordFormat::RecfmV,
        "recfmvb" => RecordFormat::RecfmVb,
        "xml" => {
            RecordFormat::Xml(XmlFormat::try_new(options["rowTag"].as_str().unwrap()).unwrap())
        }
        "json" => {
            RecordFormat::Json(JsonFormat::try_new(options["rowPath"].as_str().unwrap()).unwrap())
        }
        "csv" => RecordFormat::Csv(csv(options)),
        other => panic!("a format nothing here checks: {other}"),
    }
}

fn csv(options: &Value) -> CsvFormat {
    let mut csv = CsvOptions::default();
    for (role, key) in [
        (Role::Separator, "separator"),
        (Role::Quote, "quote"),
        (Role::Terminator, "terminator"),
        (Role::Escape, "escape"),
    ] {
        if let Some(list) = options[key].as_str() {
            csv.set(role, list).unwrap();
        }
    }
    if options.get("maxRecordSize").is_some() {
        csv.max_record = number(&options["maxRecordSize"]);
    }
    CsvFormat::try_new(csv).unwrap()
}

/// The encoding a case says its sources are in.
pub(super) fn declared(options: &Value) -> DeclaredEncoding {
    let said = options["sourceEncoding"].as_str().or(options["encoding"].as_str());
    match said {
        None | Some("ascii") => DeclaredEncoding::Ascii,
        Some("utf8" | "utf") => DeclaredEncoding::Utf8,
        Some("utf8n") => DeclaredEncoding::Utf8n,
        Some("utf16") => DeclaredEncoding::Utf16,
        Some("utf16le") => DeclaredEncoding::Utf16Le,
        Some("utf16be") => DeclaredEncoding::Utf16Be,
        Some("utf32") => DeclaredEncoding::Utf32,
        Some("utf32le") => DeclaredEncoding::Utf32Le,
        Some("utf32be") => DeclaredEncoding::Utf32Be,
        Some(other) => panic!("an encoding nothing here checks: {other}"),
    }
}

/// The sources' bytes.
pub(super) fn contents(case: &Value, folder: &Path) -> Vec<Vec<u8>> {
    let inputs = case["inputs"].as_array().map(Vec::as_slice).unwrap_or_default();
    inputs.iter().map(|input| content(input, folder)).collect()
}

fn content(input: &Value, folder: &Path) -> Vec<u8> {
    match input["generate"].as_str() {
        None => std::fs::read(folder.join(input["file"].as_str().unwrap())).unwrap(),
        Some(text) => {
            let count = text.strip_prefix("bytes 'a' LF followed by ").unwrap();
            let count = count.strip_suffix(" bytes 'x'").unwrap().parse().unwrap();
            [b"a\n".to_vec(), vec![b'x'; count]].concat()
        }
    }
}

/// The lengths of the parts HPCC makes.
pub(super) fn part_lengths(expect: &Value) -> Vec<u64> {
    match expect["parts"].as_array() {
        Some(parts) => parts.iter().map(|part| part["size"].as_u64().unwrap()).collect(),
        None => numbers(&expect["part_sizes"]),
    }
}

/// The parts HPCC makes; `None` where only their lengths are known.
pub(super) fn parts(case: &Value, folder: &Path) -> Option<Vec<Vec<u8>>> {
    let parts = case["expect"]["parts"].as_array()?;
    let read = |part: &Value| Some(std::fs::read(folder.join(part["file"].as_str()?)).unwrap());
    parts.iter().map(read).collect()
}

pub(super) fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("SKYSPRAY_CASES").map(PathBuf::from);
    if folder.is_none() {
        println!("skipped: SKYSPRAY_CASES does not name the folder of HPCC cases");
    }
    folder
}

pub(super) fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

pub(super) fn number(value: &Value) -> NonZeroU32 {
    NonZeroU32::new(u32::try_from(value.as_u64().unwrap()).unwrap()).unwrap()
}

pub(super) fn numbers(values: &Value) -> Vec<u64> {
    values.as_array().unwrap().iter().map(|value| value.as_u64().unwrap()).collect()
}

pub(super) fn strings(values: &Value) -> Vec<&str> {
    values.as_array().unwrap().iter().map(|value| value.as_str().unwrap()).collect()
}
