//! The relay's signed statement of what was committed. Signing and checking are done by whoever
//! holds keys; here is only what is signed.

use crate::digest::Digest;
use crate::ids::{Generation, JobId};
use crate::name::{AgentName, PlaneName};
use serde::{Deserialize, Serialize};

/// What a relay states about a committed job. The signed bytes are [`Receipt::signed_bytes`].
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// Layout of this statement: 1.
    pub version: u16,
    /// The job.
    pub job: JobId,
    /// HPCC-style id of the job.
    pub wuid: String,
    /// Who sent it.
    pub agent: AgentName,
    /// Where it is stored.
    pub plane: PlaneName,
    /// Logical name of a spray; directory of a push.
    pub target: String,
    /// Generation of the logical file; `None` for a push.
    pub generation: Option<Generation>,
    /// Parts of a spray, files committed by a push.
    pub parts: u32,
    /// Bytes stored.
    pub bytes: u64,
    /// [`ListDigest`] over the parts in part order.
    pub content: Digest,
    /// When it was committed by the relay's clock, in milliseconds since 1970.
    pub committed_ms: i64,
}

impl Receipt {
    /// The bytes a signature covers: a context label, then the receipt in postcard.
    pub fn signed_bytes(encoded: &[u8]) -> Vec<u8> {
        let mut bytes = b"skyspray receipt 1\0".to_vec();
        bytes.extend_from_slice(encoded);
        bytes
    }
}

/// A receipt with its signature.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct SignedReceipt {
    /// The [`Receipt`] in postcard, exactly as signed.
    pub receipt: Vec<u8>,
    /// Which of the relay's keys signed: the first 8 bytes of the SHA-256 of its public key.
    pub key_id: [u8; 8],
    /// Ed25519 signature.
    pub signature: Vec<u8>,
}

/// Digests many parts into one: BLAKE3 over, for each part in order, its length (8 bytes,
/// little-endian) and its BLAKE3 root.
#[derive(Debug, Default)]
pub struct ListDigest(blake3::Hasher);

impl ListDigest {
    /// Adds the next part.
    pub fn push(&mut self, length: u64, digest: &Digest) {
        self.0.update(&length.to_le_bytes());
        self.0.update(&digest.0);
    }

    /// The digest over all parts added.
    pub fn finish(&self) -> Digest {
        Digest(*self.0.finalize().as_bytes())
    }
}
