//! The key with which a relay tells edges that a session of its own is gone: kept in its state, so that
//! the next process at the same address can speak for the one before, and shared with nobody.

use crate::serve::ServeError;
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Its file in the state of the relay.
const FILE: &str = "reset-key";

/// A secret of this relay alone.
pub(super) struct ResetKey([u8; 32]);

impl ResetKey {
    /// The key in the directory `state`, made if there is none. One that is damaged is replaced: it
    /// costs the edges of the last process the silence they would have heard anyway.
    ///
    /// # Errors
    ///
    /// It cannot be read, or not be kept.
    pub(super) fn keep(state: &Path) -> Result<Self, ServeError> {
        let path = state.join(FILE);
        let failed = |action| {
            let path = path.clone();
            move |source| ServeError::File { action, path, source }
        };
        match fs::read(&path) {
            Ok(bytes) => match bytes.try_into() {
                Ok(key) => return Ok(Self(key)),
                Err(_) => tracing::warn!(path = %path.display(), "no key for resets; made anew"),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("read")(error)),
        }
        let mut key = [0; 32];
        SystemRandom::new().fill(&mut key).expect("the system provides random bytes");
        let draft = path.with_extension("new");
        let write = || -> io::Result<()> {
            // The mode is that of a file which is made.
            match fs::remove_file(&draft) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(0o600).open(&draft)?;
            file.write_all(&key)?;
            file.sync_all()?;
            fs::rename(&draft, &path)
        };
        write().map_err(failed("write"))?;
        Ok(Self(key))
    }

    /// The key of one listener.
    pub(super) fn derive(&self, listener: &str) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let tag = hmac::sign(&key, listener.as_bytes());
        tag.as_ref().try_into().expect("SHA-256 has 32 bytes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_key_is_made_once_for_its_owner_alone_and_differs_for_each_listener() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let derive = |state: &Path, listener| ResetKey::keep(state).unwrap().derive(listener);

        let made = derive(one.path(), "a");

        assert_eq!(derive(one.path(), "a"), made);
        assert_ne!(derive(one.path(), "b"), made);
        assert_ne!(derive(two.path(), "a"), made);
        let mode = fs::metadata(one.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
    }

    #[test]
    fn a_key_that_is_damaged_is_made_anew() {
        let state = tempfile::tempdir().unwrap();
        fs::write(state.path().join(FILE), b"short").unwrap();

        let made = ResetKey::keep(state.path()).unwrap().derive("a");

        assert_eq!(ResetKey::keep(state.path()).unwrap().derive("a"), made);
    }

    #[test]
    fn a_state_that_cannot_be_written_is_told_with_its_path() {
        let state = tempfile::tempdir().unwrap();
        let missing = state.path().join("none");

        let error = ResetKey::keep(&missing).err().unwrap();

        let path = missing.join("reset-key");
        assert_eq!(error.to_string(), format!("cannot write {}", path.display()));
    }
}
