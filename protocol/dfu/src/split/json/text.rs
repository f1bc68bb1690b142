//! JSON text as strings and brackets, which is all it takes to find where a value ends.
//!
//! Inside brackets 64 bytes are decided together; inside long strings memchr finds the end.

use super::super::error::{Fault, Rule};
use super::super::masks::{BLOCK_BYTES, occurrences, prefix_parity};
use memchr::memchr2;

/// Most brackets that may be open at a time.
const DEPTH_MAX: usize = 1024;

/// How far a string, array or object was read. A backslash hides the byte behind it; outside
/// strings too, where JSON has none.
#[derive(Debug, Default)]
pub(crate) struct Text {
    brackets: Brackets,
    quoted: bool,
    escaped: bool,
}

/// Text that is no JSON.
#[derive(Debug)]
pub(crate) struct Unreadable;

/// Where to go on after the last open bracket or string was closed.
pub(in crate::split) enum Next {
    /// At this index an array or object starts.
    Nested(usize),
    /// Not here: the bytes before this index were taken.
    Stop(usize),
}

impl Text {
    /// Inside `objects` objects, and in an array within the innermost.
    pub(crate) fn inside_array(objects: usize) -> Self {
        let mut text = Self::default();
        let kinds = std::iter::repeat_n(Kind::Object, objects).chain([Kind::Array]);
        for kind in kinds {
            text.brackets.push(kind).expect("a row path is shorter than values are deep");
        }
        text
    }

    /// Reads on, from `at` in `bytes`, until everything open is closed: the index behind that.
    /// `None` if more bytes are needed.
    ///
    /// # Errors
    ///
    /// Brackets do not match or are nested too deep; nothing can be read on.
    pub(crate) fn end_of_value(
        &mut self,
        bytes: &[u8],
        at: usize,
    ) -> Result<Option<usize>, Unreadable> {
        let mut found = None;
        let taken = self.advance((bytes, 0), at, |end| {
            found = Some(end);
            Ok(Next::Stop(end))
        });
        taken.map(|_| found).map_err(|_| Unreadable)
    }

    /// Reads on, from `at` in `bytes`, which are at `start` in the stream, and asks `closed` where
    /// to go on whenever everything open is closed. Starts inside a value, or at the quote or
    /// bracket that opens one. Returns the index behind what was taken.
    pub(in crate::split) fn advance(
        &mut self,
        (bytes, start): (&[u8], u64),
        mut at: usize,
        mut closed: impl FnMut(usize) -> Result<Next, Fault>,
    ) -> Result<usize, Fault> {
        let mut quiet = false;
        while at < bytes.len() {
            // A row that is a string has no bracket to look for.
            let alone = self.brackets.is_empty() && (self.quoted || bytes[at] == b'"');
            if self.quoted && !self.escaped && (quiet || alone) {
                at += memchr2(b'"', b'\\', &bytes[at..]).unwrap_or(bytes.len() - at);
                quiet = false;
            }
            let rest = &bytes[at..];
            let next = match rest.first_chunk() {
                Some(block) if !alone => {
                    let block = Block { bytes: block, index: at, start };
                    let (next, no_quotes) = self.block(block, &mut closed)?;
                    quiet = no_quotes;
                    next
                }
                _ => match rest.first().map(|&byte| self.step(byte)) {
                    None => break,
                    Some(Ok(false)) => Next::Nested(at + 1),
                    Some(Ok(true)) => closed(at + 1)?,
                    Some(Err(rule)) => {
                        return Err(Fault::Malformed { at: start + at as u64, rule });
                    }
                },
            };
            match next {
                Next::Nested(index) => at = index,
                Next::Stop(index) => return Ok(index),
            }
        }
        Ok(at)
    }

    /// Takes one byte; whether it closes the last that was open.
    fn step(&mut self, byte: u8) -> Result<bool, Rule> {
        if std::mem::take(&mut self.escaped) {
            return Ok(false);
        }
        match byte {
            b'\\' => self.escaped = true,
            b'"' => {
                self.quoted = !self.quoted;
                return Ok(!self.quoted && self.brackets.is_empty());
            }
            _ if self.quoted => {}
            _ => return self.brackets.take(byte),
        }
        Ok(false)
    }

