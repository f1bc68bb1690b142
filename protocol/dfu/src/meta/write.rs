//! From [`FileMeta`] to XML, so that both HPCC and [`super::read`] get every value back.

use super::element::{illegal_character, is_name, stays_behind};
use super::error::shown;
use super::{
    ATTRIBUTES_MAX, DEPTH_MAX, ELEMENTS_MAX, Element, FileMeta, MetaError, PartMeta, XML_BYTES_MAX,
    number,
};
use std::borrow::Cow;
use std::collections::BTreeSet;

pub(super) fn file(meta: &FileMeta) -> Result<String, MetaError> {
    let parts = meta.part_count()?.to_string();
    let mut out = Writer::default();
    let clusters = (!meta.clusters.is_empty()).then(|| meta.clusters.len().to_string());
    let attributes = [
        ("trace", meta.name.as_deref()),
        ("directory", meta.directory.as_deref()),
        ("partmask", meta.partmask.as_deref()),
        ("numparts", Some(parts.as_str())),
        ("numclusters", clusters.as_deref()),
        ("group", meta.group.as_deref()),
        ("modified", meta.modified.as_deref()),
    ];
    out.open("File", attributes.into_iter().filter_map(|(name, value)| Some((name, value?))))?;
    out.end_line(">")?;
    for cluster in &meta.clusters {
        if cluster.name != "Cluster" {
            return Err(MetaError::Name { name: shown(&cluster.name) });
        }
        out.element(cluster)?;
    }
    for (index, part) in meta.parts.iter().enumerate() {
        out.part(index + 1, part)?;
    }
    out.attr(meta)?;
    out.close("File")?;
    Ok(out.xml)
}

#[derive(Default)]
struct Writer {
    xml: String,
    /// Elements open at the moment.
    depth: usize,
    elements: usize,
}

impl Writer {
    fn part(&mut self, num: usize, part: &PartMeta) -> Result<(), MetaError> {
        let number = |name, value: Option<u64>| Some((name, Cow::Owned(value?.to_string())));
        // HPCC writes checksums as signed numbers, and reads -1 as none.
        let crc = part.crc32.filter(|&crc| crc != u32::MAX).map(u32::cast_signed);
        let text = |name, value: &Option<String>| Some((name, Cow::Owned(value.clone()?)));
        let known = [
            Some(("num", Cow::Owned(num.to_string()))),
            number("size", part.length),
            number("compressedSize", part.compressed_size),
            crc.map(|crc| ("fileCrc", Cow::Owned(crc.to_string()))),
            number("recordCount", part.records),
            number("headerLength", part.header_length.map(u64::from)),
            number("footerLength", part.footer_length.map(u64::from)),
            text("modified", &part.modified),
            text("name", &part.file_name),
        ];
        let known = known.into_iter().flatten();
        let taken = |(name, _): &&(String, String)| PART_ATTRIBUTES.contains(&name.as_str());
        if let Some((name, _)) = part.others.iter().find(taken) {
            return Err(MetaError::Name { name: name.clone() });
        }
        let others = part.others.iter().map(|(name, value)| (name.as_str(), value.into()));
        self.open("Part", known.chain(others))?;
        self.end_empty()
    }

    fn attr(&mut self, meta: &FileMeta) -> Result<(), MetaError> {
        for (name, value) in &meta.attributes {
            if let Some(expected) = number::fault(name, value) {
                let (attribute, value) = (shown(name), shown(value));
                return Err(MetaError::Value { attribute, value, expected });
            }
        }
        let attributes = meta.attributes.iter().map(|(name, value)| (name.as_str(), value));
        self.open("Attr", attributes)?;
        let details = meta.details.iter().filter(|detail| !stays_behind(&detail.name));
        if meta.ecl.is_none() && details.clone().next().is_none() {
            return self.end_empty();
        }
        self.end_line(">")?;
        if let Some(ecl) = &meta.ecl {
            self.open("ECL", NONE)?;
            self.xml.push('>');
            self.text("ECL", ecl)?;
            self.close_inline("ECL")?;
        }
        for detail in details {
            if detail.name == "ECL" {
                return Err(MetaError::Name { name: detail.name.clone() });
            }
            self.element(detail)?;
        }
        self.close("Attr")
    }

    fn element(&mut self, element: &Element) -> Result<(), MetaError> {
        let attributes = element.attributes.iter().map(|(name, value)| (name.as_str(), value));
        self.open(&element.name, attributes)?;
        let children = element.children.iter().filter(|child| !stays_behind(&child.name));
        if element.text.is_empty() && children.clone().next().is_none() {
            return self.end_empty();
        }
        self.xml.push('>');
        self.text(&element.name, &element.text)?;
        if children.clone().next().is_none() {
            return self.close_inline(&element.name);
        }
        self.end_line("")?;
        for child in children {
            // At most DEPTH_MAX deep, because `open` opens nothing deeper.
            self.element(child)?;
        }
        self.close(&element.name)
    }

