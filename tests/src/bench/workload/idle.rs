//! What sessions cost a relay on which nothing happens.

use super::Workload;
use crate::bench::bar::{Bar, Bound};
use crate::bench::section::Section;
use crate::bench::summary::Spread;
use crate::bench::table::Table;
use crate::bench::usage::{Memory, tree_cpu_seconds};
use crate::bench::{Bench, BenchError};
use crate::dial::Caller;
use crate::error::HarnessError;
use crate::pair::Pair;
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::json;
use skyspray_link::session::Session;
use std::time::Duration;

/// Sessions of a whole run.
const SESSIONS: u64 = 1000;

const ROUNDS: u32 = 3;

/// Most memory a relay may have above what it had before the sessions, in MiB.
const MEMORY_MIB_MAX: f64 = 64.0;

/// How long all of them stay: longer than a session lives on which nothing comes.
const STAY: Duration = Duration::from_secs(20);

/// What one round found.
struct Turn {
    /// Of the relay, in MiB: before the sessions, with all of them, and the most it had.
    before_mib: f64,
    with_mib: f64,
    peak_mib: f64,
    /// CPU time of the relay in a minute with all of them.
    cpu_seconds_per_minute: f64,
}

pub(super) fn run(bench: &Bench<'_>) -> Result<Section, BenchError> {
    let rounds = bench.settings.rounds(ROUNDS);
    let sessions = bench.settings.scaled(SESSIONS);
    allow_sockets();
    let mut pair = Pair::prepare()?;
    let most = sessions + 8;
    pair.relay
        .configure(&format!("[limits]\nsessions_max = {most}\nsessions_per_agent = {most}\n"));
    pair.relay.serve()?;
    pair.enroll("push,pull,list:*")?;
    let mut turns = Vec::new();
    for round in 0..rounds {
        // One that never had a session.
        pair.relay.stop()?;
        pair.relay.serve()?;
        let turn = turn(bench, &pair, sessions)?;
        println!(
            "round {}  {sessions} sessions: {:.1} MiB before, {:.1} MiB with them, {:.1} MiB at most",
            round + 1,
            turn.before_mib,
            turn.with_mib,
            turn.peak_mib
        );
        turns.push(turn);
    }
    Ok(section(sessions, rounds, &turns))
}

fn turn(bench: &Bench<'_>, pair: &Pair, sessions: u64) -> Result<Turn, BenchError> {
    let relay = pair.relay.process().id();
    let memory = || {
        let gone = BenchError::Unsaid { program: "skyspray-relay", what: "how much memory it has" };
        Memory::of(relay).ok_or(gone)
    };
    let before = memory()?;
    let caller = Caller::of(pair)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(HarnessError::file("the runtime of the sessions"))?;
    runtime.block_on(async {
        let mut held: Vec<Session> = Vec::new();
        for _ in 0..sessions {
            if bench.stop.asked() {
                return Err(BenchError::Interrupted);
            }
            held.push(caller.greet().await?);
        }
        let cpu_before = tree_cpu_seconds(relay);
        // sleep-ok: what is measured is a relay on which nothing happens.
        tokio::time::sleep(STAY).await;
        let cpu_seconds = tree_cpu_seconds(relay) - cpu_before;
        let with = memory()?;
        let lost = held.iter().filter(|session| session.is_closed()).count();
        if lost > 0 {
            return Err(BenchError::Lost { lost, sessions });
        }
        Ok(Turn {
            before_mib: mib(before.resident_bytes),
            with_mib: mib(with.resident_bytes),
            peak_mib: mib(with.peak_bytes),
            cpu_seconds_per_minute: cpu_seconds * 60.0 / STAY.as_secs_f64(),
        })
    })
}

fn section(sessions: u64, rounds: u32, turns: &[Turn]) -> Section {
    let spread = |figure: fn(&Turn) -> f64| Spread::of(turns.iter().map(figure).collect());
    let over = spread(|turn| turn.with_mib - turn.before_mib);
    let kib = Spread::of(
        turns
            .iter()
            .map(|turn| (turn.with_mib - turn.before_mib) * 1024.0 / sessions as f64)
            .collect(),
    );
    let cpu = spread(|turn| turn.cpu_seconds_per_minute);
    let mut table = Table::new(&[
        "relay without, MiB",
        "with all, MiB",
        "at most, MiB",
        "KiB a session",
        "CPU s a minute",
    ]);
    table.row([
        format!("{:.1}", spread(|turn| turn.before_mib)),
        format!("{:.1}", spread(|turn| turn.with_mib)),
        format!("{:.1}", spread(|turn| turn.peak_mib)),
        format!("{kib:.1}"),
        format!("{cpu:.2}"),
    ]);
    let turns = turns.iter().map(|turn| {
        json!({
            "before_mib": turn.before_mib,
            "with_mib": turn.with_mib,
            "peak_mib": turn.peak_mib,
            "cpu_seconds_per_minute": turn.cpu_seconds_per_minute,
        })
    });
    Section {
        workload: Workload::Idle,
        conditions: format!(
            "{sessions} sessions that were welcomed and stay for {} s, {rounds} rounds",
            STAY.as_secs()
        ),
        tables: vec![table],
        bars: vec![Bar {
            what: "memory of the relay for all sessions".into(),
            bound: Bound::Never(MEMORY_MIB_MAX),
            unit: "MiB",
            found: Ok(over),
        }],
        figures: json!({ "sessions": sessions, "turns": turns.collect::<Vec<_>>() }),
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}

/// Every session has a socket of its own: asks for as many as the host gives. Where those are too
/// few the dial that has none says so.
fn allow_sockets() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::bar::Verdict;

    #[test]
    fn what_sessions_cost_is_counted_above_the_relay_that_had_none() {
        let turn = |before_mib, with_mib| Turn {
            before_mib,
            with_mib,
            peak_mib: with_mib + 1.0,
            cpu_seconds_per_minute: 0.5,
        };

        let section = section(1024, 2, &[turn(16.0, 48.0), turn(16.0, 81.0)]);

        assert_eq!(section.bars[0].finding(), "48.50 [32.00-65.00] MiB");
        assert_eq!(section.bars[0].verdict(), Verdict::Missed);
        assert!(section.markdown().contains("| 48.5 [32.0-65.0] |"), "{}", section.markdown());
    }
}
