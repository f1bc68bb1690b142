//! The commit of a spray: every part to its place, then the one transaction that makes the
//! generation visible. Each step can be taken again by whoever comes after a crash.

use crate::access::{self, Operation};
use crate::catalogue::{
    Actor, AgentRecord, JobError, JobKey, JobRecord, NewJob, Opened, PartLayout, PartRecord,
};
use crate::plane::{Finish, Finished, PartTarget, Plane, PlaneError, part_path};
use crate::service::part_paths;
use crate::state::{Relay, blocking, internal};
use skyspray_link::seam::files::Replace;
use skyspray_wire::digest::Digest;
use skyspray_wire::ids::{Epoch, JobId};
use skyspray_wire::message::{Committed, WriteTarget};
use skyspray_wire::name::{LogicalName, PlaneName};
use skyspray_wire::receipt::{Receipt, SignedReceipt};
use skyspray_wire::refusal::{Refusal, RefusalCode};
use std::sync::Arc;

/// Parts put in their places together, sharing directory syncs.
const PAGE: u32 = 256;

/// What is needed to finish a sealed spray.
#[derive(Clone, Debug)]
pub(crate) struct Commitment {
    job: JobId,
    epoch: Epoch,
    target: WriteTarget,
    parts: u32,
    layout: PartLayout,
    overwrite: bool,
}

impl Commitment {
    /// Of a job that was just opened again.
    pub(crate) fn of(new: &NewJob, opened: &Opened) -> Self {
        Self {
            job: new.job,
            epoch: opened.epoch,
            target: new.target.clone(),
            parts: opened.parts,
            layout: opened.layout,
            overwrite: new.overwrite,
        }
    }

    /// Of a job as the catalogue has it, under the lease `epoch`.
    pub(crate) fn of_record(record: &JobRecord, epoch: Epoch) -> Self {
        Self {
            job: record.job,
            epoch,
            target: record.target.clone(),
            parts: record.parts,
            layout: record.layout,
            overwrite: record.overwrite,
        }
    }
}

/// The job as the catalogue has it.
pub(crate) async fn load(relay: &Relay, job: JobId) -> Result<JobRecord, Refusal> {
    let record = relay.catalogue.job(&JobKey::Id(job)).await.map_err(|error| internal(&error))?;
    record.ok_or_else(|| Refusal::new(RefusalCode::JobUnknown, ""))
}

/// Finishes a sealed spray. Idempotent, and goes on when nobody waits for it any more.
///
/// A job whose staged bytes are lost is aborted, since it could never be finished; but not one that
/// may have replaced parts of an earlier generation, which is left sealed for the operator.
pub(crate) async fn finish(
    relay: &Arc<Relay>,
    commitment: Commitment,
) -> Result<Committed, Refusal> {
    let relay = Arc::clone(relay);
    let finishing = tokio::spawn(async move { finish_once(&relay, commitment).await });
    finishing.await.expect("a commit does not panic and is not aborted")
}

async fn finish_once(relay: &Relay, commitment: Commitment) -> Result<Committed, Refusal> {
    let WriteTarget::LogicalFile { plane: plane_name, name, .. } = &commitment.target else {
        return Err(Refusal::new(RefusalCode::Malformed, "a push has no commit of its own"));
    };
    let served = relay.plane(plane_name)?;
    // One after the other: a second request for the same commit finds it done.
    let _placing = served.placing.lock().await;
    let outcome = match place_parts(relay, &served.plane, &commitment, name).await {
        Ok(()) => {
            commit(relay, &commitment).await.map_err(|error| crate::service::refusal_of(&error))
        }
        Err(refusal) => Err(refusal),
    };
    if let Err(refusal) = &outcome
        && is_final(refusal)
        && !commitment.overwrite
    {
        let aborted =
            relay.catalogue.abort(commitment.job, None, &Actor::Relay, relay.now_ms()).await;
        if let Err(error) = aborted {
            tracing::error!(job = %commitment.job, error = &error as &dyn std::error::Error, "abort");
        }
    }
    outcome
}

fn is_final(refusal: &Refusal) -> bool {
    matches!(
        refusal.code,
        RefusalCode::Exists | RefusalCode::StoredCorrupt | RefusalCode::PathBlocked
    )
}

