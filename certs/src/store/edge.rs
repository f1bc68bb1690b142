//! The directory of an edge's identity.
//!
//! `identity.toml` holds the whole identity, so that one rename replaces the key and the leaf
//! together; `identity.previous.toml` is the one before it.

use super::StoreError;
use super::directory::{PrivateDirectory, StoreLock};
use crate::address::RelayAddress;
use crate::edge_identity::{EdgeIdentity, PendingEnrollment};
use crate::identity::IdentityGeneration;
use crate::key::{KeyHash, PrivateKey};
use crate::pem::{self, PemError};
use crate::receipt::ReceiptVerifier;
use crate::trust_domain::TrustDomain;
use rustls_pki_types::CertificateDer;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use skyspray_wire::name::AgentName;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const CURRENT: &str = "identity.toml";
const PREVIOUS: &str = "identity.previous.toml";
const PENDING: &str = "pending.toml";
const RENEWAL_KEY: &str = "renewal-key.pem";

/// The format of the files, stated in each of them.
const FORMAT: u32 = 1;

/// The private directory of an edge.
#[derive(Debug)]
pub struct EdgeStore {
    directory: PrivateDirectory,
}

impl EdgeStore {
    /// Opens the directory of an edge that is enrolled or enrolling.
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

    /// Takes the right to enroll, renew or recover; `None` while another process has it.
    ///
    /// Two processes that renew one identity at once look like a copied identity to the relay.
    /// Whoever has the lock loads the identity again before renewing it.
    ///
    /// # Errors
    ///
    /// A lock file that cannot be made.
    pub fn try_lock(&self) -> Result<Option<StoreLock>, StoreError> {
        self.directory.try_lock()
    }

    /// Stores the keys of an enrollment before its first request is sent.
    ///
    /// # Errors
    ///
    /// A file that cannot be written.
    pub fn save_pending(&self, pending: &PendingEnrollment) -> Result<(), StoreError> {
        self.write(PENDING, &PendingFile::from(pending))
    }

    /// The enrollment whose answer never came, if there is one.
    ///
    /// # Errors
    ///
    /// A file that is not private or not readable.
    pub fn load_pending(&self) -> Result<Option<PendingEnrollment>, StoreError> {
        let Some(file) = self.read::<PendingFile>(PENDING)? else { return Ok(None) };
        file.into_pending().map(Some).map_err(|source| self.damaged(PENDING, source))
    }

    /// Stores the key of a renewal before the request is sent, so that the same key is sent again
    /// should the answer be lost.
    ///
    /// # Errors
    ///
    /// A file that cannot be written.
    pub fn save_renewal_key(&self, key: &PrivateKey) -> Result<(), StoreError> {
        self.directory.write(RENEWAL_KEY, pem::encode_key(key).as_bytes())
    }

    /// The key of a renewal whose answer never came, if there is one.
    ///
    /// # Errors
    ///
    /// A file that is not private or not readable.
    pub fn load_renewal_key(&self) -> Result<Option<PrivateKey>, StoreError> {
        let Some(text) = self.directory.read(RENEWAL_KEY)? else { return Ok(None) };
        let key = pem::decode_key(&text).map_err(|source| self.damaged(RENEWAL_KEY, source))?;
        // After a crash inside `save` the key may still lie here although its leaf has arrived.
        let used = self
            .load_file(CURRENT)?
            .is_some_and(|identity| identity.session_key.public_key() == key.public_key());
        Ok((!used).then_some(key))
    }

    /// Makes `identity` the current one. The one before it is kept until
    /// [`Self::drop_previous`]; a stored enrollment or renewal key is done with.
    ///
    /// # Errors
    ///
    /// A file that cannot be written; the current identity is then the old or the new one, whole.
    pub fn save(&self, identity: &EdgeIdentity) -> Result<(), StoreError> {
        if let Some(current) = self.directory.read(CURRENT)? {
            self.directory.write(PREVIOUS, &current)?;
        }
        self.write(CURRENT, &IdentityFile::from(identity))?;
        self.directory.remove(RENEWAL_KEY)?;
        self.directory.remove(PENDING)
    }

    /// The current identity.
    ///
    /// # Errors
    ///
    /// [`StoreError::Missing`] if the edge is not enrolled, or a file that is not private or not
    /// readable.
    pub fn load(&self) -> Result<EdgeIdentity, StoreError> {
        self.load_file(CURRENT)?
            .ok_or_else(|| StoreError::Missing { path: self.directory.path_of(CURRENT) })
    }

    /// The identity before the current one, if it is still kept.
    ///
    /// # Errors
    ///
    /// A file that is not private or not readable.
    pub fn load_previous(&self) -> Result<Option<EdgeIdentity>, StoreError> {
        self.load_file(PREVIOUS)
    }

    /// Removes the identity before the current one, once a relay has accepted the current one.
    ///
    /// # Errors
    ///
    /// A file that cannot be removed.
    pub fn drop_previous(&self) -> Result<(), StoreError> {
        self.directory.remove(PREVIOUS)
    }

    fn load_file(&self, name: &str) -> Result<Option<EdgeIdentity>, StoreError> {
        let Some(file) = self.read::<IdentityFile>(name)? else { return Ok(None) };
        file.into_identity().map(Some).map_err(|source| self.damaged(name, source))
    }

