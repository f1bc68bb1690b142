//! What a part really gets: its records, rewritten where the target asks for it, between the
//! header and footer of its document; and where they came from.

use super::error::SplitError;
use super::rewrite::Rewrite;
use super::{Origin, Piece, Source};
use crate::encoding::{Encoding, OnInvalid, ToUtf8};
use skyspray_wire::ids::PartIndex;
use std::collections::VecDeque;
use std::ops::Range;

/// Bytes of the current source, and where they are.
pub(super) struct Run<'a> {
    pub(super) bytes: &'a [u8],
    /// Where they are in the block last pushed, if they are.
    pub(super) in_block: Option<Range<usize>>,
    /// Where they are in the source.
    pub(super) source_offset: u64,
}

#[derive(Debug)]
pub(super) struct Shaper {
    rewrite: Option<Box<dyn Rewrite>>,
    /// How the text of headers and footers is stored, if it is rewritten.
    text: Option<Encoding>,
    /// Written at the start of every part.
    mark: &'static [u8],
    /// All records go into one part; where the others would end is said, not done.
    whole: bool,
    part: PartIndex,
    /// Bytes the part has so far.
    length: u64,
    /// The source the part's header, and in the end its footer, is taken from.
    source_index: usize,
    header: Option<u32>,
    /// The run in progress: where it began.
    origin: Option<Origin>,
    /// Bytes given to the rewriter before the run in progress, and where that is in the source.
    rewritten: u64,
    pieces: VecDeque<Piece>,
}

impl Shaper {
    pub(super) fn new(
        rewrite: Option<Box<dyn Rewrite>>,
        text: Option<Encoding>,
        mark: &'static [u8],
        whole: bool,
    ) -> Self {
        Self {
            rewrite,
            text,
            mark,
            whole,
            part: PartIndex(0),
            length: 0,
            source_index: 0,
            header: None,
            origin: None,
            rewritten: 0,
            pieces: VecDeque::new(),
        }
    }

    pub(super) fn poll(&mut self) -> Option<Piece> {
        self.pieces.pop_front()
    }

    /// Illegal sequences replaced so far.
    pub(super) fn replaced(&self) -> u64 {
        self.rewrite.as_ref().map_or(0, |rewrite| rewrite.replaced())
    }

    /// The source that the bytes so far came from.
    pub(super) fn source_index(&self) -> usize {
        self.source_index
    }

    /// Whether the part has anything yet.
    pub(super) fn has_begun(&self) -> bool {
        self.header.is_some()
    }

    /// The next bytes are those of another source.
    pub(super) fn begin_source(&mut self, source_index: usize) {
        self.end_origin();
        self.source_index = source_index;
    }

    /// Bytes of the current source belong to the part.
    pub(super) fn take(&mut self, run: Run<'_>, source: &Source) -> Result<(), SplitError> {
        self.begin_part(source);
        let count = run.bytes.len() as u64;
        match &mut self.origin {
            Some(origin) if origin.source_offset + origin.length == run.source_offset => {
                origin.length += count;
            }
            _ => {
                self.end_origin();
                self.origin = Some(Origin {
                    part: self.part,
                    part_offset: self.length,
                    source_index: self.source_index,
                    source_offset: run.source_offset,
                    length: count,
                });
            }
        }
        self.write(run)
    }

    /// Bytes of the current source as the part has them.
    fn write(&mut self, run: Run<'_>) -> Result<(), SplitError> {
        let Some(rewrite) = &mut self.rewrite else {
            match run.in_block {
                Some(range) => self.bytes(range),
                None => self.literal(run.bytes.to_vec()),
            }
            return Ok(());
        };
        let before = self.rewritten;
        let mut output = Vec::with_capacity(run.bytes.len());
        let outcome = rewrite.rewrite(run.bytes, &mut output);
        self.rewritten += run.bytes.len() as u64;
        self.literal(output);
        outcome.map_err(|fault| {
            // What came before the run in progress was of this source too, if it left off inside.
            let offset = (run.source_offset + fault.offset()).saturating_sub(before);
            fault.in_source(self.source_index, offset)
        })
    }

    /// Bytes of the current source separate records: they are in no part, unless all are in one,
    /// and in no run that is made of records.
    pub(super) fn leave_out(&mut self, run: Run<'_>, source: &Source) -> Result<(), SplitError> {
        self.end_origin();
        if !self.whole {
            return Ok(());
        }
        self.begin_part(source);
        self.write(run)
    }

    /// Bytes no source has belong to the part.
    pub(super) fn add(&mut self, bytes: &[u8], source: &Source) -> Result<(), SplitError> {
        self.begin_part(source);
        self.end_origin();
        let Some(rewrite) = &mut self.rewrite else {
            self.literal(bytes.to_vec());
            return Ok(());
        };
        let mut output = Vec::new();
        let outcome = rewrite.rewrite(bytes, &mut output);
        self.rewritten += bytes.len() as u64;
        self.literal(output);
        outcome.map_err(|fault| fault.in_source(self.source_index, source.length))
    }

