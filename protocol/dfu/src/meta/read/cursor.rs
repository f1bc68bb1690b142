//! XML as a row of tags and texts, with its rules and our limits checked on the way.

use super::super::element::{illegal_character, is_name, stays_behind};
use super::super::error::shown;
use super::super::{ATTRIBUTES_MAX, DEPTH_MAX, ELEMENTS_MAX, Element, MetaError, XmlRule};
use quick_xml::errors::IllFormedError;
use quick_xml::escape::{resolve_xml_entity, unescape_with};
use quick_xml::events::{BytesRef, BytesStart, Event};
use std::borrow::Cow;
use std::collections::BTreeSet;

pub(super) struct Cursor<'a> {
    xml: quick_xml::Reader<&'a [u8]>,
    /// The element just opened is `<empty/>`: its end comes next.
    closes: bool,
    depth: usize,
    elements: usize,
}

pub(super) enum Node<'a> {
    Open(Tag<'a>),
    Close,
    /// Text as it stands; blanks at its ends may be layout.
    Text(Cow<'a, str>),
    /// Text from a reference or a CDATA section: all of it is meant.
    Exact(Cow<'a, str>),
    End,
}

/// A start tag.
pub(super) struct Tag<'a> {
    start: BytesStart<'a>,
    /// Where it begins, in bytes.
    pub(super) offset: u64,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(xml: &'a str) -> Self {
        let xml = quick_xml::Reader::from_str(xml);
        Self { xml, closes: false, depth: 0, elements: 0 }
    }

    /// What comes next; comments and processing instructions are passed over.
    pub(super) fn next(&mut self) -> Result<Node<'a>, MetaError> {
        if std::mem::take(&mut self.closes) {
            self.depth -= 1;
            return Ok(Node::Close);
        }
        loop {
            let offset = self.offset();
            let broken = |rule| Err(MetaError::Malformed { offset, rule });
            let event = match self.xml.read_event() {
                Ok(event) => event,
                Err(error) => {
                    let offset = self.xml.error_position();
                    return Err(MetaError::Malformed { offset, rule: rule_of(&error) });
                }
            };
            return match event {
                Event::Start(start) => self.open(Tag { start, offset }),
                Event::Empty(start) => {
                    self.closes = true;
                    self.open(Tag { start, offset })
                }
                Event::End(_) => {
                    self.depth -= 1;
                    Ok(Node::Close)
                }
                Event::Text(text) => legal(text.into_inner(), offset).map(Node::Text),
                Event::CData(text) => legal(text.into_inner(), offset).map(Node::Exact),
                Event::GeneralRef(reference) => match resolve(&reference) {
                    Some(text) => legal(text, offset).map(Node::Exact),
                    None => broken(XmlRule::Reference),
                },
                Event::DocType(_) => broken(XmlRule::NoDocumentType),
                Event::Eof if self.depth > 0 => broken(XmlRule::ElementsClose),
                Event::Eof => Ok(Node::End),
                Event::Comment(_) | Event::PI(_) | Event::Decl(_) => continue,
            };
        }
    }

    /// The next element inside the one that is open, `None` at its end. It holds no text.
    pub(super) fn child(&mut self) -> Result<Option<Tag<'a>>, MetaError> {
        loop {
            let offset = self.offset();
            let rule = match self.next()? {
                Node::Open(tag) => return Ok(Some(tag)),
                Node::Close => return Ok(None),
                Node::Text(text) if text.trim_matches(BLANKS).is_empty() => continue,
                Node::Text(_) | Node::Exact(_) => XmlRule::NoText,
                Node::End => XmlRule::ElementsClose,
            };
            return Err(MetaError::Malformed { offset, rule });
        }
    }

    /// The rest of the open element, which has text and nothing else.
    pub(super) fn text(&mut self) -> Result<String, MetaError> {
        let mut text = Run::default();
        loop {
            let offset = self.offset();
            let rule = match self.next()? {
                Node::Text(piece) => {
                    text.push(&piece);
                    continue;
                }
                Node::Exact(piece) => {
                    text.push_exact(&piece);
                    continue;
                }
                Node::Close => return Ok(text.finish()),
                Node::Open(_) => XmlRule::NoElement,
                Node::End => XmlRule::ElementsClose,
            };
            return Err(MetaError::Malformed { offset, rule });
        }
    }

    /// The rest of the element that `tag` opened, as it is.
    pub(super) fn element(&mut self, tag: &Tag<'a>) -> Result<Element, MetaError> {
        let mut element = Element {
            name: tag.name().to_owned(),
            attributes: tag.attributes()?,
            ..Element::default()
        };
        let mut text = Run::default();
        loop {
            let offset = self.offset();
            match self.next()? {
                Node::Open(child) if stays_behind(child.name()) => self.skip()?,
                // At most DEPTH_MAX deep, because `next` opens nothing deeper.
                Node::Open(child) => element.children.push(self.element(&child)?),
                Node::Text(piece) => text.push(&piece),
                Node::Exact(piece) => text.push_exact(&piece),
                Node::Close => {
                    element.text = text.finish();
                    return Ok(element);
                }
                Node::End => {
                    return Err(MetaError::Malformed { offset, rule: XmlRule::ElementsClose });
                }
            }
        }
    }

    /// Passes over the rest of the open element.
    pub(super) fn skip(&mut self) -> Result<(), MetaError> {
        let outside = self.depth - 1;
        while self.depth > outside {
            self.next()?;
        }
        Ok(())
    }

    /// Where the next node begins, in bytes.
    pub(super) fn offset(&self) -> u64 {
        self.xml.buffer_position()
    }

    fn open(&mut self, tag: Tag<'a>) -> Result<Node<'a>, MetaError> {
        if !is_name(tag.name()) {
            return Err(MetaError::Malformed { offset: tag.offset, rule: XmlRule::Name });
        }
        self.depth += 1;
        self.elements += 1;
        if self.depth > DEPTH_MAX {
            return Err(MetaError::TooDeep { element: shown(tag.name()) });
        }
        if self.elements > ELEMENTS_MAX {
            return Err(MetaError::TooManyElements);
        }
        Ok(Node::Open(tag))
    }
}

