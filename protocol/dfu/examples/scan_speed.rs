//! How fast records are found, as a ratio to counting line ends with memchr over the same bytes.
//!
//! `cargo run --release -p skyspray-dfu --example scan_speed`

use skyspray_dfu::format::csv::Role;
use skyspray_dfu::format::{CsvFormat, CsvOptions, RecordFormat};
use skyspray_dfu::split::{Join, Layout, SplitOptions, Splitter};
use std::hint::black_box;
use std::num::NonZeroU32;
use std::time::Instant;

fn main() {
    let plain = rows(0);
    let quoted = rows(30);
    println!("{:<34} {:>9} {:>9} {:>7}", "data", "memchr", "splitter", "ratio");
    report("quoting off, no quotes", &plain, &[(Role::Quote, "")]);
    report("quoting on, no quotes", &plain, &[]);
    report("quoting on, 30 % of fields quoted", &quoted, &[]);
    report("three separators, 30 % quoted", &quoted, &[(Role::Separator, "\\,,;,|")]);
    report(
        "two quotes and an escape, 30 %",
        &quoted,
        &[(Role::Quote, "\",'"), (Role::Escape, "\\\\")],
    );
}

fn report(name: &str, data: &[u8], changes: &[(Role, &str)]) {
    let mut options = CsvOptions::default();
    for &(role, list) in changes {
        options.set(role, list).expect("the list is well formed");
    }
    let format = CsvFormat::try_new(options).expect("the delimiters fit together");
    let format = RecordFormat::Csv(format);
    let mut memchr = f64::INFINITY;
    let mut splitter = f64::INFINITY;
    // Alternating, so that a busy machine slows both.
    for _ in 0..15 {
        memchr = memchr.min(seconds(|| {
            memchr::memchr_iter(b'\n', black_box(data)).fold(0, |last, at| last ^ at)
        }));
        splitter = splitter.min(seconds(|| split(&format, black_box(data))));
    }
    let rate = |seconds: f64| data.len() as f64 / seconds / 1e9;
    let (memchr, splitter) = (rate(memchr), rate(splitter));
    println!("{name:<34} {memchr:>4.1} GB/s {splitter:>4.1} GB/s {:>7.2}", splitter / memchr);
}

fn seconds<T>(work: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    black_box(work());
    start.elapsed().as_secs_f64()
}

fn split(format: &RecordFormat, data: &[u8]) -> usize {
    let parts = NonZeroU32::new(8).expect("not zero");
    let options = SplitOptions { parts, layout: Layout::Balanced, join: Join::Mend };
    let mut splitter =
        Splitter::try_new(format, &[data.len() as u64], options).expect("any length fits");
    let mut pieces = 0;
    for block in data.chunks(1 << 20) {
        splitter.push(block).expect("rows are well formed");
        pieces += std::iter::from_fn(|| splitter.poll()).count();
    }
    splitter.end_source().expect("rows are well formed");
    splitter.finish().expect("all sources ended");
    pieces + std::iter::from_fn(|| splitter.poll()).count()
}

/// 64 MiB of rows of ten fields of 4 to 12 letters, `quoted_percent` of them in quotes.
fn rows(quoted_percent: u32) -> Vec<u8> {
    let mut state = 12_345u64;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32
    };
    let mut data = Vec::with_capacity(65 << 20);
    while data.len() < 64 << 20 {
        for field in 0..10 {
            let quote = next() % 100 < quoted_percent;
            data.extend((field > 0).then_some(b','));
            data.extend(quote.then_some(b'"'));
            data.extend((0..4 + next() % 9).map(|letter| b'a' + letter as u8));
            data.extend(quote.then_some(b'"'));
        }
        data.push(b'\n');
    }
    data
}
