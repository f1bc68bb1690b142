//! What a spray and another flow leave each other of a path that both would fill.

use super::{ROUNDS_MAX, Seeds, far};
use crate::args;
use crate::bench::bar::{Bar, Bound};
use crate::bench::load::Load;
use crate::bench::server::iperf::Iperf;
use crate::bench::server::program;
use crate::bench::summary::Spread;
use crate::bench::table::Table;
use crate::bench::wan::far_side;
use crate::bench::{Bench, BenchError};
use crate::edge::Running;
use crate::output::Output;
use crate::process::Launch;
use crate::wait::{PATIENCE, poll};
use crate::wan::{Ends, FAR};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// For how long both run, in milliseconds of a whole run.
const SPAN_MS: u64 = 40_000;

/// What a spray may carry in that time at most, in MiB of a whole run.
const MIB: u64 = 1024;

/// What the smaller one of two sprays must have of what both carry, in percent.
const OWN_LEAST_PERCENT: f64 = 40.0;

/// What the smaller one of a spray and TCP must have of the path, in percent.
const TCP_LEAST_PERCENT: f64 = 30.0;

/// Who else is on the path; both set out at once.
#[derive(Clone, Copy, Debug)]
enum Other {
    Spray,
    /// A TCP connection with this congestion control.
    Tcp(&'static str),
}

const OTHERS: [Other; 3] = [Other::Spray, Other::Tcp("cubic"), Other::Tcp("bbr")];

/// What a spray and another carried in the same time, as shares of the rate of the path.
#[derive(Clone, Copy, Debug)]
struct Shares {
    spray: f64,
    other: f64,
}

/// What was found beside every other, or why nothing was.
pub(super) struct Sharing(Vec<(Other, Result<Vec<Shares>, String>)>);

pub(super) fn run(bench: &Bench<'_>, seeds: &mut Seeds) -> Result<Sharing, BenchError> {
    let mut found = Vec::new();
    for other in OTHERS {
        let rounds = bench.settings.rounds(ROUNDS_MAX).min(ROUNDS_MAX);
        let mut runs = Vec::new();
        for round in 1..=rounds {
            match beside(bench, seeds, other) {
                Ok(shares) => {
                    let Shares { spray, other: rest } = shares;
                    let (spray, rest) = (spray * 100.0, rest * 100.0);
                    println!(
                        "round {round}  {spray:.1} % of the path, {} {rest:.1} %",
                        other.name()
                    );
                    runs.push(Ok(shares));
                }
                Err(_) if bench.stop.asked() => return Err(BenchError::Interrupted),
                Err(error) => runs.push(Err(error.brief())),
            }
        }
        found.push((other, runs.into_iter().collect()));
    }
    Ok(Sharing(found))
}

/// A spray and the other, for as long as both run.
fn beside(bench: &Bench<'_>, seeds: &mut Seeds, other: Other) -> Result<Shares, BenchError> {
    let path = far(0.0, MIB, 0.0).path(seeds.next());
    let ends = Ends::meet(path)?;
    let (edge, root) = (&ends.pair.edge, ends.pair.root.path());
    let bytes = bench.settings.scaled(MIB) << 20;
    let load = Load::random(edge.file("file.bin"), bytes, path.seed)?;
    load.warm()?;
    let span = Duration::from_millis(bench.settings.scaled(SPAN_MS));
    let start = |name: &str| {
        let mut arguments = args!["spray", &load.source, &ends.pair.target(name), "--parts", "4"];
        arguments.extend(args!["--format", "fixed", "--record-size", "1024"]);
        arguments.extend(args!["--compress", "off", "--progress", "json"]);
        edge.start(arguments)
    };
    let rate = path.bits_per_second as f64;
    let share = |running: &Running, since: Instant| {
        durable(running) as f64 * 8.0 / since.elapsed().as_secs_f64() / rate
    };
    match other {
        Other::Spray => {
            let since = Instant::now();
            let (mut one, mut two) = (start("bench::one")?, start("bench::two")?);
            poll(span, || bench.stop.asked().then_some(()));
            let shares = Shares { spray: share(&one, since), other: share(&two, since) };
            end(&mut one)?;
            end(&mut two)?;
            Ok(shares)
        }
        Other::Tcp(control) => {
            let server = Iperf::start_at(root, &far_side(&ends.link))?;
            let (port, seconds) = (server.port().to_string(), span.as_secs().max(1).to_string());
            let host = FAR;
            let arguments = args!["-c", host, "-p", &port, "-t", &seconds, "-C", control, "-J"];
            let log = root.join("iperf3-client.log");
            let prefix = ends.link.near();
            let launch = Launch { prefix, program: program("iperf3")?, arguments, log };
            let since = Instant::now();
            let mut spray = start("bench::one")?;
            let said = Output::of(&launch, PATIENCE, &|| bench.stop.asked());
            let own = share(&spray, since);
            end(&mut spray)?;
            Ok(Shares { spray: own, other: received(&said?.done()?.lines)? / rate })
        }
    }
}

/// Bytes a spray has on the plane, as it said last.
fn durable(running: &Running) -> u64 {
    let said = running.process.latest(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        line["bytes_durable"].as_u64()
    });
    said.unwrap_or(0)
}

