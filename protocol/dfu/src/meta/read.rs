//! From XML to [`FileMeta`]: which element and attribute means what.

mod cursor;

use super::element::stays_behind;
use super::error::shown;
use super::{FileMeta, MetaError, NumberKind, PARTS_MAX, PartMeta, XML_BYTES_MAX, XmlRule, number};
use cursor::{Cursor, Node, Tag};

pub(super) fn file(xml: &str) -> Result<FileMeta, MetaError> {
    if xml.len() > XML_BYTES_MAX {
        return Err(MetaError::TooLarge { bytes: xml.len() });
    }
    let mut cursor = Cursor::new(xml);
    let root = outside(&mut cursor)?
        .ok_or_else(|| MetaError::Malformed { offset: cursor.offset(), rule: XmlRule::OneRoot })?;
    match root.name() {
        "File" => {}
        "SuperFile" => return Err(MetaError::SuperFile),
        other => return Err(MetaError::Root { found: shown(other) }),
    }
    let mut reading = Reading::open(&root)?;
    while let Some(tag) = cursor.child()? {
        reading.take(&mut cursor, &tag)?;
    }
    match outside(&mut cursor)? {
        None => Ok(reading.finish()),
        Some(second) => Err(MetaError::Malformed { offset: second.offset, rule: XmlRule::OneRoot }),
    }
}

/// The next element outside any other, `None` at the end of the text.
fn outside<'a>(cursor: &mut Cursor<'a>) -> Result<Option<Tag<'a>>, MetaError> {
    loop {
        let offset = cursor.offset();
        match cursor.next()? {
            Node::Open(tag) => return Ok(Some(tag)),
            Node::End => return Ok(None),
            Node::Text(text) if text.chars().all(|c| matches!(c, ' ' | '\t' | '\n' | '\r')) => {}
            Node::Text(_) | Node::Exact(_) | Node::Close => {
                return Err(MetaError::Malformed { offset, rule: XmlRule::OneRoot });
            }
        }
    }
}

/// A file whose elements come one after the other.
struct Reading {
    meta: FileMeta,
    /// The logical name as its element and its two attributes have it.
    orig_name: Option<String>,
    trace: Option<String>,
    plain_name: Option<String>,
    /// A place for each part; those without an element stay empty.
    parts: Vec<Option<PartMeta>>,
    has_attributes: bool,
}

impl Reading {
    fn open(root: &Tag<'_>) -> Result<Self, MetaError> {
        let mut meta = FileMeta::default();
        let (mut trace, mut plain_name, mut parts) = (None, None, None);
        for (name, value) in root.attributes()? {
            match name.as_str() {
                "directory" => meta.directory = Some(value),
                "partmask" => meta.partmask = Some(value),
                "group" => meta.group = Some(value),
                "modified" => meta.modified = Some(value),
                "trace" => trace = Some(value),
                "name" => plain_name = Some(value),
                "numparts" => parts = Some(part_count(&value, root.offset)?),
                _ => {}
            }
        }
        let parts = parts.ok_or(MetaError::Missing {
            element: "File",
            attribute: "numparts",
            offset: root.offset,
        })?;
        let parts = vec![None; parts];
        Ok(Self { meta, orig_name: None, trace, plain_name, parts, has_attributes: false })
    }

