//! A file plane whose host dies, whose disk fills up and whose syncs fail (F24 to F26, I1 to I4).

use super::*;

/// I1, I2, I3 and F7: whatever step the host dies in, the name shows all of the old or all of the
/// new, and finishing again leads to the new.
#[test]
fn a_crash_between_any_two_steps_of_finish_is_continued() {
    for (replace, old) in [(Replace::Never, None), (Replace::Existing, Some(b"old".as_slice()))] {
        for steps in 0.. {
            let (tree, plane) = memory();
            if let Some(old) = old {
                store(&plane, "s/x", old);
            }
            let target = target(OTHER, 0, "s/x");
            stage(&plane, &target, b"new bytes");
            tree.cut_power_after(steps);
            let finish = finish_of(&target, 9, replace);
            let first = plane.finish(std::slice::from_ref(&finish)).remove(0);
            if steps % 2 == 0 {
                tree.crash()
            } else {
                tree.crash_torn(steps)
            }

            let seen = plane.open(target.path()).ok().map(|_| content(&plane, "s/x"));
            assert!(
                seen.as_deref() == Some(b"new bytes") || first.is_err() && seen.as_deref() == old,
                "after {steps} steps: {first:?} {seen:?}"
            );
            let again = plane.finish(&[finish]).remove(0).unwrap();
            let visible = seen.as_deref() == Some(b"new bytes");
            assert_eq!(again, if visible { Finished::Found } else { Finished::Renamed });
            tree.crash();
            assert_eq!(content(&plane, "s/x"), b"new bytes");
            if first.is_ok() {
                break;
            }
        }
    }
}

/// I4: what was synced can be continued after the host died.
#[test]
fn what_was_synced_survives_a_crash_and_what_was_not_does_not_count() {
    let (tree, plane) = memory();
    let target = target(JOB, 0, "deep/er/x");
    let staged = plane.begin(&target, None).unwrap();
    staged.write_at(b"durable", 0).unwrap();
    staged.sync().unwrap();
    staged.write_at(b" and not", 7).unwrap();

    tree.crash();

    let staged = plane.resume(&target, None).unwrap().unwrap();
    staged.write_at(b" again", 7).unwrap();
    staged.sync().unwrap();
    let outcome = plane.finish(&[finish_of(&target, 13, Replace::Never)]);
    assert_eq!(outcome, [Ok(Finished::Renamed)]);
    assert_eq!(content(&plane, "deep/er/x"), b"durable again");
}

#[test]
fn a_staging_name_that_was_never_synced_is_gone_after_a_crash() {
    let (tree, plane) = memory();
    let target = target(JOB, 0, "x");
    let staged = plane.begin(&target, None).unwrap();
    staged.write_at(b"x", 0).unwrap();

    tree.crash();

    assert!(plane.resume(&target, None).unwrap().is_none());
}

/// F24, at each place where a disk can turn out to be full.
#[test]
fn a_full_plane_says_so_and_keeps_nothing_of_the_part() {
    for op in [Op::Write, Op::SyncData] {
        let (tree, plane) = memory();
        let target = target(JOB, 0, "s/x");
        let staged = plane.begin(&target, None).unwrap();
        tree.fail_next(op, Fault::NoSpace);

        let error = staged.write_at(b"x", 0).and_then(|()| staged.sync()).unwrap_err();

        assert!(matches!(&error, PlaneError::Full { source } if source.op == op), "{error:?}");
        assert_eq!(error.refusal().code, RefusalCode::PlaneFull);
        assert!(plane.resume(&target, None).unwrap().is_none());
        let spent = PlaneError::Abandoned { path: path("s/x"), source: None };
        assert_eq!(staged.write_at(b"x", 0), Err(spent));
    }
    for op in [Op::SyncAll, Op::Rename] {
        let (tree, plane) = memory();
        let target = target(JOB, 0, "s/x");
        stage(&plane, &target, b"x");
        tree.fail_next(op, Fault::NoSpace);

        let outcome = plane.finish(&[finish_of(&target, 1, Replace::Never)]).remove(0);

        assert!(matches!(&outcome, Err(PlaneError::Full { source }) if source.op == op));
        assert!(plane.resume(&target, None).unwrap().is_none());
    }
}

#[test]
fn a_part_that_cannot_fit_is_refused_before_its_first_byte() {
    let tree = MemoryTree::new(4 << 20);
    let plane = Plane::File(FilePlane::new(Arc::new(tree.clone())));
    let target = target(JOB, 0, "x");

    let error = plane.begin(&target, Some(5 << 20)).unwrap_err();

    assert!(matches!(&error, PlaneError::Full { source } if source.op == Op::Allocate));
    assert!(plane.resume(&target, None).unwrap().is_none());
    assert_eq!(plane.free_bytes(), Ok(Some(4 << 20)));
}

