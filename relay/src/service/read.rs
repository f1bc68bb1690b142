//! Despray and pull: stored parts, verified on their way out.

use super::files::plane_path;
use super::write::part_paths;
use super::{ServiceError, allowed_name, allowed_path};
use crate::access::Operation;
use crate::catalogue::{GenerationRecord, JobFilter, PlaneFile};
use crate::plane::{Plane, PlaneError, Stat, StoredFile, part_path};
use crate::session::Greeted;
use crate::state::{READS_MAX, Relay, blocking, internal};
use skyspray_link::codec::Compression;
use skyspray_link::feed::{self, FeedSettings, PartEnd, Producer, Stopped};
use skyspray_link::request::Exchange;
use skyspray_link::seam::files::{PooledBuf, RelPath};
use skyspray_link::send::{Lane, SendError, SendJob};
use skyspray_link::session::{DataStream, SessionError};
use skyspray_wire::ids::{ChunkIndex, Epoch, PartIndex};
use skyspray_wire::limits::{IN_FLIGHT_CHUNKS_MAX, PAGE_MAX};
use skyspray_wire::message::{
    JobState, OpenRead, PartInfo, PartRuns, ReadTarget, Readable, Reply, WriteTarget,
};
use skyspray_wire::name::{LogicalName, PlaneName, PlanePath};
use skyspray_wire::ranges::RangeSet;
use skyspray_wire::refusal::{Refusal, RefusalCode};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Files up to this average length, in bytes, are read as small ones.
const SMALL_FILE_BYTES: u64 = 64 * 1024;

/// Chunks a reading job may have in flight, however many there are.
const READ_WINDOW_MIN: u32 = 4;

/// The epoch of reads: nothing is leased.
const READ_EPOCH: Epoch = Epoch(1);

/// Parts of a generation read from the catalogue at once.
const ROWS: u32 = 512;

/// How long an edge may take to open the first data stream: one that only wanted the description
/// opens none.
const FIRST_STREAM_DEADLINE: Duration = Duration::from_secs(10);

/// Data streams that may wait to be taken up.
const STREAMS_WAITING: usize = 16;

/// What is read, part by part.
#[derive(Debug)]
struct ReadPlan {
    plane: Arc<Plane>,
    readable: Readable,
    parts: Vec<(RelPath, PartInfo)>,
}

/// Why a part cannot be read to its end.
#[derive(Debug, Error)]
enum ReadFault {
    #[error(transparent)]
    Plane(#[from] PlaneError),
    #[error("part {part} ends after {found} of {expected} bytes")]
    Short { part: PartIndex, found: u64, expected: u64 },
    #[error("part {part} was changed on the plane while it was read")]
    Changed { part: PartIndex },
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl ReadFault {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Plane(error) => error.refusal(),
            Self::Short { .. } => Refusal::new(RefusalCode::StoredCorrupt, self.to_string()),
            Self::Changed { .. } => Refusal::new(RefusalCode::SourceChanged, self.to_string()),
            Self::Stopped(_) => Refusal::new(RefusalCode::Internal, ""),
        }
    }
}

/// Answers `OpenRead`.
pub(super) async fn open(
    greeted: &Arc<Greeted>,
    exchange: &mut Exchange,
    open: OpenRead,
) -> Result<(), ServiceError> {
    let relay = &greeted.relay;
    let plane = Arc::clone(&relay.plane(open.target.plane())?.plane);
    let plan = match &open.target {
        ReadTarget::LogicalFile { plane, name } => {
            allowed_name(greeted, Operation::Pull, plane, name).await?;
            plan_generation(relay, plane, name, open.generation).await?
        }
        ReadTarget::Files { plane: name, paths } => {
            plan_files(greeted, &plane, name, paths).await?
        }
    };
    let busy = || Refusal::new(RefusalCode::Busy, "too many reads at once");
    let _slot = relay.reads.try_acquire().map_err(|_| busy())?;
    let (streams, arriving) = mpsc::channel(STREAMS_WAITING);
    // Chunks may be asked for as soon as the answer arrives.
    greeted.add_read(open.job, streams);
    let sent = send(greeted, exchange, &open, plan, arriving).await;
    greeted.remove_read(open.job);
    sent
}