async fn place_parts(
    relay: &Relay,
    plane: &Arc<Plane>,
    commitment: &Commitment,
    name: &LogicalName,
) -> Result<(), Refusal> {
    let paths = part_paths(commitment.parts, &commitment.layout)
        .ok_or_else(|| Refusal::new(RefusalCode::Internal, "a spray without parts"))?;
    let replace = if commitment.overwrite { Replace::Existing } else { Replace::Never };
    let mut after = None;
    loop {
        let rows = relay.catalogue.job_parts(commitment.job, after, PAGE).await;
        let rows = rows.map_err(|error| internal(&error))?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = Some(last.part);
        let mut finishes = Vec::with_capacity(rows.len());
        for row in rows {
            let path = part_path(&paths, name, row.part).map_err(|error| error.refusal())?;
            let target = PartTarget::try_new(commitment.job, row.part, path)
                .map_err(|error| error.refusal())?;
            let length = row.length.unwrap_or(0);
            finishes.push((Finish { target, length, replace, staged: None }, row));
        }
        let plane = Arc::clone(plane);
        blocking(move || place_page(&plane, finishes)).await.map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "placing parts");
            error.refusal()
        })?;
    }
}

/// Puts one page of parts in their places. Blocks.
fn place_page(plane: &Plane, page: Vec<(Finish, PartRecord)>) -> Result<(), PlaceError> {
    let (finishes, rows): (Vec<Finish>, Vec<PartRecord>) = page.into_iter().unzip();
    let outcomes = plane.finish(&finishes);
    for ((outcome, finish), row) in outcomes.into_iter().zip(&finishes).zip(&rows) {
        match outcome {
            Ok(Finished::Renamed) => {}
            // Nobody saw the rename that put it there: believe it only after reading it.
            Ok(Finished::Found) => verify(plane, finish, row.digest)?,
            // A file that this job renamed before a crash may stand where nothing may be replaced.
            Err(PlaneError::Exists { .. }) if verify(plane, finish, row.digest).is_ok() => {
                plane.abort(&finish.target)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn verify(plane: &Plane, finish: &Finish, digest: Option<Digest>) -> Result<(), PlaceError> {
    let measured = plane.open(finish.target.path())?.measure()?;
    if measured.length == finish.length && Some(measured.digest) == digest {
        Ok(())
    } else {
        Err(PlaceError::Foreign)
    }
}

/// Why a part is not in its place.
#[derive(Debug, thiserror::Error)]
enum PlaceError {
    #[error(transparent)]
    Plane(#[from] PlaneError),
    #[error("what stands at a part's place is not the part")]
    Foreign,
}

impl PlaceError {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Plane(PlaneError::Lost { .. } | PlaneError::Short { .. }) => {
                Refusal::new(RefusalCode::StoredCorrupt, "staged bytes are lost")
            }
            Self::Plane(error) => error.refusal(),
            Self::Foreign => Refusal::new(RefusalCode::StoredCorrupt, "a part's place is taken"),
        }
    }
}

async fn commit(relay: &Relay, commitment: &Commitment) -> Result<Committed, JobError> {
    let identity = relay.identity();
    let sign = |receipt: &Receipt| sign(&identity, receipt);
    relay.catalogue.commit_spray(commitment.job, commitment.epoch, &sign, relay.now_ms()).await
}

/// Whether the agent, as it is inside the transaction, may commit this job.
pub(crate) fn may_commit(agent: &AgentRecord, job: &JobRecord) -> Result<(), Refusal> {
    let wanted = [Some(Operation::Push), job.overwrite.then_some(Operation::Overwrite)];
    for operation in wanted.into_iter().flatten() {
        let (allowed, plane): (bool, &PlaneName) = match &job.target {
            WriteTarget::LogicalFile { plane, name, .. } => {
                (access::allows_name(&agent.rules, operation, plane, name), plane)
            }
            WriteTarget::Files { plane, directory } => {
                (access::allows_path(&agent.rules, operation, plane, directory), plane)
            }
        };
        if !allowed {
            let detail = format!("{operation} on {plane}");
            return Err(Refusal::new(RefusalCode::Forbidden, detail));
        }
    }
    Ok(())
}

/// The signed receipt as it is stored and sent.
pub(crate) fn sign(identity: &skyspray_certs::RelayIdentity, receipt: &Receipt) -> Vec<u8> {
    let encoded = postcard::to_stdvec(receipt).expect("a receipt is plain data");
    let signer = &identity.receipt_signer;
    let signed = SignedReceipt {
        key_id: signer.verifier().key_id().0,
        signature: signer.sign(&Receipt::signed_bytes(&encoded)).to_vec(),
        receipt: encoded,
    };
    postcard::to_stdvec(&signed).expect("a signed receipt is plain data")
}
