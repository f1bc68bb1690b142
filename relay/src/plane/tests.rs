//! What every file plane must do, on a real directory and on one that crashes, fills up and fails.

use super::*;
use skyspray_link::seam::files::{Cause, Fault, FileKind, MemoryTree, Op, Replace};
use skyspray_wire::digest::Digest;
use skyspray_wire::ids::PartIndex;
use skyspray_wire::refusal::RefusalCode;
use std::cell::RefCell;

mod crash;
mod epochs;

const JOB: JobId = JobId([7; 16]);
const OTHER: JobId = JobId([8; 16]);
const ROOM: u64 = 1 << 30;

fn path(text: &str) -> RelPath {
    if text.is_empty() { RelPath::root() } else { RelPath::parse(text).unwrap() }
}

fn target(job: JobId, part: u32, to: &str) -> PartTarget {
    PartTarget::try_new(job, PartIndex(part), path(to)).unwrap()
}

fn finish_of(target: &PartTarget, length: u64, replace: Replace) -> Finish {
    Finish { target: target.clone(), length, replace, staged: None, settled: false, upload: None }
}

fn memory() -> (MemoryTree, Plane) {
    let tree = MemoryTree::new(ROOM);
    (tree.clone(), Plane::File(FilePlane::new(Arc::new(tree))))
}

/// Runs `check` on an empty plane of each kind.
fn on_both(check: impl Fn(&Plane)) {
    check(&memory().1);
    let directory = tempfile::tempdir().unwrap();
    check(&Plane::open_directory(directory.path()).unwrap());
}

/// Stages `bytes` for `target` and makes them durable.
fn stage(plane: &Plane, target: &PartTarget, bytes: &[u8]) {
    let staged = plane.begin(target, Some(bytes.len() as u64)).unwrap();
    staged.write_at(bytes, 0).unwrap();
    staged.sync().unwrap();
}

fn store(plane: &Plane, to: &str, bytes: &[u8]) {
    let target = target(JOB, 0, to);
    stage(plane, &target, bytes);
    let length = bytes.len() as u64;
    let outcome = plane.finish(&[finish_of(&target, length, Replace::Existing)]);
    assert_eq!(outcome, [Ok(Finished::Renamed)]);
}

fn content(plane: &Plane, at: &str) -> Vec<u8> {
    let file = plane.open(&path(at)).unwrap();
    let mut bytes = vec![0; file.stat().unwrap().length as usize + 1];
    let read = file.read_at(&mut bytes, 0).unwrap();
    bytes.truncate(read);
    bytes
}

fn names(plane: &Plane, directory: &str) -> Vec<String> {
    let listed = plane.list(&path(directory), None, 1000).unwrap();
    listed.into_iter().map(|file| file.path.to_string()).collect()
}

#[test]
fn a_part_written_out_of_order_is_visible_only_after_it_is_finished() {
    on_both(|plane| {
        let target = target(JOB, 1, "a/b/orders._2_of_4");
        let staged = plane.begin(&target, None).unwrap();
        staged.write_at(b"world", 6).unwrap();
        staged.write_at(b"hello ", 0).unwrap();
        staged.sync().unwrap();
        let missing = PlaneError::Missing { path: target.path().clone() };
        assert_eq!(plane.stat(target.path()), Err(missing));
        assert_eq!(names(plane, ""), [""; 0]);

        let staged = Some(Arc::new(staged));
        let part = Finish {
            target: target.clone(),
            length: 11,
            replace: Replace::Never,
            staged,
            settled: false,
            upload: None,
        };
        assert_eq!(plane.finish(std::slice::from_ref(&part)), [Ok(Finished::Renamed)]);

        assert_eq!(content(plane, "a/b/orders._2_of_4"), b"hello world");
        assert_eq!(names(plane, ""), ["a/b/orders._2_of_4"]);
        assert_eq!(plane.finish(&[part]), [Ok(Finished::Found)]);
    });
}

