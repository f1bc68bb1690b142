//! A spray to an object store, beside the client the relay uses alone.

pub(in crate::bench) mod client;

use super::Workload;
use crate::args;
use crate::bench::contender::{Contender, Entry, entry};
use crate::bench::load::Load;
use crate::bench::peer::remove;
use crate::bench::race::Race;
use crate::bench::section::{Beside, Section};
use crate::bench::server::store::{BUCKET, Store};
use crate::bench::settings::ROUNDS;
use crate::bench::table::{Table, Unit};
use crate::bench::usage::Memory;
use crate::bench::{Bench, BenchError};
use crate::binary::locate;
use crate::error::HarnessError;
use crate::output::Output;
use crate::pair::Pair;
use crate::planes::{LAKE, add_s3};
use crate::process::Launch;
use crate::wait::PATIENCE;
use client::Order;
use serde_json::json;
use std::ffi::OsString;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

const SPRAY: &str = "skyspray spray to S3";
const CLIENT: &str = "the relay's client alone";

/// Size of the file in a whole run, in MiB: what the store keeps of both is on disk at once.
const MIB: u64 = 768;

/// Sprays at once, and the size of each in a whole run, in MiB.
const CROWD: usize = 8;
const CROWD_MIB: u64 = 256;

/// How much of the speed of the client alone a spray must have.
const BARS: [Beside; 1] = [Beside::Speed(CLIENT, 0.85)];

pub(super) fn run(bench: &Bench<'_>) -> Result<Section, BenchError> {
    let rounds = bench.settings.rounds(ROUNDS);
    let mib = bench.settings.scaled(MIB);
    let mut pair = Pair::prepare()?;
    let store = Rc::new(Store::start(pair.root.path())?);
    add_s3(&pair, store.s3(), BUCKET, "");
    pair.relay.configure("[limits]\nsessions_per_agent = 64\n");
    pair.relay.serve()?;
    pair.enroll("push,pull,list,remove,overwrite:*")?;
    let pair = Rc::new(pair);
    let source = pair.edge.file("file.bin");
    let load = Rc::new(Load::random(source, mib << 20, bench.settings.seed)?);
    let mut race = Race::new();
    let (spray, alone) = (Rc::clone(&pair), Rc::clone(&pair));
    race.enter(Ok(Box::new(Spray {
        pair: spray,
        load: Rc::clone(&load),
        store: Rc::clone(&store),
    })));
    race.enter(alone_entry(Alone {
        pair: alone,
        load: Rc::clone(&load),
        store: Rc::clone(&store),
    }));
    let standings = race.run(bench, rounds)?;
    let head = (
        Workload::Store,
        format!("one file of {mib} MiB from random bytes in 4 parts, {rounds} rounds"),
    );
    let mut section = Section::of_race(head, (SPRAY, Unit::Bytes), &standings, &BARS);
    remove(&load.source)?;
    crowd(bench, &pair, &mut section)?;
    Ok(section)
}

/// Into four objects through a relay.
struct Spray {
    pair: Rc<Pair>,
    load: Rc<Load>,
    store: Rc<Store>,
}

/// Into four objects straight from here, in the same pieces and as many of them at once.
struct Alone {
    pair: Rc<Pair>,
    load: Rc<Load>,
    store: Rc<Store>,
}

fn alone_entry(alone: Alone) -> Entry {
    let path = alone.order_file();
    entry(CLIENT, alone.order().write(&path).map(|()| alone).map_err(BenchError::from))
}

fn spray_words(pair: &Pair, source: &PathBuf, name: &str) -> Vec<OsString> {
    let mut words = args!["spray", source, &format!("{LAKE}:{name}"), "--parts", "4"];
    words.extend(args!["--format", "fixed", "--record-size", "1024"]);
    words.extend(args!["--dir", &pair.edge.dir, "--json"]);
    words
}

const LOGICAL: &str = "bench::file";

impl Spray {
    fn edge(&self, arguments: Vec<OsString>) -> Result<Launch, BenchError> {
        let log = self.pair.root.path().join("edge-commands.log");
        Ok(Launch { prefix: Vec::new(), program: locate("skyspray-edge")?, arguments, log })
    }
}

