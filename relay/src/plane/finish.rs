//! The last step of a part on a file plane: from its staging name to its own, durably, and again
//! without harm after a crash at any point.

use super::file::{by_directory, is_missing};
use super::staged_file::{STORED_MODE, StagedFile};
use super::{FilePlane, PartTarget, PlaneError, StagedPart, Upload};
use skyspray_link::seam::files::{Cause, File, FileKind, Metadata, Replace};
use std::sync::Arc;

/// A part whose chunks are all written.
#[derive(Clone, Debug)]
pub struct Finish {
    /// The part and where it goes.
    pub target: PartTarget,
    /// Its length in bytes.
    pub length: u64,
    /// Whether what has its name may be replaced.
    pub replace: Replace,
    /// Its open handle, where the caller has one; saves opening it again.
    pub staged: Option<Arc<StagedPart>>,
    /// Whether it was settled and its handle let go of, see [`StagedPart::is_settled`]. Saves
    /// opening and syncing it.
    pub settled: bool,
    /// The upload as the catalogue has it, on planes whose parts are uploads; `None` also where
    /// nothing was ever uploaded.
    pub upload: Option<Upload>,
}

/// How a part came to have its name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Finished {
    /// This call gave it.
    Renamed,
    /// Nothing was staged and a file of the right length has the name, as after a crash. The caller
    /// reads it back before it believes that this is the part.
    Found,
}

impl FilePlane {
    pub(super) fn finish(&self, parts: &[Finish]) -> Vec<Result<Finished, PlaneError>> {
        let mut outcomes: Vec<_> = parts.iter().map(|part| self.place(part)).collect();
        let placed = (0..parts.len())
            .filter(|&index| outcomes[index].is_ok())
            .map(|index| (parts[index].target.directory().clone(), index));
        let directories = by_directory(placed);
        if self.sync_together(directories.len()) {
            return outcomes;
        }
        for (directory, members) in directories {
            if let Err(source) = self.tree().sync_dir(&directory) {
                let error = PlaneError::Io { source };
                members.into_iter().for_each(|index| outcomes[index] = Err(error.clone()));
            }
        }
        outcomes
    }

    pub(super) fn put(&self, target: &PartTarget, bytes: &[u8]) -> Result<(), PlaneError> {
        let staged = self.begin(target, None)?;
        staged.write_at(bytes, 0)?;
        staged.sync_bytes()?;
        let length = bytes.len() as u64;
        let (target, replace) = (target.clone(), Replace::Existing);
        let whole = Finish { target, length, replace, staged: None, settled: false, upload: None };
        match self.place(&whole)? {
            Finished::Renamed => Ok(self.tree().sync_dir(whole.target.directory())?),
            // What was staged went meanwhile: what has the name may be older.
            Finished::Found => {
                let path = whole.target.path().clone();
                Err(PlaneError::Lost { path, expected: length })
            }
        }
    }

    /// All steps but the sync of the directory.
    fn place(&self, part: &Finish) -> Result<Finished, PlaneError> {
        let target = &part.target;
        let open = part.staged.as_deref().and_then(StagedPart::as_file);
        if part.settled || open.is_some_and(StagedFile::is_settled) {
            let renamed = self.tree().rename(target.staging(), target.path(), part.replace);
            if renamed.is_ok() {
                return Ok(Finished::Renamed);
            }
            // Why it cannot be is found out as for any other part.
        }
        let again;
        let staged = match open {
            Some(staged) => staged,
            None => match self.resume(target)? {
                Some(staged) => {
                    again = staged;
                    &again
                }
                None if self.has_part(part)? => return Ok(Finished::Found),
                None if part.length == 0 => {
                    again = self.begin(target, None)?;
                    &again
                }
                None => {
                    return Err(PlaneError::Lost {
                        path: target.path().clone(),
                        expected: part.length,
                    });
                }
            },
        };
        staged.check()?;
        let found = staged.file().metadata()?;
        make_whole(part, staged, &found)?;
        if found.nlink > 1 && self.is_at(target, &found)? {
            self.remove_if_there(target.staging())?;
            return Ok(Finished::Renamed);
        }
        match self.tree().rename(target.staging(), target.path(), part.replace) {
            Ok(()) => Ok(Finished::Renamed),
            Err(error) if is_missing(&error) && self.has_part(part)? => Ok(Finished::Found),
            Err(error) if is_missing(&error) => {
                Err(PlaneError::Lost { path: target.path().clone(), expected: part.length })
            }
            Err(error) if error.cause == Cause::NoSpace => Err(staged.abandon(error)),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the final name is a regular file of the right length.
    fn has_part(&self, part: &Finish) -> Result<bool, PlaneError> {
        match self.tree().metadata(part.target.path()) {
            Ok(found) => Ok(found.kind == FileKind::Regular && found.len == part.length),
            Err(error) if error.cause == Cause::Missing => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the final name is the staged file already: where renaming without replacing is two
    /// steps, a crash between them leaves both names, and a rename between them does nothing.
    fn is_at(&self, target: &PartTarget, staged: &Metadata) -> Result<bool, PlaneError> {
        match self.tree().metadata(target.path()) {
            Ok(found) => Ok((found.device, found.inode) == (staged.device, staged.inode)),
            Err(error) if error.cause == Cause::Missing => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// Gives the staged file its final length and mode and makes both durable.
fn make_whole(part: &Finish, staged: &StagedFile, found: &Metadata) -> Result<(), PlaneError> {
    if found.len < part.length {
        return Err(PlaneError::Short {
            path: part.target.path().clone(),
            expected: part.length,
            found: found.len,
        });
    }
    let file: &dyn File = &**staged.file();
    if found.len > part.length {
        file.set_len(part.length)?;
    }
    file.set_mode(STORED_MODE)?;
    file.sync_all().map_err(|error| staged.abandon(error))
}