    /// Takes 64 bytes, or as many as `closed` lets it; whether there was no quote in them.
    fn block(
        &mut self,
        block: Block<'_>,
        closed: &mut impl FnMut(usize) -> Result<Next, Fault>,
    ) -> Result<(Next, bool), Fault> {
        // Most blocks have no backslash, and seeing that takes less than seeing where.
        let any = block.bytes.iter().fold(false, |any, &byte| any | (byte == b'\\'));
        let backslashes = if any { occurrences(block.bytes, b'\\') } else { 0 };
        let hidden = self.hide(backslashes);
        let quotes = occurrences(block.bytes, b'"') & !hidden;
        let inside = prefix_parity(quotes) ^ u64::from(self.quoted).wrapping_neg();
        self.quoted = inside >> 63 == 1;
        let mut brackets = brackets(block.bytes) & !inside & !hidden;
        while brackets != 0 {
            let position = brackets.trailing_zeros() as usize;
            brackets &= brackets - 1;
            let taken = self.brackets.take(block.bytes[position]);
            let taken = taken.map_err(|rule| Fault::Malformed {
                at: block.start + (block.index + position) as u64,
                rule,
            })?;
            if !taken {
                continue;
            }
            match closed(block.index + position + 1)? {
                // Nothing between two values is a quote, a bracket or hidden.
                Next::Nested(index) if index < block.end() => {}
                next => {
                    self.quoted = false;
                    self.escaped = false;
                    return Ok((next, false));
                }
            }
        }
        Ok((Next::Nested(block.end()), quotes == 0))
    }

    /// The bytes that the `backslashes` of a block hide, and what the last one leaves.
    fn hide(&mut self, backslashes: u64) -> u64 {
        let mut hidden = u64::from(self.escaped);
        let mut hiding = backslashes & !hidden;
        if hiding & hiding << 1 == 0 {
            self.escaped = hiding >> 63 == 1;
            return hidden | hiding << 1;
        }
        self.escaped = false;
        while hiding != 0 {
            let backslash = hiding & hiding.wrapping_neg();
            hidden |= backslash << 1;
            self.escaped = backslash << 1 == 0;
            hiding &= !(backslash | backslash << 1);
        }
        hidden
    }
}

/// Bytes decided together.
#[derive(Clone, Copy)]
struct Block<'a> {
    bytes: &'a [u8; BLOCK_BYTES],
    /// Where they are in the bytes given.
    index: usize,
    /// Where the bytes given are in the stream.
    start: u64,
}

impl Block<'_> {
    fn end(&self) -> usize {
        self.index + BLOCK_BYTES
    }
}

/// Bit `i` is set where `block[i]` is a bracket, or one of four others that differ from brackets
/// only in the bits masked away: those are no brackets to [`Brackets::take`].
fn brackets(block: &[u8; BLOCK_BYTES]) -> u64 {
    const SHARED: u8 = !(b'[' ^ b']' ^ (b'[' ^ b'{'));
    occurrences(&block.map(|byte| byte & SHARED), b'[' & SHARED)
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Array,
    Object,
}

/// The brackets that are open, one bit each.
#[derive(Debug, Default)]
struct Brackets {
    objects: [u64; DEPTH_MAX / 64],
    depth: usize,
}

impl Brackets {
    fn is_empty(&self) -> bool {
        self.depth == 0
    }

    /// Opens or closes what `byte` opens or closes; whether it closes the last.
    fn take(&mut self, byte: u8) -> Result<bool, Rule> {
        match byte {
            b'[' => self.push(Kind::Array),
            b'{' => self.push(Kind::Object),
            b']' => self.pop(Kind::Array),
            b'}' => self.pop(Kind::Object),
            _ => Ok(false),
        }
    }

    fn push(&mut self, kind: Kind) -> Result<bool, Rule> {
        let word = self.objects.get_mut(self.depth / 64).ok_or(Rule::Depth)?;
        let bit = 1 << (self.depth % 64);
        match kind {
            Kind::Array => *word &= !bit,
            Kind::Object => *word |= bit,
        }
        self.depth += 1;
        Ok(false)
    }

    fn pop(&mut self, kind: Kind) -> Result<bool, Rule> {
        let depth = self.depth.checked_sub(1).ok_or(Rule::Bracket)?;
        let object = self.objects[depth / 64] >> (depth % 64) & 1 == 1;
        if object != (kind == Kind::Object) {
            return Err(Rule::Bracket);
        }
        self.depth = depth;
        Ok(depth == 0)
    }
}
