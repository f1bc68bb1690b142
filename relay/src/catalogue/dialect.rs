//! Everything that knows which engine holds the catalogue: SQLite in a file, or PostgreSQL.
//!
//! The statements elsewhere are one text for both: `$1` placeholders, `ON CONFLICT`, `RETURNING`,
//! numbers as BIGINT, times as milliseconds, and nothing that only one of them reads.

mod bulk;
mod migrations;
mod postgres;
mod query;
mod sqlite;

pub(super) use bulk::bulk;
pub(super) use query::{Row, query};

#[cfg(test)]
pub(super) use migrations::MIGRATIONS;
#[cfg(test)]
pub(super) use sqlite::migrations as sqlite_migrations;

use super::Place;
use super::error::CatalogueError;
use std::ops::{Deref, DerefMut};

/// The connections to one catalogue. Clones share them.
#[derive(Clone, Debug)]
pub(super) enum Store {
    /// A file on this host.
    Sqlite(sqlite::Store),
    /// A server that several replicas share.
    Postgres(postgres::Store),
}

/// One connection, in a transaction or not.
#[derive(Debug)]
pub(super) enum Connection {
    /// To the file.
    Sqlite(sqlite::Session),
    /// To the server.
    Postgres(postgres::Session),
}

/// A transaction; rolled back when dropped.
#[derive(Debug)]
pub(super) struct Tx(Connection);

/// Where a statement that only reads finds a connection for itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Readers<'a>(&'a Store);

impl Store {
    /// Opens the catalogue and brings it to this version's layout. A file is made only where
    /// `create` says so; the tables on a server are made whenever they are missing.
    pub(super) async fn open(place: &Place, create: bool) -> Result<Self, CatalogueError> {
        match place {
            Place::File(path) => Ok(Self::Sqlite(sqlite::Store::open(path, create).await?)),
            Place::Postgres { url, password_file } => {
                let options = postgres::options(url, password_file.as_deref())?;
                Ok(Self::Postgres(postgres::Store::open(options).await?))
            }
        }
    }

    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite(store) => store.close().await,
            Self::Postgres(store) => store.close().await,
        }
    }

    /// Begins a transaction that decides: until it ends no other one of these runs, in any process,
    /// so nothing it has read can change before it commits but what [`Self::begin_guarded`] allows.
    pub(super) async fn begin(&self) -> Result<Tx, CatalogueError> {
        Ok(Tx(match self {
            Self::Sqlite(store) => Connection::Sqlite(store.begin().await?),
            Self::Postgres(store) => Connection::Postgres(store.begin_alone().await?),
        }))
    }

    /// Begins a transaction that does not wait for those of [`Self::begin`], for statements that
    /// stand guard themselves.
    ///
    /// It may only change rows whose right to be changed each statement states in its own `WHERE`
    /// (job, epoch and state), and rows that hang on such a row after it has been changed in the same
    /// transaction. With PostgreSQL the change locks that row: whoever takes the job to another
    /// epoch or state must change the same row, so one of the two waits, and the second sees what
    /// the first committed (READ COMMITTED looks at the newest version again before it changes it).
    /// Either the progress was there before the decision, or its `WHERE` finds nothing.
    pub(super) async fn begin_guarded(&self) -> Result<Tx, CatalogueError> {
        Ok(Tx(match self {
            Self::Sqlite(store) => Connection::Sqlite(store.begin().await?),
            Self::Postgres(store) => Connection::Postgres(store.begin().await?),
        }))
    }

    /// Begins a transaction that reads: one snapshot for all its statements.
    pub(super) async fn snapshot(&self) -> Result<Tx, CatalogueError> {
        Ok(Tx(match self {
            Self::Sqlite(store) => Connection::Sqlite(store.snapshot().await?),
            Self::Postgres(store) => Connection::Postgres(store.snapshot().await?),
        }))
    }

    /// For single statements that read.
    pub(super) fn readers(&self) -> Readers<'_> {
        Readers(self)
    }

    /// Whether processes on several hosts may share this catalogue.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }
}

impl Readers<'_> {
    async fn connection(self) -> Result<Connection, CatalogueError> {
        Ok(match self.0 {
            Store::Sqlite(store) => Connection::Sqlite(store.reader().await?),
            Store::Postgres(store) => Connection::Postgres(store.reader().await?),
        })
    }
}

impl Tx {
    /// Makes what the transaction did durable and visible.
    ///
    /// # Errors
    ///
    /// Nothing was done; after [`CatalogueError::Unavailable`] it may have been all the same, so
    /// whoever tries again must find the same end either way.
    pub(super) async fn commit(self) -> Result<(), CatalogueError> {
        match self.0 {
            Connection::Sqlite(session) => session.commit().await,
            Connection::Postgres(session) => session.commit().await,
        }
    }
}

impl Deref for Tx {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.0
    }
}
