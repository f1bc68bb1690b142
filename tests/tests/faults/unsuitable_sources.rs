//! Things in a landing zone that are no files to move.

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use skyspray_tests::args;
use skyspray_tests::check::{assert_nothing_visible, assert_says};
use skyspray_tests::pair::Pair;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

/// Sprays what stands at `path` in the landing zone and expects 3, a reason, and nothing stored.
fn assert_unsuitable(pair: &Pair, path: &Path, reason: &str) {
    let output = pair.run(pair.spray_bytes(path, "t::file", 2));

    assert_says(&output, 3, reason);
    assert_nothing_visible(pair, "t::file");
}

#[test]
fn a_missing_source_is_named() {
    let pair = Pair::start();

    assert_unsuitable(&pair, &pair.edge.file("none.bin"), "source lz:none.bin does not exist");
}

#[test]
fn a_directory_is_no_source_of_a_spray() {
    let pair = Pair::start();
    let path = pair.edge.file("inner");
    fs::create_dir(&path).unwrap();

    assert_unsuitable(&pair, &path, "source lz:inner is a directory, expected a regular file");
}

#[test]
fn a_symlink_out_of_the_landing_zone_is_not_followed() {
    let pair = Pair::start();
    let secret = pair.root.path().join("secret");
    fs::write(&secret, b"not for you").unwrap();
    let path = pair.edge.file("link.bin");
    symlink(&secret, &path).unwrap();

    assert_unsuitable(&pair, &path, "source lz:link.bin is a symlink or lies behind one");
}

#[test]
fn a_directory_that_is_a_symlink_out_of_the_landing_zone_is_not_entered() {
    let pair = Pair::start();
    let outside = pair.root.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret.bin"), b"not for you").unwrap();
    symlink(&outside, pair.edge.file("door")).unwrap();

    let path = pair.edge.file("door/secret.bin");
    assert_unsuitable(&pair, &path, "source lz:door/secret.bin is a symlink or lies behind one");
}

#[test]
fn a_fifo_is_refused_and_not_waited_for() {
    let pair = Pair::start();
    let path = pair.edge.file("pipe");
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();

    assert_unsuitable(&pair, &path, "source lz:pipe is a named pipe, expected a regular file");
}

#[test]
fn a_device_is_refused() {
    let pair = Pair::start();
    let path = pair.edge.file("zero");
    let made =
        mknodat(CWD, &path, FileType::CharacterDevice, Mode::RUSR | Mode::WUSR, makedev(1, 5));
    if let Err(error) = made {
        eprintln!("skipped: this user cannot make a device: {error}");
        return;
    }

    assert_unsuitable(
        &pair,
        &path,
        "source lz:zero is a character device, expected a regular file",
    );
}

#[test]
fn a_file_the_edge_may_not_read_is_named() {
    let mut pair = Pair::start();
    let path = pair.edge.file("closed.bin");
    fs::write(&path, b"closed").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    if rustix::process::geteuid().is_root() {
        // Root reads everything by these two capabilities; without them modes count for it too.
        let without = "-dac_override,-dac_read_search";
        let bounding = format!("--bounding-set={without}");
        pair.edge.prefix = args!["setpriv", &bounding, &format!("--inh-caps={without}")];
    }

    assert_unsuitable(&pair, &path, "source lz:closed.bin may not be read by this user");
}

#[test]
fn a_push_says_what_it_skipped_and_sends_the_rest() {
    let pair = Pair::start();
    let directory = pair.edge.file("mixed");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("good.bin"), b"good").unwrap();
    symlink("/etc/passwd", directory.join("bad.link")).unwrap();
    mknodat(CWD, directory.join("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();

    let output = pair.run(args!["push", &directory, "data:in/"]);

    assert_says(&output, 0, "lz:mixed/bad.link is left out: it is a symlink");
    assert_says(&output, 0, "lz:mixed/pipe is left out: it is a named pipe, not a regular file");
    assert_eq!(fs::read(pair.relay.plane.join("in/mixed/good.bin")).unwrap(), b"good");
    assert!(!pair.relay.plane.join("in/mixed/bad.link").exists());
}
