//! Everything that is particular to SQLite: connections, transactions, migrations, error codes.
//!
//! The statements elsewhere are the same text for PostgreSQL. Where a decision reads before it
//! writes, it first takes the row with an `UPDATE … RETURNING`, which locks it there.

use super::error::CatalogueError;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{SqlSafeStr, Sqlite, Transaction};
use std::path::Path;
use std::time::Duration;

/// One row of a result.
pub(super) type Row = sqlx::sqlite::SqliteRow;

/// One connection, in a transaction or not.
pub(super) type Connection = sqlx::SqliteConnection;

/// A transaction; rolled back when dropped.
pub(super) type Tx = Transaction<'static, Sqlite>;

/// How long a statement waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections that read; they never wait for the writer.
const READERS_MAX: u32 = 4;

const MIGRATIONS: [(i64, &str, &str); 4] = [
    (1, "catalogue", include_str!("../../migrations/sqlite/0001_catalogue.sql")),
    (2, "origins", include_str!("../../migrations/sqlite/0002_origins.sql")),
    (4, "uploads", include_str!("../../migrations/sqlite/0004_uploads.sql")),
    (6, "stored parts", include_str!("../../migrations/sqlite/0006_stored_parts.sql")),
];

/// The connections to one database file.
#[derive(Clone, Debug)]
pub(super) struct Store {
    /// One connection: SQLite has one writer, and waiting for it here is fairer than in the file.
    writer: SqlitePool,
    readers: SqlitePool,
}

impl Store {
    /// Opens the file, makes it where `create` says so, and migrates it.
    pub(super) async fn open(path: &Path, create: bool) -> Result<Self, CatalogueError> {
        let cannot = |source| CatalogueError::Open { path: path.to_owned(), source };
        let options = SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(BUSY_TIMEOUT)
            .synchronous(SqliteSynchronous::Full)
            .statement_cache_capacity(256);
        let writing =
            options.clone().create_if_missing(create).journal_mode(SqliteJournalMode::Wal);
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(writing)
            .await
            .map_err(cannot)?;
        migrate(&writer).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS_MAX)
            .connect_with(options.pragma("query_only", "ON"))
            .await
            .map_err(cannot)?;
        Ok(Self { writer, readers })
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// Begins a transaction that writes. It holds the database's only writing right from the
    /// start, so nothing it has read can change before it commits.
    pub(super) async fn begin(&self) -> Result<Tx, CatalogueError> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// Begins a transaction that reads: one snapshot for all its statements.
    pub(super) async fn snapshot(&self) -> Result<Tx, CatalogueError> {
        Ok(self.readers.begin().await?)
    }

    /// Connections for single statements that read.
    pub(super) fn readers(&self) -> &SqlitePool {
        &self.readers
    }
}

/// The steps to this version's layout, oldest first.
pub(super) fn migrations() -> Vec<Migration> {
    let step = |(version, name, sql): (i64, &'static str, &'static str)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    MIGRATIONS.map(step).to_vec()
}

/// Brings the layout up to date in one transaction, so that two processes that open an empty file
/// at once do it once.
async fn migrate(writer: &SqlitePool) -> Result<(), CatalogueError> {
    let mut tx = writer.begin_with("BEGIN IMMEDIATE").await?;
    let migrator = Migrator::with_migrations(migrations());
    migrator.run_direct(None, &mut *tx, false).await.map_err(|error| match error {
        MigrateError::VersionMissing(version) => CatalogueError::Newer { version },
        source => CatalogueError::Migrate { source },
    })?;
    tx.commit().await?;
    Ok(())
}

/// What a failure of the database means.
pub(super) fn classify(source: sqlx::Error) -> CatalogueError {
    let code = match &source {
        sqlx::Error::Database(error) => error.code().and_then(|code| code.parse::<u32>().ok()),
        sqlx::Error::PoolTimedOut => return CatalogueError::Busy,
        _ => None,
    };
    // The low byte is the primary code: SQLITE_BUSY, SQLITE_LOCKED, SQLITE_FULL.
    match code.map(|code| code & 0xff) {
        Some(5 | 6) => CatalogueError::Busy,
        Some(13) => CatalogueError::Full,
        _ => CatalogueError::Database { source },
    }
}
