//! Which state of a file was read, and what has happened to it since.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The identity and state of a source file. Taken when it is opened and compared at every resume
/// and before the seal; it travels in the journal.
///
/// Equal fingerprints mean the same bytes, on file systems whose clock is finer than the writes.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct Fingerprint {
    /// Number of the file system.
    pub device: u64,
    /// Number of the file there.
    pub inode: u64,
    /// Length in bytes.
    pub size: u64,
    /// Last change of the content, in nanoseconds since 1970.
    pub mtime_nanos: i64,
    /// Last change of anything, in nanoseconds since 1970.
    pub ctime_nanos: i64,
}

impl Fingerprint {
    /// What happened to the file between `earlier` and `self`; `None` when nothing did.
    ///
    /// Names the gravest change: another file, then a length, then a time.
    pub fn changed_since(&self, earlier: &Self) -> Option<SourceChange> {
        let (from, to) = (earlier.size, self.size);
        if (self.device, self.inode) != (earlier.device, earlier.inode) {
            Some(SourceChange::Replaced)
        } else if to < from {
            Some(SourceChange::Shrunk { from, to })
        } else if to > from {
            Some(SourceChange::Grown { from, to })
        } else if self != earlier {
            Some(SourceChange::Modified)
        } else {
            None
        }
    }
}

/// How a source file differs from what it was when its job began.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum SourceChange {
    /// Another file has its name.
    Replaced,
    /// It lost bytes.
    Shrunk {
        /// Length when the job began, in bytes.
        from: u64,
        /// Length found, in bytes.
        to: u64,
    },
    /// It gained bytes.
    Grown {
        /// Length when the job began, in bytes.
        from: u64,
        /// Length found, in bytes.
        to: u64,
    },
    /// It has the same length but was written, linked, or given another mode or owner.
    Modified,
}

impl fmt::Display for SourceChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replaced => f.write_str("replaced by another file"),
            Self::Shrunk { from, to } => write!(f, "shrunk from {from} to {to} bytes"),
            Self::Grown { from, to } => write!(f, "grown from {from} to {to} bytes"),
            Self::Modified => f.write_str("modified in place"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: Fingerprint =
        Fingerprint { device: 1, inode: 2, size: 10, mtime_nanos: 5, ctime_nanos: 6 };

    #[test]
    fn a_change_is_named_by_its_gravest_part() {
        let after = |change: fn(&mut Fingerprint)| {
            let mut after = BEFORE;
            change(&mut after);
            after.changed_since(&BEFORE)
        };

        assert_eq!(after(|_| ()), None);
        assert_eq!(after(|file| file.mtime_nanos += 1), Some(SourceChange::Modified));
        assert_eq!(after(|file| file.ctime_nanos += 1), Some(SourceChange::Modified));
        assert_eq!(after(|file| file.size = 9), Some(SourceChange::Shrunk { from: 10, to: 9 }));
        assert_eq!(after(|file| file.size = 11), Some(SourceChange::Grown { from: 10, to: 11 }));
        assert_eq!(after(|file| file.device = 3), Some(SourceChange::Replaced));
        assert_eq!(
            after(|file| (file.inode, file.size) = (3, 0)),
            Some(SourceChange::Replaced),
            "a replaced file has lost its length too"
        );
    }

    #[test]
    fn a_fingerprint_survives_the_journal() {
        let bytes = postcard::to_stdvec(&BEFORE).unwrap();

        assert_eq!(postcard::from_bytes::<Fingerprint>(&bytes).unwrap(), BEFORE);
    }
}
