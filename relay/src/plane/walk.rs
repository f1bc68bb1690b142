//! Visits every name below a directory, in order, holding one page of each directory on the way.

use skyspray_link::seam::files::{Cause, Entry, FileError, FileKind, RelPath, Tree};
use std::ffi::OsString;

/// A walk in the order of names from the root down. Directories are entered, everything else is
/// given out.
pub(super) struct Walk<'a> {
    tree: &'a dyn Tree,
    /// The directory being read, below those above it.
    levels: Vec<Level>,
}

/// A directory partly read.
struct Level {
    directory: RelPath,
    /// The last name taken.
    after: Option<OsString>,
    page: std::vec::IntoIter<Entry>,
    /// Whether no entries come after the page.
    ended: bool,
}

impl Level {
    fn new(directory: RelPath, after: Option<OsString>) -> Self {
        Self { directory, after, page: Vec::new().into_iter(), ended: false }
    }

    fn next(&mut self, tree: &dyn Tree) -> Result<Option<Entry>, FileError> {
        if self.page.len() == 0 && !self.ended {
            let read = tree.read_dir(&self.directory, self.after.as_deref(), PAGE);
            let page = match read {
                Ok(page) => page,
                // Removed, or replaced by a file, since its name was read.
                Err(error) if matches!(error.cause, Cause::Missing | Cause::NotDirectory) => {
                    Vec::new()
                }
                Err(error) => return Err(error),
            };
            self.ended = page.len() < PAGE;
            self.page = page.into_iter();
        }
        let entry = self.page.next();
        if let Some(entry) = &entry {
            self.after = Some(entry.name.clone());
        }
        Ok(entry)
    }
}

impl<'a> Walk<'a> {
    /// Begins with the first name below `directory`.
    pub(super) fn new(tree: &'a dyn Tree, directory: RelPath) -> Self {
        Self { tree, levels: vec![Level::new(directory, None)] }
    }

    /// Begins with the first name after `cursor`, which is below `directory`.
    pub(super) fn after(tree: &'a dyn Tree, directory: RelPath, cursor: &RelPath) -> Self {
        let mut levels = Vec::new();
        let mut at = directory;
        for name in cursor.components().skip(at.depth()) {
            let below = at.join(name).expect("part of a path is a path");
            levels.push(Level::new(at, Some(name.to_owned())));
            at = below;
        }
        Self { tree, levels }
    }

    /// The next name that is not a directory. Names too long or too deep to be written as a path
    /// are not visited.
    pub(super) fn next(&mut self) -> Result<Option<(RelPath, FileKind)>, FileError> {
        while let Some(level) = self.levels.last_mut() {
            let Some(entry) = level.next(self.tree)? else {
                self.levels.pop();
                continue;
            };
            let Ok(path) = level.directory.join(&entry.name) else { continue };
            if entry.kind != FileKind::Directory {
                return Ok(Some((path, entry.kind)));
            }
            self.levels.push(Level::new(path, None));
        }
        Ok(None)
    }
}

/// Names held of each directory. Every page reads its whole directory, so few large pages.
const PAGE: usize = 4096;
