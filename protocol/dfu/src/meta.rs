//! What HPCC keeps about a logical file besides its bytes, and the XML that carries it.
//!
//! The XML is what WsDfu.Savexml writes and WsDfu.Add takes: one `File` element with its clusters,
//! parts and attributes. What stands in no field here is not carried.

mod element;
mod error;
mod number;
mod read;
mod write;

pub use element::Element;
pub use error::{MetaError, NumberKind, XmlRule};

use crate::format::RecordFormat;
use crate::format::attributes::{AttributeError, OF_COMPRESSION, is_compressed};
use crate::naming::{PartPaths, lfn_hash};
use error::shown;
use skyspray_wire::name::LogicalName;
use std::num::NonZeroU32;

/// Longest XML read or written, in bytes: 16 MiB.
pub const XML_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Deepest element, the root counting as 1.
pub const DEPTH_MAX: usize = 64;

/// Most parts of one file.
pub const PARTS_MAX: u32 = 100_000;

/// Most elements in one document. Leaves as much for everything else as for the parts; bounds the
/// memory a document of tiny elements can take.
pub const ELEMENTS_MAX: usize = 200_000;

/// Most attributes of one element.
pub const ATTRIBUTES_MAX: usize = 1024;

/// A logical file as HPCC describes it.
///
/// `Protect` (the source system's locks) and `_remoteStoragePlane` (its storage) are left out
/// wherever they stand, in reading and in writing.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct FileMeta {
    /// The logical name: `OrigName`, otherwise `trace` as Savexml writes it, otherwise `name`.
    pub name: Option<String>,
    /// Directory of the parts, without stripe and part directories.
    pub directory: Option<String>,
    /// Names of the parts with `$L$`, `$P$` and `$N$`, as in `$L$._$P$_of_$N$`.
    pub partmask: Option<String>,
    /// Planes or groups the file is on, separated by commas.
    pub group: Option<String>,
    /// When the file was last changed, as HPCC writes it.
    pub modified: Option<String>,
    /// The `Cluster` elements as they are. HPCC reads them only if `numclusters` is not 0, so a
    /// file that is to be added needs one: [`FileMeta::set_plane`].
    pub clusters: Vec<Element>,
    /// The parts in order, at least one.
    pub parts: Vec<PartMeta>,
    /// The attributes of `Attr` in their order, names without `@`, known or not.
    pub attributes: Vec<(String, String)>,
    /// The record definition.
    pub ecl: Option<String>,
    /// The other elements in `Attr` as they are: `_rtlType`, `History`, `Bloom`, `Partition`.
    pub details: Vec<Element>,
}

/// One part as HPCC describes it. What is `None` is not known.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PartMeta {
    /// Length in bytes, expanded if the part is compressed.
    pub length: Option<u64>,
    /// Length in bytes as stored, of a compressed part.
    pub compressed_size: Option<u64>,
    /// CRC-32 of the bytes of `length`. HPCC's -1 is `None`, so a part whose CRC-32 really is
    /// `u32::MAX` has none, here as there.
    pub crc32: Option<u32>,
    /// Records in the part.
    pub records: Option<u64>,
    /// Bytes before the first record, of XML and JSON.
    pub header_length: Option<u32>,
    /// Bytes after the last record, of XML and JSON.
    pub footer_length: Option<u32>,
    /// When the part was last changed, as HPCC writes it.
    pub modified: Option<String>,
    /// Name of the part's file where it does not follow `partmask`; may be a path. HPCC believes it
    /// over the mask, so it must go when the part goes elsewhere.
    pub file_name: Option<String>,
    /// Other attributes in their order, but never `node`, the address of the machine it was on.
    pub others: Vec<(String, String)>,
}

