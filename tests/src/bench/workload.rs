//! The workloads: what is carried, by whom, and what must come of it. Each is a module with a
//! function that runs it and hands on its [`Section`].

mod bulk;
mod ceilings;
mod idle;
mod quoted;
mod resume;
mod small;
pub(super) mod store;
mod text;
mod tree;
mod wan;

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
    /// Large files over long paths.
    Wan,
    /// csv with quotes into parts, and back.
    Quoted,
    /// A spray that is killed half way.
    Resume,
    /// Sessions on which nothing happens.
    Idle,
    /// A tree of very many entries.
    Tree,
    /// A spray to an object store.
    Store,
    /// What the machine allows.
    Ceilings,
}

impl Workload {
    /// All, in the order they run.
    pub(super) const ALL: [Self; 11] = [
        Self::Bulk,
        Self::Text,
        Self::Small,
        Self::Medium,
        Self::Wan,
        Self::Quoted,
        Self::Resume,
        Self::Idle,
        Self::Tree,
        Self::Store,
        Self::Ceilings,
    ];

    /// What `BENCH_WORKLOADS`, the figures and the document call it.
    pub(super) fn id(self) -> &'static str {
        match self {
            Self::Bulk => "w1",
            Self::Text => "w2",
            Self::Small => "w3",
            Self::Medium => "w4",
            Self::Wan => "w5",
            Self::Quoted => "w6",
            Self::Resume => "w8",
            Self::Idle => "w9",
            Self::Tree => "w10",
            Self::Store => "w11",
            Self::Ceilings => "ceilings",
        }
    }

    /// Whether somebody who says this name means it.
    pub(super) fn is_called(self, name: &str) -> bool {
        name == self.id() || (self == Self::Quoted && name == "w7")
    }

    /// What it is, for people.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Bulk => "one large file that cannot be compressed",
            Self::Text => "one large file of text",
            Self::Small => "very many files of 4 KiB",
            Self::Medium => "many files of 256 KiB",
            Self::Wan => "large files over emulated long paths",
            Self::Quoted => "csv with quotes into 8 parts (W6), and back (W7)",
            Self::Resume => "a spray of which one side is killed half way",
            Self::Idle => "sessions on which nothing happens",
            Self::Tree => "a tree of very many entries",
            Self::Store => "a spray to an object store beside the relay's client alone",
            Self::Ceilings => "what the machine allows",
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
            Self::Wan => wan::run(bench),
            Self::Quoted => quoted::run(bench),
            Self::Resume => resume::run(bench),
            Self::Idle => idle::run(bench),
            Self::Tree => tree::run(bench),
            Self::Store => store::run(bench),
            Self::Ceilings => ceilings::run(bench),
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
