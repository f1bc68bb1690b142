//! The edge's own boundary: only landing zones, nothing above them.

use skyspray_tests::args;
use skyspray_tests::check::{assert_nothing_visible, assert_says};
use skyspray_tests::pair::Pair;
use std::fs;

#[test]
fn a_path_with_two_dots_is_refused() {
    let pair = Pair::start();
    fs::write(pair.root.path().join("secret.csv"), b"not for you\n").unwrap();

    for path in ["lz:../secret.csv", "lz:inner/../../secret.csv"] {
        let output = pair.run(args!["spray", path, "data:t::file"]);
        assert_says(&output, 2, "contains `..`, which no path in a landing zone may");
    }
    let plain = pair.edge.file("../secret.csv");
    let output = pair.run(args!["spray", &plain, "data:t::file"]);
    assert_says(&output, 2, "contains `..`, which no path in a landing zone may");
    assert_nothing_visible(&pair, "t::file");
}

#[test]
fn an_absolute_path_outside_the_landing_zones_is_refused_and_the_zones_are_named() {
    let pair = Pair::start();
    let secret = pair.root.path().join("secret.csv");
    fs::write(&secret, b"not for you\n").unwrap();

    let output = pair.run(args!["spray", &secret, "data:t::file"]);

    assert_says(&output, 2, "lies in no landing zone; landing zones: lz (");
    assert_nothing_visible(&pair, "t::file");
}

#[test]
fn an_unknown_landing_zone_is_refused() {
    let pair = Pair::start();

    let output = pair.run(args!["spray", "dock:a.csv", "data:t::file"]);

    assert_says(&output, 2, "landing zone dock is not configured; landing zones: lz (");
}

#[test]
fn an_export_lands_in_no_zone_that_is_read_only() {
    let mut pair = Pair::prepare().unwrap();
    pair.relay.serve().unwrap();
    let token = pair.relay.add_agent("metal-1", &["--allow", "push,pull:data"]).unwrap();
    let archive = pair.root.path().join("archive");
    fs::create_dir(&archive).unwrap();
    let zone = format!("archive={}:ro", archive.display());
    pair.edge.enroll(&token, &[zone]).unwrap().done().unwrap();
    fs::write(archive.join("a.csv"), b"a\n").unwrap();
    pair.done(args!["spray", "archive:a.csv", "data:t::file"]);

    let output = pair.run(args!["despray", "data:t::file", "archive:b.csv"]);

    assert_says(&output, 2, "landing zone archive does not allow write");
    assert!(!archive.join("b.csv").exists());
}

#[test]
fn a_name_that_leaves_its_scope_or_plane_is_refused() {
    let pair = Pair::start();
    let source = pair.edge.file("a.csv");
    fs::write(&source, b"a\n").unwrap();

    for target in ["data:..::file", "data:t::..", "data:t::a/b", "data:"] {
        let output = pair.run(args!["spray", &source, target]);
        assert_eq!(output.code, 2, "{target}: {output:#?}");
    }
    let output = pair.run(args!["push", &source, "data:../up/"]);
    assert_eq!(output.code, 2, "{output:#?}");
}
