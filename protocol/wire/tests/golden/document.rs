//! Reads `docs/protocol.md`: fenced `hex` blocks by name, and tables by their heading.

use std::collections::{BTreeMap, BTreeSet};

/// The document as its tests need it.
pub(crate) struct Document {
    text: String,
    examples: BTreeMap<String, Vec<u8>>,
}

impl Document {
    /// Reads the document of this repository; panics on a block that is not hexadecimal or a name
    /// that stands twice.
    pub(crate) fn read() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol.md");
        let text = std::fs::read_to_string(path).expect("docs/protocol.md is there");
        let mut examples = BTreeMap::new();
        let mut block: Option<(String, Vec<u8>)> = None;
        for line in text.lines() {
            if let Some((name, mut bytes)) = block.take() {
                if line.starts_with("```") {
                    assert!(!examples.contains_key(&name), "{name} stands twice");
                    examples.insert(name, bytes);
                } else {
                    bytes.extend(unhex(line));
                    block = Some((name, bytes));
                }
            } else if let Some(name) = line.strip_prefix("```hex ") {
                block = Some((name.to_owned(), Vec::new()));
            }
        }
        assert!(block.is_none(), "the last block has no end");
        Self { text, examples }
    }

    /// The bytes of one example.
    pub(crate) fn example(&self, name: &str) -> Vec<u8> {
        self.examples.get(name).unwrap_or_else(|| panic!("{name} has no example")).clone()
    }

    /// Names of all examples.
    pub(crate) fn example_names(&self) -> BTreeSet<&str> {
        self.examples.keys().map(String::as_str).collect()
    }

    /// The cells of each row of the table under the heading `## title` or `### title`, without its
    /// two header lines and without the marks of code.
    pub(crate) fn table(&self, title: &str) -> Vec<Vec<String>> {
        let is_title = |line: &&str| line.trim_start_matches('#').trim() == title;
        let rows: Vec<_> = self
            .text
            .lines()
            .skip_while(|line| !(line.starts_with('#') && is_title(line)))
            .skip(1)
            .take_while(|line| !line.starts_with('#'))
            .filter(|line| line.starts_with('|'))
            .skip(2)
            .map(|line| line.trim_matches('|').split('|').map(cell).collect())
            .collect();
        assert!(!rows.is_empty(), "no table under {title:?}");
        rows
    }
}

fn cell(text: &str) -> String {
    text.replace('`', "").trim().to_owned()
}

/// Bytes of one line; what follows `#` is for people.
fn unhex(line: &str) -> Vec<u8> {
    let digits: String = line.split('#').next().unwrap_or("").split_whitespace().collect();
    assert!(digits.len().is_multiple_of(2), "half a byte in {line:?}");
    (0..digits.len() / 2)
        .map(|at| u8::from_str_radix(&digits[at * 2..at * 2 + 2], 16).expect("hexadecimal"))
        .collect()
}

/// Bytes as text, for messages people read.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}
