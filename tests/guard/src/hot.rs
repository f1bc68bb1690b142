//! The hot loops: what is done for every byte, chunk, part or message of a job, each on data that
//! is the same in every run.

mod body;
mod data;
mod machine;
mod scan;
mod wire;

/// One hot loop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HotLoop {
    /// Names it in the baseline and on the command line.
    pub(crate) name: &'static str,
    /// What its cost is divided by.
    pub(crate) unit: Unit,
    /// Makes its data, which costs nothing that is counted.
    pub(crate) prepare: fn() -> Prepared,
}

/// What one round of a loop works on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Unit {
    Byte,
    Chunk,
    Part,
    Message,
}

impl Unit {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Byte => "byte",
            Self::Chunk => "chunk",
            Self::Part => "part",
            Self::Message => "message",
        }
    }
}

/// A loop with its data.
pub(crate) struct Prepared {
    /// How many bytes, chunks, parts or messages the loop goes through.
    pub(crate) units: u64,
    /// What [`Self::work`] must return: the loop did all of its work.
    pub(crate) outcome: u64,
    /// The loop. Runs once.
    pub(crate) work: Box<dyn FnOnce() -> u64>,
}

impl Prepared {
    fn new(units: u64, outcome: u64, work: impl FnOnce() -> u64 + 'static) -> Self {
        Self { units, outcome, work: Box::new(work) }
    }
}

/// Every hot loop, in the order of the report.
pub(crate) fn all() -> Vec<HotLoop> {
    [scan::LOOPS, body::LOOPS, wire::LOOPS, machine::LOOPS].concat()
}

/// The loop of this name.
pub(crate) fn find(name: &str) -> Option<HotLoop> {
    all().into_iter().find(|hot| hot.name == name)
}

/// Runs a loop. callgrind counts what this function and all below it execute, and finds it by its
/// name: see [`crate::callgrind`].
#[inline(never)]
pub(crate) fn counted_hot_loop(work: Box<dyn FnOnce() -> u64>) -> u64 {
    work()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_loop_does_all_of_its_work() {
        for hot in all() {
            let prepared = (hot.prepare)();
            assert!(prepared.units > 0, "{}", hot.name);
            assert_eq!(counted_hot_loop(prepared.work), prepared.outcome, "{}", hot.name);
        }
    }

    #[test]
    fn no_two_loops_have_the_same_name() {
        let names: BTreeSet<_> = all().iter().map(|hot| hot.name).collect();

        assert_eq!(names.len(), all().len());
        assert_eq!(find("csv-quoted").map(|hot| hot.name), Some("csv-quoted"));
        assert!(find("csv").is_none());
    }
}
