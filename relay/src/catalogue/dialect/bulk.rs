//! One statement over many rows, so that a page of files costs a handful of statements instead of
//! several for each file.

use super::super::error::CatalogueError;
use super::Connection;
use super::query::{Query, Row, Value};
use std::fmt::Write as _;

/// Rows of one statement. SQLite looks for every placeholder by walking over those before it, so a
/// statement of many more costs more for each row again.
const ROWS_MAX: usize = 32;

/// Where the rows stand in the text of a statement.
const PLACE: &str = "{rows}";

/// A statement with this text for every one of `rows`, which stand in place of `{rows}` as
/// `($k, …), ($n, …)`. What is bound besides has the placeholders from `$1` on.
///
/// Several statements are run where the rows are many; all of them are of a few lengths only, which
/// the engines keep prepared.
pub(in crate::catalogue) fn bulk<const N: usize>(
    sql: &'static str,
    rows: Vec<[Value; N]>,
) -> Bulk<N> {
    Bulk { sql, fixed: Vec::new(), rows }
}

/// A statement over many rows that waits to be run.
#[derive(Debug)]
pub(in crate::catalogue) struct Bulk<const N: usize> {
    sql: &'static str,
    /// What is bound beside the rows, the same for all of them.
    fixed: Vec<Value>,
    rows: Vec<[Value; N]>,
}

impl<const N: usize> Bulk<N> {
    /// Binds the next placeholder that is not of a row.
    pub(in crate::catalogue) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.fixed.push(value.into());
        self
    }

    /// Runs it for all rows; returns how many were inserted, changed or deleted.
    pub(in crate::catalogue) async fn execute(
        self,
        on: &mut Connection,
    ) -> Result<u64, CatalogueError> {
        let mut affected = 0;
        for statement in self.statements() {
            affected += statement.execute(&mut *on).await?.rows_affected();
        }
        Ok(affected)
    }

    /// Runs it for all rows and returns every row of the results.
    pub(in crate::catalogue) async fn fetch_all(
        self,
        on: &mut Connection,
    ) -> Result<Vec<Row>, CatalogueError> {
        let mut found = Vec::new();
        for statement in self.statements() {
            found.extend(statement.fetch_all(&mut *on).await?);
        }
        Ok(found)
    }

    fn statements(self) -> impl Iterator<Item = Query> {
        let Self { sql, fixed, rows } = self;
        let mut left = rows.len();
        let mut rows = rows.into_iter();
        std::iter::from_fn(move || {
            let count = length_of_next(left)?;
            left -= count;
            let text = sql.replace(PLACE, &places(fixed.len(), N, count));
            let values = fixed.iter().cloned().chain(rows.by_ref().take(count).flatten());
            Some(Query::with_values(text, values.collect()))
        })
    }
}

/// How many rows the next statement has: as many as may be, then the powers of two that are left.
fn length_of_next(left: usize) -> Option<usize> {
    left.checked_ilog2().map(|log| ROWS_MAX.min(1 << log))
}

/// `($2, $3), ($4, $5)`: two rows of two columns, after one placeholder.
fn places(after: usize, columns: usize, rows: usize) -> String {
    let mut text = String::with_capacity(rows * (columns * 6 + 4));
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ", (" });
        for column in 0..columns {
            let comma = if column == 0 { "" } else { ", " };
            let number = after + row * columns + column + 1;
            write!(text, "{comma}${number}").expect("text takes what is written to it");
        }
        text.push(')');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_placeholders_of_their_own_behind_those_of_all() {
        assert_eq!(places(1, 2, 2), "($2, $3), ($4, $5)");
        assert_eq!(places(0, 1, 3), "($1), ($2), ($3)");
    }

    #[test]
    fn statements_are_of_few_lengths_and_leave_no_row_out() {
        let lengths = |mut left: usize| {
            let mut lengths = Vec::new();
            while let Some(next) = length_of_next(left) {
                lengths.push(next);
                left -= next;
            }
            lengths
        };

        assert_eq!(lengths(0), [0; 0]);
        assert_eq!(lengths(70), [32, 32, 4, 2]);
        for count in 0..200 {
            assert_eq!(lengths(count).into_iter().sum::<usize>(), count);
        }
    }
}
