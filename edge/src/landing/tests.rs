//! Paths people write, resolved against real directories.

use super::*;
use crate::config::{Limits, Umask};
use skyspray_link::seam::files::Caching;
use std::fs;
use std::os::unix::fs::symlink;

struct Host {
    _dir: tempfile::TempDir,
    root: PathBuf,
    zones: LandingZones,
}

/// Zones `in` (read), `out` (read and write), `drop` (write), `nested` (inside `in`), `gone`.
fn host() -> Host {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    for name in ["in/nested", "in2", "out", "drop"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    let zone = |name: &str, below: &str, access| ZoneConfig {
        name: ZoneName::parse(name).unwrap(),
        path: root.join(below),
        access,
        umask: None,
    };
    let zones = vec![
        zone("in", "in", Access::Read),
        zone("out", "out", Access::ReadWrite),
        zone("drop", "drop", Access::Write),
        zone("nested", "in/nested", Access::Read),
        zone("gone", "gone", Access::Read),
    ];
    let config = EdgeConfig { relay_addresses: Vec::new(), zones, limits: Limits::default() };
    Host { _dir: dir, root, zones: LandingZones::new(&config) }
}

impl Host {
    fn read(&self, argument: &str) -> Result<String, LandingError> {
        let cwd = self.root.join("in");
        let found = self.zones.resolve(Path::new(argument), &cwd, Want::Read);
        found.map(|found| found.to_string())
    }

    fn code(&self, argument: &str) -> String {
        let error = self.read(argument).unwrap_err();
        assert_eq!(error.exit(), Exit::Usage);
        error.code().into_owned()
    }
}

#[test]
fn a_path_is_found_by_zone_by_absolute_path_and_from_the_current_directory() {
    let host = host();
    let absolute = host.root.join("out/a/b c.csv");

    assert_eq!(host.read("in:a/b.csv").unwrap(), "in:a/b.csv");
    assert_eq!(host.read("in:").unwrap(), "in:");
    assert_eq!(host.read("out:./a//b/").unwrap(), "out:a/b");
    assert_eq!(host.read(absolute.to_str().unwrap()).unwrap(), "out:a/b c.csv");
    assert_eq!(host.read("a/b.csv").unwrap(), "in:a/b.csv");
    assert_eq!(host.read(".").unwrap(), "in:");
    assert_eq!(host.read("./a:b").unwrap(), "in:a:b");
    assert_eq!(host.read("A:b").unwrap(), "in:A:b", "no zone can have this name");
}

#[test]
fn the_innermost_of_zones_inside_each_other_counts() {
    let host = host();

    assert_eq!(host.read("nested/x").unwrap(), "nested:x");
    assert_eq!(host.read("in:nested/x").unwrap(), "in:nested/x");
}

#[test]
fn a_path_outside_every_zone_is_refused_with_the_zones_there_are() {
    let host = host();
    let outside = host.root.join("in2/x");
    let error = host.read(outside.to_str().unwrap()).unwrap_err();

    assert_eq!(error.code(), "path-outside-zones");
    let root = host.root.display();
    assert_eq!(
        error.to_string(),
        format!(
            "{root}/in2/x lies in no landing zone; landing zones: in ({root}/in), out ({root}/out), \
             drop ({root}/drop), nested ({root}/in/nested), gone ({root}/gone)"
        )
    );
    assert_eq!(host.code("/etc/passwd"), "path-outside-zones");
}

#[test]
fn two_dots_are_refused_wherever_they_stand() {
    let host = host();
    for path in ["..", "../in/x", "a/../b", "in:..", "in:a/../b", "/etc/../etc/passwd"] {
        assert_eq!(host.code(path), "path-escapes", "{path}");
    }
    assert_eq!(
        host.read("a/../b").unwrap_err().to_string(),
        "a/../b contains `..`, which no path in a landing zone may"
    );
    assert_eq!(host.read("a/..b").unwrap(), "in:a/..b");
}

#[test]
fn an_unknown_zone_is_named_with_the_ones_there_are() {
    let host = host();

    let error = host.read("lake:x").unwrap_err();
    assert_eq!(error.code(), "zone-unknown");
    assert!(
        error.to_string().starts_with("landing zone lake is not configured; landing zones: in")
    );
    assert_eq!(
        error.advice().as_deref(),
        Some("name one of these; a file whose name contains `:` is written ./NAME:REST")
    );
}

#[test]
fn access_is_what_the_zone_allows() {
    let host = host();
    let cwd = host.root.clone();
    let write = |path: &str| host.zones.resolve(Path::new(path), &cwd, Want::Write);

    assert_eq!(write("out/x").unwrap().to_string(), "out:x");
    assert_eq!(write("drop:x").unwrap().to_string(), "drop:x");
    assert_eq!(write("in:x").unwrap_err().to_string(), "landing zone in does not allow write");
    assert_eq!(host.code("drop:x"), "zone-write-only");
}

#[test]
fn a_zone_without_its_directory_fails_alone() {
    let host = host();

    assert_eq!(host.code("gone:x"), "zone-unusable");
    assert_eq!(host.read("in:x").unwrap(), "in:x");
}

#[test]
fn paths_that_no_host_takes_are_refused() {
    let host = host();

    assert_eq!(host.code(""), "path-invalid");
    assert_eq!(host.code("in:/etc/passwd"), "path-invalid");
    assert_eq!(host.code(&"x".repeat(300)), "path-invalid");
}

#[test]
fn a_zone_behind_a_symlink_is_recognised_by_both_of_its_names() {
    let host = host();
    symlink(host.root.join("out"), host.root.join("alias")).unwrap();
    let zones = vec![ZoneConfig {
        name: ZoneName::parse("alias").unwrap(),
        path: host.root.join("alias"),
        access: Access::Read,
        umask: None,
    }];
    let config = EdgeConfig { relay_addresses: Vec::new(), zones, limits: Limits::default() };
    let zones = LandingZones::new(&config);
    for below in ["alias/x", "out/x"] {
        let found = zones.resolve(&host.root.join(below), Path::new("/"), Want::Read).unwrap();
        assert_eq!(found.to_string(), "alias:x");
    }
}

#[test]
fn what_is_made_in_a_zone_with_a_umask_has_the_modes_it_leaves() {
    let host = host();
    let umask = Some(Umask::try_from("002".to_owned()).unwrap());
    let zones = vec![ZoneConfig {
        name: ZoneName::parse("out").unwrap(),
        path: host.root.join("out"),
        access: Access::Write,
        umask,
    }];
    let config = EdgeConfig { relay_addresses: Vec::new(), zones, limits: Limits::default() };
    let at = LandingZones::new(&config);
    let at = at.resolve(Path::new("out:d/f"), Path::new("/"), Want::Write).unwrap();
    let directory = at.path.parent().unwrap();
    at.tree.create_dirs(&directory).unwrap();
    at.tree.create_new(&at.path, 0o644, Caching::Buffered).unwrap();

    let mode = |path| at.tree.metadata(path).unwrap().mode;
    assert_eq!((mode(&directory), mode(&at.path)), (0o775, 0o664));
}
