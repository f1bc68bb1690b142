//! HPCC's metadata of logical files: read for a spray, written from a description, and the record
//! definition a csv header stands for.

mod error;
mod expanded;
mod parts;
mod xml;

pub use error::MetaFault;
pub use parts::{PartFile, PartsFault, find as find_parts, target};
pub use xml::{Described, to_xml};

use crate::splitting::{OF_SPLITTING, Splitting};
use skyspray_dfu::ecl;
use skyspray_dfu::encoding::{Encoding, OnInvalid, ToUtf8};
use skyspray_dfu::format::RecordFormat;
use skyspray_dfu::format::attributes::OF_COMPRESSION;
use skyspray_dfu::meta::FileMeta;
use std::io::Read as _;
use std::path::Path;

/// Attribute that holds the record definition.
pub const ECL_ATTRIBUTE: &str = "ECL";

/// Attribute that holds HPCC's binary type of the records, as text.
pub const RTL_TYPE_ATTRIBUTE: &str = "_rtlType";

/// Attribute that says what the parts are when HPCC's compression is undone.
pub const EXPANDED_ATTRIBUTE: &str = "expandedParts";

/// Longest metadata that are read.
const META_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Reads HPCC's XML of a logical file. Blocks.
///
/// # Errors
///
/// The file cannot be read or is no such XML; the user's to correct.
pub fn read(path: &Path) -> Result<FileMeta, MetaFault> {
    let shown = || path.display().to_string();
    let unreadable = |source| MetaFault::Read { path: shown(), source };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut text = String::new();
    file.take(META_BYTES_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > META_BYTES_MAX {
        return Err(MetaFault::TooLong { path: shown() });
    }
    FileMeta::from_xml(&text).map_err(|error| MetaFault::Invalid { path: shown(), error })
}

/// What is kept with a logical file that is written anew: everything the new parts do not decide.
pub fn kept(meta: &FileMeta) -> Vec<(String, String)> {
    keep(meta, |name| {
        xml::MEASURED.contains(&name)
            || xml::OF_STORAGE.contains(&name)
            || OF_COMPRESSION.contains(&name)
            || xml::OF_FORMAT.contains(&name)
            || OF_SPLITTING.contains(&name)
    })
}

/// What is kept with a logical file whose parts stay as they are: everything but what is measured
/// and where it is stored.
pub fn kept_with_parts(meta: &FileMeta) -> Vec<(String, String)> {
    let compressed = meta.is_compressed();
    let mut kept = keep(meta, |name| {
        xml::MEASURED.contains(&name)
            || xml::OF_STORAGE.contains(&name)
            || (!compressed && OF_COMPRESSION.contains(&name))
    });
    // Counts of the parts make that of the file; without them it is all that is known.
    let counted = meta.parts.len() == 1 || meta.parts.iter().all(|part| part.records.is_some());
    let count = meta.attribute("recordCount").filter(|_| !counted);
    kept.extend(count.map(|count| ("recordCount".to_owned(), count.to_owned())));
    if compressed {
        kept.push((EXPANDED_ATTRIBUTE.to_owned(), expanded::text(&meta.parts)));
    }
    kept
}

fn keep(meta: &FileMeta, decided: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let mut kept: Vec<_> =
        meta.attributes.iter().filter(|(name, _)| !decided(name)).cloned().collect();
    let mut add = |name: &str, value: &str| kept.push((name.to_owned(), value.to_owned()));
    if let Some(ecl) = &meta.ecl {
        add(ECL_ATTRIBUTE, ecl);
    }
    if let Some(rtl_type) = meta.rtl_type() {
        add(RTL_TYPE_ATTRIBUTE, rtl_type);
    }
    kept
}

/// The record definition the first record of the first source stands for. Blocks.
///
/// # Errors
///
/// The sources are no csv, or their first record names no fields; the user's to correct.
pub fn record_structure(splitting: &Splitting) -> Result<String, MetaFault> {
    let RecordFormat::Csv(csv) = splitting.format() else {
        return Err(MetaFault::NoHeader { format: splitting.format().name() });
    };
    let encoding = csv.options().encoding;
    let first = splitting.first_record_bytes(u64::from(csv.options().max_record.get()))?;
    let text = match ToUtf8::try_new(encoding, OnInvalid::Replace) {
        Ok(mut converter) => {
            let mut text = Vec::with_capacity(first.len());
            // With replacement nothing is refused.
            let _ = converter.push(&first, &mut text);
            text
        }
        Err(_) => first,
    };
    let record = ecl::record_from_header(&text, csv, encoding != Encoding::Ascii);
    Ok(record
        .map_err(|error| MetaFault::Header { path: splitting.first_path(), error })?
        .to_string())
}
