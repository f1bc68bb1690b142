//! The journal through crashes, cut power, full disks and two processes.

use super::*;
use crate::exit::{Exit, Explain as _};
use crate::landing::ZoneName;
use skyspray_link::seam::files::{Caching, Fault, Fingerprint, MemoryTree, Op};

struct Bench {
    tree: MemoryTree,
    locks: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { tree: MemoryTree::new(64 << 20), locks: tempfile::tempdir().unwrap() }
    }

    fn journal(&self) -> Journal {
        Journal::with_tree(Arc::new(self.tree.clone()), self.locks.path().join("locks")).unwrap()
    }

    fn begin(&self, header: &JobHeader) -> JobLog {
        match self.journal().begin(header).unwrap() {
            Begun::New(log) => log,
            Begun::Resumed(log) => panic!("{} was open already", log.job()),
        }
    }

    fn resume(&self, header: &JobHeader) -> JobLog {
        self.tree.crash();
        match self.journal().begin(header).unwrap() {
            Begun::Resumed(log) => log,
            Begun::New(log) => panic!("{} was not open", log.job()),
        }
    }

    fn lock_files(&self) -> usize {
        std::fs::read_dir(self.locks.path().join("locks")).unwrap().count()
    }

    fn raw(&self, header: &JobHeader) -> Arc<dyn skyspray_link::seam::files::File> {
        self.tree.open_write(&job_path(header.job), Caching::Buffered).unwrap()
    }
}

fn header(number: u8) -> JobHeader {
    let fingerprint = Fingerprint { device: 1, inode: 2, size: 3, mtime_nanos: 4, ctime_nanos: 5 };
    let path = RelPath::parse("a/b").unwrap();
    let sources =
        vec![JournalSource::new(ZoneName::parse("in").unwrap(), &path, Some(fingerprint))];
    let target = format!("lake:a::{number}");
    let key = CommandKey::of(JobKind::Spray, &target, &sources, [("parts", "4")]);
    let job = JobId([number; 16]);
    JobHeader { job, kind: JobKind::Spray, key, target, sources, opened_ms: 1_700_000_000_000 }
}

fn ended(outcome: Outcome) -> Ended {
    let wuid = Some("D20240101-000000-1".to_owned());
    Ended { outcome, ended_ms: 1_700_000_001_000, wuid, bytes: 10, detail: None }
}

#[test]
fn a_job_survives_a_crash_with_its_header_and_last_checkpoint() {
    let bench = Bench::new();
    let header = header(1);
    let mut log = bench.begin(&header);
    assert_eq!((log.header(), log.checkpoint()), (&header, None));
    log.keep(b"one").unwrap();
    log.keep(b"two").unwrap();
    drop(log);

    let log = bench.resume(&header);
    assert_eq!((log.header(), log.checkpoint()), (&header, Some(&b"two"[..])));
    assert_eq!(log.header().sources[0].rel_path(), RelPath::parse("a/b").ok());
}

#[test]
fn the_same_command_finds_its_job_and_another_does_not() {
    let bench = Bench::new();
    let (one, two) = (header(1), header(2));
    drop(bench.begin(&one));
    let journal = bench.journal();

    assert_eq!(journal.find(&one.key).unwrap(), Some(one.job));
    assert_eq!(journal.find(&two.key).unwrap(), None);
    let again = JobHeader { job: JobId([9; 16]), ..one.clone() };
    assert_eq!(bench.resume(&again).job(), one.job);
}

