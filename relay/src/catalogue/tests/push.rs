//! Pushes: files opened, committed and ended.

use super::*;
use skyspray_wire::receipt::ListDigest;
use skyspray_wire::refusal::{Refusal, RefusalCode};

each_engine! {
    files_are_visible_one_by_one_and_known_after_the_push;
    a_resumed_push_says_what_is_committed_and_what_is_held;
    a_file_that_may_not_be_written_does_not_hold_up_the_others;
    an_overwriting_push_replaces_files_but_never_parts;
    a_page_of_files_is_committed_whole_or_not_at_all;
    a_full_page_is_opened_held_and_committed_file_by_file;
    a_push_ends_with_a_receipt_over_its_committed_files;
    a_whole_push_leaves_nothing_to_collect_and_is_forgotten_in_pages;
    a_spray_is_not_a_push_and_a_push_not_a_spray;
    pushed_files_are_listed_below_their_directory_in_the_order_of_their_bytes;
}

fn file(name: &str, length: u64) -> NewFile {
    NewFile { path: path(name), length, modified_ns: 77 }
}

const FRESH: FileStanding = FileStanding::Open { tree: None };

fn refusal_code(standing: &FileStanding) -> RefusalCode {
    match standing {
        FileStanding::Refused(refusal) => refusal.code,
        other => panic!("not refused: {other:?}"),
    }
}

impl Bench {
    async fn add(&self, id: u8, epoch: Epoch, first: u32, files: &[NewFile]) -> Vec<FileStanding> {
        let lease = (job_id(id), epoch);
        self.catalogue.add_files(lease, PartIndex(first), files, T).await.unwrap()
    }

    /// Pushes one file with this content, ready to be committed as part 0.
    async fn pushed(&self, new: &NewJob, name: &str, content: &[u8]) {
        let opened = self.open(new, T).await.unwrap();
        let lease = (new.job, opened.epoch);
        let files = [file(name, content.len() as u64)];
        let standings = self.catalogue.add_files(lease, PartIndex(0), &files, T).await.unwrap();
        assert_eq!(standings, [FRESH]);
        self.catalogue.commit_files(lease, &[seal(0, content)], OPEN_GATE, T).await.unwrap();
    }
}

async fn files_are_visible_one_by_one_and_known_after_the_push(engine: Engine) {
    let bench = Bench::new(engine).await;
    let new = push_job(1);
    bench.pushed(&new, "in/a b.csv", b"hello").await;

    let stored = bench.catalogue.plane_file(&plane(), &path("in/a b.csv")).await.unwrap().unwrap();

    assert_eq!((stored.length, stored.digest), (5, Digest::of(b"hello")));
    assert_eq!((stored.modified_ns, stored.committed_ms), (77, T));
    assert_eq!((stored.job, stored.agent), (new.job, agent("edge-1")));
    assert_eq!(bench.job(&new).await.state, JobState::Open);
}

async fn a_resumed_push_says_what_is_committed_and_what_is_held(engine: Engine) {
    let mut bench = Bench::new(engine).await;
    let new = push_job(1);
    let epoch = bench.open(&new, T).await.unwrap().epoch;
    let files = [file("in/a", 3), file("in/b", 4), file("in/c", 5)];
    assert_eq!(bench.add(1, epoch, 0, &files).await, [FRESH, FRESH, FRESH]);
    let lease = (new.job, epoch);
    bench.catalogue.commit_files(lease, &[seal(0, b"aaa")], OPEN_GATE, T).await.unwrap();
    let progress = Progress {
        job: new.job,
        epoch,
        part: PartIndex(1),
        tree: b"tree".to_vec(),
        job_bytes: 4,
        pieces: Vec::new(),
    };
    bench.catalogue.record_progress(&[progress], T).await.unwrap();

    bench.crash().await;
    let epoch = bench.open(&new, T).await.unwrap().epoch;
    let standings = bench.add(1, epoch, 0, &files).await;

    let held = FileStanding::Open { tree: Some(b"tree".to_vec()) };
    assert_eq!(standings, [FileStanding::Committed, held, FRESH]);
    assert_eq!(bench.job(&new).await.parts, 3);
    let touched = NewFile { modified_ns: 78, ..file("in/b", 4) };
    assert_eq!(bench.add(1, epoch, 1, &[touched]).await, [FRESH]);
    let other = [file("in/z", 4)];
    let other = bench.catalogue.add_files((new.job, epoch), PartIndex(1), &other, T).await;
    assert!(matches!(other, Err(JobError::PartDiffers { part: PartIndex(1) })));
}

