//! What one workload found: a table, the bars, and every figure.

use super::bar::{Bar, Bound};
use super::standing::Standing;
use super::table::{Table, Unit};
use super::workload::Workload;
use serde_json::{Value, json};

/// Most memory either process of the product may have resident, in MiB, in every workload but that
/// of idle sessions.
pub(super) const MEMORY_MIB_MAX: f64 = 128.0;

/// The result of a workload.
#[derive(Clone, Debug)]
pub(super) struct Section {
    pub(super) workload: Workload,
    /// What was carried, how often: one sentence without a full stop.
    pub(super) conditions: String,
    pub(super) tables: Vec<Table>,
    pub(super) bars: Vec<Bar>,
    /// Every figure.
    pub(super) figures: Value,
}

/// How a race is judged: what it has to be beside others.
pub(super) enum Beside {
    /// At least so many times the speed of a contender.
    Speed(&'static str, f64),
    /// At most so many times the CPU time of a contender.
    Cpu(&'static str, f64),
    /// One contender at least so many times the speed of another.
    SpeedOf(&'static str, &'static str, f64),
}

impl Section {
    /// The result of a race in which `own` is the product.
    pub(super) fn of_race(
        (workload, conditions): (Workload, String),
        (own, unit): (&'static str, Unit),
        standings: &[Standing],
        bars: &[Beside],
    ) -> Self {
        let found = |name| standings.iter().find(|standing| standing.name == name);
        let own = found(own).expect("the product is a contender");
        let mut judged: Vec<_> = bars.iter().map(|bar| bar.judge(own, found)).collect();
        let products = standings.iter().filter(|standing| standing.is_own);
        let (edge, relay) = peaks_mib(products);
        judged.push(Bar::of_peak("the edge", MEMORY_MIB_MAX, edge));
        judged.push(Bar::of_peak("the relay", MEMORY_MIB_MAX, relay));
        let contenders: Vec<_> = standings.iter().map(|standing| standing.json(own)).collect();
        Self {
            workload,
            conditions,
            tables: vec![Table::of_race(standings, own, unit)],
            bars: judged,
            figures: json!({ "own": own.name, "contenders": contenders }),
        }
    }

    /// The tables, and the bars as a table.
    pub(super) fn markdown(&self) -> String {
        let mut text: Vec<_> = self.tables.iter().map(Table::markdown).collect();
        if !self.bars.is_empty() {
            let mut bars = Table::new(&["bar", "found", ""]);
            for bar in &self.bars {
                bars.row([bar.claim(), bar.finding(), bar.verdict().to_string()]);
            }
            text.push(bars.markdown());
        }
        text.join("\n")
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "workload": self.workload.id(),
            "title": self.workload.title(),
            "conditions": self.conditions,
            "bars": self.bars.iter().map(Bar::json).collect::<Vec<_>>(),
            "figures": self.figures,
        })
    }
}

impl Beside {
    fn judge<'a>(
        &self,
        own: &Standing,
        found: impl Fn(&'static str) -> Option<&'a Standing>,
    ) -> Bar {
        let (who, name, bound, what) = match *self {
            Self::Speed(name, least) => (own.name, name, Bound::AtLeast(least), "speed"),
            Self::Cpu(name, most) => (own.name, name, Bound::AtMost(most), "CPU time"),
            Self::SpeedOf(who, name, least) => (who, name, Bound::AtLeast(least), "speed"),
        };
        let known = |name| found(name).ok_or_else(|| format!("{name} is no contender"));
        let ratio = known(who).and_then(|who| match self {
            Self::Cpu(..) => who.cpu_ratio(known(name)?),
            Self::Speed(..) | Self::SpeedOf(..) => who.speed_ratio(known(name)?),
        });
        Bar { what: format!("{what} of {who} beside {name}"), bound, unit: "x", found: ratio }
    }
}

/// The most any edge and any relay had resident, in MiB.
fn peaks_mib<'a>(products: impl Iterator<Item = &'a Standing>) -> (f64, f64) {
    products
        .map(Standing::peaks_mib)
        .fold((0.0, 0.0), |most, peaks| (f64::max(most.0, peaks.0), f64::max(most.1, peaks.1)))
}

#[cfg(test)]
mod tests {
    use super::super::bar::Verdict;
    use super::super::standing::tests::standing;
    use super::*;

    fn judged(bars: &[Beside]) -> Section {
        let standings = [standing("skyspray spray", &[1.0, 1.0]), standing("scp", &[3.0, 1.0])];
        let head = (Workload::Bulk, "1 GiB".to_owned());
        Section::of_race(head, ("skyspray spray", Unit::Bytes), &standings, bars)
    }

    #[test]
    fn a_race_is_judged_beside_each_peer_and_by_the_memory_of_both_sides() {
        let section = judged(&[Beside::Speed("scp", 2.0), Beside::Cpu("scp", 0.6)]);

        let verdicts: Vec<_> = section.bars.iter().map(Bar::verdict).collect();
        assert_eq!(
            verdicts,
            [Verdict::Reached, Verdict::Missed, Verdict::Reached, Verdict::Reached]
        );
        assert_eq!(section.bars[0].claim(), "speed of skyspray spray beside scp: at least 2 x");
        assert_eq!(section.bars[0].finding(), "2.00 [1.00-3.00] x");
        assert_eq!(section.bars[3].claim(), "memory of the relay: never above 128 MiB");
        assert!(
            section
                .markdown()
                .contains("| memory of the edge: never above 128 MiB | 3.00 MiB | reached |")
        );
        assert_eq!(section.json()["bars"][1]["verdict"], "MISSED");
    }

    #[test]
    fn a_bar_may_be_between_any_two() {
        let section = judged(&[Beside::SpeedOf("scp", "skyspray spray", 0.9)]);

        assert_eq!(section.bars[0].claim(), "speed of scp beside skyspray spray: at least 0.9 x");
        assert_eq!(section.bars[0].verdict(), Verdict::Missed);
    }

    #[test]
    fn a_bar_beside_nobody_is_not_measured() {
        let section = judged(&[Beside::Speed("qcp", 1.3)]);

        assert_eq!(section.bars[0].verdict(), Verdict::Unmeasured);
        assert_eq!(section.bars[0].finding(), "qcp is no contender");
    }
}
