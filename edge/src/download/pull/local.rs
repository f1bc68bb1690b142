//! Where the files of a pull go, and what is there already.

use super::super::fault::DownloadFault;
use super::super::page::Place;
use crate::landing::LandingPath;
use skyspray_link::seam::files::{Cause, FileError, FileKind, RelPath};
use skyspray_wire::ids::JobId;
use skyspray_wire::message::Entry;
use skyspray_wire::name::PlanePath;

/// Bytes of a path's BLAKE3 that name its staging file.
const STAGING_HASH_BYTES: usize = 8;

/// Where files go.
#[derive(Clone, Debug)]
pub(super) struct Destination {
    /// The directory; or the file, where one file is pulled under another name.
    pub(super) at: LandingPath,
    /// Segments that are left out in front of a path on the plane; `None` when `at` is the file.
    pub(super) strip: Option<usize>,
    pub(super) job: JobId,
}

/// A file to pull, and what stands at its name.
#[derive(Clone, Debug)]
pub(super) struct PullFile {
    pub(super) path: PlanePath,
    pub(super) place: Place,
    pub(super) standing: Standing,
}

/// What stands at the name of a file before it is pulled.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Standing {
    /// Nothing.
    Free,
    /// A file of the same length, which may be the same.
    SameLength,
    /// Something else that may be replaced: a file of another length, or a symlink.
    Differs,
}

impl Destination {
    /// The place of the file at `path` on the plane.
    pub(super) fn place(&self, path: &PlanePath) -> Result<Place, DownloadFault> {
        let name = |source| DownloadFault::Name { name: path.to_string(), source };
        let mut below = self.at.path.clone();
        if let Some(strip) = self.strip {
            for segment in &path.segments()[strip..] {
                below = below.join(segment.as_str()).map_err(name)?;
            }
        }
        let hash = blake3::hash(path.to_string().as_bytes());
        let hash = hash.as_bytes()[..STAGING_HASH_BYTES].iter();
        let hash: String = hash.map(|byte| format!("{byte:02x}")).collect();
        let directory = below.parent().unwrap_or_default();
        let staging = directory.join(format!(".skyspray-{}-{hash}", self.job)).map_err(name)?;
        Ok(Place { target: self.at.with_path(below), staging })
    }

    /// What is to be done for an entry of the list; makes the directory its file goes to. Blocks.
    ///
    /// # Errors
    ///
    /// The file cannot be pulled to where it should go; about this file only.
    pub(super) fn prepare(
        &self,
        entry: &Entry,
        known: &mut Option<RelPath>,
    ) -> Result<PullFile, DownloadFault> {
        let path = PlanePath::parse(&entry.name)
            .map_err(|_| DownloadFault::Unexpected { what: "a list" })?;
        if self.strip.is_some_and(|strip| path.segments().len() <= strip) {
            return Err(DownloadFault::Unexpected { what: "a list" });
        }
        let place = self.place(&path)?;
        let standing = standing(&place.target, entry.bytes)?;
        let directory = place.target.path.parent().unwrap_or_default();
        if known.as_ref() != Some(&directory) {
            if !directory.is_root() {
                let made = place.target.tree.create_dirs(&directory);
                made.map_err(|source| write_fault(&place.target, source))?;
            }
            *known = Some(directory);
        }
        Ok(PullFile { path, place, standing })
    }
}

fn standing(target: &LandingPath, bytes: u64) -> Result<Standing, DownloadFault> {
    match target.tree.metadata(&target.path) {
        Ok(found) => match found.kind {
            FileKind::Directory => {
                Err(DownloadFault::TargetIsDirectory { path: target.to_string() })
            }
            FileKind::Regular if found.len == bytes => Ok(Standing::SameLength),
            _ => Ok(Standing::Differs),
        },
        Err(error) if error.cause == Cause::Missing => Ok(Standing::Free),
        Err(source) => Err(write_fault(target, source)),
    }
}

pub(super) fn write_fault(target: &LandingPath, source: FileError) -> DownloadFault {
    DownloadFault::Write { path: target.to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Explain as _;
    use crate::landing::ZoneName;
    use skyspray_link::seam::files::{Caching, MemoryTree, Tree as _};
    use skyspray_wire::message::EntryKind;
    use std::sync::Arc;

    fn destination(tree: &MemoryTree, strip: Option<usize>, path: &str) -> Destination {
        let path = if path.is_empty() { RelPath::root() } else { RelPath::parse(path).unwrap() };
        let zone = ZoneName::parse("z").unwrap();
        let at = LandingPath { zone, tree: Arc::new(tree.clone()), path };
        Destination { at, strip, job: JobId([0xab; 16]) }
    }

    fn entry(name: &str, bytes: u64) -> Entry {
        Entry { kind: EntryKind::File, name: name.into(), bytes, parts: 1, committed_ms: 0 }
    }

    #[test]
    fn a_file_keeps_its_path_below_the_directory_that_is_pulled() {
        let tree = MemoryTree::new(1000);
        let into = destination(&tree, Some(1), "got");

        let file = into.prepare(&entry("in/2024/a b.csv", 5), &mut None).unwrap();

        assert_eq!(file.place.target.to_string(), "z:got/2024/a b.csv");
        assert_eq!(file.standing, Standing::Free);
        let staging = file.place.staging.to_string();
        let prefix = format!("got/2024/.skyspray-{}-", "ab".repeat(16));
        assert_eq!(staging.strip_prefix(&prefix).map(str::len), Some(16), "{staging}");
        let made = tree.metadata(&RelPath::parse("got/2024").unwrap()).unwrap();
        assert_eq!(made.kind, FileKind::Directory);
    }

    #[test]
    fn one_file_may_get_another_name() {
        let tree = MemoryTree::new(1000);
        let file = destination(&tree, None, "b.csv").prepare(&entry("in/a.csv", 5), &mut None);

        assert_eq!(file.unwrap().place.target.to_string(), "z:b.csv");
    }

    #[test]
    fn what_stands_at_the_name_decides_what_is_done() {
        let tree = MemoryTree::new(1000);
        let path = RelPath::parse("a").unwrap();
        tree.create_new(&path, 0o600, Caching::Buffered).unwrap().set_len(5).unwrap();
        let into = destination(&tree, Some(1), "");
        let standing = |bytes| into.prepare(&entry("in/a", bytes), &mut None).map(|f| f.standing);

        assert_eq!(standing(5).unwrap(), Standing::SameLength);
        assert_eq!(standing(6).unwrap(), Standing::Differs);
        tree.create_dirs(&RelPath::parse("d").unwrap()).unwrap();
        let blocked = into.prepare(&entry("in/d", 5), &mut None).unwrap_err();
        assert_eq!(blocked.code(), "target-is-directory");
        let below = into.prepare(&entry("in/a/x", 5), &mut None).unwrap_err();
        assert_eq!(below.code(), "target-unwritable");
    }

    #[test]
    fn a_name_outside_what_was_asked_for_is_the_relays_mistake() {
        let into = destination(&MemoryTree::new(10), Some(2), "");

        for name in ["in", "in/x", "../a", ""] {
            assert_eq!(into.prepare(&entry(name, 1), &mut None).unwrap_err().code(), "protocol");
        }
    }
}
