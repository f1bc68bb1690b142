//! The driver of a sending job: takes chunks from a feed, puts them on data streams, and feeds
//! acknowledgements to the [`Sender`] machine, across any number of sessions.

use crate::effort::Interval;
use crate::feed::{Feed, FeedEvent, PartEnd, ReadyChunk, SHORT_BODY};
use crate::request::read_frame;
use crate::session::{DataStream, STILL_BYTES, Session, SessionError};
use bytes::{Bytes, BytesMut};
use skyspray_wire::chunk::ChunkHeader;
use skyspray_wire::digest::{PartTree, TreeError};
use skyspray_wire::ids::{ChunkIndex, ChunkSize, Epoch, JobId, PartIndex};
use skyspray_wire::limits::COMMIT_SEALS_MAX;
use skyspray_wire::message::{Ack, ChunkReply, PartRuns, PartSeal};
use skyspray_wire::ranges::RangeSet;
use skyspray_wire::refusal::Refusal;
use skyspray_wire::sender::{Counters, Effect, Offer, Sender, UnexpectedAck};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep_until};

/// Seals that may wait for the caller before no more chunks are taken.
const SEALS_WAITING_MAX: usize = 4096;

/// Bytes of bodies that go to one stream together, at most by one body more: far less than a stream
/// sends at once, and far more than it costs to hand over a small chunk.
const BURST_BYTES: usize = 64 * 1024;

/// Acknowledgement frames that may wait for the driver.
const ACK_QUEUE: usize = 64;

/// A receiver that acknowledges nothing for this long while chunks are in flight is stuck, unless the
/// session carried something all the while.
const STALL_DEADLINE: Duration = Duration::from_secs(120);

/// How often the speed of the link is judged.
const JUDGE_INTERVAL: Duration = Duration::from_millis(200);

/// Why a job stopped sending.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SendError<E: std::error::Error + 'static> {
    /// The session is gone; the job can go on in another.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The receiver takes no more of this job.
    #[error(transparent)]
    Refused(Refusal),
    /// The source cannot be read on.
    #[error(transparent)]
    Source(E),
    /// The receiver acknowledged what was not sent.
    #[error(transparent)]
    Ack(#[from] UnexpectedAck),
    /// The source gave chunks that do not make a part.
    #[error("the source's chunks do not fit together")]
    Feed(#[from] TreeError),
    /// The source ended without an end of the plan.
    #[error("the source ended before its plan")]
    FeedEnded,
}

/// One sending job. Lives as long as the job runs in this process, over all its sessions.
#[derive(Debug)]
pub struct SendJob {
    job: JobId,
    machine: Sender,
    /// Chunks that may have to go again.
    retained: HashMap<(PartIndex, ChunkIndex), ReadyChunk>,
    parts: BTreeMap<PartIndex, Part>,
    seals: VecDeque<PartSeal>,
    /// Parts given up; encoders may still deliver chunks of them.
    dropped: RangeSet,
    plan_parts: Option<u32>,
    /// The feed is over. Its last chunks may come after the end of the plan.
    fed: bool,
    complete: bool,
    progress: watch::Sender<Counters>,
}

/// What is known of a part that has not been sealed.
#[derive(Debug)]
struct Part {
    tree: PartTree,
    end: Option<PartEnd>,
}

/// Where a session's chunks go: given anew for each session.
#[derive(Debug)]
pub struct Lane<'a> {
    /// The lease of this session.
    pub epoch: Epoch,
    /// The session of the streams.
    pub session: &'a Session,
    /// Data streams; more may come while the job runs.
    pub streams: &'a mut mpsc::Receiver<DataStream>,
    /// Takes the seal of each part once all of it is durable.
    pub seals: &'a mpsc::Sender<PartSeal>,
    /// Takes the seals of all that is left, at most [`COMMIT_SEALS_MAX`], as soon as nothing is left
    /// to be put on a stream; `seals` gets none after that. The caller states them before the last
    /// chunks are acknowledged.
    pub last: Option<oneshot::Sender<Vec<PartSeal>>>,
}

/// Chunks that go to one stream, one after the other.
#[derive(Debug, Default)]
struct Burst {
    /// As they are written: headers and short bodies are copied together.
    pieces: Vec<Bytes>,
    /// What was copied and is no piece yet.
    run: BytesMut,
    /// Of the bodies.
    bytes: usize,
    /// Of the bodies before they were compressed.
    raw_bytes: u64,
    chunks: u32,
}

