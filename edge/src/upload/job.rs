//! One writing job over any number of sessions: opened, sent, sealed, committed.

use super::fault::UploadFault;
use super::files::{Names, UnderWay};
use skyspray_link::feed::Feed;
use skyspray_link::request::{Exchange, REPLY_DEADLINE};
use skyspray_link::send::{Lane, SendJob};
use skyspray_link::session::{DataStream, Session, SessionError};
use skyspray_wire::ids::{Epoch, JobId};
use skyspray_wire::limits::PAGE_MAX;
use skyspray_wire::message::{
    Commit, Committed, Granted, Held, OriginRange, Origins, PartSeal, RecordOrigins, Reply,
    Request, SealParts, SourceNote,
};
use skyspray_wire::refusal::Refusal;
use std::future::Future;
use std::sync::PoisonError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

/// Data streams a job uses.
const STREAMS: u32 = 4;

/// Seals that may wait for the request that carries them.
const SEAL_QUEUE: usize = 1024;

/// What the relay says when a job is opened.
#[derive(Debug)]
pub(super) enum Standing {
    /// The job may go on.
    Open { granted: Granted, held: Vec<Held> },
    /// The job is done; an earlier answer was lost.
    Committed(Committed),
}

/// Reads how a job stands that was opened, or opened again.
pub(super) async fn opened(mut answer: Exchange) -> Result<Standing, UploadFault> {
    let granted = match answer.reply().await? {
        Reply::Granted(granted) => granted,
        Reply::Committed(committed) => return Ok(Standing::Committed(committed)),
        _ => return Err(UploadFault::Unexpected),
    };
    let mut held = Vec::new();
    loop {
        match answer.reply().await? {
            Reply::Held(page) => held.push(page),
            Reply::Done => return Ok(Standing::Open { granted, held }),
            _ => return Err(UploadFault::Unexpected),
        }
    }
}

/// What is kept of a job from one session to the next.
#[derive(Debug)]
pub(super) struct Transfer {
    pub(super) send: SendJob,
    pub(super) feed: Feed<UploadFault>,
    pub(super) sealer: Sealer,
    seals: mpsc::Sender<PartSeal>,
}

impl Transfer {
    /// A job with nothing sent.
    pub(super) fn new(send: SendJob, feed: Feed<UploadFault>) -> Self {
        let (seals, waiting) = mpsc::channel(SEAL_QUEUE);
        Self { send, feed, sealer: Sealer::new(waiting), seals }
    }

    /// Sends and seals everything in this session, while `beside` runs.
    pub(super) async fn run(
        &mut self,
        (session, streams_allowed): (&Session, u32),
        standing: (&Granted, &[Held]),
        beside: impl Future<Output = Result<(), UploadFault>>,
    ) -> Result<(), UploadFault> {
        let mut streams = self.begin(session, standing.1, streams_allowed).await?;
        let epoch = standing.0.epoch;
        let (all_sent, sent) = oneshot::channel();
        let Self { send, feed, sealer, seals } = self;
        let lane = Lane { epoch, session, streams: &mut streams, seals, last: None };
        let sending = async {
            send.run(feed, lane).await?;
            // The sealer is gone only when it failed, and then its error is what counts.
            let _ = all_sent.send(());
            Ok::<(), UploadFault>(())
        };
        let sealing = async { sealer.run(session, epoch, sent).await.map(|_| ()) };
        tokio::try_join!(sending, sealing, beside)?;
        Ok(())
    }

