//! A replica that was stopped while it wrote a part, and goes on after another one has taken the part
//! over on the same directory (F19).

use super::*;
use skyspray_wire::ids::Epoch;

const PART: &str = "s/x._1_of_1";

fn under(epoch: u64) -> PartTarget {
    target(JOB, 0, PART).under(Epoch(epoch)).unwrap()
}

/// Everything with a staging name, in the directory of the part.
fn staged(directory: &tempfile::TempDir) -> Vec<String> {
    let entries = std::fs::read_dir(directory.path().join("s")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.starts_with(".skyspray-")).collect();
    names.sort();
    names
}

#[test]
fn a_part_is_gone_on_with_under_each_new_lease_until_it_is_in_its_place() {
    on_both(|plane| {
        stage(plane, &target(JOB, 0, PART), b"from before leases");
        for epoch in [1, 2, 9] {
            let staged = plane.resume(&under(epoch), None).unwrap().expect("it is staged");
            staged.write_at(epoch.to_string().as_bytes(), epoch).unwrap();
            staged.sync().unwrap();
            let earlier = plane.finish(&[finish_of(&under(epoch - 1), 18, Replace::Never)]);
            assert!(matches!(earlier[0], Err(PlaneError::Lost { .. })), "{earlier:?}");
        }

        let outcome = plane.finish(&[finish_of(&under(12), 18, Replace::Never)]);

        assert_eq!(outcome, [Ok(Finished::Renamed)]);
        assert_eq!(content(plane, PART), b"f12m befo9e leases");
    });
}

/// Whatever it does next: it begins the part, fails, or gives it up.
#[test]
fn what_a_replica_does_late_changes_nothing_for_the_one_that_took_over() {
    for late in ["begins", "fails", "gives up"] {
        let (tree, plane) = memory();
        let stopped = plane.begin(&under(1), Some(8)).unwrap();
        stopped.write_at(b"good", 0).unwrap();
        stopped.sync().unwrap();
        let taken = plane.resume(&under(2), None).unwrap().expect("it is staged");
        taken.write_at(b" too", 4).unwrap();
        taken.sync().unwrap();

        match late {
            "begins" => {
                let begun = plane.begin(&under(1), Some(8)).unwrap();
                begun.write_at(b"bad ", 0).unwrap();
                begun.sync().unwrap();
            }
            "fails" => {
                tree.fail_next(Op::SyncData, Fault::Io);
                stopped.sync().unwrap_err();
            }
            _ => plane.abort(&under(1), None).unwrap(),
        }

        let part =
            Finish { staged: Some(Arc::new(taken)), ..finish_of(&under(2), 8, Replace::Never) };
        assert_eq!(plane.finish(&[part]), [Ok(Finished::Renamed)], "one that {late} late");
        assert_eq!(content(&plane, PART), b"good too", "one that {late} late");
    }
}

#[test]
fn a_part_begun_anew_does_not_share_a_file_with_whoever_began_it_before() {
    let directory = tempfile::tempdir().unwrap();
    let plane = Plane::open_directory(directory.path()).unwrap();
    let stopped = plane.begin(&under(1), None).unwrap();
    stopped.write_at(b"of one", 0).unwrap();
    let begun = plane.begin(&under(2), None).unwrap();
    begun.write_at(b"of two", 0).unwrap();
    begun.sync().unwrap();

    stopped.write_at(b"late, and longer", 0).unwrap();

    assert_eq!(staged(&directory).len(), 1, "the first one takes no room");
    let outcome = plane.finish(&[finish_of(&under(2), 6, Replace::Never)]);
    assert_eq!(outcome, [Ok(Finished::Renamed)]);
    assert_eq!(content(&plane, PART), b"of two");
}

#[test]
fn giving_a_part_up_removes_what_was_staged_under_any_lease() {
    let directory = tempfile::tempdir().unwrap();
    let plane = Plane::open_directory(directory.path()).unwrap();
    // A replica that was stopped for long began the part last.
    for epoch in [2, 3, 1] {
        plane.begin(&under(epoch), None).unwrap();
    }
    assert_eq!(staged(&directory).len(), 2);

    plane.abort(&under(4), None).unwrap();

    assert!(!directory.path().join("s").exists(), "{:?}", staged(&directory));
}
