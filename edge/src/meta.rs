//! HPCC's metadata of logical files: read for a spray, written from a description, and the record
//! definition a csv header stands for.

mod error;
mod xml;

pub use error::MetaFault;
pub use xml::{Described, to_xml};

use crate::splitting::Splitting;
use skyspray_dfu::ecl;
use skyspray_dfu::encoding::{Encoding, OnInvalid, ToUtf8};
use skyspray_dfu::format::RecordFormat;
use skyspray_dfu::meta::FileMeta;
use std::io::Read as _;
use std::path::Path;

/// Attribute that holds the record definition.
pub const ECL_ATTRIBUTE: &str = "ECL";

/// Attribute that holds HPCC's binary type of the records, as text.
pub const RTL_TYPE_ATTRIBUTE: &str = "_rtlType";

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
    let decided = |name: &str| {
        xml::MEASURED.contains(&name)
            || xml::OF_STORAGE.contains(&name)
            || xml::OF_FORMAT.contains(&name)
    };
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
