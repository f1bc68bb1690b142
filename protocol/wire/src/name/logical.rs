//! Logical names and scopes, by HPCC's rules: `~Scope::Sub Scope::File` is `scope::sub scope::file`.

use crate::limits::{LOGICAL_SEGMENT_BYTES_MAX, NAME_BYTES_MAX, SEGMENTS_MAX};
use serde::{Deserialize, Serialize};
use std::fmt;
use thiserror::Error;

/// Name of a logical file, normalised: lower case, no blanks around segments, no `.` scopes.
///
/// A file outside any scope is written `.::name`, as HPCC stores it.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct LogicalName(String);

/// Why a text is no logical name or scope.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum LogicalNameError {
    /// Nothing in it, or nothing between two `::`.
    #[error("logical name {name:?} has an empty segment")]
    Empty {
        /// The name, cut to 120 characters.
        name: String,
    },
    /// A character HPCC does not allow.
    #[error("logical name {name:?} contains {character:?}, which is not allowed")]
    Character {
        /// The name, cut to 120 characters.
        name: String,
        /// The first such character.
        character: char,
    },
    /// A segment `..`, which would leave its directory.
    #[error("logical name {name:?} contains the segment `..`")]
    Relative {
        /// The name, cut to 120 characters.
        name: String,
    },
    /// Longer or deeper than allowed.
    #[error(
        "logical name of {bytes} bytes in {segments} segments, at most {NAME_BYTES_MAX} bytes in \
         {SEGMENTS_MAX} segments of {LOGICAL_SEGMENT_BYTES_MAX} bytes are allowed"
    )]
    TooLong {
        /// Bytes found.
        bytes: usize,
        /// Segments found.
        segments: usize,
    },
}

impl LogicalName {
    /// Normalises and accepts `[~]scope::…::name[@cluster]`.
    ///
    /// # Errors
    ///
    /// Whoever chose the name is at fault; see [`LogicalNameError`].
    pub fn parse(text: &str) -> Result<Self, LogicalNameError> {
        let mut segments = normalise(text)?;
        if let Some(tail) = segments.last_mut()
            && let Some((name, _cluster)) = tail.split_once('@')
        {
            *tail = name.trim_end().to_owned();
        }
        // What is left of the tail without its cluster must meet the rules too.
        match segments.last().map(String::as_str) {
            None | Some("" | ".") => return Err(LogicalNameError::Empty { name: shown(text) }),
            Some("..") => return Err(LogicalNameError::Relative { name: shown(text) }),
            Some(_) => {}
        }
        if segments.len() == 1 {
            segments.insert(0, ".".to_owned());
        }
        Ok(Self(segments.join("::")))
    }

    /// The normalised name, `.::name` for a file outside any scope.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments without the `.` of a root file; the last one is the file's own name.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split("::").filter(|segment| *segment != ".")
    }

    /// The file's own name, without scopes.
    pub fn tail(&self) -> &str {
        self.segments().last().expect("a logical name has a last segment")
    }
}

impl fmt::Display for LogicalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for LogicalName {
    type Error = LogicalNameError;

    fn try_from(text: String) -> Result<Self, LogicalNameError> {
        Self::parse(&text)
    }
}

impl From<LogicalName> for String {
    fn from(name: LogicalName) -> Self {
        name.0
    }
}

/// A namespace of logical names, and the unit of policy: zero or more segments.
///
/// The empty scope holds everything. Compared by whole segments: `acme` never holds `acme2`.
#[derive(Clone, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scope(Vec<String>);

impl Scope {
    /// Normalises and accepts `a::b`; the empty text or `.` is the scope of everything.
    ///
    /// # Errors
    ///
    /// As for [`LogicalName::parse`].
    pub fn parse(text: &str) -> Result<Self, LogicalNameError> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        Ok(Self(normalise(text)?))
    }

    /// Whether these segments (of a logical name or, lower-cased, of a path) lie in this scope.
    pub fn holds<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> bool {
        let mut segments = segments.into_iter();
        self.0.iter().all(|mine| segments.next() == Some(mine.as_str()))
    }

    /// The segments.
    pub fn segments(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("::"))
    }
}

impl TryFrom<String> for Scope {
    type Error = LogicalNameError;

    fn try_from(text: String) -> Result<Self, LogicalNameError> {
        Self::parse(&text)
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.to_string()
    }
}