impl FileMeta {
    /// Reads what WsDfu.Savexml writes.
    ///
    /// Attributes stand in any order; `-1` for a count means not known. Blanks around a value are
    /// layout unless they are written as references, as HPCC has it.
    ///
    /// # Errors
    ///
    /// [`MetaError`]: whoever made the XML is at fault, and the error says where.
    pub fn from_xml(xml: &str) -> Result<Self, MetaError> {
        read::file(xml)
    }

    /// The XML for WsDfu.Add. Equal metadata gives equal text, and [`FileMeta::from_xml`] reads
    /// the same metadata from it.
    ///
    /// # Errors
    ///
    /// What XML, or the limits of [`FileMeta::from_xml`], cannot hold.
    pub fn to_xml(&self) -> Result<String, MetaError> {
        write::file(self)
    }

    /// The value of an attribute of `Attr`; `name` without `@`.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// Sets an attribute of `Attr`, in its place if it is there.
    pub fn set_attribute(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        match self.attributes.iter_mut().find(|(other, _)| other == name) {
            Some((_, old)) => *old = value,
            None => self.attributes.push((name.to_owned(), value)),
        }
    }

    /// Says that the file is on `plane` and nowhere else.
    pub fn set_plane(&mut self, plane: &str) {
        let attributes = vec![("name".to_owned(), plane.to_owned())];
        self.clusters =
            vec![Element { name: "Cluster".to_owned(), attributes, ..Element::default() }];
        self.group = Some(plane.to_owned());
    }

    /// The record format the attributes describe, that of the expanded bytes of compressed parts.
    ///
    /// # Errors
    ///
    /// [`AttributeError`]: whoever wrote the metadata is at fault.
    pub fn format(&self) -> Result<RecordFormat, AttributeError> {
        RecordFormat::from_attributes(
            self.borrowed().filter(|(name, _)| !OF_COMPRESSION.contains(name)),
        )
    }

    /// Whether the parts are compressed by HPCC.
    pub fn is_compressed(&self) -> bool {
        is_compressed(self.borrowed())
    }

    fn borrowed(&self) -> impl Iterator<Item = (&str, &str)> {
        self.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The binary record type in base64, exactly as it stood.
    pub fn rtl_type(&self) -> Option<&str> {
        self.details.iter().find(|detail| detail.name == "_rtlType").map(|rtl| rtl.text.as_str())
    }

    /// Where the parts lie below the prefix of a plane with `devices` devices. The file's own
    /// `lfnHash` decides where it has one, because a renamed file keeps it.
    ///
    /// # Errors
    ///
    /// [`MetaError::NoParts`], [`MetaError::TooManyParts`], and [`MetaError::Value`] for `flags` or
    /// `lfnHash`.
    pub fn part_paths(
        &self,
        name: &LogicalName,
        devices: NonZeroU32,
    ) -> Result<PartPaths, MetaError> {
        let flags = self.bits32("flags")?.unwrap_or(0);
        Ok(PartPaths {
            parts: self.part_count()?,
            devices,
            directory_per_part: flags & FLAG_DIRECTORY_PER_PART != 0,
            lfn_hash: self.bits32("lfnHash")?.unwrap_or_else(|| lfn_hash(name)),
            generation: None,
        })
    }

    fn bits32(&self, attribute: &str) -> Result<Option<u32>, MetaError> {
        let Some(value) = self.attribute(attribute) else { return Ok(None) };
        number::bits32(value).map(Some).ok_or_else(|| MetaError::Value {
            attribute: attribute.to_owned(),
            value: shown(value),
            expected: NumberKind::Bits32,
        })
    }

    fn part_count(&self) -> Result<NonZeroU32, MetaError> {
        let parts = self.parts.len();
        match u32::try_from(parts) {
            Ok(count) if count <= PARTS_MAX => NonZeroU32::new(count).ok_or(MetaError::NoParts),
            _ => Err(MetaError::TooManyParts { parts: parts as u64 }),
        }
    }
}

/// The bit of `flags` that says each part has a directory of its own.
const FLAG_DIRECTORY_PER_PART: u32 = 1;
