//! Who carries a load: the product, or a program people use for the same.

use super::BenchError;
use super::load::Load;
use crate::process::Launch;
use std::rc::Rc;

/// A way to carry a load from one side to the other, again and again.
pub(super) trait Contender {
    /// What tables call it; unique within a race.
    fn name(&self) -> &'static str;

    /// Whether it is the product, without which there is nothing to compare.
    fn is_own(&self) -> bool {
        false
    }

    /// What it carries.
    fn load(&self) -> &Rc<Load>;

    /// Whether it reads the load on its way, which has to be in memory then.
    fn reads_load(&self) -> bool {
        true
    }

    /// The process that, with all it starts, is the other side; `None` where there is none.
    fn server(&self) -> Option<u32>;

    /// What carries the load in this round, counted from 0.
    fn launch(&self, round: u32) -> Result<Launch, BenchError>;

    /// Whether what it delivered is the load.
    fn is_delivered(&self, round: u32) -> Result<bool, BenchError>;

    /// Removes what it delivered.
    fn clear(&self, round: u32) -> Result<(), BenchError>;
}

/// Somebody who takes part in a race, or why not.
pub(super) type Entry = Result<Box<dyn Contender>, Absence>;

/// Why a contender does not take part.
#[derive(Clone, Debug)]
pub(super) struct Absence {
    /// What tables call it.
    pub(super) name: &'static str,
    /// One line.
    pub(super) reason: String,
}

/// A server that several contenders use, or the one line that says why it is not there.
pub(super) type Shared<T> = Result<Rc<T>, String>;

/// Shares what was started.
pub(super) fn share<T>(started: Result<T, BenchError>) -> Shared<T> {
    started.map(Rc::new).map_err(|error| error.brief())
}

/// The entry of a contender called `name`.
pub(super) fn entry<C: Contender + 'static>(
    name: &'static str,
    made: Result<C, BenchError>,
) -> Entry {
    match made {
        Ok(contender) => Ok(Box::new(contender)),
        Err(error) => Err(Absence { name, reason: error.brief() }),
    }
}
