//! The logical file that is copied: its parts as they were committed, read in order and checked.

use super::error::{CopyError, PartFault};
use crate::catalogue::{Catalogue, GenerationRecord, StoredPart};
use crate::plane::{Plane, PlaneError, StoredFile};
use skyspray_link::seam::files::{BufferPool, PooledBuf, RelPath};
use skyspray_wire::digest::Digest;
use skyspray_wire::ids::{PartIndex, SourceIndex};
use skyspray_wire::message::SourceNote;
use skyspray_wire::name::{LogicalName, PlaneName};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

/// Parts read from the catalogue at once.
const PAGE: u32 = 4096;

/// The generation that is copied.
#[derive(Debug)]
pub(super) struct Original {
    pub(super) plane_name: PlaneName,
    pub(super) name: LogicalName,
    pub(super) record: GenerationRecord,
    /// All of them, in order.
    pub(super) parts: Vec<StoredPart>,
    pub(super) plane: Arc<Plane>,
}

/// What the reading thread says.
#[derive(Debug)]
pub(super) enum Read {
    /// Bytes of a part, in order.
    Bytes {
        /// The part, from 0.
        part: usize,
        /// Where they stand in it.
        offset: u64,
        bytes: PooledBuf,
    },
    /// All of the part was read, and is what was committed.
    End {
        /// The part, from 0.
        part: usize,
    },
}

/// Why reading ended early.
#[derive(Debug)]
pub(super) enum Ended {
    /// Nobody wants more.
    Unwanted,
    Failed(CopyError),
}

impl Original {
    /// The current generation of a logical file.
    ///
    /// # Errors
    ///
    /// It does not exist, or is being replaced.
    pub(super) async fn load(
        catalogue: &Catalogue,
        (plane_name, plane): (&PlaneName, &Arc<Plane>),
        name: &LogicalName,
    ) -> Result<Self, CopyError> {
        let shown = || format!("{plane_name}:{name}");
        if catalogue.is_being_replaced(plane_name, name).await? {
            return Err(CopyError::Replaced { name: shown() });
        }
        let current = catalogue.current(plane_name, name).await?;
        let record = current.ok_or_else(|| CopyError::Missing { name: shown() })?;
        let (mut parts, mut after) = (Vec::new(), None);
        loop {
            let page = catalogue.parts((plane_name, name), record.generation, after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.part);
            parts.extend(page);
        }
        if parts.len() != record.parts as usize {
            return Err(CopyError::Replaced { name: shown() });
        }
        let (plane_name, plane) = (plane_name.clone(), Arc::clone(plane));
        Ok(Self { plane_name, name: name.clone(), record, parts, plane })
    }

    /// `PLANE:scope::name`.
    pub(super) fn shown(&self) -> String {
        format!("{}:{}", self.plane_name, self.name)
    }

    /// Its parts as what a copy that is cut anew is made of.
    pub(super) fn notes(&self) -> Vec<SourceNote> {
        let note = |part: &StoredPart| {
            let name = format!("{}:{}", self.plane_name, part.path);
            SourceNote::new(SourceIndex(part.part.0), &name, part.length)
        };
        self.parts.iter().map(note).collect()
    }

    /// Whether what is copied is still what the name means.
    pub(super) async fn is_current(&self, catalogue: &Catalogue) -> Result<bool, CopyError> {
        let current = catalogue.current(&self.plane_name, &self.name).await?;
        let same = current.is_some_and(|found| found.generation == self.record.generation);
        Ok(same && !catalogue.is_being_replaced(&self.plane_name, &self.name).await?)
    }

    /// Reads `length` bytes of a part, few enough for memory. Blocks.
    ///
    /// # Errors
    ///
    /// The part is not what was committed, or the plane failed.
    pub(super) fn piece(
        &self,
        part: usize,
        offset: u64,
        length: u32,
    ) -> Result<Vec<u8>, CopyError> {
        let mut bytes = vec![0; length as usize];
        if length > 0 {
            let file = self.open(part)?;
            self.fill(part, &file, &mut bytes, offset)?;
        }
        Ok(bytes)
    }