    /// Sends everything in this session and ends the job: `end` gets the last seals when all else is
    /// sealed, while the last chunks are still on their way, and asks for the commit.
    pub(super) async fn run_to_end(
        &mut self,
        (session, streams_allowed): (&Session, u32),
        standing: (&Granted, &[Held]),
        end: impl AsyncFnOnce(Vec<PartSeal>) -> Result<Exchange, UploadFault>,
    ) -> Result<Committed, UploadFault> {
        let mut streams = self.begin(session, standing.1, streams_allowed).await?;
        let epoch = standing.0.epoch;
        let (last, left) = oneshot::channel();
        let (all_there, there) = oneshot::channel();
        let Self { send, feed, sealer, seals } = self;
        let lane = Lane { epoch, session, streams: &mut streams, seals, last: Some(last) };
        let ending = async {
            let Some(left) = sealer.run(session, epoch, left).await? else {
                // The sending has failed, and its error is what counts.
                return std::future::pending().await;
            };
            let mut answer = end(left).await?;
            // While chunks are on their way, the sending notices when nothing moves.
            let silence = async {
                match there.await {
                    Ok(()) => sleep(REPLY_DEADLINE).await,
                    Err(_) => std::future::pending().await,
                }
            };
            tokio::select! {
                reply = answer.next_reply() => committed(reply?),
                () = silence => {
                    Err(SessionError::Silent { seconds: REPLY_DEADLINE.as_secs() }.into())
                }
            }
        };
        tokio::pin!(ending);
        tokio::select! {
            biased;
            ended = &mut ending => return ended,
            sent = send.run(feed, lane) => sent?,
        }
        // The relay has all it waits for. Gone is only who has ended.
        let _ = all_there.send(());
        ending.await
    }

    /// Takes up what the relay holds, and opens the streams of this session.
    async fn begin(
        &mut self,
        session: &Session,
        held: &[Held],
        streams_allowed: u32,
    ) -> Result<mpsc::Receiver<DataStream>, UploadFault> {
        self.send.begin_session();
        held.iter().flat_map(|page| &page.parts).for_each(|part| self.send.note_held(part));
        self.send.reopened();
        let (streams, opened) = mpsc::channel(STREAMS as usize);
        for _ in 0..STREAMS.min(streams_allowed).max(1) {
            let stream = session.open_chunks_to_relay().await?;
            let _ = streams.try_send(stream);
        }
        Ok(opened)
    }
}

/// Carries seals to the relay, a page at a time.
#[derive(Debug)]
pub(super) struct Sealer {
    waiting: mpsc::Receiver<PartSeal>,
    /// Sent or about to be, and not answered.
    page: Vec<PartSeal>,
    job: Option<JobId>,
    /// Files of a push that the relay did not commit, and why.
    refused: Vec<(Option<UnderWay>, Refusal)>,
    /// Where the files of a push are, until they are sealed.
    names: Names,
}

impl Sealer {
    fn new(waiting: mpsc::Receiver<PartSeal>) -> Self {
        Self { waiting, page: Vec::new(), job: None, refused: Vec::new(), names: Names::default() }
    }

    /// Names the job the seals are for.
    pub(super) fn set_job(&mut self, job: JobId) {
        self.job = Some(job);
    }

    /// Where the files under way are noted.
    pub(super) fn names(&self) -> Names {
        Names::clone(&self.names)
    }

    /// Takes what the relay refused so far.
    pub(super) fn take_refused(&mut self) -> Vec<(Option<UnderWay>, Refusal)> {
        std::mem::take(&mut self.refused)
    }

    /// Carries seals until `all_sent` says that no more come, and every one was answered; hands on
    /// what it said, unless its sender was dropped.
    async fn run<T>(
        &mut self,
        session: &Session,
        epoch: Epoch,
        mut all_sent: oneshot::Receiver<T>,
    ) -> Result<Option<T>, UploadFault> {
        let mut last = None;
        loop {
            while self.page.len() < PAGE_MAX
                && let Ok(seal) = self.waiting.try_recv()
            {
                self.page.push(seal);
            }
            if !self.page.is_empty() {
                self.send_page(session, epoch).await?;
                continue;
            }
            if let Some(said) = last {
                return Ok(said);
            }
            tokio::select! {
                Some(seal) = self.waiting.recv() => self.page.push(seal),
                // Whatever was sealed is in the queue by now; it is taken once more.
                said = &mut all_sent => last = Some(said.ok()),
            }
        }
    }

