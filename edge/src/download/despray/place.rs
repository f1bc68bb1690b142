//! Giving staged files their names: all of them, or after a crash between two of them the rest.

use super::manifest::{Entry, Manifest, Next};
use super::staging::Staging;
use crate::download::fault::DownloadFault;
use skyspray_link::seam::files::{Cause, FileKind, Fingerprint, PathError, RelPath, Replace};
use std::ffi::OsStr;

/// What came of giving files their names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Placed {
    /// All have theirs, durably.
    All,
    /// A staged file was lost before it had its name; nothing was done.
    Lost,
}

/// Gives every file of the list its name.
///
/// # Errors
///
/// A name is taken; nothing was done then, unless it was taken meanwhile. Or the host's. Either
/// way the same call goes on with the rest.
pub(super) fn place_all(staging: &Staging, replace: Replace) -> Result<Placed, DownloadFault> {
    let checked = for_each(staging, |entry| match stand(staging, entry)? {
        Stand::Staged => check_name(staging, &entry.name, replace).map(|()| true),
        Stand::Placed => Ok(true),
        Stand::Lost => Ok(false),
    })?;
    if !checked {
        return Ok(Placed::Lost);
    }
    let (tree, directory) = (staging.tree(), staging.final_directory());
    if !directory.is_root() {
        tree.create_dirs(directory).map_err(|error| staging.fault(error))?;
    }
    for_each(staging, |entry| rename(staging, entry, replace).map(|()| true))?;
    let durable = tree.sync_dir(directory).and_then(|()| tree.sync_dir(&staging.directory()));
    durable.map_err(|error| staging.fault(error))?;
    Ok(Placed::All)
}

/// Whether `staged` is the file at the target, which got its name before the run before this one
/// could say so.
pub(super) fn is_placed(staging: &Staging, staged: Fingerprint) -> Result<bool, DownloadFault> {
    if staging.find(&staging.joined())?.is_some() {
        return Ok(false);
    }
    let target = &staging.target.path;
    let found = staging.find(target)?;
    if !found.is_some_and(|found| is_same(staged, found.fingerprint(), found.kind)) {
        return Ok(false);
    }
    staging.tree().sync_dir(staging.home()).map_err(|error| staging.fault(error))?;
    Ok(true)
}

/// That nothing has the name of a file that is not to be replaced, and no directory has it.
///
/// # Errors
///
/// Something has.
pub(super) fn check_name(
    staging: &Staging,
    name: &OsStr,
    replace: Replace,
) -> Result<(), DownloadFault> {
    let path = staging.final_directory().join(name).map_err(|error| name_fault(name, error))?;
    let shown = || staging.target.with_path(path.clone()).to_string();
    match staging.find(&path) {
        Ok(Some(found)) if found.kind == FileKind::Directory => {
            Err(DownloadFault::TargetIsDirectory { path: shown() })
        }
        Ok(Some(_)) if replace == Replace::Never => {
            Err(DownloadFault::TargetExists { path: shown() })
        }
        other => other.map(|_| ()),
    }
}

/// Where a file of the list is.
enum Stand {
    Staged,
    Placed,
    Lost,
}

fn stand(staging: &Staging, entry: &Entry) -> Result<Stand, DownloadFault> {
    let staged = staging.directory().join(&entry.name).map_err(|e| name_fault(&entry.name, e))?;
    // After a crash it may have both names: then it is placed.
    Ok(if has_its_name(staging, entry)? {
        Stand::Placed
    } else if is_at(staging, entry, &staged)? {
        Stand::Staged
    } else {
        Stand::Lost
    })
}

fn has_its_name(staging: &Staging, entry: &Entry) -> Result<bool, DownloadFault> {
    let path = staging.final_directory().join(&entry.name);
    is_at(staging, entry, &path.map_err(|error| name_fault(&entry.name, error))?)
}

fn is_at(staging: &Staging, entry: &Entry, path: &RelPath) -> Result<bool, DownloadFault> {
    let found = staging.find(path)?;
    Ok(found.is_some_and(|at| is_same(entry.fingerprint, at.fingerprint(), at.kind)))
}

fn name_fault(name: &OsStr, source: PathError) -> DownloadFault {
    DownloadFault::Name { name: name.to_string_lossy().into_owned(), source }
}

fn is_same(staged: Fingerprint, found: Fingerprint, kind: FileKind) -> bool {
    // Getting its name changes a file's ctime.
    let found = Fingerprint { ctime_nanos: staged.ctime_nanos, ..found };
    kind == FileKind::Regular && found == staged
}

fn rename(staging: &Staging, entry: &Entry, replace: Replace) -> Result<(), DownloadFault> {
    let name = |error| name_fault(&entry.name, error);
    let from = staging.directory().join(&entry.name).map_err(name)?;
    let to = staging.final_directory().join(&entry.name).map_err(name)?;
    match staging.tree().rename(&from, &to, replace) {
        Ok(()) => Ok(()),
        // An earlier run did, which was seen before the first of this run.
        Err(error) if error.cause == Cause::Missing => Ok(()),
        Err(error) if error.cause == Cause::AlreadyExists => {
            if has_its_name(staging, entry)? {
                return Ok(());
            }
            let path = staging.target.with_path(to).to_string();
            Err(DownloadFault::TargetExists { path })
        }
        Err(error) => Err(staging.fault(error)),
    }
}

/// Runs `visit` on every file of the list until it says `false`; whether it never did, and the
/// list was whole.
fn for_each(
    staging: &Staging,
    mut visit: impl FnMut(&Entry) -> Result<bool, DownloadFault>,
) -> Result<bool, DownloadFault> {
    let mut manifest = match Manifest::open(staging) {
        Err(error) if error.cause == Cause::Missing => return Ok(false),
        other => other.map_err(|error| staging.fault(error))?,
    };
    loop {
        match manifest.next().map_err(|error| staging.fault(error))? {
            Next::End => return Ok(true),
            Next::Damaged => return Ok(false),
            Next::Entry(entry) if !visit(&entry)? => return Ok(false),
            Next::Entry(_) => {}
        }
    }
}
