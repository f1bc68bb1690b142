//! The side of the plane on the command line: `PLANE:scope::name` and `PLANE:path/`.

use super::operands::LastOperand;
use skyspray_wire::name::{
    LabelError, LogicalName, LogicalNameError, PathError, PlaneName, PlanePath, Scope,
};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// A logical file on a plane.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogicalTarget {
    /// The plane.
    pub plane: PlaneName,
    /// The logical file.
    pub name: LogicalName,
}

/// A file or directory on a plane.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PathTarget {
    /// The plane.
    pub plane: PlaneName,
    /// The path from its root, which is the root itself when nothing follows the `:`.
    pub path: PlanePath,
    /// Whether it was written as a directory: with a `/` at the end, or as the root.
    pub is_directory: bool,
}

/// Where a push goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PushTarget {
    /// To a directory: whatever has a `/` or no `::`.
    Directory(PathTarget),
    /// To the parts of a logical file.
    LogicalFile(LogicalTarget),
}

/// What can be listed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ListTarget {
    /// The logical files of a scope and below it; the empty scope for all.
    Scope {
        /// The plane.
        plane: PlaneName,
        /// The scope.
        scope: Scope,
    },
    /// The files at and below a path.
    Files(PathTarget),
}

/// Why a text names nothing on a plane.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum TargetError {
    /// There is no `:`.
    #[error("{text:?} names no plane, expected {expected}")]
    NoPlane {
        /// The text, cut to 120 characters.
        text: String,
        /// What was expected.
        expected: &'static str,
    },
    /// What stands before the `:` is no plane name.
    #[error(transparent)]
    Plane(#[from] LabelError),
    /// What stands behind it is no logical name or scope.
    #[error(transparent)]
    Logical(#[from] LogicalNameError),
    /// What stands behind it is no path on a plane.
    #[error("{}", crate::exit::Chain(.0))]
    Path(PathError),
    /// What stands behind it is a path where a logical name was expected.
    #[error("{text:?} is a path, expected a logical file PLANE:scope::name")]
    PathNotName {
        /// The text, cut to 120 characters.
        text: String,
    },
}

impl LastOperand for LogicalTarget {
    const FIRST: &'static str = "SOURCE";
    const NAME: &'static str = "PLANE:scope::name";
    const HELP: &'static str = "Source files, ZONE:path or a path inside a landing zone, joined in \
         this order; the last name of a path may hold * and ?. Last the logical file, \
         PLANE:scope::name";
}

impl LastOperand for PushTarget {
    const FIRST: &'static str = "PATH";
    const NAME: &'static str = "PLANE:path/";
    const HELP: &'static str = "Files and directories, ZONE:path or a path inside a landing zone. \
         Last the directory of the plane: PLANE:path/, or PLANE: for its root; with --meta the \
         logical file PLANE:scope::name, or PLANE:path/ for the one of that name in the metadata";
}

impl FromStr for LogicalTarget {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let (plane, name) = split(text, "PLANE:scope::name")?;
        // The first `:` was half of a `::`: a logical name without its plane.
        if name.starts_with(':') {
            return Err(TargetError::NoPlane { text: shown(text), expected: "PLANE:scope::name" });
        }
        if name.contains('/') {
            return Err(TargetError::PathNotName { text: shown(text) });
        }
        Ok(Self { plane, name: LogicalName::parse(name)? })
    }
}

impl FromStr for PathTarget {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let (plane, path) = split(text, "PLANE:path/")?;
        Self::new(plane, path)
    }
}

impl PathTarget {
    fn new(plane: PlaneName, path: &str) -> Result<Self, TargetError> {
        let is_directory = path.is_empty() || path.ends_with('/');
        let path = PlanePath::parse(path).map_err(TargetError::Path)?;
        Ok(Self { plane, path, is_directory })
    }
}

impl FromStr for PushTarget {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        match text.split_once(':') {
            Some((_, rest)) if rest.contains("::") && !rest.contains('/') => {
                text.parse().map(Self::LogicalFile)
            }
            _ => text.parse().map(Self::Directory),
        }
    }
}

impl FromStr for ListTarget {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let (plane, rest) = match text.split_once(':') {
            Some((plane, rest)) => (PlaneName::parse(plane)?, rest),
            None => (PlaneName::parse(text)?, ""),
        };
        if rest.contains('/') {
            PathTarget::new(plane, rest).map(Self::Files)
        } else {
            Ok(Self::Scope { plane, scope: Scope::parse(rest)? })
        }
    }
}