    fn damaged(&self, name: &str, source: PemError) -> StoreError {
        StoreError::Pem { path: self.directory.path_of(name), source }
    }

    fn write(&self, name: &str, file: &impl Serialize) -> Result<(), StoreError> {
        let body = Zeroizing::new(toml::to_string_pretty(file).expect("the file is plain data"));
        let text = Zeroizing::new(format!("format = {FORMAT}\n{}", *body));
        self.directory.write(name, text.as_bytes())
    }

    fn read<F: DeserializeOwned>(&self, name: &str) -> Result<Option<F>, StoreError> {
        let Some(bytes) = self.directory.read(name)? else { return Ok(None) };
        decode(&bytes, self.directory.path_of(name)).map(Some)
    }
}

/// Reads a file. The error of the parser is not passed on, because it quotes the text.
fn decode<F: DeserializeOwned>(bytes: &[u8], path: PathBuf) -> Result<F, StoreError> {
    #[derive(Deserialize)]
    struct Head {
        format: u32,
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => return Err(StoreError::Malformed { path, offset: error.valid_up_to() }),
    };
    let offset_of = |error: toml::de::Error| error.span().map_or(0, |span| span.start);
    let head = match toml::from_str::<Head>(text) {
        Ok(head) => head,
        Err(error) => return Err(StoreError::Malformed { path, offset: offset_of(error) }),
    };
    if head.format != FORMAT {
        return Err(StoreError::FormatUnknown { path, found: head.format, expected: FORMAT });
    }
    toml::from_str(text).map_err(|error| StoreError::Malformed { path, offset: offset_of(error) })
}

/// A private key as PEM inside a private file; the only way one is ever serialized.
struct StoredKey(Zeroizing<String>);

impl StoredKey {
    fn new(key: &PrivateKey) -> Self {
        Self(pem::encode_key(key))
    }

    fn decode(&self) -> Result<PrivateKey, PemError> {
        pem::decode_key(self.0.as_bytes())
    }
}

impl Serialize for StoredKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for StoredKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

#[derive(Deserialize, Serialize)]
struct PendingFile {
    agent: AgentName,
    trust_domain: TrustDomain,
    enroll_address: RelayAddress,
    pin: KeyHash,
    bound_key: StoredKey,
    session_key: StoredKey,
}

impl From<&PendingEnrollment> for PendingFile {
    fn from(pending: &PendingEnrollment) -> Self {
        Self {
            agent: pending.agent.clone(),
            trust_domain: pending.trust_domain.clone(),
            enroll_address: pending.enroll_address.clone(),
            pin: pending.pin,
            bound_key: StoredKey::new(&pending.bound_key),
            session_key: StoredKey::new(&pending.session_key),
        }
    }
}

impl PendingFile {
    fn into_pending(self) -> Result<PendingEnrollment, PemError> {
        Ok(PendingEnrollment {
            bound_key: self.bound_key.decode()?,
            session_key: self.session_key.decode()?,
            enroll_address: self.enroll_address,
            trust_domain: self.trust_domain,
            pin: self.pin,
            agent: self.agent,
        })
    }
}

#[derive(Deserialize, Serialize)]
struct IdentityFile {
    agent: AgentName,
    generation: IdentityGeneration,
    trust_domain: TrustDomain,
    enroll_address: RelayAddress,
    addresses: Vec<RelayAddress>,
    receipt_keys: Vec<ReceiptVerifier>,
    leaf: String,
    agent_authorities: Vec<String>,
    relay_authorities: Vec<String>,
    bound_key: StoredKey,
    session_key: StoredKey,
}

impl From<&EdgeIdentity> for IdentityFile {
    fn from(identity: &EdgeIdentity) -> Self {
        let text = |der: &CertificateDer<'_>| pem::encode_certificate(der).to_string();
        Self {
            agent: identity.agent.clone(),
            generation: identity.generation,
            trust_domain: identity.trust_domain.clone(),
            enroll_address: identity.enroll_address.clone(),
            addresses: identity.addresses.clone(),
            receipt_keys: identity.receipt_keys.clone(),
            leaf: text(&identity.leaf),
            agent_authorities: identity.agent_authorities.iter().map(text).collect(),
            relay_authorities: identity.relay_authorities.iter().map(text).collect(),
            bound_key: StoredKey::new(&identity.bound_key),
            session_key: StoredKey::new(&identity.session_key),
        }
    }
}

impl IdentityFile {
    fn into_identity(self) -> Result<EdgeIdentity, PemError> {
        let certificate = |text: &String| pem::decode_certificate(text.as_bytes());
        Ok(EdgeIdentity {
            bound_key: self.bound_key.decode()?,
            session_key: self.session_key.decode()?,
            leaf: certificate(&self.leaf)?,
            agent_authorities: self
                .agent_authorities
                .iter()
                .map(certificate)
                .collect::<Result<_, _>>()?,
            relay_authorities: self
                .relay_authorities
                .iter()
                .map(certificate)
                .collect::<Result<_, _>>()?,
            agent: self.agent,
            generation: self.generation,
            trust_domain: self.trust_domain,
            enroll_address: self.enroll_address,
            addresses: self.addresses,
            receipt_keys: self.receipt_keys,
        })
    }
}
