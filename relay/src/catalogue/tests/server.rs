//! What only a server has: being away, being lost on the way, replicas that fall silent.

use super::super::jobs::bump;
use super::*;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// A catalogue on a server that the test stops and starts.
async fn on_own_server() -> (Postgres, TempDir, Catalogue) {
    let server = Postgres::start().unwrap_or_else(|error| panic!("{error}"));
    let directory = tempfile::tempdir().unwrap();
    let catalogue = Catalogue::create(&Site::on_server(&server, &directory)).await.unwrap();
    (server, directory, catalogue)
}

#[tokio::test]
async fn a_server_that_is_away_is_a_passing_failure_and_loses_nothing() {
    let (mut server, _directory, catalogue) = on_own_server().await;
    catalogue.add_agent(&agent("edge-1"), &invitation(1), T).await.unwrap();
    let open = catalogue.store.begin().await.unwrap();
    server.stop_immediate().unwrap();

    let lost = open.commit().await.unwrap_err();
    let away = catalogue.agent(&agent("edge-1")).await.unwrap_err();

    for error in [lost, away] {
        assert!(matches!(error, CatalogueError::Unavailable { .. }), "{error:?}");
        assert!(error.is_passing());
        assert_eq!(error.refusal().code, skyspray_wire::refusal::RefusalCode::Busy);
    }
    server.restart().unwrap();
    assert!(catalogue.agent(&agent("edge-1")).await.unwrap().is_some());
    catalogue.add_agent(&agent("edge-2"), &invitation(1), T).await.unwrap();
    assert_eq!(catalogue.verify_audit().await.unwrap().lines, 2);
}

