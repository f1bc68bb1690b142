//! PostgreSQL: a server that several replicas share.
//!
//! Transactions that decide run one at a time, by an advisory lock that the server gives up with
//! the transaction. No wait is without end: the server ends a transaction whose replica has fallen
//! silent, a lock is waited for a while only, and a server that does not answer is given up.

mod failure;
mod options;

pub(super) use options::options;

use super::super::error::CatalogueError;
use super::migrations::{self, Step};
use failure::{classify, unreachable};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{Connection as _, Executor as _, Postgres, Row as _};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

/// Connections that write. Deciding transactions queue for one lock anyway; the others are for what
/// needs no lock.
const WRITERS_MAX: u32 = 4;

/// Connections that read, apart from those that may wait for a lock.
const READERS_MAX: u32 = 4;

/// How long a transaction waits for a connection that writes. Longer than the server keeps a silent
/// replica's transaction.
const WRITER_WAIT: Duration = Duration::from_secs(10);

/// How long a read waits for a connection. An edge waits 5 s for its welcome.
const READER_WAIT: Duration = Duration::from_secs(4);

/// How long an answer may take. Somewhat more than the server gives a statement, so that only a
/// server that is gone meets it.
pub(super) const DEADLINE: Duration = Duration::from_secs(35);

/// How long the server may take to end a transaction that is not to be.
const ROLLBACK_DEADLINE: Duration = Duration::from_secs(5);

/// The upper half of the number of the advisory lock; the lower is the schema's own number.
const LOCK_CLASS: i64 = 0x534b_5943;

/// The connections to one schema on a server.
#[derive(Clone, Debug)]
pub(in crate::catalogue) struct Store {
    writers: PgPool,
    readers: PgPool,
    /// The number of the advisory lock that deciding transactions take.
    lock: i64,
}

/// A connection in use, in a transaction or not.
#[derive(Debug)]
pub(in crate::catalogue) struct Session {
    /// Taken out only when it is dropped.
    connection: Option<PoolConnection<Postgres>>,
    /// From before the server is asked to begin one until it says that it has ended.
    in_transaction: bool,
    /// The server may still be at work on the last statement; nothing else may follow it.
    lost: bool,
}

impl Store {
    /// Connects and brings the schema to this version's layout.
    pub(super) async fn open(options: PgConnectOptions) -> Result<Self, CatalogueError> {
        let lock = prepare(&options).await?;
        let pool = |connections, wait| {
            PgPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(wait)
                .after_connect(|connection, _| Box::pin(make_durable(connection)))
                .connect_lazy_with(options.clone())
        };
        Ok(Self {
            writers: pool(WRITERS_MAX, WRITER_WAIT),
            readers: pool(READERS_MAX, READER_WAIT),
            lock,
        })
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writers.close().await;
    }

    /// Begins a transaction that runs alone among its kind: the lock is taken before the first
    /// statement, each of which sees what was committed before it began.
    pub(super) async fn begin_alone(&self) -> Result<Session, CatalogueError> {
        let mut session = self.begin().await?;
        let query = sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(self.lock);
        let locked = timeout(DEADLINE, query.execute(session.raw())).await;
        session.settle(locked)?;
        Ok(session)
    }

