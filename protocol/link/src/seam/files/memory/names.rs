//! Names on the disk in memory: finding, linking, moving and syncing them.

use super::super::{Cause, FileKind, RelPath, Replace};
use super::nodes::{Content, Disk, ROOT};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

/// The names in a directory.
#[derive(Debug, Default)]
pub(super) struct Dir {
    pub(super) entries: BTreeMap<OsString, u64>,
    pub(super) durable: BTreeMap<OsString, u64>,
    /// Names that differ, or did for a while, since the last sync.
    pub(super) changed: BTreeSet<OsString>,
}

impl Dir {
    /// Goes back to what is durable.
    pub(super) fn crash(&mut self) {
        self.entries.clone_from(&self.durable);
        self.changed.clear();
    }
}

impl Disk {
    pub(super) fn find(&self, path: &RelPath) -> Result<u64, Cause> {
        path.components().try_fold(ROOT, |inode, name| {
            self.dir(inode)?.entries.get(name).copied().ok_or(Cause::Missing)
        })
    }

    pub(super) fn find_file(&self, path: &RelPath) -> Result<u64, Cause> {
        let inode = self.find(path)?;
        match self.node(inode).content.kind() {
            FileKind::Regular => Ok(inode),
            FileKind::Directory => Err(Cause::IsDirectory),
            FileKind::Symlink => Err(Cause::Symlink),
            kind => Err(Cause::NotRegular { kind }),
        }
    }

    pub(super) fn kind_to_remove(&self, path: &RelPath) -> Result<FileKind, Cause> {
        self.parent(path)?;
        Ok(self.node(self.find(path)?).content.kind())
    }

    pub(super) fn dir(&self, inode: u64) -> Result<&Dir, Cause> {
        match &self.node(inode).content {
            Content::Dir(dir) => Ok(dir),
            Content::Other(FileKind::Symlink) => Err(Cause::Symlink),
            _ => Err(Cause::NotDirectory),
        }
    }

    pub(super) fn create(
        &mut self,
        path: &RelPath,
        content: Content,
        mode: u32,
    ) -> Result<u64, Cause> {
        let (parent, name) = self.parent(path)?;
        if self.dir(parent)?.entries.contains_key(name) {
            return Err(Cause::AlreadyExists);
        }
        let inode = self.add(content, mode & 0o777);
        self.relink(parent, name, Some(inode));
        Ok(inode)
    }

    pub(super) fn unlink(&mut self, path: &RelPath) -> Result<(), Cause> {
        let (parent, name) = self.parent(path)?;
        self.relink(parent, name, None);
        Ok(())
    }

    pub(super) fn rename(
        &mut self,
        from: &RelPath,
        to: &RelPath,
        replace: Replace,
    ) -> Result<(), Cause> {
        let (from_dir, from_name) = self.parent(from)?;
        let (to_dir, to_name) = self.parent(to)?;
        let moved = self.find(from)?;
        let moved_kind = self.node(moved).content.kind();
        let target = self.dir(to_dir)?.entries.get(to_name).copied();
        if target.is_some() && replace == Replace::Never {
            return Err(Cause::AlreadyExists);
        }
        if target == Some(moved) {
            return Ok(());
        }
        if to.starts_with(from) {
            return Err(Cause::Io(Errno::INVAL));
        }
        if let Some(target) = target {
            match (moved_kind, &self.node(target).content) {
                (FileKind::Directory, Content::Dir(dir)) if !dir.entries.is_empty() => {
                    return Err(Cause::NotEmpty);
                }
                (FileKind::Directory, Content::Dir(_)) => {}
                (FileKind::Directory, _) => return Err(Cause::NotDirectory),
                (_, Content::Dir(_)) => return Err(Cause::IsDirectory),
                _ => {}
            }
        }
        self.relink(to_dir, to_name, Some(moved));
        self.relink(from_dir, from_name, None);
        Ok(())
    }

    pub(super) fn sync_dir(&mut self, inode: u64) {
        if let Content::Dir(dir) = &mut self.node_mut(inode).content {
            for name in std::mem::take(&mut dir.changed) {
                self.sync_name(inode, &name);
            }
        }
    }

    /// Makes one name durable, and no other in its directory.
    pub(super) fn sync_parent(&mut self, path: &RelPath) {
        if let Ok((parent, name)) = self.parent(path) {
            self.sync_name(parent, name);
        }
    }

    /// The number of the directory that holds `path`, and the last component.
    fn parent<'a>(&self, path: &'a RelPath) -> Result<(u64, &'a OsStr), Cause> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Cause::IsDirectory);
        };
        let inode = self.find(&parent)?;
        self.dir(inode)?;
        Ok((inode, name))
    }

    /// Makes `name` in `dir` stand for `inode`, or for nothing, as everybody sees it.
    fn relink(&mut self, dir: u64, name: &OsStr, inode: Option<u64>) {
        if let Some(inode) = inode {
            self.node_mut(inode).links += 1;
            self.touch(inode, false);
        }
        self.touch(dir, true);
        let Content::Dir(names) = &mut self.node_mut(dir).content else { return };
        names.changed.insert(name.to_owned());
        if let Some(old) = replace_name(&mut names.entries, name, inode) {
            self.node_mut(old).links -= 1;
            self.settle(old);
        }
    }

    fn sync_name(&mut self, dir: u64, name: &OsStr) {
        let Content::Dir(names) = &mut self.node_mut(dir).content else { return };
        let inode = names.entries.get(name).copied();
        let old = replace_name(&mut names.durable, name, inode);
        if let Some(inode) = inode {
            self.node_mut(inode).durable_links += 1;
        }
        if let Some(old) = old {
            self.node_mut(old).durable_links -= 1;
            self.settle(old);
        }
    }
}

fn replace_name(
    names: &mut BTreeMap<OsString, u64>,
    name: &OsStr,
    inode: Option<u64>,
) -> Option<u64> {
    match inode {
        Some(inode) => names.insert(name.to_owned(), inode),
        None => names.remove(name),
    }
}
