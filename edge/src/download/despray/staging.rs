//! The names a despray uses until its files have theirs, all in the directory of the target: the
//! one file that parts make, a directory of the files that will be, and a list of these.

use super::shape::Shape;
use crate::download::fault::DownloadFault;
use crate::durable::remove_if_there;
use crate::landing::LandingPath;
use skyspray_link::seam::files::{Caching, Tree};
use skyspray_link::seam::files::{Cause, File, FileError, Metadata, RelPath};
use skyspray_wire::ids::JobId;
use std::sync::Arc;

/// Names of a directory that are read at once.
const PAGE_ENTRIES: usize = 1024;

/// Where a despray puts what is not final, and where its files go.
#[derive(Clone, Debug)]
pub(super) struct Staging {
    /// The target: the file, what numbered files are named after, or the directory of blobs.
    pub(super) target: LandingPath,
    job: JobId,
    /// The directory of the staged names.
    home: RelPath,
    /// The directory of the final names.
    final_directory: RelPath,
}

impl Staging {
    /// The names of `job`, which makes `shape` of `target`.
    pub(super) fn new(target: LandingPath, job: JobId, shape: &Shape) -> Self {
        let home = target.path.parent().unwrap_or_default();
        let final_directory = match shape {
            Shape::Blobs(_) => target.path.clone(),
            _ => home.clone(),
        };
        Self { target, job, home, final_directory }
    }

    /// The tree of all of it.
    pub(super) fn tree(&self) -> &dyn Tree {
        &*self.target.tree
    }

    /// The one file that parts make.
    pub(super) fn joined(&self) -> RelPath {
        self.name(1)
    }

    /// Where the files are until they have their names.
    pub(super) fn directory(&self) -> RelPath {
        self.name(2)
    }

    /// The list of these files.
    pub(super) fn manifest(&self) -> RelPath {
        self.name(3)
    }

    /// The directory that holds the staged names.
    pub(super) fn home(&self) -> &RelPath {
        &self.home
    }

    /// The directory the files go to.
    pub(super) fn final_directory(&self) -> &RelPath {
        &self.final_directory
    }

    fn name(&self, number: u32) -> RelPath {
        let name = format!(".skyspray-{}-{number}", self.job);
        self.home.join(name).expect("hexadecimal digits make a plain name")
    }

    /// What is at a path; `None` if nothing is.
    pub(super) fn find(&self, path: &RelPath) -> Result<Option<Metadata>, DownloadFault> {
        match self.tree().metadata(path) {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.cause == Cause::Missing => Ok(None),
            Err(source) => Err(self.fault(source)),
        }
    }

    /// The one file that parts make, with room for `bytes` if it is new.
    pub(super) fn open_joined(&self, bytes: u64) -> Result<Arc<dyn File>, FileError> {
        let (tree, path) = (self.tree(), self.joined());
        match tree.open_write(&path, Caching::Buffered) {
            Err(error) if error.cause == Cause::Missing => {}
            other => return other,
        }
        if !self.home.is_root() {
            tree.create_dirs(&self.home)?;
        }
        let file = tree.create_new(&path, 0o644, Caching::Buffered)?;
        if bytes > 0 {
            file.allocate(bytes)?;
        }
        // What the journal says of this file must not outlive its name.
        tree.sync_dir(&self.home)?;
        Ok(file)
    }

    /// Removes the staged files and their list.
    pub(super) fn remove_files(&self) -> Result<(), FileError> {
        let (tree, directory) = (self.tree(), self.directory());
        loop {
            let page = match tree.read_dir(&directory, None, PAGE_ENTRIES) {
                Err(error) if error.cause == Cause::Missing => break,
                other => other?,
            };
            for entry in &page {
                let path = directory.join(&entry.name).expect("a name of a directory is plain");
                tree.remove_file(&path)?;
            }
            if page.len() < PAGE_ENTRIES {
                tree.remove_dir(&directory)?;
                break;
            }
        }
        remove_if_there(tree, &self.manifest())
    }

    /// Removes everything that is staged.
    pub(super) fn remove_all(&self) -> Result<(), FileError> {
        self.remove_files()?;
        remove_if_there(self.tree(), &self.joined())
    }

    /// What the user is told of a failure of the host.
    pub(super) fn fault(&self, source: FileError) -> DownloadFault {
        DownloadFault::Write { path: self.target.to_string(), source }
    }
}
