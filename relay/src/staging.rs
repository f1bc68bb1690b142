//! Parts on their way to a plane, and the note of each upload in the catalogue: what whoever goes on
//! with a part after a crash must know is recorded before its first byte is written.

use crate::catalogue::{Catalogue, CatalogueError, JobError, Wanted};
use crate::plane::{PartTarget, Plane, PlaneError, StagedPart, Upload};
use crate::state::unix_ms;
use skyspray_link::seam::Clock;
use skyspray_link::seam::files::RelPath;
use skyspray_wire::ids::{Epoch, JobId, PartIndex};
use skyspray_wire::name::PlaneName;
use skyspray_wire::refusal::Refusal;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use thiserror::Error;
use tokio::runtime::Handle;

/// Begins and resumes the parts of one job.
#[derive(Clone, Debug)]
pub(crate) struct Staging {
    pub(crate) plane_name: PlaneName,
    pub(crate) plane: Arc<Plane>,
    pub(crate) catalogue: Catalogue,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) job: JobId,
    pub(crate) epoch: Epoch,
}

/// Why a part cannot be written.
#[derive(Debug, Error)]
pub(crate) enum StagingError {
    /// The plane failed.
    #[error(transparent)]
    Plane(#[from] PlaneError),
    /// The upload could not be noted.
    #[error(transparent)]
    Job(#[from] JobError),
}

impl StagingError {
    /// What a peer is told.
    pub(crate) fn refusal(&self) -> Refusal {
        match self {
            Self::Plane(error) => error.refusal(),
            Self::Job(error) => error.refusal(),
        }
    }
}

impl Staging {
    /// A part of the job, staged under its lease and stored at `path`.
    ///
    /// # Errors
    ///
    /// [`PlaneError::Path`].
    pub(crate) fn target(&self, part: PartIndex, path: RelPath) -> Result<PartTarget, PlaneError> {
        PartTarget::try_new(self.job, part, path)?.under(self.epoch)
    }

    /// Begins a part from nothing; see [`Plane::begin`]. Blocks.
    ///
    /// # Errors
    ///
    /// The plane's, or the lease is lost.
    pub(crate) fn begin(
        &self,
        target: &PartTarget,
        length: Option<u64>,
    ) -> Result<StagedPart, StagingError> {
        if !self.plane.has_uploads() {
            return Ok(self.plane.begin(target, length)?);
        }
        let (part, path) = (target.part(), target.path().to_string());
        let now_ms = unix_ms(self.clock.now());
        let key = (self.job, self.epoch);
        let wanted = on_catalogue(self.catalogue.want_upload(key, part, &path, now_ms))?;
        if wanted == Wanted::Again {
            self.remove_strays(target, &path)?;
        }
        let staged = self.plane.begin(target, length)?;
        let upload = staged.upload().expect("the parts of this plane are uploads");
        let noted = on_catalogue(self.catalogue.record_upload(key, part, (&path, upload), now_ms));
        if let Err(error) = noted {
            // Nobody knows of the upload: now is the only time to throw it away.
            if let Err(error) = self.plane.abort(target, Some(upload)) {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(path, error, "an upload nobody has noted is left");
            }
            return Err(error.into());
        }
        Ok(staged)
    }

    /// Throws away uploads to the place of a part that nobody has noted: a crash came between the
    /// store's answer and the note.
    fn remove_strays(&self, target: &PartTarget, path: &str) -> Result<(), StagingError> {
        let open = self.plane.open_uploads(target.path())?;
        let noted = on_catalogue(self.catalogue.uploads_to(self.job, (&self.plane_name, path)));
        let Some(noted) = noted.map_err(JobError::from)? else { return Ok(()) };
        for stray in open.iter().filter(|upload| !noted.contains(upload)) {
            self.plane.abort(target, Some(stray))?;
        }
        Ok(())
    }

    /// Opens what is staged for a part; see [`Plane::resume`]. Blocks.
    ///
    /// # Errors
    ///
    /// The plane's or the catalogue's.
    pub(crate) fn resume(&self, target: &PartTarget) -> Result<Option<StagedPart>, StagingError> {
        let upload = if self.plane.has_uploads() {
            let found = on_catalogue(self.catalogue.open_upload(self.job, target.part()));
            found.map_err(JobError::from)?
        } else {
            None
        };
        Ok(self.plane.resume(target, upload.as_ref())?)
    }

    /// Notes that the store has lost the upload of a part, so that the part begins anew when the
    /// job is opened again. Blocks.
    ///
    /// # Errors
    ///
    /// The lease is lost, or the catalogue failed.
    pub(crate) fn lost(&self, part: PartIndex) -> Result<(), JobError> {
        let now_ms = unix_ms(self.clock.now());
        on_catalogue(self.catalogue.upload_lost((self.job, self.epoch), part, now_ms))
    }
}

/// The uploads that finish the parts from `first` to `last`; none on planes without uploads.
///
/// # Errors
///
/// The catalogue failed.
pub(crate) async fn uploads(
    catalogue: &Catalogue,
    plane: &Plane,
    job: JobId,
    parts: (PartIndex, PartIndex),
) -> Result<BTreeMap<PartIndex, Upload>, CatalogueError> {
    if plane.has_uploads() { catalogue.uploads(job, parts).await } else { Ok(BTreeMap::new()) }
}

/// Waits for the catalogue on a thread for blocking work.
fn on_catalogue<T>(work: impl Future<Output = T>) -> T {
    Handle::current().block_on(work)
}
