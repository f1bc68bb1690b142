//! The directory of a relay's identity: one PEM file for each secret, each holding the private
//! key and, where there is one, its certificate.

use super::StoreError;
use super::directory::PrivateDirectory;
use crate::authority::{Authority, AuthorityKind};
use crate::pem::{self, PemError};
use crate::receipt::ReceiptSigner;
use crate::relay_identity::RelayIdentity;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

pub(super) const RELAY_AUTHORITY: &str = "relay-authority.pem";
pub(super) const AGENT_AUTHORITY: &str = "agent-authority.pem";
const LEAF: &str = "relay.pem";
pub(super) const RECEIPT_KEY: &str = "receipt-key.pem";

/// The private directory of a relay.
#[derive(Debug)]
pub struct RelayStore {
    directory: PrivateDirectory,
}

impl RelayStore {
    /// Opens the directory of a relay that was initialised.
    ///
    /// # Errors
    ///
    /// [`StoreError::Missing`], or a directory that is not private.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { directory: PrivateDirectory::open(path)? })
    }

    /// Opens the directory, made before with mode 0700 if there is none.
    ///
    /// # Errors
    ///
    /// A directory that is not private or cannot be made.
    pub fn create(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { directory: PrivateDirectory::create(path)? })
    }

    /// Whether an identity is stored here, whole or in part: `init` must not replace it.
    ///
    /// # Errors
    ///
    /// A file that is not private.
    pub fn holds_identity(&self) -> Result<bool, StoreError> {
        for name in [RELAY_AUTHORITY, AGENT_AUTHORITY, LEAF, RECEIPT_KEY] {
            if self.directory.read(name)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Stores a whole identity.
    ///
    /// # Errors
    ///
    /// A file that cannot be written; the files before it are.
    pub fn save(&self, identity: &RelayIdentity) -> Result<(), StoreError> {
        let receipt = pem::encode("PRIVATE KEY", identity.receipt_signer.pkcs8());
        self.directory.write(RECEIPT_KEY, receipt.as_bytes())?;
        self.directory.write(AGENT_AUTHORITY, identity.agent_authority.to_pem().as_bytes())?;
        self.directory.write(RELAY_AUTHORITY, identity.relay_authority.to_pem().as_bytes())?;
        self.save_leaf(identity)
    }

    /// Stores the leaf and its key, after [`RelayIdentity::renew_leaf`].
    ///
    /// # Errors
    ///
    /// A file that cannot be written; the stored leaf is then the old or the new one, whole.
    pub fn save_leaf(&self, identity: &RelayIdentity) -> Result<(), StoreError> {
        let text = pem::encode_pair(&identity.leaf_key, &identity.leaf);
        self.directory.write(LEAF, text.as_bytes())
    }

    /// The stored identity.
    ///
    /// # Errors
    ///
    /// [`StoreError::Missing`] if the relay is not initialised, or a file that is not private or
    /// not readable.
    pub fn load(&self) -> Result<RelayIdentity, StoreError> {
        let leaf = self.read(LEAF)?;
        let receipt = self.read(RECEIPT_KEY)?;
        Ok(RelayIdentity {
            relay_authority: self.authority(RELAY_AUTHORITY)?,
            agent_authority: self.authority(AGENT_AUTHORITY)?,
            leaf: pem::decode_certificate(&leaf).map_err(|e| self.damaged(LEAF, e))?,
            leaf_key: pem::decode_key(&leaf).map_err(|e| self.damaged(LEAF, e))?,
            receipt_signer: receipt_of(self.directory.path_of(RECEIPT_KEY), &receipt)?,
        })
    }

    fn authority<K: AuthorityKind>(&self, name: &str) -> Result<Authority<K>, StoreError> {
        authority_of(self.directory.path_of(name), &self.read(name)?)
    }

    fn read(&self, name: &str) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        self.directory
            .read(name)?
            .ok_or_else(|| StoreError::Missing { path: self.directory.path_of(name) })
    }

    fn damaged(&self, name: &str, source: PemError) -> StoreError {
        StoreError::Pem { path: self.directory.path_of(name), source }
    }
}

/// The authority in the file at `path`.
pub(super) fn authority_of<K: AuthorityKind>(
    path: PathBuf,
    bytes: &[u8],
) -> Result<Authority<K>, StoreError> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => return Err(StoreError::Malformed { path, offset: error.valid_up_to() }),
    };
    Authority::from_pem(text)
        .map_err(|source| StoreError::Authority { path, source: Box::new(source) })
}

/// The receipt key in the file at `path`.
pub(super) fn receipt_of(path: PathBuf, bytes: &[u8]) -> Result<ReceiptSigner, StoreError> {
    let key = match pem::decode_pkcs8(bytes) {
        Ok(key) => key,
        Err(source) => return Err(StoreError::Pem { path, source }),
    };
    ReceiptSigner::from_pkcs8(&key).map_err(|source| StoreError::Receipt { path, source })
}
