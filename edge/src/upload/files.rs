//! The files of a push: found by walking, opened at the relay a page at a time, and handed to the
//! thread that reads them.

use super::chunker::Chunker;
use super::fault::UploadFault;
use super::reader::read_whole;
use crate::landing::LandingPath;
use crate::source::{Found, Source, SourceError, Walk};
use skyspray_link::feed::Producer;
use skyspray_link::seam::files::Fingerprint;
use skyspray_link::session::Session;
use skyspray_wire::ids::{Epoch, JobId, PartIndex};
use skyspray_wire::limits::{PAGE_MAX, PAGE_NAME_BYTES_MAX};
use skyspray_wire::message::{FileSpec, OpenFiles, PartRuns, Reply, Request};
use skyspray_wire::name::PlanePath;
use skyspray_wire::refusal::Refusal;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// Files on one page; fewer than a page may hold, so that a page is answered soon.
const PAGE_FILES: usize = 256;

/// Files that wait to be read.
pub(super) const READ_QUEUE: usize = 2 * PAGE_FILES;

/// A file that has its number in the job.
#[derive(Clone, Debug)]
pub(super) struct Numbered {
    pub(super) part: PartIndex,
    pub(super) at: LandingPath,
    pub(super) path: PlanePath,
    pub(super) fingerprint: Fingerprint,
}

/// What the reading thread is given, in part order and without gaps.
#[derive(Debug)]
pub(super) enum Task {
    /// Read and send it; the relay holds these chunks already.
    Send(Numbered, Option<PartRuns>),
    /// Nothing to send under this number.
    Skip,
}

/// A file that could not be sent, and why.
#[derive(Debug)]
pub(super) enum FileFault {
    /// On this side.
    Source(SourceError),
    /// On the other side.
    Refused { at: LandingPath, refusal: Refusal },
}

/// What a walk says on its way.
#[derive(Debug)]
pub(super) enum Note {
    /// A file that cannot be sent.
    Fault(FileFault),
    /// Something that is left out.
    Skipped(String),
}

/// Finds files, opens them at the relay and hands them on. Kept from session to session.
#[derive(Debug)]
pub(super) struct Opener {
    walks: std::vec::IntoIter<Walk>,
    walk: Option<Walk>,
    /// Found and numbered, but not answered by the relay.
    page: Vec<Numbered>,
    next_part: u32,
    tasks: Option<mpsc::Sender<Task>>,
    notes: mpsc::Sender<Note>,
    pub(super) files: u64,
    pub(super) bytes: u64,
    pub(super) unchanged: u64,
    /// What was handed on and is not sealed, for messages about refusals.
    names: Names,
}

/// Where the files under way are, by their numbers. Shared by who opens and who seals them, so
/// that it never grows with the push.
pub(super) type Names = Arc<Mutex<BTreeMap<PartIndex, LandingPath>>>;

impl Opener {
    pub(super) fn new(
        walks: Vec<Walk>,
        tasks: mpsc::Sender<Task>,
        notes: mpsc::Sender<Note>,
        names: Names,
    ) -> Self {
        Self {
            walks: walks.into_iter(),
            walk: None,
            page: Vec::new(),
            next_part: 0,
            tasks: Some(tasks),
            notes,
            files: 0,
            bytes: 0,
            unchanged: 0,
            names,
        }
    }

    /// Numbers handed out, whether sent or not.
    pub(super) fn parts(&self) -> u32 {
        self.next_part
    }

    /// Opens file after file until the walks are over.
    pub(super) async fn run(
        &mut self,
        session: &Session,
        (job, epoch): (JobId, Epoch),
    ) -> Result<(), UploadFault> {
        while self.tasks.is_some() {
            if self.page.is_empty() {
                self.find_page().await?;
            }
            if self.page.is_empty() {
                // The reader ends the plan when nothing more can come.
                self.tasks = None;
                return Ok(());
            }
            let (answers, refused) = self.ask(session, job, epoch).await?;
            self.hand_on(answers, refused).await?;
        }
        Ok(())
    }

