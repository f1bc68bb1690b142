//! A plane without room (F24).

use skyspray_tests::args;
use skyspray_tests::check::{assert_says, files_below};
use skyspray_tests::data::random_file;
use skyspray_tests::pair::Pair;
use skyspray_tests::relay::PLANE;
use skyspray_tests::wait;
use std::path::PathBuf;
use std::process::Command;

const MIB: u64 = 1 << 20;

/// Whether this user may mount a file system that only one process sees.
fn may_mount() -> bool {
    let tried = Command::new("unshare").args(["-m", "mount", "-t", "tmpfs", "x", "/mnt"]).output();
    let may = tried.is_ok_and(|output| output.status.success());
    if !may {
        eprintln!("skipped: this user cannot mount in a namespace of its own (unshare -m)");
    }
    may
}

/// A pair whose plane is a file system of 24 MiB of the relay's own.
fn on_a_small_plane() -> Pair {
    let mut pair = Pair::prepare().expect("a pair can be made");
    let mount = format!(
        "mount -t tmpfs -o size=24m,mode=755 tmpfs '{}' && exec \"$0\" \"$@\"",
        pair.relay.plane.display()
    );
    pair.relay.prefix = args!["unshare", "-m", "sh", "-c", &mount];
    pair.relay.serve().expect("the relay gets ready");
    let id = pair.relay.process().id().to_string();
    pair.relay.admin_prefix = args!["nsenter", "--target", &id, "--mount"];
    pair.enroll(&format!("push,pull,list:{PLANE}")).expect("the edge enrolls");
    pair
}

/// What is on the plane as the relay sees it.
fn on_the_plane(pair: &Pair) -> Vec<PathBuf> {
    let root = PathBuf::from(format!("/proc/{}/root", pair.relay.process().id()));
    let plane = pair.relay.plane.strip_prefix("/").expect("the plane's path is absolute");
    files_below(&root.join(plane)).expect("the directory can be read")
}

#[test]
fn a_file_larger_than_the_plane_is_refused_as_temporary_and_gives_its_room_back_when_given_up() {
    if !may_mount() {
        return;
    }
    let pair = on_a_small_plane();
    let (large, small) = (pair.edge.file("large.bin"), pair.edge.file("small.bin"));
    random_file(&large, 64 * MIB, 71).unwrap();
    random_file(&small, 10 * MIB, 72).unwrap();

    let output = pair.run(pair.spray_bytes(&large, "t::large", 4));
    assert_says(&output, 5, "the plane is full");
    let names = on_the_plane(&pair);
    assert!(names.iter().all(|path| !path.to_string_lossy().contains("large._")), "{names:?}");

    // The job stays open, as its owner may make room and go on; giving it up gives its room back.
    let listed = pair.relay.admin(args!["job", "list"]).unwrap();
    let job = listed.event("job").expect("the job is listed")["job"].clone();
    let job = job.as_str().expect("a job has an id");
    pair.relay.admin(args!["job", "cancel", job]).unwrap().done().unwrap();
    pair.relay.admin(args!["collect"]).unwrap().done().unwrap();
    // A relay has a job's files open until it knows that its session is gone.
    wait::until("the relay lets go of the first spray", wait::PATIENCE, || {
        let (begun, ended) = pair.relay.sessions();
        begun == ended
    });
    pair.done(pair.spray_bytes(&small, "t::small", 2));
    assert_eq!(on_the_plane(&pair).len(), 2, "{:?}", on_the_plane(&pair));
}
