//! Start and end tags of one name in an XML document; everything that may hide one (comments,
//! CDATA sections, instructions, the document type) is read to its end. Other tags are not looked
//! at: `<` is never inside them.

use memchr::{memchr, memchr_iter, memchr3};

/// A tag of the name looked for. Offsets are in units of what was lexed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Tag {
    pub(super) kind: Kind,
    /// Where its `<` is.
    pub(super) start: u64,
    /// One past its `>`.
    pub(super) end: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// `<tag ...>`
    Start,
    /// `</tag>`
    End,
    /// `<tag .../>`
    Empty,
}

#[derive(Debug)]
pub(super) struct Lexer {
    name: Vec<u8>,
    state: State,
    /// Where the `<` of the markup in progress is.
    start: u64,
    /// What follows that `<`, while [`State::Lead`].
    lead: Vec<u8>,
    /// The bytes last looked at together.
    window: Window,
}

/// Where markup may start in [`WINDOW`] bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    /// One past the last of them.
    end: u64,
    /// Bit `i` is set where byte `i` of them is a `<` that may open something else than another element.
    markup: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Text,
    /// What a `<` opens is not decided.
    Lead,
    /// Read to `closer.count` times `closer.byte` and `>`, of which `run` bytes were seen. Then
    /// follows the declaration of depth `inside`, or text if that is 0.
    Hidden {
        closer: Closer,
        run: usize,
        inside: u32,
    },
    /// A document type, with `depth` of `<` open.
    Declaration {
        depth: u32,
        quote: Option<u8>,
        lead: DeclarationLead,
    },
    /// A start tag behind its name. `slash`: its last byte is one, outside quotes.
    StartTag {
        quote: Option<u8>,
        slash: bool,
    },
    /// An end tag behind its name.
    EndTag,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Closer {
    byte: u8,
    count: usize,
}

const COMMENT: Closer = Closer { byte: b'-', count: 2 };
const CDATA: Closer = Closer { byte: b']', count: 2 };
const INSTRUCTION: Closer = Closer { byte: b'?', count: 1 };

/// The bytes last seen in a document type: it may hold comments and instructions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum DeclarationLead {
    Nothing,
    Less,
    LessBang,
    LessBangDash,
}

impl Lexer {
    pub(super) fn new(name: &[u8]) -> Self {
        Self {
            name: name.to_vec(),
            state: State::Text,
            start: 0,
            lead: Vec::new(),
            window: Window::default(),
        }
    }

    /// Forgets what was lexed.
    pub(super) fn reset(&mut self) {
        self.state = State::Text;
        self.lead.clear();
        self.window = Window::default();
    }

    /// Where markup starts that has not ended.
    pub(super) fn open_markup(&self) -> Option<u64> {
        (self.state != State::Text).then_some(self.start)
    }

    /// The next tag in `block`, which starts at `base`, from index `at` on, which moves behind it;
    /// `None` at the end of the block.
    pub(super) fn next(&mut self, block: &[u8], base: u64, at: &mut usize) -> Option<Tag> {
        while *at < block.len() {
            match self.state {
                State::Text => self.text(block, base, at),
                State::Lead => self.lead(block[*at], at),
                State::Hidden { closer, run, inside } => {
                    self.state = hidden(block, at, (closer, run, inside));
                }
                State::Declaration { depth, quote, lead } => {
                    self.state = declaration(block, at, (depth, quote, lead));
                }
                State::StartTag { quote, slash } => {
                    if let Some(kind) = self.start_tag(block, at, (quote, slash)) {
                        return Some(self.tag(kind, base + *at as u64));
                    }
                }
                State::EndTag => {
                    let found = match block[*at] {
                        b'>' => Some(0),
                        _ => memchr(b'>', &block[*at..]),
                    };
                    let Some(length) = found else {
                        *at = block.len();
                        return None;
                    };
                    *at += length + 1;
                    return Some(self.tag(Kind::End, base + *at as u64));
                }
            }
        }
        None
    }

    fn tag(&mut self, kind: Kind, end: u64) -> Tag {
        self.state = State::Text;
        Tag { kind, start: self.start, end }
    }

