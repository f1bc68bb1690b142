//! The staging files of parts: few of them are open at a time, however many parts there are, and
//! none is closed before what was written to it is durable.

use skyspray_link::seam::files::{BulkFile, Caching, Cause, File, FileError, RelPath, Tree};
use skyspray_wire::ids::PartIndex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Files that are open at once.
const OPEN_MAX: usize = 64;

/// Threads that make files durable at once: disks take several as fast as one.
const SYNC_THREADS: usize = 4;

/// A staging file of a part, which may not be there yet.
#[derive(Clone, Debug)]
pub(super) struct Staged {
    /// The tree it is in.
    pub(super) tree: Arc<dyn Tree>,
    /// Its name there.
    pub(super) path: RelPath,
}

/// The staging files of the parts of one job.
#[derive(Debug)]
pub(super) struct OpenParts {
    staged: Vec<Staged>,
    // Held for bookkeeping, and while a file is opened or made durable to make room.
    open: Mutex<Open>,
    /// Whether files were made since that was last asked.
    made: AtomicBool,
}

#[derive(Debug, Default)]
struct Open {
    slots: BTreeMap<PartIndex, Slot>,
    /// Parts whose file was there once: one that is gone is not made again, for what it held is
    /// lost.
    known: BTreeSet<PartIndex>,
}

#[derive(Debug)]
struct Slot {
    file: Arc<BulkFile>,
    /// Whether something was written that is not durable.
    dirty: bool,
}

impl OpenParts {
    /// One staging file for each part, in part order.
    pub(super) fn new(staged: Vec<Staged>) -> Self {
        Self { staged, open: Mutex::default(), made: AtomicBool::new(false) }
    }

    /// Says that the files of these parts are there.
    pub(super) fn expect_there(&self, parts: impl Iterator<Item = PartIndex>) {
        lock(&self.open).known.extend(parts);
    }

    /// The staging file of a part, made if it never was there, to look at or to make durable.
    ///
    /// # Errors
    ///
    /// The host's.
    pub(super) fn file(&self, part: PartIndex) -> Result<Arc<dyn File>, FileError> {
        self.take(part, false).map(|file| Arc::clone(file.file()))
    }

    /// Writes to the staging file of a part, which is made if it never was there. The bytes may be moved
    /// about for that.
    ///
    /// # Errors
    ///
    /// The host's.
    pub(super) fn write(
        &self,
        part: PartIndex,
        offset: u64,
        bytes: &mut [u8],
    ) -> Result<(), FileError> {
        let file = self.take(part, true)?;
        let length = bytes.len();
        file.write_from(bytes, 0..length, offset)?;
        // It may have been made durable or closed between being taken and the write.
        let mut open = lock(&self.open);
        open.slots.entry(part).or_insert(Slot { file, dirty: true }).dirty = true;
        Ok(())
    }

    /// Makes durable what was written to `parts`.
    ///
    /// # Errors
    ///
    /// The host's, of the first part that failed.
    pub(super) fn sync(&self, parts: &[PartIndex]) -> Result<(), (PartIndex, FileError)> {
        sync_shared(parts, |&part| self.sync_part(part).map_err(|error| (part, error)))
    }

    /// Whether files were made since the last call: their names are not durable then.
    pub(super) fn take_made(&self) -> bool {
        self.made.swap(false, Ordering::AcqRel)
    }

    /// Closes the file of a part, whatever was written to it.
    pub(super) fn close(&self, part: PartIndex) {
        lock(&self.open).slots.remove(&part);
    }

    #[cfg(test)]
    fn open_count(&self) -> usize {
        lock(&self.open).slots.len()
    }

    fn take(&self, part: PartIndex, writes: bool) -> Result<Arc<BulkFile>, FileError> {
        let mut open = lock(&self.open);
        if let Some(slot) = open.slots.get_mut(&part) {
            slot.dirty |= writes;
            return Ok(Arc::clone(&slot.file));
        }
        if open.slots.len() >= OPEN_MAX {
            make_room(&mut open.slots)?;
        }
        let Staged { tree, path } = &self.staged[part.0 as usize];
        let file = match tree.open_write(path, Caching::Buffered) {
            Err(error) if error.cause == Cause::Missing && !open.known.contains(&part) => {
                let file = tree.create_new(path, 0o644, Caching::Buffered)?;
                self.made.store(true, Ordering::Release);
                file
            }
            other => other?,
        };
        let file = Arc::new(BulkFile::for_writing(tree, path, file));
        open.known.insert(part);
        open.slots.insert(part, Slot { file: Arc::clone(&file), dirty: writes });
        Ok(file)
    }