async fn send(
    greeted: &Greeted,
    exchange: &mut Exchange,
    open: &OpenRead,
    plan: ReadPlan,
    mut arriving: mpsc::Receiver<DataStream>,
) -> Result<(), ServiceError> {
    let chunk_size = plan.readable.chunk_size;
    exchange.send(&Reply::Readable(plan.readable.clone())).await?;
    for page in plan.parts.chunks(PAGE_MAX) {
        let infos = page.iter().map(|(_, info)| *info).collect();
        exchange.send(&Reply::Parts(infos)).await?;
    }
    let first = first_stream(&mut arriving, exchange.stopped(), FIRST_STREAM_DEADLINE).await?;
    let (again, mut streams) = mpsc::channel(STREAMS_WAITING);
    again.try_send(first).expect("a new queue has room");
    let window = open.in_flight_chunks.clamp(1, IN_FLIGHT_CHUNKS_MAX);
    let window = window.min(share(&greeted.relay, &plan.readable));
    let mut job = SendJob::new(open.job, chunk_size, window);
    let held = held_chunks(&open.held);
    open.held.iter().for_each(|part| job.note_held(part));
    let settings = FeedSettings {
        chunk_size,
        compression: Compression::Auto,
        buffers: greeted.relay.send_buffers.clone(),
        encoders: 1,
    };
    let reader = Reader { plane: plan.plane, parts: plan.parts, held };
    let feed = feed::start(&settings, move |producer| reader.produce(producer));
    let mut feed = feed.map_err(|_| Refusal::new(RefusalCode::Busy, "no thread to read with"))?;
    // Seals are not sent: the digests of the parts went before.
    let (seals, mut sealed) = mpsc::channel(64);
    let (epoch, session) = (READ_EPOCH, &greeted.session);
    let lane = Lane { epoch, session, streams: &mut streams, seals: &seals, last: None };
    let drain = async { while sealed.recv().await.is_some() {} };
    let pass_on = async {
        while let Some(stream) = arriving.recv().await {
            if again.send(stream).await.is_err() {
                break;
            }
        }
        std::future::pending().await
    };
    tokio::select! {
        sent = job.run(&mut feed, lane) => sent.map_err(fault)?,
        () = drain => {}
        () = pass_on => {}
        () = exchange.stopped() => return Err(SessionError::StreamEnded.into()),
    }
    exchange.send(&Reply::Done).await?;
    Ok(())
}

/// The first data stream of a read. Until it is there nothing is read and no thread is started.
async fn first_stream<T>(
    arriving: &mut mpsc::Receiver<T>,
    gone: impl Future<Output = ()>,
    deadline: Duration,
) -> Result<T, ServiceError> {
    tokio::select! {
        biased;
        first = timeout(deadline, arriving.recv()) => match first {
            Ok(first) => first.ok_or_else(|| SessionError::StreamEnded.into()),
            Err(_) => Err(Refusal::new(RefusalCode::Busy, "no data stream was opened").into()),
        },
        () = gone => Err(SessionError::StreamEnded.into()),
    }
}

fn fault(error: SendError<ReadFault>) -> ServiceError {
    match error {
        SendError::Session(error) => ServiceError::Session(error),
        SendError::Refused(refusal) => ServiceError::Refused(refusal),
        // Whoever writes the file has a right to.
        SendError::Source(fault @ ReadFault::Changed { .. }) => fault.refusal().into(),
        SendError::Source(fault) => {
            tracing::error!(error = &fault as &dyn std::error::Error, "reading");
            ServiceError::Refused(fault.refusal())
        }
        other => {
            tracing::warn!(error = &other as &dyn std::error::Error, "reading");
            Refusal::new(RefusalCode::Malformed, other.to_string()).into()
        }
    }
}