#[test]
fn a_part_is_continued_through_another_handle_and_begun_anew_when_asked() {
    on_both(|plane| {
        let target = target(JOB, 0, "x");
        assert!(plane.resume(&target, None).unwrap().is_none());
        stage(plane, &target, b"first.");

        let staged = plane.resume(&target, None).unwrap().unwrap();
        staged.write_at(b"second", 6).unwrap();
        assert_eq!(plane.sync(&[&staged]), [Ok(())]);
        let finish = finish_of(&target, 12, Replace::Never);
        assert_eq!(plane.finish(std::slice::from_ref(&finish)), [Ok(Finished::Renamed)]);
        assert_eq!(content(plane, "x"), b"first.second");

        stage(plane, &target, b"another attempt");
        stage(plane, &target, b"new");
        assert_eq!(
            plane.finish(&[finish_of(&target, 15, Replace::Existing)]),
            [Err(PlaneError::Short { path: path("x"), expected: 15, found: 3 })]
        );
        let finish = finish_of(&target, 3, Replace::Existing);
        assert_eq!(plane.finish(&[finish]), [Ok(Finished::Renamed)]);
        assert_eq!(content(plane, "x"), b"new");
    });
}

#[test]
fn a_taken_name_is_replaced_only_when_asked() {
    on_both(|plane| {
        store(plane, "d/x", b"old");
        let target = target(OTHER, 0, "d/x");
        stage(plane, &target, b"newer");

        let outcome = plane.finish(&[finish_of(&target, 5, Replace::Never)]);
        assert_eq!(outcome, [Err(PlaneError::Exists { path: path("d/x") })]);
        assert_eq!(content(plane, "d/x"), b"old");

        let outcome = plane.finish(&[finish_of(&target, 5, Replace::Existing)]);
        assert_eq!(outcome, [Ok(Finished::Renamed)]);
        assert_eq!(content(plane, "d/x"), b"newer");
    });
}

#[test]
fn room_set_aside_beyond_the_end_is_given_back() {
    on_both(|plane| {
        let target = target(JOB, 0, "x");
        let staged = plane.begin(&target, Some(3 << 20)).unwrap();
        staged.write_at(b"short", 0).unwrap();
        staged.sync().unwrap();

        let outcome = plane.finish(&[finish_of(&target, 5, Replace::Never)]);

        assert_eq!(outcome, [Ok(Finished::Renamed)]);
        assert_eq!(content(plane, "x"), b"short");
    });
}

#[test]
fn an_empty_part_needs_nothing_staged() {
    on_both(|plane| {
        let target = target(JOB, 2, "s/empty._3_of_3");

        let first = plane.finish(&[finish_of(&target, 0, Replace::Never)]);
        let second = plane.finish(&[finish_of(&target, 0, Replace::Never)]);

        assert_eq!((first, second), (vec![Ok(Finished::Renamed)], vec![Ok(Finished::Found)]));
        assert_eq!(content(plane, "s/empty._3_of_3"), b"");
    });
}

#[test]
fn a_part_whose_bytes_are_gone_is_not_finished() {
    on_both(|plane| {
        store(plane, "x", b"old");
        let target = target(OTHER, 0, "x");

        let outcome = plane.finish(&[finish_of(&target, 5, Replace::Existing)]);

        assert_eq!(outcome, [Err(PlaneError::Lost { path: path("x"), expected: 5 })]);
        assert_eq!(content(plane, "x"), b"old");
    });
}

#[test]
fn a_stored_part_is_private_to_owner_and_group_and_not_executable() {
    let directory = tempfile::tempdir().unwrap();
    let plane = Plane::open_directory(directory.path()).unwrap();
    store(&plane, "x", b"bytes");

    let metadata = std::fs::metadata(directory.path().join("x")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o7777, 0o640);
}

