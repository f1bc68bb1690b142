//! Logical names and scopes, by HPCC's rules: `~Scope::Sub Scope::File` is `scope::sub scope::file`.

use crate::limits::{LOGICAL_SEGMENT_BYTES_MAX, NAME_BYTES_MAX, SEGMENTS_MAX};
use serde::{Deserialize, Serialize};
use std::fmt;
use thiserror::Error;

/// First scopes by which HPCC names files of other systems, hosts and planes, never its own.
const SCOPES_ELSEWHERE: [&str; 4] = ["file", "foreign", "plane", "remote"];

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
    /// Ends in the scope `.`, so that no file is named.
    #[error("logical name {name:?} ends in the scope `.`, expected the file's own name after it")]
    NoTail {
        /// The name, cut to 120 characters.
        name: String,
    },
    /// An `@` that HPCC does not read as the mark of a cluster, or reads differently a second time.
    #[error(
        "logical name {name:?} has several `@` or `@^` after its last `::`, expected at most one \
         `@cluster`"
    )]
    Cluster {
        /// The name, cut to 120 characters.
        name: String,
    },
    /// The first scope says that the file is not one of the catalogue.
    #[error(
        "logical name {name:?} begins with the scope {scope:?}, by which HPCC means a file outside \
         the catalogue; choose another first scope"
    )]
    Elsewhere {
        /// The name, cut to 120 characters.
        name: String,
        /// The scope.
        scope: &'static str,
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
    /// Normalises and accepts `[~]scope::…::name[@cluster]`; the cluster is checked and dropped.
    ///
    /// # Errors
    ///
    /// Whoever chose the name is at fault; see [`LogicalNameError`].
    pub fn parse(text: &str) -> Result<Self, LogicalNameError> {
        Self::parse_with_cluster(text).map(|(name, _cluster)| name)
    }

    /// As [`LogicalName::parse`], with the cluster in lower case where one is named.
    ///
    /// # Errors
    ///
    /// As for [`LogicalName::parse`].
    pub fn parse_with_cluster(text: &str) -> Result<(Self, Option<String>), LogicalNameError> {
        let mut segments = split(text)?;
        let last = segments.pop().expect("splitting a text gives at least one piece");
        let (tail, cluster) = split_cluster(&last, text)?;
        match tail {
            "" => return Err(LogicalNameError::Empty { name: shown(text) }),
            "." => return Err(LogicalNameError::NoTail { name: shown(text) }),
            ".." => return Err(LogicalNameError::Relative { name: shown(text) }),
            _ => {}
        }
        segments.retain(|segment| segment != ".");
        segments.push(tail.to_owned());
        check_size(&segments)?;
        if segments.len() == 1 {
            segments.insert(0, ".".to_owned());
        } else if let Some(scope) = SCOPES_ELSEWHERE.into_iter().find(|&s| s == segments[0]) {
            return Err(LogicalNameError::Elsewhere { name: shown(text), scope });
        }
        Ok((Self(segments.join("::")), cluster))
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
        if text.trim_matches(' ').is_empty() {
            return Ok(Self::default());
        }
        let mut segments = split(text)?;
        segments.retain(|segment| segment != ".");
        check_size(&segments)?;
        Ok(Self(segments))
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

/// Lower-cased segments without blanks around them, `.` among them; at least one.
fn split(text: &str) -> Result<Vec<String>, LogicalNameError> {
    let blank = |c: char| c.is_ascii_whitespace();
    let inner = text.trim_start_matches(blank);
    let inner = inner.strip_prefix('~').unwrap_or(inner).trim_start_matches(blank);
    let inner = inner.strip_prefix("::").unwrap_or(inner);
    inner.split("::").map(|raw| segment(raw, text)).collect()
}

fn segment(raw: &str, text: &str) -> Result<String, LogicalNameError> {
    let segment = raw.trim_matches(' ').to_ascii_lowercase();
    if let Some(character) = segment.chars().find(|&c| !allowed(c)) {
        return Err(LogicalNameError::Character { name: shown(text), character });
    }
    match segment.as_str() {
        "" => Err(LogicalNameError::Empty { name: shown(text) }),
        ".." => Err(LogicalNameError::Relative { name: shown(text) }),
        _ => Ok(segment),
    }
}

/// The last segment without its cluster, and the cluster unless its name is empty.
fn split_cluster<'a>(
    last: &'a str,
    text: &str,
) -> Result<(&'a str, Option<String>), LogicalNameError> {
    let Some((tail, cluster)) = last.split_once('@') else { return Ok((last, None)) };
    if cluster.contains('@') || cluster.starts_with('^') {
        return Err(LogicalNameError::Cluster { name: shown(text) });
    }
    let cluster = cluster.trim_matches(' ');
    Ok((tail.trim_end_matches(' '), (!cluster.is_empty()).then(|| cluster.to_owned())))
}

fn check_size(segments: &[String]) -> Result<(), LogicalNameError> {
    let bytes = segments.iter().map(|segment| segment.len() + 2).sum::<usize>();
    let longest = segments.iter().map(String::len).max().unwrap_or(0);
    if bytes > NAME_BYTES_MAX
        || segments.len() > SEGMENTS_MAX
        || longest > LOGICAL_SEGMENT_BYTES_MAX
    {
        return Err(LogicalNameError::TooLong { bytes, segments: segments.len() });
    }
    Ok(())
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
        assert_eq!(parse("."), LogicalNameError::NoTail { name: name(".") });
        assert_eq!(parse("a::."), LogicalNameError::NoTail { name: name("a::.") });
        assert_eq!(parse("a@b:: ."), LogicalNameError::NoTail { name: name("a@b:: .") });
    }

    #[test]
    fn what_stands_before_a_cluster_meets_every_rule() {
        let parse = |text| LogicalName::parse(text).unwrap_err();

        assert_eq!(parse("a::..@c"), LogicalNameError::Relative { name: "a::..@c".into() });
        assert_eq!(parse("..@c"), LogicalNameError::Relative { name: "..@c".into() });
        assert_eq!(parse(".@c"), LogicalNameError::NoTail { name: ".@c".into() });
        assert_eq!(parse("a::@c"), LogicalNameError::Empty { name: "a::@c".into() });
        assert_eq!(parse("@c"), LogicalNameError::Empty { name: "@c".into() });
        assert_eq!(name("a@b::c@d"), "a@b::c");
    }

    #[test]
    fn a_cluster_is_told_apart_from_the_name() {
        let both = |text| {
            let (name, cluster) = LogicalName::parse_with_cluster(text).unwrap();
            (name.to_string(), cluster)
        };

        assert_eq!(both("~A::B @ Thor 1 "), ("a::b".into(), Some("thor 1".into())));
        assert_eq!(both("a@x::b"), ("a@x::b".into(), None));
        assert_eq!(both("b@"), (".::b".into(), None));
        assert_eq!(both("b@ "), (".::b".into(), None));
    }

    #[test]
    fn an_at_sign_that_could_mean_a_name_or_a_cluster_is_refused() {
        for text in ["a::c@d@e", "c@@d", "c@@", "c@^d"] {
            let error = LogicalName::parse(text).unwrap_err();
            assert_eq!(error, LogicalNameError::Cluster { name: text.to_owned() });
        }
    }

    #[test]
    fn a_first_scope_that_means_another_place_is_refused() {
        for (text, scope) in [
            ("~foreign::10.0.0.1::a::b", "foreign"),
            ("Remote::svc::b", "remote"),
            (".::file::h::b", "file"),
            (":: plane ::b", "plane"),
        ] {
            let error = LogicalName::parse(text).unwrap_err();
            assert_eq!(error, LogicalNameError::Elsewhere { name: text.to_owned(), scope });
        }
        assert_eq!(name("file"), ".::file");
        assert_eq!(name("files::b"), "files::b");
        assert_eq!(name("a::file::b"), "a::file::b");
    }

    #[test]
    fn white_space_other_than_blanks_is_taken_before_the_name_only() {
        let parse = |text| LogicalName::parse(text).unwrap_err();
        let error = |text: &str, character| LogicalNameError::Character {
            name: text.to_owned(),
            character,
        };

        assert_eq!(name("\t ~\n a::b"), "a::b");
        assert_eq!(parse("a::b\n"), error("a::b\n", '\n'));
        assert_eq!(parse("a\t::b"), error("a\t::b", '\t'));
        assert_eq!(parse("\u{a0}a"), error("\u{a0}a", '\u{a0}'));
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
        assert_eq!(Scope::parse(" ").unwrap(), Scope::default());
        Scope::parse("\u{a0}").unwrap_err();
    }
}
