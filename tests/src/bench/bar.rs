//! What the product holds itself to, and whether a run reached it.

use super::summary::Spread;
use serde_json::{Value, json};
use std::fmt;

/// Which side of the number is the good one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Bound {
    AtLeast(f64),
    AtMost(f64),
    /// At most, and in every round.
    Never(f64),
}

/// One thing a workload must show.
#[derive(Clone, Debug)]
pub(super) struct Bar {
    /// What is compared, as the end of "at least 2 x ...".
    pub(super) what: String,
    pub(super) bound: Bound,
    /// `x`, `MiB`, `s`.
    pub(super) unit: &'static str,
    /// What was found, or why nothing was.
    pub(super) found: Result<Spread, String>,
}

/// Whether a bar was reached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    Reached,
    Missed,
    /// There is nothing to compare with.
    Unmeasured,
}

impl Bar {
    /// Decided by the median, but for [`Bound::Never`].
    pub(super) fn verdict(&self) -> Verdict {
        let Ok(found) = &self.found else { return Verdict::Unmeasured };
        let reached = match self.bound {
            Bound::AtLeast(least) => found.median >= least,
            Bound::AtMost(most) => found.median <= most,
            Bound::Never(most) => found.most <= most,
        };
        if reached { Verdict::Reached } else { Verdict::Missed }
    }

    /// The bar on the memory of one side in MiB: what counts is the most of all rounds.
    pub(super) fn of_peak(side: &str, most_mib: f64, peak_mib: f64) -> Self {
        Self {
            what: format!("memory of {side}"),
            bound: Bound::Never(most_mib),
            unit: "MiB",
            found: Ok(Spread::single(peak_mib)),
        }
    }

    /// `at least 2 x the speed of scp`.
    pub(super) fn claim(&self) -> String {
        let (word, number) = match self.bound {
            Bound::AtLeast(number) => ("at least", number),
            Bound::AtMost(number) => ("at most", number),
            Bound::Never(number) => ("never above", number),
        };
        format!("{}: {word} {number} {}", self.what, self.unit)
    }

    /// What was found, in words.
    pub(super) fn finding(&self) -> String {
        match &self.found {
            Ok(spread) => format!("{spread:.2} {}", self.unit),
            Err(reason) => reason.clone(),
        }
    }

    pub(super) fn json(&self) -> Value {
        let (bound, number) = match self.bound {
            Bound::AtLeast(number) => ("at_least", number),
            Bound::AtMost(number) => ("at_most", number),
            Bound::Never(number) => ("never_above", number),
        };
        let (found, reason) = match &self.found {
            Ok(spread) => (spread.json(), Value::Null),
            Err(reason) => (Value::Null, json!(reason)),
        };
        json!({
            "what": self.what,
            bound: number,
            "unit": self.unit,
            "found": found,
            "reason": reason,
            "verdict": self.verdict().to_string(),
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reached => "reached",
            Self::Missed => "MISSED",
            Self::Unmeasured => "NOT MEASURED",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(bound: Bound, found: Result<Spread, String>) -> Bar {
        Bar { what: "speed beside scp".into(), bound, unit: "x", found }
    }

    #[test]
    fn the_median_decides_on_the_good_side_of_the_number() {
        let found = || Ok(Spread::of(vec![1.0, 2.0, 9.0]));

        assert_eq!(bar(Bound::AtLeast(2.0), found()).verdict(), Verdict::Reached);
        assert_eq!(bar(Bound::AtLeast(2.1), found()).verdict(), Verdict::Missed);
        assert_eq!(bar(Bound::AtMost(2.0), found()).verdict(), Verdict::Reached);
        assert_eq!(bar(Bound::AtMost(1.9), found()).verdict(), Verdict::Missed);
    }

    #[test]
    fn what_must_never_be_is_decided_by_the_worst_round() {
        let found = || Ok(Spread::of(vec![1.0, 2.0, 9.0]));

        assert_eq!(bar(Bound::Never(8.9), found()).verdict(), Verdict::Missed);
        assert_eq!(bar(Bound::Never(9.0), found()).verdict(), Verdict::Reached);
        assert_eq!(bar(Bound::Never(9.0), found()).json()["never_above"], 9.0);
    }

    #[test]
    fn a_bar_without_a_peer_is_neither_reached_nor_missed_and_says_why() {
        let bar = bar(Bound::AtLeast(1.3), Err("qcp is not installed".into()));

        assert_eq!(bar.verdict(), Verdict::Unmeasured);
        assert_eq!(bar.claim(), "speed beside scp: at least 1.3 x");
        assert_eq!(bar.finding(), "qcp is not installed");
        assert_eq!(bar.json()["verdict"], "NOT MEASURED");
    }

    #[test]
    fn memory_is_judged_by_its_peak() {
        assert_eq!(Bar::of_peak("the relay", 128.0, 128.5).verdict(), Verdict::Missed);
        assert_eq!(Bar::of_peak("the relay", 128.0, 72.0).verdict(), Verdict::Reached);
    }
}
