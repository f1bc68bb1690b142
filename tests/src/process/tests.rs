//! Tests of children, with a shell as the child.

use super::*;
use crate::wait;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(20);

fn shell(root: &TempDir, script: &str) -> Launch {
    Launch {
        prefix: crate::args!["env", "-i"],
        program: "/bin/sh".into(),
        arguments: crate::args!["-c", script],
        log: root.path().join("log"),
    }
}

#[test]
fn a_line_is_found_while_the_child_goes_on() {
    let root = TempDir::new().unwrap();
    let process =
        Process::start(&shell(&root, "echo one; echo two; exec cat /dev/zero >&2")).unwrap();

    let found = process.wait_for("two", SOON, |line| line.strip_prefix("tw").map(str::to_owned));

    assert_eq!(found.unwrap(), "o");
    assert!(process.memory_bytes_peak().is_some());
}

#[test]
fn a_child_that_ends_too_early_is_shown_with_its_log() {
    let root = TempDir::new().unwrap();
    let process = Process::start(&shell(&root, "echo one; echo broken >&2")).unwrap();

    let error = process.wait_for("two", SOON, |line| (line == "two").then_some(())).unwrap_err();

    assert_eq!(error.to_string(), "sh -c echo one; echo broken >&2 ended before two\nbroken\n");
}

#[test]
fn a_child_that_hangs_is_killed_when_time_is_up() {
    let root = TempDir::new().unwrap();
    let mut process = Process::start(&shell(&root, "exec tail -f /dev/null")).unwrap();

    let error = process.finish(Duration::from_millis(50), &|| false).unwrap_err();

    assert!(matches!(error, HarnessError::Late { what: "its end", .. }), "{error}");
    assert!(process.has_ended());
}

#[test]
fn a_dropped_child_is_gone() {
    let root = TempDir::new().unwrap();
    let process = Process::start(&shell(&root, "exec tail -f /dev/null")).unwrap();
    let entry = PathBuf::from(format!("/proc/{}", process.id()));
    assert!(entry.exists());

    drop(process);

    wait::until("the child is gone", SOON, || !entry.exists());
}

#[test]
fn exit_code_lines_and_written_bytes_are_told() {
    let root = TempDir::new().unwrap();
    let script = "head -c 100000 /dev/zero >\"$0\"; echo done; read line </dev/zero";
    let mut process = Process::start(&shell(&root, "echo a; echo b; exit 7")).unwrap();
    let (status, lines) = process.finish(SOON, &|| false).unwrap();
    assert_eq!((status.code(), lines), (Some(7), vec!["a".to_owned(), "b".to_owned()]));

    let mut launch = shell(&root, script);
    launch.arguments.push(root.path().join("zeros").into());
    let process = Process::start(&launch).unwrap();
    process.wait_for("done", SOON, |line| (line == "done").then_some(())).unwrap();
    // What a child's own ended child wrote counts for it.
    assert!(process.used().written_bytes >= 100_000, "{:?}", process.used());
}
