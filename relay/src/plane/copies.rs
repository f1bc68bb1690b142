//! What an object store does and knows of parts by itself: it copies them into their places, and has
//! a tag for their content. No byte passes through here.

use super::object::{BucketFault, CopyOf, ObjectStat, ObjectTag};
use super::object_plane::{ObjectPlane, Place, REQUESTS_AT_ONCE, stat, take_back};
use super::runtime::wait;
use super::staged::{Staged, StagedPart};
use super::{BucketError, Plane, PlaneError};
use futures_util::StreamExt as _;
use futures_util::stream;
use skyspray_link::seam::files::{RelPath, Replace};
use std::sync::Arc;

/// A part to be copied into its place.
#[derive(Clone, Debug)]
pub struct CopyInto {
    /// The plane it is stored on.
    pub source: Arc<Plane>,
    /// Where it is stored there.
    pub from: RelPath,
    /// Where it goes, from the root of the plane that is asked.
    pub to: RelPath,
    /// Its length in bytes.
    pub length: u64,
    /// What the store called its content when it was committed; `None` where that is not known.
    pub tag: Option<String>,
    /// Whether what is at `to` may be replaced.
    pub replace: Replace,
}

/// What the store made of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Copied {
    /// A copy of the right length.
    Made,
    /// Nothing: what is copied is too large for one request, and can be copied in pieces by
    /// [`StagedPart::copy_pieces`].
    TooLarge,
    /// Nothing: it cannot copy this, or may not, or has another tag for it than when it was
    /// committed. The bytes must be carried over, and compared.
    Refused {
        /// What the store said; `None` where it was not asked.
        reason: Option<BucketError>,
    },
}

impl Plane {
    /// Whether the object store can copy a stored part of `source` to `to` on this plane, as far as
    /// that is known without asking it.
    ///
    /// # Errors
    ///
    /// [`PlaneError::Path`].
    pub fn copies_inside(
        &self,
        source: &Self,
        (from, to): (&RelPath, &RelPath),
    ) -> Result<bool, PlaneError> {
        let (Self::Object(plane), Self::Object(source)) = (self, source) else {
            return Ok(false);
        };
        let (from, to) = (source.place(from)?, plane.place(to)?);
        Ok(to.bucket.copies_from(&from.bucket))
    }

    /// What the store calls the content of stored files, so that another content has another tag;
    /// `None` where nothing is stored, or the plane has no such tags. In the order of `paths`.
    pub fn tags(&self, paths: Vec<RelPath>) -> Vec<Result<Option<String>, PlaneError>> {
        let Self::Object(plane) = self else {
            return paths.iter().map(|_| Ok(None)).collect();
        };
        let plane = plane.clone();
        let tag = move |path: RelPath| {
            let plane = plane.clone();
            async move {
                let found = stat(&plane.place(&path)?).await?;
                Ok(found.and_then(|found| found.tag).map(|tag| tag.0))
            }
        };
        wait(stream::iter(paths).map(tag).buffered(REQUESTS_AT_ONCE).collect())
    }

    /// Has the store copy parts into their places; the outcomes are in the order of `parts`. A part
    /// that is copied again is copied once more.
    ///
    /// # Errors
    ///
    /// Each part alone. [`PlaneError::Exists`] when the place is taken and may not be;
    /// [`PlaneError::Missing`] and [`PlaneError::Short`] when what was to be copied is not there or
    /// has another length, or the copy has; [`PlaneError::Changed`] when it was replaced meanwhile.
    /// After any other error the copy may have been made.
    pub fn copy_into(&self, parts: Vec<CopyInto>) -> Vec<Result<Copied, PlaneError>> {
        let Self::Object(plane) = self else {
            return parts.iter().map(|_| Ok(Copied::Refused { reason: None })).collect();
        };
        let plane = plane.clone();
        let copy = move |part: CopyInto| {
            let plane = plane.clone();
            async move { copy_one(&plane, part).await }
        };
        wait(stream::iter(parts).map(copy).buffered(REQUESTS_AT_ONCE).collect())
    }
}

