//! A tree of a million entries: how long a push takes to say what it would do, in which memory, and
//! how soon one that is meant stores its first byte.

use super::Workload;
use crate::args;
use crate::bench::bar::{Bar, Bound};
use crate::bench::section::Section;
use crate::bench::server::program;
use crate::bench::summary::Spread;
use crate::bench::table::Table;
use crate::bench::usage::Usage;
use crate::bench::{Bench, BenchError};
use crate::binary::locate;
use crate::check::files_below;
use crate::error::HarnessError;
use crate::pair::Pair;
use crate::process::Launch;
use crate::wait;
use serde_json::{Value, json};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Files and directories of a whole run.
const ENTRIES: u64 = 1_000_000;

/// Entries of one directory, itself among them.
const ENTRIES_PER_DIRECTORY: u64 = 1000;

/// Bytes of the files in the first directory; the others are empty, so that the tree takes little
/// room on disk.
const FIRST_BYTES: usize = 4096;

const ROUNDS: u32 = 3;

/// How long one look at the tree may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// Who looks at the tree.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Looker {
    /// The product, which only says what it would do.
    Plan,
    /// What a walk costs.
    Find,
    /// The same of a peer.
    Rsync,
}

impl Looker {
    const ALL: [Self; 3] = [Self::Plan, Self::Find, Self::Rsync];

    fn name(self) -> &'static str {
        match self {
            Self::Plan => "skyspray push --dry-run",
            Self::Find => "find -size",
            Self::Rsync => "rsync -a --dry-run",
        }
    }

    /// Lets it look, and says what it used. The product has to name the number of files.
    fn look(
        self,
        bench: &Bench<'_>,
        (pair, tree): (&Pair, &Path),
        files: u64,
    ) -> Result<Usage, BenchError> {
        let (launch, stop) = (self.launch(pair, tree)?, || bench.stop.asked());
        let limits = (PATIENCE, &stop as &dyn Fn() -> bool);
        if self != Self::Plan {
            return Ok(Usage::of(&launch, None, limits)?);
        }
        let (usage, told) = Usage::of_watched(&launch, None, limits, |command| {
            command.wait_for("what it would push", PATIENCE, files_told)
        })?;
        if told == files { Ok(usage) } else { Err(BenchError::Differs { contender: self.name() }) }
    }

    fn launch(self, pair: &Pair, tree: &Path) -> Result<Launch, BenchError> {
        let root = pair.root.path();
        let (program, arguments) = match self {
            Self::Plan => {
                let mut words = args!["push", tree, &pair.target("planned/"), "--dry-run"];
                words.extend(args!["--dir", &pair.edge.dir, "--json"]);
                (locate("skyspray-edge")?, words)
            }
            // The size of each has to be asked for, as everybody who carries it must.
            Self::Find => (program("find")?, args![tree, "-size", "+1000G"]),
            Self::Rsync => {
                (program("rsync")?, args!["-a", "--dry-run", tree, &root.join("nowhere/")])
            }
        };
        Ok(Launch { prefix: Vec::new(), program, arguments, log: root.join("looks.log") })
    }
}

/// The number of files in the line that says what would be pushed.
fn files_told(line: &str) -> Option<u64> {
    let line: Value = serde_json::from_str(line).ok()?;
    (line["event"] == "would-push").then(|| line["files"].as_u64())?
}

/// What one of them found, or the one line that says why it did not.
type Looks = Result<Vec<Usage>, String>;

pub(super) fn run(bench: &Bench<'_>) -> Result<Section, BenchError> {
    let rounds = bench.settings.rounds(ROUNDS);
    let entries = bench.settings.scaled(ENTRIES).max(2);
    let pair = Pair::try_start()?;
    let tree = pair.edge.file("tree");
    let files = grow(&tree, entries, &|| bench.stop.asked())?;
    let mut looks: Vec<(Looker, Looks)> = Looker::ALL.map(|looker| (looker, Ok(Vec::new()))).into();
    let mut firsts = Vec::new();
    for round in 0..rounds {
        for (looker, looks) in &mut looks {
            look(bench, looks, *looker, |looker| looker.look(bench, (&pair, &tree), files))?;
        }
        let first = first_byte(bench, &pair, (&tree, round))?;
        println!("round {}  first byte of a push after {first:.2} s", round + 1);
        firsts.push(first);
    }
    Ok(section((entries, rounds), &looks, firsts))
}

/// Makes a tree of so many files and directories, and says how many are files.
fn grow(tree: &Path, entries: u64, stop: &dyn Fn() -> bool) -> Result<u64, BenchError> {
    let (mut left, mut made) = (entries, 0);
    for directory in 0.. {
        if left == 0 {
            break;
        }
        if stop() {
            return Err(BenchError::Interrupted);
        }
        let files = left.min(ENTRIES_PER_DIRECTORY) - 1;
        let below = tree.join(format!("batch-{directory:05}"));
        let content = vec![7; if directory == 0 { FIRST_BYTES } else { 0 }];
        fill(&below, files, &content).map_err(HarnessError::file(&below))?;
        left -= files + 1;
        made += files;
    }
    rustix::fs::sync();
    Ok(made)
}

fn fill(directory: &Path, files: u64, content: &[u8]) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    (0..files).try_for_each(|file| fs::write(directory.join(format!("file-{file:03}")), content))
}

/// Lets one look at the tree once more, unless it failed before.
fn look(
    bench: &Bench<'_>,
    looks: &mut Looks,
    looker: Looker,
    once: impl FnOnce(Looker) -> Result<Usage, BenchError>,
) -> Result<(), BenchError> {
    let Ok(found) = looks else { return Ok(()) };
    match once(looker) {
        Ok(usage) => {
            println!("{:<28} {:>7.2} s", looker.name(), usage.wall_seconds);
            found.push(usage);
        }
        Err(_) if bench.stop.asked() => return Err(BenchError::Interrupted),
        Err(error) => {
            println!("{} is out: {}", looker.name(), error.told());
            *looks = Err(error.brief());
        }
    }
    Ok(())
}

