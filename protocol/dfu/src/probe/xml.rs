//! The first row of an XML document, looked for forwards and exactly; the end of the last one,
//! looked for backwards; and both at once in one pass.

use super::{Head, Tail};
use crate::split::{XmlEdge, XmlRows, ends_xml_name};
use memchr::{memchr, memchr2, memchr3, memmem, memrchr_iter};

/// Lengths are in units.
pub(super) fn head(tag: &[u8], first: &[u8], whole: bool) -> Head {
    let mut rows = XmlRows::new(tag);
    let mut at = 0;
    let start = loop {
        match rows.next(first, 0, &mut at) {
            Some(XmlEdge::Start { start }) => break Some(start),
            Some(XmlEdge::End(row)) => break Some(row.start),
            // Elements before the first row are of no concern.
            Some(XmlEdge::NotOpened { .. }) => {}
            None => break rows.finish().map(|row| row.start),
        }
    };
    match start.and_then(|start| usize::try_from(start).ok()) {
        Some(start) => Head::Found { header_bytes: line_start(&first[..start]) as u64 },
        None if whole => Head::NoRows,
        None => Head::NeedMore,
    }
}

/// Where the line begins that ends `before` a row; the row itself if more than blanks precede it.
fn line_start(before: &[u8]) -> usize {
    match before.iter().rposition(|byte| !matches!(byte, b' ' | b'\t')) {
        None => 0,
        Some(last) if before[last] == b'\n' => last + 1,
        Some(_) => before.len(),
    }
}

/// Lengths are in units; `all` says that no more than `last` will be had.
pub(super) fn tail(tag: &[u8], last: &[u8], all: bool) -> Tail {
    let mut doubtful = None;
    let mut next_less = last.len();
    let mut effort = EFFORT_MAX * last.len();
    for less in memrchr_iter(b'<', last) {
        let end = row_end(tag, &last[less..next_less]).map(|length| less + length);
        next_less = less;
        let Some(end) = end else { continue };
        match outside(last, end, doubtful, &mut effort) {
            Some(true) => {
                let line = if last[end..].starts_with(b"\r\n") { 2 } else { 0 };
                return Tail::Found { footer_bytes: (last.len() - end - line) as u64 };
            }
            Some(false) => doubtful = Some(end),
            None => return Tail::Unknown,
        }
    }
    if all && doubtful.is_some() { Tail::Unknown } else { Tail::NeedMore }
}

/// How often [`tail`] may look at all bytes, on average, before it leaves the search to
/// [`Measure`]. Documents take one time.
const EFFORT_MAX: usize = 8;

/// Length of the tag at the start of `markup`, which reaches to the next `<`, if it ends a row.
fn row_end(tag: &[u8], markup: &[u8]) -> Option<usize> {
    let inner = &markup[1..];
    if let Some(name) = inner.strip_prefix(b"/") {
        let behind = name.strip_prefix(tag)?;
        let greater = behind.iter().position(|byte| !b" \t\r\n".contains(byte))?;
        return (behind[greater] == b'>').then_some(2 + tag.len() + greater + 1);
    }
    let behind = inner.strip_prefix(tag)?;
    if !ends_xml_name(*behind.first()?) {
        return None;
    }
    let mut at = 0;
    loop {
        at += memchr3(b'>', b'"', b'\'', &behind[at..])?;
        if behind[at] == b'>' {
            let empty = at > 0 && behind[at - 1] == b'/';
            return empty.then_some(1 + tag.len() + at + 1);
        }
        at += 1 + memchr(behind[at], &behind[at + 1..])? + 1;
    }
}

/// Whether what follows `end` looks as if no comment, CDATA section or instruction was open there:
/// none ends that did not begin behind it. `doubtful` is a later place of which this was not true.
/// `None` if it takes too long to tell.
fn outside(last: &[u8], end: usize, doubtful: Option<usize>, effort: &mut usize) -> Option<bool> {
    let mut at = end;
    loop {
        if Some(at) == doubtful {
            return Some(false);
        }
        let Some(found) = memchr2(b'<', b'>', &last[at..]) else {
            return Some(true);
        };
        let here = at + found;
        *effort = effort.checked_sub(found + 1)?;
        at = here + 1;
        if last[here] == b'>' {
            let before = &last[end..here];
            if CLOSERS.iter().any(|closer| before.ends_with(closer)) {
                return Some(false);
            }
            continue;
        }
        let opened = OPENERS.iter().zip(CLOSERS).find(|(opener, _)| last[at..].starts_with(opener));
        let Some((opener, closer)) = opened else { continue };
        let inside = &last[at + opener.len()..];
        let Some(length) = memmem::find(inside, &[closer, b">"].concat()) else {
            *effort = effort.checked_sub(inside.len())?;
            return Some(false);
        };
        at += opener.len() + length + closer.len() + 1;
        *effort = effort.checked_sub(length)?;
    }
}

/// What opens a comment, CDATA section and instruction behind its `<`.
const OPENERS: [&[u8]; 3] = [b"!--", b"![CDATA[", b"?"];

/// What closes each of [`OPENERS`] before its `>`.
const CLOSERS: [&[u8]; 3] = [b"--", b"]]", b"?"];

/// Rows of a document, read once.
#[derive(Debug)]
pub(super) struct Measure {
    rows: XmlRows,
    read: u64,
    end: Option<u64>,
}

impl Measure {
    pub(super) fn new(tag: &[u8]) -> Self {
        Self { rows: XmlRows::new(tag), read: 0, end: None }
    }

    pub(super) fn push(&mut self, block: &[u8]) {
        let mut at = 0;
        while let Some(edge) = self.rows.next(block, self.read, &mut at) {
            if let XmlEdge::End(row) = edge {
                self.end = Some(row.footer());
            }
        }
        self.read += block.len() as u64;
    }

    /// Where the footer starts, in units of what was pushed.
    pub(super) fn end(mut self) -> Option<u64> {
        self.rows.finish().map(|row| row.footer()).or(self.end)
    }
}

#[cfg(test)]
mod tests;
