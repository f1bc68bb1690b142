//! The comparison: what each loop costs beside what it cost when the baseline was taken.

use crate::baseline::{Baseline, Cost};
use std::collections::BTreeMap;
use std::fmt;

/// How far a loop may be from its baseline, in percent.
pub(crate) const TOLERANCE_PERCENT: u64 = 5;

/// How one loop stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// Within the tolerance.
    Kept { old: Cost, new: Cost },
    /// Dearer: a regression, unless the loop does more for a good reason.
    Grown { old: Cost, new: Cost },
    /// Cheaper: a baseline that stays as it is would let the gain be lost again unseen.
    Shrunk { old: Cost, new: Cost },
    /// It works on other data than when the baseline was taken.
    Resized { old: Cost, new: Cost },
    /// The baseline does not know it.
    New { new: Cost },
    /// The baseline knows it, the guard does not.
    Gone { old: Cost },
}

impl Verdict {
    fn of(old: Option<Cost>, new: Option<Cost>) -> Option<Self> {
        let (old, new) = match (old, new) {
            (Some(old), Some(new)) => (old, new),
            (None, Some(new)) => return Some(Self::New { new }),
            (Some(old), None) => return Some(Self::Gone { old }),
            (None, None) => return None,
        };
        let scaled = u128::from(new.instructions) * 100;
        let limit = |percent: u64| u128::from(old.instructions) * u128::from(percent);
        Some(if old.units != new.units {
            Self::Resized { old, new }
        } else if scaled > limit(100 + TOLERANCE_PERCENT) {
            Self::Grown { old, new }
        } else if scaled < limit(100 - TOLERANCE_PERCENT) {
            Self::Shrunk { old, new }
        } else {
            Self::Kept { old, new }
        })
    }

    /// Whether the guard is content.
    pub(crate) fn is_kept(self) -> bool {
        matches!(self, Self::Kept { .. })
    }

    pub(crate) fn is_regression(self) -> bool {
        matches!(self, Self::Grown { .. })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let change = |f: &mut fmt::Formatter<'_>, old: &Cost, new: &Cost, word| {
            let (old, new) = (old.instructions, new.instructions);
            let percent = (new as f64 / old as f64 - 1.0) * 100.0;
            write!(f, "{old:>12} {new:>12} {percent:>+7.1} %  {word}")
        };
        match self {
            Self::Kept { old, new } => change(f, old, new, "ok"),
            Self::Grown { old, new } => change(f, old, new, "DEARER"),
            Self::Shrunk { old, new } => change(f, old, new, "CHEAPER"),
            Self::Resized { new, .. } => {
                write!(f, "{:>12} {:>12} {:>9}  OTHER DATA", "", new.instructions, "")
            }
            Self::New { new } => write!(f, "{:>12} {:>12} {:>9}  NEW", "", new.instructions, ""),
            Self::Gone { old } => write!(f, "{:>12} {:>12} {:>9}  GONE", old.instructions, "", ""),
        }
    }
}

/// How every loop stands that was counted or is in the baseline, by name.
pub(crate) fn compare(
    baseline: &Baseline,
    counted: &BTreeMap<String, Cost>,
) -> BTreeMap<String, Verdict> {
    let names = baseline.loops.keys().chain(counted.keys());
    names
        .filter_map(|name| {
            let (old, new) = (baseline.loops.get(name), counted.get(name));
            Some((name.clone(), Verdict::of(old.copied(), new.copied())?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(instructions: u64) -> Cost {
        Cost { units: 10, instructions }
    }

    fn verdict(old: u64, new: u64) -> Verdict {
        Verdict::of(Some(cost(old)), Some(cost(new))).unwrap()
    }

    #[test]
    fn a_loop_may_be_five_percent_dearer_or_cheaper_and_no_more() {
        let (old, at) = (cost(1000), |new| verdict(1000, new));

        assert_eq!(at(1000), Verdict::Kept { old, new: cost(1000) });
        assert_eq!(at(1050), Verdict::Kept { old, new: cost(1050) });
        assert_eq!(at(1051), Verdict::Grown { old, new: cost(1051) });
        assert_eq!(at(950), Verdict::Kept { old, new: cost(950) });
        assert_eq!(at(949), Verdict::Shrunk { old, new: cost(949) });
    }

    #[test]
    fn counts_as_large_as_they_come_are_compared() {
        assert!(verdict(u64::MAX - 1, u64::MAX).is_kept());
        assert!(verdict(u64::MAX / 2, u64::MAX).is_regression());
    }

    #[test]
    fn other_data_is_not_compared_however_the_counts_are() {
        let (old, new) = (cost(1000), Cost { units: 20, instructions: 1000 });

        assert_eq!(Verdict::of(Some(old), Some(new)), Some(Verdict::Resized { old, new }));
    }

    #[test]
    fn loops_on_one_side_only_are_named() {
        let baseline = Baseline {
            loops: BTreeMap::from([("both".to_owned(), cost(5)), ("old".to_owned(), cost(6))]),
            ..Baseline::default()
        };
        let counted = BTreeMap::from([("both".to_owned(), cost(5)), ("young".to_owned(), cost(7))]);

        let verdicts = compare(&baseline, &counted);

        let expected = [
            ("both", Verdict::Kept { old: cost(5), new: cost(5) }),
            ("old", Verdict::Gone { old: cost(6) }),
            ("young", Verdict::New { new: cost(7) }),
        ];
        assert!(verdicts.iter().map(|(name, verdict)| (name.as_str(), *verdict)).eq(expected));
        assert_eq!(verdicts.values().filter(|verdict| verdict.is_kept()).count(), 1);
    }

    #[test]
    fn a_verdict_says_both_counts_and_the_change() {
        let text = verdict(2_000_000, 2_140_000).to_string();

        assert_eq!(text, "     2000000      2140000    +7.0 %  DEARER");
        assert!(verdict(100, 50).to_string().ends_with("-50.0 %  CHEAPER"));
    }
}
