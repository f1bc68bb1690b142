//! Which files the arguments of a command stand for: paths, HPCC's comma lists, names with
//! wildcards, and lists in files. One way for every command that takes sources.

mod error;
mod list;
mod notice;
mod pattern;

use super::open_files::OpenFiles;
use super::{SkipReason, Source, SourceError};
use crate::cli::SourceOptions;
use crate::landing::{LandingError, LandingPath, LandingZones, Want, ZoneName};
use crate::output::Reporter;
use skyspray_dfu::format::RecordFormat;
use skyspray_link::seam::files::{Cause, Entry, FileKind, RelPath};
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use error::{ListError, OpenError};
pub use notice::Notice;

/// Most sources of one command. Each takes some hundred bytes of memory and a place in the
/// journal's record of the job.
pub const SOURCES_MAX: usize = 100_000;

/// Entries of a directory read at once. Each page costs a pass over the directory; as many as
/// there may be sources make it one pass in nearly every case.
const PAGE_ENTRIES: usize = SOURCES_MAX;

/// What the names of files begin with that an export has not finished; no pattern finds them.
const STAGING_PREFIX: &[u8] = b".skyspray-";

/// The sources of a command, each looked at and none kept open.
#[derive(Debug, Default)]
pub struct Selection {
    /// The files, in the order of the arguments; those of a pattern by the bytes of their names.
    pub sources: Vec<Source>,
    /// What was asked for, in that order: the files, or the pattern they were found by.
    pub asked: Vec<Asked>,
    /// What the user should know about them.
    pub notices: Vec<Notice>,
}

/// A path or pattern as it was asked for. The same arguments make the same of these, whatever is
/// in the landing zone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Asked {
    /// The landing zone.
    pub zone: ZoneName,
    /// The path in it; the last component may be a pattern.
    pub path: RelPath,
}

impl Selection {
    /// Finds what `arguments` and then the list of `options` stand for. Blocks.
    ///
    /// An argument is the file of exactly that name where there is one; otherwise HPCC's comma
    /// list (later names are relative to the directory of the first) and wildcards in the last
    /// name of a path count. A listed path is only ever that path.
    ///
    /// # Errors
    ///
    /// A path that is in no landing zone or no readable regular file, a wildcard in the name of a
    /// directory, an unusable list, no source at all where that is to fail, or too many: the
    /// user's to correct.
    pub fn resolve(
        zones: &LandingZones,
        arguments: &[PathBuf],
        options: &SourceOptions,
        cwd: &Path,
    ) -> Result<Self, OpenError> {
        let mut resolver = Resolver::new(zones, cwd);
        for argument in arguments {
            resolver.argument(argument)?;
        }
        if let Some(file) = &options.files_from {
            for path in list::read(file, options.from0)? {
                let at = resolver.locate(&path)?;
                resolver.literal(at)?;
            }
        }
        let mut selection = resolver.end();
        if selection.sources.is_empty() {
            let unmatched = selection.notices.iter().find_map(|notice| match notice {
                Notice::NoMatch { pattern } => Some(pattern.clone()),
                _ => None,
            });
            if let (true, Some(pattern)) = (options.fail_if_no_source, unmatched) {
                return Err(OpenError::NoMatch { pattern });
            }
            selection.notices.push(Notice::NoSource);
        }
        Ok(selection)
    }

    /// The file name that announces the format of all: that of the first source, or of the first
    /// pattern where there is no source.
    pub fn first_name(&self) -> &OsStr {
        let source = self.sources.first().map(|source| &source.at().path);
        let path = source.or_else(|| self.asked.first().map(|asked| &asked.path));
        path.and_then(RelPath::file_name).unwrap_or_default()
    }

    /// Warns of everything noticed, and of names that announce several formats unless the format
    /// `is_said`.
    pub fn warn(&self, reporter: &Reporter, is_said: bool) {
        let mixed = if is_said { None } else { self.other_format() };
        for notice in self.notices.iter().chain(&mixed) {
            reporter.warn(notice.code(), notice);
        }
    }

    fn other_format(&self) -> Option<Notice> {
        let announced = |source: &Source| {
            let name = source.at().path.file_name().and_then(OsStr::to_str);
            name.and_then(RecordFormat::from_file_name)
        };
        let (first, rest) = self.sources.split_first()?;
        let format = announced(first)?;
        let differs = |source: &&Source| announced(source).is_some_and(|other| other != format);
        let path = rest.iter().find(differs)?.at().to_string();
        Some(Notice::OtherFormat { path, first: first.at().to_string() })
    }
}

struct Resolver<'a> {
    zones: &'a LandingZones,
    cwd: &'a Path,
    /// A path in each zone that was asked for: every source of a zone shares its open directory.
    opened: BTreeMap<ZoneName, LandingPath>,
    /// Device and inode of each source, and its index.
    known: HashMap<(u64, u64), usize>,
    /// The first source that repeats an earlier one, both by index, and how many others do.
    repeated: Option<(usize, usize, u64)>,
    /// The files that are open while the sources are read.
    open_files: Arc<OpenFiles>,
    found: Selection,
}

impl<'a> Resolver<'a> {
    fn new(zones: &'a LandingZones, cwd: &'a Path) -> Self {
        Self {
            zones,
            cwd,
            opened: BTreeMap::new(),
            known: HashMap::new(),
            repeated: None,
            open_files: Arc::default(),
            found: Selection::default(),
        }
    }

    fn end(mut self) -> Selection {
        if let Some((index, earlier, others)) = self.repeated {
            let path = |index: usize| self.found.sources[index].at().to_string();
            let (path, earlier) = (path(index), path(earlier));
            self.found.notices.push(Notice::Repeated { path, earlier, others });
        }
        self.found
    }

