//! An identity that replicas share, from a directory that others write and this program only reads:
//! a secret as a cluster mounts it, whose files are symbolic links to files of the system.

use super::StoreError;
use super::directory::{check_length, io_error, read_bounded};
use super::relay::{AGENT_AUTHORITY, RECEIPT_KEY, RELAY_AUTHORITY, authority_of, receipt_of};
use crate::authority::Term;
use crate::relay_identity::RelayIdentity;
use ring::rand::SecureRandom;
use rustix::fs::{FileType, Mode, OFlags};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// What a file may allow at most: its owner and its group to read it, its owner to write it.
const FILE_MODE: u32 = 0o640;

/// The user a mounted secret belongs to, unless it is the one who runs this program.
const ROOT: u32 = 0;

/// A directory with the authorities and the receipt key of an installation, never written to.
///
/// A file must be nobody's but root's or the user's own, and nothing of it may be open to others; a
/// group may read it, because that is how a cluster hands a secret to a process that is not root.
#[derive(Debug)]
pub struct MountedStore {
    path: PathBuf,
}

impl MountedStore {
    /// The directory at `path`; nothing is looked at.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The identity, with a leaf of its own made for `term`: a leaf that is stored there does not
    /// count.
    ///
    /// # Errors
    ///
    /// A file that is missing, not readable or open to others, or an authority that issues nothing.
    pub fn load(&self, term: Term, rng: &dyn SecureRandom) -> Result<RelayIdentity, StoreError> {
        let (receipt, relays, agents) =
            (self.read(RECEIPT_KEY)?, self.read(RELAY_AUTHORITY)?, self.read(AGENT_AUTHORITY)?);
        let receipt_signer = receipt_of(self.path.join(RECEIPT_KEY), &receipt)?;
        let path = self.path.join(RELAY_AUTHORITY);
        let relay_authority = authority_of(path.clone(), &relays)?;
        let agent_authority = authority_of(self.path.join(AGENT_AUTHORITY), &agents)?;
        let authorities = (relay_authority, agent_authority);
        RelayIdentity::with_new_leaf(authorities, receipt_signer, term, rng)
            .map_err(|source| StoreError::Authority { path, source: Box::new(source) })
    }

    fn read(&self, name: &str) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let path = self.path.join(name);
        // Without NONBLOCK, a FIFO of that name would hold the program until somebody writes.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let handle = match rustix::fs::open(&path, flags, Mode::empty()) {
            Ok(handle) => handle,
            Err(rustix::io::Errno::NOENT) => return Err(StoreError::Missing { path }),
            Err(errno) => return Err(io_error("open", &path, errno)),
        };
        let stat = rustix::fs::fstat(&handle).map_err(|errno| io_error("open", &path, errno))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(StoreError::NotRegular { path });
        }
        let user = rustix::process::geteuid().as_raw();
        check_access(&path, (stat.st_uid, stat.st_mode & 0o7777), user)?;
        let length = check_length(&path, &stat)?;
        read_bounded(handle, path, length)
    }
}

/// Refuses what others may read or could have written.
fn check_access(path: &Path, (owner, mode): (u32, u32), user: u32) -> Result<(), StoreError> {
    if owner != user && owner != ROOT {
        return Err(StoreError::ForeignOwner { path: path.to_owned(), owner, user });
    }
    if mode & !FILE_MODE != 0 {
        let path = path.to_owned();
        return Err(StoreError::Loose { path, mode, expected: FILE_MODE });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::RELAY_LEAF_LIFE;
    use crate::store::RelayStore;
    use crate::trust_domain::TrustDomain;
    use ring::rand::SystemRandom;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::time::{Duration, SystemTime};

    /// A secret as a cluster mounts it: names that lead through a directory of this version.
    fn mounted() -> (tempfile::TempDir, RelayIdentity) {
        let dir = tempfile::tempdir().unwrap();
        let domain = TrustDomain::parse("skyspray.internal").unwrap();
        let made = RelayIdentity::create(domain, now(), &SystemRandom::new()).unwrap();
        RelayStore::create(&dir.path().join("..1")).unwrap().save(&made).unwrap();
        symlink("..1", dir.path().join("..data")).unwrap();
        for name in [RECEIPT_KEY, RELAY_AUTHORITY, AGENT_AUTHORITY] {
            symlink(format!("..data/{name}"), dir.path().join(name)).unwrap();
            let file = dir.path().join("..1").join(name);
            fs::set_permissions(file, fs::Permissions::from_mode(0o440)).unwrap();
        }
        (dir, made)
    }

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    fn term() -> Term {
        Term { now: now(), life: RELAY_LEAF_LIFE }
    }

    #[test]
    fn a_mounted_identity_has_the_authorities_and_a_leaf_of_its_own() {
        let (dir, made) = mounted();
        let store = MountedStore::new(dir.path());

        let [one, two] = [(); 2].map(|()| store.load(term(), &SystemRandom::new()).unwrap());

        for loaded in [&one, &two] {
            assert_eq!(loaded.pin(), made.pin());
            assert_eq!(loaded.receipt_signer.verifier(), made.receipt_signer.verifier());
            let agents = |identity: &RelayIdentity| identity.agent_authority.certificate().clone();
            assert_eq!(agents(loaded), agents(&made));
            loaded.certificate().unwrap();
        }
        assert_ne!(one.leaf, two.leaf);
        assert_ne!(one.leaf, made.leaf);
    }

    #[test]
    fn a_file_that_others_may_read_is_refused_with_its_mode() {
        let (dir, _) = mounted();
        let file = dir.path().join("..1").join(AGENT_AUTHORITY);
        fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).unwrap();

        let error = MountedStore::new(dir.path()).load(term(), &SystemRandom::new()).unwrap_err();

        let loose = matches!(error, StoreError::Loose { mode: 0o444, expected: FILE_MODE, .. });
        assert!(loose, "{error}");
    }

    #[test]
    fn a_secret_without_a_file_is_missing_that_file() {
        let (dir, _) = mounted();
        fs::remove_file(dir.path().join(RECEIPT_KEY)).unwrap();

        let error = MountedStore::new(dir.path()).load(term(), &SystemRandom::new()).unwrap_err();

        let path = dir.path().join(RECEIPT_KEY);
        assert!(matches!(&error, StoreError::Missing { path: at } if *at == path), "{error}");
    }

    #[test]
    fn a_file_may_belong_to_root_or_to_the_user_and_to_nobody_else() {
        let path = Path::new("receipt-key.pem");

        check_access(path, (ROOT, 0o440), 1000).unwrap();
        check_access(path, (1000, 0o600), 1000).unwrap();

        let error = check_access(path, (1001, 0o440), 1000).unwrap_err();
        assert!(matches!(error, StoreError::ForeignOwner { owner: 1001, user: 1000, .. }));
        let writable = check_access(path, (ROOT, 0o460), 1000).unwrap_err();
        assert!(matches!(writable, StoreError::Loose { mode: 0o460, .. }));
    }
}
