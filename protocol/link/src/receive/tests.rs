//! Jobs whose sink does what no sink should, and jobs that wait for their last chunks.

use super::*;
use crate::seam::files::BufferPool;
use skyspray_wire::digest::Digest;
use skyspray_wire::ids::{ChunkSize, Epoch};
use skyspray_wire::message::PartSeal;

const JOB: JobId = JobId([3; 16]);
const PART: PartIndex = PartIndex(0);

/// Where a sink breaks.
#[derive(Clone, Copy, Eq, PartialEq)]
enum At {
    Write,
    Sync,
    Record,
    Nowhere,
}

/// A sink that takes everything and panics at one step.
struct Broken(At);

impl Broken {
    fn reach(&self, step: At) -> Result<(), Refusal> {
        assert!(self.0 != step, "this sink is broken");
        Ok(())
    }
}

impl Sink for Broken {
    fn write_chunk(&self, _: PartIndex, _: u64, _: PooledBuf) -> Result<(), Refusal> {
        self.reach(At::Write)
    }

    fn sync(&self, _: &[PartIndex]) -> Result<(), Refusal> {
        self.reach(At::Sync)
    }

    async fn record(&self, _: Vec<(PartIndex, PartTree)>) -> Result<(), Refusal> {
        self.reach(At::Record)
    }
}

/// The job, its sync loop, and a chunk that was admitted and whose body is here.
async fn with_a_chunk(at: At) -> (Arc<ReceiveJob<Broken>>, mpsc::Receiver<Answer>, ChunkHeader) {
    let size = ChunkSize::try_new(1024).unwrap();
    let machine = Receiver::new(JOB, Epoch(1), size, 1);
    let job = Arc::new(ReceiveJob::new(machine, Arc::new(Broken(at))));
    let body = [7; 100];
    let header = ChunkHeader {
        job: JOB,
        epoch: Epoch(1),
        part: PART,
        offset: 0,
        raw_length: 100,
        wire_length: 100,
        encoding: Encoding::Raw,
        subtree: ChunkValue::of(size, ChunkIndex(0), &body).subtree,
    };
    let (answers, answered) = mpsc::channel(8);
    let Ok(Admission::Write(chunk)) = admit(&job, &header, &answers) else {
        panic!("the chunk is wanted");
    };
    let buffers = || BufferPool::new(1, 1024);
    let pool = ReceivePool::new(buffers(), buffers());
    let mut buffer = pool.bodies.take_for(100).await;
    buffer.space()[..100].copy_from_slice(&body);
    buffer.set_len(100);
    tokio::spawn(Arc::clone(&job).sync_loop());
    let storing = Arc::clone(&job);
    let stored =
        tokio::task::spawn_blocking(move || storing.store(&pool, &header, chunk, buffer)).await;
    assert_eq!(stored.is_err(), at == At::Write, "{stored:?}");
    (job, answered, header)
}

async fn a_broken_sink_fails_its_job(at: At) {
    let (job, mut answered, header) = with_a_chunk(at).await;

    let refusal = timeout(Duration::from_secs(20), job.failed()).await;
    assert_eq!(refusal.expect("the job fails"), broken());
    let told = timeout(Duration::from_secs(20), answered.recv()).await;
    let told = told.expect("whoever waits for the chunk is told").expect("the stream is open");
    assert!(matches!(&told, Answer::Refused(JOB, refusal) if *refusal == broken()), "{told:?}");
    let (answers, _answered) = mpsc::channel(8);
    assert_eq!(admit(&job, &header, &answers).unwrap_err(), broken());
    if at == At::Write {
        let again = job.with_machine(|machine| machine.handle_header(&header));
        assert_eq!(again, Ok(Admission::Write(ChunkIndex(0))), "it is not under way for ever");
    }
    let retired = timeout(Duration::from_secs(20), job.retire(broken())).await;
    retired.expect("nothing is being written any more");
}

#[tokio::test]
async fn a_sink_that_panics_while_it_writes_fails_its_job() {
    a_broken_sink_fails_its_job(At::Write).await;
}

#[tokio::test]
async fn a_sink_that_panics_while_it_syncs_fails_its_job() {
    a_broken_sink_fails_its_job(At::Sync).await;
}

#[tokio::test]
async fn a_sink_that_panics_while_it_records_fails_its_job() {
    a_broken_sink_fails_its_job(At::Record).await;
}

/// Seals the chunk of [`with_a_chunk`] and says whether it counts already.
fn seal(job: &ReceiveJob<Broken>) -> bool {
    let (digest, crc32) = (Digest::of(&[7; 100]), crc32fast::hash(&[7; 100]));
    let seal =
        PartSeal { part: PART, length: 100, digest, crc32, records: None, header: 0, footer: 0 };
    job.with_machine(|machine| machine.handle_seal(&seal)).unwrap()
}

#[tokio::test]
async fn a_commit_goes_on_once_the_last_chunk_is_recorded() {
    let (job, mut answered, _header) = with_a_chunk(At::Nowhere).await;
    seal(&job);

    assert_eq!(job.complete(1, || 0).await, Ok(()));

    let told = answered.recv().await.expect("the stream is open");
    assert!(matches!(told, Answer::Durable(JOB, Ack { part: PART, .. })), "{told:?}");
}

#[tokio::test]
async fn a_commit_that_waits_is_told_what_its_job_failed_with() {
    let (job, _answered, _header) = with_a_chunk(At::Record).await;
    seal(&job);

    assert_eq!(job.complete(1, || 0).await, Err(broken()));
}

/// A job of one part that is sealed and lacks its chunk.
fn without_its_chunk() -> ReceiveJob<Broken> {
    let size = ChunkSize::try_new(1024).unwrap();
    let machine = Receiver::new(JOB, Epoch(1), size, 1);
    let job = ReceiveJob::new(machine, Arc::new(Broken(At::Nowhere)));
    assert!(!seal(&job), "its chunk is missing");
    job
}

#[tokio::test]
async fn a_commit_does_not_wait_for_ever_for_a_chunk_that_does_not_come() {
    let job = without_its_chunk();

    let refusal = job.complete_within(1, Duration::ZERO, || 0).await.unwrap_err();

    assert_eq!(refusal.code, RefusalCode::Incomplete);
    assert_eq!(refusal.detail, "commit of 1 parts, 0 of 1 are complete");
}

#[tokio::test]
async fn a_commit_waits_for_a_chunk_for_as_long_as_the_line_carries_something() {
    let job = without_its_chunk();
    let (mut asked, mut carried) = (0, 0);
    let slow_line = || {
        asked += 1;
        carried += if asked <= 50 { STILL_BYTES + 1 } else { STILL_BYTES };
        carried
    };

    let refusal = job.complete_within(1, Duration::ZERO, slow_line).await.unwrap_err();

    assert_eq!(refusal.code, RefusalCode::Incomplete);
    assert_eq!(asked, 51, "a line that only keeps its session alive is not waited for");
}