    /// Begins a transaction that waits for nobody.
    pub(super) async fn begin(&self) -> Result<Session, CatalogueError> {
        Session::begin(&self.writers, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE").await
    }

    /// Begins a transaction that reads one snapshot.
    pub(super) async fn snapshot(&self) -> Result<Session, CatalogueError> {
        Session::begin(&self.readers, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await
    }

    /// A connection for single statements that read.
    pub(super) async fn reader(&self) -> Result<Session, CatalogueError> {
        Session::acquire(&self.readers).await
    }
}

impl Session {
    async fn acquire(pool: &PgPool) -> Result<Self, CatalogueError> {
        let connection = Some(pool.acquire().await.map_err(classify)?);
        Ok(Self { connection, in_transaction: false, lost: false })
    }

    async fn begin(pool: &PgPool, statement: &'static str) -> Result<Self, CatalogueError> {
        let mut session = Self::acquire(pool).await?;
        session.in_transaction = true;
        session.say(statement).await?;
        Ok(session)
    }

    /// Ends its transaction.
    pub(super) async fn commit(mut self) -> Result<(), CatalogueError> {
        self.say("COMMIT").await?;
        self.in_transaction = false;
        Ok(())
    }

    async fn say(&mut self, statement: &'static str) -> Result<(), CatalogueError> {
        let said = timeout(DEADLINE, self.raw().execute(statement)).await;
        self.settle(said).map(drop)
    }

    /// The connection itself; what it does is to be awaited within [`DEADLINE`] and settled.
    pub(super) fn raw(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect("it is there until it is dropped")
    }

    /// What became of work on the connection.
    pub(super) fn settle<T>(
        &mut self,
        outcome: Result<Result<T, sqlx::Error>, Elapsed>,
    ) -> Result<T, CatalogueError> {
        match outcome {
            Ok(done) => done.map_err(classify),
            Err(_) => {
                self.lost = true;
                Err(unreachable())
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        if self.lost {
            connection.close_on_drop();
        } else if self.in_transaction {
            // As the pool itself does with what is given back. Without a runtime the connection
            // breaks off, which ends the transaction as well.
            match Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn(roll_back(connection))),
                Err(_) => drop(connection.detach()),
            }
        }
    }
}

/// Ends a transaction that is not to be, so that the connection can be used again.
async fn roll_back(mut connection: PoolConnection<Postgres>) {
    let rolled_back = timeout(ROLLBACK_DEADLINE, connection.execute("ROLLBACK")).await;
    if !matches!(rolled_back, Ok(Ok(_))) {
        connection.close_on_drop();
    }
}

/// Migrates what `options` lead to, and returns the number of its advisory lock.
async fn prepare(options: &PgConnectOptions) -> Result<i64, CatalogueError> {
    let at = || options::shown(options);
    let connecting = timeout(WRITER_WAIT, PgConnection::connect_with(options)).await;
    let mut connection = match connecting {
        Ok(connected) => connected.map_err(|source| failure::connect(source, at()))?,
        Err(_) => return Err(unreachable()),
    };
    let prepared = timeout(DEADLINE, migrate(&mut connection)).await;
    let lock = prepared.map_err(|_| unreachable())??;
    connection.close().await.map_err(classify)?;
    lock.ok_or_else(|| CatalogueError::Schema { at: at() })
}

/// Brings the layout up to date, unless it is: then no right to make tables is needed. Returns the
/// number of the advisory lock; `None` when the role finds no schema.
async fn migrate(connection: &mut PgConnection) -> Result<Option<i64>, CatalogueError> {
    let row = sqlx::query(
        "SELECT (SELECT oid::bigint FROM pg_namespace WHERE nspname = current_schema()) AS schema, \
         to_regclass('_sqlx_migrations') IS NOT NULL AS there, \
         current_setting('fsync') = 'on' AS durable",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(classify)?;
    let column = |error| CatalogueError::Database { source: error };
    let Some(schema) = row.try_get::<Option<i64>, _>("schema").map_err(column)? else {
        return Ok(None);
    };
    if !row.try_get::<bool, _>("durable").map_err(column)? {
        tracing::warn!(
            "the catalogue's server has fsync off: a crash of its host may lose commits"
        );
    }
    let lock = LOCK_CLASS << 32 | schema;
    if row.try_get("there").map_err(column)? && is_current(connection).await? {
        return Ok(Some(lock));
    }
    let mut tx = connection.begin().await.map_err(classify)?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(lock)
        .execute(&mut *tx)
        .await
        .map_err(classify)?;
    let mut migrator = Migrator::with_migrations(migrations());
    // The lock taken above is the schema's own and ends with the transaction.
    migrator.set_locking(false);
    let migrated = migrator.run_direct(None, &mut *tx, false).await;
    migrated.map_err(|error| match error {
        MigrateError::VersionMissing(version) => CatalogueError::Newer { version },
        source => CatalogueError::Migrate { source },
    })?;
    tx.commit().await.map_err(classify)?;
    Ok(Some(lock))
}

fn migrations() -> Vec<sqlx::migrate::Migration> {
    migrations::migrations(|step: &Step| step.postgres)
}

/// Whether the schema has just the layout of this version.
async fn is_current(connection: &mut PgConnection) -> Result<bool, CatalogueError> {
    let rows = sqlx::query("SELECT version, checksum FROM _sqlx_migrations ORDER BY version")
        .fetch_all(connection)
        .await
        .map_err(classify)?;
    let known = migrations();
    Ok(rows.len() == known.len()
        && rows.iter().zip(&known).all(|(row, step)| {
            row.try_get::<i64, _>("version").is_ok_and(|version| version == step.version)
                && row.try_get::<Vec<u8>, _>("checksum").is_ok_and(|sum| *sum == *step.checksum)
        }))
}

/// Makes every commit wait for the disk, also where the role or the database is set not to; a
/// setting that waits for more stays.
async fn make_durable(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query(
        "SELECT set_config('synchronous_commit', 'on', false) \
         WHERE current_setting('synchronous_commit') = 'off'",
    )
    .execute(connection)
    .await?;
    Ok(())
}
