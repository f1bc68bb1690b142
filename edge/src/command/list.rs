//! The `list` command.

use crate::cli::{ListArgs, ListTarget};
use crate::context::Context;
use crate::download::{DownloadFault, Link, Listing};
use crate::exit::Exit;
use crate::output::utc_text;
use crate::size::{Bytes, Count};
use serde::Serialize;
use skyspray_link::seam::files::Escaped;
use skyspray_wire::message::{Entry, EntryKind, ListWhat};
use std::ffi::OsStr;

#[derive(Debug, Serialize)]
struct Row<'a> {
    kind: &'static str,
    name: &'a str,
    bytes: u64,
    parts: u32,
    committed_ms: Option<i64>,
}

#[derive(Debug, Serialize)]
struct Total {
    entries: u64,
    bytes: u64,
}

/// Prints what a scope or directory holds, a line each, as it comes.
pub(super) async fn list(context: &Context, args: &ListArgs) -> Result<Exit, DownloadFault> {
    let (plane, what) = match &args.target {
        ListTarget::Scope { plane, scope } => (plane, ListWhat::Logical(scope.clone())),
        ListTarget::Files(target) => (&target.plane, ListWhat::Files(target.path.clone())),
    };
    let mut listing = Listing::new(plane.clone(), what, args.limit);
    let mut link = Link::new(context);
    let mut total = Total { entries: 0, bytes: 0 };
    loop {
        let batch = listing.next_batch(&mut link).await?;
        if batch.is_empty() || context.reporter.is_closed() {
            break;
        }
        for entry in &batch {
            total.entries += 1;
            total.bytes += entry.bytes;
            context.reporter.result("entry", &row(entry), line(entry));
        }
    }
    link.close().await;
    let Total { entries, bytes } = total;
    context.reporter.note(
        "listed",
        &total,
        format!("{}, {}", Count(entries, "entry"), Bytes(bytes)),
    );
    Ok(Exit::Done)
}

fn row(entry: &Entry) -> Row<'_> {
    Row {
        kind: match entry.kind {
            EntryKind::LogicalFile => "logical-file",
            EntryKind::File => "file",
        },
        name: &entry.name,
        bytes: entry.bytes,
        parts: entry.parts,
        committed_ms: (entry.committed_ms != 0).then_some(entry.committed_ms),
    }
}

fn line(entry: &Entry) -> String {
    let time = match entry.committed_ms {
        0 => "-".to_owned(),
        ms => utc_text(ms),
    };
    let name = Escaped(OsStr::new(&entry.name));
    match entry.kind {
        EntryKind::LogicalFile => {
            let parts = Count(entry.parts.into(), "part");
            format!("{:>16}  {parts:>11}  {time:>20}  {name}", entry.bytes)
        }
        EntryKind::File => format!("{:>16}  {time:>20}  {name}", entry.bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_what_is_known_and_nothing_a_terminal_would_obey() {
        let mut entry = Entry {
            kind: EntryKind::LogicalFile,
            name: "a::b".into(),
            bytes: 300,
            parts: 4,
            committed_ms: 1_714_979_289_000,
        };
        assert_eq!(line(&entry), "             300      4 parts  2024-05-06T07:08:09Z  a::b");

        entry.parts = 1;
        assert_eq!(line(&entry), "             300       1 part  2024-05-06T07:08:09Z  a::b");

        entry.kind = EntryKind::File;
        entry.name = "a\u{1b}[31m".into();
        entry.committed_ms = 0;
        assert_eq!(line(&entry), "             300                     -  a\\u{1b}[31m");
        assert_eq!(row(&entry).committed_ms, None);
    }
}