    /// Walks on until a page is full or everything was found.
    async fn find_page(&mut self) -> Result<(), UploadFault> {
        let (mut walk, mut walks) = (self.walk.take(), std::mem::take(&mut self.walks));
        let first = self.next_part;
        let found = super::blocking(move || {
            let (mut page, mut notes, mut bytes) = (Vec::new(), Vec::new(), 0);
            while page.len() < PAGE_FILES && bytes < PAGE_NAME_BYTES_MAX && notes.len() < PAGE_MAX {
                let next = match &mut walk {
                    None => match walks.next() {
                        None => break,
                        more => {
                            walk = more;
                            continue;
                        }
                    },
                    Some(current) => current.next(),
                };
                match next {
                    None => walk = None,
                    Some(Ok(Found::File { at, plane_path })) => match Source::open(&at) {
                        Ok(source) => {
                            bytes += plane_path.to_string().len();
                            let part = PartIndex(first + page.len() as u32);
                            let fingerprint = *source.fingerprint();
                            page.push(Numbered { part, at, path: plane_path, fingerprint });
                        }
                        Err(error) => notes.push(Note::Fault(FileFault::Source(error))),
                    },
                    Some(Ok(Found::Skipped { at, reason })) => {
                        notes.push(Note::Skipped(format!("{at} is left out: {reason}")));
                    }
                    Some(Err(error)) => notes.push(Note::Fault(FileFault::Source(error))),
                }
            }
            (walk, walks, page, notes)
        });
        let (walk, walks, page, notes) = found.await;
        (self.walk, self.walks) = (walk, walks);
        self.next_part += page.len() as u32;
        self.page = page;
        for note in notes {
            // Nobody listens only when the job is over.
            let _ = self.notes.send(note).await;
        }
        if self.page.is_empty() && (self.walk.is_some() || self.walks.len() > 0) {
            return Box::pin(self.find_page()).await;
        }
        Ok(())
    }

    async fn ask(
        &self,
        session: &Session,
        job: JobId,
        epoch: Epoch,
    ) -> Result<(Answers, BTreeMap<PartIndex, Refusal>), UploadFault> {
        let files = self.page.iter().map(|file| FileSpec {
            path: file.path.clone(),
            length: file.fingerprint.size,
            modified_ns: file.fingerprint.mtime_nanos,
        });
        let first = self.page[0].part;
        let open = OpenFiles { job, epoch, first, files: files.collect() };
        let mut answer = session.request(&Request::OpenFiles(open)).await?;
        let (mut answers, mut refused) = (Answers::default(), BTreeMap::new());
        loop {
            match answer.reply().await? {
                Reply::FilesOpened(page) => {
                    answers.committed.extend(page.committed);
                    refused.extend(page.refused);
                    for held in page.held {
                        answers.held.insert(held.part, held);
                    }
                }
                Reply::Done => return Ok((answers, refused)),
                _ => return Err(UploadFault::Unexpected),
            }
        }
    }

    /// Hands the page to the reader; what the relay has or refuses is passed over.
    async fn hand_on(
        &mut self,
        mut answers: Answers,
        mut refused: BTreeMap<PartIndex, Refusal>,
    ) -> Result<(), UploadFault> {
        for file in std::mem::take(&mut self.page) {
            let part = file.part;
            let task = if let Some(refusal) = refused.remove(&part) {
                let fault = FileFault::Refused { at: file.at, refusal };
                let _ = self.notes.send(Note::Fault(fault)).await;
                Task::Skip
            } else if answers.committed.contains(&part) {
                self.unchanged += 1;
                Task::Skip
            } else {
                self.files += 1;
                self.bytes += file.fingerprint.size;
                let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
                names.insert(part, file.at.clone());
                Task::Send(file, answers.held.remove(&part))
            };
            let tasks = self.tasks.as_ref().expect("the reader is told until the end");
            // The reader is gone only when the job is over.
            let _ = tasks.send(task).await;
        }
        Ok(())
    }
}

#[derive(Debug, Default)]
struct Answers {
    committed: BTreeSet<PartIndex>,
    held: BTreeMap<PartIndex, PartRuns>,
}

/// Reads the files of a push one after the other. Blocks; runs on the feed's thread.
pub(super) fn produce(
    mut tasks: mpsc::Receiver<Task>,
    notes: &mpsc::Sender<Note>,
    producer: &Producer<UploadFault>,
) -> Result<(), UploadFault> {
    let mut chunker = Chunker::new(producer, PartIndex(0));
    while let Some(task) = tasks.blocking_recv() {
        let Task::Send(file, held) = task else {
            chunker.drop_part()?;
            continue;
        };
        debug_assert_eq!(chunker.part(), file.part, "tasks come in part order");
        if let Some(held) = held {
            producer.held(held)?;
        }
        let read = Source::resume(&file.at, &file.fingerprint)
            .map_err(UploadFault::from)
            .and_then(|source| read_whole(&source, &mut chunker));
        match read {
            Ok(()) => {}
            Err(UploadFault::Source(error)) => {
                chunker.drop_part()?;
                let _ = notes.blocking_send(Note::Fault(FileFault::Source(error)));
            }
            Err(fault) => return Err(fault),
        }
    }
    producer.plan_end(chunker.part().0)?;
    Ok(())
}