impl Tag<'_> {
    pub(super) fn name(&self) -> &str {
        self.start.name().into_inner()
    }

    pub(super) fn attributes(&self) -> Result<Vec<(String, String)>, MetaError> {
        let broken = |rule| MetaError::Malformed { offset: self.offset, rule };
        let mut found = Vec::new();
        let mut names = BTreeSet::new();
        // The library's own search for repeated names compares each with each.
        for attribute in self.start.attributes().with_checks(false) {
            let attribute = attribute.map_err(|_| broken(XmlRule::AttributeSyntax))?;
            let name = attribute.key.into_inner();
            if !is_name(name) {
                return Err(broken(XmlRule::Name));
            }
            if !names.insert(name) {
                return Err(broken(XmlRule::AttributeOnce));
            }
            if found.len() == ATTRIBUTES_MAX {
                return Err(MetaError::TooManyAttributes { element: shown(self.name()) });
            }
            let value = unescape_with(&attribute.value, resolve_xml_entity)
                .map_err(|_| broken(XmlRule::Reference))?;
            found.push((name.to_owned(), legal(value, self.offset)?.into_owned()));
        }
        Ok(found)
    }
}

/// Text gathered from pieces, without the blanks that only lay it out.
#[derive(Default)]
struct Run {
    text: String,
    /// How much of `text` is not blanks at its end that may be layout.
    kept: usize,
}

impl Run {
    fn push(&mut self, piece: &str) {
        let piece = if self.text.is_empty() { piece.trim_start_matches(BLANKS) } else { piece };
        let solid = piece.trim_end_matches(BLANKS).len();
        if solid > 0 {
            self.kept = self.text.len() + solid;
        }
        self.text.push_str(piece);
    }

    fn push_exact(&mut self, piece: &str) {
        self.text.push_str(piece);
        self.kept = self.text.len();
    }

    fn finish(mut self) -> String {
        self.text.truncate(self.kept);
        self.text
    }
}

fn legal(text: Cow<'_, str>, offset: u64) -> Result<Cow<'_, str>, MetaError> {
    match illegal_character(&text) {
        Some(_) => Err(MetaError::Malformed { offset, rule: XmlRule::Character }),
        None => Ok(text),
    }
}

fn resolve(reference: &BytesRef<'_>) -> Option<Cow<'static, str>> {
    match reference.resolve_char_ref().ok()? {
        Some(character) => Some(Cow::Owned(character.to_string())),
        None => resolve_xml_entity(reference).map(Cow::Borrowed),
    }
}

fn rule_of(error: &quick_xml::Error) -> XmlRule {
    use quick_xml::Error;
    match error {
        Error::IllFormed(IllFormedError::UnclosedReference) | Error::Escape(_) => {
            XmlRule::Reference
        }
        Error::IllFormed(_) => XmlRule::ElementsClose,
        Error::InvalidAttr(_) | Error::Namespace(_) => XmlRule::AttributeSyntax,
        Error::Encoding(_) => XmlRule::Character,
        // A slice has no I/O errors.
        Error::Syntax(_) | Error::Io(_) => XmlRule::MarkupEnds,
    }
}

/// What XML counts as white space.
const BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];
