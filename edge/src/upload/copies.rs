//! The producer of a push with metadata: files that are parts already, each as it is.

use super::chunker::Chunker;
use super::fault::UploadFault;
use super::reader::FORGET_EVERY;
use crate::meta::{PartFile, PartsFault};
use crate::source::Source;
use skyspray_link::feed::{PartEnd, Producer};
use skyspray_wire::ids::{PartIndex, SourceIndex};
use skyspray_wire::message::{OriginRange, SourceNote};

/// Files, each of which is one part, in part order.
#[derive(Debug)]
pub(super) struct Copies {
    parts: Vec<PartFile>,
    sources: Vec<Source>,
}

impl Copies {
    /// The parts in their order.
    pub(super) fn new(parts: Vec<PartFile>) -> Self {
        let sources = parts.iter().map(|part| part.source.clone()).collect();
        Self { parts, sources }
    }

    /// The files, one for each part.
    pub(super) fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// What the metadata say of the parts, as bytes that tell it from anything else they could say.
    pub(super) fn said(&self) -> Vec<u8> {
        let parts = self.parts.iter().map(|part| {
            let PartFile { crc32, records, header, footer, .. } = part;
            (crc32, records, header, footer)
        });
        let parts: Vec<_> = parts.collect();
        postcard::to_stdvec(&parts).expect("numbers are plain data")
    }

    /// Which file each part is.
    pub(super) fn origins(&self) -> (Vec<SourceNote>, Vec<OriginRange>) {
        let numbered = || (0..).zip(&self.sources);
        let notes = numbered().map(|(number, source)| {
            SourceNote::new(SourceIndex(number), &source.at().to_string(), source.length())
        });
        let filled = numbered().filter(|(_, source)| source.length() > 0);
        let ranges = filled.map(|(number, source)| OriginRange {
            part: PartIndex(number),
            part_offset: 0,
            source: SourceIndex(number),
            source_offset: 0,
            length: source.length(),
        });
        (notes.collect(), ranges.collect())
    }

    /// Reads every file once, in order, and compares its checksum before its part ends. Blocks.
    pub(super) fn produce(&self, producer: &Producer<UploadFault>) -> Result<(), UploadFault> {
        let mut chunker = Chunker::new(producer, PartIndex(0));
        for file in &self.parts {
            copy(file, &mut chunker)?;
        }
        producer.plan_end(chunker.part().0)?;
        Ok(())
    }
}

fn copy(file: &PartFile, chunker: &mut Chunker<'_, UploadFault>) -> Result<(), UploadFault> {
    let PartFile { ref source, crc32, records, header, footer } = *file;
    let (part, length) = (chunker.part(), source.length());
    let mut hasher = crc32.map(|_| crc32fast::Hasher::new());
    let mut offset = 0;
    while offset < length {
        let space = chunker.space()?;
        let left = length - offset;
        let count = usize::try_from(left).map_or(space.len(), |left| left.min(space.len()));
        source.read_exact_at(&mut space[..count], offset)?;
        if let Some(hasher) = &mut hasher {
            hasher.update(&space[..count]);
        }
        chunker.begin_block(count);
        chunker.take(0..count)?;
        let before = offset / FORGET_EVERY;
        offset += count as u64;
        if offset / FORGET_EVERY > before {
            source.forget_before(offset);
        }
    }
    source.recheck()?;
    let found = hasher.map(crc32fast::Hasher::finalize);
    if let Some((expected, found)) = crc32.zip(found)
        && expected != found
    {
        let path = source.at().to_string();
        return Err(PartsFault::Checksum { part, path, found, expected }.into());
    }
    chunker.end_part(PartEnd { part, length, records, header, footer })?;
    Ok(())
}
