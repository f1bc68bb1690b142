//! The producers of sending jobs: they read sources on a thread of their own, cut them into parts
//! and hand chunks to the feed.

use super::chunker::Chunker;
use super::fault::UploadFault;
use crate::source::Source;
use skyspray_dfu::format::RecordFormat;
use skyspray_dfu::split::{Piece, SplitError, SplitOptions, Splitter};
use skyspray_link::feed::Producer;
use skyspray_wire::ids::PartIndex;

/// Bytes after which what was read is dropped from the page cache.
const FORGET_EVERY: u64 = 64 * 1024 * 1024;

/// What a spray reads: sources in order, as one stream of records.
#[derive(Clone, Debug)]
pub(super) struct SprayPlan {
    pub(super) sources: Vec<Source>,
    pub(super) format: RecordFormat,
    pub(super) options: SplitOptions,
}

impl SprayPlan {
    fn lengths(&self) -> Vec<u64> {
        self.sources.iter().map(Source::length).collect()
    }

    /// Whether the options fit the sources, before anything is asked of a relay.
    pub(super) fn check(&self) -> Result<(), UploadFault> {
        self.splitter().map(|_| ())
    }

    fn splitter(&self) -> Result<Splitter, UploadFault> {
        Splitter::try_new(&self.format, &self.lengths(), self.options)
            .map_err(|error| self.fault(error))
    }

    fn fault(&self, error: SplitError) -> UploadFault {
        UploadFault::Record(Source::record_error(&self.sources, error))
    }

    /// Reads everything once, in order. Blocks.
    pub(super) fn produce(&self, producer: &Producer<UploadFault>) -> Result<(), UploadFault> {
        let mut splitter = self.splitter()?;
        let mut chunker = Chunker::new(producer, PartIndex(0));
        for source in &self.sources {
            let mut offset = 0;
            while offset < source.length() {
                let space = chunker.space()?;
                let left = source.length() - offset;
                let count = usize::try_from(left).map_or(space.len(), |left| left.min(space.len()));
                source.read_exact_at(&mut space[..count], offset)?;
                chunker.begin_block(count);
                splitter.push(chunker.block()).map_err(|error| self.fault(error))?;
                drain(&mut splitter, &mut chunker)?;
                let before = offset / FORGET_EVERY;
                offset += count as u64;
                if offset / FORGET_EVERY > before {
                    source.forget_before(offset);
                }
            }
            splitter.end_source().map_err(|error| self.fault(error))?;
            drain(&mut splitter, &mut chunker)?;
        }
        splitter.finish().map_err(|error| self.fault(error))?;
        drain(&mut splitter, &mut chunker)?;
        producer.plan_end(self.options.parts.get())?;
        Ok(())
    }
}

fn drain(
    splitter: &mut Splitter,
    chunker: &mut Chunker<'_, UploadFault>,
) -> Result<(), UploadFault> {
    while let Some(piece) = splitter.poll() {
        match piece {
            Piece::Bytes { range, .. } => chunker.take(range)?,
            Piece::Literal { bytes, .. } => chunker.insert(&bytes)?,
            Piece::PartEnd { length, records, .. } => chunker.end_part(length, Some(records))?,
        }
    }
    Ok(())
}

/// Reads one file of a push into the chunker's part. Blocks.
pub(super) fn read_whole(
    source: &Source,
    chunker: &mut Chunker<'_, UploadFault>,
) -> Result<(), UploadFault> {
    let mut offset = 0;
    while offset < source.length() {
        let space = chunker.space()?;
        let left = source.length() - offset;
        let count = usize::try_from(left).map_or(space.len(), |left| left.min(space.len()));
        source.read_exact_at(&mut space[..count], offset)?;
        chunker.begin_block(count);
        chunker.take(0..count)?;
        offset += count as u64;
    }
    source.recheck()?;
    chunker.end_part(source.length(), None)?;
    Ok(())
}
