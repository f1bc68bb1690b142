//! The result as a table for people, as JSON for programs, and in `docs/performance.md`.

use super::contender::Contender;
use super::summary::{Series, Spread};
use super::usage::Usage;
use super::{BenchError, Settings};
use crate::error::HarnessError;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::thread;

/// Lines of the document between which the table stands.
const BEGIN: &str = "<!-- make bench writes from here -->";
const END: &str = "<!-- to here -->";

/// The figures of a run.
pub(super) struct Report<'a> {
    settings: &'a Settings,
    series: Vec<Series>,
}

impl<'a> Report<'a> {
    pub(super) fn new(settings: &'a Settings, series: Vec<Series>) -> Self {
        Self { settings, series }
    }

    /// Prints the table and what became of the bars.
    pub(super) fn print(&self) {
        println!("\n{}", self.table());
        for series in &self.series {
            let Some(bar) = series.contender.bar() else { continue };
            let ratio = self.speed_up(series).median;
            let verdict = if ratio >= bar { "reached" } else { "MISSED" };
            let name = series.contender.name();
            println!("bar: {bar} times {name}: {ratio:.2}, {verdict}");
        }
    }

    /// Writes the figures to the file named by `BENCH_JSON`, if one is.
    pub(super) fn write_json(&self) -> Result<(), BenchError> {
        let Some(path) = &self.settings.json else { return Ok(()) };
        let text = format!("{:#}\n", self.json());
        fs::write(path, text).map_err(HarnessError::file(path))?;
        println!("figures: {}", path.display());
        Ok(())
    }

    /// Puts the table into the document, unless the run was a short one.
    pub(super) fn write_document(&self) -> Result<(), BenchError> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/performance.md");
        if !self.settings.is_whole() {
            println!("a short run: docs/performance.md stays as it is");
            return Ok(());
        }
        let text = fs::read_to_string(&path).map_err(HarnessError::file(&path))?;
        let body = format!("{}\n{}", self.conditions(), self.table());
        let text = replaced(&text, &body)
            .map_err(|marker| BenchError::Marker { path: path.clone(), marker })?;
        fs::write(&path, text).map_err(HarnessError::file(&path))?;
        println!("table: docs/performance.md");
        Ok(())
    }

    fn conditions(&self) -> String {
        let Settings { mib, rounds, seed, .. } = self.settings;
        format!(
            "{} {}, {} cores, {mib} MiB, {rounds} rounds, seed {seed}.\n",
            std::env::consts::OS,
            std::env::consts::ARCH,
            cores()
        )
    }

    fn table(&self) -> String {
        let mut table = String::from(
            "| | MB/s | CPU s/GiB, both sides | peak MiB, client / server | spray is faster by | \
             spray's CPU is |\n|---|---|---|---|---|---|\n",
        );
        for series in &self.series {
            let contender = series.contender;
            let (speed_up, cpu) = match contender {
                Contender::Spray => ("1".into(), "1".into()),
                Contender::Despray => ("".into(), "".into()),
                _ => (
                    format!("{:.2} x", self.speed_up(series)),
                    format!("{:.2} x", self.spray().ratio(series, Usage::cpu_seconds)),
                ),
            };
            let speed = self.megabytes_per_second(series);
            let cost = self.cpu_per_gib(series);
            let (client, server) = memory_mib(series);
            let line = writeln!(
                table,
                "| {} | {speed:.0} | {cost:.2} | {client:.0} / {server:.0} | {speed_up} | {cpu} |",
                contender.name()
            );
            line.expect("a string takes any text");
        }
        table
    }

    fn json(&self) -> Value {
        let Settings { mib, rounds, seed, .. } = self.settings;
        let contenders: Vec<_> = self.series.iter().map(|series| self.json_of(series)).collect();
        json!({
            "schema": "skyspray-bench-1",
            "version": env!("CARGO_PKG_VERSION"),
            "os": std::env::consts::OS,
            "arch": std::env::consts::ARCH,
            "cores": cores(),
            "mib": mib,
            "rounds": rounds,
            "seed": seed.to_string(),
            "contenders": contenders,
        })
    }

    fn json_of(&self, series: &Series) -> Value {
        let turns = series.turns.iter().map(|usage| {
            json!({
                "wall_seconds": usage.wall_seconds,
                "client_cpu_seconds": usage.client_cpu_seconds,
                "server_cpu_seconds": usage.server_cpu_seconds,
                "client_memory_bytes": usage.client_memory_bytes,
                "server_memory_bytes": usage.server_memory_bytes,
            })
        });
        json!({
            "name": series.contender.name(),
            "bar": series.contender.bar(),
            "megabytes_per_second": self.megabytes_per_second(series).json(),
            "cpu_seconds_per_gib": self.cpu_per_gib(series).json(),
            "spray_speed_ratio": self.speed_up(series).json(),
            "spray_cpu_ratio": self.spray().ratio(series, Usage::cpu_seconds).json(),
            "turns": turns.collect::<Vec<_>>(),
        })
    }

    fn spray(&self) -> &Series {
        let spray = self.series.iter().find(|series| series.contender == Contender::Spray);
        spray.expect("the spray is a contender")
    }

    /// How many times faster than `series` the spray of the same round was.
    fn speed_up(&self, series: &Series) -> Spread {
        series.ratio(self.spray(), |usage| usage.wall_seconds)
    }

    fn megabytes_per_second(&self, series: &Series) -> Spread {
        let megabytes = self.settings.bytes() as f64 / 1e6;
        series.spread(|usage| megabytes / usage.wall_seconds)
    }

    fn cpu_per_gib(&self, series: &Series) -> Spread {
        let gibs = self.settings.mib as f64 / 1024.0;
        series.spread(|usage| usage.cpu_seconds() / gibs)
    }
}

/// The most each side had resident in any round.
fn memory_mib(series: &Series) -> (f64, f64) {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let client = series.spread(|usage| mib(usage.client_memory_bytes));
    let server = series.spread(|usage| mib(usage.server_memory_bytes));
    (client.most, server.most)
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, Into::into)
}

/// The document with `body` between the markers; the marker that is missing otherwise.
fn replaced(text: &str, body: &str) -> Result<String, &'static str> {
    let (before, rest) = text.split_once(BEGIN).ok_or(BEGIN)?;
    let (_, after) = rest.split_once(END).ok_or(END)?;
    Ok(format!("{before}{BEGIN}\n\n{body}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_markers_is_replaced() {
        let text = format!("# A\n\n{BEGIN}\nold\n{END}\n\n## B\n");

        let replaced = replaced(&text, "| new |\n").unwrap();

        assert_eq!(replaced, format!("# A\n\n{BEGIN}\n\n| new |\n\n{END}\n\n## B\n"));
    }

    #[test]
    fn a_document_without_a_marker_is_left_alone() {
        assert_eq!(replaced("# A\n", ""), Err(BEGIN));
        assert_eq!(replaced(&format!("{BEGIN}\n"), ""), Err(END));
    }

    #[test]
    fn the_document_has_the_markers() {
        let text = include_str!("../../../docs/performance.md");

        replaced(text, "").unwrap();
    }
}
