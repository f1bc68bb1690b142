//! The end of a despray that holds everything: files are made of what was received, and get their
//! names. Every step is one a later run can go on from.

use super::cut;
use super::manifest::ManifestWriter;
use super::place::{self, Placed, place_all};
use super::shape::{Recipe, numbered};
use super::staging::Staging;
use crate::download::fault::DownloadFault;
use crate::download::open_parts::OpenParts;
use crate::download::single::{DesprayState, Files, Placing, Progress, Written};
use crate::stop::Stop;
use skyspray_link::seam::files::{Cause, File, FileError, Replace};
use skyspray_wire::ids::PartIndex;
use skyspray_wire::message::PartInfo;
use std::num::NonZeroU32;
use std::sync::Arc;

/// What the end of a despray works with.
#[derive(Debug)]
pub(super) struct Completion {
    pub(super) staging: Staging,
    pub(super) progress: Arc<Progress>,
    pub(super) replace: Replace,
    pub(super) stop: Stop,
}

/// Goes on with giving names where an earlier run had begun to; `None` if none had, or what it had
/// staged is lost. Blocks.
///
/// # Errors
///
/// A name is taken, or the host's.
pub(super) fn go_on(
    staging: &Staging,
    progress: &Progress,
    replace: Replace,
) -> Result<Option<Written>, DownloadFault> {
    let written = match progress.state().placing {
        None => return Ok(None),
        Some(Placing::Done(written)) => Some(written),
        Some(Placing::Files(written)) => match place_all(staging, replace)? {
            Placed::All => Some(written),
            Placed::Lost => None,
        },
        Some(Placing::File(staged)) => {
            let written = Written { files: 1, bytes: staged.size };
            if !place::is_placed(staging, staged)? {
                // It is staged still, or is to be fetched again; either is found out later.
                return Ok(None);
            }
            Some(written)
        }
    };
    match written {
        Some(written) => clean_up(staging, progress, written)?,
        None => start_over(staging, progress)?,
    }
    Ok(written)
}

impl Completion {
    /// Makes the files of what was received and gives them their names. Blocks.
    ///
    /// # Errors
    ///
    /// What was received is not what the shape needs, a name is taken, or the host's.
    pub(super) fn run(
        &self,
        recipe: &Recipe,
        files: &Files,
        parts: &[PartInfo],
    ) -> Result<Written, DownloadFault> {
        let staging = &self.staging;
        let fail = |source| staging.fault(source);
        let written = match (recipe, files) {
            (Recipe::Join(joined), Files::One { file, .. }) => {
                whole(&**file.file(), joined.length).map_err(fail)?;
                self.place(&**file.file())?;
                let written = Written { files: 1, bytes: joined.length };
                clean_up(staging, &self.progress, written)?;
                return Ok(written);
            }
            (Recipe::Cut(joined, cut), Files::One { file, .. }) => {
                whole(&**file.file(), joined.length).map_err(fail)?;
                cut::cut(staging, cut, &self.stop)?
            }
            (Recipe::Wrap(count), Files::Each { parts: open, .. }) => {
                list(staging, open, (parts, *count)).map_err(fail)?
            }
            _ => unreachable!("files are opened as the recipe says"),
        };
        self.progress.keep(|state| state.placing = Some(Placing::Files(written)))?;
        match place_all(staging, self.replace)? {
            Placed::All => clean_up(staging, &self.progress, written)?,
            Placed::Lost => {
                start_over(staging, &self.progress)?;
                return Err(DownloadFault::StagedLost { path: staging.target.to_string() });
            }
        }
        Ok(written)
    }

    /// Gives the one file its name.
    fn place(&self, file: &dyn File) -> Result<(), DownloadFault> {
        let staging = &self.staging;
        let (tree, target) = (staging.tree(), &staging.target.path);
        let found = file.metadata().map_err(|source| staging.fault(source))?;
        let placing = Placing::File(found.fingerprint());
        self.progress.keep(|state| state.placing = Some(placing))?;
        tree.rename(&staging.joined(), target, self.replace).map_err(|source| {
            match source.cause {
                Cause::AlreadyExists => {
                    DownloadFault::TargetExists { path: staging.target.to_string() }
                }
                _ => staging.fault(source),
            }
        })?;
        tree.sync_dir(staging.home()).map_err(|source| staging.fault(source))
    }
}

/// Gives a file its length and makes all of it durable.
fn whole(file: &dyn File, length: u64) -> Result<(), FileError> {
    file.set_len(length)?;
    file.sync_all()
}

/// Lists the staging files of parts, all of them whole.
fn list(
    staging: &Staging,
    open: &OpenParts,
    (parts, count): (&[PartInfo], NonZeroU32),
) -> Result<Written, FileError> {
    crate::durable::remove_if_there(staging.tree(), &staging.manifest())?;
    let mut manifest = ManifestWriter::create(staging)?;
    let mut written = Written::default();
    let target = staging.target.path.file_name().unwrap_or_default();
    for (part, info) in (0..).map(PartIndex).zip(parts) {
        // A part without a byte has no file yet.
        let file = open.file(part)?;
        let mut found = file.metadata()?;
        if found.len != info.length {
            whole(&*file, info.length)?;
            found = file.metadata()?;
        }
        manifest.push(&numbered(target, part, count), found.fingerprint())?;
        written.files += 1;
        written.bytes += info.length;
    }
    staging.tree().sync_dir(&staging.directory())?;
    manifest.finish(staging)?;
    Ok(written)
}

/// Notes that all files have their names, and removes what is staged still.
fn clean_up(staging: &Staging, progress: &Progress, written: Written) -> Result<(), DownloadFault> {
    if progress.state().placing != Some(Placing::Done(written)) {
        progress.keep(|state| state.placing = Some(Placing::Done(written)))?;
    }
    staging.remove_all().map_err(|source| staging.fault(source))
}

/// Forgets everything: what was staged is lost.
fn start_over(staging: &Staging, progress: &Progress) -> Result<(), DownloadFault> {
    progress.keep(|state| *state = DesprayState::default())?;
    staging.remove_all().map_err(|source| staging.fault(source))
}
