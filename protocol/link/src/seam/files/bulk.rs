//! Reading and writing in bulk: past the page cache where that can be, through it where it cannot.
//!
//! Copying into and out of page cache that was not there a moment ago is the largest single cost of
//! moving much data once, and the sync after direct writes has next to nothing left to do.

use super::buffer::BUFFER_ALIGNMENT;
use super::{Caching, Cause, File, FileError, RelPath, Tree};
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// Shortest access that goes past the page cache, in bytes.
const DIRECT_BYTES_MIN: usize = 256 * 1024;

/// A multiple of this is aligned for direct access.
const ALIGNMENT: u64 = BUFFER_ALIGNMENT as u64;

/// An open file for bulk access. Several threads may use it at once, at different offsets.
///
/// Bytes written in any of its ways are durable after one [`File::sync_data`] of [`BulkFile::file`].
pub struct BulkFile {
    tree: Arc<dyn Tree>,
    path: RelPath,
    access: Access,
    file: Arc<dyn File>,
    /// Opened with the first access that can use it.
    direct: OnceLock<Direct>,
}

/// Another handle of the same file, past the page cache.
enum Direct {
    Open(Arc<dyn File>),
    /// There is no such access.
    Unavailable,
    /// The name is another file's by now, or nobody's.
    NameLost,
}

/// What the file was opened for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Access {
    Read,
    Write,
}

impl BulkFile {
    /// Opens the regular file at `path` for reading.
    ///
    /// # Errors
    ///
    /// As [`Tree::open_read`].
    pub fn open_read(tree: &Arc<dyn Tree>, path: &RelPath) -> Result<Self, FileError> {
        let file = tree.open_read(path)?;
        Ok(Self::new(tree, path, file, Access::Read))
    }

    /// Takes over a file that was opened at `path` for writing through the page cache.
    pub fn for_writing(tree: &Arc<dyn Tree>, path: &RelPath, file: Arc<dyn File>) -> Self {
        Self::new(tree, path, file, Access::Write)
    }

    fn new(tree: &Arc<dyn Tree>, path: &RelPath, file: Arc<dyn File>, access: Access) -> Self {
        let (tree, path) = (Arc::clone(tree), path.clone());
        Self { tree, path, access, file, direct: OnceLock::new() }
    }

    /// The handle through the page cache.
    pub fn file(&self) -> &Arc<dyn File> {
        &self.file
    }

    /// Reads `length` bytes at `offset` into the front of `buffer`, fewer where the file ends; says
    /// how many. A buffer that is aligned and has room for `length` rounded up is read into directly;
    /// what is behind the bytes read is overwritten then.
    ///
    /// # Errors
    ///
    /// The host's.
    pub fn read_at(
        &self,
        buffer: &mut [u8],
        length: usize,
        offset: u64,
    ) -> Result<usize, FileError> {
        let rounded = length.next_multiple_of(BUFFER_ALIGNMENT);
        if length >= DIRECT_BYTES_MIN
            && rounded <= buffer.len()
            && is_aligned(buffer, offset)
            && let Some(direct) = self.direct()
        {
            return Ok(direct.read_at(&mut buffer[..rounded], offset)?.min(length));
        }
        self.file.read_at(&mut buffer[..length], offset)
    }

