//! Lists the stored files of a file plane, a page at a time.

use super::staged::parse_staging_name;
use super::walk::Walk;
use super::{PlaneError, Stat};
use skyspray_link::seam::files::{Cause, FileKind, Metadata, RelPath, Tree};
use std::cmp::Ordering;

/// A stored file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Listed {
    /// Its path from the root of the plane.
    pub path: RelPath,
    /// Length and time when it was listed.
    pub stat: Stat,
}

pub(super) fn list(
    tree: &dyn Tree,
    directory: &RelPath,
    after: Option<&RelPath>,
    limit: usize,
) -> Result<Vec<Listed>, PlaneError> {
    let Some(found) = look(tree, directory)? else { return Ok(Vec::new()) };
    if found.kind != FileKind::Directory {
        let new = after.is_none_or(|after| order(after, directory) == Ordering::Less);
        let stat = Stat::of(directory, &found).ok().filter(|_| new && limit > 0);
        return Ok(stat.map(|stat| Listed { path: directory.clone(), stat }).into_iter().collect());
    }
    let mut walk = match after {
        Some(after) if after.starts_with(directory) => Walk::after(tree, directory.clone(), after),
        Some(after) if order(after, directory) == Ordering::Greater => return Ok(Vec::new()),
        _ => Walk::new(tree, directory.clone()),
    };
    let mut page = Vec::new();
    while page.len() < limit {
        let Some((path, kind)) = walk.next()? else { break };
        let name = path.file_name().expect("a file is not the root");
        if kind != FileKind::Regular || parse_staging_name(name).is_some() {
            continue;
        }
        if let Some(found) = look(tree, &path)?
            && let Ok(stat) = Stat::of(&path, &found)
        {
            page.push(Listed { path, stat });
        }
    }
    Ok(page)
}

fn look(tree: &dyn Tree, path: &RelPath) -> Result<Option<Metadata>, PlaneError> {
    match tree.metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if matches!(error.cause, Cause::Missing | Cause::NotDirectory) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn order(left: &RelPath, right: &RelPath) -> Ordering {
    left.components().cmp(right.components())
}
