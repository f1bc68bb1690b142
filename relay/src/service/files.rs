//! The files of a push: opened, put in their places and committed, page by page.

use super::write::{below, open_job};
use super::{ServiceError, allowed_path, refusal_of};
use crate::access::Operation;
use crate::catalogue::{FileStanding, Gate, NewFile};
use crate::commit::{self, is_part};
use crate::plane::{Finish, Finished, PlaneError, Upload};
use crate::session::Greeted;
use crate::sink::{Place, PlaneSink, Taken, decode_tree};
use crate::staging::{self, Staging};
use crate::state::{Relay, blocking, internal};
use skyspray_link::receive::ReceiveJob;
use skyspray_link::request::Exchange;
use skyspray_link::seam::files::{RelPath, Replace};
use skyspray_wire::ids::PartIndex;
use skyspray_wire::limits::{FILES_MAX, PAGE_MAX};
use skyspray_wire::message::{
    Commit, FilesOpened, OpenFiles, PartRuns, PartSeal, Reply, SealParts, WriteTarget,
};
use skyspray_wire::name::{PlaneName, PlanePath};
use skyspray_wire::refusal::{Refusal, RefusalCode, Remedy};
use std::collections::BTreeMap;
use std::sync::Arc;

type Job = Arc<ReceiveJob<PlaneSink>>;

/// Answers `OpenFiles`.
pub(super) async fn open(
    greeted: &Arc<Greeted>,
    exchange: &mut Exchange,
    open: OpenFiles,
) -> Result<(), ServiceError> {
    let job = open_job(greeted, open.job, open.epoch)?;
    let relay = &greeted.relay;
    let last = u64::from(open.first.0) + open.files.len() as u64;
    if open.files.len() > PAGE_MAX || last > u64::from(FILES_MAX) {
        return Err(Refusal::new(RefusalCode::LimitExceeded, "files of one push").into());
    }
    let record = commit::load(relay, open.job).await?;
    let WriteTarget::Files { plane, directory } = &record.target else {
        return Err(Refusal::new(RefusalCode::Malformed, "files in a spray").into());
    };
    allowed_path(greeted, Operation::Push, plane, directory).await?;
    let mut files = Vec::with_capacity(open.files.len());
    for file in &open.files {
        let path = below(directory, &file.path)?;
        files.push(NewFile { path, length: file.length, modified_ns: file.modified_ns });
    }
    let bytes_max = job.sink().part_bytes_max();
    let key = (open.job, open.epoch);
    let standings = relay.catalogue.add_files(key, open.first, &files, relay.now_ms()).await?;
    let mut answer = FilesOpened { committed: Vec::new(), refused: Vec::new(), held: Vec::new() };
    for (index, (file, standing)) in files.iter().zip(standings).enumerate() {
        let part = PartIndex(open.first.0 + index as u32);
        if file.length > bytes_max {
            let error = PlaneError::TooLong { bytes: file.length, bytes_max };
            answer.refused.push((part, error.refusal()));
            continue;
        }
        let standing = if let FileStanding::Refused(refusal) = standing {
            unless_same(relay, plane, file, refusal).await?
        } else {
            standing
        };
        stand(&job, part, file, standing, &mut answer).await;
    }
    job.with_machine(|machine| machine.handle_parts(last as u32));
    for page in split(answer) {
        exchange.send(&Reply::FilesOpened(page)).await?;
    }
    exchange.send(&Reply::Done).await?;
    Ok(())
}

/// A file that is stored already, with the same length and time, need not be sent again.
async fn unless_same(
    relay: &Relay,
    plane: &PlaneName,
    file: &NewFile,
    refusal: Refusal,
) -> Result<FileStanding, Refusal> {
    if refusal.code != RefusalCode::Exists {
        return Ok(FileStanding::Refused(refusal));
    }
    let stored = relay.catalogue.plane_file(plane, &file.path).await;
    let stored = stored.map_err(|error| internal(&error))?;
    let same = stored.is_some_and(|stored| {
        (stored.length, stored.modified_ns) == (file.length, file.modified_ns)
    });
    Ok(if same { FileStanding::Committed } else { FileStanding::Refused(refusal) })
}