    /// Writes all of `bytes` at `offset`: directly where all of them are aligned.
    ///
    /// # Errors
    ///
    /// The host's. Any part of them may have been written then.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), FileError> {
        let whole = bytes.len() >= DIRECT_BYTES_MIN
            && bytes.len().is_multiple_of(BUFFER_ALIGNMENT)
            && is_aligned(bytes, offset);
        let direct = if whole { self.direct() } else { None };
        direct.unwrap_or(&self.file).write_all_at(bytes, offset)
    }

    /// Writes the bytes of `buffer` in `range` at `offset`. Those that fill aligned blocks of the file
    /// go directly, if need be after they were moved within the buffer, whose content is anything
    /// afterwards; the rest, less than a block at either end, through the page cache.
    ///
    /// # Errors
    ///
    /// The host's. Any part of them may have been written then.
    pub fn write_from(
        &self,
        buffer: &mut [u8],
        range: Range<usize>,
        offset: u64,
    ) -> Result<(), FileError> {
        let end = offset + range.len() as u64;
        let blocks = offset.next_multiple_of(ALIGNMENT)..end - end % ALIGNMENT;
        let length = blocks.end.saturating_sub(blocks.start);
        let length = usize::try_from(length).expect("no more than the range");
        let direct =
            if length >= DIRECT_BYTES_MIN && is_aligned(buffer, 0) { self.direct() } else { None };
        let Some(direct) = direct else {
            return self.file.write_all_at(&buffer[range], offset);
        };
        let head = usize::try_from(blocks.start - offset).expect("less than a block");
        let (from, tail) = (range.start + head, range.start + head + length);
        if head > 0 {
            self.file.write_all_at(&buffer[range.start..from], offset)?;
        }
        if tail < range.end {
            self.file.write_all_at(&buffer[tail..range.end], blocks.end)?;
        }
        let to = from - from % BUFFER_ALIGNMENT;
        buffer.copy_within(from..tail, to);
        direct.write_all_at(&buffer[to..to + length], blocks.start)
    }

    /// Whether the name was another file's, or nobody's, when it was opened once more for direct
    /// access. What is written goes to the file that was opened first all the same, which nobody
    /// finds by this name.
    pub fn has_lost_name(&self) -> bool {
        matches!(self.direct.get(), Some(Direct::NameLost))
    }

    fn direct(&self) -> Option<&Arc<dyn File>> {
        match self.direct.get_or_init(|| self.open_direct()) {
            Direct::Open(file) => Some(file),
            Direct::Unavailable | Direct::NameLost => None,
        }
    }

    fn open_direct(&self) -> Direct {
        let direct = match self.access {
            Access::Read => self.tree.open_read_direct(&self.path),
            Access::Write => self.tree.open_write(&self.path, Caching::Direct),
        };
        let direct = match direct {
            Ok(direct) => direct,
            Err(error) if error.cause == Cause::Missing => return Direct::NameLost,
            Err(_) => return Direct::Unavailable,
        };
        let (Ok(own), Ok(found)) = (self.file.metadata(), direct.metadata()) else {
            return Direct::Unavailable;
        };
        if (own.device, own.inode) != (found.device, found.inode) {
            return Direct::NameLost;
        }
        match direct.direct_alignment() {
            Some(needed) if needed <= BUFFER_ALIGNMENT => Direct::Open(direct),
            _ => Direct::Unavailable,
        }
    }
}

fn is_aligned(bytes: &[u8], offset: u64) -> bool {
    offset.is_multiple_of(ALIGNMENT) && bytes.as_ptr().align_offset(BUFFER_ALIGNMENT) == 0
}

