//! One page of files: compared with what is there, or fetched over as many sessions as it takes.

use super::super::fault::DownloadFault;
use super::super::page::{PageEnd, PageSink, Place};
use super::super::reading::{Opened, in_flight_chunks, opened};
use super::super::state::ReadState;
use super::Pull;
use super::compare::is_same;
use super::local::{PullFile, write_fault};
use super::log::PageWitness;
use skyspray_link::receive::ReceiveJob;
use skyspray_link::seam::files::Replace;
use skyspray_wire::ids::{JobId, PartIndex};
use skyspray_wire::message::{OpenRead, PartInfo, ReadTarget, Request};
use skyspray_wire::refusal::{Refusal, RefusalCode};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A page over all its sessions.
struct Page {
    job: JobId,
    files: Vec<PullFile>,
    state: ReadState,
    /// What the relay said of each file, in this or an earlier run; `None` where nothing is held.
    known: Vec<Option<PartInfo>>,
    done: BTreeSet<PartIndex>,
}

impl Page {
    fn request(&self, pull: &Pull<'_>) -> OpenRead {
        OpenRead {
            job: self.job,
            target: target(pull, &self.files),
            generation: None,
            held: self.state.runs(),
            in_flight_chunks: in_flight_chunks(pull.context.config.limits.memory.0),
        }
    }

    /// Takes what the relay says of the files. What is held must be of the same files.
    fn take_opened(&mut self, opened: &Opened) -> Result<(), DownloadFault> {
        if opened.parts.len() != self.files.len() {
            return Err(DownloadFault::Unexpected { what: "files to be read" });
        }
        if !self.state.fits(opened.readable.chunk_size) {
            if !self.done.is_empty() {
                // Files that have their names are left out when the page is cut in two.
                return Err(Refusal::new(RefusalCode::SourceChanged, "").into());
            }
            self.state = ReadState::default();
            return Err(DownloadFault::Redescribed);
        }
        if self.forget_changed(&opened.parts) {
            // The relay was told that chunks of them are held.
            return Err(DownloadFault::Redescribed);
        }
        Ok(())
    }

    /// Takes what is said of the files now, and forgets what is held of those that are not what
    /// they were; whether there was anything.
    fn forget_changed(&mut self, found: &[PartInfo]) -> bool {
        let mut any = false;
        for ((part, known), found) in (0..).map(PartIndex).zip(&mut self.known).zip(found) {
            let changed = known.is_some_and(|known| known != *found);
            any |= changed && self.state.forget(part);
            *known = Some(*found);
        }
        any
    }

    /// The files that are not done, in two halves or, when it is one, alone.
    fn split(self) -> Vec<Vec<PullFile>> {
        let indexed = (0..).map(PartIndex).zip(self.files);
        let left = indexed.filter(|(part, _)| !self.done.contains(part));
        let left: Vec<PullFile> = left.map(|(_, file)| file).collect();
        let half = left.len().div_ceil(2).max(1);
        left.chunks(half).map(<[PullFile]>::to_vec).collect()
    }
}

fn target(pull: &Pull<'_>, files: &[PullFile]) -> ReadTarget {
    let paths = files.iter().map(|file| file.path.clone()).collect();
    ReadTarget::Files { plane: pull.args.source.plane.clone(), paths }
}

