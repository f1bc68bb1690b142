//! The stored baseline: what every loop cost, and where that was counted. A file a target.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};
use thiserror::Error;

/// What a loop cost.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cost {
    /// Bytes, chunks, parts or messages it went through.
    pub(crate) units: u64,
    /// Instructions executed.
    pub(crate) instructions: u64,
}

/// What counts depend on so much that others are not comparable.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Key {
    /// The compiler, as it names itself.
    pub(crate) rustc: String,
    /// Instruction sets the libraries below the loops choose from, as callgrind shows them.
    pub(crate) simd: String,
}

/// What counts depend on a little: named when a loop is not within the tolerance.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tools {
    pub(crate) valgrind: String,
    /// The C compiler; it builds zstd.
    pub(crate) cc: String,
    pub(crate) libc: String,
}

/// A stored baseline.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Baseline {
    pub(crate) key: Key,
    pub(crate) tools: Tools,
    pub(crate) loops: BTreeMap<String, Cost>,
}

/// Why there is no baseline to compare with.
#[derive(Debug, Error)]
pub(crate) enum BaselineError {
    /// None was ever taken for this target.
    #[error("there is no baseline for this machine: {} is missing", path.display())]
    Missing { path: PathBuf },
    /// The file cannot be read or written.
    #[error("cannot use {}", path.display())]
    File { path: PathBuf, source: io::Error },
    /// The file is no baseline.
    #[error("{} is no baseline", path.display())]
    Unreadable { path: PathBuf, source: serde_json::Error },
    /// Counts of another compiler or other instruction sets.
    #[error("the baseline was taken with {what} {stored:?}, here is {found:?}")]
    NotComparable { what: &'static str, stored: String, found: String },
}

/// Where the baseline of `target` is.
pub(crate) fn path(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("baseline").join(format!("{target}.json"))
}

impl Baseline {
    /// Reads a baseline.
    ///
    /// # Errors
    ///
    /// There is none, or it is not readable.
    pub(crate) fn load(path: &Path) -> Result<Self, BaselineError> {
        let text = fs::read(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => BaselineError::Missing { path: path.to_owned() },
            _ => BaselineError::File { path: path.to_owned(), source },
        })?;
        serde_json::from_slice(&text)
            .map_err(|source| BaselineError::Unreadable { path: path.to_owned(), source })
    }

    /// Writes it in place of the one that is there.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub(crate) fn store(&self, path: &Path) -> Result<(), BaselineError> {
        let mut text = serde_json::to_string_pretty(self).expect("maps of text are JSON");
        text.push('\n');
        fs::write(path, text)
            .map_err(|source| BaselineError::File { path: path.to_owned(), source })
    }

    /// Whether counts made under `key` may be compared with it.
    ///
    /// # Errors
    ///
    /// Which part of the key differs.
    pub(crate) fn check(&self, key: &Key) -> Result<(), BaselineError> {
        for (what, stored, found) in [
            ("compiler", &self.key.rustc, &key.rustc),
            ("instruction sets", &self.key.simd, &key.simd),
        ] {
            if stored != found {
                let (stored, found) = (stored.clone(), found.clone());
                return Err(BaselineError::NotComparable { what, stored, found });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn baseline() -> Baseline {
        let cost = Cost { units: 1000, instructions: 5300 };
        Baseline {
            key: Key { rustc: "rustc 1.95.0".to_owned(), simd: "avx2".to_owned() },
            tools: Tools::default(),
            loops: BTreeMap::from([("xml".to_owned(), cost)]),
        }
    }

    #[test]
    fn a_baseline_reads_back_as_stored() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.json");
        baseline().store(&path).unwrap();

        assert_eq!(Baseline::load(&path).unwrap(), baseline());
    }

    #[test]
    fn a_baseline_that_is_missing_or_broken_is_an_error_that_names_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.json");

        let missing = Baseline::load(&path).unwrap_err();
        let expected =
            format!("there is no baseline for this machine: {} is missing", path.display());
        assert_eq!(missing.to_string(), expected);

        fs::write(&path, "{}").unwrap();
        let broken = Baseline::load(&path).unwrap_err();
        assert_eq!(broken.to_string(), format!("{} is no baseline", path.display()));
    }

    #[test]
    fn counts_of_another_compiler_or_other_instruction_sets_are_not_compared() {
        let (stored, same) = (baseline(), baseline().key);
        let compiler = Key { rustc: "rustc 1.96.0".to_owned(), ..same.clone() };
        let processor = Key { simd: "sse2".to_owned(), ..same.clone() };

        stored.check(&same).unwrap();
        assert_eq!(
            stored.check(&compiler).unwrap_err().to_string(),
            "the baseline was taken with compiler \"rustc 1.95.0\", here is \"rustc 1.96.0\""
        );
        assert_eq!(
            stored.check(&processor).unwrap_err().to_string(),
            "the baseline was taken with instruction sets \"avx2\", here is \"sse2\""
        );
    }
}
