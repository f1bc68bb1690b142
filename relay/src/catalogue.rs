//! What a name means now, what is in flight, and what happened: logical files, jobs, agents,
//! rules and audit in one SQL database.
//!
//! Every change is one transaction that carries its own audit line. Nothing here reads a clock:
//! callers pass `now_ms`, milliseconds since 1970. Every list is read in pages.

mod agents;
mod audit;
mod commit;
mod copies;
mod dialect;
mod discards;
mod enrollment;
mod error;
mod fields;
mod files;
mod jobs;
mod kept;
mod ledger;
mod open;
mod origins;
mod placing;
mod plane_files;
mod progress;
mod push;
mod records;
mod removal;
mod seal;
mod search;
mod tags;
#[cfg(test)]
pub(crate) mod tests;
mod uploads;
mod url;
mod wuid;

pub use agents::{AgentError, AgentRecord, AgentState, Invitation};
pub use audit::{Actor, AuditEntry, AuditEvent, AuditFault, AuditLine, AuditResult, AuditSummary};
pub use commit::{Allowed, Gate};
pub use copies::{CopiedFrom, PartCopy};
pub(crate) use discards::CLAIM_MS;
pub use discards::{Discard, DiscardReason};
pub use enrollment::{Redemption, TokenRefusal};
pub use error::{CatalogueError, JobError};
pub use files::StoredPart;
pub use jobs::JobFilter;
pub use kept::{Pointer, RollbackError, RolledBack};
pub use ledger::UploadState;
pub use open::{LEASE_MS, NewJob, Opened, Opening};
pub use origins::{OriginFault, StoredOrigin};
pub(crate) use placing::Holder;
pub use plane_files::PlaneFile;
pub use progress::Progress;
pub use push::{FileStanding, NewFile};
pub use records::{
    GenerationRecord, GenerationState, JobKey, JobKind, JobRecord, Kept, PartLayout, PartRecord,
    PartState, operator,
};
pub use removal::RemoveError;
pub use seal::SealedPart;
pub use search::{Found, NamePattern, SEARCH_NAMES_MAX};
pub use uploads::{UploadRecord, Wanted};
pub use url::{CatalogueUrl, CatalogueUrlError, Place, PostgresUrl};

use dialect::Store;

/// Rows one page holds at most, whatever the caller asks for.
pub const PAGE_ROWS_MAX: u32 = 4096;

/// The catalogue of one relay, or of all replicas that share it. Clones share its connections.
///
/// Several processes may use it at once: those of one host a file, those of any host a server.
#[derive(Clone, Debug)]
pub struct Catalogue {
    store: Store,
}

impl Catalogue {
    /// Makes the catalogue at `place`, or opens it when it is there; either way it is brought to
    /// this version's layout.
    ///
    /// # Errors
    ///
    /// It cannot be made or opened, or was written by a newer version.
    pub async fn create(place: &Place) -> Result<Self, CatalogueError> {
        Ok(Self { store: Store::open(place, true).await? })
    }

    /// Opens the catalogue at `place` and brings it to this version's layout. On a server that is
    /// the same as making it: an empty schema is told from no other.
    ///
    /// # Errors
    ///
    /// The file is missing, it cannot be opened, or was written by a newer version.
    pub async fn open(place: &Place) -> Result<Self, CatalogueError> {
        Ok(Self { store: Store::open(place, false).await? })
    }

    /// Whether replicas on several hosts may share it.
    pub fn is_shared(&self) -> bool {
        self.store.is_shared()
    }

    /// Waits for running statements and closes every connection of every clone.
    pub async fn close(&self) {
        self.store.close().await;
    }
}

/// The number of rows to ask for.
fn page(limit: u32) -> i64 {
    i64::from(limit.min(PAGE_ROWS_MAX))
}
