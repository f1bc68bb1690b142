//! The files of a push: found by walking, opened at the relay a page at a time, and handed to the
//! thread that reads them.

use super::chunker::Chunker;
use super::fault::UploadFault;
use super::reader::read_whole;
use crate::landing::LandingPath;
use crate::source::{Found, Source, SourceError, Walk};
use skyspray_link::feed::{Producer, Stopped};
use skyspray_link::seam::files::Fingerprint;
use skyspray_link::session::Session;
use skyspray_wire::ids::{Epoch, JobId, PartIndex};
use skyspray_wire::limits::{PAGE_MAX, PAGE_NAME_BYTES_MAX};
use skyspray_wire::message::{FileSpec, OpenFiles, PartRuns, Reply, Request};
use skyspray_wire::name::PlanePath;
use skyspray_wire::refusal::Refusal;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Files on one page: as many as may be, because each page is a transaction of the relay.
const PAGE_FILES: usize = PAGE_MAX;

/// Files that wait to be read: more than a page, so that one is being opened while others are read.
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
    Skip(PartIndex),
}

/// A file that could not be sent, and why.
#[derive(Debug)]
pub(super) enum FileFault {
    /// On this side, before it was opened at the relay.
    Source(SourceError),
    /// On this side, when it was read; it counts among the opened ones, with its length in bytes.
    Unread { error: SourceError, length: u64 },
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

/// Finds files, opens them at the relay and hands them on. Kept from session to session: it may be
/// dropped at any await and goes on where it was, so nothing is moved out of it before it is done.
#[derive(Debug)]
pub(super) struct Opener {
    /// What is left to walk; `None` while a page is being found.
    walks: Option<Walks>,
    finding: Option<JoinHandle<FoundPage>>,
    /// Found and numbered, but not handed on.
    page: VecDeque<Numbered>,
    /// What the relay said of the page, once it has.
    answers: Option<Answers>,
    next_part: u32,
    /// `None` once everything was handed on.
    tasks: Option<mpsc::Sender<Task>>,
    notes: mpsc::Sender<Note>,
    untold: VecDeque<Note>,
    /// Files handed on to be read, and their bytes.
    pub(super) files: u64,
    pub(super) bytes: u64,
    pub(super) unchanged: u64,
    names: Names,
}

/// The files under way, by their numbers. Shared by who opens and who seals them, so that it never
/// grows with the push.
pub(super) type Names = Arc<Mutex<BTreeMap<PartIndex, UnderWay>>>;

/// A file that is opened and not yet committed.
#[derive(Debug)]
pub(super) struct UnderWay {
    pub(super) at: LandingPath,
    /// In bytes, when it was found.
    pub(super) length: u64,
}

/// What is left to walk.
#[derive(Debug)]
struct Walks {
    current: Option<Walk>,
    next: std::vec::IntoIter<Walk>,
}

impl Walks {
    fn is_over(&self) -> bool {
        self.current.is_none() && self.next.len() == 0
    }
}

#[derive(Debug)]
struct FoundPage {
    walks: Walks,
    files: VecDeque<Numbered>,
    notes: VecDeque<Note>,
}

#[derive(Debug, Default)]
struct Answers {
    committed: BTreeSet<PartIndex>,
    refused: BTreeMap<PartIndex, Refusal>,
    held: BTreeMap<PartIndex, PartRuns>,
}

impl Opener {
    pub(super) fn new(
        walks: Vec<Walk>,
        tasks: mpsc::Sender<Task>,
        notes: mpsc::Sender<Note>,
        names: Names,
    ) -> Self {
        Self {
            walks: Some(Walks { current: None, next: walks.into_iter() }),
            finding: None,
            page: VecDeque::new(),
            answers: None,
            next_part: 0,
            tasks: Some(tasks),
            notes,
            untold: VecDeque::new(),
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
        if let Some(answers) = &mut self.answers {
            // What the relay holds was said anew when this session opened the job.
            answers.held.clear();
        }
        while self.tasks.is_some() {
            self.tell().await;
            if self.answers.is_some() {
                self.hand_on().await?;
            } else if !self.page.is_empty() {
                self.answers = Some(self.ask(session, job, epoch).await?);
            } else if self.walks.as_ref().is_some_and(Walks::is_over) {
                // The reader ends the plan when nothing more can come.
                self.tasks = None;
            } else {
                self.find_page().await;
            }
        }
        Ok(())
    }

    /// Passes notes on; a note leaves only when there is a place for it.
    async fn tell(&mut self) {
        while !self.untold.is_empty() {
            // Nobody listens only when the job is over.
            let Ok(place) = self.notes.reserve().await else { return };
            place.send(self.untold.pop_front().expect("one is there"));
        }
    }

    /// Walks on until a page is full or everything was found.
    async fn find_page(&mut self) {
        if let Some(walks) = self.walks.take() {
            let first = self.next_part;
            self.finding = Some(tokio::task::spawn_blocking(move || find(walks, first)));
        }
        let finding = self.finding.as_mut().expect("either walks are left or a page is found");
        let found = finding.await.expect("a walk does not panic and is not aborted");
        self.finding = None;
        self.next_part += found.files.len() as u32;
        self.walks = Some(found.walks);
        self.page = found.files;
        self.untold.extend(found.notes);
    }

    async fn ask(
        &self,
        session: &Session,
        job: JobId,
        epoch: Epoch,
    ) -> Result<Answers, UploadFault> {
        let files = self.page.iter().map(|file| FileSpec {
            path: file.path.clone(),
            length: file.fingerprint.size,
            modified_ns: file.fingerprint.mtime_nanos,
        });
        let first = self.page.front().expect("a page is asked for").part;
        let open = OpenFiles { job, epoch, first, files: files.collect() };
        let mut answer = session.request(&Request::OpenFiles(open)).await?;
        let mut answers = Answers::default();
        loop {
            match answer.reply().await? {
                Reply::FilesOpened(page) => {
                    answers.committed.extend(page.committed);
                    answers.refused.extend(page.refused);
                    for held in page.held {
                        answers.held.insert(held.part, held);
                    }
                }
                Reply::Done => return Ok(answers),
                _ => return Err(UploadFault::Unexpected),
            }
        }
    }

    /// Hands the page to the reader, one file for each place in its queue; what the relay has or
    /// refuses is passed over.
    async fn hand_on(&mut self) -> Result<(), UploadFault> {
        let tasks = self.tasks.as_ref().expect("the reader is told until the end").clone();
        while !self.page.is_empty() {
            let place = tasks.reserve().await.map_err(|_| Stopped)?;
            let file = self.page.pop_front().expect("one is there");
            place.send(self.task_of(file));
        }
        self.answers = None;
        Ok(())
    }

    fn task_of(&mut self, file: Numbered) -> Task {
        let part = file.part;
        let answers = self.answers.as_mut().expect("the page was answered");
        if let Some(refusal) = answers.refused.remove(&part) {
            self.untold.push_back(Note::Fault(FileFault::Refused { at: file.at, refusal }));
            return Task::Skip(part);
        }
        if answers.committed.contains(&part) {
            self.unchanged += 1;
            return Task::Skip(part);
        }
        let held = answers.held.remove(&part);
        self.files += 1;
        self.bytes += file.fingerprint.size;
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.insert(part, UnderWay { at: file.at.clone(), length: file.fingerprint.size });
        Task::Send(file, held)
    }
}

/// Finds the next page of files, numbered from `first`. Blocks.
fn find(mut walks: Walks, first: u32) -> FoundPage {
    let (mut files, mut notes, mut bytes) = (VecDeque::new(), VecDeque::new(), 0);
    while files.len() < PAGE_FILES && bytes < PAGE_NAME_BYTES_MAX && notes.len() < PAGE_MAX {
        let Some(walk) = &mut walks.current else {
            match walks.next.next() {
                None => break,
                more => walks.current = more,
            }
            continue;
        };
        match walk.next() {
            None => walks.current = None,
            Some(Ok(Found::File { at, plane_path })) => match Source::look(&at) {
                Ok(fingerprint) => {
                    bytes += plane_path.to_string().len();
                    let part = PartIndex(first + files.len() as u32);
                    files.push_back(Numbered { part, at, path: plane_path, fingerprint });
                }
                Err(error) => notes.push_back(Note::Fault(FileFault::Source(error))),
            },
            Some(Ok(Found::Skipped { at, reason })) => {
                notes.push_back(Note::Skipped(format!("{at} is left out: {reason}")));
            }
            Some(Err(error)) => notes.push_back(Note::Fault(FileFault::Source(error))),
        }
    }
    FoundPage { walks, files, notes }
}

/// The next file; nothing that was read waits while this thread waits for it.
fn next_task(
    tasks: &mut mpsc::Receiver<Task>,
    producer: &Producer<UploadFault>,
) -> Result<Option<Task>, Stopped> {
    if let Ok(task) = tasks.try_recv() {
        return Ok(Some(task));
    }
    producer.flush()?;
    Ok(tasks.blocking_recv())
}

/// Reads the files of a push one after the other. Blocks; runs on the feed's thread.
pub(super) fn produce(
    mut tasks: mpsc::Receiver<Task>,
    notes: &mpsc::Sender<Note>,
    producer: &Producer<UploadFault>,
) -> Result<(), UploadFault> {
    let mut chunker = Chunker::new(producer, PartIndex(0));
    while let Some(task) = next_task(&mut tasks, producer)? {
        let (Task::Send(Numbered { part, .. }, _) | Task::Skip(part)) = &task;
        if *part != chunker.part() {
            // One file's bytes would go under the name of another.
            let reason = format!("file {part} came where {} was next", chunker.part());
            return Err(UploadFault::Broken { reason });
        }
        let Task::Send(file, held) = task else {
            chunker.drop_part()?;
            continue;
        };
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
                let length = file.fingerprint.size;
                let _ = notes.blocking_send(Note::Fault(FileFault::Unread { error, length }));
            }
            Err(fault) => return Err(fault),
        }
    }
    producer.plan_end(chunker.part().0)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::landing::ZoneName;
    use skyspray_link::seam::files::{Caching, MemoryTree, RelPath, Tree};

