//! The path of an external or plane name: segments in lower case, `^` before what is upper case.

use super::error::PathFault;
use skyspray_wire::limits::{NAME_BYTES_MAX, SEGMENT_BYTES_MAX, SEGMENTS_MAX};
use std::fmt;

/// The directories and the file of an external or plane name; empty for the place itself.
///
/// No segment is empty or means `.` or `..`, and none has a separator, with or without its marks.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct ExternalPath(Vec<String>);

impl ExternalPath {
    /// Takes normalised segments with their marks.
    pub(super) fn try_new(segments: Vec<String>) -> Result<Self, PathFault> {
        let mut bytes = 0;
        let mut longest = 0;
        for segment in &segments {
            let file_name = unmarked(segment).ok_or(PathFault::Mark)?;
            if file_name == "." || file_name == ".." {
                return Err(PathFault::Relative);
            }
            bytes += file_name.len() + 1;
            longest = longest.max(file_name.len());
        }
        if bytes > NAME_BYTES_MAX || longest > SEGMENT_BYTES_MAX || segments.len() > SEGMENTS_MAX {
            return Err(PathFault::TooLong { bytes, segments: segments.len() });
        }
        Ok(Self(segments))
    }

    /// The segments as names have them: lower case, with `^` marks.
    pub fn segments(&self) -> &[String] {
        &self.0
    }

    /// The directories and the file as they are called on disk: `^h^p` is `HP`, `^^` is `^`.
    pub fn file_names(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|segment| unmarked(segment).expect("checked when the path was made"))
    }

    /// Whether a segment has `*` or `?`.
    pub fn has_wildcards(&self) -> bool {
        self.0.iter().any(|segment| segment.contains(['*', '?']))
    }
}

/// As in a name, with `::` between segments.
impl fmt::Display for ExternalPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("::"))
    }
}

/// The text without its marks; none where a mark has nothing after it.
fn unmarked(segment: &str) -> Option<String> {
    let mut characters = segment.chars();
    let mut text = String::with_capacity(segment.len());
    while let Some(character) = characters.next() {
        text.push(match character {
            '^' => characters.next()?.to_ascii_uppercase(),
            _ => character,
        });
    }
    Some(text)
}
