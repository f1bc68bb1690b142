//! SQLite: one file, one writing connection, readers that never wait for it.

use super::super::error::CatalogueError;
use super::migrations::{self, Step};
use sqlx::migrate::{MigrateError, Migration, Migrator};
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Sqlite, SqliteConnection, Transaction};
use std::path::Path;
use std::time::Duration;

/// How long a statement waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections that read; they never wait for the writer.
const READERS_MAX: u32 = 4;

/// The connections to one database file.
#[derive(Clone, Debug)]
pub(in crate::catalogue) struct Store {
    /// One connection: SQLite has one writer, and waiting for it here is fairer than in the file.
    writer: SqlitePool,
    readers: SqlitePool,
}

/// A connection in use.
#[derive(Debug)]
pub(in crate::catalogue) enum Session {
    /// For single statements.
    Plain(PoolConnection<Sqlite>),
    /// In a transaction.
    Tx(Transaction<'static, Sqlite>),
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

    /// Begins a transaction that holds the database's only right to write from the start.
    pub(super) async fn begin(&self) -> Result<Session, CatalogueError> {
        let begun = self.writer.begin_with("BEGIN IMMEDIATE").await;
        begun.map(Session::Tx).map_err(classify)
    }

    /// Begins a transaction that reads one snapshot.
    pub(super) async fn snapshot(&self) -> Result<Session, CatalogueError> {
        self.readers.begin().await.map(Session::Tx).map_err(classify)
    }

    /// A connection for single statements that read.
    pub(super) async fn reader(&self) -> Result<Session, CatalogueError> {
        self.readers.acquire().await.map(Session::Plain).map_err(classify)
    }
}

impl Session {
    /// The connection itself.
    pub(super) fn raw(&mut self) -> &mut SqliteConnection {
        match self {
            Self::Plain(connection) => connection,
            Self::Tx(tx) => tx,
        }
    }

    /// Ends its transaction.
    pub(super) async fn commit(self) -> Result<(), CatalogueError> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tx(tx) => tx.commit().await.map_err(classify),
        }
    }
}

/// The steps to this version's layout, oldest first.
pub(in crate::catalogue) fn migrations() -> Vec<Migration> {
    migrations::migrations(|step: &Step| step.sqlite)
}

/// Brings the layout up to date in one transaction, so that two processes that open an empty file
/// at once do it once.
async fn migrate(writer: &SqlitePool) -> Result<(), CatalogueError> {
    let mut tx = writer.begin_with("BEGIN IMMEDIATE").await.map_err(classify)?;
    let migrator = Migrator::with_migrations(migrations());
    migrator.run_direct(None, &mut *tx, false).await.map_err(|error| match error {
        MigrateError::VersionMissing(version) => CatalogueError::Newer { version },
        source => CatalogueError::Migrate { source },
    })?;
    tx.commit().await.map_err(classify)
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