impl fmt::Debug for BulkFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BulkFile")
            .field("path", &self.path)
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AlignedBuf, MemoryTree, OsTree, Replace};
    use super::*;

    const MIB: usize = 1 << 20;

    fn path() -> RelPath {
        RelPath::parse("a").unwrap()
    }

    fn trees() -> Vec<(Arc<dyn Tree>, Option<tempfile::TempDir>)> {
        // Beside the build output rather than in memory, which may know no direct access.
        let directory = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let disk = OsTree::open(directory.path()).unwrap();
        vec![(Arc::new(disk), Some(directory)), (Arc::new(MemoryTree::new(64 << 20)), None)]
    }

    fn bytes(count: usize) -> Vec<u8> {
        (0..count as u32)
            .flat_map(|number| number.wrapping_mul(0x9e37_79b9).to_le_bytes())
            .collect()
    }

    #[test]
    fn what_is_written_in_pieces_of_any_alignment_is_read_back() {
        let content = bytes(MIB);
        let cuts = [0, 1000, MIB + 1001, 2 * MIB + 4096, 3 * MIB + 5, 3 * MIB + 6, content.len()];
        for (tree, _directory) in trees() {
            let file = tree.create_new(&path(), 0o644, Caching::Buffered).unwrap();
            let bulk = BulkFile::for_writing(&tree, &path(), file);
            for (skip, cut) in cuts.windows(2).enumerate() {
                let mut buffer = AlignedBuf::new(2 * MIB);
                let length = cut[1] - cut[0];
                buffer[skip..][..length].copy_from_slice(&content[cut[0]..cut[1]]);

                bulk.write_from(&mut buffer, skip..skip + length, cut[0] as u64).unwrap();
            }
            bulk.file().sync_data().unwrap();

            let reading = BulkFile::open_read(&tree, &path()).unwrap();
            let mut buffer = AlignedBuf::new(8 * MIB);
            assert_eq!(reading.read_at(&mut buffer, 5 * MIB, 0).unwrap(), content.len());
            assert!(buffer[..content.len()] == content[..], "{tree:?}");
            for (length, offset) in [(MIB, 4096), (MIB, 4097), (3, 0), (MIB, 3 * MIB + 4096)] {
                let count = reading.read_at(&mut buffer, length, offset as u64).unwrap();
                let end = (offset + length).min(content.len());
                assert!(buffer[..count] == content[offset..end], "{length} at {offset}");
            }
        }
    }

    #[test]
    fn whole_blocks_go_past_the_page_cache_where_the_file_system_can() {
        let (tree, _directory) = trees().remove(0);
        let file = tree.create_new(&path(), 0o644, Caching::Buffered).unwrap();
        let bulk = BulkFile::for_writing(&tree, &path(), file);
        let can = tree.open_write(&path(), Caching::Direct).unwrap().direct_alignment().is_some();
        let mut buffer = AlignedBuf::new(MIB);

        bulk.write_from(&mut buffer, 0..DIRECT_BYTES_MIN - 1, 0).unwrap();
        assert!(bulk.direct.get().is_none(), "too little for it");
        bulk.write_from(&mut buffer, 1..MIB, 1).unwrap();

        assert_eq!(matches!(bulk.direct.get().unwrap(), Direct::Open(_)), can);
        assert!(!bulk.has_lost_name());
    }

    #[test]
    fn a_file_that_has_lost_its_name_keeps_its_bytes() {
        for (tree, _directory) in trees() {
            let file = tree.create_new(&path(), 0o644, Caching::Buffered).unwrap();
            let bulk = BulkFile::for_writing(&tree, &path(), file);
            let other = RelPath::parse("b").unwrap();
            tree.create_new(&other, 0o644, Caching::Buffered).unwrap();
            tree.rename(&other, &path(), Replace::Existing).unwrap();

            bulk.write_at(&AlignedBuf::new(MIB), 0).unwrap();

            assert_eq!(tree.metadata(&path()).unwrap().len, 0, "the other file is left alone");
            assert_eq!(bulk.file().metadata().unwrap().len, MIB as u64);
            assert!(bulk.has_lost_name());
        }
    }

    #[test]
    fn a_file_whose_name_is_gone_is_told_from_one_without_direct_access() {
        for (tree, _directory) in trees() {
            let file = tree.create_new(&path(), 0o644, Caching::Buffered).unwrap();
            let bulk = BulkFile::for_writing(&tree, &path(), file);
            bulk.write_at(&[1; 100], 0).unwrap();
            tree.remove_file(&path()).unwrap();
            assert!(!bulk.has_lost_name(), "nobody has looked");

            bulk.write_at(&AlignedBuf::new(MIB), 0).unwrap();

            assert!(bulk.has_lost_name());
            assert_eq!(bulk.file().metadata().unwrap().len, MIB as u64);
        }
    }
}