    async fn send_page(&mut self, session: &Session, epoch: Epoch) -> Result<(), UploadFault> {
        let job = self.job.expect("the job is named before it runs");
        let seal = SealParts { job, epoch, parts: self.page.clone() };
        let mut answer = session.request(&Request::SealParts(seal)).await?;
        let mut refused = Vec::new();
        loop {
            match answer.reply().await? {
                Reply::FilesRefused(files) => refused.extend(files),
                Reply::Done => break,
                _ => return Err(UploadFault::Unexpected),
            }
        }
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        for (part, refusal) in refused {
            self.refused.push((names.remove(&part), refusal));
        }
        self.page.drain(..).for_each(|seal| drop(names.remove(&seal.part)));
        Ok(())
    }
}

/// States what the parts of an open spray came from, a page after the other; with nothing to tell,
/// nothing is asked. May be sent again whole in the next session.
pub(super) async fn send_origins(
    session: &Session,
    job: JobId,
    epoch: Epoch,
    sources: &[SourceNote],
    ranges: &[OriginRange],
) -> Result<(), UploadFault> {
    for origins in Origins::pages(sources, ranges) {
        let request = Request::RecordOrigins(RecordOrigins { job, epoch, origins });
        let Reply::Done = session.ask(&request).await? else {
            return Err(UploadFault::Unexpected);
        };
    }
    Ok(())
}

/// Asks for the commit of a job whose parts are all sealed.
pub(super) async fn commit(session: &Session, commit: Commit) -> Result<Committed, UploadFault> {
    committed(session.ask(&Request::Commit(commit)).await?)
}

fn committed(reply: Reply) -> Result<Committed, UploadFault> {
    match reply {
        Reply::Committed(committed) => Ok(committed),
        _ => Err(UploadFault::Unexpected),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::tests::enrolled;
    use skyspray_wire::ids::{PartIndex, SourceIndex};
    use skyspray_wire::refusal::RefusalCode;

    const JOB: JobId = JobId([1; 16]);

    #[tokio::test]
    async fn origins_go_in_pages_and_a_refusal_ends_them() {
        let (relay, edge) = enrolled().await;
        let relayed = edge.connector().connect().await.unwrap();
        let session = relayed.session();
        let source = |index| SourceNote::new(SourceIndex(index), "in/a.csv", 9);
        let range = |index: u32| OriginRange {
            part: PartIndex(index / 100),
            part_offset: u64::from(index),
            source: SourceIndex(index),
            source_offset: 0,
            length: 1,
        };
        let sources: Vec<SourceNote> = (0..600).map(source).collect();
        let ranges: Vec<OriginRange> = (0..600).map(range).collect();
        let epoch = relay.epoch();

        send_origins(session, JOB, epoch, &[], &[]).await.unwrap();
        assert_eq!(relay.origins(), []);
        send_origins(session, JOB, epoch, &sources, &ranges).await.unwrap();

        let pages = relay.origins();
        let counts = |page: &Origins| (page.sources.len(), page.ranges.len());
        assert_eq!(pages.iter().map(counts).collect::<Vec<_>>(), [(512, 0), (88, 424), (0, 176)]);
        assert!(pages.iter().flat_map(|page| &page.sources).eq(&sources));
        assert!(pages.iter().flat_map(|page| &page.ranges).eq(&ranges));
        let stale = Epoch(epoch.0 + 1);
        let fault = send_origins(session, JOB, stale, &sources, &ranges).await.unwrap_err();
        let refused =
            matches!(&fault, UploadFault::Refused(no) if no.code == RefusalCode::EpochStale);
        assert!(refused, "{fault}");
        assert_eq!(relay.origins().len(), 3, "nothing follows what was refused");
        relayed.close().await;
    }
}
