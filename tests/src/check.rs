//! What is on a plane or in a directory, and assertions about it.

use crate::data::{digest, digest_of};
use crate::error::HarnessError;
use crate::output::Output;
use crate::pair::Pair;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What the name of a staged part begins with.
const STAGING_PREFIX: &str = ".skyspray-";

/// The regular files below a directory, as sorted paths relative to it.
///
/// # Errors
///
/// The host's; a file or directory that vanishes meanwhile is left out.
pub fn files_below(directory: &Path) -> Result<Vec<PathBuf>, HarnessError> {
    let mut found = Vec::new();
    let mut left = vec![directory.to_owned()];
    while let Some(next) = left.pop() {
        let Ok(entries) = fs::read_dir(&next) else { continue };
        for entry in entries.flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => left.push(entry.path()),
                Ok(_) => found.push(relative(&entry.path(), directory)),
                Err(_) => {}
            }
        }
    }
    found.sort();
    Ok(found)
}

fn relative(path: &Path, directory: &Path) -> PathBuf {
    path.strip_prefix(directory).expect("found below the directory").to_owned()
}

fn is_staging(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(STAGING_PREFIX))
}

/// The staged parts below a directory.
///
/// # Panics
///
/// When it cannot be read.
pub fn staged(directory: &Path) -> Vec<PathBuf> {
    let files = files_below(directory).expect("the directory can be read");
    files.into_iter().filter(|path| is_staging(path)).collect()
}

/// The files below a directory that are not staged parts.
///
/// # Panics
///
/// When it cannot be read.
pub fn visible(directory: &Path) -> Vec<PathBuf> {
    let files = files_below(directory).expect("the directory can be read");
    files.into_iter().filter(|path| !is_staging(path)).collect()
}

/// The stored parts of the logical file `name` in part order, found by their names alone.
///
/// # Errors
///
/// The plane cannot be read.
///
/// # Panics
///
/// When some but not all parts are there.
pub fn stored_parts(plane: &Path, name: &str) -> Result<Vec<PathBuf>, HarnessError> {
    let segments: Vec<&str> = name.split("::").collect();
    let (tail, scopes) = segments.split_last().expect("a name has a segment");
    let directory: PathBuf = plane.join(scopes.iter().collect::<PathBuf>());
    let mut parts = BTreeMap::new();
    let mut expected = 0;
    for path in files_below(&directory)? {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let numbers = file.strip_prefix(tail).and_then(|rest| rest.strip_prefix("._"));
        let Some((part, of)) = numbers.and_then(|numbers| numbers.split_once("_of_")) else {
            continue;
        };
        if let (Ok(part), Ok(of)) = (part.parse::<usize>(), of.parse::<usize>()) {
            expected = of;
            parts.insert(part, directory.join(path));
        }
    }
    assert!(parts.keys().copied().eq(1..=expected), "parts of {name} are {:?}", parts.keys());
    Ok(parts.into_values().collect())
}

/// Asserts that nothing of the logical file can be seen: not on the plane, not by the relay's
/// operator, not by the edge.
///
/// # Panics
///
/// When something can be seen.
pub fn assert_nothing_visible(pair: &Pair, name: &str) {
    assert_eq!(visible(&pair.relay.plane), Vec::<PathBuf>::new(), "files on the plane");
    let target = pair.target(name);
    let shown = pair.relay.admin(crate::args!["file", "show", &target]).expect("the relay answers");
    assert_ne!(shown.code, 0, "the relay knows {target}: {}", shown.text());
}

/// Asserts that the logical file is stored, whole and identical, in that many parts.
///
/// # Panics
///
/// When it is not.
pub fn assert_stored(pair: &Pair, name: &str, source: &Path, parts: usize) {
    let stored = stored_parts(&pair.relay.plane, name).expect("the plane can be read");
    assert_eq!(stored.len(), parts, "parts of {name}");
    let found = digest_of(&stored).expect("parts can be read");
    assert_eq!(found, digest(source).expect("the source can be read"), "BLAKE3 of {name}");
}

/// Asserts that `despray` brings the logical file back identical, and leaves nothing else.
///
/// # Panics
///
/// When it does not.
pub fn assert_returns(pair: &Pair, name: &str, source: &Path) {
    let back = pair.edge.file("back again.out");
    pair.done(crate::args!["despray", &pair.target(name), &back]);
    assert_same(&back, source);
    fs::remove_file(&back).expect("the exported file can be removed");
    assert_eq!(staged(&pair.edge.zone), Vec::<PathBuf>::new(), "staged in the landing zone");
}

/// Asserts that two files have the same bytes.
///
/// # Panics
///
/// When they differ or cannot be read.
pub fn assert_same(left: &Path, right: &Path) {
    let of = |path: &Path| digest(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    assert_eq!(of(left), of(right), "BLAKE3 of {left:?} and {right:?}");
}

/// Asserts that two trees hold the same files with the same bytes.
///
/// # Panics
///
/// When they do not.
pub fn assert_same_tree(left: &Path, right: &Path) {
    let of = |path: &Path| files_below(path).expect("the tree can be read");
    assert_eq!(of(left).len(), of(right).len(), "files in {left:?} and {right:?}");
    assert_eq!(of(left), of(right));
    for path in of(left) {
        assert_same(&left.join(&path), &right.join(&path));
    }
}

/// Asserts that a command ended with this code and said this, in whatever place.
///
/// # Panics
///
/// When it did not.
pub fn assert_says(output: &Output, code: i32, text: &str) {
    assert_eq!(output.code, code, "exit code of {output:#?}");
    // In JSON a quote or backslash of a message is escaped.
    let said = output.text().replace("\\\"", "\"");
    assert!(said.contains(text), "{text:?} is not in what it said: {output:#?}");
}

/// Asserts that once orphans are collected nothing is staged on the plane.
///
/// # Panics
///
/// When something is.
pub fn assert_nothing_staged_after_collect(pair: &Pair) {
    let collected = pair.relay.admin(crate::args!["collect"]).expect("the relay answers");
    assert_eq!(collected.code, 0, "{collected:#?}");
    assert_eq!(staged(&pair.relay.plane), Vec::<PathBuf>::new(), "staged after collect");
}
