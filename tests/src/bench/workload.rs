//! The workloads: what is carried, by whom, and what must come of it. Each is a module with a
//! function that runs it and hands on its [`Section`].

mod bulk;
mod small;
mod text;

use super::section::Section;
use super::{Bench, BenchError};

/// One of the workloads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Workload {
    /// One large file that cannot be compressed.
    Bulk,
    /// One large file of text.
    Text,
    /// Very many very small files.
    Small,
    /// Many small files.
    Medium,
}

impl Workload {
    /// All, in the order they run.
    pub(super) const ALL: [Self; 4] = [Self::Bulk, Self::Text, Self::Small, Self::Medium];

    /// What `BENCH_WORKLOADS`, the figures and the document call it.
    pub(super) fn id(self) -> &'static str {
        match self {
            Self::Bulk => "w1",
            Self::Text => "w2",
            Self::Small => "w3",
            Self::Medium => "w4",
        }
    }

    /// What it is, for people.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Bulk => "one large file that cannot be compressed",
            Self::Text => "one large file of text",
            Self::Small => "very many files of 4 KiB",
            Self::Medium => "many files of 256 KiB",
        }
    }

    /// Runs it.
    ///
    /// # Errors
    ///
    /// The product or the host failed; peers that fail are reported in the section.
    pub(super) fn run(self, bench: &Bench<'_>) -> Result<Section, BenchError> {
        match self {
            Self::Bulk => bulk::run(bench),
            Self::Text => text::run(bench),
            Self::Small => small::run(bench, small::SMALL),
            Self::Medium => small::run(bench, small::MEDIUM),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_workloads_are_unique() {
        let ids: std::collections::BTreeSet<_> = Workload::ALL.map(Workload::id).into();

        assert_eq!(ids.len(), Workload::ALL.len());
    }
}
