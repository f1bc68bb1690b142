//! Why a text is no name of HPCC's, and why a relay stores no file under one.

use super::host::HostError;
use skyspray_wire::limits::{NAME_BYTES_MAX, SEGMENT_BYTES_MAX, SEGMENTS_MAX};
use skyspray_wire::name::{LabelError, LogicalNameError, PlaneName};
use thiserror::Error;

/// Why a text is no name; whoever chose it is at fault. Names are cut to 120 characters.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum NameError {
    /// It breaks the rules of names in a catalogue.
    #[error(transparent)]
    Logical(#[from] LogicalNameError),
    /// The part of an external, plane or wildcard name that is a path breaks a rule.
    #[error("name {name:?}")]
    Path {
        /// The name.
        name: String,
        /// The rule.
        source: PathFault,
    },
    /// The name ends where a place and a name must stand.
    #[error("name {name:?} is incomplete, expected {expected}")]
    Incomplete {
        /// The name.
        name: String,
        /// The form.
        expected: &'static str,
    },
    /// The server or host is none.
    #[error("name {name:?}")]
    Host {
        /// The name.
        name: String,
        /// The rule.
        source: HostError,
    },
    /// The service is none.
    #[error(
        "name {name:?} has the service {service:?}, expected letters, digits, `-`, `_` and `.`"
    )]
    Service {
        /// The name.
        name: String,
        /// The service.
        service: String,
    },
    /// The plane is none.
    #[error("name {name:?}")]
    Plane {
        /// The name.
        name: String,
        /// The rule.
        source: LabelError,
    },
    /// The query is empty, too long, or has control characters.
    #[error("name {name:?} has no query of 1 to {bytes_max} bytes without control characters")]
    Query {
        /// The name.
        name: String,
        /// Bytes allowed.
        bytes_max: usize,
    },
    /// A list without names.
    #[error("list {list:?} names nothing, expected {{name,name}}")]
    EmptyList {
        /// The list.
        list: String,
    },
    /// A list in a list, or a brace that closes before one opens.
    #[error("list {list:?} has braces beside or inside its braces, expected {{name,name}}")]
    NestedList {
        /// The list.
        list: String,
    },
    /// A comma before the braces becomes part of each name, and would cut it in two in a list.
    #[error("list {list:?} has a comma before its braces, expected prefix{{name,name}}")]
    CommaBeforeList {
        /// The list.
        list: String,
    },
    /// More names than allowed.
    #[error("list of {names} names, at most {names_max} are allowed; use several lists")]
    ListTooLong {
        /// Names found.
        names: usize,
        /// Names allowed.
        names_max: usize,
    },
}

impl NameError {
    /// The number HPCC gives the same fault; 8111 for a path with `..`.
    pub fn hpcc_number(&self) -> Option<u16> {
        matches!(self, Self::Path { source: PathFault::Relative, .. }).then_some(8111)
    }
}

/// A rule of the segments of an external, plane or wildcard name.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum PathFault {
    /// Nothing between two `::`.
    #[error("a segment is empty")]
    Empty,
    /// A character HPCC does not allow.
    #[error("the character {character:?} is not allowed")]
    Character {
        /// The first such character.
        character: char,
    },
    /// A segment that would leave its directory, also when it is written with marks.
    #[error("a segment means `.` or `..`, which would leave its directory")]
    Relative,
    /// Ends in the scope `.`.
    #[error("the last segment is `.`, expected the file's own name")]
    NoTail,
    /// An `@` that HPCC does not read as the mark of a cluster.
    #[error("several `@` or `@^` after the last `::`, expected at most one `@cluster`")]
    Cluster,
    /// A `^` that marks nothing.
    #[error("a segment ends in `^`, expected the character it marks; `^^` stands for `^`")]
    Mark,
    /// Longer or deeper than allowed.
    #[error(
        "{bytes} bytes in {segments} segments, at most {NAME_BYTES_MAX} bytes in {SEGMENTS_MAX} \
         segments of {SEGMENT_BYTES_MAX} bytes are allowed"
    )]
    TooLong {
        /// Bytes found.
        bytes: usize,
        /// Segments found.
        segments: usize,
    },
}

/// Why no relay stores a file under a name, and how such a file is reached.
///
/// Names are cut to 120 characters.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum NotStored {
    /// Wildcards.
    #[error("{name:?} matches any number of logical files; name one at a time")]
    Pattern {
        /// The name.
        name: String,
    },
    /// A file of another system.
    #[error(
        "{name:?} is a logical file of the system of {server}, which HPCC reads itself; name a \
         logical file of this relay as PLANE:scope::name"
    )]
    Foreign {
        /// The name.
        name: String,
        /// That system's Dali.
        server: String,
    },
    /// A file behind a remote service.
    #[error(
        "{name:?} is a logical file behind the remote service {service:?}, which HPCC reads itself; \
         name a logical file of this relay as PLANE:scope::name"
    )]
    Remote {
        /// The name.
        name: String,
        /// The service.
        service: String,
    },
    /// A file or query of a host.
    #[error(
        "{name:?} is on the host {host}, where HPCC reads it itself; name the file by its landing \
         zone, as ZONE:path on the edge of that host"
    )]
    External {
        /// The name.
        name: String,
        /// The host.
        host: String,
    },
    /// A file of a plane by its path.
    #[error(
        "{name:?} is a path on the plane {plane}, no logical file; name the path as {plane}:path/ to \
         push or pull, or a logical file as {plane}:scope::name"
    )]
    Plane {
        /// The name.
        name: String,
        /// The plane.
        plane: PlaneName,
    },
    /// A list.
    #[error("{name:?} is a list of {names} names; name one at a time")]
    Multi {
        /// The list.
        name: String,
        /// Names in it.
        names: usize,
    },
}

pub(super) fn shown(text: &str) -> String {
    text.chars().take(120).collect()
}
