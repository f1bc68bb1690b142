//! Files below one root that nothing opened through it can leave: the edge's landing zones and
//! journal, the relay's file planes.
//!
//! [`OsTree`] is a real directory, [`MemoryTree`] one that a test can crash. All calls block;
//! async callers make them on blocking threads.

pub mod buffer;
pub mod bulk;
pub mod error;
pub mod fingerprint;
pub mod memory;
pub mod os;
pub mod path;

#[cfg(test)]
mod conformance;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

pub use buffer::{AlignedBuf, BUFFER_ALIGNMENT, BufferPool, PooledBuf};
pub use bulk::BulkFile;
pub use error::{Cause, FileError, Op};
pub use fingerprint::{Fingerprint, SourceChange};
pub use memory::{Fault, MemoryTree};
pub use os::{OsTree, RootError};
pub use path::{Escaped, PathError, RelPath};

/// A directory tree with a fixed root.
///
/// No path leads out of it: not by `..`, not by a symlink (none is ever followed), not by a
/// directory that is swapped for one during the call.
///
/// Nothing is durable until it is synced: bytes by [`File::sync_data`], a new, renamed or removed
/// name by [`Tree::sync_dir`] of the directory that holds it. The exception is
/// [`Tree::create_dirs`], which syncs what it makes.
///
/// # Errors
///
/// Every method returns a [`FileError`] that names the path, what was tried and the [`Cause`].
/// `Missing`, `AlreadyExists`, `Symlink`, `NotRegular`, `IsDirectory`, `NotDirectory`, `NotEmpty`
/// and `Denied` are about what a person put there; `NoSpace` and `Io` are the host's.
pub trait Tree: fmt::Debug + Send + Sync {
    /// Opens the regular file at `path` for reading.
    fn open_read(&self, path: &RelPath) -> Result<Arc<dyn File>, FileError>;

    /// As [`Tree::open_read`], past the page cache where the file system can; see
    /// [`File::direct_alignment`] for the outcome.
    fn open_read_direct(&self, path: &RelPath) -> Result<Arc<dyn File>, FileError>;

    /// Makes a regular file that was not there before, for reading and writing.
    ///
    /// `mode` holds the permission bits; the process's umask is taken off. `AlreadyExists` when
    /// anything, even a dangling symlink, has that name.
    fn create_new(
        &self,
        path: &RelPath,
        mode: u32,
        caching: Caching,
    ) -> Result<Arc<dyn File>, FileError>;

    /// Opens the regular file at `path`, which exists, for reading and writing.
    fn open_write(&self, path: &RelPath, caching: Caching) -> Result<Arc<dyn File>, FileError>;

    /// What is at `path`; a symlink is described, not followed.
    fn metadata(&self, path: &RelPath) -> Result<Metadata, FileError>;

    /// Moves `from` to `to`, atomically for everybody who looks.
    ///
    /// Durable after [`Tree::sync_dir`] of the parents of both.
    fn rename(&self, from: &RelPath, to: &RelPath, replace: Replace) -> Result<(), FileError>;

    /// Removes a name that is not a directory: a file, or a symlink itself.
    fn remove_file(&self, path: &RelPath) -> Result<(), FileError>;

    /// Removes an empty directory.
    fn remove_dir(&self, path: &RelPath) -> Result<(), FileError>;

    /// Makes the directory at `path` and those above it, as far as they are missing, mode 0755
    /// less the umask. Each new directory and the one that holds it are durable on return.
    fn create_dirs(&self, path: &RelPath) -> Result<(), FileError>;

    /// Makes the names in the directory at `path` durable.
    ///
    /// After an error it is unknown which of them would survive a crash (F26).
    fn sync_dir(&self, path: &RelPath) -> Result<(), FileError>;

    /// Makes everything below the root durable that was written or named before the call, through
    /// whatever handle, with one request to the host.
    ///
    /// `false` where the host has no such request or does not vouch for it, and for good once it
    /// has failed: then each file and directory is synced by itself, and says itself what it lost.
    /// The request covers the whole file system, so it waits for what others have written, too.
    fn sync_tree(&self) -> bool;

    /// Whether the directory at `path` was made durable by [`Tree::create_dirs`] of this tree, as
    /// far as it knows. That the directory is still there is another question.
    fn knows_dir(&self, path: &RelPath) -> bool;

    /// The first `limit` entries of the directory at `path` whose names are greater than `after`,
    /// sorted by the bytes of their names. Fewer than `limit` means there are no more.
    ///
    /// Each call reads the whole directory and holds `limit` entries in memory.
    fn read_dir(
        &self,
        path: &RelPath,
        after: Option<&OsStr>,
        limit: usize,
    ) -> Result<Vec<Entry>, FileError>;

