//! A description of a logical file as HPCC's XML.

use super::expanded::{self, Expanded};
use super::{ECL_ATTRIBUTE, EXPANDED_ATTRIBUTE, MetaFault, RTL_TYPE_ATTRIBUTE};
use skyspray_dfu::meta::{Element, FileMeta, PartMeta};
use skyspray_dfu::naming::lfn_hash;
use skyspray_wire::message::{Description, PartInfo};
use skyspray_wire::name::LogicalName;

/// Attributes that say what was counted and measured.
pub(super) const MEASURED: [&str; 6] =
    ["size", "compressedSize", "fileCrc", "recordCount", "headerLength", "footerLength"];

/// Attributes that say where bytes are stored, and when they were used.
pub(super) const OF_STORAGE: [&str; 6] =
    ["lfnHash", "flags", "modified", "accessed", "numDiskReads", "numDiskWrites"];

/// Attributes that say how records are delimited.
pub(super) const OF_FORMAT: [&str; 9] = [
    "kind",
    "format",
    "recordSize",
    "csvSeparate",
    "csvQuote",
    "csvTerminate",
    "csvEscape",
    "maxRecordSize",
    "rowTag",
];

/// A logical file, as it was described.
#[derive(Clone, Copy, Debug)]
pub struct Described<'a> {
    /// Its name.
    pub name: &'a LogicalName,
    /// What the relay knows of it.
    pub description: &'a Description,
    /// Its parts, in order.
    pub parts: &'a [PartInfo],
}

/// HPCC's XML of a logical file.
///
/// # Errors
///
/// An attribute holds what XML cannot, or not what it is for; whoever stored the file is at fault.
pub fn to_xml(file: Described<'_>) -> Result<String, MetaFault> {
    let Described { name, description, parts } = file;
    let said = description.attributes.iter().find(|(name, _)| name == EXPANDED_ATTRIBUTE);
    let expanded = said.map(|(_, text)| expanded::parse(text, parts.len())).transpose()?;
    let mut size = description.bytes;
    let mut compressed = None;
    if let Some(expanded) = &expanded {
        compressed = Some(size);
        size = expanded.iter().filter_map(|part| part.length).sum();
    }
    let mut meta = FileMeta {
        name: Some(name.as_str().to_owned()),
        partmask: Some("$L$._$P$_of_$N$".to_owned()),
        parts: match &expanded {
            None => parts.iter().map(part).collect(),
            Some(expanded) => {
                parts.iter().zip(expanded).map(|(stored, said)| undone(stored, said)).collect()
            }
        },
        ..FileMeta::default()
    };
    let common = |length: fn(&PartInfo) -> u32| {
        let first = parts.first().map(length)?;
        (first > 0 && parts.iter().all(|part| length(part) == first)).then_some(first)
    };
    for (attribute, value) in [
        ("size", Some(size.to_string())),
        ("compressedSize", compressed.map(|bytes| bytes.to_string())),
        ("recordCount", description.records.map(|records| records.to_string())),
        ("headerLength", common(|part| part.header).map(|length| length.to_string())),
        ("footerLength", common(|part| part.footer).map(|length| length.to_string())),
        ("workunit", Some(description.wuid.clone())),
        ("owner", Some(description.agent.clone())),
        ("lfnHash", Some(lfn_hash(name).to_string())),
    ] {
        if let Some(value) = value {
            meta.set_attribute(attribute, value);
        }
    }
    for (attribute, value) in &description.attributes {
        match attribute.as_str() {
            EXPANDED_ATTRIBUTE => {}
            ECL_ATTRIBUTE => meta.ecl = Some(value.clone()),
            RTL_TYPE_ATTRIBUTE => meta.details.push(Element {
                name: RTL_TYPE_ATTRIBUTE.to_owned(),
                text: value.clone(),
                ..Element::default()
            }),
            _ => meta.set_attribute(attribute, value.clone()),
        }
    }
    meta.to_xml().map_err(MetaFault::Unwritable)
}

/// A part that HPCC compressed: its length and checksum are those of the expanded bytes.
fn undone(stored: &PartInfo, said: &Expanded) -> PartMeta {
    PartMeta {
        length: said.length,
        compressed_size: Some(stored.length),
        crc32: said.crc32,
        ..part(stored)
    }
}

fn part(part: &PartInfo) -> PartMeta {
    let around = |length: u32| (length > 0).then_some(length);
    PartMeta {
        length: Some(part.length),
        crc32: part.crc32,
        records: part.records,
        header_length: around(part.header),
        footer_length: around(part.footer),
        ..PartMeta::default()
    }
}