/// F25.
#[test]
fn a_failed_sync_abandons_the_part_for_good() {
    let (tree, plane) = memory();
    let target = target(JOB, 0, "x");
    let staged = plane.begin(&target, None).unwrap();
    staged.write_at(b"x", 0).unwrap();
    tree.fail_next(Op::SyncData, Fault::Io);

    let error = staged.sync().unwrap_err();

    assert!(
        matches!(&error, PlaneError::Abandoned { source: Some(source), .. } if source.op == Op::SyncData)
    );
    assert_eq!(error.refusal().code, RefusalCode::PlaneUnavailable);
    let spent = PlaneError::Abandoned { path: path("x"), source: None };
    assert_eq!(staged.sync(), Err(spent.clone()));
    assert!(plane.resume(&target, None).unwrap().is_none());
    let part = Finish { staged: Some(Arc::new(staged)), ..finish_of(&target, 1, Replace::Never) };
    assert_eq!(plane.finish(&[part]), [Err(spent)]);
}

#[test]
fn abandoning_a_part_leaves_the_next_attempt_at_it_alone() {
    let (tree, plane) = memory();
    let target = target(JOB, 0, "x");
    let first = plane.begin(&target, None).unwrap();
    let second = plane.begin(&target, None).unwrap();
    second.write_at(b"second", 0).unwrap();
    second.sync().unwrap();
    tree.fail_next(Op::SyncData, Fault::Io);

    let error = first.sync().unwrap_err();
    assert!(matches!(error, PlaneError::Abandoned { source: Some(_), .. }), "{error:?}");

    let outcome = plane.finish(&[finish_of(&target, 6, Replace::Never)]);
    assert_eq!(outcome, [Ok(Finished::Renamed)]);
    assert_eq!(content(&plane, "x"), b"second");
}

#[test]
fn a_failed_sync_of_a_directory_abandons_the_parts_it_was_to_name_and_no_others() {
    let (tree, plane) = memory();
    let (in_a, in_b) = (target(JOB, 0, "a/x"), target(JOB, 1, "b/x"));
    let a = plane.begin(&in_a, None).unwrap();
    let b = plane.begin(&in_b, None).unwrap();
    tree.fail_next(Op::SyncDir, Fault::Io);

    let outcomes = plane.sync(&[&a, &b]);

    assert!(
        matches!(&outcomes[0], Err(PlaneError::Abandoned { path: at, .. }) if *at == path("a/x"))
    );
    assert_eq!(outcomes[1], Ok(()));
}

/// F26.
#[test]
fn a_failed_sync_of_the_directory_after_the_rename_leaves_the_outcome_open() {
    let (tree, plane) = memory();
    let target = target(JOB, 0, "s/x");
    stage(&plane, &target, b"bytes");
    tree.fail_next(Op::SyncDir, Fault::Io);
    let finish = finish_of(&target, 5, Replace::Never);

    let first = plane.finish(std::slice::from_ref(&finish)).remove(0);

    assert!(matches!(&first, Err(PlaneError::Io { source }) if source.op == Op::SyncDir));
    assert_eq!(plane.finish(&[finish]), [Ok(Finished::Found)]);
    let measured = plane.open(&path("s/x")).unwrap().measure().unwrap();
    let digest = Digest::of(b"bytes");
    assert_eq!(measured, Measured { length: 5, digest, crc32: crc32fast::hash(b"bytes") });
}

/// A page of small files, each written in one piece, and what is written.
fn page_of_files(plane: &Plane) -> Vec<(PartTarget, StagedPart, Vec<u8>)> {
    let one = |number: u32| {
        let target = target(JOB, number, &format!("in/{}/f{number}", number % 2));
        let bytes = format!("content of {number}").into_bytes();
        let staged = plane.begin(&target, Some(bytes.len() as u64)).unwrap();
        staged.write_at(&bytes, 0).unwrap();
        (target, staged, bytes)
    };
    (0..12).map(one).collect()
}

/// What the sink makes of files that are settled: their handles are gone.
fn settled_finishes(files: Vec<(PartTarget, StagedPart, Vec<u8>)>) -> Vec<(Finish, Vec<u8>)> {
    let settled = |(target, staged, bytes): (PartTarget, StagedPart, Vec<u8>)| {
        assert!(staged.is_settled(), "{}", target.path());
        let finish = finish_of(&target, bytes.len() as u64, Replace::Never);
        (Finish { settled: true, ..finish }, bytes)
    };
    files.into_iter().map(settled).collect()
}