    /// Writes a start tag up to the `>`.
    fn open<'a, V: AsRef<str>>(
        &mut self,
        name: &str,
        attributes: impl Iterator<Item = (&'a str, V)>,
    ) -> Result<(), MetaError> {
        self.elements += 1;
        if self.elements > ELEMENTS_MAX {
            return Err(MetaError::TooManyElements);
        }
        if self.depth == DEPTH_MAX {
            return Err(MetaError::TooDeep { element: shown(name) });
        }
        self.indent();
        self.depth += 1;
        self.xml.push('<');
        self.name(name)?;
        let mut seen = BTreeSet::new();
        for (attribute, value) in attributes {
            if seen.len() == ATTRIBUTES_MAX {
                return Err(MetaError::TooManyAttributes { element: shown(name) });
            }
            if !seen.insert(attribute) {
                return Err(MetaError::RepeatedAttribute { attribute: shown(attribute) });
            }
            self.xml.push(' ');
            self.name(attribute)?;
            self.xml.push_str("=\"");
            self.value(attribute, value.as_ref(), |_, c| matches!(c, '\t' | '\n' | '\r'))?;
            self.xml.push('"');
        }
        Ok(())
    }

    fn name(&mut self, name: &str) -> Result<(), MetaError> {
        if !is_name(name) {
            return Err(MetaError::Name { name: shown(name) });
        }
        self.xml.push_str(name);
        Ok(())
    }

    /// Writes a text. Blanks at its ends are references, because HPCC drops plain ones there; so is
    /// every CR, because other readers turn it into LF.
    fn text(&mut self, element: &str, text: &str) -> Result<(), MetaError> {
        let solid = |c| !matches!(c, ' ' | '\t' | '\n' | '\r');
        let first = text.find(solid).unwrap_or(text.len());
        let last = text.rfind(solid).unwrap_or(0);
        self.value(element, text, |at, c| !solid(c) && (at < first || at > last || c == '\r'))
    }

    /// Writes a value; `as_reference` says which blanks at which offset must not stand as they are.
    fn value(
        &mut self,
        place: &str,
        value: &str,
        as_reference: impl Fn(usize, char) -> bool,
    ) -> Result<(), MetaError> {
        if let Some(character) = illegal_character(value) {
            return Err(MetaError::Character { name: shown(place), code: character.into() });
        }
        for (at, c) in value.char_indices() {
            match c {
                '&' => self.xml.push_str("&amp;"),
                '<' => self.xml.push_str("&lt;"),
                '>' => self.xml.push_str("&gt;"),
                '"' => self.xml.push_str("&quot;"),
                '\'' => self.xml.push_str("&apos;"),
                ' ' if as_reference(at, c) => self.xml.push_str("&#32;"),
                '\t' if as_reference(at, c) => self.xml.push_str("&#9;"),
                '\n' if as_reference(at, c) => self.xml.push_str("&#10;"),
                '\r' if as_reference(at, c) => self.xml.push_str("&#13;"),
                _ => self.xml.push(c),
            }
        }
        self.bounded()
    }

    fn end_empty(&mut self) -> Result<(), MetaError> {
        self.depth -= 1;
        self.end_line("/>")
    }

    fn close_inline(&mut self, name: &str) -> Result<(), MetaError> {
        self.depth -= 1;
        self.xml.push_str("</");
        self.xml.push_str(name);
        self.end_line(">")
    }

    fn close(&mut self, name: &str) -> Result<(), MetaError> {
        self.depth -= 1;
        self.indent();
        self.depth += 1;
        self.close_inline(name)
    }

    fn end_line(&mut self, tail: &str) -> Result<(), MetaError> {
        self.xml.push_str(tail);
        self.xml.push('\n');
        self.bounded()
    }

    fn indent(&mut self) {
        self.xml.extend(std::iter::repeat_n(' ', self.depth));
    }

    fn bounded(&self) -> Result<(), MetaError> {
        match self.xml.len() {
            0..=XML_BYTES_MAX => Ok(()),
            bytes => Err(MetaError::TooLarge { bytes }),
        }
    }
}

/// What [`PartMeta::others`] cannot hold: it has a field of its own, or is not carried.
const PART_ATTRIBUTES: [&str; 10] = [
    "num",
    "size",
    "compressedSize",
    "fileCrc",
    "recordCount",
    "headerLength",
    "footerLength",
    "modified",
    "name",
    "node",
];

const NONE: std::iter::Empty<(&str, &str)> = std::iter::empty();
