//! `push --dry-run`: says what a push would send, and sends nothing.

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::geteuid;
use serde_json::{Value, json};
use skyspray_tests::args;
use skyspray_tests::check::{assert_says, files_below};
use skyspray_tests::output::Output;
use skyspray_tests::pair::Pair;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

/// What it said, without the target.
fn survey(output: &Output) -> Value {
    let mut said = output.event("would-push").unwrap_or_else(|| panic!("{output:#?}"));
    let said = said.as_object_mut().expect("an event is an object");
    for field in ["event", "schema"] {
        said.remove(field);
    }
    json!(said)
}

/// Jobs the relay knows, and files on the plane.
fn stored(pair: &Pair) -> (usize, Vec<PathBuf>) {
    let jobs =
        pair.relay.admin(args!["job", "list"]).and_then(Output::done).expect("jobs are listed");
    let jobs = jobs.objects().into_iter().filter(|object| object["event"] == "job").count();
    (jobs, files_below(&pair.relay.plane).expect("the plane can be read"))
}

/// A tree of three files of 6,011 bytes.
fn tree(pair: &Pair) -> PathBuf {
    let directory = pair.edge.file("tree");
    fs::create_dir_all(directory.join("below/deeper")).expect("the tree can be made");
    fs::write(directory.join("a.bin"), [1; 6000]).expect("the tree can be made");
    fs::write(directory.join("below/b.bin"), [2; 11]).expect("the tree can be made");
    fs::write(directory.join("below/deeper/empty.bin"), []).expect("the tree can be made");
    directory
}

fn push(pair: &Pair, directory: &Path, more: &[&str]) -> Output {
    let mut arguments = args!["push", directory, "data:in/"];
    arguments.extend(more.iter().map(|option| OsStr::new(option).to_owned()));
    pair.run(arguments)
}

#[test]
fn a_dry_run_counts_what_the_push_then_sends_and_leaves_no_trace() {
    let mut pair = Pair::start();
    let directory = tree(&pair);
    let before = stored(&pair);
    let sessions = pair.relay.sessions();

    let output = push(&pair, &directory, &["--dry-run"]);

    assert_eq!(output.code, 0, "{output:#?}");
    let expected = json!({
        "target": "data:in/", "files": 3, "bytes": 6011, "files_skipped": 0, "files_failed": 0,
    });
    assert_eq!(survey(&output), expected);
    assert_eq!(stored(&pair), before);
    assert_eq!(pair.relay.sessions(), sessions, "the relay was asked");
    assert!(pair.edge.receipts().is_empty());

    // Nor does it need a relay.
    pair.relay.kill();
    assert_eq!(survey(&push(&pair, &directory, &["--dry-run"])), expected);
    pair.relay.serve().unwrap();

    let sent = push(&pair, &directory, &[]);
    assert_eq!((sent.code, sent.done_number("files")), (0, 3), "{sent:#?}");
    assert_eq!(sent.done_number("bytes"), 6011);
    assert_eq!(stored(&pair).0, before.0 + 1);
}

#[test]
fn a_dry_run_names_what_the_push_could_not_send() {
    let mut pair = Pair::start();
    let directory = tree(&pair);
    let (closed, shut) = (directory.join("closed.bin"), directory.join("shut"));
    fs::write(&closed, b"closed").unwrap();
    fs::create_dir(&shut).unwrap();
    fs::write(shut.join("unseen.bin"), b"unseen").unwrap();
    fs::write(directory.join(OsStr::from_bytes(b"latin-\xe9.bin")), b"x").unwrap();
    symlink("a.bin", directory.join("link.bin")).unwrap();
    mknodat(CWD, directory.join("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    for path in [&closed, &shut] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
    }
    if geteuid().is_root() {
        // Root reads everything by these two capabilities; without them modes count for it too.
        let without = "-dac_override,-dac_read_search";
        let bounding = format!("--bounding-set={without}");
        pair.edge.prefix = args!["setpriv", &bounding, &format!("--inh-caps={without}")];
    }

    let output = push(&pair, &directory, &["--dry-run"]);

    let expected = json!({
        "target": "data:in/", "files": 3, "bytes": 6011, "files_skipped": 2, "files_failed": 3,
    });
    assert_eq!(survey(&output), expected, "{output:#?}");
    for said in [
        "lz:tree/closed.bin may not be read by this user",
        "lz:tree/shut",
        "latin-",
        "lz:tree/link.bin is left out: it is a symlink",
        "lz:tree/pipe is left out: it is a named pipe",
        "3 of 6 files failed",
    ] {
        assert_says(&output, 1, said);
    }

    // The push meets the same.
    let sent = push(&pair, &directory, &[]);
    assert_eq!((sent.code, sent.done_number("files")), (1, 3), "{sent:#?}");
    assert_eq!((sent.done_number("bytes"), sent.done_number("files_failed")), (6011, 3));
    fs::set_permissions(&shut, fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_dry_run_of_nothing_is_an_error_as_the_push_is() {
    let pair = Pair::start();
    for options in [&["--dry-run"][..], &[]] {
        let output = push(&pair, &pair.edge.file("nowhere"), options);
        assert_says(&output, 3, "lz:nowhere");
    }
}
