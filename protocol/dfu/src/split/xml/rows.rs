//! Rows of an XML document: elements of one name that are in no other element of that name.

use super::lexer::{Kind, Lexer, Tag};

/// A row that has ended, and what is known of the line it ends on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Row {
    /// Where its `<` is.
    pub(crate) start: u64,
    /// Where what closes it begins: `</tag>`, or the `/>` of an empty element.
    pub(crate) close: u64,
    /// One past its last `>`.
    pub(crate) end: u64,
    /// The line end that follows directly.
    pub(crate) line_end: LineEnd,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum LineEnd {
    None,
    Lf,
    CrLf,
}

impl Row {
    /// One past the row and the line end behind it.
    pub(crate) fn line(&self) -> u64 {
        self.end
            + match self.line_end {
                LineEnd::None => 0,
                LineEnd::Lf => 1,
                LineEnd::CrLf => 2,
            }
    }

    /// Where the footer starts if this is the last row: a lone LF belongs to the footer, CRLF to
    /// the row, as in HPCC.
    pub(crate) fn footer(&self) -> u64 {
        match self.line_end {
            LineEnd::CrLf => self.line(),
            LineEnd::None | LineEnd::Lf => self.end,
        }
    }
}

/// What [`Rows::next`] found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Edge {
    /// A row starts here.
    Start { start: u64 },
    /// A row has ended. If it is an empty element, its start was not said.
    End(Row),
    /// An end tag of no row.
    NotOpened { start: u64, end: u64 },
}

#[derive(Debug)]
pub(crate) struct Rows {
    lexer: Lexer,
    /// Elements of the name that are open.
    depth: u64,
    /// Where the outermost of them starts.
    start: u64,
    /// A row of whose line end not enough is known, and whether CR follows it.
    ended: Option<(Row, bool)>,
}

impl Rows {
    pub(crate) fn new(tag: &[u8]) -> Self {
        Self { lexer: Lexer::new(tag), depth: 0, start: 0, ended: None }
    }

    /// Starts again with another document.
    pub(super) fn reset(&mut self) {
        self.lexer.reset();
        self.depth = 0;
        self.ended = None;
    }

    /// The next edge in `block`, which starts at `base`, from index `at` on, which moves; `None` at
    /// the end of the block.
    pub(crate) fn next(&mut self, block: &[u8], base: u64, at: &mut usize) -> Option<Edge> {
        loop {
            if let Some((row, cr)) = self.ended {
                return self.line_end(&block[*at..], (row, cr), at);
            }
            let Tag { kind, start, end } = self.lexer.next(block, base, at)?;
            match (kind, self.depth) {
                (Kind::Empty, 0) => self.end_row(start, end - 2, end),
                (Kind::Empty, _) => {}
                (Kind::Start, 0) => {
                    self.depth = 1;
                    self.start = start;
                    return Some(Edge::Start { start });
                }
                (Kind::Start, _) => self.depth += 1,
                (Kind::End, 0) => return Some(Edge::NotOpened { start, end }),
                (Kind::End, 1) => {
                    self.depth = 0;
                    self.end_row(self.start, start, end);
                }
                (Kind::End, _) => self.depth -= 1,
            }
        }
    }

    /// No more is known of the line end of the row that ended last, if that was waited for.
    pub(crate) fn finish(&mut self) -> Option<Row> {
        self.ended.take().map(|(row, _)| row)
    }

    /// The end of the row whose line end is waited for.
    pub(super) fn waiting(&self) -> Option<u64> {
        self.ended.map(|(row, _)| row.end)
    }

    /// Where a row, or other markup, starts that has not ended.
    pub(super) fn open(&self) -> Option<u64> {
        if self.depth > 0 { Some(self.start) } else { self.lexer.open_markup() }
    }

    fn end_row(&mut self, start: u64, close: u64, end: u64) {
        self.ended = Some((Row { start, close, end, line_end: LineEnd::None }, false));
    }

    fn line_end(&mut self, rest: &[u8], (row, cr): (Row, bool), at: &mut usize) -> Option<Edge> {
        let line_end = match (cr, rest) {
            (_, []) => return None,
            (false, [b'\r']) => {
                *at += 1;
                self.ended = Some((row, true));
                return None;
            }
            (false, [b'\n', ..]) => LineEnd::Lf,
            (true, [b'\n', ..]) | (false, [b'\r', b'\n', ..]) => LineEnd::CrLf,
            _ => LineEnd::None,
        };
        self.ended = None;
        Some(Edge::End(Row { line_end, ..row }))
    }
}
