//! Identities on disk: a directory only its owner may enter, files only their owner may read.
//!
//! The one module of this crate that touches the file system. A directory or file that is looser,
//! or that belongs to somebody else, is refused rather than repaired. Every write is a temporary
//! file, fsync, rename and fsync of the directory.

mod directory;
mod edge;
mod mounted;
mod relay;

pub use directory::StoreLock;
pub use edge::EdgeStore;
pub use mounted::MountedStore;
pub use relay::RelayStore;

use crate::authority::AuthorityError;
use crate::pem::PemError;
use crate::receipt::ReceiptKeyError;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why an identity could not be stored or loaded.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Nothing is stored under this name; usually the edge is not enrolled or the relay not
    /// initialised yet.
    #[error("{path} does not exist")]
    Missing {
        /// What was looked for.
        path: PathBuf,
    },
    /// Others than the owner may get at it; a person must tighten the mode.
    #[error("{path} has mode {mode:04o}, expected {expected:04o} or stricter")]
    Loose {
        /// The directory or file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The most they may be.
        expected: u32,
    },
    /// Another user owns it.
    #[error("{path} belongs to user {owner}, expected user {user} who runs this program")]
    ForeignOwner {
        /// The directory or file.
        path: PathBuf,
        /// The user id it belongs to.
        owner: u32,
        /// The user id of this process.
        user: u32,
    },
    /// A symbolic link, device or other special file stands where a regular file is expected.
    #[error("{path} is not a regular file")]
    NotRegular {
        /// What was found.
        path: PathBuf,
    },
    /// A symbolic link or file stands where a directory is expected.
    #[error("{path} is not a directory")]
    NotDirectory {
        /// What was found.
        path: PathBuf,
    },
    /// Larger than any file of an identity.
    #[error("{path} has {length} bytes, at most {max} are allowed")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its length, in bytes.
        length: u64,
        /// The limit.
        max: u64,
    },
    /// Not the text this program writes. Nothing of the text is shown, as it may be secret.
    #[error("{path} is not a readable identity file: see byte {offset}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where reading stopped, in bytes; 0 if that is not known.
        offset: usize,
    },
    /// Written by a newer version of this program.
    #[error("{path} has format {found}, this version reads {expected}")]
    FormatUnknown {
        /// The file.
        path: PathBuf,
        /// The format it states.
        found: u32,
        /// The format this version reads.
        expected: u32,
    },
    /// A certificate or key in the file is damaged.
    #[error("{path} has an unreadable certificate or key")]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is damaged.
        source: PemError,
    },
    /// The receipt key in the file is damaged.
    #[error("{path} has an unusable receipt key")]
    Receipt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: ReceiptKeyError,
    },
    /// The authority in the file is not usable.
    #[error("{path} has an unusable authority")]
    Authority {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Box<AuthorityError>,
    },
    /// The operating system refused.
    #[error("cannot {action} {path}")]
    Io {
        /// The verb: open, create, read, write, rename, remove, lock.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

#[cfg(test)]
mod tests;
