//! Documents made of pieces, so that where their rows are is known without reading them.

use proptest::prelude::*;
use skyspray_dfu::encoding::Encoding;

/// `@` stands for the row tag.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    /// What stands before the first row.
    before: String,
    /// Each row as its text up to what closes it, and that; then what follows it.
    rows: Vec<((String, String), String)>,
}

/// Where a document's rows are, in bytes.
#[derive(Debug)]
pub(crate) struct Place {
    /// Where the records start.
    pub(crate) header: usize,
    /// Start, start of what closes it, and end of each row with its line end.
    pub(crate) rows: Vec<(usize, usize, usize)>,
    /// Where the last row ends.
    pub(crate) last: usize,
    /// Where the footer starts.
    pub(crate) footer: usize,
}

impl Document {
    pub(crate) fn bytes(&self, tag: &str, encoding: Encoding) -> Vec<u8> {
        let rows =
            self.rows.iter().map(|((row, close), behind)| [&row[..], close, behind].concat());
        encode(&(self.before.clone() + &rows.collect::<String>()).replace('@', tag), encoding)
    }

    pub(crate) fn place(&self, tag: &str, encoding: Encoding) -> Place {
        let length = |text: &str| encode(&text.replace('@', tag), encoding).len();
        let line = self.before.rfind('\n').map_or(0, |feed| feed + 1);
        let indent = self.before[line..].bytes().all(|byte| byte == b' ' || byte == b'\t');
        let header = if indent { length(&self.before[..line]) } else { length(&self.before) };
        let mut at = length(&self.before);
        let (mut last, mut footer) = (at, at);
        let mut rows = Vec::new();
        for ((row, close), behind) in &self.rows {
            let start = at;
            let close_at = start + length(row);
            last = close_at + length(close);
            footer = last + if behind.starts_with("\r\n") { length("\r\n") } else { 0 };
            let line = if behind.starts_with('\n') { last + length("\n") } else { footer };
            rows.push((start, close_at, line));
            at = last + length(behind);
        }
        Place { header, rows, last, footer }
    }
}

pub(crate) fn encode(text: &str, encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::Ascii | Encoding::Utf8 => text.as_bytes().to_vec(),
        Encoding::Utf16Le => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        Encoding::Utf16Be => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        Encoding::Utf32Le => text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect(),
        Encoding::Utf32Be => text.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect(),
    }
}

pub(crate) fn document() -> impl Strategy<Value = Document> {
    let prologue = prop_oneof![
        2 => Just(String::new()),
        1 => Just("<?xml version='1.0'?>\n".to_owned()),
        1 => Just(
            "<!DOCTYPE D SYSTEM '<@>' [\n<!ENTITY a \"]><@>'</@>\">\n<!-- don't <@> ]> -->\n\
             <?x don't <@> ]> ?><!ATTLIST @ b CDATA '>'>%p;\n]>"
                .to_owned()
        ),
        1 => Just("<!DOCTYPE @><D a='>' b=\"!--\">\n".to_owned()),
    ];
    let before = (prologue, between()).prop_map(|(prologue, between)| prologue + &between);
    let rows = prop_oneof![
        3 => prop::collection::vec((row(2), between()), 1..6),
        1 => prop::collection::vec((row(0), between()), 20..120),
    ];
    (before, rows).prop_map(|(before, rows)| Document { before, rows })
}

/// What stands between rows.
fn between() -> impl Strategy<Value = String> {
    let line_end = prop::sample::select(vec!["", "", "\n", "\n", "\r\n", "\r", "\n\n", "\r\r\n"]);
    let indent = prop::sample::select(vec!["", "  ", "\t", "\n ", "\r\n"]);
    let pieces = prop_oneof![
        2 => Just(String::new()),
        1 => prop::collection::vec(prop_oneof![text(), hidden(), other()], 0..4)
            .prop_map(|pieces| pieces.concat()),
    ];
    (line_end, pieces, indent)
        .prop_map(|(line_end, pieces, indent)| [line_end, &pieces, indent].concat())
}

/// A row up to what closes it, and that, with elements nested `depth` deep.
fn row(depth: u32) -> impl Strategy<Value = (String, String)> {
    let inner = prop_oneof![text(), hidden(), other()];
    let inner = inner.prop_recursive(depth, 12, 3, |inner| {
        let many = prop::collection::vec(inner, 0..4).prop_map(|pieces| pieces.concat());
        (attributes(), many, blank(), any::<bool>()).prop_map(|(attributes, many, blank, empty)| {
            match empty {
                true => format!("<@{attributes}/>"),
                false => format!("<@{attributes}{blank}>{many}</@{blank}>"),
            }
        })
    });
    let many = prop::collection::vec(inner, 0..5).prop_map(|pieces| pieces.concat());
    prop_oneof![
        4 => (attributes(), many, blank())
            .prop_map(|(attributes, many, blank)| {
                (format!("<@{attributes}>{many}"), format!("</@{blank}>"))
            }),
        1 => attributes().prop_map(|attributes| (format!("<@{attributes}"), "/>".to_owned())),
    ]
}

fn blank() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "", "", " ", "\n\t", "\r\n"])
}

fn attributes() -> impl Strategy<Value = String> {
    let one = prop::sample::select(vec![
        " a='>'",
        "\n\tb=\"/>\"",
        " c='-->' ",
        " d=\"&lt;/@>\"",
        " e='\"'",
        " f='/'",
        "\r\ng = \"'\" ",
        " h=']]>'",
    ]);
    prop_oneof![
        2 => Just(String::new()),
        1 => prop::collection::vec(one, 0..3).prop_map(|pieces| pieces.concat()),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[a-z]{0,9}",
        3 => prop::sample::select(vec![
            " ", "\n", "\r\n", "don't", "\"", "&lt;/@>", "a > b", "/>", "--", "]]", "?", "@",
            "\u{e4}\u{20ac}\u{1f600}", "\u{3c3c}\u{3e3e}",
        ])
        .prop_map(str::to_owned),
        // Only text that looks like the end of a comment or an instruction.
        1 => prop::sample::select(vec!["-->", "?>"]).prop_map(str::to_owned),
    ]
}

/// What may hide the tag of a row.
fn hidden() -> impl Strategy<Value = String> {
    let inner = prop::sample::select(vec![
        "<@>",
        "</@>",
        "<@/>",
        "<@ a='",
        "\"",
        "don't",
        "<!-",
        "<![CDATA[",
        "]]",
        "]",
        "- ",
        ">",
        "->",
        "]>",
        "<?",
        "<",
        "\n",
        "x",
    ]);
    let inner = prop::collection::vec(inner, 0..6).prop_map(|pieces| pieces.concat());
    (inner, 0..3u8).prop_map(|(inner, kind)| match kind {
        0 => format!("<!--{} -->", inner.replace("--", "- -").replace("->", "- >")),
        1 => format!("<![CDATA[{}]]>", inner.replace("]]>", "]] >")),
        _ => format!("<?p {}?>", inner.replace("?>", "? >")),
    })
}

/// Elements of other names.
fn other() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "<b>",
        "</b>",
        "<@s>",
        "</@s>",
        "<x@/>",
        "<@.a b='>'/>",
        "<b c='/>' d=\"'\">",
        "<R>",
        "</R\n>",
        "<@-x",
        ">",
        "</@2>",
    ])
    .prop_map(str::to_owned)
}
