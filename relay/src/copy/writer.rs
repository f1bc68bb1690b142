//! Writes the parts of a copy one after the other: staged, hashed by chunks as a spray's parts are,
//! and handed on to be made durable and sealed.

use crate::catalogue::SealedPart;
use crate::plane::{PartTarget, PieceId, PlaneError, StagedPart, part_path};
use crate::staging::{Staging, StagingError};
use skyspray_dfu::naming::PartPaths;
use skyspray_link::seam::files::{BufferPool, PooledBuf};
use skyspray_wire::digest::{ChunkValue, PartTree};
use skyspray_wire::ids::{ChunkIndex, ChunkSize, PartIndex};
use skyspray_wire::message::PartSeal;
use skyspray_wire::name::{LogicalName, PlaneName};

/// Where the parts of a copy go.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) staging: Staging,
    pub(super) plane_name: PlaneName,
    pub(super) name: LogicalName,
    pub(super) paths: PartPaths,
    pub(super) chunk_size: ChunkSize,
    /// About how long a part will be, in bytes.
    pub(super) length_hint: u64,
}

/// What is said of a part beside its bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct PartShape {
    pub(super) records: Option<u64>,
    pub(super) header: u32,
    pub(super) footer: u32,
}

/// A part that is written and not yet durable.
#[derive(Debug)]
pub(super) struct Written {
    /// `None` for a part without bytes.
    pub(super) staged: Option<StagedPart>,
    /// What is to be named when the part is finished, on planes whose parts are uploads.
    pub(super) pieces: Vec<(u32, PieceId)>,
    pub(super) tree: PartTree,
    pub(super) sealed: SealedPart,
}

/// Writes the parts in order.
#[derive(Debug)]
pub(super) struct Writer {
    place: Place,
    pool: BufferPool,
    part: PartIndex,
    tree: PartTree,
    chunk: ChunkIndex,
    staged: Option<StagedPart>,
    /// Taken with the first byte of a chunk.
    buffer: Option<PooledBuf>,
    filled: usize,
}

impl Writer {
    /// Starts with the first part.
    pub(super) fn new(place: Place) -> Self {
        Self {
            pool: BufferPool::new(1, place.chunk_size.bytes() as usize),
            part: PartIndex(0),
            tree: PartTree::new(place.chunk_size),
            chunk: ChunkIndex(0),
            staged: None,
            buffer: None,
            filled: 0,
            place,
        }
    }

    /// The plane written to.
    pub(super) fn plane(&self) -> &PlaneName {
        &self.place.plane_name
    }

    /// Bytes of a chunk.
    pub(super) fn chunk_bytes(&self) -> usize {
        self.pool.buffer_size()
    }

    /// The next bytes of the part.
    ///
    /// # Errors
    ///
    /// The plane failed; nothing of the part counts.
    pub(super) fn append(&mut self, mut bytes: &[u8]) -> Result<(), StagingError> {
        while !bytes.is_empty() {
            let size = self.pool.buffer_size();
            let buffer = self.buffer.get_or_insert_with(|| self.pool.take_blocking());
            let count = bytes.len().min(size - self.filled);
            let (taken, rest) = bytes.split_at(count);
            buffer.space()[self.filled..][..count].copy_from_slice(taken);
            self.filled += count;
            bytes = rest;
            if self.filled == size {
                self.write_chunk()?;
            }
        }
        Ok(())
    }

    /// The part is complete; the next bytes are those of the part after it.
    ///
    /// # Errors
    ///
    /// As for [`Writer::append`].
    pub(super) fn end_part(&mut self, shape: PartShape) -> Result<Written, StagingError> {
        self.write_chunk()?;
        let tree = std::mem::replace(&mut self.tree, PartTree::new(self.place.chunk_size));
        let length = tree.bytes();
        let (digest, crc32) = tree.root(length).expect("chunks were written without gaps");
        let PartShape { records, header, footer } = shape;
        let seal = PartSeal { part: self.part, length, digest, crc32, records, header, footer };
        let path = self.target()?.path().to_string();
        let staged = self.staged.take();
        let pieces = staged.as_ref().map(StagedPart::take_pieces).unwrap_or_default();
        self.part = PartIndex(self.part.0 + 1);
        self.chunk = ChunkIndex(0);
        Ok(Written { staged, pieces, tree, sealed: SealedPart { seal, path } })
    }

    fn write_chunk(&mut self) -> Result<(), StagingError> {
        let Some(mut buffer) = self.buffer.take() else { return Ok(()) };
        buffer.set_len(self.filled);
        self.filled = 0;
        let size = self.place.chunk_size;
        let value = ChunkValue::of(size, self.chunk, buffer.as_ref());
        self.tree.insert(self.chunk, &value).expect("chunks come in order, the short one last");
        let staged = match self.staged.take() {
            Some(staged) => staged,
            None => self.place.staging.begin(&self.target()?, Some(self.place.length_hint))?,
        };
        let staged = self.staged.insert(staged);
        staged.write_chunk(size, self.chunk, buffer)?;
        self.chunk = ChunkIndex(self.chunk.0 + 1);
        Ok(())
    }

    fn target(&self) -> Result<PartTarget, PlaneError> {
        let path = part_path(&self.place.paths, &self.place.name, self.part)?;
        self.place.staging.target(self.part, path)
    }
}
