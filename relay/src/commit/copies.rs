//! Parts of a copy that the object store copies into their places, and carrying them over where it
//! does not: the same digests are at the end of both ways.

use super::{CommitError, Commitment, Committer, PlaceError, Tally, is_part, verify};
use crate::catalogue::{PartCopy, PartRecord};
use crate::plane::{
    BucketError, Copied, CopyInto, Finish, Finished, Plane, PlaneError, StagedPart, StoredFile,
    Upload,
};
use crate::staging::{Staging, StagingError};
use crate::state::blocking;
use skyspray_link::seam::files::{BufferPool, RelPath, Replace};
use skyspray_wire::digest::Digest;
use skyspray_wire::ids::{ChunkIndex, ChunkSize};
use std::sync::Arc;

/// A part of a copy that nothing is staged of.
pub(super) struct Sourced {
    pub(super) finish: Finish,
    pub(super) row: PartRecord,
    pub(super) from: PartCopy,
}

impl Committer {
    /// Puts one page of copied parts in their places.
    pub(super) async fn place_copies(
        &self,
        commitment: &Commitment,
        page: Vec<Sourced>,
    ) -> Result<Tally, CommitError> {
        let mut copies = Vec::with_capacity(page.len());
        for Sourced { finish, from, .. } in &page {
            let source = self.sources.get(&from.plane).cloned();
            let source =
                source.ok_or_else(|| PlaceError::NoSource { plane: from.plane.clone() })?;
            let noted = std::slice::from_ref(&from.path);
            copies.push(CopyInto {
                source,
                from: RelPath::parse(&from.path).map_err(PlaneError::from)?,
                to: finish.target.path().clone(),
                length: finish.length,
                tag: self.catalogue.stored_tags(&from.plane, noted).await?.remove(&from.path),
                replace: finish.replace,
            });
        }
        let staging = Staging {
            plane: Arc::clone(&self.plane),
            plane_name: commitment.target.plane().clone(),
            catalogue: self.catalogue.clone(),
            clock: Arc::clone(&self.clock),
            job: commitment.job,
            epoch: commitment.epoch,
        };
        let size = commitment.chunk_size;
        blocking(move || {
            let outcomes = staging.plane.copy_into(copies.clone());
            let mut tally = Tally::default();
            for ((outcome, part), copy) in outcomes.into_iter().zip(&page).zip(&copies) {
                match settle(outcome, part, copy, (&staging, size))? {
                    Settled::Copied => tally.copied += 1,
                    Settled::Carried { reason } => {
                        tally.carried += 1;
                        tally.refused = tally.refused.or(reason);
                    }
                }
            }
            Ok(tally)
        })
        .await
    }
}

/// How a part got to its place.
enum Settled {
    Copied,
    Carried {
        /// Why the store did not copy it, where it said so.
        reason: Option<BucketError>,
    },
}

/// Sees to it that the part is in its place, after the store was asked to copy it there.
fn settle(
    outcome: Result<Copied, PlaneError>,
    part: &Sourced,
    copy: &CopyInto,
    (staging, size): (&Staging, ChunkSize),
) -> Result<Settled, CommitError> {
    let (finish, digest) = (&part.finish, part.row.digest);
    let outcome = match outcome {
        Ok(Copied::TooLarge) => copy_pieces(staging, copy, (finish, digest))?,
        // What this job put there before a crash may stand where nothing may be replaced.
        Err(error @ PlaneError::Exists { .. }) => {
            return match is_part(&staging.plane, finish, digest)? {
                true => Ok(Settled::Copied),
                false => Err(error.into()),
            };
        }
        outcome => outcome.map_err(|error| of_source(error, copy))?,
    };
    let reason = match outcome {
        Copied::Made if part.from.read_back => {
            return match verify(&staging.plane, finish, digest) {
                Err(PlaceError::Foreign) => Err(take_back(staging, finish)?.into()),
                verified => Ok(verified.map(|()| Settled::Copied)?),
            };
        }
        Copied::Made => return Ok(Settled::Copied),
        Copied::TooLarge => None,
        Copied::Refused { reason } => reason,
    };
    carry(staging, size, (copy, digest), finish)?;
    Ok(Settled::Carried { reason })
}

