//! Relative paths that are safe to hand to a tree: checked once, then carried as a type.

use std::ffi::{OsStr, OsString};
use std::fmt::{self, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;
use thiserror::Error;

/// Most components in a path. Deeper trees exist only as attacks on recursive code.
pub const DEPTH_MAX: usize = 64;

/// Longest component in bytes; what Linux file systems allow.
pub const COMPONENT_BYTES_MAX: usize = 255;

/// Longest path in bytes, separators included; what one system call takes.
pub const PATH_BYTES_MAX: usize = 4095;

/// A path below the root of a [`Tree`](super::Tree): components joined by `/`, none of them
/// empty, `.` or `..`, no NUL. No components at all is the root itself.
///
/// Bytes rather than text: a file need not have a UTF-8 name to be moved. Ordered by these bytes.
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RelPath {
    joined: OsString,
}

impl RelPath {
    /// The root of the tree.
    pub fn root() -> Self {
        Self::default()
    }

    /// Takes a path as a person wrote it. `.` components and doubled or trailing slashes mean
    /// nothing and are dropped, so `./a//b/` is `a/b` and `.` is the root.
    ///
    /// # Errors
    ///
    /// The person's mistake: an empty, absolute, climbing, too deep or too long path.
    pub fn parse(path: impl AsRef<OsStr>) -> Result<Self, PathError> {
        let path = path.as_ref();
        if path.is_empty() {
            return Err(PathError::EmptyPath);
        }
        if path.as_bytes().starts_with(b"/") {
            return Err(PathError::Absolute { path: path.to_owned() });
        }
        path.as_bytes()
            .split(|&byte| byte == b'/')
            .filter(|component| !matches!(*component, b"" | b"."))
            .try_fold(Self::root(), |parent, name| parent.join(OsStr::from_bytes(name)))
    }

    /// Takes components that a program or a peer named; each must stand as it is.
    ///
    /// # Errors
    ///
    /// As for [`RelPath::join`].
    pub fn from_segments<'a>(
        segments: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, PathError> {
        segments.into_iter().try_fold(Self::root(), |parent, segment| parent.join(segment))
    }

    /// The path of `name` in this directory.
    ///
    /// # Errors
    ///
    /// `name` is not one plain component, or the whole becomes too deep or too long.
    pub fn join(&self, name: impl AsRef<OsStr>) -> Result<Self, PathError> {
        let name = name.as_ref();
        check_component(name)?;
        let mut joined = self.joined.clone();
        if !self.is_root() {
            joined.push("/");
        }
        joined.push(name);
        let path = Self { joined };
        let (bytes, depth) = (path.joined.len(), path.depth());
        if bytes > PATH_BYTES_MAX {
            return Err(PathError::TooLong { bytes });
        }
        if depth > DEPTH_MAX {
            return Err(PathError::TooDeep { depth });
        }
        Ok(path)
    }

    /// The path of `below`, which is relative to this directory.
    ///
    /// # Errors
    ///
    /// The whole is too deep or too long.
    pub fn join_path(&self, below: &Self) -> Result<Self, PathError> {
        below.components().try_fold(self.clone(), |parent, name| parent.join(name))
    }

    /// The directory that holds this name; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        let bytes = self.joined.as_bytes();
        match bytes.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => Some(Self { joined: OsString::from_vec(bytes[..slash].to_vec()) }),
            None => (!self.is_root()).then(Self::root),
        }
    }

    /// The last component; `None` for the root.
    pub fn file_name(&self) -> Option<&OsStr> {
        self.components().next_back()
    }

    /// The components from the root down.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &OsStr> {
        let bytes = self.joined.as_bytes();
        bytes
            .split(|&byte| byte == b'/')
            .filter(|component| !component.is_empty())
            .map(OsStr::from_bytes)
    }

    /// This path and the directories above it, from the top down, without the root.
    pub fn from_top(&self) -> impl Iterator<Item = Self> {
        let bytes = self.joined.as_bytes();
        (1..=bytes.len())
            .filter(move |&end| end == bytes.len() || bytes[end] == b'/')
            .map(move |end| Self { joined: OsString::from_vec(bytes[..end].to_vec()) })
    }

    /// How many components there are; 0 for the root.
    pub fn depth(&self) -> usize {
        self.components().count()
    }

    /// Whether this is the root of the tree.
    pub fn is_root(&self) -> bool {
        self.joined.is_empty()
    }

    /// Whether this is `ancestor` or below it.
    pub fn starts_with(&self, ancestor: &Self) -> bool {
        ancestor.is_root()
            || self
                .joined
                .as_bytes()
                .strip_prefix(ancestor.joined.as_bytes())
                .is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    }

    /// The path as the standard library sees it; empty for the root.
    pub fn as_path(&self) -> &Path {
        Path::new(&self.joined)
    }

    /// The path fit for a message or log line; `.` for the root.
    pub fn display(&self) -> Escaped<'_> {
        Escaped(if self.is_root() { OsStr::new(".") } else { &self.joined })
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.display().fmt(f)
    }
}

/// A name made harmless for a terminal or log: control characters, marks that change the writing
/// direction, backslashes and bytes that are not UTF-8 appear as escapes.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a OsStr);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.as_bytes().utf8_chunks() {
            for character in chunk.valid().chars() {
                match character {
                    '\\' => f.write_str(r"\\")?,
                    character if needs_escape(character) => {
                        write!(f, "{}", character.escape_default())?;
                    }
                    character => f.write_char(character)?,
                }
            }
            chunk.invalid().iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
        }
        Ok(())
    }
}

/// Why a path cannot be used below a root.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum PathError {
    /// There is no path at all.
    #[error("path is empty")]
    EmptyPath,
    /// The path starts at the root of the host.
    #[error("path {} is absolute, expected one relative to the tree", Escaped(path))]
    Absolute {
        /// As it was given.
        path: OsString,
    },
    /// A component is `..`.
    #[error("path has a component `..`, which would leave its directory")]
    ParentComponent,
    /// A component that must stand for a name is empty or `.`.
    #[error("path has a component that names nothing: `{}`", Escaped(component))]
    NoName {
        /// The component.
        component: OsString,
    },
    /// A component contains a slash or a NUL byte.
    #[error("path component `{}` has a slash or NUL in it", Escaped(component))]
    ForbiddenByte {
        /// The component.
        component: OsString,
    },
    /// A component is longer than file systems allow.
    #[error("path component has {bytes} bytes, at most {COMPONENT_BYTES_MAX} are allowed")]
    LongComponent {
        /// Its length.
        bytes: usize,
    },
    /// The path has too many components.
    #[error("path has {depth} components, at most {DEPTH_MAX} are allowed")]
    TooDeep {
        /// How many it has.
        depth: usize,
    },
    /// The path is longer than a system call takes.
    #[error("path has {bytes} bytes, at most {PATH_BYTES_MAX} are allowed")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
}

fn check_component(name: &OsStr) -> Result<(), PathError> {
    let component = || name.to_owned();
    match name.as_bytes() {
        b"" | b"." => Err(PathError::NoName { component: component() }),
        b".." => Err(PathError::ParentComponent),
        bytes if bytes.iter().any(|byte| matches!(byte, b'/' | 0)) => {
            Err(PathError::ForbiddenByte { component: component() })
        }
        bytes if bytes.len() > COMPONENT_BYTES_MAX => {
            Err(PathError::LongComponent { bytes: bytes.len() })
        }
        _ => Ok(()),
    }
}

/// Control characters, and the Unicode marks that reorder or hide text around them.
fn needs_escape(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests;
