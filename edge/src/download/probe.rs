//! Reading without writing: does what is stored still have the digests it was committed with?

use super::fault::DownloadFault;
use super::link::Link;
use super::reading::{DownloadSink, Pools, Tally, in_flight_chunks, opened, or_replaced};
use super::state::{ReadState, check_if_whole};
use crate::context::Context;
use crate::output::Reporter;
use skyspray_link::receive::{ReceiveJob, Sink};
use skyspray_link::seam::files::PooledBuf;
use skyspray_wire::digest::PartTree;
use skyspray_wire::ids::{Generation, PartIndex};
use skyspray_wire::message::{OpenRead, PartInfo, ReadTarget, Readable, Request};
use skyspray_wire::refusal::Refusal;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What was read.
#[derive(Clone, Debug)]
pub struct Probed {
    /// What the relay said of all of it.
    pub readable: Readable,
    /// What the relay said of each part.
    pub parts: Vec<PartInfo>,
}

/// Reads everything in `target` and compares it with the digests the catalogue states.
///
/// # Errors
///
/// See [`DownloadFault`]; a part that is not what was committed is a refusal with `DigestMismatch`
/// or `StoredCorrupt`.
pub async fn probe(context: &Context, target: &ReadTarget) -> Result<Probed, DownloadFault> {
    let memory = context.config.limits.memory.0;
    let (mut link, mut pools) = (Link::new(context), Pools::new(memory));
    let sink = Arc::new(ProbeSink::new(context.reporter.clone()));
    let (job, mut generation) = (context.new_job(), None);
    let probed = loop {
        let before = sink.tally().chunks();
        let request = OpenRead {
            job,
            target: target.clone(),
            generation,
            held: lock(&sink.held).state.runs(),
            in_flight_chunks: in_flight_chunks(memory),
        };
        let attempt = attempt(context, &mut link, &mut pools, (request, &sink, &mut generation));
        match attempt.await {
            Err(fault) if fault.is_passing() => {
                if sink.tally().chunks() > before {
                    link.progressed();
                }
                link.give_up(fault).await;
            }
            other => break other,
        }
    };
    link.close().await;
    context.reporter.progress_end();
    probed
}

async fn attempt(
    context: &Context,
    link: &mut Link<'_>,
    pools: &mut Pools,
    (request, sink, generation): (OpenRead, &Arc<ProbeSink>, &mut Option<Generation>),
) -> Result<Probed, DownloadFault> {
    let (relay, answer) = link.ask(&Request::OpenRead(request.clone())).await?;
    let opened = opened(request.job, answer).await?;
    *generation = opened.readable.generation;
    let held = sink.begin(&opened.readable, &opened.parts)?;
    let machine = opened.machine(|machine| held.restore(machine))?;
    let job = Arc::new(ReceiveJob::new(machine, Arc::clone(sink)));
    let pool = pools.for_chunks(opened.readable.chunk_size);
    let probed = Probed { readable: opened.readable.clone(), parts: opened.parts.clone() };
    match opened.receive(context, relay, (&pool, &job)).await {
        Ok(()) => Ok(probed),
        Err(fault) => {
            let pinned = OpenRead { generation: *generation, ..request };
            Err(or_replaced(relay.session(), pinned, fault).await)
        }
    }
}

/// Lets the bytes go once they are verified.
#[derive(Debug)]
struct ProbeSink {
    tally: Tally,
    // Held for bookkeeping only.
    held: Mutex<Held>,
    reporter: Reporter,
}

#[derive(Debug, Default)]
struct Held {
    state: ReadState,
    parts: Vec<PartInfo>,
    total: u64,
}

impl ProbeSink {
    fn new(reporter: Reporter) -> Self {
        Self { tally: Tally::default(), held: Mutex::default(), reporter }
    }

    /// Takes up what earlier sessions have verified.
    fn begin(&self, readable: &Readable, parts: &[PartInfo]) -> Result<ReadState, DownloadFault> {
        let mut held = lock(&self.held);
        if !held.state.fits(readable.chunk_size) {
            held.state = ReadState::default();
            return Err(DownloadFault::Redescribed);
        }
        held.parts = parts.to_vec();
        held.total = readable.bytes;
        Ok(held.state.clone())
    }
}

impl Sink for ProbeSink {
    fn write_chunk(&self, _: PartIndex, _: u64, _: PooledBuf) -> Result<(), Refusal> {
        self.tally.count();
        Ok(())
    }

    fn sync(&self, _: &[PartIndex]) -> Result<(), Refusal> {
        Ok(())
    }

    async fn record(&self, changed: Vec<(PartIndex, PartTree)>) -> Result<(), Refusal> {
        let mut held = lock(&self.held);
        for (part, tree) in changed {
            let info = held.parts[part.0 as usize];
            if let Err(refusal) = check_if_whole(part, &tree, &info) {
                held.state.forget(part);
                return Err(refusal);
            }
            held.state.note(part, tree, info.length);
        }
        self.reporter.progress(held.state.bytes(), Some(held.total));
        Ok(())
    }
}

impl DownloadSink for ProbeSink {
    fn tally(&self) -> &Tally {
        &self.tally
    }

    fn take_fault(&self) -> Option<DownloadFault> {
        None
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