    /// Bytes that this process may still write to the file system that holds the root.
    fn free_bytes(&self) -> Result<u64, FileError>;
}

/// An open regular file. Several threads may use it at once, at different offsets.
///
/// # Errors
///
/// As for [`Tree`]. After a failed sync the handle is spent: what was not durable by then may be
/// lost whatever a second sync says, so every later write and sync is `Abandoned` (F25).
pub trait File: fmt::Debug + Send + Sync {
    /// Reads at `offset` until `bytes` is full or the file ends; says how many bytes it read.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<usize, FileError>;

    /// Writes all of `bytes` at `offset`. After an error any part of them may have been written.
    ///
    /// On a handle with [`File::direct_alignment`], `Unaligned` unless the address of `bytes`,
    /// its length and `offset` are multiples of it.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<(), FileError>;

    /// Sets aside room for the first `len` bytes and makes the file at least that long.
    ///
    /// Where the file system cannot set room aside the file only becomes longer, and a later
    /// write may still be `NoSpace`.
    fn allocate(&self, len: u64) -> Result<(), FileError>;

    /// Cuts or extends (with zeros) the file to `len` bytes.
    fn set_len(&self, len: u64) -> Result<(), FileError>;

    /// Sets the permission bits, whatever the umask.
    fn set_mode(&self, mode: u32) -> Result<(), FileError>;

    /// Makes all bytes written through any handle, and the length, durable.
    fn sync_data(&self) -> Result<(), FileError>;

    /// As [`File::sync_data`], and the mode and times.
    fn sync_all(&self) -> Result<(), FileError>;

    /// What the file is like at this moment.
    fn metadata(&self) -> Result<Metadata, FileError>;

    /// Hints that the file will be read from front to back. May do nothing.
    fn advise_sequential(&self);

    /// Hints that the bytes of `range` will not be read again soon, so that the host may use
    /// their memory for something else. Only bytes that are durable can be let go. May do nothing.
    fn drop_cache(&self, range: Range<u64>);

    /// What direct reads and writes through this handle must be aligned to, in bytes; `None` when
    /// the handle goes through the page cache.
    ///
    /// An unaligned tail goes through a second, buffered handle. The two see each other's bytes as
    /// long as they never touch the same aligned block at the same time: write the direct blocks,
    /// then the tail, then [`File::sync_data`] on either handle, which covers both.
    fn direct_alignment(&self) -> Option<usize>;
}

/// How bytes get from a handle to the device.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Caching {
    /// Through the page cache.
    Buffered,
    /// Past it, where the file system can; see [`File::direct_alignment`] for the outcome.
    Direct,
}

/// What [`Tree::rename`] does when the new name is taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Replace {
    /// It fails with `AlreadyExists`.
    Never,
    /// It takes the place of what is there, if anything.
    Existing,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum FileKind {
    /// A regular file, the only kind that can be opened.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link. Never followed.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A Unix domain socket.
    Socket,
    /// A character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
    /// Something this host has no name for.
    Unknown,
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Regular => "a regular file",
            Self::Directory => "a directory",
            Self::Symlink => "a symlink",
            Self::Fifo => "a named pipe",
            Self::Socket => "a socket",
            Self::CharacterDevice => "a character device",
            Self::BlockDevice => "a block device",
            Self::Unknown => "of unknown kind",
        })
    }
}

/// One name in a directory.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Entry {
    /// The last component of the path; never `.` or `..`.
    pub name: OsString,
    /// What it stood for when the directory was read.
    pub kind: FileKind,
}

/// What the host knows about a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Metadata {
    /// What it stands for.
    pub kind: FileKind,
    /// Length in bytes; meaningful for regular files.
    pub len: u64,
    /// Number of the file system it is on.
    pub device: u64,
    /// Its number there; used again after it is gone.
    pub inode: u64,
    /// When the content last changed, in nanoseconds since 1970; ends of the range stand for
    /// everything beyond.
    pub mtime_nanos: i64,
    /// When content, mode, owner or links last changed, in the same unit. Cannot be set back.
    pub ctime_nanos: i64,
    /// Permission bits, without the kind.
    pub mode: u32,
    /// User who owns it.
    pub uid: u32,
    /// Names it has; more than 1 means that another path reaches the same bytes.
    pub nlink: u64,
}

impl Metadata {
    /// The values that tell one state of a file from another.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint {
            device: self.device,
            inode: self.inode,
            size: self.len,
            mtime_nanos: self.mtime_nanos,
            ctime_nanos: self.ctime_nanos,
        }
    }
}
