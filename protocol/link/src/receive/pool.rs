//! What all receiving jobs of a process share.

use super::{lock, too_large};
use crate::codec::Decompressor;
use crate::seam::files::{BufferPool, PooledBuf};
use skyspray_wire::chunk::ChunkHeader;
use skyspray_wire::refusal::{Refusal, RefusalCode};
use std::sync::Mutex;

/// Memory and helpers that all receiving jobs of a process share.
#[derive(Debug)]
pub struct ReceivePool {
    pub(super) bodies: BufferPool,
    /// Held only while a chunk is verified and written, so waiting for room always ends.
    decompressed: BufferPool,
    decompressors: Mutex<Vec<Decompressor>>,
}

impl ReceivePool {
    /// Memory for `bodies` on their way in, and for what is `decompressed` of them.
    pub fn new(bodies: BufferPool, decompressed: BufferPool) -> Self {
        Self { bodies, decompressed, decompressors: Mutex::new(Vec::new()) }
    }

    /// Gives the host back the memory that no job has needed since the last time.
    pub fn trim(&self) {
        self.bodies.trim();
        self.decompressed.trim();
    }

    pub(super) fn decompress(
        &self,
        header: &ChunkHeader,
        body: &[u8],
    ) -> Result<PooledBuf, Refusal> {
        let length = header.raw_length as usize;
        if !self.decompressed.fits(length) {
            return Err(too_large(header));
        }
        let mut raw = self.decompressed.take_blocking_for(length);
        let failed = |detail: String| Refusal::new(RefusalCode::ChunkCorrupt, detail);
        let idle = lock(&self.decompressors).pop();
        let mut decompressor = match idle {
            Some(decompressor) => decompressor,
            None => Decompressor::try_new()
                .map_err(|_| Refusal::new(RefusalCode::Internal, "no memory to decompress"))?,
        };
        let result = decompressor.decompress(body, &mut raw.space()[..length]);
        lock(&self.decompressors).push(decompressor);
        result.map_err(|error| failed(error.to_string()))?;
        raw.set_len(length);
        Ok(raw)
    }
}
