//! The current generation of a logical file, its parts, and the one file they make.

use super::Api;
use super::content::{Guard, Segment, Stored};
use super::error::ApiError;
use crate::catalogue::{GenerationRecord, StoredPart};
use crate::plane::Plane;
use axum::body::Bytes;
use skyspray_dfu::join::{self, Joined, Placed};
use skyspray_link::seam::files::RelPath;
use skyspray_wire::ids::{Generation, PartIndex};
use skyspray_wire::name::{LogicalName, PlaneName};
use std::sync::Arc;

/// Parts read from the catalogue at once.
const ROWS: u32 = 4096;

/// What a name means at the moment.
pub(super) struct Current {
    pub(super) plane_name: PlaneName,
    pub(super) plane: Arc<Plane>,
    pub(super) name: LogicalName,
    pub(super) record: GenerationRecord,
}

impl Current {
    /// Finds it; `pinned` is the generation the client means, if it said so.
    pub(super) async fn load(
        api: &Api,
        (plane_name, name): (PlaneName, LogicalName),
        pinned: Option<u64>,
    ) -> Result<Self, ApiError> {
        let plane = super::files::plane(api, &plane_name)?;
        let catalogue = &api.relay.catalogue;
        let shown = || format!("{plane_name}:{name}");
        let current = catalogue.current(&plane_name, &name).await?;
        let record = current.ok_or_else(|| ApiError::Missing { name: shown() })?;
        if pinned.is_some_and(|pinned| Generation(pinned) != record.generation) {
            let current = record.generation;
            return Err(ApiError::GenerationDiffers { name: shown(), current });
        }
        Ok(Self { plane, record, plane_name, name })
    }

    /// `PLANE:scope::name`.
    pub(super) fn shown(&self) -> String {
        format!("{}:{}", self.plane_name, self.name)
    }

    /// Strong entity tag of the whole content: another for every generation ever committed.
    pub(super) fn tag(&self) -> String {
        format!("\"{}.{}\"", self.record.generation, self.record.job)
    }

    /// Strong entity tag of one part.
    pub(super) fn part_tag(&self, part: PartIndex) -> String {
        format!("\"{}.{}.{part}\"", self.record.generation, self.record.job)
    }

    /// Refuses to begin while a commit is about to replace the parts.
    pub(super) async fn refuse_replaced(&self, api: &Api) -> Result<(), ApiError> {
        let catalogue = &api.relay.catalogue;
        if catalogue.is_being_replaced(&self.plane_name, &self.name).await? {
            return Err(ApiError::BeingReplaced { name: self.shown() });
        }
        Ok(())
    }

    /// Parts after `after`.
    pub(super) async fn parts(
        &self,
        api: &Api,
        after: Option<PartIndex>,
        limit: u32,
    ) -> Result<Vec<StoredPart>, ApiError> {
        let file = (&self.plane_name, &self.name);
        Ok(api.relay.catalogue.parts(file, self.record.generation, after, limit).await?)
    }

    /// All parts.
    async fn all_parts(&self, api: &Api) -> Result<Vec<StoredPart>, ApiError> {
        let (mut parts, mut after) = (Vec::new(), None);
        loop {
            let page = self.parts(api, after, ROWS).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.part);
            parts.extend(page);
        }
        if parts.len() != self.record.parts as usize {
            return Err(ApiError::BeingReplaced { name: self.shown() });
        }
        Ok(parts)
    }

    /// The one file that all parts make, and its length.
    pub(super) async fn joined(&self, api: &Api) -> Result<(Vec<Segment>, u64), ApiError> {
        let parts = self.all_parts(api).await?;
        let stored = |part: &StoredPart| join::Stored {
            length: part.length,
            header: part.header,
            footer: part.footer,
        };
        let shapes: Vec<join::Stored> = parts.iter().map(stored).collect();
        let joined = Joined::of_file(&self.record.attributes, &shapes)
            .map_err(|source| ApiError::Parts { name: self.shown(), source })?;
        let mut added = joined.added.into_iter().peekable();
        let mut segments = Vec::with_capacity(parts.len());
        for (part, placed) in parts.iter().zip(joined.parts) {
            while let Some((at, bytes)) = added.next_if(|(at, _)| *at <= placed.at) {
                segments.push(Segment::Added { at, bytes: Bytes::from(bytes) });
            }
            segments.push(self.stored(part, placed)?);
        }
        segments.extend(added.map(|(at, bytes)| Segment::Added { at, bytes: bytes.into() }));
        Ok((segments, joined.length))
    }

    /// One part as it is stored.
    pub(super) fn whole_part(&self, part: &StoredPart) -> Result<Segment, ApiError> {
        self.stored(part, Placed { from: 0, to: part.length, at: 0 })
    }

    fn stored(&self, part: &StoredPart, placed: Placed) -> Result<Segment, ApiError> {
        let path = RelPath::parse(&part.path)
            .map_err(|_| ApiError::Corrupt { name: self.shown(), part: part.part })?;
        let (length, digest) = (part.length, Some(part.digest));
        let stored = Stored { part: part.part, path, placed, length, digest, opened: None };
        Ok(Segment::Stored(Box::new(stored)))
    }

    /// What must hold for what is read to be of this generation.
    pub(super) fn guard(&self, api: &Api) -> Guard {
        Guard {
            relay: Arc::clone(&api.relay),
            plane: self.plane_name.clone(),
            generation: Some((self.name.clone(), self.record.generation)),
        }
    }
}
