//! Copies that the object store makes by itself: the job is sealed with what is known of the original's
//! parts, and its commit has the store copy them into their places.

use super::error::CopyError;
use super::transfer::{TOUCH_INTERVAL, Transfer, cancelled, patiently};
use super::{CopyRequest, Original};
use crate::catalogue::{CopiedFrom, SealedPart, StoredPart};
use crate::plane::{PlaneError, part_path};
use crate::state::blocking;
use skyspray_link::seam::files::RelPath;
use skyspray_wire::message::PartSeal;
use std::future::Future;
use std::sync::Arc;
use tokio::time::{MissedTickBehavior, interval};

/// Parts sealed in one transaction.
const SEALED_AT_ONCE: usize = 1024;

impl Transfer<'_> {
    /// Whether the store can copy every part, as far as is known without asking it.
    ///
    /// # Errors
    ///
    /// A part has a path that no plane has.
    pub(super) fn may_copy_inside(&self, original: &Original) -> Result<bool, CopyError> {
        let target = &self.place.staging.plane;
        for (index, part) in original.parts.iter().enumerate().filter(|(_, part)| part.length > 0) {
            let failed = |source| original.plane_failed(index, source);
            let from = RelPath::parse(&part.path).map_err(|error| failed(error.into()))?;
            let to = self.path(part).map_err(failed)?;
            let can = target.copies_inside(&original.plane, (&from, &to));
            if !can.map_err(failed)? {
                return Ok(false);
            }
        }
        Ok(original.parts.iter().any(|part| part.length > 0))
    }

    /// Seals the job without a byte of it. What is to replace something is read before, where it is
    /// not to be believed unread.
    ///
    /// # Errors
    ///
    /// The job is not sealed, and still open unless it was given up by others.
    pub(super) async fn seal_inside(
        &self,
        original: &Arc<Original>,
        request: &CopyRequest,
        stop: impl Future<Output = ()>,
    ) -> Result<(), CopyError> {
        tokio::select! {
            prepared = self.prepare(original, request) => prepared?,
            () = stop => return Err(CopyError::Interrupted),
        }
        let from = CopiedFrom {
            plane: &original.plane_name,
            name: &original.name,
            generation: original.record.generation,
            read_back: request.read_back,
        };
        let seal = || async { self.catalogue.seal_copy(self.key, from, self.now_ms()).await };
        match patiently(seal).await.map_err(cancelled)? {
            true => Ok(()),
            false => Err(CopyError::Replaced { name: original.shown() }),
        }
    }

    async fn prepare(
        &self,
        original: &Arc<Original>,
        request: &CopyRequest,
    ) -> Result<(), CopyError> {
        if request.read_back && request.overwrite {
            self.prove_original(original).await?;
        }
        self.record_origins(original).await?;
        let (job, epoch) = self.key;
        for page in original.parts.chunks(SEALED_AT_ONCE) {
            let sealed = page.iter().map(|part| self.sealed(part)).collect::<Result<Vec<_>, _>>();
            let failed = |source| CopyError::Plane { plane: self.place.plane_name.clone(), source };
            let sealed = sealed.map_err(failed)?;
            let recorded = self.catalogue.seal_parts(job, epoch, &sealed, self.now_ms()).await;
            recorded.map_err(cancelled)?;
        }
        Ok(())
    }

    /// Reads the whole original while the lease is kept.
    async fn prove_original(&self, original: &Arc<Original>) -> Result<(), CopyError> {
        let original = Arc::clone(original);
        let mut proving = Box::pin(blocking(move || original.prove()));
        let mut ticks = interval(TOUCH_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                proved = &mut proving => return proved,
                _ = ticks.tick() => self.touch().await?,
            }
        }
    }

    fn sealed(&self, part: &StoredPart) -> Result<SealedPart, PlaneError> {
        let StoredPart { part: index, length, digest, crc32, records, header, footer, .. } = *part;
        let seal = PartSeal { part: index, length, digest, crc32, records, header, footer };
        Ok(SealedPart { seal, path: self.path(part)?.to_string() })
    }

    fn path(&self, part: &StoredPart) -> Result<RelPath, PlaneError> {
        part_path(&self.place.paths, &self.place.name, part.part)
    }
}

impl Original {
    /// Reads every part and compares it with what was committed. Blocks.
    fn prove(&self) -> Result<(), CopyError> {
        (0..self.parts.len()).try_for_each(|part| self.prove_part(part))
    }
}