impl Burst {
    fn push(&mut self, header: &ChunkHeader, body: &Bytes) {
        self.run.extend_from_slice(&header.encode());
        self.bytes += body.len();
        self.raw_bytes += u64::from(header.raw_length);
        self.chunks += 1;
        if body.len() <= SHORT_BODY {
            self.run.extend_from_slice(body);
        } else {
            self.pieces.push(self.run.split().freeze());
            self.pieces.push(body.clone());
        }
    }

    fn is_empty(&self) -> bool {
        self.chunks == 0
    }

    fn into_pieces(mut self) -> Vec<Bytes> {
        if !self.run.is_empty() {
            self.pieces.push(self.run.freeze());
        }
        self.pieces
    }
}

type StreamReply = Result<Vec<Ack>, Refusal>;

impl SendJob {
    /// A job with nothing sent; at most `window_chunks` are unacknowledged.
    pub fn new(job: JobId, chunk_size: ChunkSize, window_chunks: u32) -> Self {
        Self {
            job,
            machine: Sender::new(chunk_size, window_chunks),
            retained: HashMap::new(),
            parts: BTreeMap::new(),
            seals: VecDeque::new(),
            dropped: RangeSet::default(),
            plan_parts: None,
            fed: false,
            complete: false,
            progress: watch::Sender::new(Counters::default()),
        }
    }

    /// Follows the counters of the job.
    pub fn progress(&self) -> watch::Receiver<Counters> {
        self.progress.subscribe()
    }

    /// Number of parts of the plan, once it has ended.
    pub fn plan_parts(&self) -> Option<u32> {
        self.plan_parts
    }

    /// A session begins: what was in flight in an earlier one goes again unless the receiver turns
    /// out to have it. Comes before [`SendJob::note_held`].
    pub fn begin_session(&mut self) {
        self.machine.handle_session_lost();
    }

    /// Notes chunks the receiver has, as it said when the job was opened in this session.
    pub fn note_held(&mut self, part: &PartRuns) {
        self.machine.handle_held(part);
    }

    /// Everything the receiver has was noted; what it has need not be kept.
    pub fn reopened(&mut self) {
        let before = self.machine.in_flight();
        self.machine.handle_reopened();
        if self.machine.in_flight() != before {
            let machine = &self.machine;
            self.retained.retain(|&(part, chunk), _| machine.is_in_flight(part, chunk));
        }
    }

