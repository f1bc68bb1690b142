//! Searching logical files by a pattern, a page at a time, with bounded work for each page.

use super::dialect::query;
use super::error::CatalogueError;
use super::fields::Fields;
use super::files::{entry, range};
use super::{Catalogue, page};
use skyspray_wire::message::Entry;
use skyspray_wire::name::{PlaneName, Scope};
use std::convert::Infallible;
use std::str::FromStr;

/// Names one page looks at, at most, whether they match or not. See decision 0009 for the times.
pub const SEARCH_NAMES_MAX: u32 = 20_000;

/// A pattern that a whole logical name, scopes and all, matches or not: `*` stands for any
/// characters, `?` for one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NamePattern(String);

/// A page of what a search found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Found {
    /// By name; fewer than asked for, or none, does not mean that there are no more.
    pub entries: Vec<Entry>,
    /// After which name the next page goes on; `None` when this was the last.
    pub next: Option<String>,
}

impl FromStr for NamePattern {
    type Err = Infallible;

    /// Names are kept in lower case, so the pattern is too.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl NamePattern {
    /// What every name that matches begins with.
    fn prefix(&self) -> &str {
        let end = self.0.find(['*', '?']).unwrap_or(self.0.len());
        &self.0[..end]
    }

    /// The same for SQL's LIKE, with `!` before what is meant as it stands.
    fn like(&self) -> String {
        let mut like = String::with_capacity(self.0.len());
        for character in self.0.chars() {
            match character {
                '*' => like.push('%'),
                '?' => like.push('_'),
                '%' | '_' | '!' => like.extend(['!', character]),
                other => like.push(other),
            }
        }
        like
    }

    /// The names in `scope` that begin as the pattern does lie from the first text, inclusive, to
    /// the second.
    fn bounds(&self, scope: &Scope) -> (String, String) {
        let (low, high) = range(scope);
        let prefix = self.prefix();
        // No name has a character behind `}`, so the last one has a next.
        let mut end = prefix.to_owned();
        match end.pop().and_then(|last| char::from_u32(u32::from(last) + 1)) {
            Some(next) => end.push(next),
            None => return (low, high),
        }
        (low.max(prefix.to_owned()), high.min(end))
    }
}

impl Catalogue {
    /// Logical files in `scope` and below it that match `pattern` and come after `after`, by name.
    ///
    /// Looks at no more than [`SEARCH_NAMES_MAX`] names, those that begin as the pattern does.
    ///
    /// # Errors
    ///
    /// The catalogue failed.
    pub async fn search_logical(
        &self,
        (plane, scope): (&PlaneName, &Scope),
        pattern: &NamePattern,
        after: &str,
        limit: u32,
    ) -> Result<Found, CatalogueError> {
        let (low, high) = pattern.bounds(scope);
        // One lower bound, because SQLite goes by one: no name has a control character, so what comes
        // after a name is what is not before it with one at its end.
        let low = low.max(format!("{after}\u{1}"));
        let mut snapshot = self.store.snapshot().await?;
        let row = query(
            "SELECT MAX(name) AS last, COUNT(*) AS seen FROM (SELECT name FROM logical_files \
             WHERE plane = $1 AND current IS NOT NULL AND name >= $2 AND name < $3 \
             ORDER BY name LIMIT $4) AS looked_at",
        )
        .bind(plane.as_str())
        .bind(low.as_str())
        .bind(high)
        .bind(i64::from(SEARCH_NAMES_MAX))
        .fetch_one(&mut *snapshot)
        .await?;
        let fields = Fields::new("logical_files", &row);
        let Some(last) = fields.text_opt("last")? else { return Ok(Found::default()) };
        let seen: u32 = fields.number("seen")?;
        let rows = query(
            "SELECT l.name, g.bytes, g.parts, g.committed_ms FROM logical_files l \
             JOIN generations g ON g.plane = l.plane AND g.name = l.name \
             AND g.generation = l.current WHERE l.plane = $1 AND l.current IS NOT NULL \
             AND l.name >= $2 AND l.name <= $3 AND g.name >= $2 AND g.name <= $3 \
             AND l.name LIKE $4 ESCAPE '!' ORDER BY l.name LIMIT $5",
        )
        .bind(plane.as_str())
        .bind(low)
        .bind(last.as_str())
        .bind(pattern.like())
        .bind(page(limit))
        .fetch_all(&mut *snapshot)
        .await?;
        let entries = rows.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        let full = i64::try_from(entries.len()).is_ok_and(|found| found == page(limit));
        let next = match entries.last() {
            Some(entry) if full => Some(entry.name.clone()),
            _ => (seen == SEARCH_NAMES_MAX).then_some(last),
        };
        Ok(Found { entries, next })
    }
}