impl Pull<'_> {
    /// Fetches the files of a page. A file that spoils the page is found by cutting it in two.
    pub(super) async fn fetch(&mut self, files: Vec<PullFile>) -> Result<(), DownloadFault> {
        let mut pages = vec![files];
        while let Some(files) = pages.pop() {
            let (alone, mut page) = (files.len() == 1, self.begin_page(files));
            match self.fetch_page(&mut page).await {
                Ok(()) => {}
                Err(fault) if fault.concerns_a_file() && alone => {
                    self.drop_staging(&page.files[0].place);
                    self.file_failed(&fault);
                }
                Err(fault) if fault.concerns_a_file() => {
                    pages.extend(page.split().into_iter().rev());
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(())
    }

    fn begin_page(&self, files: Vec<PullFile>) -> Page {
        let mut state = ReadState::default();
        let mut known = Vec::with_capacity(files.len());
        for (part, file) in (0..).map(PartIndex).zip(&files) {
            let partial = self.log.take(&file.path.to_string());
            known.push(partial.as_ref().map(|partial| partial.info));
            if let Some(partial) = partial
                && file.place.target.tree.metadata(&file.place.staging).is_ok()
                && state.fits(partial.tree.chunk_size())
            {
                state.restore_part(part, partial.tree);
            }
        }
        let (job, done) = (self.context.new_job(), BTreeSet::new());
        Page { job, files, state, known, done }
    }

    async fn fetch_page(&mut self, page: &mut Page) -> Result<(), DownloadFault> {
        loop {
            let before = self.tally.chunks();
            match self.attempt(page).await {
                Err(fault) if fault.is_passing() => {
                    if self.tally.chunks() > before {
                        self.link.progressed();
                    }
                    self.link.give_up(fault).await;
                }
                Err(fault) => return Err(fault),
                Ok(()) => {
                    self.link.progressed();
                    return Ok(());
                }
            }
        }
    }

    /// One session's work on a page.
    async fn attempt(&mut self, page: &mut Page) -> Result<(), DownloadFault> {
        let request = page.request(self);
        let job = request.job;
        let (relay, answer) = self.link.ask(&Request::OpenRead(request)).await?;
        let opened = opened(job, answer).await?;
        page.take_opened(&opened)?;
        let held = page.state.clone();
        let machine = opened.machine(|machine| held.restore(machine))?;
        let replace = if self.args.overwrite { Replace::Existing } else { Replace::Never };
        let witness = PageWitness {
            log: Arc::clone(&self.log),
            parts: page
                .files
                .iter()
                .map(|f| f.path.to_string())
                .zip(opened.parts.clone())
                .collect(),
            bytes_before: self.counts.bytes,
            bytes_total: self.bytes_total,
        };
        let places = page.files.iter().map(|file| file.place.clone()).collect();
        let with = (replace, Arc::clone(&self.tally), witness);
        let sink = Arc::new(PageSink::new(places, &opened.parts, held, with, page.done.clone()));
        let receiving = Arc::new(ReceiveJob::new(machine, Arc::clone(&sink)));
        let pool = self.pools.for_chunks(opened.readable.chunk_size);
        let lengths: Vec<u64> = opened.parts.iter().map(|part| part.length).collect();
        let empties = Arc::clone(&sink);
        let placed = tokio::task::spawn_blocking(move || empties.place_empty()).await;
        placed.expect("placing files does not panic")?;
        let received = opened.receive(self.context, relay, (&pool, &receiving)).await;
        let finished = tokio::task::spawn_blocking(move || sink.finish()).await;
        let end = finished.expect("finishing a page does not panic")?;
        self.count(page, end, &lengths);
        received
    }

    fn count(&mut self, page: &mut Page, end: PageEnd, lengths: &[u64]) {
        let failed: BTreeSet<PartIndex> = end.taken.iter().map(|(part, _)| *part).collect();
        for part in end.done.difference(&page.done).filter(|part| !failed.contains(part)) {
            self.counts.files += 1;
            self.counts.bytes += lengths[part.0 as usize];
        }
        end.taken.iter().for_each(|(_, fault)| self.file_failed(fault));
        (page.state, page.done) = (end.state, end.done);
    }

    fn drop_staging(&self, place: &Place) {
        let dropped = crate::durable::remove_if_there(&*place.target.tree, &place.staging);
        if let Err(source) = dropped {
            let fault = write_fault(&place.target, source);
            self.context.reporter.warn("staging-kept", fault);
        }
    }

    /// Counts the files that are what the plane has, and returns those to be fetched. What the
    /// relay opened for this is let go of before a chunk is sent.
    pub(super) async fn compare(
        &mut self,
        files: Vec<PullFile>,
    ) -> Result<Vec<PullFile>, DownloadFault> {
        let mut pages = vec![files];
        let mut differing = Vec::new();
        while let Some(files) = pages.pop() {
            let parts = match self.describe(&files).await {
                Err(fault) if fault.concerns_a_file() && files.len() == 1 => {
                    self.file_failed(&fault);
                    continue;
                }
                Err(fault) if fault.concerns_a_file() => {
                    let half = files.len().div_ceil(2);
                    pages.extend(files.chunks(half).rev().map(<[PullFile]>::to_vec));
                    continue;
                }
                other => other?,
            };
            differing.extend(self.compare_page(files, parts).await);
        }
        Ok(differing)
    }

    async fn compare_page(&mut self, files: Vec<PullFile>, parts: Vec<PartInfo>) -> Vec<PullFile> {
        let compared = tokio::task::spawn_blocking(move || {
            let compare = |(file, info): (PullFile, PartInfo)| {
                (is_same(&file.place.target, &info), file, info.length)
            };
            files.into_iter().zip(parts).map(compare).collect::<Vec<_>>()
        });
        let mut differing = Vec::new();
        for (same, file, length) in compared.await.expect("comparing does not panic") {
            let target = &file.place.target;
            match same {
                Ok(true) => {
                    self.counts.skipped += 1;
                    self.counts.bytes += length;
                }
                Ok(false) if self.args.overwrite => differing.push(file),
                Ok(false) => {
                    let path = target.to_string();
                    self.file_failed(&DownloadFault::TargetExists { path });
                }
                Err(source) => self.file_failed(&write_fault(target, source)),
            }
        }
        differing
    }

    /// What the relay says of the files.
    async fn describe(&mut self, files: &[PullFile]) -> Result<Vec<PartInfo>, DownloadFault> {
        loop {
            let request = OpenRead {
                job: self.context.new_job(),
                target: target(self, files),
                generation: None,
                held: Vec::new(),
                in_flight_chunks: 1,
            };
            let job = request.job;
            let answered = async {
                let (_, answer) = self.link.ask(&Request::OpenRead(request)).await?;
                opened(job, answer).await
            };
            match answered.await {
                Err(fault) if fault.is_passing() => self.link.give_up(fault).await,
                Err(fault) => return Err(fault),
                Ok(opened) if opened.parts.len() == files.len() => return Ok(opened.parts),
                Ok(_) => return Err(DownloadFault::Unexpected { what: "files to be read" }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skyspray_wire::digest::{ChunkValue, PartTree};
    use skyspray_wire::ids::{ChunkIndex, ChunkSize};

    fn info(length: u64, modified_ns: i64) -> PartInfo {
        let modified_ns = Some(modified_ns);
        PartInfo {
            length,
            digest: None,
            crc32: None,
            records: None,
            modified_ns,
            header: 0,
            footer: 0,
        }
    }

    fn held() -> PartTree {
        let size = ChunkSize::try_new(1024).unwrap();
        let mut tree = PartTree::new(size);
        let value = ChunkValue::of(size, ChunkIndex(0), &[7; 1024]);
        tree.insert(ChunkIndex(0), &value).unwrap();
        tree
    }

    fn page(parts: &[PartIndex]) -> Page {
        let mut state = ReadState::default();
        parts.iter().for_each(|&part| state.restore_part(part, held()));
        let known = vec![Some(info(3000, 5)); 3];
        Page { job: JobId([1; 16]), files: Vec::new(), state, known, done: BTreeSet::new() }
    }

    fn begun(page: &Page) -> Vec<u32> {
        page.state.begun().keys().map(|part| part.0).collect()
    }

    #[test]
    fn what_is_held_of_a_file_that_has_another_length_or_time_now_is_forgotten() {
        let mut page = page(&[PartIndex(0), PartIndex(1), PartIndex(2)]);
        let now = [info(3001, 5), info(3000, 6), info(3000, 5)];

        assert!(page.forget_changed(&now));
        assert_eq!(begun(&page), [2]);
        assert!(!page.forget_changed(&now), "it is known as it is now");
    }

    #[test]
    fn a_changed_file_of_which_nothing_is_held_is_taken_as_it_is_now() {
        let mut page = page(&[PartIndex(2)]);

        assert!(!page.forget_changed(&[info(3001, 5), info(3000, 5), info(3000, 5)]));
        assert_eq!((begun(&page), page.known[0]), (vec![2], Some(info(3001, 5))));
    }
}