async fn a_file_that_may_not_be_written_does_not_hold_up_the_others(engine: Engine) {
    let bench = Bench::new(engine).await;
    bench.committed(&spray(1, "in::x"), T).await;
    bench.pushed(&push_job(2), "in/there", b"1").await;
    let theirs = NewJob { agent: agent("edge-2"), ..push_job(3) };
    let their_epoch = bench.open(&theirs, T).await.unwrap().epoch;
    bench.add(3, their_epoch, 0, &[file("in/theirs", 1)]).await;

    let epoch = bench.open(&push_job(4), T).await.unwrap().epoch;
    let files = ["in/x._1_of_2", "in/there", "in/theirs", "in/mine", "in/mine"];
    let standings = bench.add(4, epoch, 0, &files.map(|name| file(name, 1))).await;

    assert_eq!(refusal_code(&standings[0]), RefusalCode::PathBlocked);
    assert_eq!(standings[1], FileStanding::Refused(Refusal::new(RefusalCode::Exists, "in/there")));
    assert_eq!(refusal_code(&standings[2]), RefusalCode::TargetLeased);
    assert_eq!(standings[3], FRESH);
    assert_eq!(refusal_code(&standings[4]), RefusalCode::NameInvalid);
}

async fn an_overwriting_push_replaces_files_but_never_parts(engine: Engine) {
    let bench = Bench::new(engine).await;
    bench.committed(&spray(1, "in::x"), T).await;
    bench.pushed(&push_job(2), "in/there", b"old").await;

    let new = NewJob { overwrite: true, ..push_job(3) };
    bench.pushed(&new, "in/there", b"newer").await;
    let parts = bench.add(3, Epoch(1), 1, &[file("in/x._1_of_2", 1)]).await;

    let stored = bench.catalogue.plane_file(&plane(), &path("in/there")).await.unwrap().unwrap();
    assert_eq!((stored.length, stored.job), (5, new.job));
    assert_eq!(refusal_code(&parts[0]), RefusalCode::PathBlocked);
}

async fn a_page_of_files_is_committed_whole_or_not_at_all(engine: Engine) {
    let bench = Bench::new(engine).await;
    let epoch = bench.open(&push_job(1), T).await.unwrap().epoch;
    bench.add(1, epoch, 0, &[file("in/a", 1), file("in/b", 1)]).await;
    let commit = async |seals: &[PartSeal], gate| {
        bench.catalogue.commit_files((job_id(1), epoch), seals, gate, T).await
    };

    let unknown = commit(&[seal(0, b"a"), seal(2, b"c")], OPEN_GATE).await.unwrap_err();
    assert_eq!(unknown.to_string(), "part 3 is not one of the job's 2");
    let longer = commit(&[seal(0, b"a"), seal(1, b"bb")], OPEN_GATE).await.unwrap_err();
    assert!(matches!(longer, JobError::PartDiffers { part: PartIndex(1) }));
    let shut =
        Gate { allowed: &|_, _| Err(Refusal::new(RefusalCode::Forbidden, "in")), ..OPEN_GATE };
    let forbidden = commit(&[seal(0, b"a")], shut).await.unwrap_err();
    assert_eq!(forbidden.refusal().code, RefusalCode::Forbidden);
    assert_eq!(bench.catalogue.plane_file(&plane(), &path("in/a")).await.unwrap(), None);

    commit(&[seal(0, b"a"), seal(1, b"b")], OPEN_GATE).await.unwrap();
    let lines = bench.catalogue.verify_audit().await.unwrap().lines;
    commit(&[seal(0, b"a"), seal(1, b"b")], OPEN_GATE).await.unwrap();
    assert_eq!(bench.catalogue.verify_audit().await.unwrap().lines, lines);
    let changed = commit(&[seal(0, b"x")], OPEN_GATE).await.unwrap_err();
    assert!(matches!(changed, JobError::PartDiffers { part: PartIndex(0) }));
}