/// Has the store copy a part in pieces, as an upload like any other, and puts it in its place.
fn copy_pieces(
    staging: &Staging,
    copy: &CopyInto,
    (finish, digest): (&Finish, Option<Digest>),
) -> Result<Copied, CommitError> {
    let staged = staging.begin(&finish.target, Some(finish.length)).map_err(of_staging)?;
    match staged.copy_pieces(copy) {
        Ok(Copied::Made) => {
            finish_staged(staging, staged, (finish, digest))?;
            Ok(Copied::Made)
        }
        Ok(refused) => {
            staging.plane.abort(&finish.target, staged.upload())?;
            Ok(refused)
        }
        Err(error) => {
            // The failure of the copy is the one to tell; what is left is in the catalogue.
            if let Err(error) = staging.plane.abort(&finish.target, staged.upload()) {
                let path = finish.target.path();
                tracing::warn!(%path, error = &error as &dyn std::error::Error, "abort");
            }
            Err(of_source(error, copy))
        }
    }
}

/// Removes a copy that is not what was committed from a place where nothing was before: nobody else
/// would know it for what it is.
fn take_back(staging: &Staging, finish: &Finish) -> Result<PlaceError, PlaneError> {
    if finish.replace == Replace::Never {
        for removed in staging.plane.remove(std::slice::from_ref(finish.target.path())) {
            removed?;
        }
    }
    Ok(PlaceError::Miscopied)
}

/// Nothing but what is copied can be missing, or have changed.
fn of_source(error: PlaneError, copy: &CopyInto) -> CommitError {
    let path = copy.from.clone();
    match error {
        PlaneError::Missing { .. } => PlaceError::SourceGone { path }.into(),
        PlaneError::Changed { .. } => PlaceError::SourceChanged { path }.into(),
        error => error.into(),
    }
}

/// Carries the bytes of a part over and puts them in its place, if they are what was committed.
fn carry(
    staging: &Staging,
    size: ChunkSize,
    (copy, digest): (&CopyInto, Option<Digest>),
    finish: &Finish,
) -> Result<(), CommitError> {
    let file = copy.source.open(&copy.from).map_err(|error| of_source(error, copy))?;
    file.advise_sequential();
    let staged = staging.begin(&finish.target, Some(finish.length)).map_err(of_staging)?;
    let pool = BufferPool::new(1, size.bytes() as usize);
    let (mut hasher, mut offset, mut chunk) = (blake3::Hasher::new(), 0, 0);
    while offset < finish.length {
        let mut bytes = pool.take_blocking();
        let read = fill(&file, bytes.space(), offset).map_err(|error| of_source(error, copy))?;
        if read == 0 {
            break;
        }
        bytes.set_len(read);
        hasher.update(bytes.as_ref());
        staged.write_chunk(size, ChunkIndex(chunk), bytes)?;
        chunk += 1;
        offset += read as u64;
    }
    if offset != finish.length || digest != Some(Digest(*hasher.finalize().as_bytes())) {
        staging.plane.abort(&finish.target, staged.upload())?;
        return Err(PlaceError::Miscopied.into());
    }
    staged.sync()?;
    finish_staged(staging, staged, (finish, digest))
}

/// Puts a part that is staged in its place.
fn finish_staged(
    staging: &Staging,
    staged: StagedPart,
    (finish, digest): (&Finish, Option<Digest>),
) -> Result<(), CommitError> {
    let mut pieces = staged.take_pieces();
    pieces.sort_unstable_by_key(|(number, _)| *number);
    let pieces = pieces.into_iter().map(|(_, piece)| piece).collect();
    let upload = staged.upload().cloned().map(|id| Upload { id, pieces });
    let finish = Finish { upload, staged: Some(Arc::new(staged)), ..finish.clone() };
    finish_one(&staging.plane, &finish, digest)
}

fn finish_one(plane: &Plane, finish: &Finish, digest: Option<Digest>) -> Result<(), CommitError> {
    for outcome in plane.finish(std::slice::from_ref(finish)) {
        if outcome? == Finished::Found {
            // What was there before may have the same length.
            verify(plane, finish, digest)?;
        }
    }
    Ok(())
}

/// Reads until `bytes` is full or the file ends.
fn fill(file: &StoredFile, bytes: &mut [u8], offset: u64) -> Result<usize, PlaneError> {
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], offset + filled as u64)? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

fn of_staging(error: StagingError) -> CommitError {
    match error {
        StagingError::Plane(error) => error.into(),
        StagingError::Job(error) => error.into(),
    }
}