#[test]
fn a_name_under_a_file_and_a_name_of_a_directory_are_blocked() {
    on_both(|plane| {
        store(plane, "d/file", b"x");
        let below = target(OTHER, 0, "d/file/x");
        let blocked = |at, cause| PlaneError::Blocked { path: path(at), cause };
        assert_eq!(plane.begin(&below, None).unwrap_err(), blocked("d/file", Cause::NotDirectory));

        let over = target(OTHER, 0, "d");
        stage(plane, &over, b"x");
        let outcome = plane.finish(&[finish_of(&over, 1, Replace::Existing)]);
        assert_eq!(outcome, [Err(blocked("d", Cause::IsDirectory))]);
        assert_eq!(plane.open(&path("d")).unwrap_err(), blocked("d", Cause::IsDirectory));
        assert_eq!(plane.stat(&path("d")).unwrap_err(), blocked("d", Cause::IsDirectory));
    });
}

#[test]
fn many_small_files_share_the_syncs_of_their_directories() {
    let (tree, plane) = memory();
    let targets: Vec<_> = (0..20).map(|n| target(JOB, n, &format!("in/{}/f{n}", n % 2))).collect();
    let staged: Vec<_> =
        targets.iter().map(|target| plane.begin(target, Some(1)).unwrap()).collect();
    staged.iter().for_each(|staged| staged.write_at(b"x", 0).unwrap());

    let before = tree.operations();
    let all: Vec<&StagedPart> = staged.iter().collect();
    assert_eq!(plane.sync(&all), vec![Ok(()); 20]);
    assert_eq!(tree.operations() - before, 20 + 1, "a mode each, and one sync of everything");

    let parts: Vec<_> = targets
        .iter()
        .zip(staged)
        .map(|(target, staged)| Finish {
            staged: Some(Arc::new(staged)),
            ..finish_of(target, 1, Replace::Never)
        })
        .collect();
    tree.fail_after(Op::SyncDir, 2, Fault::Io);
    assert_eq!(plane.finish(&parts), vec![Ok(Finished::Renamed); 20]);
    tree.crash();
    assert_eq!(names(&plane, "").len(), 20);
}

#[test]
fn what_an_abort_leaves_is_an_empty_plane() {
    on_both(|plane| {
        let target = target(JOB, 0, "a/b/c/x");
        stage(plane, &target, b"x");

        plane.abort(&target, None).unwrap();
        plane.abort(&target, None).unwrap();

        assert!(plane.resume(&target, None).unwrap().is_none());
        let missing = PlaneError::Missing { path: path("a") };
        assert_eq!(plane.stat(&path("a")), Err(missing));
    });
}

#[test]
fn removing_a_file_removes_the_directories_it_leaves_empty() {
    on_both(|plane| {
        for name in ["a/b/1/x", "a/b/2/x", "a/y"] {
            store(plane, name, b"x");
        }

        let removed = plane.remove(&[path("a/b/1/x"), path("a/b/2/x"), path("a/b/3/x")]);

        assert_eq!(removed, [Ok(true), Ok(true), Ok(false)]);
        assert_eq!(names(plane, ""), ["a/y"]);
        let missing = PlaneError::Missing { path: path("a/b") };
        assert_eq!(plane.stat(&path("a/b")), Err(missing));
    });
}

#[test]
fn a_removed_file_stays_removed_after_a_crash() {
    let (tree, plane) = memory();
    store(&plane, "a/b/x", b"x");
    store(&plane, "a/y", b"y");

    assert_eq!(plane.remove(&[path("a/b/x")]), [Ok(true)]);
    tree.crash();

    assert_eq!(names(&plane, ""), ["a/y"]);
}

