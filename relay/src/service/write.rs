//! Spray and push: opening a job, sealing its parts, giving it up.

use super::files;
use super::{ServiceError, allowed_name, allowed_path};
use crate::access::Operation;
use crate::catalogue::{
    Actor, Kept, NewJob, Opened, Opening, PartLayout, PartRecord, PartState, SealedPart,
};
use crate::commit::{self, Commitment};
use crate::config::Category;
use crate::plane::Layout;
use crate::planes::ServedPlane;
use crate::session::Greeted;
use crate::sink::{Place, Places, PlaneSink, decode_tree};
use crate::staging::Staging;
use crate::state::{Relay, blocking, internal};
use skyspray_dfu::naming::PartPaths;
use skyspray_link::receive::ReceiveJob;
use skyspray_link::request::Exchange;
use skyspray_wire::ids::{Epoch, JobId};
use skyspray_wire::limits::{COMMIT_SEALS_MAX, IN_FLIGHT_CHUNKS_MAX, PAGE_MAX, PARTS_MAX};
use skyspray_wire::message::{
    Commit, Granted, Held, JobState, OpenWrite, PartRuns, PartSeal, Reply, SealParts, WriteTarget,
    check_attributes,
};
use skyspray_wire::name::{LogicalName, PlanePath};
use skyspray_wire::receiver::{ReceiveError, Receiver};
use skyspray_wire::refusal::{Refusal, RefusalCode};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use tokio::sync::OwnedMutexGuard;

/// Rows of parts read at once.
const ROWS: u32 = 512;

/// Answers `OpenWrite`.
pub(super) async fn open(
    greeted: &Arc<Greeted>,
    exchange: &mut Exchange,
    open: OpenWrite,
) -> Result<(), ServiceError> {
    let relay = &greeted.relay;
    let served = relay.plane(open.target.plane())?;
    check_access(greeted, served, &open).await?;
    let new = new_job(greeted, served, open)?;
    let opened = match relay.catalogue.open_write(&new, relay.now_ms()).await? {
        Opening::Committed(committed) => {
            commit::point(relay, &new.target).await?;
            exchange.send(&Reply::Committed(committed)).await?;
            return Ok(());
        }
        Opening::Granted(opened) => opened,
    };
    if let Some(earlier) = relay.jobs.remove(new.job) {
        earlier.retire(Refusal::new(RefusalCode::EpochStale, "")).await;
    }
    if opened.state == JobState::Sealed {
        let committed = commit::finish(relay, Commitment::of(&new, &opened)).await?;
        exchange.send(&Reply::Committed(committed)).await?;
        return Ok(());
    }
    let (job, held) = prepare(greeted, served, &new, &opened).await?;
    let granted = Granted {
        epoch: opened.epoch,
        chunk_size: opened.chunk_size,
        parts: opened.parts,
        in_flight_chunks: IN_FLIGHT_CHUNKS_MAX,
        wuid: opened.wuid,
    };
    tokio::spawn(Arc::clone(&job).sync_loop());
    relay.jobs.insert(new.job, Arc::clone(&job));
    greeted.add_write(new.job, job);
    exchange.send(&Reply::Granted(granted)).await?;
    for page in pages(held) {
        exchange.send(&Reply::Held(Held { parts: page })).await?;
    }
    exchange.send(&Reply::Done).await?;
    Ok(())
}

async fn check_access(
    greeted: &Greeted,
    served: &ServedPlane,
    open: &OpenWrite,
) -> Result<(), Refusal> {
    let operations =
        [Some(Operation::Push), open.overwrite.then_some(Operation::Overwrite)].into_iter();
    for operation in operations.flatten() {
        match &open.target {
            WriteTarget::LogicalFile { plane, name, .. } => {
                allowed_name(greeted, operation, plane, name).await?;
            }
            WriteTarget::Files { plane, directory } => {
                allowed_path(greeted, operation, plane, directory).await?;
            }
        }
    }
    let sprays = matches!(open.target, WriteTarget::LogicalFile { .. });
    if sprays && served.settings.category == Category::Lz {
        let detail = format!("{} is a landing-zone plane; push to it", open.target.plane());
        return Err(Refusal::new(RefusalCode::Forbidden, detail));
    }
    Ok(())
}