async fn plan_generation(
    relay: &Relay,
    plane: &PlaneName,
    name: &LogicalName,
    pinned: Option<skyspray_wire::ids::Generation>,
) -> Result<ReadPlan, Refusal> {
    let record = current(relay, plane, name).await?;
    if pinned.is_some_and(|pinned| pinned != record.generation) {
        let detail = format!("{name} is at generation {}", record.generation);
        return Err(Refusal::new(RefusalCode::SourceChanged, detail));
    }
    let paths = part_paths(record.parts, &record.layout)
        .ok_or_else(|| Refusal::new(RefusalCode::Internal, "a generation without parts"))?;
    let mut parts = Vec::with_capacity(record.parts as usize);
    let mut after = None;
    loop {
        let rows = relay.catalogue.parts((plane, name), record.generation, after, ROWS).await;
        let rows = rows.map_err(|error| internal(&error))?;
        let Some(last) = rows.last() else { break };
        after = Some(last.part);
        for row in rows {
            let path = part_path(&paths, name, row.part).map_err(|error| error.refusal())?;
            parts.push((path, row.info()));
        }
    }
    if parts.len() != record.parts as usize {
        return Err(Refusal::new(RefusalCode::Busy, format!("{name} is being replaced")));
    }
    let readable = Readable {
        epoch: READ_EPOCH,
        generation: Some(record.generation),
        chunk_size: relay.plane(plane)?.plane.read_chunk_size(),
        parts: record.parts,
        bytes: record.bytes,
        attributes: record.attributes,
    };
    Ok(ReadPlan { plane: Arc::clone(&relay.plane(plane)?.plane), readable, parts })
}

/// The current generation, unless a commit is about to replace its parts.
pub(super) async fn current(
    relay: &Relay,
    plane: &PlaneName,
    name: &LogicalName,
) -> Result<GenerationRecord, Refusal> {
    let filter =
        JobFilter { state: Some(JobState::Sealed), plane: Some(plane.clone()), agent: None };
    let sealed = relay.catalogue.jobs(&filter, None, ROWS).await;
    for job in sealed.map_err(|error| internal(&error))? {
        if let WriteTarget::LogicalFile { name: other, .. } = &job.target
            && other == name
            && job.layout.kept.is_none()
        {
            return Err(Refusal::new(RefusalCode::Busy, format!("{name} is being replaced")));
        }
    }
    let record = relay.catalogue.current(plane, name).await.map_err(|error| internal(&error))?;
    record.ok_or_else(|| Refusal::new(RefusalCode::Missing, name.to_string()))
}

async fn plan_files(
    greeted: &Greeted,
    plane: &Arc<Plane>,
    name: &PlaneName,
    paths: &[PlanePath],
) -> Result<ReadPlan, Refusal> {
    if paths.len() > PAGE_MAX {
        return Err(Refusal::new(RefusalCode::Malformed, "more files than a page"));
    }
    let mut parts = Vec::with_capacity(paths.len());
    let mut bytes = 0u64;
    for path in paths {
        allowed_path(greeted, Operation::Pull, name, path).await?;
        let owner = greeted.relay.catalogue.owner_of(name, path).await;
        if let Some(file) = owner.map_err(|error| internal(&error))? {
            allowed_name(greeted, Operation::Pull, name, &file).await?;
        }
        let known = greeted.relay.catalogue.plane_file(name, path).await;
        let known = known.map_err(|error| internal(&error))?;
        let there = plane_path(&path.to_string())
            .ok_or_else(|| Refusal::new(RefusalCode::NameInvalid, path.to_string()))?;
        let (reading, at) = (Arc::clone(plane), there.clone());
        let stat = blocking(move || reading.stat(&at)).await.map_err(|error| error.refusal())?;
        let info = file_info(known, stat);
        bytes = bytes.saturating_add(info.length);
        parts.push((there, info));
    }
    let readable = Readable {
        epoch: READ_EPOCH,
        generation: None,
        chunk_size: plane.read_chunk_size(),
        parts: u32::try_from(parts.len()).expect("at most a page"),
        bytes,
        attributes: Vec::new(),
    };
    Ok(ReadPlan { plane: Arc::clone(plane), readable, parts })
}

/// What is said of a file. One the catalogue does not know is told from what it may become by its
/// length and time on the plane.
fn file_info(known: Option<PlaneFile>, stat: Stat) -> PartInfo {
    match known {
        Some(known) => PartInfo {
            length: known.length,
            digest: Some(known.digest),
            crc32: Some(known.crc32),
            records: None,
            modified_ns: Some(known.modified_ns),
            header: 0,
            footer: 0,
        },
        None => PartInfo {
            length: stat.length,
            digest: None,
            crc32: None,
            records: None,
            modified_ns: Some(stat.modified_ns),
            header: 0,
            footer: 0,
        },
    }
}