#[test]
fn a_list_goes_on_after_any_file_it_has_shown() {
    on_both(|plane| {
        let all = ["a", "b/c", "b/d/e", "b.d", "z/1", "z/2"];
        all.iter().for_each(|name| store(plane, name, name.as_bytes()));
        stage(plane, &target(OTHER, 0, "b/hidden"), b"x");
        assert_eq!(names(plane, ""), all);

        for limit in 1..=all.len() {
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let page = plane.list(&RelPath::root(), after.as_ref(), limit).unwrap();
                let Some(last) = page.last() else { break };
                after = Some(last.path.clone());
                seen.extend(page.into_iter().map(|file| (file.path.to_string(), file.stat.length)));
            }
            let expected: Vec<_> =
                all.iter().map(|name| ((*name).to_owned(), name.len() as u64)).collect();
            assert_eq!(seen, expected, "in pages of {limit}");
        }
    });
}

#[test]
fn a_list_of_a_directory_a_file_and_nothing() {
    on_both(|plane| {
        ["a/x", "b/x", "b/y", "c/x"].iter().for_each(|name| store(plane, name, b""));
        let list = |at: &str, after: &str| {
            let after = (!after.is_empty()).then(|| path(after));
            let page = plane.list(&path(at), after.as_ref(), 10).unwrap();
            page.into_iter().map(|file| file.path.to_string()).collect::<Vec<_>>()
        };

        assert_eq!(list("b", ""), ["b/x", "b/y"]);
        assert_eq!(list("b", "a/x"), ["b/x", "b/y"]);
        assert_eq!(list("b", "b/x"), ["b/y"]);
        assert_eq!(list("b", "b/w/gone"), ["b/x", "b/y"]);
        assert_eq!(list("b", "c/x"), [""; 0]);
        assert_eq!(list("b/y", ""), ["b/y"]);
        assert_eq!(list("b/y", "b/y"), [""; 0]);
        assert_eq!(list("b/y/z", ""), [""; 0]);
        assert_eq!(list("nowhere", ""), [""; 0]);
    });
}

#[test]
fn a_list_leaves_out_what_is_not_a_file() {
    let (tree, plane) = memory();
    store(&plane, "b", b"x");
    tree.plant(&path("a"), FileKind::Symlink).unwrap();
    tree.plant(&path("c"), FileKind::Fifo).unwrap();

    assert_eq!(names(&plane, ""), ["b"]);
}

/// I19 and F42.
#[test]
fn collecting_removes_staged_parts_of_dead_jobs_and_nothing_else() {
    on_both(|plane| {
        store(plane, "a/stored", b"x");
        stage(plane, &target(JOB, 0, "a/x"), b"live");
        stage(plane, &target(OTHER, 0, "a/x"), b"dead");
        stage(plane, &target(OTHER, 9, "only/dead/x"), b"dead too");
        let found = RefCell::new(Vec::new());
        let collect = |dry_run| {
            plane
                .collect(
                    &|job| job == JOB,
                    &mut |orphan| found.borrow_mut().push(orphan.clone()),
                    dry_run,
                )
                .unwrap()
        };

        let all = Collected { files: 2, bytes: 12, failed: 0 };
        assert_eq!(collect(true), all);
        assert_eq!(collect(false), all);
        assert_eq!(collect(false), Collected::default());

        let found = found.into_inner();
        let expected = [
            (OTHER, PartIndex(0), 4),
            (OTHER, PartIndex(9), 8),
            (OTHER, PartIndex(0), 4),
            (OTHER, PartIndex(9), 8),
        ];
        assert_eq!(found.iter().map(|o| (o.job, o.part, o.length)).collect::<Vec<_>>(), expected);
        assert!(plane.resume(&target(JOB, 0, "a/x"), None).unwrap().is_some());
        assert_eq!(names(plane, ""), ["a/stored"]);
        let missing = PlaneError::Missing { path: path("only") };
        assert_eq!(plane.stat(&path("only")), Err(missing));
    });
}