    fn text(&mut self, block: &[u8], base: u64, at: &mut usize) {
        let Some(less) = self.markup(block, base, *at) else {
            *at = block.len();
            return;
        };
        self.start = base + less as u64;
        let rest = &block[less + 1..];
        match self.opened(rest) {
            Some((state, used)) => {
                self.state = state;
                *at = less + 1 + used;
            }
            None => {
                self.state = State::Lead;
                self.lead.clear();
                self.lead.extend_from_slice(rest);
                *at = block.len();
            }
        }
    }

    /// Takes one more byte behind a `<`. The byte that decides may already be something else.
    fn lead(&mut self, byte: u8, at: &mut usize) {
        self.lead.push(byte);
        match self.opened(&self.lead) {
            Some((state, used)) => {
                *at += usize::from(used == self.lead.len());
                self.state = state;
            }
            None => *at += 1,
        }
    }

    /// What the bytes behind a `<` open, and how many of them were needed; `None` if there are too
    /// few.
    fn opened(&self, rest: &[u8]) -> Option<(State, usize)> {
        let hidden = |closer| State::Hidden { closer, run: 0, inside: 0 };
        match rest.first()? {
            b'?' => Some((hidden(INSTRUCTION), 1)),
            b'!' if rest.starts_with(b"!--") => Some((hidden(COMMENT), 3)),
            b'!' if rest.starts_with(b"![CDATA[") => Some((hidden(CDATA), 8)),
            b'!' if b"!--".starts_with(rest) || b"![CDATA[".starts_with(rest) => None,
            b'!' => {
                let lead = DeclarationLead::Nothing;
                Some((State::Declaration { depth: 1, quote: None, lead }, 1))
            }
            b'/' => Some(match self.names(&rest[1..])? {
                true => (State::EndTag, 1 + self.name.len()),
                false => (State::Text, 0),
            }),
            _ => Some(match self.names(rest)? {
                true => (State::StartTag { quote: None, slash: false }, self.name.len()),
                false => (State::Text, 0),
            }),
        }
    }

    /// Whether a tag has the name looked for; `None` if there are too few bytes.
    fn names(&self, rest: &[u8]) -> Option<bool> {
        match rest.get(self.name.len()) {
            Some(&next) => Some(ends_name(next) && rest.starts_with(&self.name)),
            None if self.name.starts_with(rest) => None,
            None => Some(false),
        }
    }

    fn start_tag(
        &mut self,
        block: &[u8],
        at: &mut usize,
        (quote, slash): (Option<u8>, bool),
    ) -> Option<Kind> {
        let rest = &block[*at..];
        if let Some(open) = quote {
            match memchr(open, rest) {
                Some(index) => {
                    *at += index + 1;
                    self.state = State::StartTag { quote: None, slash: false };
                }
                None => *at = block.len(),
            }
            return None;
        }
        let found = match rest {
            [b'>', ..] => Some(0),
            _ => memchr3(b'>', b'"', b'\'', rest),
        };
        let before = &rest[..found.unwrap_or(rest.len())];
        let slash = before.last().map_or(slash, |&last| last == b'/');
        *at += before.len() + usize::from(found.is_some());
        self.state = match found.map(|index| rest[index]) {
            Some(b'>') => return Some(if slash { Kind::Empty } else { Kind::Start }),
            Some(quote) => State::StartTag { quote: Some(quote), slash: false },
            None => State::StartTag { quote: None, slash },
        };
        None
    }

    /// The first `<` from `at` on that may open something else than another element.
    fn markup(&mut self, block: &[u8], base: u64, mut at: usize) -> Option<usize> {
        let left = self.window.end.saturating_sub(base + at as u64) as usize;
        if left > 0 {
            let markup = self.window.markup >> (WINDOW - left);
            if markup != 0 {
                return Some(at + markup.trailing_zeros() as usize);
            }
            at += left;
        }
        while let Some(window) = block.get(at..).and_then(<[u8]>::first_chunk) {
            let markup = self.look(window);
            if markup != 0 {
                self.window = Window { end: base + (at + WINDOW) as u64, markup };
                return Some(at + markup.trailing_zeros() as usize);
            }
            at += WINDOW;
        }
        memchr(b'<', block.get(at..)?).map(|index| at + index)
    }