#[test]
fn a_key_depends_on_every_part_of_the_command() {
    let zone = ZoneName::parse("in").unwrap();
    let source =
        |path: &str| vec![JournalSource::new(zone.clone(), &RelPath::parse(path).unwrap(), None)];
    let key = |kind, target: &str, path: &str, parts| {
        CommandKey::of(kind, target, &source(path), [("parts", parts)])
    };
    let keys = [
        key(JobKind::Spray, "t", "a", "1"),
        key(JobKind::Push, "t", "a", "1"),
        key(JobKind::Spray, "u", "a", "1"),
        key(JobKind::Spray, "t", "b", "1"),
        key(JobKind::Spray, "t", "a", "2"),
        CommandKey::of(JobKind::Spray, "t", &source("a"), []),
        CommandKey::of(JobKind::Spray, "t", &[], [("parts", "1")]),
    ];

    for (index, one) in keys.iter().enumerate() {
        assert!(!keys[..index].contains(one), "key {index} is not its own");
    }
    let mut changed = source("a");
    changed[0].fingerprint = header(1).sources[0].fingerprint;
    let same = CommandKey::of(JobKind::Spray, "t", &changed, [("parts", "1")]);
    assert_eq!(same, keys[0], "a changed source is the same command");
}

#[test]
fn a_second_process_cannot_work_on_the_same_job() {
    let bench = Bench::new();
    let header = header(1);
    let log = bench.begin(&header);

    let busy = bench.journal().begin(&header).unwrap_err();
    assert!(matches!(busy, JournalError::Busy { job } if job == header.job), "{busy}");
    assert_eq!((busy.exit(), busy.code().as_ref()), (Exit::Temporary, "job-busy"));
    let running = |journal: Journal| journal.list().unwrap()[0].running;
    assert!(running(bench.journal()));
    drop(log);
    assert!(!running(bench.journal()));
    assert_eq!(bench.journal().resume(header.job).unwrap().job(), header.job);
}

#[test]
fn a_torn_last_record_is_cut_off_and_written_again() {
    let bench = Bench::new();
    let header = header(1);
    let mut log = bench.begin(&header);
    log.keep(b"one").unwrap();
    let whole = bench.raw(&header).metadata().unwrap().len;
    log.keep(&[7; 100]).unwrap();
    let longest = bench.raw(&header).metadata().unwrap().len;
    drop(log);
    for length in whole..longest {
        let file = bench.raw(&header);
        file.set_len(length).unwrap();
        file.sync_all().unwrap();
        let mut log = bench.resume(&header);
        assert_eq!(log.checkpoint(), Some(&b"one"[..]), "cut to {length}");
        assert_eq!(bench.raw(&header).metadata().unwrap().len, whole);
        log.keep(&[7; 100]).unwrap();
    }
    let file = bench.raw(&header);
    file.write_all_at(&[6], longest - 1).unwrap();
    file.write_all_at(&[0; 64], longest).unwrap();
    file.sync_all().unwrap();
    assert_eq!(bench.resume(&header).checkpoint(), Some(&b"one"[..]), "damaged, then zeros");
}

#[test]
fn a_damaged_header_is_reported_and_stands_in_nobodys_way() {
    let bench = Bench::new();
    let (damaged, other) = (header(1), header(2));
    drop(bench.begin(&damaged));
    let file = bench.raw(&damaged);
    file.write_all_at(&[0xff], 12).unwrap();
    file.sync_all().unwrap();
    let journal = bench.journal();

    assert_eq!(journal.list().unwrap()[0].header, Err(Damage::Header));
    let error = journal.resume(damaged.job).unwrap_err();
    assert_eq!(error.to_string(), format!("journal of job {} cannot be read", damaged.job));
    drop(bench.begin(&other));
    let fresh = JobHeader { job: JobId([3; 16]), ..damaged };
    assert_eq!(bench.begin(&fresh).job(), fresh.job);
    let unknown = journal.resume(JobId([8; 16])).unwrap_err();
    assert_eq!(unknown.code(), "job-unknown");
}

#[test]
fn the_file_stays_small_however_often_something_is_kept() {
    let bench = Bench::new();
    let header = header(1);
    let mut log = bench.begin(&header);
    for number in 0..40u8 {
        log.keep(&vec![number; 300_000]).unwrap();
        assert!(bench.raw(&header).metadata().unwrap().len <= 4 << 20);
    }
    drop(log);

    let mut log = bench.resume(&header);
    assert_eq!(log.checkpoint(), Some(&vec![39; 300_000][..]));
    log.keep(&vec![40; 2_000_000]).unwrap();
    drop(log);
    assert_eq!(bench.resume(&header).checkpoint(), Some(&vec![40; 2_000_000][..]));
}

