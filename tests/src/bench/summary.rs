//! Medians and ranges over the rounds, and the ratios of what ran in the same round.

use super::contender::Contender;
use super::usage::Usage;
use serde_json::{Value, json};
use std::fmt;

/// What one contender used, round by round.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) contender: Contender,
    pub(super) turns: Vec<Usage>,
}

/// The middle and the ends of some figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) most: f64,
}

impl Series {
    pub(super) fn new(contender: Contender) -> Self {
        Self { contender, turns: Vec::new() }
    }

    /// One figure of every round.
    pub(super) fn spread(&self, figure: impl Fn(&Usage) -> f64) -> Spread {
        Spread::of(self.turns.iter().map(figure).collect())
    }

    /// How many times a figure of `other` this one's is, round by round.
    pub(super) fn ratio(&self, other: &Self, figure: impl Fn(&Usage) -> f64) -> Spread {
        let pairs = self.turns.iter().zip(&other.turns);
        Spread::of(pairs.map(|(own, others)| figure(own) / figure(others)).collect())
    }
}

impl Spread {
    /// Of at least one figure.
    fn of(mut figures: Vec<f64>) -> Self {
        figures.sort_by(f64::total_cmp);
        let count = figures.len();
        let median = f64::midpoint(figures[(count - 1) / 2], figures[count / 2]);
        Self { median, least: figures[0], most: figures[count - 1] }
    }

    pub(super) fn json(&self) -> Value {
        json!({ "median": self.median, "min": self.least, "max": self.most })
    }
}

/// `median [least-most]`, with the precision asked for.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(2);
        let Self { median, least, most } = self;
        write!(f, "{median:.digits$} [{least:.digits$}-{most:.digits$}]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(walls: &[f64]) -> Series {
        let turn = |&wall_seconds| Usage { wall_seconds, ..Usage::default() };
        Series { contender: Contender::Copy, turns: walls.iter().map(turn).collect() }
    }

    #[test]
    fn the_median_is_the_middle_one_or_between_the_two_in_the_middle() {
        let wall = |usage: &Usage| usage.wall_seconds;

        assert_eq!(series(&[3.0, 1.0, 2.0]).spread(wall).to_string(), "2.00 [1.00-3.00]");
        assert_eq!(format!("{:.1}", series(&[4.0, 1.0, 2.0, 3.0]).spread(wall)), "2.5 [1.0-4.0]");
    }

    #[test]
    fn ratios_are_those_of_the_same_round() {
        let (slow, quick) = (series(&[2.0, 8.0, 3.0]), series(&[1.0, 2.0, 3.0]));

        let ratio = slow.ratio(&quick, |usage| usage.wall_seconds);

        assert_eq!(ratio, Spread { median: 2.0, least: 1.0, most: 4.0 });
    }
}
