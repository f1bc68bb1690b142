//! Receipts: kept as the relay signed them, with the same facts readable beside them, and checked
//! offline.

mod error;
mod file;
mod key;

use crate::durable::{read_file, write_file};
use file::ReceiptFile;
use skyspray_certs::receipt::{ReceiptKeyId, ReceiptVerifier};
use skyspray_link::seam::files::{OsTree, RelPath, Replace, Tree};
use skyspray_wire::ids::JobId;
use skyspray_wire::receipt::{Receipt, SignedReceipt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use error::ReceiptError;
pub use file::Facts;
pub use key::{KeyTextError, parse_key};

/// Version of [`Receipt`] this build reads.
const VERSION: u16 = 1;

/// Longest receipt file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Checks a signed receipt as a relay sends it and says what it attests.
///
/// # Errors
///
/// It is not what one of `keys` signed.
pub fn attest(signed: &[u8], keys: &[ReceiptVerifier]) -> Result<Receipt, ReceiptError> {
    let signed: SignedReceipt = postcard::from_bytes(signed)
        .map_err(|source| ReceiptError::Malformed { what: "signed receipt", source })?;
    verify(&signed, keys)
}

/// Checks the text of a receipt file and says what it attests.
///
/// # Errors
///
/// As for [`attest`]; also when a readable field is not what was signed.
pub fn attest_file(text: &str, keys: &[ReceiptVerifier]) -> Result<Receipt, ReceiptError> {
    let file = ReceiptFile::parse(text)?;
    let receipt = verify(&file.to_signed()?, keys)?;
    file.agrees_with(&receipt)?;
    Ok(receipt)
}

fn verify(signed: &SignedReceipt, keys: &[ReceiptVerifier]) -> Result<Receipt, ReceiptError> {
    let id = ReceiptKeyId(signed.key_id);
    let key = keys
        .iter()
        .find(|key| key.key_id() == id)
        .ok_or(ReceiptError::UnknownKey { key: id, known: keys.len() })?;
    key.verify(&Receipt::signed_bytes(&signed.receipt), &signed.signature)
        .map_err(|source| ReceiptError::Signature { source })?;
    let receipt: Receipt = postcard::from_bytes(&signed.receipt)
        .map_err(|source| ReceiptError::Malformed { what: "receipt", source })?;
    if receipt.version != VERSION {
        return Err(ReceiptError::Version { found: receipt.version });
    }
    Ok(receipt)
}

/// The receipts this edge was given, one file a job. All calls block.
#[derive(Clone, Debug)]
pub struct ReceiptStore {
    tree: Arc<dyn Tree>,
    state: PathBuf,
}

impl ReceiptStore {
    /// The receipts in the directory `state`, which exists.
    ///
    /// # Errors
    ///
    /// The host's.
    pub fn open(state: &Path) -> Result<Self, ReceiptError> {
        let tree = OsTree::open(state).map_err(|source| ReceiptError::Root { source })?;
        Self::with_tree(Arc::new(tree), state.to_owned())
    }

    /// Receipts in `tree`, which messages call `state`.
    ///
    /// # Errors
    ///
    /// The host's.
    pub fn with_tree(tree: Arc<dyn Tree>, state: PathBuf) -> Result<Self, ReceiptError> {
        tree.create_dirs(&directory())?;
        Ok(Self { tree, state })
    }

    /// Checks the receipt of `job` as the relay sent it and keeps it. Durable on return; a second
    /// time changes nothing.
    ///
    /// # Errors
    ///
    /// As for [`attest`], a receipt of another job, or the host's. Nothing is kept then.
    pub fn keep(
        &self,
        job: JobId,
        signed: &[u8],
        keys: &[ReceiptVerifier],
    ) -> Result<Receipt, ReceiptError> {
        let receipt = attest(signed, keys)?;
        if receipt.job != job {
            return Err(ReceiptError::OtherJob { found: receipt.job, expected: job });
        }
        let signed = postcard::from_bytes(signed)
            .map_err(|source| ReceiptError::Malformed { what: "signed receipt", source })?;
        let text = ReceiptFile::new(&receipt, &signed).render();
        write_file(&*self.tree, &path_of(job), text.as_bytes(), 0o600, Replace::Existing)?;
        Ok(receipt)
    }

    /// Where the receipt of `job` is or would be.
    pub fn path(&self, job: JobId) -> PathBuf {
        self.state.join(path_of(job).as_path())
    }

    /// The text of the receipt of `job`.
    ///
    /// # Errors
    ///
    /// The host's; `Missing` when there is none.
    pub fn read(&self, job: JobId) -> Result<String, ReceiptError> {
        let bytes = read_file(&*self.tree, &path_of(job), FILE_BYTES_MAX)?;
        text_of(bytes)
    }
}

/// Reads a receipt file anywhere on this host.
///
/// # Errors
///
/// [`ReceiptError::Unreadable`], or a file that cannot be a receipt.
pub fn read_receipt(path: &Path) -> Result<String, ReceiptError> {
    text_of(read_small(path)?)
}

/// Reads the file of a receipt key: see [`parse_key`].
///
/// # Errors
///
/// [`ReceiptError::Unreadable`], or a file that holds no key.
pub fn read_key(path: &Path) -> Result<ReceiptVerifier, ReceiptError> {
    let text = text_of(read_small(path)?)?;
    parse_key(&text).map_err(|source| ReceiptError::Key { path: path.to_owned(), source })
}

fn text_of(bytes: Option<Vec<u8>>) -> Result<String, ReceiptError> {
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or(ReceiptError::NotText)
}

fn read_small(path: &Path) -> Result<Option<Vec<u8>>, ReceiptError> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|source| ReceiptError::Unreadable { path: path.to_owned(), source })?;
    Ok((bytes.len() as u64 <= FILE_BYTES_MAX).then_some(bytes))
}

fn directory() -> RelPath {
    RelPath::parse("receipts").expect("a plain name")
}

fn path_of(job: JobId) -> RelPath {
    directory().join(format!("{job}.receipt")).expect("hexadecimal digits make a plain name")
}

#[cfg(test)]
mod tests;