    fn numbered(tree: &Arc<dyn Tree>, part: u32) -> Numbered {
        let path = RelPath::parse(format!("f{part}")).unwrap();
        let file = tree.create_new(&path, 0o600, Caching::Buffered).unwrap();
        let fingerprint = file.metadata().unwrap().fingerprint();
        let zone = ZoneName::parse("lz").unwrap();
        let at = LandingPath { zone, tree: Arc::clone(tree), path };
        let path = PlanePath::parse(&format!("f{part}")).unwrap();
        Numbered { part: PartIndex(part), at, path, fingerprint }
    }

    #[tokio::test]
    async fn a_session_that_ends_while_files_are_handed_on_loses_and_shifts_none() {
        let tree: Arc<dyn Tree> = Arc::new(MemoryTree::new(1 << 20));
        let (tasks, mut reading) = mpsc::channel(2);
        let (notes, _said) = mpsc::channel(8);
        let mut opener = Opener::new(Vec::new(), tasks, notes, Names::default());
        opener.page = (0..7).map(|part| numbered(&tree, part)).collect();
        opener.answers = Some(Answers::default());
        let mut handed = Vec::new();

        while opener.answers.is_some() {
            tokio::select! {
                biased;
                done = opener.hand_on() => done.unwrap(),
                // The queue is full: the session ends here.
                () = tokio::task::yield_now() => {}
            }
            while let Ok(Task::Send(file, _)) = reading.try_recv() {
                handed.push((file.part.0, file.path.to_string()));
            }
        }

        let expected: Vec<_> = (0..7).map(|part| (part, format!("f{part}"))).collect();
        assert_eq!(handed, expected);
    }
}
