//! What this edge knows of the paths to its relays, kept from one command to the next: how much they
//! carry, so that the next session need not find out from the beginning.
//!
//! Nothing depends on it. What cannot be read is not known, and what cannot be written is found again.

use serde::{Deserialize, Serialize};
use skyspray_certs::RelayAddress;
use skyspray_link::congestion::KnownPath;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Relays remembered: an edge has a few.
const PATHS_MAX: usize = 32;

/// Longest file that is read, in bytes. A relay's address has 260 characters at most.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// What was seen longer ago says nothing of today.
const BELIEVED_MS: i64 = 90 * DAY_MS;

/// How often it is noted that a path is still the same.
const REFRESH_MS: i64 = 7 * DAY_MS;

const DAY_MS: i64 = 24 * 3600 * 1000;

/// The file that keeps them. Calls block.
#[derive(Clone, Debug)]
pub(super) struct Paths {
    file: PathBuf,
}

#[derive(Debug, Default, Deserialize, Serialize)]
struct Stored {
    /// The one seen last comes first.
    paths: Vec<Entry>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Entry {
    relay: String,
    bytes_per_second: u64,
    round_trip_us: u64,
    seen_ms: i64,
}

impl Entry {
    fn path(&self) -> KnownPath {
        let round_trip = Duration::from_micros(self.round_trip_us);
        KnownPath { bytes_per_second: self.bytes_per_second, round_trip }
    }
}

impl Paths {
    /// Those kept in the directory `state`.
    pub(super) fn new(state: &Path) -> Self {
        Self { file: state.join("paths.json") }
    }

    /// What is known of the path to a relay.
    pub(super) fn get(&self, relay: &RelayAddress, now_ms: i64) -> Option<KnownPath> {
        let stored = self.read().unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::debug!(%error, file = %self.file.display(), "paths cannot be read");
            }
            Stored::default()
        });
        let relay = relay.to_string();
        let known = stored.paths.iter().find(|entry| entry.relay == relay)?;
        // A clock that was set back makes nothing old.
        (now_ms.saturating_sub(known.seen_ms) < BELIEVED_MS).then(|| known.path())
    }

    /// Takes note of what a session has found, where that is news.
    pub(super) fn note(&self, relay: &RelayAddress, path: KnownPath, now_ms: i64) {
        if let Err(error) = self.write(relay, path, now_ms) {
            tracing::debug!(%error, file = %self.file.display(), "paths cannot be kept");
        }
    }

    fn read(&self) -> io::Result<Stored> {
        let file = File::open(&self.file)?;
        // Whoever writes may be stopped in the middle: nobody waits for a file that only saves time.
        match file.try_lock_shared() {
            Ok(()) => parse(&file),
            Err(TryLockError::WouldBlock) => Ok(Stored::default()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn write(&self, relay: &RelayAddress, path: KnownPath, now_ms: i64) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&self.file)?;
        match file.try_lock() {
            Ok(()) => {}
            // Another command of this edge has seen the same.
            Err(TryLockError::WouldBlock) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let mut stored = parse(&file).unwrap_or_else(|error| {
            tracing::debug!(%error, file = %self.file.display(), "paths begin anew");
            Stored::default()
        });
        let relay = relay.to_string();
        let is_old_news = stored.paths.iter().any(|entry| {
            entry.relay == relay
                && !entry.path().differs_from(&path)
                && (0..REFRESH_MS).contains(&now_ms.saturating_sub(entry.seen_ms))
        });
        if is_old_news {
            return Ok(());
        }
        stored.paths.retain(|entry| entry.relay != relay);
        stored.paths.truncate(PATHS_MAX - 1);
        let KnownPath { bytes_per_second, round_trip } = path;
        let round_trip_us = u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX);
        stored.paths.insert(0, Entry { relay, bytes_per_second, round_trip_us, seen_ms: now_ms });
        let bytes = serde_json::to_vec(&stored)?;
        file.rewind()?;
        file.set_len(0)?;
        file.write_all(&bytes)
    }
}