/// I4: what a sync of everything says is durable is, whatever step the host dies in.
#[test]
fn a_crash_around_the_sync_of_a_page_loses_nothing_that_was_said_to_be_durable() {
    for steps in 0.. {
        let (tree, plane) = memory();
        let files = page_of_files(&plane);
        let parts: Vec<&StagedPart> = files.iter().map(|(_, staged, _)| staged).collect();
        tree.cut_power_after(steps);
        let outcomes = plane.sync(&parts);
        tree.crash_torn(steps);

        let synced = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        for ((target, _, bytes), outcome) in files.iter().zip(&outcomes) {
            if outcome.is_ok() {
                let part = finish_of(target, bytes.len() as u64, Replace::Never);
                assert_eq!(plane.finish(&[part]), [Ok(Finished::Renamed)]);
                assert_eq!(content(&plane, &target.path().to_string()), *bytes);
            }
        }
        if synced == files.len() {
            break;
        }
        assert_eq!(synced, 0, "one sync is for all, after {steps} steps");
    }
}

/// I1, I3: settled files need only their names; a crash between any two of them leaves whole files
/// or none, and finishing again leads to all of them.
#[test]
fn a_crash_while_a_page_takes_its_places_is_continued() {
    for steps in 0.. {
        let (tree, plane) = memory();
        let files = page_of_files(&plane);
        let parts: Vec<&StagedPart> = files.iter().map(|(_, staged, _)| staged).collect();
        assert!(plane.sync(&parts).iter().all(Result::is_ok));
        let page = settled_finishes(files);
        let finishes: Vec<Finish> = page.iter().map(|(finish, _)| finish.clone()).collect();
        let before = tree.operations();
        tree.cut_power_after(steps);
        let first = plane.finish(&finishes);
        let operations = tree.operations() - before;
        if steps % 2 == 0 {
            tree.crash()
        } else {
            tree.crash_torn(steps)
        }

        for ((finish, bytes), outcome) in page.iter().zip(&first) {
            let at = finish.target.path().to_string();
            let visible = plane.open(finish.target.path()).is_ok();
            assert!(visible || outcome.is_err(), "{at} is lost after {steps} steps");
            assert!(!visible || content(&plane, &at) == *bytes, "{at} after {steps} steps");
            // Whoever continues knows nothing of what was settled.
            let again = Finish { settled: false, ..finish.clone() };
            let again = plane.finish(&[again]).remove(0).unwrap();
            assert_eq!(again, if visible { Finished::Found } else { Finished::Renamed });
        }
        tree.crash();
        for (finish, bytes) in &page {
            assert_eq!(content(&plane, &finish.target.path().to_string()), *bytes);
        }
        if first.iter().all(Result::is_ok) {
            assert_eq!(operations, 12 + 2, "a rename each, a sync for each directory");
            break;
        }
    }
}

/// F25, of one file among many: a sync of everything that fails is not believed, and each file says
/// itself whether it is lost.
#[test]
fn after_a_failed_sync_of_everything_each_file_answers_for_itself() {
    let (tree, plane) = memory();
    let files = page_of_files(&plane);
    let parts: Vec<&StagedPart> = files.iter().map(|(_, staged, _)| staged).collect();
    tree.fail_next(Op::SyncTree, Fault::Io);
    tree.fail_after(Op::SyncAll, 4, Fault::Io);

    let outcomes = plane.sync(&parts);

    for (number, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Err(PlaneError::Abandoned { source: Some(_), .. }) => assert_eq!(number, 4),
            other => assert_eq!(other, &Ok(()), "file {number}"),
        }
    }
    tree.crash();
    let named = |(target, _, bytes): &(PartTarget, StagedPart, Vec<u8>)| {
        plane.finish(&[finish_of(target, bytes.len() as u64, Replace::Never)]).remove(0)
    };
    assert!(matches!(named(&files[4]), Err(PlaneError::Lost { .. })));
    assert_eq!(named(&files[5]), Ok(Finished::Renamed));
}

#[test]
fn a_settled_file_that_is_written_again_is_not_settled() {
    let (_, plane) = memory();
    let target = target(JOB, 0, "x");
    let staged = plane.begin(&target, Some(3)).unwrap();
    staged.write_at(b"abc", 0).unwrap();
    assert!(!staged.is_settled(), "nothing was synced");
    staged.sync().unwrap();
    assert!(staged.is_settled());

    staged.write_at(b"abc", 0).unwrap();
    assert!(!staged.is_settled(), "the second write is not synced");
    staged.sync().unwrap();
    assert!(!staged.is_settled(), "nobody knows whether it was the last one");

    let other = plane.begin(&target, Some(4)).unwrap();
    other.write_at(b"abc", 0).unwrap();
    other.sync().unwrap();
    assert!(!other.is_settled(), "a byte is missing");
}
