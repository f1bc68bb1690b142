//! The options of formats whose records are elements of a document, or lines that hold one each.

use crate::encoding::Encoding;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use thiserror::Error;

/// Longest record of a document format accepted when nothing is said, in bytes: 1 MiB, as HPCC
/// raises every smaller limit for row tags.
pub const DOCUMENT_RECORD_DEFAULT: NonZeroU32 = NonZeroU32::new(1024 * 1024).expect("not zero");

/// Longest row tag, or key in a row path, in bytes.
pub const NAME_BYTES_MAX: usize = 256;

/// Most keys in a row path.
pub const PATH_KEYS_MAX: usize = 32;

/// Why a row tag or path is none. The user's options, or stored metadata, are at fault.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum RowError {
    /// The row tag is no XML name.
    #[error(
        "row tag {tag:?} is no XML name, expected 1 to {NAME_BYTES_MAX} bytes without blanks or \
         markup, as in Row"
    )]
    Tag {
        /// The tag as given.
        tag: String,
    },
    /// The row path does not name an array.
    #[error(
        "row path {path:?} is none, expected / for the items of the outermost array or keys as in \
         /a/b"
    )]
    Path {
        /// The path as given.
        path: String,
    },
}

/// Rows that are elements of one name (HPCC `xml`).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct XmlFormat {
    row_tag: String,
    /// Longest row, in bytes with what stands between it and the row before it.
    pub max_record: NonZeroU32,
    /// How the text is stored.
    pub encoding: Encoding,
}

impl XmlFormat {
    /// Rows are the elements called `row_tag`, which may carry a namespace prefix.
    ///
    /// # Errors
    ///
    /// [`RowError::Tag`]: not a name.
    pub fn try_new(row_tag: &str) -> Result<Self, RowError> {
        let markup =
            |c: char| c.is_whitespace() || c.is_control() || "<>/&\"'=!?;,()[]{}".contains(c);
        let starts_wrong =
            row_tag.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '.');
        let fits = !row_tag.is_empty() && row_tag.len() <= NAME_BYTES_MAX;
        if !fits || starts_wrong || row_tag.contains(markup) {
            return Err(RowError::Tag { tag: row_tag.to_owned() });
        }
        Ok(Self {
            row_tag: row_tag.to_owned(),
            max_record: DOCUMENT_RECORD_DEFAULT,
            encoding: Encoding::Utf8,
        })
    }

    /// The same rows, each at most `max_record` bytes long.
    #[must_use]
    pub fn with_max_record(mut self, max_record: NonZeroU32) -> Self {
        self.max_record = max_record;
        self
    }

    /// Name of the elements that are rows.
    pub fn row_tag(&self) -> &str {
        &self.row_tag
    }
}

/// Rows that are the items of an array in a document, or documents one after the other
/// (HPCC `json`).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct JsonFormat {
    keys: Vec<String>,
    /// Longest row, in bytes with what stands between it and the row before it.
    pub max_record: NonZeroU32,
    /// How the text is stored.
    pub encoding: Encoding,
}

impl JsonFormat {
    /// `row_path` is `/` for the items of the outermost array, or for documents one after the
    /// other; `/a/b` for the items of the array under key `b` of the object under key `a`.
    ///
    /// # Errors
    ///
    /// [`RowError::Path`]: no slash at the start, an empty key, or too much of either.
    pub fn try_new(row_path: &str) -> Result<Self, RowError> {
        let wrong = || RowError::Path { path: row_path.to_owned() };
        let rest = row_path.strip_prefix('/').ok_or_else(wrong)?;
        let keys = match rest {
            "" => Vec::new(),
            rest => rest.split('/').map(str::to_owned).collect(),
        };
        let fits = |key: &String| !key.is_empty() && key.len() <= NAME_BYTES_MAX;
        if keys.len() > PATH_KEYS_MAX || !keys.iter().all(fits) {
            return Err(wrong());
        }
        Ok(Self { keys, max_record: DOCUMENT_RECORD_DEFAULT, encoding: Encoding::Utf8 })
    }

    /// The same rows, each at most `max_record` bytes long.
    #[must_use]
    pub fn with_max_record(mut self, max_record: NonZeroU32) -> Self {
        self.max_record = max_record;
        self
    }

    /// The keys from the root to the array of rows; none for the root itself.
    pub fn keys(&self) -> &[String] {
        &self.keys
    }

    /// The path as [`JsonFormat::try_new`] takes it.
    pub fn row_path(&self) -> String {
        format!("/{}", self.keys.join("/"))
    }
}

/// Rows that are lines with one document each (JSON lines). A document on a line holds no line
/// feed, so nothing inside it is looked at.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct JsonLinesFormat {
    /// Longest line, in bytes with its line feed.
    pub max_record: NonZeroU32,
    /// How the text is stored.
    pub encoding: Encoding,
}

impl Default for JsonLinesFormat {
    fn default() -> Self {
        Self { max_record: DOCUMENT_RECORD_DEFAULT, encoding: Encoding::Utf8 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_tags_are_xml_names() {
        for tag in ["Row", "ns:row", "_r-1.x", "Zeile\u{e4}"] {
            assert_eq!(XmlFormat::try_new(tag).unwrap().row_tag(), tag);
        }
        for tag in ["", "<Row>", "a b", "1row", "-a", "a/b"] {
            assert_eq!(XmlFormat::try_new(tag), Err(RowError::Tag { tag: tag.to_owned() }));
        }
    }

    #[test]
    fn row_paths_start_with_a_slash_and_have_no_empty_key() {
        assert_eq!(JsonFormat::try_new("/").unwrap().keys(), &[] as &[String]);
        assert_eq!(JsonFormat::try_new("/a/b").unwrap().row_path(), "/a/b");
        for path in ["", "a", "//", "/a/", "/a//b"] {
            assert_eq!(JsonFormat::try_new(path), Err(RowError::Path { path: path.to_owned() }));
        }
    }
}
