//! Why file metadata cannot be read from XML or written as XML.

use super::{ATTRIBUTES_MAX, DEPTH_MAX, ELEMENTS_MAX, PARTS_MAX, XML_BYTES_MAX};
use std::fmt;
use thiserror::Error;

/// Why metadata cannot be read or written. HPCC has no numbers for these.
///
/// Reading: whoever made the XML is at fault, and offsets are in bytes from its start. Writing: the
/// caller is. Values are cut to 80 characters.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum MetaError {
    /// More bytes than are read, or written.
    #[error("metadata of {bytes} bytes, at most {XML_BYTES_MAX} are allowed")]
    TooLarge {
        /// Its length in bytes.
        bytes: usize,
    },
    /// Elements inside elements beyond the limit.
    #[error("element {element:?} lies deeper than {DEPTH_MAX} levels")]
    TooDeep {
        /// Its name.
        element: String,
    },
    /// More elements than are read, or written.
    #[error("metadata has more than {ELEMENTS_MAX} elements")]
    TooManyElements,
    /// More attributes in one element than are read, or written.
    #[error("element {element:?} has more than {ATTRIBUTES_MAX} attributes")]
    TooManyAttributes {
        /// Its name.
        element: String,
    },
    /// More parts than are read, or written.
    #[error("file has {parts} parts, at most {PARTS_MAX} are allowed")]
    TooManyParts {
        /// Parts it has.
        parts: u64,
    },
    /// A file of no parts.
    #[error("file has no parts, at least 1 is needed")]
    NoParts,
    /// The text is no XML, or not the XML of one file.
    #[error("metadata at offset {offset} is not well-formed: {rule}")]
    Malformed {
        /// Where.
        offset: u64,
        /// The rule that is broken.
        rule: XmlRule,
    },
    /// A superfile has no parts of its own.
    #[error("metadata describes a superfile, read each of its subfiles instead")]
    SuperFile,
    /// The document is about something else.
    #[error("root element is {found:?}, expected File")]
    Root {
        /// The root element's name.
        found: String,
    },
    /// The parts are one binary block, HPCC's form for its own store, which is not read.
    #[error(
        "element Parts at offset {offset} holds the parts in packed binary form, expected an \
         element Part for each; export the file with WsDfu.Savexml"
    )]
    PackedParts {
        /// Where.
        offset: u64,
    },
    /// What the file cannot be read without.
    #[error("attribute {attribute} of element {element} at offset {offset} is missing")]
    Missing {
        /// The element.
        element: &'static str,
        /// The attribute.
        attribute: &'static str,
        /// Where the element starts.
        offset: u64,
    },
    /// An attribute that should be a number.
    #[error("attribute {attribute} at offset {offset} is {value:?}, expected {expected}")]
    Number {
        /// The attribute.
        attribute: String,
        /// Its value.
        value: String,
        /// What numbers are allowed.
        expected: NumberKind,
        /// Where its element starts.
        offset: u64,
    },
    /// The same in [`super::FileMeta::attributes`], where there is no offset.
    #[error("attribute {attribute} is {value:?}, expected {expected}")]
    Value {
        /// The attribute.
        attribute: String,
        /// Its value.
        value: String,
        /// What numbers are allowed.
        expected: NumberKind,
    },
    /// A part the file has no place for.
    #[error("part {num} at offset {offset} is outside the file's parts 1 to {parts}")]
    PartNumber {
        /// The part's number, from 1 where it is right.
        num: u64,
        /// Parts the file says it has.
        parts: usize,
        /// Where the part's element starts.
        offset: u64,
    },
    /// One part twice.
    #[error("part {num} at offset {offset} is there twice")]
    RepeatedPart {
        /// The part's number, from 1.
        num: u64,
        /// Where the second one starts.
        offset: u64,
    },
    /// An element that may be there only once.
    #[error("element {element} at offset {offset} is there twice")]
    RepeatedElement {
        /// The element.
        element: &'static str,
        /// Where the second one starts.
        offset: u64,
    },
    /// A name that cannot stand in XML, or not in this place.
    #[error("{name:?} cannot be the name of an element or attribute here")]
    Name {
        /// The name.
        name: String,
    },
    /// Two attributes of one name in one element.
    #[error("attribute {attribute:?} is there twice")]
    RepeatedAttribute {
        /// The name.
        attribute: String,
    },
    /// A character XML has no way to write.
    #[error("value of {name:?} has character U+{code:04X}, which XML cannot hold")]
    Character {
        /// The attribute or element.
        name: String,
        /// The character's code point.
        code: u32,
    },
}

/// A rule of XML, or of this document, that an input breaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum XmlRule {
    /// Markup ends: a tag, comment, quoted value or CDATA section is cut off.
    MarkupEnds,
    /// Every element is closed, by an end tag of its own name.
    ElementsClose,
    /// An attribute is `name="value"`.
    AttributeSyntax,
    /// An attribute is there once.
    AttributeOnce,
    /// Names have the characters of names.
    Name,
    /// A reference is one of the five predefined entities or a number.
    Reference,
    /// Characters are those XML allows.
    Character,
    /// No document type, hence no entities of its own.
    NoDocumentType,
    /// One root element with nothing but blanks around it.
    OneRoot,
    /// Text stands only where a value is expected.
    NoText,
    /// A value has no elements in it.
    NoElement,
}

impl fmt::Display for XmlRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MarkupEnds => "a tag, comment or section is never closed",
            Self::ElementsClose => "start and end tags do not match",
            Self::AttributeSyntax => "an attribute is not name=\"value\"",
            Self::AttributeOnce => "an attribute is there twice",
            Self::Name => "a name has a character names cannot have",
            Self::Reference => {
                "a reference is neither a number nor one of lt, gt, amp, apos and quot"
            }
            Self::Character => "a character is not allowed in XML",
            Self::NoDocumentType => "a document type is not allowed",
            Self::OneRoot => "one root element is expected and nothing beside it",
            Self::NoText => "text is not expected here",
            Self::NoElement => "an element is not expected here",
        })
    }
}

/// What numbers an attribute takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum NumberKind {
    /// 0 to 2^64 - 1, or -1 for not known.
    Count,
    /// 32 bits, signed or not: HPCC writes hashes and checksums as signed numbers.
    Bits32,
    /// 0 to 2^32 - 1.
    Length32,
    /// 1 and up.
    FromOne,
}

impl fmt::Display for NumberKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Count => "a number from 0, or -1 for not known",
            Self::Bits32 => "a number from -2147483648 to 4294967295",
            Self::Length32 => "a number from 0 to 4294967295",
            Self::FromOne => "a number from 1",
        })
    }
}

/// As much of a foreign text as an error shows.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}
