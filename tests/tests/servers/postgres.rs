//! PostgreSQL: databases of their own, restart, and what is left at the end.

use skyspray_tests::output::Output;
use skyspray_tests::process::Launch;
use skyspray_tests::server::postgres::{Database, Postgres, shared};
use skyspray_tests::wait::PATIENCE;
use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

/// Runs a statement as the owner of a database.
fn query(database: &Database, statement: &str) -> Output {
    query_at(database.url(), statement)
}

fn query_at(url: &str, statement: &str) -> Output {
    let dir = tempfile::tempdir().expect("psql runs");
    let arguments = skyspray_tests::args!["-X", "-q", "-A", "-t", "-c", statement, url];
    let log = dir.path().join("psql.log");
    let launch = Launch { prefix: Vec::new(), program: "psql".into(), arguments, log };
    Output::of(&launch, PATIENCE, &|| false).expect("psql runs")
}

#[test]
fn a_database_survives_an_immediate_stop() {
    let mut server = Postgres::start().unwrap();
    let database = server.new_database().unwrap();
    query(&database, "CREATE TABLE kept (v int); INSERT INTO kept VALUES (7)").done().unwrap();
    server.stop_immediate().unwrap();
    let down = query(&database, "SELECT v FROM kept");
    assert_eq!(down.code, 2, "{down:#?}");
    server.restart().unwrap();
    assert_eq!(query(&database, "SELECT v FROM kept").done().unwrap().lines, ["7"]);
}

#[test]
fn databases_are_apart_and_collate_as_people_do() {
    let server = shared().unwrap();
    let (first, second) = (server.new_database().unwrap(), server.new_database().unwrap());
    query(&first, "CREATE TABLE t (v text); INSERT INTO t VALUES ('B'), ('a')").done().unwrap();
    assert_eq!(query(&first, "SELECT v FROM t ORDER BY v").done().unwrap().lines, ["a", "B"]);
    let other = query(&second, "SELECT v FROM t");
    assert!(other.stderr.contains("relation \"t\" does not exist"), "{other:#?}");
}

#[test]
fn a_wrong_password_is_refused() {
    let server = shared().unwrap();
    let database = server.new_database().unwrap();
    let other = server.new_database().unwrap();
    let password =
        |database: &Database| database.url()[database.name().len() + 12..][..32].to_owned();
    let url = database.url().replace(&password(&database), &password(&other));
    let refused = query_at(&url, "SELECT 1");
    assert!(refused.stderr.contains("password authentication failed"), "{refused:#?}");
}

#[test]
fn the_last_holder_of_a_shared_server_ends_it() {
    let first = shared().unwrap();
    let second = shared().unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    let (port, id) = (first.port(), first.id().unwrap());
    drop(first);
    second.new_database().unwrap();
    drop(second);
    let refused = TcpStream::connect(("127.0.0.1", port)).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert!(!Path::new(&format!("/proc/{id}")).exists());
}

#[test]
fn nothing_is_left_of_a_server() {
    let server = Postgres::start().unwrap();
    let (id, dir) = (server.id().unwrap(), server.dir().to_owned());
    server.new_database().unwrap();
    assert!(dir.is_dir());
    drop(server);
    assert!(!dir.exists());
    let named = |entry: &fs::DirEntry| {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(dir.to_str().unwrap())
    };
    let left: Vec<_> = fs::read_dir("/proc").unwrap().flatten().filter(named).collect();
    assert!(left.is_empty(), "{left:?} of server {id}");
}
