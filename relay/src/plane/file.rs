//! A plane that is a directory: parts are files, and all paths stay below the directory.

use super::staged_file::StagedFile;
use super::sync_costs::SyncCosts;
use super::walk::Walk;
use super::{Collected, Listed, Orphan, PartTarget, PlaneError, collect, list};
use skyspray_link::seam::files::{
    BulkFile, Caching, Cause, File, FileError, FileKind, Metadata, Op, RelPath, Replace, Tree,
};
use skyspray_wire::ids::{ChunkSize, JobId};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::time::Instant;

/// A directory tree as a plane. Cheap to share; see [`super::Plane`] for what its methods promise.
#[derive(Clone, Debug)]
pub struct FilePlane {
    tree: Arc<dyn Tree>,
    costs: Arc<SyncCosts>,
}

/// Length and time of a stored file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stat {
    /// Length in bytes.
    pub length: u64,
    /// When it was last modified on the plane, in nanoseconds since 1970.
    pub modified_ns: i64,
}

impl Stat {
    pub(super) fn of(path: &RelPath, found: &Metadata) -> Result<Self, PlaneError> {
        let cause = match found.kind {
            FileKind::Regular => {
                return Ok(Self { length: found.len, modified_ns: found.mtime_nanos });
            }
            FileKind::Directory => Cause::IsDirectory,
            FileKind::Symlink => Cause::Symlink,
            kind => Cause::NotRegular { kind },
        };
        Err(PlaneError::Blocked { path: path.clone(), cause })
    }
}

impl FilePlane {
    /// The plane on `tree`.
    pub fn new(tree: Arc<dyn Tree>) -> Self {
        Self { tree, costs: Arc::default() }
    }

    pub(super) fn tree(&self) -> &dyn Tree {
        &*self.tree
    }

    pub(super) fn begin(
        &self,
        target: &PartTarget,
        length: Option<u64>,
    ) -> Result<StagedFile, PlaneError> {
        let file = self.create_staging(target)?;
        let chunk = u64::from(ChunkSize::FILE_PLANE.bytes());
        if let Some(length) = length.filter(|&length| length > chunk)
            && let Err(error) = file.allocate(length)
        {
            self.remove_if_there(target.staging())?;
            return Err(error.into());
        }
        // Room for others. Whoever still writes to them has lost the part.
        for earlier in target.earlier(1).take(EARLIER_MAX) {
            self.remove_if_there(&earlier)?;
        }
        Ok(StagedFile::begun(Arc::clone(&self.tree), file, target.clone(), length))
    }