fn new_job(greeted: &Greeted, served: &ServedPlane, open: OpenWrite) -> Result<NewJob, Refusal> {
    check_attributes(&open.attributes).map_err(|error| error.refusal())?;
    let layout = served.settings.layout;
    let (parts, layout) = match &open.target {
        WriteTarget::LogicalFile { name, parts, .. } => {
            let parts = if *parts == 0 { served.settings.default_parts.get() } else { *parts };
            (parts, part_layout(layout, name, open.job))
        }
        WriteTarget::Files { .. } => (0, PartLayout::FILES),
    };
    if parts > PARTS_MAX {
        let detail = format!("{parts} parts, at most {PARTS_MAX} are allowed");
        return Err(Refusal::new(RefusalCode::LimitExceeded, detail));
    }
    // Of a push only the sum is known: its longest file is refused when it is opened, if it must be.
    let longest = match parts {
        0 => open.bytes.min(served.plane.part_bytes_max(served.plane.read_chunk_size())),
        parts => open.bytes.div_ceil(u64::from(parts)),
    };
    let chunk_size = served.plane.chunk_size(longest).map_err(|error| error.refusal())?;
    Ok(NewJob {
        job: open.job,
        agent: greeted.agent.clone(),
        target: open.target,
        overwrite: open.overwrite,
        bytes: open.bytes,
        plan: open.plan,
        attributes: open.attributes,
        parts,
        chunk_size,
        layout,
    })
}

/// What the part paths of a new file follow from.
pub(crate) fn part_layout(layout: Layout, name: &LogicalName, job: JobId) -> PartLayout {
    PartLayout {
        dir_per_part: layout.dir_per_part,
        devices: layout.devices.get(),
        lfn_hash: skyspray_dfu::naming::lfn_hash(name),
        kept: layout.keep_generations.map(|generations| Kept { job, generations }),
    }
}

/// The rule for the part paths of a job or generation.
pub(crate) fn part_paths(parts: u32, layout: &PartLayout) -> Option<PartPaths> {
    Some(PartPaths {
        parts: NonZeroU32::new(parts)?,
        devices: NonZeroU32::new(layout.devices)?,
        directory_per_part: layout.dir_per_part,
        lfn_hash: layout.lfn_hash,
        generation: layout.kept.map(|kept| kept.job),
    })
}

type Prepared = (Arc<ReceiveJob<PlaneSink>>, Vec<PartRuns>);

/// Takes a job up where the catalogue says it is.
async fn prepare(
    greeted: &Greeted,
    served: &ServedPlane,
    new: &NewJob,
    opened: &Opened,
) -> Result<Prepared, ServiceError> {
    let relay = &greeted.relay;
    let places = match &new.target {
        WriteTarget::LogicalFile { name, .. } => {
            let paths = part_paths(opened.parts, &opened.layout);
            let none = || Refusal::new(RefusalCode::LimitExceeded, "a spray has at least one part");
            let paths = paths.ok_or_else(none)?;
            Places::LogicalFile { name: name.clone(), paths, bytes: new.bytes }
        }
        WriteTarget::Files { .. } => Places::Files(BTreeMap::new()),
    };
    let staging = Staging {
        plane_name: new.target.plane().clone(),
        plane: Arc::clone(&served.plane),
        catalogue: relay.catalogue.clone(),
        clock: Arc::clone(&relay.clock),
        job: new.job,
        epoch: opened.epoch,
    };
    let sink = Arc::new(PlaneSink::new(staging, opened.chunk_size, places));
    let mut machine = Receiver::new(new.job, opened.epoch, opened.chunk_size, opened.parts);
    let held = if opened.resumed {
        resume_parts(relay, new.job, &sink, &mut machine).await?
    } else {
        Vec::new()
    };
    Ok((Arc::new(ReceiveJob::new(machine, sink)), held))
}

/// Takes all parts up; returns the chunks that need not be sent.
async fn resume_parts(
    relay: &Relay,
    job: JobId,
    sink: &Arc<PlaneSink>,
    machine: &mut Receiver,
) -> Result<Vec<PartRuns>, ServiceError> {
    let (mut held, mut after) = (Vec::new(), None);
    loop {
        let rows = relay.catalogue.job_parts(job, after, ROWS).await;
        let rows = rows.map_err(|error| internal(&error))?;
        let Some(last) = rows.last() else { return Ok(held) };
        after = Some(last.part);
        for row in &rows {
            let runs = resume_part(sink, machine, row).await?;
            held.extend(runs.map(|runs| PartRuns { part: row.part, runs }));
        }
    }
}

