//! Opening, migrating, and several processes on one file.

use super::dialect::{MIGRATIONS, sqlite_migrations};
use super::*;
use std::path::PathBuf;

each_engine! {
    a_catalogue_made_twice_is_made_once;
    two_processes_that_make_the_catalogue_at_once_both_get_it;
    a_catalogue_of_a_newer_version_is_refused;
    two_processes_write_without_losing_a_line;
    a_reader_cannot_write;
}

/// A file in a directory.
fn file(directory: &TempDir) -> (PathBuf, Place) {
    let path = directory.path().join("catalogue.db");
    (path.clone(), Place::File(path))
}

async fn a_catalogue_made_twice_is_made_once(engine: Engine) {
    let bench = Bench::new(engine).await;
    let place = &bench.site.place;

    let again = Catalogue::create(place).await.unwrap();

    assert_eq!(again.agents(None, 10).await.unwrap().len(), 2);
    bench.catalogue.close().await;
    again.close().await;
    let opened = Catalogue::open(place).await.unwrap();
    assert_eq!(opened.agents(None, 10).await.unwrap().len(), 2);
}

async fn two_processes_that_make_the_catalogue_at_once_both_get_it(engine: Engine) {
    let site = Site::new(engine);

    let (one, two) = tokio::join!(Catalogue::create(&site.place), Catalogue::create(&site.place));

    let (one, two) = (one.unwrap(), two.unwrap());
    one.add_agent(&agent("edge-1"), &invitation(1), T).await.unwrap();
    assert_eq!(two.agents(None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_missing_catalogue_is_not_made_by_opening_it() {
    let directory = tempfile::tempdir().unwrap();
    let (path, place) = file(&directory);

    let error = Catalogue::open(&place).await.unwrap_err();

    assert!(matches!(&error, CatalogueError::Open { path: found, .. } if *found == path));
    assert!(!path.exists());
}

#[tokio::test]
async fn a_file_that_is_no_catalogue_is_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    let (path, place) = file(&directory);
    std::fs::write(&path, [b'x'; 4096]).unwrap();

    let error = Catalogue::create(&place).await.unwrap_err();

    assert!(matches!(error, CatalogueError::Open { .. }), "{error:?}");
    assert_eq!(std::fs::read(&path).unwrap(), [b'x'; 4096]);
}

async fn a_catalogue_of_a_newer_version_is_refused(engine: Engine) {
    let bench = Bench::new(engine).await;
    let mut tx = bench.catalogue.store.begin().await.unwrap();
    query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (99, 'later', TRUE, $1, 0)",
    )
    .bind(vec![0u8])
    .execute(&mut tx)
    .await
    .unwrap();
    tx.commit().await.unwrap();

    let error = Catalogue::open(&bench.site.place).await.unwrap_err();

    assert_eq!(
        error.to_string(),
        "catalogue has layout 99, which is newer than this version knows"
    );
}

#[test]
fn both_engines_have_the_same_steps_in_order() {
    for (step, next) in MIGRATIONS.iter().zip(&MIGRATIONS[1..]) {
        assert!(step.version < next.version, "{}", next.name);
    }
    for step in MIGRATIONS {
        assert!(step.name.starts_with(&format!("{:04}_", step.version)), "{}", step.name);
        assert!(!step.sqlite.is_empty() && !step.postgres.is_empty(), "{}", step.name);
    }
}

/// A catalogue as the first layout had it, with one logical file of one part.
async fn make_with_the_first_layout(path: &std::path::Path) {
    use sqlx::Connection as _;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    let first = sqlite_migrations()[..1].to_vec();
    let migrator = sqlx::migrate::Migrator::with_migrations(first);
    migrator.run_direct(None, &mut connection, false).await.unwrap();
    let statements = [
        "INSERT INTO logical_files (plane, name, current, last) VALUES ('data', 'a::x', 1, 1)",
        "INSERT INTO generations (plane, name, generation, state, job, wuid, agent, parts, bytes, \
         committed_ms, attributes, dir_per_part, devices, lfn_hash, receipt) VALUES ('data', \
         'a::x', 1, 'live', x'01010101010101010101010101010101', 'D20240229-123456-1', 'edge-1', \
         1, 3, 0, '[]', 1, 1, 5, x'')",
        "INSERT INTO generation_parts (plane, name, generation, part, path, length, digest, crc32) \
         VALUES ('data', 'a::x', 1, 0, 'a/x._1_of_1', 3, zeroblob(32), 0)",
    ];
    for statement in statements {
        sqlx::query(statement).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_catalogue_of_the_first_layout_is_brought_up_to_date_with_what_it_holds() {
    let directory = tempfile::tempdir().unwrap();
    let (path, place) = file(&directory);
    make_with_the_first_layout(&path).await;

    let catalogue = Catalogue::open(&place).await.unwrap();

    let (plane, name) = (plane(), logical("a::x"));
    let current = catalogue.current(&plane, &name).await.unwrap().unwrap();
    assert_eq!((current.generation, current.bytes), (Generation(1), 3));
    let parts = catalogue.parts((&plane, &name), Generation(1), None, 10).await.unwrap();
    assert_eq!((parts[0].length, parts[0].header, parts[0].footer), (3, 0, 0));
    assert_eq!(catalogue.origin_ranges(current.job, None, 10).await.unwrap(), []);
    catalogue.remove_logical(&plane, &name, &Actor::Operator, T).await.unwrap();
}

#[tokio::test]
async fn every_commit_reaches_the_disk() {
    let bench = Bench::new(Engine::Sqlite).await;
    let mut tx = bench.catalogue.store.begin().await.unwrap();

    let row = query("PRAGMA synchronous").fetch_one(&mut *tx).await.unwrap();
    assert_eq!(row.try_get::<i64>("synchronous").unwrap(), 2, "FULL");
    let row = query("PRAGMA journal_mode").fetch_one(&mut *tx).await.unwrap();
    assert_eq!(row.try_get::<String>("journal_mode").unwrap(), "wal");
}

async fn a_reader_cannot_write(engine: Engine) {
    let bench = Bench::new(engine).await;
    let mut snapshot = bench.catalogue.store.snapshot().await.unwrap();

    let error = query("DELETE FROM agents").execute(&mut snapshot).await.unwrap_err();

    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("readonly") || source.contains("read-only"), "{source}");
}

async fn two_processes_write_without_losing_a_line(engine: Engine) {
    let bench = Bench::new(engine).await;
    let other = bench.other_process().await;
    let before = bench.catalogue.verify_audit().await.unwrap().lines;

    let write = async |catalogue: &Catalogue| {
        for _ in 0..50 {
            let entry = AuditEntry::new(Actor::Relay, AuditEvent::Session);
            catalogue.record(&entry, T).await.unwrap();
        }
    };
    tokio::join!(write(&bench.catalogue), write(&other));

    assert_eq!(bench.catalogue.verify_audit().await.unwrap().lines, before + 100);
}
