//! What an object store does and knows of parts by itself: it copies them into their places, and has
//! a tag for their content. No byte passes through here.

use super::object::BucketFault;
use super::object_plane::{ObjectPlane, REQUESTS_AT_ONCE, stat};
use super::runtime::wait;
use super::{Plane, PlaneError};
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
    /// Whether what is at `to` may be replaced.
    pub replace: Replace,
}

/// What the store made of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Copied {
    /// A copy of the right length.
    Made,
    /// Nothing: it cannot copy this, or may not. The bytes must be carried over.
    Refused,
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
        length: u64,
    ) -> Result<bool, PlaneError> {
        let (Self::Object(plane), Self::Object(source)) = (self, source) else {
            return Ok(false);
        };
        let (from, to) = (source.place(from)?, plane.place(to)?);
        Ok(to.bucket.copies_from(&from.bucket) && length <= to.bucket.limits().copy_bytes_max)
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
    /// has another length, or the copy has. After any other error the copy may have been made.
    pub fn copy_into(&self, parts: Vec<CopyInto>) -> Vec<Result<Copied, PlaneError>> {
        let Self::Object(plane) = self else {
            return parts.iter().map(|_| Ok(Copied::Refused)).collect();
        };
        let plane = plane.clone();
        let copy = move |part: CopyInto| {
            let plane = plane.clone();
            async move { copy_one(&plane, part).await }
        };
        wait(stream::iter(parts).map(copy).buffered(REQUESTS_AT_ONCE).collect())
    }
}

async fn copy_one(plane: &ObjectPlane, part: CopyInto) -> Result<Copied, PlaneError> {
    let Plane::Object(source) = &*part.source else { return Ok(Copied::Refused) };
    let (from, to) = (source.place(&part.from)?, plane.place(&part.to)?);
    let has_length = |path: &RelPath, found: u64| match found == part.length {
        true => Ok(()),
        false => Err(PlaneError::Short { path: path.clone(), expected: part.length, found }),
    };
    let found = from.bucket.stat(&from.key).await.map_err(|error| from.failed(error))?;
    has_length(&part.from, found.length)?;
    if part.replace == Replace::Never && stat(&to).await?.is_some() {
        return Err(PlaneError::Exists { path: part.to });
    }
    match to.bucket.copy_from(&from.bucket, &from.key, &to.key).await {
        Ok(()) => {}
        Err(error) => {
            return match error.fault() {
                BucketFault::NotSupported | BucketFault::TooLarge | BucketFault::Denied => {
                    Ok(Copied::Refused)
                }
                BucketFault::Missing => Err(from.failed(error)),
                _ => Err(to.failed(error)),
            };
        }
    }
    let found = stat(&to).await?.map_or(0, |found| found.length);
    has_length(&part.to, found)?;
    Ok(Copied::Made)
}