#[test]
fn a_record_has_a_limit() {
    let bench = Bench::new();
    let mut log = bench.begin(&header(1));
    log.keep(b"one").unwrap();

    let error = log.keep(&vec![0; RECORD_BYTES_MAX]).unwrap_err();
    assert!(matches!(error, JournalError::RecordTooLong { .. }), "{error}");
    assert_eq!(error.exit(), Exit::Limit);
    log.keep(b"two").unwrap();
    assert_eq!(log.checkpoint(), Some(&b"two"[..]));
}

#[test]
fn after_a_failed_write_or_sync_the_next_one_succeeds() {
    let bench = Bench::new();
    let header = header(1);
    let mut log = bench.begin(&header);
    log.keep(b"one").unwrap();
    for (op, fault) in
        [(Op::Write, Fault::NoSpace), (Op::SyncData, Fault::Io), (Op::SyncDir, Fault::Io)]
    {
        bench.tree.fail_next(op, fault);
        let failed = log.keep(b"lost").is_err();
        log.keep(b"kept").unwrap();
        assert!(failed || op == Op::SyncDir, "{op}");
    }
    drop(log);

    assert_eq!(bench.resume(&header).checkpoint(), Some(&b"kept"[..]));
}

#[test]
fn a_job_that_ends_is_gone_and_leaves_a_line() {
    let bench = Bench::new();
    let (one, two) = (header(1), header(2));
    let log = bench.begin(&one);
    bench.journal().finish(log, &ended(Outcome::Committed)).unwrap();
    let log = bench.begin(&two);
    let failed = Ended { detail: Some("x".repeat(5000)), wuid: None, ..ended(Outcome::Failed) };
    bench.journal().finish(log, &failed).unwrap();
    bench.tree.crash();
    let journal = bench.journal();

    assert_eq!(journal.list().unwrap().len(), 0);
    assert_eq!(bench.lock_files(), 1, "only the lock of the journal itself is left");
    let lines = journal.recent(10).unwrap();
    assert_eq!(lines.len(), 2);
    assert_eq!(
        lines[1],
        serde_json::json!({
            "schema": 1, "job": "01".repeat(16), "kind": "spray", "target": "lake:a::1",
            "opened_ms": 1_700_000_000_000i64, "outcome": "committed",
            "ended_ms": 1_700_000_001_000i64, "wuid": "D20240101-000000-1", "bytes": 10,
            "detail": null,
        })
    );
    assert_eq!(lines[0]["outcome"], "failed");
    assert_eq!(lines[0]["detail"].as_str().map(str::len), Some(1024));
    assert_eq!(journal.recent(1).unwrap(), lines[..1]);
}