    fn sync_part(&self, part: PartIndex) -> Result<(), FileError> {
        // Cleared before, so that what is written meanwhile counts for the next time.
        let file = {
            let mut open = lock(&self.open);
            let slot = open.slots.get_mut(&part);
            slot.map(|slot| {
                slot.dirty = false;
                Arc::clone(&slot.file)
            })
        };
        // A file that is not open was made durable when it was closed.
        file.map_or(Ok(()), |file| file.file().sync_data())
    }
}

/// Runs `sync` on all of `items`, several at once; the first error in their order.
pub(super) fn sync_shared<T: Sync, E: Send>(
    items: &[T],
    sync: impl Fn(&T) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let share = items.len().div_ceil(SYNC_THREADS).max(1);
    let sync = &sync;
    let synced = thread::scope(|scope| {
        let threads: Vec<_> = items
            .chunks(share)
            .map(|items| scope.spawn(move || items.iter().try_for_each(sync)))
            .collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined.map(|synced| synced.expect("syncing does not panic")).collect::<Vec<_>>()
    });
    synced.into_iter().collect()
}

/// Closes a file that has nothing to lose, or else makes one durable first.
fn make_room(open: &mut BTreeMap<PartIndex, Slot>) -> Result<(), FileError> {
    let clean = open.iter().find(|(_, slot)| !slot.dirty);
    let (&part, slot) = clean.or_else(|| open.first_key_value()).expect("some are open");
    if slot.dirty {
        slot.file.file().sync_data()?;
    }
    open.remove(&part);
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use skyspray_link::seam::files::{Fault, MemoryTree, Op};

    fn parts(tree: &MemoryTree, count: u32) -> OpenParts {
        let staged = (0..count).map(|part| Staged {
            tree: Arc::new(tree.clone()),
            path: RelPath::parse(format!("f{part}")).unwrap(),
        });
        OpenParts::new(staged.collect())
    }

    #[test]
    fn more_parts_than_may_be_open_are_all_written_and_durable() {
        let tree = MemoryTree::new(1 << 20);
        let open = parts(&tree, 200);
        let all: Vec<PartIndex> = (0..200).map(PartIndex).collect();
        for &part in &all {
            open.write(part, 0, &mut part.0.to_le_bytes()).unwrap();
            assert!(open.open_count() <= OPEN_MAX);
        }
        open.sync(&all).unwrap();
        assert!(open.take_made(), "the names are to be made durable");
        assert!(!open.take_made());
        tree.sync_dir(&RelPath::root()).unwrap();
        tree.crash();

        for part in all {
            let mut found = [0; 4];
            let path = RelPath::parse(format!("f{}", part.0)).unwrap();
            tree.open_read(&path).unwrap().read_at(&mut found, 0).unwrap();
            assert_eq!(found, part.0.to_le_bytes());
        }
    }

    #[test]
    fn room_is_made_by_closing_what_has_nothing_to_lose() {
        let tree = MemoryTree::new(1 << 20);
        let shared: Arc<dyn Tree> = Arc::new(tree.clone());
        let open_file = |name: &str| {
            let path = RelPath::parse(name).unwrap();
            let file = tree.create_new(&path, 0o600, Caching::Buffered).unwrap();
            Arc::new(BulkFile::for_writing(&shared, &path, file))
        };
        let mut open = BTreeMap::from([
            (PartIndex(0), Slot { file: open_file("a"), dirty: true }),
            (PartIndex(1), Slot { file: open_file("b"), dirty: false }),
        ]);
        make_room(&mut open).unwrap();
        assert_eq!(open.keys().copied().collect::<Vec<_>>(), [PartIndex(0)]);

        tree.fail_next(Op::SyncData, Fault::NoSpace);
        assert_eq!(make_room(&mut open).unwrap_err().op, Op::SyncData);
        assert_eq!(open.len(), 1, "what could not be made durable is not forgotten");
    }

    #[test]
    fn a_file_that_is_lost_is_not_made_again() {
        let tree = MemoryTree::new(1 << 20);
        let open = parts(&tree, 2);
        open.write(PartIndex(0), 0, &mut b"x".to_owned()).unwrap();
        open.close(PartIndex(0));
        tree.remove_file(&RelPath::parse("f0").unwrap()).unwrap();
        open.expect_there(std::iter::once(PartIndex(1)));

        for part in [0, 1] {
            let error = open.write(PartIndex(part), 1, &mut b"y".to_owned()).unwrap_err();
            assert_eq!((error.op, error.cause), (Op::OpenWrite, Cause::Missing));
        }
    }

    #[test]
    fn a_part_that_cannot_be_made_durable_is_named() {
        let tree = MemoryTree::new(1 << 20);
        let open = parts(&tree, 1);
        open.write(PartIndex(0), 0, &mut b"x".to_owned()).unwrap();
        tree.fail_next(Op::SyncData, Fault::Io);

        let (part, error) = open.sync(&[PartIndex(0)]).unwrap_err();
        assert_eq!((part, error.op), (PartIndex(0), Op::SyncData));
    }
}