    fn take<'a>(&mut self, cursor: &mut Cursor<'a>, tag: &Tag<'a>) -> Result<(), MetaError> {
        let twice = |element| Err(MetaError::RepeatedElement { element, offset: tag.offset });
        match tag.name() {
            "OrigName" if self.orig_name.is_some() => return twice("OrigName"),
            "OrigName" => self.orig_name = Some(cursor.text()?),
            "Cluster" => self.meta.clusters.push(cursor.element(tag)?),
            "Part" => {
                self.place(tag)?;
                cursor.skip()?;
            }
            "Parts" => return Err(MetaError::PackedParts { offset: tag.offset }),
            "Attr" if self.has_attributes => return twice("Attr"),
            "Attr" => {
                self.has_attributes = true;
                self.meta.attributes = checked_attributes(tag)?;
                while let Some(child) = cursor.child()? {
                    self.take_detail(cursor, &child)?;
                }
            }
            _ => cursor.skip()?,
        }
        Ok(())
    }

    fn take_detail<'a>(&mut self, cursor: &mut Cursor<'a>, tag: &Tag<'a>) -> Result<(), MetaError> {
        match tag.name() {
            "ECL" if self.meta.ecl.is_some() => {
                return Err(MetaError::RepeatedElement { element: "ECL", offset: tag.offset });
            }
            "ECL" => self.meta.ecl = Some(cursor.text()?),
            name if stays_behind(name) => cursor.skip()?,
            _ => self.meta.details.push(cursor.element(tag)?),
        }
        Ok(())
    }

    fn place(&mut self, tag: &Tag<'_>) -> Result<(), MetaError> {
        let offset = tag.offset;
        let (num, part) = part(tag)?;
        let parts = self.parts.len();
        let place = usize::try_from(num - 1)
            .ok()
            .and_then(|index| self.parts.get_mut(index))
            .ok_or(MetaError::PartNumber { num, parts, offset })?;
        match place.replace(part) {
            None => Ok(()),
            Some(_) => Err(MetaError::RepeatedPart { num, offset }),
        }
    }

    fn finish(self) -> FileMeta {
        let name = self.orig_name.or(self.trace).or(self.plain_name);
        let parts = self.parts.into_iter().map(Option::unwrap_or_default).collect();
        FileMeta { name, parts, ..self.meta }
    }
}

fn part_count(value: &str, offset: u64) -> Result<usize, MetaError> {
    let found = number::count(value).flatten();
    match found.ok_or_else(|| unread(("numparts", value), NumberKind::FromOne, offset))? {
        0 => Err(MetaError::NoParts),
        parts => match usize::try_from(parts) {
            Ok(count) if parts <= u64::from(PARTS_MAX) => Ok(count),
            _ => Err(MetaError::TooManyParts { parts }),
        },
    }
}

/// A part and its number, from 1.
fn part(tag: &Tag<'_>) -> Result<(u64, PartMeta), MetaError> {
    let mut part = PartMeta::default();
    let mut num = None;
    for (name, value) in tag.attributes()? {
        let text = value.as_str();
        let or = |expected| unread((&name, text), expected, tag.offset);
        let count = || number::count(text).ok_or_else(|| or(NumberKind::Count));
        let length = || number::length32(text).ok_or_else(|| or(NumberKind::Length32));
        match name.as_str() {
            "num" => num = Some(number::from_one(text).ok_or_else(|| or(NumberKind::FromOne))?),
            "size" => part.length = count()?,
            "compressedSize" => part.compressed_size = count()?,
            "recordCount" => part.records = count()?,
            "fileCrc" => {
                let crc = number::bits32(text).ok_or_else(|| or(NumberKind::Bits32))?;
                part.crc32 = (crc != u32::MAX).then_some(crc);
            }
            "headerLength" => part.header_length = Some(length()?),
            "footerLength" => part.footer_length = Some(length()?),
            "modified" => part.modified = Some(value),
            "name" => part.file_name = Some(value),
            "node" => {}
            _ => part.others.push((name, value)),
        }
    }
    let missing = MetaError::Missing { element: "Part", attribute: "num", offset: tag.offset };
    Ok((num.ok_or(missing)?, part))
}

/// The attributes of `Attr`; those that must be numbers are.
fn checked_attributes(tag: &Tag<'_>) -> Result<Vec<(String, String)>, MetaError> {
    let attributes = tag.attributes()?;
    for (name, value) in &attributes {
        if let Some(expected) = number::fault(name, value) {
            return Err(unread((name, value), expected, tag.offset));
        }
    }
    Ok(attributes)
}

fn unread((attribute, value): (&str, &str), expected: NumberKind, offset: u64) -> MetaError {
    let (attribute, value) = (shown(attribute), shown(value));
    MetaError::Number { attribute, value, expected, offset }
}