#[test]
fn half_a_line_is_cut_off_and_a_long_history_is_begun_anew() {
    let bench = Bench::new();
    let finish = |number| {
        let log = bench.begin(&header(number));
        bench.journal().finish(log, &ended(Outcome::Committed)).unwrap();
    };
    finish(1);
    let path = RelPath::parse("history.jsonl").unwrap();
    let file = bench.tree.open_write(&path, Caching::Buffered).unwrap();
    let length = file.metadata().unwrap().len;
    file.write_all_at(b"{\"half", length).unwrap();
    finish(2);
    assert_eq!(bench.journal().recent(10).unwrap().len(), 2);
    assert_eq!(file.metadata().unwrap().len, length * 2);

    file.write_all_at(&vec![b'\n'; 4 << 20], length * 2).unwrap();
    finish(3);
    finish(4);
    let jobs = bench.journal().recent(3).unwrap();
    let jobs = jobs.iter().map(|line| line["target"].as_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(jobs, ["lake:a::4", "lake:a::3", "lake:a::2"]);
}

/// Runs begin, three checkpoints and finish, and says how far it got.
fn run(bench: &Bench, header: &JobHeader) -> (bool, Option<u8>, bool) {
    let mut reached = (false, None, false);
    let tree: Arc<dyn Tree> = Arc::new(bench.tree.clone());
    let Ok(journal) = Journal::with_tree(tree, bench.locks.path().join("locks")) else {
        return reached;
    };
    let Ok(Begun::New(mut log)) = journal.begin(header) else { return reached };
    reached.0 = true;
    for number in 1..=3 {
        if log.keep(&[number; 700]).is_err() {
            return reached;
        }
        reached.1 = Some(number);
    }
    reached.2 = journal.finish(log, &ended(Outcome::Committed)).is_ok();
    reached
}

#[test]
fn wherever_the_power_fails_nothing_that_was_promised_is_lost() {
    let all = Bench::new();
    assert_eq!(run(&all, &header(1)), (true, Some(3), true));
    for cut in 0..all.tree.operations() {
        let bench = Bench::new();
        let header = header(1);
        bench.tree.cut_power_after(cut);
        let (begun, kept, finished) = run(&bench, &header);
        bench.tree.crash_torn(cut);
        let journal = bench.journal();
        let open = journal.find(&header.key).unwrap();

        assert!(!(finished && open.is_some()), "cut after {cut}: a finished job is open");
        if begun && !finished && kept < Some(3) {
            assert_eq!(open, Some(header.job), "cut after {cut}: a job is lost");
        }
        if let Some(job) = open {
            let log = journal.resume(job).unwrap();
            assert_eq!(*log.header(), header);
            let found = log.checkpoint().map(|state| state[0]);
            assert!(found >= kept, "cut after {cut}: {kept:?} was kept, {found:?} found");
        } else if kept == Some(3) {
            assert_eq!(journal.recent(10).unwrap().len(), 1, "cut after {cut}: no line");
        }
        drop(bench.journal().begin(&header).unwrap());
        let names = bench.tree.read_dir(&jobs_dir(), None, 10).unwrap();
        assert_eq!(names.len(), 1, "cut after {cut}: {names:?}");
    }
}

/// Journals with these bytes exist. If this test fails, change the code, not the bytes.
#[test]
fn a_journal_keeps_its_released_bytes() {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let header = JobHeader { key: CommandKey([0xcc; 32]), ..header(1) };
    let encoded = record::encode_header(&header).unwrap();

    assert_eq!(
        hex(&encoded),
        concat!(
            "5200000088e9962d00014f0101010101010101010101010101010100cccccccccccccccccccccccc",
            "cccccccccccccccccccccccccccccccccccccccc096c616b653a613a3a310102696e03612f620101",
            "0203080a80a0abfef962",
        )
    );
    assert_eq!(hex(&record::encode_checkpoint(b"one").unwrap()), "050000005c88660601036f6e65");
    assert_eq!(
        hex(&CommandKey::of(JobKind::Pull, "lake:a", &header.sources, [("parts", "4")]).0),
        "82134891893e7ea721464a793339d49f674a382c2b23ed8fbc794cadcea5f3bd"
    );
}

#[test]
fn a_real_directory_serves_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).unwrap();
    let header = header(1);
    let Begun::New(mut log) = journal.begin(&header).unwrap() else { panic!("nothing was open") };
    log.keep(b"one").unwrap();
    drop(log);
    let log = Journal::open(dir.path()).unwrap().resume(header.job).unwrap();
    assert_eq!(log.checkpoint(), Some(&b"one"[..]));
    journal.finish(log, &ended(Outcome::Aborted)).unwrap();
    assert_eq!(journal.recent(1).unwrap()[0]["outcome"], "aborted");

    let missing = Journal::open(&dir.path().join("none")).unwrap_err();
    assert_eq!(missing.to_string(), "state directory cannot be opened");
}
