//! Paths on a plane: segments that no layer below can read as anything but one file name.

use crate::limits::{NAME_BYTES_MAX, SEGMENT_BYTES_MAX, SEGMENTS_MAX};
use serde::{Deserialize, Serialize};
use std::fmt;
use thiserror::Error;

/// Names that begin so belong to the relay's staging files and are never accepted from a peer.
pub const RESERVED_PREFIX: &str = ".skyspray-";

/// One segment of a [`PlanePath`]: a file or directory name.
///
/// Any UTF-8 but control characters, `/`, `\`, direction marks, a blank at either end, a dot at the
/// end, and names reserved for staging; 1 to 255 bytes. Case and composition are kept.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Segment(String);

/// Why a text is no segment.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum SegmentError {
    /// Nothing between two separators.
    #[error("an empty name")]
    Empty,
    /// Longer than file systems allow.
    #[error("a name of {bytes} bytes, at most {SEGMENT_BYTES_MAX} are allowed")]
    TooLong {
        /// Bytes found.
        bytes: usize,
    },
    /// `.` or `..`.
    #[error("`.` and `..` are not names")]
    Relative,
    /// A character that some layer would not take as part of a name.
    #[error("the character {character:?} is not allowed in a name")]
    Character {
        /// The first such character.
        character: char,
    },
    /// A blank at either end or a dot at the end.
    #[error("a name may not begin or end with a blank or end with a dot")]
    Edge,
    /// Begins like a staging file.
    #[error("names that begin with {RESERVED_PREFIX:?} are reserved")]
    Reserved,
}

impl Segment {
    /// Accepts the text as it is.
    ///
    /// # Errors
    ///
    /// Whoever chose the name is at fault; see [`SegmentError`].
    pub fn parse(text: &str) -> Result<Self, SegmentError> {
        if text.is_empty() {
            return Err(SegmentError::Empty);
        }
        if text.len() > SEGMENT_BYTES_MAX {
            return Err(SegmentError::TooLong { bytes: text.len() });
        }
        if text == "." || text == ".." {
            return Err(SegmentError::Relative);
        }
        if let Some(character) = text.chars().find(|&c| !allowed(c)) {
            return Err(SegmentError::Character { character });
        }
        if text.starts_with(' ') || text.ends_with([' ', '.']) {
            return Err(SegmentError::Edge);
        }
        if text.starts_with(RESERVED_PREFIX) {
            return Err(SegmentError::Reserved);
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn allowed(character: char) -> bool {
    let separator = matches!(character, '/' | '\\');
    let direction = matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !(character.is_control() || separator || direction)
}

impl TryFrom<String> for Segment {
    type Error = SegmentError;

    fn try_from(text: String) -> Result<Self, SegmentError> {
        Self::parse(&text)
    }
}

impl From<Segment> for String {
    fn from(segment: Segment) -> Self {
        segment.0
    }
}

/// A path below the root of a plane, as segments; empty means the root itself.
///
/// Written `a/b/c`. Travels as that text and is parsed again on arrival.
#[derive(Clone, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct PlanePath(Vec<Segment>);

/// Why a text is no path on a plane.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum PathError {
    /// One segment breaks the rules.
    #[error("path {path:?}")]
    Segment {
        /// The path, cut to 120 characters.
        path: String,
        /// The rule.
        source: SegmentError,
    },
    /// Begins with `/`.
    #[error("path {path:?} is absolute; paths on a plane are relative to its root")]
    Absolute {
        /// The path, cut to 120 characters.
        path: String,
    },
    /// More segments than allowed.
    #[error("path with {segments} segments, at most {SEGMENTS_MAX} are allowed")]
    TooDeep {
        /// Segments found.
        segments: usize,
    },
    /// Longer than allowed.
    #[error("path of {bytes} bytes, at most {NAME_BYTES_MAX} are allowed")]
    TooLong {
        /// Bytes found.
        bytes: usize,
    },
}

impl PlanePath {
    /// Accepts `a/b/c`; one `/` at the end is allowed and dropped, the empty text is the root.
    ///
    /// # Errors
    ///
    /// Whoever chose the path is at fault; see [`PathError`].
    pub fn parse(text: &str) -> Result<Self, PathError> {
        if text.len() > NAME_BYTES_MAX {
            return Err(PathError::TooLong { bytes: text.len() });
        }
        let shown = || text.chars().take(120).collect::<String>();
        if text.starts_with('/') {
            return Err(PathError::Absolute { path: shown() });
        }
        let text_inner = text.strip_suffix('/').unwrap_or(text);
        if text_inner.is_empty() {
            return Ok(Self::default());
        }
        let segments = text_inner
            .split('/')
            .map(Segment::parse)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|source| PathError::Segment { path: shown(), source })?;
        Self::try_new(segments)
    }

    /// Accepts segments already parsed.
    ///
    /// # Errors
    ///
    /// Too many segments or bytes.
    pub fn try_new(segments: Vec<Segment>) -> Result<Self, PathError> {
        if segments.len() > SEGMENTS_MAX {
            return Err(PathError::TooDeep { segments: segments.len() });
        }
        let bytes = segments.iter().map(|s| s.as_str().len() + 1).sum::<usize>().saturating_sub(1);
        if bytes > NAME_BYTES_MAX {
            return Err(PathError::TooLong { bytes });
        }
        Ok(Self(segments))
    }

    /// The segments, from the root down.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Whether this is the root of the plane.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// This path with `tail` below it.
    ///
    /// # Errors
    ///
    /// Too many segments or bytes together.
    pub fn join(&self, tail: &Self) -> Result<Self, PathError> {
        Self::try_new(self.0.iter().chain(&tail.0).cloned().collect())
    }
}

impl fmt::Display for PlanePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, segment) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("/")?;
            }
            f.write_str(segment.as_str())?;
        }
        Ok(())
    }
}

