//! What is checked and written before a relay is asked.

use super::*;
use crate::config::ZoneArg;
use crate::landing::ZoneName;
use crate::output::{Manner, ProgressMode};
use std::io::Write;
use std::sync::Mutex;

struct Rig {
    root: tempfile::TempDir,
}

impl Rig {
    fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap() }
    }

    fn directories(&self) -> Directories {
        let directories = Directories::locate(Some(&self.root.path().join("edge")));
        directories.create().unwrap();
        directories
    }
}

fn args(token_file: PathBuf, zones: &[&str]) -> EnrollArgs {
    let landing_zones = zones.iter().map(|zone| zone.parse::<ZoneArg>().unwrap()).collect();
    EnrollArgs { token_file, landing_zones, force: false }
}

#[test]
fn a_token_file_that_is_none_is_told_by_its_fault() {
    let rig = Rig::new();
    let file = rig.root.path().join("token");
    let missing = read_token(&file).unwrap_err();
    assert_eq!((missing.exit(), &*missing.code()), (Exit::Usage, "token-unreadable"));

    std::fs::write(&file, "skyspray1.AAAA").unwrap();
    let damaged = read_token(&file).unwrap_err();
    assert_eq!((damaged.exit(), &*damaged.code()), (Exit::Usage, "token-invalid"));
    std::fs::write(&file, "x".repeat(1 << 20)).unwrap();
    let long = read_token(&file).unwrap_err();
    assert!(matches!(long, EnrollError::Token(TokenError::TooLong { length: 2048 })), "{long}");
}

#[test]
fn the_same_zones_again_keep_the_configuration_and_others_do_not_replace_it() {
    let rig = Rig::new();
    let directories = rig.directories();
    let cwd = Path::new("/srv");
    let token = || PathBuf::from("-");
    let first = configure(&args(token(), &["in=data", "ro=/x:ro"]), &directories, cwd).unwrap();
    assert_eq!(first.zones[0].path, Path::new("/srv/data"));
    assert_eq!(first.zones[1].access, Access::Read);

    let again = configure(&args(token(), &["ro=/x:ro", "in=/srv/data"]), &directories, cwd);
    assert_eq!(again.unwrap(), first);
    let none = configure(&args(token(), &[]), &directories, cwd);
    assert_eq!(none.unwrap(), first);
    let other = configure(&args(token(), &["in=/other"]), &directories, cwd).unwrap_err();
    assert_eq!((other.exit(), &*other.code()), (Exit::Usage, "config-exists"));
}

#[test]
fn an_edge_without_identity_may_enroll() {
    let rig = Rig::new();
    let directories = rig.directories();
    let store = EdgeStore::create(&directories.identity()).unwrap();

    refuse_second(&store, &directories, false).unwrap();
}

#[derive(Clone, Default)]
struct Stderr(Arc<Mutex<Vec<u8>>>);

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_edge_without_a_landing_zone_is_told_that_it_needs_one() {
    let rig = Rig::new();
    let err = Stderr::default();
    let streams: (Box<dyn Write + Send>, Box<dyn Write + Send>) =
        (Box::new(io::sink()), Box::new(err.clone()));
    let reporter = Reporter::with_streams(Manner::default(), ProgressMode::None, streams);
    let told = || String::from_utf8(err.0.lock().unwrap().clone()).unwrap();
    let zone = ZoneConfig {
        name: ZoneName::parse("in").unwrap(),
        path: "/in".into(),
        access: Access::Read,
        umask: None,
    };

    note_no_zone(&[zone], &rig.directories(), &reporter);
    assert_eq!(told(), "");
    note_no_zone(&[], &rig.directories(), &reporter);
    assert_eq!(told(), "no landing zone: add [landing_zone.NAME] to edge.toml before a spray\n");
}