/// What the file says; an empty one says nothing.
fn parse(file: &File) -> io::Result<Stored> {
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    if bytes.is_empty() { Ok(Stored::default()) } else { Ok(serde_json::from_slice(&bytes)?) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000;

    fn relay(port: u16) -> RelayAddress {
        RelayAddress::parse(&format!("relay.example:{port}")).unwrap()
    }

    fn path(bytes_per_second: u64) -> KnownPath {
        KnownPath { bytes_per_second, round_trip: Duration::from_millis(80) }
    }

    fn paths() -> (tempfile::TempDir, Paths) {
        let state = tempfile::tempdir().unwrap();
        let paths = Paths::new(state.path());
        (state, paths)
    }

    #[test]
    fn what_one_command_notes_the_next_one_knows() {
        let (_state, paths) = paths();
        assert_eq!(paths.get(&relay(1), NOW), None);

        paths.note(&relay(1), path(1_000_000), NOW);
        paths.note(&relay(2), path(2_000_000), NOW);
        paths.note(&relay(1), path(3_000_000), NOW + 1);

        assert_eq!(paths.get(&relay(1), NOW + DAY_MS), Some(path(3_000_000)));
        assert_eq!(paths.get(&relay(2), NOW + DAY_MS), Some(path(2_000_000)));
        assert_eq!(paths.get(&relay(3), NOW), None);
    }

    #[test]
    fn what_is_old_is_not_believed_unless_it_was_seen_again() {
        let (_state, paths) = paths();
        paths.note(&relay(1), path(1_000_000), NOW);
        paths.note(&relay(2), path(1_000_000), NOW);
        paths.note(&relay(2), path(1_000_001), NOW + REFRESH_MS);

        assert_eq!(paths.get(&relay(1), NOW + BELIEVED_MS), None);
        assert_eq!(paths.get(&relay(2), NOW + BELIEVED_MS), Some(path(1_000_001)));
        assert_eq!(paths.get(&relay(1), NOW - BELIEVED_MS), Some(path(1_000_000)));
    }

    #[test]
    fn what_is_no_news_is_not_written() {
        let (_state, paths) = paths();
        paths.note(&relay(1), path(1_000_000), NOW);
        paths.note(&relay(1), path(1_010_000), NOW + DAY_MS);

        assert_eq!(paths.get(&relay(1), NOW), Some(path(1_000_000)));
    }

    #[test]
    fn a_file_that_is_none_is_nothing_known_and_is_written_anew() {
        let (_state, paths) = paths();
        for damaged in ["{", "[1]", "\u{0}\u{0}"] {
            std::fs::write(&paths.file, damaged).unwrap();
            assert_eq!(paths.get(&relay(1), NOW), None);

            paths.note(&relay(1), path(1_000_000), NOW);

            assert_eq!(paths.get(&relay(1), NOW), Some(path(1_000_000)));
        }
    }

    #[test]
    fn nobody_waits_for_a_command_that_was_stopped_while_it_wrote() {
        let (_state, paths) = paths();
        paths.note(&relay(1), path(1_000_000), NOW);
        let writing = File::open(&paths.file).unwrap();
        writing.lock().unwrap();

        paths.note(&relay(2), path(2_000_000), NOW);
        assert_eq!(paths.get(&relay(1), NOW), None);

        writing.unlock().unwrap();
        assert_eq!(paths.get(&relay(1), NOW), Some(path(1_000_000)));
        assert_eq!(paths.get(&relay(2), NOW), None);
    }

    #[test]
    fn the_file_does_not_grow_without_bound() {
        let (_state, paths) = paths();
        for port in 1..=100 {
            paths.note(&relay(port), path(1_000_000), NOW);
        }

        assert_eq!(paths.get(&relay(100 - PATHS_MAX as u16), NOW), None);
        assert_eq!(paths.get(&relay(101 - PATHS_MAX as u16), NOW), Some(path(1_000_000)));
        assert!(std::fs::metadata(&paths.file).unwrap().len() < FILE_BYTES_MAX);
    }

    #[test]
    fn where_nothing_can_be_written_nothing_is_known() {
        let paths = Paths::new(Path::new("/nonexistent/state"));

        paths.note(&relay(1), path(1_000_000), NOW);

        assert_eq!(paths.get(&relay(1), NOW), None);
    }
}
