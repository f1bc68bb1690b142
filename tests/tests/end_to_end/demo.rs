//! The demo, as a reader starts it.

use rustix::process::Signal;
use skyspray_tests::args;
use skyspray_tests::binary::locate;
use skyspray_tests::process::{Launch, Process, tail};
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(170);

/// The demo with these settings in its environment; what it makes goes below `root`.
fn launch(root: &TempDir, settings: &[String]) -> Launch {
    let place = root.path().join("tmp");
    fs::create_dir_all(&place).expect("a directory can be made");
    let programs = locate("skyspray-edge").unwrap_or_else(|error| panic!("{error}"));
    let programs = programs.parent().expect("a program lies in a directory");
    let mut prefix = args!["env", "-u", "FILE", "-u", "PARTS"];
    prefix.push(setting("TMPDIR", &place));
    prefix.push(setting("SKYSPRAY_BIN_DIR", programs));
    prefix.extend(settings.iter().map(OsString::from));
    let program = env!("CARGO_BIN_EXE_skyspray-demo").into();
    Launch { prefix, program, arguments: Vec::new(), log: root.path().join("demo.log") }
}

fn setting(name: &str, value: &Path) -> OsString {
    let mut setting = OsString::from(format!("{name}="));
    setting.push(value);
    setting
}

fn left_behind(root: &TempDir) -> usize {
    fs::read_dir(root.path().join("tmp")).expect("the directory was made before").count()
}

#[test]
fn the_demo_takes_a_file_of_the_readers_there_and_back_and_leaves_nothing() {
    let root = TempDir::new().unwrap();
    let file = root.path().join("my data.bin");
    skyspray_tests::data::random_file(&file, 3_333_333, 8).unwrap();
    let settings = [format!("FILE={}", file.display()), "PARTS=5".to_owned()];

    let launch = launch(&root, &settings);
    let (status, lines) = Process::start(&launch).unwrap().finish(PATIENCE, &|| false).unwrap();

    let said = lines.join("\n");
    assert_eq!(status.code(), Some(0), "{said}\n{}", tail(&launch.log));
    assert!(said.contains("own._1_of_5"), "{said}");
    assert!(said.contains("All of it identical"), "{said}");
    assert_eq!(left_behind(&root), 0);
}

#[test]
fn the_demo_says_what_is_wrong_with_its_settings() {
    let root = TempDir::new().unwrap();
    let settings = ["FILE=/nowhere/to be found.csv".to_owned()];

    let launch = launch(&root, &settings);
    let (status, _) = Process::start(&launch).unwrap().finish(PATIENCE, &|| false).unwrap();

    assert_eq!(status.code(), Some(1));
    let said = tail(&launch.log);
    let expected = "error: FILE is /nowhere/to be found.csv, expected a regular file";
    assert!(said.contains(expected), "{said}");
    assert_eq!(left_behind(&root), 0);
}

#[test]
fn the_demo_removes_everything_when_it_is_interrupted() {
    let root = TempDir::new().unwrap();
    let file = root.path().join("zeros.bin");
    skyspray_tests::data::sparse_file(&file, 2 << 30).unwrap();

    let launch = launch(&root, &[format!("FILE={}", file.display())]);
    let mut demo = Process::start(&launch).unwrap();
    demo.wait_for("its second step", PATIENCE, |line| line.starts_with("2. ").then_some(()))
        .unwrap();
    demo.signal(Signal::INT);
    let (status, lines) = demo.finish(PATIENCE, &|| false).unwrap();

    assert_eq!(status.code(), Some(130), "{lines:#?}\n{}", tail(&launch.log));
    assert_eq!(left_behind(&root), 0);
}