    fn create_staging(&self, target: &PartTarget) -> Result<Arc<dyn File>, PlaneError> {
        let mut attempts_left = BEGIN_ATTEMPTS;
        loop {
            attempts_left -= 1;
            let (directory, staging) = (target.directory(), target.staging());
            let create = || self.tree.create_new(staging, STAGED_MODE, Caching::Buffered);
            let there = self.tree.knows_dir(directory).then(create);
            let created = match there {
                Some(Err(error)) if error.cause == Cause::Missing => None,
                there => there,
            };
            let created =
                created.unwrap_or_else(|| self.tree.create_dirs(directory).and_then(|()| create()));
            match created {
                Ok(file) => return Ok(file),
                Err(error) if attempts_left == 0 => return Err(error.into()),
                Err(error) if error.cause == Cause::AlreadyExists => {
                    self.remove_if_there(staging)?;
                }
                // Another job removed its last file from the directory and the directory with it.
                Err(error) if error.cause == Cause::Missing => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    pub(super) fn resume(&self, target: &PartTarget) -> Result<Option<StagedFile>, PlaneError> {
        loop {
            match self.tree.open_write(target.staging(), Caching::Buffered) {
                Ok(file) => {
                    let tree = Arc::clone(&self.tree);
                    return Ok(Some(StagedFile::begun(tree, file, target.clone(), None)));
                }
                Err(error) if error.cause == Cause::Missing => {}
                Err(error) => return Err(error.into()),
            }
            if !self.take_over(target)? {
                return Ok(None);
            }
        }
    }

    /// Gives what the last holder of the lease staged the name under which it is gone on with; `false`
    /// when nobody has staged anything.
    fn take_over(&self, target: &PartTarget) -> Result<bool, PlaneError> {
        for earlier in target.earlier(0).take(SEARCHED_MAX) {
            match self.tree.rename(&earlier, target.staging(), Replace::Existing) {
                Ok(()) => return Ok(true),
                Err(error) if error.cause == Cause::Missing => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    }

    pub(super) fn sync(&self, parts: &[&StagedFile]) -> Vec<Result<(), PlaneError>> {
        let ready: Vec<_> = parts.iter().map(|part| part.begin_sync()).collect();
        if self.sync_together(parts.len()) {
            let done = |(ready, part): (Result<(), PlaneError>, &&StagedFile)| {
                ready?;
                part.handle_named(Ok(()))?;
                part.handle_synced();
                Ok(())
            };
            return ready.into_iter().zip(parts).map(done).collect();
        }
        let began = Instant::now();
        let each = |(ready, part): (Result<(), PlaneError>, &&StagedFile)| {
            ready?;
            part.sync_content()
        };
        let mut outcomes: Vec<_> = ready.into_iter().zip(parts).map(each).collect();
        self.costs.note_ones(parts.len(), began.elapsed());
        tracing::debug!(files = parts.len(), took = ?began.elapsed(), "synced one by one");
        let unnamed = (0..parts.len())
            .filter(|&index| outcomes[index].is_ok() && !parts[index].is_named())
            .map(|index| (parts[index].target().directory().clone(), index));
        for (directory, members) in by_directory(unnamed) {
            let synced = self.tree.sync_dir(&directory);
            for index in members {
                outcomes[index] = parts[index].handle_named(synced.clone());
            }
        }
        let whole = outcomes.iter().zip(parts).filter(|(outcome, _)| outcome.is_ok());
        whole.for_each(|(_, part)| part.handle_synced());
        outcomes
    }

    /// Makes everything on the file system durable, where that is possible and costs less than
    /// `count` syncs.
    pub(super) fn sync_together(&self, count: usize) -> bool {
        if !self.costs.favour_together(count) {
            return false;
        }
        let began = Instant::now();
        let synced = self.tree.sync_tree();
        if synced {
            self.costs.note_all(began.elapsed());
            tracing::debug!(syncs = count, took = ?began.elapsed(), "synced together");
        }
        synced
    }

    pub(super) fn abort(&self, target: &PartTarget) -> Result<(), PlaneError> {
        let mut there = self.remove_if_there(target.staging())?;
        for earlier in target.earlier(0).take(EARLIER_MAX) {
            there |= self.remove_if_there(&earlier)?;
        }
        if there {
            self.settle(target.directory().clone())?;
        }
        Ok(())
    }

    pub(super) fn open(&self, path: &RelPath) -> Result<BulkFile, PlaneError> {
        Ok(BulkFile::open_read(&self.tree, path)?)
    }

    pub(super) fn stat(&self, path: &RelPath) -> Result<Stat, PlaneError> {
        Stat::of(path, &self.tree.metadata(path)?)
    }

    pub(super) fn remove(&self, paths: &[RelPath]) -> Vec<Result<bool, PlaneError>> {
        let mut outcomes: Vec<_> = paths.iter().map(|path| self.remove_if_there(path)).collect();
        // Also where nothing was there: an earlier call may have removed it and not synced.
        let settled = (0..paths.len())
            .filter(|&index| outcomes[index].is_ok())
            .filter_map(|index| Some((paths[index].parent()?, index)));
        // From the last directory to the first, so that children are settled before parents.
        for (directory, members) in by_directory(settled).into_iter().rev() {
            if let Err(error) = self.settle(directory) {
                members.into_iter().for_each(|index| outcomes[index] = Err(error.clone()));
            }
        }
        outcomes
    }

    /// Removes one name; says whether it was there.
    pub(super) fn remove_if_there(&self, path: &RelPath) -> Result<bool, PlaneError> {
        match self.tree.remove_file(path) {
            Ok(()) => Ok(true),
            // Behind a file where a directory was wanted nothing can be.
            Err(error) if matches!(error.cause, Cause::Missing | Cause::NotDirectory) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes `directory` and those above it as far as they are empty, and makes the removal of
    /// names from the first that stays durable.
    pub(super) fn settle(&self, directory: RelPath) -> Result<(), PlaneError> {
        let mut directory = directory;
        while let Some(above) = directory.parent() {
            match self.tree.remove_dir(&directory) {
                Ok(()) => {}
                Err(error) if error.cause == Cause::Missing => {}
                Err(_stays) => match self.tree.sync_dir(&directory) {
                    Err(error) if error.cause == Cause::Missing => {}
                    synced => return Ok(synced?),
                },
            }
            directory = above;
        }
        Ok(self.tree.sync_dir(&directory)?)
    }

    pub(super) fn list(
        &self,
        directory: &RelPath,
        after: Option<&RelPath>,
        limit: usize,
    ) -> Result<Vec<Listed>, PlaneError> {
        list::list(self.tree(), directory, after, limit)
    }

    pub(super) fn free_bytes(&self) -> Result<u64, PlaneError> {
        Ok(self.tree.free_bytes()?)
    }

    pub(super) fn collect(
        &self,
        live: &dyn Fn(JobId) -> bool,
        found: &mut dyn FnMut(&Orphan),
        dry_run: bool,
    ) -> Result<Collected, PlaneError> {
        let mut walk = Walk::new(self.tree(), RelPath::root());
        let mut collected = Collected::default();
        while let Some(orphan) = collect::next_orphan(self.tree(), &mut walk, live)? {
            found(&orphan);
            let removed = dry_run || self.remove_orphan(&orphan);
            collected.count(&orphan, removed);
        }
        Ok(collected)
    }

    fn remove_orphan(&self, orphan: &Orphan) -> bool {
        let directory = orphan.path.parent().expect("a file is not the root");
        let removed = self.remove_if_there(&orphan.path).and_then(|_| self.settle(directory));
        if let Err(error) = &removed {
            tracing::warn!(path = %orphan.path, %error, "an orphan cannot be removed");
        }
        removed.is_ok()
    }
}

/// Groups numbers by directory.
pub(super) fn by_directory(
    members: impl Iterator<Item = (RelPath, usize)>,
) -> BTreeMap<RelPath, Vec<usize>> {
    let mut groups: BTreeMap<RelPath, Vec<usize>> = BTreeMap::new();
    members.for_each(|(directory, index)| groups.entry(directory).or_default().push(index));
    groups
}

/// What a handle answers when its file was not where it should be.
pub(super) fn is_missing(error: &FileError) -> bool {
    error.cause == Cause::Missing && error.op == Op::Rename
}

/// Names of earlier holders of a lease that are looked for when nothing of them is needed any more. What
/// is older than that is an orphan for `collect`.
const EARLIER_MAX: usize = 16;

/// Names of earlier holders under which a part is looked for. It has that of the last session that opened
/// its job whole, so that this is far more than ever needed.
const SEARCHED_MAX: usize = 1024;

/// Mode of a part that is not whole: for the relay alone.
const STAGED_MODE: u32 = 0o600;

/// Tries to create a staging file while others remove what is in its way.
const BEGIN_ATTEMPTS: u32 = 64;