#[test]
fn an_orphan_that_cannot_be_removed_is_counted_and_the_others_go() {
    let (tree, plane) = memory();
    stage(&plane, &target(JOB, 0, "a/x"), b"1");
    stage(&plane, &target(JOB, 1, "b/x"), b"22");
    tree.fail_next(Op::RemoveFile, Fault::Denied);

    let collected = plane.collect(&|_| false, &mut |_| {}, false).unwrap();

    assert_eq!(collected, Collected { files: 1, bytes: 2, failed: 1 });
}

#[test]
fn a_probe_leaves_nothing_behind() {
    on_both(|plane| {
        assert!(plane.probe(JOB).unwrap().free_bytes.unwrap() > 0);

        assert_eq!(plane.collect(&|_| false, &mut |_| {}, true).unwrap(), Collected::default());
    });
}

#[test]
fn a_probe_names_the_step_that_failed() {
    for (op, expected) in [
        (Op::CreateNew, ProbeStep::Create),
        (Op::Write, ProbeStep::Write),
        (Op::SyncAll, ProbeStep::Sync),
        (Op::SyncDir, ProbeStep::Sync),
        (Op::Rename, ProbeStep::Rename),
        (Op::Read, ProbeStep::Read),
        (Op::RemoveFile, ProbeStep::Remove),
        (Op::FreeBytes, ProbeStep::Free),
    ] {
        let (tree, plane) = memory();
        tree.fail_next(op, Fault::Denied);

        let error = plane.probe(JOB).unwrap_err();

        assert!(
            matches!(&error, ProbeError::Failed { step, .. } if *step == expected),
            "{error:?}"
        );
        assert_eq!(plane.collect(&|_| false, &mut |_| {}, true).unwrap(), Collected::default());
    }
}

#[test]
fn a_refusal_tells_a_peer_nothing_about_the_host() {
    let (tree, plane) = memory();
    tree.fail_next(Op::CreateNew, Fault::Denied);

    let error = plane.begin(&target(JOB, 0, "s/x"), None).unwrap_err();

    assert_eq!(
        error.refusal(),
        skyspray_wire::refusal::Refusal::new(RefusalCode::PlaneUnavailable, "")
    );
    assert_eq!(error.to_string(), "the plane is not accessible");
}

#[test]
fn a_plane_that_is_not_there_is_not_opened() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("gone");

    let error = Plane::open_directory(&root).unwrap_err();

    assert!(matches!(error, RootError::Missing { root: found } if found == root));
}

/// A rename without replacing may be a link and an unlink; a crash between them leaves both names.
#[test]
fn a_part_that_has_both_names_is_finished_by_dropping_one() {
    for replace in [Replace::Never, Replace::Existing] {
        let directory = tempfile::tempdir().unwrap();
        let plane = Plane::open_directory(directory.path()).unwrap();
        let target = target(JOB, 0, "x");
        stage(&plane, &target, b"bytes");
        let staging = directory.path().join(target.staging().as_path());
        std::fs::hard_link(staging, directory.path().join("x")).unwrap();

        let outcome = plane.finish(&[finish_of(&target, 5, replace)]);

        assert_eq!(outcome, [Ok(Finished::Renamed)]);
        assert!(plane.resume(&target, None).unwrap().is_none());
        assert_eq!(content(&plane, "x"), b"bytes");
    }
}

/// Directories come and go under jobs that begin in them.
#[test]
fn parts_begin_while_others_remove_their_directories() {
    let directory = tempfile::tempdir().unwrap();
    let plane = Plane::open_directory(directory.path()).unwrap();
    std::thread::scope(|scope| {
        for job in 0..4u8 {
            let plane = &plane;
            scope.spawn(move || {
                let target = target(JobId([job; 16]), 0, "shared/dir/x");
                for _ in 0..200 {
                    plane.begin(&target, None).unwrap();
                    plane.abort(&target, None).unwrap();
                }
            });
        }
    });
    assert_eq!(names(&plane, ""), [""; 0]);
}
