//! Sprays inside the cluster: files of one plane to the parts of a logical file on another, through the
//! scanners that an edge uses and the same job, so that nobody can tell the results apart.

use super::cut::{Cut, Split};
use super::error::CopyError;
use super::input::Input;
use super::sources::{SourceError, Sources};
use super::transfer::Transfer;
use super::{Copier, Opened};
use crate::catalogue::{GenerationRecord, JobKind, NewJob, operator};
use crate::commit::Commitment;
use crate::config::Category;
use crate::service::part_layout;
use crate::state::blocking;
use skyspray_dfu::split::Layout;
use skyspray_dfu::splitting::{Splitting, Wanted};
use skyspray_link::seam::files::RelPath;
use skyspray_wire::digest::Digest;
use skyspray_wire::ids::JobId;
use skyspray_wire::limits::PARTS_MAX;
use skyspray_wire::message::WriteTarget;
use skyspray_wire::name::LogicalName;
use std::future::Future;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// What a spray is asked for.
#[derive(Clone, Debug)]
pub(crate) struct SprayRequest {
    /// Ids no job has: the second is for another pass, where the ends of records were guessed
    /// wrong.
    pub(crate) jobs: [JobId; 2],
    /// The files, from the root of their plane.
    pub(crate) sources: Vec<RelPath>,
    pub(crate) to: LogicalName,
    pub(crate) wanted: Wanted,
    /// 0 for the default of the target plane.
    pub(crate) parts: u32,
    pub(crate) overwrite: bool,
}

/// Files that were looked at.
struct Looked {
    sources: Arc<Sources>,
    splitting: Splitting,
    parts: NonZeroU32,
}

impl Copier {
    /// Sprays files of the source plane and returns the generation that it made. A spray that was
    /// cut off is done anew, as a copy is.
    ///
    /// # Errors
    ///
    /// As for [`Copier::copy`].
    pub(crate) async fn spray(
        &self,
        request: &SprayRequest,
        stop: impl Future<Output = ()>,
    ) -> Result<GenerationRecord, CopyError> {
        if self.target.settings.category == Category::Lz {
            return Err(CopyError::LandingZone { plane: self.target.name.clone() });
        }
        let parts = match request.parts {
            0 => self.target.settings.default_parts.get(),
            parts => parts,
        };
        let parts = NonZeroU32::new(parts).filter(|parts| parts.get() <= PARTS_MAX);
        let parts = parts.ok_or(CopyError::TooManyParts { parts: request.parts })?;
        let mut looked = self.look(request, parts).await?;
        let mut stop = std::pin::pin!(stop);
        let made = match self.pass(request, request.jobs[0], &looked, stop.as_mut()).await {
            Err(error) if was_guessed_wrong(&looked.splitting, &error) => {
                looked = measured(looked).await?;
                self.pass(request, request.jobs[1], &looked, stop.as_mut()).await?
            }
            made => made?,
        };
        Ok(made)
    }

    async fn look(&self, request: &SprayRequest, parts: NonZeroU32) -> Result<Looked, CopyError> {
        let (site, request) = (self.source.clone(), request.clone());
        let looked = blocking(move || {
            let sources = Sources::find(&site, &request.sources)?;
            let splitting = Splitting::look(&sources.files, request.wanted);
            let splitting = splitting.map_err(|error| sources.unfit(error))?;
            Ok::<_, SourceError>(Looked { sources: Arc::new(sources), splitting, parts })
        });
        Ok(looked.await?)
    }

    async fn pass(
        &self,
        request: &SprayRequest,
        job: JobId,
        looked: &Looked,
        stop: impl Future<Output = ()>,
    ) -> Result<GenerationRecord, CopyError> {
        let Looked { sources, splitting, parts } = looked;
        let input = Input::Sources(Arc::clone(sources));
        let splitter = splitting.splitter(*parts).map_err(|error| input.records(error))?;
        let split = Split::new(splitting.clone(), *parts, splitter, sources.notes());
        let new = self.new_spray(request, job, looked)?;
        let committed = match self.open(JobKind::Spray, &request.to, &new).await? {
            Opened::Finished(done) => done.committed,
            Opened::Granted(opened) => {
                let transfer = Transfer {
                    catalogue: &self.catalogue,
                    clock: &*self.clock,
                    key: (new.job, opened.epoch),
                    input,
                    place: self.place(&request.to, &new, &opened),
                    bytes: AtomicU64::new(0),
                };
                if let Err(error) = transfer.run(Cut::Split(Box::new(split)), stop).await {
                    self.give_up(new.job).await;
                    return Err(error);
                }
                self.commit(Commitment::of(&new, &opened)).await?.committed
            }
        };
        self.clean().await;
        self.made(&request.to, &committed).await
    }

    fn new_spray(
        &self,
        request: &SprayRequest,
        job: JobId,
        looked: &Looked,
    ) -> Result<NewJob, CopyError> {
        let Looked { sources, splitting, parts } = looked;
        let states: Vec<(String, u64, i64)> = sources
            .notes()
            .into_iter()
            .zip(&sources.files)
            .map(|(note, file)| (note.name, file.stat.length, file.stat.modified_ns))
            .collect();
        let plan = (states, splitting.attributes(), splitting.signature(), parts.get());
        let plan = postcard::to_stdvec(&plan).expect("names and numbers are plain data");
        let options = splitting.options(*parts);
        let stored = match options.layout {
            Layout::SplitPoints => NonZeroU32::MIN,
            _ => *parts,
        };
        let bytes = sources.bytes();
        let longest = match options.layout {
            Layout::WholeSources => sources.files.iter().map(|file| file.stat.length).sum(),
            _ => bytes.div_ceil(u64::from(stored.get())),
        };
        let failed = |source| CopyError::Plane { plane: self.target.name.clone(), source };
        Ok(NewJob {
            job,
            agent: operator(),
            target: WriteTarget::LogicalFile {
                plane: self.target.name.clone(),
                name: request.to.clone(),
                parts: stored.get(),
            },
            overwrite: request.overwrite,
            bytes,
            plan: Digest::of(&plan),
            attributes: splitting.attributes(),
            parts: stored.get(),
            chunk_size: self.target.plane.chunk_size(longest).map_err(failed)?,
            layout: part_layout(self.target.settings.layout, &request.to, job),
        })
    }
}

/// Whether reading everything mends what ended a pass.
fn was_guessed_wrong(splitting: &Splitting, error: &CopyError) -> bool {
    let CopyError::Source { source } = error else { return false };
    let SourceError::Records { source, .. } = &**source else { return false };
    splitting.was_guessed_wrong(source)
}

async fn measured(looked: Looked) -> Result<Looked, CopyError> {
    let Looked { sources, mut splitting, parts } = looked;
    let measured = blocking(move || {
        let measured = splitting.measure(&sources.files);
        measured.map_err(|error| sources.unfit(error))?;
        Ok::<_, SourceError>(Looked { sources, splitting, parts })
    });
    Ok(measured.await?)
}
