//! Why an operation on a tree or file failed.

use super::{FileKind, RelPath};
use rustix::io::Errno;
use std::error::Error;
use std::fmt;
use thiserror::Error as ThisError;

/// A failed operation: what was tried, on which path, and why it did not work.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FileError {
    /// What was tried.
    pub op: Op,
    /// Where, relative to the root of the tree.
    pub path: RelPath,
    /// The new name, for [`Op::Rename`].
    pub to: Option<RelPath>,
    /// Why it failed.
    pub cause: Cause,
}

impl FileError {
    pub(crate) fn new(op: Op, path: &RelPath, cause: Cause) -> Self {
        Self { op, path: path.clone(), to: None, cause }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { op, path, to, cause } = self;
        match to {
            Some(to) => write!(f, "cannot {op} {path} to {to}: {cause}"),
            None => write!(f, "cannot {op} {path}: {cause}"),
        }
    }
}

impl Error for FileError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.cause {
            Cause::Io(errno) => Some(errno),
            _ => None,
        }
    }
}

/// Why an operation failed, as far as a caller can act on it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ThisError)]
#[non_exhaustive]
pub enum Cause {
    /// Nothing has that name, or one of the directories above it is missing.
    #[error("it does not exist")]
    Missing,
    /// The name is taken.
    #[error("it already exists")]
    AlreadyExists,
    /// Something other than a file or directory stands there.
    #[error("it is {kind}, not a regular file")]
    NotRegular {
        /// What stands there.
        kind: FileKind,
    },
    /// A directory stands where a file was expected.
    #[error("it is a directory")]
    IsDirectory,
    /// Something else stands where a directory was expected, at the path or above it.
    #[error("it, or a name above it, is not a directory")]
    NotDirectory,
    /// The directory to remove or replace has entries.
    #[error("the directory is not empty")]
    NotEmpty,
    /// The path, or a name above it, is a symlink; none is followed.
    #[error("it, or a name above it, is a symlink")]
    Symlink,
    /// The path would lead out of the tree.
    #[error("it leads out of the tree")]
    Escapes,
    /// The two names are on different file systems below the root.
    #[error("the two names are on different file systems")]
    OtherFileSystem,
    /// The operating system does not let this process.
    #[error("permission denied")]
    Denied,
    /// The file system or the owner's quota is full.
    #[error("no space left")]
    NoSpace,
    /// A direct read or write that is not aligned; a mistake of the caller.
    #[error("direct access needs multiples of {alignment} bytes")]
    Unaligned {
        /// What address, length and offset must be multiples of.
        alignment: usize,
    },
    /// An earlier sync of this handle failed, so what it wrote cannot be relied on.
    #[error("an earlier sync of it failed")]
    Abandoned,
    /// Anything else the host reported; it is the error's source.
    #[error("the host reported an error")]
    Io(Errno),
}

impl From<Errno> for Cause {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOENT => Self::Missing,
            Errno::EXIST => Self::AlreadyExists,
            Errno::ISDIR => Self::IsDirectory,
            Errno::NOTDIR => Self::NotDirectory,
            Errno::NOTEMPTY => Self::NotEmpty,
            Errno::LOOP => Self::Symlink,
            Errno::XDEV => Self::Escapes,
            Errno::ACCESS | Errno::PERM => Self::Denied,
            Errno::NOSPC | Errno::DQUOT => Self::NoSpace,
            other => Self::Io(other),
        }
    }
}

/// An operation on a tree or file, for error messages and for faults in tests.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Op {
    /// [`Tree::open_read`](super::Tree::open_read).
    OpenRead,
    /// [`Tree::create_new`](super::Tree::create_new).
    CreateNew,
    /// [`Tree::open_write`](super::Tree::open_write).
    OpenWrite,
    /// `metadata` of a path or an open file.
    Metadata,
    /// [`Tree::rename`](super::Tree::rename).
    Rename,
    /// [`Tree::remove_file`](super::Tree::remove_file).
    RemoveFile,
    /// [`Tree::remove_dir`](super::Tree::remove_dir).
    RemoveDir,
    /// [`Tree::create_dirs`](super::Tree::create_dirs).
    CreateDirs,
    /// [`Tree::sync_dir`](super::Tree::sync_dir).
    SyncDir,
    /// [`Tree::sync_tree`](super::Tree::sync_tree).
    SyncTree,
    /// [`Tree::read_dir`](super::Tree::read_dir).
    ReadDir,
    /// [`Tree::free_bytes`](super::Tree::free_bytes).
    FreeBytes,
    /// [`File::read_at`](super::File::read_at).
    Read,
    /// [`File::write_all_at`](super::File::write_all_at).
    Write,
    /// [`File::allocate`](super::File::allocate).
    Allocate,
    /// [`File::set_len`](super::File::set_len).
    SetLen,
    /// [`File::set_mode`](super::File::set_mode).
    SetMode,
    /// [`File::sync_data`](super::File::sync_data).
    SyncData,
    /// [`File::sync_all`](super::File::sync_all).
    SyncAll,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenRead => "open for reading",
            Self::CreateNew => "create",
            Self::OpenWrite => "open for writing",
            Self::Metadata => "look at",
            Self::Rename => "rename",
            Self::RemoveFile => "remove",
            Self::RemoveDir => "remove directory",
            Self::CreateDirs => "create directory",
            Self::SyncDir => "sync directory",
            Self::SyncTree => "sync everything below",
            Self::ReadDir => "list directory",
            Self::FreeBytes => "find the free space of",
            Self::Read => "read",
            Self::Write => "write",
            Self::Allocate => "allocate room for",
            Self::SetLen => "set the length of",
            Self::SetMode => "set the mode of",
            Self::SyncData => "sync the data of",
            Self::SyncAll => "sync",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_what_was_tried_where_and_why_not() {
        let path = RelPath::parse("in/a\nb.csv").unwrap();

        let missing = FileError::new(Op::OpenRead, &path, Cause::Missing);
        assert_eq!(missing.to_string(), r"cannot open for reading in/a\nb.csv: it does not exist");

        let mut taken = FileError::new(Op::Rename, &path, Cause::AlreadyExists);
        taken.to = Some(RelPath::parse("b").unwrap());
        assert_eq!(taken.to_string(), r"cannot rename in/a\nb.csv to b: it already exists");
    }

    #[test]
    fn a_host_error_is_the_source_and_is_not_repeated() {
        let error = FileError::new(Op::SyncData, &RelPath::root(), Cause::Io(Errno::IO));

        assert_eq!(error.to_string(), "cannot sync the data of .: the host reported an error");
        assert_eq!(error.source().unwrap().to_string(), "Input/output error (os error 5)");
    }

    #[test]
    fn both_kinds_of_full_and_both_kinds_of_forbidden_are_one_cause_each() {
        assert_eq!(Cause::from(Errno::NOSPC), Cause::NoSpace);
        assert_eq!(Cause::from(Errno::DQUOT), Cause::NoSpace);
        assert_eq!(Cause::from(Errno::ACCESS), Cause::Denied);
        assert_eq!(Cause::from(Errno::PERM), Cause::Denied);
        assert_eq!(Cause::from(Errno::ROFS), Cause::Io(Errno::ROFS));
    }
}