impl TryFrom<String> for PlanePath {
    type Error = PathError;

    fn try_from(text: String) -> Result<Self, PathError> {
        Self::parse(&text)
    }
}

impl From<PlanePath> for String {
    fn from(path: PlanePath) -> Self {
        path.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_blanks_and_other_scripts_are_kept_as_they_are() {
        for name in ["a b.csv", "Übung 2024.csv", "数据.bin", ".hidden", "a..b", "~x", "#1"] {
            assert_eq!(Segment::parse(name).map(String::from).as_deref(), Ok(name));
        }
    }

    #[test]
    fn names_another_layer_could_read_differently_are_refused() {
        let character = |character| SegmentError::Character { character };
        for (name, error) in [
            ("", SegmentError::Empty),
            (".", SegmentError::Relative),
            ("..", SegmentError::Relative),
            ("a\0b", character('\0')),
            ("a\nb", character('\n')),
            ("a\\b", character('\\')),
            ("a/b", character('/')),
            ("a\u{202e}b", character('\u{202e}')),
            ("a ", SegmentError::Edge),
            ("a.", SegmentError::Edge),
            (" a", SegmentError::Edge),
            (".skyspray-x", SegmentError::Reserved),
        ] {
            assert_eq!(Segment::parse(name), Err(error), "{name:?}");
        }
        assert_eq!(Segment::parse(&"x".repeat(256)), Err(SegmentError::TooLong { bytes: 256 }));
    }

    #[test]
    fn a_path_is_relative_and_stays_below_its_root() {
        assert_eq!(PlanePath::parse("a/b c/").unwrap().to_string(), "a/b c");
        assert_eq!(PlanePath::parse("").unwrap(), PlanePath::default());
        assert_eq!(PlanePath::parse("/a"), Err(PathError::Absolute { path: "/a".into() }));
        for (path, source) in [
            ("a/../b", SegmentError::Relative),
            ("a//b", SegmentError::Empty),
            ("a/./b", SegmentError::Relative),
        ] {
            assert_eq!(
                PlanePath::parse(path),
                Err(PathError::Segment { path: path.into(), source })
            );
        }
        let deep = ["a"; 33].join("/");
        assert_eq!(PlanePath::parse(&deep), Err(PathError::TooDeep { segments: 33 }));
    }
}