impl fmt::Display for LogicalTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.plane, self.name)
    }
}

impl fmt::Display for PathTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.is_directory && !self.path.is_root() { "/" } else { "" };
        write!(f, "{}:{}{slash}", self.plane, self.path)
    }
}

impl fmt::Display for PushTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(target) => target.fmt(f),
            Self::LogicalFile(target) => target.fmt(f),
        }
    }
}

impl fmt::Display for ListTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scope { plane, scope } => write!(f, "{plane}:{scope}"),
            Self::Files(target) => target.fmt(f),
        }
    }
}

fn split<'a>(text: &'a str, expected: &'static str) -> Result<(PlaneName, &'a str), TargetError> {
    let (plane, rest) =
        text.split_once(':').ok_or_else(|| TargetError::NoPlane { text: shown(text), expected })?;
    Ok((PlaneName::parse(plane)?, rest))
}

fn shown(text: &str) -> String {
    text.chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logical(text: &str) -> Result<LogicalTarget, String> {
        text.parse().map_err(|error: TargetError| error.to_string())
    }

    fn path(text: &str) -> Result<PathTarget, String> {
        text.parse().map_err(|error: TargetError| error.to_string())
    }

    #[test]
    fn a_logical_target_is_a_plane_and_a_name() {
        let found = logical("lake:Sales::2024::Orders").unwrap();
        assert_eq!((found.plane.as_str(), found.name.as_str()), ("lake", "sales::2024::orders"));
        assert_eq!(found.to_string(), "lake:sales::2024::orders");
        assert_eq!(logical("lake:orders").unwrap().name.as_str(), ".::orders");

        for (wrong, message) in [
            ("orders", "\"orders\" names no plane, expected PLANE:scope::name"),
            ("sales::orders", "\"sales::orders\" names no plane, expected PLANE:scope::name"),
            ("Lake:x", "plane name \"Lake\" is not 1 to 63 of the characters a-z 0-9 - _"),
            (":x", "plane name \"\" is not 1 to 63 of the characters a-z 0-9 - _"),
            ("lake:", "logical name \"\" has an empty segment"),
            ("lake:a::", "logical name \"a::\" has an empty segment"),
            ("lake:a::..", "logical name \"a::..\" contains the segment `..`"),
            ("lake:a:b", "logical name \"a:b\" contains ':', which is not allowed"),
            ("lake:a/b", "\"lake:a/b\" is a path, expected a logical file PLANE:scope::name"),
        ] {
            assert_eq!(logical(wrong), Err(message.to_owned()));
        }
    }

    #[test]
    fn a_path_target_is_a_plane_and_a_path_or_its_root() {
        let shown = |text: &str| {
            let found = path(text).unwrap();
            (found.to_string(), found.is_directory)
        };
        assert_eq!(shown("lake:"), ("lake:".into(), true));
        assert_eq!(shown("lake:a/b c/"), ("lake:a/b c/".into(), true));
        assert_eq!(shown("lake:a/b:c"), ("lake:a/b:c".into(), false));

        for (wrong, message) in [
            ("a/b/", "\"a/b/\" names no plane, expected PLANE:path/"),
            ("lake:/a", "path \"/a\" is absolute; paths on a plane are relative to its root"),
            ("lake:a/../b", "path \"a/../b\": `.` and `..` are not names"),
        ] {
            assert_eq!(path(wrong), Err(message.to_owned()));
        }
    }

    #[test]
    fn a_list_target_is_a_scope_unless_it_has_a_slash() {
        let list = |text: &str| text.parse::<ListTarget>().unwrap();
        let plane = PlaneName::parse("lake").unwrap();
        let scope = |text: &str| ListTarget::Scope {
            plane: plane.clone(),
            scope: Scope::parse(text).unwrap(),
        };

        assert_eq!(list("lake"), scope(""));
        assert_eq!(list("lake:"), scope(""));
        assert_eq!(list("lake:A::b"), scope("a::b"));
        assert_eq!(list("lake:a/"), ListTarget::Files("lake:a/".parse().unwrap()));
        assert!(matches!("LAKE".parse::<ListTarget>(), Err(TargetError::Plane(_))));
        assert_eq!(list("lake:a::b").to_string(), "lake:a::b");
    }
}