/// Chunks one reading job may have in flight: half of the buffers for the first, less for each one
/// more, so that an edge that is dead or does not read leaves some to the others. Small files are
/// copied out of their buffers and need no share of them.
fn share(relay: &Relay, readable: &Readable) -> u32 {
    if readable.bytes / u64::from(readable.parts.max(1)) <= SMALL_FILE_BYTES {
        return IN_FLIGHT_CHUNKS_MAX;
    }
    let reading = READS_MAX - relay.reads.available_permits();
    let units = readable.chunk_size.bytes() as usize / relay.send_buffers.buffer_size();
    let chunks = relay.send_buffers_count / units.max(1);
    let share = u32::try_from(chunks / (reading + 1)).unwrap_or(u32::MAX);
    let most = u32::try_from(chunks.saturating_sub(1)).unwrap_or(u32::MAX).max(1);
    share.max(READ_WINDOW_MIN).min(most)
}

fn held_chunks(held: &[PartRuns]) -> BTreeMap<PartIndex, RangeSet> {
    held.iter().map(|part| (part.part, part.runs.iter().copied().collect())).collect()
}

/// Reads parts in order, on a thread of its own.
struct Reader {
    plane: Arc<Plane>,
    parts: Vec<(RelPath, PartInfo)>,
    held: BTreeMap<PartIndex, RangeSet>,
}

impl Reader {
    fn produce(&self, producer: &Producer<ReadFault>) -> Result<(), ReadFault> {
        for (index, (path, info)) in self.parts.iter().enumerate() {
            let part = PartIndex(u32::try_from(index).expect("parts are counted in 32 bits"));
            let held = self.held.get(&part);
            let file = self.plane.open(path)?;
            file.advise_sequential();
            let size = producer.chunk_size();
            let chunks = size.count(info.length);
            if held.is_some_and(|held| held.count() >= chunks) {
                // Nothing is read, so nothing can be said of its digest either.
                producer.part_dropped(part)?;
                continue;
            }
            for chunk in (0..chunks).map(ChunkIndex) {
                let mut buffer = producer.buffer();
                let length = size.length_of(chunk, info.length) as usize;
                let offset = size.offset_of(chunk);
                let read = read_full(&file, &mut buffer, length, offset);
                // Before the chunk goes: the last one that goes makes the file whole at the edge.
                check_unchanged(&file, part, info)?;
                read.map_err(|found| found.into_fault(part, offset, info.length))?;
                buffer.set_len(length);
                producer.chunk(part, chunk, buffer)?;
            }
            check_unchanged(&file, part, info)?;
            let PartInfo { length, records, header, footer, .. } = *info;
            producer.part_end(PartEnd { part, length, records, header, footer })?;
        }
        let parts = u32::try_from(self.parts.len()).expect("parts are counted in 32 bits");
        producer.plan_end(parts)?;
        Ok(())
    }
}

/// A part without a digest must stay what it was when it was described: nobody else would notice.
fn check_unchanged(file: &StoredFile, part: PartIndex, info: &PartInfo) -> Result<(), ReadFault> {
    if info.digest.is_some() {
        return Ok(());
    }
    let Stat { length, modified_ns } = file.stat()?;
    if (length, Some(modified_ns)) == (info.length, info.modified_ns) {
        Ok(())
    } else {
        Err(ReadFault::Changed { part })
    }
}

enum Unread {
    Plane(PlaneError),
    End { read: usize },
}

impl Unread {
    fn into_fault(self, part: PartIndex, offset: u64, expected: u64) -> ReadFault {
        match self {
            Self::Plane(error) => error.into(),
            Self::End { read } => ReadFault::Short { part, found: offset + read as u64, expected },
        }
    }
}

fn read_full(
    file: &StoredFile,
    buffer: &mut PooledBuf,
    length: usize,
    offset: u64,
) -> Result<(), Unread> {
    let mut read = file.read_chunk(buffer, length, offset).map_err(Unread::Plane)?;
    while read < length {
        let rest = &mut buffer.space()[read..length];
        let more = file.read_at(rest, offset + read as u64).map_err(Unread::Plane)?;
        if more == 0 {
            return Err(Unread::End { read });
        }
        read += more;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