    /// Reads all parts once and says what it finds; a part is proved only by its `End`. Blocks.
    pub(super) fn read(&self, pool: &BufferPool, out: &SyncSender<Read>) -> Result<(), Ended> {
        for part in 0..self.parts.len() {
            self.read_part(part, pool, out)?;
            out.send(Read::End { part }).map_err(|_| Ended::Unwanted)?;
        }
        Ok(())
    }

    fn read_part(
        &self,
        part: usize,
        pool: &BufferPool,
        out: &SyncSender<Read>,
    ) -> Result<(), Ended> {
        let file = self.open(part).map_err(Ended::Failed)?;
        file.advise_sequential();
        let StoredPart { length, digest, .. } = self.parts[part];
        let mut hasher = blake3::Hasher::new();
        let mut offset = 0;
        while offset < length {
            let mut bytes = pool.take_blocking();
            let left = usize::try_from(length - offset).unwrap_or(usize::MAX);
            let count = pool.buffer_size().min(left);
            self.fill(part, &file, &mut bytes.space()[..count], offset).map_err(Ended::Failed)?;
            bytes.set_len(count);
            hasher.update(bytes.as_ref());
            let read = Read::Bytes { part, offset, bytes };
            out.send(read).map_err(|_| Ended::Unwanted)?;
            offset += count as u64;
        }
        if Digest(*hasher.finalize().as_bytes()) == digest {
            Ok(())
        } else {
            Err(Ended::Failed(self.fault(part, PartFault::Digest)))
        }
    }

    /// Reads a part and compares it with what was committed. Blocks.
    ///
    /// # Errors
    ///
    /// It differs, or the plane failed.
    pub(super) fn prove_part(&self, part: usize) -> Result<(), CopyError> {
        let measured = self.open(part)?.measure();
        let measured = measured.map_err(|error| self.plane_failed(part, error))?;
        match measured.digest == self.parts[part].digest {
            true => Ok(()),
            false => Err(self.fault(part, PartFault::Digest)),
        }
    }

    /// Opens a part that has the length it should have.
    fn open(&self, part: usize) -> Result<StoredFile, CopyError> {
        let StoredPart { path, length: expected, .. } = &self.parts[part];
        let path = RelPath::parse(path).map_err(|error| self.plane_failed(part, error.into()))?;
        let file = self.plane.open(&path).map_err(|error| self.plane_failed(part, error))?;
        let found = file.stat().map_err(|error| self.plane_failed(part, error))?.length;
        let fault = PartFault::Length { found, expected: *expected };
        if found == *expected { Ok(file) } else { Err(self.fault(part, fault)) }
    }

    fn fill(
        &self,
        part: usize,
        file: &StoredFile,
        bytes: &mut [u8],
        offset: u64,
    ) -> Result<(), CopyError> {
        let mut filled = 0;
        while filled < bytes.len() {
            let at = offset + filled as u64;
            let read = file.read_at(&mut bytes[filled..], at);
            let read = read.map_err(|error| self.plane_failed(part, error))?;
            if read == 0 {
                let expected = self.parts[part].length;
                return Err(self.fault(part, PartFault::Length { found: at, expected }));
            }
            filled += read;
        }
        Ok(())
    }

    /// What is told of a part that is not what was committed.
    pub(super) fn fault(&self, part: usize, fault: PartFault) -> CopyError {
        let part = PartIndex(u32::try_from(part).expect("parts are counted in 32 bits"));
        CopyError::Stored { name: self.shown(), part, fault }
    }

    /// What is told when the plane failed at a part.
    pub(super) fn plane_failed(&self, part: usize, source: PlaneError) -> CopyError {
        match source {
            PlaneError::Missing { .. } => self.fault(part, PartFault::Missing),
            source => CopyError::Plane { plane: self.plane_name.clone(), source },
        }
    }
}
