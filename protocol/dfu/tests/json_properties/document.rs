//! JSON documents made of pieces, so that where their rows are is known without reading them.

use proptest::prelude::*;

/// Where the rows are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Shape {
    /// In the array under these keys; in the root array if there are none.
    Array(&'static [&'static str]),
    /// At the root, with commas between them.
    Commas,
    /// At the root, with blanks between them.
    Blanks,
}

#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub(crate) header: String,
    /// Blanks before the first row.
    pub(crate) lead: String,
    pub(crate) rows: Vec<Row>,
    pub(crate) footer: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) text: String,
    /// Blanks behind it, and behind the comma that follows it, if one does.
    pub(crate) behind: (String, String),
}

impl Shape {
    pub(crate) fn path(self) -> String {
        match self {
            Self::Array(keys) => format!("/{}", keys.join("/")),
            _ => "/".to_owned(),
        }
    }

    pub(crate) fn has_commas(self) -> bool {
        self != Self::Blanks
    }
}

impl Document {
    /// Everything between header and footer.
    pub(crate) fn body(&self, shape: Shape) -> String {
        let mut body = self.lead.clone();
        for (index, row) in self.rows.iter().enumerate() {
            let comma = shape.has_commas() && index + 1 < self.rows.len();
            let (before, after) = &row.behind;
            body.extend([&row.text[..], before, if comma { "," } else { "" }, after]);
        }
        body
    }

    pub(crate) fn text(&self, shape: Shape) -> String {
        [&self.header[..], &self.body(shape), &self.footer].concat()
    }
}

pub(crate) fn shapes() -> impl Strategy<Value = Shape> {
    prop::sample::select(vec![
        Shape::Array(&[]),
        Shape::Array(&["Row"]),
        Shape::Array(&["a", "b"]),
        Shape::Array(&["R\u{e4}\u{1f600}\"w"]),
        Shape::Commas,
        Shape::Blanks,
    ])
}

pub(crate) fn documents(shape: Shape) -> BoxedStrategy<Vec<Document>> {
    // Where nothing else tells, the first gap between two rows says how rows are separated.
    let rows_min = usize::from(shape == Shape::Commas) * 2;
    let rows = prop_oneof![
        3 => prop::collection::vec(row(), rows_min..6),
        1 => prop::collection::vec(row(), 20..60),
    ];
    let document =
        (around(shape), blanks(), rows).prop_map(move |((header, footer), lead, rows)| {
            let mut document = Document { header, lead, rows, footer };
            match (shape, document.rows.first_mut()) {
                (Shape::Array(_), _) => {}
                // A document that begins with an array is that array.
                (_, Some(first)) if first.text.starts_with('[') => first.text = "{}".to_owned(),
                _ => {}
            }
            if shape == Shape::Blanks {
                document.rows.iter_mut().for_each(|row| row.behind.0.push('\n'));
            }
            document
        });
    prop::collection::vec(document, 1..4).boxed()
}

/// Header and footer.
fn around(shape: Shape) -> BoxedStrategy<(String, String)> {
    let Shape::Array(keys) = shape else {
        return Just((String::new(), String::new())).boxed();
    };
    let mut around = (blanks(), blanks())
        .prop_map(|(before, behind)| (format!("{before}["), format!("]{behind}")))
        .boxed();
    for key in keys.iter().rev() {
        let member = (written(key), blanks(), members(key), members(key), blanks());
        around = (around, member)
            .prop_map(|((header, footer), (key, blank, before, behind, end))| {
                let comma = |members: &str| if members.is_empty() { "" } else { "," };
                let (first, last) = (comma(&before), comma(&behind));
                (
                    format!("{blank}{{{before}{first}{blank}{key}{blank}:{header}"),
                    format!("{footer}{last}{behind}{blank}}}{end}"),
                )
            })
            .boxed();
    }
    around
}

/// A key in quotes, plain or with escapes.
fn written(key: &str) -> impl Strategy<Value = String> + use<> {
    let plain = serde_json::to_string(key).unwrap();
    let units = key.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect::<String>();
    let first_escaped = match key.chars().next() {
        Some(first @ 'a'..='z') => format!("\"\\u{:04x}{}\"", u32::from(first), &key[1..]),
        _ => plain.clone(),
    };
    prop::sample::select(vec![plain, format!("\"{units}\""), first_escaped])
}

/// Members of an object, none of them called `key`.
fn members(key: &'static str) -> impl Strategy<Value = String> {
    let names = prop::sample::select(vec!["Row", "a", "b", "x]", "\u{e4}", "y\\\\"]);
    let names = names.prop_filter("another key", move |name| *name != key);
    let member = (names, blanks(), value());
    prop::collection::vec(member, 0..3).prop_map(|members| {
        let texts = members.iter().map(|(name, blank, value)| format!("{blank}\"{name}\":{value}"));
        texts.collect::<Vec<_>>().join(",")
    })
}

fn row() -> impl Strategy<Value = Row> {
    (value(), blanks(), blanks())
        .prop_map(|(text, before, behind)| Row { text, behind: (before, behind) })
}

fn value() -> impl Strategy<Value = String> {
    let string = prop::collection::vec(
        prop::sample::select(vec![
            "a",
            "Row",
            "\\\"",
            "\\\\",
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            " ",
            "\u{e4}",
            "\u{1f600}",
            "\\u005d",
            "\\n",
            "Y_y",
            "a longer text that goes on for some more than one block of 64",
        ]),
        0..8,
    );
    let string = string.prop_map(|pieces| format!("\"{}\"", pieces.concat()));
    let word = prop::sample::select(vec!["0", "-1.5e+3", "true", "false", "null", "1234567890"]);
    let leaf = prop_oneof![2 => string, 1 => word.prop_map(str::to_owned)];
    leaf.prop_recursive(4, 24, 5, |inner| {
        let key = prop::sample::select(vec!["Row", "a", "b", "\\\"{", "\u{e4}"]);
        prop_oneof![
            (prop::collection::vec(inner.clone(), 0..5), blanks()).prop_map(
                |(items, blank)| format!("[{blank}{}]", items.join(&format!("{blank},")))
            ),
            (prop::collection::vec((key, inner), 0..5), blanks()).prop_map(|(members, blank)| {
                let texts = members.iter().map(|(key, value)| format!("\"{key}\"{blank}:{value}"));
                format!("{{{}{blank}}}", texts.collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

fn blanks() -> impl Strategy<Value = String> {
    prop_oneof![2 => Just(String::new()), 1 => "[ \t\r\n]{1,3}", 1 => Just("\n".to_owned())]
}
