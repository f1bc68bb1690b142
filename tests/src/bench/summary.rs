//! Medians and ranges over the rounds.

use serde_json::{Value, json};
use std::fmt;

/// The middle and the ends of some figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) most: f64,
}

impl Spread {
    /// Of at least one figure.
    ///
    /// # Panics
    ///
    /// Without any.
    pub(super) fn of(mut figures: Vec<f64>) -> Self {
        figures.sort_by(f64::total_cmp);
        let count = figures.len();
        let median = f64::midpoint(figures[(count - 1) / 2], figures[count / 2]);
        Self { median, least: figures[0], most: figures[count - 1] }
    }

    /// Of one figure.
    pub(super) fn single(figure: f64) -> Self {
        Self { median: figure, least: figure, most: figure }
    }

    /// All of it so many times as large; `factor` is positive.
    pub(super) fn times(self, factor: f64) -> Self {
        let Self { median, least, most } = self;
        Self { median: median * factor, least: least * factor, most: most * factor }
    }

    pub(super) fn json(&self) -> Value {
        json!({ "median": self.median, "min": self.least, "max": self.most })
    }
}

/// `median [least-most]` with the precision asked for; the median alone when all are one.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(2);
        let Self { median, least, most } = self;
        if least == most {
            return write!(f, "{median:.digits$}");
        }
        write!(f, "{median:.digits$} [{least:.digits$}-{most:.digits$}]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one_or_between_the_two_in_the_middle() {
        assert_eq!(Spread::of(vec![3.0, 1.0, 2.0]).to_string(), "2.00 [1.00-3.00]");
        assert_eq!(format!("{:.1}", Spread::of(vec![4.0, 1.0, 2.0, 3.0])), "2.5 [1.0-4.0]");
    }

    #[test]
    fn another_unit_has_the_same_spread() {
        let spread = Spread::of(vec![1.0, 2.0, 4.0]).times(8.0);

        assert_eq!(spread, Spread { median: 16.0, least: 8.0, most: 32.0 });
    }

    #[test]
    fn one_figure_has_no_range() {
        assert_eq!(Spread::single(1.5).to_string(), "1.50");
    }
}