    /// Sends until everything is durable and every seal was handed over, or something fails. After
    /// a failure of the session the job can run again on the next one.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub async fn run<E: std::error::Error + 'static>(
        &mut self,
        feed: &mut Feed<E>,
        mut lane: Lane<'_>,
    ) -> Result<(), SendError<E>> {
        let (work, queue) = mpsc::channel::<Burst>(1);
        let queue = Arc::new(Mutex::new(queue));
        let (replies, mut acks) = mpsc::channel::<StreamReply>(ACK_QUEUE);
        let mut tasks: JoinSet<Result<(), SessionError>> = JoinSet::new();
        let mut gauge = Gauge::new();
        feed.handle_path(lane.session.round_trip());
        let mut next = Burst::default();
        let (mut heard, mut carried) = (Instant::now(), lane.session.carried());
        // Seals are kept all the same: if this session ends first, the next one states them.
        let mut stated = false;
        loop {
            self.settle()?;
            if next.is_empty() {
                self.take_again(&mut next, lane.epoch);
            }
            stated |= next.is_empty() && self.hand_over_last(&mut lane.last);
            if self.complete && lane.last.is_none() && (stated || self.seals.is_empty()) {
                return Ok(());
            }
            let takes_chunks = next.is_empty()
                && !self.fed
                && self.machine.has_room()
                && self.seals.len() < SEALS_WAITING_MAX;
            tokio::select! {
                biased;
                Some(reply) = acks.recv() => {
                    heard = Instant::now();
                    self.handle_acks(&reply.map_err(SendError::Refused)?)?;
                }
                Some(stream) = lane.streams.recv() => {
                    let DataStream { send, recv, .. } = stream;
                    tasks.spawn(write_chunks(send, Arc::clone(&queue)));
                    tasks.spawn(read_replies(recv, self.job, replies.clone()));
                }
                Some(ended) = tasks.join_next() => {
                    ended.expect("stream tasks do not panic and are not aborted while running")?;
                    return Err(SessionError::StreamEnded.into());
                }
                permit = lane.seals.reserve(), if !stated && !self.seals.is_empty() => {
                    self.hand_over(permit.map_err(|_| SessionError::StreamEnded)?, lane.seals);
                }
                permit = work.reserve(), if !next.is_empty() => {
                    let burst = std::mem::take(&mut next);
                    let link_is_behind = feed.is_ahead() || !self.machine.has_room();
                    if let Some(interval) = gauge.count(&burst, link_is_behind) {
                        feed.handle_interval(&interval);
                    }
                    permit.expect("the queue lives as long as this loop").send(burst);
                }
                () = sleep_until(heard + STALL_DEADLINE), if self.machine.in_flight() > 0 => {
                    let before = std::mem::replace(&mut carried, lane.session.carried());
                    if carried - before <= STILL_BYTES {
                        let seconds = STALL_DEADLINE.as_secs();
                        return Err(SessionError::Silent { seconds }.into());
                    }
                    // A slow line with large chunks: none is whole yet.
                    heard = Instant::now();
                }
                event = feed.next(), if takes_chunks => {
                    if self.machine.in_flight() == 0 {
                        heard = Instant::now();
                    }
                    match event {
                        Some(event) => self.handle_events((event, feed), &mut next, lane.epoch)?,
                        None => self.end_of_feed()?,
                    }
                }
            }
        }
    }

    /// Hands over the first of the seals that wait, and as many more as there is room for.
    fn hand_over(&mut self, first: mpsc::Permit<'_, PartSeal>, seals: &mpsc::Sender<PartSeal>) {
        first.send(self.seals.pop_front().expect("one is waiting"));
        while !self.seals.is_empty()
            && let Ok(permit) = seals.try_reserve()
        {
            permit.send(self.seals.pop_front().expect("one is waiting"));
        }
    }

    /// Hands over the last seals once all is sent and there are few enough of them; whether it did.
    fn hand_over_last(&self, last: &mut Option<oneshot::Sender<Vec<PartSeal>>>) -> bool {
        if last.is_none() || !(self.fed || self.complete) {
            return false;
        }
        let Some(unsealed) = self.machine.unsealed() else { return false };
        let seals: Vec<PartSeal> = self.seals.iter().copied().chain(unsealed).collect();
        if seals.len() > COMMIT_SEALS_MAX {
            return false;
        }
        // Whoever waits for them is gone only when it failed, and then its error is what counts.
        last.take().is_some_and(|last| last.send(seals).is_ok())
    }

    /// Nothing more comes; the plan must have ended before.
    fn end_of_feed<E: std::error::Error + 'static>(&mut self) -> Result<(), SendError<E>> {
        if self.plan_parts.is_none() {
            return Err(SendError::FeedEnded);
        }
        self.fed = true;
        Ok(())
    }

    /// Chunks that were in flight in an earlier session.
    fn take_again(&mut self, burst: &mut Burst, epoch: Epoch) {
        while burst.bytes < BURST_BYTES
            && let Some(key) = self.machine.next_again()
        {
            let ready = self.retained.get(&key).expect("chunks in flight are retained");
            burst.push(&header(self.job, epoch, self.machine.chunk_size(), ready), &ready.body);
        }
    }

    /// Handles what the feed has ready, as far as it fits one burst.
    fn handle_events<E: std::error::Error + 'static>(
        &mut self,
        (first, feed): (FeedEvent<E>, &mut Feed<E>),
        burst: &mut Burst,
        epoch: Epoch,
    ) -> Result<(), SendError<E>> {
        let mut event = Some(first);
        while let Some(next) = event {
            self.handle_event(next, burst, epoch)?;
            let goes_on = burst.bytes < BURST_BYTES
                && self.machine.has_room()
                && self.seals.len() < SEALS_WAITING_MAX;
            event = if goes_on { feed.try_next() } else { None };
        }
        Ok(())
    }

    fn handle_event<E: std::error::Error + 'static>(
        &mut self,
        event: FeedEvent<E>,
        burst: &mut Burst,
        epoch: Epoch,
    ) -> Result<(), SendError<E>> {
        match event {
            FeedEvent::Chunk(ready) => self.offer(ready, burst, epoch)?,
            FeedEvent::PartEnd(end) => {
                self.part(end.part).end = Some(end);
                self.end_if_whole(end.part);
            }
            FeedEvent::Held(runs) => self.machine.handle_held(&runs),
            FeedEvent::PartDropped(part) => {
                self.parts.remove(&part);
                self.dropped.insert(u64::from(part.0), u64::from(part.0) + 1);
                self.machine.handle_part_dropped(part);
            }
            FeedEvent::PlanEnd { parts } => {
                self.plan_parts = Some(parts);
                self.machine.handle_plan_end(parts);
            }
            FeedEvent::Failed(error) => return Err(SendError::Source(error)),
        }
        Ok(())
    }

    fn offer(
        &mut self,
        ready: ReadyChunk,
        burst: &mut Burst,
        epoch: Epoch,
    ) -> Result<(), TreeError> {
        let (part, chunk) = (ready.part, ready.chunk);
        if self.dropped.contains(u64::from(part.0)) {
            return Ok(());
        }
        self.part(part).tree.insert(chunk, &ready.value)?;
        let offer = self.machine.offer(part, chunk, ready.value.length);
        self.end_if_whole(part);
        if offer == Offer::Held {
            return Ok(());
        }
        burst.push(&header(self.job, epoch, self.machine.chunk_size(), &ready), &ready.body);
        self.retained.insert((part, chunk), ready);
        Ok(())
    }

    fn handle_acks(&mut self, acks: &[Ack]) -> Result<(), UnexpectedAck> {
        for &ack in acks {
            self.machine.handle_ack(ack)?;
            self.retained.remove(&(ack.part, ack.chunk));
        }
        Ok(())
    }

    /// Takes what the machine has decided.
    fn settle(&mut self) -> Result<(), TreeError> {
        while let Some(effect) = self.machine.poll_effect() {
            match effect {
                Effect::Seal(seal) => self.seals.push_back(seal),
                Effect::Complete { .. } => self.complete = true,
            }
        }
        self.progress.send_if_modified(|counters| {
            let current = self.machine.counters();
            let changed = *counters != current;
            *counters = current;
            changed
        });
        Ok(())
    }

    fn part(&mut self, part: PartIndex) -> &mut Part {
        let chunk_size = self.machine.chunk_size();
        self.parts
            .entry(part)
            .or_insert_with(|| Part { tree: PartTree::new(chunk_size), end: None })
    }

    /// Seals a part whose length is known and whose chunks were all read.
    fn end_if_whole(&mut self, part: PartIndex) {
        let Some(Part { tree, end: Some(end) }) = self.parts.get(&part) else { return };
        let Some((digest, crc32)) = tree.root(end.length) else { return };
        let PartEnd { length, records, header, footer, .. } = *end;
        let seal = PartSeal { part, length, digest, crc32, records, header, footer };
        self.machine.handle_part_end(seal);
        self.parts.remove(&part);
    }
}