/// Breaks a spray off; it was never meant to reach its end.
fn end(running: &mut Running) -> Result<(), BenchError> {
    running.process.signal(Signal::TERM);
    running.process.finish(PATIENCE, &|| false)?;
    Ok(())
}

/// Bits a second that iperf3's server received.
fn received(lines: &[String]) -> Result<f64, BenchError> {
    let said: Option<Value> = serde_json::from_str(&lines.concat()).ok();
    let rate = said.and_then(|said| said["end"]["sum_received"]["bits_per_second"].as_f64());
    rate.ok_or(BenchError::Unsaid { program: "iperf3", what: "how much was received" })
}

impl Other {
    fn name(self) -> String {
        match self {
            Self::Spray => "another spray".to_owned(),
            Self::Tcp(control) => format!("TCP {}", control.to_uppercase()),
        }
    }

    /// The bar on what was found beside it, or on nothing for a reason.
    fn bar(self, found: &Result<Vec<Shares>, String>) -> Bar {
        let of_both = matches!(self, Self::Spray);
        let (whole, least) = match of_both {
            true => ("what both carry", OWN_LEAST_PERCENT),
            false => ("the path", TCP_LEAST_PERCENT),
        };
        let found = found.clone().map(|runs| {
            let smaller = |shares: &Shares| {
                let all = if of_both { shares.spray + shares.other } else { 1.0 };
                shares.spray.min(shares.other) / all * 100.0
            };
            Spread::of(runs.iter().map(smaller).collect())
        });
        let what = format!("the smaller share of {whole}, a spray beside {}", self.name());
        Bar { what, bound: Bound::AtLeast(least), unit: "%", found }
    }
}

/// The bars where nothing can be measured.
pub(super) fn unmeasured(reason: &str) -> Vec<Bar> {
    OTHERS.iter().map(|other| other.bar(&Err(reason.to_owned()))).collect()
}

impl Sharing {
    pub(super) fn bars(&self) -> Vec<Bar> {
        self.0.iter().map(|(other, found)| other.bar(found)).collect()
    }

    pub(super) fn table(&self) -> Table {
        let mut table = Table::new(&[
            "both for 40 s, nothing lost at random",
            "the spray, % of the path",
            "the other, % of the path",
        ]);
        for (other, found) in &self.0 {
            match found {
                Ok(runs) => {
                    let spread = |figure: fn(&Shares) -> f64| {
                        Spread::of(runs.iter().map(figure).collect()).times(100.0)
                    };
                    let (spray, rest) = (spread(|run| run.spray), spread(|run| run.other));
                    let beside = format!("beside {}", other.name());
                    table.row([beside, format!("{spray:.1}"), format!("{rest:.1}")]);
                }
                Err(reason) => table.row([other.name(), reason.clone()]),
            }
        }
        table
    }

    pub(super) fn json(&self) -> Value {
        let rows = self.0.iter().map(|(other, found)| match found {
            Ok(runs) => json!({
                "other": other.name(),
                "shares": runs.iter().map(|run| [run.spray, run.other]).collect::<Vec<_>>(),
            }),
            Err(reason) => json!({ "other": other.name(), "missing": reason }),
        });
        Value::Array(rows.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(shares: &[(f64, f64)]) -> Result<Vec<Shares>, String> {
        Ok(shares.iter().map(|&(spray, other)| Shares { spray, other }).collect())
    }

    #[test]
    fn two_sprays_are_judged_by_what_both_carry_and_tcp_by_the_path() {
        let shares = found(&[(0.3, 0.5), (0.45, 0.35), (0.5, 0.3)]);
        let median = |other: Other| other.bar(&shares).found.unwrap().median;

        assert!((median(Other::Spray) - 37.5).abs() < 1e-9, "{}", median(Other::Spray));
        assert!((median(Other::Tcp("bbr")) - 30.0).abs() < 1e-9);
    }

    #[test]
    fn without_a_run_there_is_a_reason_in_table_and_bar() {
        let bars = unmeasured("there is no path");

        assert_eq!(bars.len(), OTHERS.len());
        assert!(bars.iter().all(|bar| bar.finding() == "there is no path"));
        let sharing = Sharing(vec![(Other::Tcp("cubic"), Err("iperf3 is missing".into()))]);
        assert!(sharing.table().markdown().contains("| TCP CUBIC | iperf3 is missing |"));
    }

    #[test]
    fn what_iperf3_received_is_found_in_what_it_says() {
        let said = r#"{"end": {"sum_received": {"bits_per_second": 5.5e7}}}"#.to_owned();

        assert_eq!(received(&[said]).unwrap(), 5.5e7);
        let error = received(&["iperf3: error".to_owned()]).unwrap_err();
        assert_eq!(error.to_string(), "iperf3 did not say how much was received");
    }
}