/// Takes one part up; returns the chunks that need not be sent.
async fn resume_part(
    sink: &Arc<PlaneSink>,
    machine: &mut Receiver,
    row: &PartRecord,
) -> Result<Option<Vec<(u64, u64)>>, Refusal> {
    let part = row.part;
    if row.state != PartState::Open {
        machine.handle_resumed_complete(part);
        sink.count_complete(part, row.length.unwrap_or(0));
        if sink.is_push() {
            // Its sender knows: a file is committed before its sender may forget it.
            return Ok(None);
        }
        let chunks = machine.chunk_size().count(row.length.unwrap_or(0));
        return Ok((chunks > 0).then(|| vec![(0, chunks)]));
    }
    if let Some(path) = &row.path
        && let Some(path) = files::plane_path(path)
    {
        sink.add_file(part, Place { path, length: row.length });
        machine.handle_parts(part.0 + 1);
    }
    let Some(tree) = row.tree.as_deref().and_then(decode_tree) else { return Ok(None) };
    let (resuming, known, length) = (Arc::clone(sink), tree.clone(), row.length);
    let there = blocking(move || resuming.resume_part(part, &known, length)).await;
    if !there.map_err(|error| error.refusal())? {
        return Ok(None);
    }
    let runs = tree.runs().map(|run| (run.start, run.end)).collect();
    machine.handle_resumed(part, tree);
    Ok(Some(runs))
}

/// Cuts held ranges into pages of at most [`PAGE_MAX`] ranges.
pub(super) fn pages(held: Vec<PartRuns>) -> Vec<Vec<PartRuns>> {
    let mut pages: Vec<Vec<PartRuns>> = Vec::new();
    let mut room = 0;
    for PartRuns { part, runs } in held {
        for piece in runs.chunks(PAGE_MAX) {
            if piece.len() > room {
                pages.push(Vec::new());
                room = PAGE_MAX;
            }
            room -= piece.len();
            let page = pages.last_mut().expect("a page was just made");
            page.push(PartRuns { part, runs: piece.to_vec() });
        }
    }
    pages
}

/// The job, if this session has it open under this epoch.
pub(super) fn open_job(
    greeted: &Greeted,
    job: JobId,
    epoch: Epoch,
) -> Result<Arc<ReceiveJob<PlaneSink>>, Refusal> {
    let open = greeted.write(job).ok_or_else(|| Refusal::new(RefusalCode::JobUnknown, ""))?;
    let current = open.with_machine(|machine| machine.epoch());
    if current == epoch {
        Ok(open)
    } else {
        let (found, current) = (epoch.0, current.0);
        Err(ReceiveError::StaleEpoch { found, current }.refusal())
    }
}

/// Answers `SealParts`.
pub(super) async fn seal(
    greeted: &Arc<Greeted>,
    exchange: &mut Exchange,
    seal: SealParts,
) -> Result<(), ServiceError> {
    let id = seal.job;
    let (job, _sealing) = job_to_seal(greeted, id, seal.epoch).await?;
    let sealed = seal_page(greeted, exchange, &job, seal).await;
    if let Err(error) = &sealed {
        give_up(greeted, (id, &job), error).await;
    }
    sealed
}

/// The job as [`open_job`] gives it, with the right to seal.
async fn job_to_seal(
    greeted: &Greeted,
    id: JobId,
    epoch: Epoch,
) -> Result<(Arc<ReceiveJob<PlaneSink>>, OwnedMutexGuard<()>), Refusal> {
    loop {
        let job = open_job(greeted, id, epoch)?;
        let sealing = job.sealing().await;
        // Whoever had the right may have ended the job.
        if Arc::ptr_eq(&open_job(greeted, id, epoch)?, &job) {
            return Ok((job, sealing));
        }
    }
}

/// Ends a job in this session whose seals did not all reach the catalogue. The machine may hold parts as
/// sealed that the catalogue does not: the job goes on only from what is recorded, when it is opened
/// again. What is on its way is told why.
async fn give_up(
    greeted: &Greeted,
    (id, job): (JobId, &Arc<ReceiveJob<PlaneSink>>),
    error: &ServiceError,
) {
    let reason = match error {
        ServiceError::Refused(refusal) => refusal.clone(),
        _ => Refusal::new(RefusalCode::EpochStale, ""),
    };
    greeted.remove_write(id);
    job.retire(reason).await;
    greeted.relay.jobs.remove_same(id, job);
}

