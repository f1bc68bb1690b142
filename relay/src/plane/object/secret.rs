//! Static credentials in files, as a Kubernetes secret is mounted, read again when they change.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use thiserror::Error;
use tokio::time::Instant;

/// Why a static credential cannot be used. Names files, never what they hold.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub(super) enum SecretError {
    /// A file that must be there is not.
    #[error("{} has none of the files {expected}", directory.display())]
    Missing {
        /// The directory.
        directory: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
    /// A file cannot be read.
    #[error("{} cannot be read: {kind}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        kind: io::ErrorKind,
    },
    /// A file holds no credential.
    #[error("{} does not hold {expected}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
    /// The files are replaced faster than they are read.
    #[error("the files in {} change while they are read", directory.display())]
    Unsteady {
        /// The directory.
        directory: PathBuf,
    },
}

/// The files of one credential. Every request asks for them; the disk is looked at once in
/// [`LOOK_EVERY`], or at once after [`SecretFiles::doubt`].
pub(super) struct SecretFiles {
    directory: PathBuf,
    names: &'static [&'static str],
    // Requests of one bucket share what was read; held while small files are read, never across
    // an await.
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    looked: Option<Instant>,
    stamps: Vec<Option<Stamp>>,
    edition: u64,
    secret: Option<Result<Arc<Secret>, SecretError>>,
}

#[derive(Clone, Copy, Eq, PartialEq)]
struct Stamp {
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

/// What the files hold, without white space at either end. Not shown by [`fmt::Debug`].
pub(super) struct Secret {
    directory: PathBuf,
    /// Goes up with every reading that found other files.
    pub(super) edition: u64,
    texts: BTreeMap<&'static str, String>,
}

impl Secret {
    /// What the file `name` holds; `None` when it is not there or empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// The same for a file that must be there.
    pub(super) fn required(&self, name: &'static str) -> Result<&str, SecretError> {
        self.text(name).ok_or_else(|| self.missing(name))
    }

    /// The error for files that are not there.
    pub(super) fn missing(&self, expected: &'static str) -> SecretError {
        SecretError::Missing { directory: self.directory.clone(), expected }
    }

    /// The error for a file that does not hold what it should.
    pub(super) fn malformed(&self, name: &str, expected: &'static str) -> SecretError {
        SecretError::Form { path: self.directory.join(name), expected }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl fmt::Debug for SecretFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretFiles").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl SecretFiles {
    /// The files `names` of `directory`, each of which may be missing; nothing is read yet.
    pub(super) fn new(directory: &Path, names: &'static [&'static str]) -> Self {
        Self { directory: directory.to_owned(), names, seen: Mutex::default() }
    }

    /// What they hold.
    ///
    /// # Errors
    ///
    /// For the operator to correct. What was read before does not count any more.
    pub(super) fn secret(&self) -> Result<Arc<Secret>, SecretError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = seen.looked.is_some_and(|looked| looked.elapsed() < LOOK_EVERY);
        if let (true, Some(secret)) = (fresh, &seen.secret) {
            return secret.clone();
        }
        let stamps = self.stamps();
        seen.looked = Some(Instant::now());
        if let (Some(Ok(secret)), true) = (&seen.secret, stamps == seen.stamps) {
            return Ok(Arc::clone(secret));
        }
        seen.edition += 1;
        let secret = self.read(seen.edition, &stamps).map(Arc::new);
        seen.stamps = stamps;
        seen.secret = Some(secret.clone());
        secret
    }

    /// Has the disk looked at for the next request, and says whether a credential of another
    /// edition than `used` is there.
    pub(super) fn doubt(&self, used: u64) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).looked = None;
        self.secret().is_ok_and(|secret| secret.edition != used)
    }

    fn stamps(&self) -> Vec<Option<Stamp>> {
        let stamp = |name| {
            let found = std::fs::metadata(self.directory.join(name)).ok()?;
            let modified = (found.mtime(), found.mtime_nsec());
            Some(Stamp { inode: found.ino(), length: found.len(), modified })
        };
        self.names.iter().map(stamp).collect()
    }

    /// Reads all files; `stamps` were taken before and must hold after it, so that no half of one
    /// credential is joined to half of another.
    fn read(&self, edition: u64, stamps: &[Option<Stamp>]) -> Result<Secret, SecretError> {
        let mut texts = BTreeMap::new();
        for name in self.names {
            let path = self.directory.join(name);
            match read_text(&path) {
                Ok(Some(text)) => {
                    texts.insert(*name, text.trim().to_owned());
                }
                Ok(None) => {
                    let expected = "at most 64 KiB of text";
                    return Err(SecretError::Form { path, expected });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(SecretError::Read { path, kind: error.kind() }),
            }
        }
        let directory = self.directory.clone();
        if self.stamps() != stamps {
            return Err(SecretError::Unsteady { directory });
        }
        Ok(Secret { directory, edition, texts })
    }
}

/// `None` for what is no text or too long.
fn read_text(path: &Path) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(SECRET_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > SECRET_BYTES_MAX {
        return Ok(None);
    }
    Ok(String::from_utf8(bytes).ok())
}

/// How often the disk is looked at, at most, while requests are made.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// Longest file of a credential, in bytes.
const SECRET_BYTES_MAX: u64 = 64 << 10;