/// More files than one statement takes, and not a multiple of that.
async fn a_full_page_is_opened_held_and_committed_file_by_file(engine: Engine) {
    const FILES: u32 = 101;
    let mut bench = Bench::new(engine).await;
    bench.pushed(&push_job(2), "in/37", b"there").await;
    let epoch = bench.open(&push_job(1), T).await.unwrap().epoch;
    let named = |part: u32| file(&format!("in/{}", if part == 90 { 12 } else { part }), 7);
    let files: Vec<NewFile> = (0..FILES).map(named).collect();

    let standings = bench.add(1, epoch, 5, &files).await;

    for (part, standing) in standings.iter().enumerate() {
        match part {
            37 => assert_eq!(refusal_code(standing), RefusalCode::Exists),
            90 => assert_eq!(refusal_code(standing), RefusalCode::NameInvalid),
            _ => assert_eq!(*standing, FRESH, "{part}"),
        }
    }
    let tree = |part: u32| format!("tree {part}").into_bytes();
    let progress = |part: u32| Progress {
        job: job_id(1),
        epoch,
        part: PartIndex(5 + part),
        tree: tree(part),
        job_bytes: u64::from(part),
        pieces: Vec::new(),
    };
    let mut durable: Vec<Progress> = (50..90).map(progress).collect();
    durable.insert(0, Progress { tree: b"earlier".to_vec(), ..progress(60) });
    assert_eq!(bench.catalogue.record_progress(&durable, T).await.unwrap(), []);
    let content = |part: u32| format!("{part:07}").into_bytes();
    let seals: Vec<PartSeal> =
        (0..80).filter(|part| *part != 37).map(|part| seal(5 + part, &content(part))).collect();
    let lease = (job_id(1), epoch);
    bench.catalogue.commit_files(lease, &seals, OPEN_GATE, T).await.unwrap();

    bench.crash().await;
    let epoch = bench.open(&push_job(1), T).await.unwrap().epoch;
    let standings = bench.add(1, epoch, 5, &files).await;
    for (part, standing) in (0..).zip(&standings) {
        let held = FileStanding::Open { tree: Some(tree(part)) };
        match part {
            37 => assert_eq!(refusal_code(standing), RefusalCode::Exists),
            0..80 => assert_eq!(*standing, FileStanding::Committed, "{part}"),
            80..90 => assert_eq!(*standing, held, "{part}"),
            // Its name is taken by a file that is stored by now.
            90 => assert_eq!(refusal_code(standing), RefusalCode::Exists),
            _ => assert_eq!(*standing, FRESH, "{part}"),
        }
    }
    let stored = bench.catalogue.plane_file(&plane(), &path("in/79")).await.unwrap().unwrap();
    assert_eq!((stored.digest, stored.modified_ns), (Digest::of(&content(79)), 77));
    assert_eq!(bench.catalogue.plane_file(&plane(), &path("in/80")).await.unwrap(), None);
}

async fn a_push_ends_with_a_receipt_over_its_committed_files(engine: Engine) {
    let bench = Bench::new(engine).await;
    let new = push_job(1);
    let epoch = bench.open(&new, T).await.unwrap().epoch;
    bench.add(1, epoch, 0, &[file("in/a", 1), file("in/b", 2), file("in/c", 3)]).await;
    let lease = (new.job, epoch);
    let seals = [seal(2, b"ccc"), seal(0, b"a")];
    bench.catalogue.commit_files(lease, &seals, OPEN_GATE, T).await.unwrap();

    let done = bench.catalogue.finish_push(lease, OPEN_GATE, T + 5).await.unwrap();

    let mut list = ListDigest::default();
    list.push(1, &Digest::of(b"a"));
    list.push(3, &Digest::of(b"ccc"));
    let receipt = receipt(&done);
    assert_eq!((receipt.generation, receipt.parts, receipt.bytes), (None, 2, 4));
    assert_eq!((receipt.target.as_str(), receipt.content), ("in", list.finish()));
    let again = bench.catalogue.finish_push((new.job, Epoch(9)), OPEN_GATE, T + 9).await.unwrap();
    assert_eq!(again, done);
    let late = bench.catalogue.commit_files(lease, &[seal(1, b"bb")], OPEN_GATE, T).await;
    assert!(matches!(late, Err(JobError::State { state: JobState::Committed, .. })));
    let collect = bench.catalogue.jobs_to_collect(10).await.unwrap();
    assert_eq!(collect.len(), 1, "the file given up may be staged");
}

