//! What the demo says: numbered steps, the commands behind them, sizes and rates.

use std::cell::Cell;
use std::path::Path;
use std::time::Duration;

/// The reader's side of the demo.
#[derive(Debug, Default)]
pub(super) struct Report {
    steps: Cell<u32>,
}

impl Report {
    pub(super) fn title(&self, root: &Path) {
        println!("Skyspray demo: one relay, one edge, real processes on this machine.");
        println!("Everything is kept in {} and removed at the end.", root.display());
    }

    pub(super) fn step(&self, what: &str) {
        self.steps.set(self.steps.get() + 1);
        println!("\n{}. {what}", self.steps.get());
    }

    /// What a reader would type for what was just done.
    pub(super) fn command(&self, line: &str) {
        println!("   $ {line}");
    }

    pub(super) fn say(&self, line: &str) {
        println!("     {line}");
    }

    pub(super) fn end(&self, took: Duration) {
        println!("\nAll of it identical, in {}. Nothing was left behind.", seconds(took));
    }
}

/// Bytes for people.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// Bytes in a time, for people.
pub(super) fn rate(bytes: u64, took: Duration) -> String {
    let per_second = bytes as f64 / took.as_secs_f64().max(0.001) / 1e6;
    format!("{} in {}, {per_second:.0} MB/s", size(bytes), seconds(took))
}

/// A time for people.
pub(super) fn seconds(took: Duration) -> String {
    format!("{:.2} s", took.as_secs_f64())
}

/// A number with separators.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_rates_and_numbers_read_well() {
        assert_eq!([size(7), size(1024), size(1 << 29)], ["7 bytes", "1.0 KiB", "512.0 MiB"]);
        assert_eq!(rate(1 << 29, Duration::from_secs(2)), "512.0 MiB in 2.00 s, 268 MB/s");
        assert_eq!([grouped(0), grouped(999), grouped(1_227_312)], ["0", "999", "1,227,312"]);
    }
}