async fn stand(
    job: &Job,
    part: PartIndex,
    file: &NewFile,
    standing: FileStanding,
    answer: &mut FilesOpened,
) {
    let tree = match standing {
        FileStanding::Committed => {
            job.with_machine(|machine| machine.handle_resumed_complete(part));
            answer.committed.push(part);
            return;
        }
        FileStanding::Refused(refusal) => {
            answer.refused.push((part, refusal));
            return;
        }
        FileStanding::Open { tree } => tree,
    };
    let Some(path) = plane_path(&file.path.to_string()) else {
        answer.refused.push((part, Refusal::new(RefusalCode::NameInvalid, "")));
        return;
    };
    job.sink().add_file(part, Place { path, length: Some(file.length) });
    let Some(tree) = tree.as_deref().and_then(decode_tree) else { return };
    let (sink, resuming, length) = (Arc::clone(job.sink()), tree.clone(), file.length);
    match blocking(move || sink.resume_part(part, &resuming, Some(length))).await {
        Ok(true) => {
            let runs = tree.runs().map(|run| (run.start, run.end)).collect();
            job.with_machine(|machine| machine.handle_resumed(part, tree));
            answer.held.push(PartRuns { part, runs });
        }
        Ok(false) => {}
        Err(error) => answer.refused.push((part, error.refusal())),
    }
}

/// Cuts an answer so that refusals with long details and many ranges fit their frames.
fn split(answer: FilesOpened) -> Vec<FilesOpened> {
    let empty = || FilesOpened { committed: Vec::new(), refused: Vec::new(), held: Vec::new() };
    let mut pages = vec![FilesOpened { committed: answer.committed, ..empty() }];
    let refused: Vec<_> = answer.refused;
    pages.extend(refused.chunks(32).map(|page| FilesOpened { refused: page.to_vec(), ..empty() }));
    pages.extend(
        super::write::pages(answer.held).into_iter().map(|held| FilesOpened { held, ..empty() }),
    );
    pages
}

/// Puts whole files in their places and commits them; the answer to `SealParts` in a push.
pub(super) async fn commit(
    greeted: &Greeted,
    exchange: &mut Exchange,
    job: &Job,
    seal: SealParts,
) -> Result<(), ServiceError> {
    let (relay, job) = (Arc::clone(&greeted.relay), Arc::clone(job));
    // Goes on when the session ends: between the places and the catalogue nothing may be cut off.
    let committing = tokio::spawn(async move { commit_page(&relay, &job, seal).await });
    let refused = committing.await.expect("a commit does not panic and is not aborted")?;
    for page in refused.chunks(32) {
        exchange.send(&Reply::FilesRefused(page.to_vec())).await?;
    }
    exchange.send(&Reply::Done).await?;
    Ok(())
}

async fn commit_page(
    relay: &Relay,
    job: &Job,
    seal: SealParts,
) -> Result<Vec<(PartIndex, Refusal)>, Refusal> {
    let record = commit::load(relay, seal.job).await?;
    let agent = relay.enrolled_agent(&record.agent).await?;
    commit::may_commit(&agent, &record)?;
    let replace = if record.overwrite { Replace::Existing } else { Replace::Never };
    let _placing = commit::lock(&relay.plane(record.target.plane())?.placing).await?;
    let (seals, refused) = place(job, seal.parts, replace).await?;
    let identity = relay.identity();
    let sign = |receipt: &_| commit::sign(&identity, receipt);
    let gate = Gate { allowed: &commit::may_commit, sign: &sign };
    let key = (seal.job, seal.epoch);
    let committed = relay.catalogue.commit_files(key, &seals, gate, relay.now_ms()).await;
    committed.map_err(|error| refusal_of(&error))?;
    Ok(refused)
}

type Placed = (Vec<PartSeal>, Vec<(PartIndex, Refusal)>);