    /// Compilers turn the loop into vector code: no byte decides a branch.
    #[inline]
    fn look(&self, bytes: &[u8; WINDOW + 3]) -> u64 {
        let first = self.name.first().copied().unwrap_or_default();
        let second = self.name.get(1).copied();
        let any_second = u8::from(second.is_none());
        let second = second.unwrap_or_default();
        let mut hits = [0; WINDOW];
        for (index, hit) in hits.iter_mut().enumerate() {
            let [less, a, b, c] =
                [bytes[index], bytes[index + 1], bytes[index + 2], bytes[index + 3]];
            let special = u8::from(a == b'!') | u8::from(a == b'?');
            let start = u8::from(a == first) & (u8::from(b == second) | any_second);
            let end =
                u8::from(a == b'/') & u8::from(b == first) & (u8::from(c == second) | any_second);
            *hit = u8::from(less == b'<') & (special | start | end);
        }
        let (words, _) = hits.as_chunks();
        words.iter().enumerate().fold(0, |bits, (index, word)| {
            let gathered = u64::from_le_bytes(*word).wrapping_mul(GATHER) >> 56;
            bits | gathered << (8 * index)
        })
    }
}

/// Bytes looked at together.
const WINDOW: usize = 64;

/// Times this, the lowest bits of eight bytes are in the highest byte, in order.
const GATHER: u64 = 0x0102_0408_1020_4080;

/// A blank of XML.
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// What follows a name in a tag.
pub(crate) fn ends_name(byte: u8) -> bool {
    is_blank(byte) || matches!(byte, b'>' | b'/')
}

fn hidden(block: &[u8], at: &mut usize, (closer, run, inside): (Closer, usize, u32)) -> State {
    let rest = &block[*at..];
    let run_at = |end: usize| {
        let same = rest[..end].iter().rev().take_while(|byte| **byte == closer.byte);
        let same = same.take(closer.count).count();
        if same == end { (same + run).min(closer.count) } else { same }
    };
    for greater in memchr_iter(b'>', rest) {
        if run_at(greater) == closer.count {
            *at += greater + 1;
            let lead = DeclarationLead::Nothing;
            return match inside {
                0 => State::Text,
                depth => State::Declaration { depth, quote: None, lead },
            };
        }
    }
    *at = block.len();
    State::Hidden { closer, run: run_at(rest.len()), inside }
}

fn declaration(
    block: &[u8],
    at: &mut usize,
    (mut depth, mut quote, mut lead): (u32, Option<u8>, DeclarationLead),
) -> State {
    while *at < block.len() {
        if let Some(open) = quote {
            let Some(index) = memchr(open, &block[*at..]) else {
                *at = block.len();
                break;
            };
            *at += index + 1;
            quote = None;
            continue;
        }
        let byte = block[*at];
        *at += 1;
        let before = std::mem::replace(&mut lead, DeclarationLead::Nothing);
        let opened = match (before, byte) {
            (DeclarationLead::Less, b'?') => Some(INSTRUCTION),
            (DeclarationLead::LessBangDash, b'-') => Some(COMMENT),
            _ => None,
        };
        if let Some(closer) = opened {
            return State::Hidden { closer, run: 0, inside: depth - 1 };
        }
        match (before, byte) {
            (_, b'"' | b'\'') => quote = Some(byte),
            (_, b'<') => {
                // Four thousand million open brackets are no document.
                depth = depth.saturating_add(1);
                lead = DeclarationLead::Less;
            }
            (_, b'>') => depth -= 1,
            (DeclarationLead::Less, b'!') => lead = DeclarationLead::LessBang,
            (DeclarationLead::LessBang, b'-') => lead = DeclarationLead::LessBangDash,
            _ => {}
        }
        if depth == 0 {
            return State::Text;
        }
    }
    State::Declaration { depth, quote, lead }
}
