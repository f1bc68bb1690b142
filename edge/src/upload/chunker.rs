//! Cuts the bytes of parts into chunk buffers. Bytes are read straight into the buffer they are
//! sent from; they are copied only where a part ends inside what was read.

use skyspray_link::feed::{PartEnd, Producer, SHORT_BODY, Stopped};
use skyspray_link::seam::files::PooledBuf;
use skyspray_wire::ids::{ChunkIndex, PartIndex};
use std::ops::Range;

/// Fills the chunks of one part after the other.
///
/// For each block: read into [`Chunker::space`], say how much with [`Chunker::begin_block`], then
/// attribute all of it with [`Chunker::take`] and [`Chunker::end_part`].
pub(super) struct Chunker<'a, E> {
    producer: &'a Producer<E>,
    chunk_size: usize,
    part: PartIndex,
    chunk: ChunkIndex,
    buffer: PooledBuf,
    /// Bytes at the front of the buffer that belong to the chunk.
    filled: usize,
    block: Block,
}

/// Where the block in hand is.
enum Block {
    /// In the buffer, from this place on; `length` bytes.
    InPlace { base: usize, length: usize },
    /// In memory of its own, because its buffer was handed over or other bytes came between.
    Aside(Vec<u8>),
}

impl<'a, E> Chunker<'a, E> {
    /// Starts with `part`.
    pub(super) fn new(producer: &'a Producer<E>, part: PartIndex) -> Self {
        Self {
            producer,
            chunk_size: producer.chunk_size().bytes() as usize,
            part,
            chunk: ChunkIndex(0),
            buffer: producer.buffer(),
            filled: 0,
            block: Block::Aside(Vec::new()),
        }
    }

    /// Room for the next block: what is left of the chunk, at least one byte.
    pub(super) fn space(&mut self) -> Result<&mut [u8], Stopped> {
        self.hand_over_if_full()?;
        let (filled, end) = (self.filled, self.chunk_size);
        Ok(&mut self.buffer.space()[filled..end])
    }

    /// `length` bytes were read into [`Chunker::space`].
    pub(super) fn begin_block(&mut self, length: usize) {
        self.block = Block::InPlace { base: self.filled, length };
    }

    /// The block in hand.
    pub(super) fn block(&mut self) -> &[u8] {
        match &self.block {
            Block::InPlace { base, length } => &self.buffer.space()[*base..][..*length],
            Block::Aside(bytes) => bytes,
        }
    }

    /// The next bytes of the part are these of the block.
    pub(super) fn take(&mut self, range: Range<usize>) -> Result<(), Stopped> {
        if let Block::InPlace { base, .. } = self.block
            && base + range.start == self.filled
        {
            self.filled = base + range.end;
            return Ok(());
        }
        self.set_aside();
        let Block::Aside(bytes) = &mut self.block else { return Ok(()) };
        let bytes = std::mem::take(bytes);
        let result = self.append(&bytes[range]);
        self.block = Block::Aside(bytes);
        result
    }

    /// The next bytes of the part are these, which are not of the block.
    pub(super) fn insert(&mut self, bytes: &[u8]) -> Result<(), Stopped> {
        self.set_aside();
        self.append(bytes)
    }

    /// The part is complete; the next bytes are those of the part after it.
    /// `end` names it.
    pub(super) fn end_part(&mut self, end: PartEnd) -> Result<(), Stopped> {
        self.set_aside();
        self.hand_over()?;
        self.producer.part_end(end)?;
        self.part = PartIndex(self.part.0 + 1);
        self.chunk = ChunkIndex(0);
        Ok(())
    }

    /// The part is given up; the next bytes are those of the part after it.
    pub(super) fn drop_part(&mut self) -> Result<(), Stopped> {
        self.block = Block::Aside(Vec::new());
        self.filled = 0;
        self.producer.part_dropped(self.part)?;
        self.part = PartIndex(self.part.0 + 1);
        self.chunk = ChunkIndex(0);
        Ok(())
    }

    /// The part being filled.
    pub(super) fn part(&self) -> PartIndex {
        self.part
    }

    fn append(&mut self, mut bytes: &[u8]) -> Result<(), Stopped> {
        while !bytes.is_empty() {
            let space = self.space()?;
            let count = space.len().min(bytes.len());
            space[..count].copy_from_slice(&bytes[..count]);
            self.filled += count;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    fn set_aside(&mut self) {
        if let Block::InPlace { base, length } = self.block {
            self.block = Block::Aside(self.buffer.space()[base..][..length].to_vec());
        }
    }

    fn hand_over_if_full(&mut self) -> Result<(), Stopped> {
        if self.filled == self.chunk_size { self.hand_over() } else { Ok(()) }
    }

    fn hand_over(&mut self) -> Result<(), Stopped> {
        if self.filled == 0 {
            return Ok(());
        }
        if self.filled <= SHORT_BODY {
            let body = &self.buffer.space()[..self.filled];
            self.producer.short_chunk(self.part, self.chunk, body)?;
        } else {
            let mut full = std::mem::replace(&mut self.buffer, self.producer.buffer());
            full.set_len(self.filled);
            self.producer.chunk(self.part, self.chunk, full)?;
        }
        self.chunk = ChunkIndex(self.chunk.0 + 1);
        self.filled = 0;
        Ok(())
    }
}
