//! Every file below a directory of a landing zone, in order and in bounded memory.

use super::SourceError;
use crate::landing::LandingPath;
use skyspray_link::seam::files::{Entry, FileKind, RelPath};
use skyspray_wire::name::{PlanePath, Segment};
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fmt;

/// Entries of one directory read at once. Each page costs a pass over the directory, so a larger
/// page makes directories of millions of files faster and takes more memory.
const PAGE_ENTRIES: usize = 16 * 1024;

/// Entries kept for all directories above the current one together.
const HELD_ENTRIES_MAX: usize = 4 * PAGE_ENTRIES;

/// Something a walk came by.
#[derive(Clone, Debug)]
pub enum Found {
    /// A regular file, not opened yet.
    File {
        /// Where it is.
        at: LandingPath,
        /// Where it goes, from the directory of the job.
        plane_path: PlanePath,
    },
    /// Something that is left out.
    Skipped {
        /// Where it is.
        at: LandingPath,
        /// Why.
        reason: SkipReason,
    },
}

/// Why a walk leaves something out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SkipReason {
    /// A symlink; none is followed.
    Symlink,
    /// A pipe, socket or device.
    Special(FileKind),
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Symlink => f.write_str("it is a symlink, and symlinks are not followed"),
            Self::Special(kind) => write!(f, "it is {kind}, not a regular file"),
        }
    }
}

/// The files at and below a path: depth first, each directory in the order of its names' bytes.
/// Blocks while it reads directories.
///
/// Names that appear or vanish meanwhile may or may not be seen. An error concerns one file or
/// directory; the walk goes on after it.
#[derive(Debug)]
pub struct Walk {
    start: Option<(LandingPath, PlanePath)>,
    /// The directories on the way to the current one.
    levels: Vec<Level>,
    page: usize,
    held_max: usize,
}

#[derive(Debug)]
struct Level {
    at: LandingPath,
    plane_path: PlanePath,
    entries: VecDeque<Entry>,
    /// The name last taken; the next page starts after it.
    after: Option<OsString>,
    /// Whether `entries` reach the end of the directory.
    whole: bool,
}

impl Walk {
    /// Walks from `at`. `below` stands before the path of every file: empty to leave out the name
    /// of `at` itself, [`plane_name`] of it to keep it. When `at` is a file, that file goes to
    /// `below`, which then must not be empty.
    pub fn new(at: LandingPath, below: PlanePath) -> Self {
        Self::with_pages(at, below, (PAGE_ENTRIES, HELD_ENTRIES_MAX))
    }

    pub(super) fn with_pages(
        at: LandingPath,
        below: PlanePath,
        (page, held_max): (usize, usize),
    ) -> Self {
        Self { start: Some((at, below)), levels: Vec::new(), page, held_max }
    }

    fn begin(&mut self, at: LandingPath, below: PlanePath) -> Option<Result<Found, SourceError>> {
        let kind = match at.tree.metadata(&at.path) {
            Ok(found) => found.kind,
            Err(error) => return Some(Err(SourceError::of(&at, error))),
        };
        match kind {
            FileKind::Directory => {
                self.enter(at, below);
                None
            }
            FileKind::Regular => Some(Ok(Found::File { at, plane_path: below })),
            // Named by the user, so not merely left out.
            FileKind::Symlink => Some(Err(SourceError::Symlink { path: at.to_string() })),
            kind => Some(Err(SourceError::NotRegular { path: at.to_string(), kind })),
        }
    }

    fn enter(&mut self, at: LandingPath, plane_path: PlanePath) {
        let (entries, after, whole) = (VecDeque::new(), None, false);
        self.levels.push(Level { at, plane_path, entries, after, whole });
    }

    /// The next entry of the innermost directory, which may have to be read on.
    fn next_entry(&mut self) -> Result<Option<Entry>, SourceError> {
        let level = self.levels.last_mut().expect("called inside a directory");
        if level.entries.is_empty() && !level.whole {
            let read = level.at.tree.read_dir(&level.at.path, level.after.as_deref(), self.page);
            let entries = read.map_err(|error| SourceError::of(&level.at, error))?;
            level.whole = entries.len() < self.page;
            level.entries = entries.into();
            self.forget_outer();
        }
        let level = self.levels.last_mut().expect("called inside a directory");
        let entry = level.entries.pop_front();
        if let Some(entry) = &entry {
            level.after = Some(entry.name.clone());
        }
        Ok(entry)
    }

    /// Lets go of pages of outer directories, outermost first; they are read again when needed.
    fn forget_outer(&mut self) {
        let mut held = self.levels.iter().map(|level| level.entries.len()).sum::<usize>();
        let inner = self.levels.len() - 1;
        for level in &mut self.levels[..inner] {
            if held <= self.held_max {
                return;
            }
            held -= level.entries.len();
            level.whole = level.whole && level.entries.is_empty();
            level.entries = VecDeque::new();
        }
    }

    fn visit(&mut self, entry: &Entry) -> Result<Option<Found>, SourceError> {
        let level = self.levels.last().expect("called inside a directory");
        let below: Option<RelPath> = level.at.path.join(&entry.name).ok();
        let Some(path) = below else {
            // Deeper or longer than one system call takes; no plane would take it either.
            let bytes = level.at.path.as_path().as_os_str().len() + 1 + entry.name.len();
            let path = format!("{}/{}", level.at, skyspray_link::seam::files::Escaped(&entry.name));
            let source = skyspray_wire::name::PathError::TooLong { bytes };
            return Err(SourceError::Path { path, source });
        };
        let at = level.at.with_path(path);
        match entry.kind {
            FileKind::Regular => {
                let plane_path = join(&level.plane_path, &at, &entry.name)?;
                Ok(Some(Found::File { at, plane_path }))
            }
            FileKind::Directory => {
                let plane_path = join(&level.plane_path, &at, &entry.name)?;
                self.enter(at, plane_path);
                Ok(None)
            }
            FileKind::Symlink => Ok(Some(Found::Skipped { at, reason: SkipReason::Symlink })),
            kind => Ok(Some(Found::Skipped { at, reason: SkipReason::Special(kind) })),
        }
    }
}

impl Iterator for Walk {
    type Item = Result<Found, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some((at, below)) = self.start.take()
            && let Some(first) = self.begin(at, below)
        {
            return Some(first);
        }
        while !self.levels.is_empty() {
            let visited = match self.next_entry() {
                Ok(Some(entry)) => self.visit(&entry),
                Ok(None) => {
                    self.levels.pop();
                    continue;
                }
                Err(error) => {
                    self.levels.pop();
                    Err(error)
                }
            };
            if let Some(item) = visited.transpose() {
                return Some(item);
            }
        }
        None
    }
}

/// The last component of `at` as a path on a plane; the root of it for a whole zone.
///
/// # Errors
///
/// A name that no plane takes.
pub fn plane_name(at: &LandingPath) -> Result<PlanePath, SourceError> {
    match at.path.file_name() {
        Some(name) => join(&PlanePath::default(), at, name),
        None => Ok(PlanePath::default()),
    }
}

fn join(below: &PlanePath, at: &LandingPath, name: &OsStr) -> Result<PlanePath, SourceError> {
    let text = name.to_str().ok_or_else(|| SourceError::NameNotText { path: at.to_string() })?;
    let segment = Segment::parse(text)
        .map_err(|source| SourceError::Name { path: at.to_string(), source })?;
    let segments = below.segments().iter().cloned().chain([segment]).collect();
    PlanePath::try_new(segments)
        .map_err(|source| SourceError::Path { path: at.to_string(), source })
}