async fn a_whole_push_leaves_nothing_to_collect_and_is_forgotten_in_pages(engine: Engine) {
    let bench = Bench::new(engine).await;
    let new = push_job(1);
    let epoch = bench.open(&new, T).await.unwrap().epoch;
    let files: Vec<NewFile> = (0..25).map(|n| file(&format!("in/{n}"), 1)).collect();
    bench.add(1, epoch, 0, &files).await;
    let seals: Vec<PartSeal> = (0..25).map(|part| seal(part, b"x")).collect();
    let lease = (new.job, epoch);
    bench.catalogue.commit_files(lease, &seals, OPEN_GATE, T).await.unwrap();
    bench.catalogue.finish_push(lease, OPEN_GATE, T).await.unwrap();

    assert_eq!(bench.catalogue.jobs_to_collect(10).await.unwrap(), []);
    let mut forgotten = Vec::new();
    loop {
        match bench.catalogue.forget_litter(10).await.unwrap() {
            0 => break,
            rows => forgotten.push(rows),
        }
    }
    assert_eq!(forgotten, [10, 10, 5]);
}

async fn a_spray_is_not_a_push_and_a_push_not_a_spray(engine: Engine) {
    let bench = Bench::new(engine).await;
    let spray_epoch = bench.open(&spray(1, "a::x"), T).await.unwrap().epoch;
    let push_epoch = bench.open(&push_job(2), T).await.unwrap().epoch;
    let catalogue = &bench.catalogue;

    let files = catalogue.add_files((job_id(1), spray_epoch), PartIndex(0), &[], T).await;
    assert!(matches!(files, Err(JobError::Kind { .. })));
    let sealed = catalogue.seal_parts(job_id(2), push_epoch, &[], T).await;
    assert!(matches!(sealed, Err(JobError::Kind { .. })));
    let commit = catalogue.commit_spray(job_id(2), push_epoch, OPEN_GATE.sign, T).await;
    assert!(matches!(commit, Err(JobError::Kind { .. })));
    let unknown = catalogue.finish_push((job_id(9), Epoch(1)), OPEN_GATE, T).await.unwrap_err();
    assert_eq!(unknown.refusal().code, RefusalCode::JobUnknown);
}

async fn pushed_files_are_listed_below_their_directory_in_the_order_of_their_bytes(engine: Engine) {
    let bench = Bench::new(engine).await;
    let new = push_job(1);
    let epoch = bench.open(&new, T).await.unwrap().epoch;
    let names = ["in/b", "in/a/z", "in2/x", "in/a b", "in", "in/a/\u{e4}"];
    bench.add(1, epoch, 0, &names.map(|name| file(name, 1))).await;
    let list = async |directory: &str, after: &str, limit| {
        let directory = path(directory);
        let page = bench.catalogue.list_plane_files(&plane(), &directory, after, limit).await;
        page.unwrap().iter().map(|file| file.path.to_string()).collect::<Vec<_>>()
    };
    let lease = (new.job, epoch);
    for part in [0, 1, 2, 3, 5] {
        bench.catalogue.commit_files(lease, &[seal(part, b"x")], OPEN_GATE, T).await.unwrap();
    }

    assert_eq!(list("in", "", 10).await, ["in/a b", "in/a/z", "in/a/\u{e4}", "in/b"]);
    assert_eq!(list("in", "in/a b", 1).await, ["in/a/z"]);
    assert_eq!(list("in/a", "", 10).await, ["in/a/z", "in/a/\u{e4}"]);
    assert_eq!(list("", "in/b", 10).await, ["in2/x"]);
    bench.catalogue.commit_files(lease, &[seal(4, b"x")], OPEN_GATE, T).await.unwrap();
    assert_eq!(list("in", "", 10).await, ["in"]);
    assert!(bench.catalogue.is_referenced(&plane(), "in/b").await.unwrap());
    assert!(!bench.catalogue.is_referenced(&plane(), "in/c").await.unwrap());
}