/// Lower-cased segments without blanks around them and without `.` scopes.
fn normalise(text: &str) -> Result<Vec<String>, LogicalNameError> {
    let inner = text.trim();
    let inner = inner.strip_prefix('~').unwrap_or(inner).trim();
    let inner = inner.strip_prefix("::").unwrap_or(inner);
    let mut segments = Vec::new();
    for raw in inner.split("::") {
        let segment = raw.trim().to_ascii_lowercase();
        if let Some(character) = segment.chars().find(|&c| !allowed(c)) {
            return Err(LogicalNameError::Character { name: shown(text), character });
        }
        match segment.as_str() {
            "" => return Err(LogicalNameError::Empty { name: shown(text) }),
            "." => {}
            ".." => return Err(LogicalNameError::Relative { name: shown(text) }),
            _ => segments.push(segment),
        }
    }
    let bytes = segments.iter().map(|segment| segment.len() + 2).sum::<usize>();
    let longest = segments.iter().map(String::len).max().unwrap_or(0);
    if bytes > NAME_BYTES_MAX
        || segments.len() > SEGMENTS_MAX
        || longest > LOGICAL_SEGMENT_BYTES_MAX
    {
        return Err(LogicalNameError::TooLong { bytes, segments: segments.len() });
    }
    Ok(segments)
}

fn allowed(character: char) -> bool {
    matches!(character, ' '..='}') && !r#"*"/:<>?\|{}"#.contains(character)
}

fn shown(text: &str) -> String {
    text.chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> String {
        LogicalName::parse(text).unwrap().to_string()
    }

    #[test]
    fn names_are_normalised_as_hpcc_does() {
        assert_eq!(name("fname"), ".::fname");
        assert_eq!(name("~.::.::.::SName::.::.::FName"), "sname::fname");
        assert_eq!(name("~ scope1 :: scope2 :: file  "), "scope1::scope2::file");
        assert_eq!(name(":: scope1 :: file nine"), "scope1::file nine");
        assert_eq!(name("~scope1::file@cluster1"), "scope1::file");
        assert_eq!(name(".::.sname.::.fname."), ".sname.::.fname.");
        assert_eq!(name(".::fname"), ".::fname");
    }

    #[test]
    fn names_that_break_the_rules_say_which() {
        let parse = |text| LogicalName::parse(text).unwrap_err();
        let name = |text: &str| text.to_owned();

        assert_eq!(parse(". ::  ::file"), LogicalNameError::Empty { name: name(". ::  ::file") });
        assert_eq!(
            parse("sc~ope::file"),
            LogicalNameError::Character { name: name("sc~ope::file"), character: '~' }
        );
        assert_eq!(
            parse("a::../b"),
            LogicalNameError::Character { name: name("a::../b"), character: '/' }
        );
        assert_eq!(parse("a::..::b"), LogicalNameError::Relative { name: name("a::..::b") });
        assert_eq!(parse("ä"), LogicalNameError::Character { name: name("ä"), character: 'ä' });
        assert_eq!(parse("a::"), LogicalNameError::Empty { name: name("a::") });
        assert_eq!(parse("."), LogicalNameError::Empty { name: name(".") });
    }

    #[test]
    fn what_stands_before_a_cluster_meets_every_rule() {
        let parse = |text| LogicalName::parse(text).unwrap_err();

        assert_eq!(parse("a::..@c"), LogicalNameError::Relative { name: "a::..@c".into() });
        assert_eq!(parse("..@c"), LogicalNameError::Relative { name: "..@c".into() });
        assert_eq!(parse(".@c"), LogicalNameError::Empty { name: ".@c".into() });
        assert_eq!(parse("a::@c"), LogicalNameError::Empty { name: "a::@c".into() });
        assert_eq!(name("a@b::c@d@e"), "a@b::c");
        assert_eq!(name("a@b::."), ".::a");
    }

    #[test]
    fn a_scope_holds_whole_segments_only() {
        let acme = Scope::parse("Ingest::Acme").unwrap();

        assert!(acme.holds(["ingest", "acme", "orders"]));
        assert!(acme.holds(["ingest", "acme"]));
        assert!(!acme.holds(["ingest", "acme2", "orders"]));
        assert!(!acme.holds(["ingest"]));
        assert!(Scope::default().holds(["anything"]));
        assert_eq!(Scope::parse(".").unwrap(), Scope::default());
    }
}