impl Contender for Spray {
    fn name(&self) -> &'static str {
        SPRAY
    }

    fn is_own(&self) -> bool {
        true
    }

    fn load(&self) -> &Rc<Load> {
        &self.load
    }

    fn server(&self) -> Option<u32> {
        Some(self.pair.relay.process().id())
    }

    fn launch(&self, _: u32) -> Result<Launch, BenchError> {
        self.edge(spray_words(&self.pair, &self.load.source, LOGICAL))
    }

    fn is_delivered(&self, _: u32) -> Result<bool, BenchError> {
        let back = self.pair.edge.file("back");
        let mut words = args!["despray", &format!("{LAKE}:{LOGICAL}"), &back];
        words.extend(args!["--dir", &self.pair.edge.dir, "--json"]);
        Output::of(&self.edge(words)?, PATIENCE, &|| false)?.done()?;
        let same = self.load.is_at(&back);
        remove(&back)?;
        Ok(same?)
    }

    fn clear(&self, _: u32) -> Result<(), BenchError> {
        clear_plane(&self.pair, LOGICAL)?;
        Ok(self.store.empty()?)
    }
}

/// Removes a logical file, if it is there.
fn clear_plane(pair: &Pair, name: &str) -> Result<(), BenchError> {
    let target = format!("{LAKE}:{name}");
    if pair.relay.admin(args!["file", "show", &target])?.code == 0 {
        pair.relay.admin(args!["file", "remove", &target])?.done()?;
    }
    Ok(())
}

impl Alone {
    fn order_file(&self) -> PathBuf {
        self.pair.root.path().join("client.json")
    }

    fn order(&self) -> Order {
        Order::new(self.store.s3(), self.store.ca_file(), &self.load)
    }
}

impl Contender for Alone {
    fn name(&self) -> &'static str {
        CLIENT
    }

    fn load(&self) -> &Rc<Load> {
        &self.load
    }

    fn server(&self) -> Option<u32> {
        self.store.id()
    }

    fn launch(&self, _: u32) -> Result<Launch, BenchError> {
        let program = std::env::current_exe().map_err(HarnessError::file("/proc/self/exe"))?;
        let log = self.pair.root.path().join("client.log");
        let arguments = args![client::COMMAND, &self.order_file()];
        Ok(Launch { prefix: Vec::new(), program, arguments, log })
    }

    fn is_delivered(&self, _: u32) -> Result<bool, BenchError> {
        let mut files = Vec::new();
        for part in 0..client::PARTS {
            let key = client::key(part);
            let Some(content) = self.store.s3().get(BUCKET, &key)? else { return Ok(false) };
            let file = self.pair.root.path().join(format!("object-{part}"));
            std::fs::write(&file, content).map_err(HarnessError::file(&file))?;
            files.push(file);
        }
        let same = self.load.is_joined(&files);
        files.iter().try_for_each(|file| remove(file))?;
        Ok(same?)
    }

    fn clear(&self, _: u32) -> Result<(), BenchError> {
        Ok(self.store.empty()?)
    }
}

/// Several sprays at once: what all of them carry, and the memory of the relay.
fn crowd(bench: &Bench<'_>, pair: &Pair, section: &mut Section) -> Result<(), BenchError> {
    let mib = bench.settings.scaled(CROWD_MIB);
    let source = pair.edge.file("crowd.bin");
    let load = Load::random(source, mib << 20, bench.settings.seed.wrapping_add(1))?;
    let within = Duration::from_secs(120 + mib * CROWD as u64 / 4);
    let began = Instant::now();
    let mut running = Vec::new();
    for number in 0..CROWD {
        let mut words = args!["spray", &load.source, &format!("{LAKE}:bench::crowd-{number}")];
        words.extend(args!["--format", "fixed", "--record-size", "1024", "--parts", "4"]);
        running.push(pair.edge.start(words)?);
    }
    for one in &mut running {
        one.finish_within(within, &|| bench.stop.asked())?.done()?;
    }
    let seconds = began.elapsed().as_secs_f64();
    let memory = Memory::of(pair.relay.process().id());
    let gone = BenchError::Unsaid { program: "skyspray-relay", what: "how much memory it has" };
    let peak_mib = memory.ok_or(gone)?.peak_bytes as f64 / 1_048_576.0;
    let speed = (load.bytes * CROWD as u64) as f64 / seconds / 1e6;
    let mut table = Table::new(&["", "MB/s, together", "peak MiB of the relay"]);
    let what = format!("{CROWD} sprays of {mib} MiB at once");
    table.row([what, format!("{speed:.0}"), format!("{peak_mib:.0}")]);
    section.tables.push(table);
    section.figures["crowd"] = json!({
        "sprays": CROWD,
        "mib_each": mib,
        "megabytes_per_second": speed,
        "relay_memory_mib": peak_mib,
    });
    Ok(())
}