    fn locate(&mut self, argument: &Path) -> Result<LandingPath, LandingError> {
        let (zone, path) = self.zones.locate(argument, self.cwd)?;
        if let Some(opened) = self.opened.get(&zone) {
            return Ok(opened.with_path(path));
        }
        let at = self.zones.open(&zone, path, Want::Read)?;
        self.opened.insert(zone, at.clone());
        Ok(at)
    }

    fn argument(&mut self, argument: &Path) -> Result<(), OpenError> {
        let names: Vec<&[u8]> =
            argument.as_os_str().as_bytes().split(|&byte| byte == b',').collect();
        let at = match self.locate(argument) {
            // A list may be longer than any name.
            Err(LandingError::Path { .. }) if names.len() > 1 => None,
            located => Some(located?),
        };
        match at {
            Some(at) if names.len() == 1 || exists(&at)? => self.named(at),
            _ if names.iter().any(|name| name.is_empty()) => {
                Err(OpenError::EmptyName { argument: argument.to_owned() })
            }
            _ => self.list(&names),
        }
    }

    /// The names of a comma list, of which there is at least one.
    fn list(&mut self, names: &[&[u8]]) -> Result<(), OpenError> {
        let first = self.locate(Path::new(OsStr::from_bytes(names[0])))?;
        self.named(first.clone())?;
        for name in &names[1..] {
            let name = OsStr::from_bytes(name);
            let path = Path::new(name);
            let at = if path.is_absolute() { self.locate(path)? } else { first.beside(name)? };
            self.named(at)?;
        }
        Ok(())
    }

    /// A path, or a pattern where nothing has that very name.
    fn named(&mut self, at: LandingPath) -> Result<(), OpenError> {
        let name = at.path.file_name().unwrap_or_default().to_owned();
        let directory = at.with_path(at.path.parent().unwrap_or_default());
        let is_pattern = pattern::is_pattern(name.as_bytes());
        let is_below_pattern =
            directory.path.components().any(|name| pattern::is_pattern(name.as_bytes()));
        if !is_pattern && !is_below_pattern || exists(&at)? {
            return self.literal(at);
        }
        if is_below_pattern && !exists(&directory)? {
            return Err(OpenError::WildcardInDirectory { pattern: at.to_string() });
        }
        if !is_pattern {
            return self.literal(at);
        }
        self.matching(at, &directory, &name)
    }

    fn literal(&mut self, at: LandingPath) -> Result<(), OpenError> {
        self.found.asked.push(Asked { zone: at.zone.clone(), path: at.path.clone() });
        self.take(at)
    }

    /// The regular files of `directory` that the pattern stands for.
    fn matching(
        &mut self,
        at: LandingPath,
        directory: &LandingPath,
        pattern: &OsStr,
    ) -> Result<(), OpenError> {
        let before = self.found.sources.len();
        let mut skipped: Option<(LandingPath, SkipReason, u64)> = None;
        let mut after = None;
        loop {
            let page = directory.tree.read_dir(&directory.path, after.as_deref(), PAGE_ENTRIES);
            let page = page.map_err(|error| SourceError::of(directory, error))?;
            let is_last = page.len() < PAGE_ENTRIES;
            after = page.last().map(|entry| entry.name.clone());
            for Entry { name, kind } in page {
                let is_staged = name.as_bytes().starts_with(STAGING_PREFIX);
                if is_staged || !pattern::matches(pattern.as_bytes(), name.as_bytes()) {
                    continue;
                }
                let reason = match kind {
                    FileKind::Regular => {
                        self.take(below(directory, &name)?)?;
                        continue;
                    }
                    FileKind::Directory => continue,
                    FileKind::Symlink => SkipReason::Symlink,
                    kind => SkipReason::Special(kind),
                };
                match &mut skipped {
                    Some((_, _, others)) => *others += 1,
                    None => skipped = Some((below(directory, &name)?, reason, 0)),
                }
            }
            if is_last {
                break;
            }
        }
        if let Some((path, reason, others)) = skipped {
            self.found.notices.push(Notice::Skipped { path: path.to_string(), reason, others });
        }
        if self.found.sources.len() == before {
            self.found.notices.push(Notice::NoMatch { pattern: at.to_string() });
        }
        self.found.asked.push(Asked { zone: at.zone, path: at.path });
        Ok(())
    }

    fn take(&mut self, at: LandingPath) -> Result<(), OpenError> {
        let index = self.found.sources.len();
        if index >= SOURCES_MAX {
            return Err(OpenError::TooMany);
        }
        let source = Source::identify(at, (&self.open_files, index))?;
        let print = source.fingerprint();
        let earlier = *self.known.entry((print.device, print.inode)).or_insert(index);
        if earlier < index {
            match &mut self.repeated {
                Some((_, _, others)) => *others += 1,
                None => self.repeated = Some((index, earlier, 0)),
            }
        }
        self.found.sources.push(source);
        Ok(())
    }
}

/// Whether anything has this very name.
fn exists(at: &LandingPath) -> Result<bool, SourceError> {
    match at.tree.metadata(&at.path) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.cause, Cause::Missing | Cause::NotDirectory) => Ok(false),
        Err(error) => Err(SourceError::of(at, error)),
    }
}

fn below(directory: &LandingPath, name: &OsStr) -> Result<LandingPath, LandingError> {
    let path = directory.path.join(name).map_err(|source| LandingError::Path {
        path: directory.path.as_path().join(name),
        source,
    })?;
    Ok(directory.with_path(path))
}

#[cfg(test)]
mod tests;
