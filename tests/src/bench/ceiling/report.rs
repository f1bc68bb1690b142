//! What the rounds came to: medians, ranges, and ratios within a round.

use super::{Ceiling, Turn};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// QUIC carries at least this share of what TLS over TCP carries.
const QUIC_TO_TLS_BAR: f64 = 0.66;

/// Every turn of every ceiling.
#[derive(Clone, Debug, Default)]
pub struct Report {
    turns: BTreeMap<Ceiling, Vec<Turn>>,
}

/// A median with the least and the most.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The middle one.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The most.
    pub most: f64,
}

impl Spread {
    fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let middle = (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0;
        Some(Self { median: middle, least, most })
    }
}

/// How the product's QUIC stands to TLS over TCP.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bar {
    /// Rate of QUIC over that of TLS, round by round.
    pub ratio: Spread,
    /// CPU time of QUIC over that of TLS, round by round.
    pub cpu_ratio: Spread,
    /// What the median of the ratio must reach.
    pub bar: f64,
}

impl Bar {
    /// Whether the median reaches it.
    pub fn is_reached(&self) -> bool {
        self.ratio.median >= self.bar
    }
}

impl Report {
    pub(super) fn add(&mut self, ceiling: Ceiling, turn: Turn) {
        self.turns.entry(ceiling).or_default().push(turn);
    }

    /// The turns of one ceiling, in the order of the rounds.
    pub fn turns(&self, ceiling: Ceiling) -> &[Turn] {
        self.turns.get(&ceiling).map_or(&[], Vec::as_slice)
    }

    /// QUIC beside TLS over TCP; nothing where one of them was not measured.
    pub fn bar(&self) -> Option<Bar> {
        let pairs = || self.turns(Ceiling::Quic).iter().zip(self.turns(Ceiling::Tls));
        let cpu = |(quic, tls): (&Turn, &Turn)| {
            quic.cpu_seconds_a_gigabyte() / tls.cpu_seconds_a_gigabyte()
        };
        Some(Bar {
            ratio: Spread::of(pairs().map(|(quic, tls)| quic.rate() / tls.rate()))?,
            cpu_ratio: Spread::of(pairs().map(cpu))?,
            bar: QUIC_TO_TLS_BAR,
        })
    }

    /// The figures as a table in Markdown.
    pub fn table(&self) -> String {
        let mut table = String::from(
            "| from memory to nowhere | MB/s | CPU s/GB, both sides | sender | receiver |\n\
             |---|---|---|---|---|\n",
        );
        for (ceiling, turns) in &self.turns {
            let of = |figure: &dyn Fn(&Turn) -> f64| {
                Spread::of(turns.iter().map(figure)).expect("a ceiling here has a turn")
            };
            let rate = of(&Turn::rate);
            let cpu = of(&Turn::cpu_seconds_a_gigabyte);
            let a_gigabyte = |seconds: f64, turn: &Turn| seconds / turn.bytes as f64 * 1e9;
            let sender = of(&|turn| a_gigabyte(turn.sender_cpu_seconds, turn));
            let receiver = of(&|turn| a_gigabyte(turn.receiver_cpu_seconds, turn));
            writeln!(
                table,
                "| {} | {:.0} [{:.0}-{:.0}] | {:.2} [{:.2}-{:.2}] | {:.2} | {:.2} |",
                ceiling.name(),
                rate.median,
                rate.least,
                rate.most,
                cpu.median,
                cpu.least,
                cpu.most,
                sender.median,
                receiver.median,
            )
            .expect("text grows");
        }
        if let Some(Bar { ratio, cpu_ratio, bar }) = self.bar() {
            writeln!(
                table,
                "\nQUIC is {:.2} [{:.2}-{:.2}] x TLS over TCP (bar {bar}), at {:.2} [{:.2}-{:.2}] x its CPU.",
                ratio.median,
                ratio.least,
                ratio.most,
                cpu_ratio.median,
                cpu_ratio.least,
                cpu_ratio.most,
            )
            .expect("text grows");
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(bytes: u64, seconds: f64, cpu: f64) -> Turn {
        let (sender_cpu_seconds, receiver_cpu_seconds) = (cpu / 2.0, cpu / 2.0);
        Turn { bytes, seconds, sender_cpu_seconds, receiver_cpu_seconds }
    }

    #[test]
    fn the_bar_is_the_median_of_the_ratios_within_the_rounds() {
        let mut report = Report::default();
        for (quic, tls) in [(2.0, 1.0), (1.0, 0.9), (4.0, 3.0)] {
            report.add(Ceiling::Quic, turn(1_000_000_000, quic, 2.0 * quic));
            report.add(Ceiling::Tls, turn(1_000_000_000, tls, tls));
        }

        let bar = report.bar().unwrap();

        assert_eq!(bar.ratio, Spread { median: 0.75, least: 0.5, most: 0.9 });
        assert!((bar.cpu_ratio.median - 8.0 / 3.0).abs() < 1e-9, "{bar:?}");
        assert!(bar.is_reached());
        report.add(Ceiling::Quic, turn(1, 1.0, 1.0));
        report.add(Ceiling::Tls, turn(2, 1.0, 1.0));
        let bar = report.bar().unwrap();
        assert_eq!(bar.ratio.median, 0.625);
        assert!(!bar.is_reached());
    }

    #[test]
    fn without_one_of_the_two_there_is_no_bar() {
        let mut report = Report::default();
        report.add(Ceiling::Quic, turn(1, 1.0, 1.0));

        assert_eq!(report.bar(), None);
    }

    #[test]
    fn the_table_has_a_row_a_ceiling() {
        let mut report = Report::default();
        report.add(Ceiling::Tcp, turn(2_000_000_000, 1.0, 1.0));
        report.add(Ceiling::Tcp, turn(2_000_000_000, 2.0, 3.0));

        let table = report.table();

        let row = "| tcp | 1500 [1000-2000] | 1.00 [0.50-1.50] | 0.50 | 0.50 |";
        assert_eq!(table.lines().nth(2), Some(row));
        assert_eq!(table.lines().count(), 3);
    }
}
