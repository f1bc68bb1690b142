//! What the doctor says of what it can look at without a relay.

use super::*;
use crate::config::ZoneConfig;
use crate::landing::ZoneName;
use crate::output::{Manner, ProgressMode};
use crate::stop;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

#[derive(Clone, Default)]
struct Out(Arc<Mutex<Vec<u8>>>);

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Out {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

fn reporter() -> (Reporter, Out) {
    let out = Out::default();
    let streams: (Box<dyn Write + Send>, Box<dyn Write + Send>) =
        (Box::new(out.clone()), Box::new(Out::default()));
    (Reporter::with_streams(Manner::default(), ProgressMode::None, streams), out)
}

fn host() -> Host {
    Host::system("/".into(), stop::channel().1)
}

fn zone(path: &std::path::Path, access: Access) -> ZoneConfig {
    ZoneConfig { name: ZoneName::parse("in").unwrap(), path: path.to_owned(), access, umask: None }
}

#[test]
fn a_zone_is_tried_for_what_it_allows_and_left_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let (reporter, out) = reporter();
    let mut report = Report::new(&reporter);
    check_zone(&zone(directory.path(), Access::ReadWrite), &host(), &mut report);

    assert_eq!(report.finish(), Exit::Done);
    let shown = directory.path().display();
    assert_eq!(
        out.text(),
        format!(
            "ok    landing-zone-in: {shown}: can read and write\n1 ok, 0 warnings, 0 failures\n"
        )
    );
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_zone_that_is_not_there_fails_with_what_to_do() {
    let (reporter, out) = reporter();
    let mut report = Report::new(&reporter);
    check_zone(&zone("/nonexistent/zone".as_ref(), Access::Read), &host(), &mut report);

    assert_eq!(report.finish(), Exit::Usage);
    assert_eq!(
        out.text(),
        "FAIL  landing-zone-in: directory /nonexistent/zone does not exist\n      \
         try: mount or make the directory, or correct edge.toml\n0 ok, 0 warnings, 1 failure\n"
    );
}

#[tokio::test]
async fn an_edge_that_was_never_set_up_fails_with_its_first_failure() {
    let directory = tempfile::tempdir().unwrap();
    let directories = Directories::locate(Some(directory.path()));
    let (reporter, out) = reporter();

    assert_eq!(doctor(&directories, &host(), &reporter).await, Exit::Usage);
    assert!(out.text().starts_with("FAIL  config: "), "{}", out.text());
}