impl StagedPart {
    /// Has the store copy all of a stored part into the pieces of this one, which must have none. The
    /// pieces are those of [`StagedPart::take_pieces`].
    ///
    /// # Errors
    ///
    /// As for [`Plane::copy_into`]. Whatever was copied stays in the pieces.
    pub fn copy_pieces(&self, part: &CopyInto) -> Result<Copied, PlaneError> {
        let (Staged::Object(staged), Plane::Object(source)) = (&self.0, &*part.source) else {
            return Ok(Copied::Refused { reason: None });
        };
        let (place, upload) = (staged.place().clone(), staged.upload().clone());
        let (from, part) = (source.place(&part.from)?, part.clone());
        let copied = wait(async move {
            let original = Original::find(&from, &part).await?;
            let of = original.as_copied();
            let copy =
                |(range, index)| place.bucket.copy_piece((of, range), (&place.key, &upload), index);
            let ranges = place.bucket.copied_pieces(part.length);
            let copies = ranges.into_iter().zip(0..).map(copy);
            let mut copies = stream::iter(copies).buffered(REQUESTS_AT_ONCE);
            let mut pieces = Vec::new();
            while let Some(copied) = copies.next().await {
                match copied {
                    Ok(piece) => pieces.push(piece),
                    Err(error) => return refusal(error, (&from, &place)).map(Err),
                }
            }
            original.recheck().await?;
            Ok(Ok(pieces))
        });
        match copied? {
            Ok(pieces) => staged.add_pieces(pieces),
            Err(refused) => return Ok(refused),
        }
        Ok(Copied::Made)
    }
}

/// What is copied, as it was before.
struct Original<'a> {
    place: &'a Place,
    found: ObjectStat,
}

impl<'a> Original<'a> {
    /// Looks at it: it has the length it should have.
    async fn find(place: &'a Place, part: &CopyInto) -> Result<Self, PlaneError> {
        let found = place.bucket.stat(&place.key).await.map_err(|error| place.failed(error))?;
        has_length(&part.from, (found.length, part.length))?;
        Ok(Self { place, found })
    }

    /// Whether it has, as far as both are known, the tag it had when it was committed.
    fn has_tag(&self, expected: Option<&String>) -> bool {
        match (expected, &self.found.tag) {
            (Some(expected), Some(ObjectTag(found))) => expected == found,
            _ => true,
        }
    }

    fn as_copied(&self) -> CopyOf<'_> {
        let Place { bucket, key, .. } = self.place;
        CopyOf { bucket, key, length: self.found.length, tag: self.found.tag.as_ref() }
    }

    /// Looks at it again: not every store holds a copy against the tag that it was asked for with.
    async fn recheck(&self) -> Result<(), PlaneError> {
        let now = stat(self.place).await?;
        let same =
            now.is_some_and(|now| (now.length, &now.tag) == (self.found.length, &self.found.tag));
        match same {
            true => Ok(()),
            false => Err(PlaneError::Changed { path: self.place.path.clone() }),
        }
    }
}

async fn copy_one(plane: &ObjectPlane, part: CopyInto) -> Result<Copied, PlaneError> {
    let Plane::Object(source) = &*part.source else { return Ok(Copied::Refused { reason: None }) };
    let (from, to) = (source.place(&part.from)?, plane.place(&part.to)?);
    let original = Original::find(&from, &part).await?;
    if part.replace == Replace::Never && stat(&to).await?.is_some() {
        return Err(PlaneError::Exists { path: part.to });
    }
    if !original.has_tag(part.tag.as_ref()) {
        return Ok(Copied::Refused { reason: Some(from.bucket.changed(&from.key)) });
    }
    if let Err(error) = to.bucket.copy_from(original.as_copied(), &to.key).await {
        return refusal(error, (&from, &to));
    }
    let found = stat(&to).await?.map_or(0, |found| found.length);
    let checked = match original.recheck().await {
        Ok(()) => has_length(&part.to, (found, part.length)),
        changed => changed,
    };
    if checked.is_err() && part.replace == Replace::Never {
        take_back(&to).await;
    }
    checked.map(|()| Copied::Made)
}

/// What a copy that failed means: not every failure is one of the job.
fn refusal(error: BucketError, (from, to): (&Place, &Place)) -> Result<Copied, PlaneError> {
    match error.fault() {
        BucketFault::TooLarge if to.bucket.copies_pieces() => Ok(Copied::TooLarge),
        BucketFault::NotSupported
        | BucketFault::TooLarge
        | BucketFault::Denied
        | BucketFault::Forbidden => Ok(Copied::Refused { reason: Some(error) }),
        BucketFault::Missing | BucketFault::Changed => Err(from.failed(error)),
        _ => Err(to.failed(error)),
    }
}

fn has_length(path: &RelPath, (found, expected): (u64, u64)) -> Result<(), PlaneError> {
    match found == expected {
        true => Ok(()),
        false => Err(PlaneError::Short { path: path.clone(), expected, found }),
    }
}