/// Starts a push that is meant, says after how many seconds something of it is on the plane, and
/// ends it.
fn first_byte(
    bench: &Bench<'_>,
    pair: &Pair,
    (tree, round): (&Path, u32),
) -> Result<f64, BenchError> {
    let directory = format!("round-{round}");
    let words = args!["push", tree, &pair.target(&format!("{directory}/"))];
    let began = Instant::now();
    let mut running = pair.edge.start(words)?;
    let stored = wait::poll(PATIENCE, || {
        let stored = holds_a_byte(&pair.relay.plane);
        (stored || running.process.has_ended() || bench.stop.asked()).then_some(stored)
    });
    let seconds = began.elapsed().as_secs_f64();
    if stored != Some(true) {
        running.finish()?.done()?;
        return Err(BenchError::Unsaid { program: "skyspray-edge", what: "a byte to the relay" });
    }
    running.process.kill();
    // The relay may still be at work for the session that is gone.
    let target = pair.relay.plane.join(&directory);
    wait::poll(PATIENCE, || crate::bench::peer::remove(&target).ok());
    empty(&pair.relay.plane)?;
    Ok(seconds)
}

/// Whether a file below a directory has something in it.
fn holds_a_byte(directory: &Path) -> bool {
    let files = files_below(directory).unwrap_or_default();
    let length = |file: PathBuf| fs::metadata(directory.join(file)).map_or(0, |found| found.len());
    files.into_iter().any(|file| length(file) > 0)
}

/// Removes all below a directory.
fn empty(directory: &Path) -> Result<(), HarnessError> {
    for entry in fs::read_dir(directory).map_err(HarnessError::file(directory))?.flatten() {
        crate::bench::peer::remove(&entry.path())?;
    }
    Ok(())
}

/// Most time to plan a tree, in seconds, most memory, in MiB, and most time to the first byte.
const PLAN_SECONDS_MAX: f64 = 30.0;
const PLAN_MEMORY_MIB_MAX: f64 = 256.0;
const FIRST_BYTE_SECONDS_MAX: f64 = 1.0;

fn section((entries, rounds): (u64, u32), looks: &[(Looker, Looks)], firsts: Vec<f64>) -> Section {
    let mut table = Table::new(&["", "s", "CPU s", "peak MiB"]);
    let mut figures = Vec::new();
    for (looker, looks) in looks {
        let name = looker.name();
        let spreads = looks.as_ref().map(|found| {
            let spread = |figure: fn(&Usage) -> f64| Spread::of(found.iter().map(figure).collect());
            [spread(|one| one.wall_seconds), spread(Usage::cpu_seconds), spread(memory_mib)]
        });
        match spreads {
            Ok(found) => {
                let cells = found.iter().map(|spread| format!("{spread:.2}"));
                table.row([name.to_owned()].into_iter().chain(cells));
                let [wall, cpu, memory] = found.map(|spread| spread.json());
                figures.push(json!({
                    "name": name, "seconds": wall, "cpu_seconds": cpu, "memory_mib": memory,
                }));
            }
            Err(reason) => {
                table.row([name.to_owned(), format!("failed: {reason}")]);
                figures.push(json!({ "name": name, "missing": reason }));
            }
        }
    }
    let first = Spread::of(firsts);
    table.row(["skyspray push, to its first byte on the plane".to_owned(), format!("{first:.2}")]);
    let (_, plan) = &looks[0];
    let planned = |figure: fn(&Usage) -> f64| {
        plan.clone().map(|found| Spread::of(found.iter().map(figure).collect()))
    };
    let bar = |what: &str, most, unit, found| {
        let what = what.to_owned();
        Bar { what, bound: Bound::AtMost(most), unit, found }
    };
    Section {
        workload: Workload::Tree,
        conditions: format!("a tree of {entries} files and directories, {rounds} rounds"),
        tables: vec![table],
        bars: vec![
            bar("time to plan", PLAN_SECONDS_MAX, "s", planned(|one| one.wall_seconds)),
            bar("memory of the edge that plans", PLAN_MEMORY_MIB_MAX, "MiB", planned(memory_mib)),
            bar("time to the first byte", FIRST_BYTE_SECONDS_MAX, "s", Ok(first)),
        ],
        figures: json!({ "looks": figures, "first_byte_seconds": first.json() }),
    }
}

fn memory_mib(usage: &Usage) -> f64 {
    usage.client_memory_bytes as f64 / 1_048_576.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    #[test]
    fn the_number_of_files_is_read_from_the_line_that_says_what_would_be_pushed() {
        let line = r#"{"schema":1,"event":"would-push","target":"data:a/","files":7,"bytes":1}"#;

        assert_eq!(files_told(line), Some(7));
        assert_eq!(files_told(r#"{"event":"warning","files":7}"#), None);
        assert_eq!(files_told("7 files"), None);
    }

    #[test]
    fn a_tree_has_as_many_entries_as_asked_for_and_bytes_in_its_first_directory_alone() {
        let root = TempDir::new().unwrap();
        let tree = root.path().join("tree");
        assert_eq!(grow(&tree, 2_500, &|| false).unwrap(), 2_497);

        let files = files_below(&tree).unwrap();
        assert_eq!((files.len(), fs::read_dir(&tree).unwrap().count()), (2_497, 3));
        assert!(holds_a_byte(&tree.join("batch-00000")));
        assert!(!holds_a_byte(&tree.join("batch-00001")));
    }
}
