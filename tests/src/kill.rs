//! Killing either process at seeded moments of a transfer, and what may be lost by it.

use crate::data::Numbers;
use crate::edge::Running;
use crate::output::Output;
use crate::pair::Pair;
use std::ffi::OsString;
use std::ops::Range;

/// Bytes of one chunk on a file plane.
pub const CHUNK_BYTES: u64 = 1 << 20;

/// Memory an edge of these tests may use, in MiB: what bounds its chunks in flight.
pub const MEMORY_MIB: u64 = 16;

/// Chunks an edge with that memory has in flight, at most: half of it holds chunks. So many may be
/// sent again for each kill.
pub const WINDOW_CHUNKS: u64 = MEMORY_MIB / 2;

/// Which process is killed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Victim {
    /// The edge's command.
    Edge,
    /// The relay, which is started again at once.
    Relay,
}

/// When to kill: once the relay has written this many bytes, drawn anew for each kill.
#[derive(Clone, Debug)]
pub struct Moments {
    numbers: Numbers,
    written: Range<u64>,
}

impl Moments {
    /// Moments after a number of written bytes in this range.
    pub fn new(seed: u64, written: Range<u64>) -> Self {
        Self { numbers: Numbers::new(seed), written }
    }

    fn draw(&mut self) -> u64 {
        self.written.start + self.numbers.below(self.written.end - self.written.start)
    }
}

/// A command that is killed and run again until it is done.
#[derive(Debug)]
pub struct Ordeal {
    /// Kills that hit a running command.
    pub kills: u64,
    /// Bytes all relays wrote, to the plane and the catalogue.
    pub written_bytes: u64,
    /// The run that came to its end.
    pub last: Output,
}

/// Runs a command of the edge, kills `victim` `kills` times, and runs it again each time; the last
/// run is left alone.
///
/// After each kill `meanwhile` looks at what is left. A command that survives the loss of its relay
/// goes on by itself; one that ends before a moment comes is the last.
///
/// # Panics
///
/// When the command ends in another way than done or, after the loss of its relay, to be tried
/// again.
pub fn endure(
    pair: &mut Pair,
    command: &[OsString],
    (victim, kills): (Victim, u64),
    moments: &mut Moments,
    meanwhile: &dyn Fn(&Pair),
) -> Ordeal {
    // Counters of a new relay begin at 0, this one's at what earlier commands wrote.
    let mut ledger = Ledger { before: written(pair), total: 0 };
    let mut hits = 0;
    let mut running = pair.begin(command.to_vec());
    while hits < kills {
        let before = written(pair);
        if !pair.wait_written(before, moments.draw(), &mut running) {
            if let Some(last) = ended(&mut running) {
                return Ordeal { kills: hits, written_bytes: ledger.count(pair), last };
            }
            running = pair.begin(command.to_vec());
            continue;
        }
        hits += 1;
        match victim {
            Victim::Edge => {
                running.process.kill();
                let cut = running.finish().unwrap_or_else(|error| panic!("{error}"));
                if cut.event("done").is_some() {
                    return Ordeal { kills: hits, written_bytes: ledger.count(pair), last: cut };
                }
                meanwhile(pair);
                running = pair.begin(command.to_vec());
            }
            Victim::Relay => {
                ledger.count(pair);
                pair.restart_relay();
                ledger.before = 0;
                meanwhile(pair);
            }
        }
    }
    loop {
        let output = running.finish().unwrap_or_else(|error| panic!("{error}"));
        if let Some(last) = done(output) {
            return Ordeal { kills: hits, written_bytes: ledger.count(pair), last };
        }
        running = pair.begin(command.to_vec());
    }
}

fn written(pair: &Pair) -> u64 {
    pair.relay.process().used().written_bytes
}

/// What one relay after the other wrote.
#[derive(Debug)]
struct Ledger {
    /// Bytes the relay that serves had written when counting began.
    before: u64,
    total: u64,
}

impl Ledger {
    fn count(&mut self, pair: &Pair) -> u64 {
        self.total += written(pair) - self.before;
        self.total
    }
}

fn ended(running: &mut Running) -> Option<Output> {
    done(running.finish().unwrap_or_else(|error| panic!("{error}")))
}

/// The output of a command that is done; `None` for one that is to be tried again.
fn done(output: Output) -> Option<Output> {
    match output.code {
        0 => Some(output),
        5 => None,
        _ => panic!("neither done nor to be tried again: {output:#?}"),
    }
}