    /// The part is complete; `last` says that no other follows.
    pub(super) fn end_part(
        &mut self,
        records: u64,
        source: &Source,
        last: bool,
    ) -> Result<(), SplitError> {
        self.end_rewriting(source)?;
        self.end_origin();
        if self.whole && !last {
            return Ok(());
        }
        self.begin_part(source);
        let footer = self.text(&source.footer);
        let footer_bytes = u32::try_from(footer.len()).unwrap_or(u32::MAX);
        self.literal(footer);
        self.pieces.push_back(Piece::PartEnd {
            part: self.part,
            length: self.length,
            records,
            header: self.header.take().unwrap_or(0),
            footer: footer_bytes,
        });
        self.part = PartIndex(self.part.0 + 1);
        self.length = 0;
        Ok(())
    }

    /// The current source has no more records.
    pub(super) fn end_source(&mut self, source: &Source) -> Result<(), SplitError> {
        self.end_rewriting(source)?;
        self.end_origin();
        Ok(())
    }

    fn end_rewriting(&mut self, source: &Source) -> Result<(), SplitError> {
        let Some(rewrite) = &mut self.rewrite else { return Ok(()) };
        let mut output = Vec::new();
        let outcome = rewrite.end(&mut output);
        self.literal(output);
        let body_end = source.length - source.footer.len() as u64;
        let end = self.origin.as_ref().map_or(body_end, |run| run.source_offset + run.length);
        outcome.map_err(|fault| fault.in_source(self.source_index, end))
    }

    /// Writes what stands before the first record, if nothing was written yet.
    fn begin_part(&mut self, source: &Source) {
        if self.header.is_some() {
            return;
        }
        let header = [self.mark, &self.text(&source.header)].concat();
        self.header = Some(u32::try_from(header.len()).unwrap_or(u32::MAX));
        self.literal(header);
    }

    /// A header or footer as the target has it. It was read as text before, so nothing in it is
    /// illegal that is not replaced here.
    fn text(&self, stored: &[u8]) -> Vec<u8> {
        match self.text {
            None => stored.to_vec(),
            Some(encoding) => document_text(stored, encoding),
        }
    }

    fn end_origin(&mut self) {
        if let Some(origin) = self.origin.take() {
            self.pieces.push_back(Piece::Origin(origin));
        }
    }

    fn bytes(&mut self, range: Range<usize>) {
        self.length += range.len() as u64;
        match self.pieces.back_mut() {
            Some(Piece::Bytes { part, range: before })
                if *part == self.part && before.end == range.start =>
            {
                before.end = range.end;
            }
            _ => self.pieces.push_back(Piece::Bytes { part: self.part, range }),
        }
    }

    fn literal(&mut self, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.length += bytes.len() as u64;
            self.pieces.push_back(Piece::Literal { part: self.part, bytes });
        }
    }
}

/// Text as UTF-8; an XML declaration in it says so afterwards.
fn document_text(stored: &[u8], encoding: Encoding) -> Vec<u8> {
    let mut text = Vec::with_capacity(stored.len());
    let Ok(mut converter) = ToUtf8::try_new(encoding, OnInvalid::Replace) else {
        return stored.to_vec();
    };
    // With replacement nothing is refused.
    let _ = converter.push(stored, &mut text);
    let _ = converter.finish(&mut text);
    match declared_encoding(&text) {
        Some(range) => [&text[..range.start], b"UTF-8", &text[range.end..]].concat(),
        None => text,
    }
}

/// Where an XML declaration at the start of `text` names the encoding.
fn declared_encoding(text: &[u8]) -> Option<Range<usize>> {
    let end = text.windows(2).position(|pair| pair == b"?>")?;
    let declaration = text[..end].strip_prefix(b"<?xml")?;
    let skipped = end - declaration.len();
    let name = declaration.windows(8).position(|word| word == b"encoding")? + 8;
    let quote = name + declaration[name..].iter().position(|byte| matches!(byte, b'"' | b'\''))?;
    let length = declaration[quote + 1..].iter().position(|byte| *byte == declaration[quote])?;
    let start = skipped + quote + 1;
    Some(start..start + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_converted_document_says_what_it_is_now() {
        let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
        let convert =
            |text: &str| String::from_utf8(document_text(&wide(text), Encoding::Utf16Le)).unwrap();

        assert_eq!(
            convert("<?xml version='1.0' encoding='UTF-16'?>\n<D x=\"encoding='a'\">"),
            "<?xml version='1.0' encoding='UTF-8'?>\n<D x=\"encoding='a'\">"
        );
        assert_eq!(convert("<D encoding=\"UTF-16\">"), "<D encoding=\"UTF-16\">");
        assert_eq!(convert("<?xml version=\"1.0\"?>"), "<?xml version=\"1.0\"?>");
    }
}
