//! One statement: its text, the values bound to it, and the rows that come back.

use super::super::error::CatalogueError;
use super::postgres::DEADLINE;
use super::{Connection, Readers, sqlite};
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{
    AssertSqlSafe, Database, Decode, Encode, IntoArguments, Postgres, Row as _, Sqlite, Type,
};
use std::borrow::Cow;
use tokio::time::timeout;

/// A statement with this text.
pub(in crate::catalogue) fn query(sql: &'static str) -> Query {
    Query { sql: Cow::Borrowed(sql), values: Vec::new() }
}

/// A statement that waits to be run.
#[derive(Debug)]
pub(in crate::catalogue) struct Query {
    /// Written in this program throughout; whatever comes from outside is bound.
    sql: Cow<'static, str>,
    values: Vec<Value>,
}

/// A value bound to a placeholder. Columns hold nothing else.
#[derive(Clone, Debug)]
pub(in crate::catalogue) enum Value {
    /// BIGINT.
    Int(Option<i64>),
    /// TEXT.
    Text(Option<String>),
    /// BLOB or BYTEA.
    Bytes(Option<Vec<u8>>),
}

/// What a statement that returns no rows has done.
#[derive(Clone, Copy, Debug)]
pub(in crate::catalogue) struct Done {
    rows: u64,
}

/// One row of a result.
#[derive(Debug)]
pub(in crate::catalogue) enum Row {
    /// Of a file.
    Sqlite(SqliteRow),
    /// Of a server.
    Postgres(PgRow),
}

/// A type that can be read from a column of either engine.
pub(in crate::catalogue) trait Column:
    for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>
{
}

impl<T> Column for T where
    T: for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>
{
}

/// Where a statement runs.
#[derive(Debug)]
pub(in crate::catalogue) enum On<'a> {
    /// On a connection the caller holds.
    Held(&'a mut Connection),
    /// On any that reads.
    Any(Readers<'a>),
}

impl Query {
    /// A statement with all its values.
    pub(super) fn with_values(sql: String, values: Vec<Value>) -> Self {
        Self { sql: Cow::Owned(sql), values }
    }

    /// Binds the next placeholder.
    pub(in crate::catalogue) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Runs it and returns every row.
    pub(in crate::catalogue) async fn fetch_all(
        self,
        on: impl Into<On<'_>>,
    ) -> Result<Vec<Row>, CatalogueError> {
        match on.into() {
            On::Held(connection) => self.rows(connection).await,
            On::Any(readers) => self.rows(&mut readers.connection().await?).await,
        }
    }

    /// Runs it and returns its first row, if there is one.
    pub(in crate::catalogue) async fn fetch_optional(
        self,
        on: impl Into<On<'_>>,
    ) -> Result<Option<Row>, CatalogueError> {
        Ok(self.fetch_all(on).await?.into_iter().next())
    }

    /// Runs it and returns its first row.
    ///
    /// # Errors
    ///
    /// As for every statement, or there is none.
    pub(in crate::catalogue) async fn fetch_one(
        self,
        on: impl Into<On<'_>>,
    ) -> Result<Row, CatalogueError> {
        let missing = || CatalogueError::Database { source: sqlx::Error::RowNotFound };
        self.fetch_optional(on).await?.ok_or_else(missing)
    }

    /// Runs it on a connection the caller holds, for what it does.
    pub(in crate::catalogue) async fn execute(
        self,
        on: &mut Connection,
    ) -> Result<Done, CatalogueError> {
        let rows = match on {
            Connection::Sqlite(session) => {
                let done = bound(self).execute(session.raw()).await;
                done.map_err(sqlite::classify)?.rows_affected()
            }
            Connection::Postgres(session) => {
                let done = timeout(DEADLINE, bound(self).execute(session.raw())).await;
                session.settle(done)?.rows_affected()
            }
        };
        Ok(Done { rows })
    }

    async fn rows(self, on: &mut Connection) -> Result<Vec<Row>, CatalogueError> {
        Ok(match on {
            Connection::Sqlite(session) => {
                let rows = bound(self).fetch_all(session.raw()).await;
                rows.map_err(sqlite::classify)?.into_iter().map(Row::Sqlite).collect()
            }
            Connection::Postgres(session) => {
                let rows = timeout(DEADLINE, bound(self).fetch_all(session.raw())).await;
                session.settle(rows)?.into_iter().map(Row::Postgres).collect()
            }
        })
    }
}

/// The statement as the driver of one engine takes it.
fn bound<'q, DB>(query: Query) -> sqlx::query::Query<'q, DB, DB::Arguments>
where
    DB: Database,
    DB::Arguments: IntoArguments<DB>,
    Option<i64>: Encode<'q, DB> + Type<DB>,
    Option<String>: Encode<'q, DB> + Type<DB>,
    Option<Vec<u8>>: Encode<'q, DB> + Type<DB>,
{
    let statement = sqlx::query::<DB>(AssertSqlSafe(query.sql));
    query.values.into_iter().fold(statement, |statement, value| match value {
        Value::Int(value) => statement.bind(value),
        Value::Text(value) => statement.bind(value),
        Value::Bytes(value) => statement.bind(value),
    })
}

impl Done {
    /// Rows inserted, changed or deleted.
    pub(in crate::catalogue) fn rows_affected(self) -> u64 {
        self.rows
    }
}

impl Row {
    /// The value of a column.
    pub(in crate::catalogue) fn try_get<T: Column>(&self, column: &str) -> Result<T, sqlx::Error> {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
    }
}

impl<'a> From<&'a mut Connection> for On<'a> {
    fn from(connection: &'a mut Connection) -> Self {
        Self::Held(connection)
    }
}

impl<'a> From<Readers<'a>> for On<'a> {
    fn from(readers: Readers<'a>) -> Self {
        Self::Any(readers)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<Option<i64>> for Value {
    fn from(value: Option<i64>) -> Self {
        Self::Int(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

impl From<Option<&str>> for Value {
    fn from(value: Option<&str>) -> Self {
        Self::Text(value.map(str::to_owned))
    }
}

impl From<&String> for Value {
    fn from(value: &String) -> Self {
        Self::Text(Some(value.clone()))
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(Some(value))
    }
}

impl From<Option<String>> for Value {
    fn from(value: Option<String>) -> Self {
        Self::Text(value)
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Bytes(Some(value.to_vec()))
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(Some(value))
    }
}

impl From<Option<Vec<u8>>> for Value {
    fn from(value: Option<Vec<u8>>) -> Self {
        Self::Bytes(value)
    }
}