#[tokio::test]
async fn a_server_that_is_not_there_at_the_start_is_a_passing_failure() {
    let (mut server, directory, catalogue) = on_own_server().await;
    catalogue.close().await;
    let place = Site::on_server(&server, &directory);
    server.stop_immediate().unwrap();

    let error = Catalogue::open(&place).await.unwrap_err();

    assert!(matches!(error, CatalogueError::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn what_the_server_says_is_classified_by_its_code() {
    let bench = Bench::empty(Engine::Postgres).await;
    let cases = [
        ("55P03", "catalogue is busy"),
        ("53100", "catalogue has no room on its disk"),
        ("40001", "catalogue is not available"),
        ("40P01", "catalogue is not available"),
        ("57P01", "catalogue is not available"),
        ("57014", "catalogue is not available"),
        ("08006", "catalogue is not available"),
        ("53300", "catalogue is not available"),
        ("25006", "catalogue is not available"),
        ("23505", "catalogue statement failed"),
        ("42P01", "catalogue statement failed"),
    ];
    let mut tx = bench.catalogue.store.begin().await.unwrap();
    query(
        "CREATE FUNCTION fail(code TEXT) RETURNS BIGINT LANGUAGE plpgsql AS \
         'BEGIN RAISE EXCEPTION USING ERRCODE = code; END'",
    )
    .execute(&mut tx)
    .await
    .unwrap();
    tx.commit().await.unwrap();

    for (code, said) in cases {
        let asked = query("SELECT fail($1)").bind(code);
        let error = asked.fetch_all(bench.catalogue.store.readers()).await.unwrap_err();
        assert_eq!((code, error.to_string().as_str()), (code, said));
    }
}

#[tokio::test]
async fn a_session_that_was_ended_is_replaced() {
    let bench = Bench::new(Engine::Postgres).await;
    let other = bench.other_process().await;
    let mut tx = bench.catalogue.store.begin().await.unwrap();
    let pid = query("SELECT pg_backend_pid()::bigint AS pid").fetch_one(&mut *tx).await.unwrap();
    let ended = query("SELECT pg_terminate_backend($1::int)::text AS ended")
        .bind(pid.try_get::<i64>("pid").unwrap())
        .fetch_one(other.store.readers())
        .await
        .unwrap();
    assert_eq!(ended.try_get::<String>("ended").unwrap(), "true");

    let statement = query("UPDATE counters SET value = value").execute(&mut tx).await;

    let error = statement.unwrap_err();
    assert!(matches!(error, CatalogueError::Unavailable { .. }), "{error:?}");
    drop(tx);
    bench.catalogue.revoke_agent(&agent("edge-1"), T).await.unwrap();
}

#[tokio::test]
async fn a_replica_that_falls_silent_in_a_transaction_stops_the_others_for_seconds_only() {
    let bench = Bench::new(Engine::Postgres).await;
    let other = bench.other_process().await;
    let silent = bench.catalogue.store.begin().await.unwrap();
    let began = Instant::now();

    other.agents(None, 10).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(4), "reading waits for nobody");
    other.revoke_agent(&agent("edge-1"), T).await.unwrap();

    let waited = began.elapsed();
    assert!(waited > Duration::from_secs(4) && waited < Duration::from_secs(9), "{waited:?}");
    let error = silent.commit().await.unwrap_err();
    assert!(matches!(error, CatalogueError::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn progress_does_not_wait_for_what_is_decided_elsewhere() {
    let bench = Bench::new(Engine::Postgres).await;
    let (mine, other) = (spray(1, "a::x"), spray(2, "a::y"));
    let epoch = bench.open(&mine, T).await.unwrap().epoch;
    bench.open(&other, T).await.unwrap();
    let tree = b"t".to_vec();
    let item = Progress {
        job: mine.job,
        epoch,
        part: PartIndex(0),
        tree,
        job_bytes: 7,
        pieces: Vec::new(),
    };
    let mut deciding = bench.catalogue.store.begin().await.unwrap();
    bump(&mut deciding, other.job, T).await.unwrap();

    let began = Instant::now();
    let stale = bench.catalogue.record_progress(&[item], T + 1).await.unwrap();

    assert!(began.elapsed() < Duration::from_secs(4));
    assert_eq!(stale, []);
    deciding.commit().await.unwrap();
}

#[tokio::test]
async fn progress_that_meets_a_decision_on_its_own_job_waits_and_is_fenced() {
    let bench = Bench::new(Engine::Postgres).await;
    let new = spray(1, "a::x");
    let epoch = bench.open(&new, T).await.unwrap().epoch;
    let mut deciding = bench.catalogue.store.begin().await.unwrap();
    bump(&mut deciding, new.job, T).await.unwrap();
    let tree = b"old".to_vec();
    let items = [Progress {
        job: new.job,
        epoch,
        part: PartIndex(0),
        tree,
        job_bytes: 7,
        pieces: Vec::new(),
    }];

    let mut recording = Box::pin(bench.catalogue.record_progress(&items, T + 1));
    let early = timeout(Duration::from_millis(300), &mut recording).await;
    assert!(early.is_err(), "the job's row is taken");
    deciding.commit().await.unwrap();

    assert_eq!(recording.await.unwrap(), [(new.job, epoch)]);
    assert_eq!(bench.catalogue.job_parts(new.job, None, 9).await.unwrap(), []);
    assert_eq!(bench.job(&new).await.bytes_durable, 0);
}

#[tokio::test]
async fn a_role_that_may_not_make_tables_opens_what_is_up_to_date() {
    let bench = Bench::new(Engine::Postgres).await;
    let mut tx = bench.catalogue.store.begin().await.unwrap();
    query("REVOKE CREATE ON SCHEMA public FROM pg_database_owner").execute(&mut tx).await.unwrap();
    tx.commit().await.unwrap();

    let opened = bench.other_process().await;
    assert_eq!(opened.agents(None, 10).await.unwrap().len(), 2);

    let mut tx = bench.catalogue.store.begin().await.unwrap();
    query("DELETE FROM _sqlx_migrations WHERE version = 1").execute(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    let error = Catalogue::open(&bench.site.place).await.unwrap_err();
    assert!(matches!(error, CatalogueError::Migrate { .. }), "{error:?}");
}

#[tokio::test]
async fn every_commit_waits_for_the_disk_and_no_wait_is_without_end() {
    let bench = Bench::empty(Engine::Postgres).await;
    let mut tx = bench.catalogue.store.begin().await.unwrap();
    query("ALTER ROLE CURRENT_USER SET synchronous_commit = off").execute(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    let other = bench.other_process().await;

    let row = query(
        "SELECT current_setting('synchronous_commit') || ' ' || \
         current_setting('idle_in_transaction_session_timeout') || ' ' || \
         current_setting('lock_timeout') || ' ' || current_setting('statement_timeout') AS said",
    )
    .fetch_one(other.store.readers())
    .await
    .unwrap();

    assert_eq!(row.try_get::<String>("said").unwrap(), "on 5s 10s 30s");
}

#[tokio::test]
async fn a_wrong_password_is_the_operators_to_correct_and_is_not_repeated() {
    let bench = Bench::empty(Engine::Postgres).await;
    let Place::Postgres { url, .. } = &bench.site.place else { panic!("on a server") };
    let file = bench.site.directory.path().join("wrong");
    std::fs::write(&file, "s3cret-canary").unwrap();
    let place = Place::Postgres { url: url.clone(), password_file: Some(file) };

    let error = Catalogue::open(&place).await.unwrap_err();

    let CatalogueError::Connect { at, .. } = &error else { panic!("{error:?}") };
    assert!(at.starts_with('t') && at.contains("@127.0.0.1:"), "{at}");
    assert!(!format!("{error:?} {error} {place:?}").contains("s3cret"), "{error:?}");
    let missing = Place::Postgres { url: url.clone(), password_file: Some("/none".into()) };
    let error = Catalogue::open(&missing).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot read the catalogue's password from /none");
}

#[tokio::test]
async fn the_right_to_place_parts_has_one_holder_until_it_is_given_up_or_runs_out() {
    let bench = Bench::empty(Engine::Postgres).await;
    let other = bench.other_process().await;
    let (one, two) = ([1; 16], [2; 16]);
    let catalogue = &bench.catalogue;

    assert!(catalogue.take_placing(&plane(), &one, 60_000).await.unwrap());
    assert!(!other.take_placing(&plane(), &two, 60_000).await.unwrap());
    assert!(catalogue.take_placing(&plane(), &one, 60_000).await.unwrap(), "its own is kept");
    let lake = PlaneName::parse("lake").unwrap();
    assert!(other.take_placing(&lake, &two, 60_000).await.unwrap(), "planes are apart");
    other.release_placing(&plane(), &two).await.unwrap();
    assert!(!other.take_placing(&plane(), &two, 60_000).await.unwrap(), "not its own to give up");
    catalogue.release_placing(&plane(), &one).await.unwrap();
    assert!(other.take_placing(&plane(), &two, 0).await.unwrap());
    assert!(catalogue.take_placing(&plane(), &one, 60_000).await.unwrap(), "it has run out");
}
