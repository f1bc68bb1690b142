//! How much of an emulated long path a spray fills, and how long it keeps the queue.
//!
//! As root: `cargo run --release -p skyspray-tests --example wan_speed`, after `cargo build --release` of both
//! programs and of `wanlink`. `WAN_MBIT=200 WAN_DELAY_MS=40 WAN_LOSS=0.01 WAN_MIB=192 WAN_SEED=1` are the defaults.

use skyspray_tests::bench::wan::{LongPath, spray};
use std::time::Duration;

fn main() {
    let text = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.into());
    let whole =
        |name: &str, default: &str| -> u64 { text(name, default).parse().expect("a number") };
    let path = LongPath {
        bits_per_second: whole("WAN_MBIT", "200") * 1_000_000,
        delay: Duration::from_millis(whole("WAN_DELAY_MS", "40")),
        loss: text("WAN_LOSS", "0.01").parse().expect("a share between 0 and 1"),
        seed: whole("WAN_SEED", "1"),
    };
    let mib = whole("WAN_MIB", "192");
    let both = spray(path, mib << 20, &|| false).unwrap_or_else(|error| panic!("{error}"));
    for (carried, first) in both.iter().zip(["new", "known"]) {
        println!(
            "path {first}: {mib} MiB in {:.2} s: {:.1} % of it; {} packets, {:.2} % found the queue full, {:.1} ms in it",
            carried.seconds,
            carried.goodput * 100.0,
            carried.packets,
            carried.dropped_by_queue as f64 / carried.packets.max(1) as f64 * 100.0,
            carried.mean_queue.as_secs_f64() * 1e3
        );
    }
}