fn header(job: JobId, epoch: Epoch, size: ChunkSize, ready: &ReadyChunk) -> ChunkHeader {
    ChunkHeader {
        job,
        epoch,
        part: ready.part,
        offset: size.offset_of(ready.chunk),
        raw_length: ready.value.length,
        wire_length: u32::try_from(ready.body.len()).expect("a body is at most a chunk"),
        encoding: ready.encoding,
        subtree: ready.value.subtree,
    }
}

/// Writes chunks from the shared queue: whichever stream is free takes the next burst.
async fn write_chunks(
    mut send: quinn::SendStream,
    queue: Arc<Mutex<mpsc::Receiver<Burst>>>,
) -> Result<(), SessionError> {
    loop {
        let next = queue.lock().await.recv().await;
        let Some(burst) = next else { return Ok(()) };
        send.write_all_chunks(&mut burst.into_pieces()).await?;
    }
}

async fn read_replies(
    mut recv: quinn::RecvStream,
    job: JobId,
    replies: mpsc::Sender<StreamReply>,
) -> Result<(), SessionError> {
    loop {
        let reply = match read_frame(&mut recv).await? {
            ChunkReply::Durable(of, acks) if of == job => Ok(acks),
            ChunkReply::Refused(of, refusal) if of == job => Err(refusal),
            // Another job's: its stream was shared before this one began.
            ChunkReply::Durable(..) | ChunkReply::Refused(..) => continue,
        };
        if replies.send(reply).await.is_err() {
            return Ok(());
        }
    }
}

/// Measures how the link does.
struct Gauge {
    since: Instant,
    raw_bytes: u64,
    chunks: u32,
    behind: u32,
}

impl Gauge {
    fn new() -> Self {
        Self { since: Instant::now(), raw_bytes: 0, chunks: 0, behind: 0 }
    }

    /// Counts chunks handed to a stream, which may have had to wait for the link. Returns the interval
    /// that ends with them, if one does.
    fn count(&mut self, burst: &Burst, link_is_behind: bool) -> Option<Interval> {
        self.raw_bytes += burst.raw_bytes;
        self.chunks += burst.chunks;
        self.behind += if link_is_behind { burst.chunks } else { 0 };
        let elapsed = self.since.elapsed();
        if elapsed < JUDGE_INTERVAL {
            return None;
        }
        let Self { raw_bytes, chunks, behind, .. } = std::mem::replace(self, Self::new());
        let link_is_behind = behind * 2 > chunks;
        Some(Interval { seconds: elapsed.as_secs_f64(), chunks, raw_bytes, link_is_behind })
    }
}
