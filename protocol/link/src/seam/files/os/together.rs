//! One sync for a whole file system, where the host vouches for it.

use super::RelPath;
use super::walk::Walk;
use rustix::fs;
use rustix::io::retry_on_intr;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

/// The file systems whose sync makes all content and all names durable, by the numbers that
/// `statfs` gives them: ext2 to ext4, XFS, Btrfs. Others may hand the request to a server that
/// ignores it, or not at all.
const VOUCHED_FOR: [u64; 3] = [0xef53, 0x5846_5342, 0x9123_683e];

/// The first Linux whose `syncfs` reports content that could not be written (5.8).
const REPORTS_SINCE: (u32, u32) = (5, 8);

/// The handle that such syncs go through.
///
/// The kernel reports a failed write once to each handle that was open when it failed: to this one,
/// opened before anything is written, and to that of the file itself. A failure may be of anybody's
/// file, so no call is believed after the first that failed.
#[derive(Debug)]
pub(super) struct SyncTogether {
    // Held during the call: a failure is reported to one caller only, and the others must know.
    handle: Mutex<Option<OwnedFd>>,
}

impl SyncTogether {
    /// For the file system that holds the root of `walk`.
    pub(super) fn open(walk: &Walk) -> Self {
        let able = || {
            if !reports_losses(rustix::system::uname().release().to_str().ok()?) {
                return None;
            }
            let root = walk.open_dir(&RelPath::root()).ok()?;
            let found = fs::fstatfs(&root).ok()?;
            // The width of the number differs between processors; its upper half is never set.
            let number = found.f_type as u64 & 0xffff_ffff;
            VOUCHED_FOR.contains(&number).then_some(root)
        };
        Self { handle: Mutex::new(able()) }
    }

    /// Makes everything durable; `false` when that cannot be said.
    pub(super) fn sync(&self) -> bool {
        let mut handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = &*handle else { return false };
        match retry_on_intr(|| fs::syncfs(open)) {
            Ok(()) => true,
            Err(errno) => {
                tracing::warn!(%errno, "the file system lost something; files are synced one by one");
                *handle = None;
                false
            }
        }
    }
}

/// Whether a Linux of this release says so when it loses what was written.
fn reports_losses(release: &str) -> bool {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit());
    let mut next = || numbers.next().and_then(|number| number.parse::<u32>().ok());
    matches!((next(), next()), (Some(major), Some(minor)) if (major, minor) >= REPORTS_SINCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_linux_that_reports_losses_is_believed() {
        for release in ["5.8.0", "5.10.0-26-amd64", "6.1.0", "10.0"] {
            assert!(reports_losses(release), "{release}");
        }
        for release in ["5.6.19", "5.7", "4.18.0-513.el8", "", "x.y"] {
            assert!(!reports_losses(release), "{release}");
        }
    }
}