async fn seal_page(
    greeted: &Arc<Greeted>,
    exchange: &mut Exchange,
    job: &Arc<ReceiveJob<PlaneSink>>,
    seal: SealParts,
) -> Result<(), ServiceError> {
    if seal.parts.len() > PAGE_MAX {
        return Err(Refusal::new(RefusalCode::Malformed, "more parts than a page").into());
    }
    for part in &seal.parts {
        job.with_machine(|machine| {
            if machine.handle_seal(part)? {
                Ok(())
            } else {
                Err(machine
                    .incomplete(part.part)
                    .unwrap_or(ReceiveError::UnknownPart { part: part.part, parts: 0 }))
            }
        })
        .map_err(|error| error.refusal())?;
    }
    if job.sink().is_push() {
        if seal.parts.iter().any(|part| part.header > 0 || part.footer > 0) {
            return Err(Refusal::new(RefusalCode::Malformed, "a header in a push").into());
        }
        return files::commit(greeted, exchange, job, seal).await;
    }
    record_seals(greeted, job, &seal.parts).await?;
    exchange.send(&Reply::Done).await?;
    Ok(())
}

/// Writes seals of complete parts of a spray to the catalogue.
async fn record_seals(
    greeted: &Greeted,
    job: &ReceiveJob<PlaneSink>,
    seals: &[PartSeal],
) -> Result<(), ServiceError> {
    let mut sealed = Vec::with_capacity(seals.len());
    for seal in seals {
        let target = job.sink().part_target(seal.part).map_err(|error| error.refusal())?;
        let path = target.path().to_string();
        sealed.push(SealedPart { seal: *seal, path });
    }
    let (id, epoch) = job.with_machine(|machine| (machine.job(), machine.epoch()));
    let relay = &greeted.relay;
    Ok(relay.catalogue.seal_parts(id, epoch, &sealed, relay.now_ms()).await?)
}

/// Seals what a commit seals, once all of it is there.
async fn seal_last(
    greeted: &Greeted,
    job: &ReceiveJob<PlaneSink>,
    commit: &Commit,
) -> Result<(), ServiceError> {
    if commit.seals.len() > COMMIT_SEALS_MAX {
        let detail = "more seals than a commit may have";
        return Err(Refusal::new(RefusalCode::Malformed, detail).into());
    }
    for seal in &commit.seals {
        let stated = job.with_machine(|machine| machine.handle_seal(seal));
        stated.map_err(|error| error.refusal())?;
    }
    job.complete(commit.parts, || greeted.session.carried()).await?;
    if commit.seals.is_empty() {
        return Ok(());
    }
    record_seals(greeted, job, &commit.seals).await
}

/// Answers `Commit`.
pub(super) async fn commit(
    greeted: &Arc<Greeted>,
    exchange: &mut Exchange,
    commit: Commit,
) -> Result<(), ServiceError> {
    let (job, _sealing) = job_to_seal(greeted, commit.job, commit.epoch).await?;
    let relay = &greeted.relay;
    if job.sink().is_push() {
        if !commit.attributes.is_empty() || !commit.seals.is_empty() {
            let detail = "attributes or seals in the commit of a push";
            return Err(Refusal::new(RefusalCode::Malformed, detail).into());
        }
        return files::finish(greeted, exchange, commit).await;
    }
    if let Err(error) = seal_last(greeted, &job, &commit).await {
        give_up(greeted, (commit.job, &job), &error).await;
        return Err(error);
    }
    job.with_machine(|machine| machine.handle_commit(commit.parts))
        .map_err(|error| error.refusal())?;
    let record = commit::load(relay, commit.job).await?;
    let (key, late) = ((commit.job, commit.epoch), &commit.attributes);
    relay.catalogue.mark_sealed(key, late, &commit::may_commit, relay.now_ms()).await?;
    let commitment = Commitment::of_record(&record, commit.epoch);
    let committed = commit::finish(relay, commitment).await?;
    greeted.remove_write(commit.job);
    relay.jobs.remove_same(commit.job, &job);
    job.retire(Refusal::new(RefusalCode::JobUnknown, "")).await;
    exchange.send(&Reply::Committed(committed)).await?;
    Ok(())
}

/// Answers `Abort`.
pub(super) async fn abort(
    greeted: &Arc<Greeted>,
    exchange: &mut Exchange,
    job: JobId,
) -> Result<(), ServiceError> {
    let relay = &greeted.relay;
    let actor = Actor::Agent(greeted.agent.clone());
    relay.catalogue.abort(job, None, &actor, relay.now_ms()).await?;
    greeted.remove_write(job);
    if let Some(open) = relay.jobs.remove(job) {
        open.retire(Refusal::new(RefusalCode::JobAborted, "")).await;
    }
    crate::housekeeping::collect_jobs(relay).await;
    exchange.send(&Reply::Done).await?;
    Ok(())
}

/// A directory of a push and a file below it, as one path.
pub(super) fn below(directory: &PlanePath, file: &PlanePath) -> Result<PlanePath, Refusal> {
    directory.join(file).map_err(|error| Refusal::new(RefusalCode::NameInvalid, error.to_string()))
}
