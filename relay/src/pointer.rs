//! Pointers: small files on a plane that tell its readers which generation of a logical file is
//! current and where its parts are. The catalogue decides; a pointer follows it.

#[cfg(test)]
mod tests;

use crate::catalogue::{Catalogue, CatalogueError, GenerationRecord, Pointer, StoredPart};
use crate::placing::{Placing, PlacingError};
use crate::plane::{PartTarget, Plane, PlaneError, pointer_path};
use crate::state::{Relay, blocking, internal, unix_ms};
use serde::Serialize;
use skyspray_link::seam::Clock;
use skyspray_link::seam::files::RelPath;
use skyspray_wire::ids::PartIndex;
use skyspray_wire::name::{LogicalName, PlaneName};
use skyspray_wire::refusal::Refusal;
use std::num::NonZeroU32;
use std::sync::Arc;
use thiserror::Error;

/// Parts or pointers read from the catalogue at once.
const PAGE: u32 = 256;

/// Why a pointer is not what the catalogue says. It stays due, and is tried again.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PointerError {
    /// The lock of the plane cannot be used.
    #[error(transparent)]
    Lock(#[from] PlacingError),
    /// The plane failed.
    #[error("the pointer to the current generation cannot be written")]
    Plane(#[from] PlaneError),
    /// The catalogue failed.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
}

impl PointerError {
    /// What a peer is told.
    pub(crate) fn refusal(&self) -> Refusal {
        match self {
            Self::Lock(_) => Refusal::new(skyspray_wire::refusal::RefusalCode::Internal, ""),
            Self::Plane(error) => error.refusal(),
            Self::Catalogue(error) => internal(error),
        }
    }
}

/// One plane with what names the current generations on it.
#[derive(Clone, Copy)]
pub(crate) struct Pointers<'a> {
    pub(crate) catalogue: &'a Catalogue,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) name: &'a PlaneName,
    pub(crate) plane: &'a Arc<Plane>,
}

impl Pointers<'_> {
    /// Makes the pointer of `file` what the catalogue says, if it is not, and lets go of what only
    /// the old one named. The caller has the right to place parts on the plane.
    ///
    /// # Errors
    ///
    /// The pointer stays due; generations it may name stay stored.
    pub(crate) async fn settle(&self, file: &LogicalName) -> Result<(), PointerError> {
        loop {
            let Some(due) = self.catalogue.due_pointer(self.name, file).await? else {
                return Ok(());
            };
            let named = due.target.as_ref().map(|target| target.generation);
            self.write(file, due).await?;
            let now_ms = unix_ms(self.clock.now());
            if self.catalogue.confirm_pointer((self.name, file), named, now_ms).await? {
                return Ok(());
            }
        }
    }

    async fn write(&self, file: &LogicalName, due: Pointer) -> Result<(), PointerError> {
        let several = NonZeroU32::new(2).expect("2 is not 0");
        let places = [pointer_path(file, NonZeroU32::MIN)?, pointer_path(file, several)?];
        let [one, many] = places;
        let Some(target) = due.target else {
            return Ok(self.remove(vec![one, many]).await?);
        };
        let (place, other) = if target.layout.devices > 1 { (many, one) } else { (one, many) };
        let text = self.manifest(&target).await?;
        let to = PartTarget::try_new(target.job, PartIndex(0), place)?;
        let plane = Arc::clone(self.plane);
        blocking(move || plane.put(&to, &text)).await?;
        if due.elsewhere {
            self.remove(vec![other]).await?;
        }
        Ok(())
    }

    async fn remove(&self, paths: Vec<RelPath>) -> Result<(), PlaneError> {
        let plane = Arc::clone(self.plane);
        let removed = blocking(move || plane.remove(&paths)).await;
        removed.into_iter().try_for_each(|outcome| outcome.map(|_was_there| ()))
    }

    /// The text of the pointer to a generation.
    async fn manifest(&self, target: &GenerationRecord) -> Result<Vec<u8>, PointerError> {
        let mut parts = Vec::with_capacity(target.parts as usize);
        let mut after = None;
        loop {
            let file = (&target.plane, &target.name);
            let rows = self.catalogue.parts(file, target.generation, after, PAGE).await?;
            let Some(last) = rows.last() else { break };
            after = Some(last.part);
            parts.extend(rows.into_iter().map(ManifestPart::from));
        }
        let manifest = Manifest {
            schema: SCHEMA,
            plane: target.plane.as_str(),
            name: target.name.as_str(),
            generation: target.generation.0,
            job: &target.wuid,
            committed_ms: target.committed_ms,
            bytes: target.bytes,
            records: target.records,
            attributes: &target.attributes,
            parts,
        };
        let mut text = serde_json::to_vec(&manifest).expect("names and numbers are plain data");
        text.push(b'\n');
        Ok(text)
    }
}

/// Makes every pointer that is due on planes of this relay what the catalogue says. One that cannot
/// be written is logged and left for the next time.
pub(crate) async fn settle_all(relay: &Relay) -> Result<(), CatalogueError> {
    for (name, file) in relay.catalogue.due_pointers(PAGE).await? {
        let Some(served) = relay.planes.get(&name).and_then(|slot| slot.served()) else {
            continue;
        };
        let (catalogue, clock, plane) = (&relay.catalogue, &*relay.clock, &served.plane);
        let pointers = Pointers { catalogue, clock, name: &name, plane };
        match settle_locked(&pointers, &served.placing, &file).await {
            Ok(()) => tracing::info!(plane = %name, %file, "pointer settled"),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(plane = %name, %file, error, "pointer not settled");
            }
        }
    }
    Ok(())
}

/// As [`Pointers::settle`], for a caller that has no right to place parts yet.
///
/// # Errors
///
/// As for [`Pointers::settle`].
pub(crate) async fn settle_locked(
    pointers: &Pointers<'_>,
    placing: &Placing,
    file: &LogicalName,
) -> Result<(), PointerError> {
    if pointers.catalogue.due_pointer(pointers.name, file).await?.is_none() {
        return Ok(());
    }
    let _placing = placing.lock().await?;
    pointers.settle(file).await
}

/// What a pointer says it is.
const SCHEMA: &str = "skyspray.current/1";

/// A pointer, as it is written: one JSON object on one line.
#[derive(Serialize)]
struct Manifest<'a> {
    schema: &'static str,
    plane: &'a str,
    name: &'a str,
    generation: u64,
    /// The job that wrote it, HPCC-style.
    job: &'a str,
    committed_ms: i64,
    bytes: u64,
    records: Option<u64>,
    attributes: &'a [(String, String)],
    /// In part order.
    parts: Vec<ManifestPart>,
}

#[derive(Serialize)]
struct ManifestPart {
    /// Counted from 1.
    part: u64,
    /// From the plane's root.
    path: String,
    bytes: u64,
    records: Option<u64>,
    blake3: String,
    crc32: u32,
}

impl From<StoredPart> for ManifestPart {
    fn from(part: StoredPart) -> Self {
        Self {
            part: u64::from(part.part.0) + 1,
            path: part.path,
            bytes: part.length,
            records: part.records,
            blake3: part.digest.to_string(),
            crc32: part.crc32,
        }
    }
}