async fn place(job: &Job, seals: Vec<PartSeal>, replace: Replace) -> Result<Placed, Refusal> {
    let sink = Arc::clone(job.sink());
    let mut uploads = uploads_of(&sink, &seals).await?;
    let placed = blocking(move || {
        let mut finishes = Vec::with_capacity(seals.len());
        let mut known = Vec::with_capacity(seals.len());
        for seal in seals {
            // A file this job committed before has no place left to go to.
            let taken = sink.take_file(seal.part).map_err(|error| error.refusal())?;
            let Some(Taken { target, staged, settled }) = taken else { continue };
            let (length, upload) = (seal.length, uploads.remove(&seal.part));
            finishes.push(Finish { target, length, replace, staged, settled, upload });
            known.push(seal);
        }
        let outcomes = sink.plane().finish(&finishes);
        let (mut done, mut refused, mut lost) = (Vec::new(), Vec::new(), None);
        for ((outcome, seal), finish) in outcomes.into_iter().zip(known).zip(&finishes) {
            let outcome = match outcome {
                Ok(Finished::Found) => {
                    let there = is_part(sink.plane(), finish, Some(seal.digest));
                    let there = there.map_err(|error| error.refusal())?;
                    if there { Ok(()) } else { Err(foreign()) }
                }
                Ok(Finished::Renamed) => Ok(()),
                // The file may be this very one, put there before a crash.
                Err(error @ PlaneError::Exists { .. }) => {
                    let there = is_part(sink.plane(), finish, Some(seal.digest));
                    if there.map_err(|error| error.refusal())? {
                        let upload = finish.upload.as_ref().map(|upload| &upload.id);
                        sink.plane().abort(&finish.target, upload).map_err(|e| e.refusal())?;
                        Ok(())
                    } else {
                        Err(error.refusal())
                    }
                }
                // What the catalogue holds of it is worth nothing. Nobody of the page is committed, so
                // that its sender opens the job again and hears that this file begins anew.
                Err(error @ (PlaneError::Lost { .. } | PlaneError::Short { .. })) => {
                    begin_anew(&sink, finish)?;
                    lost.get_or_insert_with(|| lost_refusal(finish, &error));
                    continue;
                }
                // It may be in its place all the same: the page is asked for again, and then found.
                Err(error) if error.remedy() == Remedy::Retry => return Err(error.refusal()),
                Err(error) => Err(error.refusal()),
            };
            match outcome {
                Ok(()) => done.push(seal),
                Err(refusal) => refused.push((seal.part, refusal)),
            }
        }
        lost.map_or(Ok::<Placed, Refusal>((done, refused)), Err)
    });
    placed.await
}

/// Throws away what is left of a file that is not whole, and what is known of it. Blocks.
fn begin_anew(sink: &PlaneSink, finish: &Finish) -> Result<(), Refusal> {
    let part = finish.target.part();
    if sink.plane().has_uploads() {
        return sink.staging().lost(part).map_err(|error| error.refusal());
    }
    sink.plane().abort(&finish.target, None).map_err(|error| error.refusal())
}

fn lost_refusal(finish: &Finish, error: &PlaneError) -> Refusal {
    tracing::warn!(error = error as &dyn std::error::Error, "a file begins anew");
    let path = finish.target.path();
    Refusal::new(RefusalCode::Incomplete, format!("{path} was lost and must be sent again"))
}

async fn uploads_of(
    sink: &PlaneSink,
    seals: &[PartSeal],
) -> Result<BTreeMap<PartIndex, Upload>, Refusal> {
    let mut parts: Vec<PartIndex> = seals.iter().map(|seal| seal.part).collect();
    parts.sort_unstable();
    let Staging { catalogue, plane, job, .. } = sink.staging();
    let mut uploads = BTreeMap::new();
    // Files between those of the page may still be under way.
    for run in parts.chunk_by(|a, b| b.0 - a.0 <= 1) {
        let span = (run[0], run[run.len() - 1]);
        let found = staging::uploads(catalogue, plane, *job, span).await;
        uploads.extend(found.map_err(|error| internal(&error))?);
    }
    Ok(uploads)
}

fn foreign() -> Refusal {
    Refusal::new(RefusalCode::Exists, "something else took the place meanwhile")
}

/// Ends a push; the answer to its `Commit`.
pub(super) async fn finish(
    greeted: &Arc<Greeted>,
    exchange: &mut Exchange,
    commit: Commit,
) -> Result<(), ServiceError> {
    let relay = &greeted.relay;
    let identity = relay.identity();
    let sign = |receipt: &_| commit::sign(&identity, receipt);
    let gate = Gate { allowed: &commit::may_commit, sign: &sign };
    let key = (commit.job, commit.epoch);
    let committed = relay
        .catalogue
        .finish_push(key, gate, relay.now_ms())
        .await
        .map_err(|error| refusal_of(&error))?;
    greeted.remove_write(commit.job);
    if let Some(job) = relay.jobs.remove(commit.job) {
        job.retire(Refusal::new(RefusalCode::JobUnknown, "")).await;
    }
    crate::housekeeping::collect_jobs(relay).await;
    exchange.send(&Reply::Committed(committed)).await?;
    Ok(())
}

/// A path the catalogue keeps, as a path of the plane's tree.
pub(crate) fn plane_path(path: &str) -> Option<RelPath> {
    let path = PlanePath::parse(path).ok()?;
    RelPath::from_segments(path.segments().iter().map(|segment| segment.as_str())).ok()
}

#[cfg(test)]
mod tests;
